/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ini.c - the reader of suntap.ini, whoever reads it; see ini.h
 *
 * Theory of operation
 *	libinih takes lines apart (comments, blanks, `key = value`, indented continuation lines) and calls
 *	read_value(). It hides three things that the owner has to be told about: lines longer than its buffer
 *	are cut, sections without a key are not seen, and it returns the number of the first bad line only.
 *	So it reads through read_line(), which looks at each line before inih does: it counts lines, follows
 *	section headers, refuses what would be cut, and notices a line that inih could not use (no call to
 *	read_value() came for it).
 */
#include "shared/ini.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/util.h"

/* ---------------------------------------------------------------- complaints */

void ini_complain(struct ini *p, unsigned line, const char *key, const char *format, ...)
{
	va_list args;

	if (p->complaints++ >= INI_COMPLAINTS_MAX)
		return;
	if (line)
		fprintf(p->errors, "%s:%u: ", p->name, line);
	else
		fprintf(p->errors, "%s: ", p->name);
	/* What is quoted comes from the file: no control characters to the owner's terminal. */
	for (const char *k = key; k && *k; k++)
		fputc((unsigned char)*k < ' ' || *k == 0x7f ? '?' : *k, p->errors);
	if (key)
		fputs(": ", p->errors);
	va_start(args, format);
	vfprintf(p->errors, format, args);
	va_end(args);
	fputc('\n', p->errors);
}

/* Number of changes that make b of a, case aside; for words as short as keys. */
size_t ini_distance(const char *a, const char *b)
{
	size_t row[40], la = strlen(a), lb = strlen(b);

	if (la > 60 || lb >= ARRAY_SIZE(row))
		return 100;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t up = row[j];
			size_t best = diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));

			if (up + 1 < best)
				best = up + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = up;
		}
	}
	return row[lb];
}

