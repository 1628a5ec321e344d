/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store.c - systemd's file descriptor store: what outlives us; see store.h
 *
 * sd_pid_notify_with_fds() would do, but it waits without end when systemd does not read its socket, and with it the relay
 * would. So the messages, which are a documented protocol (sd_notify(3)), are sent here.
 */
#include "suntapd/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "shared/util.h"
#include "suntapd/sockets.h"

enum {
	PATIENCE_MS = 50,
	SULK_MS = 1000,
	BUS_PATIENCE_US = 500 * 1000,
};

static struct {
	int socket;			/* -1: no systemd */
	struct sockaddr_un address;
	socklen_t address_length;
	int64_t not_before;		/* monotonic: systemd did not listen */
	char **names;			/* of what was kept; [i] is NULL once taken */
	int count;
} store = { .socket = -1 };

int store_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	const struct timeval patience = { .tv_usec = PATIENCE_MS * 1000 };
	size_t length;

	if (!path || (path[0] != '/' && path[0] != '@'))
		return 0;
	length = strlen(path);
	if (length >= sizeof(store.address.sun_path))
		return -E2BIG;
	store.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (store.socket < 0)
		return -errno;
	setsockopt(store.socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	store.address.sun_family = AF_UNIX;
	memcpy(store.address.sun_path, path, length);
	if (path[0] == '@')
		store.address.sun_path[0] = '\0';
	store.address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	store.count = sd_listen_fds_with_names(true, &store.names);
	return store.count;
}

static void format_name(char name[STORE_NAME_MAX], const char *format, va_list args)
{
	vsnprintf(name, STORE_NAME_MAX, format, args);
	for (char *p = name; *p; p++)
		if (*p == ':')
			*p = '_';	/* separates names in LISTEN_FDNAMES */
}

int store_take(const char *format, ...)
{
	char name[STORE_NAME_MAX];
	va_list args;

	va_start(args, format);
	format_name(name, format, args);
	va_end(args);
	for (int i = 0; i < store.count; i++) {
		if (store.names[i] && strcmp(store.names[i], name) == 0) {
			free(store.names[i]);
			store.names[i] = NULL;
			return SD_LISTEN_FDS_START + i;
		}
	}
	return -1;
}

const char *store_untaken(size_t n)
{
	for (int i = 0; i < store.count; i++)
		if (store.names[i] && n-- == 0)
			return store.names[i];
	return NULL;
}

static int tell(const char *message, int fd)
{
	struct iovec iov = { (void *)(uintptr_t)message, strlen(message) };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr m = {
		.msg_name = &store.address, .msg_namelen = store.address_length, .msg_iov = &iov, .msg_iovlen = 1,
	};

	if (store.socket < 0)
		return 0;
	if (store.not_before > now_monotonic())
		return -EAGAIN;
	if (fd >= 0) {
		m.msg_control = control.space;
		m.msg_controllen = sizeof(control.space);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	}
	if (sendmsg(store.socket, &m, MSG_NOSIGNAL) >= 0)
		return 0;
	if (errno == EAGAIN)
		store.not_before = now_monotonic() + SULK_MS * NSEC_PER_MSEC;
	return -errno;
}

int store_put(int fd, const char *format, ...)
{
	char name[STORE_NAME_MAX], message[STORE_NAME_MAX + 64];
	va_list args;

	if (store.socket < 0)
		return 0;
	va_start(args, format);
	format_name(name, format, args);
	va_end(args);
	/* FDPOLL=0: or the manager would drop a socket at its hang-up, with what is still unread in it */
	snprintf(message, sizeof(message), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	return tell(message, fd);
}

void store_remove(const char *format, ...)
{
	char name[STORE_NAME_MAX], message[STORE_NAME_MAX + 64];
	va_list args;

	if (store.socket < 0)
		return;
	va_start(args, format);
	format_name(name, format, args);
	va_end(args);
	snprintf(message, sizeof(message), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	tell(message, -1);
}

void store_drop_untaken(void)
{
	for (int i = 0; i < store.count; i++) {
		if (!store.names[i])
			continue;
		store_remove("%s", store.names[i]);
		/* nobody will go on with this flow: both its ends have to know, now */
		if (strncmp(store.names[i], "flow-", strlen("flow-")) == 0)
			socket_close(SD_LISTEN_FDS_START + i, true);
		else
			close(SD_LISTEN_FDS_START + i);
		free(store.names[i]);
		store.names[i] = NULL;
	}
	free(store.names);
	store.names = NULL;
	store.count = 0;
}

void store_leave(void)
{
	store.socket = close_fd(store.socket);
}

static bool ask_for_restart(sd_bus *bus)
{
	static const char manager[] = "org.freedesktop.systemd1";
	sd_bus_message *reply = NULL;
	char *unit = NULL, *job = NULL, *type = NULL;
	const char *path;
	uint32_t id;
	bool restart = false;

	if (sd_bus_call_method(bus, manager, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "GetUnitByPID",
			       NULL, &reply, "u", (uint32_t)getpid()) < 0 ||
	    sd_bus_message_read(reply, "o", &path) < 0)
		goto out;
	unit = strdup(path);
	reply = sd_bus_message_unref(reply);
	if (!unit || sd_bus_get_property(bus, manager, unit, "org.freedesktop.systemd1.Unit", "Job", NULL, &reply, "(uo)") < 0 ||
	    sd_bus_message_read(reply, "(uo)", &id, &path) < 0 || id == 0)
		goto out;
	job = strdup(path);
	if (!job || sd_bus_get_property_string(bus, manager, job, "org.freedesktop.systemd1.Job", "JobType", NULL, &type) < 0)
		goto out;
	restart = strcmp(type, "restart") == 0 || strcmp(type, "try-restart") == 0;
out:
	sd_bus_message_unref(reply);
	free(unit);
	free(job);
	free(type);
	return restart;
}

bool store_is_restart(void)
{
	sd_bus *bus = NULL;
	bool restart = false;

	if (store.socket < 0)
		return false;
	if (sd_bus_open_system(&bus) >= 0) {
		sd_bus_set_method_call_timeout(bus, BUS_PATIENCE_US);
		restart = ask_for_restart(bus);
	}
	sd_bus_flush_close_unref(bus);
	return restart;
}
