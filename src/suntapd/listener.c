/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * listener.c - the ways in; see listener.h
 *
 * When no flow or descriptor is left, the listening sockets are closed until there is room again, so that the kernel
 * answers: a tproxy rule without a listener does not match, the device reaches its cloud straight; on the other two ways
 * it is refused. Accepting and then closing would cost what is missing.
 *
 * A socket that is closed resets the connections that the kernel has taken for it already. So it is hidden first: bound to
 * the loopback interface it is not found for a device's SYN any more, but those in its backlog are still there to be
 * accepted. For them flows has some slots more than its limit. It is closed when no handshake that it began can be under way.
 */
#include "suntapd/listener.h"

#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/message_ids.h"
#include "suntapd/notify.h"
#include "suntapd/resolver.h"
#include "suntapd/route.h"
#include "suntapd/sockets.h"
#include "suntapd/store.h"

enum {
	ACCEPT_AT_ONCE = 64,
	WAITING_MAX = 64,		/* connections that wait for the first answer of a resolver */
	PAUSE_MS = 500,
	HANDSHAKE_MS = 3000,		/* the second repetition of a SYN-ACK is then over, too */
	RESOLVE_AGAIN_S = 300,		/* names are looked up again when used and older */
};

struct listener {
	enum config_way way;
	size_t device;			/* index in the configuration: redirect and direct */
	struct flow_address at;
	int fd;				/* -1 while paused */
	bool hidden;			/* no SYN finds it any more, see above */
	bool no_family;			/* this machine has no such addresses */
	sd_event_source *source;
	struct listeners *all;
};

/* What is known of a direct device's upstream. */
struct upstream {
	struct flow_address addresses[RESOLVER_ADDRESSES_MAX];
	size_t count;
	int64_t resolved;		/* monotonic; 0: never */
	bool asking;
};

struct waiting {
	int fd;
	size_t device;
	struct flow_address peer;
};

struct listeners {
	sd_event *event;
	struct flows *flows;
	const struct config *config;
	struct resolver *resolver;
	struct listener *list;
	size_t count;
	struct upstream *upstreams;	/* one for each device of the configuration */
	uint32_t generation;		/* of the configuration: answers to questions of an older one are dropped */
	struct waiting waiting[WAITING_MAX];
	size_t waiting_count;
	sd_event_source *resume, *unhold;
	bool paused;
	bool held;			/* nothing is accepted until systemd has what was accepted before */
	int64_t drained;		/* monotonic: when hidden listeners may be closed */
	int64_t aside;			/* monotonic: until when those of the way tproxy stay closed; 0: no reason to */
	struct log_limit refusals, failures;
};

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static void give_up(char **why, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void give_up(char **why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(why, format, args) < 0)
		*why = NULL;
	va_end(args);
}

/* ---------------------------------------------------------------- sockets */
/* In the store: the ways are apart, so that a transparent listener is not taken for another. */
static void listener_name(const struct listener *l, char name[STORE_NAME_MAX])
{
	static const char *const ways[] = { [WAY_TPROXY] = "tproxy", [WAY_REDIRECT] = "redirect", [WAY_DIRECT] = "direct" };
	char at[FLOW_ADDRESS_TEXT];

	snprintf(name, STORE_NAME_MAX, "listen-%s-%s", ways[l->way], flow_address_format(&l->at, at));
}

/* One that the store kept (with connections that wait in it), or a new one. */
static int open_socket(const struct listener *l)
{
	char name[STORE_NAME_MAX];
	int fd;

	listener_name(l, name);
	fd = store_take("%s", name);
	if (fd >= 0)
		return fd;
	fd = socket_listen(&l->at, l->way == WAY_TPROXY);
	if (fd >= 0)
		store_put(fd, "%s", name);
	return fd;
}

static int close_socket(const struct listener *l)
{
	char name[STORE_NAME_MAX];

	if (l->fd >= 0) {
		listener_name(l, name);
		store_remove("%s", name);
	}
	return close_fd(l->fd);
}

