/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reader.c - suntap's entries out of one journal or many; see reader.h */
#include "export/reader.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "export/journal_files.h"
#include "shared/log.h"
#include "shared/message_ids.h"
#include "shared/util.h"

enum {
	MACHINES_MAX = 4096,
	TURN = 256,			/* entries of one machine before the next has its turn */
	TRIM = 6 << 20,			/* bytes of fields after which mapped pages are let go, see trim_maps() */
};

struct machine {
	char id[33];
	sd_journal *journal;		/* NULL: to be opened, at `at` */
	char at[RECORD_CURSOR_MAX];	/* the last entry that was given out, "" = none */
	bool stale;			/* files came or went: open again */
	bool dry;			/* at its end, until something changes */
	bool told;			/* that its journal fails */
	bool fresh;			/* where it begins is to be found out */
};

struct reader {
	struct reader_options options;
	sd_journal *watcher;
	struct journal_files files;	/* of many machines */
	struct machine *machines;
	size_t count, turn, of_turn;
	bool changed;			/* the list of machines is to be made anew */
	bool dirty;			/* something was written: a new machine may be among it */
	int64_t found;			/* monotonic, when the list was made */
	bool first;			/* so far only the machines that were there when we started */
	struct log_limit damaged;
	size_t since_trim;		/* bytes of fields that were read */
	struct reader_counts counts;
};

static bool many(const struct reader *r)
{
	return strcmp(r->options.journal, "local") != 0;
}

static int open_journal(const struct reader *r, sd_journal **ret)
{
	const char *journal = r->options.journal;

	if (*journal == '/')
		return sd_journal_open_directory(ret, journal, 0);
	return sd_journal_open(ret, many(r) ? 0 : SD_JOURNAL_LOCAL_ONLY);
}

/* Of a machine only its own files: see journal_files.h. */
static int open_own_journal(const struct reader *r, const struct machine *m, sd_journal **ret)
{
	CLEANUP(freep) const char **paths = NULL;

	if (!many(r))
		return open_journal(r, ret);
	paths = journal_files_of(&r->files, m->id);
	if (!paths)
		return -ENOMEM;
	return paths[0] ? sd_journal_open_files(ret, paths, 0) : -ENOENT;
}

static int add_matches(const struct reader *r, sd_journal *j, const char *machine)
{
	char match[64];
	int e = sd_journal_add_match(j, "SYSLOG_IDENTIFIER=suntap", 0);

	if (e >= 0 && !(r->options.records & 1u << RECORD_EVENT)) {
		if (r->options.records & 1u << RECORD_READING)
			e = sd_journal_add_match(j, "MESSAGE_ID=" MESSAGE_ID_READING, 0);
		if (e >= 0 && r->options.records & 1u << RECORD_INFO)
			e = sd_journal_add_match(j, "MESSAGE_ID=" MESSAGE_ID_INFO, 0);
	}
	if (e >= 0 && many(r)) {
		snprintf(match, sizeof(match), "_MACHINE_ID=%s", machine);
		e = sd_journal_add_match(j, match, 0);
	}
	for (size_t i = 0; i < r->options.match_count && e >= 0; i++)
		e = sd_journal_add_match(j, r->options.matches[i], 0);
	return e < 0 ? e : 0;
}

/* The cursor of the entry that j stands at. */
static bool cursor_here(sd_journal *j, char ret[static RECORD_CURSOR_MAX])
{
	char *cursor = NULL;
	bool good = sd_journal_get_cursor(j, &cursor) >= 0 && strlen(cursor) < RECORD_CURSOR_MAX;

	if (good)
		memcpy(ret, cursor, strlen(cursor) + 1);
	free(cursor);
	return good;
}

static void tell_gap(struct reader *r, struct machine *m)
{
	const char *t = strstr(m->at, ";t=");
	uint64_t here = 0, before = t ? strtoull(t + 3, NULL, 16) : 0;
	char from[40] = "?", to[40] = "?";

	if (sd_journal_get_realtime_usec(m->journal, &here) >= 0 && here)
		record_format_time((int64_t)here * 1000, to);
	if (before)
		record_format_time((int64_t)before * 1000, from);
	r->counts.gaps++;
	log_warning("The journal of machine %s no longer has the entry that was exported last: what came between %s and %s "
		    "may have been rotated away before it was exported; going on with what is there", m->id, from, to);
}

