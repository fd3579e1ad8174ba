/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Choosing a destination. Semantics: shoal/schedulers (pure), which are those of the kernel's ip_vs_<name>.c.
 * rr and wrr have been worked out into a ring; the others compare members (schedule_least.h), draw two of them
 * (schedule_twos.h), hash the request (schedule_hash.h), or remember (schedule_locality.h, schedule_replicas.h).
 */
#ifndef SHOAL_SCHEDULE_H
#define SHOAL_SCHEDULE_H
#include "schedule_hash.h"
#include "schedule_least.h"
#include "schedule_locality.h"
#include "schedule_replicas.h"
#include "schedule_twos.h"

struct walk {
	struct service_config *config;
	__u32 found;
};

static long take_next(__u32 i, struct walk *walk)
{
	struct service_config *config = walk->config;
	__u32 position = config->ring + __sync_fetch_and_add(&config->cursor, 1) % config->n_ring;
	const __u32 *destination = bpf_map_lookup_elem(&rings, &position);

	if (!destination || is_overloaded(config, *destination))
		return 0;
	walk->found = *destination;
	return 1;
}

/* The ring holds those with a share; who is overloaded is passed over. */
static __always_inline __u32 choose_from_ring(struct service_config *config)
{
	struct walk walk = { .config = config, .found = NO_DESTINATION };

	if (config->n_ring && !take_next(0, &walk) && config->flags & SHOAL_THRESHOLDS)
		bpf_loop(config->n_ring - 1, take_next, &walk, 0);
	return walk.found;
}

/* Without a memory of earlier requests. */
__noinline __u32 choose_afresh(__u32 config_number, const struct request *request)
{
	struct service_config *config = bpf_map_lookup_elem(&service_configs, &config_number);

	if (!config || !request)
		return NO_DESTINATION;
	switch (config->scheduler) {
	case SHOAL_RING:
		return choose_from_ring(config);
	case SHOAL_TWOS:
		return choose_better_of_two(config, config_number);
	case SHOAL_SH:
		return choose_by_source(config, request->client, request->client_port);
	case SHOAL_DH:
		return choose_by_address(config, request->virtual_fold);
	case SHOAL_MH:
		return choose_by_maglev(config, request->client, request->client_port);
	default:
		return choose_least(config);
	}
}

/* Functions of their own, because the stacks of all schedulers together would be too much. */
static __always_inline __u32 choose_destination(const struct request *request)
{
	__u32 service_number = request->service;
	struct service *service = bpf_map_lookup_elem(&services, &service_number);
	__u32 index = service ? READ_ONCE(service->config) : 0;
	const struct service_config *config = bpf_map_lookup_elem(&service_configs, &index);

	if (!service || !config)
		return NO_DESTINATION;
	switch (config->scheduler) {
	case SHOAL_LBLC:
		return choose_by_locality(index, request);
	case SHOAL_LBLCR:
		return choose_by_replicas(index, request);
	default:
		return choose_afresh(index, request);
	}
}

#endif
