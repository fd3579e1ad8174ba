/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The SCTP state machine of IPVS: facts from net/netfilter/ipvs/ip_vs_proto_sctp.c, in a table of our own. */
#ifndef SHOAL_SCTP_STATE_H
#define SHOAL_SCTP_STATE_H
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "tcp_state.h"

/* Numbers above those of enum tcp_event, with which they share packet.event. */
enum sctp_event {
	SCTP_DATA = 8,			/* and every other chunk */
	SCTP_INIT,
	SCTP_INIT_ACK,
	SCTP_COOKIE_ECHO,
	SCTP_COOKIE_ACK,
	SCTP_SHUTDOWN,
	SCTP_SHUTDOWN_ACK,
	SCTP_SHUTDOWN_COMPLETE,
	SCTP_ERROR,
	SCTP_ABORT,
	SCTP_EVENTS_END,
};

#define N_SCTP_EVENTS (SCTP_EVENTS_END - SCTP_DATA)
#define N_SCTP_STATES (SHOAL_SCTP_CLOSED - SHOAL_SCTP_INIT1 + 2)	/* and SHOAL_NONE, the first */

/* clang-format off */
#define SCTP_ROW(no, i1, in, cs, cr, cw, co, ce, es, ss, sr, sa, rj, cl) { \
	A_##no, A_##i1, A_##in, A_##cs, A_##cr, A_##cw, A_##co, A_##ce, A_##es, A_##ss, A_##sr, A_##sa, A_##rj, A_##cl }
#define A_I1 SHOAL_SCTP_INIT1
#define A_IN SHOAL_SCTP_INIT
#define A_CS SHOAL_SCTP_COOKIE_SENT
#define A_CR SHOAL_SCTP_COOKIE_REPLIED
#define A_CW SHOAL_SCTP_COOKIE_WAIT
#define A_CO SHOAL_SCTP_COOKIE
#define A_CE SHOAL_SCTP_COOKIE_ECHOED
#define A_ES SHOAL_SCTP_ESTABLISHED
#define A_SS SHOAL_SCTP_SHUTDOWN_SENT
#define A_SR SHOAL_SCTP_SHUTDOWN_RECEIVED
#define A_SA SHOAL_SCTP_SHUTDOWN_ACK_SENT
#define A_RJ SHOAL_SCTP_REJECTED
#define A_CL SHOAL_SCTP_CLOSED
#define SCTP_EVENT(event) [SCTP_##event - SCTP_DATA]

static const __u8 sctp_transitions[DIRECTIONS][N_SCTP_EVENTS][N_SCTP_STATES] = {
	[FROM_CLIENT] = {		/*           none i1  in  cs  cr  cw  co  ce  es  ss  sr  sa  rj  cl */
		SCTP_EVENT(DATA)              = SCTP_ROW(ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(INIT)              = SCTP_ROW(I1, IN, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, IN, IN),
		SCTP_EVENT(INIT_ACK)          = SCTP_ROW(CW, CW, CW, CS, CR, CO, CO, CE, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(COOKIE_ECHO)       = SCTP_ROW(CR, IN, IN, CR, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(COOKIE_ACK)        = SCTP_ROW(ES, I1, IN, CS, CR, CW, CO, ES, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(SHUTDOWN)          = SCTP_ROW(SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL),
		SCTP_EVENT(SHUTDOWN_ACK)      = SCTP_ROW(CL, IN, IN, CS, CR, CW, CO, CE, ES, CL, SR, CL, RJ, CL),
		SCTP_EVENT(SHUTDOWN_COMPLETE) = SCTP_ROW(CL, CL, CL, CS, CR, CW, CO, CE, ES, SS, SR, CL, RJ, CL),
		SCTP_EVENT(ERROR)             = SCTP_ROW(CL, I1, IN, CS, CR, CW, CO, CL, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(ABORT)             = SCTP_ROW(CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL),
	},
	[FROM_SERVER] = {
		SCTP_EVENT(DATA)              = SCTP_ROW(ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(INIT)              = SCTP_ROW(CW, CW, CW, CW, CW, CW, CW, CW, ES, CW, CW, CW, CW, CW),
		SCTP_EVENT(INIT_ACK)          = SCTP_ROW(CS, CS, CS, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(COOKIE_ECHO)       = SCTP_ROW(CE, CE, CE, CE, CE, CE, CE, CE, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(COOKIE_ACK)        = SCTP_ROW(ES, ES, ES, ES, ES, ES, ES, ES, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(SHUTDOWN)          = SCTP_ROW(SS, SS, SS, SS, SS, SS, SS, SS, SS, SS, SR, SA, RJ, CL),
		SCTP_EVENT(SHUTDOWN_ACK)      = SCTP_ROW(SA, SA, SA, SA, SA, CW, CO, CE, ES, SA, SA, SA, RJ, CL),
		SCTP_EVENT(SHUTDOWN_COMPLETE) = SCTP_ROW(CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(ERROR)             = SCTP_ROW(CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(ABORT)             = SCTP_ROW(CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL),
	},
	[FROM_CLIENT_ONLY] = {
		SCTP_EVENT(DATA)              = SCTP_ROW(ES, I1, IN, CS, CR, ES, CO, CE, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(INIT)              = SCTP_ROW(I1, IN, IN, IN, IN, IN, CO, CE, ES, SS, SR, SA, IN, IN),
		SCTP_EVENT(INIT_ACK)          = SCTP_ROW(CE, CE, CE, CE, CE, CE, CO, CE, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(COOKIE_ECHO)       = SCTP_ROW(ES, ES, ES, ES, ES, ES, CO, CE, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(COOKIE_ACK)        = SCTP_ROW(ES, I1, IN, ES, ES, CW, ES, ES, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(SHUTDOWN)          = SCTP_ROW(SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL),
		SCTP_EVENT(SHUTDOWN_ACK)      = SCTP_ROW(CL, IN, IN, CS, CR, CW, CO, CE, CL, CL, SR, CL, RJ, CL),
		SCTP_EVENT(SHUTDOWN_COMPLETE) = SCTP_ROW(CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, CL, CL, RJ, CL),
		SCTP_EVENT(ERROR)             = SCTP_ROW(CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL),
		SCTP_EVENT(ABORT)             = SCTP_ROW(CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL),
	},
};
/* clang-format on */

/* Apart, so that packets of TCP and UDP do not carry the table's bounds along. */
__noinline __u32 next_sctp_state(__u32 state, __u32 event, __u32 direction)
{
	__u32 index = state == SHOAL_NONE ? 0 : state - SHOAL_SCTP_INIT1 + 1;

	if (direction >= DIRECTIONS || event - SCTP_DATA >= N_SCTP_EVENTS || index >= N_SCTP_STATES)
		return state;
	return sctp_transitions[direction][event - SCTP_DATA][index];
}

#endif
