/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The lease. While a router's pulse lives it renews the lease; once that has run out, ARP for the floating addresses
 * is dropped, so the router answers for them no more, whatever addresses its interfaces still carry.
 */
#ifndef SHOAL_OWNERSHIP_H
#define SHOAL_OWNERSHIP_H
#include "parse.h"
#include "verdict.h"

#define ARP_REQUEST bpf_htons(1)

/* RFC 826, for Ethernet and IPv4. <linux/if_arp.h> would bring in half of libc. */
struct arp_ipv4 {
	__be16 hardware_type;
	__be16 protocol_type;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender[4];
	__u8 target_mac[6];
	__u8 target[4];
} __attribute__((packed));

static __always_inline int lease_is_over(const struct ownership *own)
{
	__u64 until = READ_ONCE(own->lease_until);

	return until && bpf_ktime_get_boot_ns() > until;
}

static __noinline int is_floating(__be32 address)
{
	const struct ownership *own = bpf_map_lookup_elem(&ownership, &zero);

	if (!own)
		return 0;
	for (__u32 i = 0; i < SHOAL_MAX_FLOATING && i < own->n_addresses; i++)
		if (own->addresses[i] == address)
			return 1;
	return 0;
}

/* An ARP request for an address that this router has let go must stay unanswered. */
static __always_inline enum outcome judge_arp(void *data, void *end)
{
	const struct arp_ipv4 *arp = data + sizeof(struct ethhdr);
	const struct ownership *own = bpf_map_lookup_elem(&ownership, &zero);
	__be32 target;

	if (!own || (void *)(arp + 1) > end || arp->operation != ARP_REQUEST || !lease_is_over(own))
		return OUTCOME_PASS;
	__builtin_memcpy(&target, arp->target, sizeof(target));
	return is_floating(target) ? drop(NO_SERVICE, SHOAL_LEASE_EXPIRED) : OUTCOME_PASS;
}

/* Around a hand-over, replies reach a router that does not know their connections. */
static __always_inline int handover_goes_on(void)
{
	const struct ownership *own = bpf_map_lookup_elem(&ownership, &zero);

	if (!own || !own->handover_until)
		return 0;
	return bpf_ktime_get_boot_ns() < READ_ONCE(own->handover_until) || lease_is_over(own);
}

#endif
