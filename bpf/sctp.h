/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets of SCTP (RFC 9260 3): the common header and the first chunk's. Their checksum is a CRC of header and chunks
 * alone, so a rewrite of addresses leaves it right. Ports stay as they are.
 */
#ifndef SHOAL_SCTP_H
#define SHOAL_SCTP_H
#include "sctp_state.h"

#ifndef IPPROTO_SCTP
#define IPPROTO_SCTP 132
#endif

struct sctp_chunk {
	__u8 type;
	__u8 flags;
	__be16 length;			/* with this header, without padding */
};

struct sctp_header {
	__be16 source;
	__be16 destination;
	__be32 tag;
	__le32 crc;
	struct sctp_chunk first;
};

#define SCTP_COMMON_HEADER 12
#define SCTP_CHUNK_ABORT 6
#define SCTP_TAG_REFLECTED 1	/* ABORT's flag T: the tag is the one that the receiver uses itself */

/* RFC 9260 3.2; the meaning is IPVS's (sctp_events). */
static __always_inline __u8 sctp_event_of(__u8 type)
{
	switch (type) {
	case 1:
		return SCTP_INIT;
	case 2:
		return SCTP_INIT_ACK;
	case SCTP_CHUNK_ABORT:
		return SCTP_ABORT;
	case 7:
		return SCTP_SHUTDOWN;
	case 8:
		return SCTP_SHUTDOWN_ACK;
	case 9:
		return SCTP_ERROR;
	case 10:
		return SCTP_COOKIE_ECHO;
	case 11:
		return SCTP_COOKIE_ACK;
	case 14:
		return SCTP_SHUTDOWN_COMPLETE;
	default:
		return SCTP_DATA;
	}
}

#endif
