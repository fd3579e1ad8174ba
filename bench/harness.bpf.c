// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Programs for script/bench: what restores a packet before every repetition of a test run, the yardsticks, a
 * generator for live frames, and sinks that count what arrived.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TEMPLATE_SIZE 54
#define PORTS_PER_ADDRESS 16384
#define FIRST_PORT 1024

struct plan {
	__u32 flows;		/* a power of two */
	__u32 ifindex;		/* where the generator sends */
	__u32 fixes_tcp_checksum;
	__u32 sequential;	/* 1: flows in order (to fill tables), 0: scattered */
	__u8 template[64];
};

struct tuple {
	__be32 source, destination;
	__be16 source_port, destination_port;
	__u32 protocol;
};

struct seen {
	__u64 packets;
	__u64 last;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct plan);
} plans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} under_test SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 20);
	__type(key, struct tuple);
	__type(value, struct seen);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} arrived SEC(".maps");

__u32 sent;
static const __u32 zero;

/* Flow number -> source address and port, with the IP (and, if wanted, TCP) checksum mended. */
static __always_inline void set_flow(void *data, const struct plan *plan, __u32 flow)
{
	struct iphdr *ip = data + sizeof(struct ethhdr);
	__be16 *source_port = data + sizeof(struct ethhdr) + sizeof(*ip);
	__u32 host = flow / PORTS_PER_ADDRESS;

	*source_port = bpf_htons(FIRST_PORT + flow % PORTS_PER_ADDRESS);
	__u32 sum = (__u16)~bpf_ntohs(ip->check) + host;
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = bpf_htons(~((sum & 0xffff) + (sum >> 16)));
	ip->saddr = bpf_htonl(bpf_ntohl(ip->saddr) + host);
	if (plan->fixes_tcp_checksum) {
		struct tcphdr *tcp = (void *)(ip + 1);

		sum = (__u16)~bpf_ntohs(tcp->check) + host + FIRST_PORT + flow % PORTS_PER_ADDRESS;
		sum = (sum & 0xffff) + (sum >> 16);
		tcp->check = bpf_htons(~((sum & 0xffff) + (sum >> 16)));
	}
}

static __always_inline int restore(struct xdp_md *context, const struct plan *plan)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;

	if (data + TEMPLATE_SIZE > end)
		return 0;
	__builtin_memcpy(data, plan->template, TEMPLATE_SIZE);
	__u32 n = sent++;
	set_flow(data, plan, (plan->sequential ? n : n * 2654435761u >> 7) & (plan->flows - 1));
	return 1;
}

SEC("xdp")
int harness(struct xdp_md *context)
{
	const struct plan *plan = bpf_map_lookup_elem(&plans, &zero);

	if (plan && restore(context, plan))
		bpf_tail_call(context, &under_test, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int empty(struct xdp_md *context)
{
	return XDP_TX;
}

/* The yardstick: parse, and one lookup in an LRU hash. */
SEC("xdp")
int single_lookup(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	struct tuple tuple = { ip->saddr, ip->daddr, tcp->source, tcp->dest, ip->protocol };
	struct seen *known = bpf_map_lookup_elem(&flows, &tuple);
	if (!known) {
		struct seen fresh = {};

		bpf_map_update_elem(&flows, &tuple, &fresh, BPF_ANY);
		return XDP_PASS;
	}
	known->packets++;
	return XDP_TX;
}

SEC("xdp")
int generate(struct xdp_md *context)
{
	const struct plan *plan = bpf_map_lookup_elem(&plans, &zero);

	if (!plan || !restore(context, plan))
		return XDP_ABORTED;
	return bpf_redirect(plan->ifindex, 0);
}

static __always_inline void count_arrival(void)
{
	__u64 *count = bpf_map_lookup_elem(&arrived, &zero);

	if (count)
		++*count;
}

SEC("xdp")
int sink_xdp(struct xdp_md *context)
{
	count_arrival();
	return XDP_DROP;
}

char bench_license[] SEC("license") = "GPL";
