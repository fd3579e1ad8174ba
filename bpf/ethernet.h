/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The Ethernet header in words. struct ethhdr is packed, so for its fields the compiler goes byte by byte; machines on
 * which the kernel's verifier takes that for necessary have no place among those that forward packets.
 */
#ifndef SHOAL_ETHERNET_H
#define SHOAL_ETHERNET_H
#include <linux/if_ether.h>
#include "abi.h"

static __always_inline __be16 ethertype_of(const struct ethhdr *eth)
{
	return *(const __be16 *)(const void *)&eth->h_proto;
}

static __always_inline void set_ethertype(struct ethhdr *eth, __be16 type)
{
	*(__be16 *)(void *)&eth->h_proto = type;
}

/* The address that a frame is for, in the low 48 bits as it stands there. */
static __always_inline __u64 destination_mac_of(const struct ethhdr *eth)
{
	return *(const __u32 *)(const void *)eth | (__u64)*((const __u16 *)(const void *)eth + 2) << 32;
}

/* Both addresses, which lie in a hop as they do in a frame. */
static __always_inline void set_macs(struct ethhdr *eth, const struct next_hop *hop)
{
	const __u32 *from = (const void *)hop;
	__u32 *to = (void *)eth;

	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
}

#endif
