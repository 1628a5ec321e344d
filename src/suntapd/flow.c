/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flow.c - the flows: a device's connection and ours to its cloud; see flow.h
 *
 * Theory of operation
 *	The sockets are in an epoll set of their own (edge-triggered, registered once), which is one source of
 *	the process' sd-event loop: two sources of sd-event for each flow would take more memory
 *	than all the rest of an idle flow. An event says which flow and side; the flow is looked up by its id,
 *	so that an event for a flow which was closed in the same batch finds nothing.
 *
 *	Edges are remembered in relay_dir.readable/.writable, and the relay clears them at EAGAIN. A flow that has
 *	used up its turn goes to the end of the run queue; one that found no pipe waits in the queue of the starving until a
 *	pipe has come back.
 */
#include "suntapd/flow.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/config.h"
#include "shared/log.h"
#include "suntapd/sockets.h"

enum {
	EVENTS_AT_ONCE = 128,
	ROUNDS = 8,			/* of the run queue and the epoll set before other sources get their turn */
	RESET_PATIENCE_MS = 2000,	/* for the last bytes of a connection that was reset, to be acknowledged */
	RESET_TICK_MS = 20,
	CONNECT_TICK_MS = 500,
	NO_SLOT = UINT32_MAX,
};

enum flow_state { FLOW_FREE, FLOW_CONNECTING, FLOW_OPEN, FLOW_RESETTING };

/* Which list of struct flows a flow is in (besides none). */
enum flow_list { LIST_CONNECTING, LIST_RESETTING, LIST_COUNT };

struct flow {
	struct relay_dir dir[DIR_COUNT];	/* [DIR_DEVICE].from and [DIR_CLOUD].to: the device's socket */
	int64_t deadline;			/* monotonic ns, while in a list */
	uint32_t previous, next;		/* in its list */
	uint32_t queue_next;			/* in the run queue or the queue of the starving */
	uint16_t use;				/* index in flows.use */
	uint8_t state;				/* enum flow_state */
	uint8_t queued;				/* in one of the two queues */
	uint8_t end;				/* enum flow_end, once decided */
	bool end_known, untapped, keep_source;
	uint8_t candidate, candidates;		/* the one tried now, of how many */
	int error;
	uint16_t near_port;			/* of our connection to the cloud; 0 while there is none */
	uint32_t generation;			/* how often the slot was used: the upper half of the id */
	struct flow_address *cloud;		/* candidates; only while CONNECTING to one of several */
};

struct queue {
	uint32_t first, last;
};

struct flows {
	struct flow *slots;			/* [limit_made]; memory comes with use */
	struct flow_entry *entries;
	size_t table_size;
	int table_fd, epoll;
	unsigned limit_made, now;
	uint32_t free, unused;			/* list of free slots; slots from here on were never used */
	struct flows_options options;
	struct pipes pipes;
	struct tap tap;
	struct queue run, starving;
	uint16_t *near_ports;			/* [65536]: how many of our connections to clouds have this port */
	uint32_t lists[LIST_COUNT];
	struct device_use {
		char name[CONFIG_NAME_MAX];
		unsigned flows;
	} use[CONFIG_DEVICES_MAX * 2];
	sd_event *event;
	sd_event_source *io, *more, *timer;
	void (*room)(void *ctx);
	void *room_ctx;
	void (*unreachable)(void *ctx, const char *name);
	void *unreachable_ctx;
	bool was_full;
	uint64_t opened, refused, bytes[DIR_COUNT];
};

static void service(struct flows *t, uint32_t slot);

/* ---------------------------------------------------------------- sockets */
static int side_fd(const struct flow *f, enum dir side)
{
	return f->dir[side].from;
}

static void set_side_fd(struct flow *f, enum dir side, int fd)
{
	f->dir[side].from = fd;
	f->dir[dir_other(side)].to = fd;
}

static void close_side(struct flows *t, struct flow *f, enum dir side, bool reset)
{
	if (side == DIR_CLOUD && f->near_port) {
		t->near_ports[f->near_port]--;
		f->near_port = 0;
	}
	if (reset)
		socket_reset(side_fd(f, side));
	else
		close_fd(side_fd(f, side));
	set_side_fd(f, side, -1);
}

