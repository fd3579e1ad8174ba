/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a frame to a packet: bounds, lengths and kinds are checked once, here. Whatever is malformed, or of a protocol
 * that is not balanced, is not ours: the host's own stack sees it untouched, and discards it by its own rules.
 */
#ifndef SHOAL_PARSE_H
#define SHOAL_PARSE_H
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "ethernet.h"
#include "family.h"
#include "sctp.h"
#include "tcp_state.h"

#define L4_MASK 0x3ffu		/* for the verifier: how far from the frame's begin a transport header is, at most */

/* The headers in the frame, valid until a BPF call changes the frame. */
struct headers {
	struct ethhdr *eth;
	struct ip_header *ip;
	__be16 *ports;			/* source, destination; NULL in a later fragment */
	__u16 *check;			/* of TCP or UDP; NULL in a later fragment, and under SCTP */
};

struct packet {
	struct ip_address source;
	struct ip_address destination;
	__be16 source_port;
	__be16 destination_port;
	__u16 length;			/* of the IP packet, bytes */
	__u16 l4_offset;		/* from the frame's begin */
	__u8 protocol;
	__u8 event;			/* enum tcp_event or sctp_event; TCP_NO_EVENT for UDP */
	__u8 opens;			/* SYN without ACK, INIT: asks for a new connection */
	__u8 first_fragment;
	__u8 ttl;
	__u8 l4_header;			/* bytes of the transport header */
};

enum parsed {
	PARSED_NOTHING,			/* not of this family, malformed, or not ours to judge */
	PARSED_WHOLE,			/* a whole packet with its ports */
	PARSED_EXTENDED,		/* another, behind IPv6 extension headers */
	PARSED_MESSAGE,			/* ICMPv6 behind some */
	PARSED_FIRST_FRAGMENT,		/* the first fragment of one, with its ports */
	PARSED_LATER_FRAGMENT,		/* another, without ports */
};

static __always_inline int is_whole(enum parsed parsed)
{
	return parsed == PARSED_WHOLE || parsed == PARSED_EXTENDED;
}

#include "parse_ip.h"

static __always_inline int is_balanced(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

static __always_inline __u8 tcp_event_of(const struct tcphdr *tcp)
{
	/* precedence as in tcp_state_idx(), net/netfilter/ipvs/ip_vs_proto_tcp.c */
	if (tcp->rst)
		return TCP_RST;
	if (tcp->syn)
		return TCP_SYN;
	if (tcp->fin)
		return TCP_FIN;
	return tcp->ack ? TCP_ACK : TCP_NO_EVENT;
}

static __always_inline int parse_tcp(struct packet *packet, struct headers *headers, struct tcphdr *tcp, void *end,
				     __u32 l4_length)
{
	if ((void *)(tcp + 1) > end || tcp->doff < 5 || tcp->doff * 4u > l4_length)
		return 0;
	headers->ports = &tcp->source;
	headers->check = &tcp->check;
	packet->source_port = tcp->source;
	packet->destination_port = tcp->dest;
	packet->event = tcp_event_of(tcp);
	packet->l4_header = tcp->doff * 4;
	packet->opens = packet->event == TCP_SYN && !tcp->ack && !tcp->fin;
	return 1;
}

static __always_inline int parse_udp(struct packet *packet, struct headers *headers, struct udphdr *udp, void *end,
				     __u32 l4_length)
{
	if ((void *)(udp + 1) > end)
		return 0;
	__u32 length = bpf_ntohs(udp->len);
	/* the first fragment of a datagram carries the length of the whole */
	if (length < sizeof(*udp) || (length > l4_length && !packet->first_fragment))
		return 0;
	headers->ports = &udp->source;
	headers->check = &udp->check;
	packet->source_port = udp->source;
	packet->destination_port = udp->dest;
	packet->event = TCP_NO_EVENT;
	packet->l4_header = sizeof(*udp);
	packet->opens = 1;
	return 1;
}

static __always_inline int parse_sctp(struct packet *packet, struct headers *headers, struct sctp_header *sctp,
				      void *end, __u32 l4_length)
{
	if ((void *)(sctp + 1) > end || l4_length < sizeof(*sctp))
		return 0;
	headers->ports = &sctp->source;
	headers->check = NULL;
	packet->source_port = sctp->source;
	packet->destination_port = sctp->destination;
	packet->event = sctp_event_of(sctp->first.type);
	packet->l4_header = SCTP_COMMON_HEADER;
	packet->opens = packet->event == SCTP_INIT;
	return 1;
}

/*
 * The packet's transport header, at l4. takes_sctp: a constant. The program that nearly all packets meet has no room for
 * what is rare.
 */
static __always_inline enum parsed parse_transport(struct packet *packet, struct headers *headers, void *l4, void *end,
						   int takes_sctp)
{
	__u32 l4_length = packet->length - (packet->l4_offset - sizeof(struct ethhdr));
	int found = 0;

	if (packet->protocol == IPPROTO_TCP)
		found = parse_tcp(packet, headers, l4, end, l4_length);
	else if (packet->protocol == IPPROTO_UDP)
		found = parse_udp(packet, headers, l4, end, l4_length);
	else if (takes_sctp && packet->protocol == IPPROTO_SCTP)
		found = parse_sctp(packet, headers, l4, end, l4_length);
	if (!found)
		return PARSED_NOTHING;
	return packet->first_fragment ? PARSED_FIRST_FRAGMENT : PARSED_WHOLE;
}

static __always_inline enum parsed parse_protocols(struct packet *packet, struct headers *headers, void *data, void *end,
						   int takes_sctp)
{
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end || ethertype_of(eth) != ETHERTYPE)
		return PARSED_NOTHING;
	headers->eth = eth;
	void *l4 = parse_ip(packet, headers, (void *)(eth + 1), end);
	return l4 ? parse_transport(packet, headers, l4, end, takes_sctp) : PARSED_NOTHING;
}

/* Of TCP or UDP. */
static __always_inline enum parsed parse_packet(struct packet *packet, struct headers *headers, void *data, void *end)
{
	return parse_protocols(packet, headers, data, end, 0);
}

/* Of any protocol that is balanced. */
static __always_inline enum parsed parse_any_packet(struct packet *packet, struct headers *headers, void *data,
						    void *end)
{
	return parse_protocols(packet, headers, data, end, 1);
}

#endif
