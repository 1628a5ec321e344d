/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store.h - systemd's file descriptor store: what outlives us
 *
 * A descriptor is put there before a byte depends on it, so that after kill -9, a crash or an upgrade the next suntapd
 * goes on in the middle of a transfer. What belongs to what is said by the names and by the flow table, which is in the
 * store itself:
 *
 *	table, table-2          one of them: memfd: struct flow_table_header, struct flow_entry[]
 *	ring, ring-head, bell   see ring.h
 *	pipe-N-r, pipe-N-w      pipe N of the pool; what is in it belongs to the direction whose entry says N
 *	fXXXX                   a flow's sockets, see flow_socket_name()
 *	listen-WAY-ADDRESS      a listener
 *	rules-live              the netlink socket that owns the table inet suntap_live
 *
 * Without systemd (no NOTIFY_SOCKET) nothing is stored and nothing received, and all calls do nothing.
 */
#ifndef SUNTAP_STORE_H
#define SUNTAP_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STORE_NAME_MAX = 96, STORE_FLOW_NAME_SIZE = sizeof("fXXXX") };

/* Takes what systemd kept for us; returns how many descriptors that are, or -errno. notify_open() comes before. */
int store_open(void);
/*
 * For how many flows there is room beside so many listeners: all names go to the next suntapd in one string of its environment,
 * and with one that is too long (MAX_ARG_STRLEN, execve(2)) it could not be started at all.
 */
unsigned store_flows_max(size_t listeners);
/* Closes, here and in the store, what nobody has taken. */
void store_drop_untaken(void);
/* From now on nothing is put there or removed: the next suntapd finds what is there now. */
void store_leave(void);

/* A kept descriptor by its name, now the caller's; -1: there is none. */
int store_take(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Returns a ticket for notify_is_sent(): what depends on the descriptor waits for that. The descriptor has to stay open until
 * store_remove() of its name, or store_leave().
 */
uint64_t store_put(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
void store_remove(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* We are being stopped: is it for a restart, so that everything has to stay as it is? Asks systemd, for at most half a second. */
bool store_is_restart(void);

#endif
