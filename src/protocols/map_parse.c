/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map_parse.c - what the words of a map's values say: parts of lists, numbers, spans, one of two
 *
 * Those that return bool say nothing themselves: the caller complains, as it knows what would be right there.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/map_load_private.h"

const char *map_skip_blank(const char *p)
{
	return p + strspn(p, " \t");
}

/* The next part of a list separated by commas, without blanks around; false at its end. */
bool map_next_part(const char **list, char *part, size_t room)
{
	const char *p = map_skip_blank(*list), *end;
	size_t n;

	if (!*p)
		return false;
	end = strchr(p, ',');
	if (!end)
		end = p + strlen(p);
	*list = *end ? end + 1 : end;
	n = (size_t)(end - p);
	while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	if (n >= room)
		n = room - 1;
	memcpy(part, p, n);
	part[n] = '\0';
	return true;
}

bool map_parse_u64(const char *text, uint64_t *ret)
{
	char *end;

	text = map_skip_blank(text);
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	/* Base 16 only where it says so: 010 is ten. */
	*ret = strtoull(text, &end, text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10);
	return !errno && !*map_skip_blank(end) && end > text;
}

bool map_parse_u32(const char *text, uint32_t max, uint32_t *ret)
{
	uint64_t v;

	if (!map_parse_u64(text, &v) || v > max)
		return false;
	*ret = (uint32_t)v;
	return true;
}

bool map_parse_raw(const char *text, int64_t *ret)
{
	uint64_t v;
	bool minus = *(text = map_skip_blank(text)) == '-';

	if (!map_parse_u64(text + minus, &v) || (minus && v > INT64_MAX))
		return false;
	*ret = minus ? -(int64_t)v : (int64_t)v;
	return true;
}

/* A decimal number; hexadecimal ones are integers. */
bool map_parse_decimal(const char *text, struct number *ret)
{
	bool minus = *(text = map_skip_blank(text)) == '-', point = false, digit = false;
	struct number n = { 0 };
	uint64_t whole;

	text += minus || *text == '+';
	if (text[0] == '0' && (text[1] | 0x20) == 'x') {
		if (!map_parse_u64(text, &whole) || whole > INT64_MAX)
			return false;
		*ret = (struct number){ .mantissa = minus ? -(int64_t)whole : (int64_t)whole };
		return true;
	}
	for (; *text && *text != ' ' && *text != '\t'; text++) {
		if (*text == '.' && !point) {
			point = true;
			continue;
		}
		if (!isdigit((unsigned char)*text) || (point && n.decimals == 9) ||
		    __builtin_mul_overflow(n.mantissa, 10, &n.mantissa) ||
		    __builtin_add_overflow(n.mantissa, *text - '0', &n.mantissa))
			return false;
		digit = true;
		n.decimals = (uint8_t)(n.decimals + point);
	}
	if (!digit || *map_skip_blank(text))
		return false;
	if (minus)
		n.mantissa = -n.mantissa;
	*ret = n;
	return true;
}

bool map_parse_yes(struct map_loader *l, const struct map_section *s, int key, const char *name, bool otherwise)
{
	const char *v = s->values[key];

	if (!v)
		return otherwise;
	if (!strcmp(v, "yes") || !strcmp(v, "no"))
		return *v == 'y';
	map_complain(l, s, s->lines[key], "%s: \"%s\" is neither yes nor no", name, v);
	return otherwise;
}

bool map_parse_choice(struct map_loader *l, const struct map_section *s, int key, const char *name, const char *yes,
			 const char *no, bool otherwise)
{
	const char *v = s->values[key];

	if (!v)
		return otherwise;
	if (!strcmp(v, yes) || !strcmp(v, no))
		return !strcmp(v, yes);
	map_complain(l, s, s->lines[key], "%s: \"%s\" is neither %s nor %s", name, v, yes, no);
	return otherwise;
}

bool map_parse_span(const char *text, uint64_t max, uint64_t *low, uint64_t *high)
{
	char copy[64], *dots;

	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	dots = strstr(copy, "..");
	if (!dots) {
		if (!map_parse_u64(copy, low))
			return false;
		*high = *low;
		return *low <= max;
	}
	*dots = '\0';
	*low = 0;
	*high = max;
	if (*map_skip_blank(copy) && !map_parse_u64(copy, low))
		return false;
	if (*map_skip_blank(dots + 2) && !map_parse_u64(dots + 2, high))
		return false;
	return *low <= *high && *high <= max;
}
