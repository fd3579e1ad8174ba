/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* icmp.h, the part of IPv6. */
#ifndef SHOAL_ICMP6_H
#define SHOAL_ICMP6_H


#define ICMP_HEADERS (sizeof(struct ipv6hdr) + sizeof(struct icmp_error))
#define PACKET_TOO_BIG 2
#define TIME_EXCEEDED 3
#define ICMP_HOP_LIMIT 64

/* sum: of the quote, which follows. */
static __always_inline void put_icmp(struct ipv6hdr *ip, const struct packet *packet, const struct refusal *refusal,
				     __u32 length, __s64 sum, __u32 ifindex)
{
	const struct own_addresses *own = bpf_map_lookup_elem(&own_addresses, &ifindex);
	int is_too_big = refusal->reason == SHOAL_PACKET_TOO_BIG;
	struct icmp_error *icmp = (void *)(ip + 1);
	struct address6 source = own && own->ipv6.word[0] ? own->ipv6 : packet->destination;
	__u16 payload = bpf_htons(sizeof(*icmp) + length);
	__u8 type = is_too_big ? PACKET_TOO_BIG : TIME_EXCEEDED;
	__be32 mtu = is_too_big ? bpf_htonl(refusal->mtu) : 0;

	*(__be32 *)ip = bpf_htonl(6u << 28);
	ip->payload_len = payload;
	ip->nexthdr = IPPROTO_ICMPV6;
	ip->hop_limit = ICMP_HOP_LIMIT;
	__builtin_memcpy(&ip->saddr, &source, sizeof(source));
	__builtin_memcpy(&ip->daddr, &packet->source, sizeof(packet->source));
	sum += address_sum(&source) + address_sum(&packet->source) + payload + bpf_htons(IPPROTO_ICMPV6) + bpf_htons(type << 8) +
	       (mtu & 0xffff) + (mtu >> 16);
	icmp->type = type;
	icmp->code = 0;
	icmp->rest = mtu;
	icmp->checksum = ~csum_fold((sum & 0xffff) + (sum >> 16 & 0xffff));
}

#endif
