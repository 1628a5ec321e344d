/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * alphaess_body.h - the bodies of AlphaESS messages: a flat JSON object, or CSV with a header line
 *
 * Both come out as names with values, in the order of the wire, each told once; nothing is kept.
 */
#ifndef SUNTAP_ALPHAESS_BODY_H
#define SUNTAP_ALPHAESS_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct body_value {
	const char *key;
	size_t key_length;
	const uint8_t *text;	/* false, true and null as they are */
	size_t length;
};

typedef void (*body_fn)(void *ctx, const struct body_value *value);

/*
 * false: no JSON object, or one with more than there can be in it; what was told before that is to be
 * thrown away. Values that are objects or arrays are passed over.
 */
bool body_json(const uint8_t *bytes, size_t length, body_fn tell, void *ctx);

struct body_csv {
	const uint8_t *header, *next, *end;
	size_t header_length, columns;
};

/* false: the first line is no header (one column alone, or too many). The bytes have to live as long as csv. */
bool body_csv_start(struct body_csv *csv, const uint8_t *bytes, size_t length);
/* 1: a row, its values told. 0: no more. -1: a row that has not the columns of the header, passed over. */
int body_csv_row(struct body_csv *csv, body_fn tell, void *ctx);

#endif
