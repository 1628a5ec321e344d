/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_map.c - map files: what each fault is told as, and what each key does to a value */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocols/knowledge.h"
#include "protocols/reading_fill.h"

#define HEAD "[map]\nprotocol = solarman-v5\nsensor_list = 0x1234\nlength = 100\n"

static char complaints[8192];

static void complain(void *ctx, const char *text)
{
	(void)ctx;
	strncat(complaints, text, sizeof(complaints) - strlen(complaints) - 2);
	strcat(complaints, "\n");
}

static struct map *load(const char *text)
{
	*complaints = '\0';
	return map_load_text("t.ini", text, strlen(text), complain, NULL);
}

static void refused(const char *text, const char *because)
{
	struct map *m = load(text);

	if (m || !strstr(complaints, because))
		fail_msg("wanted \"%s\", got \"%s\"", because, m ? "a map" : complaints);
}

static void faults_are_told_with_file_and_line(void **state)
{
	(void)state;
	refused(HEAD "[a]\nat = 0\nscal = 0.1\n", "t.ini:7: [a] unknown key \"scal\"; known are: at, register");
	refused("[map]\nprotokoll = x\n", "t.ini:2: [map] unknown key \"protokoll\"");
	refused(HEAD "[a]\nat = 0\ntype = u24\n", "t.ini:7: [a] type: unknown type \"u24\"; known are: u8");
	refused(HEAD "[a]\nat = 0\nscale = 0,1\n", "t.ini:7: [a] scale: \"0,1\" is no number; write e.g. 0.1");
	refused(HEAD "[a]\nat = 0\nscale = 1/0\n", "is no number");
	refused(HEAD "[a]\nat = 0\nscale = 0\n", "is no number");
	refused(HEAD "[a]\nat = x\n", "t.ini:6: [a] at: \"x\" is no number");
	refused(HEAD "[a]\nat = 99\n", "ends at offset 101, beyond the record's length 100");
	refused(HEAD "[a]\nat = 0\n[a]\nat = 2\n", "t.ini:7: [a] is there already, in line 5");
	refused(HEAD "[pv{1..2}_power]\nat = 0\nstep = 2\n[pv1_power]\nat = 9\n", "pv1_power is there already");
	refused(HEAD "[a]\nat = 0\nat = 2\n", "t.ini:7: [a] at is there already, in line 6");
	refused(HEAD "[a]\n", "says nowhere where it is");
	refused(HEAD "[a]\nat = 0\nitem = 4\n", "more than once");
	refused(HEAD "[Power]\nat = 0\n", "is no name");
	refused(HEAD "[a]\nregister = 5\n", "not (wholly) inside a block");
	refused("[map]\nprotocol = x\nregisters = 5..6 at 0\n[a]\nregister = 6\ntype = u32\n",
		"and those it goes on to: not (wholly) inside");
	refused("[map]\nprotocol = x\nregisters = 5-6\n[a]\nat = 6\n", "is no block; write e.g.");
	refused("[map]\nprotocol = x\nregisters = 5..9, 8..10\n[a]\nat = 6\n", "overlaps another");
	refused(HEAD "[b]\nproduct = x, y\n", "no \"x\" stands before this section");
	refused(HEAD "[b]\nat = 0\nif = pv_inputs >= 2\n", "no \"pv_inputs\" stands before");
	refused(HEAD "[c]\nat = 0\n[b]\nat = 0\nif = c ~ 2\n", "write NAME OP NUMBER");
	refused(HEAD "[pv{1-4}_power]\nat = 0\n", "is no template; write e.g. [pv{1..4}_voltage]");
	refused(HEAD "[a]\nat = 0\nstep = 4\n", "only for a template");
	refused(HEAD "[a]\nat = 0\nnames = normal\n", "write VALUE NAME");
	refused(HEAD "[a]\nat = 0\nnone = 1, 2, 3, 4, 5\n", "up to 4 raw values");
	refused(HEAD "[a]\nat = 0\nmin = 5\nmax = 4\n", "min is above max");
	refused(HEAD "[a]\nat = 0\ndigits = 12\n", "no number from 0 to 9");
	refused(HEAD "[a]\nat = 0\nhigh_at = 8\n", "only a 32-bit type has a high word");
	refused(HEAD "[a]\nat = 0\npublish = perhaps\n", "neither yes nor no");
	refused(HEAD "[a]\nat = 0\norder = middle\n", "neither big nor little");
	refused("[map]\nmodel = x\n[a]\nat = 0\n", "nothing says when this map is used");
	refused("[map]\nmodbus = yes\n[a]\nat = 0\n", "needs registers");
	refused("[map]\nprotocol = x\nsensor_list = 0x100/0xff\n[a]\nat = 0\n", "under the mask");
	refused("[map]\nprotocol = x\nsensor_list = 1\ndata_id = 2\n[a]\nat = 0\n", "chosen by sensor_list already");
	refused("[map]\nprotocol = x\ninclude = other.ini\n[a]\nat = 0\n", "there is no map \"other.ini\"");
	refused("[a]\nat = 0\n", "no section [map]");
	refused("protocol = x\n" HEAD, "stands before the first section");
	refused(HEAD "[a]\nnonsense\n", "t.ini:6: neither [section] nor key = value");
	refused(HEAD, "without a single field");
	refused(HEAD "[a]\nitem = 1\n[b]\nitem = 1\n", "item 0x1 is taken twice: a and b");
	refused("", "no section [map]");
}

