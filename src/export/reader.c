/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reader.c - suntap's entries out of one journal or many; see reader.h */
#include "export/reader.h"

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
	SOURCES_MAX = 8192,
	TURN = 256,			/* entries of one sequence before the next has its turn */
	TRIM = 6 << 20,			/* bytes of fields after which mapped pages are let go, see trim_maps() */
	RESCAN_SECONDS = 5,		/* while there are files that can not be read */
};

struct source {
	char sequence[33];
	uint32_t group;			/* of sequences of one journal: */
	uint64_t begun;			/* the older are read first */
	sd_journal *journal;		/* NULL: to be opened, at `at` */
	char at[RECORD_CURSOR_MAX];	/* the last entry that was given out, "" = none */
	sd_id128_t copied_boot;		/* entries of it are left out up to */
	uint64_t copied_until;		/* here (monotonic, µs): they were read in another sequence */
	bool stale;			/* files came or went: open again */
	bool dry;			/* at its end, until something changes */
	bool over;			/* dry for as long as its files are those that are there now, */
	bool finished;			/* or were before this change */
	bool gone;			/* it has no files any more; its place in the array stays */
	bool told;			/* that its journal fails */
	bool fresh;			/* where it begins is to be found out */
};

struct reader {
	struct reader_options options;
	struct reader_cursor *orphans;	/* saved ones of sequences that have no files */
	size_t orphan_count;
	sd_journal *watcher;
	struct journal_files files;
	struct source *sources;
	size_t count, turn, of_turn;
	bool changed;			/* files are to be looked for anew */
	int64_t scanned;		/* monotonic */
	bool first;			/* so far only the sequences that were there when we started */
	struct log_limit damaged, foreign;
	size_t since_trim;		/* bytes of fields that were read */
	struct reader_counts counts;
};

static int open_watcher(struct reader *r)
{
	const char *journal = r->options.journal;

	if (*journal == '/')
		return sd_journal_open_directory(&r->watcher, journal, 0);
	return sd_journal_open(&r->watcher, strcmp(journal, "local") == 0 ? SD_JOURNAL_LOCAL_ONLY : 0);
}

static int open_files(const struct reader *r, struct source *s)
{
	CLEANUP(freep) const char **paths = journal_files_of(&r->files, s->sequence);
	int e;

	if (!paths)
		return -ENOMEM;
	e = paths[0] ? sd_journal_open_files(&s->journal, paths, 0) : -ENOENT;
	if (e < 0)
		return e;
	/* With a name that journald gave to the next file meanwhile, what is in this one would be passed over. */
	if (journal_files_are_there(&r->files, s->sequence))
		return 0;
	sd_journal_close(s->journal);
	s->journal = NULL;
	return -ENOENT;
}

