// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The TC entry: socket buffers on ingress. It can do everything, so it also serves what the XDP entry passes on. */
#define SHOAL_CONTEXT struct __sk_buff
#include <linux/if_packet.h>
#include <stddef.h>
#include <linux/pkt_cls.h>
#include "verdict.h"

static __always_inline __u32 ingress_interface(const struct __sk_buff *context)
{
	return context->ifindex;
}

#include "next_hop.h"
#include "forward_nat.h"

#define DEEPEST_HEADERS (sizeof(struct ethhdr) + 60 + sizeof(struct tcphdr))

static __always_inline __u32 frame_length(const struct __sk_buff *context)
{
	return context->len;
}

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

#include "flow.h"

SEC("tc")
int shoal_tc(struct __sk_buff *context)
{
	struct route route = {};

	if (context->pkt_type == PACKET_OTHERHOST)
		return TC_ACT_OK;	/* seen only because the NIC is in promiscuous mode */
	/* a buffer may keep its headers outside of its linear part */
	if (context->data_end - context->data < DEEPEST_HEADERS && context->data_end - context->data < context->len)
		bpf_skb_pull_data(context, context->len < DEEPEST_HEADERS ? context->len : DEEPEST_HEADERS);

	switch (balance(context, &route)) {
	case OUTCOME_DROP:
		return TC_ACT_SHOT;
	case OUTCOME_SEND:
		if (route.flags & SHOAL_PEER_REDIRECT)
			return bpf_redirect_peer(route.hop.ifindex, 0);
		return bpf_redirect(route.hop.ifindex, 0);
	case OUTCOME_RESOLVE: {
		struct bpf_redir_neigh gateway = { .nh_family = AF_INET, .ipv4_nh = route.gateway };

		return bpf_redirect_neigh(route.hop.ifindex, &gateway, sizeof(gateway), 0);
	}
	default:
		return TC_ACT_OK;
	}
}

char shoal_license[] SEC("license") = "GPL";
