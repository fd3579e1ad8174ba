/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where a rewritten packet goes: the kernel's routing and neighbour tables, asked once a second for each destination
 * and each client and remembered in between. The kernel stays the authority; nobody has to push changes.
 */
#ifndef SHOAL_NEXT_HOP_H
#define SHOAL_NEXT_HOP_H
#include "connection.h"

#define HOP_TICKS 60		/* 1 s */
#define AF_INET 2

/* What a packet's way out looks like once it is known. */
struct route {
	struct next_hop hop;
	__u32 flags;		/* enum shoal_interface_flag */
	__be32 gateway;		/* whom the neighbour layer must resolve */
};

static __always_inline __u32 interface_flags(__u32 ifindex)
{
	const __u32 *flags = bpf_map_lookup_elem(&interfaces, &ifindex);

	return flags ? *flags : 0;
}

static __always_inline enum outcome look_up_route(SHOAL_CONTEXT *context, struct route *route,
						   struct bpf_fib_lookup *fib)
{
	long answer = bpf_fib_lookup(context, fib, sizeof(*fib), 0);

	if (answer != BPF_FIB_LKUP_RET_SUCCESS && answer != BPF_FIB_LKUP_RET_NO_NEIGH)
		return OUTCOME_DROP;
	route->hop.ifindex = fib->ifindex;
	route->flags = interface_flags(fib->ifindex);
	route->gateway = fib->ipv4_dst;
	if (answer == BPF_FIB_LKUP_RET_NO_NEIGH)
		return OUTCOME_RESOLVE;
	__builtin_memcpy(route->hop.destination_mac, fib->dmac, 6);
	__builtin_memcpy(route->hop.source_mac, fib->smac, 6);
	return OUTCOME_SEND;
}

/* Whether the kernel would forward the packet, rather than keep it or refuse it. */
static __always_inline int leads_elsewhere(SHOAL_CONTEXT *context, const struct packet *packet)
{
	struct route route = {};
	struct bpf_fib_lookup question = {
		.family = AF_INET,
		.l4_protocol = packet->protocol,
		.ifindex = ingress_interface(context),
		.ipv4_src = packet->source,
		.ipv4_dst = packet->destination,
	};

	return look_up_route(context, &route, &question) != OUTCOME_DROP;
}

/* The way of a packet of these addresses, from the place where it was remembered or from the kernel. */
static __always_inline enum outcome find_route(SHOAL_CONTEXT *context, struct route *route, struct next_hop *remembered,
						__u32 *tick, __u32 *flags, __u32 now, __be32 source, __be32 destination,
						const struct packet *packet)
{
	if (remembered->ifindex && now - READ_ONCE(*tick) < HOP_TICKS) {
		route->hop = *remembered;
		route->flags = *flags;
		return OUTCOME_SEND;
	}
	struct bpf_fib_lookup question = {
		.family = AF_INET,
		.l4_protocol = packet->protocol,
		.ifindex = ingress_interface(context),
		.ipv4_src = source,
		.ipv4_dst = destination,
	};
	enum outcome outcome = look_up_route(context, route, &question);
	if (outcome == OUTCOME_SEND) {
		*remembered = route->hop;
		*flags = route->flags;
		WRITE_ONCE(*tick, now);
	}
	return outcome;
}

#endif
