/* SPDX-License-Identifier: GPL-2.0-or-later */
/* map_files.c - which map files there are: of one name, that of the last folder */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/map.h"

enum { FILES_MAX = 512, NAME_MIN = 5, NAME_MOST = 60 };

struct file {
	char *name, *path;
};

struct found {
	struct file files[FILES_MAX];
	size_t count;
	void (*complain)(void *ctx, const char *text);
	void *ctx;
};

static void say(const struct found *found, const char *folder, const char *what)
{
	char text[512];

	snprintf(text, sizeof(text), "%s: %s", folder, what);
	if (found->complain)
		found->complain(found->ctx, text);
}

/* Takes the path. */
static void add(struct found *found, const char *folder, const char *name, char *path)
{
	struct file *f = found->files;

	while (f < found->files + found->count && strcmp(f->name, name))
		f++;
	if (f < found->files + found->count) {
		free(f->path);
		f->path = path;
		return;
	}
	if (found->count == FILES_MAX || strlen(path) >= sizeof(((struct map_files *)NULL)->paths[0])) {
		say(found, folder, "too many maps, or too long a path: ignoring one");
		free(path);
		return;
	}
	f->name = strdup(name);
	if (!f->name) {
		free(path);
		return;
	}
	f->path = path;
	found->count++;
}

static void look_into(struct found *found, const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	if (!dir) {
		if (errno != ENOENT)
			say(found, folder, strerror(errno));
		return;
	}
	while ((entry = readdir(dir))) {
		size_t n = strlen(entry->d_name);
		char *path;

		if (n < NAME_MIN || n > NAME_MOST || strcmp(entry->d_name + n - 4, ".ini") || *entry->d_name == '.')
			continue;
		if (asprintf(&path, "%s/%s", folder, entry->d_name) >= 0)
			add(found, folder, entry->d_name, path);
	}
	closedir(dir);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

int map_files_find(struct map_files *ret, const char *const folders[], size_t count,
		   void (*complain)(void *ctx, const char *text), void *ctx)
{
	struct found *found = calloc(1, sizeof(*found));
	struct map_files files = { .count = 0 };

	*ret = files;
	if (!found)
		return -ENOMEM;
	found->complain = complain;
	found->ctx = ctx;
	for (size_t i = 0; i < count; i++)
		look_into(found, folders[i]);
	/* In the order of their names: the order of a folder is anything. */
	qsort(found->files, found->count, sizeof(found->files[0]), by_name);
	files.names = calloc(found->count + 1, sizeof(*files.names));
	files.paths = calloc(found->count + 1, sizeof(*files.paths));
	for (size_t i = 0; i < found->count; i++) {
		if (files.names && files.paths) {
			snprintf(files.names[i], sizeof(files.names[i]), "%s", found->files[i].name);
			snprintf(files.paths[i], sizeof(files.paths[i]), "%s", found->files[i].path);
		}
		free(found->files[i].name);
		free(found->files[i].path);
	}
	files.count = found->count;
	free(found);
	if (!files.names || !files.paths) {
		map_files_free(&files);
		return -ENOMEM;
	}
	*ret = files;
	return (int)files.count;
}

void map_files_free(struct map_files *files)
{
	free(files->names);
	free(files->paths);
	*files = (struct map_files){ .count = 0 };
}