static int add_matches(const struct reader *r, sd_journal *j)
{
	int e = sd_journal_add_match(j, "SYSLOG_IDENTIFIER=suntap", 0);

	if (e >= 0 && !(r->options.records & 1u << RECORD_EVENT)) {
		if (r->options.records & 1u << RECORD_READING)
			e = sd_journal_add_match(j, "MESSAGE_ID=" MESSAGE_ID_READING, 0);
		if (e >= 0 && r->options.records & 1u << RECORD_INFO)
			e = sd_journal_add_match(j, "MESSAGE_ID=" MESSAGE_ID_INFO, 0);
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

/* "s=…;i=…;b=BOOT;m=MONOTONIC;t=REALTIME;x=…": one of its hexadecimal numbers */
static uint64_t number_of(const char *cursor, char letter)
{
	const char key[] = { ';', letter, '=', '\0' }, *at = strstr(cursor, key);

	return at ? strtoull(at + 3, NULL, 16) : 0;
}

static sd_id128_t boot_of(const char *cursor)
{
	const char *at = strstr(cursor, ";b=");
	char text[33];
	sd_id128_t id;

	snprintf(text, sizeof(text), "%.32s", at ? at + 3 : "");
	return sd_id128_from_string(text, &id) < 0 ? SD_ID128_NULL : id;
}

/* here: µs of what is there instead, 0: nothing yet */
static void tell_gap(struct reader *r, const char *cursor, uint64_t here)
{
	uint64_t before = number_of(cursor, 't');
	char from[40] = "?", to[40] = "now";

	if (here)
		record_format_time((int64_t)here * 1000, to);
	if (before)
		record_format_time((int64_t)before * 1000, from);
	r->counts.gaps++;
	log_warning("The journal no longer has the entry that was exported last: what came between %s and %s may have been "
		    "rotated away before it was exported; going on with what is there", from, to);
}

/* Opens a sequence so that the next sd_journal_next() gives what follows s->at. */
static int open_source(struct reader *r, struct source *s)
{
	int e = open_files(r, s);

	if (e >= 0)
		e = sd_journal_set_data_threshold(s->journal, 0);
	if (e >= 0)
		e = add_matches(r, s->journal);
	if (e < 0)
		goto fail;
	s->stale = s->finished = false;
	e = s->at[0] ? sd_journal_seek_cursor(s->journal, s->at) : sd_journal_seek_head(s->journal);
	if (e == -EINVAL) {
		log_error("A cursor makes no sense; its part of the journal is exported again from its beginning");
		s->at[0] = '\0';
		e = sd_journal_seek_head(s->journal);
	}
	if (e < 0)
		goto fail;
	if (!s->at[0])
		return 0;
	e = sd_journal_next(s->journal);
	if (e < 0)
		goto fail;
	if (e > 0 && sd_journal_test_cursor(s->journal, s->at) <= 0) {
		uint64_t here = 0;

		sd_journal_get_realtime_usec(s->journal, &here);
		tell_gap(r, s->at, here);
		/* The one that next() found is still to be given out. */
		if (sd_journal_previous(s->journal) <= 0) {
			e = sd_journal_seek_head(s->journal);
			if (e < 0)
				goto fail;
		}
	}
	return 0;
fail:
	sd_journal_close(s->journal);
	s->journal = NULL;
	/* A file was renamed or removed just now: the next scan knows. */
	if (e == -ENOENT) {
		r->changed = true;
		return e;
	}
	if (!s->told)
		log_error("A part of the journal (sequence %s) cannot be read: %s", s->sequence, strerror(-e));
	s->told = true;
	return e;
}

/* Where a sequence without a cursor begins when it is not to begin at the beginning. */
static void go_to_end(struct reader *r, struct source *s)
{
	if (open_source(r, s) < 0)
		return;
	if (sd_journal_seek_tail(s->journal) >= 0 && sd_journal_previous(s->journal) > 0)
		cursor_here(s->journal, s->at);
	sd_journal_close(s->journal);
	s->journal = NULL;
}

static const struct reader_cursor *saved(const struct reader *r, const char *sequence)
{
	for (size_t i = 0; i < r->orphan_count; i++)
		if (strcmp(r->orphans[i].sequence, sequence) == 0)
			return &r->orphans[i];
	return NULL;
}

static void on_file_changed(void *user, const struct journal_file *file)
{
	const struct reader_cursor *c;
	struct reader *r = user;
	struct source *s, *all;

	for (size_t i = 0; i < r->count; i++) {
		s = &r->sources[i];
		if (strcmp(s->sequence, file->sequence) == 0) {
			s->stale = true;
			s->finished |= s->over;
			s->over = s->dry = false;
			return;
		}
	}
	if (r->count == SOURCES_MAX)
		return;
	all = realloc(r->sources, (r->count + 1) * sizeof(*all));
	if (!all)
		return;
	r->sources = all;
	s = &all[r->count++];
	*s = (struct source){ .group = file->group, .fresh = true };
	memcpy(s->sequence, file->sequence, sizeof(s->sequence));
	c = saved(r, s->sequence);
	if (c) {
		memcpy(s->at, c->at, sizeof(s->at));
		s->fresh = false;
	}
}

/* What a sequence has of its files, or that it has none any more. */
static void look_at_files_of(struct reader *r, struct source *s)
{
	bool any = false;

	s->begun = UINT64_MAX;
	for (size_t i = 0; i < r->files.count; i++) {
		const struct journal_file *file = &r->files.all[i];

		if (strcmp(file->sequence, s->sequence) != 0)
			continue;
		any = true;
		if (file->begun && file->begun < s->begun)
			s->begun = file->begun;
	}
	if (any == !s->gone)
		return;
	s->gone = !any;
	if (any) {
		s->fresh = true;
		return;
	}
	if (s->at[0] && (s->journal ? sd_journal_next(s->journal) > 0 : !s->finished))
		tell_gap(r, s->at, 0);
	sd_journal_close(s->journal);
	s->journal = NULL;
	if (r->options.gone)
		r->options.gone(r->options.user, s->sequence);
}

/* Once it is known which files there are: cursors of sequences that have none. */
static void look_at_orphans(struct reader *r)
{
	sd_id128_t boot = SD_ID128_NULL;

	sd_id128_get_boot(&boot);
	for (size_t i = 0; i < r->orphan_count; i++) {
		const struct reader_cursor *c = &r->orphans[i];
		bool has_files = false;

		for (size_t k = 0; k < r->count; k++)
			has_files |= strcmp(r->sources[k].sequence, c->sequence) == 0;
		/* Of this boot: it was in memory, and is on disk now (journalctl --flush). */
		if (has_files || r->files.count == 0 || (c->at[0] && sd_id128_equal(boot_of(c->at), boot)))
			continue;
		if (c->at[0])
			tell_gap(r, c->at, 0);
		if (r->options.gone)
			r->options.gone(r->options.user, c->sequence);
	}
}

static void scan(struct reader *r)
{
	r->changed = false;
	r->scanned = now_monotonic();
	journal_files_scan(&r->files, r->options.journal);
	for (size_t i = 0; i < r->count; i++) {
		struct source *s = &r->sources[i];

		look_at_files_of(r, s);
		if (!s->fresh || s->gone)
			continue;
		s->fresh = false;
		if (r->options.from_end && r->first)
			go_to_end(r, s);
		if (r->options.found)
			r->options.found(r->options.user, s->sequence, s->at);
	}
	if (r->first)
		look_at_orphans(r);
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
	r->files.changed = on_file_changed;
	r->files.user = r;
	r->damaged = (struct log_limit){ .burst = 5, .interval = 600 * NSEC_PER_SEC };
	r->foreign = (struct log_limit){ .burst = 3, .interval = 3600 * NSEC_PER_SEC };
	r->orphans = calloc(o->cursor_count + 1, sizeof(*r->orphans));
	if (!r->orphans) {
		reader_close(r);
		return e;
	}
	if (o->cursor_count)
		memcpy(r->orphans, o->cursors, o->cursor_count * sizeof(*r->orphans));
	r->orphan_count = o->cursor_count;
	e = open_watcher(r);
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
	scan(r);
	*ret = r;
	return 0;
}

struct reader *reader_close(struct reader *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < r->count; i++)
		sd_journal_close(r->sources[i].journal);
	free(r->sources);
	free(r->orphans);
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

	for (size_t i = 0; i < r->count; i++)
		r->sources[i].dry = r->sources[i].over;
	r->changed |= e == SD_JOURNAL_INVALIDATE ||
		      (r->files.unfinished && now_monotonic() - r->scanned > RESCAN_SECONDS * NSEC_PER_SEC);
}

static void set_copied(struct source *s, sd_id128_t boot, const char *cursor)
{
	uint64_t until = number_of(cursor, 'm');

	if (!cursor[0] || !sd_id128_equal(boot_of(cursor), boot) || until < s->copied_until)
		return;
	s->copied_boot = boot;
	s->copied_until = until;
}

/* Whether the first entries of a sequence are a copy of what was read in another one of the same journal. */
static bool is_copied(const struct reader *r, struct source *s)
{
	sd_id128_t boot;
	uint64_t monotonic;

	if (sd_journal_get_monotonic_usec(s->journal, &monotonic, &boot) < 0)
		return false;
	if (!s->at[0]) {
		for (size_t i = 0; i < r->count; i++)
			if (&r->sources[i] != s && r->sources[i].group == s->group)
				set_copied(s, boot, r->sources[i].at);
		for (size_t i = 0; i < r->orphan_count; i++)
			set_copied(s, boot, r->orphans[i].at);
	}
	return s->copied_until && monotonic <= s->copied_until && sd_id128_equal(boot, s->copied_boot);
}

static bool in_time(const struct reader *r, uint64_t when)
{
	return when >= r->options.since && (!r->options.until || when <= r->options.until);
}

/* Whoever may log can write what looks like a reading; journald says who it was. */
static void tell_foreign(struct reader *r, const struct record *rec)
{
	uint64_t held;

	r->counts.foreign++;
	if (log_limit_pass(&r->foreign, &held))
		log_warning("An entry that looks like suntap's was not written by %s but by %s, user id %s, and is left out (%" PRIu64
			    " before it were not told): %s", r->options.unit, rec->unit[0] ? rec->unit : "no unit",
			    rec->uid[0] ? rec->uid : "unknown", held, rec->cursor);
}

/* Entry s stands at: 1 = a record, 0 = nothing in it for us. */
static int read_entry(struct reader *r, struct source *s, struct record *ret)
{
	const void *data;
	uint64_t when;
	size_t length;
	bool copied;
	int e;

	if (sd_journal_get_realtime_usec(s->journal, &when) < 0) {
		r->counts.damaged++;
		return 0;
	}
	if (!in_time(r, when))
		return 0;
	record_begin(ret);
	if (!cursor_here(s->journal, ret->cursor)) {
		r->counts.damaged++;
		return 0;
	}
	copied = is_copied(r, s);
	memcpy(s->at, ret->cursor, sizeof(s->at));
	if (copied)
		return 0;
	ret->entry_ns = (int64_t)when * 1000;
	r->counts.position = when;
	sd_journal_restart_data(s->journal);
	while ((e = sd_journal_enumerate_available_data(s->journal, &data, &length)) > 0) {
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
	if (strcmp(r->options.unit, SETTINGS_ANY_UNIT) != 0 && strcmp(ret->unit, r->options.unit) != 0) {
		tell_foreign(r, ret);
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

/* 1 = a record, 0 = none of this sequence now */
static int next_of(struct reader *r, struct source *s, struct record *ret)
{
	if (s->journal && s->stale) {
		sd_journal_close(s->journal);
		s->journal = NULL;
	}
	if (!s->journal && open_source(r, s) < 0) {
		s->dry = true;
		return 0;
	}
	for (;;) {
		int e = sd_journal_next(s->journal);

		if (e < 0) {
			r->counts.damaged++;
			if (!s->told)
				log_error("A part of the journal (sequence %s) fails: %s", s->sequence, strerror(-e));
			s->told = true;
		}
		if (e <= 0) {
			s->dry = true;
			/* Nothing is added to archived files: their descriptors and memory are not needed any more. */
			s->over = e == 0 && journal_files_archived(&r->files, s->sequence);
			if (s->over) {
				sd_journal_close(s->journal);
				s->journal = NULL;
			}
			return 0;
		}
		if (r->since_trim >= TRIM)
			trim_maps(r);
		if (read_entry(r, s, ret))
			return 1;
	}
}

/* What is older in the same journal comes first. */
static bool has_to_wait(const struct reader *r, const struct source *s)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct source *other = &r->sources[i];

		if (other->group == s->group && other->begun < s->begun && !other->dry && !other->gone)
			return true;
	}
	return false;
}

int reader_next(struct reader *r, struct record *ret, size_t *ret_source)
{
	bool waits = true;

	if (r->changed)
		scan(r);
	/* Again where one had to wait for another that has come to its end meanwhile. */
	while (waits) {
		waits = false;
		for (size_t tried = 0; tried < r->count; tried++) {
			struct source *s;

			if (r->turn >= r->count || r->of_turn >= TURN) {
				r->turn = (r->turn + 1) % r->count;
				r->of_turn = 0;
			}
			s = &r->sources[r->turn];
			if (!s->dry && !s->gone && has_to_wait(r, s)) {
				waits = true;
			} else if (!s->dry && !s->gone && next_of(r, s, ret)) {
				r->of_turn++;
				*ret_source = r->turn;
				return 1;
			}
			r->of_turn = TURN;
		}
	}
	return 0;
}

const char *reader_sequence(const struct reader *r, size_t i)
{
	return r->sources[i].sequence;
}

bool reader_room(const struct reader *r, uint64_t since, struct room *ret)
{
	return strcmp(r->options.journal, "local") == 0 && room_look(&r->files, since, ret);
}

const struct reader_counts *reader_counts(const struct reader *r)
{
	return &r->counts;
}