static int listener_open(struct listener *l)
{
	int e = open_socket(l);

	if (e < 0)
		return e;
	l->fd = e;
	e = sd_event_add_io(l->all->event, &l->source, l->fd, EPOLLIN, on_connection, l);
	if (e < 0)
		l->fd = close_socket(l);
	return e;
}

static void listener_close(struct listener *l)
{
	l->source = sd_event_source_disable_unref(l->source);
	l->fd = close_socket(l);
	l->hidden = false;
}

static void listener_hide(struct listener *l)
{
	char name[STORE_NAME_MAX];

	if (l->fd < 0 || l->hidden)
		return;
	/* it can not be bound back without CAP_NET_RAW, so it is nothing for the next suntapd */
	listener_name(l, name);
	store_remove("%s", name);
	if (socket_hide(l->fd) == 0)
		l->hidden = true;
	else
		listener_close(l);
}

static bool is_ourselves(const struct listeners *l, const struct flow_address *destination)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->list[i].at.port == destination->port)
			return socket_address_is_local(destination);
	return false;
}

/* ---------------------------------------------------------------- pause and resume */
static void look_again(struct listeners *l, int64_t ns)
{
	sd_event_source_set_time_relative(l->resume, (uint64_t)ns / 1000);
	sd_event_source_set_enabled(l->resume, SD_EVENT_ONESHOT);
}

/* Closes those whose backlog is empty for good. Whether any is left. */
static bool still_hidden(struct listeners *l)
{
	bool any = false;

	for (size_t i = 0; i < l->count; i++) {
		struct listener *h = &l->list[i];

		if (!h->hidden)
			continue;
		if (now_monotonic() >= l->drained && socket_backlog(h->fd) == 0) {
			listener_close(h);
			continue;
		}
		sd_event_source_set_enabled(h->source, SD_EVENT_ON);
		any = true;
	}
	return any;
}

static void resume(struct listeners *l)
{
	bool missing = false;
	int64_t now = now_monotonic();

	if (still_hidden(l)) {
		look_again(l, PAUSE_MS * NSEC_PER_MSEC);
		return;
	}
	if (l->aside > now)
		look_again(l, l->aside - now);
	else
		l->aside = 0;
	if (flows_full(l->flows))
		return;
	for (size_t i = 0; i < l->count; i++)
		if (l->list[i].fd < 0 && !(l->aside && l->list[i].way == WAY_TPROXY) && listener_open(&l->list[i]) < 0)
			missing = true;
	if (missing) {
		look_again(l, PAUSE_MS * NSEC_PER_MSEC);
		return;
	}
	if (l->paused)
		log_info("there is room for flows again: taking new connections");
	l->paused = false;
}

static int on_resume(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source, (void)usec;
	resume(userdata);
	return 0;
}

static void on_room(void *ctx)
{
	struct listeners *l = ctx;

	if (l->paused)
		resume(l);
}

static void hide(struct listeners *l, bool tproxy_alone)
{
	bool any = false;

	for (size_t i = 0; i < l->count; i++) {
		if (tproxy_alone && l->list[i].way != WAY_TPROXY)
			continue;
		any |= l->list[i].fd >= 0 && !l->list[i].hidden;
		listener_hide(&l->list[i]);
	}
	if (any)
		l->drained = now_monotonic() + HANDSHAKE_MS * NSEC_PER_MSEC;
	look_again(l, PAUSE_MS * NSEC_PER_MSEC);
}

static void pause_all(struct listeners *l, const char *reason)
{
	uint64_t held_back;

	if (!l->paused && log_limit_pass(&l->failures, &held_back))
		log_warning("%s: new connections are left to the kernel until there is room "
			    "(tproxy: straight to the cloud)", reason);
	l->paused = true;
	hide(l, false);
}