static void long_lines_are_no_surprise(void **state)
{
	char text[1024] = HEAD "[a]\nat = 0\nnames = ";
	struct map *m;

	(void)state;
	for (int i = 0; i < 40; i++)
		sprintf(text + strlen(text), "%d name%d, ", i, i);
	strcat(text, "\n");
	refused(text, "t.ini:7: line too long: at most 198 bytes");
	m = load(HEAD "[a]\nat = 0\nnames = 0 off,\n   1 on,\n   2 fault\n");
	assert_non_null(m);
	assert_int_equal(m->fields[0].name_count, 3);
	assert_string_equal(m->fields[0].names[2].text, "fault");
	map_free(m);
}

/* ------------------------------------------------ what keys do */
static struct map_work work;
static struct reading reading;

static struct reading *decode(const char *fields, const char *bytes, size_t length)
{
	char text[4096];
	struct map *m;

	snprintf(text, sizeof(text), "[map]\nprotocol = x\n%s", fields);
	m = load(text);
	if (!m)
		fail_msg("%s", complaints);
	reading_start(&reading, "x", 0);
	map_decode_bytes(m, &work, (const uint8_t *)bytes, length, &reading);
	/* Names live as long as the map; the test looks at them after it. */
	for (size_t i = 0; i < reading.count; i++) {
		reading.values[i].name = strdup(reading.values[i].name);
		if (reading.values[i].type == VALUE_TEXT)
			reading.values[i].text = strdup(reading.values[i].text);
	}
	map_free(m);
	return &reading;
}

static void value_is(const char *fields, const char *bytes, size_t length, const char *name, const char *want)
{
	struct reading *r = decode(fields, bytes, length);
	const struct value *v = reading_find(r, name);
	char text[24] = "nothing";

	if (v && v->type == VALUE_NUMBER)
		number_format(v->number, text);
	assert_string_equal(v && v->type == VALUE_TEXT ? v->text : text, want);
	for (size_t i = 0; i < r->count; i++) {
		free((void *)(uintptr_t)r->values[i].name);
		if (r->values[i].type == VALUE_TEXT)
			free((void *)(uintptr_t)r->values[i].text);
	}
}

#define IS(fields, bytes, name, want) value_is(fields, bytes, sizeof(bytes) - 1, name, want)

