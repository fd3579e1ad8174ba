/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The schedulers that take the member with the least cost for its weight: lc wlc sed nq fo ovf. Counts lie eight
 * destinations to a cache line.
 */
#ifndef SHOAL_SCHEDULE_LEAST_H
#define SHOAL_SCHEDULE_LEAST_H
#include "persistence.h"
#include "threshold.h"

/* What a scheduler may go by; addresses folded to 32 bits. */
struct request {
	__u32 service;
	__u32 client;
	__u32 virtual_fold;
	__u32 now;			/* tick */
	__be16 client_port;
	__u16 reserved;
	struct address6 virtual_address;
};

/* ip_vs_dest_conn_overhead(), include/net/ip_vs.h: an active connection weighs 256 inactive ones. */
static __always_inline __u64 overhead(const struct load *load)
{
	return ((__u64)load->active << 8) + load->inactive;
}

struct least {
	const struct service_config *config;
	__u32 scheduler;
	__u32 best;
	__u64 cost;
	__u64 weight;
};

static __always_inline __u64 cost_of(__u32 scheduler, const struct load *load)
{
	switch (scheduler) {
	case SHOAL_SED:
		return (__u64)load->active + 1;
	case SHOAL_NQ:
		return load->active ? (__u64)load->active + 1 : 0;	/* the first idle one beats all */
	case SHOAL_FO:
	case SHOAL_OVF:
		return 1;	/* the same for all: the greatest weight wins */
	default:
		return overhead(load);
	}
}

static __always_inline void consider(struct least *least, const struct member *member, const struct load *load)
{
	if (least->scheduler == SHOAL_OVF && load->active > member->weight)
		return;
	__u64 weight = least->scheduler == SHOAL_LC ? 1 : member->weight;	/* a candidate's is never 0 */
	__u64 mine = cost_of(least->scheduler, load);
	/* mine / weight < best / best weight; a tie stays with the first */
	if (mine * least->weight < least->cost * weight) {
		least->best = member->destination;
		least->cost = mine;
		least->weight = weight;
	}
}

static long compare_member(__u32 i, struct least *least)
{
	__u32 position = least->config->members + i;
	const struct member *member = bpf_map_lookup_elem(&members, &position);

	if (!member || !is_candidate(least->config, member))
		return 0;
	__u32 destination = member->destination;
	const struct load *load = bpf_map_lookup_elem(&loads, &destination);

	if (load)
		consider(least, member, load);
	return 0;
}

static __always_inline __u32 choose_least(const struct service_config *config)
{
	/* 1 / 0: worse than anything */
	struct least least = {
		.config = config, .scheduler = config->scheduler, .best = NO_DESTINATION, .cost = 1
	};

	bpf_loop(config->n_members, compare_member, &least, 0);
	return least.best;
}

#endif
