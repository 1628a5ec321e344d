/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flow_life.c - the states of a flow, and what is done in each; the picture is in flow.h */
#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "suntapd/flow_private.h"
#include "suntapd/notify.h"
#include "suntapd/store.h"

/* ---------------------------------------------------------------- sockets */
int flow_side_fd(const struct flow *f, enum dir side)
{
	return f->dir[side].from;
}

void flow_set_side_fd(struct flow *f, enum dir side, int fd)
{
	f->dir[side].from = fd;
	f->dir[dir_other(side)].to = fd;
}

void flow_socket_name(uint32_t slot, uint32_t generation, enum dir side, char ret[static STORE_FLOW_NAME_SIZE])
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
	uint32_t number = generation << 15 | (slot << 1 & 0x7fff) | side;

	*ret++ = 'f';
	for (int i = 0; i < STORE_FLOW_NAME_SIZE - 2; i++, number >>= 6)
		*ret++ = digits[number & 63];
	*ret = '\0';
}

static void close_side(struct flows *t, uint32_t slot, enum dir side, bool reset)
{
	struct flow *f = &t->slots[slot];
	char name[STORE_FLOW_NAME_SIZE];

	if (side == DIR_CLOUD && f->near_port) {
		t->near_ports[f->near_port]--;
		f->near_port = 0;
	}
	if (flow_side_fd(f, side) < 0)
		return;
	flow_socket_name(slot, f->generation, side, name);
	store_remove("%s", name);
	socket_close(flow_side_fd(f, side), reset);
	flow_set_side_fd(f, side, -1);
}

int flow_watch(struct flows *t, uint32_t slot, enum dir side)
{
	uint64_t id = t->entries[slot].id;
	struct epoll_event e = {
		.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.u64 = (id & ~(uint64_t)UINT32_MAX) | (uint64_t)slot << 1 | side,
	};

	return epoll_ctl(t->epoll, EPOLL_CTL_ADD, flow_side_fd(&t->slots[slot], side), &e) < 0 ? -errno : 0;
}

/* ---------------------------------------------------------------- states */
void flow_set_state(struct flows *t, uint32_t slot, enum flow_state state)
{
	struct flow *f = &t->slots[slot];
	struct flow_entry *entry = &t->entries[slot];

	switch ((enum flow_state)entry->state) {
	case FLOW_CONNECTING:
		flow_list_remove(t, LIST_CONNECTING, slot);
		free(f->cloud);
		f->cloud = NULL;
		break;
	case FLOW_RESETTING:
		flow_list_remove(t, LIST_RESETTING, slot);
		break;
	case FLOW_OPEN:
		if (f->hurried)
			flow_list_remove(t, LIST_RESETTING, slot);
		f->hurried = false;
		break;
	case FLOW_FREE:
		break;
	}
	assert(entry->state != state && (entry->state != FLOW_FREE || state == FLOW_CONNECTING));
	entry->state = (uint8_t)state;
	switch (state) {
	case FLOW_CONNECTING:
		flow_list_add(t, LIST_CONNECTING, slot, now_monotonic() + t->options.connect_timeout * NSEC_PER_SEC);
		break;
	case FLOW_RESETTING:
		flow_list_add(t, LIST_RESETTING, slot, now_monotonic() + RESET_PATIENCE_MS * NSEC_PER_MSEC);
		break;
	case FLOW_FREE:
	case FLOW_OPEN:
		break;
	}
}

void flow_set_end(struct flow *f, enum flow_end end, int error)
{
	if (f->end_known)
		return;
	f->end_known = true;
	f->end = (uint8_t)end;
	f->error = error;
}

