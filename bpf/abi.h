/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between the BPF programs and Python: every struct and limit that both sides use stands here and
 * nowhere else. The BPF programs include it; Python reads the same text with cffi at run time.
 *
 * Rules: only enums and structs of fixed-width types, all padding written out, and no preprocessor lines other than
 * the guard and the include (cffi drops lines that begin with '#').
 */
#ifndef SHOAL_ABI_H
#define SHOAL_ABI_H
#include <linux/types.h>

enum shoal_limit {
	SHOAL_ABI_VERSION = 5,
	SHOAL_BUCKET_SLOTS = 8,		/* connections in a bucket; 8 x 64 bytes never cross a page */
	SHOAL_PROBE_BUCKETS = 5,	/* buckets that a connection may stand in */
	SHOAL_MAX_PER_SERVICE = 1024,	/* destinations of one service */
	SHOAL_MAX_FLOATING = 1000,	/* addresses that the lease covers */
	SHOAL_NAME_SIZE = 56,
	SHOAL_FILTER_BITS = 16,		/* of a place in the address filter */
	SHOAL_REAL_FILTER_BITS = 20,	/* of one in the part for real servers, of which there are far more */
	SHOAL_TICK_SHIFT = 24,		/* a tick is 2^24 ns = 16.8 ms: 32 bits of them last 834 days */
	SHOAL_GRACE_TICKS = 60,		/* a dead entry rests for 1 s, so that no reader of it is left */
	SHOAL_LIST_ENTRIES = 1024,
	SHOAL_MAX_MACS = 8,
	SHOAL_MSS_THAT_FITS = 1,	/* service_config.mss_clamp: what the connection's ways carry */
	SHOAL_MAX_REPLICAS = 8,		/* destinations of one virtual address under lblcr */
	SHOAL_HELD_FRAGMENTS = 1024,
	SHOAL_HELD_SIZE = 2048,		/* of a held fragment's frame, at most */
	SHOAL_HELD_TICKS = 60,		/* 1 s: how long a fragment waits for its first */
	SHOAL_FRAGMENT_TICKS = 120,	/* 2 s: how long after its last fragment a datagram is remembered */
	SHOAL_MAX_LOCAL = 16,		/* local addresses of fullnat, of each family */
	SHOAL_PORT_TRIES = 32,		/* local ports that a new connection tries */
};

/* Of a connection's slot. From SHOAL_NONE on the entry is live; the order is that of IPVS (enum in ip_vs.h). */
enum shoal_state {
	SHOAL_FREE = 0,
	SHOAL_BUSY = 1,
	SHOAL_DEAD = 2,
	SHOAL_NONE = 3,
	SHOAL_ESTABLISHED = 4,
	SHOAL_SYN_SENT = 5,
	SHOAL_SYN_RECV = 6,
	SHOAL_FIN_WAIT = 7,
	SHOAL_TIME_WAIT = 8,
	SHOAL_CLOSE = 9,
	SHOAL_CLOSE_WAIT = 10,
	SHOAL_LAST_ACK = 11,
	SHOAL_LISTEN = 12,
	SHOAL_SYNACK = 13,
	SHOAL_UDP = 14,
	SHOAL_SCTP_INIT1 = 15,		/* these too in the order of IPVS; before them SHOAL_NONE */
	SHOAL_SCTP_INIT = 16,
	SHOAL_SCTP_COOKIE_SENT = 17,
	SHOAL_SCTP_COOKIE_REPLIED = 18,
	SHOAL_SCTP_COOKIE_WAIT = 19,
	SHOAL_SCTP_COOKIE = 20,
	SHOAL_SCTP_COOKIE_ECHOED = 21,
	SHOAL_SCTP_ESTABLISHED = 22,
	SHOAL_SCTP_SHUTDOWN_SENT = 23,
	SHOAL_SCTP_SHUTDOWN_RECEIVED = 24,
	SHOAL_SCTP_SHUTDOWN_ACK_SENT = 25,
	SHOAL_SCTP_REJECTED = 26,
	SHOAL_SCTP_CLOSED = 27,
	SHOAL_STATES = 28,		/* at most 32: settings.timeout_ticks */
};

