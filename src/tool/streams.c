/* SPDX-License-Identifier: GPL-2.0-or-later */
/* streams.c - streams of a capture held in memory, to be masked and written; see streams.h */
#include "tool/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool/mask.h"
#include "tool/pcapng.h"

enum { STREAM_COUNT_MAX = 65536, ENDS_MAX = 65536 };

/* What a session made of a part of a direction, in its order. */
struct span {
	enum dir dir;
	const char *protocol;		/* NULL: of no frame */
	size_t at, length;
};

struct stream {
	struct streams *all;
	uint32_t index;
	struct pcapng_stream packets;
	bool server_is_device;
	uint8_t *bytes[DIR_COUNT];
	size_t length[DIR_COUNT], room[DIR_COUNT];
	size_t told[DIR_COUNT];		/* that spans stand for */
	size_t written[DIR_COUNT];
	struct span *spans;
	size_t span_count, span_room;
	size_t last_piece;
	bool unknown;
};

/* What came, in its order over all streams. */
struct piece {
	uint32_t stream;
	uint8_t dir;
	bool gap;
	uint32_t length;
	int64_t time_ns;
};

struct streams {
	struct stream **streams;
	struct piece *pieces;
	size_t count, room, piece_count, piece_room, bytes;
	bool full, no_memory;
	struct mask *mask;
	struct streams_report *report;
	struct stream *current;
};

/* Room for one more; false: no memory. */
static bool grow(void **array, size_t count, size_t *room, size_t size)
{
	size_t more = *room ? 2 * *room : 64;
	void *p;

	if (count < *room)
		return true;
	p = realloc(*array, more * size);
	if (!p)
		return false;
	*array = p;
	*room = more;
	return true;
}

struct streams *streams_new(void)
{
	return calloc(1, sizeof(struct streams));
}

static struct stream *stream_free(struct stream *st)
{
	for (int d = 0; st && d < DIR_COUNT; d++)
		free(st->bytes[d]);
	if (st)
		free(st->spans);
	free(st);
	return NULL;
}

struct streams *streams_free(struct streams *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->count; i++)
		stream_free(s->streams[i]);
	free(s->streams);
	free(s->pieces);
	mask_free(s->mask);
	free(s);
	return NULL;
}

bool streams_full(const struct streams *s)
{
	return s->full;
}

size_t streams_bytes(const struct streams *s)
{
	return s->bytes;
}

/* ------------------------------------------------ taking in */
/* Ports on which the logger listens and its client asks; elsewhere the device is the one that calls. */
static bool device_listens(uint16_t port)
{
	return port == 8899 || port == 502;
}

static void *on_open(void *ctx, bool ipv6, const struct tcp_end *client, const struct tcp_end *server)
{
	struct streams *s = ctx;
	struct stream *st;

	if (s->count == STREAM_COUNT_MAX || !grow((void **)&s->streams, s->count, &s->room, sizeof(struct stream *))) {
		s->full = true;
		return NULL;
	}
	st = calloc(1, sizeof(*st));
	if (!st) {
		s->full = true;
		return NULL;
	}
	st->all = s;
	st->index = (uint32_t)s->count;
	st->packets = (struct pcapng_stream){ .ipv6 = ipv6, .client = *client, .server = *server };
	st->server_is_device = device_listens(server->port);
	s->streams[s->count++] = st;
	return st;
}

static enum dir direction(const struct stream *st, bool from_client)
{
	return from_client != st->server_is_device ? DIR_DEVICE : DIR_CLOUD;
}

static bool add_piece(struct streams *s, struct stream *st, enum dir dir, bool gap, size_t length, int64_t time_ns)
{
	if (!grow((void **)&s->pieces, s->piece_count, &s->piece_room, sizeof(struct piece)))
		return false;
	st->last_piece = s->piece_count;
	s->pieces[s->piece_count++] = (struct piece){ st->index, (uint8_t)dir, gap, (uint32_t)length, time_ns };
	return true;
}

static void on_data(void *flow, bool from_client, const uint8_t *bytes, size_t length, int64_t time_ns)
{
	struct stream *st = flow;
	struct streams *s = st->all;
	enum dir dir = direction(st, from_client);

	if (s->full)
		return;
	while (st->room[dir] - st->length[dir] < length) {
		size_t room = st->room[dir] ? 2 * st->room[dir] : 4096;
		uint8_t *more = realloc(st->bytes[dir], room);

		if (!more) {
			s->full = true;
			return;
		}
		st->bytes[dir] = more;
		st->room[dir] = room;
	}
	if (length > STREAMS_MAX - s->bytes || !add_piece(s, st, dir, false, length, time_ns)) {
		s->full = true;
		return;
	}
	memcpy(st->bytes[dir] + st->length[dir], bytes, length);
	st->length[dir] += length;
	s->bytes += length;
}

