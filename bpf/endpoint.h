/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The endpoint program: live connections that end at this router. Under fullnat they do on the real server's side; under
 * local the router is the real server, and its own stack gets the packets as they came. The program is apart from the
 * established one, whose packets would pay for the larger rewrite. What is not its own goes on to the open program,
 * since the filter that led here may have been wrong.
 */
#ifndef SHOAL_ENDPOINT_H
#define SHOAL_ENDPOINT_H
#include "established.h"
#include "forward_local.h"
#include "fragment.h"
#include "scratch.h"

/* The live connection of a client's packet, with its word; NULL when there is none. */
static __always_inline struct connection *find_endpoint(const struct packet *packet, const struct settings *table,
							__u32 now, __u32 *word)
{
	__u32 hash = connection_hash(&packet->source, packet->source_port, packet->protocol, table->hash_seed);
	struct connection *c = find_connection(packet, hash, n_buckets_of(table), FROM_CLIENT);

	if (!c)
		return NULL;
	*word = READ_ONCE(c->word);
	return IS_LIVE(*word) && !passed(READ_ONCE(c->expires), now) ? c : NULL;
}

static __always_inline int balance_endpoint(SHOAL_CONTEXT *context, struct scratch *scratch)
{
	const struct settings *table = bpf_map_lookup_elem(&settings, &zero);
	const struct packet *packet = &scratch->packet;
	struct headers headers = {};
	__u32 now = now_in_ticks(), word = 0;

	enum parsed parsed = parse_packet(&scratch->packet, &headers, frame_begin(context), frame_end(context));

	/* what has come by way of the open program, which knew the ports of a later fragment */
	if (parsed == PARSED_NOTHING)
		parsed = parse_uncommon(context, &scratch->packet, &headers);
	if (!table || parsed == PARSED_NOTHING || sizeof(struct ethhdr) + packet->length > frame_length(context) ||
	    (parsed == PARSED_LATER_FRAGMENT && !recall_ports(scratch, now)))
		return OUTCOME_PASS;
	int not_found = parsed == PARSED_WHOLE ? OUTCOME_OPEN : OUTCOME_PASS;
	struct connection *c = find_by_local_port(packet, now, &word);
	int is_reply = !!c;
	if (!c)
		c = find_endpoint(packet, table, now, &word);
	if (!c)
		return not_found;
	if (c->method == SHOAL_LOCAL)
		return keep(packet, c, word, now, table);
	__u32 number = c->destination;
	struct destination *destination = bpf_map_lookup_elem(&destinations, &number);
	if (!destination)
		return drop(NO_SERVICE, SHOAL_INTERNAL);
	if (is_reply)
		return forward(context, &scratch->route, &headers, packet, c, word, destination, FROM_SERVER, now, table);
	return forward(context, &scratch->route, &headers, packet, c, word, destination, FROM_CLIENT, now, table);
}

#endif
