/* SPDX-License-Identifier: GPL-2.0-or-later */
/* apsystems.c - an APsystems ECU with one QS1 behind it, and the EMA */
#include <ctype.h>
#include <string.h>
#include <time.h>

#include "protocols/reading_fill.h"
#include "shared/util.h"
#include "sim/sim.h"

enum { TIME_AT = 60, TIME_LENGTH = 14 };

static int64_t digits(struct sim_frame *f, struct reading *truth, const char *name, int64_t thousandths, unsigned int decimals,
		      int width)
{
	int64_t v = sim_step(truth, name, thousandths, decimals);

	sim_print(f, "%0*lld", width, (long long)v);
	return v;
}

/* mW over five minutes, in thousandths of Wh. */
static void interval(struct sim_frame *f, struct reading *truth, const char *name, int64_t power, int width)
{
	struct number n = { .mantissa = power / 12, .decimals = 6 };

	sim_print(f, "%0*lld", width, (long long)n.mantissa);
	reading_add_number(truth, name, n);
}

static void inverter(struct sim_device *d, const struct sim_day *day, struct sim_frame *f, struct reading *truth)
{
	static const char *const names[4][4] = {
		{ "pv1_voltage", "pv1_current", "pv1_energy_interval", "pv1_power" },
		{ "pv2_voltage", "pv2_current", "pv2_energy_interval", "pv2_power" },
		{ "pv3_voltage", "pv3_current", "pv3_energy_interval", "pv3_power" },
		{ "pv4_voltage", "pv4_current", "pv4_energy_interval", "pv4_power" },
	};

	sim_text(f, d->serial);
	sim_text(f, "08");
	digits(f, truth, "ac_voltage", day->ac_voltage, 0, 3);
	digits(f, truth, "ac_frequency", day->ac_frequency, 1, 5);
	sim_print(f, "%03lld", 100 + (long long)sim_step(truth, "inverter_temperature", day->temperature, 0));
	digits(f, truth, "ac_reactive_power", 0, 1, 5);
	digits(f, truth, "ac_power", day->ac_power, 1, 5);
	interval(f, truth, "energy_interval", day->ac_power, 10);
	for (int i = 0; i < 4; i++) {
		sim_print(f, "%d", i + 1);
		digits(f, truth, names[i][0], day->pv_voltage[i], 1, 5);
		digits(f, truth, names[i][1], day->pv_current[i], 1, 3);
		interval(f, truth, names[i][2], day->pv_power[i], 6);
		digits(f, truth, names[i][3], day->pv_power[i], 2, 5);
	}
	sim_text(f, "END");
}

static bool hello(struct sim_device *d, unsigned int i, struct sim_frame *f)
{
	(void)d;
	(void)i;
	(void)f;
	return false;
}

static void record(struct sim_device *d, const struct sim_moment *m, struct sim_frame *f, struct reading *truth,
		   struct reading *second)
{
	int64_t told = m->utc_ms + d->clock_error_ms;
	char length[8];
	struct tm tm;

	f->length = 0;
	sim_text(f, "APS18AAAAAAAAAAAA1");
	sim_text(f, d->logger);
	digits(f, second, "ac_power", m->day->ac_power, 0, 10);
	interval(f, second, "energy_interval", m->day->ac_power, 10);
	digits(f, second, "energy_total", m->day->energy_total, 1, 10);
	sim_local(told, &tm);
	sim_print(f, "%04d%02d%02d%02d%02d%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	sim_text(f, "001000000END");
	reading_add_integer(second, "inverters_online", 1);
	inverter(d, m->day, f, truth);
	snprintf(length, sizeof(length), "%zu", f->length);
	memcpy(f->bytes + 5 + 2, length, strlen(length));	/* AA302: filled up on the left */
	sim_u8(f, '\n');
	sim_identify(truth, d, m, TIME_LOCAL, sim_local_ms(told) / 1000 * 1000);
	sim_identify(second, d, m, TIME_LOCAL, sim_local_ms(told) / 1000 * 1000);
	memcpy(second->serial, second->logger, sizeof(second->serial));
}

static bool take(struct sim_device *d, const uint8_t *frame, size_t size, struct sim_frame *reply)
{
	(void)d;
	(void)size;
	(void)reply;
	return frame[0] == '1';
}

static bool answer(const uint8_t *frame, size_t size, int64_t now_ms, struct sim_frame *a)
{
	(void)now_ms;
	a->length = 0;
	if (size < TIME_AT + TIME_LENGTH || memcmp(frame, "APS18", 5))
		return false;
	for (size_t i = 0; i < TIME_LENGTH; i++)
		if (!isdigit(frame[TIME_AT + i]))
			return false;
	sim_text(a, "101");
	sim_bytes(a, frame + TIME_AT, TIME_LENGTH);
	sim_u8(a, '\n');			/* allowed, and tells that it ends here while the connection stays */
	return true;
}

const struct sim_protocol sim_apsystems = {
	.name = "apsystems",
	.port = 8995,
	.serial = "806000000001",
	.logger = "216000000001",
	.stored = true,
	.bare_answers = true,
	.hello = hello,
	.record = record,
	.take = take,
	.answer = answer,
};
