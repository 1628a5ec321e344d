/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_inteless.c - Inteless dongles: layouts by poll map and by length, gates, secrets, commands, framing */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "protocols/knowledge.h"

enum { REPORT_MOST = 400 };

static struct {
	char text[65536];		/* frames, skips and notes, a line each */
	size_t readings, infos, repeats;
	struct reading last;
	struct frame_info frame;
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
	say("verdict %s %s\n", v == SESSION_KNOWN ? "known" : v == SESSION_TLS ? "tls" : "unknown", text);
}

static void on_frame(void *ctx, const struct frame_info *f)
{
	(void)ctx;
	out.frame = *f;
	say("frame %s %zu%s\n", f->opcode, f->length, f->known ? "" : " unknown");
}

static void on_skip(void *ctx, enum dir dir, uint64_t n)
{
	(void)ctx;
	(void)dir;
	say("skip %llu\n", (unsigned long long)n);
}

static void on_partial(void *ctx, enum dir dir, uint64_t n)
{
	(void)ctx;
	(void)dir;
	say("partial %llu\n", (unsigned long long)n);
}

static void on_reading(void *ctx, const struct reading *r)
{
	(void)ctx;
	out.readings += !r->info;
	out.infos += r->info;
	out.repeats += r->repeat;
	out.last = *r;
	for (size_t i = 0; i < r->count; i++)
		if (r->values[i].type == VALUE_TEXT)
			say("text %s\n", r->values[i].text);
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

static void feed(struct session *s, enum dir dir, const void *bytes, size_t n)
{
	session_feed(s, dir, bytes, n, 0);
}

static void put(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static size_t frame(uint8_t *p, uint8_t side, uint8_t type, uint8_t number, size_t payload)
{
	memset(p, 0, 11 + payload);
	p[0] = 0xa5;
	p[1] = 6;
	p[2] = side;
	p[3] = type;
	p[8] = number;
	put(p + 9, (unsigned int)payload);
	return 11 + payload;
}

/* A report without any value; both frequencies, wherever they are, are 0. */
static size_t report(uint8_t *p, uint8_t number, size_t size)
{
	static const uint8_t time[] = { 26, 9, 17, 7, 22, 3, 1 };

	frame(p, 1, 9, number, size - 11);
	memcpy(p + 11, "2302246241", 10);
	memcpy(p + 37, time, sizeof(time));
	return size;
}

static size_t login(uint8_t *p, const char *dongle)
{
	frame(p, 1, 1, 1, 32);
	memcpy(p + 11, dongle, 12);
	memcpy(p + 27, "SeCrEtKy", 8);
	return 43;
}

struct entry {
	uint8_t flag, function;
	uint16_t first;
	uint8_t count;
};

static size_t poll_map(uint8_t *p, const struct entry *e, size_t count)
{
	frame(p, 0xa1, 0x0b, 2, 17 + 6 * count);
	p[4] = 1;
	memcpy(p + 11, "1.4", 3);
	p[27] = (uint8_t)count;
	for (size_t i = 0; i < count; i++) {
		p[28 + 6 * i] = e[i].flag;
		p[30 + 6 * i] = e[i].function;
		put(p + 31 + 6 * i, e[i].first);
		p[33 + 6 * i] = e[i].count;
	}
	return 28 + 6 * count;
}

static void value_is(const char *name, const char *text)
{
	const struct value *v = reading_find(&out.last, name);
	char number[24];

	if (!v)
		fail_msg("no %s", name);
	number_format(v->number, number);
	assert_string_equal(v->type == VALUE_NUMBER ? number : v->text, text);
}

static void no_value(const char *name)
{
	assert_null(reading_find(&out.last, name));
}

/* The offsets that the document gives for each length. */
static void layouts_by_length(void **state)
{
	static const struct { size_t size; int low, high, bms; } layouts[] = {
		{ 292, 74, 124, 276 }, { 302, 66, 116, 286 }, { 306, 66, 116, 288 },
	};
	uint8_t p[REPORT_MOST];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
		struct session *s = start(NULL);

		report(p, 9, layouts[i].size);
		put(p + 2 * 59 - layouts[i].low, 2);
		put(p + 2 * 79 - layouts[i].low, 4995);
		put(p + 2 * 78 - layouts[i].low, 0xb820);
		put(p + 2 * 80 - layouts[i].low, 1);
		put(p + 2 * 124 - layouts[i].low, 1);
		put(p + 2 * 150 - layouts[i].high, 2318);
		put(p + 2 * 193 - layouts[i].high, 4995);
		put(p + layouts[i].bms + 2 * 6, 10);
		if (layouts[i].size > 292)
			put(p + 46, 50000);
		if (layouts[i].size == 306)
			put(p + 286, 2);
		feed(s, DIR_DEVICE, p, layouts[i].size);
		assert_int_equal(out.readings, 1);
		assert_string_equal(out.last.serial, "2302246241");
		assert_int_equal(out.last.time_kind, TIME_LOCAL);
		assert_true(out.last.time_ms == INT64_C(1789629723) * 1000);
		value_is("status", "normal");
		value_is("grid_frequency", "49.95");
		value_is("grid_import_energy_total", "11267.2");
		value_is("grid_l1_voltage", "231.8");
		value_is("battery_bms_current", "-10");
		no_value("battery_temperature");	/* raw 0: no sensor */
		if (layouts[i].size > 292)
			value_is("rated_power", "5000.0");
		else
			no_value("rated_power");
		if (layouts[i].size == 306)
			value_is("load_limit_mode", "2");
		else
			no_value("load_limit_mode");
		end(s);
	}
}

/* 44 + 2 * 129 = 302 bytes, as the usual layout has, but other registers in them. */
static const struct entry unusual[] = {
	{ 0, 3, 79, 1 }, { 1, 3, 200, 100 }, { 0, 3, 16, 1 }, { 0, 3, 17, 1 }, { 0, 3, 183, 126 },
};

static void poll_map_decides(void **state)
{
	static const char *const dongles[] = { "E47000000001", "E47000000001", "E47000000002" };
	uint8_t p[REPORT_MOST];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(dongles); i++) {
		struct session *s = start(NULL);

		feed(s, DIR_DEVICE, p, login(p, dongles[i]));
		if (!i) {
			feed(s, DIR_DEVICE, p, frame(p, 1, 0x0b, 2, 112));
			feed(s, DIR_CLOUD, p, poll_map(p, unusual, ARRAY_SIZE(unusual)));
			assert_non_null(strstr(out.text, "map_version: 1.4\nmap_entries: 5\nreport_length: 302\n"
						"report_registers: 79,16,17,183-308\n"));
		}
		report(p, 9, 302);
		put(p + 44, 5012);
		put(p + 46, 0x3880);	/* 80000 as a pair that two entries asked for */
		put(p + 48, 1);
		put(p + 50, 5343);
		feed(s, DIR_DEVICE, p, 302);
		assert_string_equal(out.last.logger, dongles[i]);
		if (i < 2) {
			value_is("grid_frequency", "50.12");
			value_is("rated_power", "8000.0");
			value_is("battery_voltage", "53.43");
		} else {
			value_is("grid_frequency", "0.00");
		}
		end(s);
	}
}

