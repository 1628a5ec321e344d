/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * apsystems_local.c - the local port of an APsystems ECU (8899), asked by whoever is in the house
 *
 *	request: APS11, length, command, id, END, sometimes more, END
 *	reply:	 APS11, length, command, status (2), from 15 on by command (0001: from 13), END
 *
 * A reply tells neither the ECU nor the day it was asked for; the request before it does.
 *
 * Sources: npeter/ioBroker.apsystems-ecu, ksheumaker/homeassistant-apsystems_ecur, mi-hol/readAPSystemsECU, fligneul/aps2mqtt.
 */
#include <string.h>

#include "protocols/apsystems.h"
#include "protocols/reading_fill.h"

enum { BODY = APS_LOCAL_SHORT, LIST_HEAD = 26, ENTRY_HEAD = 9 };

bool aps_local_known(unsigned int command)
{
	return (command >= 1 && command <= 8) || (command >= 10 && command <= 15) || command == 18 || command == 30;
}

bool aps_local_private(unsigned int command)
{
	/* Network, Wi-Fi with its password; MAC addresses of 0001 */
	return command == 1 || command == 7 || command == 10 || command == 13;
}

static bool bcd(const uint8_t *p, size_t n, unsigned int *ret)
{
	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] >> 4 > 9 || (p[i] & 15) > 9)
			return false;
		*ret = *ret * 100 + (p[i] >> 4) * 10u + (p[i] & 15u);
	}
	return true;
}

static bool bcd_id(const uint8_t *p, char *out)
{
	unsigned int v;

	if (!bcd(p, 3, &v) || !bcd(p + 3, 3, &v))
		return false;
	for (size_t i = 0; i < APS_ID; i++)
		out[i] = (char)('0' + (p[i / 2] >> (i % 2 ? 0 : 4) & 15));
	out[APS_ID] = '\0';
	return true;
}

static void bad_layout(struct decoder *d)
{
	decoder_note(d, DIR_DEVICE, "error", "layout");
}

/* ------------------------------------------------ requests */
static void request(struct decoder *d, const uint8_t *p, size_t n)
{
	struct apsystems *a = d->state;
	unsigned int command = aps_number(p + 9, 4);

	a->asked_day = false;
	if (n >= APS_LOCAL_HEAD + APS_ID && aps_digits(p + APS_LOCAL_HEAD, APS_ID))
		aps_id(a->asked_id, p + APS_LOCAL_HEAD);
	if (command == 3 && n >= 36 && aps_digits(p + 28, 8)) {
		a->asked_day = true;
		a->day[0] = aps_number(p + 28, 4);
		a->day[1] = aps_number(p + 32, 2);
		a->day[2] = aps_number(p + 34, 2);
	}
	switch (command) {
	case 5: case 6: case 7: case 10: case 15:
		decoder_note(d, DIR_CLOUD, "command", "%04u", command);
		decoder_note(d, DIR_CLOUD, "dangerous", "1");
		break;
	default:
		break;
	}
}

/* ------------------------------------------------ replies */
static struct reading *start(struct decoder *d)
{
	struct apsystems *a = d->state;
	struct reading *r = decoder_reading(d, a->asked_id);

	memcpy(r->serial, a->asked_id, sizeof(a->asked_id));
	return r;
}

static void status(struct decoder *d, const uint8_t *p)
{
	static const char *const names[] = { "ok", "wrong-id", "no-data" };
	struct reading *r;

	if (p[13] != '0' || p[14] < '0' || p[14] > '2') {
		decoder_note(d, DIR_DEVICE, "error", "field");
		return;
	}
	r = start(d);
	r->info = true;
	reading_add_string(r, "status", names[p[14] - '0']);
	decoder_publish(d, r);
}

static void about_ecu(struct decoder *d, const uint8_t *p, size_t n)
{
	struct apsystems *a = d->state;
	struct reading *r;
	size_t version, length;

	if (n < 27 || !aps_digits(p + 13, APS_ID) || p[25] != '0' || (p[26] != '1' && p[26] != '2')) {
		bad_layout(d);
		return;
	}
	aps_id(a->asked_id, p + 13);
	r = start(d);
	aps_run_map(d, aps_map(d, 0x110100u + (p[26] - (uint32_t)'0'), n), p, n, r);
	version = p[26] == '1' ? 52 : 49;
	if (n >= version + 3 && aps_digits(p + version, 3)) {
		length = aps_number(p + version, 3);
		if (length <= n - version - 3)
			reading_add_bytes(r, "firmware_version", p + version + 3, length);
	}
	if (r->count)
		decoder_publish(d, r);
}

static size_t entry_size(const uint8_t *type)
{
	if (type[0] != '0')
		return 0;
	switch (type[1]) {
	case '0':
		return ENTRY_HEAD;
	case '1': case '4': case '5':
		return 21;
	case '2':
		return 27;
	case '3':
		return 23;
	default:
		return 0;
	}
}

