/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The pseudo header of TCP and UDP (RFC 9293 3.1, RFC 8200 8.1). */
#ifndef SHOAL_PSEUDO_HEADER_H
#define SHOAL_PSEUDO_HEADER_H
#include "parse.h"

static __always_inline __u32 l4_length(const struct packet *packet)
{
	return packet->length - (packet->l4_offset - sizeof(struct ethhdr));
}

/* What a local sender leaves in the checksum field for the device to add to (CHECKSUM_PARTIAL). */
static __always_inline __u32 pseudo_header_sum(const struct packet *packet)
{
	__u32 sum = address_sum(&packet->source) + address_sum(&packet->destination) + bpf_htons(packet->protocol) +
		    bpf_htons(l4_length(packet));

	return csum_fold(sum);
}

#endif
