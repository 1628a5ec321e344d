/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_alphaess.c - frames that are not whole, bodies that are not what they should be, and what is nobody's business */
#include "told.h"

#include "protocols/modbus.h"

#define SN "\"SN\":\"AL0000000000000\""
#define AT "\"Time\":\"2024/06/01 12:00:00\","

static size_t frame(uint8_t *out, uint8_t type, uint8_t command, const char *body)
{
	size_t n = strlen(body);
	uint16_t crc;

	out[0] = 1;
	out[1] = type;
	out[2] = command;
	out[3] = out[4] = 0;
	out[5] = (uint8_t)(n >> 8);
	out[6] = (uint8_t)n;
	memcpy(out + 7, body, n);
	crc = modbus_crc(out, n + 7);
	out[7 + n] = (uint8_t)(crc >> 8);
	out[8 + n] = (uint8_t)crc;
	return n + 9;
}

static void feed(struct session *s, enum dir dir, uint8_t type, uint8_t command, const char *body)
{
	static uint8_t bytes[65536];
	size_t n = frame(bytes, type, command, body);

	session_feed(s, dir, bytes, n, 0);
}

static void one(uint8_t command, const char *body)
{
	struct session *s = told_start(NULL);

	feed(s, DIR_DEVICE, 1, command, body);
	told_end(s);
}

static void numbers_of_json(void **state)
{
	(void)state;
	one(0x10, "{" AT SN ",\"Ppv1\":\"1250\",\"Ppv2\":12.50,\"Pbat\":\"-688.8960\", \"SOC\": \"33.2\"}");
	has("pv1_power=1250 pv2_power=12.50 battery_power=-688.8960 battery_soc=33.2 pv_power=1262.5\n");
	assert_int_equal(told.last.time_ms, INT64_C(1717243200000));
	/* the first of two wins; empty is absent; what is no number is left out, and its sums with it */
	one(0x05, "{" SN ",\"SOC\":\"33\",\"SOC\":\"99\",\"Ppv1\":\"\",\"Ppv2\":\"7\",\"PrealL1\":\"NaN\",\"PrealL2\":\"5\"}");
	has("battery_soc=33 pv_power=7.0\n");
	has("ac_l2_power=5");
	has("error: field\n");
	has_not(" ac_power");
	has_not("load_power");
	/* beyond what fits, beyond what is possible */
	one(0x05, "{" SN ",\"Ppv1\":99999999999999999999999,\"SOC\":\"101\",\"Fac\":\"1e2\",\"Ua\":true,\"Ub\":\"0x10\",\"BatV\":\"50.1\"}");
	has("reading AL0000000000000 battery_voltage=50.1\n");
}

static void packed_values(void **state)
{
	(void)state;
	one(0x05, "{" AT SN ",\"VcellLow\":\"17173759\",\"VcellHigh\":\"-1\",\"TcellLow\":\"16973819\",\"TcellHigh\":\"99999999999\"}");
	has("battery_cell_voltage_min=3.327 battery_cell_temperature_min=-5\n");
}

static void batteries_that_are_there(void **state)
{
	(void)state;
	one(0x05, "{" AT SN ",\"BatC1\":\"1.5\",\"BatC2\":\"0.0\",\"SOC1\":\"40\",\"BmsNum\":\"1\"}");
	has("battery1_current=1.5 battery1_soc=40\n");
	has_not("battery2");
}

static void bodies_that_are_none(void **state)
{
	static char deep[4096], many[16384];
	static const char *const bodies[] = {
		"{", "{\"", "{\"Ppv1\"", "{\"Ppv1\":", "{\"Ppv1\":\"1", "{\"Ppv1\":\"1\"", "{\"Ppv1\":\"1\",}", "{\"Ppv1\":\"1\"}x",
		"{\"Ppv1\" \"1\"}", "{\"Ppv1\":NaN}", "{\"Ppv1\":1e999}", "{\"Ppv1\":-}", "{\"Ppv1\":\"\\ud800\"}",
		"{\"Ppv1\":\"\xff\"}", "{1:2}", "{\"a\":[}", "{\"a\":[[[[[[[[[[1]]]]]]]]]]}",
	};
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		one(0x10, bodies[i]);
		has("error: body\n");
		assert_int_equal(told.readings, 0);
	}
	deep[0] = '{';
	memset(deep + 1, '[', sizeof(deep) - 2);
	one(0x10, deep);
	assert_int_equal(told.readings, 0);
	strcpy(many, "{");
	for (n = 0; n < 1600; n++)
		strcat(many, "\"a\":0,");
	strcat(many, "\"Ppv1\":1}");
	one(0x10, many);
	has("error: body\n");
	/* nested values are nobody's, and in nobody's way */
	one(0x10, "{\"x\":{\"Ppv1\":[\"]}\\\"\"]}," AT SN ",\"Ppv1\":\"3\"}");
	has("pv1_power=3 ");
}

static void stored_minutes(void **state)
{
	(void)state;
	one(0x0c, "Date,Time,SN,Ppv1, Vpv1\r\n2024/06/01,12:00:00,AL0000000000000,5,230.1\n"
		  "2024/06/01,12:01:00,AL0000000000000,6\n2024/13/01,12:02:00,AL0000000000000,7,230.3\n");
	has("historic pv1_power=5 pv1_voltage=230.1 pv_power=5.0\n");
	has("error: layout\n");
	has("time: arrival\nreading AL0000000000000 historic pv1_power=7 ");
	assert_int_equal(told.readings, 2);
	assert_int_equal(told.last.time_kind, TIME_NONE);
}

