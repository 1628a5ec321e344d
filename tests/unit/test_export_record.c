/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_export_record.c - journal entries as records: what is believed of them, and how they are written */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "export/json_record.h"
#include "export/record.h"
#include "shared/message_ids.h"
#include "shared/util.h"

static struct {
	struct record record;
	char guard[64];			/* a write beyond the record is seen without a sanitizer, too */
} *guarded;
static struct record *record;

static int setup(void **state)
{
	(void)state;
	guarded = malloc(sizeof(*guarded));
	record = guarded ? &guarded->record : NULL;
	return record ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(guarded);
	return 0;
}

static void begin(void)
{
	memset(record, 0xaa, sizeof(*record));		/* nothing may depend on what was there */
	record_begin(record);
	record->entry_ns = 7;
}

static void give(const char *field)
{
	record_field(record, field, strlen(field));
}

#define GIVE_BYTES(bytes) record_field(record, bytes, sizeof(bytes) - 1)

static void test_a_reading(void **state)
{
	(void)state;
	begin();
	give("MESSAGE_ID=" MESSAGE_ID_READING);
	give("SUNTAP_SERIAL=R1");
	give("SUNTAP_TIME=2024-05-01T10:00:00Z");
	give("SUNTAP_HISTORIC=1");
	give("SOLAR_PV1_VOLTAGE=31.20");
	give("SOLAR_STATUS=normal");
	give("_PID=1");
	give("CODE_LINE=SOLAR_X");
	assert_true(record_finish(record));
	assert_int_equal(record->kind, RECORD_READING);
	assert_string_equal(record->serial, "R1");
	assert_string_equal(record->logger, "");
	assert_true(record->historic && !record->repeat);
	assert_true(record->time_ns == INT64_C(1714557600) * NSEC_PER_SEC);
	assert_int_equal(record->count, 2);
	assert_string_equal(record_find(record, "pv1_voltage")->text, "31.20");
	assert_true(record_number(record_find(record, "pv1_voltage")) == 31.2);
	assert_false(record_find(record, "status")->number);
	assert_null(record_find(record, "x"));
	assert_int_equal(record->left_out, 0);
}

static void test_not_ours(void **state)
{
	(void)state;
	begin();
	give("SOLAR_AC_POWER=1");
	give("MESSAGE_ID=short");
	assert_false(record_finish(record));
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		bool number;
	} cases[] = {
		{ "0", true }, { "-0.5", true }, { "123456789.123", true }, { "0.0", true }, { "-12", true },
		{ "007", false }, { "-01", false }, { "1.", false }, { ".5", false }, { "+1", false }, { "1e5", false },
		{ "NaN", false }, { "inf", false }, { "0x10", false }, { "1 ", false }, { "-", false }, { "1.2.3", false },
		{ "1i", false }, { "1234567890123456789012345", false }, { "1,5", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char field[64];

		begin();
		snprintf(field, sizeof(field), "SOLAR_X=%s", cases[i].text);
		give(field);
		if (record->count != 1 || record->values[0].number != cases[i].number)
			fail_msg("%s", cases[i].text);
	}
}

static void test_times(void **state)
{
	static const char *const bad[] = {
		"", "2024", "2024-13-01", "2024-00-01", "2024-02-30", "2023-02-29", "2100-02-29", "2024-05-01T", "2024-05-01T10",
		"2024-05-01T24:00", "2024-05-01T10:60", "2024-05-01T10:00:61", "2024-05-01T10:00:00.", "2024-05-01T10:00:00.1234567890",
		"2024-05-01T10:00:00x", "1970-01-01", "9999-01-01", "2024-05-01 10:00:00 ", "-024-05-01", "2024-05-01T10:00:00+02",
	};
	static const char *const good[] = {
		"2024-05-01T10:00:00Z", "2024-02-29T23:59:59Z", "2000-02-29T00:00:00Z", "2261-12-31T23:59:59Z", "1971-01-01T00:00:00Z",
		"2024-05-01T10:00:00.123Z", "2024-05-01T10:00:00.000000001Z",
	};
	char buf[40];
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (record_parse_time(bad[i], strlen(bad[i]), &ns))
			fail_msg("%s", bad[i]);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(record_parse_time(good[i], strlen(good[i]), &ns));
		assert_string_equal(record_format_time(ns, buf), good[i]);
	}
	assert_true(record_parse_time("2024-05-01", 10, &ns) && ns == INT64_C(1714521600) * NSEC_PER_SEC);
	/* a time that makes no sense is that of the entry */
	begin();
	give("MESSAGE_ID=" MESSAGE_ID_READING);
	give("SUNTAP_TIME=yesterday");
	assert_true(record_finish(record) && record->bad_time && record->time_ns == 7);
}

static void test_texts_are_clean(void **state)
{
	(void)state;
	begin();
	GIVE_BYTES("SUNTAP_SERIAL=a\nb\0c\x1b[31m\x7f");
	GIVE_BYTES("SOLAR_A=gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x98\x80");
	GIVE_BYTES("SOLAR_B=\xff\xc3(\xe2\x82(\xed\xa0\x80\xc0\xaf\xf4\x90\x80\x80\xc2\x85\xe2\x80\xa8\xc3");
	assert_string_equal(record->serial, "a?b?c?[31m?");
	assert_string_equal(record->values[0].text, "gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x98\x80");
	/* one for each byte that is no character, one for a character that is not to be shown */
	for (const char *p = record->values[1].text; *p; p++)
		assert_true(*p == '?' || *p == '(');
}