void listeners_look_for_room(struct listeners *l)
{
	if (flows_full(l->flows))
		pause_all(l, "max_flows is reached");
}

void listeners_stand_aside(struct listeners *l, unsigned seconds)
{
	l->aside = now_monotonic() + seconds * NSEC_PER_SEC;
	hide(l, true);
}

bool listeners_are_aside(const struct listeners *l)
{
	return l->aside > 0;
}

/* ---------------------------------------------------------------- a connection */
static void refuse(struct listeners *l, int fd, const struct flow_address *peer, const struct flow_address *destination,
		   const char *name, const char *reason)
{
	char from[FLOW_ADDRESS_TEXT], to[FLOW_ADDRESS_TEXT], field[3][96];
	const char *fields[4] = { field[0], field[1], NULL, NULL };
	uint64_t held_back;

	socket_close(fd, true);
	if (!log_limit_pass(&l->refusals, &held_back))
		return;
	snprintf(field[0], sizeof(field[0]), "SUNTAP_PEER=%s", flow_address_format(peer, from));
	snprintf(field[1], sizeof(field[1]), "SUNTAP_CLOUD=%s", flow_address_format(destination, to));
	if (name) {
		snprintf(field[2], sizeof(field[2]), "SUNTAP_DEVICE=%s", name);
		fields[2] = field[2];
	}
	log_event(LOG_WARNING, MESSAGE_ID_FLOW_REFUSED, fields, "Refused a connection from %s to %s: %s%s", from, to, reason,
		  held_back ? " (more of the kind were not logged)" : "");
}

static void add_flow(struct listeners *l, int fd, const struct flow_address *peer, const struct config_device *d,
		     const struct flow_address *cloud, size_t cloud_count)
{
	struct flow_request q = {
		.fd = fd, .name = d->name, .device_limit = d->max_flows, .device = *peer, .cloud = cloud,
		.cloud_count = cloud_count, .keep_source = d->keep_source,
	};

	for (size_t i = 0; i < cloud_count; i++) {
		if (is_ourselves(l, &cloud[i])) {
			refuse(l, fd, peer, &cloud[i], d->name, d->way == WAY_DIRECT ?
			       "its upstream leads back to suntapd itself (a local DNS record? name a dns_server)" :
			       "its destination is suntapd itself");
			return;
		}
	}
	switch (flows_add(l->flows, &q)) {
	case 0:
		break;
	case -EUSERS:
		refuse(l, -1, peer, &q.cloud[0], d->name, "the device has as many flows as its max_flows allows");
		break;
	case -ELOOP:
		refuse(l, -1, peer, &q.cloud[0], d->name, "it is a connection of suntapd itself that came back: a loop");
		break;
	default:
		refuse(l, -1, peer, &q.cloud[0], d->name, "no room for another flow");
		break;
	}
}

static void resolve(struct listeners *l, size_t device)
{
	const struct config_device *d = &l->config->devices[device];
	struct upstream *u = &l->upstreams[device];

	if (u->asking)
		return;
	if (resolver_ask(l->resolver, (uint32_t)device | l->generation << 16, &d->upstream, d->dns_server) == 0)
		u->asking = true;
}

static void direct_connection(struct listeners *l, int fd, const struct flow_address *peer, size_t device)
{
	const struct config_device *d = &l->config->devices[device];
	struct upstream *u = &l->upstreams[device];

	if (u->resolved == 0 || now_monotonic() - u->resolved > RESOLVE_AGAIN_S * NSEC_PER_SEC)
		resolve(l, device);
	if (u->count > 0) {
		add_flow(l, fd, peer, d, u->addresses, u->count);
	} else if (l->waiting_count < WAITING_MAX) {
		l->waiting[l->waiting_count++] = (struct waiting){ .fd = fd, .device = device, .peer = *peer };
	} else {
		static const struct flow_address nowhere;

		refuse(l, fd, peer, &nowhere, d->name, "its upstream's name has no address yet");
	}
}

