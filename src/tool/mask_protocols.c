/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mask_protocols.c - where private things stand in the frames of each protocol */
#include <ctype.h>
#include <string.h>

#include "protocols/at.h"
#include "protocols/modbus.h"
#include "tool/mask.h"

/* ------------------------------------------------ checksums */
/* A Modbus frame inside; its checksum is made anew where it was good. */
struct inner {
	uint8_t *rtu;
	size_t size;
};

static struct inner inner_at(uint8_t *p, size_t n, bool request)
{
	size_t size = n < 4 ? 0 : request ? modbus_request_size(p, n) : modbus_answer_size(p, n);

	if (!size || size > n || modbus_crc(p, size))
		return (struct inner){ NULL, 0 };
	return (struct inner){ p, size };
}

static void inner_seal(struct inner in)
{
	uint16_t crc;

	if (!in.rtu)
		return;
	crc = modbus_crc(in.rtu, in.size - 2);
	in.rtu[in.size - 2] = (uint8_t)crc;
	in.rtu[in.size - 1] = (uint8_t)(crc >> 8);
}

/* ------------------------------------------------ Solarman V5 */
static uint8_t v5_sum(const uint8_t *frame, size_t size)
{
	uint8_t sum = 0;

	for (size_t i = 1; i < size - 2; i++)
		sum = (uint8_t)(sum + frame[i]);
	return sum;
}

static void v5_at(struct mask *m, uint8_t *p, size_t n)
{
	uint8_t *equals = memchr(p, '=', n);
	uint8_t *end = memchr(p, '\r', n);

	*mask_asked(m) = at_secret(p, n);
	if (equals && *mask_asked(m))
		mask_place(m, MASK_TEXT, equals + 1, (size_t)((end && end > equals ? end : p + n) - equals - 1));
}

static void v5(struct mask *m, enum dir dir, uint8_t *frame, size_t size)
{
	enum { HEAD = 11, TAIL = 2 };
	uint8_t *p = frame + HEAD, before;
	struct inner in = { NULL, 0 };
	size_t n;
	uint32_t number;

	(void)dir;
	if (size < HEAD + TAIL)
		return;
	n = size - HEAD - TAIL;
	before = v5_sum(frame, size);
	number = mask_number(m, le32(frame + 7));
	for (int i = 0; i < 4; i++)
		frame[7 + i] = (uint8_t)(number >> 8 * i);
	if (frame[4] == 0x41 && n >= 81) {
		uint8_t mac[6];

		memcpy(mac, p + 59, sizeof(mac));
		mask_place(m, MASK_IP, p + 65, 16);
		if (!mask_applies(m))
			mask_learn(m, MASK_MAC, mac, sizeof(mac));
		if (n > 172)
			mask_place(m, MASK_TEXT, p + 172, n - 172 < 40 ? n - 172 : 40);
	} else if (frame[4] == 0x43 && n >= 46) {
		mask_place(m, MASK_TEXT, p + 15, 30);
	} else if (frame[4] == 0x45 && n > 15 && p[0] == 1) {
		v5_at(m, p + 15, n - 15);
	} else if (frame[4] == 0x45 && n > 15 && p[0] == 2) {
		in = inner_at(p + 15, n - 15, true);
	} else if (frame[4] == 0x15 && n > 14 && p[0] == 1) {
		uint8_t *equals = memchr(p + 14, '=', n - 14);

		if (equals && *mask_asked(m))
			mask_place(m, MASK_TEXT, equals + 1, (size_t)(p + n - equals - 1));
	} else if (frame[4] == 0x15 && n > 14 && p[0] == 2) {
		in = inner_at(p + 14, n - 14, false);
		if (!in.rtu)
			in = inner_at(p + 15, n - 15, false);
	}
	mask_bytes(m, p, n);
	inner_seal(in);
	frame[size - 2] = (uint8_t)(frame[size - 2] + v5_sum(frame, size) - before);
}

