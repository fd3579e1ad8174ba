/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is particular to IPv6; family.h tells why. */
#ifndef SHOAL_FAMILY6_H
#define SHOAL_FAMILY6_H
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"
#include "checksum.h"

#define PROTOCOL_INSIDE IPPROTO_IPV6	/* what an outer header calls a packet of this family */
#define AF_FAMILY AF_IPV6
#define ETHERTYPE bpf_htons(ETH_P_IPV6)
#define PROGRAM_OPEN SHOAL_PROGRAM_OPEN6
#define PROGRAM_ICMP SHOAL_PROGRAM_ICMP6
#define PROGRAM_RELATED SHOAL_PROGRAM_RELATED6
#define PROGRAM_RELEASE SHOAL_PROGRAM_RELEASE6
#define PROGRAM_ENDPOINT SHOAL_PROGRAM_ENDPOINT6
#define LOCAL_POOL 1

/* The nouns of this family under their common names. */
#define ip_address address6
#define ip_header ipv6hdr
#define connection connection6
#define bucket bucket6
#define connection_table connections6
#define listing_table listing6
#define scratch_table scratch6
#define n_buckets_of(settings) ((settings)->n_buckets6)

static __always_inline int same_address(const struct address6 *one, const struct address6 *other)
{
	return !((one->word[0] ^ other->word[0]) | (one->word[1] ^ other->word[1]) | (one->word[2] ^ other->word[2]) |
		 (one->word[3] ^ other->word[3]));
}

static __always_inline int has_addresses(const struct connection6 *c, const struct address6 *client,
					 const struct address6 *virtual_address)
{
	return same_address(&c->client, client) && same_address(&c->virtual_address, virtual_address);
}

/* As the kernel's schedulers fold one (ip_vs_sh.c). */
static __always_inline __u32 folded(const struct address6 *address)
{
	return address->word[0] ^ address->word[1] ^ address->word[2] ^ address->word[3];
}

static __always_inline struct address6 mapped(const struct address6 *address)
{
	return *address;
}

/* The same into place: the stack has no room for one more. */
static __always_inline void put_mapped(struct address6 *to, const struct address6 *address)
{
	__builtin_memcpy(to, address, sizeof(*to));
}

static __always_inline struct address6 unmapped(const struct address6 *address)
{
	return *address;
}

static __always_inline __u8 protocol_of(const struct ipv6hdr *ip)
{
	return ip->nexthdr;
}

static __always_inline __u64 hash_input(const struct address6 *client, __u64 seed)
{
	__u64 x = ((__u64)client->word[0] << 32 | client->word[1]) ^ seed;

	x *= 0x9e3779b97f4a7c15ull;
	x ^= x >> 32;
	x ^= (__u64)client->word[2] << 32 | client->word[3];
	x *= 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

static __always_inline __u32 address_sum(const struct address6 *address)
{
	__u64 sum = (__u64)address->word[0] + address->word[1] + address->word[2] + address->word[3];

	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	return csum_fold(sum);
}

static __always_inline __u16 address_change(const struct address6 *from, const struct address6 *to)
{
	return csum_fold((__u16)~address_sum(from) + address_sum(to));
}

static __always_inline void ask_for(struct bpf_fib_lookup *fib, const struct address6 *source,
				    const struct address6 *destination)
{
	__builtin_memcpy(fib->ipv6_src, source, sizeof(fib->ipv6_src));
	__builtin_memcpy(fib->ipv6_dst, destination, sizeof(fib->ipv6_dst));
}

/* One from the hop limit. No checksum covers it; that of TCP or UDP covers the addresses. */
static __always_inline void age(struct ipv6hdr *ip, __u32 delta)
{
	ip->hop_limit--;
}

static __always_inline __u8 traffic_class(const struct ipv6hdr *ip)
{
	return ip->priority << 4 | ip->flow_lbl[0] >> 4;
}

static __always_inline void set_source(struct ipv6hdr *ip, const struct address6 *address)
{
	__builtin_memcpy(&ip->saddr, address, sizeof(ip->saddr));
}

static __always_inline void set_destination(struct ipv6hdr *ip, const struct address6 *address)
{
	__builtin_memcpy(&ip->daddr, address, sizeof(ip->daddr));
}

#endif
