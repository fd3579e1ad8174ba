/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lblc: what is sent to one virtual address stays with one destination (ip_vs_lblc.c). The memory of it is a cache: it
 * may forget, and then wlc chooses again. It goes by destination numbers, and so outlives changes of the service.
 */
#ifndef SHOAL_SCHEDULE_LOCALITY_H
#define SHOAL_SCHEDULE_LOCALITY_H
#include "schedule_least.h"

#define EXPIRATION_TICKS (86400ull * 1000000000 >> SHOAL_TICK_SHIFT)	/* sysctl lblc_expiration: 24 hours */

struct locality_search {
	struct least least;	/* what wlc would choose */
	__u32 kept;		/* destination, or NO_DESTINATION */
	__u32 kept_is_candidate;
	__u32 kept_is_above_weight;
	__u32 somebody_is_half_idle;
};

static long search_member(__u32 i, struct locality_search *search)
{
	__u32 position = search->least.config->members + i;
	const struct member *member = bpf_map_lookup_elem(&members, &position);

	if (!member || !is_candidate(search->least.config, member))
		return 0;
	__u32 destination = member->destination;
	const struct load *load = bpf_map_lookup_elem(&loads, &destination);

	if (!load)
		return 0;
	consider(&search->least, member, load);
	if (2 * (__u64)load->active < member->weight)
		search->somebody_is_half_idle = 1;
	if (destination == search->kept) {
		search->kept_is_candidate = 1;
		search->kept_is_above_weight = load->active > member->weight;
	}
	return 0;
}

__noinline __u32 choose_by_locality(__u32 config_number, const struct request *request)
{
	const struct service_config *config = bpf_map_lookup_elem(&service_configs, &config_number);

	if (!config || !request)
		return NO_DESTINATION;
	struct locality_key key = { .service = request->service, .address = request->virtual_address };
	__u32 now = request->now;
	struct locality *kept = bpf_map_lookup_elem(&localities, &key);
	struct locality_search search = {
		.least = { .config = config, .scheduler = SHOAL_WLC, .best = NO_DESTINATION, .cost = 1 },
		.kept = kept && now - kept->used < EXPIRATION_TICKS ? kept->destination : NO_DESTINATION,
	};

	bpf_loop(config->n_members, search_member, &search, 0);
	if (search.kept_is_candidate && !(search.kept_is_above_weight && search.somebody_is_half_idle)) {
		if (kept)
			kept->used = now;
		return search.kept;
	}
	if (search.least.best != NO_DESTINATION) {
		struct locality fresh = { .destination = search.least.best, .used = now };

		bpf_map_update_elem(&localities, &key, &fresh, BPF_ANY);
	}
	return search.least.best;
}

#endif
