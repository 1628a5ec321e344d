/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sender.c - batches of records over HTTP; see sender.h */
#include "export/sender.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/exporter.h"
#include "shared/log.h"
#include "shared/util.h"

enum { HOLD_SECONDS = 60, RETRY_AFTER_MAX = 900 };

static void send_range(struct sender *s);
static void ask(struct sender *s);

static size_t range_start(const struct sender *s)
{
	return s->from ? s->sending->ends[s->from - 1] : 0;
}

/* ---------------------------------------------------------------- waiting */

static int on_wait(sd_event_source *source, uint64_t usec, void *user)
{
	struct sender *s = user;

	(void)usec;
	sd_event_source_disable_unref(source);
	s->wait = NULL;
	if (s->held && s->renew)
		s->renew(s->destination);
	s->held = false;
	if (s->asking)
		ask(s);
	else
		send_range(s);
	return 0;
}

static void wait_us(struct sender *s, uint64_t us)
{
	uint64_t now;

	sd_event_now(s->destination->event, CLOCK_MONOTONIC, &now);
	if (!s->wait && sd_event_add_time(s->destination->event, &s->wait, CLOCK_MONOTONIC, now + us, 10000, on_wait, s) < 0)
		exporter_stop(s->destination->exporter);	/* no memory for a timer: begin anew */
}

static void wait_retry(struct sender *s, const struct judgement *j)
{
	uint64_t us = exporter_back_off(&s->failures);

	if (j->retry_after)
		us = (j->retry_after < RETRY_AFTER_MAX ? j->retry_after : RETRY_AFTER_MAX) * 1000000;
	exporter_trouble(s->destination->exporter, "%s", j->why);
	wait_us(s, us);
}

/* The first time soon: what is wrong may just be coming into being (a bucket, a restart with the new token). */
static void wait_owner(struct sender *s, const struct judgement *j)
{
	uint64_t us = exporter_back_off(&s->failures);

	s->held = true;
	exporter_trouble(s->destination->exporter, "%s; nothing is lost, it waits in the journal", j->why);
	wait_us(s, s->failures > 3 ? UINT64_C(1000000) * HOLD_SECONDS : us);
}

/* ---------------------------------------------------------------- going on */

static void next_batch(struct sender *s)
{
	struct batch *b = s->filling;

	if (s->sending || !b->count)
		return;
	s->sending = b;
	s->filling = b == &s->batches[0] ? &s->batches[1] : &s->batches[0];
	s->filling->count = 0;
	text_clear(&s->filling->text);
	s->from = 0;
	s->range = b->count;
	s->halvings = 0;
	send_range(s);
}

/* n records of the range are dealt with: confirmed, and behind us. */
static void pass(struct sender *s, size_t n)
{
	struct exporter *x = s->destination->exporter;

	s->from += n;
	s->failures = 0;
	if (s->from == s->sending->count) {
		s->sending->count = 0;
		text_clear(&s->sending->text);
		s->sending = NULL;
	} else {
		size_t left = s->sending->count - s->from;

		/* After a bad record was found, the next range is larger again. */
		s->range = n * 4 < left ? n * 4 : left;
	}
	exporter_confirm(x, n);
	exporter_ready(x);
}

/* false: it is tried once more, later */
static bool halve(struct sender *s, struct judgement *j)
{
	struct exporter *x = s->destination->exporter;

	if (j->verdict == VERDICT_PARTIAL)
		s->refusals = 0;	/* it takes what it can */
	if (s->range == 1 && s->refusals >= SENDER_REFUSALS && !s->doubted) {
		char why[sizeof(j->why)];

		memcpy(why, j->why, sizeof(why));
		judgement_say(j, "nothing is taken any more: %.300s", why);
		s->doubted = true;
		wait_owner(s, j);
		return false;
	}
	if (s->range == 1) {
		s->refusals++;
		s->doubted = false;
		exporter_refuse(x, 0, j->why);
		pass(s, 1);
	} else if (j->verdict == VERDICT_PARTIAL && s->halvings >= SENDER_HALVINGS) {
		/* What is good is in. Which were not is not worth thousands of requests. */
		for (size_t i = 0; i < (j->refused && j->refused < s->range ? j->refused : 1); i++)
			exporter_refuse(x, i, j->why);
		pass(s, s->range);
	} else {
		s->halvings++;
		s->range = (s->range + 1) / 2;
	}
	return true;
}

/* ---------------------------------------------------------------- asking whether it is safe */

static void ask(struct sender *s)
{
	struct judgement j = { .verdict = VERDICT_RETRY };
	int e = http_post_plain(s->http, s->ask_path, s->ask_body, strlen(s->ask_body));

	if (e == 0)
		return;
	judgement_say(&j, "the request cannot be made: %s", strerror(-e));
	wait_retry(s, &j);
}

static void begin_asking(struct sender *s, const struct judgement *j)
{
	s->asking = true;
	s->asking_since = now_monotonic();
	s->asked = 0;
	memcpy(s->ask_path, j->ask_path, sizeof(s->ask_path));
	memcpy(s->ask_body, j->ask_body, sizeof(s->ask_body));
	wait_us(s, 200000);
}