static void on_answer(void *ctx, const struct resolver_answer *answer)
{
	struct listeners *l = ctx;
	size_t device = answer->key & 0xffff, left = 0;
	static struct log_limit limit = { .burst = 3, .interval = 600 * NSEC_PER_SEC };
	struct upstream *u;

	if (answer->key >> 16 != (l->generation & 0xffff) || device >= l->config->device_count)
		return;
	u = &l->upstreams[device];
	u->asking = false;
	if (answer->count > 0) {
		memcpy(u->addresses, answer->addresses, answer->count * sizeof(u->addresses[0]));
		u->count = answer->count;
		u->resolved = now_monotonic();
	} else if (log_limit_pass(&limit, NULL)) {
		log_warning("device %s: no address for its upstream %s: %s", l->config->devices[device].name,
			    l->config->devices[device].upstream.host,
			    answer->error == -EAGAIN ? "no DNS server answers" : "the name has none");
	}
	for (size_t i = 0; i < l->waiting_count; i++) {
		struct waiting *w = &l->waiting[i];

		if (w->device == device)
			add_flow(l, w->fd, &w->peer, &l->config->devices[device], u->addresses, u->count);
		else
			l->waiting[left++] = *w;
	}
	l->waiting_count = left;
}

static void on_unreachable(void *ctx, const char *name)
{
	struct listeners *l = ctx;

	for (size_t i = 0; i < l->config->device_count; i++)
		if (l->config->devices[i].way == WAY_DIRECT && strcmp(l->config->devices[i].name, name) == 0)
			resolve(l, i);
}

static int original_destination(int fd, const struct flow_address *at, struct flow_address *ret)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t length = sizeof(sa);

	if (getsockopt(fd, at->family == 6 ? IPPROTO_IPV6 : IPPROTO_IP,
		       at->family == 6 ? IP6T_SO_ORIGINAL_DST : SO_ORIGINAL_DST, &sa, &length) < 0)
		return -errno;
	flow_address_set(ret, (const struct sockaddr *)&sa);
	return ret->family ? 0 : -EAFNOSUPPORT;
}

static void take_connection(struct listener *at, int fd, const struct sockaddr *peer_sa)
{
	struct listeners *l = at->all;
	const struct config *c = l->config;
	struct flow_address peer, here = { 0 }, destination = { 0 };
	const struct config_device *d = NULL;
	uint8_t mac[6];
	const uint8_t *known_mac = NULL;
	char interface[IF_NAMESIZE];

	flow_address_set(&peer, peer_sa);
	socket_name(fd, &here);
	if (config_needs_mac(c, at->way) && neighbour_mac(peer_sa, mac) == 0)
		known_mac = mac;

	switch (at->way) {
	case WAY_TPROXY:
		destination = here;
		d = config_match(c, WAY_TPROXY, peer_sa, known_mac,
				 config_needs_interface(c) && socket_interface(fd, here.family, interface) ? interface : NULL,
				 destination.port);
		break;
	case WAY_REDIRECT:
		if (original_destination(fd, &here, &destination) < 0 || flow_address_equal(&destination, &here)) {
			refuse(l, fd, &peer, &here, c->devices[at->device].name,
			       "it came straight to this port: on the way `redirect` a REDIRECT or DNAT rule must bring it");
			return;
		}
		if (!config_device_takes(&c->devices[at->device], destination.port)) {
			refuse(l, fd, &peer, &destination, c->devices[at->device].name,
			       "its destination port is not among the device's ports");
			return;
		}
		if (config_device_admits(&c->devices[at->device], peer_sa, known_mac))
			d = &c->devices[at->device];
		break;
	case WAY_DIRECT:
		destination = here;
		if (config_device_admits(&c->devices[at->device], peer_sa, known_mac))
			d = &c->devices[at->device];
		break;
	}
	if (!d)
		refuse(l, fd, &peer, &destination, NULL, "no [device] section admits its source");
	else if (at->way == WAY_DIRECT)
		direct_connection(l, fd, &peer, at->device);
	else
		add_flow(l, fd, &peer, d, &destination, 1);
}

