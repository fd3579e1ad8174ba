/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The packet core, written once. balancer_xdp.bpf.c and balancer_tc.bpf.c define SHOAL_CONTEXT (the kernel's context
 * type), frame_length() and mend_l4_checksum(), and turn the outcome into their hook's verdict.
 *
 * A packet's path: parse -> may it be ours (filter) -> its connection -> else a new one (listener, scheduler) ->
 * next hop -> state and deadline -> rewrite. Nothing is written before the next hop is known.
 */
#ifndef SHOAL_FLOW_H
#define SHOAL_FLOW_H
#include "forward_dr.h"
#include "forward_nat.h"
#include "ownership.h"
#include "open.h"

static __always_inline int in_filter(const __u64 *words, __be32 address)
{
	__u32 bit = (address * 0x9e3779b1u) >> 16;

	return words[bit >> 6 & (SHOAL_FILTER_WORDS - 1)] >> (bit & 63) & 1;
}

static __always_inline __u32 service_of(const struct destination *destination)
{
	return destination ? destination->service : NO_SERVICE;
}

static __always_inline void count_packet(__u32 number, enum direction direction, __u32 length)
{
	struct destination_counters *counters = bpf_map_lookup_elem(&destination_counters, &number);

	if (!counters)
		return;
	if (direction == FROM_CLIENT) {
		counters->packets_in++;
		counters->bytes_in += length;
	} else {
		counters->packets_out++;
		counters->bytes_out += length;
	}
}

/* Whether a packet that could open a connection should do so although it has one (docs/adr/0003). */
static __always_inline int should_reopen(__u32 word, const struct destination *destination, __u8 protocol)
{
	__u32 state = STATE_OF(word);

	if (protocol == IPPROTO_TCP && is_closing(word))
		return 1;
	return !(destination->flags & SHOAL_AVAILABLE) &&
	       (state == SHOAL_UDP || state == SHOAL_SYN_RECV || state == SHOAL_NONE);
}

/* Send a packet of connection c on its way: route, state, rewrite, counters. */
static __always_inline int forward(SHOAL_CONTEXT *context, struct route *route, struct headers *headers,
				   const struct packet *packet, struct connection4 *c, __u32 word,
				   struct destination *destination, enum direction direction, __u32 now,
				   const struct settings *table)
{
	__u32 number = c->destination;
	int is_direct = direction == FROM_CLIENT && c->method == SHOAL_DR;
	struct rewrite rewrite = direction == FROM_CLIENT ? rewrite_towards_server(c) : rewrite_towards_client(c);
	int outcome;

	if (packet->first_fragment)
		return drop(service_of(destination), SHOAL_FRAGMENT);
	if (packet->ttl <= 1)
		return drop(service_of(destination), SHOAL_TTL_EXCEEDED);
	if (direction == FROM_CLIENT)
		outcome = find_route(context, route, &destination->hop, &destination->hop_tick, &destination->hop_flags,
				     now, packet->source, rewrite.address, packet);
	else
		outcome = find_route(context, route, &c->client_hop, &c->client_hop_tick, &c->client_hop_flags, now,
				     rewrite.address, packet->destination, packet);
	if (outcome == OUTCOME_DROP)
		return drop(service_of(destination), SHOAL_NO_ROUTE);
	if (!can_send(context, route, outcome))
		return OUTCOME_PASS;
	barrier();
	if ((READ_ONCE(c->word) ^ word) & 0xffff0000u)
		return drop(service_of(destination), SHOAL_INTERNAL);	/* it gave way to another meanwhile */
	advance(c, word, packet->event, is_direct ? FROM_CLIENT_ONLY : direction, now, table);
	count_packet(number, direction, packet->length);
	if (is_direct) {
		pass_to_server(headers, &route->hop);
		return outcome;
	}
	rewrite_headers(headers, &rewrite, direction, &route->hop);
	mend_l4_checksum(context, headers, packet, &rewrite);
	return outcome;
}

