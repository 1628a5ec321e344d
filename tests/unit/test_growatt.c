/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_growatt.c - Growatt: staying in step, choosing maps, what is left out, what is not to be told
 *
 * The captured frames are in tests/vectors/growatt; here are frames made for one rule each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocols/modbus.h"
#include "protocols/protocol.h"

static struct knowledge *k;

/* ------------------------------------------------ what a session tells */
struct told {
	size_t frames, bad, unknown, readings, infos, notes;
	uint64_t skipped, partial;
	enum session_verdict verdict;
	char protocol[32], notes_text[4096];
	struct reading last;
};
static struct told told;

static void on_verdict(void *ctx, enum session_verdict verdict, const char *text)
{
	(void)ctx;
	told.verdict = verdict;
	snprintf(told.protocol, sizeof(told.protocol), "%s", text);
}

static void on_frame(void *ctx, const struct frame_info *f)
{
	(void)ctx;
	told.frames++;
	told.bad += f->error != NULL;
	told.unknown += !f->known;
	assert_true(f->private_at + f->private_size <= f->size);
}

static void on_skip(void *ctx, enum dir dir, uint64_t length)
{
	(void)ctx;
	(void)dir;
	told.skipped += length;
}

static void on_partial(void *ctx, enum dir dir, uint64_t length)
{
	(void)ctx;
	(void)dir;
	told.partial += length;
}

static void on_reading(void *ctx, const struct reading *r)
{
	(void)ctx;
	*(r->info ? &told.infos : &told.readings) += 1;
	told.last = *r;
}

static void on_note(void *ctx, enum dir dir, const char *key, const char *text)
{
	size_t used = strlen(told.notes_text);

	(void)ctx;
	(void)dir;
	told.notes++;
	snprintf(told.notes_text + used, sizeof(told.notes_text) - used, "%s %s\n", key, text);
}

static const struct session_events events = {
	.verdict = on_verdict, .frame = on_frame, .skip = on_skip, .partial = on_partial,
	.reading = on_reading, .note = on_note,
};

static struct session *start(void)
{
	struct session *s;

	memset(&told, 0, sizeof(told));
	assert_int_equal(session_new(&s, k, NULL, &events, NULL), 0);
	return s;
}

static void finish(struct session *s)
{
	session_end(s);
	session_free(s);
}

static bool has(const char *name)
{
	return reading_find(&told.last, name);
}

static double number(const char *name)
{
	const struct value *v = reading_find(&told.last, name);

	if (!v)
		print_error("no %s\n", name);
	assert_non_null(v);
	return number_double(v->number);
}

/* ------------------------------------------------ frames to measure */
struct frame {
	uint8_t bytes[9000];
	size_t n;		/* without the checksum */
	uint8_t version;
};

static void put(struct frame *f, const void *bytes, size_t n)
{
	memcpy(f->bytes + f->n, bytes, n);
	f->n += n;
}

static void put16(struct frame *f, unsigned int v)
{
	const uint8_t b[] = { (uint8_t)(v >> 8), (uint8_t)v };

	put(f, b, 2);
}

static void put_serial(struct frame *f, const char *serial)
{
	char field[30] = "";

	memcpy(field, serial, strlen(serial));
	put(f, field, f->version >= 6 ? 30 : 10);
}

static void begin(struct frame *f, uint8_t version, uint8_t unit, uint8_t function)
{
	const uint8_t head[] = { 0, 1, 0, version, 0, 0, unit, function };

	f->n = 0;
	f->version = version;
	put(f, head, sizeof(head));
}

/* Length, mask, checksum; the whole frame's size. */
static size_t end(struct frame *f)
{
	uint16_t crc;

	f->bytes[4] = (uint8_t)((f->n - 6) >> 8);
	f->bytes[5] = (uint8_t)(f->n - 6);
	if (f->version < 5)
		return f->n;
	for (size_t i = 8; i < f->n; i++)
		f->bytes[i] ^= (uint8_t)"Growatt"[(i - 8) % 7];
	crc = modbus_crc(f->bytes, f->n);
	put16(f, crc);
	return f->n;
}

struct group { unsigned int first, last; };
static uint16_t reg[4000];	/* what the next record's registers hold */

