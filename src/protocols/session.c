/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session.c - one flow: which protocol, then frames out of each direction's bytes
 *
 * Theory of operation
 *	UNDECIDED  bytes are held (HELD_MAX a direction); every protocol's probe is asked at every
 *		   position once, so that rubbish in front does not hide what follows. The port plays
 *		   no part. When one says yes, what was held is replayed to its framing from the first
 *		   byte: the result is the same as if the protocol had been known from the start.
 *	KNOWN	   bytes go to the framing where they lie; only what waits for more is copied.
 *	REFUSED	   TLS, or nothing known: bytes are counted, and told as skipped at the end.
 *
 * Invariants (held by test_session.c)
 *	- one verdict a session.
 *	- each byte is told exactly once: in a frame, in a skip or in the partial.
 *	- framing is not asked again before it has the bytes it wants: a stream cut at each byte costs
 *	  no more than one call a byte.
 */
#include "protocols/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/at.h"
#include "protocols/protocol.h"
#include "protocols/reading_fill.h"
#include "protocols/sniff.h"

enum {
	HELD_MAX = 8192,
	ENTRIES_MAX = 512,
	PROTOCOLS_MAX = 16,
	ROOM_BESIDE_FRAME = 4096,
};

/* No logger pauses so long inside a frame: a header that waited for more was none. */
#define SILENCE_NS (30 * NSEC_PER_SEC)

enum state { UNDECIDED, KNOWN, REFUSED };

struct entry {			/* what came, in its order */
	uint8_t dir;
	bool gap;
	uint16_t length;
};

struct held {
	uint8_t *bytes;			/* HELD_MAX */
	size_t length, base;		/* base: first byte after the last gap */
	size_t position[PROTOCOLS_MAX];	/* of each probe */
	bool gap;			/* there was one: base is not the flow's start */
	bool tls;			/* is TLS, its hello is not complete */
};

struct stream {
	uint8_t *bytes;
	size_t length, room, need;
	struct scan scan;
	uint64_t skipped;		/* run that was not told yet */
	int64_t last_arrival;
};

struct session {
	enum state state;
	struct decoder decoder;
	struct held held[DIR_COUNT];
	struct entry *entries;
	size_t entry_count;
	struct stream streams[DIR_COUNT];
	bool told, out_of_memory;
	char sni[256];
};

const char *session_protocol_name(size_t i)
{
	size_t n = 0;

	while (n < i && protocols[n])
		n++;
	return protocols[n] ? protocols[n]->name : NULL;
}

/* ------------------------------------------------ for the protocols */
struct frame_info decoder_frame_info(const struct decoder *d, enum dir dir, const uint8_t *bytes, size_t size,
				     const char *error)
{
	return (struct frame_info){
		.protocol = d->protocol->name, .dir = dir, .ctrl = -1, .unit = -1, .function = -1,
		.transaction = -1, .error = error, .known = true, .bytes = bytes, .size = size,
	};
}

void decoder_frame(struct decoder *d, const struct frame_info *info)
{
	if (d->events->frame)
		d->events->frame(d->ctx, info);
}

void decoder_skip(struct decoder *d, enum dir dir, uint64_t length)
{
	if (d->events->skip)
		d->events->skip(d->ctx, dir, length);
}

void decoder_note(struct decoder *d, enum dir dir, const char *key, const char *format, ...)
{
	char text[1024], clean[1024];
	va_list ap;
	int n;

	if (!d->events->note)
		return;
	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n < 0)
		return;
	text_clean(clean, sizeof(clean), (const uint8_t *)text, strlen(text));
	d->events->note(d->ctx, dir, key, clean);
}

struct reading *decoder_reading(struct decoder *d, const char *logger)
{
	struct reading *r = &d->k->reading;

	reading_start(r, d->protocol->name, d->arrival_ns);
	if (logger)
		strncpy(r->logger, logger, sizeof(r->logger) - 1);
	r->logger[sizeof(r->logger) - 1] = '\0';
	return r;
}

/* Its true time by the clock of the device, as far as that is known; was it told before? */
static void know_time(struct knowledge *k, struct reading *r)
{
	const char *who = *r->logger ? r->logger : r->serial;
	int64_t arrival_ms = r->arrival_ns / NSEC_PER_MSEC;
	struct device *device = r->time_kind != TIME_NONE && !r->whole_day && *who ? knowledge_device(k, who) : NULL;

	if (!device)
		return;
	if (!r->info)
		r->repeat |= device_reading_seen(device, r);
	if (!r->arrival_ns)
		return;
	if (!r->info && !r->historic && !r->repeat)
		clock_live(&device->clock, r->time_ms, arrival_ms);
	r->has_clock = device->clock.known;
	r->clock_offset_ms = device->clock.offset_ms;
	r->has_utc = clock_utc(&device->clock, r->time_ms, r->historic, arrival_ms, &r->utc_ms);
	state_touch(k->state, device, r->arrival_ns);
}

