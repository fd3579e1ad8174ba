/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A TCP reset in answer to a packet whose connection was ended here (RFC 9293 3.10.7.1): the packet turns round, and
 * loses its TCP options and its data. What is in front of its TCP header stays, so that offsets do too.
 */
#ifndef SHOAL_RESET_H
#define SHOAL_RESET_H
#include <linux/tcp.h>
#include "pseudo_header.h"

#define RESET_TTL 64

/* What the answer must say, from the packet's own header. */
static __always_inline struct tcphdr reset_to(const struct tcphdr *tcp, const struct packet *packet)
{
	__u32 data = l4_length(packet) - packet->l4_header + tcp->syn + tcp->fin;
	struct tcphdr reset = {
		.source = tcp->dest,
		.dest = tcp->source,
		.doff = sizeof(reset) / 4,
		.rst = 1,
	};

	if (tcp->ack) {
		reset.seq = tcp->ack_seq;
	} else {
		reset.ack = 1;
		reset.ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + data);
	}
	return reset;
}

#if SHOAL_FAMILY == 4

/* A TTL and the length of what follows change; two addresses that change places add up to the same. */
static __always_inline void turn_round(struct iphdr *ip, const struct packet *packet)
{
	__be16 length = bpf_htons(packet->length), ttl = bpf_htons(RESET_TTL << 8 | ip->protocol);
	__u32 delta = csum_delta16(ip->tot_len, length);

	delta += csum_delta16(bpf_htons(ip->ttl << 8 | ip->protocol), ttl);
	ip->check = csum_apply(ip->check, delta);
	ip->tot_len = length;
	ip->ttl = RESET_TTL;
	ip->saddr = packet->destination.word;
	ip->daddr = packet->source.word;
}

#else

static __always_inline void turn_round(struct ipv6hdr *ip, const struct packet *packet)
{
	ip->payload_len = bpf_htons(packet->length - sizeof(*ip));
	ip->hop_limit = RESET_TTL;
	__builtin_memcpy(&ip->saddr, &packet->destination, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &packet->source, sizeof(ip->daddr));
}

#endif

/* The packet becomes the reset; only its frame's addresses are left to be turned round. */
static __always_inline int become_reset(SHOAL_CONTEXT *context, struct packet *packet, const struct headers *headers)
{
	const struct tcphdr *tcp = (const struct tcphdr *)headers->ports;
	void *end = frame_end(context);

	if (packet->protocol != IPPROTO_TCP || (void *)(tcp + 1) > end)
		return 0;
	struct tcphdr reset = reset_to(tcp, packet);
	int unfinished = is_unfinished(context, packet, tcp->check);
	__u32 offset = packet->l4_offset;

	packet->length = offset - sizeof(struct ethhdr) + sizeof(reset);
	if (cut_frame(context, offset + sizeof(reset)))
		return 0;
	__u32 sum = pseudo_header_sum(packet);	/* of the addresses in either order */
	reset.check = sum;
	if (!unfinished) {
		reset.check = 0;
		__s64 all = bpf_csum_diff(0, 0, (__be32 *)&reset, sizeof(reset), sum);

		reset.check = ~csum_fold(csum_fold(all));
	}
	void *begin = frame_begin(context);
	struct ip_header *ip = begin + sizeof(struct ethhdr);
	struct tcphdr *place = begin + (offset & L4_MASK);

	end = frame_end(context);
	if ((void *)(ip + 1) > end || (void *)(place + 1) > end)
		return 0;
	turn_round(ip, packet);
	*place = reset;
	return 1;
}

#endif
