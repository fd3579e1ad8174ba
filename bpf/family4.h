/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is particular to IPv4; family.h tells why. */
#ifndef SHOAL_FAMILY4_H
#define SHOAL_FAMILY4_H
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"
#include "checksum.h"

#define PROTOCOL_INSIDE IPPROTO_IPIP	/* what an outer header calls a packet of this family */
#define AF_FAMILY AF_IPV4
#define ETHERTYPE bpf_htons(ETH_P_IP)
#define PROGRAM_OPEN SHOAL_PROGRAM_OPEN4
#define PROGRAM_ICMP SHOAL_PROGRAM_ICMP4
#define PROGRAM_RELATED SHOAL_PROGRAM_RELATED4
#define PROGRAM_RELEASE SHOAL_PROGRAM_RELEASE4
#define PROGRAM_ENDPOINT SHOAL_PROGRAM_ENDPOINT4
#define LOCAL_POOL 0		/* its place in the map "local_pools" */

/* The nouns of this family under their common names. */
#define ip_address address4
#define ip_header iphdr
#define connection connection4
#define bucket bucket4
#define connection_table connections4
#define listing_table listing4
#define scratch_table scratch4
#define n_buckets_of(settings) ((settings)->n_buckets4)

static __always_inline int same_address(const struct address4 *one, const struct address4 *other)
{
	return one->word == other->word;
}

/* Client and virtual address of a connection, compared at once. */
static __always_inline int has_addresses(const struct connection4 *c, const struct address4 *client,
					 const struct address4 *virtual_address)
{
	return !((c->client.word ^ client->word) | (c->virtual_address.word ^ virtual_address->word));
}

static __always_inline __u32 folded(const struct address4 *address)
{
	return address->word;
}

static __always_inline struct address6 mapped(const struct address4 *address)
{
	return (struct address6){ .word = { 0, 0, bpf_htonl(0xffff), address->word } };
}

/* The same into place: the stack has no room for one more. */
static __always_inline void put_mapped(struct address6 *to, const struct address4 *address)
{
	*to = mapped(address);
}

static __always_inline struct address4 unmapped(const struct address6 *address)
{
	return (struct address4){ .word = address->word[3] };
}

/* What follows the header; under IPv6 it may be an extension header. */
static __always_inline __u8 protocol_of(const struct iphdr *ip)
{
	return ip->protocol;
}

static __always_inline __u64 hash_input(const struct address4 *client, __u64 seed)
{
	return (__u64)client->word << 32 ^ seed;
}

/* ~m + m' of an address that changes (RFC 1624). */
static __always_inline __u16 address_change(const struct address4 *from, const struct address4 *to)
{
	return csum_delta32(from->word, to->word);
}

static __always_inline __u32 address_sum(const struct address4 *address)
{
	return (address->word & 0xffff) + (address->word >> 16);
}

static __always_inline void ask_for(struct bpf_fib_lookup *fib, const struct address4 *source,
				    const struct address4 *destination)
{
	fib->ipv4_src = source->word;
	fib->ipv4_dst = destination->word;
}

/* TTL - 1 as a change of the 16-bit word that it shares with the protocol. */
#define TTL_DELTA bpf_htons(0xfeff)

/* One from the TTL, and the header's checksum mended; delta: what else has changed in the header. */
static __always_inline void age(struct iphdr *ip, __u32 delta)
{
	ip->ttl--;
	ip->check = csum_apply(ip->check, delta + TTL_DELTA);
}

static __always_inline __u8 traffic_class(const struct iphdr *ip)
{
	return ip->tos;
}

static __always_inline void set_source(struct iphdr *ip, const struct address4 *address)
{
	ip->saddr = address->word;
}

static __always_inline void set_destination(struct iphdr *ip, const struct address4 *address)
{
	ip->daddr = address->word;
}

#endif
