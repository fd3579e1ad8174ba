/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Forwarding method dr (direct routing): the packet goes to the real server as the client sent it, in a frame to the
 * real server's MAC. The real server holds the virtual address too and answers the client past this router.
 */
#ifndef SHOAL_FORWARD_DR_H
#define SHOAL_FORWARD_DR_H
#include "forward_nat.h"

static __always_inline void pass_to_server(const struct headers *headers, const struct next_hop *hop)
{
	hop_on(headers, hop, 0);
}

#endif