void decoder_publish(struct decoder *d, struct reading *r)
{
	know_time(d->k, r);
	if (d->events->reading)
		d->events->reading(d->ctx, r);
}

void opcode_hex(char *out, uint32_t value, unsigned int digits)
{
	*out++ = '0';
	*out++ = 'x';
	while (digits--)
		*out++ = "0123456789abcdef"[value >> 4 * digits & 15];
	*out = '\0';
}

/* ------------------------------------------------ known: framing */
static void tell_skip(struct session *s, enum dir dir)
{
	struct stream *b = &s->streams[dir];
	uint64_t n = b->skipped;

	b->skipped = 0;
	if (n && s->decoder.events->skip)
		s->decoder.events->skip(s->decoder.ctx, dir, n);
}

/* As much of the bytes as can be understood now; returns how many that were. */
static size_t consume(struct session *s, enum dir dir, const uint8_t *bytes, size_t length)
{
	const struct protocol *p = s->decoder.protocol;
	struct stream *b = &s->streams[dir];
	size_t position = 0;

	while (position < length && length - position >= b->need) {
		size_t left = length - position;
		struct framed f = p->frame(&b->scan, bytes + position, left);

		if (f.what == FRAMING_MORE) {
			if (f.size > left && f.size <= p->frame_max) {
				b->need = f.size;
				break;
			}
			/* Cannot be: a frame longer than the longest. Go on behind its first byte. */
			f = (struct framed){ .what = FRAMING_SKIP, .size = 1 };
		}
		if (!f.size || f.size > left)
			f.size = left;
		b->need = 0;
		b->scan.done = 0;
		if (f.what == FRAMING_SKIP) {
			b->skipped += f.size;
		} else {
			if (p->unframed)
				b->skipped += f.size;
			else
				tell_skip(s, dir);
			p->decode(&s->decoder, dir, bytes + position, f.size,
				  f.what == FRAMING_BAD ? f.error : NULL);
		}
		position += f.size;
	}
	return position;
}

/* A header that waits in vain: on behind it, and behind the next one that waits. */
static void give_up(struct session *s, enum dir dir)
{
	struct stream *b = &s->streams[dir];
	size_t position = 0;

	while (position < b->length) {
		b->need = 0;
		b->scan.done = 0;
		b->scan.lost = true;
		b->skipped++;
		position++;
		position += consume(s, dir, b->bytes + position, b->length - position);
	}
	b->length = 0;
	b->need = 0;
}

/* A frame that waits only to see what follows it: nothing does. */
static void settle(struct session *s, enum dir dir)
{
	struct stream *b = &s->streams[dir];
	size_t n;

	if (!b->length)
		return;
	b->need = 0;
	b->scan.end = true;
	n = consume(s, dir, b->bytes, b->length);
	b->scan.end = false;
	b->length -= n;
	memmove(b->bytes, b->bytes + n, b->length);
}

static void stream_feed(struct session *s, enum dir dir, const uint8_t *bytes, size_t length, int64_t arrival_ns)
{
	struct stream *b = &s->streams[dir];
	size_t n;

	settle(s, dir == DIR_DEVICE ? DIR_CLOUD : DIR_DEVICE);
	s->decoder.arrival_ns = arrival_ns;
	if (s->decoder.protocol->datagram) {
		s->decoder.protocol->datagram(&s->decoder, dir, bytes, length);
		return;
	}
	while (length) {
		if (!b->length) {
			n = consume(s, dir, bytes, length);
			bytes += n;
			length -= n;
			/* What is left waits for more, and is shorter than the longest frame. */
			memcpy(b->bytes, bytes, length);
			b->length = length;
			return;
		}
		n = b->room - b->length;
		n = n < length ? n : length;
		memcpy(b->bytes + b->length, bytes, n);
		b->length += n;
		bytes += n;
		length -= n;
		if (b->length < b->need)
			continue;
		n = consume(s, dir, b->bytes, b->length);
		b->length -= n;
		memmove(b->bytes, b->bytes + n, b->length);
	}
}

static void stream_gap(struct session *s, enum dir dir)
{
	struct stream *b = &s->streams[dir];

	b->skipped += b->length;
	b->length = 0;
	b->need = 0;
	b->scan = (struct scan){ .dir = dir, .lost = true };
	tell_skip(s, dir);
}

/* ------------------------------------------------ undecided */
static void tell_verdict(struct session *s, enum session_verdict verdict, const char *text)
{
	if (s->told)
		return;
	s->told = true;
	if (s->decoder.events->verdict)
		s->decoder.events->verdict(s->decoder.ctx, verdict, text);
}

