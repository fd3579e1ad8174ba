// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The TC programs: socket buffers on ingress. They can do everything, so they also serve what XDP passes on.
 * The entry is that of IPv4; frames of IPv6 go on to the same program compiled for that family.
 */
#define SHOAL_CONTEXT struct __sk_buff
#define FRAME_BEGIN offsetof(struct __sk_buff, data)
#define FRAME_END offsetof(struct __sk_buff, data_end)
#include <linux/if_packet.h>
#include <stddef.h>
#include <linux/pkt_cls.h>
#include "verdict.h"
#include "programs.h"

PROGRAM_ARRAY(programs_tc);

static __always_inline __u32 ingress_interface(const struct __sk_buff *context)
{
	return context->ifindex;
}

static __always_inline __u32 mark_of(const struct __sk_buff *context)
{
	return context->mark;
}

/* A buffer may keep its headers outside of its linear part. */
static __always_inline void gather(struct __sk_buff *context, __u32 depth)
{
	if (context->data_end - context->data < depth && context->data_end - context->data < context->len)
		bpf_skb_pull_data(context, context->len < depth ? context->len : depth);
}

#include "next_hop.h"
#include "forward_nat.h"

#define VLAN_NUMBER 0xfff	/* IEEE 802.1Q: 0 is no VLAN, but a priority alone */
#define DEEPEST_HEADERS (sizeof(struct ethhdr) + 60 + sizeof(struct tcphdr))
#if SHOAL_FAMILY == 4
#define DEEPEST_ERROR (2 * DEEPEST_HEADERS)
#else
#define DEEPEST_ERROR (DEEPEST_QUOTED + sizeof(struct tcphdr))
#endif

static __always_inline __u32 frame_length(const struct __sk_buff *context)
{
	return context->len;
}

#define HAS_LAST_LOOK 1

static __always_inline int can_send(const struct __sk_buff *context, const struct route *route, int outcome)
{
	return 1;
}

/*
 * The kernel's helper knows about unfinished and device-computed checksums. An address is part of the pseudo header,
 * a port is not, so they are two changes.
 */
static __always_inline void mend_l4_checksum(struct __sk_buff *context, const struct headers *headers,
					     const struct packet *packet, const struct rewrite *rewrite)
{
	int is_udp = packet->protocol == IPPROTO_UDP;
	__u32 offset = packet->l4_offset + (is_udp ? offsetof(struct udphdr, check) : offsetof(struct tcphdr, check));
	__u64 flags = is_udp ? BPF_F_MARK_MANGLED_0 : 0;
	/* both are "nothing changed" in one's complement */
	int same_port = rewrite->port_delta == 0 || rewrite->port_delta == 0xffff;

	bpf_l4_csum_replace(context, offset, 0, rewrite->address_delta, flags | BPF_F_PSEUDO_HDR);
	if (!same_port)
		bpf_l4_csum_replace(context, offset, 0, rewrite->port_delta, flags);
}

/* A buffer may hold many segments of one flow; each of them is a packet on the wire. */
static __always_inline int segments_fit(const struct __sk_buff *context, const struct packet *packet, __u32 mtu)
{
	__u32 headers = packet->l4_offset - sizeof(struct ethhdr) + packet->l4_header;

	return context->gso_size && headers + context->gso_size <= mtu;
}

/* Tells the kernel what kind of header the room is for, so that segments and checksums inside can be dealt with. */
static __always_inline int make_room(struct __sk_buff *context, const struct encapsulation *e)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;

	flags |= e->family == 4 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;
	if (e->kind == SHOAL_GRE)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_GRE;
	else if (e->kind == SHOAL_GUE)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
	return !bpf_skb_adjust_room(context, e->overhead, BPF_ADJ_ROOM_MAC, flags);
}

static __always_inline long load_bytes(struct __sk_buff *context, __u32 offset, void *to, __u32 length)
{
	return bpf_skb_load_bytes(context, offset, to, length);
}

static __always_inline long store_bytes(struct __sk_buff *context, __u32 offset, void *from, __u32 length)
{
	return bpf_skb_store_bytes(context, offset, from, length, 0);
}

static __always_inline long mend_tcp_checksum(struct __sk_buff *context, __u32 offset, __u16 from, __u16 to)
{
	return bpf_l4_csum_replace(context, offset, from, to, sizeof(from));
}

/* The kernel's helpers know about a checksum that the device is to finish. */
static __always_inline int can_mend(const struct packet *packet, const struct headers *headers)
{
	return 1;
}

#include "held.h"
/* enters() has seen to that. */
static __always_inline int is_for_us(const struct __sk_buff *context, const struct settings *table)
{
	return 1;
}

#include "established.h"
#include "opening.h"
#include "related.h"
#include "endpoint.h"
#include "pseudo_header.h"