static void on_gap(void *flow, bool from_client)
{
	struct stream *st = flow;
	int64_t time_ns = st->all->piece_count ? st->all->pieces[st->all->piece_count - 1].time_ns : 0;

	if (!st->all->full && !add_piece(st->all, st, direction(st, from_client), true, 0, time_ns))
		st->all->full = true;
}

static void on_close(void *flow)
{
	(void)flow;			/* kept until the end */
}

const struct tcp_events streams_events = { on_open, on_data, on_gap, on_close };

/* ------------------------------------------------ what it says, first round */
static void add_span(struct stream *st, enum dir dir, const char *protocol, size_t length)
{
	if (length > st->length[dir] - st->told[dir])
		length = st->length[dir] - st->told[dir];
	if (!grow((void **)&st->spans, st->span_count, &st->span_room, sizeof(struct span))) {
		st->all->no_memory = true;
		return;
	}
	st->spans[st->span_count++] = (struct span){ dir, protocol, st->told[dir], length };
	st->told[dir] += length;
}

static void session_verdict(void *ctx, enum session_verdict verdict, const char *text)
{
	struct streams *s = ctx;

	(void)text;
	s->current->unknown = verdict == SESSION_UNKNOWN;
}

static void session_frame(void *ctx, const struct frame_info *f)
{
	struct streams *s = ctx;
	struct stream *st = s->current;
	bool there = f->size <= st->length[f->dir] - st->told[f->dir] &&
		     !memcmp(st->bytes[f->dir] + st->told[f->dir], f->bytes, f->size);

	s->report->unknown_frames += !f->known;
	if (!there || f->carrier)
		return;			/* inside another one */
	add_span(st, f->dir, f->protocol, f->size);
	mask_learn_frame(s->mask, f->protocol, f->dir, f->bytes, f->size);
}

static void session_loose(void *ctx, enum dir dir, uint64_t length)
{
	struct streams *s = ctx;
	struct stream *st = s->current;
	size_t at = st->told[dir];

	add_span(st, dir, NULL, (size_t)length);
	mask_bytes(s->mask, st->bytes[dir] + at, st->told[dir] - at);
}

