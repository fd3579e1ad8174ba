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

static __always_inline int is_extension(__u8 kind)
{
	return kind == IPPROTO_HOPOPTS || kind == IPPROTO_ROUTING || kind == IPPROTO_FRAGMENT || kind == IPPROTO_DSTOPTS;
}

/* What stands in the header itself. */
static __always_inline int read_ip(struct packet *packet, struct headers *headers, struct ipv6hdr *ip)
{
	__u32 length = bpf_ntohs(ip->payload_len) + sizeof(*ip);

	if (length > 0xffff)
		return 0;
	__builtin_memcpy(&packet->source, &ip->saddr, sizeof(packet->source));
	__builtin_memcpy(&packet->destination, &ip->daddr, sizeof(packet->destination));
	packet->length = length;
	packet->ttl = ip->hop_limit;
	headers->ip = ip;
	return 1;
}

/* Packets with extension headers are the open program's (extension.h). */
static __always_inline void *parse_ip(struct packet *packet, struct headers *headers, struct ipv6hdr *ip, void *end)
{
	if ((void *)(ip + 1) > end || ip->version != 6 ||
	    bpf_ntohs(ip->payload_len) < sizeof(struct udphdr) || !read_ip(packet, headers, ip))
		return NULL;
	packet->protocol = ip->nexthdr;
	packet->first_fragment = 0;
	packet->l4_offset = sizeof(struct ethhdr) + sizeof(*ip);
	return ip + 1;
}

#endif
#endif
