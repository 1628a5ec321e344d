/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util.c - the few helpers that every part uses */
#include "shared/util.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

const char *dir_name(enum dir dir)
{
	return dir == DIR_DEVICE ? "device" : "cloud";
}

int close_fd(int fd)
{
	if (fd >= 0) {
		int e = errno;

		close(fd);
		errno = e;
	}
	return -1;
}

void closep(int *fd)
{
	*fd = close_fd(*fd);
}

void freep(void *p)
{
	free(*(void **)p);
}

void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static int64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

int64_t now_realtime(void)
{
	return now(CLOCK_REALTIME);
}

int64_t now_monotonic(void)
{
	return now(CLOCK_MONOTONIC);
}