void flow_finish(struct flows *t, uint32_t slot, bool reset)
{
	struct flow *f = &t->slots[slot];
	struct flow_entry *entry = &t->entries[slot];
	struct flow_close close = { .end = f->end, .error = f->error };
	uint64_t lost[DIR_COUNT];

	/* the sockets first: one that is killed here is followed by one that would go on behind what is dropped */
	for (enum dir d = 0; d < DIR_COUNT; d++)
		close_side(t, slot, d, reset);
	for (enum dir d = 0; d < DIR_COUNT; d++) {
		relay_drop(&f->dir[d], &t->pipes, entry, d);
		lost[d] = f->dir[d].lost;
		t->bytes[d] += entry->forwarded[d];
	}
	if (f->queued) {
		flow_queue_remove(t, &t->run, slot);
		flow_queue_remove(t, &t->starving, slot);
	}
	flow_set_state(t, slot, FLOW_FREE);
	close.flow = *entry;
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

	close_side(t, slot, gone, true);
	relay_drop(&f->dir[dir_other(gone)], &t->pipes, &t->entries[slot], dir_other(gone));
	f->dir[dir_other(gone)].done = true;
	f->dir[gone].done = true;
	flow_set_state(t, slot, FLOW_RESETTING);
	flow_queue_put(t, &t->run, slot);
}

static void service_resetting(struct flows *t, uint32_t slot)
{
	struct flow *f = &t->slots[slot];
	enum dir gone = flow_side_fd(f, DIR_DEVICE) < 0 ? DIR_DEVICE : DIR_CLOUD;
	int unacknowledged = 0, error;

	switch (relay_flush(&f->dir[gone], &t->pipes, &t->entries[slot], gone, &error)) {
	case RELAY_WANT_OUT:
		return;
	case RELAY_DONE:
		if (ioctl(flow_side_fd(f, dir_other(gone)), SIOCOUTQ, &unacknowledged) == 0 && unacknowledged > 0)
			return;
		break;
	default:
		break;
	}
	flow_finish(t, slot, true);
}

/* How a side that failed with e ended. */
static enum flow_end end_of_side(enum dir side, int e)
{
	bool lost = e == ETIMEDOUT || e == EHOSTUNREACH || e == ENETUNREACH || e == ENETDOWN;

	if (side == DIR_DEVICE)
		return lost ? FLOW_END_DEVICE_LOST : FLOW_END_DEVICE_RESET;
	return lost ? FLOW_END_CLOUD_LOST : FLOW_END_CLOUD_RESET;
}

/* A reset after a FIN is how it ended; of several failures the first one knows the cause. */
static void set_failed(struct flow *f, enum dir side, int error)
{
	if (f->end == FLOW_END_DEVICE_CLOSED || f->end == FLOW_END_CLOUD_CLOSED)
		f->end_known = false;
	flow_set_end(f, end_of_side(side, error), error);
}

static void service_open(struct flows *t, uint32_t slot)
{
	struct flow *f = &t->slots[slot];
	struct flow_entry *entry = &t->entries[slot];
	struct tap *tap = entry->flags & FLOW_UNTAPPED ? NULL : &t->tap;

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
				flow_queue_put(t, &t->starving, slot);
				break;
			case RELAY_BUDGET:
				flow_queue_put(t, &t->run, slot);
				break;
			case RELAY_DONE:
				flow_set_end(f, d == DIR_DEVICE ? FLOW_END_DEVICE_CLOSED : FLOW_END_CLOUD_CLOSED, 0);
				break;
			case RELAY_FROM_FAILED:
				set_failed(f, d, error);
				begin_reset(t, slot, d);
				return;
			case RELAY_TO_FAILED:
				/*
				 * The other side is gone. What it had sent before is read first; it ends with
				 * an error or, as the error may have been taken by our writing, with what looks like
				 * a FIN.
				 */
				f->dir[d].done = true;
				set_failed(f, dir_other(d), error);
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
		flow_finish(t, slot, false);
}

void flow_hurry(struct flows *t, uint32_t slot)
{
	struct flow *f = &t->slots[slot];

	if (f->hurried)
		return;
	f->hurried = true;
	flow_list_add(t, LIST_RESETTING, slot, now_monotonic() + RESET_PATIENCE_MS * NSEC_PER_MSEC);
}

