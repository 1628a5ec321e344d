/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * notify.c - what we tell systemd, without ever waiting for it; see notify.h
 *
 * Invariants (held by test_notify.c)
 *	- messages arrive in the order in which they were sent, but for those taken back, and states, which wait for other states alone;
 *	- the list is empty unless systemd's queue was full, and its source is on if and only if the list is not empty.
 */
#include "suntapd/notify.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "shared/util.h"

struct message {
	TAILQ_ENTRY(message) others;
	uint64_t ticket;
	int64_t since;			/* monotonic ns */
	int fd;
	bool state;
	char text[];
};

static struct {
	int socket;			/* -1: no systemd */
	struct sockaddr_un address;
	socklen_t address_length;
	TAILQ_HEAD(messages, message) waiting;
	uint64_t last, sent;		/* tickets: given out; up to here all are sent or taken back */
	sd_event_source *writable, *watchdog;
	uint64_t watchdog_usec;
	void (*caught_up)(void *ctx);
	void *caught_up_ctx;
} notify = { .socket = -1, .waiting = TAILQ_HEAD_INITIALIZER(notify.waiting) };

int notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length;

	if (!path || (path[0] != '/' && path[0] != '@'))
		return 0;
	length = strlen(path);
	if (length >= sizeof(notify.address.sun_path))
		return -E2BIG;
	notify.address.sun_family = AF_UNIX;
	memcpy(notify.address.sun_path, path, length);
	if (path[0] == '@')
		notify.address.sun_path[0] = '\0';
	notify.address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	notify.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (notify.socket < 0)
		return -errno;
	/* a connected one can be polled for room in systemd's queue */
	if (connect(notify.socket, (const struct sockaddr *)&notify.address, notify.address_length) < 0) {
		int e = -errno;

		notify.socket = close_fd(notify.socket);
		return e;
	}
	return 0;
}

bool notify_is_open(void)
{
	return notify.socket >= 0;
}

static int send_now(int fd, const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		m.msg_control = control.space;
		m.msg_controllen = sizeof(control.space);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	}
	if (sendmsg(notify.socket, &m, MSG_NOSIGNAL) >= 0)
		return 0;
	/* systemd has made its socket anew */
	if (errno == ECONNREFUSED &&
	    connect(notify.socket, (const struct sockaddr *)&notify.address, notify.address_length) == 0 &&
	    sendmsg(notify.socket, &m, MSG_NOSIGNAL) >= 0)
		return 0;
	return -errno;
}

static void forget(struct message *m)
{
	TAILQ_REMOVE(&notify.waiting, m, others);
	free(m);
	m = TAILQ_FIRST(&notify.waiting);
	notify.sent = m ? m->ticket - 1 : notify.last;
	if (m)
		return;
	if (notify.writable)
		sd_event_source_set_enabled(notify.writable, SD_EVENT_OFF);
	if (notify.caught_up)
		notify.caught_up(notify.caught_up_ctx);
}

static void send_waiting(void)
{
	struct message *m;

	/* one that can not be sent at all is dropped: a flow that is not in the store is only less well off */
	while ((m = TAILQ_FIRST(&notify.waiting)) && send_now(m->fd, m->text) != -EAGAIN)
		forget(m);
}

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	(void)source, (void)fd, (void)revents, (void)userdata;
	send_waiting();
	return 0;
}

static struct message *new_message(int fd, const char *text, uint64_t ticket, int64_t since)
{
	size_t size = strlen(text) + 1;
	struct message *m = malloc(sizeof(*m) + size);

	if (!m)
		return NULL;
	m->ticket = ticket;
	m->since = since;
	m->fd = fd;
	m->state = false;
	memcpy(m->text, text, size);
	return m;
}