/* Text from the file as it may be shown: cut, control characters replaced. One buffer per argument. */
const char *ini_shown(char buf[static 64], const char *text)
{
	size_t i = 0;

	for (; i < 60 && text[i]; i++)
		buf[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
	memcpy(buf + i, text[i] ? "..." : "", text[i] ? 4 : 1);
	return buf;
}

/* ---------------------------------------------------------------- values */

bool ini_bad_value(struct ini *p, const struct ini_key *k, const char *text)
{
	char buf[64];
	const char *comment = strchr(text, '#');

	if (comment && comment > text && isspace((unsigned char)comment[-1]))
		ini_complain(p, p->line, k->name, "\"%s\" has a comment in it; a comment behind a value begins with \" ;\"",
			 ini_shown(buf, text));
	else
		ini_complain(p, p->line, k->name, "\"%s\" is not understood; would be %s", ini_shown(buf, text), k->accepts);
	return false;
}

/* Decimal, or hexadecimal with 0x; the whole of text up to `end`. */
bool ini_number(const char *text, size_t length, unsigned long long *ret)
{
	unsigned long long v = 0;
	bool hex = length > 2 && text[0] == '0' && (text[1] | 32) == 'x';
	size_t i = hex ? 2 : 0;

	if (i == length || length - i > 18)
		return false;
	for (; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (!(hex ? isxdigit(c) : isdigit(c)))
			return false;
		v = v * (hex ? 16 : 10) + (unsigned)(isdigit(c) ? c - '0' : (c | 32) - 'a' + 10);
	}
	*ret = v;
	return true;
}

static bool in_range(struct ini *p, const struct ini_key *k, const char *text, unsigned long long v)
{
	char buf[64];

	if (v >= (unsigned long long)k->min && v <= (unsigned long long)k->max)
		return true;
	ini_complain(p, p->line, k->name, "%s is out of range; would be %s", ini_shown(buf, text), k->accepts);
	return false;
}

static bool parse_in_range(struct ini *p, const struct ini_key *k, const char *text, unsigned long long *ret)
{
	if (!ini_number(text, strlen(text), ret))
		return ini_bad_value(p, k, text);
	return in_range(p, k, text, *ret);
}

bool ini_parse_unsigned(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	unsigned long long v;

	if (!parse_in_range(p, k, text, &v))
		return false;
	*(uint32_t *)at = (uint32_t)v;
	return true;
}
static_assert(sizeof(unsigned) == sizeof(uint32_t), "ini_parse_unsigned() writes both");

void ini_print_unsigned(const struct ini_key *k, const void *at, FILE *out)
{
	fprintf(out, "%s = %" PRIu32 "\n", k->name, *(const uint32_t *)at);
}

bool ini_parse_port(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	unsigned long long v;

	if (!parse_in_range(p, k, text, &v))
		return false;
	*(uint16_t *)at = (uint16_t)v;
	return true;
}

void ini_print_port(const struct ini_key *k, const void *at, FILE *out)
{
	fprintf(out, "%s = %u\n", k->name, *(const uint16_t *)at);
}

static const struct {
	const char *name;
	unsigned factor;
} time_units[] = { { "", 1 }, { "s", 1 }, { "sec", 1 }, { "min", 60 }, { "m", 60 }, { "h", 3600 } };

bool ini_parse_seconds(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	unsigned long long v;
	size_t digits = strspn(text, "0123456789"), i;
	const char *unit = text + digits;

	while (*unit == ' ')
		unit++;
	for (i = 0; i < ARRAY_SIZE(time_units); i++)
		if (strcmp(unit, time_units[i].name) == 0)
			break;
	if (i == ARRAY_SIZE(time_units) || digits > 9 || !ini_number(text, digits, &v))
		return ini_bad_value(p, k, text);
	v *= time_units[i].factor;
	if (!in_range(p, k, text, v))
		return false;
	*(unsigned *)at = (unsigned)v;
	return true;
}

void ini_print_seconds(const struct ini_key *k, const void *at, FILE *out)
{
	unsigned v = *(const unsigned *)at;

	if (v && v % 3600 == 0)
		fprintf(out, "%s = %uh\n", k->name, v / 3600);
	else if (v && v % 60 == 0)
		fprintf(out, "%s = %umin\n", k->name, v / 60);
	else
		fprintf(out, "%s = %us\n", k->name, v);
}

/* Bytes with K, M or G; a power of two. */
bool ini_parse_size(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	unsigned long long v;
	char buf[64];
	size_t digits = strspn(text, "0123456789");
	unsigned shift = 0;

	switch (text[digits] & ~32) {
	case 'K': shift = 10; break;
	case 'M': shift = 20; break;
	case 'G': shift = 30; break;
	}
	if (text[digits] && (!shift || text[digits + 1]))
		return ini_bad_value(p, k, text);
	if (digits > 12 || !ini_number(text, digits, &v))
		return ini_bad_value(p, k, text);
	v <<= shift;
	if (!in_range(p, k, text, v))
		return false;
	if (v & (v - 1)) {
		ini_complain(p, p->line, k->name, "%s is not a power of two; would be %s", ini_shown(buf, text), k->accepts);
		return false;
	}
	*(size_t *)at = (size_t)v;
	return true;
}

void ini_print_size(const struct ini_key *k, const void *at, FILE *out)
{
	size_t v = *(const size_t *)at;

	if (v % (1 << 20) == 0)
		fprintf(out, "%s = %zuM\n", k->name, v >> 20);
	else
		fprintf(out, "%s = %zuK\n", k->name, v >> 10);
}

bool ini_parse_bool(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	static const char *const words[] = { "no", "yes", "off", "on", "false", "true", "0", "1" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasecmp(text, words[i]) == 0) {
			*(bool *)at = i & 1;
			return true;
		}
	return ini_bad_value(p, k, text);
}

void ini_print_bool(const struct ini_key *k, const void *at, FILE *out)
{
	fprintf(out, "%s = %s\n", k->name, *(const bool *)at ? "yes" : "no");
}

bool ini_parse_choice(struct ini *p, const struct ini_key *k, const char *text, const char *const *names, size_t count, void *at)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(text, names[i]) == 0) {
			*(unsigned *)at = (unsigned)i;
			return true;
		}
	return ini_bad_value(p, k, text);
}

void ini_print_text(const struct ini_key *k, const void *at, FILE *out)
{
	if (*(const char *)at)
		fprintf(out, "%s = %s\n", k->name, (const char *)at);
}

bool ini_is_name(const char *text, size_t size)
{
	if (!isalpha((unsigned char)*text) || strlen(text) >= size)
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && *text != '-' && *text != '_')
			return false;
	return true;
}

bool ini_is_ip(const char *text)
{
	struct in6_addr a;

	return inet_pton(AF_INET, text, &a) == 1 || inet_pton(AF_INET6, text, &a) == 1;
}

bool ini_is_host_name(const char *text)
{
	bool letter = false;
	size_t label = 0;

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (!isalnum(c) && c != '-' && c != '_')
			return false;
		if (!isdigit(c))
			letter = true;
		if (++label > 63)
			return false;
	}
	return letter;		/* 10.0.0 and 300.1.1.1 are addresses gone wrong */
}

/* Calls item() for each word between commas and blanks; says whether all were good. */
bool ini_each_word(struct ini *p, const struct ini_key *k, const char *text, void *at,
		      bool (*item)(struct ini *, const struct ini_key *, const char *, void *))
{
	bool good = true, any = false;
	char word[200];

	for (;;) {
		size_t length;

		text += strspn(text, ", \t");
		length = strcspn(text, ", \t");
		if (length == 0)
			break;
		if (*text == '#' && any)
			return ini_bad_value(p, k, text - 1);
		if (length >= sizeof(word))
			return ini_bad_value(p, k, text);
		memcpy(word, text, length);
		word[length] = '\0';
		good &= item(p, k, word, at);
		any = true;
		text += length;
	}
	if (!any)
		return ini_bad_value(p, k, "");
	return good;
}

