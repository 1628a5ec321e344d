/* SPDX-License-Identifier: GPL-2.0-or-later */
/* progress.h - how far an export of history has got, on one line of a terminal */
#ifndef EXPORT_PROGRESS_H
#define EXPORT_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
	uint64_t from, to, here;	/* µs: the dates it goes over */
	int64_t begun;			/* monotonic */
	bool shown;
};

void progress_begin(struct progress *p, uint64_t from, uint64_t to);
/* position: date of the entry that was read last, 0 = none yet */
void progress_show(struct progress *p, uint64_t position, uint64_t records, const char *trouble);
void progress_clear(struct progress *p);	/* before a line of something else */
/* left: records that the destination has not confirmed */
void progress_end(struct progress *p, uint64_t records, uint64_t refused, size_t left);

#endif
