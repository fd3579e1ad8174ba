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
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TEMPLATE_SIZE 54
#define FRAME_SIZE 60		/* as harness.py sends it */
#define PORTS_PER_ADDRESS 16384
#define FIRST_PORT 1024
#define BENCH_PORT 9000

struct plan {
	__u32 flows;		/* a power of two */
	__u32 ifindex;		/* where the generator sends */
	__u32 next;		/* number of the next packet */
	__u16 sequential;	/* 1: flows in order (to fill tables), 0: scattered */
	__u16 finished;		/* 1: the source is in the UDP checksum too, 0: left as it is */
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

static const __u32 zero;

static __always_inline __u16 add_to_checksum(__be16 check, __u32 amount)
{
	__u32 sum = (__u16)~bpf_ntohs(check) + amount;

	sum = (sum & 0xffff) + (sum >> 16);
	return bpf_htons(~((sum & 0xffff) + (sum >> 16)));
}

/* Flow number -> source address and port, with the IP (and, if wanted, UDP) checksum mended. */
static __always_inline void set_flow(void *data, const struct plan *plan, __u32 flow)
{
	struct iphdr *ip = data + sizeof(struct ethhdr);
	__be16 *source_port = data + sizeof(struct ethhdr) + sizeof(*ip);
	__u32 host = flow / PORTS_PER_ADDRESS;

	*source_port = bpf_htons(FIRST_PORT + flow % PORTS_PER_ADDRESS);
	ip->check = add_to_checksum(ip->check, host);
	ip->saddr = bpf_htonl(bpf_ntohl(ip->saddr) + host);
	if (plan->finished) {
		struct udphdr *udp = (void *)(ip + 1);

		udp->check = add_to_checksum(udp->check, host + FIRST_PORT + flow % PORTS_PER_ADDRESS);
	}
}

#define COPY(type, at) *(type *)(to + (at)) = *(const type *)(from + (at))

/*
 * In pieces that match the headers' fields: memcpy() would go byte by byte here, which costs 50 ns, and every load of
 * a field would wait for its bytes' stores.
 */
static __always_inline void copy_template(void *to, const void *from)
{
	COPY(__u64, 0);		/* Ethernet */
	COPY(__u32, 8);
	COPY(__u16, 12);
	COPY(__u64, 14);	/* IP up to the fragment offset */
	COPY(__u16, 22);	/* time to live, protocol */
	COPY(__u16, 24);	/* checksum */
	COPY(__u32, 26);	/* addresses */
	COPY(__u32, 30);
	COPY(__u16, 34);	/* ports */
	COPY(__u16, 36);
	COPY(__u16, 38);	/* UDP: length, checksum */
	COPY(__u16, 40);
	COPY(__u32, 42);
	COPY(__u64, 46);
}

/* Takes away what a program under test has put in front. */
static __always_inline int shrink(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u64 length = end - data;

	return length <= FRAME_SIZE || !bpf_xdp_adjust_head(context, length - FRAME_SIZE);
}

static __always_inline int restore(struct xdp_md *context, struct plan *plan)
{
	if (!shrink(context))
		return 0;
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;

	if (data + TEMPLATE_SIZE > end)
		return 0;
	copy_template(data, plan->template);
	__u32 n = plan->next++;
	set_flow(data, plan, (plan->sequential ? n : n * 2654435761u >> 7) & (plan->flows - 1));
	return 1;
}

SEC("xdp")
int harness(struct xdp_md *context)
{
	struct plan *plan = bpf_map_lookup_elem(&plans, &zero);

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
	struct plan *plan = bpf_map_lookup_elem(&plans, &zero);

	if (!plan || !restore(context, plan))
		return XDP_ABORTED;
	return bpf_redirect(plan->ifindex, 0);
}

/* Only what the generator sent: a namespace may have frames of its own. */
static __always_inline void count_arrival(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	struct udphdr *udp = (void *)(ip + 1);
	__u64 *count = bpf_map_lookup_elem(&arrived, &zero);

	if (count && (void *)(udp + 1) <= end && eth->h_proto == bpf_htons(ETH_P_IP) && ip->protocol == IPPROTO_UDP &&
	    udp->dest == bpf_htons(BENCH_PORT))
		++*count;
}

SEC("xdp")
int sink_xdp(struct xdp_md *context)
{
	count_arrival((void *)(long)context->data, (void *)(long)context->data_end);
	return XDP_DROP;
}

/* For socket buffers: a sink at XDP would have to turn each of them into a frame first. */
SEC("tc")
int sink_tc(struct __sk_buff *context)
{
	count_arrival((void *)(long)context->data, (void *)(long)context->data_end);
	return TC_ACT_SHOT;
}

char bench_license[] SEC("license") = "GPL";