static size_t record(struct frame *f, uint8_t version, uint8_t function, const char *serial, const uint8_t time[6],
		     const struct group *groups, size_t count)
{
	static const uint8_t none[6];
	const uint8_t g = (uint8_t)count;

	begin(f, version, 1, function);
	put_serial(f, "ABC0123456");
	put_serial(f, serial);
	put(f, time ? time : none, 6);
	put(f, &g, 1);
	for (size_t i = 0; i < count; i++) {
		put16(f, groups[i].first);
		put16(f, groups[i].last);
		for (unsigned int r = groups[i].first; r <= groups[i].last; r++)
			put16(f, reg[r]);
	}
	return end(f);
}

static void feed(const struct frame *f, size_t n, enum dir dir)
{
	struct session *s = start();

	session_feed(s, dir, f->bytes, n, 0);
	finish(s);
}

static const struct group legacy[] = { { 0, 44 }, { 45, 89 } }, pii[] = { { 0, 124 } },
	sph[] = { { 0, 124 }, { 1000, 1124 }, { 1125, 1249 } }, spa[] = { { 1000, 1124 }, { 2000, 2124 } },
	x3000[] = { { 3000, 3124 } }, xh[] = { { 3000, 3124 }, { 3125, 3249 } };
static struct frame f;

static void fresh(void)
{
	memset(reg, 0, sizeof(reg));
}

#define RECORD(serial, groups) record(&f, 6, 4, serial, NULL, groups, sizeof(groups) / sizeof((groups)[0]))

/* ------------------------------------------------ choosing maps */
static void test_latch(void **state)
{
	(void)state;
	fresh();
	/* At night neither frequency is there, and a serial not seen before gives nothing. */
	feed(&f, RECORD("NEW0000001", legacy), DIR_DEVICE);
	assert_int_equal(told.frames, 1);
	assert_int_equal(told.readings, 0);
	reg[13] = 5001;
	reg[1] = 0;
	reg[2] = 1234;
	feed(&f, RECORD("NEW0000001", legacy), DIR_DEVICE);
	assert_int_equal(told.readings, 1);
	assert_true(number("pv_power") == 123.4);
	reg[13] = 0;
	reg[29] = 77;
	feed(&f, RECORD("NEW0000001", legacy), DIR_DEVICE);
	assert_int_equal(told.readings, 1);
	assert_true(number("energy_total") == 7.7);
	/* By its own serial, not by the connection. */
	feed(&f, RECORD("NEW0000002", legacy), DIR_DEVICE);
	assert_int_equal(told.readings, 0);
	reg[23] = 5000;
	feed(&f, RECORD("NEW0000002", legacy), DIR_DEVICE);
	assert_true(number("ac_frequency") == 50.0);
	assert_true(has("load_percent"));
}

static void test_groups(void **state)
{
	const struct group beyond[] = { { 0, 44 }, { 45, 89 }, { 135, 179 } }, both[] = { { 0, 124 }, { 3000, 3124 } };

	(void)state;
	fresh();
	reg[13] = 5000;
	feed(&f, RECORD("GROUPS0001", beyond), DIR_DEVICE);
	assert_int_equal(told.readings, 0);
	feed(&f, RECORD("GROUPS0001", both), DIR_DEVICE);
	assert_int_equal(told.readings, 0);
	reg[13] = 0;
	feed(&f, RECORD("GROUPS0001", pii), DIR_DEVICE);
	assert_int_equal(told.readings, 1);
	assert_false(has("pv3_voltage"));
	reg[78] = 1;		/* what has ever given energy is there */
	reg[70] = 12;
	feed(&f, RECORD("GROUPS0001", pii), DIR_DEVICE);
	assert_true(number("pv3_energy_total") == 1.2);
	assert_true(number("pv3_voltage") == 0);
	assert_true(number("pv5_energy_total") == 0.1);
	assert_false(has("pv4_voltage"));
	/* A 03 has other registers under the same numbers. */
	feed(&f, record(&f, 6, 3, "GROUPS0001", NULL, pii, 1), DIR_DEVICE);
	assert_int_equal(told.readings, 0);
	assert_int_equal(told.infos, 1);
}

