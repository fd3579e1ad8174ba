/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lblcr: what is sent to one virtual address goes to the least loaded of a set of destinations, which grows when that
 * one is overloaded and shrinks when it stayed the same for a day (ip_vs_lblcr.c). A cache, as that of lblc.
 */
#ifndef SHOAL_SCHEDULE_REPLICAS_H
#define SHOAL_SCHEDULE_REPLICAS_H
#include "schedule_locality.h"

/* The end of a comparison among the set: the least or the most loaded; of equals the newest. */
struct extreme {
	__u64 cost;
	__u32 weight;		/* 0: none yet */
	__u32 position;
};

/* What a search finds. It stands outside of the stack, of which there is little left below the schedulers. */
struct replica_findings {
	struct replicas set;
	struct extreme idlest;
	struct extreme busiest;
	__u32 idlest_destination;
	__u32 idlest_is_above_weight;
	__u32 somebody_is_half_idle;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct replica_findings);
} replica_findings SEC(".maps");

struct replica_search {
	struct least least;	/* what wlc would choose */
	struct replica_findings *found;
};

static __always_inline __u32 position_in(const struct replicas *set, __u32 destination)
{
	__u32 found = SHOAL_MAX_REPLICAS;

	for (__u32 i = 0; i < SHOAL_MAX_REPLICAS; i++)
		if (found == SHOAL_MAX_REPLICAS && i < set->n && set->destination[i] == destination)
			found = i;
	return found;
}

/* Whether cost / weight is less (or else more) than the extreme, or equal and newer; it then takes its place. */
static __always_inline int replaces(struct extreme *extreme, __u64 cost, __u32 weight, __u32 position, int least)
{
	__u64 mine = cost * extreme->weight, its = extreme->cost * weight;
	int is_beyond = least ? mine < its : mine > its;

	if (extreme->weight && !is_beyond && (mine != its || position > extreme->position))
		return 0;
	extreme->cost = cost;
	extreme->weight = weight;
	extreme->position = position;
	return 1;
}

static long search_replica(__u32 i, struct replica_search *search)
{
	__u32 number = search->least.config->members + i;
	const struct member *member = bpf_map_lookup_elem(&members, &number);

	if (!member || !is_candidate(search->least.config, member))
		return 0;
	__u32 destination = member->destination;
	const struct load *load = bpf_map_lookup_elem(&loads, &destination);
	struct replica_findings *found = search->found;

	if (!load)
		return 0;
	consider(&search->least, member, load);
	if (2 * (__u64)load->active < member->weight)
		found->somebody_is_half_idle = 1;
	__u32 position = position_in(&found->set, destination);

	if (position == SHOAL_MAX_REPLICAS)
		return 0;
	if (replaces(&found->idlest, overhead(load), member->weight, position, 1)) {
		found->idlest_destination = destination;
		found->idlest_is_above_weight = load->active > member->weight;
	}
	replaces(&found->busiest, overhead(load), member->weight, position, 0);
	return 0;
}

static __always_inline void leave_set(struct replicas *set, __u32 position, __u32 now)
{
	for (__u32 i = 0; i + 1 < SHOAL_MAX_REPLICAS; i++)
		if (i >= position)
			set->destination[i] = set->destination[i + 1];
	set->n--;
	set->changed = now;
}

/* In front; of a full set the oldest gives way. */
static __always_inline void join_set(struct replicas *set, __u32 destination, __u32 now)
{
	if (position_in(set, destination) != SHOAL_MAX_REPLICAS)
		return;
	for (__u32 i = SHOAL_MAX_REPLICAS - 1; i > 0; i--)
		set->destination[i] = set->destination[i - 1];
	set->destination[0] = destination;
	if (set->n < SHOAL_MAX_REPLICAS)
		set->n++;
	set->changed = now;
}

/* The set of an address, as it is remembered; empty when it was not used for a day. */
static __always_inline void recall_set(struct replicas *set, const struct locality_key *key, __u32 now)
{
	const struct replicas *kept = bpf_map_lookup_elem(&replica_sets, key);

	if (kept && now - kept->used < EXPIRATION_TICKS)
		*set = *kept;
}

__noinline __u32 choose_by_replicas(__u32 config_number, const struct request *request)
{
	const struct service_config *config = bpf_map_lookup_elem(&service_configs, &config_number);
	struct replica_findings *found = bpf_map_lookup_elem(&replica_findings, &zero);

	if (!config || !found || !request)
		return NO_DESTINATION;
	struct locality_key key = { .service = request->service, .address = request->virtual_address };
	struct replica_search search = {
		.least = { .config = config, .scheduler = SHOAL_WLC, .best = NO_DESTINATION, .cost = 1 },
		.found = found,
	};
	__u32 now = request->now;

	__builtin_memset(found, 0, sizeof(*found));
	recall_set(&found->set, &key, now);
	bpf_loop(config->n_members, search_replica, &search, 0);
	__u32 chosen = search.least.best;
	int is_good = found->idlest.weight && !(found->idlest_is_above_weight && found->somebody_is_half_idle);

	if (found->set.n > 1 && now - found->set.changed > EXPIRATION_TICKS && found->busiest.weight)
		leave_set(&found->set, found->busiest.position, now);
	if (is_good)
		chosen = found->idlest_destination;
	else if (chosen != NO_DESTINATION)
		join_set(&found->set, chosen, now);
	found->set.used = now;
	if (found->set.n)
		bpf_map_update_elem(&replica_sets, &key, &found->set, BPF_ANY);
	return chosen;
}

#endif
