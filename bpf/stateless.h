/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets without an entry in the table: datagrams of services that keep no connections, and everything for which the
 * table has no place (docs/adr/0014-stateless-when-full.md). What an entry would say stands in scratch for this one packet.
 */
#ifndef SHOAL_STATELESS_H
#define SHOAL_STATELESS_H
#include "claim.h"
#include "listening.h"
#include "rendezvous.h"
#include "scratch.h"

#define LOOSE (~1ull)	/* the place of scratch->loose */

static __always_inline struct overload *overload_of_family(void)
{
	__u32 index = SHOAL_FAMILY == 6;

	return bpf_map_lookup_elem(&overloads, &index);
}

static __always_inline void note_overload(__u32 now)
{
	struct overload *overload = overload_of_family();

	if (!overload || (overload->ever && overload->tick == now))
		return;
	WRITE_ONCE(overload->tick, now);
	WRITE_ONCE(overload->ever, 1);
}

/* Whether a connection that found no place may still be in this state. */
static __always_inline int was_overloaded(__u32 now, const struct settings *table, __u32 state)
{
	const struct overload *overload = overload_of_family();

	return overload && overload->ever && now - overload->tick < table->timeout_ticks[state & 31];
}

/* Whether real servers answer for connections that have no entry. */
static __always_inline int replies_are_loose(__u32 now, const struct settings *table)
{
	return table->flags & SHOAL_LOOSE_REPLIES || was_overloaded(now, table, SHOAL_ESTABLISHED);
}

static __always_inline __be16 port_at(const struct destination *to, const struct packet *packet)
{
	return to->port ?: packet->destination_port;
}

/* The fields of a connection from packet's source to destination number `number`, all but word and deadline. */
static __always_inline void describe(struct connection *c, const struct packet *packet, const struct destination *to,
				     __u32 number)
{
	c->client = packet->source;
	c->virtual_address = packet->destination;
	c->inside = unmapped(&to->address);
	c->client_port = packet->source_port;
	c->virtual_port = packet->destination_port;
	c->inside_port = port_at(to, packet);
	c->protocol = packet->protocol;
	c->method = to->method;
	c->destination = number;
	c->address_delta = address_change(&packet->destination, &c->inside);
	c->port_delta = csum_delta16(packet->destination_port, port_at(to, packet));
	c->client_hop.ifindex = 0;
}

/* In this state no packet changes state or counts. */
static __always_inline void describe_loosely(struct scratch *scratch, const struct packet *packet,
					     const struct destination *to, __u32 number)
{
	describe(&scratch->loose, packet, to, number);
	scratch->loose.word = SHOAL_UDP;
	scratch->opening.place = LOOSE;
}

static __always_inline void count_stateless(__u32 service)
{
	struct service_counters *counters = bpf_map_lookup_elem(&service_counters, &service);

	if (counters)
		counters->stateless_packets++;
}

/*
 * What a real server's packet is called outside, if its endpoint stands for one listener: written to `forward` as a
 * packet of the client. Returns the destination's number.
 */
__noinline __u32 find_outside(const struct packet *reply, struct packet *forward)
{
	if (!reply || !forward)
		return NO_DESTINATION;
	struct listener_key key = {
		.address = mapped(&reply->source),
		.port = reply->source_port,
		.protocol = reply->protocol,
	};
	const struct reverse *outside = bpf_map_lookup_elem(&reverses, &key);

	if (!outside) {
		key.port = 0;
		outside = bpf_map_lookup_elem(&reverses, &key);
	}
	__u32 number = outside ? outside->destination : NO_DESTINATION;
	const struct destination *from = bpf_map_lookup_elem(&destinations, &number);
	if (!outside || !from || from->method != SHOAL_NAT)
		return NO_DESTINATION;
	forward->source = reply->destination;
	forward->source_port = reply->destination_port;
	forward->destination = unmapped(&outside->virtual_address);
	forward->destination_port = outside->virtual_port ?: reply->source_port;
	forward->protocol = reply->protocol;
	if (!outside->virtual_port && listening_service(forward, 0) != from->service)
		return NO_DESTINATION;	/* a port beyond the range */
	return number;
}

/* Whether replies to a packet without an entry would find their way: under nat its listener must be known by them. */
static __always_inline int has_name_outside(struct scratch *scratch, const struct destination *to, __u32 number)
{
	const struct packet *packet = &scratch->packet;
	struct packet *reply = &scratch->other;

	if (to->method == SHOAL_FULLNAT)
		return 0;	/* the local port of its replies stands in the entry */
	if (to->method != SHOAL_NAT)
		return 1;
	reply->source = unmapped(&to->address);
	reply->source_port = port_at(to, packet);
	reply->destination = packet->source;
	reply->destination_port = packet->source_port;
	reply->protocol = packet->protocol;
	return find_outside(reply, &scratch->outside) == number &&
	       same_address(&scratch->outside.destination, &packet->destination) &&
	       scratch->outside.destination_port == packet->destination_port;
}

/* The table has no place for a packet that may go on: send it without one. Returns an outcome. */
__noinline int balance_without_entry(void)
{
	struct scratch *scratch = get_scratch();

	if (!scratch)
		return OUTCOME_PASS;
	__u32 service = scratch->opening.service;
	const struct opening *opening = &scratch->opening;
	__u32 number = opening->is_templated ? opening->destination : choose_by_rendezvous(&scratch->request);
	const struct destination *to = bpf_map_lookup_elem(&destinations, &number);

	note_overload(scratch->opening.now);
	if (number == NO_DESTINATION || !to)
		return drop(service, SHOAL_NO_REAL_SERVER);
	if (!has_name_outside(scratch, to, number))
		return drop(service, SHOAL_TABLE_FULL);
	describe_loosely(scratch, &scratch->packet, to, number);
	count_stateless(service);
	return OUTCOME_SEND;
}

/* A reply for which there is no connection, but which may have been asked for. Returns an outcome or NOT_OURS. */
__noinline int answer_without_entry(void)
{
	const struct settings *table = bpf_map_lookup_elem(&settings, &zero);
	struct scratch *scratch = get_scratch();
	if (!table || !scratch)
		return NOT_OURS;

	__u32 number = find_outside(&scratch->packet, &scratch->outside);
	const struct destination *from = bpf_map_lookup_elem(&destinations, &number);
	if (!from)
		return NOT_OURS;
	const struct service_config *config = config_of(from->service);
	int is_one_packet = config && config->options & SHOAL_ONE_PACKET;
	if (!is_one_packet && !was_overloaded(scratch->opening.now, table, SHOAL_ESTABLISHED))
		return NOT_OURS;
	describe_loosely(scratch, &scratch->outside, from, number);
	if (!from->port)
		scratch->loose.inside_port = scratch->packet.source_port;
	if (!is_one_packet)
		count_stateless(from->service);
	return OUTCOME_SEND;
}

#endif