static void types_orders_and_scales(void **state)
{
	(void)state;
	IS("[a]\nat = 1\ntype = u8\n", "\x01\xfe", "a", "254");
	IS("[a]\nat = 1\ntype = s8\n", "\x01\xfe", "a", "-2");
	IS("[a]\nat = 0\n", "\x12\x34", "a", "4660");
	IS("order = little\n[a]\nat = 0\n", "\x12\x34", "a", "13330");
	IS("order = little\n[a]\nat = 0\norder = big\n", "\x12\x34", "a", "4660");
	IS("[a]\nat = 0\ntype = s16\n", "\xff\xfe", "a", "-2");
	IS("[a]\nat = 0\ntype = u32\n", "\0\1\0\2", "a", "65538");
	IS("[a]\nat = 0\ntype = u32\nwords = low-first\n", "\0\2\0\1", "a", "65538");
	IS("order = little\n[a]\nat = 0\ntype = u32\n", "\2\0\1\0", "a", "65538");
	IS("[a]\nat = 0\ntype = s32\n", "\xff\xff\xff\xfe", "a", "-2");
	IS("[a]\nat = 0\ntype = u64\nwords = low-first\n", "\0\4\0\3\0\2\0\1", "a", "281483566841860");
	IS("[a]\nat = 0\nhigh_at = 4\ntype = u32\n", "\0\2\xaa\xbb\0\1", "a", "65538");
	IS("[a]\nat = 0\nhigh_at = 4\ntype = s32\nnarrow = yes\n", "\xff\xfe\xaa\xbb", "a", "-2");
	IS("[a]\nat = 0\nhigh_at = 4\ntype = s32\n", "\xff\xfe\xaa\xbb", "a", "nothing");
	IS("[a]\nat = 0\ntype = f32\n", "\x43\x60\xd9\x9a", "a", "224.85");
	IS("[a]\nat = 0\ntype = f32\n", "\x7f\xc0\0\0", "a", "nothing");
	IS("[a]\nat = 0\ntype = f32\n", "\xff\x80\0\0", "a", "nothing");
	IS("[a]\nat = 0\ntype = text(4)\n", "ab \0", "a", "ab");
	IS("[a]\nat = 0\ntype = version\n", "\x40\x10", "a", "V4.0.10");
	IS("[a]\nat = 0\ntype = hex\n", "\x00\x2a", "a", "002A");
	IS("[a]\nat = 0\ntype = datetime\n", "\x18\x04\x08\x11\x09\x01", "a", "2024-04-08T17:09:01");
	IS("[a]\nat = 0\ntype = datetime\n", "\x18\x02\x1e\x11\x09\x01", "a", "nothing");	/* 30 February */
	IS("[a]\nat = 0\ntype = datetime_words\n", "\x07\xe8\0\2\0\x1d\0\0\0\0\0\1", "a", "2024-02-29T00:00:01");
	IS("[a]\nat = 0\nbits = 8..11\n", "\xf4\x01", "a", "4");
	IS("[a]\nat = 0\nscale = 0.1\n", "\x08\xc8", "a", "224.8");
	IS("[a]\nat = 0\nscale = -0.01\ntype = s16\n", "\xfe\xfd", "a", "2.59");
	IS("[a]\nat = 0\nscale = -0.01\n", "\0\0", "a", "0.00");
	IS("[a]\nat = 0\nscale = 60\n", "\0\3", "a", "180");
	IS("[a]\nat = 0\nscale = 100/1024\n", "\2\0", "a", "50.00");
	IS("[a]\nat = 0\nscale = 1/7200\ntype = u32\n", "\0\0\x1c\x20", "a", "1.00");
	IS("[a]\nat = 0\nscale = 0.1\ndigits = 0\n", "\0\x0f", "a", "2");
	IS("[a]\nat = 0\nadd = -40\n", "\0\x09", "a", "-31");
	IS("[a]\nat = 0\nscale = 0.1\nadd = -100\n", "\5\x4f", "a", "35.9");
}

