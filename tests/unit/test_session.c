/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_session.c - detection, framing, the rules of time, pairing of requests; every byte told once */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/knowledge.h"
#include "protocols/maps_folders.h"

#define NOON INT64_C(1711871000)	/* 2024-03-31 07:43:20 UTC */

/* What came out, as one line each. */
static struct {
	char text[65536];
	size_t readings, frames, verdicts, repeats;
	uint64_t told[DIR_COUNT];
	struct reading last;
} out;

static struct knowledge *knowledge;

__attribute__((format(printf, 1, 2)))
static void say(const char *format, ...)
{
	size_t n = strlen(out.text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(out.text + n, sizeof(out.text) - n, format, ap);
	va_end(ap);
}

static void on_verdict(void *ctx, enum session_verdict v, const char *text)
{
	(void)ctx;
	out.verdicts++;
	say("verdict %s %s\n", v == SESSION_KNOWN ? "known" : v == SESSION_TLS ? "tls" : "unknown", text);
}

static void on_frame(void *ctx, const struct frame_info *f)
{
	(void)ctx;
	out.frames++;
	out.told[f->dir] += f->size;
	say("frame %s %zu %s\n", f->opcode, f->length, f->error ? f->error : "ok");
}

static void on_skip(void *ctx, enum dir dir, uint64_t n)
{
	(void)ctx;
	out.told[dir] += n;
	say("skip %llu\n", (unsigned long long)n);
}

static void on_partial(void *ctx, enum dir dir, uint64_t n)
{
	(void)ctx;
	out.told[dir] += n;
	say("partial %llu\n", (unsigned long long)n);
}

static void on_reading(void *ctx, const struct reading *r)
{
	(void)ctx;
	out.readings += !r->info;
	out.repeats += r->repeat;
	out.last = *r;
}

static void on_note(void *ctx, enum dir dir, const char *key, const char *text)
{
	(void)ctx;
	(void)dir;
	say("%s: %s\n", key, text);
}

static const struct session_events events = {
	on_verdict, on_frame, on_skip, on_partial, on_reading, on_note,
};

static struct session *start(const char *protocol)
{
	struct session *s;

	memset(&out, 0, sizeof(out));
	assert_int_equal(session_new(&s, knowledge, protocol, &events, NULL), 0);
	return s;
}

static void end(struct session *s)
{
	session_end(s);
	session_free(s);
}

static size_t v5(uint8_t *out_frame, uint8_t type, uint8_t seq, const void *payload, size_t n)
{
	static const uint8_t logger[] = { 0x21, 0x43, 0x65, 0x7b };
	uint8_t sum = 0;

	out_frame[0] = 0xa5;
	out_frame[1] = (uint8_t)n;
	out_frame[2] = (uint8_t)(n >> 8);
	out_frame[3] = 0x10;
	out_frame[4] = type;
	out_frame[5] = seq;
	out_frame[6] = 1;
	memcpy(out_frame + 7, logger, 4);
	memcpy(out_frame + 11, payload, n);
	for (size_t i = 1; i < 11 + n; i++)
		sum = (uint8_t)(sum + out_frame[i]);
	out_frame[11 + n] = sum;
	out_frame[12 + n] = 0x15;
	return n + 13;
}

static void put32(uint8_t *p, int64_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)((uint64_t)v >> 8 * i);
}

static void feed(struct session *s, enum dir dir, const void *bytes, size_t n)
{
	session_feed(s, dir, bytes, n, NOON * NSEC_PER_SEC);
}

static void heartbeat(uint8_t frame[14])
{
	v5(frame, 0x47, 1, "", 1);
}

static void is(const char *want)
{
	assert_string_equal(out.text, want);
}