static void learn_value(struct mask *m, const char *name, const char *text)
{
	static const struct {
		const char *part;
		enum mask_kind kind;
	} parts[] = {
		{ "serial", MASK_ID }, { "ssid", MASK_TEXT }, { "password", MASK_TEXT }, { "contact", MASK_TEXT },
		{ "_mail", MASK_TEXT }, { "_mac", MASK_MAC }, { "_ip", MASK_IP },
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (strstr(name, parts[i].part)) {
			mask_learn(m, parts[i].kind, text, strlen(text));
			return;
		}
}

static void session_reading(void *ctx, const struct reading *r)
{
	struct streams *s = ctx;

	mask_learn(s->mask, MASK_ID, r->serial, strlen(r->serial));
	mask_learn(s->mask, MASK_ID, r->logger, strlen(r->logger));
	for (size_t i = 0; i < r->count; i++)
		if (r->values[i].type == VALUE_TEXT)
			learn_value(s->mask, r->values[i].name, r->values[i].text);
}

static const struct session_events learning = {
	.verdict = session_verdict, .frame = session_frame, .skip = session_loose, .partial = session_loose,
	.reading = session_reading,
};

/* All streams at once, in the order in which it came: what is known of a device serves its next connection. */
static int understand(struct streams *s, struct knowledge *k)
{
	struct session **sessions = calloc(s->count + 1, sizeof(struct session *));
	size_t (*at)[DIR_COUNT] = calloc(s->count + 1, sizeof(*at));
	int r = sessions && at ? 0 : -ENOMEM;

	for (size_t i = 0; i < s->count && r == 0; i++)
		r = session_new(&sessions[i], k, NULL, &learning, s);
	for (size_t i = 0; i < s->piece_count && r == 0; i++) {
		const struct piece *p = &s->pieces[i];

		s->current = s->streams[p->stream];
		if (p->gap)
			session_gap(sessions[p->stream], (enum dir)p->dir);
		else
			session_feed(sessions[p->stream], (enum dir)p->dir, s->current->bytes[p->dir] + at[p->stream][p->dir],
				     p->length, p->time_ns);
		at[p->stream][p->dir] += p->length;
	}
	for (size_t i = 0; sessions && i < s->count; i++) {
		s->current = s->streams[i];
		if (r == 0)
			session_end(sessions[i]);
		session_free(sessions[i]);
	}
	free(sessions);
	free(at);
	return s->no_memory ? -ENOMEM : r;
}

/* ------------------------------------------------ second round */
static void mask_stream(struct streams *s, struct stream *st)
{
	for (size_t i = 0; i < st->span_count; i++) {
		const struct span *p = &st->spans[i];
		uint8_t *bytes = st->bytes[p->dir] + p->at;

		if (p->protocol)
			mask_frame(s->mask, p->protocol, p->dir, bytes, p->length);
		else
			mask_bytes(s->mask, bytes, p->length);
	}
	for (int d = 0; d < DIR_COUNT; d++)
		if (st->told[d] < st->length[d])
			mask_bytes(s->mask, st->bytes[d] + st->told[d], st->length[d] - st->told[d]);
}

struct ends {
	bool ipv6;
	uint8_t address[16];
};

/* 192.0.2.1, 192.0.2.2 …, 2001:db8::1 …: those that are kept for documents (RFC 5737, RFC 3849). */
static bool mask_end(struct ends *known, size_t *count, bool ipv6, struct tcp_end *end)
{
	size_t width = ipv6 ? 16 : 4, i = 0;

	while (i < *count && (known[i].ipv6 != ipv6 || memcmp(known[i].address, end->address, width)))
		i++;
	if (i == ENDS_MAX)
		return false;
	if (i == *count) {
		known[i].ipv6 = ipv6;
		memcpy(known[i].address, end->address, width);
		++*count;
	}
	i++;
	if (ipv6) {
		memset(end->address, 0, 16);
		memcpy(end->address, "\x20\x01\x0d\xb8", 4);
		end->address[14] = (uint8_t)(i >> 8);
		end->address[15] = (uint8_t)i;
	} else if (i < 255) {
		memcpy(end->address, "\xc0\x00\x02", 3);
		end->address[3] = (uint8_t)i;
	} else {
		memcpy(end->address, "\xc6\x12", 2);	/* 198.18.0.0/15, for measurements: RFC 2544 */
		end->address[2] = (uint8_t)(i >> 8);
		end->address[3] = (uint8_t)i;
	}
	return true;
}

static int mask_addresses(struct streams *s)
{
	struct ends *known = calloc(ENDS_MAX, sizeof(*known));
	size_t count = 0;
	bool good = known;

	for (size_t i = 0; i < s->count && good; i++) {
		struct pcapng_stream *p = &s->streams[i]->packets;

		good = mask_end(known, &count, p->ipv6, &p->client) && mask_end(known, &count, p->ipv6, &p->server);
	}
	free(known);
	return good ? 0 : -ENOMEM;
}

int streams_mask(struct streams *s, struct knowledge *k, struct streams_report *report)
{
	int r;

	s->report = report;
	s->mask = mask_new();
	if (!s->mask)
		return -ENOMEM;
	r = understand(s, k);
	if (r < 0)
		return r;
	if (mask_full(s->mask)) {
		report->too_private = true;
		return 0;
	}
	mask_second_round(s->mask);
	for (size_t i = 0; i < s->count; i++) {
		mask_stream(s, s->streams[i]);
		report->unknown_streams += s->streams[i]->unknown && s->streams[i]->length[DIR_DEVICE];
	}
	report->ids = mask_count(s->mask, MASK_ID);
	report->texts = mask_count(s->mask, MASK_TEXT);
	report->addresses = mask_count(s->mask, MASK_IP) + mask_count(s->mask, MASK_MAC);
	return mask_addresses(s);
}

/* ------------------------------------------------ writing */
void streams_write(struct streams *s, FILE *to, struct streams_report *report)
{
	pcapng_start(to, "suntap: streams put together, packets made anew");
	for (size_t i = 0; i < s->piece_count; i++) {
		const struct piece *p = &s->pieces[i];
		struct stream *st = s->streams[p->stream];
		bool from_client = (p->dir == DIR_DEVICE) != st->server_is_device;

		if (!st->packets.opened)
			pcapng_open(to, &st->packets, p->time_ns);
		if (p->gap)
			pcapng_gap(&st->packets, from_client);
		else
			pcapng_data(to, &st->packets, from_client, st->bytes[p->dir] + st->written[p->dir], p->length,
				    p->time_ns);
		st->written[p->dir] += p->length;
		if (i == st->last_piece)
			pcapng_close(to, &st->packets, p->time_ns);
	}
	for (size_t i = 0; i < s->count; i++)
		report->streams += s->streams[i]->packets.opened;
	report->bytes = s->bytes;
	report->full = s->full;
}
