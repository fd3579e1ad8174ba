/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An SCTP ABORT in answer to a packet whose connection was ended here (RFC 9260 8.4, rule 8): the packet turns round,
 * and ABORT takes the place of its chunks. Its tag is the packet's own, which the flag T says.
 */
#ifndef SHOAL_ABORT_H
#define SHOAL_ABORT_H
#include "reset.h"

/* CRC32c (RFC 9260 appendix A), by bits: the answers are few and short. */
static __always_inline __le32 crc32c(const __u32 *words, __u32 n_words)
{
	__u32 crc = ~0u;

	for (__u32 i = 0; i < n_words; i++) {
		crc ^= words[i];
		for (__u32 bit = 0; bit < 32; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

/* The packet becomes the ABORT; only its frame's addresses are left to be turned round. */
static __always_inline int become_abort(SHOAL_CONTEXT *context, struct packet *packet, const struct headers *headers)
{
	const struct sctp_header *sctp = (const struct sctp_header *)headers->ports;
	__u32 offset = packet->l4_offset;

	if ((void *)(sctp + 1) > frame_end(context))
		return 0;
	struct sctp_header abort = {
		.source = sctp->destination,
		.destination = sctp->source,
		.tag = sctp->tag,
		.first = { SCTP_CHUNK_ABORT, SCTP_TAG_REFLECTED, bpf_htons(sizeof(abort.first)) },
	};
	abort.crc = crc32c((const __u32 *)&abort, sizeof(abort) / 4);
	packet->length = offset - sizeof(struct ethhdr) + sizeof(abort);
	if (cut_frame(context, offset + sizeof(abort)))
		return 0;
	void *begin = frame_begin(context), *end = frame_end(context);
	struct ip_header *ip = begin + sizeof(struct ethhdr);
	struct sctp_header *place = begin + (offset & L4_MASK);

	if ((void *)(ip + 1) > end || (void *)(place + 1) > end)
		return 0;
	turn_round(ip, packet);
	*place = abort;
	return 1;
}

#endif
