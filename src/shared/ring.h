/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring.h - the sideband between suntapd (writes) and its decoder (reads)
 *
 *	memfd "suntap-ring", the reader gets a descriptor that can only be read:
 *	┌──────────────────┬──────────────────────────────────────────────┐
 *	│ struct ring_tail │ data: record, record, …      (size: 2^n)     │  mapped twice in a row, so
 *	│ tail, size       │ each: struct ring_record, payload, pad to 8  │  that no record ever wraps
 *	└──────────────────┴──────────────────────────────────────────────┘
 *	memfd "suntap-ring-reader": struct ring_head: what only the reader writes
 *	eventfd: the bell
 *
 * Positions count bytes for ever (64 bits); a place in the data is position & (size - 1).
 * head <= tail <= head + size. The writer never waits: what finds no room is counted by the caller and
 * told with a RING_GAP once there is room. The newest bytes are lost, not the oldest: to overwrite
 * the oldest the reader would have to be trusted or raced with.
 *
 * The writer believes nothing in struct ring_head: a head outside [its own tail - size, its own tail] makes
 * the ring count as full (ring_broken()), and the writer's positions live in its private memory.
 */
#ifndef SUNTAP_RING_H
#define SUNTAP_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ring_kind {
	RING_OPEN = 1,		/* payload: struct flow_entry */
	RING_DATA,		/* payload: bytes; offset: place of the first in its direction's stream */
	RING_GAP,		/* offset: where it begins; lost: how many bytes of this direction are missing */
	RING_CLOSE,		/* payload: struct flow_close */
	RING_LOST_EVENTS,	/* lost: opens and closes that found no room (flow is 0) */
};

struct ring_record {
	uint32_t length;	/* of the payload */
	uint8_t kind;		/* enum ring_kind */
	uint8_t dir;		/* enum dir */
	uint16_t reserved;
	uint64_t flow;
	int64_t time;		/* realtime, ns */
	uint64_t offset;
	uint64_t lost;
};

enum { RING_RECORD_SIZE = sizeof(struct ring_record), RING_ALIGN = 8 };
_Static_assert(sizeof(struct ring_record) == 40, "the record head is part of the format");

/* First page of the ring; the reader only reads it. */
struct ring_tail {
	uint64_t magic;
	uint32_t version;
	uint32_t reserved;
	uint64_t size;
	_Alignas(64) _Atomic uint64_t tail;
};

/* What the decoder is doing, for suntapd to tell a hang from a journal that does not take anything. */
enum ring_reader_state {
	READER_STARTING,
	READER_IDLE,
	READER_DECODING,
	READER_JOURNAL,		/* in sd_journal_sendv() */
	READER_NO_JOURNAL,	/* nobody listens on the journal's socket: waiting */
};

/* When the reader wants the bell. */
enum ring_rest {
	RING_AWAKE,		/* never: it looks by itself */
	RING_NAPPING,		/* when an eighth of the ring is unread; it wakes up soon by itself */
	RING_SLEEPING,		/* when anything is */
};

/* The reader's page; the writer takes all of it for hearsay, good for a line of status only. */
struct ring_head {
	_Atomic uint64_t head;
	_Atomic uint32_t rest;		/* enum ring_rest */
	_Atomic uint32_t state;		/* enum ring_reader_state */
	_Atomic uint64_t readings, frames_good, frames_bad, gaps, untapped;
	_Atomic uint64_t beat;		/* counts up as the reader works, also inside a record */
};

struct ring_fds {
	int ring;		/* read-write for the writer, read-only for the reader */
	int head;
	int bell;
};

/* ---------------------------------------------------------------- the writer */
struct ring {
	struct ring_fds fds;	/* owned */
	struct ring_tail *shared;
	struct ring_head *reader;
	uint8_t *data;
	uint64_t size, tail;
	bool unrung;		/* something was committed since the last ring_ring() */
};

/* size: a power of two, 64 KiB … 1 GiB. 0 or -errno. */
int ring_open(struct ring *r, size_t size);
/*
 * The ring of a suntapd before us, with what its reader had not read. fds->ring and fds->bell are taken over; the reader's page
 * is a new one (r->fds.head), as its old reader may still be about. 0 or -errno (then the fds are closed).
 */
int ring_adopt(struct ring *r, const struct ring_fds *fds);
void ring_close(struct ring *r);

/* A read-only descriptor of the ring for the reader (the caller owns it), or -errno. */
int ring_reader_fd(const struct ring *r);

/* Bytes of payload that a record may have now (0: not even an empty one fits); `reserve` bytes are left untouched. */
size_t ring_room(const struct ring *r, size_t reserve);

/* Where the payload of the next record goes; ring_room() says how much may be written there. */
uint8_t *ring_payload(struct ring *r);
/* Publishes the record whose payload (rec->length bytes, at most ring_room()) is in place. */
void ring_commit(struct ring *r, const struct ring_record *rec);
/* Both at once; -ENOBUFS if there is no room. */
int ring_put(struct ring *r, const struct ring_record *rec, const void *payload, size_t reserve);
/* Wakes the reader if it wants to be and something is new. */
void ring_ring(struct ring *r);

/* The reader has written what can not be: it is not to be trusted any more, end it. */
bool ring_broken(const struct ring *r);
uint64_t ring_unread(const struct ring *r);
/* After the reader died. Each returns how many bytes of the ring the next one will not see. */
uint64_t ring_reset_reader(struct ring *r);	/* all that was unread */
uint64_t ring_skip_one(struct ring *r);		/* the record it was at; not if ring_broken() */
/* Clears what the dead reader left in its page besides head and counters. */
void ring_next_reader(struct ring *r);

/* ---------------------------------------------------------------- the reader */
struct ring_view {
	const struct ring_tail *shared;
	struct ring_head *reader;
	const uint8_t *data;
	uint64_t size, head;
	int bell;		/* not owned */
};

int ring_view_open(struct ring_view *v, const struct ring_fds *fds);	/* 0, -errno; fds may be closed afterwards, but the bell */
void ring_view_close(struct ring_view *v);

/*
 * The next record: 1 and *ret_payload (valid until ring_view_release()), 0 if there is none, -EBADMSG if the ring makes no
 * sense. The same record is given again until it is released.
 */
int ring_view_next(struct ring_view *v, struct ring_record *ret, const uint8_t **ret_payload);
/* The same for the record *ahead bytes (0 to begin with) behind the next one, and moves *ahead on to the one that follows. */
int ring_view_ahead(const struct ring_view *v, uint64_t *ahead, struct ring_record *ret, const uint8_t **ret_payload);
void ring_view_release(struct ring_view *v, const struct ring_record *rec);
/*
 * Says how the reader rests before it polls the bell: true when there really is nothing to read (napping: not an
 * eighth of the ring), false: something came meanwhile. ring_view_awake() afterwards takes the bell's count.
 *
 * Nap for some milliseconds after reading, sleep only after a nap in vain: then a stream of small records costs a wake-up
 * for each nap and not for each record.
 */
bool ring_view_rest(struct ring_view *v, enum ring_rest rest);
void ring_view_awake(struct ring_view *v);

#endif
