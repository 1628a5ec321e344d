/* SPDX-License-Identifier: GPL-2.0-or-later */
/* text.c - a buffer that text is appended to; see text.h */
#include "export/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct text *t, size_t more)
{
	size_t size = t->size ? t->size : 4096;
	char *data;

	if (t->failed || more > SIZE_MAX / 4) {
		t->failed = true;
		return false;
	}
	if (t->size - t->length > more)
		return true;
	while (size - t->length <= more)
		size *= 2;
	data = realloc(t->data, size);
	if (!data) {
		t->failed = true;
		return false;
	}
	t->data = data;
	t->size = size;
	return true;
}

void text_add_slowly(struct text *t, const char *data, size_t length)
{
	if (length == 0 || !reserve(t, length))
		return;
	memcpy(t->data + t->length, data, length);
	t->length += length;
}

void text_puts(struct text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

void text_printf(struct text *t, const char *format, ...)
{
	char buf[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(buf, sizeof(buf), format, args);
	va_end(args);
	if (n < 0)
		return;
	if ((size_t)n < sizeof(buf)) {
		text_add(t, buf, (size_t)n);
		return;
	}
	if (!reserve(t, (size_t)n))
		return;
	va_start(args, format);
	vsnprintf(t->data + t->length, t->size - t->length, format, args);
	va_end(args);
	t->length += (size_t)n;
}

void text_integer(struct text *t, int64_t v)
{
	char buf[24], *p = buf + sizeof(buf);
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do
		*--p = (char)('0' + u % 10);
	while (u /= 10);
	if (v < 0)
		*--p = '-';
	text_add(t, p, (size_t)(buf + sizeof(buf) - p));
}

void text_json(struct text *t, const char *s, size_t length)
{
	size_t start = 0;

	if (length == SIZE_MAX)
		length = strlen(s);
	text_add(t, "\"", 1);
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)s[i];
		char escape[8];
		int n;

		if (c >= ' ' && c != '"' && c != '\\' && c != 0x7f)
			continue;
		text_add(t, s + start, i - start);
		start = i + 1;
		n = c == '"' || c == '\\' ? snprintf(escape, sizeof(escape), "\\%c", c) :
		    snprintf(escape, sizeof(escape), "\\u%04x", c);
		text_add(t, escape, (size_t)n);
	}
	text_add(t, s + start, length - start);
	text_add(t, "\"", 1);
}

const char *text_string(struct text *t)
{
	if (!reserve(t, 1))
		return "";
	t->data[t->length] = '\0';
	return t->data;
}

void text_clear(struct text *t)
{
	t->length = 0;
	t->failed = false;
}

void text_free(struct text *t)
{
	free(t->data);
	*t = (struct text){ 0 };
}
