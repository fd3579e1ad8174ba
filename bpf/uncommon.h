/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is not a plain packet of TCP or UDP: which program sees to it, if any does. */
#ifndef SHOAL_UNCOMMON_H
#define SHOAL_UNCOMMON_H
#include "ownership.h"

#if SHOAL_FAMILY == 4

static __always_inline enum outcome judge_uncommon(void *data, void *end)
{
	const struct ethhdr *eth = data;
	const struct iphdr *ip = data + sizeof(*eth);

	if ((void *)(ip + 1) > end || eth->h_proto != ETHERTYPE)
		return judge_other(data, end);
	if (ip->frag_off & IP_OFFSET_MASK)
		return OUTCOME_OPEN;
	if (ip->protocol == IPPROTO_SCTP)
		return OUTCOME_OPEN;
	return ip->protocol == IPPROTO_ICMP ? OUTCOME_RELATED : OUTCOME_PASS;
}

#else

static __always_inline enum outcome judge_uncommon(void *data, void *end)
{
	const struct ipv6hdr *ip = data + sizeof(struct ethhdr);
	const __u8 *type = (const void *)(ip + 1);

	if ((void *)(type + 1) > end)
		return OUTCOME_PASS;
	if (is_extension(ip->nexthdr) || ip->nexthdr == IPPROTO_SCTP)
		return OUTCOME_OPEN;
	if (ip->nexthdr != IPPROTO_ICMPV6)
		return OUTCOME_PASS;
	return *type == NEIGHBOUR_SOLICITATION ? judge_other(data, end) : OUTCOME_RELATED;
}

#endif
#endif
