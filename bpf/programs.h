/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Going on to another program of the same hook. An empty place lets the packet pass: the caller's last word. */
#ifndef SHOAL_PROGRAMS_H
#define SHOAL_PROGRAMS_H
#include "ethernet.h"

#define PROGRAM_ARRAY(name_)                             \
	struct {                                         \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);   \
		__uint(max_entries, SHOAL_PROGRAMS);     \
		__type(key, __u32);                      \
		__type(value, __u32);                    \
	} name_ SEC(".maps")

/*
 * The bounds of the frame are 32-bit fields that the verifier takes for pointers. Left to itself the compiler shares
 * such a load with arithmetic on 32 bits, and the verifier sees a number.
 */
#define FRAME_BOUND(context, offset)                                                           \
	({                                                                                     \
		void *bound_;                                                                  \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                          \
			     : "=r"(bound_)                                                    \
			     : "r"(context), "i"(offset));                                     \
		bound_;                                                                        \
	})
#define frame_begin(context) FRAME_BOUND(context, FRAME_BEGIN)
#define frame_end(context) FRAME_BOUND(context, FRAME_END)

static __always_inline int is_of_ethertype(SHOAL_CONTEXT *context, __be16 ethertype)
{
	const struct ethhdr *eth = frame_begin(context);

	return (const void *)(eth + 1) <= frame_end(context) && ethertype_of(eth) == ethertype;
}

#endif
