/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reader.h - suntap's entries out of one journal or many
 *
 * Theory of operation
 *	What journald writes one after the other has a sequence id and is numbered through (see journal_files.h). There is a
 *	handle, a position and a cursor for each such sequence. With one for all, libsystemd puts sequences in order by time:
 *	what a gateway uploads late, or what is written behind a clock that is not set yet after a power cut, would be older
 *	than the position, and never be seen. Sequences of one journal are read one after the other, those of several in
 *	turns.
 *
 *	One more handle, the watcher, only looks for changes: libsystemd's inotify is per handle, and their number is
 *	limited. It wakes us for every new entry; when files come or go (rotation, vacuuming, a new gateway) the handles
 *	concerned are opened again at their positions, which also lets go of deleted files and of mapped memory.
 *
 *	A sequence may begin with a copy of what another had (journalctl --flush): entries of the same boot that are not
 *	later than where we are in the other are left out.
 *
 *	A position that is not there any more was rotated away: libsystemd then stands at the next entry, which is still to
 *	be given out, and the gap is told.
 */
#ifndef EXPORT_READER_H
#define EXPORT_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export/record.h"
#include "export/room.h"
#include "export/settings.h"

struct reader;

struct reader_cursor {
	char sequence[33];
	char at[RECORD_CURSOR_MAX];		/* of the last entry, "" = none yet: its first comes next */
};

struct reader_options {
	const char *journal;			/* as settings.journal */
	const char *unit;			/* entries of others are left out, and told; "any": none are */
	unsigned records;			/* bits of enum record_kind */
	const char (*matches)[SETTINGS_MATCH_MAX];
	size_t match_count;
	uint64_t since;				/* µs; 0: cursors decide. Entries that journald took before are left out. */
	uint64_t until;				/* µs; 0: no end */
	bool from_end;				/* sequences without a cursor that are there now begin at their end */
	const struct reader_cursor *cursors;	/* saved; only looked at by reader_open() */
	size_t cursor_count;
	void (*found)(void *user, const char *sequence, const char *cursor);	/* begins here: "" = at its first entry */
	void (*gone)(void *user, const char *sequence);		/* its files were deleted: the cursor is of no more use */
	void *user;
};

/* 0, or -errno after log_error(). An empty or unreadable journal is told, and waited for. */
int reader_open(struct reader **ret, const struct reader_options *o);
struct reader *reader_close(struct reader *r);		/* returns NULL; takes NULL */

int reader_fd(const struct reader *r);			/* poll it for POLLIN, then reader_process() */
void reader_process(struct reader *r);			/* call also now and then without being woken */

/* The next record of any sequence: 1, or 0 where there is none now. *ret_source: index of reader_sequence(). */
int reader_next(struct reader *r, struct record *ret, size_t *ret_source);
const char *reader_sequence(const struct reader *r, size_t i);

/* What waits since `since` (µs), see room.h; false where it is not this machine's own journal, or nobody knows. */
bool reader_room(const struct reader *r, uint64_t since, struct room *ret);

struct reader_counts {
	uint64_t entries, damaged, left_out, foreign, gaps;
	uint64_t position;	/* µs: when journald took the entry that was read last; 0: none yet */
};
const struct reader_counts *reader_counts(const struct reader *r);

#endif
