// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What lvsd runs on the tables (BPF_PROG_RUN of a "syscall" program): the sweep and the listing, both in slices. */
#include "verdict.h"
#include "connection.h"

/* Programs of this kind have no clock but this one. */
SEC("syscall")
int shoal_clock(struct clock_reading *reading)
{
	reading->jiffies = bpf_jiffies64();
	return 0;
}

struct slice {
	__u32 first;
	__u32 now;
	struct sweep_arguments *totals;
};

static __always_inline void sweep_entry(struct connection *c, __u32 now, const struct settings *table,
					struct sweep_arguments *totals)
{
	__u32 word = READ_ONCE(c->word);

	if (IS_LIVE(word)) {
		if (passed(READ_ONCE(c->expires), now)) {
			totals->expired += kill_connection(c, word, now);
			return;
		}
		totals->live++;
		totals->local_ports += c->method == SHOAL_FULLNAT;
		if (state_is_half_open(STATE_OF(word)))
			totals->half_open++;
	} else if (has_rested(c, word, now)) {
		__u32 home = home_of(c, table);	/* read before somebody else may write it */

		if (__sync_val_compare_and_swap(&c->word, word, NEXT_GENERATION(word) | SHOAL_FREE) == word)
			forget_spill(word, home);
	}
}

static long sweep_bucket(__u64 i, struct slice *slice)
{
	__u32 index = slice->first + i;
	struct bucket *bucket = bpf_map_lookup_elem(&connection_table, &index);
	const struct settings *table = bpf_map_lookup_elem(&settings, &zero);

	if (!bucket || !table)
		return 1;
	for (int slot = 0; slot < SHOAL_BUCKET_SLOTS; slot++)
		sweep_entry(&bucket->slot[slot], slice->now, table, slice->totals);
	return 0;
}

/* A fragment whose first has not come in time. */
static long sweep_held(__u32 i, const __u32 *now)
{
	struct held_fragment *held = bpf_map_lookup_elem(&held_fragments, &i);

	if (!held)
		return 1;
	if (READ_ONCE(held->state) != SHOAL_HELD_WAITING || !passed(READ_ONCE(held->tick) + SHOAL_HELD_TICKS, *now))
		return 0;
	if (__sync_val_compare_and_swap(&held->state, SHOAL_HELD_WAITING, SHOAL_HELD_FREE) == SHOAL_HELD_WAITING)
		drop(NO_SERVICE, SHOAL_FRAGMENT_WITHOUT_FIRST);
	return 0;
}

/* The first slice sweeps the fragments too. */
SEC("syscall")
int shoal_sweep(struct sweep_arguments *arguments)
{
	struct sweep_arguments totals = *arguments;
	struct slice slice = { .first = totals.first_bucket, .now = totals.now, .totals = &totals };

	if (!totals.first_bucket)
		bpf_loop(SHOAL_HELD_FRAGMENTS, sweep_held, &totals.now, 0);
	totals.expired = totals.live = totals.half_open = totals.local_ports = 0;
	bpf_loop(totals.n_buckets, sweep_bucket, &slice, 0);
	*arguments = totals;
	return 0;
}

static long sweep_template(const void *map, const struct template_key *key, const struct template *template,
			   struct template_sweep_arguments *totals)
{
	__u32 number = template->destination;
	const struct destination *to = bpf_map_lookup_elem(&destinations, &number);

	if (to && to->in_use && (READ_ONCE(template->connections) || !passed(READ_ONCE(template->expires), totals->now))) {
		totals->live++;
		return 0;
	}
	totals->expired += !bpf_map_delete_elem(&templates, key);
	return 0;
}

/* Removes templates that are over, and those of destinations whose number is about to be given to others. */
SEC("syscall")
int shoal_sweep_templates(struct template_sweep_arguments *arguments)
{
	struct template_sweep_arguments totals = { .now = arguments->now };

	bpf_for_each_map_elem(&templates, sweep_template, &totals, 0);
	*arguments = totals;
	return 0;
}

struct list_slice {
	__u32 first;
	__u32 now;
	struct list_arguments *totals;
};

/* Copies one entry to its place in the listing if it is live. Global, so that the verifier does not follow every count. */
__noinline int list_one(__u64 place, __u32 at, __u32 now)
{
	const struct connection *c = entry_at(place);
	struct connection *out = bpf_map_lookup_elem(&listing_table, &at);

	if (!c || !out || !IS_LIVE(READ_ONCE(c->word)) || passed(READ_ONCE(c->expires), now))
		return 0;
	*out = *c;
	return 1;
}

static long list_entry(__u64 i, struct list_slice *slice)
{
	__u64 place = (__u64)slice->first * SHOAL_BUCKET_SLOTS + i;
	__u32 at = slice->totals->n_entries;

	slice->totals->next_bucket = place / SHOAL_BUCKET_SLOTS;
	/* a bucket is listed whole or not at all, so that the next call can begin with one */
	if (place % SHOAL_BUCKET_SLOTS == 0 && at > SHOAL_LIST_ENTRIES - SHOAL_BUCKET_SLOTS)
		return 1;
	slice->totals->n_entries = at + list_one(place, at, slice->now);
	slice->totals->next_bucket = place / SHOAL_BUCKET_SLOTS + 1;
	return 0;
}

/* Live connections from first_bucket on into the listing, as many as it holds; next_bucket is where to go on. */
SEC("syscall")
int shoal_list(struct list_arguments *arguments)
{
	struct list_arguments totals = *arguments;
	struct list_slice slice = { .first = totals.first_bucket, .now = totals.now, .totals = &totals };

	totals.n_entries = 0;
	bpf_loop(totals.n_buckets * SHOAL_BUCKET_SLOTS, list_entry, &slice, 0);
	*arguments = totals;
	return 0;
}

char shoal_license[] SEC("license") = "GPL";
