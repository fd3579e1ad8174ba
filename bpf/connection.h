/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The connection table: an array of buckets of eight one-line entries (docs/adr/0002-connection-table.md).
 *
 * A connection is found by its client's address, port and protocol, which packets of both directions carry, so one
 * entry and one cache miss serve both. It stands in one of five buckets; the home bucket counts those that had to go
 * elsewhere ("spilled"), so that a lookup rarely leaves it.
 *
 * There are no locks. An entry is owned through its word:
 *   FREE or a rested DEAD entry --claim--> BUSY --publish--> live --kill--> DEAD --rest 1 s--> FREE
 * every arrow is one compare-and-swap, so exactly one CPU does what belongs to it, such as changing the counts.
 * A dead entry is only reused after a rest far longer than any packet is worked on. Where that cannot be waited for
 * (a half-open connection gives way), readers notice by the generation in the word: they take what they need and
 * then look at the word again.
 */
#ifndef SHOAL_CONNECTION_H
#define SHOAL_CONNECTION_H
#include "checksum.h"
#include "maps.h"
#include "parse.h"
#include "persistence.h"
#include "threshold.h"
#include "ticks.h"

#define STATE_OF(word) ((word) & 0xff)
#define FLAGS_OF(word) ((word) >> 8 & 0xff)
#define NEXT_GENERATION(word) (((word) & 0xffff0000u) + 0x10000u)
#define IS_LIVE(word) (STATE_OF(word) >= SHOAL_NONE)

/*
 * A client opens its connections from ports near each other, so eight such ports share all but the last bits of the
 * hash, and with them a page of the table: the processor's TLB covers few pages, and a table has many.
 */
#define NEIGHBOURS 8u

static __always_inline __u32 connection_hash(const struct ip_address *client, __be16 port, __u8 protocol, __u64 seed)
{
	__u32 host_port = bpf_ntohs(port), neighbour = host_port % NEIGHBOURS;
	__u64 x = hash_input(client, seed) ^ ((host_port - neighbour) << 16 | protocol);

	x *= 0x9e3779b97f4a7c15ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	return (x >> 32) ^ neighbour;
}

/* Home at turn 0, then four others that differ from hash to hash. The high bits choose: any number of buckets will do. */
static __always_inline __u32 bucket_index(__u32 hash, __u32 turn, __u32 n_buckets)
{
	if (turn)
		return (__u64)(__u32)(hash + turn * (hash * 0x9e3779b1u | 1)) * n_buckets >> 32;
	__u32 neighbour = hash % NEIGHBOURS;
	__u32 index = ((__u64)(hash - neighbour) * n_buckets >> 32) + neighbour;

	return index < n_buckets ? index : index % n_buckets;
}

static __always_inline int matches_client(const struct connection *c, const struct packet *packet)
{
	return has_addresses(c, &packet->source, &packet->destination) && c->client_port == packet->source_port &&
	       c->virtual_port == packet->destination_port && c->protocol == packet->protocol;
}

/* Under direct routing the real server speaks for itself: what its own address sends is no reply of a connection. */
static __always_inline int matches_server(const struct connection *c, const struct packet *packet)
{
	return same_address(&c->client, &packet->destination) && same_address(&c->inside, &packet->source) &&
	       c->client_port == packet->destination_port && c->inside_port == packet->source_port &&
	       c->protocol == packet->protocol && c->method == SHOAL_NAT;
}

/*
 * Where the search of a bucket begins. Were it always slot 0, a table with few connections would use only every
 * eighth line, and so an eighth of the sets of the processor's caches.
 */
static __always_inline __u32 slot_index(__u32 hash, __u32 turn)
{
	return (hash / NEIGHBOURS + turn) % SHOAL_BUCKET_SLOTS;
}

static __always_inline struct connection *find_in(struct bucket *bucket, const struct packet *packet, __u32 hash,
						    enum direction direction)
{
	for (__u32 turn = 0; turn < SHOAL_BUCKET_SLOTS; turn++) {
		struct connection *c = &bucket->slot[slot_index(hash, turn)];
		int match = direction == FROM_CLIENT ? matches_client(c, packet) : matches_server(c, packet);

		if (match && IS_LIVE(READ_ONCE(c->word)))
			return c;
	}
	return NULL;
}

/*
 * What is rare is a global function: the verifier checks it once, by itself, instead of once for every way into it.
 * Such functions cannot return pointers into maps, so entries travel as their place: bucket * 8 + slot.
 */
#define NOWHERE (~0ull)

static __always_inline struct connection *entry_at(__u64 place)
{
	__u32 index = place / SHOAL_BUCKET_SLOTS;
	struct bucket *bucket = bpf_map_lookup_elem(&connection_table, &index);

	if (!bucket)
		return NULL;
	barrier_var(bucket);	/* the verifier wants the test before the sum */
	return &bucket->slot[place % SHOAL_BUCKET_SLOTS];
}

