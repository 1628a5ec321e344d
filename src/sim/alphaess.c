/* SPDX-License-Identifier: GPL-2.0-or-later */
/* alphaess.c - an AlphaESS storage system, and its cloud */
#include <string.h>
#include <time.h>

#include "protocols/modbus.h"
#include "protocols/reading_fill.h"
#include "shared/util.h"
#include "sim/sim.h"

enum { HEAD = 7 };

/* Keys of the dump, and of the columns where they differ. */
static const struct {
	const char *key, *column;
	struct sim_field field;
} fields[] = {
	{ "Ppv1", NULL, { "pv1_power", SIM_DAY(pv_power[0]) } },
	{ "Ppv2", NULL, { "pv2_power", SIM_DAY(pv_power[1]) } },
	{ "Upv1", "Vpv1", { "pv1_voltage", SIM_DAY(pv_voltage[0]), .decimals = 1 } },
	{ "Upv2", "Vpv2", { "pv2_voltage", SIM_DAY(pv_voltage[1]), .decimals = 1 } },
	{ "Ua", NULL, { "ac_l1_voltage", SIM_DAY(ac_voltage), .decimals = 1 } },
	{ "Fac", NULL, { "ac_frequency", SIM_DAY(ac_frequency), .decimals = 2 } },
	{ "Ubus", NULL, { "bus_voltage", SIM_FIXED(386) } },
	{ "PrealL1", NULL, { "ac_l1_power", SIM_DAY(ac_power) } },
	{ "PrealL2", NULL, { "ac_l2_power", SIM_FIXED(0) } },
	{ "PrealL3", NULL, { "ac_l3_power", SIM_FIXED(0) } },
	{ "Tinv", NULL, { "inverter_temperature", SIM_DAY(temperature) } },
	{ "InvWorkMode", NULL, { "inverter_mode", SIM_FIXED(3) } },
	{ "EpvTotal", NULL, { "pv_energy_total", SIM_DAY(energy_total), .decimals = 1 } },
	{ "Einput", NULL, { "grid_import_energy_total", SIM_DAY(grid_import_total), .decimals = 2 } },
	{ "Eoutput", NULL, { "grid_export_energy_total", SIM_DAY(grid_export_total), .decimals = 2 } },
	{ "Echarge", NULL, { "battery_charge_energy_total", SIM_DAY(battery_charge_total), .decimals = 1 } },
	{ "PmeterL1", NULL, { "grid_l1_power", SIM_DAY(grid_power) } },
	{ "PmeterL2", NULL, { "grid_l2_power", SIM_FIXED(0) } },
	{ "PmeterL3", NULL, { "grid_l3_power", SIM_FIXED(0) } },
	{ "PmeterDC", NULL, { "pv_meter_power", SIM_FIXED(0) } },
	{ "Pbat", NULL, { "battery_power", SIM_DAY(battery_power) } },
	{ "SOC", NULL, { "battery_soc", SIM_DAY(battery_soc), .decimals = 1 } },
	{ "BatV", NULL, { "battery_voltage", SIM_DAY(battery_voltage), .decimals = 2 } },
	{ "BatC", NULL, { "battery_current", SIM_DAY(battery_current), .decimals = 2 } },
	{ "ErrInv", NULL, { "fault_code", SIM_FIXED(0) } },
	{ "WarInv", NULL, { "alarm_code", SIM_FIXED(0) } },
	{ "EDischarge", NULL, { "battery_discharge_energy_total", SIM_DAY(battery_discharge_total), .decimals = 1 } },
};

static void begin(struct sim_frame *f, unsigned int kind, unsigned int command)
{
	f->length = 0;
	sim_u8(f, 1);
	sim_u8(f, kind);
	sim_u8(f, command);
	sim_be32(f, 0);
}

static void end(struct sim_frame *f)
{
	sim_set_be16(f, 5, (unsigned int)f->length - HEAD);
	sim_be16(f, modbus_crc(f->bytes, f->length));
}

static bool hello(struct sim_device *d, unsigned int i, struct sim_frame *f)
{
	switch (i) {
	case 0:
		begin(f, 1, 0x02);
		sim_print(f, "{\"UserName\":\"%s\",\"Password\":\"0000000000000000\",\"CompanyName\":\"AlphaESS\"}", d->serial);
		break;
	case 1:
		begin(f, 1, 0x00);
		break;
	default:
		return false;
	}
	end(f);
	return true;
}

