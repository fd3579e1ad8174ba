/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sh, dh and mh: a hash of the request leads to a place of the ring, and that to a member. Python has filled the ring
 * (shoal/schedulers/{sh,dh,mh}.py); the hashes are the kernel's (hash_32() in include/linux/hash.h, hsiphash() in
 * lib/siphash.c). A member that is no candidate keeps its places, so that only its own clients move.
 */
#ifndef SHOAL_SCHEDULE_HASH_H
#define SHOAL_SCHEDULE_HASH_H
#include <bpf/bpf_endian.h>
#include "maps.h"
#include "schedule_least.h"

#define TABLE_BITS 8	/* of sh and dh */
#define TABLE_SIZE (1u << TABLE_BITS)
#define MAGLEV_KEY 2654435761ull	/* both halves; generate_hash_secret(), ip_vs_mh.c */

static __always_inline __u32 hash_to_table(__u32 value)
{
	return (value * 0x61c88647u) >> (32 - TABLE_BITS);
}

static __always_inline __u64 rotated(__u64 value, __u32 bits)
{
	return value << bits | value >> (64 - bits);
}

static __always_inline void siphash_round(__u64 *v)
{
	v[0] += v[1];
	v[1] = rotated(v[1], 13) ^ v[0];
	v[0] = rotated(v[0], 32);
	v[2] += v[3];
	v[3] = rotated(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotated(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotated(v[1], 17) ^ v[2];
	v[2] = rotated(v[2], 32);
}

/* SipHash-1-3 of four bytes, cut to 32 bits. */
static __always_inline __u32 maglev_hash(__u32 value)
{
	__u64 last = 4ull << 56 | value;
	__u64 v[4] = {
		0x736f6d6570736575ull ^ MAGLEV_KEY,
		0x646f72616e646f6dull ^ MAGLEV_KEY,
		0x6c7967656e657261ull ^ MAGLEV_KEY,
		0x7465646279746573ull ^ MAGLEV_KEY,
	};

	v[3] ^= last;
	siphash_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	siphash_round(v);
	siphash_round(v);
	siphash_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The destination at a place of the ring, if it is a candidate. */
static __always_inline __u32 candidate_at(const struct service_config *config, __u32 place)
{
	__u32 position = config->ring + place;
	const __u32 *chosen = bpf_map_lookup_elem(&rings, &position);

	if (!config->n_ring || !chosen)
		return NO_DESTINATION;
	position = config->members + *chosen;
	const struct member *member = bpf_map_lookup_elem(&members, &position);

	return member && is_candidate(config, member) ? member->destination : NO_DESTINATION;
}

static __always_inline __u32 choose_by_address(const struct service_config *config, __be32 virtual_address)
{
	return candidate_at(config, hash_to_table(bpf_ntohl(virtual_address)));
}

/* What sh and mh hash: the client's address, and its port where the flag asks for it. */
static __always_inline __u32 source_sum(const struct service_config *config, __be32 client, __be16 port)
{
	return bpf_ntohl(client) + (config->flags & SHOAL_HASH_PORT ? bpf_ntohs(port) : 0);
}

struct fallback {
	const struct service_config *config;
	__u32 sum;
	__u32 home;
	__u32 found;
};

static long try_next_of_table(__u32 turn, struct fallback *fallback)
{
	fallback->found = candidate_at(fallback->config, (2 * fallback->home + turn) % TABLE_SIZE);
	return fallback->found != NO_DESTINATION;
}

static __always_inline __u32 choose_by_source(const struct service_config *config, __be32 client, __be16 port)
{
	struct fallback fallback = {
		.config = config, .home = hash_to_table(source_sum(config, client, port))
	};

	fallback.found = candidate_at(config, fallback.home);
	if (fallback.found == NO_DESTINATION && config->flags & SHOAL_FALLBACK)
		bpf_loop(TABLE_SIZE, try_next_of_table, &fallback, 0);
	return fallback.found;
}

static long try_next_of_maglev(__u32 turn, struct fallback *fallback)
{
	__u32 offset = (fallback->home + turn) % fallback->config->n_ring;
	__u32 place = maglev_hash(fallback->sum + offset) % fallback->config->n_ring;

	fallback->found = candidate_at(fallback->config, place);
	return fallback->found != NO_DESTINATION;
}

static __always_inline __u32 choose_by_maglev(const struct service_config *config, __be32 client, __be16 port)
{
	struct fallback fallback = { .config = config, .sum = source_sum(config, client, port) };

	if (!config->n_ring)
		return NO_DESTINATION;	/* nobody has a weight */
	fallback.home = maglev_hash(fallback.sum) % config->n_ring;
	fallback.found = candidate_at(config, fallback.home);
	if (fallback.found == NO_DESTINATION && config->flags & SHOAL_FALLBACK)
		bpf_loop(config->n_ring, try_next_of_maglev, &fallback, 0);
	return fallback.found;
}

#endif
