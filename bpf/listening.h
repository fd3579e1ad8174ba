/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which service a client's packet is for. A firewall mark comes first (as in ip_vs_ctl.c), then the narrowest listener. */
#ifndef SHOAL_LISTENING_H
#define SHOAL_LISTENING_H
#include "parse.h"
#include "persistence.h"
#include "verdict.h"

/* Ranges of ports, and any port. */
__noinline __u32 ranging_service(const struct packet *packet)
{
	if (!packet)
		return NO_SERVICE;
	struct listener_range_key key = {
		.prefix_length = 8 * (sizeof(key) - sizeof(key.prefix_length)),
		.address = mapped(&packet->destination),
		.protocol = packet->protocol,
		.port = packet->destination_port,
	};
	const struct listener_range *range = bpf_map_lookup_elem(&listener_ranges, &key);

	return range ? range->service : NO_SERVICE;
}

/* By itself, so that its key is off the stack of those who ask. */
__noinline __u32 listening_service(const struct packet *packet, __u32 mark)
{
	if (!packet)
		return NO_SERVICE;
	struct listener_key key = {
		.address = mapped(&packet->destination),
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};
	const struct listener *listener = mark ? bpf_map_lookup_elem(&marks, &mark) : NULL;

	if (!listener)
		listener = bpf_map_lookup_elem(&listeners, &key);
	return listener ? listener->service : ranging_service(packet);
}

#endif