/* ------------------------------------------------ detection */
static void what_is_not_ours_is_named_early(void **state)
{
	static const struct { const char *bytes, *verdict; } cases[] = {
		{ "GET / HTTP/1.1\r\n", "verdict unknown http\nskip 16\n" },
		{ "SSH-2.0-x\r\n", "verdict unknown ssh\nskip 11\n" },
		{ "AT+WSKEY=WPA2PSK,AES,secret\r\n", "text: AT+WSKEY=***\nverdict unknown at\nskip 29\n" },
		{ "\x15\3\3", "verdict tls \nskip 3\n" },
	};
	struct session *s;
	uint8_t rubbish[10000];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		s = start(NULL);
		feed(s, DIR_DEVICE, cases[i].bytes, strlen(cases[i].bytes));
		end(s);
		is(cases[i].verdict);
	}
	s = start(NULL);
	feed(s, DIR_DEVICE, "\x10\x10\0\4MQTT\4\2\0\x3c\0\4suntap", 18);
	end(s);
	is("verdict unknown mqtt\nskip 18\n");
	s = start(NULL);
	end(s);
	is("verdict unknown silent\n");
	/* Bounded: nothing is held for ever, and the verdict comes before the end. */
	s = start(NULL);
	memset(rubbish, 'x', sizeof(rubbish));
	feed(s, DIR_DEVICE, rubbish, 8191);
	assert_int_equal(out.verdicts, 0);
	feed(s, DIR_DEVICE, rubbish, sizeof(rubbish));
	assert_int_equal(out.verdicts, 1);
	feed(s, DIR_CLOUD, rubbish, 5);
	end(s);
	is("verdict unknown \nskip 18191\nskip 5\n");
}

static void rubbish_and_gaps_do_not_hide_a_protocol(void **state)
{
	uint8_t frame[14], data[100] = { 0 };
	struct session *s = start(NULL);

	(void)state;
	heartbeat(frame);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	feed(s, DIR_DEVICE, data, sizeof(data));
	feed(s, DIR_CLOUD, data, 3);
	session_gap(s, DIR_DEVICE);
	feed(s, DIR_DEVICE, frame + 4, 10);		/* the end of one */
	feed(s, DIR_DEVICE, frame, 14);
	end(s);
	is("verdict known solarman-v5\nskip 100\nskip 10\nframe 0x4710 1 ok\nskip 3\n");
	assert_int_equal(out.told[DIR_DEVICE], 124);
	/* What was held at a gap is told as skipped. */
	s = start("solarman-v5");
	feed(s, DIR_DEVICE, frame, 9);
	session_gap(s, DIR_DEVICE);
	feed(s, DIR_DEVICE, frame, 14);
	end(s);
	is("verdict known solarman-v5\nskip 9\nframe 0x4710 1 ok\n");
	/* Two halves with a hole between them are no frame. */
	s = start(NULL);
	feed(s, DIR_DEVICE, "x", 1);
	feed(s, DIR_DEVICE, frame, 7);
	session_gap(s, DIR_DEVICE);
	feed(s, DIR_DEVICE, frame + 7, 7);
	end(s);
	is("verdict unknown \nskip 15\n");
	assert_int_equal(session_new(&s, knowledge, "nonsense", &events, NULL), -EINVAL);
}

/* ------------------------------------------------ framing */
static void wrong_sums_stops_and_lengths(void **state)
{
	uint8_t f[64];
	struct session *s = start(NULL);

	(void)state;
	heartbeat(f);
	heartbeat(f + 14);
	f[13] = 0x16;				/* stop */
	feed(s, DIR_DEVICE, f, 28);
	f[13] = 0x15;
	f[12]++;				/* checksum, and a frame follows */
	feed(s, DIR_DEVICE, f, 28);
	memmove(f + 15, f + 14, 14);
	f[14] = 'x';				/* checksum, and something else follows: it was none */
	feed(s, DIR_DEVICE, f, 29);
	end(s);
	is("verdict known solarman-v5\nframe 0x4710 1 stop\nframe 0x4710 1 ok\nframe 0x4710 1 checksum\n"
	   "frame 0x4710 1 ok\nskip 15\nframe 0x4710 1 ok\n");
}

