/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exporter.c - from the journal to one destination; see exporter.h */
#include "export/exporter.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <systemd/sd-daemon.h>

#include "export/cursors.h"
#include "export/progress.h"
#include "shared/log.h"
#include "shared/util.h"

enum {
	QUEUE_MAX = 16384,		/* records under way; a power of two */
	AT_ONCE = 512,			/* entries read before other events have their turn */
	STOP_SECONDS = 5,		/* what a destination may take to finish what is under way */
	STATUS_SECONDS = 5,
	ROOM_SECONDS = 60,		/* between two looks at how long the journal keeps what waits */
};

/* One record that the destination has taken, or that was skipped behind one. */
struct slot {
	uint32_t source;
	bool done;
	int64_t entry_ns;
	char cursor[RECORD_CURSOR_MAX];
};

struct exporter {
	const struct exporter_options *options;
	struct destination destination;
	struct reader *reader;
	struct cursors cursors;
	bool keeps_cursors, cursors_changed, save_failed;
	int64_t saved, stopped;		/* monotonic */
	sd_event *event;
	sd_event_source *pump, *watch, *ticker, *drain;
	struct record *record;
	bool have_record;		/* it was read, and found no room */
	bool full;			/* until exporter_ready() */
	bool at_end, stopping;
	struct slot *queue;
	size_t head, length;
	struct exporter_counts counts;
	struct progress progress;
	/* what is said */
	char trouble[480];
	char told[480];
	int64_t status_at;
	int64_t room_at;		/* monotonic */
	bool told_room;
	struct log_limit trouble_limit, refuse_limit;
};

/* ---------------------------------------------------------------- queue */

static struct slot *slot_at(const struct exporter *x, size_t i)
{
	return &x->queue[(x->head + i) % QUEUE_MAX];
}

static void push(struct exporter *x, const struct record *r, size_t source, bool done)
{
	struct slot *s = slot_at(x, x->length++);

	s->source = (uint32_t)source;
	s->done = done;
	s->entry_ns = r->entry_ns;
	memcpy(s->cursor, r->cursor, strlen(r->cursor) + 1);
}

static void move_cursor(struct exporter *x, const struct slot *s)
{
	struct reader_cursor *c;

	x->counts.last_ns = s->entry_ns;
	if (!x->keeps_cursors)
		return;
	c = cursors_find(&x->cursors, reader_sequence(x->reader, s->source));
	if (c)
		memcpy(c->at, s->cursor, sizeof(c->at));
	x->cursors_changed = true;
}

/* Takes what is done from the front; of each run of one sequence's entries only the last moves its cursor. */
static void pop_done(struct exporter *x)
{
	while (x->length && slot_at(x, 0)->done) {
		struct slot *s = slot_at(x, 0);

		if (x->length == 1 || !slot_at(x, 1)->done || slot_at(x, 1)->source != s->source)
			move_cursor(x, s);
		x->head = (x->head + 1) % QUEUE_MAX;
		x->length--;
	}
}

static void save_cursors(struct exporter *x, bool now)
{
	int e;

	if (!x->keeps_cursors || !x->cursors_changed)
		return;
	if (!now && x->saved && now_monotonic() - x->saved < NSEC_PER_SEC)
		return;
	/* What is confirmed first after a start is saved at once: who is killed each half a second gets on all the same. */
	x->saved = now ? 0 : now_monotonic();
	e = x->destination.state && x->destination.kind->save ? x->destination.kind->save(&x->destination) : 0;
	if (!e)
		e = cursors_save(&x->cursors);
	if (e && !x->save_failed)
		log_error("%s cannot be written: %s; exporting goes on, and what is exported until it can will be exported again "
			  "after a restart", x->cursors.path, strerror(-e));
	else if (!e && x->save_failed)
		log_info("%s can be written again", x->cursors.path);
	x->save_failed = e != 0;
	if (!e)
		x->cursors_changed = false;
}

/* ---------------------------------------------------------------- what destinations say */

static void wake(struct exporter *x)
{
	if (!x->stopping)
		sd_event_source_set_enabled(x->pump, SD_EVENT_ON);
}

void exporter_confirm(struct exporter *x, size_t n)
{
	x->counts.confirmed += n;
	for (size_t i = 0; i < x->length && n; i++) {
		struct slot *s = slot_at(x, i);

		if (s->done)
			continue;
		s->done = true;
		n--;
	}
	pop_done(x);
	save_cursors(x, false);
	wake(x);
}