/* Second byte of a connection's word. */
enum shoal_connection_flag {
	SHOAL_SPILLED = 1,	/* not in its home bucket */
	SHOAL_TEMPLATED = 2,	/* counted by a template */
};

enum shoal_scheduler {
	SHOAL_RING = 0,		/* rr, wrr: walk the ring */
	SHOAL_LC = 1,
	SHOAL_WLC = 2,
	SHOAL_SED = 3,
	SHOAL_NQ = 4,
	SHOAL_FO = 5,
	SHOAL_OVF = 6,
	SHOAL_TWOS = 7,
	SHOAL_SH = 8,		/* sh, dh, mh: a hash chooses a place of the ring */
	SHOAL_DH = 9,
	SHOAL_MH = 10,
	SHOAL_LBLC = 11,
	SHOAL_LBLCR = 12,
};

/* Of sh and mh. */
enum shoal_scheduler_flag {
	SHOAL_HASH_PORT = 1,	/* the client's port is hashed too */
	SHOAL_FALLBACK = 2,	/* another place is tried when the one found is not a candidate's */
};

/* Further flags of a service_config. */
enum shoal_config_flag {
	SHOAL_THRESHOLDS = 256,	/* one of its members has thresholds */
	SHOAL_CUT_REMOVED = 512,	/* connections of removed destinations are ended; for reading back */
	SHOAL_CUT_DOWN = 1024,	/* those of destinations that are down, too; for reading back */
	SHOAL_MOVE_REMOVED = 2048,	/* with the first, */
	SHOAL_MOVE_DOWN = 4096,		/* and with the second: they are not ended but moved; for reading back */
};

/* Of a service_config; for reading back. */
enum shoal_persistence_flag {
	SHOAL_EXPIRE_QUIESCENT = 1,
	SHOAL_EXPIRE_REMOVED = 2,
};

/* Of a service; see shoal.dataplane.base.Service. */
enum shoal_service_option {
	SHOAL_ONE_PACKET = 1,	/* every datagram is scheduled by itself */
	SHOAL_SLOPPY = 2,	/* a TCP packet from amid a connection may begin one */
	SHOAL_SCREENED = 4,	/* the map "access" tells sources apart */
	SHOAL_ALLOW_LISTED = 8,	/* a source that is not in it is refused */
};

enum shoal_settings_flag {
	SHOAL_LOOSE_REPLIES = 1,	/* some service answers without connections (SHOAL_ONE_PACKET) */
	SHOAL_MARKS = 2,		/* some service listens to a firewall mark */
};

/* Forwarding method, of a destination and of a connection; the order is that of shoal.model.ForwardingMethod. */
enum shoal_method {
	SHOAL_NAT = 0,
	SHOAL_DR = 1,
	SHOAL_TUNNEL = 2,
	SHOAL_FULLNAT = 3,
	SHOAL_LOCAL = 4,
};

/* What a packet travels in under SHOAL_TUNNEL; the order is that of shoal.model.Encapsulation. */
enum shoal_encap {
	SHOAL_IPIP = 0,
	SHOAL_GUE = 1,
	SHOAL_GRE = 2,
};

enum shoal_destination_flag {
	SHOAL_AVAILABLE = 1,
	SHOAL_TAKES_PERSISTENT = 2,	/* templates send it new connections */
	SHOAL_CUT = 4,			/* its connections are ended: TCP is reset, the rest scheduled anew */
	SHOAL_DRAINING = 8,		/* as the operator wished; for reading back */
	SHOAL_CUT_WISHED = 16,		/* so was the cut; for reading back */
	SHOAL_MOVE = 32,		/* with SHOAL_CUT: they are not ended, but scheduled anew */
};

