/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * relay.h - move the bytes of one flow, in one direction per call
 *
 *	from ──splice──▶ pipe ──splice──▶ to
 *	                  └─tee─▶ tap ─▶ ring ─▶ decoder
 */
#ifndef SUNTAP_RELAY_H
#define SUNTAP_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/flow_entry.h"
#include "suntapd/pipes.h"
#include "suntapd/tap.h"

struct relay_dir {
	int from, to;		/* sockets, owned by the flow; nonblocking */
	struct pipe *pipe;	/* borrowed while pending > 0, else NULL */
	uint32_t pending;	/* bytes in the pipe */
	bool readable, writable;	/* no EAGAIN since the last edge of `from`, of `to` */
	bool urgent;		/* `from` has told of urgent data: splice() stops before it */
	bool eof;		/* `from` has sent FIN */
	bool from_failed;	/* `from` was found reset otherwise than by reading: what looks like its FIN is that reset */
	bool done;		/* … and it was passed on; or nothing is to be moved any more */
	uint64_t lost;		/* bytes that the ring had no room for, not told yet */
};

enum relay_stop {
	RELAY_WANT_IN,		/* nothing to read; no pipe is held */
	RELAY_WANT_OUT,		/* `to` takes no more */
	RELAY_WANT_PIPE,	/* the pool is empty: call again when one came back */
	RELAY_BUDGET,		/* enough for one turn, there is more: call again soon */
	RELAY_DONE,		/* FIN passed on */
	RELAY_FROM_FAILED,	/* reading failed with *ret_error: `from` was reset or lost. What it had sent before was
				   read; some of it may be pending */
	RELAY_TO_FAILED,	/* writing failed: `to` is gone; what was pending is thrown away */
};

/* Moves until one side would block or a fair share has passed. tap: NULL for a flow that is not tapped. */
enum relay_stop relay_pump(struct relay_dir *d, struct pipes *pipes, struct tap *tap, struct flow_entry *entry,
			   enum dir dir, int *ret_error);

/* Only what is pending, taking nothing new: RELAY_WANT_OUT, RELAY_DONE (nothing is left), RELAY_TO_FAILED. */
enum relay_stop relay_flush(struct relay_dir *d, struct pipes *pipes, struct flow_entry *entry, enum dir dir,
			    int *ret_error);

/* Throws away what is pending. */
void relay_drop(struct relay_dir *d, struct pipes *pipes, struct flow_entry *entry, enum dir dir);

#endif