/* For a connection that is not in its home bucket. */
__noinline __u64 find_elsewhere(const struct packet *packet, __u32 hash, __u32 n_buckets, __u32 direction)
{
	if (!packet)
		return NOWHERE;
	for (__u32 turn = 1; turn < SHOAL_PROBE_BUCKETS; turn++) {
		__u32 index = bucket_index(hash, turn, n_buckets);
		struct bucket *bucket = bpf_map_lookup_elem(&connection_table, &index);
		struct connection *c = bucket ? find_in(bucket, packet, hash, direction) : NULL;

		if (c)
			return (__u64)index * SHOAL_BUCKET_SLOTS + (c - bucket->slot);
	}
	return NOWHERE;
}

static __always_inline struct connection *find_connection(const struct packet *packet, __u32 hash, __u32 n_buckets,
							    enum direction direction)
{
	__u32 index = bucket_index(hash, 0, n_buckets);
	struct bucket *home = bpf_map_lookup_elem(&connection_table, &index);

	if (!home)
		return NULL;
	struct connection *c = find_in(home, packet, hash, direction);
	if (c || !READ_ONCE(home->slot[0].spilled))
		return c;
	__u64 place = find_elsewhere(packet, hash, n_buckets, direction);
	return place == NOWHERE ? NULL : entry_at(place);
}

static __always_inline void count_load(__u32 destination, __u32 state, __u32 amount)
{
	struct load *load = bpf_map_lookup_elem(&loads, &destination);

	if (load)
		__sync_fetch_and_add(state_is_active(state) ? &load->active : &load->inactive, amount);
}

/* Live connections of a service; how many there were before. */
static __always_inline __u32 hold(__u32 service, __u32 amount)
{
	struct service_load *load = bpf_map_lookup_elem(&service_loads, &service);

	return load ? __sync_fetch_and_add(&load->connections, amount) : 0;
}

static __always_inline void unhold(__u32 number)
{
	const struct destination *destination = bpf_map_lookup_elem(&destinations, &number);

	if (destination)
		hold(destination->service, -1);
}

/* A connection begins. */
static __always_inline void count_begin(__u32 destination, __u32 state)
{
	struct load *load = bpf_map_lookup_elem(&loads, &destination);

	if (!load)
		return;
	__sync_fetch_and_add(state_is_active(state) ? &load->active : &load->inactive, 1);
	mind_thresholds(destination, load, 1);
}

/* A connection with this word is over. */
__noinline int count_end(__u32 destination, __u32 word, const struct ip_address *client)
{
	struct load *load = bpf_map_lookup_elem(&loads, &destination);

	if (FLAGS_OF(word) & SHOAL_TEMPLATED)
		release_template(destination, client);
	unhold(destination);
	if (!load)
		return 0;
	__sync_fetch_and_add(state_is_active(STATE_OF(word)) ? &load->active : &load->inactive, -1);
	mind_thresholds(destination, load, -1);
	return 1;
}

#include "local_port.h"

/* What goes with a live connection, once its word says that it is over. */
static __always_inline void let_go(const struct connection *c, __u32 word)
{
	count_end(c->destination, word, &c->client);
	if (c->method == SHOAL_FULLNAT)
		release_local_port(c);
}

/* Whoever moves the word from live to DEAD takes the connection out of the counts. */
static __always_inline int kill_connection(struct connection *c, __u32 word, __u32 now)
{
	if (__sync_val_compare_and_swap(&c->word, word, (word & ~0xffu) | SHOAL_DEAD) != word)
		return 0;
	WRITE_ONCE(c->expires, now);
	let_go(c, word);
	return 1;
}

static __always_inline __u32 home_of(const struct connection *c, const struct settings *table)
{
	__u32 hash = connection_hash(&c->client, c->client_port, c->protocol, table->hash_seed);

	return bucket_index(hash, 0, n_buckets_of(table));
}

/* After an entry outside its home bucket has rested: its home no longer has to look for it. */
static __always_inline void forget_spill(__u32 word, __u32 home)
{
	if (!(FLAGS_OF(word) & SHOAL_SPILLED))
		return;
	struct bucket *bucket = bpf_map_lookup_elem(&connection_table, &home);

	if (bucket)
		__sync_fetch_and_add(&bucket->slot[0].spilled, -1);
}

static __always_inline int has_rested(const struct connection *c, __u32 word, __u32 now)
{
	return STATE_OF(word) == SHOAL_DEAD && passed(READ_ONCE(c->expires) + SHOAL_GRACE_TICKS, now);
}

/* The packet's effect on the state machine and the deadline. */
static __always_inline void advance(struct connection *c, __u32 word, __u8 event, enum direction direction, __u32 now,
				    const struct settings *table)
{
	__u32 state = STATE_OF(word), next = state;
	__u32 index = state - SHOAL_NONE;

	if (event < TCP_EVENTS && index < N_TCP_STATES)
		next = tcp_transitions[direction][event][index];
	else if (event > TCP_NO_EVENT)
		next = next_sctp_state(state, event, direction);
	if (next != state &&
	    __sync_val_compare_and_swap(&c->word, word, (word & ~0xffu) | next) == word &&
	    state_is_active(next) != state_is_active(state)) {
		count_load(c->destination, state, -1);
		count_load(c->destination, next, 1);
	}
	__u32 expires = now + table->timeout_ticks[next & 31];
	if (c->expires != expires)
		WRITE_ONCE(c->expires, expires);
}

#endif
