/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Persistence: the new connections of a client network go to the real server that its first one was scheduled to, over
 * all listeners of the virtual server. A template remembers it. Its time begins anew with each connection, and it
 * outlives that time while one of its connections lives (ip_vs_sched_persist(), ip_vs_core.c; ip_vs_conn_expire()).
 */
#ifndef SHOAL_PERSISTENCE_H
#define SHOAL_PERSISTENCE_H
#include "maps.h"
#include "ticks.h"

#define NO_DESTINATION 0xffffffffu

static __always_inline const struct service_config *config_of(__u32 service_number)
{
	const struct service *service = bpf_map_lookup_elem(&services, &service_number);
	__u32 index = service ? READ_ONCE(service->config) : 0;

	return bpf_map_lookup_elem(&service_configs, &index);
}

static __always_inline void mask_address(struct address6 *address, __u32 prefix)
{
	for (__u32 i = 0; i < 4; i++) {
		__u32 bits = prefix > 32 * i ? prefix - 32 * i : 0;
		__u32 mask = bits >= 32 ? ~0u : ~(~0u >> bits);

		address->word[i] &= bpf_htonl(mask);
	}
}

/* What a client's template is found by. */
static __always_inline struct template_key template_key(const struct service_config *config, __u32 service,
							 const struct ip_address *client)
{
	struct template_key key = { .service = service, .network = mapped(client) };

	mask_address(&key.network, SHOAL_FAMILY == 4 ? 96 + config->prefix4 : config->prefix6);
	return key;
}

static __always_inline int is_in_force(const struct template *template, __u32 service, __u32 now)
{
	__u32 number = template->destination;
	const struct destination *to = bpf_map_lookup_elem(&destinations, &number);

	if (!READ_ONCE(template->connections) && passed(READ_ONCE(template->expires), now))
		return 0;
	return to && to->service == service && to->flags & SHOAL_TAKES_PERSISTENT;
}

static __always_inline __u32 persistence_end(const struct service_config *config, __u32 now)
{
	return now + (__u32)(config->persistence * 1000000000ull >> SHOAL_TICK_SHIFT);
}

/* One connection more of a template in force, whose time begins anew; its destination. */
static __always_inline __u32 join_template(const struct service_config *config, struct template *template, __u32 now)
{
	__sync_fetch_and_add(&template->connections, 1);
	WRITE_ONCE(template->expires, persistence_end(config, now));
	return template->destination;
}

/* The destination of a client's template, which has one connection more then; NO_DESTINATION when none is in force. */
__noinline __u32 recall_destination(__u32 service, const struct ip_address *client, __u32 now)
{
	const struct service_config *config = config_of(service);

	if (!config || !client)
		return NO_DESTINATION;
	struct template_key key = template_key(config, service, client);
	struct template *template = bpf_map_lookup_elem(&templates, &key);

	return template && is_in_force(template, service, now) ? join_template(config, template, now) : NO_DESTINATION;
}

/*
 * A client without a template was given a destination: make it one, with one connection. Where another CPU has just done
 * that for the same network, its choice is the one that counts. Returns the destination; NO_DESTINATION when there is
 * no room for a template.
 */
__noinline __u32 make_template(__u32 service, const struct ip_address *client, __u32 number, __u32 now)
{
	const struct service_config *config = config_of(service);

	if (!config || !client)
		return NO_DESTINATION;
	struct template_key key = template_key(config, service, client);
	struct template fresh = {
		.destination = number, .expires = persistence_end(config, now), .connections = 1
	};
	if (!bpf_map_update_elem(&templates, &key, &fresh, BPF_NOEXIST))
		return number;
	struct template *other = bpf_map_lookup_elem(&templates, &key);
	if (other && is_in_force(other, service, now))
		return join_template(config, other, now);
	if (other && !bpf_map_update_elem(&templates, &key, &fresh, BPF_EXIST))
		return number;
	struct service_counters *counters = bpf_map_lookup_elem(&service_counters, &service);
	if (counters)
		counters->unpersisted++;
	return NO_DESTINATION;
}

/* A connection of a template is over. One that has another destination by now is another template. */
__noinline int release_template(__u32 destination, const struct ip_address *client)
{
	const struct destination *to = bpf_map_lookup_elem(&destinations, &destination);
	const struct service_config *config = to ? config_of(to->service) : NULL;

	if (!config || !config->persistence || !client)
		return 0;
	struct template_key key = template_key(config, to->service, client);
	struct template *template = bpf_map_lookup_elem(&templates, &key);
	__u32 connections = template ? READ_ONCE(template->connections) : 0;

	if (!connections || template->destination != destination)
		return 0;
	__sync_fetch_and_add(&template->connections, -1);
	return 1;
}

#endif
