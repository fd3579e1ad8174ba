/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Forwarding methods nat and fullnat: rewrite one address and port, or both, in place. The hook's own file says how L4
 * checksums are mended.
 */
#ifndef SHOAL_FORWARD_NAT_H
#define SHOAL_FORWARD_NAT_H
#include "next_hop.h"

struct rewrite {
	struct ip_address address;	/* destination of a request, source of a reply */
	__be16 port;
	__be16 other_port;
	struct ip_address other_address;	/* the other end, under fullnat */
	int is_full;
	__u16 address_delta;
	__u16 port_delta;
};

static __always_inline struct rewrite rewrite_towards_server(const struct connection *c,
							     const struct destination *destination)
{
	if (c->method == SHOAL_FULLNAT)
		return (struct rewrite){
			.address = unmapped(&destination->address),
			.port = destination->port ?: c->virtual_port,
			.other_address = c->inside,
			.other_port = c->inside_port,
			.is_full = 1,
			.address_delta = c->address_delta,
			.port_delta = c->port_delta,
		};
	return (struct rewrite){
		.address = c->inside,
		.port = c->inside_port,
		.address_delta = c->address_delta,
		.port_delta = c->port_delta,
	};
}

static __always_inline struct rewrite rewrite_towards_client(const struct connection *c)
{
	return (struct rewrite){
		.address = c->virtual_address,
		.port = c->virtual_port,
		.other_address = c->client,
		.other_port = c->client_port,
		.is_full = c->method == SHOAL_FULLNAT,
		.address_delta = ~c->address_delta,
		.port_delta = ~c->port_delta,
	};
}

/*
 * What every forwarding method does: MACs, and TTL or hop limit (a router takes one from it, RFC 1812 5.3.1, RFC 8200
 * section 3; so does ip_vs_xmit.c). delta: what else has changed in the IP header.
 */
static __always_inline void hop_on(const struct headers *headers, const struct next_hop *hop, __u32 delta)
{
	age(headers->ip, delta);
	set_macs(headers->eth, hop);
}

/* Addresses, ports, TTL, IP checksum and MACs. */
static __always_inline void rewrite_headers(const struct headers *headers, const struct rewrite *rewrite,
					    enum direction direction, const struct next_hop *hop)
{
	if (direction == FROM_CLIENT) {
		set_destination(headers->ip, &rewrite->address);
		if (headers->ports)
			headers->ports[1] = rewrite->port;
		if (rewrite->is_full) {
			set_source(headers->ip, &rewrite->other_address);
			if (headers->ports)
				headers->ports[0] = rewrite->other_port;
		}
	} else {
		set_source(headers->ip, &rewrite->address);
		if (headers->ports)
			headers->ports[0] = rewrite->port;
		if (rewrite->is_full) {
			set_destination(headers->ip, &rewrite->other_address);
			if (headers->ports)
				headers->ports[1] = rewrite->other_port;
		}
	}
	hop_on(headers, hop, rewrite->address_delta);
}

#endif
