/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal_files.h - which journal files hold entries of which machine
 *
 * A handle of libsystemd opens every file of a folder, also those in which a match finds nothing. With a handle for
 * each machine that is machines times files: a hundred gateways were 10,000 descriptors and 1.5 GB of mapped pages. So
 * each file is asked once which machines are in it (again while it is written to), and a handle gets its own files.
 */
#ifndef EXPORT_JOURNAL_FILES_H
#define EXPORT_JOURNAL_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct journal_file {
	char *path;
	dev_t device;
	ino_t inode;
	char (*machines)[33];
	size_t machine_count;
	bool seen;			/* by the scan that is under way */
};

struct journal_files {
	struct journal_file *all;
	size_t count, room;
	void (*changed)(void *user, const char *machine);	/* its list of files is another one now */
	void *user;
};

/* journal: "all", or a folder. Calls changed() for each machine that is concerned, once or more. */
void journal_files_scan(struct journal_files *f, const char *journal);
/* Paths of the files that machine has entries in, ended by NULL; free() the array only. NULL: no memory. */
const char **journal_files_of(const struct journal_files *f, const char *machine);
void journal_files_free(struct journal_files *f);

#endif
