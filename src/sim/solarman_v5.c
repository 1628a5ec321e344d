/* SPDX-License-Identifier: GPL-2.0-or-later */
/* solarman_v5.c - a TSUN micro inverter (sensor list 0x02b0) and its cloud, Solarman V5 */
#include <stdlib.h>
#include <string.h>

#include "protocols/reading_fill.h"
#include "shared/util.h"
#include "sim/sim.h"

enum {
	HEAD = 11, RECORD = 409, HANDSHAKE = 212,
	TOTAL_S = 86400 * 40,		/* what it had worked before this power-on */
};

static const struct sim_field fields[] = {
	{ "status", SIM_FIXED(1), .at = 181, .width = 2 },
	{ "alarm_code", SIM_FIXED(0), .at = 187, .width = 2 },
	{ "fault_code", SIM_FIXED(0), .at = 189, .width = 2 },
	{ "ac_voltage", SIM_DAY(ac_voltage), .at = 199, .width = 2, .decimals = 1 },
	{ "ac_current", SIM_DAY(ac_current), .at = 201, .width = 2, .decimals = 2 },
	{ "ac_frequency", SIM_DAY(ac_frequency), .at = 203, .width = 2, .decimals = 2 },
	{ "inverter_temperature", SIM_DAY(temperature), .at = 205, .width = 2, .add = 40 },
	{ "rated_power", SIM_FIXED(1600), .at = 209, .width = 2 },
	{ "ac_power", SIM_DAY(ac_power), .at = 211, .width = 2, .decimals = 1 },
	{ "pv1_voltage", SIM_DAY(pv_voltage[0]), .at = 213, .width = 2, .decimals = 1 },
	{ "pv2_voltage", SIM_DAY(pv_voltage[1]), .at = 219, .width = 2, .decimals = 1 },
	{ "pv3_voltage", SIM_DAY(pv_voltage[2]), .at = 225, .width = 2, .decimals = 1 },
	{ "pv4_voltage", SIM_DAY(pv_voltage[3]), .at = 231, .width = 2, .decimals = 1 },
	{ "pv1_current", SIM_DAY(pv_current[0]), .at = 215, .width = 2, .decimals = 2 },
	{ "pv2_current", SIM_DAY(pv_current[1]), .at = 221, .width = 2, .decimals = 2 },
	{ "pv3_current", SIM_DAY(pv_current[2]), .at = 227, .width = 2, .decimals = 2 },
	{ "pv4_current", SIM_DAY(pv_current[3]), .at = 233, .width = 2, .decimals = 2 },
	{ "pv1_power", SIM_DAY(pv_power[0]), .at = 217, .width = 2, .decimals = 1 },
	{ "pv2_power", SIM_DAY(pv_power[1]), .at = 223, .width = 2, .decimals = 1 },
	{ "pv3_power", SIM_DAY(pv_power[2]), .at = 229, .width = 2, .decimals = 1 },
	{ "pv4_power", SIM_DAY(pv_power[3]), .at = 235, .width = 2, .decimals = 1 },
	{ "energy_today", SIM_DAY(energy_today), .at = 237, .width = 2, .decimals = 2 },
	{ "energy_total", SIM_DAY(energy_total), .at = 239, .width = 4, .decimals = 2 },
	{ "pv1_energy_today", SIM_DAY(pv_energy_today[0]), .at = 243, .width = 2, .decimals = 2 },
	{ "pv2_energy_today", SIM_DAY(pv_energy_today[1]), .at = 249, .width = 2, .decimals = 2 },
	{ "pv3_energy_today", SIM_DAY(pv_energy_today[2]), .at = 255, .width = 2, .decimals = 2 },
	{ "pv4_energy_today", SIM_DAY(pv_energy_today[3]), .at = 261, .width = 2, .decimals = 2 },
	{ "pv1_energy_total", SIM_DAY(pv_energy_total[0]), .at = 245, .width = 4, .decimals = 2 },
	{ "pv2_energy_total", SIM_DAY(pv_energy_total[1]), .at = 251, .width = 4, .decimals = 2 },
	{ "pv3_energy_total", SIM_DAY(pv_energy_total[2]), .at = 257, .width = 4, .decimals = 2 },
	{ "pv4_energy_total", SIM_DAY(pv_energy_total[3]), .at = 263, .width = 4, .decimals = 2 },
	{ "work_mode", SIM_FIXED(0), .at = 275, .width = 2 },
	{ "output_shutdown", SIM_FIXED(65535), .at = 281, .width = 2 },
	{ "designed_power", SIM_FIXED(1600), .at = 283, .width = 2 },
};

static void begin(struct sim_frame *f, unsigned int type, unsigned int theirs, unsigned int mine, uint32_t number)
{
	f->length = 0;
	sim_u8(f, 0xa5);
	sim_le16(f, 0);
	sim_u8(f, 0x10);
	sim_u8(f, type);
	sim_u8(f, theirs);
	sim_u8(f, mine);
	sim_le32(f, number);
}

static void end(struct sim_frame *f)
{
	uint8_t sum = 0;

	f->bytes[1] = (uint8_t)(f->length - HEAD);
	f->bytes[2] = (uint8_t)((f->length - HEAD) >> 8);
	for (size_t i = 1; i < f->length; i++)
		sum = (uint8_t)(sum + f->bytes[i]);
	sim_u8(f, sum);
	sim_u8(f, 0x15);
}