uint64_t notify_send(int fd, const char *text)
{
	struct message *m;

	if (notify.socket < 0)
		return 0;
	notify.last++;
	if (TAILQ_EMPTY(&notify.waiting)) {
		notify.sent = notify.last;
		if (send_now(fd, text) != -EAGAIN)
			return notify.last;
	}
	m = new_message(fd, text, notify.last, now_monotonic());
	if (!m)
		return notify.last;
	if (TAILQ_EMPTY(&notify.waiting)) {
		notify.sent = notify.last - 1;
		if (notify.writable)
			sd_event_source_set_enabled(notify.writable, SD_EVENT_ON);
	}
	TAILQ_INSERT_TAIL(&notify.waiting, m, others);
	return notify.last;
}

static bool cancel(const char *text, size_t length)
{
	struct message *m;

	TAILQ_FOREACH_REVERSE(m, &notify.waiting, messages, others) {
		if (strncmp(m->text, text, length) == 0) {
			/* cppcheck-suppress uninitvar ; it does not know TAILQ_FOREACH_REVERSE */
			forget(m);
			return true;
		}
	}
	return false;
}

bool notify_cancel(const char *text)
{
	return cancel(text, strlen(text) + 1);
}

void notify_state(const char *text)
{
	struct message *before, *m;

	cancel(text, strcspn(text, "=") + 1);
	before = TAILQ_FIRST(&notify.waiting);
	if (!before) {
		notify_send(-1, text);
		if ((m = TAILQ_FIRST(&notify.waiting)))
			m->state = true;
		return;
	}
	/*
	 * Not behind thousands of descriptors, for each of which systemd looks through all that it has: its watchdog would end us. The
	 * ticket is that of the first one that waits, so that for nobody else anything changes.
	 */
	m = new_message(-1, text, before->ticket, before->since);
	if (!m)
		return;
	m->state = true;
	while (before && before->state)
		before = TAILQ_NEXT(before, others);
	if (before)
		TAILQ_INSERT_BEFORE(before, m, others);
	else
		TAILQ_INSERT_TAIL(&notify.waiting, m, others);
}

bool notify_is_behind(void)
{
	const struct message *first = TAILQ_FIRST(&notify.waiting);

	return first && now_monotonic() - first->since <= NOTIFY_PATIENCE_MS * NSEC_PER_MSEC;
}

bool notify_is_sent(uint64_t ticket)
{
	return ticket <= notify.sent || !notify_is_behind();
}

void notify_on_caught_up(void (*caught_up)(void *ctx), void *ctx)
{
	notify.caught_up = caught_up;
	notify.caught_up_ctx = ctx;
}

static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)usec, (void)userdata;
	notify_state("WATCHDOG=1");
	sd_event_source_set_time_relative(source, notify.watchdog_usec / 2);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int notify_attach(sd_event *event)
{
	int e;

	if (notify.socket < 0)
		return 0;
	e = sd_event_add_io(event, &notify.writable, notify.socket, EPOLLOUT, on_writable, NULL);
	if (e >= 0)
		e = sd_event_source_set_enabled(notify.writable, TAILQ_EMPTY(&notify.waiting) ? SD_EVENT_OFF : SD_EVENT_ON);
	if (e >= 0 && sd_watchdog_enabled(false, &notify.watchdog_usec) > 0)
		e = sd_event_add_time_relative(event, &notify.watchdog, CLOCK_MONOTONIC, 0, 1000, on_watchdog, NULL);
	return e;
}

void notify_detach(void)
{
	notify.writable = sd_event_source_disable_unref(notify.writable);
	notify.watchdog = sd_event_source_disable_unref(notify.watchdog);
}

void notify_flush(int timeout_ms)
{
	int64_t end = now_monotonic() + timeout_ms * NSEC_PER_MSEC, left;

	for (send_waiting(); !TAILQ_EMPTY(&notify.waiting) && (left = end - now_monotonic()) > 0; send_waiting()) {
		struct pollfd p = { .fd = notify.socket, .events = POLLOUT };

		poll(&p, 1, (int)(left / NSEC_PER_MSEC) + 1);
	}
}

void notify_close(void)
{
	notify_detach();
	while (!TAILQ_EMPTY(&notify.waiting))
		forget(TAILQ_FIRST(&notify.waiting));
	notify.socket = close_fd(notify.socket);
}
