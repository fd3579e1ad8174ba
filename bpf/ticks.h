/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Time in ticks, and single reads and writes of what other CPUs change. */
#ifndef SHOAL_TICKS_H
#define SHOAL_TICKS_H
#include "abi.h"

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))
#define barrier() asm volatile("" ::: "memory")

static __always_inline __u32 now_in_ticks(void)
{
	return bpf_ktime_get_coarse_ns() >> SHOAL_TICK_SHIFT;
}

/* Whether a deadline has passed; right as long as the two are less than 417 days apart. */
static __always_inline int passed(__u32 deadline, __u32 now)
{
	return (__s32)(deadline - now) <= 0;
}

#endif
