/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_homeassistant.c - names, ids and quantities as Home Assistant gets them; the whole vocabulary is in test_export_mqtt.py */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "export/homeassistant.h"

static void names(void **state)
{
	static const char *const pairs[][2] = {
		{ "pv1_voltage", "PV1 voltage" }, { "energy_today", "Energy today" }, { "ac_l1_l2_voltage", "AC L1 L2 voltage" },
		{ "battery2_soc", "Battery2 SoC" }, { "wifi_signal", "Wi-Fi signal" }, { "battery_bms_current", "Battery BMS current" },
		{ "load_power", "Load power" }, { "a", "A" },
		{ "abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_abcdef",
		  "Abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz abcdef" },
	};
	char got[HOMEASSISTANT_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		homeassistant_name(pairs[i][0], got);
		assert_string_equal(got, pairs[i][1]);
	}
	/* every word grows by a character */
	homeassistant_name("ip_ip_ip_ip_ip_ip_ip_ip_ip_ip_ip_ip_ip_ip_ip_ip_ip_ip_ip_ip", got);
	assert_true(strlen(got) < HOMEASSISTANT_NAME_MAX);
	homeassistant_name("wifi_wifi_wifi_wifi_wifi_wifi_wifi_wifi_wifi_wifi_wifi_wifi", got);
	assert_true(strlen(got) < HOMEASSISTANT_NAME_MAX);
}

static void ids(void **state)
{
	char a[HOMEASSISTANT_ID_MAX], b[HOMEASSISTANT_ID_MAX], longest[RECORD_ID_MAX];

	(void)state;
	homeassistant_id("R17-000_1", a);
	assert_string_equal(a, "R17-000_1");
	homeassistant_id("R17.1", a);
	homeassistant_id("R17/1", b);
	assert_memory_equal(a, "R17_1_", 6);
	assert_string_not_equal(a, b);
	homeassistant_id("", a);
	assert_true(strlen(a) > 0);
	memset(longest, '+', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	homeassistant_id(longest, a);
	assert_int_equal(strlen(a), RECORD_ID_MAX - 1 + 9);
}

static void quantity(const char *name, const char *device_class, const char *unit, const char *state_class, int precision)
{
	struct quantity q;

	homeassistant_quantity(name, true, &q);
	assert_string_equal(q.device_class ? q.device_class : "", device_class);
	assert_string_equal(q.unit ? q.unit : "", unit);
	assert_string_equal(q.state_class ? q.state_class : "", state_class);
	assert_int_equal(q.precision, precision);
}

static void quantities(void **state)
{
	struct quantity q;

	(void)state;
	quantity("pv1_voltage", "voltage", "V", "measurement", 1);
	quantity("battery_cell3_voltage", "voltage", "V", "measurement", 3);
	quantity("ac_voltage_limit_upper", "voltage", "V", "", 1);
	quantity("grid_power", "power", "W", "measurement", 0);
	quantity("battery_charge_limit", "power", "W", "", 0);
	quantity("battery_soc_charge_limit", "", "%", "", 0);
	quantity("rated_power", "power", "W", "", 0);
	quantity("grid_l1_power_factor", "power_factor", "", "measurement", 2);
	quantity("grid_reactive_power", "reactive_power", "var", "measurement", 0);
	quantity("energy_total", "energy", "kWh", "total_increasing", 1);
	quantity("pv2_energy_today", "energy", "kWh", "total_increasing", 2);
	quantity("ac_energy_interval", "energy", "kWh", "", 3);
	quantity("battery_capacity", "energy_storage", "kWh", "measurement", 2);
	quantity("battery_soc", "battery", "%", "measurement", 0);
	quantity("battery_soh", "", "%", "measurement", 0);
	quantity("logger_signal", "", "%", "measurement", 0);
	quantity("logger_rssi", "signal_strength", "dBm", "measurement", 0);
	quantity("insulation_resistance_x", "", "M\xce\xa9", "measurement", 2);	/* U+03A9, not the ohm sign */
	quantity("operating_time", "duration", "h", "total_increasing", 0);
	quantity("upload_interval", "duration", "s", "", 0);
	quantity("connect_count", "", "", "total_increasing", 0);
	quantity("fault_code_3", "", "", "", -1);
	homeassistant_quantity("status", false, &q);
	assert_false(q.numeric || q.diagnostic);
	homeassistant_quantity("uptime", true, &q);
	assert_true(q.disabled && q.diagnostic);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(names), cmocka_unit_test(ids), cmocka_unit_test(quantities) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
