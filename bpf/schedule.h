/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Choosing a destination. Semantics: shoal/schedulers (pure), which are those of the kernel's ip_vs_{rr,wrr,lc,wlc}.c.
 * rr and wrr have been worked out into a ring; lc and wlc compare the counts, four destinations to a cache line.
 */
#ifndef SHOAL_SCHEDULE_H
#define SHOAL_SCHEDULE_H
#include "maps.h"

#define NO_DESTINATION 0xffffffffu

/* The ring holds candidates only. */
static __always_inline __u32 choose_from_ring(struct service_config *config)
{
	if (!config->n_ring)
		return NO_DESTINATION;
	__u32 position = config->ring + __sync_fetch_and_add(&config->cursor, 1) % config->n_ring;
	const __u32 *destination = bpf_map_lookup_elem(&rings, &position);

	return destination ? *destination : NO_DESTINATION;
}

/* ip_vs_dest_conn_overhead(), include/net/ip_vs.h: an active connection weighs 256 inactive ones. */
static __always_inline __u64 overhead(const struct load *load)
{
	return ((__u64)load->active << 8) + load->inactive;
}

struct least {
	const struct service_config *config;
	__u32 weighted;
	__u32 best;
	__u64 overhead;
	__u64 weight;
};

static long compare_member(__u32 i, struct least *least)
{
	__u32 position = least->config->members + i;
	const struct member *member = bpf_map_lookup_elem(&members, &position);

	if (!member || !member->candidate)
		return 0;
	__u32 destination = member->destination;
	const struct load *load = bpf_map_lookup_elem(&loads, &destination);

	if (!load)
		return 0;
	__u64 weight = least->weighted ? member->weight : 1;	/* a candidate's is never 0 */
	__u64 mine = overhead(load);
	/* mine / weight < best / best weight; a tie stays with the first */
	if (mine * least->weight < least->overhead * weight) {
		least->best = destination;
		least->overhead = mine;
		least->weight = weight;
	}
	return 0;
}

static __always_inline __u32 choose_least(const struct service_config *config, int weighted)
{
	/* 1 / 0: worse than anything */
	struct least least = { .config = config, .weighted = weighted, .best = NO_DESTINATION, .overhead = 1 };

	bpf_loop(config->n_members, compare_member, &least, 0);
	return least.best;
}

__noinline __u32 choose_destination(__u32 service_number)
{
	struct service *service = bpf_map_lookup_elem(&services, &service_number);
	__u32 index = service ? READ_ONCE(service->config) : 0;
	struct service_config *config = bpf_map_lookup_elem(&service_configs, &index);

	if (!service || !config)
		return NO_DESTINATION;
	if (config->scheduler == SHOAL_RING)
		return choose_from_ring(config);
	return choose_least(config, config->scheduler == SHOAL_WLC);
}

#endif
