/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reading.c - numbers as decimals, and filling a reading */
#include "protocols/reading.h"

#include <math.h>
#include <string.h>

#include "protocols/reading_fill.h"

static const int64_t power_of_ten[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000,
					1000000000 };

size_t number_format(struct number n, char *buf)
{
	char digits[24];
	size_t count = 0, out = 0, decimals = n.decimals > 9 ? 9 : n.decimals;
	bool minus = n.mantissa < 0 && n.decimals != NUMBER_UNSIGNED;
	uint64_t m = minus ? 0 - (uint64_t)n.mantissa : (uint64_t)n.mantissa;

	if (n.decimals == NUMBER_UNSIGNED)
		decimals = 0;

	do {
		digits[count++] = (char)('0' + m % 10);
		m /= 10;
	} while (m || count <= decimals);
	if (minus)
		buf[out++] = '-';
	while (count) {
		buf[out++] = digits[--count];
		if (count == decimals && decimals)
			buf[out++] = '.';
	}
	buf[out] = '\0';
	return out;
}

double number_double(struct number n)
{
	if (n.decimals == NUMBER_UNSIGNED)
		return (double)(uint64_t)n.mantissa;
	return (double)n.mantissa / (double)power_of_ten[n.decimals > 9 ? 9 : n.decimals];
}

int64_t number_power_of_ten(unsigned int exponent)
{
	return power_of_ten[exponent > 9 ? 9 : exponent];
}

bool number_round(struct number *n, unsigned int decimals)
{
	int64_t by, half;

	if (n->decimals == NUMBER_UNSIGNED)
		return false;
	if (decimals > 9)
		decimals = 9;
	if (n->decimals <= decimals) {
		if (__builtin_mul_overflow(n->mantissa, power_of_ten[decimals - n->decimals], &n->mantissa))
			return false;
	} else {
		unsigned int drop = n->decimals - decimals;

		if (drop > 9) {		/* products carry up to 18 decimals */
			n->mantissa /= power_of_ten[drop - 9];
			drop = 9;
		}
		by = power_of_ten[drop];
		half = n->mantissa < 0 ? -(by / 2) : by / 2;
		n->mantissa = n->mantissa / by + (n->mantissa % by + half) / by;
	}
	n->decimals = (uint8_t)decimals;
	return true;
}

bool number_from_double(double v, unsigned int decimals, struct number *ret)
{
	double scaled;

	if (decimals > 9)
		decimals = 9;
	scaled = v * (double)power_of_ten[decimals];
	if (!isfinite(scaled) || scaled > 9e18 || scaled < -9e18)
		return false;
	ret->mantissa = (int64_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
	ret->decimals = (uint8_t)decimals;
	return true;
}

void reading_start(struct reading *r, const char *protocol, int64_t arrival_ns)
{
	r->info = false;
	r->historic = false;
	r->repeat = false;
	r->protocol = protocol;
	r->serial[0] = '\0';
	r->logger[0] = '\0';
	r->model = NULL;
	r->time_kind = TIME_NONE;
	r->whole_day = false;
	r->time_ms = 0;
	r->arrival_ns = arrival_ns;
	r->has_clock = false;
	r->has_utc = false;
	r->count = 0;
	r->text_used = 0;
}

void reading_add_number(struct reading *r, const char *name, struct number number)
{
	if (r->count >= READING_VALUES_MAX)
		return;
	r->values[r->count++] = (struct value){ .name = name, .type = VALUE_NUMBER, .number = number };
}

void reading_add_integer(struct reading *r, const char *name, int64_t number)
{
	reading_add_number(r, name, (struct number){ .mantissa = number });
}

void reading_add_string(struct reading *r, const char *name, const char *text)
{
	if (r->count >= READING_VALUES_MAX || !text)
		return;
	r->values[r->count++] = (struct value){ .name = name, .type = VALUE_TEXT, .text = text };
}

void reading_add_bytes(struct reading *r, const char *name, const uint8_t *bytes, size_t length)
{
	const char *text = reading_store(r, bytes, length);

	if (text && *text)
		reading_add_string(r, name, text);
}

/* Length of a valid UTF-8 sequence at p, 0 if there is none (RFC 3629: no surrogates, shortest form). */
static size_t utf8_length(const uint8_t *p, size_t length)
{
	uint8_t a = p[0];

	if (a < 0x80)
		return 1;
	if (a < 0xc2 || length < 2 || (p[1] & 0xc0) != 0x80)
		return 0;
	if (a < 0xe0)
		return 2;
	if (length < 3 || (p[2] & 0xc0) != 0x80)
		return 0;
	if (a < 0xf0)
		return (a == 0xe0 && p[1] < 0xa0) || (a == 0xed && p[1] > 0x9f) ? 0 : 3;
	if (a > 0xf4 || length < 4 || (p[3] & 0xc0) != 0x80)
		return 0;
	return (a == 0xf0 && p[1] < 0x90) || (a == 0xf4 && p[1] > 0x8f) ? 0 : 4;
}

size_t text_clean(char *out, size_t room, const uint8_t *bytes, size_t length)
{
	size_t used = 0, n;
	const uint8_t *end = memchr(bytes, 0, length);

	if (!room)
		return 0;
	if (end)
		length = (size_t)(end - bytes);
	while (length && (bytes[length - 1] == ' ' || bytes[length - 1] == 0xff))
		length--;
	while (length && *bytes == ' ') {
		bytes++;
		length--;
	}
	while (length) {
		n = utf8_length(bytes, length);
		/* C0, DEL and C1 (c2 80 … c2 9f) are control characters. */
		if (!n || *bytes < 0x20 || *bytes == 0x7f || (*bytes == 0xc2 && bytes[1] < 0xa0)) {
			if (used + 1 >= room)
				break;
			out[used++] = '?';
			n = n ? n : 1;
		} else {
			if (used + n >= room)
				break;
			memcpy(out + used, bytes, n);
			used += n;
		}
		bytes += n;
		length -= n;
	}
	out[used] = '\0';
	return used;
}

const char *reading_store(struct reading *r, const uint8_t *bytes, size_t length)
{
	char *out = r->text + r->text_used;
	size_t room = READING_TEXT_MAX - r->text_used;

	if (room < length + 1)
		return NULL;
	r->text_used += text_clean(out, room, bytes, length) + 1;
	return out;
}

const struct value *reading_find(const struct reading *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (!strcmp(r->values[i].name, name))
			return &r->values[i];
	return NULL;
}
