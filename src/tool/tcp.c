/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcp.c - streams out of captured TCP segments
 *
 *	next ──▶ the sequence number that is due in a direction. What lies before it has been handed
 *	on (or lost), what comes beyond it is held, in order, until the hole closes or is given up.
 *
 * Where two segments disagree about a byte the first one that was captured counts.
 */
#include "tool/tcp.h"

#include <stdlib.h>
#include <string.h>

/* A retransmission comes sooner; what has not come by then was not captured. */
#define HOLE_NS (3 * NSEC_PER_SEC)

/* Farther ahead than any window: the capture has lost more than can be waited for. */
#define FAR (1 << 24)

enum { BUCKETS = 1024 };

struct held {
	struct held *next;
	uint32_t seq;
	size_t length;
	int64_t time_ns;
	uint8_t bytes[];
};

struct direction {
	bool started, finished;
	uint32_t next, fin;
	struct held *held;
	size_t segments, bytes;
	int64_t hole_since;
};

struct flow {
	struct flow *chain, *newer, *older;
	bool ipv6;
	struct tcp_end client, server;
	struct direction direction[2];		/* 0: from the client */
	void *user;
};

struct tcp {
	const struct tcp_events *events;
	void *ctx;
	struct flow *table[BUCKETS], *newest, *oldest;
	size_t count;
};

struct tcp *tcp_new(const struct tcp_events *events, void *ctx)
{
	struct tcp *t = calloc(1, sizeof(*t));

	if (t) {
		t->events = events;
		t->ctx = ctx;
	}
	return t;
}

static struct flow **bucket(struct tcp *t, const struct tcp_end *a, const struct tcp_end *b)
{
	uint32_t h = 0;

	/* The same for both directions. */
	for (size_t i = 0; i < sizeof(a->address); i++)
		h = h * 31 + (uint32_t)(a->address[i] + b->address[i]);
	h = h * 31 + (uint32_t)(a->port + b->port);
	return &t->table[(h ^ h >> 13) % BUCKETS];
}

static bool same(const struct tcp_end *a, const struct tcp_end *b)
{
	return a->port == b->port && !memcmp(a->address, b->address, sizeof(a->address));
}

/* ------------------------------------------------ one direction */
static void release_first(struct direction *d)
{
	struct held *h = d->held;

	d->held = h->next;
	d->segments--;
	d->bytes -= h->length;
	free(h);
}

/* Hands on what has become due. */
static void drain(struct tcp *t, struct flow *f, struct direction *d)
{
	while (d->held) {
		struct held *h = d->held;
		int32_t ahead = (int32_t)(h->seq - d->next);
		size_t known = ahead < 0 ? (size_t)-(int64_t)ahead : 0;

		if (ahead > 0)
			return;
		if (known < h->length) {
			d->next = h->seq + (uint32_t)h->length;
			t->events->data(f->user, d == &f->direction[0], h->bytes + known, h->length - known,
					h->time_ns);
		}
		release_first(d);
	}
}

/* The hole before what is held will not be filled. */
static void give_up(struct tcp *t, struct flow *f, struct direction *d)
{
	if (!d->held)
		return;
	t->events->gap(f->user, d == &f->direction[0]);
	d->next = d->held->seq;
	drain(t, f, d);
	d->hole_since = d->held ? d->held->time_ns : 0;
}

static void hold(struct tcp *t, struct flow *f, struct direction *d, const struct tcp_segment *s, uint32_t seq,
		 const uint8_t *bytes, size_t length)
{
	struct held **p = &d->held, *h;

	while (*p && (int32_t)((*p)->seq - seq) < 0)
		p = &(*p)->next;
	if (*p && (*p)->seq == seq && (*p)->length >= length)
		return;
	h = malloc(sizeof(*h) + length);
	if (!h)
		return;			/* told as a gap when the hole is given up */
	*h = (struct held){ .next = *p, .seq = seq, .length = length, .time_ns = s->time_ns };
	memcpy(h->bytes, bytes, length);
	if (!d->held)
		d->hole_since = s->time_ns;
	*p = h;
	d->segments++;
	d->bytes += length;
	while (d->held && (d->segments > TCP_HELD_SEGMENTS_MAX || d->bytes > TCP_HELD_BYTES_MAX))
		give_up(t, f, d);
}

