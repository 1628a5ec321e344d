/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * alphaess_body.c - the bodies of AlphaESS messages: a flat JSON object, or CSV with a header line
 *
 * Strings, numbers and words are parsed by Jansson, one at a time. The object around them is walked
 * here, because of what Jansson makes of a whole object: of two equal keys the last wins (the
 * batteries mean the first), its table grows with what the network sends, and the first table of a
 * process opens /dev/urandom, which the decoder's sandbox answers with death. So no container is ever
 * built, and what is allocated at any time is one string of the body. Nested values, which no
 * document knows, are passed over by counting brackets, down to DEPTH_MAX.
 */
#include "protocols/alphaess_body.h"

#include <jansson.h>
#include <string.h>

enum {
	DEPTH_MAX = 8,
	MEMBERS_MAX = 1024,
	COLUMNS_MAX = 512,
	STRING_MAX = 2048,	/* longest seen: an event log of 330 */
};

/* Integers as reals: one too big is no reason to refuse the others; the text is what counts. */
#define TAKE_ONE (JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_DECODE_INT_AS_REAL)

struct walk {
	const char *p, *end;
};

static void skip_blank(struct walk *w)
{
	while (w->p < w->end && (*w->p == ' ' || *w->p == '\t' || *w->p == '\r' || *w->p == '\n'))
		w->p++;
}

static bool take(struct walk *w, char c)
{
	skip_blank(w);
	if (w->p == w->end || *w->p != c)
		return false;
	w->p++;
	return true;
}

/* One string, number or word; the walk stands behind it. NULL: none. */
static json_t *take_scalar(struct walk *w, const char **ret_start)
{
	json_error_t error;
	json_t *v;

	skip_blank(w);
	*ret_start = w->p;
	if (w->p == w->end || *w->p == '{' || *w->p == '[')
		return NULL;
	v = json_loadb(w->p, (size_t)(w->end - w->p), TAKE_ONE, &error);
	if (!v)
		return NULL;
	if (error.position <= 0 || error.position > w->end - w->p) {
		json_decref(v);
		return NULL;
	}
	w->p += error.position;
	return v;
}

static bool skip_container(struct walk *w)
{
	bool string = false;
	int depth = 0;

	for (; w->p < w->end; w->p++) {
		if (string) {
			if (*w->p == '\\' && w->end - w->p > 1)
				w->p++;
			else if (*w->p == '"')
				string = false;
			continue;
		}
		if (*w->p == '"')
			string = true;
		if ((*w->p == '{' || *w->p == '[') && ++depth > DEPTH_MAX)
			return false;
		if ((*w->p == '}' || *w->p == ']') && !--depth) {
			w->p++;
			return true;
		}
	}
	return false;
}

static bool take_member(struct walk *w, body_fn tell, void *ctx)
{
	json_t *key, *v = NULL;
	const char *start;
	struct body_value value;
	bool good = false;

	key = take_scalar(w, &start);
	if (!json_is_string(key) || json_string_length(key) > STRING_MAX || !take(w, ':'))
		goto out;
	skip_blank(w);
	if (w->p < w->end && (*w->p == '{' || *w->p == '[')) {
		good = skip_container(w);
		goto out;
	}
	v = take_scalar(w, &start);
	if (!v)
		goto out;
	value.key = json_string_value(key);
	value.key_length = json_string_length(key);
	/* Numbers as they stand on the wire: a detour over binary fractions adds digits. */
	value.text = (const uint8_t *)start;
	value.length = (size_t)(w->p - start);
	if (json_is_string(v)) {
		value.text = (const uint8_t *)json_string_value(v);
		value.length = json_string_length(v);
	}
	good = value.length <= STRING_MAX;
	if (good && !json_is_null(v))
		tell(ctx, &value);
out:
	json_decref(v);
	json_decref(key);
	return good;
}

bool body_json(const uint8_t *bytes, size_t length, body_fn tell, void *ctx)
{
	struct walk w = { (const char *)bytes, (const char *)bytes + length };

	if (!take(&w, '{'))
		return false;
	if (!take(&w, '}')) {
		for (int i = 0;; i++) {
			if (i == MEMBERS_MAX || !take_member(&w, tell, ctx))
				return false;
			if (take(&w, '}'))
				break;
			if (!take(&w, ','))
				return false;
		}
	}
	skip_blank(&w);
	return w.p == w.end;
}

/* ------------------------------------------------ CSV */
static const uint8_t *line_end(const uint8_t *p, const uint8_t *end, const uint8_t **ret_next)
{
	const uint8_t *newline = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
	const uint8_t *stop = newline ? newline : end;

	*ret_next = newline ? newline + 1 : end;
	if (stop > p && stop[-1] == '\r')
		stop--;
	return stop;
}

static size_t count_columns(const uint8_t *p, const uint8_t *end)
{
	size_t n = 1;

	for (; p < end; p++)
		n += *p == ',';
	return n;
}

static const uint8_t *cell_end(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *comma = p < end ? memchr(p, ',', (size_t)(end - p)) : NULL;

	return comma ? comma : end;
}

bool body_csv_start(struct body_csv *csv, const uint8_t *bytes, size_t length)
{
	const uint8_t *stop;

	csv->end = bytes + length;
	stop = line_end(bytes, csv->end, &csv->next);
	csv->header = bytes;
	csv->header_length = (size_t)(stop - bytes);
	csv->columns = count_columns(bytes, stop);
	return csv->columns > 1 && csv->columns <= COLUMNS_MAX;
}

int body_csv_row(struct body_csv *csv, body_fn tell, void *ctx)
{
	const uint8_t *row, *stop, *key = csv->header, *key_stop = csv->header + csv->header_length;

	do {
		row = csv->next;
		if (row == csv->end)
			return 0;
		stop = line_end(row, csv->end, &csv->next);
	} while (stop == row);
	if (count_columns(row, stop) != csv->columns)
		return -1;
	for (size_t i = 0; i < csv->columns; i++) {
		const uint8_t *key_end = cell_end(key, key_stop), *value_end = cell_end(row, stop);
		struct body_value value = { NULL, 0, row, (size_t)(value_end - row) };

		while (key < key_end && *key == ' ')
			key++;
		value.key = (const char *)key;
		value.key_length = (size_t)(key_end - key);
		tell(ctx, &value);
		if (i + 1 < csv->columns) {
			key = key_end + 1;
			row = value_end + 1;
		}
	}
	return 1;
}
