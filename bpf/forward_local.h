/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Forwarding method local: the router is the real server. */
#ifndef SHOAL_FORWARD_LOCAL_H
#define SHOAL_FORWARD_LOCAL_H
#include "forward.h"

/* A packet for the router's own stack: all that is done with it is to note it. Replies are not seen. */
static __always_inline int keep(const struct packet *packet, struct connection *c, __u32 word, __u32 now,
				const struct settings *table)
{
	if (HAS_LAST_LOOK) {
		advance(c, word, packet->event, FROM_CLIENT_ONLY, now, table);
		count_packet(c->destination, FROM_CLIENT, packet->length);
	}
	return OUTCOME_PASS;
}

#endif