/*
 * A connection in the backlog outlives us with its listener, which systemd has; one that is accepted, only when systemd has it,
 * too. So they are left there while systemd is behind.
 */
static void hold(struct listeners *l)
{
	l->held = true;
	for (size_t i = 0; i < l->count; i++)
		sd_event_source_set_enabled(l->list[i].source, SD_EVENT_OFF);
	sd_event_source_set_time_relative(l->unhold, NOTIFY_PATIENCE_MS * UINT64_C(1000));
	sd_event_source_set_enabled(l->unhold, SD_EVENT_ONESHOT);
}

static void unhold(void *ctx)
{
	struct listeners *l = ctx;

	if (!l->held)
		return;
	l->held = false;
	for (size_t i = 0; i < l->count; i++)
		if (l->list[i].source)
			sd_event_source_set_enabled(l->list[i].source, SD_EVENT_ON);
	sd_event_source_set_enabled(l->unhold, SD_EVENT_OFF);
}

static int on_unhold(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source, (void)usec;
	unhold(userdata);
	return 0;
}

static int on_connection(sd_event_source *source, int listen_fd, uint32_t revents, void *userdata)
{
	struct listener *at = userdata;
	struct listeners *l = at->all;

	(void)revents;
	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof(peer);
		int fd;

		if (!at->hidden)
			listeners_look_for_room(l);
		if (at->fd < 0)
			return 0;
		if (notify_is_behind()) {
			hold(l);
			return 0;
		}
		if (flows_used_up(l->flows)) {
			/* what waits is looked at again when the timer comes */
			sd_event_source_set_enabled(source, SD_EVENT_OFF);
			return 0;
		}
		fd = accept4(listen_fd, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno == EAGAIN)
				return 0;
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
				pause_all(l, strerror(errno));
				if (at->fd >= 0)
					sd_event_source_set_enabled(source, SD_EVENT_OFF);
				return 0;
			}
			continue;	/* a connection that was reset before it was accepted */
		}
		take_connection(at, fd, (const struct sockaddr *)&peer);
	}
	return 0;
}

/* ---------------------------------------------------------------- what a configuration asks for */
static int wanted_add(struct listener **list, size_t *count, enum config_way way, size_t device, const struct flow_address *at)
{
	struct listener *grown = reallocarray(*list, *count + 1, sizeof(**list));

	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[(*count)++] = (struct listener){ .way = way, .device = device, .at = *at, .fd = -1 };
	return 0;
}

static int wanted_both(struct listener **list, size_t *count, enum config_way way, size_t device, const char *ip4,
		       const char *ip6, uint16_t port)
{
	const char *hosts[] = { ip4, ip6 };

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct flow_address at;
		int e;

		if (!flow_address_parse(hosts[i], port, &at))
			continue;
		e = wanted_add(list, count, way, device, &at);
		if (e < 0)
			return e;
	}
	return 0;
}

static int wanted(const struct config *c, struct listener **ret, size_t *ret_count)
{
	bool tproxy = false;

	for (size_t i = 0; i < c->device_count; i++) {
		const struct config_device *d = &c->devices[i];
		struct flow_address at;
		int e = 0;

		if (d->way == WAY_TPROXY)
			tproxy = true;
		else if (!d->listen.host[0])
			e = wanted_both(ret, ret_count, d->way, i, "0.0.0.0", "::", d->listen.port);
		else if (flow_address_parse(d->listen.host, d->listen.port, &at))
			e = wanted_add(ret, ret_count, d->way, i, &at);
		else
			e = -EINVAL;
		if (e < 0)
			return e;
	}
	return tproxy ? wanted_both(ret, ret_count, WAY_TPROXY, 0, "127.0.0.1", "::1", c->tproxy_port) : 0;
}