enum shoal_interface_flag {
	SHOAL_PEER_REDIRECT = 1,	/* a veth whose other end is in another namespace of this host */
	SHOAL_XDP_TARGET = 2,		/* its driver takes frames that XDP redirects */
	SHOAL_FROM_STACK = 4,		/* its frames come from a local stack (veth), so XDP must not transmit on it */
};

/* Programs that others go on to by tail call: their places in the hook's program array. */
enum shoal_program {
	SHOAL_PROGRAM_IPV6 = 0,		/* what the entry does for IPv4 */
	SHOAL_PROGRAM_IPV6_LOCAL = 1,	/* the same for frames from a local stack (XDP only) */
	SHOAL_PROGRAM_OPEN4 = 2,	/* what is not of an established connection */
	SHOAL_PROGRAM_OPEN6 = 3,
	SHOAL_PROGRAM_ICMP4 = 4,	/* answers a packet that cannot go on with an ICMP error */
	SHOAL_PROGRAM_ICMP6 = 5,
	SHOAL_PROGRAM_RELATED4 = 6,	/* ICMP errors */
	SHOAL_PROGRAM_RELATED6 = 7,
	SHOAL_PROGRAM_RELEASE4 = 8,	/* fragments that waited for their first (TC only) */
	SHOAL_PROGRAM_RELEASE6 = 9,
	SHOAL_PROGRAM_ENDPOINT4 = 10,	/* connections that end at this router, towards the real server */
	SHOAL_PROGRAM_ENDPOINT6 = 11,
	SHOAL_PROGRAMS = 16,
};

/* Why a packet was dropped; the names are shoal.dataplane.base.Drop. */
enum shoal_drop {
	SHOAL_NO_REAL_SERVER = 0,
	SHOAL_TABLE_FULL = 1,
	SHOAL_REPLY_TUPLE_IN_USE = 2,
	SHOAL_TTL_EXCEEDED = 3,
	SHOAL_FRAGMENT_WITHOUT_FIRST = 4,
	SHOAL_NO_ROUTE = 5,
	SHOAL_LEASE_EXPIRED = 6,
	SHOAL_INTERNAL = 7,
	SHOAL_PACKET_TOO_BIG = 8,
	SHOAL_REMOVED = 9,		/* its real server was removed, or is down, and the connection is ended */
	SHOAL_NO_LOCAL_PORT = 10,
	SHOAL_DENIED = 11,
	SHOAL_CONNECTION_LIMIT = 12,
	SHOAL_SOURCE_RATE = 13,
	SHOAL_DROPS = 14,		/* at most 32: service_counters.drops */
};

struct address4 {
	__be32 word;
};

/* An IPv6 address; where either family may stand, an IPv4 address is mapped into it (RFC 4291 2.5.5.2). */
struct address6 {
	__be32 word[4];
};

struct next_hop {
	__u8 destination_mac[6];
	__u8 source_mac[6];
	__u32 ifindex;			/* 0: not resolved yet */
};

/*
 * One IPv4 connection: one cache line, found by the client's address and port, which both directions carry.
 * word: state in bits 0-7, flags in 8-15, generation in 16-31; changed by compare-and-swap only.
 */
struct connection4 {
	__u32 word;
	__u32 expires;			/* tick */
	struct address4 client;
	struct address4 virtual_address;
	struct address4 inside;		/* the real server; under SHOAL_FULLNAT this router's own end towards it */
	__be16 client_port;
	__be16 virtual_port;
	__be16 inside_port;
	__u8 protocol;
	__u8 method;			/* enum shoal_method; it stays that of the connection's beginning */
	__u32 destination;
	__u16 address_delta;		/* what the rewrite adds to the one's complement sum of the IP header, */
	__u16 port_delta;		/* and what its ports add to that of the TCP or UDP header */
	struct next_hop client_hop;
	__u32 client_hop_tick;
	__u16 client_hop_flags;		/* enum shoal_interface_flag of the interface towards the client */
	__u16 client_hop_mtu;
	__u32 spilled;			/* slot 0 only: connections of this bucket that stand in another */
};

struct bucket4 {
	struct connection4 slot[8];
};

