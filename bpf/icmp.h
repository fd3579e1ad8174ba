/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ICMP program: a packet that cannot go on becomes the ICMP error that tells its sender so, and goes back the way it
 * came. Too big for its way: RFC 792 and 1191 (destination unreachable, fragmentation needed), RFC 4443 3.2. At the end
 * of its TTL: RFC 792, RFC 4443 3.3. One whose connection was ended becomes a TCP reset (reset.h).
 *
 * An answer quotes at most 512 bytes of the packet (RFC 1812 4.3.2.3 has 548, RFC 4443 2.4 up to 1,232: all of them are
 * enough for the sender to find its socket). There are at most 16 in a tick on each CPU, about 950 a second.
 */
#ifndef SHOAL_ICMP_H
#define SHOAL_ICMP_H
#include "pseudo_header.h"
#include "refuse.h"
#include "abort.h"
#include "connection.h"

#define ANSWERS_PER_TICK 16

struct icmp_error {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 rest;
};

#if SHOAL_FAMILY == 4
#include "icmp4.h"
#else
#include "icmp6.h"
#endif

static __always_inline int may_answer(struct refusal *refusal)
{
	__u32 now = now_in_ticks();

	if (refusal->tick != now) {
		refusal->tick = now;
		refusal->answers = 0;
	}
	return refusal->answers++ < ANSWERS_PER_TICK;
}

/* The one's complement sum of `length` bytes of the frame from its IP header on; -1 when they are not there. */
static __always_inline __s64 quote_sum(SHOAL_CONTEXT *context, struct refusal *refusal, __u32 length)
{
	__builtin_memset(refusal->quote, 0, QUOTE);
	/* 1 to QUOTE, in a form that the verifier of Linux 6.1 understands */
	length--;
	barrier_var(length);
	length = (length & (QUOTE - 1)) + 1;
	if (load_bytes(context, sizeof(struct ethhdr), refusal->quote, length))
		return -1;
	return bpf_csum_diff(0, 0, (__be32 *)refusal->quote, QUOTE, 0);
}

/*
 * A checksum that the device is still to finish will stand in the quote when the answer leaves. It makes everything that
 * it covers add up to the complement of what stands there now, whatever that is; so the answer's own checksum can be
 * right before.
 */
static __always_inline __s64 sum_of_quote(SHOAL_CONTEXT *context, struct refusal *refusal, const struct packet *packet,
					  __u16 check, __u32 length)
{
	if (!is_unfinished(context, packet, check))
		return quote_sum(context, refusal, length);
	__s64 sum = quote_sum(context, refusal, packet->l4_offset - sizeof(struct ethhdr));
	return sum < 0 ? sum : sum + (__u16)~check;
}

/* The packet becomes the ICMP error. Its frame begins anew. */
static __always_inline int become_error(SHOAL_CONTEXT *context, struct refusal *refusal, struct packet *packet,
					const struct headers *headers)
{
	__u32 length = packet->length < QUOTE ? packet->length : QUOTE;

	if (!may_answer(refusal))
		return 0;
	__s64 sum = headers->check ? sum_of_quote(context, refusal, packet, *headers->check, length) :
				     quote_sum(context, refusal, length);
	if (sum < 0 || cut_frame(context, sizeof(struct ethhdr) + length) || put_in_front(context, ICMP_HEADERS))
		return 0;
	void *ip = frame_begin(context) + sizeof(struct ethhdr);
	if (ip + ICMP_HEADERS > frame_end(context))
		return 0;
	put_icmp(ip, packet, refusal, length, sum, ingress_interface(context));
	return 1;
}

/* The packet becomes what its sender is told. 0: nothing, and it is dropped. */
static __always_inline int become_answer(SHOAL_CONTEXT *context, struct refusal *refusal, struct packet *packet,
					 const struct headers *headers)
{
	if (refusal->reason != SHOAL_REMOVED)
		return become_error(context, refusal, packet, headers);
	if (packet->protocol == IPPROTO_SCTP)
		return become_abort(context, packet, headers);
	return become_reset(context, packet, headers);
}

static __always_inline int answer_refused(SHOAL_CONTEXT *context, struct packet *packet, struct route *route)
{
	struct refusal *refusal = bpf_map_lookup_elem(&refusals, &zero);
	struct headers headers;
	struct next_hop back = { .ifindex = ingress_interface(context) };

	enum parsed parsed = parse_any_packet(packet, &headers, frame_begin(context), frame_end(context));
	if (parsed == PARSED_NOTHING)
		parsed = parse_uncommon(context, packet, &headers);
	if (!refusal || !is_whole(parsed))
		return OUTCOME_DROP;
	__builtin_memcpy(back.destination_mac, headers.eth->h_source, 6);
	__builtin_memcpy(back.source_mac, headers.eth->h_dest, 6);
	if (!become_answer(context, refusal, packet, &headers))
		return OUTCOME_DROP;
	struct ethhdr *eth = frame_begin(context);
	if ((void *)(eth + 1) > frame_end(context))
		return OUTCOME_DROP;
	__builtin_memcpy(eth->h_dest, back.destination_mac, 6);
	__builtin_memcpy(eth->h_source, back.source_mac, 6);
	eth->h_proto = ETHERTYPE;
	route->hop = back;
	route->flags = interface_flags(back.ifindex);
	return OUTCOME_SEND;
}

#endif
