/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control.h - how suntapd starts its decoder, and what the decoder may tell it
 *
 * The decoder is executed with these descriptors and the folders of maps as arguments; it opens nothing but those
 * files before it locks itself in. It ends when the control socket is closed and the ring is read.
 */
#ifndef SUNTAP_CONTROL_H
#define SUNTAP_CONTROL_H

#include <stdint.h>

enum control_fd {
	CONTROL_FD_RING = 3,	/* read-only */
	CONTROL_FD_HEAD,
	CONTROL_FD_BELL,
	CONTROL_FD_SOCKET,	/* SOCK_SEQPACKET, struct control_message to suntapd */
	CONTROL_FD_FLOWS,	/* read-only: table of struct flow_entry */
	CONTROL_FD_STATE,	/* CONTROL_STATE_SIZE bytes: what is known of devices, to be mapped and written to */
	CONTROL_FD_END,
};

enum { CONTROL_STATE_SIZE = 512 * 1024 };

enum control_kind {
	CONTROL_READY = 1,	/* locked in, reading */
	CONTROL_UNTAP,		/* flow: nothing to learn from it, relay it without a copy */
};

/* suntapd believes none of it: an unknown kind, size or flow is ignored. */
struct control_message {
	uint32_t kind, reserved;
	uint64_t flow;
};

#endif