static void inverters(struct decoder *d, const uint8_t *p, size_t n)
{
	struct apsystems *a = d->state;
	unsigned int t[6] = { 0 }, v = 0;
	bool has_time = true;
	int64_t time;
	size_t count, at = LIST_HEAD, size;

	if (n < LIST_HEAD) {
		bad_layout(d);
		return;
	}
	count = be16(p + 17);
	has_time = bcd(p + 19, 2, &t[0]);
	for (size_t i = 1; i < 6; i++) {
		has_time = has_time && bcd(p + 20 + i, 1, &v);
		t[i] = v;
	}
	has_time = has_time && map_wall_seconds(t, &time);
	for (; count; count--, at += size) {
		const uint8_t *e = p + at;
		struct reading *r;
		char id[APS_ID + 1];

		/* The last END is not an entry's. */
		size = n - at >= ENTRY_HEAD ? entry_size(e + 7) : 0;
		if (!size || size > n - at || !bcd_id(e, id)) {
			decoder_note(d, DIR_DEVICE, "error", "%s", n - at >= ENTRY_HEAD && !size ? "type" : "layout");
			return;
		}
		r = decoder_reading(d, a->asked_id);
		memcpy(r->serial, id, sizeof(id));
		if (has_time)
			aps_set_time(r, time);
		if (e[6] == 1 && size > ENTRY_HEAD) {
			aps_run_map(d, aps_map(d, 0x110200u + (e[8] - (uint32_t)'0'), size), e, size, r);
		} else {
			/* What stands there is of some time ago, or nothing. */
			r->info = true;
			reading_add_integer(r, "online", e[6] == 1);
		}
		if (r->count)
			decoder_publish(d, r);
	}
	if (n - at != 3)
		bad_layout(d);
}

/* The powers of a day, five minutes apart. */
static void curve(struct decoder *d, const uint8_t *p, size_t n)
{
	struct apsystems *a = d->state;
	const struct map *m = aps_map(d, 0x110300, 4);

	if (!a->asked_day || n < BODY + 3 || (n - BODY - 3) % 4) {
		bad_layout(d);
		return;
	}
	for (size_t at = BODY; at + 4 <= n - 3; at += 4) {
		unsigned int t[6] = { a->day[0], a->day[1], a->day[2] };
		struct reading *r;
		int64_t time;

		if (!bcd(p + at, 1, &t[3]) || !bcd(p + at + 1, 1, &t[4]) || !map_wall_seconds(t, &time)) {
			decoder_note(d, DIR_DEVICE, "error", "field");
			continue;
		}
		r = start(d);
		aps_run_map(d, m, p + at, 4, r);
		r->historic = true;
		aps_set_time(r, time);
		if (r->count)
			decoder_publish(d, r);
	}
}

/* The energies of a week's or a month's days, or of a year's months. */
static void energies(struct decoder *d, const uint8_t *p, size_t n)
{
	const struct map *m;

	if (n < BODY + 2 + 3 || (n - BODY - 2 - 3) % 6 || p[BODY] != '0' || p[BODY + 1] < '0' || p[BODY + 1] > '2') {
		bad_layout(d);
		return;
	}
	m = aps_map(d, 0x110400u + (p[BODY + 1] - (uint32_t)'0'), 6);
	for (size_t at = BODY + 2; at + 6 <= n - 3; at += 6) {
		unsigned int t[6] = { 0 };
		bool good = bcd(p + at, 2, &t[0]) && bcd(p + at + 2, 1, &t[1]) && bcd(p + at + 3, 1, &t[2]);
		struct reading *r;
		int64_t time;

		if (p[BODY + 1] == '2')
			t[2] = 1;
		if (!good || !map_wall_seconds(t, &time)) {
			decoder_note(d, DIR_DEVICE, "error", "field");
			continue;
		}
		r = start(d);
		aps_run_map(d, m, p + at, 6, r);
		r->historic = true;
		r->whole_day = true;
		aps_set_time(r, time);
		if (r->count)
			decoder_publish(d, r);
	}
}

static void clock_of_ecu(struct decoder *d, const uint8_t *p, size_t n)
{
	int64_t time;

	if (n < BODY + 14 || !aps_time(p + BODY, &time)) {
		bad_layout(d);
		return;
	}
	p += BODY;
	decoder_note(d, DIR_DEVICE, "device_time", "%04u-%02u-%02u %02u:%02u:%02u", aps_number(p, 4),
		     aps_number(p + 4, 2), aps_number(p + 6, 2), aps_number(p + 8, 2), aps_number(p + 10, 2),
		     aps_number(p + 12, 2));
}

static void signals(struct decoder *d, const uint8_t *p, size_t n)
{
	struct apsystems *a = d->state;
	const struct map *m = aps_map(d, 0x113000, 7);

	if (n < BODY + 3 || (n - BODY - 3) % 7) {
		bad_layout(d);
		return;
	}
	for (size_t at = BODY; at + 7 <= n - 3; at += 7) {
		struct reading *r = decoder_reading(d, a->asked_id);

		if (!bcd_id(p + at, r->serial)) {
			decoder_note(d, DIR_DEVICE, "error", "field");
			continue;
		}
		aps_run_map(d, m, p + at, 7, r);
		if (r->count)
			decoder_publish(d, r);
	}
}

void aps_local(struct decoder *d, enum dir dir, const uint8_t *p, size_t n)
{
	unsigned int command = aps_number(p + 9, 4);

	if (dir == DIR_CLOUD) {
		request(d, p, n);
		return;
	}
	if (n <= APS_LOCAL_SHORT) {
		if (n == APS_LOCAL_SHORT)
			status(d, p);
		return;
	}
	if (command == 1) {
		about_ecu(d, p, n);
		return;
	}
	if (command == 58 || !aps_local_known(command))
		return;
	if (p[13] != '0' || p[14] != '0') {
		status(d, p);
		return;
	}
	switch (command) {
	case 2:
		inverters(d, p, n);
		break;
	case 3:
		curve(d, p, n);
		break;
	case 4:
		energies(d, p, n);
		break;
	case 12:
		clock_of_ecu(d, p, n);
		break;
	case 30:
		signals(d, p, n);
		break;
	default:
		break;
	}
}
