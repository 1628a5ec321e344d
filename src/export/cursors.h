/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cursors.h - how far a destination has got, on disk
 *
 * One cursor for each machine whose journal is read: with one for all, entries that a gateway uploads late, and that
 * are older than where another's cursor stands, would never be seen. The file is a text, written anew with fsync and
 * rename, and the name has the section's: /var/lib/suntap-export/house.cursors. A lock beside it keeps a second
 * exporter of the same section away.
 */
#ifndef EXPORT_CURSORS_H
#define EXPORT_CURSORS_H

#include <stdbool.h>
#include <stddef.h>

#include "export/record.h"

struct cursor {
	char machine[33];
	char at[RECORD_CURSOR_MAX];	/* of the last entry that was confirmed; "" = none yet: its first comes next */
};

struct cursors {
	char path[512];
	int lock;
	bool fresh;			/* there was no file */
	struct cursor *all;
	size_t count, room;
};

/*
 * 0, -EBUSY (another exporter runs for it), or -errno; said to the log. A file that makes no sense is put aside as
 * NAME.cursors.bad, told, and counts as none: everything is exported again.
 */
int cursors_open(struct cursors *c, const char *folder, const char *name);
struct cursor *cursors_get(struct cursors *c, const char *machine);	/* makes it; NULL: no memory */
int cursors_save(const struct cursors *c);				/* 0 or -errno; the old file stays then */
void cursors_close(struct cursors *c);

#endif