static void a_header_that_waits_in_vain_is_given_up(void **state)
{
	uint8_t f[14], falsehood[] = { 0xa5, 0xff, 0x0f, 0x10 };
	struct session *s = start(NULL);
	int64_t t = NOON * NSEC_PER_SEC;

	(void)state;
	heartbeat(f);
	session_feed(s, DIR_DEVICE, f, 14, t);
	session_feed(s, DIR_DEVICE, falsehood, 4, t);
	session_feed(s, DIR_DEVICE, f, 14, t + 1);	/* swallowed by it */
	assert_int_equal(out.frames, 1);
	session_feed(s, DIR_DEVICE, f, 14, t + 29 * NSEC_PER_SEC);
	assert_int_equal(out.frames, 1);
	session_feed(s, DIR_DEVICE, f, 14, t + 60 * NSEC_PER_SEC);
	assert_int_equal(out.frames, 4);
	end(s);
	is("verdict known solarman-v5\nframe 0x4710 1 ok\nskip 4\nframe 0x4710 1 ok\nframe 0x4710 1 ok\n"
	   "frame 0x4710 1 ok\n");
}

static void single_bytes_cost_no_more_than_they_must(void **state)
{
	enum { SIZE = 2 * 1024 * 1024 };
	uint8_t *bytes = malloc(SIZE);
	struct session *s = start("solarman-v5");
	int64_t t = now_monotonic();

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < SIZE; i += 8)	/* a false header every eight bytes, each wanting 4109 */
		memcpy(bytes + i, "\xa5\0\x10\x10\xa5\0\x10\x10", 8);
	for (size_t i = 0; i < SIZE; i++)
		feed(s, DIR_DEVICE, bytes + i, 1);
	end(s);
	assert_int_equal(out.told[DIR_DEVICE], SIZE);
	/* 2 M calls and a sum of 4 KiB for every 8 bytes; quadratic would be minutes. */
	assert_true(INSTRUMENTED || now_monotonic() - t < 60 * NSEC_PER_SEC);
	free(bytes);
}

static void random_bytes_are_no_reading(void **state)
{
	uint8_t bytes[4096];
	unsigned int seed = 1;

	(void)state;
	for (size_t i = 0; session_protocol_name(i) && strcmp(session_protocol_name(i), "modbus-rtu"); i++)
		for (int round = 0; round < 60; round++) {
			struct session *s = start(round & 1 ? session_protocol_name(i) : NULL);
			uint64_t fed[DIR_COUNT] = { 0 };

			for (int piece = 0; piece < 8; piece++) {
				for (size_t b = 0; b < sizeof(bytes); b++)
					bytes[b] = (uint8_t)(rand_r(&seed) >> 7);
				feed(s, piece & 1, bytes, sizeof(bytes));
				fed[piece & 1] += sizeof(bytes);
			}
			end(s);
			assert_int_equal(out.readings, 0);
			assert_memory_equal(fed, out.told, sizeof(fed));
			assert_int_equal(out.verdicts, 1);
		}
}

/* ------------------------------------------------ records and their time */
struct record {
	bool stored;
	int64_t total, uptime, offset;
	uint32_t number;
	uint16_t list;
	const uint8_t *rest;		/* from the serial on */
	size_t length;
};

static void record(struct session *s, const struct record *r)
{
	uint8_t p[500] = { 0 }, frame[600];

	p[0] = r->stored ? 0x81 : 1;
	p[1] = (uint8_t)r->list;
	p[2] = (uint8_t)(r->list >> 8);
	put32(p + 3, r->total);
	put32(p + 7, r->uptime);
	put32(p + 11, r->offset);
	p[15] = 1;
	put32(p + 17, r->number);
	memcpy(p + 21, r->rest, r->length);
	feed(s, DIR_DEVICE, frame, v5(frame, 0x42, 1, p, 21 + r->length));
}