/* Opens the machine's journal so that the next sd_journal_next() gives what follows m->at. */
static int open_machine(struct reader *r, struct machine *m)
{
	int e = open_own_journal(r, m, &m->journal);

	if (e >= 0)
		e = sd_journal_set_data_threshold(m->journal, 0);
	if (e >= 0)
		e = add_matches(r, m->journal, m->id);
	if (e < 0)
		goto fail;
	m->stale = false;
	if (!m->at[0]) {
		e = r->options.since ? sd_journal_seek_realtime_usec(m->journal, r->options.since) : sd_journal_seek_head(m->journal);
		if (e < 0)
			goto fail;
		return 0;
	}
	e = sd_journal_seek_cursor(m->journal, m->at);
	if (e == -EINVAL) {
		log_error("The cursor of machine %s makes no sense; its journal is exported again from its beginning", m->id);
		m->at[0] = '\0';
		e = sd_journal_seek_head(m->journal);
		if (e < 0)
			goto fail;
		return 0;
	}
	if (e >= 0)
		e = sd_journal_next(m->journal);
	if (e < 0)
		goto fail;
	if (e > 0 && sd_journal_test_cursor(m->journal, m->at) <= 0) {
		tell_gap(r, m);
		/* The one that next() found is still to be given out. */
		if (sd_journal_previous(m->journal) <= 0) {
			e = sd_journal_seek_head(m->journal);
			if (e < 0)
				goto fail;
		}
	}
	return 0;
fail:
	sd_journal_close(m->journal);
	m->journal = NULL;
	/* A file may have been renamed or removed just now: the next scan knows. */
	if (e == -ENOENT) {
		r->changed = true;
		return e;
	}
	if (!m->told)
		log_error("The journal of machine %s cannot be read: %s", m->id, strerror(-e));
	m->told = true;
	return e;
}

/* Where a machine without a cursor begins when it is not to begin at the beginning. */
static void go_to_end(struct reader *r, struct machine *m)
{
	if (open_machine(r, m) < 0)
		return;
	if (sd_journal_seek_tail(m->journal) >= 0 && sd_journal_previous(m->journal) > 0)
		cursor_here(m->journal, m->at);
	sd_journal_close(m->journal);
	m->journal = NULL;
}

static void add_machine(struct reader *r, const char *id)
{
	struct machine *m, *all;
	const char *saved;

	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->machines[i].id, id) == 0)
			return;
	if (r->count == MACHINES_MAX)
		return;
	all = realloc(r->machines, (r->count + 1) * sizeof(*all));
	if (!all)
		return;
	r->machines = all;
	m = &all[r->count++];
	*m = (struct machine){ 0 };
	snprintf(m->id, sizeof(m->id), "%s", id);
	saved = r->options.cursor ? r->options.cursor(r->options.user, id) : NULL;
	if (saved)
		snprintf(m->at, sizeof(m->at), "%s", saved);
	m->fresh = !saved;
}

static void on_files_changed(void *user, const char *id)
{
	struct reader *r = user;

	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->machines[i].id, id) == 0)
			r->machines[i].stale = true;
	add_machine(r, id);
}

static void find_machines(struct reader *r)
{
	sd_id128_t id;
	char text[SD_ID128_STRING_MAX];

	r->changed = r->dirty = false;
	r->found = now_monotonic();
	if (many(r))
		journal_files_scan(&r->files, r->options.journal);
	else if (sd_id128_get_machine(&id) >= 0)
		add_machine(r, sd_id128_to_string(id, text));
	/* Not before all its files are known. */
	for (size_t i = 0; i < r->count; i++) {
		struct machine *m = &r->machines[i];

		if (!m->fresh)
			continue;
		m->fresh = false;
		if (r->options.from_end && r->first)
			go_to_end(r, m);
		if (r->options.found)
			r->options.found(r->options.user, m->id, m->at);
	}
	r->first = false;
}

/* Nothing there and nothing readable look alike: say which. */
static void tell_unreadable(const struct reader *r)
{
	const char *folders[] = { "/var/log/journal", "/run/log/journal" };
	bool persistent = access(folders[0], F_OK) == 0;

	if (*r->options.journal == '/')
		return;
	if (!persistent)
		log_warning("/var/log/journal is not there: the journal is in memory and ends with a reboot, "
			    "also what was not exported yet (mkdir /var/log/journal)");
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		char path[300];
		sd_id128_t id;
		char text[SD_ID128_STRING_MAX];

		if (sd_id128_get_machine(&id) < 0)
			return;
		snprintf(path, sizeof(path), "%s/%s/system.journal", folders[i], sd_id128_to_string(id, text));
		if (access(path, F_OK) == 0 && access(path, R_OK) < 0)
			log_error("%s cannot be read: this user has to be in the group systemd-journal "
				  "(SupplementaryGroups=systemd-journal)", path);
	}
}

int reader_open(struct reader **ret, const struct reader_options *o)
{
	struct reader *r = calloc(1, sizeof(*r));
	int e = -ENOMEM;

	if (!r)
		return e;
	r->options = *o;
	r->first = true;
	r->files.changed = on_files_changed;
	r->files.user = r;
	r->damaged = (struct log_limit){ .burst = 5, .interval = 600 * NSEC_PER_SEC };
	e = open_journal(r, &r->watcher);
	if (e < 0) {
		log_error("The journal %s cannot be opened: %s", o->journal, strerror(-e));
		reader_close(r);
		return e;
	}
	tell_unreadable(r);
	/* The first process() sets up inotify; what is there before it is read anyway. */
	e = sd_journal_get_fd(r->watcher);
	if (e < 0) {
		log_error("The journal %s cannot be watched: %s", o->journal, strerror(-e));
		reader_close(r);
		return e;
	}
	sd_journal_process(r->watcher);
	find_machines(r);
	*ret = r;
	return 0;
}

