// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The XDP programs: frames as a driver receives them. What XDP cannot do it passes on to the TC programs, unrewritten.
 * The entries are those of IPv4; frames of IPv6 go on to the same programs compiled for that family.
 */
#define SHOAL_CONTEXT struct xdp_md
#define FRAME_BEGIN offsetof(struct xdp_md, data)
#define FRAME_END offsetof(struct xdp_md, data_end)
#include <stddef.h>
#include "verdict.h"
#include "programs.h"

PROGRAM_ARRAY(programs_xdp);

static __always_inline __u32 ingress_interface(const struct xdp_md *context)
{
	return context->ingress_ifindex;
}

static __always_inline __u32 mark_of(const struct xdp_md *context)
{
	return 0;	/* marks are set on socket buffers */
}

#define gather(context, depth)	/* a frame is in one piece */

#include "next_hop.h"
#include "forward_nat.h"
#include "pseudo_header.h"

static __always_inline __u32 frame_length(const struct xdp_md *context)
{
	return context->data_end - context->data;
}

/* An unknown neighbour needs a socket buffer to wait in, and some drivers take no redirected frames. */
static __always_inline int can_send(const struct xdp_md *context, const struct route *route, int outcome)
{
	return outcome == OUTCOME_SEND &&
	       (route->hop.ifindex == ingress_interface(context) || route->flags & SHOAL_XDP_TARGET);
}

/* The TC program sees what XDP passes on, and it is to be counted once. */
#define HAS_LAST_LOOK 0

static __always_inline void mend_l4_checksum(struct xdp_md *context, const struct headers *headers,
					     const struct packet *packet, const struct rewrite *rewrite)
{
	__u16 *check = headers->check;

	if (packet->protocol == IPPROTO_UDP && !*check)
		return;		/* the sender uses none (RFC 768) */
	__u16 mended = csum_apply(*check, (__u32)rewrite->address_delta + rewrite->port_delta);
	if (packet->protocol == IPPROTO_UDP && !mended)
		mended = 0xffff;
	*check = mended;
}

/* XDP sees every packet by itself. */
static __always_inline int segments_fit(const struct xdp_md *context, const struct packet *packet, __u32 mtu)
{
	return 0;
}

static __always_inline int make_room(struct xdp_md *context, const struct encapsulation *e)
{
	return !bpf_xdp_adjust_head(context, -(int)e->overhead);
}

static __always_inline long load_bytes(struct xdp_md *context, __u32 offset, void *to, __u32 length)
{
	return bpf_xdp_load_bytes(context, offset, to, length);
}

static __always_inline long store_bytes(struct xdp_md *context, __u32 offset, void *from, __u32 length)
{
	return bpf_xdp_store_bytes(context, offset, from, length);
}

static __always_inline long mend_tcp_checksum(struct xdp_md *context, __u32 offset, __u16 from, __u16 to)
{
	__u16 check;

	if (bpf_xdp_load_bytes(context, offset, &check, sizeof(check)))
		return -1;
	check = csum_apply(check, csum_delta16(from, to));
	return bpf_xdp_store_bytes(context, offset, &check, sizeof(check));
}

/*
 * A checksum that a local stack left to the device (partial_checksum.h) is TC's to deal with, where a walk has found it
 * behind extension headers. So is a finished one that looks like it, once in 65,536, and SCTP's CRC, of which nothing
 * can be seen.
 */
static __always_inline int can_mend(const struct packet *packet, const struct headers *headers)
{
	return headers->check && *headers->check != pseudo_header_sum(packet);
}

/* Only TC can keep a frame, and bring it back. */
static __always_inline int hold_fragment(struct xdp_md *context)
{
	return OUTCOME_PASS;
}

static __always_inline int release_first(void)
{
	return OUTCOME_PASS;
}

/*
 * A NIC in promiscuous mode (under a bridge, or watched by tcpdump) also receives what is for others. XDP is not told
 * which is which, as TC is.
 */
static __always_inline int is_for_us(const struct xdp_md *context, const struct settings *table)
{
	const struct ethhdr *eth = frame_begin(context);

	if ((const void *)(eth + 1) > frame_end(context))
		return 0;
	if (!table->n_macs)
		return 1;
	__u64 mac = destination_mac_of(eth);
	if (mac & 1)
		return 1;	/* broadcast and multicast: ARP is among them */
	for (__u32 i = 0; i < SHOAL_MAX_MACS && i < table->n_macs; i++)
		if (table->macs[i] == mac)
			return 1;
	return 0;
}

#include "established.h"
#include "opening.h"
#include "related.h"
#include "endpoint.h"
#include "partial_checksum.h"

/* Checksums have been finished where a frame may come from a local stack. */
static __always_inline int is_unfinished(const struct xdp_md *context, const struct packet *packet, __u16 check)
{
	return 0;
}

