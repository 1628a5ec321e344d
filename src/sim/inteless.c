/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inteless.c - a Sunsynk hybrid with an E-Linter dongle, and its cloud */
#include <string.h>
#include <time.h>

#include "protocols/reading_fill.h"
#include "shared/util.h"
#include "sim/sim.h"

enum { HEAD = 11, REPORT = 306 };

/* Where a register stands in the report of 306 bytes. */
#define LOW(r) (2 * (r) - 66)		/* 59 … 124 */
#define HIGH(r) (2 * (r) - 116)		/* 150 … 199 */

static const struct sim_field fields[] = {
	{ "rated_power", SIM_FIXED(5000), .at = 46, .width = 4, .decimals = 1 },
	{ NULL, SIM_FIXED(2), .at = LOW(59), .width = 2 },
	{ "energy_today", SIM_DAY(energy_today), .at = LOW(60), .width = 2, .decimals = 1 },
	{ "energy_total", SIM_DAY(energy_total), .at = LOW(63), .width = 4, .decimals = 1 },
	{ "battery_charge_energy_total", SIM_DAY(battery_charge_total), .at = LOW(72), .width = 4, .decimals = 1 },
	{ "battery_discharge_energy_total", SIM_DAY(battery_discharge_total), .at = LOW(74), .width = 4, .decimals = 1 },
	{ "grid_import_energy_total", SIM_DAY(grid_import_total), .at = LOW(78), .width = 2, .decimals = 1 },
	{ "grid_frequency", SIM_DAY(ac_frequency), .at = LOW(79), .width = 2, .decimals = 2 },
	{ "grid_export_energy_total", SIM_DAY(grid_export_total), .at = LOW(81), .width = 4, .decimals = 1 },
	{ "inverter_temperature", SIM_DAY(temperature), .at = LOW(90), .width = 2, .decimals = 1, .add = 1000 },
	{ "pv1_voltage", SIM_DAY(pv_voltage[0]), .at = LOW(109), .width = 2, .decimals = 1 },
	{ "pv1_current", SIM_DAY(pv_current[0]), .at = LOW(110), .width = 2, .decimals = 1 },
	{ "pv2_voltage", SIM_DAY(pv_voltage[1]), .at = LOW(111), .width = 2, .decimals = 1 },
	{ "pv2_current", SIM_DAY(pv_current[1]), .at = LOW(112), .width = 2, .decimals = 1 },
	{ "grid_l1_voltage", SIM_DAY(ac_voltage), .at = HIGH(150), .width = 2, .decimals = 1 },
	{ "ac_voltage", SIM_DAY(ac_voltage), .at = HIGH(154), .width = 2, .decimals = 1 },
	{ "ac_current", SIM_DAY(ac_current), .at = HIGH(164), .width = 2, .decimals = 2 },
	{ "grid_power", SIM_DAY(grid_power), .at = HIGH(172), .width = 2 },
	{ "ac_power", SIM_DAY(ac_power), .at = HIGH(175), .width = 2 },
	{ "load_power", SIM_DAY(load_power), .at = HIGH(178), .width = 2 },
	{ "battery_voltage", SIM_DAY(battery_voltage), .at = HIGH(183), .width = 2, .decimals = 2 },
	{ "battery_soc", SIM_DAY(battery_soc), .at = HIGH(184), .width = 2 },
	{ "pv1_power", SIM_DAY(pv_power[0]), .at = HIGH(186), .width = 2 },
	{ "pv2_power", SIM_DAY(pv_power[1]), .at = HIGH(187), .width = 2 },
	{ "battery_power", SIM_DAY(battery_power), .at = HIGH(190), .width = 2 },
	{ "battery_current", SIM_DAY(battery_current), .at = HIGH(191), .width = 2, .decimals = 2 },
	{ "ac_frequency", SIM_DAY(ac_frequency), .at = HIGH(193), .width = 2, .decimals = 2 },
};

