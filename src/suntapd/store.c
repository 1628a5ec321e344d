/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store.c - systemd's file descriptor store: what outlives us; see store.h */
#include "suntapd/store.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "shared/util.h"
#include "suntapd/notify.h"
#include "suntapd/pipes.h"
#include "suntapd/sockets.h"

enum {
	BUS_PATIENCE_US = 500 * 1000,
	NAMES_MAX = 128 * 1024,		/* with pages of 4 KiB; larger ones allow more */
};

struct kept {
	char *name;
	int fd;				/* -1: taken */
};

static struct {
	bool closed;
	struct kept *kept;		/* sorted by name */
	int count;
} store;

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct kept *)a)->name, ((const struct kept *)b)->name);
}

int store_open(void)
{
	char **names = NULL;
	int count;

	store.closed = !notify_is_open();
	if (store.closed)
		return 0;
	count = sd_listen_fds_with_names(true, &names);
	if (count <= 0)
		return count;
	store.kept = calloc((size_t)count, sizeof(*store.kept));
	if (!store.kept)
		return -ENOMEM;
	for (int i = 0; i < count; i++)
		store.kept[i] = (struct kept){ names[i], SD_LISTEN_FDS_START + i };
	free(names);
	qsort(store.kept, (size_t)count, sizeof(*store.kept), compare);
	return store.count = count;
}

unsigned store_flows_max(size_t listeners)
{
	/* what else is there: the few of the ring and the table, the pool's pipes, listeners with the longest address */
	size_t others = 64 + 2 * PIPES_MAX * sizeof("pipe-123-r") + listeners * sizeof("listen-redirect-[]_12345") +
			listeners * INET6_ADDRSTRLEN;

	if (store.closed)
		return UINT_MAX;
	return others < NAMES_MAX ? (unsigned)((NAMES_MAX - others) / (2 * STORE_FLOW_NAME_SIZE)) : 0;
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
	struct kept *found;
	int fd = -1;
	va_list args;

	va_start(args, format);
	format_name(name, format, args);
	va_end(args);
	found = store.count ? bsearch(&(struct kept){ .name = name }, store.kept, (size_t)store.count, sizeof(*found), compare) : NULL;
	if (found) {
		fd = found->fd;
		found->fd = -1;
	}
	return fd;
}

/* FDPOLL=0: or the manager would drop a socket at its hang-up, with what is still unread in it */
static void say_put(char message[STORE_NAME_MAX + 64], const char *name)
{
	snprintf(message, STORE_NAME_MAX + 64, "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
}

uint64_t store_put(int fd, const char *format, ...)
{
	char name[STORE_NAME_MAX], message[STORE_NAME_MAX + 64];
	va_list args;

	if (store.closed)
		return 0;
	va_start(args, format);
	format_name(name, format, args);
	va_end(args);
	say_put(message, name);
	return notify_send(fd, message);
}

static void remove_name(const char *name)
{
	char message[STORE_NAME_MAX + 64];

	say_put(message, name);
	if (notify_cancel(message))
		return;
	snprintf(message, sizeof(message), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	notify_send(-1, message);
}

void store_remove(const char *format, ...)
{
	char name[STORE_NAME_MAX];
	va_list args;

	if (store.closed)
		return;
	va_start(args, format);
	format_name(name, format, args);
	va_end(args);
	remove_name(name);
}

void store_drop_untaken(void)
{
	for (int i = 0; i < store.count; i++) {
		const struct kept *k = &store.kept[i];

		if (k->fd >= 0) {
			remove_name(k->name);
			/* nobody will go on with this flow: both its ends have to know, now */
			if (k->name[0] == 'f')
				socket_close(k->fd, true);
			else
				close(k->fd);
		}
		free(k->name);
	}
	free(store.kept);
	store.kept = NULL;
	store.count = 0;
}

void store_leave(void)
{
	store.closed = true;
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

/* The time of a call counts from when the bus has let us in, for which libsystemd itself waits a minute and more. */
static bool is_answered(sd_bus *bus)
{
	int64_t end = now_monotonic() + BUS_PATIENCE_US * INT64_C(1000), left;
	int ready, e = 0;

	while ((ready = sd_bus_is_ready(bus)) == 0 && e >= 0 && (left = end - now_monotonic()) > 0) {
		e = sd_bus_process(bus, NULL);
		if (e == 0)
			e = sd_bus_wait(bus, (uint64_t)left / 1000 + 1);
	}
	return ready > 0;
}

bool store_is_restart(void)
{
	sd_bus *bus = NULL;
	bool restart = false;

	if (store.closed)
		return false;
	if (sd_bus_open_system(&bus) >= 0 && is_answered(bus)) {
		sd_bus_set_method_call_timeout(bus, BUS_PATIENCE_US);
		restart = ask_for_restart(bus);
	}
	sd_bus_close_unref(bus);
	return restart;
}
