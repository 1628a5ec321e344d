/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vocabulary.c - what the ending of a name tells: the unit, and what is physically possible
 *
 * The limits are the widest that any device of the field can mean; a map narrows them where its
 * models allow it. They catch what a good checksum does not: registers of 0xffff, nonsense of a
 * device that has just started.
 */
#include "protocols/vocabulary.h"

#include <string.h>

/* The first row that fits is taken: longer endings stand before the shorter ones they contain. */
static const struct {
	const char *ending;
	bool whole;		/* the whole name, not its end */
	struct unit unit;
} endings[] = {
	{ "_energy_interval", false, { "kWh", -1e4, 1e6 } },
	{ "energy_interval", true, { "kWh", -1e4, 1e6 } },
	{ "energy_today", false, { "kWh", -1e4, 1e5 } },
	{ "energy_yesterday", false, { "kWh", -1e4, 1e5 } },
	{ "energy_month", false, { "kWh", -1e5, 1e6 } },
	{ "energy_year", false, { "kWh", -1e6, 1e7 } },
	{ "energy_total", false, { "kWh", -1e6, 1e7 } },
	{ "_reactive_power", false, { "var", -1e6, 1e6 } },
	{ "_apparent_power", false, { "VA", -1e6, 1e6 } },
	{ "power_factor", false, { "", -1.1, 1.1 } },
	{ "_power", false, { "W", -1e6, 1e6 } },
	{ "_power_limit", false, { "W", -1e6, 1e6 } },
	{ "_soc_charge_limit", false, { "%", 0, 100 } },
	{ "_charge_limit", false, { "W", -1e6, 1e6 } },
	{ "_discharge_limit", false, { "W", -1e6, 1e6 } },
	{ "_voltage", false, { "V", -10, 1500 } },
	{ "_voltage_min", false, { "V", -10, 1500 } },
	{ "_voltage_max", false, { "V", -10, 1500 } },
	{ "_voltage_limit_upper", false, { "V", -10, 1500 } },
	{ "_voltage_limit_lower", false, { "V", -10, 1500 } },
	{ "_current", false, { "A", -500, 500 } },
	{ "_current_limit", false, { "A", -500, 500 } },
	{ "_frequency", false, { "Hz", 0, 70 } },
	{ "_frequency_limit_upper", false, { "Hz", 0, 70 } },
	{ "_frequency_limit_lower", false, { "Hz", 0, 70 } },
	{ "overfrequency_start", true, { "Hz", 0, 70 } },
	{ "_temperature", false, { "°C", -60, 150 } },
	{ "_temperature_min", false, { "°C", -60, 150 } },
	{ "_temperature_max", false, { "°C", -60, 150 } },
	{ "overfrequency_reduction", true, { "%", 0, 200 } },
	{ "output_limit", true, { "%", 0, 150 } },
	{ "input_limit", true, { "%", 0, 150 } },
	{ "_soc_reserve", false, { "%", 0, 100 } },
	{ "_soc", false, { "%", 0, 100 } },
	{ "_soh", false, { "%", 0, 100 } },
	{ "_signal", false, { "%", 0, 100 } },
	{ "_percent", false, { "%", -200, 200 } },
	{ "_rssi", false, { "dBm", -200, 50 } },
	{ "uptime", true, { "s", 0, 1e10 } },
	{ "_interval", false, { "s", 0, 1e8 } },
	{ "self_check_time", true, { "s", 0, 1e6 } },
	{ "operating_time", true, { "h", 0, 1e7 } },
	{ "battery_capacity", true, { "kWh", 0, 1e5 } },
	{ "battery_capacity_ah", true, { "Ah", 0, 1e5 } },
	{ "pv_capacity", true, { "kW", 0, 1e5 } },
	{ "insulation_resistance_x", true, { "MOhm", 0, 1e4 } },
	{ "insulation_resistance_y", true, { "MOhm", 0, 1e4 } },
	{ "insulation_resistance", true, { "MOhm", 0, 1e4 } },
};

const struct unit *vocabulary_unit(const char *name)
{
	static const struct unit none = { "", 1, 0 };
	size_t length = strlen(name);

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t n = strlen(endings[i].ending);

		if (length < n || (endings[i].whole && length != n))
			continue;
		if (!strcmp(name + length - n, endings[i].ending))
			return &endings[i].unit;
	}
	return &none;
}

bool vocabulary_name_valid(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return n && n <= 60 && !name[n] && *name >= 'a' && *name <= 'z';
}
