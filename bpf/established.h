/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every packet meets first, and nearly every packet is done with: whole packets of live connections. Whatever else
 * may be ours goes on to the open program (opening.h) by tail call; it has a stack of its own and may take its time.
 */
#ifndef SHOAL_ESTABLISHED_H
#define SHOAL_ESTABLISHED_H
#include "forward.h"
#include "ownership.h"
#include "reopen.h"
#include "stateless.h"
#include "uncommon.h"

/* n_bits: of a place in that part of the filter. */
static __always_inline int in_filter(const __u64 *words, __u32 n_bits, const struct ip_address *address)
{
	__u32 bit = (folded(address) * 0x9e3779b1u) >> (32 - n_bits);

	return words[bit >> 6 & ((1u << (n_bits - 6)) - 1)] >> (bit & 63) & 1;
}

/* A service that listens to a firewall mark has no address of its own. */
static __always_inline int is_marked(SHOAL_CONTEXT *context, const struct settings *table)
{
	return table->flags & SHOAL_MARKS && mark_of(context);
}

/* The connection of a packet, and which way the packet goes; NULL when there is none, with what then becomes of it. */
static __always_inline struct connection *find_known(SHOAL_CONTEXT *context, const struct packet *packet,
						     const struct address_filter *addresses,
						     const struct settings *table, enum direction *direction,
						     int *outcome)
{
	__u32 n_buckets = n_buckets_of(table);
	struct connection *c = NULL;

	*outcome = OUTCOME_PASS;
	*direction = FROM_CLIENT;
	if (in_filter(addresses->virtual_addresses, SHOAL_FILTER_BITS, &packet->destination) || is_marked(context, table)) {
		__u32 hash = connection_hash(&packet->source, packet->source_port, packet->protocol, table->hash_seed);

		*outcome = OUTCOME_OPEN;
		c = find_connection(packet, hash, n_buckets, FROM_CLIENT);
	}
	if (!c && in_filter(addresses->real_addresses, SHOAL_REAL_FILTER_BITS, &packet->source)) {
		__u32 hash = connection_hash(&packet->destination, packet->destination_port, packet->protocol,
					     table->hash_seed);

		if (handover_goes_on() || replies_are_loose(now_in_ticks(), table))
			*outcome = OUTCOME_OPEN;
		*direction = FROM_SERVER;
		c = find_connection(packet, hash, n_buckets, FROM_SERVER);
	}
	if (!c && in_filter(addresses->local_addresses, SHOAL_FILTER_BITS, &packet->destination))
		*outcome = OUTCOME_ENDPOINT;
	return c;
}

static __always_inline int balance_known(SHOAL_CONTEXT *context, struct route *route, struct headers *headers,
					 const struct packet *packet, const struct address_filter *addresses,
					 const struct settings *table)
{
	enum direction direction;
	int outcome;
	struct connection *c = find_known(context, packet, addresses, table, &direction, &outcome);

	if (!c)
		return outcome;
	__u32 number = c->destination, word = READ_ONCE(c->word), now = now_by(table);
	struct destination *destination = bpf_map_lookup_elem(&destinations, &number);
	if (!destination)
		return drop(NO_SERVICE, SHOAL_INTERNAL);
	if (passed(READ_ONCE(c->expires), now) ||
	    (direction == FROM_CLIENT && (destination->flags & SHOAL_CUT ||
					  (packet->opens && should_reopen(word, destination)))))
		return OUTCOME_OPEN;
	if (c->method >= SHOAL_FULLNAT)
		return OUTCOME_ENDPOINT;
	return forward(context, route, headers, packet, c, word, destination, direction, now, table);
}

/* For frames of this family. */
static __always_inline int balance_established(SHOAL_CONTEXT *context, struct route *route)
{
	void *data = frame_begin(context), *end = frame_end(context);
	struct packet packet = {};
	struct headers headers = {};
	const struct settings *table = bpf_map_lookup_elem(&settings, &zero);

	if (!table || !is_for_us(context, table))
		return OUTCOME_PASS;
	enum parsed parsed = parse_packet(&packet, &headers, data, end);
	if (parsed == PARSED_NOTHING || sizeof(struct ethhdr) + packet.length > frame_length(context))
		return judge_uncommon(data, end);
	if (parsed != PARSED_WHOLE)
		return OUTCOME_OPEN;
	const struct address_filter *addresses = bpf_map_lookup_elem(&filter, &zero);
	if (!addresses)
		return OUTCOME_PASS;
	return balance_known(context, route, &headers, &packet, addresses, table);
}

#endif
