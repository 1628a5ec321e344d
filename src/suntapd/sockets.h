/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sockets.h - what is done to TCP sockets, without knowing of flows */
#ifndef SUNTAP_SOCKETS_H
#define SUNTAP_SOCKETS_H

#include <net/if.h>
#include <stdbool.h>

#include "shared/flow_entry.h"

struct socket_patience {
	unsigned keepalive, user_timeout;	/* s; see suntap.ini(5) */
};

/* NODELAY, keepalive, user timeout, urgent data in its place. */
void socket_tune(int fd, const struct socket_patience *patience);

/*
 * TCP_USER_TIMEOUT ends a connection whose peer has closed its window for that long, although it answers every probe. Such a
 * peer is alive: the timeout is taken away while it is seen like this, and put back afterwards. To be called several times within a
 * user_timeout.
 */
void socket_mind_window(int fd, const struct socket_patience *patience);

/*
 * A nonblocking connection to `cloud` that is on its way: the socket, or -errno. source: NULL, or the device's address to
 * connect from (needs CAP_NET_ADMIN; the port is ours).
 */
int socket_connect(const struct flow_address *cloud, const struct flow_address *source,
		   const struct socket_patience *patience);

/* A nonblocking listener, or -errno. transparent: takes connections to any address (needs CAP_NET_ADMIN). */
int socket_listen(const struct flow_address *at, bool transparent);

/* From now on no SYN finds this listener, but on the loopback; connections that it has begun or waits with go on. 0 or -errno. */
int socket_hide(int fd);
/* How many connections wait to be accepted. */
unsigned socket_backlog(int fd);

/* The interface that the SYN of an accepted connection came in at; false: not known. */
bool socket_interface(int fd, uint8_t family, char ret[static IF_NAMESIZE]);
/* The near end's address; false if there is none. */
bool socket_name(int fd, struct flow_address *ret);

/*
 * Ends a connection, also where systemd's store holds it too: with a RST, or with what is left of an orderly end. -1 is
 * fine.
 */
void socket_close(int fd, bool reset);

/* Whether a is an address of this machine. */
bool socket_address_is_local(const struct flow_address *a);

#endif
