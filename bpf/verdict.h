/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What becomes of a packet, apart from being sent on. Every drop has a reason and is counted with its service. */
#ifndef SHOAL_VERDICT_H
#define SHOAL_VERDICT_H
#include "maps.h"

#define NO_SERVICE 0

enum outcome {
	OUTCOME_PASS,		/* the host's stack decides; the packet is untouched */
	OUTCOME_DROP,
	OUTCOME_SEND,		/* rewritten, to the next hop of struct route */
	OUTCOME_RESOLVE,	/* rewritten, and the kernel's neighbour layer must find the MAC (TC only) */
	OUTCOME_OPEN,		/* the open program decides */
	OUTCOME_ANSWER,		/* dropped, and its sender is told why (icmp.h) */
	OUTCOME_RELEASE,	/* fragments that waited for this packet come first; then the open program decides */
	OUTCOME_HELD,		/* kept for later */
	OUTCOME_RELATED,	/* the program for ICMP errors decides */
	OUTCOME_ENDPOINT,	/* the endpoint program decides */
};

/* Of what may begin a connection: no outcome yet. */
#define NOT_OURS -1
#define NOT_PLACED -2		/* the table has no place for it */

static __always_inline enum outcome drop(__u32 service, enum shoal_drop reason)
{
	struct service_counters *counters = bpf_map_lookup_elem(&service_counters, &service);
	__u32 index = reason;

	barrier_var(index);	/* the verifier wants the mask, whatever the compiler knows */
	if (!counters)
		counters = bpf_map_lookup_elem(&service_counters, &zero);
	if (counters)
		counters->drops[index & 31]++;
	return OUTCOME_DROP;
}

#endif
