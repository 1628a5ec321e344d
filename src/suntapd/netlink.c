/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netlink.c - the little that rules.c and route.c have in common on top of libmnl */
#include "suntapd/netlink.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/util.h"

int netlink_talk(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t cb, void *data)
{
	static uint32_t sequence;
	bool dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	char buf[NETLINK_BUFFER];
	int r;

	request->nlmsg_flags |= NLM_F_REQUEST;
	/* A get is answered by the object, anything else by an acknowledgement. */
	if (!dump && !cb)
		request->nlmsg_flags |= NLM_F_ACK;
	request->nlmsg_seq = ++sequence;
	if (mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t n = mnl_socket_recvfrom(nl, buf, sizeof(buf));

		if (n < 0)
			return -errno;
		r = mnl_cb_run(buf, (size_t)n, request->nlmsg_seq, mnl_socket_get_portid(nl), cb, data);
		if (r < 0)
			return errno ? -errno : -EIO;
	} while (r > MNL_CB_STOP && dump);
	return 0;
}

int netlink_request(int bus, struct nlmsghdr *request, mnl_cb_t cb, void *data)
{
	struct mnl_socket *nl = mnl_socket_open2(bus, SOCK_CLOEXEC);
	int on = 1, r;

	if (!nl)
		return -errno;
	/* So that the kernel filters dumps by what the request says; where it can not, cb does. */
	mnl_socket_setsockopt(nl, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	r = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : netlink_talk(nl, request, cb, data);
	mnl_socket_close(nl);
	return r;
}

struct attributes {
	const struct nlattr **table;
	uint16_t max;
};

static int put_attribute(const struct nlattr *a, void *data)
{
	struct attributes *into = data;

	if (mnl_attr_get_type(a) <= into->max)
		into->table[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

void netlink_attributes(const struct nlmsghdr *m, size_t header, const struct nlattr **table, uint16_t max)
{
	struct attributes into = { table, max };

	memset(table, 0, (max + 1u) * sizeof(*table));
	mnl_attr_parse(m, (unsigned)header, put_attribute, &into);
}

uint32_t netlink_u32(const struct nlattr *a)
{
	return a && mnl_attr_get_payload_len(a) >= 4 ? mnl_attr_get_u32(a) : 0;
}

uint8_t netlink_u8(const struct nlattr *a)
{
	return a && mnl_attr_get_payload_len(a) >= 1 ? mnl_attr_get_u8(a) : 0;
}

int netlink_listen(int bus, const int *groups, size_t count)
{
	CLEANUP(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, bus);
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	int taken;

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		return -errno;
	for (size_t i = 0; i < count; i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(groups[i])) < 0)
			return -errno;
	taken = fd;
	fd = -1;
	return taken;
}

bool netlink_drain(int fd, bool (*interesting)(const struct nlmsghdr *, const void *), const void *data)
{
	char buf[NETLINK_BUFFER] __attribute__((aligned(8)));
	bool found = false;

	/* Bounded: somebody who changes routes without end must not keep us here. */
	for (unsigned i = 0; i < 1000; i++) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);
		int left;

		if (n < 0 && errno == ENOBUFS) {
			found = true;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if ((size_t)n > sizeof(buf)) {
			found = true;
			continue;
		}
		left = (int)n;
		for (const struct nlmsghdr *m = (const struct nlmsghdr *)buf; mnl_nlmsg_ok(m, left);
		     m = mnl_nlmsg_next(m, &left))
			found |= interesting(m, data);
	}
	return found;
}

int netlink_why(char **why, int error, const char *format, ...)
{
	va_list args;
	char *text = NULL;

	if (!why)
		return error;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	free(*why);
	*why = text;
	return error;
}