static void the_offset_belongs_to_one_power_on(void **state)
{
	static const uint8_t serial[] = "4101240701490314";
	struct record live = { false, 100000, 500, NOON - 100000 - 60, 7, 0x1097, serial, 16 };
	struct record stored = { true, 99700, 200, 0, 6, 0x1097, serial, 16 };
	struct session *s = start(NULL);

	(void)state;
	/* Nothing known yet. */
	record(s, &stored);
	assert_true(out.last.historic);
	assert_int_equal(out.last.time_kind, TIME_NONE);
	record(s, &live);
	assert_int_equal(out.last.time_kind, TIME_IN_UTC);
	assert_int_equal(out.last.time_ms, (NOON - 60) * 1000);
	/* The same power-on: its offset. */
	stored.number = 5;
	record(s, &stored);
	assert_int_equal(out.last.time_ms, (NOON - 360) * 1000);
	/* Another power-on. */
	stored.uptime = 50;
	stored.number = 4;
	record(s, &stored);
	assert_int_equal(out.last.time_kind, TIME_NONE);
	/* An own offset that is good, and ones that are not: 1998, the future. */
	stored.offset = NOON - 99700 - 3600;
	record(s, &stored);
	assert_int_equal(out.last.time_ms, (NOON - 3600) * 1000);
	stored.offset = 900000000 - 99700;
	record(s, &stored);
	assert_int_equal(out.last.time_kind, TIME_NONE);
	stored.offset = NOON + 10 * 86400;
	record(s, &stored);
	assert_int_equal(out.last.time_kind, TIME_NONE);
	/* A live record without a clock has no time, and does not spoil what is known. */
	live.offset = 0;
	live.number = 8;
	record(s, &live);
	assert_int_equal(out.last.time_kind, TIME_NONE);
	stored = (struct record){ true, 99700, 200, 0, 3, 0x1097, serial, 16 };
	record(s, &stored);
	assert_int_equal(out.last.time_ms, (NOON - 360) * 1000);
	end(s);
}

static void the_inverters_clock_dates_the_rest(void **state)
{
	uint8_t rest[309] = "2300000001";
	static const uint8_t clock[] = { 24, 3, 31, 9, 42, 10 };	/* UTC + 2 h, and 10 s late */
	struct record live = { false, 100000, 500, NOON - 100000, 7, 0x5408, rest, sizeof(rest) };
	struct record stored = { true, 70000, 30, 0, 2, 0x5408, rest, sizeof(rest) };
	struct session *s;

	(void)state;
	s = start(NULL);
	memcpy(rest + 245 - 21, clock, 6);
	record(s, &live);
	assert_string_equal(out.last.serial, "2300000001");
	rest[245 - 21 + 3] = 6;			/* 06:42:10 by the inverter */
	record(s, &stored);
	assert_int_equal(out.last.time_kind, TIME_IN_UTC);
	assert_int_equal(out.last.time_ms, (NOON - 3 * 3600 - 70) * 1000);
	end(s);
}

static void repeated_records_are_marked(void **state)
{
	static const uint8_t serial[] = "4101240701490314";
	struct record r = { false, 100000, 500, NOON - 100000, 700, 0x1097, serial, 16 };
	struct session *s = start(NULL);

	(void)state;
	record(s, &r);
	assert_false(out.last.repeat);
	record(s, &r);
	assert_true(out.last.repeat);
	end(s);
	/* Over another connection too. */
	s = start(NULL);
	r.stored = true;
	record(s, &r);
	assert_true(out.last.repeat);
	r.number++;
	record(s, &r);
	assert_false(out.last.repeat);
	/* The same number after the next power-on is another record. */
	r.total += 50000;
	record(s, &r);
	assert_false(out.last.repeat);
	end(s);
}

