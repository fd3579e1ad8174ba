/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The related program: ICMP and ICMPv6 errors about packets of connections, which go where the quoted packet came from.
 * They are counted as packets but touch neither state nor deadline. All other messages are the host's.
 */
#ifndef SHOAL_RELATED_H
#define SHOAL_RELATED_H
#include "extension.h"
#include "forward.h"
#include "scratch.h"

#define QUOTED_PORTS 8		/* bytes behind the quoted IP header that are always there */

/* The first of ICMP's and of ICMPv6's header. */
struct error_header {
	__u8 type;
	__u8 code;
	__u16 check;
	__be32 rest;
};

struct quoted_l4 {
	__be16 ports[2];
	__be16 udp_length;
	__u16 udp_check;
};

/* Its ports, and its checksum if that is among the `length` bytes that are quoted. */
static __always_inline int read_quoted_l4(struct quote *quote, struct packet *about, void *l4, void *end, __u32 length)
{
	struct quoted_l4 *head = l4;
	struct tcphdr *tcp = l4;

	if ((void *)(head + 1) > end || length < sizeof(*head))
		return 0;
	quote->ports = head->ports;
	about->source_port = head->ports[1];
	about->destination_port = head->ports[0];
	about->protocol = quote->protocol;
	if (quote->protocol == IPPROTO_UDP && head->udp_check)
		quote->check = &head->udp_check;
	if (quote->protocol == IPPROTO_TCP && length >= offsetof(struct tcphdr, urg_ptr) && (void *)&tcp->urg_ptr <= end)
		quote->check = &tcp->check;
	return 1;
}

#if SHOAL_FAMILY == 4

#define ICMP_UNREACHABLE 3
#define ICMP_QUENCH 4
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER 12
#define IP_FRAGMENT (IP_MORE_FRAGMENTS | IP_OFFSET_MASK)

/* Redirects are for the host alone. */
static __always_inline int is_error(__u8 type)
{
	return type == ICMP_UNREACHABLE || type == ICMP_QUENCH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER;
}

/* What is behind the error's own IP header; NULL unless it is a whole ICMP message. */
static __always_inline struct error_header *read_outside(SHOAL_CONTEXT *context, struct packet *packet,
							 struct headers *headers, void *data, void *end)
{
	struct iphdr *ip = data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_ICMP ||
	    ip->frag_off & IP_FRAGMENT)
		return NULL;
	headers->ip = ip;
	packet->source.word = ip->saddr;
	packet->destination.word = ip->daddr;
	packet->length = bpf_ntohs(ip->tot_len);
	packet->ttl = ip->ttl;
	packet->l4_offset = sizeof(struct ethhdr) + ip->ihl * 4;
	return (void *)ip + ip->ihl * 4;
}

/* What is behind the quoted IP header; NULL for a fragment without ports. */
static __always_inline void *read_quoted_ip(SHOAL_CONTEXT *context, const struct packet *packet, struct quote *quote,
					    struct packet *about, struct iphdr *ip, void *data, void *end)
{
	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5 || ip->frag_off & IP_OFFSET_MASK)
		return NULL;
	quote->ip = ip;
	quote->protocol = ip->protocol;
	about->source.word = ip->daddr;
	about->destination.word = ip->saddr;
	return (void *)ip + ip->ihl * 4;
}

static __always_inline int judge_message(SHOAL_CONTEXT *context, const struct packet *packet)
{
	return OUTCOME_PASS;
}

#else

#define ICMPV6_PARAMETER 4

static __always_inline int is_error(__u8 type)
{
	return type >= 1 && type <= ICMPV6_PARAMETER;
}

static __always_inline struct error_header *read_outside(SHOAL_CONTEXT *context, struct packet *packet,
							 struct headers *headers, void *data, void *end)
{
	struct ipv6hdr *ip = data + sizeof(struct ethhdr);
	const struct scratch *scratch = get_scratch();

	if (!scratch || (void *)(ip + 1) > end || ip->version != 6 || !read_ip(packet, headers, ip) ||
	    !walk_extensions(context, sizeof(struct ethhdr) + sizeof(*ip), ip->nexthdr) ||
	    scratch->extensions.protocol != IPPROTO_ICMPV6 || scratch->extensions.fragment >= FIRST_FRAGMENT)
		return NULL;
	packet->l4_offset = scratch->extensions.transport;
	return data + (packet->l4_offset & L4_MASK);
}