static void test_storage(void **state)
{
	(void)state;
	fresh();
	reg[0] = 5;
	reg[11] = 3000;		/* no pv3 with storage */
	reg[1010] = 100;
	reg[1012] = 1700;
	reg[1124] = 1;		/* a value over two groups */
	reg[1125] = 1;
	feed(&f, RECORD("STORAGE001", sph), DIR_DEVICE);
	assert_int_equal(told.readings, 1);
	assert_true(number("battery_power") == -160.0);
	assert_true(number("battery_ac_charge_energy_today") == 6553.7);
	assert_false(has("pv3_voltage"));
	assert_false(has("backup_frequency"));
	reg[1067] = 5000;
	reg[1068] = 2300;
	feed(&f, RECORD("STORAGE001", sph), DIR_DEVICE);
	assert_true(number("backup_voltage") == 230.0);
	assert_false(has("backup_l1_voltage"));
	reg[1072] = 2310;
	feed(&f, RECORD("STORAGE001", sph), DIR_DEVICE);
	assert_true(number("backup_l2_voltage") == 231.0);
	assert_false(has("backup_voltage"));

	fresh();
	reg[1000] = 6;
	reg[2000] = 9;
	reg[2036] = 555;
	reg[2094] = 333;
	feed(&f, RECORD("STORAGE002", spa), DIR_DEVICE);
	assert_int_equal(told.readings, 1);
	assert_true(number("status") == 6);
	assert_true(number("ac_power") == 55.5);
	assert_true(number("ipm_temperature") == 33.3);
	assert_false(has("pv_power"));
}

static void test_x3000(void **state)
{
	(void)state;
	fresh();
	reg[3000] = 0x0501;
	reg[3042] = 100;
	feed(&f, RECORD("XSERIES001", x3000), DIR_DEVICE);
	assert_true(number("status") == 0x501);
	assert_true(number("grid_power") == 10.0);
	feed(&f, RECORD("XSERIES001", xh), DIR_DEVICE);
	assert_true(number("status") == 1);
	assert_false(has("battery_soc"));
	assert_false(has("backup_frequency"));
	reg[3042] = 0;
	reg[3169] = 5123;
	reg[3171] = 80;
	reg[3181] = 2000;
	feed(&f, RECORD("XSERIES001", xh), DIR_DEVICE);
	assert_false(has("grid_power"));
	assert_false(has("load_power"));
	assert_true(number("battery_voltage") == 51.23);
	assert_true(number("battery_power") == -200.0);
	/* Three phases. */
	reg[3030] = 2300;
	reg[3038] = 4000;
	feed(&f, RECORD("XSERIES001", xh), DIR_DEVICE);
	assert_true(number("ac_l2_voltage") == 230.0);
	assert_true(number("ac_l1_l2_voltage") == 400.0);
	assert_false(has("ac_voltage"));
}

static void refused(unsigned int at, uint16_t v, bool expected)
{
	uint16_t before = reg[at];

	reg[at] = v;
	feed(&f, RECORD("REFUSED001", xh), DIR_DEVICE);
	assert_int_equal(told.frames, 1);
	assert_int_equal(told.bad, 0);
	assert_int_equal(told.readings, expected ? 0 : 1);
	assert_int_equal(told.unknown, expected);
	reg[at] = before;
}

static void test_refused(void **state)
{
	(void)state;
	fresh();
	reg[3169] = 5000;
	refused(3025, 7000, false);
	refused(3025, 7001, true);
	refused(3003, 15000, false);
	refused(3003, 15001, true);
	refused(3171, 100, false);
	refused(3171, 101, true);
	refused(3093, 1500, false);
	refused(3093, 1501, true);
	refused(3093, (uint16_t)-600, false);
	refused(3093, (uint16_t)-601, true);
	refused(3001, 152, false);	/* 996147.2 W */
	refused(3001, 153, true);
	refused(3180, 300, true);	/* what is only a part of battery_power */
	refused(3041, 0xffff, true);
}

