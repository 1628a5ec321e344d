/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main.c - suntap-decoder: maps, journal, lock, ring → flow → session → journal
 *
 * Started by suntapd with the descriptors of shared/control.h; it reads its maps, locks itself in (sandbox.c), and from
 * then on opens nothing. It may crash, hang or be killed: the relay does not notice, and the next one finds the rest
 * of the ring, and in the flow table what the flows are.
 *
 *	ring record ─▶ flow_of() ─▶ session_feed() ─▶ on_reading() … ─▶ journal_…()
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "decoder/journal.h"
#include "decoder/routine.h"
#include "decoder/sandbox.h"
#include "protocols/session.h"
#include "shared/control.h"
#include "shared/flow_entry.h"
#include "shared/log.h"
#include "shared/ring.h"

enum {
	KINDS_MAX = 32,			/* kinds of bad and unknown frames that are remembered as told, for each flow */
	FIRST_BYTES_MAX = 256,		/* kept to show what an unknown stream began with */
	SILENT_S = 60,
	LOOK_S = 10,			/* between looks for silent flows */
	NO_JOURNAL_MS = 200,
	NAP_MS = 10,
};

struct flow {
	struct flow_entry entry;	/* a copy: the table's may be another flow's by now */
	struct session *session;	/* NULL until bytes come, and once there is nothing to learn */
	uint64_t next[DIR_COUNT];	/* offset that the next record should have */
	uint64_t lost;			/* bytes of both directions in gaps, of which not each is told by itself */
	const char *protocol;
	bool finished;			/* nothing to learn: told so */
	bool told_silent;
	int64_t since;			/* monotonic: when it was first heard of */
	int joined;			/* bit of each direction whose first record is still to come, the opening was not seen */
	uint32_t told[KINDS_MAX];
	size_t told_count;
	uint8_t first[FIRST_BYTES_MAX];	/* of the device's bytes */
	size_t first_length;
};

struct decoder {
	struct ring_view ring;
	const struct flow_entry *table;	/* suntapd's, read-only */
	size_t slots;
	struct flow **flows;		/* [slots] */
	struct knowledge *knowledge;
	struct journal journal;
	struct log_limit gaps, streams;
	struct routine routine;
	struct flow *current;		/* whose record is being worked on */
	int64_t looked;			/* monotonic: the other clock may be set, forward or back, at any time */
};

/* ---------------------------------------------------------------- journal */
static void set_state(struct decoder *d, enum ring_reader_state state)
{
	atomic_store_explicit(&d->ring.reader->state, state, memory_order_relaxed);
	atomic_fetch_add_explicit(&d->ring.reader->beat, 1, memory_order_relaxed);
}

/* Waits for a journald to be there: what is not written stays in the ring, and suntapd says in its status why. */
static void before_entry(struct decoder *d)
{
	while (!journal_is_there(&d->journal)) {
		struct pollfd control = { .fd = CONTROL_FD_SOCKET, .events = POLLIN };

		set_state(d, READER_NO_JOURNAL);
		if (poll(&control, 1, NO_JOURNAL_MS) > 0)
			exit(EXIT_FAILURE);	/* suntapd is gone, and nobody is there to tell */
	}
	set_state(d, READER_JOURNAL);
}

static void after_entry(struct decoder *d, int e)
{
	set_state(d, READER_DECODING);
	if (e < 0)
		fprintf(stderr, "suntap-decoder: the journal refused an entry: %s\n", strerror(-e));
}

/* ECONNREFUSED: journald went between our look and the entry. */
#define WRITE(d, entry)                                       \
	do {                                                  \
		int written;                                  \
		do {                                          \
			before_entry(d);                      \
			written = (entry);                    \
		} while (written == -ECONNREFUSED);           \
		after_entry(d, written);                      \
	} while (0)

