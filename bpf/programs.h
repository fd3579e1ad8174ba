/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Going on to another program of the same hook. An empty place lets the packet pass: the caller's last word. */
#ifndef SHOAL_PROGRAMS_H
#define SHOAL_PROGRAMS_H
#include "abi.h"

#define PROGRAM_ARRAY(name_)                             \
	struct {                                         \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);   \
		__uint(max_entries, SHOAL_PROGRAMS);     \
		__type(key, __u32);                      \
		__type(value, __u32);                    \
	} name_ SEC(".maps")

static __always_inline int is_of_ethertype(const void *data, const void *end, __be16 ethertype)
{
	const struct ethhdr *eth = data;

	return (const void *)(eth + 1) <= end && eth->h_proto == ethertype;
}

#endif
