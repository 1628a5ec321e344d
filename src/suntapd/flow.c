/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flow.c - the flows: a device's connection and ours to its cloud; see flow.h
 *
 * Theory of operation
 *	The sockets are in an epoll set of their own (edge-triggered, registered once): two sources of sd-event for
 *	each flow would take more memory than all the rest of an idle flow, and a turn of sd-event more time
 *	than moving a message. flows_loop() waits for this set, in which sd-event's is one entry; without it (in
 *	tests) the set is one source of sd-event. An event says which flow and side; the flow is looked up by its id,
 *	so that an event for a flow which was closed in the same batch finds nothing.
 *
 *	Edges are remembered in relay_dir.readable/.writable, and the relay clears them at EAGAIN. A flow that has
 *	used up its turn goes to the end of the run queue; one that found no pipe waits in the queue of the starving until a
 *	pipe has come back.
 */
#include "suntapd/flow_private.h"
#include "suntapd/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>


enum {
	EVENTS_AT_ONCE = 128,
	CAME_BACK_MOST = 2,
	ROUNDS = 8,			/* of the run queue and the epoll set before other sources get their turn */
};

/* What the epoll set calls sd-event's descriptor; no flow has this slot. */
#define DATA_OTHERS UINT64_MAX

/* ---------------------------------------------------------------- events */
static void on_socket(struct flows *t, const struct epoll_event *e)
{
	enum dir side = (enum dir)(e->data.u64 & 1);
	uint32_t slot = (uint32_t)e->data.u64 >> 1;
	struct flow *f = &t->slots[slot];

	if ((t->entries[slot].id ^ e->data.u64) >> 32 || t->entries[slot].state == FLOW_FREE || flow_side_fd(f, side) < 0)
		return;		/* closed earlier in this batch */
	if (e->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		f->dir[side].readable = true;
	if (e->events & EPOLLPRI)
		f->dir[side].urgent = true;
	if (e->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		f->dir[dir_other(side)].writable = true;
	if (t->entries[slot].state == FLOW_CONNECTING && side == DIR_DEVICE && (e->events & EPOLLERR) && flow_device_gave_up(f)) {
		flow_set_end(f, FLOW_END_DEVICE_RESET, ECONNRESET);
		flow_finish(t, slot, true);
		return;
	}
	if ((e->events & EPOLLERR) && (t->entries[slot].state == FLOW_OPEN || side == DIR_DEVICE)) {
		/*
		 * Reset or lost. No read finds that out after a FIN, and none when a write has taken the error, so what
		 * looks like a FIN from now on is this; one that was passed on already is not the end any more.
		 */
		f->dir[side].from_failed = true;
		if (t->entries[slot].state == FLOW_OPEN && f->dir[side].eof)
			f->dir[side].done = false;
	}
	flow_service(t, slot);
	if ((e->events & EPOLLERR) && !((t->entries[slot].id ^ e->data.u64) >> 32) && t->entries[slot].state == FLOW_OPEN)
		flow_hurry(t, slot);
}

/* The table may have become full, or be it no more, otherwise than by a new flow: by another limit, or by flows of the store. */
static void look_for_room(struct flows *t)
{
	if (t->now >= t->options.limit)
		t->was_full = true;
	if (!t->was_full || flows_full(t))
		return;
	t->was_full = false;
	t->touched = true;
	if (t->room)
		t->room(t->room_ctx);
}

static void after_batch(struct flows *t)
{
	while (t->starving.first != NO_SLOT && pipes_left(&t->pipes))
		flow_queue_put(t, &t->run, flow_queue_take(t, &t->starving));
	/* nobody will say when there are descriptors for a pipe again, or when the store has one */
	if (t->starving.first != NO_SLOT && t->pipes.free)
		flow_timer_at_most(t, t->pipes.no_files ? PIPE_TICK_MS : STORE_TICK_MS);
	ring_ring(t->tap.ring);
	look_for_room(t);
}

/* Waits (timeout in ms, -1: without end) and serves flows. Whether sd-event, too, has something to do (see flows_loop()). */
static bool run(struct flows *t, int timeout)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	bool others = false;

	for (int round = 0; round < ROUNDS; round++) {
		uint32_t last = t->run.last, slot;
		int n = epoll_wait(t->epoll, events, EVENTS_AT_ONCE, round == 0 ? timeout : 0);

		for (int i = 0; i < n; i++) {
			if (events[i].data.u64 == DATA_OTHERS)
				others = true;
			else
				on_socket(t, &events[i]);
		}
		/* `last` may have ended meanwhile, so each flow gets one turn at most */
		for (unsigned turns = t->now; last != NO_SLOT && turns > 0; turns--) {
			slot = flow_queue_take(t, &t->run);
			if (slot == NO_SLOT)
				break;
			flow_service(t, slot);
			if (slot == last)
				break;
		}
		after_batch(t);
		if (n < EVENTS_AT_ONCE && t->run.first == NO_SLOT)
			break;
	}
	if (!t->looping)
		sd_event_source_set_enabled(t->more, t->run.first != NO_SLOT ? SD_EVENT_ON : SD_EVENT_OFF);
	return others;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	(void)source, (void)fd, (void)revents;
	run(userdata, 0);
	return 0;
}

static int on_more(sd_event_source *source, void *userdata)
{
	(void)source;
	run(userdata, 0);
	return 0;
}

int flows_loop(struct flows *t)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = DATA_OTHERS };
	int r;

	/* our set leaves sd-event's, so that sd-event's can be in ours */
	r = sd_event_source_set_enabled(t->io, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_source_set_enabled(t->more, SD_EVENT_OFF);
	if (r < 0)
		return r;
	if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, sd_event_get_fd(t->event), &e) < 0)
		return -errno;
	t->looping = true;
	while (sd_event_get_state(t->event) != SD_EVENT_FINISHED) {
		r = sd_event_prepare(t->event);
		if (r == 0) {
			bool others;

			t->touched = false;
			do
				others = run(t, t->run.first != NO_SLOT ? 0 : -1);
			while (!others && !t->touched);
			r = sd_event_wait(t->event, 0);
		}
		if (r > 0)
			r = sd_event_dispatch(t->event);
		if (r < 0)
			return r;
	}
	return sd_event_get_exit_code(t->event, &r) < 0 ? 0 : r;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct flows *t = userdata;
	int64_t now = now_monotonic();

	(void)source, (void)usec;
	for (uint32_t slot = t->lists[LIST_CONNECTING], next; slot != NO_SLOT; slot = next) {
		next = t->slots[slot].next;
		if (t->slots[slot].dir[DIR_DEVICE].writable)
			flow_service(t, slot);	/* it is connected, and waited for the store */
		else if (t->slots[slot].deadline <= now)
			flow_connect_failed(t, slot, -ETIMEDOUT);
	}
	for (uint32_t slot = t->lists[LIST_RESETTING], next; slot != NO_SLOT; slot = next) {
		next = t->slots[slot].next;
		if (t->slots[slot].deadline <= now)
			flow_give_up(t, slot);
		else
			flow_service(t, slot);
	}
	t->pipes.no_files = false;
	after_batch(t);
	if (t->run.first != NO_SLOT && !t->looping)
		sd_event_source_set_enabled(t->more, SD_EVENT_ON);
	if (t->lists[LIST_RESETTING] != NO_SLOT)
		flow_timer_at_most(t, RESET_TICK_MS);
	else if (t->lists[LIST_CONNECTING] != NO_SLOT)
		flow_timer_at_most(t, CONNECT_TICK_MS);
	return 0;
}

