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
#include "extension.h"

#if SHOAL_FAMILY == 4

/* What the established program knows nothing of: fragments without ports. */
static __always_inline enum parsed parse_uncommon(SHOAL_CONTEXT *context, struct packet *packet, struct headers *headers)
{
	struct ethhdr *eth = frame_begin(context);
	void *end = frame_end(context);
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

static __always_inline void number_datagram(struct scratch *scratch, const struct headers *headers)
{
	scratch->datagram.identification = headers->ip->id;
	scratch->datagram.protocol = headers->ip->protocol;
}

#else

static __always_inline void number_datagram(struct scratch *scratch, const struct headers *headers)
{
	scratch->datagram.identification = scratch->extensions.identification;
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
	number_datagram(scratch, headers);
	if (parsed == PARSED_FIRST_FRAGMENT)
		return tell_ports(scratch, now);
	return recall_ports(scratch, now) ? OUTCOME_SEND : hold_fragment(context);
}

#endif