static void what_is_known_of_devices_is_bounded(void **state)
{
	char name[24];
	struct device *d;

	(void)state;
	for (int i = 0; i < 3 * DEVICES_MAX; i++) {
		snprintf(name, sizeof(name), "logger%d", i);
		d = knowledge_device(knowledge, name);
		assert_non_null(d);
		assert_string_equal(d->logger, name);
		assert_false(d->has_live);
		d->has_live = true;
		/* Whoever is used stays. */
		assert_int_equal(knowledge_device(knowledge, "logger0")->has_live, true);
	}
	assert_int_equal(knowledge->device_count, DEVICES_MAX);
}

/* ------------------------------------------------ Modbus inside */
static uint16_t crc(const uint8_t *p, size_t n)
{
	uint16_t c = 0xffff;

	while (n--) {
		c ^= *p++;
		for (int i = 0; i < 8; i++)
			c = (uint16_t)(c & 1 ? c >> 1 ^ 0xa001 : c >> 1);
	}
	return c;
}

static void ask(struct session *s, uint8_t seq, uint16_t list, uint16_t first, uint16_t count)
{
	uint8_t p[40] = { 2, (uint8_t)list, (uint8_t)(list >> 8) }, frame[64];
	uint16_t c;

	memcpy(p + 15, (uint8_t[]){ 1, 3, (uint8_t)(first >> 8), (uint8_t)first, (uint8_t)(count >> 8),
				    (uint8_t)count }, 6);
	c = crc(p + 15, 6);
	p[21] = (uint8_t)c;
	p[22] = (uint8_t)(c >> 8);
	feed(s, DIR_CLOUD, frame, v5(frame, 0x45, seq, p, 23));
}

static void answer(struct session *s, uint8_t seq, const uint16_t *words, size_t count, const char *before)
{
	uint8_t p[300] = { 2, 1 }, frame[400], *rtu = p + 14 + strlen(before);
	uint16_t c;

	memcpy(p + 14, before, strlen(before));
	rtu[0] = 1;
	rtu[1] = 3;
	rtu[2] = (uint8_t)(2 * count);
	for (size_t i = 0; i < count; i++) {
		rtu[3 + 2 * i] = (uint8_t)(words[i] >> 8);
		rtu[4 + 2 * i] = (uint8_t)words[i];
	}
	c = crc(rtu, 3 + 2 * count);
	rtu[3 + 2 * count] = (uint8_t)c;
	rtu[4 + 2 * count] = (uint8_t)(c >> 8);
	feed(s, DIR_DEVICE, frame, v5(frame, 0x15, seq, p, 14 + strlen(before) + 5 + 2 * count));
}

static void an_answer_means_something_with_its_request_only(void **state)
{
	const uint16_t volts[] = { 2301, 12 };
	struct session *s = start(NULL);

	(void)state;
	answer(s, 9, volts, 2, "");			/* nobody asked */
	assert_int_equal(out.readings, 0);
	ask(s, 9, 0x02b0, 0x3009, 2);
	answer(s, 9, volts, 2, "");
	assert_int_equal(out.readings, 1);
	assert_int_equal(reading_find(&out.last, "ac_voltage")->number.mantissa, 2301);
	answer(s, 9, volts, 2, "");			/* once more: unasked */
	assert_int_equal(out.readings, 1);
	/* The number does not fit, but only one request can be meant. */
	ask(s, 10, 0x02b0, 0x3009, 2);
	answer(s, 77, volts, 2, "\xff");
	assert_int_equal(out.readings, 2);
	/* Two can be meant: no values are better than another register's. */
	ask(s, 11, 0x02b0, 0x3009, 2);
	ask(s, 12, 0x02b0, 0x3010, 2);
	answer(s, 77, volts, 2, "");
	assert_int_equal(out.readings, 2);
	answer(s, 11, volts, 2, "");
	assert_int_equal(out.readings, 3);
	assert_non_null(reading_find(&out.last, "ac_voltage"));
	/* Another count than was asked for. */
	answer(s, 12, volts, 1, "");
	assert_int_equal(out.readings, 3);
	end(s);
}

