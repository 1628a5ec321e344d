/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sockets.c - what is done to TCP sockets, without knowing of flows; see sockets.h */
#include "suntapd/sockets.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/util.h"

static void set_int(int fd, int level, int option, int value)
{
	/* each is a refinement: the relay works without, so a kernel that refuses one is no reason to stop */
	setsockopt(fd, level, option, &value, sizeof(value));
}

void socket_tune(int fd, const struct socket_patience *patience)
{
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)patience->keepalive);
	set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)(patience->keepalive / 4 ? patience->keepalive / 4 : 1));
	/* and with it TCP_KEEPCNT counts for nothing */
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)patience->user_timeout * 1000);
}

void socket_mind_window(int fd, const struct socket_patience *patience)
{
	enum { PROBES_APART_MS = 150 * 1000 };	/* the kernel's backoff ends at 120 s */
	unsigned timeout = patience->user_timeout * 1000;
	struct tcp_info info = { 0 };
	socklen_t length = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return;
	/* all that was sent is acknowledged, and of what is left not a segment is wanted: the peer does not read */
	if (info.tcpi_notsent_bytes > 0 && info.tcpi_unacked == 0 && info.tcpi_snd_wnd < info.tcpi_snd_mss &&
	    info.tcpi_last_ack_recv < (timeout > PROBES_APART_MS ? timeout : PROBES_APART_MS))
		timeout = 0;
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)timeout);
}

static int set_transparent(int fd, uint8_t family)
{
	int on = 1;

	if (family == 6)
		return setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on)) < 0 ? -errno : 0;
	return setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) < 0 ? -errno : 0;
}

static int bind_to_source(int fd, const struct flow_address *source)
{
	struct flow_address any_port = *source;
	struct sockaddr_storage sa;
	int e = set_transparent(fd, source->family);

	if (e < 0)
		return e;
	/*
	 * The device's address, but a port of ours: with its port as well, both legs would be one entry of conntrack,
	 * and a masquerade on the way out would not happen.
	 */
	any_port.port = 0;
	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	return bind(fd, (const struct sockaddr *)&sa, flow_address_get(&any_port, &sa)) < 0 ? -errno : 0;
}

int socket_connect(const struct flow_address *cloud, const struct flow_address *source,
		   const struct socket_patience *patience)
{
	struct sockaddr_storage sa;
	socklen_t length = flow_address_get(cloud, &sa);
	int CLEANUP(closep) fd = -1;
	int ret;

	if (length == 0)
		return -EDESTADDRREQ;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	socket_tune(fd, patience);
	if (source && source->family == cloud->family) {
		int e = bind_to_source(fd, source);

		if (e < 0)
			return e;
	}
	if (connect(fd, (const struct sockaddr *)&sa, length) < 0 && errno != EINPROGRESS)
		return -errno;
	ret = fd;
	fd = -1;
	return ret;
}

int socket_listen(const struct flow_address *at, bool transparent)
{
	struct sockaddr_storage sa;
	socklen_t length = flow_address_get(at, &sa);
	int CLEANUP(closep) fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, ret;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (at->family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (transparent) {
		int e = set_transparent(fd, at->family);

		if (e < 0)
			return e;
	}
	if (bind(fd, (const struct sockaddr *)&sa, length) < 0 || listen(fd, 4096) < 0)
		return -errno;
	ret = fd;
	fd = -1;
	return ret;
}

int socket_hide(int fd)
{
	static const char loopback[] = "lo";

	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, loopback, sizeof(loopback)) < 0 ? -errno : 0;
}

unsigned socket_backlog(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t length = sizeof(info);

	/* of a listener, "unacked" is the length of its queue, see tcp_get_info() in the kernel */
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 ? 0 : info.tcpi_unacked;
}

bool socket_name(int fd, struct flow_address *ret)
{
	struct sockaddr_storage name;
	socklen_t length = sizeof(name);

	if (fd < 0 || getsockname(fd, (struct sockaddr *)&name, &length) < 0)
		return false;
	flow_address_set(ret, (const struct sockaddr *)&name);
	return ret->family != 0;
}

/* What TCP keeps of the SYN is given out in the form of a datagram's control messages, see ip(7), IP_PKTINFO. */
bool socket_interface(int fd, uint8_t family, char ret[static IF_NAMESIZE])
{
	union {
		struct cmsghdr head;
		char space[256];
	} control = { 0 };
	socklen_t size = sizeof(control);
	struct msghdr m = { .msg_control = &control };
	int level = family == 6 ? IPPROTO_IPV6 : IPPROTO_IP, wish = family == 6 ? IPV6_RECVPKTINFO : IP_PKTINFO, e;
	unsigned index = 0;

	set_int(fd, level, wish, 1);
	e = getsockopt(fd, level, family == 6 ? IPV6_2292PKTOPTIONS : IP_PKTOPTIONS, &control, &size);
	set_int(fd, level, wish, 0);
	if (e < 0)
		return false;
	m.msg_controllen = size;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		struct in_pktinfo info;
		struct in6_pktinfo info6;

		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO && c->cmsg_len >= CMSG_LEN(sizeof(info))) {
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			index = (unsigned)info.ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO && c->cmsg_len >= CMSG_LEN(sizeof(info6))) {
			memcpy(&info6, CMSG_DATA(c), sizeof(info6));
			index = info6.ipi6_ifindex;
		}
	}
	return index && if_indextoname(index, ret);
}

void socket_close(int fd, bool reset)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	if (fd < 0)
		return;
	/* close() alone does nothing on the wire while another process has the socket too */
	if (reset)
		connect(fd, &nobody, sizeof(nobody));
	else
		shutdown(fd, SHUT_RDWR);
	close_fd(fd);
}

static bool same_host(const struct flow_address *a, const struct flow_address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool is_of_an_interface(const struct flow_address *a)
{
	static const struct flow_address any4 = { .family = 4 }, any6 = { .family = 6 };
	struct ifaddrs *all;
	bool found = (a->family == 4 && a->bytes[0] == IN_LOOPBACKNET) || same_host(a, &any4) || same_host(a, &any6);

	if (getifaddrs(&all) < 0)
		return true;	/* to be taken for a loop is the smaller evil */
	for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
		struct flow_address own = { 0 };

		if (i->ifa_addr)
			flow_address_set(&own, i->ifa_addr);
		found = same_host(&own, a);
	}
	freeifaddrs(all);
	return found;
}

bool socket_address_is_local(const struct flow_address *a)
{
	struct flow_address any_port = *a;
	struct sockaddr_storage sa;
	int CLEANUP(closep) fd = -1;
	socklen_t length;

	/* a foreign address can not be bound, unless net.ipv4.ip_nonlocal_bind, which load balancers set, allows it */
	any_port.port = 0;
	length = flow_address_get(&any_port, &sa);
	fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && bind(fd, (const struct sockaddr *)&sa, length) == 0 && is_of_an_interface(a);
}
