/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record.h - one journal entry of suntap's, as a destination gets it
 *
 * Whoever may write to the journal may write an entry that looks like ours, so nothing here is believed but what journald
 * itself has added (the names with _ at their beginning), by which the reader tells who wrote it: identities
 * and texts are cut to a length and made valid UTF-8 without control characters, names are [a-z][a-z0-9_]*, a number is a
 * plain decimal or it is a text. What is too long, or has a name that was there already, is left out and counted.
 */
#ifndef EXPORT_RECORD_H
#define EXPORT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum record_kind {
	RECORD_READING,		/* measurements */
	RECORD_INFO,		/* what a device says of itself: identification, settings */
	RECORD_EVENT,		/* flow opened, gap, TLS …: see message_id and fields */
	RECORD_KINDS,
};

enum {
	RECORD_VALUES_MAX = 512,
	RECORD_FIELDS_MAX = 64,
	RECORD_ID_MAX = 64,		/* serial, logger … with the NUL */
	RECORD_NAME_MAX = 60,
	RECORD_TEXT_MAX = 4096,		/* bytes of one text; a longer one is left out */
	RECORD_STORE = 128 * 1024,
	RECORD_CURSOR_MAX = 256,
};

struct record_value {
	const char *name;		/* vocabulary name, "pv1_voltage"; protocols/vocabulary.h tells its unit */
	const char *text;		/* as in the journal: "35.3" */
	uint16_t name_length, text_length;
	bool number;			/* text is -?digits(.digits)?, at most 24 characters */
};

struct record_field {			/* SUNTAP_* and MESSAGE, of events */
	const char *name, *text;	/* "SUNTAP_BYTES_DEVICE" */
};

struct record {
	enum record_kind kind;
	char message_id[33];
	/* Identities, "" where the entry does not tell. */
	char device[RECORD_ID_MAX];	/* name of the [device …] section on the gateway */
	char serial[RECORD_ID_MAX], logger[RECORD_ID_MAX];
	char protocol[RECORD_ID_MAX], model[RECORD_ID_MAX];
	char time_source[RECORD_ID_MAX];
	/* What journald says of who wrote it. */
	char machine[33];		/* the gateway's machine id */
	char unit[RECORD_ID_MAX], uid[16];
	int64_t time_ns;		/* of the measurement, UTC; where unknown, of the entry */
	int64_t entry_ns;		/* when journald on the gateway took the entry */
	bool historic;			/* the device had kept it and sent it later */
	bool repeat;			/* it was seen before */
	char cursor[RECORD_CURSOR_MAX];	/* the entry's own name, unique for ever */
	size_t count;
	struct record_value values[RECORD_VALUES_MAX];
	size_t field_count;
	struct record_field fields[RECORD_FIELDS_MAX];
	unsigned left_out;		/* fields that were too long, too many or not named as ours */
	size_t source_index;		/* the reader's number of the sequence */
	bool bad_time;			/* SUNTAP_TIME was there and made no sense */
	/* private */
	bool ours;			/* MESSAGE_ID was seen */
	size_t used;
	char store[RECORD_STORE];
};

/* Start over, give all fields of an entry in any order, finish: true if it is one of ours. Pointers are into r. */
void record_begin(struct record *r);
void record_field(struct record *r, const char *data, size_t length);	/* "NAME=…", may hold NULs */
bool record_finish(struct record *r);

const struct record_value *record_find(const struct record *r, const char *name);	/* NULL: not there */
const char *record_event_field(const struct record *r, const char *name);		/* NULL: not there */
double record_number(const struct record_value *v);					/* in the C locale */

/* "2024-05-01T10:00:00Z", with 3 or 9 decimals where there are any; buf >= 40 */
const char *record_format_time(int64_t ns, char *buf);
/* The same back, also without time of day; false if it is none. Without Z it is taken as UTC. */
bool record_parse_time(const char *text, size_t length, int64_t *ret_ns);

#endif