/* One IPv6 connection: two cache lines, of which a search reads the first. */
struct connection6 {
	__u32 word;
	__u32 expires;
	struct address6 client;
	struct address6 virtual_address;
	__be16 client_port;
	__be16 virtual_port;
	__be16 inside_port;
	__u8 protocol;
	__u8 method;
	__u32 destination;
	__u16 address_delta;
	__u16 port_delta;
	__u32 spilled;
	__u32 reserved;
	struct address6 inside;
	struct next_hop client_hop;
	__u32 client_hop_tick;
	__u16 client_hop_flags;
	__u16 client_hop_mtu;
	__u32 reserved_too[6];
};

struct bucket6 {
	struct connection6 slot[8];
};

/* A real server of a service, by destination number. */
struct destination {
	struct address6 address;
	__be16 port;			/* 0: packets keep theirs */
	__u8 flags;
	__u8 in_use;
	__u32 service;
	__u32 hop_tick;
	struct next_hop hop;
	__u16 hop_flags;
	__u16 hop_mtu;
	__u8 method;			/* enum shoal_method of its new connections */
	__u8 reserved[3];
	__u32 drain_until;		/* of a removed one: the tick from which on it is SHOAL_CUT; 0: none */
	__u32 reserved_too;
};

/* The outer header of a destination under SHOAL_TUNNEL, by the same number; its own address is the outer destination. */
struct encapsulation {
	struct address6 source;		/* the router's towards it; zero: not known */
	__be16 port;			/* UDP port of SHOAL_GUE */
	__u8 kind;			/* enum shoal_encap */
	__u8 family;			/* of the outer header: 4 or 6 */
	__u8 overhead;			/* bytes in front of the packet */
	__u8 reserved[3];		/* from the port to here: one store */
	__u64 reserved_too;
};

/* The router's own addresses on an interface, by its index: what its ICMP errors come from. Zero: none. */
struct own_addresses {
	struct address4 ipv4;
	struct address6 ipv6;
};

/* What the connections of SHOAL_FULLNAT are called towards their real servers: each takes one address and port. */
struct local_pool {
	__u32 n_addresses;
	__u32 n_ports;
	__u32 first_port;
	__u32 reserved;
	struct address6 addresses[16];
};

/* A local port is one connection's towards one real server; towards others it may be used as well. */
struct local_port_key {
	struct address6 local;
	struct address6 real;
	__be16 local_port;
	__be16 real_port;
	__u8 protocol;
	__u8 reserved[3];
};

/* Whose a local port is: the connection at this place of its family's table (bucket * 8 + slot). */
struct local_port {
	__u64 place;
	__u32 generation;
	__u32 reserved;
};

/* A destination's connections, by the same number: eight to a cache line. */
struct load {
	__u32 active;
	__u32 inactive;
};

/* A destination's thresholds, by the same number. */
struct threshold {
	__u32 upper;			/* connections from which on it gets no new ones; 0: no such limit */
	__u32 lower;
	__u32 overloaded;
	__u32 reserved;
};

/* A destination's place in one configuration of its service. */
struct member {
	__u32 destination;
	__u32 weight;
	__u32 candidate;		/* 0: the scheduler passes over it */
	__u32 reserved;
};

/* With its members and its ring: immutable once a service points to it, but for the cursor. */
struct service_config {
	__u32 scheduler;
	__u32 members;			/* first of its entries in the map "members" */
	__u32 n_members;
	__u32 ring;			/* first of its entries in the map "rings": destination numbers for rr and wrr, */
	__u32 n_ring;			/* positions among the members for sh, dh and mh */
	__u32 cursor;			/* rr, wrr: the next place; twos: how often numbers were drawn */
	__u32 scheduler_name;		/* index into Python's list of names, for reading back */
	__u32 flags;			/* enum shoal_scheduler_flag, enum shoal_config_flag */
	__u32 total_weight;		/* of the candidates */
	__u32 method;			/* of destinations without one of their own; for reading back */
	__u32 persistence;		/* seconds; 0: none */
	__u8 prefix4;			/* length of the client networks that it goes by */
	__u8 prefix6;
	__u8 persistence_flags;		/* enum shoal_persistence_flag */
	__u8 reserved;
	__u32 mss_clamp;		/* the largest segment that a SYN may announce; 0: any; or SHOAL_MSS_THAT_FITS */
	__u32 options;			/* enum shoal_service_option */
	__u32 connection_limit;		/* 0: none */
	__u32 source_count;		/* new connections of one source in source_period seconds; 0: any number */
	__u32 source_period;
	__u32 source_burst;		/* of them at once */
	__u32 drain_timeout;		/* seconds that a removed destination keeps connections; 0: no limit */
	__u32 reserved_too;
};

