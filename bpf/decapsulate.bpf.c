// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * On a real server without tunnel devices of the kernel: takes packets out of IPIP, GRE and GUE, on TC ingress, and gives
 * them on to the host's stack. Only what is addressed to a tunnel address of this host and carries a packet for one of
 * its virtual addresses is opened; everything else goes on as it came.
 *
 * GUE: draft-ietf-intarea-gue, and gue_udp_recv() of net/ipv4/fou_core.c for the two variants.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

#define IP_FRAGMENT bpf_htons(0x3fff)	/* more fragments, or an offset */
#define ECN_MASK 3
#define ECN_ECT1 1
#define ECN_ECT0 2
#define ECN_CE 3
#define TRANSLATION (sizeof(struct ipv6hdr) - sizeof(struct iphdr))

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct opening_key);
	__type(value, __u32);
} openings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SHOAL_OPENINGS);
	__type(key, __u32);
	__type(value, __u64);
} opening_counts SEC(".maps");

/* an enumeration reaches BTF only by a variable of its type */
const volatile enum shoal_opening shoal_openings = SHOAL_OPENINGS;

/* One IP header, of either family. Offsets count from the frame's begin. */
struct layer {
	__u16 offset;
	__u16 payload;		/* offset of what follows the header */
	__u32 length;		/* of what follows the header, bytes */
	__u8 is_ipv6;
	__u8 protocol;
	__u8 ecn;
	__u8 has_options;	/* or is a fragment */
};

static __always_inline int count(__u32 what, int verdict)
{
	__u64 *counter = bpf_map_lookup_elem(&opening_counts, &what);

	if (counter)
		*counter += 1;
	return verdict;
}

static __always_inline int is_known(const struct opening_key *key)
{
	return bpf_map_lookup_elem(&openings, key) != NULL;
}

/* RFC 1071: the sum over a header with its checksum is all ones. */
static __always_inline int has_right_checksum(const struct iphdr *ip)
{
	const __u16 *words = (const void *)ip;
	__u32 sum = 0;

	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return ((sum + (sum >> 16)) & 0xffff) == 0xffff;
}

/* 1: a header of IPv4 with room for what it promises within `room` bytes; its destination goes into the key. */
static __noinline int read_ipv4(struct __sk_buff *frame, struct layer *layer, struct opening_key *key, __u32 room)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(frame, layer->offset, &ip, sizeof(ip)))
		return 0;

	__u32 header = ip.ihl * 4;
	__u32 length = bpf_ntohs(ip.tot_len);

	if (ip.version != 4 || header < sizeof(ip) || length < header || length > room)
		return 0;
	layer->has_options = header != sizeof(ip) || (ip.frag_off & IP_FRAGMENT);
	if (header == sizeof(ip) && !has_right_checksum(&ip))
		return 0;
	layer->is_ipv6 = 0;
	layer->protocol = ip.protocol;
	layer->ecn = ip.tos & ECN_MASK;
	layer->payload = layer->offset + header;
	layer->length = length - header;
	__builtin_memset(key->address, 0, 10);
	__builtin_memset(key->address + 10, 0xff, 2);
	__builtin_memcpy(key->address + 12, &ip.daddr, sizeof(ip.daddr));
	return 1;
}

static __noinline int read_ipv6(struct __sk_buff *frame, struct layer *layer, struct opening_key *key, __u32 room)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(frame, layer->offset, &ip, sizeof(ip)))
		return 0;

	__u32 length = bpf_ntohs(ip.payload_len);

	if (ip.version != 6 || length + sizeof(ip) > room)
		return 0;
	layer->has_options = 0;
	layer->is_ipv6 = 1;
	layer->protocol = ip.nexthdr;
	layer->ecn = ip.flow_lbl[0] >> 4 & ECN_MASK;
	layer->payload = layer->offset + sizeof(ip);
	layer->length = length;
	__builtin_memcpy(key->address, &ip.daddr, sizeof(ip.daddr));
	return 1;
}

/* The EtherType of what a GRE header announces; 0: not one that is opened here (RFC 2784, no flags). */
static __always_inline __be16 read_gre(struct __sk_buff *frame, const struct layer *outer, __u32 *header)
{
	__be16 gre[2];

	*header = sizeof(gre);
	if (outer->length < sizeof(gre) || bpf_skb_load_bytes(frame, outer->payload, gre, sizeof(gre)) || gre[0])
		return 0;
	return gre[1] == bpf_htons(ETH_P_IP) || gre[1] == bpf_htons(ETH_P_IPV6) ? gre[1] : 0;
}

static __always_inline __be16 ethertype_of(__u8 protocol)
{
	if (protocol == IPPROTO_IPIP)
		return bpf_htons(ETH_P_IP);
	return protocol == IPPROTO_IPV6 ? bpf_htons(ETH_P_IPV6) : 0;
}

struct gue {
	struct udphdr udp;
	__u8 variant;		/* and whether it is control, and the length of the options */
	__u8 protocol;
	__be16 flags;
};

/* The same for GUE: variant 0 without options, or variant 1, where the IP header follows UDP at once. */
static __always_inline __be16 read_gue(struct __sk_buff *frame, const struct layer *outer, __u32 *header)
{
	struct gue gue;

	*header = sizeof(gue);
	if (outer->length < sizeof(gue) || bpf_skb_load_bytes(frame, outer->payload, &gue, sizeof(gue)) ||
	    bpf_ntohs(gue.udp.len) < sizeof(gue) || bpf_ntohs(gue.udp.len) > outer->length || gue.udp.check)
		return 0;
	if (gue.variant == 0)
		return gue.flags ? 0 : ethertype_of(gue.protocol);
	*header = sizeof(gue.udp);
	if (gue.variant >> 4 == 4)
		return bpf_htons(ETH_P_IP);
	return gue.variant >> 4 == 6 ? bpf_htons(ETH_P_IPV6) : 0;
}