static uint32_t number_of(const struct sim_device *d)
{
	return (uint32_t)strtoul(d->logger, NULL, 10);
}

static void start(struct sim_device *d, struct sim_frame *f, unsigned int type)
{
	begin(f, type, d->theirs, ++d->mine, number_of(d));
}

static uint32_t total_at(const struct sim_device *d, int64_t utc_ms)
{
	return (uint32_t)(TOTAL_S + (utc_ms - d->power_on_ms) / 1000);
}

/* total, uptime, offset; the offset is 0 until the cloud has told the time. */
static void times(const struct sim_device *d, struct sim_frame *f, int64_t utc_ms)
{
	sim_le32(f, total_at(d, utc_ms));
	sim_le32(f, (uint32_t)((utc_ms - d->power_on_ms) / 1000));
	sim_le32(f, d->has_clock ? (uint32_t)(d->clock_ms / 1000) : 0);
}

static bool hello(struct sim_device *d, unsigned int i, struct sim_frame *f)
{
	if (i)
		return false;
	start(d, f, 0x41);
	sim_u8(f, 2);
	times(d, f, d->now_ms);
	sim_bytes(f, (const uint8_t[]){ 5, 60, 120, 1, 84, 1 }, 6);
	sim_padded(f, "LSW5BLE_17_02B0_1.05", 40, 0);
	sim_bytes(f, (const uint8_t[]){ 0x02, 0, 0x5e, 0, 0, 1 }, 6);
	sim_padded(f, "192.0.2.50", 16, 0);
	sim_le16(f, 0x000f);
	sim_u8(f, 1);
	sim_le16(f, 0x02b0);
	sim_bytes(f, (const uint8_t[]){ 0x0f, 0, 0xff }, 3);
	sim_padded(f, "V1.1.00.0B", 40, 0);
	sim_le16(f, 0xfefe);
	sim_fill(f, 0, 41);
	sim_padded(f, "example-net", HANDSHAKE - 172, 0);
	end(f);
	return true;
}

static void record(struct sim_device *d, const struct sim_moment *m, struct sim_frame *f, struct reading *truth,
		   struct reading *second)
{
	(void)second;
	start(d, f, 0x42);
	sim_u8(f, m->stored ? 0x81 : 0x01);
	sim_le16(f, 0x02b0);
	times(d, f, m->utc_ms);
	sim_le16(f, 1);
	sim_le32(f, ++d->number);
	sim_padded(f, d->serial, 16, 0);
	sim_fill(f, 0, HEAD + RECORD - f->length);
	sim_set_be16(f, HEAD + 197, 0x4010);
	sim_fields(f, HEAD, fields, ARRAY_SIZE(fields), SIM_BIG, m->day, truth);
	reading_add_integer(truth, "packet_number", d->number);
	reading_add_string(truth, "firmware_version", "V4.0.10");
	sim_identify(truth, d, m, d->has_clock ? TIME_IN_UTC : TIME_NONE,
		     ((int64_t)total_at(d, m->utc_ms) + (int64_t)(uint32_t)(d->clock_ms / 1000)) * 1000);
	end(f);
}

static void beat(struct sim_device *d, struct sim_frame *f)
{
	start(d, f, 0x47);
	sim_u8(f, 0);
	end(f);
}

static void learn_time(struct sim_device *d, const uint8_t *p)
{
	int64_t told = (int64_t)(p[2] | (uint32_t)p[3] << 8 | (uint32_t)p[4] << 16 | (uint32_t)p[5] << 24);

	if (!told)
		return;
	d->has_clock = true;
	d->clock_ms = (told - total_at(d, d->now_ms)) * 1000 + d->clock_error_ms;
}

static bool take(struct sim_device *d, const uint8_t *frame, size_t size, struct sim_frame *reply)
{
	d->theirs = frame[5];
	if (frame[4] >= 0x11 && frame[4] <= 0x18 && size >= HEAD + 10 + 2) {
		learn_time(d, frame + HEAD);
		return true;
	}
	if (frame[4] == 0x45 && size > HEAD + 15 + 2) {
		/* AT is done; the inverter behind it does not answer Modbus. */
		start(d, reply, 0x15);
		sim_u8(reply, frame[HEAD]);
		sim_u8(reply, 1);
		times(d, reply, d->now_ms);
		if (frame[HEAD] == 1)
			sim_text(reply, "+ok");
		else
			sim_bytes(reply, "\x05\x00", 2);
		end(reply);
	}
	return false;
}

static bool answer(const uint8_t *frame, size_t size, int64_t now_ms, struct sim_frame *a)
{
	unsigned int type = frame[4];

	if (type < 0x41 || type > 0x48 || type == 0x45 || size < HEAD + 1 + 2)
		return false;
	begin(a, type - 0x30, frame[5] + 1u, frame[6], 0);
	memcpy(a->bytes + 7, frame + 7, 4);
	sim_u8(a, frame[HEAD]);
	sim_u8(a, 1);
	sim_le32(a, (uint32_t)(now_ms / 1000));
	sim_le32(a, (uint32_t)((sim_local_ms(now_ms) - now_ms) / 60000));
	end(a);
	return true;
}

const struct sim_protocol sim_solarman_v5 = {
	.name = "solarman-v5",
	.port = 10000,
	.serial = "Y17E000000000001",
	.logger = "2070000001",
	.stored = true,
	.hello = hello,
	.record = record,
	.beat = beat,
	.take = take,
	.answer = answer,
	.checksum = 2,
};
