/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tsun_gen3.c - a TSUN micro inverter of the third generation, and its cloud */
#include <string.h>

#include "protocols/reading_fill.h"
#include "shared/util.h"
#include "sim/sim.h"

enum { ID = 16, HEAD = 7 + ID };

/* width 2: an S item, 4: F. Ids rise. */
static const struct item {
	uint32_t id;
	struct sim_field field;
} items[] = {
	{ 0x64, { "status", SIM_FIXED(1), .width = 2 } },
	{ 0x3e8, { "ac_voltage", SIM_DAY(ac_voltage), .width = 4, .decimals = 2 } },
	{ 0x44c, { "ac_current", SIM_DAY(ac_current), .width = 4, .decimals = 2 } },
	{ 0x4b0, { "ac_frequency", SIM_DAY(ac_frequency), .width = 4, .decimals = 2 } },
	{ 0x514, { "inverter_temperature", SIM_DAY(temperature), .width = 2 } },
	{ 0x5dc, { "rated_power", SIM_FIXED(1600), .width = 2 } },
	{ 0x640, { "ac_power", SIM_DAY(ac_power), .width = 4, .decimals = 1 } },
	{ 0x6a4, { "pv1_voltage", SIM_DAY(pv_voltage[0]), .width = 4, .decimals = 1 } },
	{ 0x708, { "pv1_current", SIM_DAY(pv_current[0]), .width = 4, .decimals = 2 } },
	{ 0x76c, { "pv1_power", SIM_DAY(pv_power[0]), .width = 4, .decimals = 1 } },
	{ 0x7d0, { "pv2_voltage", SIM_DAY(pv_voltage[1]), .width = 4, .decimals = 1 } },
	{ 0x834, { "pv2_current", SIM_DAY(pv_current[1]), .width = 4, .decimals = 2 } },
	{ 0x898, { "pv2_power", SIM_DAY(pv_power[1]), .width = 4, .decimals = 1 } },
	{ 0x8fc, { "pv3_voltage", SIM_DAY(pv_voltage[2]), .width = 4, .decimals = 1 } },
	{ 0x960, { "pv3_current", SIM_DAY(pv_current[2]), .width = 4, .decimals = 2 } },
	{ 0x9c4, { "pv3_power", SIM_DAY(pv_power[2]), .width = 4, .decimals = 1 } },
	{ 0xa28, { "pv4_voltage", SIM_DAY(pv_voltage[3]), .width = 4, .decimals = 1 } },
	{ 0xa8c, { "pv4_current", SIM_DAY(pv_current[3]), .width = 4, .decimals = 2 } },
	{ 0xaf0, { "pv4_power", SIM_DAY(pv_power[3]), .width = 4, .decimals = 1 } },
	{ 0xb54, { "energy_today", SIM_DAY(energy_today), .width = 4, .decimals = 2 } },
	{ 0xbb8, { "energy_total", SIM_DAY(energy_total), .width = 4, .decimals = 2 } },
	{ 0xc1c, { "pv1_energy_today", SIM_DAY(pv_energy_today[0]), .width = 4, .decimals = 2 } },
	{ 0xc80, { "pv1_energy_total", SIM_DAY(pv_energy_total[0]), .width = 4, .decimals = 2 } },
	{ 0xce4, { "pv2_energy_today", SIM_DAY(pv_energy_today[1]), .width = 4, .decimals = 2 } },
	{ 0xd48, { "pv2_energy_total", SIM_DAY(pv_energy_total[1]), .width = 4, .decimals = 2 } },
	{ 0xdac, { "pv3_energy_today", SIM_DAY(pv_energy_today[2]), .width = 4, .decimals = 2 } },
	{ 0xe10, { "pv3_energy_total", SIM_DAY(pv_energy_total[2]), .width = 4, .decimals = 2 } },
	{ 0xe74, { "pv4_energy_today", SIM_DAY(pv_energy_today[3]), .width = 4, .decimals = 2 } },
	{ 0xed8, { "pv4_energy_total", SIM_DAY(pv_energy_total[3]), .width = 4, .decimals = 2 } },
	{ 0x125c, { "designed_power", SIM_FIXED(1600), .width = 2 } },
};

static void begin(struct sim_frame *f, const char *logger, unsigned int ctrl, unsigned int id)
{
	f->length = 0;
	sim_be32(f, 0);
	sim_u8(f, ID);
	sim_padded(f, logger, ID, '0');
	sim_u8(f, ctrl);
	sim_u8(f, id);
}

static void end(struct sim_frame *f)
{
	sim_set_be16(f, 2, (unsigned int)f->length - 4);
}

static void pstr(struct sim_frame *f, const char *text)
{
	sim_u8(f, (unsigned int)strlen(text));
	sim_text(f, text);
}

static int64_t clock_at(const struct sim_device *d, int64_t utc_ms)
{
	return sim_local_ms(utc_ms) + d->clock_error_ms;
}

static void list(struct sim_frame *f, uint32_t data_id, const char *of, int64_t local_ms, uint32_t count)
{
	sim_be32(f, data_id);
	pstr(f, of);
	sim_u8(f, 1);
	sim_be64(f, (uint64_t)local_ms);
	sim_be32(f, count);
}