/* Live connections of a service, by its number. */
struct service_load {
	__u32 connections;
	__u32 reserved;
};

/* Whom a service admits: the longest prefix decides. LPM trie; prefix_length counts from "config" on. */
struct access_key {
	__u32 prefix_length;
	__u32 config;			/* number of the service's configuration, so that a list changes in one flip */
	__u32 family;			/* 4 or 6 */
	struct address6 source;
};

/* A source whose new connections are counted: an IPv4 address or an IPv6 /64. */
struct source_key {
	__u32 service;
	struct address6 source;
};

/* By family, IPv4 first: when a connection last found no place in the table. */
struct overload {
	__u32 tick;
	__u32 ever;
};

/* lblc and lblcr: which destination a virtual address of a service was given. */
struct locality_key {
	__u32 service;
	struct address6 address;
};

struct locality {
	__u32 destination;
	__u32 used;			/* tick */
};

/* lblcr: the destinations of a virtual address, newest first. */
struct replicas {
	__u32 n;
	__u32 changed;			/* tick */
	__u32 used;			/* tick */
	__u32 destination[8];
};

/* Persistence: the client networks of a service, masked. */
struct template_key {
	__u32 service;
	struct address6 network;
};

struct template {
	__u32 destination;
	__u32 expires;			/* tick */
	__u32 connections;		/* while there are some it outlives that */
	__u32 reserved;
};

struct service {
	__u32 config;
	__u32 in_use;
	char name[56];
};

struct listener_key {
	struct address6 address;
	__be16 port;
	__u8 protocol;
	__u8 reserved;
};

struct listener {
	__u32 service;
};

/* Ports that begin alike. LPM trie; prefix_length counts from "address" on. */
struct listener_range_key {
	__u32 prefix_length;
	struct address6 address;
	__u8 protocol;
	__u8 reserved;
	__be16 port;
};

struct listener_range {
	__u32 service;
	__u16 first;			/* the whole range, for reading back; 0 to 65535 is any port */
	__u16 last;
};

/*
 * Of a real server that serves exactly one listener of its protocol: what its packets are called outside.
 * Port 0, in key and value: a range of ports, which stay as they are.
 */
struct reverse {
	struct address6 virtual_address;
	__be16 virtual_port;
	__u16 reserved;
	__u32 destination;
};

/* What the fragments of a datagram have in common (RFC 791 3.2, RFC 8200 4.5). */
struct fragment_key {
	struct address6 source;
	struct address6 destination;
	__be32 identification;
	__u8 protocol;			/* 0 under IPv6, where only the first fragment tells */
	__u8 reserved[3];
};

/* What the first fragment of a datagram tells the later ones. */
struct fragment_ports {
	__be16 source;
	__be16 destination;
	__u8 protocol;
	__u8 reserved[3];
	__u32 tick;			/* of the last fragment */
};

/* Of the fragments of a datagram that wait for their first: the last one's place + 1. */
struct held_chain {
	__u32 last;
};

enum shoal_held {
	SHOAL_HELD_FREE = 0,
	SHOAL_HELD_BUSY = 1,
	SHOAL_HELD_WAITING = 2,
};

/* Places are taken in turn, so that a flood pushes out the oldest. */
struct held_cursor {
	__u32 next;
	__u32 reserved;
};

