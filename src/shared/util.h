/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util.h - the few helpers that every part uses */
#ifndef SUNTAP_UTIL_H
#define SUNTAP_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CLEANUP(f) __attribute__((cleanup(f)))

/*
 * A sanitizer or Valgrind looks on (make asan, make tsan, make valgrind): each makes system calls, takes memory and attaches
 * to us in ways that our own code never may, so the locks are looser then.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(SUNTAP_VALGRIND)
#define INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define INSTRUMENTED 1
#endif
#endif
#ifndef INSTRUMENTED
#define INSTRUMENTED 0
#endif

#define NSEC_PER_SEC INT64_C(1000000000)
#define NSEC_PER_MSEC INT64_C(1000000)

/* Which way bytes go: named after who sent them. Also the index of a flow's two directions. */
enum dir {
	DIR_DEVICE,		/* sent by the device, towards the cloud */
	DIR_CLOUD,		/* sent by the cloud, towards the device */
	DIR_COUNT,
};

const char *dir_name(enum dir dir);	/* "device" or "cloud" */

static inline enum dir dir_other(enum dir dir)
{
	return dir == DIR_DEVICE ? DIR_CLOUD : DIR_DEVICE;
}

/* Helpers for CLEANUP(); each takes a pointer to the variable. */
void closep(int *fd);
void freep(void *p);
void fclosep(FILE **f);

/* Closes fd if it is >= 0, keeps errno, returns -1: fd = close_fd(fd). */
int close_fd(int fd);

int64_t now_realtime(void);		/* ns since 1970, UTC */
int64_t now_monotonic(void);		/* ns */

#endif
