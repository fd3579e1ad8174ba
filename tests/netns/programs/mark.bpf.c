// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A filter before Shoal's: TCP to port 9000 gets firewall mark 7, and all goes on to the next filter. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PROTOCOL 23		/* offsets in a frame of IPv4 without options */
#define PORT 36

SEC("tc")
int mark_port(struct __sk_buff *skb)
{
	__u8 protocol = 0;
	__be16 port = 0;

	bpf_skb_load_bytes(skb, PROTOCOL, &protocol, sizeof(protocol));
	bpf_skb_load_bytes(skb, PORT, &port, sizeof(port));
	if (protocol == 6 && port == bpf_htons(9000))
		skb->mark = 7;
	return TC_ACT_UNSPEC;
}

char mark_license[] SEC("license") = "GPL";
