/* SPDX-License-Identifier: GPL-2.0-or-later */
/* resolver.c - names to addresses, without making the relay wait; see resolver.h */
#include "suntapd/resolver.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct question {
	uint32_t key;
	struct config_endpoint name;
	char dns_server[INET6_ADDRSTRLEN];
};
_Static_assert(sizeof(struct question) <= 4096 && sizeof(struct resolver_answer) <= 4096, "PIPE_BUF: written in one piece");

struct resolver {
	pthread_t thread;
	int ask[2], answer[2];
	sd_event_source *source;
	void (*answered)(void *ctx, const struct resolver_answer *answer);
	void *ctx;
};

static void add_address(struct resolver_answer *a, const struct sockaddr *sa, uint16_t port)
{
	if (a->count == RESOLVER_ADDRESSES_MAX)
		return;
	flow_address_set(&a->addresses[a->count], sa);
	if (a->addresses[a->count].family == 0)
		return;
	a->addresses[a->count++].port = port;
}

static void ask_system(const struct question *q, struct resolver_answer *a)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *found = NULL;
	int e = getaddrinfo(q->name.host, NULL, &hints, &found);

	if (e != 0) {
		a->error = e == EAI_AGAIN ? -EAGAIN : -ENXIO;
		return;
	}
	for (const struct addrinfo *i = found; i; i = i->ai_next)
		add_address(a, i->ai_addr, q->name.port);
	freeaddrinfo(found);
}

/* One server instead of those of resolv.conf; both families as glibc keeps them. */
static int use_server(struct __res_state *state, const char *server, struct sockaddr_in6 *store)
{
	struct in_addr ip4;

	state->nscount = 1;
	memset(&state->nsaddr_list[0], 0, sizeof(state->nsaddr_list[0]));
	if (inet_pton(AF_INET, server, &ip4) == 1) {
		state->nsaddr_list[0] = (struct sockaddr_in){
			.sin_family = AF_INET, .sin_port = htons(NAMESERVER_PORT), .sin_addr = ip4,
		};
		return 0;
	}
	*store = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(NAMESERVER_PORT) };
	if (inet_pton(AF_INET6, server, &store->sin6_addr) != 1)
		return -EINVAL;
	state->_u._ext.nsaddrs[0] = store;
	return 0;
}

static void read_records(const unsigned char *message, int length, uint16_t port, struct resolver_answer *a)
{
	ns_msg m;

	if (ns_initparse(message, length, &m) < 0)
		return;
	for (int i = 0; i < ns_msg_count(m, ns_s_an); i++) {
		struct sockaddr_in in = { .sin_family = AF_INET };
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
		ns_rr rr;

		if (ns_parserr(&m, ns_s_an, i, &rr) < 0)
			return;
		if (ns_rr_type(rr) == ns_t_a && ns_rr_rdlen(rr) == 4) {
			memcpy(&in.sin_addr, ns_rr_rdata(rr), 4);
			add_address(a, (const struct sockaddr *)&in, port);
		} else if (ns_rr_type(rr) == ns_t_aaaa && ns_rr_rdlen(rr) == 16) {
			memcpy(&in6.sin6_addr, ns_rr_rdata(rr), 16);
			add_address(a, (const struct sockaddr *)&in6, port);
		}
	}
}

static void ask_server(const struct question *q, struct resolver_answer *a)
{
	struct __res_state state = { 0 };
	struct sockaddr_in6 *store;
	unsigned char message[4096];

	if (res_ninit(&state) < 0) {
		a->error = -EAGAIN;
		return;
	}
	store = malloc(sizeof(*store));		/* res_nclose() frees it */
	if (!store || use_server(&state, q->dns_server, store) < 0) {
		free(store);
		a->error = -EINVAL;
	} else {
		static const int types[] = { ns_t_a, ns_t_aaaa };

		if (!state._u._ext.nsaddrs[0])
			free(store);
		state.retrans = 2;
		state.retry = 2;
		for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
			int length = res_nquery(&state, q->name.host, ns_c_in, types[i], message, sizeof(message));

			if (length > 0)
				read_records(message, length < (int)sizeof(message) ? length : (int)sizeof(message),
					     q->name.port, a);
			else if (state.res_h_errno == TRY_AGAIN)
				a->error = -EAGAIN;
		}
		if (a->count > 0)
			a->error = 0;
	}
	res_nclose(&state);
}

