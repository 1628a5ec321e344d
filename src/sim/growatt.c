/* SPDX-License-Identifier: GPL-2.0-or-later */
/* growatt.c - a Growatt inverter of the older kind on a ShineWiFi, version 06, and its cloud */
#include <string.h>
#include <time.h>

#include "protocols/modbus.h"
#include "protocols/reading_fill.h"
#include "shared/util.h"
#include "sim/sim.h"

enum { VERSION = 6, ID = 30, HEAD = 8, GROUPS_AT = HEAD + 2 * ID + 7 };

/* Behind the number of groups: two of 45 registers, each with a head of four bytes. */
#define REG(r) ((r) < 45 ? 4 + 2 * (r) : 4 + 90 + 4 + 2 * ((r) - 45))

static const struct sim_field fields[] = {
	{ "status", SIM_FIXED(1), .at = REG(0), .width = 2 },
	{ "pv_power", SIM_DAY(pv_power_sum), .at = REG(1), .width = 4, .decimals = 1 },
	{ "pv1_voltage", SIM_DAY(pv_voltage[0]), .at = REG(3), .width = 2, .decimals = 1 },
	{ "pv1_current", SIM_DAY(pv_current[0]), .at = REG(4), .width = 2, .decimals = 1 },
	{ "pv1_power", SIM_DAY(pv_power[0]), .at = REG(5), .width = 4, .decimals = 1 },
	{ "pv2_voltage", SIM_DAY(pv_voltage[1]), .at = REG(7), .width = 2, .decimals = 1 },
	{ "pv2_current", SIM_DAY(pv_current[1]), .at = REG(8), .width = 2, .decimals = 1 },
	{ "pv2_power", SIM_DAY(pv_power[1]), .at = REG(9), .width = 4, .decimals = 1 },
	{ "ac_power", SIM_DAY(ac_power), .at = REG(11), .width = 4, .decimals = 1 },
	{ "ac_frequency", SIM_DAY(ac_frequency), .at = REG(13), .width = 2, .decimals = 2 },
	{ "ac_voltage", SIM_DAY(ac_voltage), .at = REG(14), .width = 2, .decimals = 1 },
	{ "ac_current", SIM_DAY(ac_current), .at = REG(15), .width = 2, .decimals = 1 },
	{ "energy_today", SIM_DAY(energy_today), .at = REG(26), .width = 4, .decimals = 1 },
	{ "energy_total", SIM_DAY(energy_total), .at = REG(28), .width = 4, .decimals = 1 },
	{ "inverter_temperature", SIM_DAY(temperature), .at = REG(32), .width = 2, .decimals = 1 },
	{ "fault_code", SIM_FIXED(0), .at = REG(40), .width = 2 },
	{ "pv1_energy_today", SIM_DAY(pv_energy_today[0]), .at = REG(48), .width = 4, .decimals = 1 },
	{ "pv1_energy_total", SIM_DAY(pv_energy_total[0]), .at = REG(50), .width = 4, .decimals = 1 },
	{ "pv2_energy_today", SIM_DAY(pv_energy_today[1]), .at = REG(52), .width = 4, .decimals = 1 },
	{ "pv2_energy_total", SIM_DAY(pv_energy_total[1]), .at = REG(54), .width = 4, .decimals = 1 },
};

static void begin(struct sim_frame *f, unsigned int function)
{
	f->length = 0;
	sim_bytes(f, (const uint8_t[]){ 0, 1, 0, VERSION, 0, 0, 1, (uint8_t)function }, HEAD);
}

static void end(struct sim_frame *f)
{
	static const char key[] = "Growatt";

	sim_set_be16(f, 4, (unsigned int)f->length - 6);
	for (size_t i = HEAD; i < f->length; i++)
		f->bytes[i] ^= (uint8_t)key[(i - HEAD) % 7];
	sim_be16(f, modbus_crc(f->bytes, f->length));
}

static void registers(struct sim_frame *f, unsigned int first, unsigned int last)
{
	sim_be16(f, first);
	sim_be16(f, last);
	sim_fill(f, 0, 2 * (last - first + 1));
}

static void ping(struct sim_device *d, struct sim_frame *f)
{
	begin(f, 0x16);
	sim_padded(f, d->logger, ID, 0);
	end(f);
}

