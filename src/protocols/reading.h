/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reading.h - what a decoder has understood: one record of one device
 *
 * A number is a decimal: mantissa * 10^-decimals. Makers send scaled integers, so a value is carried
 * as it was sent, without a detour over binary fractions, and prints as the maker meant it
 * (0.1 V steps print one decimal).
 */
#ifndef SUNTAP_READING_H
#define SUNTAP_READING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct number {
	int64_t mantissa;
	uint8_t decimals;	/* 0 … 9, or NUMBER_UNSIGNED */
};

/* In place of decimals: a 64-bit code whose highest bit is set, the mantissa is its uint64_t. */
enum { NUMBER_UNSIGNED = 255 };

/* Writes e.g. "-12.50", NUL-terminated, never "-0.00"; returns the length. buf holds >= 24 bytes. */
size_t number_format(struct number n, char *buf);
double number_double(struct number n);

enum value_type {
	VALUE_NUMBER,
	VALUE_TEXT,
};

struct value {
	const char *name;	/* vocabulary name, e.g. "pv1_voltage"; lives as long as the maps */
	enum value_type type;
	struct number number;
	const char *text;	/* VALUE_TEXT: valid UTF-8 without control characters; in the reading's store */
};

enum time_kind {
	TIME_NONE,		/* the protocol told no usable time: take the arrival */
	TIME_IN_UTC,		/* (TIME_UTC is taken by <time.h>) */
	TIME_LOCAL,		/* the device's wall clock, zone unknown */
};

enum {
	READING_VALUES_MAX = 512,
	READING_TEXT_MAX = 4096,
	READING_ID_MAX = 40,	/* serial and logger, with the NUL */
};

struct reading {
	bool info;		/* identification or settings: no measurement in it */
	bool historic;		/* stored by the device and sent later */
	bool repeat;		/* the same record was seen before */
	const char *protocol;	/* "solarman-v5" */
	char serial[READING_ID_MAX];	/* "" where the protocol does not tell */
	char logger[READING_ID_MAX];
	const char *model;	/* NULL where not known */
	enum time_kind time_kind;
	bool whole_day;		/* the time is a day (or a month, by its first day), not a moment */
	int64_t time_ms;	/* of the measurement, ms since 1970 (of that wall clock if TIME_LOCAL) */
	int64_t arrival_ns;	/* of the frame's last byte, UTC; 0 in a transcript */
	bool has_clock;		/* the offset of the device's clock is known: */
	int64_t clock_offset_ms;	/* what it is ahead of UTC; a wall clock's zone is part of it */
	bool has_utc;		/* and what time_ms is by a right clock: */
	int64_t utc_ms;
	size_t count;
	struct value values[READING_VALUES_MAX];
	size_t text_used;
	char text[READING_TEXT_MAX];
};

const struct value *reading_find(const struct reading *r, const char *name);	/* NULL: not there */

#endif