struct held_fragment {
	__u32 state;			/* enum shoal_held; changed by compare-and-swap only */
	__u32 tick;
	__u32 next;			/* the one before it in the chain: its place + 1 */
	__u32 ifindex;			/* where it came in */
	__u32 length;			/* of the frame */
	__u32 reserved;
	struct fragment_key key;
	__u8 frame[2048];
};

struct destination_counters {
	__u64 connections;
	__u64 packets_in;
	__u64 bytes_in;
	__u64 packets_out;
	__u64 bytes_out;
};

/* Number 0 is for what belongs to no service. */
struct service_counters {
	__u64 connections;
	__u64 drops[32];
	__u64 unpersisted;		/* connections for which there was no room for a template */
	__u64 stateless_packets;	/* balanced for lack of a place in the table */
};

struct settings {
	__u64 hash_seed;
	__u32 abi_version;
	__u32 n_buckets4;
	__u32 n_buckets6;
	__u32 jiffy;			/* ns */
	__u64 clock_offset;		/* ns from CLOCK_MONOTONIC to the clock of jiffies */
	__u32 flags;			/* enum shoal_settings_flag */
	__u32 reserved;
	__u32 timeout_ticks[32];	/* by enum shoal_state */
	__u64 n_macs;			/* 0: frames to any address are taken */
	__u64 macs[8];			/* of the interfaces, in the low 48 bits as they stand in a frame */
};

/*
 * Bits by a hash of an address: whether it may be a listener's, a real server's or a local one. Never a false no.
 * The bit is (fold * 0x9e3779b1) >> 16, and >> 12 for real servers, where fold is an IPv4 address as it lies in memory,
 * or the exclusive or of the four words of an IPv6 address.
 */
struct address_filter {
	__u64 virtual_addresses[1024];
	__u64 real_addresses[16384];
	__u64 local_addresses[1024];	/* of fullnat */
};

/* Kept by pulse (shoal.system.lease); CLOCK_BOOTTIME nanoseconds. */
struct ownership {
	__u64 lease_until;		/* 0: not in use */
	__u64 handover_until;
	__u32 n_addresses;
	__u32 reserved;
	struct address6 addresses[1000];
};

struct clock_reading {
	__u64 jiffies;
};

struct sweep_arguments {
	__u32 first_bucket;
	__u32 n_buckets;
	__u32 now;			/* tick; these programs have no clock of that kind */
	__u32 expired;
	__u32 live;
	__u32 half_open;
	__u32 local_ports;		/* connections of SHOAL_FULLNAT among the live */
};

struct template_sweep_arguments {
	__u32 now;			/* tick */
	__u32 expired;
	__u32 live;
};

struct list_arguments {
	__u32 first_bucket;
	__u32 n_buckets;
	__u32 now;			/* tick */
	__u32 next_bucket;		/* where the next call begins; the table's size after the last */
	__u32 n_entries;
};

/*
 * On a real server: what decapsulate.bpf.c opens. With a protocol: an outer destination address, and the UDP port where
 * the protocol is UDP; with protocol 0 a virtual address. IPv4 addresses are mapped into IPv6.
 */
struct opening_key {
	__u8 address[16];
	__be16 port;
	__u8 protocol;
	__u8 reserved;
};

/* What became of the packets that came to a tunnel address of a real server. */
enum shoal_opening {
	SHOAL_OPENED = 0,
	SHOAL_OPENING_MALFORMED = 1,	/* left to the host: lengths or headers that contradict each other */
	SHOAL_OPENING_UNKNOWN = 2,	/* left to the host: options, keys, checksums, fragments */
	SHOAL_OPENING_FOREIGN = 3,	/* left to the host: not for a virtual address */
	SHOAL_OPENING_CONGESTED = 4,	/* dropped: congestion was noted, and the inner packet cannot say so (RFC 6040) */
	SHOAL_OPENING_INTERNAL = 5,	/* dropped: the kernel refused half-way */
	SHOAL_OPENINGS = 6,
};

#endif
