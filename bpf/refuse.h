/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Dropping a packet whose sender can be told why. The ICMP program tells it (icmp.h); what it needs to know lies here. */
#ifndef SHOAL_REFUSE_H
#define SHOAL_REFUSE_H
#include "verdict.h"

#define QUOTE 512		/* bytes of the packet that an answer gives back, at most */

struct refusal {
	__u32 reason;			/* enum shoal_drop */
	__u32 mtu;			/* of SHOAL_PACKET_TOO_BIG: what the packet's length may be */
	__u32 tick;			/* of the last answer, */
	__u32 answers;			/* and how many there were in it */
	__u8 quote[2 * QUOTE];		/* room for what the verifier thinks possible */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct refusal);
} refusals SEC(".maps");

__noinline int refuse(__u32 service, __u32 reason, __u32 mtu)
{
	struct refusal *refusal = bpf_map_lookup_elem(&refusals, &zero);

	drop(service, reason);
	if (!refusal)
		return OUTCOME_DROP;
	refusal->reason = reason;
	refusal->mtu = mtu;
	return OUTCOME_ANSWER;
}

#endif
