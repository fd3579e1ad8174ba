/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * twos: of two members drawn by weight, the better one (ip_vs_twos.c). The random numbers come from the secret seed
 * and a count of the draws, so that whoever knows both can say what was drawn; clients do not.
 */
#ifndef SHOAL_SCHEDULE_TWOS_H
#define SHOAL_SCHEDULE_TWOS_H
#include "schedule_least.h"

/* splitmix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014). */
static __always_inline __u64 drawn(__u64 seed, __u32 stream, __u32 count)
{
	__u64 x = seed + ((__u64)stream << 32 | count) * 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

struct draw {
	const struct service_config *config;
	__u32 total;		/* of the candidates' weights */
	__s64 point[2];
	__u32 member[2];	/* positions; NO_DESTINATION until the point is passed */
};

static long weigh_member(__u32 i, struct draw *draw)
{
	__u32 position = draw->config->members + i;
	const struct member *member = bpf_map_lookup_elem(&members, &position);

	if (member && is_candidate(draw->config, member))
		draw->total += member->weight;
	return 0;
}

/* Who is overloaded is not known beforehand. */
static __always_inline __u32 total_weight(struct draw *draw)
{
	if (!(draw->config->flags & SHOAL_THRESHOLDS))
		return draw->config->total_weight;
	bpf_loop(draw->config->n_members, weigh_member, draw, 0);
	return draw->total;
}

static long pass_member(__u32 i, struct draw *draw)
{
	__u32 position = draw->config->members + i;
	const struct member *member = bpf_map_lookup_elem(&members, &position);

	if (!member || !is_candidate(draw->config, member))
		return 0;
	for (int pick = 0; pick < 2; pick++) {
		draw->point[pick] -= member->weight;
		if (draw->point[pick] <= 0 && draw->member[pick] == NO_DESTINATION)
			draw->member[pick] = position;
	}
	return draw->member[0] != NO_DESTINATION && draw->member[1] != NO_DESTINATION;
}

static __always_inline __u32 better_of(const struct member *one, const struct member *other)
{
	__u32 first = one->destination, second = other->destination;
	const struct load *load = bpf_map_lookup_elem(&loads, &first);
	const struct load *other_load = bpf_map_lookup_elem(&loads, &second);

	if (!load || !other_load)
		return NO_DESTINATION;
	return overhead(load) * other->weight > overhead(other_load) * one->weight ? second : first;
}

static __always_inline __u32 choose_better_of_two(struct service_config *config, __u32 config_number)
{
	const struct settings *table = bpf_map_lookup_elem(&settings, &zero);
	struct draw draw = { .config = config, .member = { NO_DESTINATION, NO_DESTINATION } };

	if (!table)
		return NO_DESTINATION;
	__u32 parts = total_weight(&draw) + 1;	/* as in the kernel, both ends are included */
	__u64 chance = drawn(table->hash_seed, config_number, __sync_fetch_and_add(&config->cursor, 1));
	draw.point[0] = (__u32)chance % parts;
	draw.point[1] = (__u32)(chance >> 32) % parts;
	bpf_loop(config->n_members, pass_member, &draw, 0);
	const struct member *one = bpf_map_lookup_elem(&members, &draw.member[0]);
	const struct member *other = bpf_map_lookup_elem(&members, &draw.member[1]);

	return one && other ? better_of(one, other) : NO_DESTINATION;
}

#endif