static bool is_address(const struct question *q, struct resolver_answer *a)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, q->name.host, &in.sin_addr) == 1)
		add_address(a, (const struct sockaddr *)&in, q->name.port);
	else if (inet_pton(AF_INET6, q->name.host, &in6.sin6_addr) == 1)
		add_address(a, (const struct sockaddr *)&in6, q->name.port);
	return a->count > 0;
}

static void *resolve(void *arg)
{
	struct resolver *r = arg;
	struct question q;

	while (read(r->ask[0], &q, sizeof(q)) == sizeof(q)) {
		struct resolver_answer a = { .key = q.key };

		if (!is_address(&q, &a)) {
			if (q.dns_server[0])
				ask_server(&q, &a);
			else
				ask_system(&q, &a);
		}
		if (a.count == 0 && a.error == 0)
			a.error = -ENXIO;
		if (write(r->answer[1], &a, sizeof(a)) < 0)
			continue;	/* nobody wants it any more, as the next read says */
	}
	/* resolver_free() left the rest to us */
	close_fd(r->ask[0]);
	close_fd(r->answer[1]);
	free(r);
	return NULL;
}

static int on_answer(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct resolver *r = userdata;
	struct resolver_answer a;

	(void)source, (void)revents;
	if (read(fd, &a, sizeof(a)) == sizeof(a))
		r->answered(r->ctx, &a);
	return 0;
}

int resolver_ask(struct resolver *r, uint32_t key, const struct config_endpoint *name, const char *dns_server)
{
	struct question q = { .key = key, .name = *name };

	strncpy(q.dns_server, dns_server, sizeof(q.dns_server) - 1);
	return write(r->ask[1], &q, sizeof(q)) == sizeof(q) ? 0 : -EAGAIN;
}

int resolver_new(struct resolver **ret, sd_event *event,
		 void (*answered)(void *ctx, const struct resolver_answer *answer), void *ctx)
{
	struct resolver *r = calloc(1, sizeof(*r));
	sigset_t all, before;
	int e;

	if (!r)
		return -ENOMEM;
	*r = (struct resolver){ .ask = { -1, -1 }, .answer = { -1, -1 }, .answered = answered, .ctx = ctx };
	if (pipe2(r->ask, O_CLOEXEC) < 0 || pipe2(r->answer, O_CLOEXEC) < 0 ||
	    fcntl(r->ask[1], F_SETFL, O_NONBLOCK) < 0 || fcntl(r->answer[0], F_SETFL, O_NONBLOCK) < 0) {
		e = -errno;
		goto fail;
	}
	e = sd_event_add_io(event, &r->source, r->answer[0], EPOLLIN, on_answer, r);
	if (e < 0)
		goto fail;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);	/* signals are the event loop's */
	e = -pthread_create(&r->thread, NULL, resolve, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (e < 0)
		goto fail;
	*ret = r;
	return 0;
fail:
	sd_event_source_disable_unref(r->source);
	for (int i = 0; i < 2; i++) {
		close_fd(r->ask[i]);
		close_fd(r->answer[i]);
	}
	free(r);
	return e;
}

struct resolver *resolver_free(struct resolver *r)
{
	int ask;

	if (!r)
		return NULL;
	sd_event_source_disable_unref(r->source);
	/*
	 * The thread may be inside a lookup that takes seconds, and is not waited for: it frees r when it finds nobody
	 * to ask it, or goes with the process.
	 */
	ask = r->ask[1];
	close_fd(r->answer[0]);
	pthread_detach(r->thread);
	close_fd(ask);
	return NULL;
}