static void gates(void **state)
{
	uint8_t p[REPORT_MOST];
	struct session *s = start(NULL);

	(void)state;
	/* No month 13: the reading stays, the arrival is its time. */
	report(p, 1, 306);
	p[38] = 13;
	feed(s, DIR_DEVICE, p, 306);
	assert_int_equal(out.readings, 1);
	assert_int_equal(out.last.time_kind, TIME_NONE);
	/* Who it is, but no values: neither frequency is one … */
	report(p, 2, 306);
	put(p + 2 * 79 - 66, 12345);
	feed(s, DIR_DEVICE, p, 306);
	report(p, 3, 306);
	put(p + 2 * 193 - 116, 3999);
	feed(s, DIR_DEVICE, p, 306);
	/* … or nobody knows this length. */
	feed(s, DIR_DEVICE, p, report(p, 4, 310));
	assert_int_equal(out.readings, 1);
	assert_int_equal(out.infos, 3);
	assert_string_equal(out.last.serial, "2302246241");
	assert_int_equal(out.last.time_kind, TIME_LOCAL);
	value_is("report_length", "310");
	assert_int_equal(out.last.count, 1);
	/* No serial, something where zeros are, too short for a report: frames, and nothing else. */
	report(p, 5, 306);
	p[15] = 7;
	feed(s, DIR_DEVICE, p, 306);
	report(p, 6, 306);
	p[36] = 1;
	feed(s, DIR_DEVICE, p, 306);
	feed(s, DIR_DEVICE, p, frame(p, 1, 9, 7, 20));
	assert_int_equal(out.readings + out.infos, 4);
	assert_string_equal(out.frame.opcode, "0x0109");
	end(s);
}

