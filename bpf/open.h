/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Beginning a connection: from a client's packet by a scheduling decision, or around a hand-over from a reply. */
#ifndef SHOAL_OPEN_H
#define SHOAL_OPEN_H
#include "admission.h"
#include "claim.h"
#include "ownership.h"
#include "refuse.h"
#include "reopen.h"
#include "schedule.h"
#include "scratch.h"
#include "stateless.h"

/* Whether another connection of this client port already has what this one's replies would look like. */
static __always_inline struct connection *same_reply(const struct packet *packet, const struct destination *to,
						      __u32 hash, __u32 n_buckets, struct packet *reply)
{
	reply->source = unmapped(&to->address);
	reply->source_port = port_at(to, packet);
	reply->destination = packet->source;
	reply->destination_port = packet->source_port;
	reply->protocol = packet->protocol;
	return find_connection(reply, hash, n_buckets, FROM_SERVER);
}

/* Write and publish the entry of a connection from packet's source to destination number `number`; its place, or why not. */
static __always_inline __u64 add_connection(const struct packet *packet, const struct destination *to, __u32 number,
					    __u32 hash, __u32 now, __u32 state, __u32 flags,
					    const struct settings *table)
{
	__u64 place = claim_place(hash, now);
	struct connection *c = place == NOWHERE ? NULL : entry_at(place);

	if (!c)
		return NOWHERE;
	describe(c, packet, to, number);
	c->expires = now + table->timeout_ticks[state & 31];
	if (place / SHOAL_BUCKET_SLOTS != bucket_index(hash, 0, n_buckets_of(table)))
		flags |= SHOAL_SPILLED;
	if (to->method == SHOAL_FULLNAT && !take_local_port(place, hash)) {
		abandon(c, flags, now);
		return PORTLESS;
	}
	count_begin(number, state);
	publish(c, flags, state);
	return place;
}

static __always_inline void count_connection(__u32 service, __u32 number)
{
	struct service_counters *of_service = bpf_map_lookup_elem(&service_counters, &service);
	struct destination_counters *of_destination = bpf_map_lookup_elem(&destination_counters, &number);

	if (of_service)
		of_service->connections++;
	if (of_destination)
		of_destination->connections++;
}

/* Whether replies to a new connection would be its own; one that is over and looked the same makes way. */
__noinline int clear_reply(__u32 number)
{
	struct settings *table = bpf_map_lookup_elem(&settings, &zero);
	const struct destination *to = bpf_map_lookup_elem(&destinations, &number);
	struct scratch *scratch = get_scratch();
	if (!table || !to || !scratch)
		return 0;

	const struct opening *opening = &scratch->opening;
	struct connection *other =
		same_reply(&scratch->packet, to, opening->hash, n_buckets_of(table), &scratch->other);
	if (!other)
		return 1;
	__u32 word = READ_ONCE(other->word);
	int may_go = is_closing(word) || passed(READ_ONCE(other->expires), opening->now);
	return may_go && kill_connection(other, word, opening->now);
}

/* Whether a packet without a connection may begin one, or go on with one that the table had no place for. */
static __always_inline int may_open(const struct packet *packet, const struct service_config *config, int overloaded)
{
	if (packet->opens)
		return 1;
	if (packet->protocol == IPPROTO_UDP || packet->event == TCP_SYN)
		return 0;
	return overloaded || (config->options & SHOAL_SLOPPY && !is_reset(packet));
}

/* The destination of a new connection: that of the client's template, or one that the scheduler chooses. */
static __always_inline __u32 choose_persistently(struct scratch *scratch, int by_rendezvous)
{
	const struct ip_address *client = &scratch->packet.source;
	struct opening *opening = &scratch->opening;
	__u32 service = scratch->request.service, number = NO_DESTINATION;
	const struct service_config *config = config_of(service);
	int is_persistent = config && config->persistence;

	if (is_persistent)
		number = recall_destination(service, client, opening->now);
	if (number != NO_DESTINATION) {
		opening->is_templated = 1;
		return number;
	}
	number = by_rendezvous ? choose_by_rendezvous(&scratch->request) : choose_destination(&scratch->request);
	if (!is_persistent || number == NO_DESTINATION)
		return number;
	__u32 settled = make_template(service, client, number, opening->now);
	opening->is_templated = settled != NO_DESTINATION;
	return opening->is_templated ? settled : number;
}

/*
 * While connections are alive that may have no entry, a packet goes where it would go without one: one from amid a
 * connection may be of such, and the entry of one that begins may give way before its next packet.
 */
__noinline __u32 choose_for(void)
{
	struct settings *table = bpf_map_lookup_elem(&settings, &zero);
	struct scratch *scratch = get_scratch();
	if (!table || !scratch)
		return NO_DESTINATION;

	int is_begin = scratch->packet.opens && scratch->packet.protocol != IPPROTO_UDP;
	int by_rendezvous = was_overloaded(scratch->opening.now, table, is_begin ? SHOAL_SYN_RECV : SHOAL_ESTABLISHED);
	__u32 number = choose_persistently(scratch, by_rendezvous);

	scratch->opening.destination = number;
	return number;
}

/* A template counts no connection that has no entry. */
static __always_inline void forget_template(struct scratch *scratch, __u32 number)
{
	if (scratch->opening.is_templated)
		release_template(number, &scratch->packet.source);
}

