/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state_file.c - the file in which decoders keep what they know of devices; see state_file.h */
#include "suntapd/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/control.h"
#include "shared/log.h"
#include "shared/util.h"

/* The decoder maps it: where a block is missing on a full disk, a write to it would be its death. */
static int whole(int fd)
{
	struct stat st;
	int e;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADF;
	if (st.st_size > CONTROL_STATE_SIZE && ftruncate(fd, CONTROL_STATE_SIZE) < 0)
		return -errno;
	e = posix_fallocate(fd, 0, CONTROL_STATE_SIZE);
	return -e;
}

static int on_disk(const char *folders)
{
	int CLEANUP(closep) fd = -1;
	char path[PATH_MAX];
	int e, n;

	/* A list; the first is ours. */
	n = snprintf(path, sizeof(path), "%.*s/decoder.state", (int)strcspn(folders, ":"), folders);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		return -errno;
	e = whole(fd);
	if (e < 0)
		return e;
	e = fd;
	fd = -1;
	return e;
}

static int in_memory(void)
{
	int fd = memfd_create("suntap-decoder-state", MFD_CLOEXEC);
	int e;

	if (fd < 0)
		return -errno;
	e = ftruncate(fd, CONTROL_STATE_SIZE) < 0 ? -errno : 0;
	if (e < 0)
		close(fd);
	return e < 0 ? e : fd;
}

int state_file_open(void)
{
	const char *folders = getenv("STATE_DIRECTORY");
	int fd;

	if (!folders || !*folders)
		return in_memory();
	fd = on_disk(folders);
	if (fd >= 0)
		return fd;
	log_warning("can not keep what is known of the devices in %s: %s; it will not outlive suntapd", folders,
		    strerror(-fd));
	return in_memory();
}