/* The poll map as captured: first flag, second flag, function, register, count. */
static const struct { uint8_t flags[2]; uint16_t first, count; } poll_map[] = {
	{ { 0, 0 }, 13, 1 }, { { 1, 0 }, 15, 1 }, { { 0, 0 }, 16, 2 }, { { 1, 0 }, 20, 2 }, { { 1, 0 }, 25, 14 },
	{ { 1, 0 }, 40, 1 }, { { 1, 0 }, 43, 16 }, { { 3, 0 }, 46, 2 }, { { 2, 0 }, 48, 4 }, { { 0, 0 }, 54, 1 },
	{ { 0, 0 }, 59, 66 }, { { 0, 0 }, 150, 50 }, { { 1, 0 }, 200, 100 }, { { 0, 0 }, 204, 1 }, { { 0, 1 }, 244, 1 },
	{ { 1, 0 }, 300, 16 }, { { 0, 0 }, 312, 8 }, { { 1, 0 }, 320, 100 }, { { 1, 0 }, 433, 55 }, { { 0, 1 }, 491, 1 },
};

static void begin(struct sim_frame *f, unsigned int from, unsigned int type, unsigned int status, unsigned int rssi,
		  unsigned int number)
{
	f->length = 0;
	sim_bytes(f, (const uint8_t[]){ 0xa5, 0x06, (uint8_t)from, (uint8_t)type, (uint8_t)status, (uint8_t)rssi, 0, 0,
					(uint8_t)number, 0, 0 }, HEAD);
}

static void end(struct sim_frame *f)
{
	sim_set_be16(f, 9, (unsigned int)f->length - HEAD);
}

static bool hello(struct sim_device *d, unsigned int i, struct sim_frame *f)
{
	switch (i) {
	case 0:
		begin(f, 1, 0x01, 0, 0xb0, ++d->mine);
		sim_padded(f, d->logger, 12, 0);
		sim_fill(f, 0, 4);
		sim_text(f, "EXAMPLE1");		/* its register key */
		sim_fill(f, 0, 8);
		break;
	case 1:
		begin(f, 1, 0x0b, 0, 0xb0, ++d->mine);
		sim_fill(f, 0, 112);
		break;
	default:
		return false;
	}
	end(f);
	return true;
}

static void record(struct sim_device *d, const struct sim_moment *m, struct sim_frame *f, struct reading *truth,
		   struct reading *second)
{
	struct sim_day day = *m->day;
	int64_t told = m->utc_ms + d->clock_error_ms;

	(void)second;
	sim_two_inputs(&day);
	begin(f, 1, 0x09, 2, 0xb0, ++d->mine);
	sim_padded(f, d->serial, 10, '0');
	sim_fill(f, 0, 16);
	sim_date(f, told);
	sim_u8(f, 1);
	sim_fill(f, 0, REPORT - f->length);
	sim_fields(f, 0, fields, ARRAY_SIZE(fields), SIM_LOW_FIRST, &day, truth);
	reading_add_string(truth, "status", "normal");
	sim_identify(truth, d, m, TIME_LOCAL, sim_local_ms(told) / 1000 * 1000);
	end(f);
}

static void beat(struct sim_device *d, struct sim_frame *f)
{
	begin(f, 1, 0x05, 0, 0xb6, ++d->mine);
}

static bool take(struct sim_device *d, const uint8_t *frame, size_t size, struct sim_frame *reply)
{
	(void)d;
	(void)size;
	(void)reply;
	return frame[2] == 0xa1;
}

static bool answer(const uint8_t *frame, size_t size, int64_t now_ms, struct sim_frame *a)
{
	uint8_t type = frame[3];

	if (frame[2] != 0x01)
		return false;
	begin(a, 0xa1, type, type == 0x02 && frame[4] == 2 ? 3 : 1, 0, frame[8]);
	switch (type) {
	case 0x01:
		sim_date(a, now_ms);
		sim_bytes(a, "\x00\x1d", 2);
		break;
	case 0x05:
		sim_date(a, now_ms);
		break;
	case 0x0b:
		sim_padded(a, "1.4", 16, 0);
		sim_u8(a, ARRAY_SIZE(poll_map));
		for (size_t i = 0; i < ARRAY_SIZE(poll_map); i++) {
			sim_bytes(a, (const uint8_t[]){ poll_map[i].flags[0], poll_map[i].flags[1], 3 }, 3);
			sim_be16(a, poll_map[i].first);
			sim_u8(a, poll_map[i].count);
		}
		break;
	case 0x02: case 0x04: case 0x07: case 0x09: case 0x0a:
		break;
	default:
		if (size != HEAD)
			return false;
		break;
	}
	end(a);
	return true;
}

const struct sim_protocol sim_inteless = {
	.name = "inteless",
	.port = 51100,
	.serial = "2200000001",
	.logger = "E47000000001",
	.hello = hello,
	.record = record,
	.beat = beat,
	.take = take,
	.answer = answer,
};
