/* SPDX-License-Identifier: GPL-2.0-or-later */
/* journal_files.c - which journal files there are, and which of them go on in one another; see journal_files.h */
#include "export/journal_files.h"

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "shared/util.h"

enum { SCANS_MAX = 5 };

/* https://systemd.io/JOURNAL_FILE_FORMAT: what of its head we look at; little endian */
enum { HEAD_ID = 24, HEAD_SEQUENCE = 72, HEAD_BEGUN = 184, HEAD_ENDED = 192, HEAD_SIZE = 208 };

static bool ends_in(const char *name, const char *ending)
{
	size_t n = strlen(name), e = strlen(ending);

	return n > e && strcmp(name + n - e, ending) == 0;
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* journald renames a file when it is done with it: system@….journal, or ….journal~ after a crash */
static bool is_archived(const char *path)
{
	return strchr(name_of(path), '@') || ends_in(path, "~");
}

/* /run/log/journal/MACHINE/system.journal, /var/log/journal/MACHINE/system@….journal: the same */
static uint32_t group_of(const char *path)
{
	const char *name = name_of(path), *folder = name - (name > path);
	uint32_t hash = 2166136261;

	while (folder > path && folder[-1] != '/')
		folder--;
	for (size_t i = 0, n = (size_t)(name - folder) + strcspn(name, "@."); i < n; i++)
		hash = (hash ^ (unsigned char)folder[i]) * 16777619;
	return hash;
}

/* Whether libsystemd can do anything with it. A list with one that it can not open is refused as a whole. */
static bool opens(const char *path)
{
	const char *paths[] = { path, NULL };
	sd_journal *j;

	if (sd_journal_open_files(&j, paths, 0) < 0)
		return false;
	sd_journal_close(j);
	return true;
}

/* false: there is none, or nobody can read it. Another file may have the number of one that was deleted. */
static bool read_head(struct journal_file *file)
{
	CLEANUP(closep) int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	unsigned char head[HEAD_SIZE];
	sd_id128_t id, sequence;
	uint64_t begun;

	if (fd < 0 || pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) || memcmp(head, "LPKSHHRH", 8) != 0)
		return false;
	memcpy(&id, head + HEAD_ID, sizeof(id));
	memcpy(&sequence, head + HEAD_SEQUENCE, sizeof(sequence));
	memcpy(&begun, head + HEAD_BEGUN, sizeof(begun));
	if ((!file->sequence[0] || !sd_id128_equal(id, file->id)) && !opens(file->path))
		return false;
	file->id = id;
	sd_id128_to_string(sequence, file->sequence);
	file->begun = le64toh(begun);
	return true;
}

static struct journal_file *find(struct journal_files *f, const struct stat *st)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->all[i].device == st->st_dev && f->all[i].inode == st->st_ino)
			return &f->all[i];
	return NULL;
}

static struct journal_file *add(struct journal_files *f, const struct stat *st)
{
	if (f->count == f->room) {
		size_t room = f->room ? 2 * f->room : 64;
		struct journal_file *all = realloc(f->all, room * sizeof(*all));

		if (!all)
			return NULL;
		f->all = all;
		f->room = room;
	}
	f->all[f->count] = (struct journal_file){ .device = st->st_dev, .inode = st->st_ino };
	return &f->all[f->count++];
}

/* true: there is something new in it */
static bool look_at(struct journal_files *f, const char *path)
{
	struct journal_file *file, before;
	struct stat st;
	bool moved;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	file = find(f, &st);
	if (!file)
		file = add(f, &st);
	if (!file)
		return false;
	file->seen = true;
	moved = !file->path || strcmp(file->path, path) != 0;
	if (moved) {
		char *copy = strdup(path);

		if (!copy)
			return false;
		free(file->path);
		file->path = copy;
		file->group = group_of(path);
	} else if (file->sequence[0] && is_archived(path)) {
		return false;
	}
	before = *file;
	if (!read_head(file)) {
		file->sequence[0] = '\0';
		f->unfinished = true;
	}
	if (!moved && sd_id128_equal(before.id, file->id) && strcmp(before.sequence, file->sequence) == 0)
		return false;
	if (before.sequence[0])
		f->changed(f->user, &before);
	if (file->sequence[0])
		f->changed(f->user, file);
	return true;
}

/* Files of a folder, and of its folders down to `depth`. */
static bool walk(struct journal_files *f, const char *folder, unsigned depth)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[4096];
	bool changed = false;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= (int)sizeof(path))
			continue;
		if (ends_in(entry->d_name, ".journal") || ends_in(entry->d_name, ".journal~"))
			changed |= look_at(f, path);
		else if (depth && (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN))
			changed |= walk(f, path, depth - 1);
	}
	if (dir)
		closedir(dir);
	return changed;
}

static bool walk_all(struct journal_files *f, const char *journal)
{
	static const char *const roots[] = { "/var/log/journal", "/run/log/journal" };
	bool local = strcmp(journal, "local") == 0, changed = false;
	char path[64], text[SD_ID128_STRING_MAX];
	sd_id128_t machine;

	if (*journal == '/')
		return walk(f, journal, 1);
	if (local && sd_id128_get_machine(&machine) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		snprintf(path, sizeof(path), "%s%s%s", roots[i], local ? "/" : "",
			 local ? sd_id128_to_string(machine, text) : "");
		changed |= walk(f, path, local ? 0 : 1);
	}
	return changed;
}

void journal_files_scan(struct journal_files *f, const char *journal)
{
	bool changed = true;
	size_t kept = 0;

	for (unsigned n = 0; changed && n < SCANS_MAX; n++) {
		for (size_t i = 0; i < f->count; i++)
			f->all[i].seen = false;
		f->unfinished = false;
		changed = walk_all(f, journal);
	}
	f->unfinished |= changed;
	for (size_t i = 0; i < f->count; i++) {
		struct journal_file gone = f->all[i];

		if (gone.seen) {
			f->all[kept++] = gone;
			continue;
		}
		if (gone.sequence[0])
			f->changed(f->user, &gone);
		free(gone.path);
	}
	f->count = kept;
}

uint64_t journal_file_ended(const struct journal_file *file)
{
	CLEANUP(closep) int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint64_t ended;

	return fd >= 0 && pread(fd, &ended, sizeof(ended), HEAD_ENDED) == (ssize_t)sizeof(ended) ? le64toh(ended) : 0;
}

const char **journal_files_of(const struct journal_files *f, const char *sequence)
{
	const char **paths = calloc(f->count + 1, sizeof(*paths));
	size_t n = 0;

	for (size_t i = 0; paths && i < f->count; i++)
		if (strcmp(f->all[i].sequence, sequence) == 0)
			paths[n++] = f->all[i].path;
	return paths;
}

bool journal_files_are_there(const struct journal_files *f, const char *sequence)
{
	for (size_t i = 0; i < f->count; i++) {
		struct stat st;

		if (strcmp(f->all[i].sequence, sequence) == 0 &&
		    (stat(f->all[i].path, &st) < 0 || st.st_dev != f->all[i].device || st.st_ino != f->all[i].inode))
			return false;
	}
	return true;
}

bool journal_files_archived(const struct journal_files *f, const char *sequence)
{
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->all[i].sequence, sequence) == 0 && !is_archived(f->all[i].path))
			return false;
	return true;
}

void journal_files_free(struct journal_files *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->all[i].path);
	free(f->all);
	f->all = NULL;
	f->count = f->room = 0;
}