/* What RFC 6040 4.2 makes of the two marks; negative: the packet must be dropped. */
static __always_inline int ecn_outside(__u8 outer, __u8 inner)
{
	if (outer == ECN_CE)
		return inner ? ECN_CE : -1;
	return outer == ECN_ECT1 && inner == ECN_ECT0 ? ECN_ECT1 : inner;
}

/* Write the mark into the packet, which is opened already. A device's sum over the frame stays right. */
static __always_inline void set_ecn(struct __sk_buff *frame, int is_ipv6, __u8 ecn)
{
	__u8 bytes[2];

	if (bpf_skb_load_bytes(frame, ETH_HLEN, bytes, sizeof(bytes)))
		return;

	__u16 before, after;

	__builtin_memcpy(&before, bytes, sizeof(before));
	bytes[1] = is_ipv6 ? (bytes[1] & ~(ECN_MASK << 4)) | ecn << 4 : (bytes[1] & ~ECN_MASK) | ecn;
	__builtin_memcpy(&after, bytes, sizeof(after));
	/* the IPv4 header's sum is zero before and after; IPv6 has none of its own */
	if (!is_ipv6)
		bpf_l3_csum_replace(frame, ETH_HLEN + offsetof(struct iphdr, check), before, after, sizeof(after));
	bpf_skb_store_bytes(frame, ETH_HLEN, bytes, sizeof(bytes), is_ipv6 ? BPF_F_RECOMPUTE_CSUM : 0);
}

/*
 * Take the outer headers away. Where the family changes, the kernel's translation does only what is wanted here (the
 * buffer's protocol, and twenty bytes more or less); BPF_F_ADJ_ROOM_DECAP_L3_IPV4 and _IPV6 exist since Linux 6.3.
 */
static __always_inline int strip(struct __sk_buff *frame, const struct layer *outer, const struct layer *inner)
{
	__be16 ethertype = inner->is_ipv6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	__s32 excess = inner->offset - outer->offset;

	if (inner->is_ipv6 != outer->is_ipv6) {
		if (bpf_skb_change_proto(frame, ethertype, 0))
			return 0;
		excess += inner->is_ipv6 ? (__s32)TRANSLATION : -(__s32)TRANSLATION;
	}
	if (bpf_skb_adjust_room(frame, -excess, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return 0;
	return !bpf_skb_store_bytes(frame, offsetof(struct ethhdr, h_proto), &ethertype, sizeof(ethertype), 0);
}

static __always_inline int open_up(struct __sk_buff *frame, const struct layer *outer, struct layer *inner,
				   struct opening_key *key)
{
	__u32 room = outer->payload + outer->length - inner->offset;
	int whole = inner->is_ipv6 ? read_ipv6(frame, inner, key, room) : read_ipv4(frame, inner, key, room);

	if (!whole)
		return count(SHOAL_OPENING_MALFORMED, TC_ACT_UNSPEC);
	key->port = 0;
	key->protocol = 0;
	if (!is_known(key))
		return count(SHOAL_OPENING_FOREIGN, TC_ACT_UNSPEC);

	int ecn = ecn_outside(outer->ecn, inner->ecn);

	if (ecn < 0)
		return count(SHOAL_OPENING_CONGESTED, TC_ACT_SHOT);
	if (!strip(frame, outer, inner))
		return count(SHOAL_OPENING_INTERNAL, TC_ACT_SHOT);
	if (ecn != inner->ecn)
		set_ecn(frame, inner->is_ipv6, ecn);
	return count(SHOAL_OPENED, TC_ACT_UNSPEC);
}

/* 1: it came to a tunnel address of this host, by an encapsulation that is used there. */
static __always_inline int is_for_a_tunnel(struct __sk_buff *frame, const struct layer *outer, struct opening_key *key)
{
	key->protocol = outer->protocol;
	if (outer->protocol == IPPROTO_UDP &&
	    (outer->length < sizeof(struct udphdr) ||
	     bpf_skb_load_bytes(frame, outer->payload + offsetof(struct udphdr, dest), &key->port, sizeof(key->port))))
		return 0;
	return is_known(key);
}

SEC("tc")
int shoal_decapsulate(struct __sk_buff *frame)
{
	struct layer outer = { .offset = ETH_HLEN }, inner = {};
	struct opening_key key = {};
	__u32 header = 0, room = frame->len - ETH_HLEN;
	__be16 ethertype;
	int whole = 0;

	if (frame->pkt_type != PACKET_HOST || frame->vlan_present || frame->len <= ETH_HLEN)
		return TC_ACT_UNSPEC;
	if (frame->protocol == bpf_htons(ETH_P_IP))
		whole = read_ipv4(frame, &outer, &key, room);
	else if (frame->protocol == bpf_htons(ETH_P_IPV6))
		whole = read_ipv6(frame, &outer, &key, room);
	if (!whole || !is_for_a_tunnel(frame, &outer, &key))
		return TC_ACT_UNSPEC;

	if (outer.protocol == IPPROTO_GRE)
		ethertype = read_gre(frame, &outer, &header);
	else if (outer.protocol == IPPROTO_UDP)
		ethertype = read_gue(frame, &outer, &header);
	else
		ethertype = ethertype_of(outer.protocol);
	if (!ethertype || outer.has_options)
		return count(SHOAL_OPENING_UNKNOWN, TC_ACT_UNSPEC);
	inner.offset = outer.payload + header;
	inner.is_ipv6 = ethertype == bpf_htons(ETH_P_IPV6);
	return open_up(frame, &outer, &inner, &key);
}

char shoal_license[] SEC("license") = "GPL";