/* ------------------------------------------------ framing */
static void test_cut_and_gap(void **state)
{
	static uint8_t stream[4000];
	static const uint8_t noise[] = { 0, 5, 0, 6, 0, 0x20, 1, 4, 'a', 0, 0, 2, 0, 5, 1 };
	size_t n = 0, frame;
	struct session *s;

	(void)state;
	fresh();
	memcpy(stream, noise, sizeof(noise));
	n = sizeof(noise);
	frame = RECORD("CUTCUT0001", x3000);
	memcpy(stream + n, f.bytes, frame);
	n += frame;
	memcpy(stream + n, f.bytes, frame);
	n += frame;
	for (size_t cut = 1; cut < n; cut = cut < 40 ? cut + 1 : cut * 2) {
		s = start();
		for (size_t at = 0; at < n; at += cut)
			session_feed(s, DIR_DEVICE, stream + at, n - at < cut ? n - at : cut, 0);
		finish(s);
		assert_int_equal(told.frames, 2);
		assert_int_equal(told.readings, 2);
		assert_int_equal(told.skipped, sizeof(noise));
	}
	/* A gap anywhere costs the frame it is in, not the next one. */
	for (size_t gap = 1; gap < frame; gap++) {
		s = start();
		session_feed(s, DIR_DEVICE, f.bytes, gap, 0);
		session_gap(s, DIR_DEVICE);
		session_feed(s, DIR_DEVICE, f.bytes + frame - 9, 9, 0);
		session_feed(s, DIR_DEVICE, f.bytes, frame, 0);
		finish(s);
		assert_int_equal(told.frames, 1);
		assert_int_equal(told.readings, 1);
		assert_int_equal(told.skipped, gap + 9);
	}
}

static void test_checksum(void **state)
{
	size_t frame;
	struct session *s = start();

	(void)state;
	fresh();
	frame = RECORD("BADBAD0001", x3000);
	session_feed(s, DIR_DEVICE, f.bytes, frame, 0);
	f.bytes[100] ^= 1;
	session_feed(s, DIR_DEVICE, f.bytes, frame, 0);
	f.bytes[100] ^= 1;
	session_feed(s, DIR_DEVICE, f.bytes, frame, 0);
	finish(s);
	assert_int_equal(told.frames, 3);
	assert_int_equal(told.bad, 1);
	assert_int_equal(told.readings, 2);
}

/* Each length of body of each function and version, whatever it says: nothing is read beyond it. */
static void test_short_bodies(void **state)
{
	static const uint8_t versions[] = { 0, 2, 5, 6, 7 };

	(void)state;
	for (unsigned int function = 0; function < 256; function++)
		for (size_t v = 0; v < sizeof(versions); v++)
			for (size_t n = 0; n < 130; n += n < 20 || n > 65 ? 1 : 3)
				for (int dir = 0; dir < DIR_COUNT; dir++) {
					struct session *s = start();
					uint8_t *exact;
					size_t size;

					begin(&f, versions[v], 1, 0x16);
					put_serial(&f, "ABC0123456");
					size = end(&f);
					session_feed(s, (enum dir)dir, f.bytes, size, 0);
					begin(&f, versions[v], 1, (uint8_t)function);
					put_serial(&f, "ABC0123456");
					put_serial(&f, "INV0123456");
					while (f.n < 300)
						put(&f, "\1\1\0\1\0\2", 6);
					f.n = 8 + n;
					size = end(&f);
					exact = malloc(size);
					memcpy(exact, f.bytes, size);
					session_feed(s, (enum dir)dir, exact, size, 0);
					free(exact);
					finish(s);
					assert_int_equal(told.frames, 2);
					assert_int_equal(told.bad, 0);
					assert_int_equal(told.readings, 0);
				}
}

/* ------------------------------------------------ times, repeats, stored records */
static void test_times(void **state)
{
	const uint8_t good[] = { 24, 2, 29, 23, 59, 59 }, bad[][6] = {
		{ 23, 2, 29, 0, 0, 0 }, { 24, 13, 1, 0, 0, 0 }, { 24, 1, 1, 24, 0, 0 }, { 24, 4, 31, 0, 0, 0 },
		{ 0xff, 1, 1, 0, 0, 0 }, { 24, 0, 1, 0, 0, 0 },
	};
	size_t n;
	struct session *s;

	(void)state;
	fresh();
	n = record(&f, 6, 0x50, "TIMES00001", good, x3000, 1);
	s = start();
	session_feed(s, DIR_DEVICE, f.bytes, n, 0);
	assert_int_equal(told.last.time_kind, TIME_LOCAL);
	assert_int_equal(told.last.time_ms, INT64_C(1709251199000));
	assert_true(told.last.historic);
	assert_false(told.last.repeat);
	session_feed(s, DIR_DEVICE, f.bytes, n, 0);
	assert_true(told.last.repeat);
	n = record(&f, 6, 4, "TIMES00001", good, x3000, 1);
	session_feed(s, DIR_DEVICE, f.bytes, n, 0);
	assert_false(told.last.historic);
	assert_true(told.last.repeat);		/* the same record, kept or not */
	finish(s);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		feed(&f, record(&f, 6, 4, "TIMES00001", bad[i], x3000, 1), DIR_DEVICE);
		assert_int_equal(told.readings, 1);
		assert_int_equal(told.last.time_kind, TIME_NONE);
	}
	/* Records of a ShineLink have no time; at night they are alike, and still new. */
	n = RECORD("TIMES00002", x3000);
	s = start();
	session_feed(s, DIR_DEVICE, f.bytes, n, 0);
	session_feed(s, DIR_DEVICE, f.bytes, n, 0);
	assert_false(told.last.repeat);
	finish(s);
}

