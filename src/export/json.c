/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * json.c - one JSON object a line, to standard output or to a file
 *
 * The form is that of `suntap decode --json`, with what only the journal knows added. "cursor" names the entry for ever:
 * a line that was written twice (a kill between the file and the cursor) can be told by it.
 *
 * A batch is written and synced before it is confirmed. What the file system takes only in part is cut off again, and so
 * is what a kill in the middle of a write has left, so that the file never has half a line in its middle.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/exporter.h"
#include "export/json_record.h"
#include "shared/log.h"
#include "shared/util.h"

enum { BATCH = 256 * 1024, LINE_MAX_ = 1 << 20 };

struct json_settings {
	char file[SETTINGS_PATH_MAX];
};

struct json {
	const struct json_settings *settings;
	struct text text;
	size_t records;			/* in text */
	size_t written;			/* of text, to something that can not be cut (a pipe) */
	int fd;
	bool is_file;
	sd_event_source *writable, *hup;
};

static bool parse_file(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	if (strcmp(text, "-") == 0)
		return settings_parse_text(p, k, text, at);
	return settings_parse_path(p, k, text, at);
}

static const struct ini_key json_keys[] = {
	{ 0, "file", parse_file, ini_print_text, offsetof(struct json_settings, file), "-", 0, SETTINGS_PATH_MAX, 0,
	  "the path of a file, or - for standard output",
	  "where the lines go; the file is added to, and opened anew at SIGHUP" },
};

/* Of a line that a kill has cut; no cursor has passed it, so its record comes again. 0, or -EBADMSG: it is not ours. */
static int cut_half_line(const struct json *j, off_t size)
{
	static const char begin[] = "{\"type\":";
	CLEANUP(closep) int fd = open(j->settings->file, O_RDONLY | O_CLOEXEC);
	size_t length = size < LINE_MAX_ ? (size_t)size : LINE_MAX_, half;
	CLEANUP(freep) char *end = malloc(length + 1);
	const char *newline;

	if (fd < 0 || !end || pread(fd, end, length, size - (off_t)length) != (ssize_t)length)
		return -EIO;
	newline = memrchr(end, '\n', length);
	half = newline ? (size_t)(end + length - (newline + 1)) : length;
	if ((!newline && length < (size_t)size) ||
	    memcmp(end + length - half, begin, half < sizeof(begin) - 1 ? half : sizeof(begin) - 1) != 0)
		return -EBADMSG;
	return half && ftruncate(j->fd, size - (off_t)half) < 0 ? -errno : 0;
}

static int open_file(struct destination *d)
{
	struct json *j = d->state;
	struct stat st;
	int e = 0;

	if (strcmp(j->settings->file, "-") == 0)
		j->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		j->fd = open(j->settings->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
	if (j->fd < 0 || fstat(j->fd, &st) < 0)
		return -errno;
	j->is_file = S_ISREG(st.st_mode);
	/* Standard output is a file that somebody else has begun. */
	if (j->is_file && strcmp(j->settings->file, "-") != 0 && st.st_size > 0)
		e = cut_half_line(j, st.st_size);
	if (e)
		j->fd = close_fd(j->fd);
	return e;
}

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *user);

/* Everything that is in the batch: true. Else it stays, and is tried again. */
static bool write_batch(struct destination *d)
{
	struct json *j = d->state;
	off_t end = j->is_file ? lseek(j->fd, 0, SEEK_END) : 0;
	int e = 0;

	while (j->written < j->text.length) {
		ssize_t n = write(j->fd, j->text.data + j->written, j->text.length - j->written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			e = -errno;
			break;
		}
		j->written += (size_t)n;
	}
	if (!e && j->is_file && fdatasync(j->fd) < 0)
		e = -errno;
	if (!e)
		return true;
	if (j->is_file) {
		if (ftruncate(j->fd, end) < 0)
			log_error("[%s]: half a line at the end of %s cannot be cut off: %s", d->settings->section,
				  j->settings->file, strerror(errno));
		j->written = 0;
	}
	if (e == -EPIPE) {
		exporter_stop(d->exporter);
	} else if (e == -EAGAIN) {
		if (!j->writable)
			sd_event_add_io(d->event, &j->writable, j->fd, EPOLLOUT, on_writable, d);
	} else {
		exporter_trouble(d->exporter, "%s cannot be written: %s", j->settings->file, strerror(-e));
	}
	return false;
}

static bool send_batch(struct destination *d)
{
	struct json *j = d->state;
	size_t n = j->records;

	if (!n)
		return true;
	if (j->fd < 0 || !write_batch(d))
		return false;
	text_clear(&j->text);
	j->records = j->written = 0;
	exporter_fine(d->exporter);
	exporter_confirm(d->exporter, n);
	exporter_ready(d->exporter);
	return true;
}

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct destination *d = user;
	struct json *j = d->state;

	(void)fd, (void)events;
	sd_event_source_disable_unref(source);
	j->writable = NULL;
	send_batch(d);
	return 0;
}

static int on_hup(sd_event_source *source, const struct signalfd_siginfo *si, void *user)
{
	struct destination *d = user;
	struct json *j = d->state;
	int e;

	(void)source, (void)si;
	send_batch(d);
	j->fd = close_fd(j->fd);
	e = open_file(d);
	if (e)
		exporter_trouble(d->exporter, "%s cannot be opened: %s", j->settings->file, strerror(-e));
	return 0;
}

static int json_open(struct destination *d)
{
	struct json *j = calloc(1, sizeof(*j));
	int e;

	if (!j)
		return -ENOMEM;
	d->state = j;
	j->settings = d->settings->own;
	e = open_file(d);
	if (e) {
		log_error("[%s]: %s cannot be opened: %s", d->settings->section, j->settings->file,
			  e == -EBADMSG ? "it does not end in a line of ours" : strerror(-e));
		return e;
	}
	if (strcmp(j->settings->file, "-") != 0)
		e = sd_event_add_signal(d->event, &j->hup, SIGHUP | SD_EVENT_SIGNAL_PROCMASK, on_hup, d);
	return e < 0 ? e : 0;
}

static enum destination_answer json_add(struct destination *d, const struct record *r)
{
	struct json *j = d->state;

	if (j->text.length >= BATCH && !send_batch(d))
		return DESTINATION_FULL;
	json_record(&j->text, r);
	text_add(&j->text, "\n", 1);
	j->records++;
	return DESTINATION_TAKEN;
}

static void json_flush(struct destination *d)
{
	send_batch(d);
}

/* After an error; SIGHUP may have left it without a file. */
static void json_tick(struct destination *d)
{
	struct json *j = d->state;

	if (j->fd < 0 && open_file(d) != 0)
		return;
	if (!j->writable)
		send_batch(d);
}

static size_t json_stop(struct destination *d)
{
	struct json *j = d->state;

	send_batch(d);
	return j->records;
}

static void json_close(struct destination *d)
{
	struct json *j = d->state;

	if (!j)
		return;
	sd_event_source_unref(j->writable);
	sd_event_source_unref(j->hup);
	close_fd(j->fd);
	text_free(&j->text);
	free(j);
	d->state = NULL;
}

const struct destination_kind destination_json = {
	.name = "json",
	.records = 1 << RECORD_READING | 1 << RECORD_INFO | 1 << RECORD_EVENT,
	.keys = json_keys,
	.key_count = ARRAY_SIZE(json_keys),
	.settings_size = sizeof(struct json_settings),
	.open = json_open,
	.add = json_add,
	.flush = json_flush,
	.tick = json_tick,
	.stop = json_stop,
	.close = json_close,
};
