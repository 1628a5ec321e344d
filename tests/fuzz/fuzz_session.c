/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_session.c - any bytes, cut anywhere, in both directions, into each protocol and into detection
 *
 * Held to: each byte is told exactly once; one verdict; numbers inside what their unit can be; texts
 * that are UTF-8 of a kind (checked by the sanitizers' reads up to the NUL). FUZZ_PROTOCOL=NAME in the
 * environment: that one only.
 */
#include "fuzz.h"
#include "protocols/vocabulary.h"

static uint64_t told[DIR_COUNT], verdicts;
static bool datagrams;

static void on_verdict(void *ctx, enum session_verdict v, const char *text)
{
	(void)ctx;
	(void)v;
	verdicts += strlen(text) < 300;
}

static void on_frame(void *ctx, const struct frame_info *f)
{
	(void)ctx;
	told[f->dir] += f->size;
}

static void on_bytes(void *ctx, enum dir dir, uint64_t length)
{
	(void)ctx;
	told[dir] += length;
}

static void on_reading(void *ctx, const struct reading *r)
{
	(void)ctx;
	if (r->count > READING_VALUES_MAX || r->text_used > READING_TEXT_MAX)
		abort();
	for (size_t i = 0; i < r->count; i++) {
		const struct unit *u = vocabulary_unit(r->values[i].name);
		char text[24];

		if (r->values[i].type == VALUE_TEXT) {
			if (strlen(r->values[i].text) > READING_TEXT_MAX)
				abort();
			continue;
		}
		number_format(r->values[i].number, text);
		if (u->min <= u->max && (number_double(r->values[i].number) < u->min - 1e-6 ||
					 number_double(r->values[i].number) > u->max + 1e-6))
			abort();
	}
}

static const struct session_events events = {
	.verdict = on_verdict, .frame = on_frame, .skip = on_bytes, .partial = on_bytes, .reading = on_reading,
};

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

static void run(struct knowledge *k, const char *protocol, const uint8_t *data, size_t size, uint32_t seed)
{
	uint64_t fed[DIR_COUNT] = { 0 };
	enum dir dir = DIR_DEVICE;
	int64_t time = 1700000000 * NSEC_PER_SEC;
	struct session *s;

	memset(told, 0, sizeof(told));
	verdicts = 0;
	if (session_new(&s, k, protocol, &events, NULL))
		abort();
	while (size) {
		uint32_t r = next(&seed);
		size_t n = r & 1 ? 1 + r / 8 % 8 : 1 + r / 8 % 1500;

		n = n < size ? n : size;
		if (r % 16 == 2)
			dir = dir_other(dir);
		if (r % 256 == 4)
			session_gap(s, dir);
		time += (r % 128 == 6 ? 40 : 1) * NSEC_PER_SEC;
		session_feed(s, dir, data, n, r % 64 == 10 ? 0 : time);
		fed[dir] += n;
		data += n;
		size -= n;
	}
	session_end(s);
	session_free(s);
	if (verdicts != 1 || (!datagrams && memcmp(fed, told, sizeof(fed))))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct knowledge *k;
	const char *only = getenv("FUZZ_PROTOCOL");
	uint32_t seed = 2166136261u;
	uint8_t *copy;

	if (!k)
		k = fuzz_knowledge();
	if (!size)
		return 0;
	for (size_t i = 0; i < size; i++)
		seed = (seed ^ data[i]) * 16777619u;
	copy = malloc(size);
	if (!copy)
		abort();
	memcpy(copy, data, size);
	fuzz_mend(copy, size);
	datagrams = false;
	run(k, NULL, data, size, seed);
	run(k, NULL, copy, size, 2);		/* the first step is one long piece */
	for (size_t i = 0; session_protocol_name(i); i++) {
		if (only && strcmp(only, session_protocol_name(i)))
			continue;
		datagrams = !strcmp(session_protocol_name(i), "solarman-at");
		run(k, session_protocol_name(i), copy, size, seed + (uint32_t)i);
	}
	free(copy);
	return 0;
}
