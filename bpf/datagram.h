/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is known of a datagram that comes in fragments. */
#ifndef SHOAL_DATAGRAM_H
#define SHOAL_DATAGRAM_H
#include "scratch.h"

/* The ports that the first fragment of the datagram in scratch has told, if it has come. */
static __always_inline int recall_ports(struct scratch *scratch, __u32 now)
{
	struct fragment_ports *ports = bpf_map_lookup_elem(&fragments, &scratch->datagram);

	if (!ports || passed(READ_ONCE(ports->tick) + SHOAL_FRAGMENT_TICKS, now))
		return 0;
	WRITE_ONCE(ports->tick, now);
	scratch->packet.source_port = ports->source;
	scratch->packet.destination_port = ports->destination;
	scratch->packet.protocol = ports->protocol;
	return 1;
}

#endif
