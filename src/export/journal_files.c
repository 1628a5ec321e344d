/* SPDX-License-Identifier: GPL-2.0-or-later */
/* journal_files.c - which journal files hold entries of which machine; see journal_files.h */
#include "export/journal_files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>

#include "shared/util.h"

static bool ends_in(const char *name, const char *ending)
{
	size_t n = strlen(name), e = strlen(ending);

	return n > e && strcmp(name + n - e, ending) == 0;
}

/* journald renames a file when it is done with it: system@….journal, or ….journal~ after a crash */
static bool is_archived(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strchr(slash ? slash : path, '@') || ends_in(path, "~");
}

static bool has_machine(const struct journal_file *file, const char *machine)
{
	for (size_t i = 0; i < file->machine_count; i++)
		if (strcmp(file->machines[i], machine) == 0)
			return true;
	return false;
}

static void add_machine(struct journal_files *f, struct journal_file *file, const char *machine)
{
	char (*more)[33];

	if (has_machine(file, machine))
		return;
	more = realloc(file->machines, (file->machine_count + 1) * sizeof(*more));
	if (!more)
		return;
	file->machines = more;
	memcpy(more[file->machine_count++], machine, sizeof(*more));
	f->changed(f->user, machine);
}

/* Asks the file itself. One that can not be read is asked again with the next scan. */
static void ask(struct journal_files *f, struct journal_file *file)
{
	const char *paths[] = { file->path, NULL };
	const void *data;
	size_t length;
	sd_journal *j;

	if (sd_journal_open_files(&j, paths, 0) < 0)
		return;
	if (sd_journal_query_unique(j, "_MACHINE_ID") >= 0) {
		/* what SD_JOURNAL_FOREACH_UNIQUE() is, which cppcheck can not read */
		while (sd_journal_enumerate_available_unique(j, &data, &length) > 0) {
			char id[33];

			/* "_MACHINE_ID=" and 32 digits */
			if (length != 12 + 32)
				continue;
			memcpy(id, (const char *)data + 12, 32);
			id[32] = '\0';
			if (strspn(id, "0123456789abcdef") == 32)
				add_machine(f, file, id);
		}
	}
	sd_journal_close(j);
}

static void tell_all(struct journal_files *f, const struct journal_file *file)
{
	for (size_t i = 0; i < file->machine_count; i++)
		f->changed(f->user, file->machines[i]);
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

static void look_at(struct journal_files *f, const char *path)
{
	struct journal_file *file;
	struct stat st;
	bool other_path, was_archived;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	file = find(f, &st);
	if (!file)
		file = add(f, &st);
	if (!file)
		return;
	file->seen = true;
	was_archived = file->path && is_archived(file->path);
	other_path = !file->path || strcmp(file->path, path) != 0;
	if (other_path) {
		char *copy = strdup(path);

		if (!copy)
			return;
		free(file->path);
		file->path = copy;
		tell_all(f, file);
	}
	if (other_path || !was_archived)
		ask(f, file);
}

/* Files of a folder, and of its folders down to `depth`. */
static void walk(struct journal_files *f, const char *folder, unsigned depth)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[4096];

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= (int)sizeof(path))
			continue;
		if (ends_in(entry->d_name, ".journal") || ends_in(entry->d_name, ".journal~"))
			look_at(f, path);
		else if (depth && (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN))
			walk(f, path, depth - 1);
	}
	if (dir)
		closedir(dir);
}

void journal_files_scan(struct journal_files *f, const char *journal)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->count; i++)
		f->all[i].seen = false;
	if (*journal == '/') {
		walk(f, journal, 1);
	} else {
		walk(f, "/var/log/journal", 1);
		walk(f, "/run/log/journal", 1);
	}
	for (size_t i = 0; i < f->count; i++) {
		if (f->all[i].seen) {
			f->all[kept++] = f->all[i];
			continue;
		}
		tell_all(f, &f->all[i]);
		free(f->all[i].path);
		free(f->all[i].machines);
	}
	f->count = kept;
}

const char **journal_files_of(const struct journal_files *f, const char *machine)
{
	const char **paths = calloc(f->count + 1, sizeof(*paths));
	size_t n = 0;

	for (size_t i = 0; paths && i < f->count; i++)
		if (has_machine(&f->all[i], machine))
			paths[n++] = f->all[i].path;
	return paths;
}

void journal_files_free(struct journal_files *f)
{
	for (size_t i = 0; i < f->count; i++) {
		free(f->all[i].path);
		free(f->all[i].machines);
	}
	free(f->all);
	f->all = NULL;
	f->count = f->room = 0;
}
