/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The lease. While a router's pulse lives it renews the lease; once that has run out, ARP and neighbour solicitations
 * for the floating addresses are dropped, so the router answers for them no more, whatever its interfaces still carry.
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

struct floating_search {
	const struct ownership *own;
	const struct address6 *wanted;
	int found;
};

static long compare_floating(__u32 i, struct floating_search *search)
{
	if (i >= SHOAL_MAX_FLOATING || i >= search->own->n_addresses)
		return 1;
	search->found = !__builtin_memcmp(&search->own->addresses[i], search->wanted, sizeof(*search->wanted));
	return search->found;
}

static __always_inline int is_floating(const struct address6 *address)
{
	struct floating_search search = {
		.own = bpf_map_lookup_elem(&ownership, &zero),
		.wanted = address,
	};

	if (search.own)
		bpf_loop(SHOAL_MAX_FLOATING, compare_floating, &search, 0);
	return search.found;
}

static __always_inline enum outcome judge_question(const struct address6 *target)
{
	const struct ownership *own = bpf_map_lookup_elem(&ownership, &zero);

	if (!own || !lease_is_over(own))
		return OUTCOME_PASS;
	return is_floating(target) ? drop(NO_SERVICE, SHOAL_LEASE_EXPIRED) : OUTCOME_PASS;
}

#if SHOAL_FAMILY == 4

/* An ARP request for an address that this router has let go must stay unanswered. */
static __always_inline enum outcome judge_other(void *data, void *end)
{
	const struct ethhdr *eth = data;
	const struct arp_ipv4 *arp = data + sizeof(*eth);
	struct address4 target;

	if ((void *)(arp + 1) > end || eth->h_proto != bpf_htons(ETH_P_ARP) || arp->operation != ARP_REQUEST)
		return OUTCOME_PASS;
	__builtin_memcpy(&target, arp->target, sizeof(target));
	struct address6 whole = mapped(&target);
	return judge_question(&whole);
}

#else

#define NEIGHBOUR_SOLICITATION 135

/* RFC 4861 4.3, after the IPv6 header. */
struct solicitation {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 reserved;
	struct address6 target;
};

/* So must a neighbour solicitation for one. */
static __always_inline enum outcome judge_other(void *data, void *end)
{
	const struct ipv6hdr *ip = data + sizeof(struct ethhdr);
	const struct solicitation *question = (const void *)(ip + 1);

	if ((void *)(question + 1) > end || ip->nexthdr != IPPROTO_ICMPV6 || question->type != NEIGHBOUR_SOLICITATION)
		return OUTCOME_PASS;
	struct address6 target = question->target;
	return judge_question(&target);
}

#endif

/* Around a hand-over, replies reach a router that does not know their connections. */
static __always_inline int handover_goes_on(void)
{
	const struct ownership *own = bpf_map_lookup_elem(&ownership, &zero);

	if (!own || !own->handover_until)
		return 0;
	return bpf_ktime_get_boot_ns() < READ_ONCE(own->handover_until) || lease_is_over(own);
}

#endif
