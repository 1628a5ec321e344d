/* SPDX-License-Identifier: GPL-2.0-or-later */
/* metrics.h - what is counted and kept for the metrics, and how it is written; metrics.c serves it */
#ifndef EXPORT_METRICS_H
#define EXPORT_METRICS_H

#include "export/destination.h"
#include "export/text.h"

enum {
	METRICS_DEVICES_MAX = 1024,
	METRICS_VALUES_MAX = 65536,	/* of all devices together */
	METRICS_COUNTS_MAX = 2048,	/* series of the service's own */
	METRICS_RECENT = 3600,		/* s; readings from before the start that are looked at */
};

struct metrics;

struct metrics *metrics_new(unsigned stale_seconds, bool base_units);
struct metrics *metrics_free(struct metrics *m);			/* returns NULL; takes NULL */
void metrics_take(struct metrics *m, const struct record *r, int64_t now_ns);
/* open: OpenMetrics 1.0; else the classic format. x: for the exporter's own; may be NULL. */
void metrics_write(struct metrics *m, struct text *t, bool open, int64_t now_ns, const struct exporter *x);

#endif