/* ------------------------------------------------ TSUN GEN3 */
static size_t pstr(struct mask *m, enum mask_kind kind, uint8_t *p, size_t n)
{
	if (!n || p[0] >= n)
		return 0;
	mask_place(m, kind, p + 1, p[0]);
	return 1u + p[0];
}

static void gen3(struct mask *m, enum dir dir, uint8_t *frame, size_t size)
{
	size_t k = size > 4 ? frame[4] : 0, n, used;
	struct inner in = { NULL, 0 };
	uint8_t ctrl, id, *data;

	if (size < 7 + k)
		return;
	n = size - 7 - k;
	ctrl = frame[5 + k];
	id = frame[6 + k];
	data = frame + 7 + k;
	mask_place(m, MASK_ID, frame + 5, k);
	if (id == 0x00 && ctrl == 0x91 && dir == DIR_DEVICE) {
		used = pstr(m, MASK_TEXT, data, n);
		if (used)
			pstr(m, MASK_TEXT, data + used, n - used);
		else if (mask_applies(m))
			for (size_t i = 0; i < n; i++)		/* damaged: no telling where the name ends */
				data[i] = isalnum(data[i]) ? 'x' : data[i];
	} else if ((id == 0x04 || id == 0x71) && n > 4) {
		pstr(m, MASK_ID, data + 4, n - 4);
	} else if ((id == 0x77 || id == 0x87) && n > 6) {
		in = inner_at(data + (id == 0x77 ? 5 : 6), n - (id == 0x77 ? 5 : 6), ctrl == 0x70);
	}
	mask_bytes(m, frame + 5, size - 5);
	inner_seal(in);
}

/* ------------------------------------------------ Inteless */
static void inteless(struct mask *m, enum dir dir, uint8_t *frame, size_t size)
{
	if (dir == DIR_DEVICE && frame[3] == 0x01 && size >= 43) {
		mask_place(m, MASK_ID, frame + 11, 12);
		mask_place(m, MASK_TEXT, frame + 27, 8);
	} else if (dir == DIR_DEVICE && frame[3] == 0x09 && size >= 44) {
		mask_place(m, MASK_ID, frame + 11, 10);
	}
	mask_bytes(m, frame, size);
}

/* ------------------------------------------------ Growatt */
static void growatt_lock(uint8_t *body, size_t n)
{
	static const char key[] = "Growatt";

	for (size_t i = 0; i < n; i++)
		body[i] ^= (uint8_t)key[i % 7];
}

static void growatt_parameter(struct mask *m, unsigned int number, uint8_t *p, size_t n)
{
	switch (number) {
	case 0x07: case 0x0b: case 0x38: case 0x39:
		mask_place(m, MASK_TEXT, p, n);
		break;
	case 0x08:
		mask_place(m, MASK_ID, p, n);
		break;
	case 0x10:
		mask_place(m, MASK_MAC, p, n);
		break;
	default:
		break;
	}
}

static void growatt(struct mask *m, enum dir dir, uint8_t *frame, size_t size)
{
	bool locked = size > 3 && frame[3] >= 5;
	size_t s = size > 3 && frame[3] >= 6 ? 30 : 10, end = size - (locked ? 2 : 0), n;
	uint8_t *body = frame + 8, function;
	uint16_t before, after;

	(void)dir;
	if (size < 9 || end < 8)
		return;
	n = end - 8;
	function = frame[7];
	before = modbus_crc(frame, end);
	if (locked)
		growatt_lock(body, n);
	if (n >= 10)
		mask_place(m, MASK_ID, body, s < n ? s : n);
	switch (function) {
	case 0x03: case 0x04: case 0x50: case 0x20: case 0x1b:
		if (n >= 2 * s && function != 0x1b)
			mask_place(m, MASK_ID, body + s, s);
		break;
	case 0x18: case 0x19: case 0x29:
		for (size_t at = s; at + 4 <= n;) {
			size_t length = be16(body + at + 2);

			if (length > n - at - 4)
				break;
			growatt_parameter(m, be16(body + at), body + at + 4, length);
			at += 4 + length;
		}
		break;
	default:
		break;
	}
	mask_bytes(m, body, n);
	if (!locked)
		return;
	growatt_lock(body, n);
	after = modbus_crc(frame, end);
	frame[end] ^= (uint8_t)((before ^ after) >> 8);
	frame[end + 1] ^= (uint8_t)(before ^ after);
}