static int watch(struct flows *t, uint32_t slot, enum dir side)
{
	uint64_t id = t->entries[slot].id;
	struct epoll_event e = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.u64 = (id & ~(uint64_t)UINT32_MAX) | (uint64_t)slot << 1 | side,
	};

	return epoll_ctl(t->epoll, EPOLL_CTL_ADD, side_fd(&t->slots[slot], side), &e) < 0 ? -errno : 0;
}

/* ---------------------------------------------------------------- lists and queues */
static void list_add(struct flows *t, enum flow_list list, uint32_t slot, int64_t deadline)
{
	struct flow *f = &t->slots[slot];
	uint64_t usec = (list == LIST_RESETTING ? RESET_TICK_MS : CONNECT_TICK_MS) * UINT64_C(1000), pending;
	int on;

	f->deadline = deadline;
	f->previous = NO_SLOT;
	f->next = t->lists[list];
	if (f->next != NO_SLOT)
		t->slots[f->next].previous = slot;
	t->lists[list] = slot;

	if (sd_event_source_get_enabled(t->timer, &on) < 0)
		return;
	if (on == SD_EVENT_OFF || list == LIST_RESETTING) {
		uint64_t now = 0;

		sd_event_now(t->event, CLOCK_MONOTONIC, &now);
		if (on == SD_EVENT_OFF || (sd_event_source_get_time(t->timer, &pending) >= 0 && pending > now + usec))
			sd_event_source_set_time_relative(t->timer, usec);
		sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT);
	}
}

static void list_remove(struct flows *t, enum flow_list list, uint32_t slot)
{
	struct flow *f = &t->slots[slot];

	if (f->previous != NO_SLOT)
		t->slots[f->previous].next = f->next;
	else
		t->lists[list] = f->next;
	if (f->next != NO_SLOT)
		t->slots[f->next].previous = f->previous;
}

static void queue_put(struct flows *t, struct queue *q, uint32_t slot)
{
	struct flow *f = &t->slots[slot];

	if (f->queued)
		return;
	f->queued = true;
	f->queue_next = NO_SLOT;
	if (q->last != NO_SLOT)
		t->slots[q->last].queue_next = slot;
	else
		q->first = slot;
	q->last = slot;
}

static uint32_t queue_take(struct flows *t, struct queue *q)
{
	uint32_t slot = q->first;

	if (slot == NO_SLOT)
		return NO_SLOT;
	q->first = t->slots[slot].queue_next;
	if (q->first == NO_SLOT)
		q->last = NO_SLOT;
	t->slots[slot].queued = false;
	return slot;
}

static void queue_remove(struct flows *t, struct queue *q, uint32_t slot)
{
	uint32_t previous = NO_SLOT;

	for (uint32_t s = q->first; s != NO_SLOT; previous = s, s = t->slots[s].queue_next) {
		if (s != slot)
			continue;
		if (previous != NO_SLOT)
			t->slots[previous].queue_next = t->slots[s].queue_next;
		else
			q->first = t->slots[s].queue_next;
		if (q->last == s)
			q->last = previous;
		t->slots[s].queued = false;
		return;
	}
}

/* ---------------------------------------------------------------- states */
/* The only place where a flow's state changes. */
static void set_state(struct flows *t, uint32_t slot, enum flow_state state)
{
	struct flow *f = &t->slots[slot];

	switch ((enum flow_state)f->state) {
	case FLOW_CONNECTING:
		list_remove(t, LIST_CONNECTING, slot);
		free(f->cloud);
		f->cloud = NULL;
		break;
	case FLOW_RESETTING:
		list_remove(t, LIST_RESETTING, slot);
		break;
	case FLOW_FREE:
	case FLOW_OPEN:
		break;
	}
	assert(f->state != state && (f->state != FLOW_FREE || state == FLOW_CONNECTING));
	f->state = (uint8_t)state;
	switch (state) {
	case FLOW_CONNECTING:
		list_add(t, LIST_CONNECTING, slot, now_monotonic() + t->options.connect_timeout * NSEC_PER_SEC);
		break;
	case FLOW_RESETTING:
		list_add(t, LIST_RESETTING, slot, now_monotonic() + RESET_PATIENCE_MS * NSEC_PER_MSEC);
		break;
	case FLOW_FREE:
	case FLOW_OPEN:
		break;
	}
}

static void set_end(struct flow *f, enum flow_end end, int error)
{
	if (f->end_known)
		return;
	f->end_known = true;
	f->end = (uint8_t)end;
	f->error = error;
}

