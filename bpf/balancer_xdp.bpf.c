// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The XDP entries: frames as a driver receives them. What XDP cannot do it passes on to the TC entry, unrewritten. */
#define SHOAL_CONTEXT struct xdp_md
#include "verdict.h"

static __always_inline __u32 ingress_interface(const struct xdp_md *context)
{
	return context->ingress_ifindex;
}

#include "next_hop.h"
#include "forward_nat.h"

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

#include "flow.h"
#include "partial_checksum.h"

static __always_inline int verdict_of(const struct xdp_md *context, int outcome, const struct route *route)
{
	if (outcome == OUTCOME_PASS)
		return XDP_PASS;
	if (outcome == OUTCOME_DROP)
		return XDP_DROP;
	if (route->hop.ifindex == ingress_interface(context))
		return XDP_TX;
	return bpf_redirect(route->hop.ifindex, 0);
}

SEC("xdp")
int shoal_xdp(struct xdp_md *context)
{
	struct route route = {};
	int outcome = balance(context, &route);

	return verdict_of(context, outcome, &route);
}

/* For interfaces whose frames come from a local stack (veth): their checksums may still be unfinished. */
SEC("xdp")
int shoal_xdp_local(struct xdp_md *context)
{
	struct route route = {};

	complete_partial_checksum(context);
	int outcome = balance(context, &route);
	return verdict_of(context, outcome, &route);
}

char shoal_license[] SEC("license") = "GPL";