static __always_inline int from_client(SHOAL_CONTEXT *context, struct route *route, struct headers *headers,
				       const struct packet *packet, __u32 now, const struct settings *table)
{
	struct opening opening = {
		.hash = connection_hash(packet->source, packet->source_port, packet->protocol, table->hash_seed),
		.now = now,
	};
	struct connection4 *c = find_connection(packet, opening.hash, table->n_buckets, FROM_CLIENT);
	struct destination *destination = NULL;
	__u32 word = 0;

	if (c) {
		__u32 number = c->destination;

		word = READ_ONCE(c->word);
		destination = bpf_map_lookup_elem(&destinations, &number);
		if (!destination)
			return drop(NO_SERVICE, SHOAL_INTERNAL);
		if (passed(READ_ONCE(c->expires), now) ||
		    (packet->opens && should_reopen(word, destination, packet->protocol))) {
			kill_connection(c, word, now);
			c = NULL;
		}
	}
	if (!c) {
		int outcome = open_connection(&opening, packet);
		if (outcome != OUTCOME_SEND)
			return outcome;
		c = entry_at(opening.place);
		if (!c)
			return NOT_OURS;
		__u32 number = c->destination;
		word = READ_ONCE(c->word);
		destination = bpf_map_lookup_elem(&destinations, &number);
		if (!destination)
			return drop(NO_SERVICE, SHOAL_INTERNAL);
	}
	return forward(context, route, headers, packet, c, word, destination, FROM_CLIENT, now, table);
}

static __always_inline int from_server(SHOAL_CONTEXT *context, struct route *route, struct headers *headers,
				       const struct packet *packet, __u32 now, const struct settings *table)
{
	struct opening opening = {
		.hash = connection_hash(packet->destination, packet->destination_port, packet->protocol,
					table->hash_seed),
		.now = now,
	};
	struct connection4 *c = find_connection(packet, opening.hash, table->n_buckets, FROM_SERVER);

	if (c && passed(READ_ONCE(c->expires), now)) {
		kill_connection(c, READ_ONCE(c->word), now);
		c = NULL;
	}
	if (!c) {
		/* what is for this router itself, such as an answer to a probe, is not a client's */
		if (!handover_goes_on() || !leads_elsewhere(context, packet))
			return NOT_OURS;
		int outcome = adopt_from_reply(&opening, packet);
		if (outcome != OUTCOME_SEND)
			return outcome;
		c = entry_at(opening.place);
		if (!c)
			return NOT_OURS;
	}
	__u32 number = c->destination;
	struct destination *destination = bpf_map_lookup_elem(&destinations, &number);
	if (!destination)
		return drop(NO_SERVICE, SHOAL_INTERNAL);
	return forward(context, route, headers, packet, c, READ_ONCE(c->word), destination, FROM_SERVER, now, table);
}

static __always_inline int balance(SHOAL_CONTEXT *context, struct route *route)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct ethhdr *eth = data;
	struct packet packet = {};
	struct headers headers;

	if ((void *)(eth + 1) > end)
		return OUTCOME_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_ARP))
		return judge_arp(data, end);
	if (!parse_packet(&packet, &headers, data, end) ||
	    sizeof(struct ethhdr) + packet.length > frame_length(context))
		return OUTCOME_PASS;

	const struct address_filter *addresses = bpf_map_lookup_elem(&filter, &zero);
	const struct settings *table = bpf_map_lookup_elem(&settings, &zero);
	if (!addresses || !table)
		return OUTCOME_PASS;
	__u32 now = now_in_ticks();
	int outcome = NOT_OURS;
	if (in_filter(addresses->virtual_addresses, packet.destination))
		outcome = from_client(context, route, &headers, &packet, now, table);
	if (outcome == NOT_OURS && in_filter(addresses->real_addresses, packet.source))
		outcome = from_server(context, route, &headers, &packet, now, table);
	return outcome == NOT_OURS ? OUTCOME_PASS : outcome;
}

#endif