/* Closes what is left of a flow, tells the ring, frees the slot. reset: the sockets that are left get a RST. */
static void finish(struct flows *t, uint32_t slot, bool reset)
{
	struct flow *f = &t->slots[slot];
	struct flow_entry *entry = &t->entries[slot];
	struct flow_close close = {
		.forwarded = { entry->forwarded[0], entry->forwarded[1] }, .opened = entry->opened, .end = f->end,
		.error = f->error,
	};
	uint64_t lost[DIR_COUNT];

	for (enum dir d = 0; d < DIR_COUNT; d++) {
		relay_drop(&f->dir[d], &t->pipes);
		close_side(t, f, d, reset);
		lost[d] = f->dir[d].lost;
		t->bytes[d] += entry->forwarded[d];
	}
	if (f->queued) {
		queue_remove(t, &t->run, slot);
		queue_remove(t, &t->starving, slot);
	}
	set_state(t, slot, FLOW_FREE);
	tap_flow_closed(&t->tap, entry->id, &close, lost, entry->copied);
	atomic_store(&entry->id, 0);
	t->use[f->use].flows--;
	f->next = t->free;
	t->free = slot;
	t->now--;
}

/* `gone` was reset or lost: the other side gets what was sent before, then a reset. */
static void begin_reset(struct flows *t, uint32_t slot, enum dir gone)
{
	struct flow *f = &t->slots[slot];

	close_side(t, f, gone, true);
	relay_drop(&f->dir[dir_other(gone)], &t->pipes);
	f->dir[dir_other(gone)].done = true;
	f->dir[gone].done = true;
	set_state(t, slot, FLOW_RESETTING);
	queue_put(t, &t->run, slot);
}

static void service_resetting(struct flows *t, uint32_t slot)
{
	struct flow *f = &t->slots[slot];
	enum dir gone = side_fd(f, DIR_DEVICE) < 0 ? DIR_DEVICE : DIR_CLOUD;
	int unacknowledged = 0, error;

	switch (relay_flush(&f->dir[gone], &t->pipes, &t->entries[slot], gone, &error)) {
	case RELAY_WANT_OUT:
		return;
	case RELAY_DONE:
		if (ioctl(side_fd(f, dir_other(gone)), SIOCOUTQ, &unacknowledged) == 0 && unacknowledged > 0)
			return;
		break;
	default:
		break;
	}
	finish(t, slot, true);
}

/* How a side that failed with e ended. */
static enum flow_end end_of_side(enum dir side, int e)
{
	bool lost = e == ETIMEDOUT || e == EHOSTUNREACH || e == ENETUNREACH || e == ENETDOWN;

	if (side == DIR_DEVICE)
		return lost ? FLOW_END_DEVICE_LOST : FLOW_END_DEVICE_RESET;
	return lost ? FLOW_END_CLOUD_LOST : FLOW_END_CLOUD_RESET;
}

static void service_open(struct flows *t, uint32_t slot)
{
	struct flow *f = &t->slots[slot];
	struct flow_entry *entry = &t->entries[slot];
	struct tap *tap = f->untapped ? NULL : &t->tap;

	for (int again = 1; again--;) {
		for (enum dir d = 0; d < DIR_COUNT; d++) {
			struct relay_dir *back = &f->dir[dir_other(d)];
			int error = 0;

			if (f->dir[d].done)
				continue;
			switch (relay_pump(&f->dir[d], &t->pipes, tap, entry, d, &error)) {
			case RELAY_WANT_IN:
			case RELAY_WANT_OUT:
				break;
			case RELAY_WANT_PIPE:
				queue_put(t, &t->starving, slot);
				break;
			case RELAY_BUDGET:
				queue_put(t, &t->run, slot);
				break;
			case RELAY_DONE:
				set_end(f, d == DIR_DEVICE ? FLOW_END_DEVICE_CLOSED : FLOW_END_CLOUD_CLOSED, 0);
				break;
			case RELAY_FROM_FAILED:
				f->end_known = false;	/* a reset after a FIN is how it ended */
				set_end(f, end_of_side(d, error), error);
				begin_reset(t, slot, d);
				return;
			case RELAY_TO_FAILED:
				/*
				 * The other side is gone. What it had sent before is read first; it ends with
				 * an error or, as the error may have been taken by our writing, with what looks like
				 * a FIN.
				 */
				f->dir[d].done = true;
				f->end_known = false;
				set_end(f, end_of_side(dir_other(d), error), error);
				if (back->done) {
					begin_reset(t, slot, dir_other(d));
					return;
				}
				back->from_failed = true;
				back->readable = true;
				again = 1;
				break;
			}
		}
	}
	if (f->dir[DIR_DEVICE].done && f->dir[DIR_CLOUD].done)
		finish(t, slot, false);
}

