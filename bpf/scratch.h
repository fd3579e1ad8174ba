/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Room of the open program outside of its stack, of which a chain of calls has 512 bytes in all. One for each CPU: these
 * programs run in softirq, one at a time.
 */
#ifndef SHOAL_SCRATCH_H
#define SHOAL_SCRATCH_H
#include "next_hop.h"
#include "schedule_least.h"

struct opening {
	__u64 place;			/* of the connection that was opened */
	__u32 hash;
	__u32 now;
	__u32 is_templated;		/* by a template, which counts the connection */
	__u32 mark;			/* firewall mark of the packet */
	__u32 service;
	__u32 destination;		/* the one that was chosen */
	__u32 is_moved;			/* it had another, and goes on with what comes next */
};

/* What is behind the extension headers of an IPv6 packet (extension.h). */
enum fragment_kind {
	NO_FRAGMENT,
	WHOLE_FRAGMENT,			/* first and last at once, an atomic fragment (RFC 6946) */
	FIRST_FRAGMENT,
	LATER_FRAGMENT,
};

struct extensions {
	__u16 transport;		/* offset of what is behind them, from the frame's begin */
	__u8 protocol;			/* and what that is */
	__u8 fragment;			/* enum fragment_kind */
	__be32 identification;		/* of a fragment */
};

struct scratch {
	struct packet packet;		/* the one in the frame */
	struct packet other;		/* one of the same connection's other direction */
	struct route route;
	struct opening opening;
	struct fragment_key datagram;	/* of a fragment */
	struct packet outside;		/* one in the name of a listener */
	struct extensions extensions;
	struct request request;
	struct connection loose;	/* of a packet that has no entry in the table: this one only */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch_table SEC(".maps");

static __always_inline struct scratch *get_scratch(void)
{
	return bpf_map_lookup_elem(&scratch_table, &zero);
}

#endif
