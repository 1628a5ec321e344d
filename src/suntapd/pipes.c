/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pipes.c - the pool of pipes that bytes pass through; see pipes.h */
#include "suntapd/pipes.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "shared/util.h"

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

void pipes_open(struct pipes *p, size_t limit)
{
	*p = (struct pipes){ .limit = limit };
	assert(limit <= PIPES_MAX);
	for (size_t i = 0; i < PIPES_MAX; i++)
		p->all[i] = (struct pipe){ .read = -1, .write = -1 };
	for (size_t i = limit; i > 0; i--) {
		p->all[i - 1].next = p->free;
		p->free = &p->all[i - 1];
	}
}

static void pipe_unmake(struct pipe *pipe)
{
	pipe->read = close_fd(pipe->read);
	pipe->write = close_fd(pipe->write);
}

void pipes_close(struct pipes *p)
{
	for (size_t i = 0; i < p->limit; i++)
		pipe_unmake(&p->all[i]);
	*p = (struct pipes){ 0 };
}

struct pipe *pipes_borrow(struct pipes *p)
{
	struct pipe *pipe = p->free;

	if (!pipe)
		return NULL;
	if (pipe->read < 0) {
		struct pipe *next = pipe->next;

		if (pipe_make(pipe, pipe - p->all < PIPES_BIG ? PIPES_CAPACITY_BIG : PIPES_CAPACITY) < 0) {
			pipe->next = next;
			return NULL;
		}
		pipe->next = next;
		p->made++;
	}
	p->free = pipe->next;
	pipe->next = NULL;
	p->lent++;
	return pipe;
}

void pipes_return(struct pipes *p, struct pipe *pipe, bool empty)
{
	assert(p->lent > 0);
	if (!empty) {
		pipe_unmake(pipe);
		p->made--;
	}
	pipe->next = p->free;	/* the last one used is the next one used: its memory is warm */
	p->free = pipe;
	p->lent--;
}

bool pipes_scarce(const struct pipes *p)
{
	return p->lent > p->limit - p->limit / 4;
}