static __always_inline void *read_quoted_ip(SHOAL_CONTEXT *context, const struct packet *packet, struct quote *quote,
					    struct packet *about, struct ipv6hdr *ip, void *data, void *end)
{
	const struct scratch *scratch = get_scratch();
	__u32 begin = packet->l4_offset + sizeof(struct error_header) + sizeof(*ip);

	if (!scratch || (void *)(ip + 1) > end || ip->version != 6 || !walk_extensions(context, begin, ip->nexthdr) ||
	    scratch->extensions.fragment == LATER_FRAGMENT)
		return NULL;
	quote->ip = ip;
	quote->protocol = scratch->extensions.protocol;
	__builtin_memcpy(&about->source, &ip->daddr, sizeof(about->source));
	__builtin_memcpy(&about->destination, &ip->saddr, sizeof(about->destination));
	return data + (scratch->extensions.transport & L4_MASK);
}

/* A neighbour solicitation behind extension headers; the established program sees to all others. */
static __always_inline int judge_message(SHOAL_CONTEXT *context, const struct packet *packet)
{
	struct solicitation question;

	if (load_bytes(context, packet->l4_offset, &question, sizeof(question)) ||
	    question.type != NEIGHBOUR_SOLICITATION)
		return OUTCOME_PASS;
	return judge_question(&question.target);
}

#endif

/* An error that is addressed to the sender of the packet that it quotes, as it must be; `about` is that sender's view. */
static __always_inline int parse_error(SHOAL_CONTEXT *context, struct packet *packet, struct packet *about,
				       struct headers *headers, struct quote *quote, struct error_header *error,
				       void *data, void *end)
{
	void *l4 = read_quoted_ip(context, packet, quote, about, (void *)(error + 1), data, end);

	if (!l4 || !is_balanced(quote->protocol) || !same_address(&packet->destination, &about->destination))
		return 0;
	__u32 before = l4 - data;	/* what comes before it in the frame */
	__u32 whole = sizeof(struct ethhdr) + packet->length;
	if (whole < before || !read_quoted_l4(quote, about, l4, end, whole - before))
		return 0;
	headers->eth = data;
	quote->error_check = &error->check;
	packet->protocol = IPPROTO_ICMP;
	packet->source_port = packet->destination_port = 0;
	packet->event = TCP_NO_EVENT;
	return 1;
}

/* The live connection that an error is about: its client's packets look like `about`, or its replies do. */
static __always_inline struct connection *find_related(const struct packet *about, const struct settings *table,
						       __u32 now, enum direction *direction)
{
	__u32 hash = connection_hash(&about->source, about->source_port, about->protocol, table->hash_seed);
	struct connection *c = find_connection(about, hash, n_buckets_of(table), FROM_CLIENT);
	__u32 word;

	*direction = FROM_CLIENT;
	if (!c) {
		hash = connection_hash(&about->destination, about->destination_port, about->protocol, table->hash_seed);
		c = find_connection(about, hash, n_buckets_of(table), FROM_SERVER);
		*direction = FROM_SERVER;
	}
	if (!c)
		c = find_by_local_port(about, now, &word);
	return c && !passed(READ_ONCE(c->expires), now) ? c : NULL;
}

static __always_inline int balance_related(SHOAL_CONTEXT *context, struct scratch *scratch)
{
	void *data = frame_begin(context), *end = frame_end(context);
	const struct settings *table = bpf_map_lookup_elem(&settings, &zero);
	struct headers headers = {};
	struct quote quote = {};
	enum direction direction;

	struct error_header *error = read_outside(context, &scratch->packet, &headers, data, end);
	if (!table || !error || (void *)(error + 1) > end)
		return OUTCOME_PASS;
	if (!is_error(error->type))
		return judge_message(context, &scratch->packet);
	if (!parse_error(context, &scratch->packet, &scratch->other, &headers, &quote, error, data, end) ||
	    sizeof(struct ethhdr) + scratch->packet.length > frame_length(context))
		return OUTCOME_PASS;
	__u32 now = now_in_ticks();
	struct connection *c = find_related(&scratch->other, table, now, &direction);
	if (!c || c->method == SHOAL_LOCAL)
		return OUTCOME_PASS;
	__u32 number = c->destination, word = READ_ONCE(c->word);
	struct destination *destination = bpf_map_lookup_elem(&destinations, &number);
	if (!destination)
		return drop(NO_SERVICE, SHOAL_INTERNAL);
	return forward_with_quote(context, &scratch->route, &headers, &scratch->packet, c, word, destination, direction,
				  now, table, &quote);
}

#endif