/* ---------------------------------------------------------------- a new flow */
struct device_use *flow_device_use(struct flows *t, const char *name)
{
	struct device_use *unused = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(t->use); i++) {
		if (strcmp(t->use[i].name, name) == 0)
			return &t->use[i];
		if (!unused && t->use[i].flows == 0)
			unused = &t->use[i];
	}
	if (unused) {
		memset(unused->name, 0, sizeof(unused->name));
		strncpy(unused->name, name, sizeof(unused->name) - 1);
	}
	return unused;
}

/* The flow whose connection to the cloud has `a` as its near end: a device that has it is ourselves. NO_SLOT: none. */
static uint32_t near_end_of(const struct flows *t, const struct flow_address *a)
{
	if (t->near_ports[a->port] == 0)
		return NO_SLOT;
	for (uint32_t slot = 0; slot < t->unused; slot++) {
		struct flow_address near;

		if (t->entries[slot].state == FLOW_FREE || t->slots[slot].near_port != a->port)
			continue;
		if (socket_name(flow_side_fd(&t->slots[slot], DIR_CLOUD), &near) && flow_address_equal(&near, a))
			return slot;
	}
	return NO_SLOT;
}

/*
 * With keep_source our near ends have the device's address and a port that the device may choose as well, for it
 * knows nothing of ours: once is chance, a loop comes round again.
 */
static bool is_loop(const struct flows *t, uint32_t before)
{
	if (before == NO_SLOT)
		return false;
	return !(t->entries[before].flags & FLOW_KEEPS_SOURCE) || t->slots[before].came_back >= CAME_BACK_MOST;
}

bool flows_full(const struct flows *t)
{
	/* full is left only when a sixteenth is free, so that listeners are not opened and closed for every flow */
	return t->now + (t->was_full ? t->options.limit / 16 : 0) >= t->options.limit;
}

bool flows_used_up(const struct flows *t)
{
	return t->now >= t->limit_made;
}

