/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Forwarding method tunnel: the packet travels as the client sent it inside an outer IPv4 or IPv6 header to the real
 * server, which holds the virtual address and answers the client past this router.
 *
 * Outer headers: nothing more (RFC 2003, RFC 2473, RFC 4213), GRE without options (RFC 2784), or UDP and Generic UDP
 * Encapsulation variant 0 (draft-ietf-intarea-gue) with a source port by flow, for the hashes on the way (RFC 7510 has
 * the reason). UDP checksum 0 is for tunnels (RFC 6935). Traffic class and ECN are copied (RFC 6040 4.1).
 */
#ifndef SHOAL_FORWARD_TUNNEL_H
#define SHOAL_FORWARD_TUNNEL_H
#include <linux/ip.h>
#include <linux/ipv6.h>
#include "forward_nat.h"

#define OUTER_TTL 64
#define DONT_FRAGMENT_WORD bpf_htonl(0x4000)
#define EPHEMERAL_PORTS 0xc000
#define GUE_HEADER 4

/* What the outer header takes from the packet inside. */
struct inside {
	__u16 length;
	__u8 traffic_class;
	const struct packet *packet;
};

/* By flow. */
static __always_inline __u32 entropy_of(const struct packet *packet)
{
	__u32 ports = (__u32)packet->source_port << 16 | packet->destination_port;
	__u32 key = folded(&packet->source) ^ folded(&packet->destination) ^ ports;

	return (key * 0x9e3779b97f4a7c15ull) >> 44;
}

/* A destination's encapsulation, its form in one piece. 0: it has none, or it is not known where from. */
static __always_inline int take_encapsulation(struct encapsulation *e, __u32 number)
{
	const struct encapsulation *found = bpf_map_lookup_elem(&encapsulations, &number);

	if (!found)
		return 0;
	e->source = found->source;
	*(__u64 *)&e->port = READ_ONCE(*(const __u64 *)&found->port);
	return e->overhead && (e->source.word[0] | e->source.word[1] | e->source.word[2] | e->source.word[3]);
}

static __always_inline __u8 outer_protocol(const struct encapsulation *e)
{
	switch (e->kind) {
	case SHOAL_GRE:
		return IPPROTO_GRE;
	case SHOAL_GUE:
		return IPPROTO_UDP;
	default:
		return PROTOCOL_INSIDE;
	}
}

/* What stands between the outer IP header and the packet. */
static __always_inline void put_shim(void *shim, const struct encapsulation *e, const struct inside *inside)
{
	if (e->kind == SHOAL_GRE) {
		__be16 *gre = shim;

		gre[0] = 0;
		gre[1] = ETHERTYPE;
	} else if (e->kind == SHOAL_GUE) {
		struct udphdr *udp = shim;
		__u8 *gue = (__u8 *)(udp + 1);

		udp->source = bpf_htons(EPHEMERAL_PORTS | (entropy_of(inside->packet) & 0x3fff));
		udp->dest = e->port;
		udp->len = bpf_htons(inside->length + sizeof(*udp) + GUE_HEADER);
		udp->check = 0;
		gue[0] = 0;
		gue[1] = PROTOCOL_INSIDE;
		gue[2] = 0;
		gue[3] = 0;
	}
}

/* In words, which are summed up on the way: a header made field by field would have to be read back for that. */
static __always_inline void put_outer4(struct iphdr *ip, const struct encapsulation *e,
				       const struct destination *to, const struct inside *inside)
{
	__be32 *words = (__be32 *)ip;
	__be32 first = bpf_htonl(0x45000000u | (__u32)inside->traffic_class << 16 | (inside->length + e->overhead));
	__be32 second = DONT_FRAGMENT_WORD;	/* so the identification may be anything (RFC 6864 4.1) */
	__be32 third = bpf_htonl(OUTER_TTL << 24 | (__u32)outer_protocol(e) << 16);
	__be32 source = e->source.word[3], destination = to->address.word[3];
	__u64 sum = (__u64)first + second + third + source + destination;

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	words[0] = first;
	words[1] = second;
	words[2] = third;
	ip->check = ~csum_fold(sum);
	words[3] = source;
	words[4] = destination;
	put_shim(ip + 1, e, inside);
}