static void whole_words(void **state)
{
	uint8_t p[REPORT_MOST];
	struct session *s = start(NULL);

	(void)state;
	report(p, 1, 306);
	put(p + 2 * 106 - 66, 0x8000);	/* F64 */
	put(p + 2 * 101 - 66, 0x0002);
	put(p + 2 * 60 - 66, 0xffff);
	put(p + 2 * 70 - 66, 0xfffe);
	feed(s, DIR_DEVICE, p, 306);
	value_is("fault_code", "9223372036854775808");
	value_is("alarm_code", "2");
	value_is("energy_today", "-0.1");
	value_is("battery_charge_energy_today", "6553.4");
	end(s);
}

static void register_key_stays_inside(void **state)
{
	uint8_t p[REPORT_MOST];
	struct session *s = start(NULL);

	(void)state;
	feed(s, DIR_DEVICE, p, login(p, "E47000000003"));
	assert_true(out.frame.private_at <= 27 && out.frame.private_at + out.frame.private_size >= 35);
	assert_true(out.frame.known);
	/* Also where nobody expects it. */
	login(p, "E47000000003");
	p[11] = 1;
	feed(s, DIR_DEVICE, p, 43);
	feed(s, DIR_CLOUD, p, 43);
	assert_null(strstr(out.text, "SeCrEtKy"));
	assert_null(strstr(out.text, "5365437245744b79"));
	end(s);
}

static void what_a_cloud_should_not_say(void **state)
{
	static const struct entry writes[] = { { 0, 3, 59, 66 }, { 0, 16, 43, 1 } };
	uint8_t p[REPORT_MOST];
	struct session *s = start(NULL);

	(void)state;
	feed(s, DIR_DEVICE, p, frame(p, 1, 0x0a, 7, 0));
	feed(s, DIR_CLOUD, p, frame(p, 0xa1, 0x0a, 7, 0));
	feed(s, DIR_DEVICE, p, frame(p, 1, 0x0b, 2, 112));
	assert_null(strstr(out.text, "command"));
	feed(s, DIR_CLOUD, p, poll_map(p, writes, ARRAY_SIZE(writes)));
	assert_non_null(strstr(out.text, "command: poll map that does not only read"));
	assert_null(strstr(out.text, "report_length"));
	feed(s, DIR_CLOUD, p, frame(p, 0xa1, 0x0a, 7, 0));
	assert_non_null(strstr(out.text, "command: answer to nothing asked, type=0x0a number=7 len=11 a506a10a"));
	feed(s, DIR_CLOUD, p, frame(p, 1, 0x0c, 3, 2));
	assert_non_null(strstr(out.text, "frame 0x010c 13 unknown\ncommand: request of the cloud, type=0x0c"));
	end(s);
}

static void repeats(void **state)
{
	uint8_t p[REPORT_MOST];
	struct session *s = start(NULL);

	(void)state;
	feed(s, DIR_DEVICE, p, report(p, 1, 306));
	feed(s, DIR_DEVICE, p, report(p, 1, 306));
	assert_int_equal(out.repeats, 1);
	report(p, 2, 306);
	p[42]++;
	feed(s, DIR_DEVICE, p, 306);
	assert_int_equal(out.readings, 3);
	assert_int_equal(out.repeats, 1);
	end(s);
}

