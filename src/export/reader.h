/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reader.h - suntap's entries out of one journal or many
 *
 * Theory of operation
 *	A journal handle, a position and a cursor for each machine id (see cursors.h), read in turns. One more handle, the
 *	watcher, only looks for changes: libsystemd's inotify is per handle, and their number is limited. It wakes us for
 *	every new entry; when files come or go (rotation, vacuuming, a new gateway) the machines' handles are opened
 *	again at their positions, which also lets go of deleted files and of mapped memory.
 *
 *	A position that is not there any more was rotated away: libsystemd then stands at the next entry in time, which
 *	is still to be given out, and the gap is told.
 */
#ifndef EXPORT_READER_H
#define EXPORT_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export/record.h"
#include "export/settings.h"

struct reader;

struct reader_options {
	const char *journal;			/* as settings.journal */
	unsigned records;			/* bits of enum record_kind */
	const char (*matches)[SETTINGS_MATCH_MAX];
	size_t match_count;
	uint64_t since;				/* µs; 0: cursors decide. Entries that journald took before are left out. */
	uint64_t until;				/* µs; 0: no end */
	bool from_end;				/* machines without a cursor that are there now begin at their end */
	const char *(*cursor)(void *user, const char *machine);	/* saved, NULL: none; asked when a machine is found */
	void (*found)(void *user, const char *machine, const char *cursor);	/* begins here: "" = at its first entry */
	void *user;
};

/* 0, or -errno after log_error(). An empty or unreadable journal is told, and waited for. */
int reader_open(struct reader **ret, const struct reader_options *o);
struct reader *reader_close(struct reader *r);		/* returns NULL; takes NULL */

int reader_fd(const struct reader *r);			/* poll it for POLLIN, then reader_process() */
void reader_process(struct reader *r);			/* call also now and then without being woken */

/* The next record of any machine: 1, or 0 where there is none now. *ret_machine: index of reader_machine(). */
int reader_next(struct reader *r, struct record *ret, size_t *ret_machine);
const char *reader_machine(const struct reader *r, size_t i);

struct reader_counts {
	uint64_t entries, damaged, left_out, foreign, gaps;
	uint64_t position;	/* µs: when journald took the entry that was read last; 0: none yet */
};
const struct reader_counts *reader_counts(const struct reader *r);

#endif
