/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_apsystems.c - where a frame ends, which unit is meant, what was stored; commands; the local port */
#include "told.h"

#define ECU "216000000001"
#define NOON INT64_C(1718366400)	/* 2024-06-14 12:00:00 UTC */

/* power, time, count, then inverters; the length as it has to be */
static size_t record(char *out, size_t room, const char *power, const char *time, const char *rest)
{
	size_t n = 86 + strlen(rest);

	return (size_t)snprintf(out, room, "APS18%s%zuAAAAAAA1" ECU "%s00000000000000123456%s001000000END%s",
				n < 100 ? "AAA" : "AA", n, power, time, rest);
}

#define YC600(id, type, ac) id type "231" "00500" "142" "01250" ac "0000025125" \
	"1" "00345" "045" "012800" "15300" "2" "00341" "046" "012700" "15500" "END"

static void feed(struct session *s, enum dir dir, const char *text, int64_t time)
{
	session_feed(s, dir, (const uint8_t *)text, strlen(text), time * NSEC_PER_SEC);
}

static void one(const char *text)
{
	struct session *s = told_start(NULL);

	feed(s, DIR_DEVICE, text, 0);
	told_end(s);
}

static void ends_of_frames(void **state)
{
	char text[1024], wrong[1024];
	struct session *s;

	(void)state;
	/* no newline, by one byte and at once, before another and at the end */
	record(text, sizeof(text), "0000000612", "20240614120000", YC600("408000000011", "07", "30150"));
	record(text + strlen(text), 512, "0000000000", "20240614120500", "");
	for (int cut = 0; cut < 2; cut++) {
		s = told_start("apsystems");
		for (size_t i = 0; i < strlen(text); i += cut ? 1 : strlen(text))
			session_feed(s, DIR_DEVICE, (uint8_t *)text + i, cut ? 1 : strlen(text), 0);
		told_end(s);
		has("frame APS18 174 ok\n");
		has("frame APS18 86 ok\n");
	}
	/* the cloud's answer tells that the record is at its end */
	s = told_start("apsystems");
	record(text, sizeof(text), "0000000612", "20240614121000", "");
	feed(s, DIR_DEVICE, text, 0);
	is("");
	feed(s, DIR_CLOUD, "10120240614121000", 0);
	assert_int_equal(told.readings, 1);
	told_end(s);
	has("frame reply 17 ok\n");
	/* a length that reaches into the next record, one that is too short */
	record(wrong, sizeof(wrong), "0000000612", "20240614121500", "");
	wrong[9] = '9';
	record(wrong + 86, 512, "0000000612", "20240614122000", "");
	one(wrong);
	has("frame APS18 86 length\n");
	has("frame APS18 86 ok\n");
	assert_int_equal(told.readings, 1);
	wrong[9] = '5';
	one(wrong);
	has("length\n");
	assert_int_equal(told.readings, 0);	/* that of 12:20 was told above */
	has("duplicate: 20240614122000 local\n");
	/* the END of a part of the record is not that of the record */
	record(wrong, sizeof(wrong), "0000000612", "20240614122500", YC600("408000000011", "07", "30150"));
	memcpy(wrong + 5, "AAA86", 5);
	one(wrong);
	assert_int_equal(told.readings, 0);
	has("length\n");
}

static void units(void **state)
{
	char text[1024];

	(void)state;
	record(text, sizeof(text), "0000000306", "20240614120000", YC600("408000000011", "07", "30150"));
	one(text);
	has(" ac_power=301.50 ");
	has("reading " ECU " ac_power=306 ");
	record(text, sizeof(text), "0000030600", "20240614120500", YC600("408000000011", "07", "03015"));
	one(text);
	has(" ac_power=301.50 ");
	has("reading " ECU " ac_power=306.00 ");
	/* neither fits: the usual one; a type never seen that looks the same */
	record(text, sizeof(text), "0000000306", "20240614121000", YC600("408000000011", "0B", "00001"));
	one(text);
	has(" ac_power=0.01 ");
	/* the channels' digits are not 1 and 2: no type of ours */
	record(text, sizeof(text), "0000000306", "20240614121500", YC600("408000000011", "0B", "00001"));
	text[86 + 45] = '7';
	one(text);
	has("error: type\n");
	assert_int_equal(told.readings, 1);
	/* a power that nothing has */
	record(text, sizeof(text), "9999999999", "20240614122000", "");
	one(text);
	has("reading " ECU " energy_interval=");
}

static void fields_that_are_none(void **state)
{
	char text[1024];

	(void)state;
	record(text, sizeof(text), "AAAAAAA306", "20240614120000", YC600("408000000011", "07", "3O150"));
	memcpy(text + 86 + 60, "x5300", 5);
	memcpy(text + 86 + 22, "AAA", 3);
	one(text);
	has("error: field\n");
	has("reading 408000000011 ac_voltage=231 ac_frequency=50.0 ac_reactive_power=12.50 energy_interval=");
	has("ac_power=306 ");
	has_not("pv1_power");
	has_not("pv_power");
	record(text, sizeof(text), "0000000306", "20241314120000", "");
	one(text);
	has("time: arrival\n");
	assert_int_equal(told.last.time_kind, TIME_NONE);
}

