/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tap.c - the copy: what is in a relay's pipe, into the ring; see tap.h */
#include "suntapd/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "shared/util.h"

enum { RING_AT_ONCE = 16 * 1024 };

/*
 * Bytes that data may not use, so that opens, closes and gaps still find room when bytes do not: without them the
 * decoder would not know that it misses something.
 */
static size_t reserve_for_events(const struct tap *t)
{
	return (size_t)t->ring->size / 8;
}

int tap_open(struct tap *t, struct ring *ring)
{
	*t = (struct tap){ .ring = ring };
	return pipe_make(&t->pipe, PIPES_CAPACITY_BIG);
}

void tap_close(struct tap *t)
{
	t->pipe.read = close_fd(t->pipe.read);
	t->pipe.write = close_fd(t->pipe.write);
}

size_t tap_share(struct tap *t, const struct pipe *pipe, size_t n)
{
	size_t room = ring_room(t->ring, reserve_for_events(t) + 2 * RING_RECORD_SIZE);
	ssize_t shared;

	if (n > room)
		n = room;
	if (n == 0)
		return 0;
	shared = tee(pipe->read, t->pipe.write, n, SPLICE_F_NONBLOCK);
	return shared > 0 ? (size_t)shared : 0;
}

void tap_tell_lost_events(struct tap *t)
{
	struct ring_record rec = { .kind = RING_LOST_EVENTS, .time = now_realtime(), .lost = t->lost_events };

	if (t->lost_events == 0)
		return;
	if (ring_put(t->ring, &rec, NULL, 0) == 0)
		t->lost_events = 0;
	else
		t->owes = true;
}

static void lose_event(struct tap *t)
{
	t->lost_events++;
	t->owes = true;
}

void tap_tell_gap(struct tap *t, uint64_t flow, enum dir dir, uint64_t end, uint64_t *lost)
{
	struct ring_record rec = {
		.kind = RING_GAP, .dir = (uint8_t)dir, .flow = flow, .time = now_realtime(), .offset = end - *lost,
		.lost = *lost,
	};

	if (*lost == 0)
		return;
	if (ring_put(t->ring, &rec, NULL, 0) == 0)
		*lost = 0;
	else
		t->owes = true;
}

void tap_take(struct tap *t, uint64_t flow, enum dir dir, uint64_t offset, size_t shared, size_t n, uint64_t *lost)
{
	ssize_t got = 0;

	if (shared > 0) {
		struct ring_record rec = { .kind = RING_DATA, .dir = (uint8_t)dir, .flow = flow, .offset = offset };

		tap_tell_gap(t, flow, dir, offset, lost);
		if (*lost == 0) {
			got = read(t->pipe.read, ring_payload(t->ring), shared);
			if (got > 0) {
				rec.length = (uint32_t)got;
				rec.time = now_realtime();
				ring_commit(t->ring, &rec);
				/* small ones wait for the end of the batch, one bell for all */
				if (got >= RING_AT_ONCE)
					ring_ring(t->ring);
			}
		}
		if (got < (ssize_t)shared) {
			/* can not be, as tee() said so; an emptied tap is worth more than an explanation */
			tap_close(t);
			if (pipe_make(&t->pipe, PIPES_CAPACITY_BIG) < 0)
				t->pipe = (struct pipe){ .read = -1, .write = -1 };
			got = got > 0 ? got : 0;
		}
	}
	if ((size_t)got < n) {
		*lost += n - (size_t)got;
		t->lost_bytes += n - (size_t)got;
		t->owes = true;
	}
}

void tap_repeat(struct tap *t, uint64_t flow, enum dir dir, const struct pipe *pipe, uint64_t offset, size_t n, uint64_t seen,
		uint64_t *lost)
{
	size_t shared = tap_share(t, pipe, n), known = seen > offset ? (size_t)(seen - offset) : 0;

	if (known >= n)
		known = n;
	if (shared > known && known > 0) {
		/* the place of the next record is as good as any for what is thrown away */
		ssize_t got = read(t->pipe.read, ring_payload(t->ring), known);

		shared -= got > 0 ? (size_t)got : 0;
	} else if (known > 0) {
		shared = 0;
		tap_close(t);
		if (pipe_make(&t->pipe, PIPES_CAPACITY_BIG) < 0)
			t->pipe = (struct pipe){ .read = -1, .write = -1 };
	}
	tap_take(t, flow, dir, offset + known, shared, n - known, lost);
}

void tap_flow_opened(struct tap *t, const struct flow_entry *entry)
{
	struct ring_record rec = {
		.kind = RING_OPEN, .flow = entry->id, .time = entry->opened, .length = sizeof(*entry),
	};

	tap_tell_lost_events(t);
	if (ring_put(t->ring, &rec, entry, 0) < 0)
		lose_event(t);
}

void tap_flow_closed(struct tap *t, uint64_t flow, const struct flow_close *close, const uint64_t lost[DIR_COUNT],
		     const uint64_t copied[DIR_COUNT])
{
	struct ring_record rec = {
		.kind = RING_CLOSE, .flow = flow, .time = now_realtime(), .length = sizeof(*close),
	};

	tap_tell_lost_events(t);
	for (enum dir d = 0; d < DIR_COUNT; d++) {
		uint64_t untold = lost[d];

		tap_tell_gap(t, flow, d, copied[d], &untold);
	}
	if (ring_put(t->ring, &rec, close, 0) < 0)
		lose_event(t);
}