static bool no_such_family(const struct listener *l, int e)
{
	return l->at.family == 6 && (e == -EAFNOSUPPORT || e == -EADDRNOTAVAIL);
}

static void explain(char **why, const struct config *c, const struct listener *l, int e)
{
	char at[FLOW_ADDRESS_TEXT];

	flow_address_format(&l->at, at);
	if (e == -EPERM)
		give_up(why, "can not make the transparent listener %s: CAP_NET_ADMIN is missing "
			"(AmbientCapabilities=CAP_NET_ADMIN in the unit, or run it as root)", at);
	else if (e == -EADDRINUSE)
		give_up(why, "another program listens on %s: stop it, or change %s of %s%s", at,
			l->way == WAY_TPROXY ? "`tproxy_port`" : "`listen`",
			l->way == WAY_TPROXY ? "[suntapd]" : "device ", l->way == WAY_TPROXY ? "" : c->devices[l->device].name);
	else if (e == -EACCES)
		give_up(why, "not allowed to listen on %s: ports below 1024 need CAP_NET_BIND_SERVICE; use a higher one", at);
	else
		give_up(why, "can not listen on %s: %s", at, strerror(-e));
}

static const struct listener *same_listener(const struct listener *list, size_t count, const struct listener *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].way == wanted->way && flow_address_equal(&list[i].at, &wanted->at))
			return &list[i];
	return NULL;
}

/* Closes what is not wanted any more and has the port of a new one: they may be the same for the kernel. Was there any? */
static bool make_way(struct listeners *l, const struct listener *new, const struct listener *list, size_t count)
{
	bool any = false;

	for (size_t k = 0; k < l->count; k++) {
		struct listener *old = &l->list[k];

		if (old->fd < 0 || old->at.port != new->at.port || same_listener(list, count, old))
			continue;
		listener_close(old);
		any = true;
	}
	return any;
}

static void open_again(struct listeners *l)
{
	for (size_t k = 0; k < l->count && !l->paused; k++)
		if (l->list[k].fd < 0 && listener_open(&l->list[k]) < 0)
			pause_all(l, "a listener that was closed for a reload can not be opened again");
}

/* What is known of the addresses of an upstream that is the same as before. */
static void keep_addresses(struct upstream *upstreams, const struct listeners *l, const struct config *c)
{
	for (size_t i = 0; i < c->device_count; i++)
		for (size_t k = 0; l->upstreams && k < l->config->device_count; k++) {
			const struct config_device *new = &c->devices[i], *old = &l->config->devices[k];

			if (new->way == WAY_DIRECT && old->way == WAY_DIRECT && new->upstream.port == old->upstream.port &&
			    strcmp(new->upstream.host, old->upstream.host) == 0 &&
			    strcmp(new->dns_server, old->dns_server) == 0) {
				upstreams[i] = l->upstreams[k];
				upstreams[i].asking = false;
			}
		}
}