static void what_is_no_value(void **state)
{
	(void)state;
	IS("[a]\nat = 0\nnone = 0xffff\n", "\xff\xff", "a", "nothing");
	IS("[a]\nat = 0\nnone = 0xffff\ntype = s16\n", "\xff\xff", "a", "nothing");
	IS("none_u16 = 0xffff\n[a]\nat = 0\n", "\xff\xff", "a", "nothing");
	IS("none_u16 = 0xffff\n[a]\nat = 0\ntype = u32\n", "\xff\xff\xff\xff", "a", "nothing");
	IS("none_u16 = 0xffff\n[a]\nat = 0\ntype = u32\n", "\xff\xff\xff\xfe", "a", "4294967294");
	IS("none_u16 = 0xffff\n[a]\nat = 0\ntype = u64\n", "\xff\xff\xff\xff\xff\xff\xff\xff", "a", "nothing");
	IS("none_u16 = 0xffff\n[a]\nat = 0\nnone =\n", "\xff\xff", "a", "65535");
	IS("none_u16 = 0xffff\n[a]\nat = 0\ntype = s16\n", "\xff\xff", "a", "-1");
	/* Physics: by the name's ending, or by the map. */
	IS("[ac_voltage]\nat = 0\n", "\5\xdd", "ac_voltage", "nothing");
	IS("[ac_voltage]\nat = 0\n", "\5\xdc", "ac_voltage", "1500");
	IS("[ac_voltage]\nat = 0\nmax = 500\n", "\1\xf5", "ac_voltage", "nothing");
	IS("[ac_frequency]\nat = 0\nscale = 0.01\n", "\x1b\x59", "ac_frequency", "nothing");
	IS("[battery_soc]\nat = 0\n", "\0\x65", "battery_soc", "nothing");
	IS("[a_temperature]\nat = 0\ntype = s16\n", "\xff\xc3", "a_temperature", "nothing");
	IS("[energy_total]\nat = 0\ntype = u32\nscale = 0.1\n", "\xff\xff\xff\xff", "energy_total", "nothing");
	/* One bad value does not take the others with it. */
	IS("[ac_voltage]\nat = 0\n[status]\nat = 2\n", "\xff\xff\0\1", "status", "1");
	/* A short record gives what is whole. */
	IS("[a]\nat = 0\n[b]\nat = 2\n", "\0\1\0", "a", "1");
	IS("[a]\nat = 0\n[b]\nat = 2\n", "\0\1\0", "b", "nothing");
	IS("[a]\nat = 0\n", "", "a", "nothing");
}

#define TWO "[x]\nat = 0\nscale = 0.01\n[y]\nat = 2\nscale = 0.01\n"
#define SLOTS \
	"[v1]\nat = 0\npublish = no\n[v2]\nat = 2\npublish = no\n[v3]\nat = 4\npublish = no\n" \
	"[ac_voltage.3]\nat = 4\nonly_if = v1 == 0, v2 == 0, v3 != 0\n" \
	"[ac_voltage.2]\nat = 2\nonly_if = v1 == 0, v3 == 0, v2 != 0\n" \
	"[ac_voltage.1]\nat = 0\nonly_if = v2 == 0, v3 == 0\n"

static void computed_conditional_and_alternative(void **state)
{
	(void)state;
	IS(TWO "[p]\nproduct = x, y\n", "\x0d\x3a\0\x70", "p", "37.92");
	IS(TWO "[p]\nproduct = x, -y\n", "\0\x64\0\x64", "p", "-1.00");
	IS(TWO "[p]\nsum = x, -y\n", "\0\x64\0\x96", "p", "-0.50");
	IS(TWO "[p]\nproduct = x, y\n", "\x0d\x3a\0", "p", "nothing");
	IS("[x]\nat = 0\nnone = 0\n[y]\nat = 2\n[p]\nsum = x, y\n", "\0\0\0\1", "p", "nothing");
	/* What does not fit into a number is none. */
	IS("[x_power]\nat = 0\ntype = u32\n[p]\nproduct = x_power, x_power, x_power, x_power\n",
	   "\0\x0f\x42\x40", "p", "nothing");
	IS("[n]\nat = 0\n[pv{1..4}_status]\nat = 2\nstep = 2\nif = n >= {i}\n", "\0\2\0\1\0\2\0\3\0\4",
	   "pv2_status", "2");
	IS("[n]\nat = 0\n[pv{1..4}_status]\nat = 2\nstep = 2\nif = n >= {i}\n", "\0\2\0\1\0\2\0\3\0\4",
	   "pv3_status", "nothing");
	/* What was not decoded forbids with only_if, not with if. */
	IS("[n]\nat = 8\n[s]\nat = 0\nif = n > 1\n", "\0\7", "s", "7");
	IS("[n]\nat = 8\n[s]\nat = 0\nonly_if = n > 1\n", "\0\7", "s", "nothing");
	IS("[x]\nat = 0\n[y]\nat = 2\nunless_zero = x\n", "\0\0\0\7", "y", "nothing");
	IS("[x]\nat = 0\n[y]\nat = 2\nunless_zero = x\n", "\0\1\0\7", "y", "7");
	IS("[status]\nat = 0\nnames = 0 standby, 1 on line\n", "\0\1", "status", "on line");
	IS("[status]\nat = 0\nnames = 0 standby, 1 on line\n", "\0\2", "status", "2");
	IS(SLOTS, "\0\0\0\0\0\xe6", "ac_voltage", "230");
	IS(SLOTS, "\0\0\0\xe6\0\0", "ac_voltage", "230");
	IS(SLOTS, "\0\xe6\0\0\0\0", "ac_voltage", "230");
	IS(SLOTS, "\0\xe6\0\xe6\0\xe6", "ac_voltage", "nothing");
	IS(SLOTS, "\0\xe6\0\0\0\0", "v1", "nothing");
}