/* A record of that minute, arriving at that second after noon UTC. */
static bool stored(const char *time, int64_t after_noon)
{
	struct session *s = told_start(NULL);
	char text[128];

	record(text, sizeof(text), "0000000306", time, "");
	feed(s, DIR_DEVICE, text, NOON + after_noon);
	told_end(s);
	assert_int_equal(told.readings, 1);
	return told.last.historic;
}

static void what_was_stored(void **state)
{
	(void)state;
	/* an ECU in a zone two hours ahead */
	assert_false(stored("20240614140000", 5));
	assert_false(stored("20240614140500", 305));
	assert_true(stored("20240614131000", 306));
	assert_true(stored("20240614131500", 307));
	assert_false(stored("20240614141000", 605));
	/* no zone is twenty hours behind, so that needs no comparison */
	assert_true(stored("20240613160000", 606));
	/* the clock goes back by an hour: two cycles later that is the time */
	assert_true(stored("20240614131501", 905));
	assert_false(stored("20240614132000", 1205));
	assert_false(stored("20240614132500", 1505));
	assert_true(stored("20240614123000", 1506));
}

static void commands(void **state)
{
	struct session *s = told_start(NULL);

	(void)state;
	feed(s, DIR_DEVICE, "APS1300051A101AAA0" ECU "A10100000000000000END\n", 0);
	feed(s, DIR_CLOUD, "APS1300055A999AAA0" ECU "0" "0000" "20250614120000" "END" "150", 0);
	feed(s, DIR_CLOUD, "END", 0);
	/* told before the acknowledgement, though no newline ended it */
	feed(s, DIR_DEVICE, "APS1300052A100AAA0" ECU "A999202506141200005END\n", 0);
	feed(s, DIR_CLOUD, "APS1300051A101AAA0" ECU "A11720250614120000END", 0);
	told_end(s);
	is("frame APS13-A101 52 ok\nframe APS13-A999 55 length\n"
	   "frame APS13-A100 53 ok\nack: 5\nskip 3\n"
	   "frame APS13-A101 51 ok\ncommand: A117\n");
	s = told_start(NULL);
	feed(s, DIR_CLOUD, "APS1300058A999AAA0" ECU "0" "0000" "20250614120000" "END" "150END", 0);
	feed(s, DIR_DEVICE, "APS1300052A100AAA0" ECU "A999202506141200005END\n", 0);
	told_end(s);
	is("frame APS13-A999 58 ok\ncommand: A999\ndangerous: 1\nparam: 0000020250614120000END150\n"
	   "frame APS13-A100 53 ok\nack: 5\n");
}

static void replies(void **state)
{
	struct session *s = told_start("apsystems");

	(void)state;
	feed(s, DIR_CLOUD, "100", 0);
	feed(s, DIR_CLOUD, "1012024061412", 0);
	feed(s, DIR_CLOUD, "0000" "000\n" "101x", 0);
	told_end(s);
	is("frame reply 3 ok\nframe reply 17 ok\nframe reply 4 ok\nreply: refused\nskip 4\n");
}

static void local_port(void **state)
{
	static const char list[] = "APS110053000200" "01" "\0\1" "\x20\x24\x06\x14\x12\x00\x00"
				   "\x40\x80\x00\x00\x00\x11" "\1" "07" "\x01\xf4" "\0\x8c" "\0\1\0\2\0\3\0\4";
	static const char signal[] = "APS110025003000" "\x40\x80\x00\x00\x00\x1a\xff" "END\n";
	struct session *s = told_start(NULL);

	(void)state;
	told.secret = "hunter2";
	feed(s, DIR_CLOUD, "APS1100420010" ECU "ENDhunter2xxxxEND\n", 0);
	/* a type that nobody knows, an id that is no number, a day that was not asked for */
	feed(s, DIR_CLOUD, "APS1100280002" ECU "END\n", 0);
	session_feed(s, DIR_DEVICE, (const uint8_t *)list, sizeof(list) - 1, 0);
	feed(s, DIR_DEVICE, "END\n", 0);
	session_feed(s, DIR_DEVICE, (const uint8_t *)signal, sizeof(signal) - 1, 0);
	feed(s, DIR_DEVICE, "APS110022000300" "\x06\x05\x01\x03" "END\n", 0);
	told_end(s);
	is("frame APS11-0010 43 ok\ncommand: 0010\ndangerous: 1\nframe APS11-0002 29 ok\n"
	   "frame APS11-0002 51 ok\nerror: type\nframe APS11-0030 26 ok\nerror: field\n"
	   "frame APS11-0003 23 ok\nerror: layout\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ends_of_frames, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(units, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(fields_that_are_none, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(what_was_stored, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(commands, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(replies, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(local_port, told_setup, told_teardown),
	};

	return cmocka_run_group_tests_name("apsystems", tests, NULL, NULL);
}
