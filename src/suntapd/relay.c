/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * relay.c - move the bytes of one flow, in one direction per call
 *
 * Theory of operation
 *	Bytes are taken from a socket only when the pipe is empty and the other socket, as far as is
 *	known, takes bytes: what can not go on stays in the sender's window, where back-pressure belongs.
 *	The tap is served after the bytes have gone on; it can lose some, it can not make the relay wait or fail.
 *
 * Invariants (held by test_relay.c)
 *	- pending is what the pipe holds; a pipe is held if and only if pending > 0 (between calls).
 *	- splice() into an empty pipe: EAGAIN means "nothing to read", never "pipe full".
 *	- FIN is passed on once, after the last byte.
 */
#include "suntapd/relay.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A fair share of one turn: other flows wait meanwhile (about half a millisecond of copying). */
enum { BUDGET = 2 * 1024 * 1024 };

/*
 * What `to` surely takes, so that a scarce pipe comes back empty. 0: nothing now; asking has made the kernel promise an
 * EPOLLOUT. Half of the buffer's room, because each segment needs some for itself.
 */
static size_t sink_room(int to)
{
	struct pollfd p = { .fd = to, .events = POLLOUT };
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t size = sizeof(info);

	if (poll(&p, 1, 0) == 0)
		return 0;
	if (getsockopt(to, SOL_SOCKET, SO_MEMINFO, info, &size) < 0 ||
	    info[SK_MEMINFO_SNDBUF] <= info[SK_MEMINFO_WMEM_QUEUED] + 1)
		return 1;
	return (info[SK_MEMINFO_SNDBUF] - info[SK_MEMINFO_WMEM_QUEUED]) / 2;
}

/* Why a socket failed after its FIN: lost, else reset (which is EPIPE there). */
static int error_of(int fd)
{
	socklen_t size = sizeof(int);
	int e = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) == 0 && e == ETIMEDOUT ? e : ECONNRESET;
}

/*
 * entry->pipe says which pipe may hold bytes of this direction from before the first comes in until after the last has
 * gone: a restarted suntapd finds them by it.
 */
static bool borrow(struct relay_dir *d, struct pipes *pipes, struct flow_entry *entry, enum dir dir)
{
	d->pipe = pipes_borrow(pipes);
	if (!d->pipe)
		return false;
	entry->pipe[dir] = pipes_number(pipes, d->pipe);
	return true;
}

void relay_drop(struct relay_dir *d, struct pipes *pipes, struct flow_entry *entry, enum dir dir)
{
	entry->pipe[dir] = 0;
	if (d->pipe)
		pipes_return(pipes, d->pipe, d->pending == 0);
	d->pipe = NULL;
	d->pending = 0;
}

/* pipe → to, once. 0, -EAGAIN or another -errno. */
static int send_on(struct relay_dir *d, struct flow_entry *entry, enum dir dir)
{
	ssize_t n;

	do
		n = splice(d->pipe->read, NULL, d->to, NULL, d->pending, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -EPIPE;	/* pending says that the pipe is not empty, so the socket takes no more */
	assert((size_t)n <= d->pending);
	d->pending -= (uint32_t)n;
	entry->forwarded[dir] += (uint64_t)n;
	return 0;
}

enum relay_stop relay_flush(struct relay_dir *d, struct pipes *pipes, struct flow_entry *entry, enum dir dir,
			    int *ret_error)
{
	while (d->pending > 0) {
		int e;

		if (!d->writable)
			return RELAY_WANT_OUT;
		e = send_on(d, entry, dir);
		if (e == -EAGAIN) {
			d->writable = false;
		} else if (e < 0) {
			relay_drop(d, pipes, entry, dir);
			*ret_error = -e;
			return RELAY_TO_FAILED;
		}
	}
	if (d->pipe)
		relay_drop(d, pipes, entry, dir);
	return RELAY_DONE;
}

/*
 * splice() does not pass urgent data (tcp_read_sock() stops there, for ever, and says EAGAIN or even end of file). An
 * ordinary read does; the byte goes on as an ordinary one, in its place, which is what RFC 6093 asks for.
 */
static bool pass_urgent(struct relay_dir *d)
{
	int at_mark = 0;
	char byte;

	if (ioctl(d->from, SIOCATMARK, &at_mark) < 0 || !at_mark || recv(d->from, &byte, 1, MSG_DONTWAIT) != 1)
		return false;
	d->urgent = false;
	return write(d->pipe->write, &byte, 1) == 1;	/* the pipe is empty */
}

/* from → pipe, once. > 0: bytes, 0: end of file, or -errno. */
static ssize_t take(struct relay_dir *d, size_t limit)
{
	ssize_t n = splice(d->from, NULL, d->pipe->write, NULL, limit, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n < 0)
		n = -errno;
	if ((n == 0 || (n == -EAGAIN && d->urgent)) && pass_urgent(d))
		n = 1;
	return n;
}

enum relay_stop relay_pump(struct relay_dir *d, struct pipes *pipes, struct tap *tap, struct flow_entry *entry,
			   enum dir dir, int *ret_error)
{
	size_t budget = BUDGET;

	for (;;) {
		size_t limit, shared;
		enum relay_stop stop;
		ssize_t n;

		stop = relay_flush(d, pipes, entry, dir, ret_error);
		if (stop != RELAY_DONE)
			return stop;
		if (d->done)
			return RELAY_DONE;
		if (d->eof && d->from_failed) {
			*ret_error = error_of(d->from);
			return RELAY_FROM_FAILED;
		}
		if (d->eof) {
			/* ENOTCONN: the other side was reset meanwhile, which its own direction finds out */
			shutdown(d->to, SHUT_WR);
			d->done = true;
			return RELAY_DONE;
		}
		if (!d->readable)
			return RELAY_WANT_IN;
		if (!d->writable)
			return RELAY_WANT_OUT;
		if (budget == 0)
			return RELAY_BUDGET;

		if (!borrow(d, pipes, entry, dir))
			return RELAY_WANT_PIPE;
		limit = d->pipe->capacity;
		if (pipes_scarce(pipes)) {
			size_t room = sink_room(d->to);

			if (room == 0) {
				relay_drop(d, pipes, entry, dir);
				d->writable = false;
				return RELAY_WANT_OUT;
			}
			if (room < limit)
				limit = room;
		}
		n = take(d, limit);
		if (n <= 0) {
			relay_drop(d, pipes, entry, dir);
			if (n == 0 && d->from_failed) {
				*ret_error = ECONNRESET;
				return RELAY_FROM_FAILED;
			} else if (n == 0) {
				d->eof = true;
			} else if (n == -EAGAIN) {
				d->readable = false;
			} else if (n != -EINTR) {
				*ret_error = (int)-n;
				return RELAY_FROM_FAILED;
			}
			continue;
		}
		d->pending = (uint32_t)n;
		budget -= (size_t)n < budget ? (size_t)n : budget;

		shared = tap ? tap_share(tap, d->pipe, (size_t)n) : 0;
		stop = relay_flush(d, pipes, entry, dir, ret_error);
		if (tap) {
			uint64_t offset = entry->copied[dir];

			entry->copied[dir] += (uint64_t)n;
			tap_take(tap, entry->id, dir, offset, shared, (size_t)n, &d->lost);
		}
		if (stop != RELAY_DONE)
			return stop;
	}
}