static void told_once(void **state)
{
	(void)state;
	one(0x10, "{" AT SN ",\"Ppv1\":\"3\"}");
	assert_int_equal(told.readings, 1);
	/* also over another flow, without a login; a dump of the same moment is something else */
	one(0x10, "{" AT SN ",\"Ppv1\":\"3\"}");
	assert_int_equal(told.readings, 0);
	has("duplicate: 2024/06/01 12:00:00 local\n");
	one(0x05, "{" AT SN ",\"Ppv1\":\"3\"}");
	assert_int_equal(told.readings, 1);
}

static void secrets(void **state)
{
	struct session *s = told_start(NULL);
	static uint8_t bytes[512];
	size_t n;

	(void)state;
	told.secret = "hunter2";
	feed(s, DIR_DEVICE, 1, 2, "{\"UserName\":\"AL0000000000000\",\"Password\":\"hunter2\",\"CompanyName\":\"AlphaESS\"}");
	has("info AL0000000000000\n");
	feed(s, DIR_DEVICE, 1, 2, "{\"UserName\":\"hunter2\",\"Password\":\"hunter2\"}");
	feed(s, DIR_DEVICE, 1, 0x2a, "{\"Password\":\"hunter2\"}");
	feed(s, DIR_DEVICE, 1, 4, "{" SN ",\"Address\":\"hunter2\",\"PhoneNumber\":\"hunter2\",\"License\":\"hunter2\",\"Poinv\":\"4.60\"}");
	feed(s, DIR_CLOUD, 2, 3, "{\"Status\":\"Success\"," SN ",\"ZipCode\":\"hunter2\",\"GridCharge\":false,\"CtrDis\":\"True\"}");
	feed(s, DIR_DEVICE, 1, 9, "{\"MsgType\":\"System\",\"MsgContent\":\"System is restart, reason:1 0!MAC:hunter2!\"}");
	n = frame(bytes, 1, 2, "{\"Password\":\"hunter2\"}");
	bytes[n - 1] ^= 1;
	session_feed(s, DIR_DEVICE, bytes, n, 0);
	told_end(s);
	has("rated_power=4600\n");
	has("grid_charge_enabled=0 discharge_window_enabled=1\n");
	has("text: System is restart, reason:1 0!\n");
	has("frame 0x010102 31 checksum\n");
}

static void wrong_lengths(void **state)
{
	static uint8_t bytes[1024];
	size_t n, m;
	struct session *s;

	(void)state;
	/* one too many, one too few, many too many: the next frame is found, whole or byte by byte */
	for (int cut = 0; cut < 2; cut++)
		for (int way = 0; way < 3; way++) {
			n = frame(bytes, 1, 0x10, "{" SN ",\"Ppv1\":\"3\"}");
			bytes[6] = (uint8_t)(bytes[6] + (const int[]){ -1, 1, 59 }[way]);
			m = frame(bytes + n, 1, 0x10, "{" SN ",\"Ppv1\":\"4\",\"Ppv2\":\"0000000000000000000000000000000\"}");
			s = told_start("alphaess");
			for (size_t i = 0; i < n + m; i += cut ? 1 : n + m)
				session_feed(s, DIR_DEVICE, bytes + i, cut ? 1 : n + m, 0);
			told_end(s);
			has("checksum\n");
			has("pv1_power=4 ");
			has_not("pv1_power=3 ");
			assert_int_equal(told.bytes[DIR_DEVICE], n + m);
		}
}

static void unknown_commands(void **state)
{
	static uint8_t bytes[64];
	struct session *s = told_start("alphaess");

	(void)state;
	/* in step, a command of tomorrow is a frame; out of step it is noise */
	feed(s, DIR_DEVICE, 1, 0x00, "");
	feed(s, DIR_DEVICE, 1, 0x33, "whatever");
	session_feed(s, DIR_DEVICE, bytes, 3, 0);
	feed(s, DIR_DEVICE, 1, 0x33, "whatever");
	feed(s, DIR_DEVICE, 1, 0x00, "");
	told_end(s);
	is("frame 0x010100 9 ok\nframe 0x010133 17 ok\nerror: body\nskip 20\nframe 0x010100 9 ok\n");
}

static void event_log(void **state)
{
	struct session *s = told_start(NULL);

	(void)state;
	feed(s, DIR_DEVICE, 1, 3, "{" SN "}");
	feed(s, DIR_DEVICE, 1, 9, "{\"MsgType\":\"EventLog\",\"MsgContent\":\"24/06/01 10:01:40 41;24/06/01 10:01:40 42;"
				  "24/06/01 10:01:40 41;24/02/30 10:00:00 1;rubbish;24/06/01 10:00:00 12345678901;\"}");
	told_end(s);
	has("reading AL0000000000000 historic event_code=41\nreading AL0000000000000 historic event_code=42\nduplicate: ");
	assert_int_equal(told.readings, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(numbers_of_json, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(packed_values, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(batteries_that_are_there, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(bodies_that_are_none, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(stored_minutes, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(told_once, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(secrets, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(wrong_lengths, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(unknown_commands, told_setup, told_teardown),
		cmocka_unit_test_setup_teardown(event_log, told_setup, told_teardown),
	};

	return cmocka_run_group_tests_name("alphaess", tests, NULL, NULL);
}