struct reader *reader_close(struct reader *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < r->count; i++)
		sd_journal_close(r->machines[i].journal);
	free(r->machines);
	journal_files_free(&r->files);
	sd_journal_close(r->watcher);
	free(r);
	return NULL;
}

int reader_fd(const struct reader *r)
{
	return sd_journal_get_fd(r->watcher);
}

void reader_process(struct reader *r)
{
	int e = sd_journal_process(r->watcher);
	bool invalid = e == SD_JOURNAL_INVALIDATE;

	for (size_t i = 0; i < r->count; i++) {
		r->machines[i].dry = false;
		r->machines[i].stale |= invalid && !many(r);
	}
	/* A file is there before the entry in it that names its machine. */
	r->dirty |= e > 0 && many(r);
	r->changed |= invalid || (r->dirty && now_monotonic() - r->found > NSEC_PER_SEC);
}

/* Entry m stands at: 1 = a record, 0 = nothing in it for us. */
static int read_entry(struct reader *r, struct machine *m, struct record *ret)
{
	const void *data;
	uint64_t when;
	size_t length;
	int e;

	record_begin(ret);
	if (sd_journal_get_realtime_usec(m->journal, &when) < 0 || !cursor_here(m->journal, ret->cursor)) {
		r->counts.damaged++;
		return 0;
	}
	memcpy(m->at, ret->cursor, sizeof(m->at));
	memcpy(ret->machine, m->id, sizeof(ret->machine));
	ret->entry_ns = (int64_t)when * 1000;
	r->counts.position = when;
	if (r->options.until && when > r->options.until)
		return 0;
	sd_journal_restart_data(m->journal);
	while ((e = sd_journal_enumerate_available_data(m->journal, &data, &length)) > 0) {
		r->since_trim += length;
		record_field(ret, data, length);
	}
	if (e < 0) {
		uint64_t held;

		r->counts.damaged++;
		if (log_limit_pass(&r->damaged, &held))
			log_warning("A damaged journal entry is left out (%s; %" PRIu64 " before it were not told): %s", strerror(-e),
				    held, ret->cursor);
		return 0;
	}
	r->counts.entries++;
	r->counts.left_out += ret->left_out;
	if (!record_finish(ret) || !(r->options.records & 1u << ret->kind)) {
		r->counts.foreign++;
		return 0;
	}
	return 1;
}

/*
 * libsystemd keeps 64 maps of 8 MB for each handle, and every page of them that was read counts as ours. They are the
 * page cache's: dropping them from our table costs a fault for those that are looked at again. (Opening the handle
 * anew does the same and takes ten times as long.)
 */
static void trim_maps(struct reader *r)
{
	CLEANUP(fclosep) FILE *maps = fopen("/proc/self/maps", "re");
	char line[600];

	r->since_trim = 0;
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long begin, end;
		char flags[5];

		/* 7f6ab7800000-7f6ab8000000 r--s 00800000 00:1f 1234    /var/log/journal/…/system.journal */
		if (sscanf(line, "%lx-%lx %4s", &begin, &end, flags) == 3 && flags[1] == '-' && flags[3] == 's' &&
		    strstr(line, ".journal"))
			madvise((void *)begin, end - begin, MADV_DONTNEED);
	}
}

/* 1 = a record, 0 = none of this machine now */
static int next_of(struct reader *r, struct machine *m, struct record *ret)
{
	if (m->dry)
		return 0;
	if (m->journal && m->stale) {
		sd_journal_close(m->journal);
		m->journal = NULL;
	}
	if (!m->journal && open_machine(r, m) < 0) {
		m->dry = true;
		return 0;
	}
	for (;;) {
		int e = sd_journal_next(m->journal);

		if (e < 0) {
			r->counts.damaged++;
			if (!m->told)
				log_error("The journal of machine %s fails: %s", m->id, strerror(-e));
			m->told = true;
		}
		if (e <= 0) {
			m->dry = true;
			return 0;
		}
		if (r->since_trim >= TRIM)
			trim_maps(r);
		if (read_entry(r, m, ret))
			return 1;
		if (r->options.until && r->counts.position > r->options.until) {
			m->dry = true;
			return 0;
		}
	}
}

int reader_next(struct reader *r, struct record *ret, size_t *ret_machine)
{
	if (r->changed)
		find_machines(r);
	for (size_t tried = 0; tried < r->count; tried++) {
		if (r->turn >= r->count || r->of_turn >= TURN) {
			r->turn = (r->turn + 1) % r->count;
			r->of_turn = 0;
		}
		if (next_of(r, &r->machines[r->turn], ret)) {
			r->of_turn++;
			*ret_machine = r->turn;
			return 1;
		}
		r->of_turn = TURN;
	}
	return 0;
}

const char *reader_machine(const struct reader *r, size_t i)
{
	return r->machines[i].id;
}

const struct reader_counts *reader_counts(const struct reader *r)
{
	return &r->counts;
}
