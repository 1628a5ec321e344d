/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cursors.c - how far a destination has got, on disk; see cursors.h */
#include "export/cursors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/util.h"

static const char head[] = "# suntap-export: sequence id, cursor of its last confirmed entry; the end is marked\n";
static const char tail[] = "# end\n";

enum { SEQUENCES_MAX = 10000 };

struct reader_cursor *cursors_find(const struct cursors *c, const char *sequence)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcmp(c->all[i].sequence, sequence) == 0)
			return &c->all[i];
	return NULL;
}

struct reader_cursor *cursors_get(struct cursors *c, const char *sequence)
{
	struct reader_cursor *found = cursors_find(c, sequence);

	if (found)
		return found;
	if (c->count == SEQUENCES_MAX)
		return NULL;
	if (c->count == c->room) {
		size_t room = c->room ? 2 * c->room : 8;
		struct reader_cursor *all = realloc(c->all, room * sizeof(*all));

		if (!all)
			return NULL;
		c->all = all;
		c->room = room;
	}
	c->all[c->count] = (struct reader_cursor){ 0 };
	snprintf(c->all[c->count].sequence, sizeof(c->all->sequence), "%s", sequence);
	return &c->all[c->count++];
}

void cursors_remove(struct cursors *c, const char *sequence)
{
	struct reader_cursor *found = cursors_find(c, sequence);

	if (found)
		*found = c->all[--c->count];
}

static bool is_word(const char *text, const char *chars, size_t min, size_t max)
{
	size_t n = strlen(text);

	return n >= min && n <= max && strspn(text, chars) == n;
}

static bool take_line(struct cursors *c, char *line)
{
	char *at = strchr(line, ' ');
	struct reader_cursor *cursor;

	if (!at)
		return false;
	*at++ = '\0';
	/* "-" = known, nothing of it was confirmed yet */
	if (!is_word(line, "0123456789abcdef", 32, 32) ||
	    !(strcmp(at, "-") == 0 || is_word(at, "0123456789abcdef=;sibmtx", 8, RECORD_CURSOR_MAX - 1)))
		return false;
	cursor = cursors_get(c, line);
	if (!cursor)
		return false;
	snprintf(cursor->at, sizeof(cursor->at), "%s", strcmp(at, "-") == 0 ? "" : at);
	return true;
}

/* 0, -EBADMSG: not one of ours, or cut */
static int load_from(struct cursors *c, FILE *in)
{
	char line[512];
	bool ended = false;

	if (!fgets(line, sizeof(line), in) || strcmp(line, head) != 0)
		return -EBADMSG;
	while (fgets(line, sizeof(line), in)) {
		size_t n = strlen(line);

		if (ended || n == 0 || line[n - 1] != '\n')
			return -EBADMSG;
		if (strcmp(line, tail) == 0) {
			ended = true;
			continue;
		}
		line[n - 1] = '\0';
		if (!take_line(c, line))
			return -EBADMSG;
	}
	return ferror(in) ? -EIO : ended ? 0 : -EBADMSG;
}

static int load(struct cursors *c)
{
	CLEANUP(fclosep) FILE *in = fopen(c->path, "re");

	return in ? load_from(c, in) : -errno;
}

static int take_lock(struct cursors *c)
{
	char path[520];
	int r;

	snprintf(path, sizeof(path), "%s.lock", c->path);
	c->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (c->lock < 0) {
		r = -errno;
		log_error("%s cannot be made: %s; cursors have to be saved somewhere (StateDirectory=, --state)", path,
			  strerror(-r));
		return r;
	}
	if (flock(c->lock, LOCK_EX | LOCK_NB) < 0) {
		log_error("%s is locked: another suntap-export runs for this section", path);
		return -EBUSY;
	}
	return 0;
}

int cursors_open(struct cursors *c, const char *folder, const char *name)
{
	char bad[520];
	int r;

	*c = (struct cursors){ .lock = -1 };
	if (snprintf(c->path, sizeof(c->path), "%s/%s.cursors", folder, name) >= (int)sizeof(c->path))
		return -ENAMETOOLONG;
	r = take_lock(c);
	if (r)
		return r;
	r = load(c);
	if (r == -ENOENT) {
		c->fresh = true;
		return 0;
	}
	if (r == -EBADMSG) {
		snprintf(bad, sizeof(bad), "%s.bad", c->path);
		if (rename(c->path, bad) < 0)
			return -errno;
		log_error("%s makes no sense; it is now %s, and the journal is exported again from its beginning", c->path, bad);
		c->count = 0;
		return 0;
	}
	if (r)
		log_error("%s cannot be read: %s", c->path, strerror(-r));
	return r;
}

static int write_all(const struct cursors *c, FILE *out)
{
	fputs(head, out);
	for (size_t i = 0; i < c->count; i++)
		fprintf(out, "%s %s\n", c->all[i].sequence, c->all[i].at[0] ? c->all[i].at : "-");
	fputs(tail, out);
	if (fflush(out) != 0 || fsync(fileno(out)) < 0)
		return -errno;
	return 0;
}

static void sync_folder(const char *path)
{
	char folder[512];
	char *slash;
	int fd;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash)
		return;
	*slash = '\0';
	fd = open(*folder ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		fsync(fd);
	close_fd(fd);
}

int cursors_save(const struct cursors *c)
{
	char new[520];
	FILE *out;
	int fd, r;

	snprintf(new, sizeof(new), "%s.new", c->path);
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	out = fdopen(fd, "w");
	if (!out) {
		r = -errno;
		close(fd);
		return r;
	}
	r = write_all(c, out);
	if (fclose(out) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(new, c->path) < 0)
		r = -errno;
	if (r)
		unlink(new);
	else
		sync_folder(c->path);
	return r;
}

void cursors_close(struct cursors *c)
{
	c->lock = close_fd(c->lock);	/* and so the lock is gone; its file stays, or two could hold one each */
	free(c->all);
	c->all = NULL;
	c->count = c->room = 0;
}