void exporter_ready(struct exporter *x)
{
	x->full = false;
	wake(x);
}

void exporter_refuse(struct exporter *x, size_t i, const char *why)
{
	uint64_t held;

	x->counts.refused++;
	for (size_t at = 0; at < x->length; at++) {
		struct slot *s = slot_at(x, at);

		if (s->done || i--)
			continue;
		if (log_limit_pass(&x->refuse_limit, &held))
			log_warning("[%s]: the destination refuses a record, which is left out: %s (cursor %s; %" PRIu64
				    " before it were not told)", x->options->settings->section, why, s->cursor, held);
		return;
	}
}

void exporter_trouble(struct exporter *x, const char *format, ...)
{
	va_list args;
	uint64_t held;

	va_start(args, format);
	vsnprintf(x->trouble, sizeof(x->trouble), format, args);
	va_end(args);
	x->counts.trouble = true;
	x->status_at = 0;
	if (strcmp(x->trouble, x->told) == 0 || !log_limit_pass(&x->trouble_limit, &held))
		return;
	memcpy(x->told, x->trouble, sizeof(x->told));
	progress_clear(&x->progress);
	log_warning("[%s]: %s", x->options->settings->section, x->trouble);
}

void exporter_fine(struct exporter *x)
{
	if (!x->counts.trouble)
		return;
	x->counts.trouble = x->told_room = false;
	x->status_at = 0;
	if (x->told[0]) {
		progress_clear(&x->progress);
		log_info("[%s]: works again", x->options->settings->section);
	}
	x->trouble[0] = x->told[0] = '\0';
}

void exporter_stop(struct exporter *x)
{
	sd_event_exit(x->event, 0);
}

void exporter_counts(const struct exporter *x, struct exporter_counts *ret, struct reader_counts *ret_reader)
{
	*ret = x->counts;
	ret->queued = x->length;
	if (ret_reader)
		*ret_reader = *reader_counts(x->reader);
}

uint64_t exporter_back_off(unsigned *failures)
{
	uint64_t us = UINT64_C(1000000) << (*failures < 6 ? *failures : 6);
	uint32_t random = 0;

	if (us > 60000000)
		us = 60000000;
	++*failures;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = 0;
	return us / 2 + us / 2 * (random >> 16) / 65536;
}

/* ---------------------------------------------------------------- the loop's sources */

/* One record from the journal to the destination; false where there is nothing to do but wait. */
static bool pump_one(struct exporter *x)
{
	const struct destination_kind *kind = x->destination.kind;
	size_t source = 0;

	if (x->full || x->length == QUEUE_MAX)
		return false;
	if (!x->have_record) {
		if (!reader_next(x->reader, x->record, &source)) {
			x->at_end = true;
			return false;
		}
		x->have_record = true;
		x->record->source_index = source;
	}
	switch (kind->add(&x->destination, x->record)) {
	case DESTINATION_FULL:
		x->full = true;
		return false;
	case DESTINATION_SKIPPED:
		x->counts.skipped++;
		push(x, x->record, x->record->source_index, true);
		pop_done(x);
		break;
	case DESTINATION_TAKEN:
		x->counts.taken++;
		push(x, x->record, x->record->source_index, false);
		break;
	}
	x->have_record = false;
	return true;
}

static int on_pump(sd_event_source *source, void *user)
{
	struct exporter *x = user;
	size_t n = 0;

	x->at_end = false;
	while (n < AT_ONCE && pump_one(x))
		n++;
	if (n == AT_ONCE)
		return 0;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	if (!x->at_end && x->length < QUEUE_MAX)
		return 0;
	if (x->destination.kind->flush)
		x->destination.kind->flush(&x->destination);
	if (x->at_end && x->options->since && !x->options->follow && x->length == 0)
		sd_event_exit(x->event, 0);
	return 0;
}

static int on_journal(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct exporter *x = user;

	(void)source, (void)fd, (void)events;
	reader_process(x->reader);
	wake(x);
	return 0;
}