static void test_what_is_left_out(void **state)
{
	char *large = malloc(1 << 20);
	char name[200] = "SOLAR_";

	(void)state;
	assert_non_null(large);
	memset(large, 'x', 1 << 20);
	begin();
	memcpy(large, "SOLAR_A=", 8);
	record_field(record, large, 1 << 20);
	memcpy(large, "SUNTAP_SERIAL=", 14);
	record_field(record, large, 1 << 20);
	memcpy(large, "SUNTAP_HEX=xxxx", 15);
	record_field(record, large, 1 << 20);
	give("SOLAR_=1");
	give("SOLAR_a=1");
	give("SOLAR_1A=1");
	give("SOLAR__A=1");
	give("SOLAR_A B=1");
	give("SOLAR_A=");
	memset(name + 6, 'N', 100);
	memcpy(name + 106, "=1", 3);
	give(name);
	assert_int_equal(record->count, 0);
	assert_string_equal(record->serial, "");
	assert_int_equal(record->left_out, 9);		/* the last has no '=' within 80 bytes, and is nobody's */
	/* more than there is room for */
	for (int i = 0; i < 2000; i++) {
		char field[5000];

		memset(field, 'y', sizeof(field));
		memcpy(field, "SOLAR_A=", 8);
		record_field(record, field, 8 + (size_t)(i % 4000));
		memcpy(field, "SUNTAP_A=", 9);
		record_field(record, field, 9 + (size_t)(i % 4000));
	}
	assert_true(record->count <= RECORD_VALUES_MAX && record->field_count <= RECORD_FIELDS_MAX &&
		    record->used <= RECORD_STORE);
	free(large);
}

/* The longest name with nothing behind it, where there is just room for the name. */
static void test_full_to_the_last_byte(void **state)
{
	char field[RECORD_TEXT_MAX + 16], name[RECORD_NAME_MAX + 8];
	size_t left;

	(void)state;
	begin();
	memset(guarded->guard, 0x5a, sizeof(guarded->guard));
	for (int i = 0; (left = RECORD_STORE - record->used) > RECORD_NAME_MAX + 3; i++) {
		memset(field, 'x', sizeof(field));
		sprintf(field, "SOLAR_V%02d", i);
		field[9] = '=';
		/* name and text, each with its NUL */
		left = left > 4000 ? 2000 : left - (RECORD_NAME_MAX + 3) - 5;
		record_field(record, field, 10 + left);
		assert_int_equal(record->left_out, 0);
	}
	assert_int_equal(RECORD_STORE - record->used, RECORD_NAME_MAX + 3);
	memset(name, 'A', sizeof(name));
	memcpy(name, "SUNTAP_", 7);
	name[RECORD_NAME_MAX + 3] = '=';
	record_field(record, name, RECORD_NAME_MAX + 4);
	assert_true(record->used <= RECORD_STORE);
	for (size_t i = 0; i < sizeof(guarded->guard); i++)
		assert_int_equal(guarded->guard[i], 0x5a);
}

/* journald takes a name more than once, and keeps no order: neither value is better than the other. */
static void test_names_are_there_once(void **state)
{
	(void)state;
	begin();
	give("MESSAGE_ID=" MESSAGE_ID_READING);
	give("SOLAR_AC_POWER=1");
	give("SOLAR_AC_POWER=2");
	give("SOLAR_AC_POWER_2=3");
	give("SUNTAP_FLOW=1");
	give("SUNTAP_FLOW=2");
	assert_true(record_finish(record));
	assert_int_equal(record->count, 2);
	assert_int_equal(record->field_count, 1);
	assert_int_equal(record->left_out, 2);
}

static void test_json(void **state)
{
	struct text t = { 0 };

	(void)state;
	begin();
	give("MESSAGE_ID=" MESSAGE_ID_READING);
	GIVE_BYTES("SUNTAP_SERIAL=R\"1\\\n");
	give("SUNTAP_TIME=2024-05-01T10:00:00.5Z");
	give("SOLAR_A=1.50");
	give("SOLAR_B=\"}");
	record->machine[0] = '\0';
	strcpy(record->cursor, "s=1");
	assert_true(record_finish(record));
	json_record(&t, record);
	assert_string_equal(text_string(&t), "{\"type\":\"reading\",\"serial\":\"R\\\"1\\\\?\",\"time\":\"2024-05-01T10:00:00.500Z\","
			    "\"values\":{\"a\":1.50,\"b\":\"\\\"}\"},\"cursor\":\"s=1\"}");
	text_free(&t);
}

static void test_text(void **state)
{
	struct text t = { 0 };

	(void)state;
	text_integer(&t, INT64_MIN);
	text_add(&t, ",", 1);
	text_integer(&t, 0);
	text_add(&t, ",", 1);
	text_json(&t, "a\x01\x1f\x7f\t", SIZE_MAX);
	assert_string_equal(text_string(&t), "-9223372036854775808,0,\"a\\u0001\\u001f\\u007f\\u0009\"");
	text_clear(&t);
	for (int i = 0; i < 10000; i++)
		text_printf(&t, "%d", i % 10);
	assert_int_equal(t.length, 10000);
	text_clear(&t);
	text_printf(&t, "%0600d", 5);
	assert_int_equal(strlen(text_string(&t)), 600);
	text_free(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_reading), cmocka_unit_test(test_not_ours), cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_times), cmocka_unit_test(test_texts_are_clean), cmocka_unit_test(test_what_is_left_out),
		cmocka_unit_test(test_full_to_the_last_byte), cmocka_unit_test(test_names_are_there_once),
		cmocka_unit_test(test_json), cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests_name("export_record", tests, setup, teardown);
}
