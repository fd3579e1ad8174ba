/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP and ICMPv6 errors quote the packet that they are about: its IP header, and at least eight bytes behind that
 * (RFC 792, RFC 4443 2.4 c). Under nat the quote is rewritten as well as the error around it, so that the receiver
 * recognises its own packet (RFC 5508 4.2).
 */
#ifndef SHOAL_QUOTE_H
#define SHOAL_QUOTE_H
#include "forward_nat.h"

struct quote {
	__u16 *error_check;		/* of the ICMP message, which covers the quote */
	struct ip_header *ip;
	__be16 *ports;			/* source, destination */
	__u16 *check;			/* of TCP or UDP; NULL when it is cut off or not in use */
	__u32 protocol;
};

#if SHOAL_FAMILY == 4

/* Adds up to nothing: the header's own checksum makes good for its address. */
static __always_inline __u32 mend_quoted_header(struct iphdr *ip, __u16 address_delta)
{
	ip->check = csum_apply(ip->check, address_delta);
	return 0;
}

#define covers_addresses 0

#else

static __always_inline __u32 mend_quoted_header(struct ipv6hdr *ip, __u16 address_delta)
{
	return address_delta;
}

#define covers_addresses 1	/* ICMPv6 has a pseudo header (RFC 4443 2.3) */

#endif

/* Change the quote; what that adds to the sum of the ICMP message. */
static __always_inline __u32 rewrite_quote(const struct quote *quote, const struct rewrite *rewrite,
					   enum direction direction)
{
	__u32 change = rewrite->port_delta;

	/* an error to the server is about a packet from it, one to the client about the client's */
	if (direction == FROM_CLIENT) {
		set_source(quote->ip, &rewrite->address);
		quote->ports[0] = rewrite->port;
		if (rewrite->is_full) {
			set_destination(quote->ip, &rewrite->other_address);
			quote->ports[1] = rewrite->other_port;
		}
	} else {
		set_destination(quote->ip, &rewrite->address);
		quote->ports[1] = rewrite->port;
		if (rewrite->is_full) {
			set_source(quote->ip, &rewrite->other_address);
			quote->ports[0] = rewrite->other_port;
		}
	}
	change += mend_quoted_header(quote->ip, rewrite->address_delta);
	if (quote->check) {
		__u16 before = *quote->check;
		__u16 after = csum_apply(before, (__u32)rewrite->address_delta + rewrite->port_delta);

		if (quote->protocol == IPPROTO_UDP && !after)
			after = 0xffff;
		*quote->check = after;
		change += csum_delta16(before, after);
	}
	return change;
}

/*
 * The sender of an error to the client is hidden behind the virtual address, also when it is a router before the real
 * server (RFC 5508 REQ-5 d; so does ip_vs_nat_icmp(), ip_vs_core.c): its own address may well mean nothing outside.
 * Under fullnat that of an error to the real server is hidden behind the local address, for want of a route to any other.
 */
static __always_inline void rewrite_error(const struct headers *headers, const struct quote *quote,
					  const struct packet *packet, const struct rewrite *rewrite,
					  enum direction direction, const struct next_hop *hop)
{
	__u32 change = rewrite_quote(quote, rewrite, direction);
	__u16 outside;

	if (direction == FROM_CLIENT) {
		outside = rewrite->address_delta;
		set_destination(headers->ip, &rewrite->address);
		if (rewrite->is_full) {
			outside = csum_fold(address_change(&packet->destination, &rewrite->address) +
					    address_change(&packet->source, &rewrite->other_address));
			set_source(headers->ip, &rewrite->other_address);
		}
	} else {
		outside = address_change(&packet->source, &rewrite->address);
		set_source(headers->ip, &rewrite->address);
		if (rewrite->is_full) {
			outside = csum_fold((__u32)outside +
					    address_change(&packet->destination, &rewrite->other_address));
			set_destination(headers->ip, &rewrite->other_address);
		}
	}
	*quote->error_check = csum_apply(*quote->error_check, change + (covers_addresses ? outside : 0));
	hop_on(headers, hop, outside);
}

#endif
