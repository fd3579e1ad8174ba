/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* parse.h, the family's part: parse_ip() finds the transport header, or returns NULL for what is not ours. */
#ifndef SHOAL_PARSE_IP_H
#define SHOAL_PARSE_IP_H

#if SHOAL_FAMILY == 4

#define IP_MORE_FRAGMENTS bpf_htons(0x2000)
#define IP_OFFSET_MASK bpf_htons(0x1fff)

static __always_inline void *parse_ip(struct packet *packet, struct headers *headers, struct iphdr *ip, void *end)
{
	if ((void *)(ip + 1) > end || ip->version != 4)
		return NULL;

	__u32 header_length = ip->ihl * 4;
	__u32 length = bpf_ntohs(ip->tot_len);
	if (header_length < sizeof(*ip) || length < header_length + sizeof(struct udphdr) ||
	    (ip->frag_off & IP_OFFSET_MASK))
		return NULL;

	packet->source.word = ip->saddr;
	packet->destination.word = ip->daddr;
	packet->length = length;
	packet->protocol = ip->protocol;
	packet->ttl = ip->ttl;
	packet->first_fragment = !!(ip->frag_off & IP_MORE_FRAGMENTS);
	packet->l4_offset = sizeof(struct ethhdr) + header_length;
	headers->ip = ip;
	return (void *)ip + header_length;
}

#else

#define IP6_MORE_FRAGMENTS bpf_htons(0x0001)
#define IP6_OFFSET_MASK bpf_htons(0xfff8)

/* RFC 8200 4.5. */
struct fragment_header {
	__u8 next_header;
	__u8 reserved;
	__be16 place;			/* offset and flags */
	__be32 identification;
};

/* Of the extension headers only that of a fragment is known, as the last one; packets with others are the host's. */
static __always_inline void *parse_ip(struct packet *packet, struct headers *headers, struct ipv6hdr *ip, void *end)
{
	if ((void *)(ip + 1) > end || ip->version != 6)
		return NULL;

	const struct fragment_header *fragment = (void *)(ip + 1);
	__u32 header_length = sizeof(*ip);
	__u32 length = bpf_ntohs(ip->payload_len) + sizeof(*ip);

	packet->protocol = ip->nexthdr;
	packet->first_fragment = 0;
	if (ip->nexthdr == IPPROTO_FRAGMENT) {
		if ((void *)(fragment + 1) > end || (fragment->place & IP6_OFFSET_MASK))
			return NULL;
		packet->protocol = fragment->next_header;
		packet->first_fragment = !!(fragment->place & IP6_MORE_FRAGMENTS);
		header_length += sizeof(*fragment);
	}
	if (length < header_length + sizeof(struct udphdr) || length > 0xffff)
		return NULL;

	__builtin_memcpy(&packet->source, &ip->saddr, sizeof(packet->source));
	__builtin_memcpy(&packet->destination, &ip->daddr, sizeof(packet->destination));
	packet->length = length;
	packet->ttl = ip->hop_limit;
	packet->l4_offset = sizeof(struct ethhdr) + header_length;
	headers->ip = ip;
	return (void *)ip + header_length;
}

#endif
#endif