static void receive(struct tcp *t, struct flow *f, struct direction *d, const struct tcp_segment *s)
{
	uint32_t seq = s->seq + s->syn;
	const uint8_t *bytes = s->bytes;
	size_t length = s->length;
	int32_t ahead;

	if (s->syn || !d->started) {
		if (d->started)
			return;			/* the SYN once more */
		d->started = true;
		d->next = seq;
	}
	if (s->fin) {
		d->finished = true;
		d->fin = seq + (uint32_t)length;
	}
	if (!length)
		return;
	ahead = (int32_t)(seq - d->next);
	if (ahead < 0) {
		size_t known = (size_t)-(int64_t)ahead;

		if (known >= length)
			return;			/* a repetition */
		bytes += known;
		length -= known;
		seq = d->next;
		ahead = 0;
	}
	if (ahead > FAR) {
		while (d->held)
			give_up(t, f, d);
		t->events->gap(f->user, d == &f->direction[0]);
		d->next = seq;
		ahead = 0;
	}
	if (ahead) {
		hold(t, f, d, s, seq, bytes, length);
		return;
	}
	d->next = seq + (uint32_t)length;
	t->events->data(f->user, d == &f->direction[0], bytes, length, s->time_ns);
	drain(t, f, d);
	d->hole_since = d->held ? s->time_ns : 0;
}

/* ------------------------------------------------ flows */
static void touch(struct tcp *t, struct flow *f)
{
	if (t->newest == f)
		return;
	*(f->newer ? &f->newer->older : &t->newest) = f->older;
	*(f->older ? &f->older->newer : &t->oldest) = f->newer;
	f->newer = NULL;
	f->older = t->newest;
	t->newest->newer = f;
	t->newest = f;
}

static void end_flow(struct tcp *t, struct flow *f)
{
	struct flow **p = bucket(t, &f->client, &f->server);

	for (size_t i = 0; i < 2; i++)
		while (f->direction[i].held)
			give_up(t, f, &f->direction[i]);
	t->events->close(f->user);
	while (*p != f)
		p = &(*p)->chain;
	*p = f->chain;
	*(f->newer ? &f->newer->older : &t->newest) = f->older;
	*(f->older ? &f->older->newer : &t->oldest) = f->newer;
	t->count--;
	free(f);
}

struct tcp *tcp_free(struct tcp *t)
{
	if (!t)
		return NULL;
	while (t->oldest)
		end_flow(t, t->oldest);
	free(t);
	return NULL;
}

static struct flow *find(struct tcp *t, const struct tcp_segment *s, bool *ret_from_client)
{
	for (struct flow *f = *bucket(t, &s->from, &s->to); f; f = f->chain) {
		if (f->ipv6 != s->ipv6)
			continue;
		if (same(&f->client, &s->from) && same(&f->server, &s->to)) {
			*ret_from_client = true;
			return f;
		}
		if (same(&f->client, &s->to) && same(&f->server, &s->from)) {
			*ret_from_client = false;
			return f;
		}
	}
	return NULL;
}

static struct flow *start_flow(struct tcp *t, const struct tcp_segment *s, bool *ret_from_client)
{
	struct flow *f, **p = bucket(t, &s->from, &s->to);
	/* Without its SYN: servers have the lower port. */
	bool from_client = s->syn ? !s->ack : s->from.port >= s->to.port;

	while (t->count >= TCP_FLOWS_MAX)
		end_flow(t, t->oldest);
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->ipv6 = s->ipv6;
	f->client = from_client ? s->from : s->to;
	f->server = from_client ? s->to : s->from;
	f->user = t->events->open(t->ctx, f->ipv6, &f->client, &f->server);
	if (!f->user) {
		free(f);
		return NULL;
	}
	f->chain = *p;
	*p = f;
	f->older = t->newest;
	*(t->newest ? &t->newest->newer : &t->oldest) = f;
	t->newest = f;
	t->count++;
	*ret_from_client = from_client;
	return f;
}

static bool is_over(const struct flow *f)
{
	for (size_t i = 0; i < 2; i++) {
		const struct direction *d = &f->direction[i];

		if (!d->finished || d->held || (int32_t)(d->fin - d->next) > 0)
			return false;
	}
	return true;
}

void tcp_segment(struct tcp *t, const struct tcp_segment *s)
{
	bool from_client = true;
	struct flow *f = find(t, s, &from_client);

	/* The same ports once more: a SYN that does not repeat the old one's number. */
	if (f && s->syn && !s->ack && f->direction[!from_client].started &&
	    (f->direction[!from_client].next - 1 != s->seq) &&
	    (f->direction[!from_client].finished || f->direction[from_client].finished ||
	     (int32_t)(s->seq - f->direction[!from_client].next) > FAR ||
	     (int32_t)(s->seq - f->direction[!from_client].next) < -FAR)) {
		end_flow(t, f);
		f = NULL;
	}
	if (!f) {
		/* What is left of an old connection opens none. */
		if (s->rst || (!s->syn && !s->length))
			return;
		f = start_flow(t, s, &from_client);
		if (!f)
			return;
	}
	touch(t, f);
	if (s->rst) {
		end_flow(t, f);
		return;
	}
	for (size_t i = 0; i < 2; i++) {
		struct direction *d = &f->direction[i];

		if (d->held && s->time_ns - d->hole_since > HOLE_NS)
			give_up(t, f, d);
	}
	receive(t, f, &f->direction[!from_client], s);
	if (is_over(f))
		end_flow(t, f);
}