static void tell_status(struct exporter *x)
{
	char when[40] = "nothing yet";
	int64_t now = now_monotonic();

	if (x->status_at && now - x->status_at < STATUS_SECONDS * NSEC_PER_SEC)
		return;
	x->status_at = now;
	if (x->counts.last_ns)
		record_format_time(x->counts.last_ns / NSEC_PER_SEC * NSEC_PER_SEC, when);
	sd_notifyf(0, "STATUS=%s%s%" PRIu64 " records exported, the last from %s%s", x->counts.trouble ? x->trouble : "",
		   x->counts.trouble ? "; " : "", x->counts.confirmed, when,
		   x->save_failed ? "; cursors cannot be saved" : "");
	if (x->counts.refused)
		sd_notifyf(0, "STATUS=%s%s%" PRIu64 " records exported, %" PRIu64 " refused, the last from %s%s",
			   x->counts.trouble ? x->trouble : "", x->counts.trouble ? "; " : "", x->counts.confirmed,
			   x->counts.refused, when, x->save_failed ? "; cursors cannot be saved" : "");
}

/* Once for each time of trouble, when half of what the journal may take is filled by what waits. */
static void tell_room(struct exporter *x)
{
	int64_t since = x->length ? slot_at(x, 0)->entry_ns : x->have_record ? x->record->entry_ns : 0;
	struct room room;

	if (!x->counts.trouble || x->told_room || !since || now_monotonic() < x->room_at)
		return;
	x->room_at = now_monotonic() + ROOM_SECONDS * NSEC_PER_SEC;
	if (!reader_room(x->reader, (uint64_t)(since / 1000), &room) || room.used * 2 < room.limit)
		return;
	x->told_room = true;
	log_warning("[%s]: what waits fills %" PRIu64 " of the %" PRIu64 " MB that the journal may take; if it goes on so, readings are "
		    "deleted before they are exported in about %.1f hours; would be a larger SystemMaxUse= (journald.conf(5)), or "
		    "a journal of suntapd's own (LogNamespace=)", x->options->settings->section, room.used >> 20, room.limit >> 20,
		    (double)room.seconds_left / 3600);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *user)
{
	struct exporter *x = user;

	if (x->destination.kind->tick)
		x->destination.kind->tick(&x->destination);
	save_cursors(x, false);
	tell_room(x);
	tell_status(x);
	if (x->options->progress)
		progress_show(&x->progress, reader_counts(x->reader)->position, x->counts.confirmed, x->trouble);
	/* Network file systems have no inotify, and a wake-up may be missed: look once a second all the same. */
	reader_process(x->reader);
	wake(x);
	sd_event_source_set_time(source, usec + 1000000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static bool is_done(struct exporter *x)
{
	return !x->destination.kind->stop || x->destination.kind->stop(&x->destination) == 0;
}

static int on_drain(sd_event_source *source, uint64_t usec, void *user)
{
	struct exporter *x = user;

	if (is_done(x) || x->counts.trouble || now_monotonic() - x->stopped > STOP_SECONDS * NSEC_PER_SEC)
		return sd_event_exit(x->event, 0);
	sd_event_source_set_time(source, usec + 20000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* No more is read; what is under way has some seconds to be confirmed. The second signal ends at once. */
static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *user)
{
	struct exporter *x = user;
	uint64_t now;

	(void)source, (void)si;
	sd_notify(0, "STOPPING=1");
	if (x->stopping || is_done(x))
		return sd_event_exit(x->event, 0);
	x->stopping = true;
	sd_event_source_set_enabled(x->pump, SD_EVENT_OFF);
	x->stopped = now_monotonic();
	sd_event_now(x->event, CLOCK_MONOTONIC, &now);
	return sd_event_add_time(x->event, &x->drain, CLOCK_MONOTONIC, now, 1000, on_drain, x);
}

/* ---------------------------------------------------------------- begin and end */

/* Written down at once, or `start = end` would be a later end after a restart. */
static void found_sequence(void *user, const char *sequence, const char *cursor)
{
	struct exporter *x = user;
	struct reader_cursor *c;

	if (!x->keeps_cursors)
		return;
	c = cursors_get(&x->cursors, sequence);
	if (!c)
		return;
	snprintf(c->at, sizeof(c->at), "%s", cursor);
	x->cursors_changed = true;
}

static void gone_sequence(void *user, const char *sequence)
{
	struct exporter *x = user;

	if (!x->keeps_cursors)
		return;
	cursors_remove(&x->cursors, sequence);
	x->cursors_changed = true;
}

static int open_reader(struct exporter *x)
{
	const struct settings *s = x->options->settings;
	unsigned recent = s->kind->recent;
	struct reader_options o = {
		.journal = s->journal, .unit = s->unit, .records = s->kind->records, .matches = s->matches, .match_count = s->match_count,
		.since = x->options->since, .until = x->options->until,
		.from_end = x->keeps_cursors && x->cursors.fresh && s->start == START_END,
		.cursors = x->cursors.all, .cursor_count = x->cursors.count, .found = found_sequence, .gone = gone_sequence, .user = x,
	};

	if (!o.since && recent)
		o.since = (uint64_t)(now_realtime() / 1000) - (uint64_t)recent * 1000000;
	return reader_open(&x->reader, &o);
}

static int open_loop(struct exporter *x)
{
	uint64_t now;
	int e = sd_event_default(&x->event);

	if (e >= 0)
		e = sd_event_add_signal(x->event, NULL, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, on_signal, x);
	if (e >= 0)
		e = sd_event_add_signal(x->event, NULL, SIGINT | SD_EVENT_SIGNAL_PROCMASK, on_signal, x);
	if (e >= 0)
		e = sd_event_set_watchdog(x->event, true);
	if (e >= 0)
		e = sd_event_add_defer(x->event, &x->pump, on_pump, x);
	if (e >= 0)
		e = sd_event_source_set_enabled(x->pump, SD_EVENT_ON);
	if (e >= 0)
		e = sd_event_source_set_priority(x->pump, SD_EVENT_PRIORITY_IDLE);
	if (e >= 0)
		e = sd_event_add_io(x->event, &x->watch, reader_fd(x->reader), EPOLLIN, on_journal, x);
	if (e >= 0)
		e = sd_event_now(x->event, CLOCK_MONOTONIC, &now);
	if (e >= 0)
		e = sd_event_add_time(x->event, &x->ticker, CLOCK_MONOTONIC, now + 1000000, 50000, on_tick, x);
	if (e < 0)
		log_error("The event loop cannot be made: %s", strerror(-e));
	return e < 0 ? e : 0;
}

static int begin(struct exporter *x)
{
	const struct exporter_options *o = x->options;
	int e;

	x->record = calloc(1, sizeof(*x->record));
	x->queue = calloc(QUEUE_MAX, sizeof(*x->queue));
	if (!x->record || !x->queue)
		return -ENOMEM;
	x->keeps_cursors = o->state_folder && !o->since && !o->settings->kind->recent;
	if (x->keeps_cursors) {
		e = cursors_open(&x->cursors, o->state_folder, o->settings->name);
		if (e)
			return e;
	}
	e = open_reader(x);
	if (e == 0)
		e = open_loop(x);
	if (e)
		return e;
	save_cursors(x, true);
	x->destination = (struct destination){
		.kind = o->settings->kind, .settings = o->settings, .file = o->file, .state_folder = o->state_folder, .event = x->event,
		.exporter = x,
	};
	return o->settings->kind->open(&x->destination);
}

int exporter_run(const struct exporter_options *o)
{
	struct exporter x = {
		.options = o, .cursors.lock = -1,
		.trouble_limit = { .burst = 5, .interval = 60 * NSEC_PER_SEC },
		.refuse_limit = { .burst = 20, .interval = 30 * NSEC_PER_SEC },
	};
	int e = begin(&x);

	if (e == 0) {
		progress_begin(&x.progress, o->since, o->until);
		sd_notify(0, "READY=1");
		e = sd_event_loop(x.event);
	}
	if (e == 0)
		save_cursors(&x, true);
	if (x.destination.kind)
		x.destination.kind->close(&x.destination);
	if (o->progress && e == 0 && x.reader)
		progress_end(&x.progress, x.counts.confirmed, x.counts.refused, x.length);
	sd_event_source_unref(x.pump);
	sd_event_source_unref(x.watch);
	sd_event_source_unref(x.ticker);
	sd_event_source_unref(x.drain);
	sd_event_unref(x.event);
	reader_close(x.reader);
	if (x.keeps_cursors)
		cursors_close(&x.cursors);
	free(x.queue);
	free(x.record);
	return e;
}
