/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_metrics.c - any bytes as journal entries, and what a scrape then gets, in both formats
 *
 * Held to, by a reader of the formats that knows nothing of the writer: UTF-8; names and labels as they may be; each
 * family described once, before its samples, which stand together; no series twice. A scraper refuses all of a scrape
 * for one line that is wrong.
 */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>

#include "export/metrics.h"
#include "fuzz.h"
#include "shared/util.h"

struct reader {
	char families[4096][160], type[16];
	size_t family_count;
	char *series[65536];
	size_t series_count;
	bool open;
};

static size_t name_length(const char *s)
{
	size_t n = 0;

	while (isalpha((unsigned char)s[n]) || s[n] == '_' || (n && isdigit((unsigned char)s[n])))
		n++;
	return n;
}

static void read_type(struct reader *x, const char *line)
{
	size_t n = name_length(line);

	MUST(n && n < sizeof(x->families[0]) && line[n] == ' ' && x->family_count < ARRAY_SIZE(x->families));
	for (size_t i = 0; i < x->family_count; i++)
		MUST(strlen(x->families[i]) != n || memcmp(x->families[i], line, n) != 0);
	memcpy(x->families[x->family_count], line, n);
	x->families[x->family_count++][n] = '\0';
	snprintf(x->type, sizeof(x->type), "%s", line + n + 1);
	MUST(!strcmp(x->type, "counter") || !strcmp(x->type, "gauge") || (x->open && !strcmp(x->type, "info")));
	if (!x->open && !strcmp(x->type, "counter"))
		MUST(n > 6 && !memcmp(line + n - 6, "_total", 6));
}

/* A comment about the family that was opened last. */
static void read_about(const struct reader *x, const char *line, bool unit)
{
	const char *family = x->family_count ? x->families[x->family_count - 1] : "";
	size_t n = name_length(line);

	MUST(strlen(family) == n && memcmp(family, line, n) == 0 && line[n] == ' ');
	if (unit) {
		size_t u = strlen(line + n + 1);

		MUST(u && n > u + 1 && line[n - u - 1] == '_' && !memcmp(line + n - u, line + n + 1, u));
	}
}

static const char *read_labels(const char *p)
{
	do {
		size_t n = name_length(++p);

		MUST(n && p[n] == '=' && p[n + 1] == '"');
		for (p += n + 2; *p != '"'; p++) {
			MUST(*p);
			if (*p == '\\')
				MUST(*++p == '\\' || *p == '"' || *p == 'n');
		}
		p++;
	} while (*p == ',');
	MUST(*p == '}');
	return p + 1;
}

static void read_sample(struct reader *x, char *line)
{
	const char *family = x->family_count ? x->families[x->family_count - 1] : "";
	size_t n = name_length(line), f = strlen(family);
	const char *suffix = !x->open ? "" : !strcmp(x->type, "counter") ? "_total" : !strcmp(x->type, "info") ? "_info" : "", *p;
	char *end;

	MUST(f && n == f + strlen(suffix) && !memcmp(line, family, f) && !memcmp(line + f, suffix, n - f));
	p = line[n] == '{' ? read_labels(line + n) : line + n;
	MUST(*p == ' ' && (p[1] == '-' || isdigit((unsigned char)p[1])));
	strtod(p + 1, &end);
	MUST(*end == '\0');
	line[p - line] = '\0';
	MUST(x->series_count < ARRAY_SIZE(x->series));
	x->series[x->series_count++] = line;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void read_all(struct text *t, bool open)
{
	static struct reader x;
	json_t *utf8 = json_stringn(t->data, t->length);
	char *save = NULL, *copy = strdup(text_string(t));
	bool ended = false;

	MUST(utf8 && copy && strlen(copy) == t->length && copy[t->length - 1] == '\n');
	json_decref(utf8);
	x.family_count = x.series_count = 0;
	x.open = open;
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		MUST(!ended);
		if (open && strcmp(line, "# EOF") == 0)
			ended = true;
		else if (strncmp(line, "# TYPE ", 7) == 0)
			read_type(&x, line + 7);
		else if (strncmp(line, "# HELP ", 7) == 0)
			read_about(&x, line + 7, false);
		else if (open && strncmp(line, "# UNIT ", 7) == 0)
			read_about(&x, line + 7, true);
		else
			read_sample(&x, line);
	}
	MUST(ended == open);
	qsort(x.series, x.series_count, sizeof(x.series[0]), by_text);
	for (size_t i = 1; i < x.series_count; i++)
		MUST(strcmp(x.series[i - 1], x.series[i]) != 0);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct record *r;
	struct metrics *m;
	struct text t = { 0 };
	bool ours;

	if (!size)
		return 0;
	if (!r)
		r = malloc(sizeof(*r));
	m = metrics_new(600, data[0] & 1);
	MUST(r && m);
	data++;
	size--;
	while (fuzz_entry(r, &data, &size, &ours)) {
		if (!ours)
			continue;
		/* Counts begin with the process, whose time is the real one. */
		if (r->kind == RECORD_EVENT)
			r->entry_ns = now_realtime();
		metrics_take(m, r, r->entry_ns);
	}
	for (int open = 0; open < 2; open++) {
		text_clear(&t);
		metrics_write(m, &t, open, FUZZ_TIME, NULL);
		MUST(!t.failed);
		read_all(&t, open);
	}
	text_free(&t);
	metrics_free(m);
	return 0;
}