/* ------------------------------------------------ meters */
static void meter_text(const char *text)
{
	begin(&f, 6, 0x50, 0x1b);
	put_serial(&f, "ABC0123456");
	put(&f, "\0\0\26\1\1\1\1\1\0\0", 10);
	put(&f, text, strlen(text) + 1);
	feed(&f, end(&f), DIR_DEVICE);
}

static void test_meter_text(void **state)
{
	(void)state;
	meter_text("1,2,3.25,-4.5,5,6,7,8,9,10,11,0.5,0.99,1,230.12,231,232,1,2,3,21.5,22,23,0.9,50.01,26.5,27.5,"
		   "28,29,30,31,32,33,34,35,36,37,38,39,40,");
	assert_int_equal(told.readings, 1);
	assert_true(number("grid_l1_power") == 3.25);
	assert_true(number("grid_l2_power") == -4.5);
	assert_true(number("grid_frequency") == 50.01);
	assert_true(number("grid_export_energy_total") == 27.5);
	assert_string_equal(told.last.logger, "ABC0123456");
	meter_text("1,2,3");
	assert_int_equal(told.readings, 0);
	assert_int_equal(told.unknown, 1);
	meter_text("1,,x,230.0,nan,1e3,1,1,1,-,1,1,1,1,1,1,1,1,1,1,1,1,1,99999999999999999999999999");
	assert_int_equal(told.readings, 1);
	assert_false(has("grid_l2_l3_voltage"));
	assert_false(has("grid_l3_l1_voltage"));
	assert_false(has("grid_power"));
	assert_true(number("grid_l1_voltage") == 230.0);
	meter_text("1,1,1,1501,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1");
	assert_int_equal(told.readings, 0);
	assert_int_equal(told.unknown, 1);
}

/* ------------------------------------------------ what is not to be told */
static void set_parameter(uint8_t function, unsigned int parameter, const char *value, enum dir dir)
{
	begin(&f, 6, 1, function);
	put_serial(&f, "ABC0123456");
	put16(&f, parameter);
	put16(&f, (unsigned int)strlen(value));
	put(&f, value, strlen(value));
	feed(&f, end(&f), dir);
}

static void test_secrets(void **state)
{
	(void)state;
	for (unsigned int p = 0; p < 0x200; p++)
		for (int dir = 0; dir < DIR_COUNT; dir++) {
			bool secret = p == 0x07 || p == 0x0b || p == 0x38 || p == 0x39 || p > 0xff;

			set_parameter(dir == DIR_CLOUD ? 0x18 : 0x19, p, "hunter2", (enum dir)dir);
			assert_int_equal(told.notes, 1);
			if (secret)
				assert_null(strstr(told.notes_text, "hunter2"));
			if (p == 0x13)
				assert_non_null(strstr(told.notes_text, "hunter2"));
		}
	/* The dump of all settings says nothing. */
	set_parameter(0x29, 0x38, "hunter2", DIR_DEVICE);
	assert_int_equal(told.frames, 1);
	assert_int_equal(told.notes + told.infos + told.readings, 0);
	/* In version 07 several in one. */
	begin(&f, 7, 1, 0x18);
	put_serial(&f, "ABC0123456");
	put16(&f, 2);
	put16(&f, 5 + 7);
	put(&f, "\0\x04\0\1""5\0\x39\0\3key", 12);
	feed(&f, end(&f), DIR_CLOUD);
	assert_string_equal(told.notes_text, "command cloud write logger param=0x04 value=5 param=0x39 value=(not shown)\n");
}

