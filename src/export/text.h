/* SPDX-License-Identifier: GPL-2.0-or-later */
/* text.h - a buffer that text is appended to, and JSON's way of writing a string */
#ifndef EXPORT_TEXT_H
#define EXPORT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed it is empty. Where memory ends, `failed` stays set and nothing more is added. */
struct text {
	char *data;
	size_t length, size;
	bool failed;
};

void text_add(struct text *t, const char *data, size_t length);
void text_puts(struct text *t, const char *s);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_integer(struct text *t, int64_t v);
/* With the quotes; length SIZE_MAX: up to the NUL. The input is valid UTF-8 (see record.h). */
void text_json(struct text *t, const char *s, size_t length);
const char *text_string(struct text *t);	/* NUL-terminated, "" when empty or failed */
void text_clear(struct text *t);		/* empty, keeps its memory */
void text_free(struct text *t);

#endif
