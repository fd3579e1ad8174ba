/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments that came before their first (TC only; docs/adr/0013-fragments.md). One is copied out of its buffer and
 * waits; when the first comes, all of that datagram are written into buffers again and sent around to the interface
 * they came from, the first in front of them. Nobody in user space takes part.
 *
 * A place belongs to whoever moves its state: FREE or WAITING -> BUSY -> WAITING -> BUSY -> FREE.
 */
#ifndef SHOAL_HELD_H
#define SHOAL_HELD_H
#include "datagram.h"

#define MAX_CHAIN 64		/* fragments of one datagram: 64 KiB in frames of 1,500 bytes are 45 */
#define CHAIN_TRIES 8

static __always_inline int release_first(void)
{
	return OUTCOME_RELEASE;
}

static __always_inline int take(struct held_fragment *held, __u32 state)
{
	return __sync_val_compare_and_swap(&held->state, state, SHOAL_HELD_BUSY) == state;
}

static __always_inline void set_held_state(struct held_fragment *held, __u32 state)
{
	__sync_lock_test_and_set(&held->state, state);
}

/* The next place in turn, BUSY; the one that waited there longest of all waits no more. */
static __always_inline struct held_fragment *take_turn(__u32 *index)
{
	struct held_cursor *cursor = bpf_map_lookup_elem(&held_cursor, &zero);

	if (!cursor)
		return NULL;
	*index = __sync_fetch_and_add(&cursor->next, 1) % SHOAL_HELD_FRAGMENTS;
	struct held_fragment *held = bpf_map_lookup_elem(&held_fragments, index);
	if (!held)
		return NULL;
	__u32 state = READ_ONCE(held->state);
	if (state == SHOAL_HELD_BUSY || !take(held, state))
		return NULL;
	if (state == SHOAL_HELD_WAITING)
		drop(NO_SERVICE, SHOAL_FRAGMENT_WITHOUT_FIRST);
	return held;
}

static __always_inline int copy_frame(struct __sk_buff *context, struct held_fragment *held)
{
	__u32 length = context->len;

	if (length < sizeof(struct ethhdr) || length > SHOAL_HELD_SIZE)
		return 0;
	/* 1 to SHOAL_HELD_SIZE, in a form that the verifier of Linux 6.1 understands */
	__u32 last = length - 1;
	barrier_var(last);
	last &= SHOAL_HELD_SIZE - 1;
	held->length = length;
	held->ifindex = context->ifindex;
	return !bpf_skb_load_bytes(context, 0, held->frame, last + 1);
}

/* Into the chain of its datagram. */
static __always_inline int chain_up(struct held_fragment *held, __u32 index)
{
	struct held_chain *chain = bpf_map_lookup_elem(&held_chains, &held->key);
	struct held_chain empty = {};

	if (!chain) {
		bpf_map_update_elem(&held_chains, &held->key, &empty, BPF_NOEXIST);
		chain = bpf_map_lookup_elem(&held_chains, &held->key);
	}
	for (int try = 0; chain && try < CHAIN_TRIES; try++) {
		__u32 last = READ_ONCE(chain->last);

		held->next = last;
		if (__sync_val_compare_and_swap(&chain->last, last, index + 1) == last)
			return 1;
	}
	return 0;
}

/* Keep the fragment that scratch describes. OUTCOME_OPEN: its first has come meanwhile. */
__noinline int hold_fragment(struct __sk_buff *context)
{
	struct scratch *scratch = get_scratch();
	__u32 index, now = now_in_ticks();
	struct held_fragment *held = scratch ? take_turn(&index) : NULL;

	if (!held)
		return drop(NO_SERVICE, SHOAL_FRAGMENT_WITHOUT_FIRST);
	held->key = scratch->datagram;
	held->tick = now;
	if (!copy_frame(context, held)) {
		set_held_state(held, SHOAL_HELD_FREE);
		return drop(NO_SERVICE, SHOAL_FRAGMENT_WITHOUT_FIRST);
	}
	set_held_state(held, SHOAL_HELD_WAITING);
	int is_chained = chain_up(held, index);
	if (is_chained && !recall_ports(scratch, now))
		return OUTCOME_HELD;
	if (!take(held, SHOAL_HELD_WAITING))
		return OUTCOME_HELD;	/* sent around by the first already */
	set_held_state(held, SHOAL_HELD_FREE);
	return is_chained ? OUTCOME_OPEN : (int)drop(NO_SERVICE, SHOAL_FRAGMENT_WITHOUT_FIRST);
}

/* Write a frame into the buffer, and send a copy of that to the interface it came from. */
static __always_inline int send_around(struct __sk_buff *context, struct held_fragment *held)
{
	__u32 last = held->length - 1;

	barrier_var(last);
	last &= SHOAL_HELD_SIZE - 1;
	if (bpf_skb_change_tail(context, last + 1, 0) ||
	    bpf_skb_store_bytes(context, 0, held->frame, last + 1, BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH))
		return 0;
	return !bpf_clone_redirect(context, held->ifindex, BPF_F_INGRESS);
}

/* The fragment at a place + 1, if it is still one of the datagram in scratch; the next one's place + 1, or 0. */
__noinline __u32 release_one(struct __sk_buff *context, __u32 place)
{
	struct scratch *scratch = get_scratch();
	__u32 index = place - 1;
	struct held_fragment *held = bpf_map_lookup_elem(&held_fragments, &index);

	if (!scratch || !held || !take(held, SHOAL_HELD_WAITING))
		return 0;
	if (__builtin_memcmp(&held->key, &scratch->datagram, sizeof(held->key))) {
		set_held_state(held, SHOAL_HELD_WAITING);	/* another's by now */
		return 0;
	}
	__u32 next = held->next;
	if (passed(held->tick + SHOAL_HELD_TICKS, now_in_ticks()) || !send_around(context, held))
		drop(NO_SERVICE, SHOAL_FRAGMENT_WITHOUT_FIRST);
	set_held_state(held, SHOAL_HELD_FREE);
	return next;
}

/* All that wait for the first fragment in the buffer are sent around, it in front. The buffer is used up. */
static __always_inline void release_fragments(struct __sk_buff *context, struct scratch *scratch)
{
	struct held_chain *chain = bpf_map_lookup_elem(&held_chains, &scratch->datagram);
	__u32 place = chain ? __sync_lock_test_and_set(&chain->last, 0) : 0;

	bpf_map_delete_elem(&held_chains, &scratch->datagram);
	bpf_clone_redirect(context, context->ifindex, BPF_F_INGRESS);
	for (int i = 0; i < MAX_CHAIN && place; i++)
		place = release_one(context, place);
}

#endif
