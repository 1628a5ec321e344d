/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netlink.h - the little that rules.c and route.c have in common on top of libmnl; 0 or -errno throughout */
#ifndef SUNTAP_NETLINK_H
#define SUNTAP_NETLINK_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NETLINK_BUFFER = 32768 };	/* the kernel fills no more than this per read of a dump */

/* One request and its answers on a socket of its own: dumps go to cb (which may be NULL), others are acknowledged. */
int netlink_request(int bus, struct nlmsghdr *request, mnl_cb_t cb, void *data);
/* The same on an open socket. */
int netlink_talk(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t cb, void *data);

/* The attributes behind a message's own header of that size: table[type] for types up to max, NULL where absent. */
void netlink_attributes(const struct nlmsghdr *m, size_t header, const struct nlattr **table, uint16_t max);
/* The value of an attribute that may be absent or too short: 0 then. */
uint32_t netlink_u32(const struct nlattr *a);
uint8_t netlink_u8(const struct nlattr *a);

/* A non-blocking socket that hears of these groups; its fd is the caller's. */
int netlink_listen(int bus, const int *groups, size_t count);

/*
 * Reads all that waits at such a socket. Returns whether interesting() said true of a message, or messages
 * were lost, so that one of them may have been.
 */
bool netlink_drain(int fd, bool (*interesting)(const struct nlmsghdr *, const void *), const void *data);

/* *why = printf(…), the old text freed; where why is NULL, nothing. Returns error, for `return netlink_why(…)`. */
int netlink_why(char **why, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
