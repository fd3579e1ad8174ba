/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * IPv6 extension headers (RFC 8200 4): which transport header is behind them, and where. The established program knows
 * none of them; packets that have any are the open program's.
 *
 * Hop-by-hop options, destination options, routing headers and that of a fragment are skipped, as ipv6_find_hdr() does
 * for IPVS (net/ipv6/exthdrs_core.c). Nothing in them is acted upon: a router need not look at options (RFC 8200 4.3),
 * and those for the destination are the real server's to judge. What else may stand there ends the walk as a transport
 * header would, and is the host's: an authentication header covers the addresses that nat changes (RFC 4302 3.3.3).
 */
#ifndef SHOAL_EXTENSION_H
#define SHOAL_EXTENSION_H
#include "scratch.h"

#if SHOAL_FAMILY == 6

#define MOST_EXTENSIONS 8
#define MOST_EXTENSION_BYTES 256
/* Of the frame's begin: how far the transport header may be, and that of a packet in an error. */
#define DEEPEST_EXTENDED (sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + MOST_EXTENSION_BYTES)
#define DEEPEST_QUOTED (DEEPEST_EXTENDED + 8 + sizeof(struct ipv6hdr) + MOST_EXTENSION_BYTES)
#define IP6_MORE_FRAGMENTS bpf_htons(0x0001)
#define IP6_OFFSET_MASK bpf_htons(0xfff8)

/* The least of any of them. */
struct extension {
	__u8 next_header;
	__u8 length;			/* beyond these 8 bytes, in units of 8 bytes; 0 in the header of a fragment */
	union {
		__be16 place;		/* of a fragment: offset and flags (RFC 8200 4.5) */
		struct {
			__u8 routing_type;
			__u8 segments_left;	/* RFC 8200 4.4 */
		};
	};
	__be32 identification;		/* of a fragment */
};

/*
 * Whether a header may stand there.
 *
 * With segments left the destination is not the packet's last one, and the transport checksum covers another
 * (RFC 8200 8.1): to rewrite the one for the other would break it, and the next node would send it past the real server.
 * The host treats such a packet by its own rules (RFC 8200 4.4; IPVS takes it for one to the virtual address).
 */
static __always_inline int may_stand(const struct extension *header, __u8 kind, int is_first, int was_fragment)
{
	switch (kind) {
	case IPPROTO_HOPOPTS:
		return is_first;	/* RFC 8200 4.3 */
	case IPPROTO_ROUTING:
		return !header->segments_left;
	case IPPROTO_FRAGMENT:
		return !was_fragment;	/* one in another is the receiver's to unpack */
	default:
		return 1;
	}
}

static __always_inline void note_fragment(struct extensions *found, const struct extension *header)
{
	found->identification = header->identification;
	if (header->place & IP6_OFFSET_MASK)
		found->fragment = LATER_FRAGMENT;
	else
		found->fragment = header->place & IP6_MORE_FRAGMENTS ? FIRST_FRAGMENT : WHOLE_FRAGMENT;
}

/*
 * From the header of a kind at an offset from the frame's begin, up to the transport header, or to the content of a later
 * fragment; scratch tells what was found. 0: it is not in the frame, too far away, or behind what must not be skipped.
 */
__noinline int walk_extensions(SHOAL_CONTEXT *context, __u32 begin, __u32 kind)
{
	struct scratch *scratch = get_scratch();
	struct extension header;
	__u32 at = begin;

	if (!scratch)
		return 0;
	struct extensions *found = &scratch->extensions;
	found->fragment = NO_FRAGMENT;
	for (int i = 0; i <= MOST_EXTENSIONS; i++) {
		if (!is_extension(kind) || found->fragment == LATER_FRAGMENT) {
			found->protocol = kind;
			found->transport = at;
			return at - begin <= MOST_EXTENSION_BYTES;
		}
		if (load_bytes(context, at, &header, sizeof(header)) ||
		    !may_stand(&header, kind, !i, found->fragment != NO_FRAGMENT))
			return 0;
		at += sizeof(header);
		if (kind == IPPROTO_FRAGMENT)
			note_fragment(found, &header);
		else
			at += header.length * 8;
		kind = header.next_header;
	}
	return 0;
}

/* What the established program knows nothing of. Its frame may begin anew. */
static __always_inline enum parsed parse_uncommon(SHOAL_CONTEXT *context, struct packet *packet, struct headers *headers)
{
	const struct scratch *scratch = get_scratch();

	gather(context, DEEPEST_EXTENDED + sizeof(struct tcphdr));
	struct ethhdr *eth = frame_begin(context);
	void *end = frame_end(context);
	struct ipv6hdr *ip = (void *)(eth + 1);
	if (!scratch || (void *)(ip + 1) > end || ethertype_of(eth) != ETHERTYPE || ip->version != 6 ||
	    !read_ip(packet, headers, ip) ||
	    !walk_extensions(context, sizeof(*eth) + sizeof(*ip), ip->nexthdr))
		return PARSED_NOTHING;

	const struct extensions *found = &scratch->extensions;
	__u32 header_length = found->transport - sizeof(*eth);
	headers->eth = eth;
	packet->protocol = found->protocol;
	packet->l4_offset = found->transport;
	packet->first_fragment = found->fragment == FIRST_FRAGMENT;
	if (found->fragment == LATER_FRAGMENT) {
		packet->event = TCP_NO_EVENT;
		packet->opens = 0;
		/* its first tells what is behind more of them */
		int may_be_ours = is_balanced(packet->protocol) || is_extension(packet->protocol);
		return may_be_ours && packet->length > header_length ? PARSED_LATER_FRAGMENT : PARSED_NOTHING;
	}
	if (packet->length < header_length + sizeof(struct udphdr))
		return PARSED_NOTHING;
	if (packet->protocol == IPPROTO_ICMPV6)
		return packet->first_fragment ? PARSED_NOTHING : PARSED_MESSAGE;
	enum parsed parsed = parse_transport(packet, headers, (void *)eth + (packet->l4_offset & L4_MASK), end, 1);
	return parsed == PARSED_WHOLE ? PARSED_EXTENDED : parsed;
}

#endif
#endif