static void test_encrypted(void **state)
{
	struct session *s = start();
	uint8_t random[832];

	(void)state;
	for (size_t i = 0; i < sizeof(random); i++)
		random[i] = (uint8_t)(i * 37 + 11);
	begin(&f, 6, 1, 0x16);
	put_serial(&f, "ABC0123456");
	session_feed(s, DIR_DEVICE, f.bytes, end(&f), 0);
	for (int i = 0; i < 3; i++) {
		begin(&f, 6, 1, 4);
		put(&f, random, sizeof(random));
		session_feed(s, DIR_DEVICE, f.bytes, end(&f), 0);
	}
	finish(s);
	assert_int_equal(told.frames, 4);
	assert_int_equal(told.notes, 1);
	assert_int_equal(strncmp(told.notes_text, "encrypted yes", 13), 0);
	assert_int_equal(told.readings, 0);
	assert_int_equal(told.unknown, 0);
}

/* A command is told, also one that cannot be read; functions known by name only are unknown frames. */
static void test_unread(void **state)
{
	struct session *s = start();

	(void)state;
	begin(&f, 6, 1, 0x16);
	put_serial(&f, "ABC0123456");
	session_feed(s, DIR_CLOUD, f.bytes, end(&f), 0);
	begin(&f, 6, 1, 0x18);
	put(&f, "no serial at all", 16);
	session_feed(s, DIR_CLOUD, f.bytes, end(&f), 0);
	assert_string_equal(told.notes_text, "command cloud function=0x18, not understood\n");
	begin(&f, 6, 1, 0x38);
	put_serial(&f, "ABC0123456");
	session_feed(s, DIR_DEVICE, f.bytes, end(&f), 0);
	assert_int_equal(told.frames, 3);
	assert_int_equal(told.unknown, 1);
	finish(s);
}

/* What an announce or a meter says in between does not make a counter forget that it was above 0. */
static void test_totals(void **state)
{
	struct session *s = start();
	size_t n;

	(void)state;
	fresh();
	reg[3052] = 100;
	n = RECORD("TOTALS0001", x3000);
	session_feed(s, DIR_DEVICE, f.bytes, n, 0);
	assert_true(number("energy_total") == 10.0);
	n = record(&f, 6, 3, "TOTALS0001", NULL, pii, 1);
	session_feed(s, DIR_DEVICE, f.bytes, n, 0);
	reg[3052] = 0;
	n = RECORD("TOTALS0001", x3000);
	session_feed(s, DIR_DEVICE, f.bytes, n, 0);
	assert_int_equal(told.readings, 2);
	assert_false(has("energy_total"));
	finish(s);
}

/* ------------------------------------------------ not ours */
static void test_not_ours(void **state)
{
	/* Modbus/TCP: 48 bytes of registers that hold letters; an exception; an empty answer */
	static const uint8_t tcp[] = "\0\1\0\0\0\x33\1\3\x30""ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUV";
	static const uint8_t empty[] = "\0\1\0\0\0\3\1\3\0";
	uint8_t random[300];
	uint32_t seed = 1;

	(void)state;
	memcpy(f.bytes, tcp, sizeof(tcp) - 1);
	feed(&f, sizeof(tcp) - 1, DIR_DEVICE);
	assert_int_equal(told.frames, 0);
	memcpy(f.bytes, empty, sizeof(empty) - 1);
	feed(&f, sizeof(empty) - 1, DIR_DEVICE);
	assert_int_equal(told.frames, 0);
	for (int i = 0; i < 20000; i++) {
		for (size_t j = 0; j < sizeof(random); j++) {
			seed = seed * 1664525 + 1013904223;
			random[j] = (uint8_t)(seed >> 24);
		}
		/* a header that could be */
		if (i & 1)
			memcpy(random, "\0\1\0\6\0\x80\1\4", 8);
		memcpy(f.bytes, random, sizeof(random));
		feed(&f, sizeof(random), DIR_DEVICE);
		assert_int_equal(told.frames, 0);
		assert_string_not_equal(told.protocol, "growatt");
	}
}

static int setup(void **state)
{
	const char *const folders[] = { "maps" };

	(void)state;
	return knowledge_new(&k, folders, 1, NULL, NULL) <= 0;
}

static int teardown(void **state)
{
	(void)state;
	k = knowledge_free(k);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_latch),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_storage),
		cmocka_unit_test(test_x3000),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_cut_and_gap),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_short_bodies),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_meter_text),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_encrypted),
		cmocka_unit_test(test_unread),
		cmocka_unit_test(test_totals),
		cmocka_unit_test(test_not_ours),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