static void held_free(struct session *s)
{
	for (int d = 0; d < DIR_COUNT; d++) {
		free(s->held[d].bytes);
		s->held[d].bytes = NULL;
		s->held[d].length = 0;
	}
	free(s->entries);
	s->entries = NULL;
	s->entry_count = 0;
}

static bool start_protocol(struct session *s, const struct protocol *p)
{
	s->decoder.protocol = p;
	s->decoder.state = calloc(1, p->state_size ? p->state_size : 1);
	for (int d = 0; d < DIR_COUNT; d++) {
		s->streams[d].scan.dir = (enum dir)d;
		s->streams[d].room = p->frame_max + ROOM_BESIDE_FRAME;
		s->streams[d].bytes = malloc(s->streams[d].room);
		if (!s->streams[d].bytes || !s->decoder.state)
			return false;
	}
	s->state = KNOWN;
	return true;
}

static void refuse(struct session *s, enum session_verdict verdict, const char *text)
{
	s->state = REFUSED;
	for (int d = 0; d < DIR_COUNT; d++)
		s->streams[d].skipped += s->held[d].length;
	held_free(s);
	tell_verdict(s, verdict, text);
}

static void accept(struct session *s, const struct protocol *p, int64_t arrival_ns)
{
	size_t position[DIR_COUNT] = { 0 };

	if (!start_protocol(s, p)) {
		refuse(s, SESSION_UNKNOWN, "no memory");
		return;
	}
	tell_verdict(s, SESSION_KNOWN, p->name);
	for (size_t i = 0; i < s->entry_count; i++) {
		const struct entry *e = &s->entries[i];

		if (e->gap) {
			stream_gap(s, e->dir);
			continue;
		}
		stream_feed(s, e->dir, s->held[e->dir].bytes + position[e->dir], e->length, arrival_ns);
		position[e->dir] += e->length;
	}
	held_free(s);
}

static bool add_entry(struct session *s, enum dir dir, bool gap, size_t length)
{
	struct entry *last = s->entry_count ? &s->entries[s->entry_count - 1] : NULL;

	if (!s->entries) {
		s->entries = calloc(ENTRIES_MAX, sizeof(*s->entries));
		if (!s->entries)
			return false;
	}
	if (last && last->dir == dir && !last->gap && !gap) {
		last->length = (uint16_t)(last->length + length);
		return true;
	}
	if (last && last->dir == dir && last->gap && gap)
		return true;
	if (s->entry_count == ENTRIES_MAX)
		return false;
	s->entries[s->entry_count++] = (struct entry){ (uint8_t)dir, gap, (uint16_t)length };
	return true;
}

/* Asks each probe at each position it has not answered for. */
static const struct protocol *probe(struct session *s, enum dir dir)
{
	struct held *h = &s->held[dir];

	for (size_t i = 0; i < PROTOCOLS_MAX && protocols[i]; i++) {
		if (!protocols[i]->probe)
			continue;
		while (h->position[i] < h->length) {
			size_t at = h->position[i];
			enum probe_answer a = protocols[i]->probe(h->bytes + at, h->length - at,
								  !at && !h->gap);

			if (a == PROBE_YES)
				return protocols[i];
			if (a == PROBE_MORE)
				break;
			h->position[i]++;
		}
	}
	return NULL;
}

/* Newer logger firmware answers with AT text where V5 was spoken before. */
static void tell_at(struct session *s, enum dir dir)
{
	const struct held *h = &s->held[dir];
	const uint8_t *end = memchr(h->bytes, '\r', h->length);
	char text[200];

	at_readable(h->bytes, end ? (size_t)(end - h->bytes) : h->length, text, sizeof(text));
	decoder_note(&s->decoder, dir, "text", "%s", text);
}

static size_t undecided_feed(struct session *s, enum dir dir, const uint8_t *bytes, size_t length,
			     int64_t arrival_ns)
{
	struct held *h = &s->held[dir];
	const struct protocol *p;
	const char *other;
	size_t n = HELD_MAX - h->length;

	if (!h->bytes)
		h->bytes = malloc(HELD_MAX);
	n = n < length ? n : length;
	if (!h->bytes || !add_entry(s, dir, false, n)) {
		refuse(s, SESSION_UNKNOWN, "");
		return 0;
	}
	memcpy(h->bytes + h->length, bytes, n);
	h->length += n;
	if (!h->base && !h->gap) {
		switch (sniff_tls(h->bytes, h->length, s->sni, sizeof(s->sni))) {
		case SNIFF_YES:
			refuse(s, SESSION_TLS, s->sni);
			return n;
		case SNIFF_MORE:
			h->tls = true;
			break;
		case SNIFF_NO:
			h->tls = false;
			break;
		}
		other = h->tls ? NULL : sniff_known(h->bytes, h->length);
		if (other) {
			if (!strcmp(other, "at"))
				tell_at(s, dir);
			refuse(s, SESSION_UNKNOWN, other);
			return n;
		}
	}
	p = h->tls ? NULL : probe(s, dir);
	if (p)
		accept(s, p, arrival_ns);
	else if (h->length == HELD_MAX)
		refuse(s, h->tls ? SESSION_TLS : SESSION_UNKNOWN, "");
	return n;
}