static __always_inline int is_unfinished(const struct __sk_buff *context, const struct packet *packet, __u16 check)
{
	return context->gso_size || check == pseudo_header_sum(packet);
}

static __always_inline long cut_frame(struct __sk_buff *context, __u32 length)
{
	return bpf_skb_change_tail(context, length, 0);
}

static __always_inline long put_in_front(struct __sk_buff *context, __u32 length)
{
	return bpf_skb_adjust_room(context, length, BPF_ADJ_ROOM_MAC, 0);
}

#include "icmp.h"

static __always_inline int resolve(const struct route *route)
{
	struct bpf_redir_neigh gateway = { .nh_family = route->gateway_family };

	__builtin_memcpy(gateway.ipv6_nh, route->gateway, sizeof(gateway.ipv6_nh));
	return bpf_redirect_neigh(route->hop.ifindex, &gateway, sizeof(gateway), 0);
}

static __always_inline int verdict_of(struct __sk_buff *context, int outcome, const struct route *route)
{
	switch (outcome) {
	case OUTCOME_OPEN:
		bpf_tail_call(context, &programs_tc, PROGRAM_OPEN);
		return TC_ACT_OK;
	case OUTCOME_ANSWER:
		bpf_tail_call(context, &programs_tc, PROGRAM_ICMP);
		return TC_ACT_SHOT;
	case OUTCOME_RELEASE:
		bpf_tail_call(context, &programs_tc, PROGRAM_RELEASE);
		return TC_ACT_OK;
	case OUTCOME_RELATED:
		bpf_tail_call(context, &programs_tc, PROGRAM_RELATED);
		return TC_ACT_OK;
	case OUTCOME_ENDPOINT:
		bpf_tail_call(context, &programs_tc, PROGRAM_ENDPOINT);
		return TC_ACT_OK;
	case OUTCOME_DROP:
	case OUTCOME_HELD:
		return TC_ACT_SHOT;
	case OUTCOME_SEND:
		if (route->flags & SHOAL_PEER_REDIRECT)
			return bpf_redirect_peer(route->hop.ifindex, 0);
		return bpf_redirect(route->hop.ifindex, 0);
	case OUTCOME_RESOLVE:
		return resolve(route);
	default:
		return TC_ACT_OK;
	}
}

#if SHOAL_FAMILY == 4

/* Whether the entry is to look at a frame itself. One of IPv6 has then gone on to that family's program, if there is one. */
static __always_inline int enters(struct __sk_buff *context)
{
	if (context->pkt_type == PACKET_OTHERHOST)
		return 0;	/* seen only because the NIC is in promiscuous mode */
	if (context->vlan_present) {
		/* the tag is beside the frame, and would leave with it */
		if (context->vlan_tci & VLAN_NUMBER)
			return 0;	/* comes again on the VLAN's own device */
		bpf_skb_vlan_pop(context);
	}
	gather(context, DEEPEST_HEADERS);
	if (is_of_ethertype(context, bpf_htons(ETH_P_IPV6))) {
		bpf_tail_call(context, &programs_tc, SHOAL_PROGRAM_IPV6);
		return 0;
	}
	return 1;
}

#else

static __always_inline int enters(struct __sk_buff *context)
{
	return 1;	/* the entry has seen to that */
}

#endif

SEC("tc")
int shoal_tc(struct __sk_buff *context)
{
	struct route route = {};

	if (!enters(context))
		return TC_ACT_OK;
	int outcome = balance_established(context, &route);
	return verdict_of(context, outcome, &route);
}

SEC("tc")
int shoal_tc_open(struct __sk_buff *context)
{
	struct scratch *scratch = get_scratch();

	return scratch ? verdict_of(context, balance_opening(context, scratch), &scratch->route) : TC_ACT_OK;
}

SEC("tc")
int shoal_tc_icmp(struct __sk_buff *context)
{
	struct packet packet = {};
	struct route route = {};
	int outcome = answer_refused(context, &packet, &route);

	return verdict_of(context, outcome, &route);
}

SEC("tc")
int shoal_tc_release(struct __sk_buff *context)
{
	struct scratch *scratch = get_scratch();

	if (scratch)
		release_fragments(context, scratch);
	return TC_ACT_SHOT;	/* what is left of the buffer has been sent around again */
}

SEC("tc")
int shoal_tc_related(struct __sk_buff *context)
{
	struct scratch *scratch = get_scratch();

	gather(context, DEEPEST_ERROR);
	return scratch ? verdict_of(context, balance_related(context, scratch), &scratch->route) : TC_ACT_OK;
}

SEC("tc")
int shoal_tc_endpoint(struct __sk_buff *context)
{
	struct scratch *scratch = get_scratch();

	return scratch ? verdict_of(context, balance_endpoint(context, scratch), &scratch->route) : TC_ACT_OK;
}

char shoal_license[] SEC("license") = "GPL";
