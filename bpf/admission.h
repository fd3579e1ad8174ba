/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether a source may begin a connection: access lists, and how often it may. Asked before anything is scheduled. */
#ifndef SHOAL_ADMISSION_H
#define SHOAL_ADMISSION_H
#include "connection.h"
#include "listening.h"

#define ADMITTED SHOAL_DROPS
#define NANOSECONDS 1000000000ull
#define RATE_TRIES 4

static __always_inline int is_denied(const struct packet *packet, __u32 service, const struct service_config *config)
{
	const struct service *of = bpf_map_lookup_elem(&services, &service);
	struct access_key key = {
		.prefix_length = 8 * (sizeof(key) - sizeof(key.prefix_length)),
		.config = of ? READ_ONCE(of->config) : 0,
		.family = SHOAL_FAMILY,
		.source = mapped(&packet->source),
	};

	if (!(config->options & SHOAL_SCREENED))
		return 0;
	const __u32 *allowed = bpf_map_lookup_elem(&access, &key);
	return allowed ? !*allowed : !!(config->options & SHOAL_ALLOW_LISTED);
}

/*
 * A leaky bucket as the virtual scheduling algorithm keeps it (ITU-T I.371 annex A): one number for each source, when
 * its next connection is due. It may come early by what the burst allows.
 */
static __always_inline int comes_too_often(const struct packet *packet, __u32 service,
					   const struct service_config *config)
{
	struct source_key key = { .service = service, .source = mapped(&packet->source) };
	__u64 now = bpf_ktime_get_coarse_ns();

	if (!config->source_count)
		return 0;
	if (SHOAL_FAMILY == 6)
		key.source.word[2] = key.source.word[3] = 0;
	__u64 interval = config->source_period * NANOSECONDS / config->source_count;
	__u64 early = interval * (config->source_burst - 1), next = now + interval;
	__u64 *due = bpf_map_lookup_elem(&source_arrivals, &key);
	if (!due) {
		bpf_map_update_elem(&source_arrivals, &key, &next, BPF_ANY);
		return 0;
	}
	for (int i = 0; i < RATE_TRIES; i++) {
		__u64 seen = READ_ONCE(*due), begin = seen > now ? seen : now;

		if (begin - now > early)
			return 1;
		if (__sync_val_compare_and_swap(due, seen, begin + interval) == seen)
			return 0;
	}
	return 0;
}

/* ADMITTED, or why the source is refused. */
__noinline int judge_source(const struct packet *packet, __u32 service)
{
	const struct service_config *config = config_of(service);

	if (!packet || !config)
		return ADMITTED;
	if (is_denied(packet, service, config))
		return SHOAL_DENIED;
	return comes_too_often(packet, service, config) ? SHOAL_SOURCE_RATE : ADMITTED;
}

/* Takes one of the connections that a service may have. */
static __always_inline int is_within_limit(__u32 service, const struct service_config *config)
{
	__u32 before = hold(service, 1);

	if (!config->connection_limit || before < config->connection_limit)
		return 1;
	hold(service, -1);
	return 0;
}

#endif
