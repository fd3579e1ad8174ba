/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where a rewritten packet goes: the kernel's routing and neighbour tables, asked once a second for each destination
 * and each client and remembered in between. The kernel stays the authority; nobody has to push changes.
 */
#ifndef SHOAL_NEXT_HOP_H
#define SHOAL_NEXT_HOP_H
#include "connection.h"
#include "verdict.h"

#define HOP_TICKS 60		/* 1 s */

/* What a packet's way out looks like once it is known. */
struct route {
	struct next_hop hop;
	__u16 flags;			/* enum shoal_interface_flag */
	__u16 mtu;
	__u32 gateway_family;		/* whom the neighbour layer must resolve: AF_INET or AF_INET6, which may differ */
	__be32 gateway[4];		/* from the packet's (RFC 5549) */
};

/* Where a way is remembered. */
struct way {
	struct next_hop *hop;
	__u32 *tick;
	__u16 *flags;
	__u16 *mtu;
};

/* A question to the kernel takes 64 bytes, which a stack of 512 for a whole chain of calls has no room for. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpf_fib_lookup);
} route_question SEC(".maps");

/* An empty question about a packet of this family; NULL never happens. */
static __always_inline struct bpf_fib_lookup *new_question(SHOAL_CONTEXT *context, __u8 protocol)
{
	struct bpf_fib_lookup *question = bpf_map_lookup_elem(&route_question, &zero);

	if (!question)
		return NULL;
	__builtin_memset(question, 0, sizeof(*question));
	question->family = AF_FAMILY;
	question->l4_protocol = protocol;
	question->ifindex = ingress_interface(context);
	return question;
}

static __always_inline __u16 interface_flags(__u32 ifindex)
{
	const __u32 *flags = bpf_map_lookup_elem(&interfaces, &ifindex);

	return flags ? *flags : 0;
}

static __always_inline enum outcome look_up_route(SHOAL_CONTEXT *context, struct route *route,
						   struct bpf_fib_lookup *fib)
{
	fib->tot_len = 1;		/* asks for the MTU */
	long answer = bpf_fib_lookup(context, fib, sizeof(*fib), 0);

	if (answer != BPF_FIB_LKUP_RET_SUCCESS && answer != BPF_FIB_LKUP_RET_NO_NEIGH)
		return OUTCOME_DROP;
	route->hop.ifindex = fib->ifindex;
	route->flags = interface_flags(fib->ifindex);
	/* without a neighbour, kernels before 6.3 leave what was asked */
	route->mtu = fib->mtu_result > 1 ? fib->mtu_result : 0xffff;
	route->gateway_family = fib->family;
	__builtin_memcpy(route->gateway, fib->ipv6_dst, sizeof(route->gateway));
	if (answer == BPF_FIB_LKUP_RET_NO_NEIGH)
		return OUTCOME_RESOLVE;
	__builtin_memcpy(route->hop.destination_mac, fib->dmac, 6);
	__builtin_memcpy(route->hop.source_mac, fib->smac, 6);
	return OUTCOME_SEND;
}

/* Whether the kernel would forward the packet, rather than keep it or refuse it. */
static __always_inline int leads_elsewhere(SHOAL_CONTEXT *context, const struct packet *packet, struct route *route)
{
	struct bpf_fib_lookup *question = new_question(context, packet->protocol);

	if (!question)
		return 0;
	ask_for(question, &packet->source, &packet->destination);
	return look_up_route(context, route, question) != OUTCOME_DROP;
}

/* From the place where a way is remembered; 0 when it is not, or too old. */
static __always_inline int recall_route(struct route *route, const struct way *way, __u32 now)
{
	if (!way->hop->ifindex || now - READ_ONCE(*way->tick) >= HOP_TICKS)
		return 0;
	route->hop = *way->hop;
	route->flags = *way->flags;
	route->mtu = *way->mtu;
	return 1;
}

static __always_inline void remember_route(const struct route *route, const struct way *way, __u32 now)
{
	*way->hop = route->hop;
	*way->flags = route->flags;
	*way->mtu = route->mtu;
	WRITE_ONCE(*way->tick, now);
}

/* The way of a packet of these addresses, from the kernel. */
static __always_inline enum outcome ask_route(SHOAL_CONTEXT *context, struct route *route, const struct way *way,
					      __u32 now, const struct ip_address *source,
					      const struct ip_address *destination, __u8 protocol)
{
	struct bpf_fib_lookup *question = new_question(context, protocol);

	if (!question)
		return OUTCOME_DROP;
	ask_for(question, source, destination);
	enum outcome outcome = look_up_route(context, route, question);
	if (outcome == OUTCOME_SEND)
		remember_route(route, way, now);
	return outcome;
}

#endif
