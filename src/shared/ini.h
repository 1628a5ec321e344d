/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ini.h - the reader of suntap.ini, whoever reads it
 *
 * suntapd and suntap-export read the same file, each its own sections, with tables of struct ini_key. All complaints
 * have one form, "FILE:LINE: key: what is wrong; what would be right", and nothing stops at the first.
 */
#ifndef SUNTAP_INI_H
#define SUNTAP_INI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
	INI_FILE_MAX = 1 << 20,		/* bytes; more is not a configuration, but the wrong file */
	INI_COMPLAINTS_MAX = 200,
};

struct ini;

struct ini_events {
	/* text: between the brackets, blanks at its ends gone. NULL: no good header, or the end of the file. */
	void (*section)(struct ini *p, const char *text);
	/* continued: an indented line that goes on with the value before; `name` is that one's. */
	void (*value)(struct ini *p, const char *name, const char *value, bool continued);
};

/* Set in, errors, name and events; embed it first in what the events need. */
struct ini {
	FILE *in, *errors;
	const char *name;		/* of the file */
	const struct ini_events *events;
	unsigned line;			/* the one that inih was given last */
	unsigned complaints;
	/* private */
	size_t bytes;
	int error;			/* -errno of reading */
	bool expect_value;		/* the line should bring a call to read_value() */
	bool after_value;		/* inih has a key that an indented line would go on with */
	bool continued;			/* this line does */
};

/*
 * One key of a section. A parser writes what `text` means to `at` and returns true, or complains and returns false.
 * A printer writes what the parser would read.
 */
struct ini_key {
	unsigned section;		/* in the reader's own counting */
	const char *name;
	bool (*parse)(struct ini *p, const struct ini_key *k, const char *text, void *at);
	void (*print)(const struct ini_key *k, const void *at, FILE *out);
	size_t offset;
	const char *fallback;		/* "" = none; a text that goes through the same parser */
	long min, max;
	unsigned ways;			/* bits of enum config_way the key has a meaning for, 0 = all */
	const char *accepts;
	const char *help;
};

int ini_read(struct ini *p);		/* 0, or the -errno of reading; complaints are counted */
int ini_finish(struct ini *p);		/* the last word: 0, or -EINVAL where there was a complaint */

/* line 0: of the file as a whole; key NULL: of no key. What is quoted may come from the file: see ini_shown(). */
void ini_complain(struct ini *p, unsigned line, const char *key, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Text from the file as it may be shown: cut, control characters replaced. One buffer per argument. */
const char *ini_shown(char buf[static 64], const char *text);
/* Number of changes that make b of a, case aside; for words as short as keys. */
size_t ini_distance(const char *a, const char *b);

/* What parsers are made of. */
bool ini_bad_value(struct ini *p, const struct ini_key *k, const char *text);		/* complains, returns false */
bool ini_number(const char *text, size_t length, unsigned long long *ret);		/* decimal, or 0x and hexadecimal */
/* One of the names; at: an enum, or int, which gets its index. */
bool ini_parse_choice(struct ini *p, const struct ini_key *k, const char *text, const char *const *names, size_t count, void *at);
/* Calls item() for each word between commas and blanks; says whether all were good. */
bool ini_each_word(struct ini *p, const struct ini_key *k, const char *text, void *at,
		   bool (*item)(struct ini *, const struct ini_key *, const char *, void *));
bool ini_is_name(const char *text, size_t size);	/* letters, digits, - and _, a letter first; shorter than size */
bool ini_is_ip(const char *text);
bool ini_is_host_name(const char *text);

/* Parsers and printers; in the comment what `at` points to. */
bool ini_parse_unsigned(struct ini *p, const struct ini_key *k, const char *text, void *at);	/* unsigned, uint32_t */
void ini_print_unsigned(const struct ini_key *k, const void *at, FILE *out);
bool ini_parse_port(struct ini *p, const struct ini_key *k, const char *text, void *at);	/* uint16_t */
void ini_print_port(const struct ini_key *k, const void *at, FILE *out);
bool ini_parse_seconds(struct ini *p, const struct ini_key *k, const char *text, void *at);	/* unsigned */
void ini_print_seconds(const struct ini_key *k, const void *at, FILE *out);
bool ini_parse_size(struct ini *p, const struct ini_key *k, const char *text, void *at);	/* size_t */
void ini_print_size(const struct ini_key *k, const void *at, FILE *out);
bool ini_parse_bool(struct ini *p, const struct ini_key *k, const char *text, void *at);	/* bool */
void ini_print_bool(const struct ini_key *k, const void *at, FILE *out);
void ini_print_text(const struct ini_key *k, const void *at, FILE *out);			/* char[] */

#endif
