/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether a packet that could open a connection should do so although it has one (docs/adr/0003). */
#ifndef SHOAL_REOPEN_H
#define SHOAL_REOPEN_H
#include "connection.h"

static __always_inline int is_closing(__u32 word)
{
	return state_is_closed(STATE_OF(word));
}

static __always_inline int should_reopen(__u32 word, const struct destination *destination)
{
	__u32 state = STATE_OF(word);

	if (destination->flags & SHOAL_CUT || is_closing(word))
		return 1;
	return !(destination->flags & SHOAL_AVAILABLE) &&
	       (state == SHOAL_UDP || state == SHOAL_NONE || state_is_half_open(state));
}

static __always_inline int is_reset(const struct packet *packet)
{
	return packet->event == TCP_RST || packet->event == SCTP_ABORT;
}

/* Whether a client's packet ends its connection, because those of its real server are cut. A reset goes on to it. */
static __always_inline int must_be_reset(const struct destination *destination, const struct packet *packet)
{
	return destination->flags & SHOAL_CUT && !packet->opens && !is_reset(packet);
}

#endif