/* ---------------------------------------------------------------- connecting */
static enum flow_end end_of_connect(int e)
{
	switch (e) {
	case ECONNREFUSED:
		return FLOW_END_REFUSED;
	case ETIMEDOUT:
		return FLOW_END_CONNECT_TIMEOUT;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
	case EADDRNOTAVAIL:
	case ENOSPC:
		return FLOW_END_NO_RESOURCES;
	default:
		return FLOW_END_UNREACHABLE;
	}
}

static int connect_candidate(struct flows *t, uint32_t slot)
{
	struct flow *f = &t->slots[slot];
	struct flow_entry *entry = &t->entries[slot];
	struct flow_address near;
	int fd, e;

	if (f->cloud)
		entry->cloud = f->cloud[f->candidate];
	fd = socket_connect(&entry->cloud, f->keep_source ? &entry->device : NULL, &t->options.patience);
	if (fd < 0)
		return fd;
	set_side_fd(f, DIR_CLOUD, fd);
	if (socket_name(fd, &near) && near.port) {
		f->near_port = near.port;
		t->near_ports[near.port]++;
	}
	e = watch(t, slot, DIR_CLOUD);
	if (e < 0)
		close_side(t, f, DIR_CLOUD, true);
	return e;
}

/* The connection to a candidate failed with -e: the next one, or the end. */
static void connect_failed(struct flows *t, uint32_t slot, int e)
{
	struct flow *f = &t->slots[slot];
	const char *name = t->entries[slot].name;

	for (;;) {
		set_end(f, end_of_connect(-e), -e);
		close_side(t, f, DIR_CLOUD, true);
		f->dir[DIR_DEVICE].writable = false;
		if (t->unreachable)
			t->unreachable(t->unreachable_ctx, name);
		if (f->candidate + 1 >= f->candidates)
			break;
		f->candidate++;
		f->end_known = false;
		f->deadline = now_monotonic() + t->options.connect_timeout * NSEC_PER_SEC;
		e = connect_candidate(t, slot);
		if (e == 0)
			return;
	}
	finish(t, slot, true);
}

static void service_connecting(struct flows *t, uint32_t slot)
{
	struct flow *f = &t->slots[slot];
	socklen_t length = sizeof(int);
	int e = 0;

	if (!f->dir[DIR_DEVICE].writable)
		return;
	if (getsockopt(side_fd(f, DIR_CLOUD), SOL_SOCKET, SO_ERROR, &e, &length) < 0)
		e = errno;
	if (e != 0) {
		connect_failed(t, slot, -e);
		return;
	}
	set_state(t, slot, FLOW_OPEN);
	service_open(t, slot);
}

/* The device gave up before the cloud answered. Bytes it left still go to the cloud, if the cloud ever answers. */
static bool device_gave_up(const struct flow *f)
{
	int unread = 0;

	return ioctl(side_fd(f, DIR_DEVICE), FIONREAD, &unread) < 0 || unread == 0;
}

/* ---------------------------------------------------------------- events */
static void service(struct flows *t, uint32_t slot)
{
	switch ((enum flow_state)t->slots[slot].state) {
	case FLOW_CONNECTING:
		service_connecting(t, slot);
		break;
	case FLOW_OPEN:
		service_open(t, slot);
		break;
	case FLOW_RESETTING:
		service_resetting(t, slot);
		break;
	case FLOW_FREE:
		break;
	}
}

