/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store.c - systemd's file descriptor store: what outlives us; see store.h */
#include "suntapd/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "shared/util.h"
#include "suntapd/notify.h"
#include "suntapd/sockets.h"

enum { BUS_PATIENCE_US = 500 * 1000 };

static struct {
	bool closed;
	char **names;			/* of what was kept; [i] is NULL once taken */
	int count;
} store;

int store_open(void)
{
	store.closed = !notify_is_open();
	if (!store.closed)
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
		if (!store.names[i])
			continue;
		remove_name(store.names[i]);
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

bool store_is_restart(void)
{
	sd_bus *bus = NULL;
	bool restart = false;

	if (store.closed)
		return false;
	if (sd_bus_open_system(&bus) >= 0) {
		sd_bus_set_method_call_timeout(bus, BUS_PATIENCE_US);
		restart = ask_for_restart(bus);
	}
	sd_bus_flush_close_unref(bus);
	return restart;
}