static void the_first_alternative_counts(void **state)
{
	const struct reading *r = decode("[x.1]\nat = 0\nnone = 0\n[x.2]\nat = 2\n", "\0\5\0\7", 4);

	(void)state;
	assert_int_equal(r->count, 1);
	assert_int_equal(r->values[0].number.mantissa, 5);
	free((void *)(uintptr_t)r->values[0].name);
	r = decode("[x.1]\nat = 0\nnone = 0\n[x.2]\nat = 2\n", "\0\0\0\7", 4);
	assert_int_equal(r->count, 1);
	assert_int_equal(r->values[0].number.mantissa, 7);
	free((void *)(uintptr_t)r->values[0].name);
}

static void totals_do_not_fall_to_zero(void **state)
{
	struct map *m = load("[map]\nprotocol = x\n[energy_total]\nat = 0\n[pv1_energy_total]\nat = 2\n");
	uint64_t totals = 0;

	(void)state;
	assert_non_null(m);
	work.totals = &totals;
	for (int i = 0; i < 4; i++) {
		static const uint8_t records[][4] = { { 0, 0, 0, 9 }, { 0, 5, 0, 9 }, { 0, 0, 0, 0 }, { 0, 6, 0, 9 } };

		reading_start(&reading, "x", 0);
		map_decode_bytes(m, &work, records[i], 4, &reading);
		assert_int_equal(reading.count, i == 2 ? 0 : 2);
	}
	work.totals = NULL;
	map_free(m);
}

static void one_map_serves_record_and_registers(void **state)
{
	struct map *m = load("[map]\nprotocol = x\nmodbus = yes\nregisters = 0x3000..0x3002 at 10, 7..8\n"
			     "[a]\nregister = 0x3001\ntype = u32\n[b]\nregister = 8\n[serial]\nat = 0\ntype = text(4)\n");
	static const uint8_t record[] = "ABCD......\0\1\0\2\0\3", words[] = "\0\2\0\3", other[] = "\0\7\0\x08";
	const struct map_registers groups[] = { { 0x3001, 2, words }, { 7, 2, other } };

	(void)state;
	assert_non_null(m);
	reading_start(&reading, "x", 0);
	map_decode_bytes(m, &work, record, 16, &reading);
	assert_int_equal(reading_find(&reading, "a")->number.mantissa, 0x20003);
	assert_null(reading_find(&reading, "b"));
	assert_string_equal(reading.serial, "ABCD");
	reading_start(&reading, "x", 0);
	map_decode_registers(m, &work, groups, 2, &reading);
	assert_int_equal(reading_find(&reading, "a")->number.mantissa, 0x20003);
	assert_int_equal(reading_find(&reading, "b")->number.mantissa, 8);
	assert_string_equal(reading.serial, "");
	map_free(m);
}