static void deyes_are_told_apart_by_what_they_say(void **state)
{
	uint16_t words[57] = { 0 };
	struct session *s = start(NULL);

	(void)state;
	words[79 - 60] = 5000;
	ask(s, 1, 0, 60, 57);
	answer(s, 1, words, 57, "");			/* hybrid: 70, 73, 75 small */
	assert_int_equal(reading_find(&out.last, "grid_frequency")->number.mantissa, 5000);
	end(s);

	/* Without the frequency nothing tells; the logger is one that was never seen. */
	knowledge_device(knowledge, "2070233889")->modbus_map = NULL;
	words[79 - 60] = 0;
	s = start(NULL);
	ask(s, 1, 0, 60, 57);
	answer(s, 1, words, 57, "");
	assert_int_equal(out.readings, 0);

	/* Register 0 says: micro inverter. From then on it is known. */
	ask(s, 2, 0, 0, 1);
	answer(s, 2, (const uint16_t[]){ 4 }, 1, "");
	words[73 - 60] = 2360;
	ask(s, 3, 0, 60, 57);
	answer(s, 3, words, 57, "");
	assert_int_equal(out.readings, 1);
	assert_int_equal(reading_find(&out.last, "ac_voltage")->number.mantissa, 2360);
	assert_string_equal(out.last.model, "Deye micro");
	knowledge_device(knowledge, "2070233889")->has_type = false;
	end(s);
}

/* ------------------------------------------------ TSUN GEN3 */
static size_t gen3(uint8_t *out_message, uint8_t ctrl, uint8_t id, const void *data, size_t n)
{
	memset(out_message, 0, 4);
	out_message[2] = (uint8_t)((19 + n) >> 8);
	out_message[3] = (uint8_t)(19 + n);
	out_message[4] = 16;
	memcpy(out_message + 5, "R170000000000001", 16);
	out_message[21] = ctrl;
	out_message[22] = id;
	memcpy(out_message + 23, data, n);
	return n + 23;
}

static size_t put_ms(uint8_t *p, int64_t ms)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)((uint64_t)ms >> (56 - 8 * i));
	return 8;
}

static void list(struct session *s, uint8_t id, int64_t ms, const char *items, size_t length, uint8_t count)
{
	uint8_t data[300], message[400];
	size_t n = 0;

	memcpy(data, "\x01\x90\0\1\x10T170000000000001\1", 22);
	if (id == 0x71)
		memcpy(data, "\x0e\x10\0\0", 4);
	n = 22;
	n += put_ms(data + n, ms);
	memcpy(data + n, (uint8_t[]){ 0, 0, 0, count }, 4);
	n += 4;
	memcpy(data + n, items, length);
	feed(s, DIR_DEVICE, message, gen3(message, 0x91, id, data, n + length));
}

#define LIST(s, id, ms, items, count) list(s, id, ms, items, sizeof(items) - 1, count)
#define STATUS "\0\0\0\x64S\0\1"
#define VOLTS "\0\0\3\xe8" "F\x43\x61\0\0"

