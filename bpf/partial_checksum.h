/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A local sender leaves its TCP or UDP checksum to the device (CHECKSUM_PARTIAL): the field holds only the sum of the
 * pseudo header. A veth hands the frame to XDP like that, and XDP cannot see that it is unfinished, so it would stay
 * wrong for ever. It is recognised by its value, and finished here.
 *
 * A finished checksum has that value by chance once in 65,536; working it out again then gives the same value.
 */
#ifndef SHOAL_PARTIAL_CHECKSUM_H
#define SHOAL_PARTIAL_CHECKSUM_H
#include "pseudo_header.h"

#define CHUNK 512		/* what bpf_csum_diff() takes at once before Linux 6.13 */
#define CHUNKS 20		/* 10 kB: above any MTU that XDP without frags accepts */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[2 * CHUNK]);	/* room for what the verifier thinks possible */
} checksum_scratch SEC(".maps");

/* Sum of `length` bytes of the frame from `offset`; -1 when they are not there. */
static __noinline __s64 sum_of_bytes(struct xdp_md *context, __u32 offset, __u32 length)
{
	__u8 *chunk = bpf_map_lookup_elem(&checksum_scratch, &zero);
	__s64 sum = 0;

	if (!chunk)
		return -1;
	for (__u32 i = 0; i < CHUNKS && length; i++) {
		__u32 n = length < CHUNK ? length : CHUNK;

		/* the last word is padded with zeros */
		if (n < CHUNK)
			__builtin_memset(chunk, 0, CHUNK);
		/* 1 to CHUNK, in a form that the verifier of Linux 6.1 understands */
		n--;
		barrier_var(n);
		n = (n & (CHUNK - 1)) + 1;
		if (bpf_xdp_load_bytes(context, offset, chunk, n))
			return -1;
		sum = bpf_csum_diff(0, 0, (__be32 *)chunk, (n + 3) & ~3u, sum);
		if (sum < 0)
			return -1;
		offset += n;
		length -= n;
	}
	return length ? -1 : sum;
}

static __always_inline void complete_partial_checksum(struct xdp_md *context)
{
	void *data = frame_begin(context), *end = frame_end(context);
	struct packet packet = {};
	struct headers headers;

	if (parse_packet(&packet, &headers, data, end) != PARSED_WHOLE ||
	    sizeof(struct ethhdr) + packet.length > frame_length(context))
		return;
	__u16 pseudo = pseudo_header_sum(&packet);
	if (*headers.check != pseudo)
		return;
	__s64 sum = sum_of_bytes(context, packet.l4_offset, l4_length(&packet));
	if (sum < 0)
		return;

	/* the field's own value is in the sum; it equals the pseudo header's, so it stands in for it */
	data = frame_begin(context);
	end = frame_end(context);
	if (parse_packet(&packet, &headers, data, end) != PARSED_WHOLE)
		return;
	__u16 whole = ~csum_fold((sum & 0xffff) + ((__u64)sum >> 16 & 0xffff));
	if (packet.protocol == IPPROTO_UDP && !whole)
		whole = 0xffff;
	*headers.check = whole;
}

#endif