static void on_asked(struct sender *s, const struct http_answer *a)
{
	struct exporter *x = s->destination->exporter;
	struct judgement j = { .verdict = VERDICT_DONE };

	if (s->judge_asked(s->destination, a, &j)) {
		s->asking = false;
		exporter_fine(x);
		pass(s, s->range);
		if (s->sending)
			send_range(s);
		return;
	}
	if (now_monotonic() - s->asking_since > SENDER_ASK_SECONDS * NSEC_PER_SEC) {
		s->asking = false;
		exporter_trouble(x, "no acknowledgement within %d s; the batch is sent again, and may be there twice",
				 SENDER_ASK_SECONDS);
		send_range(s);
	} else if (j.verdict == VERDICT_RETRY) {
		wait_retry(s, &j);
	} else {
		/* 0.2, 0.4, … 10 s */
		wait_us(s, s->asked < 5 ? UINT64_C(200000) << s->asked : 10000000);
		s->asked++;
	}
}

/* ---------------------------------------------------------------- answers */

static void on_answer(void *user, const struct http_answer *a)
{
	struct sender *s = user;
	struct exporter *x = s->destination->exporter;
	struct judgement j = { .verdict = VERDICT_DONE };

	if (s->asking) {
		on_asked(s, a);
		return;
	}
	s->judge(s->destination, a, s->range, &j);
	switch (j.verdict) {
	case VERDICT_DONE:
		exporter_fine(x);
		s->refusals = 0;
		s->doubted = false;
		pass(s, s->range);
		break;
	case VERDICT_RETRY:
		wait_retry(s, &j);
		return;
	case VERDICT_HOLD:
		wait_owner(s, &j);
		return;
	case VERDICT_ASK:
		begin_asking(s, &j);
		return;
	case VERDICT_HALVE:
	case VERDICT_PARTIAL:
		if (s->refusals < SENDER_REFUSALS)
			exporter_fine(x);
		if (!halve(s, &j))
			return;
		break;
	case VERDICT_REFUSED:
		if (s->refusals < SENDER_REFUSALS)
			exporter_fine(x);
		if (j.refused > 0 && j.refused < s->range) {
			s->range = j.refused;
			break;
		}
		s->range = 1;
		if (!halve(s, &j))
			return;
		break;
	}
	if (s->sending)
		send_range(s);
}

static void send_range(struct sender *s)
{
	size_t start = range_start(s), end = s->sending->ends[s->from + s->range - 1];
	struct judgement j = { .verdict = VERDICT_RETRY };
	int e = http_post(s->http, s->path, s->sending->text.data + start, end - start);

	if (e == 0)
		return;
	judgement_say(&j, "the request cannot be made: %s", strerror(-e));
	wait_retry(s, &j);
}

/* ---------------------------------------------------------------- for destinations */

int sender_open(struct sender *s, struct destination *d, const struct http_settings *http)
{
	s->destination = d;
	s->filling = &s->batches[0];
	return http_open(&s->http, d->event, http, on_answer, s);
}

struct text *sender_begin(struct sender *s)
{
	struct batch *b = s->filling;

	if (b->count == SENDER_RECORDS || b->text.length >= SENDER_BYTES) {
		next_batch(s);
		if (s->filling == b)
			return NULL;
		b = s->filling;
	}
	return &b->text;
}

void sender_added(struct sender *s)
{
	/* Half a record may be in the text: it must not go out. What is not confirmed is read again at the next start. */
	if (s->filling->text.failed) {
		log_error("[%s]: no memory for a batch", s->destination->settings->section);
		exporter_stop(s->destination->exporter);
		return;
	}
	s->filling->ends[s->filling->count++] = s->filling->text.length;
}

void sender_flush(struct sender *s)
{
	next_batch(s);
}

size_t sender_under_way(const struct sender *s)
{
	return s->wait && !s->asking ? 0 : (s->sending ? s->sending->count - s->from : 0) + s->filling->count;
}

void sender_close(struct sender *s)
{
	s->http = http_close(s->http);
	s->wait = sd_event_source_disable_unref(s->wait);
	text_free(&s->batches[0].text);
	text_free(&s->batches[1].text);
}

void judgement_say(struct judgement *j, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(j->why, sizeof(j->why), format, args);
	va_end(args);
}

bool sender_judge(const struct http_answer *a, const char *url, struct judgement *ret)
{
	ret->retry_after = a->retry_after;
	if (a->failure) {
		ret->verdict = VERDICT_RETRY;
		judgement_say(ret, "%s: %s", url, a->failure);
	} else if (a->status == 429 || a->status >= 500) {
		ret->verdict = VERDICT_RETRY;
		judgement_say(ret, "%s answers %ld: %.120s", url, a->status, a->body);
	} else if (a->status == 413) {
		ret->verdict = VERDICT_HALVE;
		judgement_say(ret, "too large for %s", url);
	} else if (a->status >= 300 && a->status < 400) {
		ret->verdict = VERDICT_HOLD;
		judgement_say(ret, "%s answers %ld: it wants to be asked elsewhere; give that as url", url,
			 a->status);
	} else {
		return false;
	}
	return true;
}