int flows_add(struct flows *t, const struct flow_request *q)
{
	struct device_use *use = flow_device_use(t, q->name);
	uint32_t before = near_end_of(t, &q->device);
	struct flow_entry *entry;
	struct flow *f;
	char name[STORE_FLOW_NAME_SIZE];
	uint32_t slot;
	int e;

	if (flows_used_up(t))
		e = -ENFILE;
	else if (!use || use->flows >= q->device_limit)
		e = -EUSERS;
	else if (is_loop(t, before))
		e = -ELOOP;
	else
		e = 0;
	if (e < 0) {
		t->was_full |= e == -ENFILE;
		goto refuse;
	}
	if (t->free != NO_SLOT) {
		slot = t->free;
		t->free = t->slots[slot].next;
	} else {
		slot = t->unused++;
	}
	f = &t->slots[slot];
	entry = &t->entries[slot];
	*f = (struct flow){
		.use = (uint16_t)(use - t->use),
		.came_back = before == NO_SLOT ? 0 : (uint8_t)(t->slots[before].came_back + 1),
		.generation = f->generation == UINT32_MAX ? 1 : f->generation + 1,
	};
	memset(entry, 0, sizeof(*entry));
	entry->device = q->device;
	strncpy(entry->name, q->name, sizeof(entry->name) - 1);
	entry->flags = q->keep_source ? FLOW_KEEPS_SOURCE : 0;
	entry->opened = now_realtime();
	atomic_store(&entry->id, (uint64_t)f->generation << 32 | slot);
	flow_set_side_fd(f, DIR_DEVICE, q->fd);
	flow_set_side_fd(f, DIR_CLOUD, -1);
	flow_socket_name(slot, f->generation, DIR_DEVICE, name);
	store_put(q->fd, "%s", name);
	use->flows++;
	t->now++;
	t->opened++;
	if (t->now >= t->options.limit)
		t->was_full = true;

	f->candidates = (uint8_t)(q->cloud_count < FLOW_CANDIDATES_MAX ? q->cloud_count : FLOW_CANDIDATES_MAX);
	if (f->candidates > 0)
		entry->cloud = q->cloud[0];
	if (f->candidates > 1) {
		f->cloud = calloc(f->candidates, sizeof(*f->cloud));
		if (f->cloud)
			memcpy(f->cloud, q->cloud, f->candidates * sizeof(*f->cloud));
		else
			f->candidates = 1;
	}
	flow_set_state(t, slot, FLOW_CONNECTING);
	tap_flow_opened(&t->tap, entry);
	if (f->candidates == 0) {
		flow_set_end(f, FLOW_END_NO_ADDRESS, EDESTADDRREQ);
		flow_finish(t, slot, true);
	} else {
		socket_tune(q->fd, &t->options.patience);
		e = flow_watch(t, slot, DIR_DEVICE);
		if (e == 0)
			e = flow_connect_candidate(t, slot);
		if (e < 0)
			flow_connect_failed(t, slot, e);
	}
	ring_ring(t->tap.ring);
	return 0;
refuse:
	t->refused++;
	socket_close(q->fd, true);
	return e;
}

/* ---------------------------------------------------------------- the table */
unsigned flows_restore(struct flows *t)
{
	unsigned count = flow_restore_all(t);

	look_for_room(t);
	return count;
}

unsigned flows_limit_by_files(size_t reserve)
{
	struct rlimit files;
	rlim_t used = reserve + 2 * PIPES_MAX;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return 128;
	if (files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &files) < 0)
			getrlimit(RLIMIT_NOFILE, &files);
	}
	if (files.rlim_cur > 200 * 1000)
		files.rlim_cur = 200 * 1000;
	return files.rlim_cur > used + 2 ? (unsigned)((files.rlim_cur - used) / 2) : 1;
}