static void value_text(size_t i, const struct sim_day *day, struct reading *truth, char text[24])
{
	const struct sim_field *s = &fields[i].field;
	int64_t v = (int64_t)s->fixed * 1000;
	struct number n = { .decimals = s->decimals };

	if (!s->constant)
		memcpy(&v, (const uint8_t *)day + s->from, sizeof(v));
	n.mantissa = sim_step(truth, s->name, v, s->decimals);
	number_format(n, text);
}

static void when(struct sim_frame *f, int64_t utc_ms, const char *before, const char *between, const char *after)
{
	struct tm tm;

	sim_local(utc_ms, &tm);
	sim_print(f, "%s%04d/%02d/%02d%s%02d:%02d:%02d%s", before, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, between,
		  tm.tm_hour, tm.tm_min, tm.tm_sec, after);
}

static void dump(struct sim_device *d, int64_t told, const struct sim_day *day, struct sim_frame *f, struct reading *truth)
{
	char text[24];

	begin(f, 1, 0x05);
	when(f, told, "{\"Time\":\"", " ", "\"");
	sim_print(f, ",\"SN\":\"%s\"", d->serial);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		value_text(i, day, truth, text);
		sim_print(f, ",\"%s\":\"%s\"", fields[i].key, text);
	}
	sim_text(f, ",\"EmsStatus\":\"Normal\"}");
}

static void row(struct sim_device *d, int64_t told, const struct sim_day *day, struct sim_frame *f, struct reading *truth)
{
	char text[24];

	begin(f, 1, 0x0c);
	sim_text(f, "Date,Time,SN");
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		sim_print(f, ",%s", fields[i].column ? fields[i].column : fields[i].key);
	when(f, told, "\n", ",", ",");
	sim_text(f, d->serial);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		value_text(i, day, truth, text);
		sim_print(f, ",%s", text);
	}
}

static void record(struct sim_device *d, const struct sim_moment *m, struct sim_frame *f, struct reading *truth,
		   struct reading *second)
{
	struct sim_day day = *m->day;
	int64_t told = m->utc_ms + d->clock_error_ms;

	(void)second;
	sim_two_inputs(&day);
	/* The inverter carries the battery as well. */
	day.ac_power = (day.ac_power + 500) / 1000 * 1000 + day.battery_power;
	if (m->stored)
		row(d, told, &day, f, truth);
	else
		dump(d, told, &day, f, truth);
	sim_step(truth, "ac_power", day.ac_power, 0);
	sim_step(truth, "grid_power", day.grid_power, 0);
	sim_step(truth, "load_power", day.ac_power + day.grid_power, 0);
	sim_identify(truth, d, m, TIME_LOCAL, sim_local_ms(told) / 1000 * 1000);
	*truth->logger = '\0';
	end(f);
}

static bool take(struct sim_device *d, const uint8_t *frame, size_t size, struct sim_frame *reply)
{
	const uint8_t *index;
	char number[16] = "";

	(void)d;
	if (frame[1] == 2)
		return true;
	index = frame[2] == 0x08 ? memmem(frame, size, "\"CmdIndex\":\"", 12) : NULL;
	if (!index)
		return false;
	for (size_t i = 0; i < sizeof(number) - 1 && index + 12 + i < frame + size && index[12 + i] != '"'; i++)
		number[i] = (char)index[12 + i];
	begin(reply, 2, 0x08);
	sim_print(reply, "{\"Command\":\"SetConfig\",\"CmdIndex\":\"%s\",\"Status\":\"Success\"}", number);
	end(reply);
	return false;
}

static bool answer(const uint8_t *frame, size_t size, int64_t now_ms, struct sim_frame *a)
{
	(void)size;
	(void)now_ms;
	if (frame[1] != 1)
		return false;
	begin(a, 2, frame[2]);
	sim_text(a, "{\"Status\":\"Success\"}");
	end(a);
	return true;
}

const struct sim_protocol sim_alphaess = {
	.name = "alphaess",
	.port = 7777,
	.serial = "AL0000000000001",
	.logger = "",
	.stored = true,
	.hello = hello,
	.record = record,
	.take = take,
	.answer = answer,
	.checksum = 1,
};
