/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_reading.c - numbers as the maker meant them, texts that any output can take, units by name */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "protocols/reading_fill.h"
#include "protocols/vocabulary.h"

static void format(int64_t mantissa, unsigned int decimals, const char *want)
{
	char text[24];
	size_t n = number_format((struct number){ mantissa, (uint8_t)decimals }, text);

	assert_string_equal(text, want);
	assert_int_equal(n, strlen(want));
}

static void numbers_print_as_meant(void **state)
{
	(void)state;
	format(0, 0, "0");
	format(0, 2, "0.00");
	format(-0, 2, "0.00");
	format(-1250, 2, "-12.50");
	format(-5, 1, "-0.5");
	format(7, 3, "0.007");
	format(2248, 1, "224.8");
	format(INT64_MAX, 0, "9223372036854775807");
	format(INT64_MIN, 0, "-9223372036854775808");
	format(INT64_MIN, 9, "-9223372036.854775808");
	format(1, 9, "0.000000001");
	format(1, 200, "0.000000001");		/* no more than nine, whoever asks */
}

static void round_to(int64_t m, unsigned int from, unsigned int to, int64_t want)
{
	struct number n = { m, (uint8_t)from };

	assert_true(number_round(&n, to));
	assert_int_equal(n.mantissa, want);
	assert_int_equal(n.decimals, to);
}

static void numbers_round_half_away_from_zero(void **state)
{
	struct number n = { INT64_MAX, 0 };

	(void)state;
	round_to(125, 2, 1, 13);
	round_to(-125, 2, 1, -13);
	round_to(124, 2, 1, 12);
	round_to(5, 0, 3, 5000);
	round_to(INT64_MAX, 9, 0, 9223372037);
	round_to(379232, 4, 2, 3792);
	assert_false(number_round(&n, 1));
	assert_true(number_from_double(224.85, 2, &n));
	assert_int_equal(n.mantissa, 22485);
	assert_true(number_from_double(-0.004, 2, &n));
	assert_int_equal(n.mantissa, 0);
	assert_false(number_from_double(__builtin_nan(""), 2, &n));
	assert_false(number_from_double(__builtin_inf(), 2, &n));
	assert_false(number_from_double(1e300, 2, &n));
}

static void clean(const char *bytes, size_t length, const char *want)
{
	char text[64];
	size_t n = text_clean(text, sizeof(text), (const uint8_t *)bytes, length);

	assert_string_equal(text, want);
	assert_int_equal(n, strlen(want));
}

static void texts_are_cleaned(void **state)
{
	char small[4];

	(void)state;
	clean("Y17E7A0F010B013E", 16, "Y17E7A0F010B013E");
	clean("abc\0def", 7, "abc");
	clean("  2300000001-1    ", 18, "2300000001-1");
	clean("\xff\xff\xff\xff", 4, "");
	clean("a\nb\x1b[31m\x7f", 9, "a?b?[31m?");
	clean("Stra\xc3\x9f" "e", 7, "Stra\xc3\x9f" "e");
	clean("\xc3", 1, "?");
	clean("\xc0\xaf\xed\xa0\x80\xf5\x80", 7, "???????");	/* overlong, surrogate, too high */
	clean("\xc2\x85x", 3, "?x");				/* C1: NEL */
	clean("\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80");
	clean("", 0, "");
	/* No half character where the room ends. */
	assert_int_equal(text_clean(small, sizeof(small), (const uint8_t *)"ab\xe2\x82\xac", 5), 2);
	assert_string_equal(small, "ab");
}

static void a_reading_does_not_overflow(void **state)
{
	static struct reading r;
	static uint8_t text[READING_TEXT_MAX];

	(void)state;
	reading_start(&r, "test", 0);
	for (int i = 0; i < READING_VALUES_MAX + 10; i++)
		reading_add_integer(&r, "status", i);
	assert_int_equal(r.count, READING_VALUES_MAX);
	reading_start(&r, "test", 0);
	assert_int_equal(r.count, 0);
	memset(text, 'x', sizeof(text));
	assert_null(reading_store(&r, text, sizeof(text)));
	assert_non_null(reading_store(&r, text, sizeof(text) - 1));
	assert_null(reading_store(&r, text, 1));
	reading_add_bytes(&r, "model", text, 1);
	assert_int_equal(r.count, 0);
}

static void unit(const char *name, const char *symbol)
{
	assert_string_equal(vocabulary_unit(name)->symbol, symbol);
}

static void units_follow_from_endings(void **state)
{
	(void)state;
	unit("pv1_voltage", "V");
	unit("ac_voltage_limit_upper", "V");
	unit("battery_cell_voltage_min", "V");
	unit("battery_charge_current_limit", "A");
	unit("grid_power", "W");
	unit("ac_reactive_power", "var");
	unit("ac_apparent_power", "VA");
	unit("battery_discharge_limit", "W");
	unit("battery_soc_charge_limit", "%");
	unit("energy_total", "kWh");
	unit("pv1_energy_interval", "kWh");
	unit("upload_interval", "s");
	unit("uptime", "s");
	unit("ac_frequency_limit_lower", "Hz");
	unit("overfrequency_start", "Hz");
	unit("wifi_rssi", "dBm");
	unit("wifi_signal", "%");
	unit("battery_capacity", "kWh");
	unit("battery_capacity_ah", "Ah");
	unit("insulation_resistance_x", "MOhm");
	unit("status", "");
	unit("work_mode", "");
	unit("packet_number", "");
	assert_true(vocabulary_name_valid("pv1_voltage"));
	assert_false(vocabulary_name_valid("Pv1_voltage"));
	assert_false(vocabulary_name_valid("1pv"));
	assert_false(vocabulary_name_valid(""));
	assert_false(vocabulary_name_valid("pv-1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_print_as_meant),
		cmocka_unit_test(numbers_round_half_away_from_zero),
		cmocka_unit_test(texts_are_cleaned),
		cmocka_unit_test(a_reading_does_not_overflow),
		cmocka_unit_test(units_follow_from_endings),
	};

	return cmocka_run_group_tests_name("reading", tests, NULL, NULL);
}
