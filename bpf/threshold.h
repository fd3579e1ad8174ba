/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A real server's thresholds: with "upper" connections it is overloaded, and schedulers pass over it until it has fewer
 * than "lower", or than three quarters of "upper" where there is no lower one (ip_vs_bind_dest() and
 * ip_vs_unbind_dest(), net/netfilter/ipvs/ip_vs_conn.c). CPUs that decide at the same moment may each add one.
 */
#ifndef SHOAL_THRESHOLD_H
#define SHOAL_THRESHOLD_H
#include "maps.h"

static __always_inline int is_overloaded(const struct service_config *config, __u32 destination)
{
	if (!(config->flags & SHOAL_THRESHOLDS))
		return 0;
	const struct threshold *threshold = bpf_map_lookup_elem(&thresholds, &destination);

	return threshold && *(const volatile __u32 *)&threshold->overloaded;
}

/* Whether a scheduler may choose a member. */
static __always_inline int is_candidate(const struct service_config *config, const struct member *member)
{
	return member->candidate && !is_overloaded(config, member->destination);
}

/* After the number of a destination's connections has changed, by 1 or by -1. */
static __always_inline void mind_thresholds(__u32 destination, const struct load *load, int change)
{
	struct threshold *threshold = bpf_map_lookup_elem(&thresholds, &destination);

	if (!threshold || !threshold->upper)
		return;
	__u64 total = (__u64)load->active + load->inactive;
	int is_below = threshold->lower ? total < threshold->lower : total * 4 < (__u64)threshold->upper * 3;
	volatile __u32 *overloaded = &threshold->overloaded;

	if (change > 0 && total >= threshold->upper && !*overloaded)
		*overloaded = 1;
	if (change < 0 && is_below && *overloaded)
		*overloaded = 0;
}

#endif
