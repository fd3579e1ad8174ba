/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments: the first one has the ports and is a packet like any other; the later ones are told its ports, and go
 * where it went. Those that come before it wait for it (held.h).
 * Nothing is reassembled: each fragment travels as it came. A checksum that the first one carries covers the whole
 * datagram, and what a rewrite adds to it does not depend on the rest.
 */
#ifndef SHOAL_FRAGMENT_H
#define SHOAL_FRAGMENT_H
#include "datagram.h"

#if SHOAL_FAMILY == 4

static __always_inline enum parsed parse_later_fragment(struct packet *packet, struct headers *headers, void *data,
							void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != ETHERTYPE || ip->version != 4 || ip->ihl < 5 ||
	    !(ip->frag_off & IP_OFFSET_MASK) || !is_balanced(ip->protocol))
		return PARSED_NOTHING;
	headers->eth = eth;
	headers->ip = ip;
	packet->source.word = ip->saddr;
	packet->destination.word = ip->daddr;
	packet->length = bpf_ntohs(ip->tot_len);
	packet->ttl = ip->ttl;
	packet->first_fragment = 0;
	packet->event = TCP_NO_EVENT;
	packet->opens = 0;
	return packet->length > ip->ihl * 4 ? PARSED_LATER_FRAGMENT : PARSED_NOTHING;
}

static __always_inline int name_datagram(struct fragment_key *key, const struct headers *headers,
					 const struct packet *packet, const void *end)
{
	key->identification = headers->ip->id;
	key->protocol = headers->ip->protocol;
	return 1;
}

#else

/* The fragment header, where it is the only extension header. */
static __always_inline const struct fragment_header *fragment_of(const struct ipv6hdr *ip, const void *end)
{
	const struct fragment_header *fragment = (const void *)(ip + 1);

	return (const void *)(fragment + 1) <= end && ip->nexthdr == IPPROTO_FRAGMENT ? fragment : NULL;
}

static __always_inline enum parsed parse_later_fragment(struct packet *packet, struct headers *headers, void *data,
							void *end)
{
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != ETHERTYPE || ip->version != 6)
		return PARSED_NOTHING;
	const struct fragment_header *fragment = fragment_of(ip, end);
	__u32 length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (!fragment || !(fragment->place & IP6_OFFSET_MASK) || !is_balanced(fragment->next_header) ||
	    length <= sizeof(*ip) + sizeof(*fragment) || length > 0xffff)
		return PARSED_NOTHING;
	headers->eth = eth;
	headers->ip = ip;
	__builtin_memcpy(&packet->source, &ip->saddr, sizeof(packet->source));
	__builtin_memcpy(&packet->destination, &ip->daddr, sizeof(packet->destination));
	packet->length = length;
	packet->ttl = ip->hop_limit;
	packet->first_fragment = 0;
	packet->event = TCP_NO_EVENT;
	packet->opens = 0;
	return PARSED_LATER_FRAGMENT;
}

static __always_inline int name_datagram(struct fragment_key *key, const struct headers *headers,
					 const struct packet *packet, const void *end)
{
	const struct fragment_header *fragment = fragment_of(headers->ip, end);

	if (!fragment)
		return 0;
	key->identification = fragment->identification;
	key->protocol = 0;
	return 1;
}

#endif

/*
 * First the ports, then the look for those that wait: hold_fragment() does the two in the other order, so that one of
 * two CPUs always sees what the other has done.
 */
static __always_inline int tell_ports(struct scratch *scratch, __u32 now)
{
	const struct packet *packet = &scratch->packet;
	struct fragment_ports ports = {
		.source = packet->source_port,
		.destination = packet->destination_port,
		.protocol = packet->protocol,
		.tick = now,
	};

	bpf_map_update_elem(&fragments, &scratch->datagram, &ports, BPF_ANY);
	return bpf_map_lookup_elem(&held_chains, &scratch->datagram) ? release_first() : OUTCOME_SEND;
}

/* OUTCOME_SEND: go on with this fragment. */
static __always_inline int put_in_order(SHOAL_CONTEXT *context, struct scratch *scratch, const struct headers *headers,
					enum parsed parsed, __u32 now)
{
	const struct address_filter *addresses = bpf_map_lookup_elem(&filter, &zero);
	const struct packet *packet = &scratch->packet;

	if (!addresses || !(in_filter(addresses->virtual_addresses, SHOAL_FILTER_BITS, &packet->destination) ||
			    in_filter(addresses->real_addresses, SHOAL_REAL_FILTER_BITS, &packet->source) ||
			    in_filter(addresses->local_addresses, SHOAL_FILTER_BITS, &packet->destination)))
		return OUTCOME_PASS;
	scratch->datagram = (struct fragment_key){
		.source = mapped(&packet->source),
		.destination = mapped(&packet->destination),
	};
	if (!name_datagram(&scratch->datagram, headers, packet, frame_end(context)))
		return OUTCOME_PASS;
	if (parsed == PARSED_FIRST_FRAGMENT)
		return tell_ports(scratch, now);
	return recall_ports(scratch, now) ? OUTCOME_SEND : hold_fragment(context);
}

#endif