static __always_inline void put_outer6(struct ipv6hdr *ip, const struct encapsulation *e,
				       const struct destination *to, const struct inside *inside)
{
	/* version, traffic class, and a flow label by flow (RFC 6438) */
	*(__be32 *)ip = bpf_htonl(6u << 28 | (__u32)inside->traffic_class << 20 | (entropy_of(inside->packet) & 0xfffff));
	ip->payload_len = bpf_htons(inside->length + e->overhead - sizeof(*ip));
	ip->nexthdr = outer_protocol(e);
	ip->hop_limit = OUTER_TTL;
	__builtin_memcpy(&ip->saddr, &e->source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &to->address, sizeof(ip->daddr));
	put_shim(ip + 1, e, inside);
}

/* The frame is as long as its packet was, and room more: MACs and outer header fit whatever was inside. */
static __always_inline int put_outer(SHOAL_CONTEXT *context, const struct encapsulation *e, const struct destination *to,
				     const struct next_hop *hop, const struct inside *inside)
{
	struct ethhdr *eth = frame_begin(context);
	void *end = frame_end(context);

	if ((void *)(eth + 1) + sizeof(struct iphdr) + sizeof(struct udphdr) + GUE_HEADER > end)
		return 0;
	set_macs(eth, hop);
	if (e->family == 4) {
		set_ethertype(eth, bpf_htons(ETH_P_IP));
		put_outer4((void *)(eth + 1), e, to, inside);
		return 1;
	}
	if ((void *)(eth + 1) + sizeof(struct ipv6hdr) + sizeof(struct udphdr) + GUE_HEADER > end)
		return 0;
	set_ethertype(eth, bpf_htons(ETH_P_IPV6));
	put_outer6((void *)(eth + 1), e, to, inside);
	return 1;
}

/* A call of its own where the stack is short: IPv6 addresses take their part of it. */
#if SHOAL_FAMILY == 4
#define INLINE_WITH_IPV4 __always_inline
#else
#define INLINE_WITH_IPV4 __noinline
#endif

/* Put the frame's packet into one to destination `number`. 0: it cannot be done, and the packet is lost. */
static INLINE_WITH_IPV4 int encapsulate(SHOAL_CONTEXT *context, const struct packet *packet, const struct next_hop *hop,
				       const struct destination *to, __u32 number)
{
	struct ethhdr *eth = frame_begin(context);
	struct ip_header *ip = (void *)(eth + 1);
	struct encapsulation e;

	if (!take_encapsulation(&e, number) || (void *)(ip + 1) > frame_end(context))
		return 0;
	struct inside inside = {
		.length = packet->length,
		.traffic_class = traffic_class(ip),
		.packet = packet,
	};
	age(ip, 0);
	return make_room(context, &e) && put_outer(context, &e, to, hop, &inside);
}

/* The way to destination `number`, which is the outer header's; what it can carry is reckoned without that. */
__noinline int find_tunnel(SHOAL_CONTEXT *context, struct route *route, __u32 number, __u32 now)
{
	struct destination *to = bpf_map_lookup_elem(&destinations, &number);
	struct encapsulation e;

	if (!route || !to || !take_encapsulation(&e, number))
		return OUTCOME_DROP;
	struct bpf_fib_lookup question = {
		.family = e.family == 4 ? AF_IPV4 : AF_IPV6,
		.l4_protocol = outer_protocol(&e),
		.ifindex = ingress_interface(context),
	};
	if (e.family == 4) {
		question.ipv4_src = e.source.word[3];
		question.ipv4_dst = to->address.word[3];
	} else {
		__builtin_memcpy(question.ipv6_src, &e.source, sizeof(question.ipv6_src));
		__builtin_memcpy(question.ipv6_dst, &to->address, sizeof(question.ipv6_dst));
	}
	enum outcome outcome = look_up_route(context, route, &question);
	if (outcome == OUTCOME_DROP)
		return outcome;
	route->mtu = route->mtu > e.overhead ? route->mtu - e.overhead : 0;
	if (outcome == OUTCOME_SEND) {
		struct way way = { &to->hop, &to->hop_tick, &to->hop_flags, &to->hop_mtu };

		remember_route(route, &way, now);
	}
	return outcome;
}

#endif
