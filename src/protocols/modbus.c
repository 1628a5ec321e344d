/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * modbus.c - what all carriers of Modbus share: CRC, requests, pairing of answers, values by the maps
 *
 * An answer carries no register address: it means something only together with its request. Which
 * request that is, a carrier says by a number (tag). Where the number does not fit (proxies count
 * anew), the one open request of the same shape is taken; if two of different registers would do,
 * none is: no values are better than values of other registers.
 *
 * Sources: s-allius/tsun-gen3-proxy, davidrapan/ha-solarman, kbialek/deye-inverter-mqtt, jmccrohan/pysolarmanv5,
 * bmerry/sunsniff; what was captured is in tests/vectors/modbus.
 */
#include "protocols/modbus.h"

#include <string.h>

#include "protocols/reading_fill.h"

/* No serial line is that slow, no logger waits longer. */
#define EXPIRY_NS (60 * NSEC_PER_SEC)

uint16_t modbus_crc(const uint8_t *bytes, size_t length)
{
	static const uint16_t nibble[16] = {	/* reflected 0x8005, four bits at a time */
		0x0000, 0xcc01, 0xd801, 0x1400, 0xf001, 0x3c00, 0x2800, 0xe401,
		0xa001, 0x6c00, 0x7800, 0xb401, 0x5000, 0x9c01, 0x8801, 0x4400,
	};
	uint16_t crc = 0xffff;

	while (length--) {
		crc ^= *bytes++;
		crc = (uint16_t)(crc >> 4 ^ nibble[crc & 15]);
		crc = (uint16_t)(crc >> 4 ^ nibble[crc & 15]);
	}
	return crc;
}

size_t modbus_request_size(const uint8_t *rtu, size_t length)
{
	switch (rtu[1]) {
	case 3: case 4: case 6:
		return 8;
	case 16:
		return length < 7 ? 7 : 9u + rtu[6];
	default:
		return 0;
	}
}

size_t modbus_answer_size(const uint8_t *rtu, size_t length)
{
	switch (rtu[1]) {
	case 3: case 4:
		return length < 3 ? 3 : 5u + rtu[2];
	case 6: case 16:
		return 8;
	case 0x83: case 0x84: case 0x85: case 0x86: case 0x8f: case 0x90:
		return 5;
	default:
		return 0;
	}
}

bool modbus_parse_request(const uint8_t *adu, size_t length, struct modbus_request *ret)
{
	struct modbus_request q = { .open = true };

	if (length < 6)
		return false;
	q.unit = adu[0];
	q.function = adu[1];
	q.first = be16(adu + 2);
	switch (q.function) {
	case 3: case 4:
		q.count = be16(adu + 4);
		if (length != 6 || !q.count || q.count > 125 || q.first + q.count > 0x10000)
			return false;
		break;
	case 6:
		q.count = 1;
		q.value = be16(adu + 4);
		if (length != 6)
			return false;
		break;
	case 16:
		q.count = be16(adu + 4);
		if (length < 7 || !q.count || q.count > 123 || adu[6] != 2 * q.count || length != 7u + adu[6])
			return false;
		q.data = adu + 7;
		break;
	default:
		return false;
	}
	*ret = q;
	return true;
}

void modbus_request_text(const struct modbus_request *q, char *text, size_t room)
{
	int n = snprintf(text, room, "unit=%u fc=%u reg=0x%04x ", q->unit, q->function, q->first);

	if (n < 0 || (size_t)n >= room)
		return;
	text += n;
	room -= (size_t)n;
	switch (q->function) {
	case 6:
		snprintf(text, room, "value=0x%04x", q->value);
		break;
	case 16:
		if (!q->data) {
			snprintf(text, room, "count=%u", q->count);
			break;
		}
		n = snprintf(text, room, "values=");
		for (unsigned int i = 0; i < 2u * q->count && (size_t)n + 3 < room; i++)
			n += snprintf(text + n, room - (size_t)n, "%02x", q->data[i]);
		break;
	default:
		snprintf(text, room, "count=%u", q->count);
		break;
	}
}

static void close_request(struct modbus_link *link, size_t i)
{
	memmove(&link->requests[i], &link->requests[i + 1],
		(MODBUS_OPEN_MAX - 1 - i) * sizeof(link->requests[0]));
	link->requests[MODBUS_OPEN_MAX - 1].open = false;
}

static bool same_question(const struct modbus_request *a, const struct modbus_request *b)
{
	return a->unit == b->unit && a->function == b->function && a->first == b->first &&
	       a->count == b->count && a->sensor_list == b->sensor_list;
}

void modbus_open(struct modbus_link *link, struct modbus_request q, int64_t now)
{
	q.open = true;
	q.data = NULL;
	q.asked_ns = now;
	for (size_t i = 0; i < MODBUS_OPEN_MAX && link->requests[i].open;)
		if (link->serial || same_question(&link->requests[i], &q) || link->requests[i].tag == q.tag ||
		    (now && link->requests[i].asked_ns && now - link->requests[i].asked_ns > EXPIRY_NS))
			close_request(link, i);
		else
			i++;
	memmove(&link->requests[1], &link->requests[0], (MODBUS_OPEN_MAX - 1) * sizeof(link->requests[0]));
	link->requests[0] = q;
}

