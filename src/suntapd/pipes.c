/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pipes.c - the pool of pipes that bytes pass through; see pipes.h */
#include "suntapd/pipes.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shared/util.h"
#include "suntapd/notify.h"
#include "suntapd/store.h"

#define PIPE_NAME "pipe-%d-%c"

int pipe_make(struct pipe *p, size_t capacity)
{
	int fds[2], granted;

	*p = (struct pipe){ .read = -1, .write = -1 };
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	p->read = fds[0];
	p->write = fds[1];
	/* Over fs.pipe-user-pages-soft this fails, and the pipe stays as small as the kernel made it. */
	fcntl(p->write, F_SETPIPE_SZ, (int)capacity);
	granted = fcntl(p->write, F_GETPIPE_SZ);
	p->capacity = granted > 0 ? (size_t)granted : 4096;
	return 0;
}

uint16_t pipes_number(const struct pipes *p, const struct pipe *pipe)
{
	return (uint16_t)(pipe - p->all + 1);
}

static void unmake(struct pipes *p, struct pipe *pipe)
{
	if (pipe->read >= 0) {
		store_remove(PIPE_NAME, pipes_number(p, pipe), 'r');
		store_remove(PIPE_NAME, pipes_number(p, pipe), 'w');
	}
	pipe->read = close_fd(pipe->read);
	pipe->write = close_fd(pipe->write);
}

void pipes_open(struct pipes *p, size_t limit)
{
	*p = (struct pipes){ .limit = limit };
	assert(limit <= PIPES_MAX);
	for (size_t i = 0; i < PIPES_MAX; i++) {
		struct pipe *pipe = &p->all[i];
		int granted;

		pipe->read = store_take(PIPE_NAME, (int)i + 1, 'r');
		pipe->write = store_take(PIPE_NAME, (int)i + 1, 'w');
		granted = pipe->write < 0 ? -1 : fcntl(pipe->write, F_GETPIPE_SZ);
		if (pipe->read < 0 || granted <= 0 || i >= limit)
			unmake(p, pipe);
		else
			pipe->capacity = (size_t)granted;
	}
	for (size_t i = limit; i > 0; i--) {
		p->all[i - 1].next = p->free;
		p->free = &p->all[i - 1];
	}
}

static int make(struct pipes *p, struct pipe *pipe)
{
	struct pipe *next = pipe->next;
	int e = pipe_make(pipe, pipe - p->all < PIPES_BIG ? PIPES_CAPACITY_BIG : PIPES_CAPACITY);

	pipe->next = next;
	if (e < 0)
		return e;
	store_put(pipe->read, PIPE_NAME, pipes_number(p, pipe), 'r');
	pipe->stored = p->newest = store_put(pipe->write, PIPE_NAME, pipes_number(p, pipe), 'w');
	return 0;
}

void pipes_close(struct pipes *p)
{
	for (size_t i = 0; i < p->limit; i++)
		unmake(p, &p->all[i]);
	*p = (struct pipes){ 0 };
}

/* One that is not made yet may be: while the store is behind, and no descriptors are left, none is. */
static bool may_make(const struct pipes *p)
{
	return !p->no_files && notify_is_sent(p->newest);
}

struct pipe *pipes_borrow(struct pipes *p)
{
	struct pipe **at, *pipe;

	for (at = &p->free; (pipe = *at); at = &pipe->next) {
		if (pipe->read < 0 && may_make(p))
			p->no_files = make(p, pipe) < 0;
		if (pipe->read >= 0 && notify_is_sent(pipe->stored))
			break;
	}
	if (!pipe)
		return NULL;
	*at = pipe->next;
	pipe->next = NULL;
	p->lent++;
	return pipe;
}

/*
 * Not made anew: should systemd not read that before a kill, the next suntapd would get the old one, with these bytes in it, under
 * the number that another flow uses by then.
 */
static void empty_out(const struct pipe *pipe)
{
	char nowhere[16 * 1024];

	while (read(pipe->read, nowhere, sizeof(nowhere)) > 0)
		;
}

void pipes_return(struct pipes *p, struct pipe *pipe, bool empty)
{
	assert(p->lent > 0);
	if (!empty)
		empty_out(pipe);
	pipe->next = p->free;	/* the last one used is the next one used: its memory is warm */
	p->free = pipe;
	p->lent--;
}

static uint32_t held(const struct pipe *pipe)
{
	int bytes = 0;

	return pipe->read >= 0 && ioctl(pipe->read, FIONREAD, &bytes) == 0 && bytes > 0 ? (uint32_t)bytes : 0;
}

int pipes_claim(struct pipes *p, uint16_t number, struct pipe **ret, uint32_t *ret_bytes)
{
	for (struct pipe **at = &p->free; *at; at = &(*at)->next) {
		struct pipe *pipe = *at;
		uint32_t bytes;

		if (pipes_number(p, pipe) != number || pipe->read < 0)
			continue;
		bytes = held(pipe);
		if (bytes == 0)
			return 0;
		*at = pipe->next;
		pipe->next = NULL;
		p->lent++;
		*ret = pipe;
		*ret_bytes = bytes;
		return 1;
	}
	return -ENOENT;
}

void pipes_drop_unclaimed(struct pipes *p)
{
	for (const struct pipe *pipe = p->free; pipe; pipe = pipe->next)
		if (held(pipe) > 0)
			empty_out(pipe);
}

bool pipes_left(const struct pipes *p)
{
	const struct pipe *pipe = p->free;

	while (pipe && !(pipe->read >= 0 ? notify_is_sent(pipe->stored) : may_make(p)))
		pipe = pipe->next;
	return pipe;
}

bool pipes_scarce(const struct pipes *p)
{
	return p->lent > p->limit - p->limit / 4;
}