int listeners_update(struct listeners *l, const struct config *c, char **why)
{
	struct upstream *upstreams = calloc(c->device_count ? c->device_count : 1, sizeof(*upstreams));
	struct listener *list = NULL;
	size_t count = 0;
	int e;

	l->aside = 0;
	open_again(l);
	e = upstreams ? wanted(c, &list, &count) : -ENOMEM;
	if (e < 0) {
		give_up(why, "can not set up the listeners: %s", strerror(-e));
		free(list);
		free(upstreams);
		return e;
	}
	/* new ones first: if one fails, nothing has been touched */
	for (size_t i = 0; i < count; i++) {
		list[i].all = l;
		if (same_listener(l->list, l->count, &list[i]))
			continue;
		e = open_socket(&list[i]);
		if (e == -EADDRINUSE && make_way(l, &list[i], list, count))
			e = open_socket(&list[i]);
		list[i].no_family = e < 0 && no_such_family(&list[i], e);
		if (e < 0 && !list[i].no_family) {
			explain(why, c, &list[i], e);
			for (size_t k = 0; k < i; k++)
				close_socket(&list[k]);
			open_again(l);
			free(list);
			free(upstreams);
			return e;
		}
		list[i].fd = e < 0 ? -1 : e;
	}
	keep_addresses(upstreams, l, c);
	for (size_t k = 0; k < l->count; k++) {
		struct listener *old = &l->list[k];

		old->source = sd_event_source_disable_unref(old->source);
		for (size_t i = 0; i < count; i++) {
			if (list[i].fd < 0 && old->way == list[i].way && flow_address_equal(&old->at, &list[i].at)) {
				list[i].fd = old->fd;
				list[i].hidden = old->hidden;
				old->fd = -1;
			}
		}
		close_socket(old);
	}
	free(l->list);
	l->list = list;
	l->count = 0;
	for (size_t i = 0; i < count; i++) {
		struct listener *n = &l->list[l->count];

		if (list[i].no_family || (list[i].fd < 0 && !l->paused))
			continue;
		*n = list[i];
		if (n->fd >= 0 && sd_event_add_io(l->event, &n->source, n->fd, EPOLLIN, on_connection, n) < 0)
			n->fd = close_socket(n);
		l->count++;
	}
	for (size_t i = 0; i < l->waiting_count; i++)
		socket_close(l->waiting[i].fd, true);
	l->waiting_count = 0;
	free(l->upstreams);
	l->upstreams = upstreams;
	l->config = c;
	l->generation++;
	for (size_t i = 0; i < c->device_count; i++)
		if (c->devices[i].way == WAY_DIRECT)
			resolve(l, i);
	return 0;
}

int listeners_new(struct listeners **ret, sd_event *event, struct flows *flows, const struct config *c, char **why)
{
	struct listeners *l = calloc(1, sizeof(*l));
	int e;

	if (!l) {
		give_up(why, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	*l = (struct listeners){
		.event = sd_event_ref(event), .flows = flows, .config = c,
		.refusals = { .burst = 10, .interval = 60 * NSEC_PER_SEC },
		.failures = { .burst = 2, .interval = 60 * NSEC_PER_SEC },
	};
	e = resolver_new(&l->resolver, event, on_answer, l);
	if (e >= 0)
		e = sd_event_add_time_relative(event, &l->resume, CLOCK_MONOTONIC, 0, 1000, on_resume, l);
	if (e >= 0)
		e = sd_event_source_set_enabled(l->resume, SD_EVENT_OFF);
	if (e >= 0)
		e = sd_event_add_time_relative(event, &l->unhold, CLOCK_MONOTONIC, 0, 1000, on_unhold, l);
	if (e >= 0)
		e = sd_event_source_set_enabled(l->unhold, SD_EVENT_OFF);
	if (e < 0)
		give_up(why, "can not start the resolver: %s", strerror(-e));
	else
		e = listeners_update(l, c, why);
	if (e < 0) {
		listeners_free(l);
		return e;
	}
	flows_on_room(flows, on_room, l);
	notify_on_caught_up(unhold, l);
	flows_on_unreachable(flows, on_unreachable, l);
	*ret = l;
	return 0;
}

struct listeners *listeners_free(struct listeners *l)
{
	if (!l)
		return NULL;
	flows_on_room(l->flows, NULL, NULL);
	notify_on_caught_up(NULL, NULL);
	flows_on_unreachable(l->flows, NULL, NULL);
	for (size_t i = 0; i < l->count; i++)
		listener_close(&l->list[i]);
	for (size_t i = 0; i < l->waiting_count; i++)
		close_fd(l->waiting[i].fd);
	resolver_free(l->resolver);
	sd_event_source_disable_unref(l->resume);
	sd_event_source_disable_unref(l->unhold);
	sd_event_unref(l->event);
	free(l->list);
	free(l->upstreams);
	free(l);
	return NULL;
}
