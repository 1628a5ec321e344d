/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pipes.h - the pool of pipes that bytes pass through
 *
 * Open files and the pages of pipes are limited (RLIMIT_NOFILE, fs.pipe-user-pages-soft), so a pipe belongs to a
 * direction only while bytes are in it, and comes back empty.
 */
#ifndef SUNTAP_PIPES_H
#define SUNTAP_PIPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PIPES_MAX = 128,
	PIPES_BIG = 16,			/* the first ones, which are used first: one is enough for a device's few bytes, and
					   a flow that moves many pays half of the system calls with them */
	PIPES_CAPACITY_BIG = 1024 * 1024,	/* asked for; the kernel may grant less */
	PIPES_CAPACITY = 64 * 1024,
};

struct pipe {
	int read, write;
	size_t capacity;	/* bytes */
	uint64_t stored;	/* ticket: not lent before the store has it */
	struct pipe *next;	/* in the list of free ones */
};

struct pipes {
	struct pipe all[PIPES_MAX];
	struct pipe *free;
	size_t lent, limit;
	bool no_files;		/* one could not be made: none is tried until somebody clears this */
	uint64_t newest;	/* ticket of the last one made */
};

/* Takes the pipes of the store, makes none yet; limit <= PIPES_MAX. */
void pipes_open(struct pipes *p, size_t limit);
void pipes_close(struct pipes *p);

/* NULL: all are lent, no descriptors are left, or the store is behind. */
struct pipe *pipes_borrow(struct pipes *p);
/* Whether there is one to borrow, as far as is known. */
bool pipes_left(const struct pipes *p);
/* empty: nothing is in it; otherwise what is in it is thrown away. */
void pipes_return(struct pipes *p, struct pipe *pipe, bool empty);
/* Less than a quarter is left: take no more from a socket than the other side has room for. */
bool pipes_scarce(const struct pipes *p);

/* What a flow table calls it: from 1. */
uint16_t pipes_number(const struct pipes *p, const struct pipe *pipe);
/*
 * Lends the pipe of this number if it holds bytes (*ret_bytes): 1; 0: it is empty; -ENOENT: it was not kept, and what was in
 * it is lost. Afterwards pipes_drop_unclaimed() empties what nobody claimed.
 */
int pipes_claim(struct pipes *p, uint16_t number, struct pipe **ret, uint32_t *ret_bytes);
void pipes_drop_unclaimed(struct pipes *p);

/* One pipe outside the pool: 0 or -errno. */
int pipe_make(struct pipe *p, size_t capacity);

#endif
