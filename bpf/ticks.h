/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Time in ticks, and single reads and writes of what other CPUs change. */
#ifndef SHOAL_TICKS_H
#define SHOAL_TICKS_H
#include "maps.h"

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))
#define barrier() asm volatile("" ::: "memory")

/*
 * CLOCK_MONOTONIC, by way of jiffies: the kernel counts those by that clock (tick_do_update_jiffies64()), and a program
 * reads them without a call, which a packet would feel: the calls of the clock itself are a sixth of its time.
 */
static __always_inline __u32 now_by(const struct settings *table)
{
	return (bpf_jiffies64() * table->jiffy - table->clock_offset) >> SHOAL_TICK_SHIFT;
}

static __always_inline __u32 now_in_ticks(void)
{
	const struct settings *table = bpf_map_lookup_elem(&settings, &zero);

	return table ? now_by(table) : 0;
}

/* Whether a deadline has passed; right as long as the two are less than 417 days apart. */
static __always_inline int passed(__u32 deadline, __u32 now)
{
	return (__s32)(deadline - now) <= 0;
}

#endif