/* ------------------------------------------------ AlphaESS */
static bool is_key(const uint8_t *key, size_t n, const char *text)
{
	return n == strlen(text) && !memcmp(key, text, n);
}

static bool holds_serial(const uint8_t *key, size_t n)
{
	return is_key(key, n, "UserName") || (n >= 2 && memmem(key, n, "SN", 2));
}

static bool is_private(const uint8_t *key, size_t n)
{
	static const char *const keys[] = { "Password", "Address", "ZipCode", "PhoneNumber", "Country", "License" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (is_key(key, n, keys[i]))
			return true;
	return false;
}

/* "key" : "value", wherever it stands; nesting does not matter. */
static void json_texts(struct mask *m, uint8_t *p, size_t n)
{
	uint8_t *end = p + n;

	while (p < end) {
		uint8_t *key = memchr(p, '"', (size_t)(end - p)), *key_end, *value, *value_end;

		key_end = key ? memchr(key + 1, '"', (size_t)(end - key - 1)) : NULL;
		if (!key_end)
			return;
		value = key_end + 1;
		while (value < end && (*value == ' ' || *value == ':'))
			value++;
		p = key_end + 1;
		if (value == key_end + 1 || value >= end || *value != '"')
			continue;
		value++;
		value_end = memchr(value, '"', (size_t)(end - value));
		if (!value_end)
			return;
		if (holds_serial(key + 1, (size_t)(key_end - key - 1)))
			mask_place(m, MASK_ID, value, (size_t)(value_end - value));
		else if (is_private(key + 1, (size_t)(key_end - key - 1)))
			mask_place(m, MASK_TEXT, value, (size_t)(value_end - value));
		p = value_end + 1;
	}
}

static void alphaess(struct mask *m, enum dir dir, uint8_t *frame, size_t size)
{
	uint16_t before, after;
	uint8_t *mac;

	(void)dir;
	if (size < 9)
		return;
	before = modbus_crc(frame, size - 2);
	json_texts(m, frame + 7, size - 9);
	mac = memmem(frame + 7, size - 9, "MAC:", 4);
	if (mac) {
		uint8_t *end = memchr(mac, '!', (size_t)(frame + size - 2 - mac));

		if (end)
			mask_place(m, MASK_TEXT, mac + 4, (size_t)(end - mac - 4));
	}
	mask_bytes(m, frame + 7, size - 9);
	after = modbus_crc(frame, size - 2);
	frame[size - 2] ^= (uint8_t)((before ^ after) >> 8);
	frame[size - 1] ^= (uint8_t)(before ^ after);
}

/* ------------------------------------------------ APsystems */
static size_t digits(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n && isdigit(p[i]))
		i++;
	return i;
}

/* The ECU's id behind the head, an inverter's behind each END. */
static void apsystems(struct mask *m, enum dir dir, uint8_t *frame, size_t size)
{
	(void)dir;
	if (size >= 30 && digits(frame + 18, size - 18) >= 12)
		mask_place(m, MASK_ID, frame + 18, 12);
	for (size_t i = 3; i + 12 <= size; i++)
		if (!memcmp(frame + i - 3, "END", 3) && digits(frame + i, size - i) >= 12)
			mask_place(m, MASK_ID, frame + i, 12);
	mask_bytes(m, frame, size);
}

const struct mask_protocol mask_protocols[] = {
	{ "solarman-v5", v5 },
	{ "tsun-gen3", gen3 },
	{ "inteless", inteless },
	{ "growatt", growatt },
	{ "alphaess", alphaess },
	{ "apsystems", apsystems },
	{ NULL, NULL },
};
