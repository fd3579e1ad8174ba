/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lowering the maximum segment size that a SYN or SYN-ACK announces (RFC 9293 3.7.1), for virtual servers that ask for
 * it: so that segments fit their way even where ICMP errors are lost.
 */
#ifndef SHOAL_MSS_H
#define SHOAL_MSS_H
#include "connection.h"

#define MOST_OPTIONS 40
#define OPTION_END 0
#define OPTION_NOTHING 1
#define OPTION_MSS 2

/* A walk through the options of a TCP header. */
struct option_walk {
	__u8 options[64];
	__u32 length;
	__u32 at;
	__u32 mss;			/* where the value of option MSS is; 0: it has not been found */
};

/* For bpf_loop(): one option. 1: this was the last. */
static long walk_on(__u64 turn, struct option_walk *walk)
{
	__u32 at = walk->at;

	if (at + 3 >= walk->length)
		return 1;
	__u8 kind = walk->options[at & 63], size = walk->options[(at + 1) & 63];
	if (kind == OPTION_NOTHING) {
		walk->at = at + 1;
		return 0;
	}
	if (kind == OPTION_MSS && size == 4)
		walk->mss = at + 2;
	if (kind == OPTION_MSS || kind == OPTION_END || size < 2)
		return 1;
	walk->at = at + size;
	return 0;
}

/* Finds the option MSS of the packet's TCP header. */
static __always_inline int find_mss(SHOAL_CONTEXT *context, const struct packet *packet, struct option_walk *walk)
{
	__u32 length = packet->l4_header - sizeof(struct tcphdr);

	if (packet->l4_header <= sizeof(struct tcphdr) || length > MOST_OPTIONS)
		return 0;
	walk->length = length;
	/* 1 to 64, in a form that the verifier of Linux 6.1 understands */
	length--;
	barrier_var(length);
	length = (length & 63) + 1;
	if (load_bytes(context, packet->l4_offset + sizeof(struct tcphdr), walk->options, length))
		return 0;
	bpf_loop(MOST_OPTIONS, walk_on, walk, 0);
	return walk->mss != 0;
}

static __always_inline __u32 clamp_of(__u32 number, __u32 mtu)
{
	const struct service *service = bpf_map_lookup_elem(&services, &number);
	__u32 config_number = service ? service->config : 0;
	const struct service_config *config = bpf_map_lookup_elem(&service_configs, &config_number);

	if (!config || config->mss_clamp != SHOAL_MSS_THAT_FITS)
		return config ? config->mss_clamp : 0;
	return mtu - sizeof(struct ip_header) - sizeof(struct tcphdr);
}

/* mtu: of the narrower way of the two that the connection's packets take. Fails in silence: then nothing is changed. */
__noinline int clamp_mss(SHOAL_CONTEXT *context, const struct packet *packet, __u32 service, __u32 mtu)
{
	if (!packet)
		return 0;
	__u32 limit = clamp_of(service, mtu);
	if (!limit || limit > 0xffff || packet->protocol != IPPROTO_TCP)
		return 0;
	struct option_walk walk = {};
	if (!find_mss(context, packet, &walk))
		return 0;
	__be16 announced = walk.options[walk.mss & 63] | walk.options[(walk.mss + 1) & 63] << 8;
	if (bpf_ntohs(announced) <= limit)
		return 0;

	__be16 value = bpf_htons(limit);
	__u32 check = packet->l4_offset + offsetof(struct tcphdr, check);
	/* at an odd place its bytes lie in two words of the checksum */
	int is_odd = walk.mss & 1;
	__u16 from = is_odd ? __builtin_bswap16(announced) : announced;
	__u16 to = is_odd ? __builtin_bswap16(value) : value;
	if (store_bytes(context, packet->l4_offset + sizeof(struct tcphdr) + walk.mss, &value, sizeof(value)))
		return 0;
	return mend_tcp_checksum(context, check, from, to);
}

#endif
