/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim.c - what all simulated devices share: building frames, the sun, the house */
#include "sim/sim.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "protocols/reading_fill.h"
#include "shared/util.h"

const struct sim_protocol *const sim_protocols[] = {
	&sim_solarman_v5,
	&sim_tsun_gen3,
	&sim_inteless,
	&sim_growatt,
	&sim_alphaess,
	&sim_apsystems,
	NULL,
};

const struct sim_protocol *sim_protocol(const char *name)
{
	size_t i = 0;

	while (sim_protocols[i] && strcmp(sim_protocols[i]->name, name))
		i++;
	return sim_protocols[i];
}

void sim_spoil(const struct sim_protocol *p, struct sim_frame *f)
{
	f->bytes[f->length - p->checksum] ^= 0x5a;
}

/* ------------------------------------------------ building frames */
void sim_bytes(struct sim_frame *f, const void *bytes, size_t length)
{
	if (length > SIM_FRAME_MAX - f->length)
		return;
	memcpy(f->bytes + f->length, bytes, length);
	f->length += length;
}

void sim_fill(struct sim_frame *f, unsigned int byte, size_t length)
{
	if (length > SIM_FRAME_MAX - f->length)
		return;
	memset(f->bytes + f->length, (int)byte, length);
	f->length += length;
}

void sim_u8(struct sim_frame *f, unsigned int v)
{
	sim_bytes(f, &(uint8_t){ (uint8_t)v }, 1);
}

void sim_be16(struct sim_frame *f, unsigned int v)
{
	sim_u8(f, v >> 8 & 255);
	sim_u8(f, v & 255);
}

void sim_be32(struct sim_frame *f, uint32_t v)
{
	sim_be16(f, v >> 16);
	sim_be16(f, v & 0xffff);
}

void sim_be64(struct sim_frame *f, uint64_t v)
{
	sim_be32(f, (uint32_t)(v >> 32));
	sim_be32(f, (uint32_t)v);
}

void sim_le16(struct sim_frame *f, unsigned int v)
{
	sim_u8(f, v & 255);
	sim_u8(f, v >> 8 & 255);
}

void sim_le32(struct sim_frame *f, uint32_t v)
{
	sim_le16(f, v & 0xffff);
	sim_le16(f, v >> 16);
}

void sim_text(struct sim_frame *f, const char *text)
{
	sim_bytes(f, text, strlen(text));
}

void sim_padded(struct sim_frame *f, const char *text, size_t width, unsigned int pad)
{
	size_t n = strnlen(text, width);

	sim_bytes(f, text, n);
	sim_fill(f, pad, width - n);
}

void sim_print(struct sim_frame *f, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	sim_text(f, text);
}

void sim_set_be16(struct sim_frame *f, size_t at, unsigned int v)
{
	f->bytes[at] = (uint8_t)(v >> 8);
	f->bytes[at + 1] = (uint8_t)v;
}

int64_t sim_step(struct reading *truth, const char *name, int64_t thousandths, unsigned int decimals)
{
	struct number n = { .mantissa = thousandths, .decimals = 3 };

	number_round(&n, decimals);
	if (truth && name)
		reading_add_number(truth, name, n);
	return n.mantissa;
}

static void place(uint8_t *p, uint64_t v, size_t width, enum sim_order order)
{
	if (order == SIM_LOW_FIRST && width == 4) {
		place(p, v & 0xffff, 2, SIM_BIG);
		place(p + 2, v >> 16 & 0xffff, 2, SIM_BIG);
		return;
	}
	if (order == SIM_LOW_FIRST)
		order = SIM_BIG;
	for (size_t i = 0; i < width; i++)
		p[i] = (uint8_t)(v >> 8 * (order == SIM_BIG ? width - 1 - i : i));
}

void sim_fields(struct sim_frame *f, size_t base, const struct sim_field *fields, size_t count, enum sim_order order,
		const struct sim_day *day, struct reading *truth)
{
	for (size_t i = 0; i < count; i++) {
		const struct sim_field *s = &fields[i];
		int64_t v = s->fixed, raw;

		if (!s->constant)
			memcpy(&v, (const uint8_t *)day + s->from, sizeof(v));
		else if (s->decimals < 3)
			v *= number_power_of_ten(3u - s->decimals);
		raw = sim_step(truth, s->name, v, s->decimals) + s->add;
		if (base + s->at + s->width <= f->length)
			place(f->bytes + base + s->at, (uint64_t)raw, s->width, order);
	}
}

/* ------------------------------------------------ a sunny day */
#define DAY_S 86400.0
#define RISE_S (6 * 3600.0)
#define LIGHT_S (14 * 3600.0)
#define PI 3.14159265358979323846

/* 0 at night, 1 at noon. */
static double height(double second)
{
	return second < RISE_S || second > RISE_S + LIGHT_S ? 0 : sin(PI * (second - RISE_S) / LIGHT_S);
}

/* Hours of full sun since midnight. */
static double gathered(double second)
{
	double lit = second < RISE_S ? 0 : second > RISE_S + LIGHT_S ? LIGHT_S : second - RISE_S;

	return LIGHT_S / 3600 / PI * (1 - cos(PI * lit / LIGHT_S));
}

