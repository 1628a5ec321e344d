/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tap.h - the copy: what is in a relay's pipe, into the ring
 *
 *	relay pipe ──tee──▶ tap pipe ──read──▶ ring
 *
 * tee(2) shares pages, so the copy itself is made once, by the read, after the bytes have gone on to the
 * other side. One tap pipe serves the process: it is empty whenever the relay is not inside one pump.
 *
 * What finds no room in the ring is lost for the decoder only: counted in relay_dir.lost and told as a gap
 * before the next bytes of that direction.
 */
#ifndef SUNTAP_TAP_H
#define SUNTAP_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/flow_entry.h"
#include "shared/ring.h"
#include "suntapd/pipes.h"

struct tap {
	struct ring *ring;		/* not owned */
	struct pipe pipe;		/* owned */
	uint64_t lost_bytes;		/* in all, for the status */
	uint64_t lost_events;		/* opens and closes not told yet */
	bool owes;			/* bytes of some direction, or events, were lost and are not told yet */
};

int tap_open(struct tap *t, struct ring *ring);		/* 0 or -errno */
void tap_close(struct tap *t);

/* Shares up to n bytes at the front of `pipe` with the tap: returns how many the ring will have room for. */
size_t tap_share(struct tap *t, const struct pipe *pipe, size_t n);

/*
 * Takes what tap_share() has shared (`shared` bytes) of the n bytes that passed into the ring. offset: of the first
 * of them in its direction's stream. *lost: bytes of this direction lost and not told yet.
 */
void tap_take(struct tap *t, uint64_t flow, enum dir dir, uint64_t offset, size_t shared, size_t n, uint64_t *lost);

/*
 * After a restart: puts those of the n bytes in `pipe` (the first is at `offset`) into the ring that are not before `seen`. What
 * finds no room counts as lost.
 */
void tap_repeat(struct tap *t, uint64_t flow, enum dir dir, const struct pipe *pipe, uint64_t offset, size_t n, uint64_t seen,
		uint64_t *lost);

/* Tells a gap of *lost bytes (0: none) that ends at offset `end`, if there is room. */
void tap_tell_gap(struct tap *t, uint64_t flow, enum dir dir, uint64_t end, uint64_t *lost);

/* The same for opens and closes. */
void tap_tell_lost_events(struct tap *t);

void tap_flow_opened(struct tap *t, const struct flow_entry *entry);
void tap_flow_closed(struct tap *t, uint64_t flow, const struct flow_close *close, const uint64_t lost[DIR_COUNT],
		     const uint64_t copied[DIR_COUNT]);

#endif
