/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal.c - readings a second into a real journald: the decoder's own way, and sd_journal_sendv() with the same fields, ready
 * made; in turns
 *
 *	journal MAPS TRANSCRIPT ROUNDS COUNT	prints both rates (medians of the rounds)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-journal.h>

#include "decoder/journal.h"
#include "protocols/session.h"

enum { FIELDS_MAX = 600 };

static struct reading reading;
static char store[65536];

static void on_reading(void *ctx, const struct reading *r)
{
	(void)ctx;
	if (reading.count)
		return;
	reading = *r;
	for (size_t i = 0; i < r->count; i++)	/* texts that stand in the reading move with it */
		if (r->values[i].type == VALUE_TEXT && r->values[i].text >= r->text && r->values[i].text < r->text + sizeof(r->text))
			reading.values[i].text = reading.text + (r->values[i].text - r->text);
}

static void complain(void *ctx, const char *text)
{
	(void)ctx;
	fprintf(stderr, "%s\n", text);
}

/* What journal_reading() last wrote, read back from the journal: the same fields, none more. */
static int read_back(struct iovec *fields)
{
	sd_journal *j;
	const void *data;
	size_t length, used = 0;
	int n = 0;

	if (sd_journal_open_directory(&j, getenv("JOURNAL_DIRECTORY"), 0) < 0)
		return -1;
	sd_journal_seek_tail(j);
	sd_journal_previous(j);
	SD_JOURNAL_FOREACH_DATA(j, data, length) {
		if (*(const char *)data == '_' || n == FIELDS_MAX || used + length > sizeof(store))
			continue;
		memcpy(store + used, data, length);
		fields[n++] = (struct iovec){ store + used, length };
		used += length;
	}
	sd_journal_close(j);
	return n;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static const struct session_events events = { .reading = on_reading };
	const char *folders[] = { argc > 1 ? argv[1] : "" };
	static struct iovec fields[FIELDS_MAX];
	struct flow_entry flow = { .name = "bench" };
	struct knowledge *k;
	struct session *s;
	static char line[1 << 20];
	double rates[2][64];
	int rounds, count, n;
	FILE *f;

	if (argc != 5 || knowledge_new(&k, folders, 1, complain, NULL) < 0 || session_new(&s, k, NULL, &events, NULL) < 0)
		return 2;
	rounds = atoi(argv[3]) < 64 ? atoi(argv[3]) : 64;
	count = atoi(argv[4]);
	f = fopen(argv[2], "r");
	while (f && fgets(line, sizeof(line), f) && line[0] != '-') {
		static uint8_t bytes[65536];
		size_t length = 0;

		for (char *p = line + 2; line[0] == '>' && p[0] > ' ' && length < sizeof(bytes); p += 2) {
			unsigned byte;

			if (sscanf(p, "%2x", &byte) == 1)
				bytes[length++] = (uint8_t)byte;
		}
		session_feed(s, DIR_DEVICE, bytes, length, now_realtime());
	}
	if (reading.count == 0 || journal_reading(&flow, &reading) < 0 || system("journalctl --sync") != 0)
		return EXIT_FAILURE;
	n = read_back(fields);
	if (n < (int)reading.count)
		return EXIT_FAILURE;
	for (int r = 0; r < rounds; r++) {
		for (int which = 0; which < 2; which++) {
			int64_t start = now_monotonic();

			for (int i = 0; i < count; i++)
				if ((which ? journal_reading(&flow, &reading) : sd_journal_sendv(fields, n)) < 0)
					return EXIT_FAILURE;
			rates[which][r] = count / ((double)(now_monotonic() - start) / (double)NSEC_PER_SEC);
		}
	}
	for (int which = 0; which < 2; which++)
		qsort(rates[which], (size_t)rounds, sizeof(double), by_value);
	printf("%d %.0f %.0f\n", n, rates[1][rounds / 2], rates[0][rounds / 2]);
	return EXIT_SUCCESS;
}
