/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exporter.h - from the journal to one destination
 *
 * Theory of operation
 *	                 add()                          exporter_confirm(n)
 *	reader --record--------> destination ==network==> ........
 *	   ^                                                  |
 *	   |        queue of (sequence, cursor), oldest first v
 *	   `--seek-- cursors on disk <---- save ---- those that are done, from the front
 *
 *	A record that was taken puts its cursor at the end of the queue; a confirmation takes from the front. So a cursor
 *	on disk never passes a record that is not at the destination. After a kill the records between the two are
 *	exported again.
 *
 * Invariants
 *	- what is in the queue is what the destination has taken and not confirmed; QUEUE_MAX bounds both.
 *	- the file of cursors is written after the first confirmation, then at most once a second, and at the end.
 */
#ifndef EXPORT_EXPORTER_H
#define EXPORT_EXPORTER_H

#include <stdbool.h>
#include <stdint.h>

#include "export/destination.h"
#include "export/reader.h"
#include "export/settings.h"

struct exporter;

struct exporter_options {
	const struct settings *settings;	/* of the section */
	const struct settings_file *file;	/* that it is in: the inverters */
	const char *state_folder;	/* cursors; NULL: none are kept (--stdout, --since) */
	uint64_t since, until;		/* µs, 0 = not given; with since it ends when all is confirmed */
	bool follow;			/* with since: go on with what comes */
	bool progress;			/* a bar on standard error */
};

/* Runs until it is told to stop, or, with --since, is done. 0, or -errno of what could not be begun. */
int exporter_run(const struct exporter_options *o);

/* For destinations, see destination.h. */
void exporter_confirm(struct exporter *x, size_t n);
void exporter_ready(struct exporter *x);			/* it takes records again */
/* The i-th oldest that is not confirmed (0 = the oldest) will never be taken by the far end. */
void exporter_refuse(struct exporter *x, size_t i, const char *why);
void exporter_trouble(struct exporter *x, const char *format, ...) __attribute__((format(printf, 2, 3)));
void exporter_fine(struct exporter *x);
void exporter_stop(struct exporter *x);				/* nobody reads what we write any more */

/* For the metrics. */
struct exporter_counts {
	uint64_t taken, confirmed, skipped, refused;
	size_t queued;
	int64_t last_ns;		/* when journald took the record that was confirmed last; 0 = none yet */
	bool trouble;
};
void exporter_counts(const struct exporter *x, struct exporter_counts *ret, struct reader_counts *ret_reader);

/* 1, 2, 4 … 60 s and a random part of it, in µs; *failures counts up. */
uint64_t exporter_back_off(unsigned *failures);

#endif