/* A connection that was given a destination does not come about. */
static __always_inline int give_up(struct scratch *scratch, __u32 number, enum shoal_drop reason)
{
	forget_template(scratch, number);
	return drop(scratch->request.service, reason);
}

/* Its destination is chosen: the entry, where the service keeps one and there is a place. */
static __always_inline int enter(struct scratch *scratch, const struct service_config *config,
				 const struct destination *to, __u32 number, const struct settings *table)
{
	const struct packet *packet = &scratch->packet;
	struct opening *opening = &scratch->opening;

	__u32 flags = opening->is_templated ? SHOAL_TEMPLATED : 0;

	if (config->options & SHOAL_ONE_PACKET && packet->protocol == IPPROTO_UDP && to->method < SHOAL_FULLNAT) {
		describe_loosely(scratch, packet, to, number);
		forget_template(scratch, number);
		count_connection(opening->service, number);
		return OUTCOME_SEND;
	}
	if (to->method == SHOAL_NAT && !clear_reply(number))
		return give_up(scratch, number, SHOAL_REPLY_TUPLE_IN_USE);
	if (!is_within_limit(opening->service, config))
		return give_up(scratch, number, SHOAL_CONNECTION_LIMIT);
	__u32 state = packet->protocol == IPPROTO_UDP ? SHOAL_UDP : SHOAL_NONE;
	opening->place = add_connection(packet, to, number, opening->hash, opening->now, state, flags, table);
	if (opening->place == NOWHERE) {
		hold(opening->service, -1);
		forget_template(scratch, number);
		return NOT_PLACED;
	}
	if (opening->place == PORTLESS) {
		hold(opening->service, -1);
		return give_up(scratch, number, SHOAL_NO_LOCAL_PORT);
	}
	count_connection(opening->service, number);
	return OUTCOME_SEND;
}

/* A client's packet without a connection: schedule it if it may open one. Returns an outcome, NOT_OURS or NOT_PLACED. */
__noinline int open_connection(void)
{
	struct settings *table = bpf_map_lookup_elem(&settings, &zero);
	struct scratch *scratch = get_scratch();
	if (!table || !scratch)
		return NOT_OURS;

	struct opening *opening = &scratch->opening;
	const struct packet *packet = &scratch->packet;
	__u32 service = listening_service(packet, opening->mark);
	const struct service_config *config = config_of(service);
	if (service == NO_SERVICE || !config)
		return NOT_OURS;
	opening->service = service;
	opening->is_templated = 0;
	if (!opening->is_moved && !may_open(packet, config, was_overloaded(opening->now, table, SHOAL_ESTABLISHED)))
		return OUTCOME_PASS;	/* of a connection unknown here: the host resets it */
	if (packet->ttl <= 1)
		return refuse(service, SHOAL_TTL_EXCEEDED, 0);
	int refusal = judge_source(packet, service);
	if (refusal != ADMITTED)
		return drop(service, refusal);

	struct request *request = &scratch->request;
	request->service = service;
	request->client = folded(&packet->source);
	request->virtual_fold = folded(&packet->destination);
	request->now = opening->now;
	request->client_port = packet->source_port;
	put_mapped(&request->virtual_address, &packet->destination);
	__u32 number = choose_for();
	const struct destination *to = bpf_map_lookup_elem(&destinations, &number);
	if (number == NO_DESTINATION || !to)
		return drop(service, SHOAL_NO_REAL_SERVER);
	return enter(scratch, config, to, number, table);
}

static __always_inline __u32 established_state(__u8 protocol)
{
	if (protocol == IPPROTO_SCTP)
		return SHOAL_SCTP_ESTABLISHED;
	return protocol == IPPROTO_UDP ? SHOAL_UDP : SHOAL_ESTABLISHED;
}

/*
 * Around a hand-over: a real server answers a connection that another router began. Its own listener tells what the
 * client knows it by, so the connection can be taken up from the reply. Returns an outcome or NOT_OURS.
 */
__noinline int adopt_from_reply(void)
{
	struct settings *table = bpf_map_lookup_elem(&settings, &zero);
	struct scratch *scratch = get_scratch();
	if (!table || !scratch)
		return NOT_OURS;

	struct opening *opening = &scratch->opening;
	const struct packet *reply = &scratch->packet;
	struct packet *forward = &scratch->other;
	if ((reply->protocol == IPPROTO_TCP && reply->event != TCP_ACK) ||
	    (reply->protocol == IPPROTO_SCTP && reply->event != SCTP_DATA))
		return NOT_OURS;

	__u32 number = find_outside(reply, forward);
	const struct destination *from = bpf_map_lookup_elem(&destinations, &number);
	if (!from)
		return NOT_OURS;
	struct connection *known = find_connection(forward, opening->hash, n_buckets_of(table), FROM_CLIENT);
	if (known && !kill_connection(known, READ_ONCE(known->word), opening->now))
		return NOT_OURS;
	__u32 state = established_state(reply->protocol);
	opening->place = add_connection(forward, from, number, opening->hash, opening->now, state, 0, table);
	if (opening->place == NOWHERE)
		return NOT_OURS;
	hold(from->service, 1);
	return OUTCOME_SEND;
}

#endif
