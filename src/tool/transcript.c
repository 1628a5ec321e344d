/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * transcript.c - segments out of a text
 *
 * A line is one segment, handed on whole as a tap would see it; only one longer than SEGMENT_MAX is
 * cut, so that no file can make us grow.
 */
#include "tool/transcript.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT_MAX = 1024 * 1024 };

struct reader {
	FILE *stream;
	struct session *session;
	struct transcript_result *result;
	uint64_t line;
	uint8_t *bytes;
	size_t length;
};

static void fault(struct reader *r, const char *what)
{
	if (!r->result->faults++)
		snprintf(r->result->fault, sizeof(r->result->fault), "line %llu: %s", (unsigned long long)r->line,
			 what);
}

static void flush(struct reader *r, enum dir dir)
{
	if (r->length)
		session_feed(r->session, dir, r->bytes, r->length, 0);
	r->length = 0;
}

static int digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = tolower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int rest_of_line(struct reader *r, char *text, size_t room)
{
	size_t n = 0;
	int c;

	while ((c = getc(r->stream)) != EOF && c != '\n')
		if (n + 1 < room)
			text[n++] = (char)c;
	text[n] = '\0';
	while (n && isspace((unsigned char)text[n - 1]))
		text[--n] = '\0';
	return c;
}

/* The hexadecimal digits up to the line end; what is no digit ends the segment with a complaint. */
static int segment(struct reader *r, enum dir dir)
{
	int c, high = -1, d;
	bool bad = false;

	while ((c = getc(r->stream)) != EOF && c != '\n') {
		if (bad || c == ' ' || c == '\t' || c == '\r' || c == ':')
			continue;
		d = digit(c);
		if (d < 0) {
			fault(r, "no hexadecimal digit");
			bad = true;
			continue;
		}
		if (high < 0) {
			high = d;
			continue;
		}
		r->bytes[r->length++] = (uint8_t)(high << 4 | d);
		high = -1;
		if (r->length == SEGMENT_MAX)
			flush(r, dir);
	}
	if (high >= 0 && !bad)
		fault(r, "half a byte at the end");
	r->result->segments++;
	flush(r, dir);
	return c;
}

int transcript_read(FILE *stream, struct session *session, struct transcript_result *ret)
{
	struct reader r = { .stream = stream, .session = session, .result = ret, .line = 1 };
	char text[64];
	int c;

	r.bytes = malloc(SEGMENT_MAX);
	if (!r.bytes)
		return -ENOMEM;
	for (; (c = getc(stream)) != EOF; r.line++) {
		if (c == '\n' || c == '\r' || c == ' ' || c == '\t') {
			r.line -= c != '\n';
			continue;
		}
		if (c == '>' || c == '<') {
			c = segment(&r, c == '>' ? DIR_DEVICE : DIR_CLOUD);
		} else if (c == '#') {
			c = rest_of_line(&r, text, sizeof(text));
			if (!strncmp(text, " GAP", 4) && (!text[4] || text[4] == ' ')) {
				session_gap(session, DIR_DEVICE);
				session_gap(session, DIR_CLOUD);
			}
		} else if (c == '-') {
			c = rest_of_line(&r, text, sizeof(text));
			if (!strcmp(text, "--"))
				break;
			fault(&r, "neither > HEX, < HEX, # comment nor ---");
		} else {
			c = rest_of_line(&r, text, sizeof(text));
			fault(&r, "neither > HEX, < HEX, # comment nor ---");
		}
		if (c == EOF)
			break;
	}
	free(r.bytes);
	return 0;
}
