/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps. Every object declares all of them, but the connections of the other family; the loader pins them by name,
 * so all objects share one set.
 * BPF_F_MMAPABLE lets lvsd read and write a table as memory; it also begins the values on a page boundary, which is
 * what makes a connection exactly one cache line.
 */
#ifndef SHOAL_MAPS_H
#define SHOAL_MAPS_H
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "family.h"

#define TABLE(name_, value_, n_)                     \
	struct {                                     \
		__uint(type, BPF_MAP_TYPE_ARRAY);    \
		__uint(map_flags, BPF_F_MMAPABLE);   \
		__uint(max_entries, n_);             \
		__type(key, __u32);                  \
		__type(value, value_);               \
	} name_ SEC(".maps")

#define COUNTERS(name_, value_, n_)                      \
	struct {                                         \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); \
		__uint(max_entries, n_);                 \
		__type(key, __u32);                      \
		__type(value, value_);                   \
	} name_ SEC(".maps")

#define DICTIONARY(name_, key_, value_, n_)       \
	struct {                                  \
		__uint(type, BPF_MAP_TYPE_HASH);  \
		__uint(max_entries, n_);          \
		__type(key, key_);                \
		__type(value, value_);            \
	} name_ SEC(".maps")

/* For what may be forgotten at any time. */
#define CACHE(name_, key_, value_, n_)            \
	struct {                                  \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);  \
		__uint(max_entries, n_);              \
		__type(key, key_);                    \
		__type(value, value_);                \
	} name_ SEC(".maps")

/* For what comes and goes with the packets: an entry takes memory only while it is there. */
#define REGISTER(name_, key_, value_, n_)                 \
	struct {                                          \
		__uint(type, BPF_MAP_TYPE_HASH);          \
		__uint(map_flags, BPF_F_NO_PREALLOC);     \
		__uint(max_entries, n_);                  \
		__type(key, key_);                        \
		__type(value, value_);                    \
	} name_ SEC(".maps")

/* Longest prefix first. */
#define PREFIXES(name_, key_, value_, n_)             \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);  \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__uint(max_entries, n_);              \
		__type(key, key_);                    \
		__type(value, value_);                \
	} name_ SEC(".maps")

/* The sizes are defaults; the loader sets what the configuration asks for. */
TABLE(connection_table, struct bucket, 1024);
TABLE(destinations, struct destination, 4096);
TABLE(loads, struct load, 4096);
TABLE(encapsulations, struct encapsulation, 4096);
TABLE(thresholds, struct threshold, 4096);
TABLE(services, struct service, 257);
TABLE(service_loads, struct service_load, 257);
TABLE(overloads, struct overload, 2);
TABLE(service_configs, struct service_config, 1024);
TABLE(members, struct member, 8192);
TABLE(rings, __u32, 2097152);
TABLE(settings, struct settings, 1);
TABLE(filter, struct address_filter, 1);
TABLE(ownership, struct ownership, 1);
TABLE(listing_table, struct connection, SHOAL_LIST_ENTRIES);
COUNTERS(destination_counters, struct destination_counters, 4096);
COUNTERS(service_counters, struct service_counters, 257);
DICTIONARY(listeners, struct listener_key, struct listener, 4096);
PREFIXES(listener_ranges, struct listener_range_key, struct listener_range, 65536);
DICTIONARY(marks, __u32, struct listener, 4096);
DICTIONARY(reverses, struct listener_key, struct reverse, 4096);
TABLE(held_cursor, struct held_cursor, 1);
TABLE(held_fragments, struct held_fragment, SHOAL_HELD_FRAGMENTS);
DICTIONARY(interfaces, __u32, __u32, 64);
DICTIONARY(own_addresses, __u32, struct own_addresses, 64);
DICTIONARY(templates, struct template_key, struct template, 65536);
CACHE(fragments, struct fragment_key, struct fragment_ports, 16384);
CACHE(held_chains, struct fragment_key, struct held_chain, SHOAL_HELD_FRAGMENTS);
TABLE(local_pools, struct local_pool, 2);
REGISTER(local_ports, struct local_port_key, struct local_port, 65536);
PREFIXES(access, struct access_key, __u32, 32768);
CACHE(source_arrivals, struct source_key, __u64, 32768);
CACHE(localities, struct locality_key, struct locality, 16384);
CACHE(replica_sets, struct locality_key, struct replicas, 16384);

static const __u32 zero;

/* Brings the version into BTF, where the loader finds it. */
const volatile enum shoal_limit shoal_abi_version = SHOAL_ABI_VERSION;

/* These are used through pointers only, which leaves no trace in BTF; the layout test wants them there. */
const struct sweep_arguments *shoal_btf_sweep __attribute__((unused));
const struct clock_reading *shoal_btf_clock __attribute__((unused));
const struct list_arguments *shoal_btf_list __attribute__((unused));
const struct template_sweep_arguments *shoal_btf_template_sweep __attribute__((unused));

#endif
