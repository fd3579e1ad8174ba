/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The open program: packets without a live connection, and those that may begin one anew. It begins from the frame
 * again, since nothing but the frame survives a tail call.
 */
#ifndef SHOAL_OPENING_H
#define SHOAL_OPENING_H
#include "forward.h"
#include "forward_local.h"
#include "fragment.h"
#include "open.h"

/* As if a reset (under SCTP an ABORT) had come, so that the entry soon goes; the client gets one. */
static __always_inline int end_connection(struct connection *c, __u32 word, const struct destination *destination,
					  __u8 protocol, __u32 now, const struct settings *table)
{
	__u8 event = protocol == IPPROTO_SCTP ? SCTP_ABORT : TCP_RST;

	advance(c, word, event, FROM_CLIENT, now, table);
	return refuse(destination->service, SHOAL_REMOVED, 0);
}

/* The connection that was just opened. */
static __always_inline struct connection *opened(struct scratch *scratch)
{
	return scratch->opening.place == LOOSE ? &scratch->loose : entry_at(scratch->opening.place);
}

/* The connection of a client's packet, as it is or as it begins now: OUTCOME_SEND with it, or what becomes of the packet. */
static __always_inline int connect_client(SHOAL_CONTEXT *context, struct scratch *scratch, __u32 now,
					  const struct settings *table, struct connection **found)
{
	const struct packet *packet = &scratch->packet;
	struct opening *opening = &scratch->opening;

	opening->now = now;
	opening->is_moved = 0;
	opening->mark = mark_of(context);
	opening->hash = connection_hash(&packet->source, packet->source_port, packet->protocol, table->hash_seed);
	struct connection *c = find_connection(packet, opening->hash, n_buckets_of(table), FROM_CLIENT);

	if (c) {
		__u32 number = c->destination, word = READ_ONCE(c->word);
		const struct destination *destination = bpf_map_lookup_elem(&destinations, &number);

		if (!destination)
			return drop(NO_SERVICE, SHOAL_INTERNAL);
		int ends = must_be_reset(destination, packet);

		opening->is_moved = ends && destination->flags & SHOAL_MOVE;
		if (opening->is_moved || passed(READ_ONCE(c->expires), now) ||
		    (packet->opens && should_reopen(word, destination))) {
			kill_connection(c, word, now);
			c = NULL;
		} else if (ends) {
			return end_connection(c, word, destination, packet->protocol, now, table);
		}
	}
	if (!c) {
		int outcome = open_connection();
		if (outcome == NOT_PLACED)
			outcome = balance_without_entry();
		if (outcome != OUTCOME_SEND)
			return outcome;
		c = opened(scratch);
	}
	*found = c;
	return c ? OUTCOME_SEND : NOT_OURS;
}

/* The same of a real server's packet. */
static __always_inline int connect_server(SHOAL_CONTEXT *context, struct scratch *scratch, __u32 now,
					  const struct settings *table, struct connection **found)
{
	const struct packet *packet = &scratch->packet;
	struct opening *opening = &scratch->opening;

	opening->now = now;
	opening->hash = connection_hash(&packet->destination, packet->destination_port, packet->protocol,
					table->hash_seed);
	struct connection *c = find_connection(packet, opening->hash, n_buckets_of(table), FROM_SERVER);

	if (c && passed(READ_ONCE(c->expires), now)) {
		kill_connection(c, READ_ONCE(c->word), now);
		c = NULL;
	}
	if (!c) {
		/* what is for this router itself, such as an answer to a probe, is not a client's */
		int is_handover = handover_goes_on();
		if ((!is_handover && !replies_are_loose(now, table)) || !leads_elsewhere(context, packet, &scratch->route))
			return NOT_OURS;
		int outcome = is_handover ? adopt_from_reply() : NOT_OURS;
		if (outcome == NOT_OURS)
			outcome = answer_without_entry();
		if (outcome != OUTCOME_SEND)
			return outcome;
		c = opened(scratch);
	}
	*found = c;
	return c ? OUTCOME_SEND : NOT_OURS;
}

static __always_inline int send_on(SHOAL_CONTEXT *context, struct scratch *scratch, struct headers *headers,
				   struct connection *c, enum direction direction, __u32 now,
				   const struct settings *table)
{
	__u32 number = c->destination, word = READ_ONCE(c->word);
	struct destination *destination = bpf_map_lookup_elem(&destinations, &number);

	if (!destination)
		return drop(NO_SERVICE, SHOAL_INTERNAL);
	if (direction == FROM_CLIENT && c->method == SHOAL_LOCAL)
		return keep(&scratch->packet, c, word, now, table);
	if (direction == FROM_CLIENT && c->method == SHOAL_FULLNAT)
		return OUTCOME_ENDPOINT;
	return forward(context, &scratch->route, headers, &scratch->packet, c, word, destination, direction, now, table);
}

static __always_inline int has_cookie(const struct packet *packet)
{
	return packet->event == SCTP_COOKIE_ECHO || packet->event == SCTP_COOKIE_ACK;
}

/* Whether an ABORT follows the first chunk, as may be behind a cookie (RFC 9260 3.3.7). */
__noinline int is_aborted(SHOAL_CONTEXT *context, const struct packet *packet)
{
	struct sctp_chunk chunk;

	if (!packet)
		return 0;
	__u32 offset = packet->l4_offset + SCTP_COMMON_HEADER, end = sizeof(struct ethhdr) + packet->length;
	if (load_bytes(context, offset, &chunk, sizeof(chunk)))
		return 0;
	offset += (bpf_ntohs(chunk.length) + 3) & ~3u;
	return offset + sizeof(chunk) <= end && !load_bytes(context, offset, &chunk, sizeof(chunk)) &&
	       chunk.type == SCTP_CHUNK_ABORT;
}

static __always_inline int balance_opening(SHOAL_CONTEXT *context, struct scratch *scratch)
{
	struct headers headers = {};
	const struct settings *table = bpf_map_lookup_elem(&settings, &zero);
	enum parsed parsed = parse_any_packet(&scratch->packet, &headers, frame_begin(context), frame_end(context));

	if (parsed == PARSED_NOTHING)
		parsed = parse_uncommon(context, &scratch->packet, &headers);
	if (!table || parsed == PARSED_NOTHING ||
	    sizeof(struct ethhdr) + scratch->packet.length > frame_length(context))
		return OUTCOME_PASS;
	if (parsed == PARSED_MESSAGE)
		return OUTCOME_RELATED;
	if (parsed == PARSED_EXTENDED && !can_mend(&scratch->packet, &headers))
		return OUTCOME_PASS;
	__u32 now = now_by(table);
	if (is_whole(parsed) && has_cookie(&scratch->packet) && is_aborted(context, &scratch->packet))
		scratch->packet.event = SCTP_ABORT;
	if (!is_whole(parsed)) {
		int order = put_in_order(context, scratch, &headers, parsed, now);
		if (order != OUTCOME_SEND)
			return order;
	}
	__u32 word;
	if (parsed != PARSED_WHOLE && find_by_local_port(&scratch->packet, now, &word))
		return OUTCOME_ENDPOINT;
	struct connection *c = NULL;
	enum direction direction = FROM_CLIENT;
	int outcome = connect_client(context, scratch, now, table, &c);
	if (outcome == NOT_OURS) {
		direction = FROM_SERVER;
		outcome = connect_server(context, scratch, now, table, &c);
	}
	if (outcome != OUTCOME_SEND || !c)
		return outcome == NOT_OURS ? OUTCOME_PASS : outcome;
	return send_on(context, scratch, &headers, c, direction, now, table);
}

#endif
