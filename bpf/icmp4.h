/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* icmp.h, the part of IPv4. */
#ifndef SHOAL_ICMP4_H
#define SHOAL_ICMP4_H


#define ICMP_HEADERS (sizeof(struct iphdr) + sizeof(struct icmp_error))
#define DESTINATION_UNREACHABLE 3
#define FRAGMENTATION_NEEDED 4
#define TIME_EXCEEDED 11
#define ICMP_TTL 64
#define INTERNETWORK_CONTROL 0xc0	/* precedence of an error (RFC 1812 4.3.2.5) */

static __always_inline __u32 words_sum(const void *begin, __u32 length)
{
	const __u16 *words = begin;
	__u32 sum = 0;

	for (__u32 i = 0; i < length / sizeof(*words); i++)
		sum += words[i];
	return sum;
}

/* sum: of the quote, which follows. */
static __always_inline void put_icmp(struct iphdr *place, const struct packet *packet, const struct refusal *refusal,
				     __u32 length, __s64 sum, __u32 ifindex)
{
	const struct own_addresses *own = bpf_map_lookup_elem(&own_addresses, &ifindex);
	int is_too_big = refusal->reason == SHOAL_PACKET_TOO_BIG;
	struct icmp_error icmp = {
		.type = is_too_big ? DESTINATION_UNREACHABLE : TIME_EXCEEDED,
		.code = is_too_big ? FRAGMENTATION_NEEDED : 0,
		.rest = is_too_big ? bpf_htonl(refusal->mtu) : 0,	/* 16 unused bits before it */
	};
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tos = INTERNETWORK_CONTROL,
		.tot_len = bpf_htons(ICMP_HEADERS + length),
		.ttl = ICMP_TTL,
		.protocol = IPPROTO_ICMP,
		.saddr = own && own->ipv4.word ? own->ipv4.word : packet->destination.word,
		.daddr = packet->source.word,
	};

	ip.check = ~csum_fold(words_sum(&ip, sizeof(ip)));
	sum += words_sum(&icmp, sizeof(icmp));
	icmp.checksum = ~csum_fold((sum & 0xffff) + (sum >> 16 & 0xffff));
	*place = ip;
	*(struct icmp_error *)(place + 1) = icmp;
}

#endif
