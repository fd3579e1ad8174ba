/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Forwarding method fullnat: a connection's end at this router, towards the real server. The map "local_ports" says who
 * has which; the kernel lets one CPU insert a key and no second. A port is held for as long as the connection's entry
 * lives, longer than the real server remembers the connection (its TIME-WAIT), so no old connection meets a new one.
 */
#ifndef SHOAL_LOCAL_PORT_H
#define SHOAL_LOCAL_PORT_H

#define PORTLESS (~1ull)	/* instead of a place: every local port that was tried is taken */

/* Where a key is made up, since callers are deep in the 512 bytes of stack. Each object has its own, used by one at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct local_port_key);
} local_port_room SEC(".maps");

/* Candidate number `slot` of a pool: all its addresses with the first port, then with the next. */
static __always_inline void set_candidate(struct local_port_key *key, const struct local_pool *pool, __u32 slot)
{
	key->local = pool->addresses[slot % pool->n_addresses & (SHOAL_MAX_LOCAL - 1)];
	key->local_port = bpf_htons(pool->first_port + slot / pool->n_addresses);
}

/* Try candidates from one that the client's hash chooses; small pools to the last one. */
static __always_inline int insert_key(struct local_port_key *key, const struct local_port *value,
				      const struct local_pool *pool, __u32 hash)
{
	__u32 total = pool->n_addresses * pool->n_ports;
	__u64 step = total > SHOAL_PORT_TRIES ? 1 + (hash * 0x9e3779b1u) % (total - 1) : 1;

	for (__u32 turn = 0; turn < SHOAL_PORT_TRIES && turn < total; turn++) {
		set_candidate(key, pool, (hash + turn * step) % total);
		if (!bpf_map_update_elem(&local_ports, key, value, BPF_NOEXIST))
			return 1;
	}
	return 0;
}

/* Give the claimed connection at `place`, which is complete otherwise, an end at this router. 0: there is none left. */
__noinline int take_local_port(__u64 place, __u32 hash)
{
	struct connection *c = entry_at(place);
	__u32 family = LOCAL_POOL, number = c ? c->destination : 0;
	const struct destination *to = bpf_map_lookup_elem(&destinations, &number);
	const struct local_pool *pool = bpf_map_lookup_elem(&local_pools, &family);
	struct local_port_key *key = bpf_map_lookup_elem(&local_port_room, &zero);

	if (!c || !to || !pool || !key)
		return 0;
	struct local_port value = { .place = place, .generation = READ_ONCE(c->word) >> 16 };
	key->real = to->address;
	key->real_port = c->inside_port;
	key->protocol = c->protocol;
	if (!insert_key(key, &value, pool, hash))
		return 0;
	c->inside = unmapped(&key->local);
	c->inside_port = key->local_port;
	c->address_delta = csum_fold((__u32)c->address_delta + address_change(&c->client, &c->inside));
	c->port_delta = csum_fold((__u32)c->port_delta + csum_delta16(c->client_port, c->inside_port));
	return 1;
}

/* For whoever ended the connection, and only once. */
__noinline int release_local_port(const struct connection *c)
{
	if (!c)
		return 0;
	__u32 number = c->destination;
	const struct destination *to = bpf_map_lookup_elem(&destinations, &number);
	struct local_port_key *key = bpf_map_lookup_elem(&local_port_room, &zero);
	if (!to || !key)
		return 0;
	key->local = mapped(&c->inside);
	key->real = to->address;
	key->local_port = c->inside_port;
	key->real_port = to->port ?: c->virtual_port;
	key->protocol = c->protocol;
	return bpf_map_delete_elem(&local_ports, key);
}

/* The live connection that a reply to a local address belongs to, with its word; NULL when there is none. */
static __always_inline struct connection *find_by_local_port(const struct packet *reply, __u32 now, __u32 *word)
{
	struct local_port_key key = {
		.local = mapped(&reply->destination),
		.real = mapped(&reply->source),
		.local_port = reply->destination_port,
		.real_port = reply->source_port,
		.protocol = reply->protocol,
	};
	const struct local_port *taken = bpf_map_lookup_elem(&local_ports, &key);
	struct connection *c = taken ? entry_at(taken->place) : NULL;

	if (!c)
		return NULL;
	*word = READ_ONCE(c->word);
	return IS_LIVE(*word) && *word >> 16 == taken->generation && !passed(READ_ONCE(c->expires), now) ? c : NULL;
}

#endif
