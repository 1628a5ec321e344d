/* SPDX-License-Identifier: GPL-2.0-or-later */
/* progress.c - how far an export of history has got; see progress.h */
#include "export/progress.h"

#include <inttypes.h>
#include <stdio.h>

#include "export/record.h"
#include "shared/util.h"

enum { BAR = 30 };

void progress_begin(struct progress *p, uint64_t from, uint64_t to)
{
	*p = (struct progress){ .from = from, .to = to ? to : (uint64_t)(now_realtime() / 1000), .begun = now_monotonic() };
}

static const char *date(uint64_t us, char buf[40])
{
	record_format_time((int64_t)us * 1000, buf);
	buf[10] = '\0';
	return buf;
}

void progress_show(struct progress *p, uint64_t position, uint64_t records, const char *trouble)
{
	double seconds = (double)(now_monotonic() - p->begun) / (double)NSEC_PER_SEC, part;
	char bar[BAR + 1], buf[40];
	int filled;

	/* The bar begins where the journal does, which may be long after the date that was asked for. */
	if (position && !p->here)
		p->from = position < p->to ? position : p->to;
	if (position)
		p->here = position;
	part = p->to > p->from && p->here > p->from ? (double)(p->here - p->from) / (double)(p->to - p->from) : 0;
	if (part > 1)
		part = 1;
	filled = (int)(part * BAR);
	for (int i = 0; i < BAR; i++)
		bar[i] = i < filled ? '#' : '.';
	bar[BAR] = '\0';
	fprintf(stderr, "\r\x1b[K[%s] %3.0f %%  %s  %" PRIu64 " records, %.0f/s", bar, part * 100,
		p->here ? date(p->here, buf) : "", records, seconds > 0 ? (double)records / seconds : 0);
	if (*trouble)
		fprintf(stderr, "  %.60s", trouble);
	fflush(stderr);
	p->shown = true;
}

void progress_clear(struct progress *p)
{
	if (p->shown)
		fputs("\r\x1b[K", stderr);
	p->shown = false;
}

void progress_end(struct progress *p, uint64_t records, uint64_t refused, size_t left)
{
	double seconds = (double)(now_monotonic() - p->begun) / (double)NSEC_PER_SEC;

	progress_clear(p);
	fprintf(stderr, "%" PRIu64 " records in %.1f s", records, seconds);
	if (refused)
		fprintf(stderr, ", %" PRIu64 " of them refused", refused);
	if (left)
		fprintf(stderr, "; %zu more were not confirmed", left);
	fputc('\n', stderr);
}