/* What belongs to no frame: cut anywhere, the same comes out. */
static void framing(void **state)
{
	static const uint8_t rubbish[] = { 0xff, 0xa5, 0xa5, 0x06, 0x02, 0x09, 0xa5, 0x06, 0x01, 0x10, 0xa5 };
	uint8_t p[4096];
	char whole[4096];
	size_t n = 0;
	struct session *s;

	(void)state;
	memcpy(p, rubbish, sizeof(rubbish));
	n = sizeof(rubbish);
	n += report(p + n, 1, 306);
	n += frame(p + n, 1, 0x09, 2, 0);
	put(p + n - 2, 2049);		/* too long to be */
	n += frame(p + n, 1, 0x05, 3, 0);
	memcpy(p + n, rubbish, sizeof(rubbish));
	n += sizeof(rubbish);
	n += login(p + n, "E47000000004");
	n += report(p + n, 4, 292);
	n -= 7;
	s = start(NULL);
	feed(s, DIR_DEVICE, p, n);
	end(s);
	strcpy(whole, out.text);
	assert_string_equal(whole, "verdict known inteless\nskip 11\nframe 0x0109 306\ntext standby\n"
			    "skip 11\nframe 0x0105 11\n"
			    "skip 11\nframe 0x0101 43\nlogin: E47000000004\npartial 285\n");
	for (size_t cut = 1; cut < n; cut = cut * 3 / 2 + 1) {
		s = start(NULL);
		for (size_t i = 0; i < n; i += cut)
			feed(s, DIR_DEVICE, p + i, cut < n - i ? cut : n - i);
		end(s);
		assert_string_equal(out.text, whole);
	}
	/* A frame that proves nothing by its content has to be followed by one. */
	n = frame(p, 1, 0x02, 1, 153);
	p[n] = 0x77;
	n += 1 + frame(p + n + 1, 1, 0x05, 2, 0);
	s = start("inteless");
	feed(s, DIR_DEVICE, p, n);
	end(s);
	assert_string_equal(out.text, "verdict known inteless\nskip 165\nframe 0x0105 11\n");
}

/* Another protocol that begins with a5: each skips what is the other's, to the last byte. */
static void look_alike(void **state)
{
	static const uint8_t heartbeat[] = { 0xa5, 1, 0, 0x10, 0x47, 0, 1, 1, 2, 3, 4, 0, 0x63, 0x15 };
	uint8_t p[REPORT_MOST];
	struct session *s = start("solarman-v5");

	(void)state;
	feed(s, DIR_DEVICE, p, report(p, 1, 292));
	end(s);
	assert_string_equal(out.text, "verdict known solarman-v5\nskip 292\n");
	s = start("inteless");
	feed(s, DIR_DEVICE, heartbeat, sizeof(heartbeat));
	end(s);
	assert_string_equal(out.text, "verdict known inteless\nskip 14\n");
	s = start(NULL);
	feed(s, DIR_DEVICE, heartbeat, sizeof(heartbeat));
	end(s);
	assert_string_equal(out.text, "verdict known solarman-v5\nframe 0x4710 1\n");
}

static void nothing_of_ours(void **state)
{
	static const char *const openings[] = {
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\x10\x0c", "\x16\x03\x01\x00\x05\x01",
	};
	uint32_t seed = 1;
	uint8_t p[8192];
	struct session *s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(openings); i++) {
		s = start(NULL);
		feed(s, DIR_DEVICE, openings[i], strlen(openings[i]));
		end(s);
		assert_null(strstr(out.text, "inteless"));
	}
	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < sizeof(p); i++) {
			seed = seed * 1664525 + 1013904223;
			p[i] = (uint8_t)(seed >> 24);
			if (i % 97 == 5)
				memcpy(p + i - 3, "\xa5\x06\x01", 3);
		}
		s = start(NULL);
		feed(s, DIR_DEVICE, p, sizeof(p));
		end(s);
		assert_null(strstr(out.text, "inteless"));
		assert_int_equal(out.readings + out.infos, 0);
	}
}

static int load(void **state)
{
	(void)state;
	return knowledge_installed(&knowledge, NULL, NULL) < 1;
}

static int unload(void **state)
{
	(void)state;
	knowledge = knowledge_free(knowledge);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layouts_by_length),
		cmocka_unit_test(poll_map_decides),
		cmocka_unit_test(gates),
		cmocka_unit_test(whole_words),
		cmocka_unit_test(register_key_stays_inside),
		cmocka_unit_test(what_a_cloud_should_not_say),
		cmocka_unit_test(repeats),
		cmocka_unit_test(framing),
		cmocka_unit_test(look_alike),
		cmocka_unit_test(nothing_of_ours),
	};

	return cmocka_run_group_tests_name("inteless", tests, load, unload);
}