static bool hello(struct sim_device *d, unsigned int i, struct sim_frame *f)
{
	switch (i) {
	case 0:
		ping(d, f);
		return true;
	case 1:
		begin(f, 0x03);
		sim_padded(f, d->logger, ID, 0);
		sim_padded(f, d->serial, ID, 0);
		sim_fill(f, 0, 6);
		sim_u8(f, 1);
		registers(f, 0, 44);
		memcpy(f->bytes + GROUPS_AT + 4 + 2 * 9, "GH1.0 ", 6);
		sim_set_be16(f, GROUPS_AT + 4 + 2 * 3, 100);
		sim_set_be16(f, GROUPS_AT + 4 + 2 * 7, 16000);
		sim_set_be16(f, GROUPS_AT + 4 + 2 * 43, 210);
		end(f);
		return true;
	default:
		return false;
	}
}

static void record(struct sim_device *d, const struct sim_moment *m, struct sim_frame *f, struct reading *truth,
		   struct reading *second)
{
	struct sim_day day = *m->day;
	int64_t told = m->utc_ms + d->clock_error_ms;

	(void)second;
	sim_two_inputs(&day);
	begin(f, m->stored ? 0x50 : 0x04);
	sim_padded(f, d->logger, ID, 0);
	sim_padded(f, d->serial, ID, 0);
	sim_date(f, told);
	sim_u8(f, 2);
	registers(f, 0, 44);
	registers(f, 45, 89);
	sim_fields(f, GROUPS_AT, fields, ARRAY_SIZE(fields), SIM_BIG, &day, truth);
	sim_identify(truth, d, m, TIME_LOCAL, sim_local_ms(told) / 1000 * 1000);
	end(f);
}

static bool take(struct sim_device *d, const uint8_t *frame, size_t size, struct sim_frame *reply)
{
	uint8_t function = frame[7];

	if (function == 0x18 && size > HEAD + ID + 2) {
		begin(reply, 0x18);
		sim_padded(reply, d->logger, ID, 0);
		/* The parameter, whatever it is (unlocked by the place where it stands), is set. */
		sim_u8(reply, frame[HEAD + ID] ^ (uint8_t)"Growatt"[ID % 7]);
		sim_u8(reply, frame[HEAD + ID + 1] ^ (uint8_t)"Growatt"[(ID + 1) % 7]);
		sim_u8(reply, 0);
		end(reply);
		return false;
	}
	return function == 0x16 || function == 0x03 || function == 0x04 || function == 0x50;
}

static bool answer(const uint8_t *frame, size_t size, int64_t now_ms, struct sim_frame *a)
{
	uint8_t function = frame[7];

	(void)now_ms;
	a->length = 0;
	switch (function) {
	case 0x05: case 0x06: case 0x10: case 0x18: case 0x19: case 0x29:
		return false;
	case 0x16:
		sim_bytes(a, frame, size);
		return true;
	default:
		begin(a, function);
		memcpy(a->bytes, frame, 4);
		a->bytes[6] = frame[6];
		sim_u8(a, 0);
		if (frame[3] >= 5) {
			end(a);
		} else {
			sim_set_be16(a, 4, 3);
		}
		return true;
	}
}

/* The clock, after an announce. */
static bool then(const uint8_t *frame, size_t size, int64_t now_ms, struct sim_frame *c)
{
	static const char key[] = "Growatt";
	struct tm tm;

	if (frame[7] != 0x03 || frame[3] != VERSION || size < HEAD + ID)
		return false;
	begin(c, 0x18);
	for (size_t i = 0; i < ID; i++)
		sim_u8(c, frame[HEAD + i] ^ (uint8_t)key[i % 7]);
	sim_be16(c, 0x1f);
	sim_be16(c, 19);
	sim_local(now_ms, &tm);
	sim_print(c, "%04d-%02d-%02d %02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		  tm.tm_sec);
	end(c);
	return true;
}

const struct sim_protocol sim_growatt = {
	.name = "growatt",
	.port = 5279,
	.serial = "INV0000001",
	.logger = "XGD0000001",
	.stored = true,
	.hello = hello,
	.record = record,
	.beat = ping,
	.take = take,
	.answer = answer,
	.then = then,
	.checksum = 1,
};