static void write_file(const char *folder, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void folders_override_and_include(void **state)
{
	char a[] = "/tmp/suntap-map-XXXXXX", b[] = "/tmp/suntap-map-XXXXXX", command[128];
	const char *folders[] = { a, "/nonexistent/maps", b };
	static const uint8_t words[] = "\x13\x88";
	const struct modbus_question question = { .function = 3, .registers = { 79, 1, words } };
	struct knowledge *k;
	const struct map *m;

	(void)state;
	assert_non_null(mkdtemp(a));
	assert_non_null(mkdtemp(b));
	write_file(a, "part.ini", "[map]\npart = yes\n[x]\nat = 0\n[y]\nat = 2\n");
	write_file(a, "one.ini", "[map]\nprotocol = p\nsensor_list = 1\ninclude = part.ini\n"
				 "[x]\nat = 4\nreplace = yes\n[z]\nsum = x, y\n");
	write_file(a, "two.ini", "[map]\nprotocol = p\nsensor_list = 2\n[x]\nat = nonsense\n");
	write_file(b, "two.ini", "[map]\nprotocol = p\nsensor_list = 2/0xff\nlength = 10..\n[x]\nat = 0\n");
	write_file(b, "bad.ini", "[map]\nprotocol = p\nsensor_list = 3\n[x]\n");
	write_file(b, "circle.ini", "[map]\nprotocol = p\nsensor_list = 4\ninclude = circle.ini\n[q]\nat = 1\n");
	write_file(b, "readme.txt", "no map");
	*complaints = '\0';
	assert_int_equal(knowledge_new(&k, folders, 3, complain, NULL), 3);
	assert_non_null(strstr(complaints, "bad.ini:4: [x] says nowhere"));
	assert_non_null(strstr(complaints, "comes twice or in a circle"));
	assert_null(strstr(complaints, "two.ini"));
	m = knowledge_record_map(k, "p", "sensor_list", 1, 6);
	assert_non_null(m);
	reading_start(&reading, "p", 0);
	map_decode_bytes(m, &work, (const uint8_t *)"\0\1\0\2\0\3", 6, &reading);
	assert_int_equal(reading_find(&reading, "x")->number.mantissa, 3);
	assert_int_equal(reading_find(&reading, "z")->number.mantissa, 5);
	assert_non_null(knowledge_record_map(k, "p", "sensor_list", 0x702, 10));	/* masked */
	assert_null(knowledge_record_map(k, "p", "sensor_list", 0x702, 9));		/* too short */
	assert_null(knowledge_record_map(k, "p", "sensor_list", 0x703, 10));
	assert_null(knowledge_record_map(k, "q", "sensor_list", 1, 10));
	knowledge_free(k);
	/* Evidence that fits two maps is none. */
	write_file(b, "deye.ini", "[map]\nmodbus_require = 79 in 4500..6500\nregisters = 70..80\n[x]\nregister = 79\n");
	assert_true(knowledge_new(&k, folders, 3, NULL, NULL) > 0);
	assert_non_null(knowledge_modbus_map(k, NULL, &question));
	knowledge_free(k);
	write_file(b, "other.ini", "[map]\nmodbus_require = 79 in 0..9999\nregisters = 70..80\n[y]\nregister = 79\n");
	assert_true(knowledge_new(&k, folders, 3, NULL, NULL) > 0);
	assert_null(knowledge_modbus_map(k, NULL, &question));
	knowledge_free(k);
	snprintf(command, sizeof(command), "rm -r %s %s", a, b);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_are_told_with_file_and_line),
		cmocka_unit_test(long_lines_are_no_surprise),
		cmocka_unit_test(types_orders_and_scales),
		cmocka_unit_test(what_is_no_value),
		cmocka_unit_test(computed_conditional_and_alternative),
		cmocka_unit_test(the_first_alternative_counts),
		cmocka_unit_test(totals_do_not_fall_to_zero),
		cmocka_unit_test(one_map_serves_record_and_registers),
		cmocka_unit_test(folders_override_and_include),
	};

	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
