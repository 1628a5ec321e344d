/* SPDX-License-Identifier: GPL-2.0-or-later */
/* told.h - what a session told, as lines of text; for the tests of single protocols */
#ifndef SUNTAP_TOLD_H
#define SUNTAP_TOLD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/knowledge.h"

struct told {
	char text[262144];
	size_t used, readings, frames;
	uint64_t bytes[DIR_COUNT];
	struct reading last;
	const char *secret;		/* must not be in a byte that may be shown */
};

static struct told told;
static struct knowledge *knowledge;

__attribute__((format(printf, 1, 2)))
static void told_say(const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(told.text + told.used, sizeof(told.text) - told.used, format, ap);
	va_end(ap);
	told.used += n > 0 && (size_t)n < sizeof(told.text) - told.used ? (size_t)n : 0;
}

static void told_frame(void *ctx, const struct frame_info *f)
{
	size_t n = told.secret ? strlen(told.secret) : 0;

	(void)ctx;
	told.frames++;
	told.bytes[f->dir] += f->size;
	told_say("frame %s %zu %s\n", f->opcode, f->length, f->error ? f->error : "ok");
	assert_true(f->private_size <= f->size && f->private_at <= f->size - f->private_size);
	for (size_t i = 0; n && i + n <= f->size; i++)
		if (!memcmp(f->bytes + i, told.secret, n))
			assert_true(i >= f->private_at && i + n <= f->private_at + f->private_size);
}

static void told_skip(void *ctx, enum dir dir, uint64_t n)
{
	(void)ctx;
	told.bytes[dir] += n;
	told_say("skip %llu\n", (unsigned long long)n);
}

static void told_partial(void *ctx, enum dir dir, uint64_t n)
{
	(void)ctx;
	told.bytes[dir] += n;
	told_say("partial %llu\n", (unsigned long long)n);
}

static void told_reading(void *ctx, const struct reading *r)
{
	(void)ctx;
	told.readings += !r->info;
	told.last = *r;
	told_say("%s %s", r->info ? "info" : "reading", r->serial);
	if (r->historic)
		told_say(" historic");
	for (size_t i = 0; i < r->count; i++) {
		char number[24];

		if (r->values[i].type == VALUE_NUMBER)
			number_format(r->values[i].number, number);
		told_say(" %s=%s", r->values[i].name, r->values[i].type == VALUE_TEXT ? r->values[i].text : number);
	}
	told_say("\n");
}

static void told_note(void *ctx, enum dir dir, const char *key, const char *text)
{
	(void)ctx;
	(void)dir;
	told_say("%s: %s\n", key, text);
}

static const struct session_events told_events = {
	.frame = told_frame, .skip = told_skip, .partial = told_partial, .reading = told_reading, .note = told_note,
};

static struct session *told_start(const char *protocol)
{
	struct session *s;

	memset(&told, 0, sizeof(told));
	assert_int_equal(session_new(&s, knowledge, protocol, &told_events, NULL), 0);
	return s;
}

static void told_end(struct session *s)
{
	session_end(s);
	session_free(s);
	if (told.secret)
		assert_null(strstr(told.text, told.secret));
}

static void is(const char *want)
{
	assert_string_equal(told.text, want);
}

static void has(const char *want)
{
	if (!strstr(told.text, want))
		print_error("no \"%s\" in:\n%s", want, told.text);
	assert_non_null(strstr(told.text, want));
}

static void has_not(const char *want)
{
	if (strstr(told.text, want))
		print_error("\"%s\" in:\n%s", want, told.text);
	assert_null(strstr(told.text, want));
}

/* Knowledge of devices is new for each test. */
static int told_setup(void **state)
{
	(void)state;
	return knowledge_installed(&knowledge, NULL, NULL) < 1;
}

static int told_teardown(void **state)
{
	(void)state;
	knowledge = knowledge_free(knowledge);
	return 0;
}

#endif
