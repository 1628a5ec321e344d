/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_clock.c - how far a clock is off: delays, zones, one strange record, a clock that is set */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "protocols/clock.h"

#define NOON INT64_C(1711886400000)
#define HOUR INT64_C(3600000)
#define STEP INT64_C(300000)

static int64_t utc(const struct clock *c, int64_t told, bool stored, int64_t arrival)
{
	int64_t r = -1;

	return clock_utc(c, told, stored, arrival, &r) ? r : -1;
}

/* n live records every five minutes, each some seconds on its way. */
static int64_t live(struct clock *c, int64_t from, int64_t offset, int n)
{
	for (int i = 0; i < n; i++, from += STEP)
		clock_live(c, from + offset, from + (i * 7 + 3) % 40 * 1000);
	return from;
}

static void nothing_known(void **state)
{
	struct clock c = { 0 };

	(void)state;
	assert_int_equal(utc(&c, NOON, false, NOON), -1);
	assert_int_equal(utc(&c, NOON, true, NOON), -1);
}

static void a_right_clock_is_believed(void **state)
{
	struct clock c = { 0 };
	int64_t now = live(&c, NOON, 0, 7);

	(void)state;
	assert_int_equal(utc(&c, now, false, now + 31000), now);
	assert_int_equal(utc(&c, now - HOUR, true, now), now - HOUR);
}

static void a_zone_is_taken_off_whole(void **state)
{
	static const int64_t zones[] = { 2 * HOUR, -5 * HOUR, 5 * HOUR + HOUR / 2, 12 * HOUR + 3 * HOUR / 4, -HOUR / 4 };

	(void)state;
	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
		struct clock c = { 0 };
		int64_t now = live(&c, NOON, zones[i], 4);

		assert_int_equal(utc(&c, now + zones[i], false, now + 20000), now);
		assert_int_equal(utc(&c, now + zones[i] - HOUR, true, now), now - HOUR);
	}
}

static void a_wrong_clock_is_put_right(void **state)
{
	static const int64_t wrong[] = { -8 * HOUR - 1234567, 333333, -200000000000, INT64_C(1000000000000) };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct clock c = { 0 };
		int64_t now = live(&c, NOON, wrong[i], 6), got;

		got = utc(&c, now + wrong[i] - HOUR, true, now);
		assert_in_range(got, now - HOUR, now - HOUR + 60000);	/* as good as the delays */
		got = utc(&c, now + wrong[i], false, now);
		assert_in_range(got, now, now + 60000);
	}
}

static void one_strange_record_changes_nothing(void **state)
{
	struct clock c = { 0 };
	int64_t now = live(&c, NOON, 2 * HOUR, 5);

	(void)state;
	clock_live(&c, now - 9 * HOUR, now);			/* late, or nonsense */
	assert_int_equal(utc(&c, now - 9 * HOUR, false, now), now);	/* live is now */
	now = live(&c, now, 2 * HOUR, 1);
	clock_live(&c, INT64_MAX, now);
	clock_live(&c, INT64_MIN, now);
	clock_live(&c, now + 5 * HOUR, now);
	clock_live(&c, now + 7 * HOUR, now);			/* strange, each in its own way */
	clock_live(&c, now + 9 * HOUR, now);
	assert_int_equal(utc(&c, now + 2 * HOUR - 4 * HOUR, true, now), now - 4 * HOUR);
	assert_false(c.has_before);
}

static void a_clock_that_is_set(void **state)
{
	struct clock c = { 0 };
	int64_t set = live(&c, NOON, -3 * HOUR, 8), now;

	(void)state;
	/* The first two by the new clock: not believed yet, but live is now. */
	clock_live(&c, set, set);
	assert_int_equal(utc(&c, set, false, set), set);
	clock_live(&c, set + STEP, set + STEP);
	assert_int_equal(utc(&c, set + STEP, false, set + STEP), set + STEP);
	clock_live(&c, set + 2 * STEP, set + 2 * STEP);
	now = set + 2 * STEP;
	assert_int_equal(utc(&c, now, false, now), now);
	/* Kept since it was set, and kept from before. */
	assert_int_equal(utc(&c, set + STEP, true, now), set + STEP);
	assert_int_equal(utc(&c, NOON - 3 * HOUR, true, now), NOON);
	/* Back again: what is between the two is read by the one that was in force. */
	now = live(&c, now + STEP, HOUR, 6);
	assert_int_equal(utc(&c, set + 2 * STEP, true, now), set + 2 * STEP);
}

static void nothing_from_the_future(void **state)
{
	struct clock c = { 0 };
	int64_t now = live(&c, NOON, 0, 3);

	(void)state;
	assert_int_equal(utc(&c, now + HOUR, true, now), -1);
	assert_int_equal(utc(&c, INT64_MAX, true, now), -1);
	assert_int_equal(utc(&c, now + 30000, true, now), now + 30000);
}

/* A slow drift is followed, however far it goes. */
static void drift(void **state)
{
	struct clock c = { 0 };
	int64_t now = NOON;

	(void)state;
	for (int i = 0; i < 2000; i++, now += STEP)
		clock_live(&c, now + i * INT64_C(1500), now);
	assert_false(c.has_before);
	assert_in_range(c.offset_ms, 1990 * 1500, 2000 * 1500);
}

static void what_a_file_may_say(void **state)
{
	struct clock c = { 0 };
	uint8_t bytes[sizeof(c)];
	uint32_t random = 1;

	(void)state;
	live(&c, NOON, HOUR, 9);
	assert_true(clock_sane(&c));
	c.recent_count = CLOCK_RECENT + 1;
	assert_false(clock_sane(&c));
	c = (struct clock){ .known = true };
	assert_false(clock_sane(&c));
	c = (struct clock){ .known = true, .recent_count = 1, .offset_ms = INT64_MIN };
	assert_false(clock_sane(&c));
	for (int i = 0; i < 20000; i++) {
		int64_t r;

		memset(&c, 0, sizeof(c));
		memcpy(bytes, &c, sizeof(c));
		for (size_t k = 0; k < sizeof(bytes); k++) {
			random = random * 1664525 + 1013904223;
			bytes[k] = (uint8_t)(k < 4 ? random >> 31 : k % 8 < 5 ? random >> 24 : 0);
		}
		memcpy(&c, bytes, sizeof(c));
		if (!clock_sane(&c))
			continue;
		live(&c, NOON, (int64_t)random * 1000, 4);
		clock_utc(&c, NOON, random & 1, NOON, &r);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_known),
		cmocka_unit_test(a_right_clock_is_believed),
		cmocka_unit_test(a_zone_is_taken_off_whole),
		cmocka_unit_test(a_wrong_clock_is_put_right),
		cmocka_unit_test(one_strange_record_changes_nothing),
		cmocka_unit_test(a_clock_that_is_set),
		cmocka_unit_test(nothing_from_the_future),
		cmocka_unit_test(drift),
		cmocka_unit_test(what_a_file_may_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