static void count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---------------------------------------------------------------- what a session tells */
static void untap(struct decoder *d, struct flow *f)
{
	const struct control_message m = { .kind = CONTROL_UNTAP, .flow = f->entry.id };

	f->finished = true;
	/* if suntapd does not take it now, the flow goes on being copied for nothing: no harm but work */
	if (send(CONTROL_FD_SOCKET, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
	count(&d->ring.reader->untapped);
}

static void on_verdict(void *ctx, enum session_verdict verdict, const char *text)
{
	struct decoder *d = ctx;
	struct flow *f = d->current;

	switch (verdict) {
	case SESSION_KNOWN:
		f->protocol = text;
		break;
	case SESSION_TLS:
		WRITE(d, journal_tls(&f->entry, text));
		untap(d, f);
		break;
	case SESSION_UNKNOWN:
		if (log_limit_pass(&d->streams, NULL))
			WRITE(d, journal_stream(&f->entry, text, f->first, f->first_length));
		untap(d, f);
		break;
	}
}

static uint32_t kind_of(const struct frame_info *frame)
{
	uint32_t hash = 2166136261u;	/* FNV-1a */

	for (const char *p = frame->opcode; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	for (const char *p = frame->error ? frame->error : ""; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	return (hash ^ (uint32_t)frame->dir) * 16777619u;
}

/* Once for each flow and kind; when the memory for kinds is full, no more is told. */
static bool first_of_its_kind(struct flow *f, const struct frame_info *frame)
{
	uint32_t kind = kind_of(frame);

	for (size_t i = 0; i < f->told_count; i++)
		if (f->told[i] == kind)
			return false;
	if (f->told_count == KINDS_MAX)
		return false;
	f->told[f->told_count++] = kind;
	return true;
}

static void on_frame(void *ctx, const struct frame_info *frame)
{
	struct decoder *d = ctx;

	count(frame->error ? &d->ring.reader->frames_bad : &d->ring.reader->frames_good);
	if ((frame->error || !frame->known) && first_of_its_kind(d->current, frame))
		WRITE(d, journal_frame(&d->current->entry, frame));
}

static void on_reading(void *ctx, const struct reading *r)
{
	struct decoder *d = ctx;

	WRITE(d, journal_reading(&d->current->entry, r));
	if (!r->info)
		count(&d->ring.reader->readings);
}

static void on_note(void *ctx, enum dir dir, const char *key, const char *text)
{
	struct decoder *d = ctx;

	/* what the cloud orders is an event for the owner; the rest is in the readings or of no weight */
	if (dir == DIR_CLOUD && strcmp(key, "command") == 0)
		WRITE(d, journal_command(&d->current->entry, d->current->protocol, key, text));
	else if (strcmp(key, "encrypted") == 0)
		WRITE(d, journal_encrypted(&d->current->entry, d->current->protocol));
}

static const struct session_events events = {
	.verdict = on_verdict, .frame = on_frame, .reading = on_reading, .note = on_note,
};

/* ---------------------------------------------------------------- flows */
static void forget(struct decoder *d, struct flow *f)
{
	d->flows[flow_id_slot(f->entry.id)] = NULL;
	session_free(f->session);
	free(f);
}

static void end_session(struct decoder *d, struct flow *f)
{
	d->current = f;
	if (f->session)
		session_end(f->session);
	f->session = session_free(f->session);
}

static struct flow *new_flow(struct decoder *d, const struct flow_entry *entry)
{
	uint32_t slot = flow_id_slot(entry->id);
	struct flow *f;

	if (slot >= d->slots)
		return NULL;
	if (d->flows[slot])
		forget(d, d->flows[slot]);	/* its close was lost */
	f = calloc(1, sizeof(*f));
	if (f) {
		f->since = now_monotonic();
		f->entry = *entry;
		f->entry.name[sizeof(f->entry.name) - 1] = '\0';
		d->flows[slot] = f;
	}
	return f;
}

/* One whose opening was read by another decoder, or lost. */
static struct flow *join_flow(struct decoder *d, const struct flow_entry *entry)
{
	struct flow *f = new_flow(d, entry);

	if (f)
		f->joined = 1 << DIR_DEVICE | 1 << DIR_CLOUD;
	return f;
}

/* The flow of a record. One whose opening was not seen (before our time, or lost) is looked up in suntapd's table. */
static struct flow *flow_of(struct decoder *d, const struct ring_record *rec)
{
	uint32_t slot = flow_id_slot(rec->flow);
	struct flow_entry entry;

	if (slot >= d->slots)
		return NULL;
	if (d->flows[slot] && d->flows[slot]->entry.id == rec->flow)
		return d->flows[slot];
	entry = d->table[slot];
	if (entry.id != rec->flow || atomic_load(&d->table[slot].id) != rec->flow) {
		/* it has ended meanwhile, and its opening was lost; its bytes are worth reading all the same */
		entry = (struct flow_entry){ .name = "?" };
		entry.opened = rec->time;
		atomic_store(&entry.id, rec->flow);
	}
	return join_flow(d, &entry);
}

/*
 * A decoder before us has read the openings of some flows, and suntapd's table knows those that have ended since no more. What
 * they are stands in their ends, further on in the ring: those of slots that nothing in the ring opened before.
 */
static void look_for_ended(struct decoder *d)
{
	CLEANUP(freep) bool *opened = calloc(d->slots, sizeof(*opened));
	const uint8_t *payload;
	struct flow_close close;
	struct ring_record rec;
	uint64_t ahead = 0;

	while (opened && ring_view_ahead(&d->ring, &ahead, &rec, &payload) > 0) {
		uint32_t slot = flow_id_slot(rec.flow);

		if (slot >= d->slots || opened[slot] || (rec.kind != RING_OPEN && rec.kind != RING_CLOSE))
			continue;
		opened[slot] = true;
		if (rec.kind == RING_OPEN || rec.length < sizeof(close))
			continue;
		memcpy(&close, payload, sizeof(close));
		join_flow(d, &close.flow);
	}
}

static void tell_gap(struct decoder *d, struct flow *f, enum dir dir, uint64_t lost, uint64_t offset)
{
	uint64_t held_back;

	count(&d->ring.reader->gaps);
	f->lost += lost;
	if (log_limit_pass(&d->gaps, &held_back))
		WRITE(d, journal_gap(&f->entry, dir, lost, offset, held_back));
	if (f->session)
		session_gap(f->session, dir);
}

static void on_data(struct decoder *d, struct flow *f, const struct ring_record *rec, const uint8_t *bytes)
{
	enum dir dir = rec->dir == DIR_CLOUD ? DIR_CLOUD : DIR_DEVICE;
	uint64_t seen = 0;
	size_t length = rec->length;

	if (f->finished)
		return;
	if (!f->session) {
		int e = session_new(&f->session, d->knowledge, NULL, &events, d);

		if (e < 0) {
			fprintf(stderr, "suntap-decoder: no memory for a flow: %s\n", strerror(-e));
			return;
		}
	}
	if (f->joined & 1 << dir) {
		/* what was before is not ours to miss: another decoder read it, or lost it */
		f->joined &= ~(1 << dir);
		f->next[dir] = rec->offset;
		if (rec->offset > 0)
			session_gap(f->session, dir);
	}
	if (rec->offset > f->next[dir])
		tell_gap(d, f, dir, rec->offset - f->next[dir], f->next[dir]);
	else
		seen = f->next[dir] - rec->offset;
	f->next[dir] = rec->offset + length > f->next[dir] ? rec->offset + length : f->next[dir];
	if (seen >= length)
		return;
	bytes += seen;
	length -= seen;
	if (dir == DIR_DEVICE && f->first_length < FIRST_BYTES_MAX) {
		size_t n = FIRST_BYTES_MAX - f->first_length < length ? FIRST_BYTES_MAX - f->first_length : length;

		memcpy(f->first + f->first_length, bytes, n);
		f->first_length += n;
	}
	session_feed(f->session, dir, bytes, length, rec->time);
	if (f->finished)
		f->session = session_free(f->session);
}

static void on_close(struct decoder *d, struct flow *f, const struct ring_record *rec, const uint8_t *payload)
{
	struct flow_close close;
	bool routine;

	memcpy(&close, payload, sizeof(close));
	close.flow.name[sizeof(close.flow.name) - 1] = '\0';
	f->entry = close.flow;		/* of a flow that was not seen open, it may be all that is known */
	end_session(d, f);
	routine = routine_end(&d->routine, &close);
	WRITE(d, journal_flow_closed(&close, routine, f->protocol, f->lost, rec->time));
	forget(d, f);
}

static void on_record(struct decoder *d, const struct ring_record *rec, const uint8_t *payload)
{
	struct flow *f;

	if (rec->kind == RING_LOST_EVENTS) {
		count(&d->ring.reader->gaps);
		WRITE(d, journal_lost_events(rec->lost));
		return;
	}
	if (rec->kind == RING_OPEN) {
		struct flow_entry entry;

		if (rec->length < sizeof(entry))
			return;
		memcpy(&entry, payload, sizeof(entry));
		f = new_flow(d, &entry);
		if (f) {
			bool routine = routine_opening(&d->routine, &f->entry);

			WRITE(d, journal_flow_opened(&f->entry, routine));
		}
		return;
	}
	f = flow_of(d, rec);
	if (!f)
		return;
	d->current = f;
	switch ((enum ring_kind)rec->kind) {
	case RING_DATA:
		on_data(d, f, rec, payload);
		break;
	case RING_GAP:
		if (!f->finished && rec->offset + rec->lost > f->next[rec->dir == DIR_CLOUD]) {
			f->next[rec->dir == DIR_CLOUD] = rec->offset + rec->lost;
			tell_gap(d, f, rec->dir == DIR_CLOUD ? DIR_CLOUD : DIR_DEVICE, rec->lost, rec->offset);
		}
		break;
	case RING_CLOSE:
		if (rec->length >= sizeof(struct flow_close))
			on_close(d, f, rec, payload);
		break;
	case RING_OPEN:
	case RING_LOST_EVENTS:
		break;
	}
}

static void look_for_silent(struct decoder *d)
{
	int64_t now = now_monotonic();

	if (now - d->looked < LOOK_S * NSEC_PER_SEC)
		return;
	d->looked = now;
	knowledge_save(d->knowledge);
	for (size_t i = 0; i < d->slots; i++) {
		struct flow *f = d->flows[i];

		if (!f || f->told_silent || f->next[DIR_DEVICE] > 0 || now - f->since < SILENT_S * NSEC_PER_SEC)
			continue;
		f->told_silent = true;
		if (log_limit_pass(&d->streams, NULL))
			WRITE(d, journal_silent(&f->entry, (now - f->since) / NSEC_PER_SEC));
	}
}

/* ---------------------------------------------------------------- start and loop */
static int loop(struct decoder *d)
{
	const struct control_message ready = { .kind = CONTROL_READY };
	enum ring_rest rest = RING_NAPPING;
	bool last_round = false;

	/* EPIPE: suntapd is stopping already; what is in the ring is to be read all the same */
	if (send(CONTROL_FD_SOCKET, &ready, sizeof(ready), MSG_NOSIGNAL) < 0 && errno != EPIPE)
		return -errno;
	look_for_ended(d);
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = CONTROL_FD_BELL, .events = POLLIN }, { .fd = CONTROL_FD_SOCKET, .events = POLLIN },
		};
		const uint8_t *payload;
		struct ring_record rec;
		int e = ring_view_next(&d->ring, &rec, &payload);

		if (e < 0)
			return e;
		if (e > 0) {
			set_state(d, READER_DECODING);
			on_record(d, &rec, payload);
			ring_view_release(&d->ring, &rec);
			rest = RING_NAPPING;
			continue;
		}
		if (last_round) {
			knowledge_save(d->knowledge);
			return 0;
		}
		look_for_silent(d);
		set_state(d, READER_IDLE);
		if (!ring_view_rest(&d->ring, rest))
			continue;
		if (poll(fds, ARRAY_SIZE(fds), rest == RING_NAPPING ? NAP_MS : LOOK_S * 1000) < 0 && errno != EINTR)
			return -errno;
		ring_view_awake(&d->ring);
		rest = RING_SLEEPING;
		if (fds[1].revents)
			last_round = true;	/* suntapd stops: what is in the ring is the last */
	}
}

static int open_table(struct decoder *d)
{
	struct stat st;
	void *p;

	if (fstat(CONTROL_FD_FLOWS, &st) < 0)
		return -errno;
	if (st.st_size < FLOW_TABLE_HEADER)
		return -EBADMSG;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, CONTROL_FD_FLOWS, 0);
	if (p == MAP_FAILED)
		return -errno;
	d->table = (const struct flow_entry *)(const void *)((const uint8_t *)p + FLOW_TABLE_HEADER);
	d->slots = ((size_t)st.st_size - FLOW_TABLE_HEADER) / sizeof(struct flow_entry);
	d->flows = calloc(d->slots ? d->slots : 1, sizeof(struct flow *));
	return d->flows ? 0 : -ENOMEM;
}

