/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * growatt_command.c - commands to Growatt loggers and inverters, and their answers, in words
 *
 *		request				answer			(all behind the logger's serial)
 *	05	first, last			first, last, values	read inverter registers
 *	06	register, value			register, result u8, value
 *	10	first, last, values		first, last, result u8
 *	18	parameter, length, text		parameter, result u8	write a parameter of the logger
 *	19	first, last			parameter, length, text	one answer for each parameter
 *
 * Requests and answers of 05 and 19 can look alike: the direction tells them apart.
 */
#include <stdarg.h>
#include <string.h>

#include "protocols/growatt.h"
#include "protocols/reading_fill.h"

enum { VALUE_MOST = 300 };

struct out {
	char *text;
	size_t room, used;
};

__attribute__((format(printf, 2, 3)))
static void put(struct out *o, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(o->text + o->used, o->room - o->used, format, ap);
	va_end(ap);
	if (n > 0)
		o->used = (size_t)n < o->room - o->used ? o->used + (size_t)n : o->room - 1;
}

/*
 * Not 07 (password), 0b (FTP with login), 38, 39 (network and its key). What a number not listed here
 * holds is unknown: it may be a secret as well.
 */
static bool may_be_shown(uint32_t parameter)
{
	static const uint8_t shown[] = {
		0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16,
		0x19, 0x1a, 0x1e, 0x1f, 0x20, 0x4c, 0x50,
	};

	return parameter <= 0xff && memchr(shown, (int)parameter, sizeof(shown));
}

static void put_value(struct out *o, uint32_t parameter, const uint8_t *p, size_t n)
{
	char clean[VALUE_MOST + 1];

	if (!may_be_shown(parameter)) {
		put(o, "(not shown)");
		return;
	}
	text_clean(clean, sizeof(clean), p, n);
	put(o, "%s", clean);
}

static void put_words(struct out *o, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		put(o, "%s%u", i ? "," : "", be16(p + i));
}

static bool is_range(const uint8_t *p, size_t values)
{
	return be16(p + 2) >= be16(p) && values == 2 * (size_t)(be16(p + 2) - be16(p) + 1);
}

/* parameter, length, text; in version 07 a list of them behind their number and size. */
static bool put_settings(struct out *o, uint8_t version, const uint8_t *p, size_t n)
{
	unsigned int count = 1;

	if (version == 7) {
		if (n < 4 || be16(p + 2) != n - 4)
			return false;
		count = be16(p);
		p += 4;
		n -= 4;
	}
	while (count--) {
		size_t length;

		if (n < 4 || be16(p + 2) > n - 4)
			return false;
		length = be16(p + 2);
		put(o, " param=0x%02x value=", be16(p));
		put_value(o, be16(p), p + 4, length);
		p += 4 + length;
		n -= 4 + length;
	}
	return !n;
}

static const char *request(struct out *o, uint8_t version, uint8_t function, const uint8_t *p, size_t n)
{
	switch (function) {
	case FN_READ:
		if (n != 4)
			return NULL;
		put(o, "cloud read inverter regs=%u..%u", be16(p), be16(p + 2));
		break;
	case FN_WRITE:
		if (n != 4)
			return NULL;
		put(o, "cloud write inverter reg=%u value=%u", be16(p), be16(p + 2));
		break;
	case FN_WRITE_MANY:
		if (n < 4 || !is_range(p, n - 4))
			return NULL;
		put(o, "cloud write inverter regs=%u..%u values=", be16(p), be16(p + 2));
		put_words(o, p + 4, n - 4);
		break;
	case FN_SET:
		put(o, "cloud write logger");
		if (!put_settings(o, version, p, n))
			return NULL;
		break;
	case FN_GET:
		if (n != 4)
			return NULL;
		put(o, "cloud read logger params=0x%02x..0x%02x", be16(p), be16(p + 2));
		break;
	default:
		return NULL;
	}
	return "command";
}

static const char *answer(struct out *o, uint8_t function, const uint8_t *p, size_t n)
{
	switch (function) {
	case FN_READ:
		/* Without values: there is no such register. */
		if (n < 4 || (n > 4 && !is_range(p, n - 4)))
			return NULL;
		put(o, "regs=%u..%u values=", be16(p), be16(p + 2));
		put_words(o, p + 4, n - 4);
		return "result";
	case FN_WRITE:
		if (n != 5)
			return NULL;
		put(o, "reg=%u code=%u value=%u", be16(p), p[2], be16(p + 3));
		return "result";
	case FN_WRITE_MANY:
		if (n != 5)
			return NULL;
		put(o, "regs=%u..%u code=%u", be16(p), be16(p + 2), p[4]);
		return "result";
	case FN_SET:
		if (n != 3)
			return NULL;
		put(o, "param=0x%02x code=%u", be16(p), p[2]);
		return "result";
	case FN_GET:
		if (n < 4 || be16(p + 2) > n - 4)
			return NULL;
		put(o, "0x%02x = ", be16(p));
		put_value(o, be16(p), p + 4, be16(p + 2));
		return "param";
	default:
		return NULL;
	}
}

const char *growatt_command(char *text, size_t room, enum dir dir, uint8_t version, uint8_t function,
			    const uint8_t *p, size_t n)
{
	struct out o = { text, room, 0 };

	*text = '\0';
	return dir == DIR_CLOUD ? request(&o, version, function, p, n) : answer(&o, function, p, n);
}