void flow_give_up(struct flows *t, uint32_t slot)
{
	struct flow *f = &t->slots[slot];

	for (enum dir side = 0; side < DIR_COUNT; side++) {
		socklen_t length = sizeof(int);
		int error = 0;

		if (!f->dir[side].from_failed)
			continue;
		getsockopt(flow_side_fd(f, side), SOL_SOCKET, SO_ERROR, &error, &length);
		set_failed(f, side, error ? error : ECONNRESET);
		break;
	}
	flow_finish(t, slot, true);
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

int flow_connect_candidate(struct flows *t, uint32_t slot)
{
	struct flow *f = &t->slots[slot];
	struct flow_entry *entry = &t->entries[slot];
	struct flow_address near;
	char name[STORE_FLOW_NAME_SIZE];
	int fd, e;

	if (f->cloud)
		entry->cloud = f->cloud[f->candidate];
	fd = socket_connect(&entry->cloud, entry->flags & FLOW_KEEPS_SOURCE ? &entry->device : NULL, &t->options.patience);
	if (fd < 0)
		return fd;
	flow_set_side_fd(f, DIR_CLOUD, fd);
	flow_socket_name(slot, f->generation, DIR_CLOUD, name);
	f->stored = store_put(fd, "%s", name);
	if (socket_name(fd, &near) && near.port) {
		f->near_port = near.port;
		t->near_ports[near.port]++;
	}
	e = flow_watch(t, slot, DIR_CLOUD);
	if (e < 0)
		close_side(t, slot, DIR_CLOUD, true);
	return e;
}

void flow_connect_failed(struct flows *t, uint32_t slot, int e)
{
	struct flow *f = &t->slots[slot];
	const char *name = t->entries[slot].name;

	for (;;) {
		flow_set_end(f, end_of_connect(-e), -e);
		close_side(t, slot, DIR_CLOUD, true);
		f->dir[DIR_DEVICE].writable = false;
		if (t->unreachable)
			t->unreachable(t->unreachable_ctx, name);
		if (f->candidate + 1 >= f->candidates)
			break;
		f->candidate++;
		f->end_known = false;
		f->deadline = now_monotonic() + t->options.connect_timeout * NSEC_PER_SEC;
		e = flow_connect_candidate(t, slot);
		if (e == 0)
			return;
	}
	flow_finish(t, slot, true);
}

static void service_connecting(struct flows *t, uint32_t slot)
{
	struct flow *f = &t->slots[slot];
	socklen_t length = sizeof(int);
	int e = 0;

	if (!f->dir[DIR_DEVICE].writable)
		return;
	if (getsockopt(flow_side_fd(f, DIR_CLOUD), SOL_SOCKET, SO_ERROR, &e, &length) < 0)
		e = errno;
	if (e == ECONNRESET || e == EPIPE) {
		/* a RST in answer to our SYN is ECONNREFUSED: this one was connected, and may have said something before */
		f->dir[DIR_CLOUD].from_failed = f->dir[DIR_CLOUD].readable = true;
	} else if (e != 0) {
		flow_connect_failed(t, slot, -e);
		return;
	}
	/* no byte before: a suntapd that dies now is followed by one that knows nothing of it */
	if (!notify_is_sent(f->stored)) {
		flow_timer_at_most(t, STORE_TICK_MS);
		return;
	}
	flow_set_state(t, slot, FLOW_OPEN);
	service_open(t, slot);
}

bool flow_device_gave_up(const struct flow *f)
{
	int unread = 0;

	return ioctl(flow_side_fd(f, DIR_DEVICE), FIONREAD, &unread) < 0 || unread == 0;
}

void flow_service(struct flows *t, uint32_t slot)
{
	switch ((enum flow_state)t->entries[slot].state) {
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