static const char *check(const struct modbus_request *q, const uint8_t *adu, size_t length)
{
	uint8_t function = adu[1];

	if (adu[0] != q->unit)
		return "unit";
	if ((function & 0x7f) != q->function)
		return "function";
	if (function & 0x80)
		return length < 3 ? "count" : NULL;
	switch (function) {
	case 3: case 4:
		return length < 3 || adu[2] != 2 * q->count || length != 3u + adu[2] ? "count" : NULL;
	case 6:
		return length != 6 || be16(adu + 2) != q->first || be16(adu + 4) != q->value ? "count" : NULL;
	default:
		return length != 6 || be16(adu + 2) != q->first || be16(adu + 4) != q->count ? "count" : NULL;
	}
}

/* The request that is answered, or -1 and why not. */
static int find_request(const struct modbus_link *link, const uint8_t *adu, size_t length, uint32_t tag,
			int64_t now, const char **ret_error)
{
	int found = -1;

	*ret_error = "unasked";
	for (int i = 0; i < MODBUS_OPEN_MAX && link->requests[i].open; i++) {
		const struct modbus_request *q = &link->requests[i];
		const char *error = check(q, adu, length);

		if (now && q->asked_ns && now - q->asked_ns > EXPIRY_NS)
			continue;
		if (!i)
			*ret_error = error ? error : "unasked";
		if (q->tag == tag) {
			*ret_error = error;
			if (!error)
				return i;
			continue;
		}
		if (error)
			continue;
		if (found >= 0)
			return -1;
		found = i;
	}
	return found;
}

static struct reading *start_reading(struct decoder *d, const struct modbus_source *source)
{
	struct reading *r = decoder_reading(d, source->logger);

	r->time_kind = source->time_kind;
	r->time_ms = source->time_ms;
	return r;
}

static void tell_error(struct decoder *d, unsigned int code, const struct modbus_source *source)
{
	struct reading *r = start_reading(d, source);

	r->info = true;
	reading_add_integer(r, "modbus_error", code);
	decoder_publish(d, r);
}

static bool has_type(const struct knowledge *k, uint32_t type)
{
	for (size_t i = 0; i < k->map_count; i++)
		for (size_t j = 0; j < k->maps[i]->modbus_type_count; j++)
			if (k->maps[i]->modbus_types[j] == type)
				return true;
	return false;
}

static void tell_values(struct decoder *d, enum dir dir, const struct modbus_request *q, const uint8_t *data,
			const struct modbus_source *source)
{
	struct knowledge *k = d->k;
	struct device *device = source->logger && *source->logger ? knowledge_device(k, source->logger) : NULL;
	const struct modbus_question question = {
		.sensor_list = q->sensor_list,
		.function = q->function,
		.registers = { q->first, q->count, data },
	};
	const struct map *m;
	struct reading *r;
	char text[640];
	size_t n;

	/* Deye's register 0 names the kind of device; TSUN's DC1000 has its serial there. */
	if (device && !q->first && q->sensor_list != 0x3026 && has_type(k, be16(data))) {
		device->has_type = true;
		device->type = be16(data);
	}
	m = knowledge_modbus_map(k, device, &question);
	if (m) {
		r = start_reading(d, source);
		k->work.totals = device ? device_totals(device, m) : NULL;
		map_decode_registers(m, &k->work, &question.registers, 1, r);
		if (device && *r->serial)
			memcpy(device->serial, r->serial, sizeof(device->serial));
		else if (device)
			memcpy(r->serial, device->serial, sizeof(r->serial));
		if (r->count) {
			r->info = !k->work.measurements;
			r->model = r->model ? r->model : m->model;
			decoder_publish(d, r);
			return;
		}
	}
	modbus_request_text(q, text, sizeof(text) - 8);
	decoder_note(d, dir, "modbus", "%s ok", text);
	if (!source->dumps)
		return;
	for (n = 0; n < q->count; n++)
		snprintf(text + 4 * n, 5, "%02x%02x", data[2 * n], data[2 * n + 1]);
	decoder_note(d, dir, "registers", "reg=0x%04x %s", q->first, text);
}

const char *modbus_check(const struct decoder *d, const struct modbus_link *link, const uint8_t *adu,
			 size_t length, uint32_t tag)
{
	const char *error;

	if (length < 2)
		return "count";
	if (find_request(link, adu, length, tag, d->arrival_ns, &error) >= 0)
		return NULL;
	return error ? error : "unasked";
}

const char *modbus_answer(struct decoder *d, enum dir dir, struct modbus_link *link, const uint8_t *adu,
			  size_t length, uint32_t tag, const struct modbus_source *source)
{
	const char *error;
	struct modbus_request q;
	char text[64];
	int i;

	if (length < 2)
		return "count";
	i = find_request(link, adu, length, tag, d->arrival_ns, &error);
	if (i < 0) {
		if (adu[1] & 0x80 && length >= 3)
			tell_error(d, adu[2], source);
		return error ? error : "unasked";
	}
	q = link->requests[i];
	close_request(link, (size_t)i);
	if (adu[1] & 0x80) {
		tell_error(d, adu[2], source);
	} else if (q.function == 3 || q.function == 4) {
		tell_values(d, dir, &q, adu + 3, source);
	} else {
		modbus_request_text(&q, text, sizeof(text));
		decoder_note(d, dir, "modbus", "%s ok", text);
	}
	return NULL;
}

void modbus_error(struct decoder *d, struct modbus_link *link, unsigned int code, uint32_t tag,
		  const struct modbus_source *source)
{
	for (size_t i = 0; i < MODBUS_OPEN_MAX && link->requests[i].open; i++)
		if (link->requests[i].tag == tag || !link->requests[1].open) {
			close_request(link, i);
			break;
		}
	tell_error(d, code, source);
}
