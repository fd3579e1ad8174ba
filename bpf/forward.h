/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sending a packet of a known connection on its way: next hop, state and deadline, counters, rewrite. Nothing is
 * written before the next hop is known.
 */
#ifndef SHOAL_FORWARD_H
#define SHOAL_FORWARD_H
#include "forward_dr.h"
#include "forward_nat.h"
#include "forward_tunnel.h"
#include "mss.h"
#include "refuse.h"
#include "quote.h"

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

static __always_inline enum outcome find_way(SHOAL_CONTEXT *context, struct route *route, struct connection *c,
					      struct destination *destination, const struct rewrite *rewrite,
					      const struct packet *packet, enum direction direction, __u32 now)
{
	if (direction == FROM_CLIENT) {
		struct way way = { &destination->hop, &destination->hop_tick, &destination->hop_flags,
				   &destination->hop_mtu };

		if (recall_route(route, &way, now))
			return OUTCOME_SEND;
		if (c->method == SHOAL_TUNNEL)
			return find_tunnel(context, route, c->destination, now);
		return ask_route(context, route, &way, now, rewrite->is_full ? &rewrite->other_address : &packet->source,
				 &rewrite->address, packet->protocol);
	}
	struct way way = { &c->client_hop, &c->client_hop_tick, &c->client_hop_flags, &c->client_hop_mtu };

	if (recall_route(route, &way, now))
		return OUTCOME_SEND;
	return ask_route(context, route, &way, now, &rewrite->address, &c->client, packet->protocol);
}

/* A SYN announces no larger segments than the narrower of the connection's ways carries, as far as they are known. */
static __always_inline void clamp_syn(SHOAL_CONTEXT *context, const struct route *route, const struct packet *packet,
				      const struct connection *c, const struct destination *destination,
				      enum direction direction)
{
	const struct next_hop *back = direction == FROM_CLIENT ? &c->client_hop : &destination->hop;
	__u32 mtu = direction == FROM_CLIENT ? c->client_hop_mtu : destination->hop_mtu;

	if (packet->event == TCP_SYN)
		clamp_mss(context, packet, destination->service, back->ifindex && mtu < route->mtu ? mtu : route->mtu);
}

/* Nobody is told about an ICMP error, or about a fragment that is not the first (RFC 1122 3.2.2). */
static __always_inline int turn_down(const struct headers *headers, __u32 service, __u32 reason, __u32 mtu)
{
	return headers->ports ? refuse(service, reason, mtu) : (int)drop(service, reason);
}

static __always_inline void change_addresses(SHOAL_CONTEXT *context, const struct route *route, struct headers *headers,
					     const struct packet *packet, const struct rewrite *rewrite,
					     enum direction direction, const struct quote *quote)
{
	if (quote) {
		rewrite_error(headers, quote, packet, rewrite, direction, &route->hop);
		return;
	}
	rewrite_headers(headers, rewrite, direction, &route->hop);
	if (headers->check)
		mend_l4_checksum(context, headers, packet, rewrite);
}

static __always_inline int send_inside(SHOAL_CONTEXT *context, const struct route *route, const struct packet *packet,
				       const struct destination *destination, __u32 number, int outcome)
{
	if (encapsulate(context, packet, &route->hop, destination, number))
		return outcome;
	return drop(service_of(destination), SHOAL_INTERNAL);
}

/* quote: of an ICMP error; NULL for any other packet. */
static __always_inline int forward_with_quote(SHOAL_CONTEXT *context, struct route *route, struct headers *headers,
					      const struct packet *packet, struct connection *c, __u32 word,
					      struct destination *destination, enum direction direction, __u32 now,
					      const struct settings *table, const struct quote *quote)
{
	__u32 number = c->destination;
	int is_whole = direction == FROM_CLIENT && (c->method == SHOAL_DR || c->method == SHOAL_TUNNEL);
	struct rewrite rewrite = direction == FROM_CLIENT ? rewrite_towards_server(c, destination) :
							    rewrite_towards_client(c);

	if (packet->ttl <= 1)
		return turn_down(headers, service_of(destination), SHOAL_TTL_EXCEEDED, 0);
	int outcome = find_way(context, route, c, destination, &rewrite, packet, direction, now);
	if (outcome == OUTCOME_DROP)
		return drop(service_of(destination), SHOAL_NO_ROUTE);
	if (!can_send(context, route, outcome))
		return OUTCOME_PASS;
	if (packet->length > route->mtu && !segments_fit(context, packet, route->mtu))
		return turn_down(headers, service_of(destination), SHOAL_PACKET_TOO_BIG, route->mtu);
	barrier();
	if ((READ_ONCE(c->word) ^ word) & 0xffff0000u)
		return drop(service_of(destination), SHOAL_INTERNAL);	/* it gave way to another meanwhile */
	if (!quote)
		advance(c, word, packet->event, is_whole ? FROM_CLIENT_ONLY : direction, now, table);
	count_packet(number, direction, packet->length);
	if (is_whole && c->method == SHOAL_TUNNEL) {
		if (!quote)
			clamp_syn(context, route, packet, c, destination, direction);
		return send_inside(context, route, packet, destination, number, outcome);
	}
	if (is_whole)
		pass_to_server(headers, &route->hop);
	else
		change_addresses(context, route, headers, packet, &rewrite, direction, quote);
	if (!quote)
		clamp_syn(context, route, packet, c, destination, direction);
	return outcome;
}

static __always_inline int forward(SHOAL_CONTEXT *context, struct route *route, struct headers *headers,
				   const struct packet *packet, struct connection *c, __u32 word,
				   struct destination *destination, enum direction direction, __u32 now,
				   const struct settings *table)
{
	return forward_with_quote(context, route, headers, packet, c, word, destination, direction, now, table, NULL);
}

#endif
