/* SPDX-License-Identifier: GPL-2.0-or-later */
/* text.h - a buffer that text is appended to, and JSON's way of writing a string */
#ifndef EXPORT_TEXT_H
#define EXPORT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Zeroed it is empty. Where memory ends, `failed` stays set and nothing more is added. */
struct text {
	char *data;
	size_t length, size;
	bool failed;
};

void text_add_slowly(struct text *t, const char *data, size_t length);
/* Here, as it is called for every name, sign and number: an export of history spends its time with it. */
static inline void text_add(struct text *t, const char *data, size_t length)
{
	if (t->failed || t->size - t->length <= length) {
		text_add_slowly(t, data, length);
		return;
	}
	memcpy(t->data + t->length, data, length);
	t->length += length;
}
void text_puts(struct text *t, const char *s);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_integer(struct text *t, int64_t v);
/* With the quotes; length SIZE_MAX: up to the NUL. The input is valid UTF-8 (see record.h). */
void text_json(struct text *t, const char *s, size_t length);
const char *text_string(struct text *t);	/* NUL-terminated, "" when empty or failed */
void text_clear(struct text *t);		/* empty, keeps its memory */
void text_free(struct text *t);

#endif
