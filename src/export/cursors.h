/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cursors.h - how far a destination has got, on disk
 *
 * One cursor for each sequence that is read, see reader.h. The file is a text, written anew with fsync and
 * rename, and the name has the section's: /var/lib/suntap-export/house.cursors. A lock beside it keeps a second
 * exporter of the same section away.
 */
#ifndef EXPORT_CURSORS_H
#define EXPORT_CURSORS_H

#include <stdbool.h>
#include <stddef.h>

#include "export/reader.h"

struct cursors {
	char path[512];
	int lock;
	bool fresh;			/* there was no file */
	struct reader_cursor *all;	/* .at: the last entry that was confirmed */
	size_t count, room;
};

/*
 * 0, -EBUSY (another exporter runs for it), or -errno; said to the log. A file that makes no sense is put aside as
 * NAME.cursors.bad, told, and counts as none: everything is exported again.
 */
int cursors_open(struct cursors *c, const char *folder, const char *name);
struct reader_cursor *cursors_find(const struct cursors *c, const char *sequence);	/* NULL: there is none */
struct reader_cursor *cursors_get(struct cursors *c, const char *sequence);	/* makes it; NULL: no memory */
void cursors_remove(struct cursors *c, const char *sequence);
int cursors_save(const struct cursors *c);				/* 0 or -errno; the old file stays then */
void cursors_close(struct cursors *c);

#endif