static void on_socket(struct flows *t, const struct epoll_event *e)
{
	enum dir side = (enum dir)(e->data.u64 & 1);
	uint32_t slot = (uint32_t)e->data.u64 >> 1;
	struct flow *f = &t->slots[slot];

	if ((t->entries[slot].id ^ e->data.u64) >> 32 || f->state == FLOW_FREE || side_fd(f, side) < 0)
		return;		/* closed earlier in this batch */
	if (e->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		f->dir[side].readable = true;
	if (e->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		f->dir[dir_other(side)].writable = true;
	if (f->state == FLOW_CONNECTING && side == DIR_DEVICE && (e->events & EPOLLERR) && device_gave_up(f)) {
		set_end(f, FLOW_END_DEVICE_RESET, ECONNRESET);
		finish(t, slot, true);
		return;
	}
	service(t, slot);
}

static void after_batch(struct flows *t)
{
	while (t->starving.first != NO_SLOT && t->pipes.free)
		queue_put(t, &t->run, queue_take(t, &t->starving));
	ring_ring(t->tap.ring);
	if (t->was_full && !flows_full(t)) {
		t->was_full = false;
		if (t->room)
			t->room(t->room_ctx);
	}
}

static void run(struct flows *t)
{
	struct epoll_event events[EVENTS_AT_ONCE];

	for (int round = 0; round < ROUNDS; round++) {
		uint32_t last = t->run.last, slot;
		int n = epoll_wait(t->epoll, events, EVENTS_AT_ONCE, 0);

		for (int i = 0; i < n; i++)
			on_socket(t, &events[i]);
		if (last != NO_SLOT) {
			do {
				slot = queue_take(t, &t->run);
				if (slot != NO_SLOT)
					service(t, slot);
			} while (slot != NO_SLOT && slot != last);
		}
		after_batch(t);
		if (n < EVENTS_AT_ONCE && t->run.first == NO_SLOT)
			break;
	}
	sd_event_source_set_enabled(t->more, t->run.first != NO_SLOT ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	(void)source, (void)fd, (void)revents;
	run(userdata);
	return 0;
}

static int on_more(sd_event_source *source, void *userdata)
{
	(void)source;
	run(userdata);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct flows *t = userdata;
	int64_t now = now_monotonic();

	(void)usec;
	for (uint32_t slot = t->lists[LIST_CONNECTING], next; slot != NO_SLOT; slot = next) {
		next = t->slots[slot].next;
		if (t->slots[slot].deadline <= now)
			connect_failed(t, slot, -ETIMEDOUT);
	}
	for (uint32_t slot = t->lists[LIST_RESETTING], next; slot != NO_SLOT; slot = next) {
		next = t->slots[slot].next;
		if (t->slots[slot].deadline <= now)
			finish(t, slot, true);
		else
			service_resetting(t, slot);
	}
	after_batch(t);
	if (t->run.first != NO_SLOT)
		sd_event_source_set_enabled(t->more, SD_EVENT_ON);
	if (t->lists[LIST_RESETTING] != NO_SLOT || t->lists[LIST_CONNECTING] != NO_SLOT) {
		sd_event_source_set_time_relative(source, (t->lists[LIST_RESETTING] != NO_SLOT ? RESET_TICK_MS :
							   CONNECT_TICK_MS) * UINT64_C(1000));
		sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	return 0;
}

/* ---------------------------------------------------------------- a new flow */
static struct device_use *use_of(struct flows *t, const char *name)
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

/* Whether `a` is the near end of one of our connections to a cloud: then a device is ourselves. */
static bool is_our_own(const struct flows *t, const struct flow_address *a)
{
	if (t->near_ports[a->port] == 0)
		return false;
	for (uint32_t slot = 0; slot < t->unused; slot++) {
		struct flow_address near;

		if (t->slots[slot].state == FLOW_FREE || t->slots[slot].near_port != a->port)
			continue;
		if (socket_name(side_fd(&t->slots[slot], DIR_CLOUD), &near) && flow_address_equal(&near, a))
			return true;
	}
	return false;
}

bool flows_full(const struct flows *t)
{
	/* full is left only when a sixteenth is free, so that listeners are not opened and closed for every flow */
	return t->now + (t->was_full ? t->options.limit / 16 : 0) >= t->options.limit;
}

int flows_add(struct flows *t, const struct flow_request *q)
{
	struct device_use *use = use_of(t, q->name);
	struct flow_entry *entry;
	struct flow *f;
	uint32_t slot;
	int e;

	if (t->now >= t->options.limit)
		e = -ENFILE;
	else if (!use || use->flows >= q->device_limit)
		e = -EUSERS;
	else if (is_our_own(t, &q->device))
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
		.use = (uint16_t)(use - t->use), .keep_source = q->keep_source,
		.generation = f->generation == UINT32_MAX ? 1 : f->generation + 1,
	};
	memset(entry, 0, sizeof(*entry));
	entry->device = q->device;
	strncpy(entry->name, q->name, sizeof(entry->name) - 1);
	entry->opened = now_realtime();
	atomic_store(&entry->id, (uint64_t)f->generation << 32 | slot);
	set_side_fd(f, DIR_DEVICE, q->fd);
	set_side_fd(f, DIR_CLOUD, -1);
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
	set_state(t, slot, FLOW_CONNECTING);
	tap_flow_opened(&t->tap, entry);
	if (f->candidates == 0) {
		set_end(f, FLOW_END_NO_ADDRESS, EDESTADDRREQ);
		finish(t, slot, true);
	} else {
		socket_tune(q->fd, &t->options.patience);
		e = watch(t, slot, DIR_DEVICE);
		if (e == 0)
			e = connect_candidate(t, slot);
		if (e < 0)
			connect_failed(t, slot, e);
	}
	ring_ring(t->tap.ring);
	return 0;
refuse:
	t->refused++;
	socket_reset(q->fd);
	return e;
}

/* ---------------------------------------------------------------- the table */
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

static int make_table(struct flows *t)
{
	void *p;

	t->table_size = t->limit_made * sizeof(struct flow_entry);
	t->table_fd = memfd_create("suntap-flows", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (t->table_fd < 0)
		return -errno;
	if (ftruncate(t->table_fd, (off_t)t->table_size) < 0 ||
	    fcntl(t->table_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	p = mmap(NULL, t->table_size, PROT_READ | PROT_WRITE, MAP_SHARED, t->table_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	t->entries = p;
	p = mmap(NULL, t->limit_made * sizeof(struct flow), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	t->slots = p;
	t->near_ports = calloc(UINT16_MAX + 1, sizeof(*t->near_ports));
	return t->near_ports ? 0 : -ENOMEM;
}

int flows_new(struct flows **ret, sd_event *event, struct ring *ring, const struct flows_options *options)
{
	struct flows *t = calloc(1, sizeof(*t));
	int e;

	if (!t)
		return -ENOMEM;
	t->event = sd_event_ref(event);
	t->options = *options;
	t->limit_made = options->limit;
	t->table_fd = t->epoll = -1;
	t->free = t->run.first = t->run.last = t->starving.first = t->starving.last = NO_SLOT;
	t->lists[LIST_CONNECTING] = t->lists[LIST_RESETTING] = NO_SLOT;
	pipes_open(&t->pipes, PIPES_MAX);
	e = tap_open(&t->tap, ring);
	if (e == 0)
		e = make_table(t);
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
	*ret = t;
	return 0;
}

struct flows *flows_free(struct flows *t)
{
	if (!t)
		return NULL;
	for (uint32_t slot = 0; slot < t->unused; slot++) {
		int error;

		if (t->slots[slot].state == FLOW_FREE)
			continue;
		for (enum dir d = 0; d < DIR_COUNT; d++)
			if (t->slots[slot].dir[d].to >= 0)
				relay_flush(&t->slots[slot].dir[d], &t->pipes, &t->entries[slot], d, &error);
		set_end(&t->slots[slot], FLOW_END_STOPPED, 0);
		finish(t, slot, false);
	}
	if (t->entries)
		ring_ring(t->tap.ring);
	t->io = sd_event_source_disable_unref(t->io);
	t->more = sd_event_source_disable_unref(t->more);
	t->timer = sd_event_source_disable_unref(t->timer);
	tap_close(&t->tap);
	pipes_close(&t->pipes);
	if (t->entries)
		munmap(t->entries, t->table_size);
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

	if (slot >= t->unused || t->entries[slot].id != id || t->slots[slot].state == FLOW_FREE)
		return false;
	t->slots[slot].untapped = true;
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
	for (uint32_t slot = 0; slot < t->unused; slot++)
		for (enum dir d = 0; d < DIR_COUNT; d++)
			if (t->slots[slot].state != FLOW_FREE)
				tap_tell_gap(&t->tap, t->entries[slot].id, d, t->entries[slot].copied[d],
					     &t->slots[slot].dir[d].lost);
	ring_ring(t->tap.ring);
}

void flows_get_stats(const struct flows *t, struct flows_stats *ret)
{
	*ret = (struct flows_stats){
		.now = t->now, .limit = t->options.limit, .opened = t->opened, .refused = t->refused,
		.bytes = { t->bytes[0], t->bytes[1] }, .lost_bytes = t->tap.lost_bytes,
	};
}
