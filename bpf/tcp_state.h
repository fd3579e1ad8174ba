/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TCP state machine of IPVS: facts from net/netfilter/ipvs/ip_vs_proto_tcp.c, in a table of our own. */
#ifndef SHOAL_TCP_STATE_H
#define SHOAL_TCP_STATE_H
#include "abi.h"

enum tcp_event { TCP_SYN, TCP_FIN, TCP_ACK, TCP_RST, TCP_EVENTS, TCP_NO_EVENT = TCP_EVENTS };
/* FROM_CLIENT_ONLY: of a connection whose replies pass the router by. */
enum direction { FROM_CLIENT, FROM_SERVER, FROM_CLIENT_ONLY, DIRECTIONS };

#define N_TCP_STATES (SHOAL_SYNACK - SHOAL_NONE + 1)

/* clang-format off */
#define ROW(no, es, ss, sr, fw, tw, cl, cw, la, li, sa) { \
	S_##no, S_##es, S_##ss, S_##sr, S_##fw, S_##tw, S_##cl, S_##cw, S_##la, S_##li, S_##sa }
#define S_ES SHOAL_ESTABLISHED
#define S_SS SHOAL_SYN_SENT
#define S_SR SHOAL_SYN_RECV
#define S_FW SHOAL_FIN_WAIT
#define S_TW SHOAL_TIME_WAIT
#define S_CL SHOAL_CLOSE
#define S_CW SHOAL_CLOSE_WAIT
#define S_LA SHOAL_LAST_ACK
#define S_LI SHOAL_LISTEN

static const __u8 tcp_transitions[DIRECTIONS][TCP_EVENTS][N_TCP_STATES] = {
	[FROM_CLIENT] = {	/* none es  ss  sr  fw  tw  cl  cw  la  li  sa */
		[TCP_SYN] = ROW(SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR),
		[TCP_FIN] = ROW(CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW),
		[TCP_ACK] = ROW(ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES),
		[TCP_RST] = ROW(CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR),
	},
	[FROM_SERVER] = {
		[TCP_SYN] = ROW(SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR),
		[TCP_FIN] = ROW(TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW),
		[TCP_ACK] = ROW(ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES),
		[TCP_RST] = ROW(CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL),
	},
	[FROM_CLIENT_ONLY] = {
		[TCP_SYN] = ROW(SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR),
		[TCP_FIN] = ROW(CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW),
		[TCP_ACK] = ROW(ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES),
		[TCP_RST] = ROW(CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL),
	},
};
/* clang-format on */

/* Which states count as active connections (tcp_state_active_table, same file, and set_sctp_state()); UDP's does not. */
#define ACTIVE_STATES                                                                                     \
	((1u << SHOAL_ESTABLISHED) | (1u << SHOAL_SYN_SENT) | (1u << SHOAL_SYN_RECV) | (1u << SHOAL_SYNACK) | \
	 (1u << SHOAL_SCTP_ESTABLISHED))

/* In which the client has only asked. In a full table such connections give way. */
#define HALF_OPEN_STATES ((1u << SHOAL_SYN_RECV) | (1u << SHOAL_SCTP_INIT1) | (1u << SHOAL_SCTP_INIT))

/* In which the client may use its port again. */
#define CLOSED_STATES ((1u << SHOAL_TIME_WAIT) | (1u << SHOAL_CLOSE) | (1u << SHOAL_SCTP_CLOSED))

static __always_inline int state_is_active(__u32 state)
{
	return ACTIVE_STATES >> (state & 31) & 1;
}

static __always_inline int state_is_half_open(__u32 state)
{
	return HALF_OPEN_STATES >> (state & 31) & 1;
}

static __always_inline int state_is_closed(__u32 state)
{
	return CLOSED_STATES >> (state & 31) & 1;
}

#endif
