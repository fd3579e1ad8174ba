/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Choosing a destination without remembering: every router, at any time, finds the same one for a client's address and
 * port, and one that comes or goes moves only its own share. Highest random weight, Thaler and Ravishankar 1998, with
 * the weights of Schindelhauer and Schomaker 2005. The reference is shoal/schedulers/rendezvous.py.
 */
#ifndef SHOAL_RENDEZVOUS_H
#define SHOAL_RENDEZVOUS_H
#include "listening.h"
#include "schedule_least.h"

struct rendezvous {
	const struct service_config *config;
	__u64 client;
	__u32 chosen;
	__u32 weight;
	__u32 cost;
};

static __always_inline __u32 rendezvous_hash(__u64 client, const struct destination *to)
{
	const __be32 *word = to->address.word;
	__u64 x = client ^ (__u64)bpf_ntohl(word[0] ^ word[1] ^ word[2] ^ word[3]) << 16 ^ bpf_ntohs(to->port);

	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0x9e3779b97f4a7c15ull;
	return x >> 32;
}

/* -log2(hash / 2^32) in 16 bits of fraction: the logarithm between two powers of two is nearly a parabola. */
static __always_inline __u32 rendezvous_cost(__u32 hash)
{
	__u32 whole = 31 - __builtin_clz(hash | 1);
	__u64 rest = ((hash | 1) << (31 - whole) & 0x7fffffff) >> 15;

	rest += (rest * (65536 - rest) >> 16) * 22708 >> 16;
	return (32u << 16) - (whole << 16) - rest;
}

static long compare_at_rendezvous(__u32 i, struct rendezvous *search)
{
	__u32 position = search->config->members + i;
	const struct member *member = bpf_map_lookup_elem(&members, &position);

	if (!member)
		return 1;
	__u32 number = member->destination, weight = member->weight;
	const struct destination *to = bpf_map_lookup_elem(&destinations, &number);
	if (!member->candidate || !to)
		return 0;
	__u32 cost = rendezvous_cost(rendezvous_hash(search->client, to));
	if (search->chosen != NO_DESTINATION && (__u64)cost * search->weight >= (__u64)search->cost * weight)
		return 0;
	search->chosen = number;
	search->cost = cost;
	search->weight = weight;
	return 0;
}

__noinline __u32 choose_by_rendezvous(const struct request *request)
{
	if (!request)
		return NO_DESTINATION;
	__u64 client = (__u64)bpf_ntohl(request->client) << 32 | (__u64)bpf_ntohs(request->client_port) << 16;

	client *= 0x9e3779b97f4a7c15ull;
	struct rendezvous search = {
		.config = config_of(request->service),
		.client = client ^ client >> 32,
		.chosen = NO_DESTINATION,
	};

	if (search.config)
		bpf_loop(search.config->n_members, compare_at_rendezvous, &search, 0);
	return search.chosen;
}

#endif