static void damaged_lists_stop_where_they_are_damaged(void **state)
{
	struct session *s = start(NULL);
	int64_t t = NOON * 1000;

	(void)state;
	LIST(s, 0x04, t, STATUS VOLTS, 2);
	is("verdict known tsun-gen3\nframe 0x04 50 ok\n");
	assert_int_equal(out.readings, 1);
	assert_string_equal(out.last.serial, "T170000000000001");
	assert_int_equal(out.last.time_kind, TIME_LOCAL);
	assert_int_equal(reading_find(&out.last, "ac_voltage")->number.mantissa, 22500);
	/* Ids that do not rise. */
	LIST(s, 0x04, t, VOLTS STATUS, 2);
	assert_non_null(reading_find(&out.last, "ac_voltage"));
	assert_null(reading_find(&out.last, "status"));
	assert_non_null(strstr(out.text, "frame 0x04 50 payload\n"));
	/* … in a collector's list they need not. */
	LIST(s, 0x71, t, "\0\x0c\x96\xa8I\0\0\0\7" "\0\x0c\x35\0I\0\0\0\x50", 2);
	assert_int_equal(reading_find(&out.last, "wifi_signal")->number.mantissa, 80);
	assert_string_equal(out.last.serial, "");
	assert_true(out.last.info);
	/* An unknown type, a text over the end, more after the end, fewer than announced. */
	for (int i = 0; i < 4; i++) {
		static const struct { const char *items; size_t length; uint8_t count; } bad[] = {
			{ STATUS "\0\0\0\xc8Q\0\1", 14, 2 },
			{ STATUS "\0\0\0\xc8T\xff" "ab", 15, 2 },
			{ STATUS "ab", 9, 1 },
			{ STATUS, 7, 9 },
		};

		*out.text = '\0';
		list(s, 0x04, t, bad[i].items, bad[i].length, bad[i].count);
		assert_non_null(strstr(out.text, " payload\n"));
		assert_non_null(reading_find(&out.last, "status"));
		assert_int_equal(out.last.count, 2);
	}
	end(s);
}

static void lists_older_than_the_clock_are_stored_ones(void **state)
{
	uint8_t data[9] = { 1 }, message[64];
	struct session *s = start(NULL);
	int64_t t = NOON * 1000;

	(void)state;
	LIST(s, 0x04, t - 3600 * 1000, STATUS, 1);
	assert_false(out.last.historic);		/* no clock yet */
	put_ms(data + 1, t);
	feed(s, DIR_DEVICE, message, gen3(message, 0x91, 0x99, data, 9));
	LIST(s, 0x04, t - 3600 * 1000, STATUS, 1);
	assert_true(out.last.historic);
	LIST(s, 0x04, t - 60 * 1000, STATUS, 1);
	assert_false(out.last.historic);
	end(s);
}

static int load_maps(void **state)
{
	static char folders[MAPS_FOLDERS_MAX][MAPS_FOLDER_LENGTH];
	const char *list[] = { folders[0] };

	(void)state;
	maps_folders(folders);
	return knowledge_new(&knowledge, list, 1, NULL, NULL) > 0 ? 0 : -1;
}

static int free_maps(void **state)
{
	(void)state;
	knowledge = knowledge_free(knowledge);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_not_ours_is_named_early, load_maps, free_maps),
		cmocka_unit_test_setup_teardown(rubbish_and_gaps_do_not_hide_a_protocol, load_maps, free_maps),
		cmocka_unit_test_setup_teardown(wrong_sums_stops_and_lengths, load_maps, free_maps),
		cmocka_unit_test_setup_teardown(a_header_that_waits_in_vain_is_given_up, load_maps, free_maps),
		cmocka_unit_test_setup_teardown(single_bytes_cost_no_more_than_they_must, load_maps, free_maps),
		cmocka_unit_test_setup_teardown(random_bytes_are_no_reading, load_maps, free_maps),
		cmocka_unit_test_setup_teardown(the_offset_belongs_to_one_power_on, load_maps, free_maps),
		cmocka_unit_test_setup_teardown(the_inverters_clock_dates_the_rest, load_maps, free_maps),
		cmocka_unit_test_setup_teardown(repeated_records_are_marked, load_maps, free_maps),
		cmocka_unit_test_setup_teardown(what_is_known_of_devices_is_bounded, load_maps, free_maps),
		cmocka_unit_test_setup_teardown(an_answer_means_something_with_its_request_only, load_maps, free_maps),
		cmocka_unit_test_setup_teardown(damaged_lists_stop_where_they_are_damaged, load_maps, free_maps),
		cmocka_unit_test_setup_teardown(lists_older_than_the_clock_are_stored_ones, load_maps, free_maps),
		cmocka_unit_test_setup_teardown(deyes_are_told_apart_by_what_they_say, load_maps, free_maps),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