static __always_inline long cut_frame(struct xdp_md *context, __u32 length)
{
	__u64 begin = (__u64)frame_begin(context), end = (__u64)frame_end(context);
	__u64 present = end - begin;

	barrier_var(present);	/* the verifier wants a difference of pointers before anything else */
	return bpf_xdp_adjust_tail(context, (int)length - (int)present);
}

static __always_inline long put_in_front(struct xdp_md *context, __u32 length)
{
	return bpf_xdp_adjust_head(context, -(int)length);
}

#include "icmp.h"

/*
 * A frame that a veth transmits (XDP_TX) lies in its peer's ring for ever unless the peer runs XDP too
 * (veth_xdp_flush(), drivers/net/veth.c); one that is redirected to it is delivered.
 */
static __always_inline int verdict_of(struct xdp_md *context, int outcome, const struct route *route)
{
	switch (outcome) {
	case OUTCOME_OPEN:
		bpf_tail_call(context, &programs_xdp, PROGRAM_OPEN);
		return XDP_PASS;
	case OUTCOME_ANSWER:
		bpf_tail_call(context, &programs_xdp, PROGRAM_ICMP);
		return XDP_DROP;
	case OUTCOME_RELATED:
		bpf_tail_call(context, &programs_xdp, PROGRAM_RELATED);
		return XDP_PASS;
	case OUTCOME_ENDPOINT:
		bpf_tail_call(context, &programs_xdp, PROGRAM_ENDPOINT);
		return XDP_PASS;
	case OUTCOME_DROP:
		return XDP_DROP;
	case OUTCOME_SEND:
		if (route->hop.ifindex == ingress_interface(context) && !(route->flags & SHOAL_FROM_STACK))
			return XDP_TX;
		return bpf_redirect(route->hop.ifindex, 0);
	default:
		return XDP_PASS;
	}
}

#if SHOAL_FAMILY == 4

/* Whether an entry is to look at a frame itself. One of IPv6 has then gone on to that family's program, if there is one. */
static __always_inline int enters(struct xdp_md *context, enum shoal_program of_ipv6)
{
	if (is_of_ethertype(context, bpf_htons(ETH_P_IPV6))) {
		bpf_tail_call(context, &programs_xdp, of_ipv6);
		return 0;
	}
	return 1;
}

#else

static __always_inline int enters(struct xdp_md *context, enum shoal_program of_ipv6)
{
	return 1;	/* an entry has seen to that */
}

#endif

/* A local stack leaves the CRC of SCTP to the device, too, and nothing in the frame says so. TC sees that, and keeps it. */
static __always_inline int carries_sctp(struct xdp_md *context)
{
	const struct ip_header *ip = frame_begin(context) + sizeof(struct ethhdr);

	return is_of_ethertype(context, ETHERTYPE) && (const void *)(ip + 1) <= frame_end(context) &&
	       protocol_of(ip) == IPPROTO_SCTP;
}

SEC("xdp")
int shoal_xdp(struct xdp_md *context)
{
	struct route route = {};

	if (!enters(context, SHOAL_PROGRAM_IPV6))
		return XDP_PASS;
	int outcome = balance_established(context, &route);
	return verdict_of(context, outcome, &route);
}

/* For interfaces whose frames come from a local stack (veth): their checksums may still be unfinished. */
SEC("xdp")
int shoal_xdp_local(struct xdp_md *context)
{
	struct route route = {};

	const struct settings *table = bpf_map_lookup_elem(&settings, &zero);

	if (!enters(context, SHOAL_PROGRAM_IPV6_LOCAL) || !table || !is_for_us(context, table))
		return XDP_PASS;
	if (carries_sctp(context))
		return XDP_PASS;
	complete_partial_checksum(context);
	int outcome = balance_established(context, &route);
	return verdict_of(context, outcome, &route);
}

SEC("xdp")
int shoal_xdp_open(struct xdp_md *context)
{
	struct scratch *scratch = get_scratch();

	return scratch ? verdict_of(context, balance_opening(context, scratch), &scratch->route) : XDP_PASS;
}

SEC("xdp")
int shoal_xdp_icmp(struct xdp_md *context)
{
	struct packet packet = {};
	struct route route = {};
	int outcome = answer_refused(context, &packet, &route);

	return verdict_of(context, outcome, &route);
}

SEC("xdp")
int shoal_xdp_related(struct xdp_md *context)
{
	struct scratch *scratch = get_scratch();

	return scratch ? verdict_of(context, balance_related(context, scratch), &scratch->route) : XDP_PASS;
}

SEC("xdp")
int shoal_xdp_endpoint(struct xdp_md *context)
{
	struct scratch *scratch = get_scratch();

	return scratch ? verdict_of(context, balance_endpoint(context, scratch), &scratch->route) : XDP_PASS;
}

char shoal_license[] SEC("license") = "GPL";