static void text_item(struct sim_frame *f, uint32_t id, const char *text)
{
	sim_be32(f, id);
	sim_u8(f, 'T');
	pstr(f, text);
}

static void integer_item(struct sim_frame *f, uint32_t id, uint32_t v)
{
	sim_be32(f, id);
	sim_u8(f, 'I');
	sim_be32(f, v);
}

static bool hello(struct sim_device *d, unsigned int i, struct sim_frame *f)
{
	begin(f, d->logger, 0x91, (const uint8_t[]){ 0x00, 0x22, 0x71, 0x04, 0 }[i < 4 ? i : 4]);
	switch (i) {
	case 0:
		pstr(f, "example");
		pstr(f, "owner@example.net");
		break;
	case 1:
		break;
	case 2:
		list(f, 0x0e100000, d->logger, clock_at(d, d->now_ms), 6);
		text_item(f, 0x092ba8, "RSW_400_V1.00.06");
		text_item(f, 0x0927c0, "Raymon");
		text_item(f, 0x092f90, "RSW-1-10001");
		integer_item(f, 0x0c3500, 84);
		integer_item(f, 0x0c96a8, (uint32_t)((d->now_ms - d->power_on_ms) / 1000));
		integer_item(f, 0x0cf850, 300);
		break;
	case 3:
		list(f, 0x01900001, d->serial, clock_at(d, d->now_ms), 5);
		text_item(f, 0x0a, "Microinv");
		text_item(f, 0x14, "TSUN");
		text_item(f, 0x1e, "V5.0.11");
		text_item(f, 0x28, d->serial);
		text_item(f, 0x32, "TSOL-MS1600");
		break;
	default:
		return false;
	}
	end(f);
	return true;
}

static void put_item(struct sim_frame *f, const struct item *item, const struct sim_day *day, struct reading *truth)
{
	const struct sim_field *s = &item->field;
	int64_t v = (int64_t)s->fixed * 1000, raw;
	uint32_t bits;
	float real;

	if (!s->constant)
		memcpy(&v, (const uint8_t *)day + s->from, sizeof(v));
	raw = sim_step(truth, s->name, v, s->decimals);
	sim_be32(f, item->id);
	if (s->width == 2) {
		sim_u8(f, 'S');
		sim_be16(f, (unsigned int)raw & 0xffff);
		return;
	}
	real = (float)((double)raw / (double)number_power_of_ten(s->decimals));
	memcpy(&bits, &real, sizeof(bits));
	sim_u8(f, 'F');
	sim_be32(f, bits);
}

static void record(struct sim_device *d, const struct sim_moment *m, struct sim_frame *f, struct reading *truth,
		   struct reading *second)
{
	(void)second;
	begin(f, d->logger, 0x91, 0x04);
	list(f, 0x01900001, d->serial, clock_at(d, m->utc_ms), ARRAY_SIZE(items));
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		put_item(f, &items[i], m->day, truth);
	sim_identify(truth, d, m, TIME_LOCAL, clock_at(d, m->utc_ms));
	end(f);
}

static void beat(struct sim_device *d, struct sim_frame *f)
{
	begin(f, d->logger, 0x91, 0x99);
	sim_u8(f, 1);
	sim_be64(f, (uint64_t)clock_at(d, d->now_ms));
	end(f);
}

static bool take(struct sim_device *d, const uint8_t *frame, size_t size, struct sim_frame *reply)
{
	uint8_t ctrl = frame[5 + ID], id = frame[6 + ID];

	if (frame[4] != ID)
		return false;
	if (ctrl == 0x70 && (id == 0x77 || id == 0x13)) {
		/* Modbus: a write is answered by its echo, which serves for a read as well as for silence. */
		if (id == 0x13) {
			begin(reply, d->logger, 0x91, id);
			sim_u8(reply, 1);
		} else {
			begin(reply, d->logger, 0x91, id);
			sim_bytes(reply, frame + HEAD, size - HEAD);
		}
		end(reply);
		return false;
	}
	return ctrl == 0x99 || (ctrl == 0x91 && (id == 0x00 || id == 0x22));
}

static bool answer(const uint8_t *frame, size_t size, int64_t now_ms, struct sim_frame *a)
{
	size_t k = frame[4];
	uint8_t ctrl = frame[5 + k], id = frame[6 + k];

	if (ctrl != 0x91 || (id != 0x00 && id != 0x22 && id != 0x99 && id != 0x71 && id != 0x04))
		return false;
	if ((id == 0x22 && size != 7 + k) || (id == 0x99 && size != 7 + k + 9))
		return false;
	a->length = 0;
	sim_be32(a, 0);
	sim_bytes(a, frame + 4, 1 + k);
	sim_u8(a, id == 0x00 || id == 0x22 ? 0x91 : 0x99);
	sim_u8(a, id);
	if (id == 0x22)
		sim_be64(a, (uint64_t)sim_local_ms(now_ms));
	else
		sim_u8(a, id == 0x99 ? 2 : 1);
	end(a);
	return true;
}

const struct sim_protocol sim_tsun_gen3 = {
	.name = "tsun-gen3",
	.port = 5005,
	.serial = "T170000000000001",
	.logger = "R170000000000001",
	.stored = true,
	.hello = hello,
	.record = record,
	.beat = beat,
	.take = take,
	.answer = answer,
};