int flows_new(struct flows **ret, sd_event *event, struct ring *ring, const struct flows_options *options)
{
	struct flows *t = calloc(1, sizeof(*t));
	int e;

	if (!t)
		return -ENOMEM;
	t->event = sd_event_ref(event);
	t->options = *options;
	t->limit_made = options->limit_later > options->limit ? options->limit_later : options->limit;
	t->table_fd = t->epoll = -1;
	t->free = t->run.first = t->run.last = t->starving.first = t->starving.last = NO_SLOT;
	t->lists[LIST_CONNECTING] = t->lists[LIST_RESETTING] = NO_SLOT;
	pipes_open(&t->pipes, PIPES_MAX);
	e = tap_open(&t->tap, ring);
	if (e == 0)
		e = flow_table_open(t);
	if (e == 0) {
		t->epoll = epoll_create1(EPOLL_CLOEXEC);
		e = t->epoll < 0 ? -errno : 0;
	}
	if (e == 0)
		e = sd_event_add_io(event, &t->io, t->epoll, EPOLLIN, on_io, t);
	if (e >= 0)
		e = sd_event_add_defer(event, &t->more, on_more, t);
	if (e >= 0)
		e = sd_event_source_set_enabled(t->more, SD_EVENT_OFF);
	if (e >= 0)
		e = sd_event_add_time_relative(event, &t->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, t);
	if (e >= 0)
		e = sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
	if (e < 0) {
		flows_free(t);
		return e;
	}
	t->near_ports = calloc(UINT16_MAX + 1, sizeof(*t->near_ports));
	if (!t->near_ports) {
		flows_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

/* Whether bytes are under way that will not arrive: then a FIN would tell the other side that it has them all. */
static bool is_cut_off(struct flows *t, uint32_t slot)
{
	struct flow *f = &t->slots[slot];
	bool cut = false;

	for (enum dir d = 0; d < DIR_COUNT; d++) {
		struct relay_dir *dir = &f->dir[d];
		int error, unread = 0;

		if (dir->to >= 0)
			relay_flush(dir, &t->pipes, &t->entries[slot], d, &error);
		cut |= dir->pending > 0 || (dir->from >= 0 && ioctl(dir->from, FIONREAD, &unread) == 0 && unread > 0);
	}
	return cut;
}

struct flows *flows_free(struct flows *t)
{
	if (!t)
		return NULL;
	for (uint32_t slot = 0; slot < t->unused; slot++) {
		bool reset;

		if (t->entries[slot].state == FLOW_FREE)
			continue;
		reset = is_cut_off(t, slot);
		flow_set_end(&t->slots[slot], FLOW_END_STOPPED, 0);
		flow_finish(t, slot, reset);
	}
	if (t->entries)
		ring_ring(t->tap.ring);
	t->io = sd_event_source_disable_unref(t->io);
	t->more = sd_event_source_disable_unref(t->more);
	t->timer = sd_event_source_disable_unref(t->timer);
	tap_close(&t->tap);
	pipes_close(&t->pipes);
	if (t->table)
		munmap(t->table, t->table_size);
	if (t->slots)
		munmap(t->slots, t->limit_made * sizeof(struct flow));
	free(t->near_ports);
	close_fd(t->table_fd);
	close_fd(t->epoll);
	sd_event_unref(t->event);
	free(t);
	return NULL;
}

void flows_set_options(struct flows *t, const struct flows_options *options)
{
	t->options = *options;
	if (t->options.limit > t->limit_made)
		t->options.limit = t->limit_made;
	look_for_room(t);
}

void flows_on_room(struct flows *t, void (*room)(void *ctx), void *ctx)
{
	t->room = room;
	t->room_ctx = ctx;
}

void flows_on_unreachable(struct flows *t, void (*unreachable)(void *ctx, const char *name), void *ctx)
{
	t->unreachable = unreachable;
	t->unreachable_ctx = ctx;
}

bool flows_untap(struct flows *t, uint64_t id)
{
	uint32_t slot = flow_id_slot(id);

	if (slot >= t->unused || t->entries[slot].id != id || t->entries[slot].state == FLOW_FREE)
		return false;
	t->entries[slot].flags |= FLOW_UNTAPPED;
	return true;
}

int flows_table_fd(const struct flows *t)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", t->table_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

void flows_tell_gaps(struct flows *t)
{
	if (!t->tap.owes)
		return;
	t->tap.owes = false;
	tap_tell_lost_events(&t->tap);
	for (uint32_t slot = 0; slot < t->unused; slot++)
		for (enum dir d = 0; d < DIR_COUNT; d++)
			if (t->entries[slot].state != FLOW_FREE)
				tap_tell_gap(&t->tap, t->entries[slot].id, d, t->entries[slot].copied[d],
					     &t->slots[slot].dir[d].lost);
	ring_ring(t->tap.ring);
}

void flows_mind_windows(struct flows *t, unsigned parts)
{
	for (uint32_t left = t->unused / parts + 1; left > 0; left--) {
		if (t->minded >= t->unused)
			t->minded = 0;
		if (t->unused > 0 && t->entries[t->minded].state == FLOW_OPEN)
			for (enum dir d = 0; d < DIR_COUNT; d++)
				socket_mind_window(flow_side_fd(&t->slots[t->minded], d), &t->options.patience);
		t->minded++;
	}
}

void flows_get_stats(const struct flows *t, struct flows_stats *ret)
{
	*ret = (struct flows_stats){
		.now = t->now, .limit = t->options.limit, .opened = t->opened, .refused = t->refused,
		.bytes = { t->bytes[0], t->bytes[1] }, .lost_bytes = t->tap.lost_bytes,
	};
}