static int64_t thousand(double v)
{
	return llround(v * 1000);
}

static const double peak[4] = { 385, 372, 360, 347 };	/* W */

static void house(struct sim_day *d, double second, double days)
{
	double hours = second / 3600, load, surplus, battery, soc;

	/* A refrigerator, a noon meal, an evening. */
	load = 280 + 90 * sin(hours * 7) + (hours > 12 && hours < 13 ? 900 : 0) + (hours > 18 && hours < 22 ? 350 : 0);
	surplus = (double)d->ac_power / 1000 - load;
	soc = 35 + 4.2 * gathered(second);
	battery = surplus > 0 && soc < 95 ? -0.8 * surplus : surplus > 0 ? 0 : -0.6 * surplus;
	d->load_power = llround(load) * 1000;
	d->battery_power = llround(battery) * 1000;
	/* What there is of whole watts has to agree in whole watts. */
	d->grid_power = d->load_power - llround((double)d->ac_power / 1000) * 1000 - d->battery_power;
	d->battery_soc = thousand(soc);
	d->battery_voltage = thousand(50.2 + soc / 40);
	d->battery_current = llround((double)d->battery_power / (double)d->battery_voltage * 1000);
	d->grid_import_total = thousand(411.2 + 3.1 * days + hours / 24);
	d->grid_export_total = thousand(893.4 + 4.4 * days + gathered(second) * 0.4);
	d->battery_charge_total = thousand(702.5 + 3.6 * days + gathered(second) * 0.5);
	d->battery_discharge_total = thousand(655.1 + 3.4 * days + hours / 10);
}

void sim_day_at(struct sim_day *d, double seconds)
{
	double days = floor(seconds / DAY_S), second = seconds - days * DAY_S, sun = height(second), sum = 0;
	double haze = 1 - 0.015 * (1 + sin(seconds / 37));

	memset(d, 0, sizeof(*d));
	for (int i = 0; i < 4; i++) {
		double power = peak[i] * sun * haze, volts = sun > 0 ? 32.5 + 3.8 * sun - 0.3 * i : 0;

		d->pv_voltage[i] = thousand(volts);
		d->pv_current[i] = volts > 0 ? thousand(power / volts) : 0;
		d->pv_power[i] = thousand(power);
		d->pv_energy_today[i] = thousand(peak[i] / 1000 * 0.985 * gathered(second));
		d->pv_energy_total[i] = thousand(301.5 - 7.25 * i + peak[i] / 1000 * 0.985 * gathered(DAY_S) * days) +
					d->pv_energy_today[i];
		d->pv_power_sum += d->pv_power[i];
		sum += peak[i];
	}
	d->ac_power = llround((double)d->pv_power_sum * 0.965);
	d->ac_voltage = thousand(231.2 + 2.5 * sun + 0.8 * sin(seconds / 53));
	d->ac_current = llround((double)d->ac_power / (double)d->ac_voltage * 1000);
	d->ac_frequency = thousand(50 + 0.02 * sin(seconds / 71));
	d->temperature = thousand(18 + 29 * sun);
	d->energy_today = thousand(sum / 1000 * 0.95 * gathered(second));
	d->energy_total = thousand(1180.4 + sum / 1000 * 0.95 * gathered(DAY_S) * days) + d->energy_today;
	house(d, second, days);
}

void sim_two_inputs(struct sim_day *d)
{
	for (int i = 0; i < 2; i++) {
		d->pv_current[i] += d->pv_current[i + 2];
		d->pv_power[i] += d->pv_power[i + 2];
		d->pv_energy_today[i] += d->pv_energy_today[i + 2];
		d->pv_energy_total[i] += d->pv_energy_total[i + 2];
	}
}

void sim_identify(struct reading *truth, const struct sim_device *d, const struct sim_moment *m, enum time_kind kind,
		  int64_t time_ms)
{
	truth->historic = m->stored;
	truth->time_kind = kind;
	truth->time_ms = time_ms;
	snprintf(truth->serial, sizeof(truth->serial), "%s", d->serial);
	snprintf(truth->logger, sizeof(truth->logger), "%s", d->logger);
}

/* ------------------------------------------------ time */
void sim_local(int64_t utc_ms, struct tm *ret)
{
	time_t t = (time_t)(utc_ms / 1000);

	memset(ret, 0, sizeof(*ret));
	localtime_r(&t, ret);
}

void sim_date(struct sim_frame *f, int64_t utc_ms)
{
	struct tm tm;

	sim_local(utc_ms, &tm);
	sim_bytes(f, (const uint8_t[]){ (uint8_t)(tm.tm_year - 100), (uint8_t)(tm.tm_mon + 1), (uint8_t)tm.tm_mday,
					(uint8_t)tm.tm_hour, (uint8_t)tm.tm_min, (uint8_t)tm.tm_sec }, 6);
}

int64_t sim_local_ms(int64_t utc_ms)
{
	struct tm tm;

	sim_local(utc_ms, &tm);
	return utc_ms + tm.tm_gmtoff * 1000;
}
