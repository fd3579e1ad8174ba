/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Finding a place for a new connection, and filling it. connection.h tells how an entry is owned. */
#ifndef SHOAL_CLAIM_H
#define SHOAL_CLAIM_H
#include "connection.h"

/* Before an entry outside its home bucket is published, so that no lookup gives up too early. */
static __always_inline void note_spill(__u32 hash, __u32 n_buckets)
{
	__u32 home = bucket_index(hash, 0, n_buckets);
	struct bucket *bucket = bpf_map_lookup_elem(&connection_table, &home);

	if (bucket)
		__sync_fetch_and_add(&bucket->slot[0].spilled, 1);
}

/*
 * Take an entry for writing: FREE, or DEAD and rested, or (victim) half-open and live.
 * Returns the word to publish from, with the next generation and state BUSY; 0 when another CPU was faster.
 */
static __always_inline __u32 claim(struct connection *c, __u32 word, const struct settings *table)
{
	__u32 busy = NEXT_GENERATION(word) | SHOAL_BUSY;

	if (__sync_val_compare_and_swap(&c->word, word, busy) != word)
		return 0;
	if (STATE_OF(word) != SHOAL_FREE)
		forget_spill(word, home_of(c, table));
	if (IS_LIVE(word))
		let_go(c, word);
	return busy;
}

/* The entry, if it is free or rested or has run out long ago. Returns the word to publish from, or 0. */
static __always_inline __u32 claim_if_idle(struct connection *c, __u32 now, const struct settings *table)
{
	__u32 word = READ_ONCE(c->word);

	if (IS_LIVE(word)) {
		__u32 expires = READ_ONCE(c->expires);

		if (!passed(expires + SHOAL_GRACE_TICKS, now) || !kill_connection(c, word, expires))
			return 0;
		word = (word & ~0xffu) | SHOAL_DEAD;
	}
	if (STATE_OF(word) != SHOAL_FREE && !has_rested(c, word, now))
		return 0;
	return claim(c, word, table);
}

/* The oldest half-open connection of a bucket gives way. */
static __always_inline __u64 claim_half_open(__u32 index, const struct settings *table)
{
	struct bucket *bucket = bpf_map_lookup_elem(&connection_table, &index);
	__u32 oldest = 0, oldest_word = 0, oldest_expires = 0;

	if (!bucket)
		return NOWHERE;
	for (__u32 i = 0; i < SHOAL_BUCKET_SLOTS; i++) {
		__u32 word = READ_ONCE(bucket->slot[i].word);
		__u32 expires = READ_ONCE(bucket->slot[i].expires);

		if (state_is_half_open(STATE_OF(word)) && (!oldest_word || (__s32)(expires - oldest_expires) < 0)) {
			oldest = i;
			oldest_word = word;
			oldest_expires = expires;
		}
	}
	if (!oldest_word)
		return NOWHERE;
	return claim(&bucket->slot[oldest % SHOAL_BUCKET_SLOTS], oldest_word, table) ?
		       (__u64)index * SHOAL_BUCKET_SLOTS + oldest :
		       NOWHERE;
}

/* A place for a new connection: a free one near home, else that of a half-open one. Its word is BUSY afterwards. */
__noinline __u64 claim_place(__u32 hash, __u32 now)
{
	const struct settings *table = bpf_map_lookup_elem(&settings, &zero);

	if (!table)
		return NOWHERE;
	for (__u32 turn = 0; turn < SHOAL_PROBE_BUCKETS; turn++) {
		__u32 index = bucket_index(hash, turn, n_buckets_of(table));
		struct bucket *bucket = bpf_map_lookup_elem(&connection_table, &index);

		if (!bucket)
			return NOWHERE;
		for (__u32 i = 0; i < SHOAL_BUCKET_SLOTS; i++) {
			__u32 slot = slot_index(hash, i);

			if (!claim_if_idle(&bucket->slot[slot], now, table))
				continue;
			if (turn)
				note_spill(hash, n_buckets_of(table));
			return (__u64)index * SHOAL_BUCKET_SLOTS + slot;
		}
	}
	return claim_half_open(bucket_index(hash, 0, n_buckets_of(table)), table);
}

/* Make a claimed entry visible. An exchange is a full barrier: whoever sees the state sees the fields. */
static __always_inline void publish(struct connection *c, __u32 flags, __u32 state)
{
	__sync_lock_test_and_set(&c->word, (c->word & ~0xffffu) | flags << 8 | state);
}

/* Give a claimed entry back. It rests first, so that its home bucket learns of it as of any other's end. */
static __always_inline void abandon(struct connection *c, __u32 flags, __u32 now)
{
	c->expires = now;
	publish(c, flags, SHOAL_DEAD);
}

#endif