/* ---------------------------------------------------------------- lines */

/* inih's handler. The section it names is cut at 49 bytes: events->section() had the whole. */
static int read_value(void *user, const char *section, const char *name, const char *value)
{
	struct ini *p = user;

	(void)section;
	p->expect_value = false;
	p->after_value = true;
	p->events->value(p, name, value, p->continued);
	return 1;
}

/* A header is read here and not by inih, which shows no empty section and cuts long names. */
static void read_header(struct ini *p, char *line)
{
	char *end = strchr(line, ']');
	char *rest = end ? end + 1 + strspn(end + 1, " \t") : NULL;
	char buf[64];

	p->after_value = false;
	if (!end || (*rest && *rest != ';' && *rest != '#')) {
		p->events->section(p, NULL);
		ini_complain(p, p->line, NULL, "\"%s\" is not a section; would be [suntapd] or [device NAME]",
			     ini_shown(buf, line));
		return;
	}
	*end = '\0';
	line += 1 + strspn(line + 1, " \t");
	while (end > line && strchr(" \t", end[-1]))
		*--end = '\0';
	p->events->section(p, line);
}

/* An indented `key = …` is a key all the same: inih would take it for more of the value before. */
static bool looks_like_key(const char *text)
{
	size_t word = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_");

	return word && text[word + strspn(text + word, " \t")] == '=';
}

/* The line before was meant for read_value(), and did not get there. */
static void finish_line(struct ini *p)
{
	if (p->expect_value)
		ini_complain(p, p->line, NULL, "is neither a section nor a key with its value; would be [section], key = value or "
			 "; comment");
	p->expect_value = false;
}

/* Reads one line, at most size - 1 bytes of it; -1 at the end. *whole: it fitted and has no NUL in it. */
static int get_line(struct ini *p, char *buf, size_t size, bool *whole)
{
	size_t n = 0;
	int c;

	*whole = true;
	while ((c = fgetc(p->in)) != EOF) {
		if (++p->bytes > INI_FILE_MAX)
			return -1;
		if (c == '\n')
			break;
		if (c == '\0' || n + 1 >= size)
			*whole = false;
		else
			buf[n++] = (char)c;
	}
	if (c == EOF && ferror(p->in)) {
		p->error = -errno;
		return -1;
	}
	if (c == EOF && n == 0 && *whole)
		return -1;
	while (n > 0 && isspace((unsigned char)buf[n - 1]))
		n--;
	buf[n] = '\0';
	return 0;
}

/* inih's reader, in the manner of fgets(). What inih need not see is given to it as an empty line. */
static char *read_line(char *str, int num, void *stream)
{
	struct ini *p = stream;
	size_t room = (size_t)num - 2;		/* for the newline and the NUL */
	char *line;
	bool whole;

	finish_line(p);
	if (p->complaints >= INI_COMPLAINTS_MAX || get_line(p, str, room, &whole) < 0)
		return NULL;
	if (p->line++ == 0 && strncmp(str, "\xef\xbb\xbf", 3) == 0)
		memset(str, ' ', 3);	/* the byte order mark of some editors */
	line = str + strspn(str, " \t\r\f\v");
	if (!whole) {
		ini_complain(p, p->line, NULL, "is longer than %zu bytes, or has a NUL byte in it; a list may go on in indented "
			 "lines", room - 1);
		*str = '\0';
	} else if (*line == '[') {
		read_header(p, line);
		/* inih has to see a header to forget the key before it. */
		strcpy(str, "[x]");
	} else if (*line && *line != ';' && *line != '#') {
		p->expect_value = true;
		p->continued = line != str && p->after_value && !looks_like_key(line);
		if (line != str && !p->continued)
			memmove(str, line, strlen(line) + 1);
	}
	strcat(str, "\n");
	return str;
}

int ini_read(struct ini *p)
{
	ini_parse_stream(read_line, p, read_value, p);
	finish_line(p);
	p->events->section(p, NULL);
	if (p->error) {
		fprintf(p->errors, "%s: cannot be read: %s\n", p->name, strerror(-p->error));
		return p->error;
	}
	if (p->bytes > INI_FILE_MAX)
		ini_complain(p, p->line, NULL, "is larger than %d bytes; is this the right file?", INI_FILE_MAX);
	return 0;
}

int ini_finish(struct ini *p)
{
	if (p->complaints >= INI_COMPLAINTS_MAX)
		fprintf(p->errors, "%s: %d complaints, the rest is left out\n", p->name, INI_COMPLAINTS_MAX);
	return p->complaints ? -EINVAL : 0;
}
