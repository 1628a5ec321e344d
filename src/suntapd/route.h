/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * route.h - rtnetlink: the policy route that brings marked packets to this machine, and neighbours
 *
 *	ip rule fwmark MARK/MASK lookup TABLE priority N protocol 78
 *	ip route local default dev lo table TABLE protocol 78		(IPv4 and IPv6)
 *
 * The protocol number is how ours are told from anybody else's, also after a crash.
 */
#ifndef SUNTAP_ROUTE_H
#define SUNTAP_ROUTE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "shared/config.h"

enum { ROUTE_PROTOCOL = 78 };	/* in nobody's rt_protos */

enum route_state {
	ROUTE_ABSENT,
	ROUTE_OURS,		/* all of it there, exactly as the configuration wants it */
	ROUTE_PARTLY,		/* some of it, or that of another configuration of ours */
};

/* Whether the kernel has this family at all, switched on for lo. */
bool route_family_usable(int family);

/*
 * Looks at rules and table of one family. 0 and *ret, or -EBUSY and *why (free() it) where the mark or the
 * table is somebody else's, or -errno and *why. Manual: *ret tells whether the owner's own rule and route
 * would do.
 */
int route_look(enum route_state *ret, int family, const struct config *c, char **why);

/* Makes it so, whatever of ours was there before. 0, or -errno and *why with nothing of this call left. */
int route_add(int family, const struct config *c, char **why);

/* Removes every rule and route that carries our protocol number; nothing there is no error. */
int route_remove(int family);

/*
 * A socket that hears of changed rules and routes, -errno; and whether what it has received is worth a
 * route_look(): it reads all of it.
 */
int route_monitor(void);
bool route_monitor_read(int fd, const struct config *c);

/*
 * The hardware address of a neighbour on Ethernet or Wi-Fi. 0, -ENOENT where the kernel has none for it (a
 * peer behind a router, a link without addresses), -errno.
 */
int neighbour_mac(const struct sockaddr *peer, uint8_t mac[6]);

#endif