/* No more will come: what could still be the beginning of a frame decides. */
static void decide_at_end(struct session *s)
{
	bool any = false;

	for (int d = 0; d < DIR_COUNT; d++) {
		any |= s->held[d].length > 0;
		if (s->held[d].tls) {
			refuse(s, SESSION_TLS, "");
			return;
		}
	}
	for (size_t i = 0; i < PROTOCOLS_MAX && protocols[i]; i++)
		for (int d = 0; d < DIR_COUNT; d++)
			if (protocols[i]->probe && s->held[d].length > s->held[d].position[i] &&
			    s->held[d].length - s->held[d].position[i] >= protocols[i]->likely) {
				accept(s, protocols[i], s->decoder.arrival_ns);
				return;
			}
	refuse(s, SESSION_UNKNOWN, any ? "" : "silent");
}

/* ------------------------------------------------ the interface */
int session_new(struct session **ret, struct knowledge *k, const char *protocol,
		const struct session_events *events, void *ctx)
{
	struct session *s;
	size_t i = 0;

	if (!k || !events)
		return -EINVAL;
	while (protocol && protocols[i] && strcmp(protocols[i]->name, protocol))
		i++;
	if (protocol && !protocols[i])
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->decoder.k = k;
	s->decoder.events = events;
	s->decoder.ctx = ctx;
	if (protocol && !start_protocol(s, protocols[i])) {
		session_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

struct session *session_free(struct session *s)
{
	if (!s)
		return NULL;
	held_free(s);
	for (int d = 0; d < DIR_COUNT; d++)
		free(s->streams[d].bytes);
	free(s->decoder.state);
	free(s);
	return NULL;
}

void session_feed(struct session *s, enum dir dir, const uint8_t *bytes, size_t length, int64_t arrival_ns)
{
	if (!length)
		return;
	s->decoder.arrival_ns = arrival_ns;
	while (s->state == UNDECIDED && length) {
		size_t n = undecided_feed(s, dir, bytes, length, arrival_ns);

		bytes += n;
		length -= n;
	}
	if (s->state == REFUSED) {
		s->streams[dir].skipped += length;
		return;
	}
	if (s->state == UNDECIDED || !length) {
		s->streams[dir].last_arrival = arrival_ns;
		return;
	}
	tell_verdict(s, SESSION_KNOWN, s->decoder.protocol->name);
	for (int d = 0; arrival_ns && d < DIR_COUNT; d++) {
		struct stream *b = &s->streams[d];

		if (b->length && b->last_arrival && arrival_ns - b->last_arrival > SILENCE_NS)
			give_up(s, (enum dir)d);
	}
	stream_feed(s, dir, bytes, length, arrival_ns);
	s->streams[dir].last_arrival = arrival_ns;
}

void session_gap(struct session *s, enum dir dir)
{
	struct held *h = &s->held[dir];

	switch (s->state) {
	case UNDECIDED:
		/* A protocol is not sought across the hole. */
		if (!add_entry(s, dir, true, 0)) {
			refuse(s, SESSION_UNKNOWN, "");
			return;
		}
		h->base = h->length;
		h->gap = true;
		for (size_t i = 0; i < PROTOCOLS_MAX; i++)
			h->position[i] = h->length;
		break;
	case KNOWN:
		stream_gap(s, dir);
		break;
	case REFUSED:
		break;
	}
}

void session_end(struct session *s)
{
	if (s->state == UNDECIDED)
		decide_at_end(s);
	if (s->state == KNOWN)
		tell_verdict(s, SESSION_KNOWN, s->decoder.protocol->name);
	for (int d = 0; d < DIR_COUNT; d++) {
		struct stream *b = &s->streams[d];

		if (s->state == KNOWN)
			settle(s, (enum dir)d);
		tell_skip(s, (enum dir)d);
		if (b->length && s->decoder.events->partial)
			s->decoder.events->partial(s->decoder.ctx, (enum dir)d, b->length);
		b->length = 0;
		b->need = 0;
	}
	/* Whoever feeds on after the end is counted only. */
	s->state = REFUSED;
}