static void complain(void *ctx, const char *text)
{
	(void)ctx;
	journal_say(LOG_ERR, text);
	fprintf(stderr, "suntap-decoder: %s\n", text);
}

/* Without it clocks and models are learnt anew: no reason to stop. */
static void keep_knowledge(struct decoder *d)
{
	void *p = mmap(NULL, CONTROL_STATE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, CONTROL_FD_STATE, 0);
	char text[64];
	struct stat st;
	int n = -EBADF;

	/* A page behind the end of the file would be our death. */
	if (p != MAP_FAILED && fstat(CONTROL_FD_STATE, &st) == 0 && st.st_size >= CONTROL_STATE_SIZE)
		n = knowledge_keep(d->knowledge, p, CONTROL_STATE_SIZE, complain, NULL);
	if (n < 0)
		complain(NULL, "what is known of the devices can not be kept");
	if (n <= 0)
		return;
	snprintf(text, sizeof(text), "%d device%s known from before", n, n == 1 ? " is" : "s are");
	journal_say(LOG_DEBUG, text);
}

static int start(struct decoder *d)
{
	const struct ring_fds fds = { CONTROL_FD_RING, CONTROL_FD_HEAD, CONTROL_FD_BELL };
	char text[64];
	int e;

	e = ring_view_open(&d->ring, &fds);
	if (e < 0)
		return e;
	e = open_table(d);
	if (e < 0)
		return e;
	e = journal_open(&d->journal);
	if (e < 0)
		return e;
	e = knowledge_installed(&d->knowledge, complain, NULL);
	if (e < 0)
		return e;
	snprintf(text, sizeof(text), "The decoder has read %d maps and locks itself in", e);
	journal_say(LOG_DEBUG, text);
	keep_knowledge(d);
	return sandbox_enter("suntap", d->journal.probe, 2 * d->ring.size);
}

int main(void)
{
	static struct decoder d = {
		.gaps = { .burst = 10, .interval = 60 * NSEC_PER_SEC },
		.streams = { .burst = 50, .interval = 10 * NSEC_PER_SEC },
	};
	struct stat st;
	int e;

	if (fstat(CONTROL_FD_RING, &st) < 0 || fstat(CONTROL_FD_SOCKET, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		fprintf(stderr, "suntap-decoder is started by suntapd; to decode a file: suntap decode FILE\n");
		return 2;
	}
	/* both are for suntapd, which closes the control socket when it is done: then the rest of the ring is still read */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	e = start(&d);
	if (e < 0) {
		fprintf(stderr, "suntap-decoder: can not start: %s\n", strerror(-e));
		return EXIT_FAILURE;
	}
	e = loop(&d);
	if (e < 0)
		fprintf(stderr, "suntap-decoder: %s\n", e == -EBADMSG ? "the ring makes no sense" : strerror(-e));
	return e < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
