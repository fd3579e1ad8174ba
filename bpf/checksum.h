/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Incremental checksum update, RFC 1624 equation 3: HC' = ~(~HC + ~m + m'). */
#ifndef SHOAL_CHECKSUM_H
#define SHOAL_CHECKSUM_H
#include <linux/types.h>

static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* ~m + m' for a 32-bit field. A rewrite back adds the complement. */
static __always_inline __u16 csum_delta32(__be32 from, __be32 to)
{
	return csum_fold((~from & 0xffff) + (~from >> 16) + (to & 0xffff) + (to >> 16));
}

static __always_inline __u16 csum_delta16(__be16 from, __be16 to)
{
	return csum_fold((__u16)~from + (__u32)to);
}

static __always_inline __u16 csum_apply(__u16 check, __u32 delta)
{
	return ~csum_fold((__u16)~check + delta);
}

#endif
