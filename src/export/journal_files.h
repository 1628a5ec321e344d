/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal_files.h - which journal files there are, and which of them go on in one another
 *
 * Each journal file has a sequence id in its head. Files with the same one were written after each other by one journald
 * (rotation keeps it), and their entries are numbered through. After a power cut, or with a clock that is behind what is
 * written already, journald begins another file with a new one; systemd-journal-remote has one for each file of its own.
 *
 * Between a listing and the opening of its names journald may rename: a scan is repeated until it finds nothing new, and
 * who opens files asks afterwards whether they were still the same.
 */
#ifndef EXPORT_JOURNAL_FILES_H
#define EXPORT_JOURNAL_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-id128.h>

struct journal_file {
	char *path;
	dev_t device;
	ino_t inode;
	sd_id128_t id;
	char sequence[33];		/* "": there is no head in it yet, or it can not be read */
	uint64_t begun;			/* µs: realtime of its first entry; 0: none yet */
	uint32_t group;			/* of one journal: of the folder's name and the file's up to @ */
	bool seen;			/* by the scan that is under way */
};

struct journal_files {
	struct journal_file *all;
	size_t count, room;
	bool unfinished;		/* some have no head yet: scan again */
	void (*changed)(void *user, const struct journal_file *file);	/* its sequence's list of files is another one now */
	void *user;
};

/* journal: "local", "all", or a folder. Calls changed() for each file that came, went, or has another name. */
void journal_files_scan(struct journal_files *f, const char *journal);
/* Paths of the files of a sequence, ended by NULL; free() the array only. NULL: no memory. */
const char **journal_files_of(const struct journal_files *f, const char *sequence);
/* Whether the names of a sequence's files still lead to them. */
bool journal_files_are_there(const struct journal_files *f, const char *sequence);
/* Whether journald is done with all of them. */
bool journal_files_archived(const struct journal_files *f, const char *sequence);
/* µs: realtime of its last entry so far; 0: none, or nobody can read it */
uint64_t journal_file_ended(const struct journal_file *file);
void journal_files_free(struct journal_files *f);

#endif
