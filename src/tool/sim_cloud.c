/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim_cloud.c - suntap sim cloud: answers devices as the maker's cloud does, and prints what it understands */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool/output.h"
#include "tool/sim_options.h"

enum { CLIENTS_MAX = 256 };

struct client {
	struct sim_options *o;
	int fd;
	struct session *session;
	struct output output;
	char name[80];
	unsigned int answers;
	bool lost, reset;
};

/* ------------------------------------------------ what a device says */
static void on_frame(void *ctx, const struct frame_info *f)
{
	struct client *c = ctx;
	struct sim_frame answer = { .length = 0 };
	bool answered = false;

	output_events.frame(&c->output, f);
	if (f->dir == DIR_DEVICE && !f->error && !f->carrier && !c->o->silence && !c->lost &&
	    c->o->protocol->answer(f->bytes, f->size, now_realtime() / NSEC_PER_MSEC, &answer)) {
		if (c->o->bad_checksum) {
			struct sim_frame bad = answer;

			sim_spoil(c->o->protocol, &bad);
			c->lost |= sim_send(c->o, c->fd, DIR_CLOUD, &bad) < 0;
		}
		answered = sim_send(c->o, c->fd, DIR_CLOUD, &answer) == 0;
		answer.length = 0;
		if (answered && c->o->protocol->then &&
		    c->o->protocol->then(f->bytes, f->size, now_realtime() / NSEC_PER_MSEC, &answer))
			answered = sim_send(c->o, c->fd, DIR_CLOUD, &answer) == 0;
		c->lost |= !answered;
		if (c->o->reset_after && ++c->answers >= c->o->reset_after)
			c->lost = c->reset = true;
	}
	if (!c->o->json)
		printf("%s %s, %zu bytes%s%s%s\n", c->name, f->opcode, f->size, f->error ? ", bad " : "",
		       f->error ? f->error : "", answered ? ", answered" : "");
}

static void on_reading(void *ctx, const struct reading *r)
{
	struct client *c = ctx;

	if (c->o->json)
		output_events.reading(&c->output, r);
}

static void on_note(void *ctx, enum dir dir, const char *key, const char *text)
{
	struct client *c = ctx;

	if (c->o->json)
		output_events.note(&c->output, dir, key, text);
}

static const struct session_events events = { .frame = on_frame, .reading = on_reading, .note = on_note };

/* ------------------------------------------------ connections */
static struct client *open_client(struct sim_options *o, int fd)
{
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	struct client *c = calloc(1, sizeof(*c));
	char host[64] = "?", port[8] = "";

	if (!c)
		return NULL;
	*c = (struct client){ .o = o, .fd = fd, .output = { .to = stdout, .json = o->json, .frames = false } };
	if (session_new(&c->session, o->knowledge, o->protocol->name, &events, c) < 0) {
		free(c);
		return NULL;
	}
	if (getpeername(fd, (struct sockaddr *)&from, &length) == 0)
		getnameinfo((const struct sockaddr *)&from, length, host, sizeof(host), port, sizeof(port),
			    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(c->name, sizeof(c->name), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (!o->json)
		printf("%s connected\n", c->name);
	return c;
}

static void close_client(struct client *c)
{
	session_end(c->session);
	session_free(c->session);
	if (!c->o->json)
		printf("%s %s\n", c->name, c->reset ? "was reset" : "is gone");
	if (c->reset)
		sim_reset(c->fd);
	else
		close(c->fd);
	free(c);
}

static bool serve(struct client *c)
{
	uint8_t bytes[8192];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n > 0)
		session_feed(c->session, DIR_DEVICE, bytes, (size_t)n, now_realtime());
	return n > 0 && !c->lost;
}

static int listen_at(const struct sim_options *o)
{
	int fd = socket(o->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, (const struct sockaddr *)&o->address, o->address_length) < 0 || listen(fd, 64) < 0) {
		int e = errno;

		close(fd);
		return -e;
	}
	return fd;
}

/* With port 0 the kernel has chosen: say which, for whoever started us. */
static void tell_port(int fd, const struct sim_options *o)
{
	struct sockaddr_storage at;
	socklen_t length = sizeof(at);
	char port[8] = "?";

	if (getsockname(fd, (struct sockaddr *)&at, &length) == 0)
		getnameinfo((const struct sockaddr *)&at, length, NULL, 0, port, sizeof(port), NI_NUMERICSERV);
	fprintf(stderr, "listening, port %s, %s\n", port, o->protocol->name);
}

int sim_cloud_run(struct sim_options *o)
{
	static struct pollfd fds[1 + CLIENTS_MAX];
	static struct client *clients[CLIENTS_MAX];
	size_t count = 0;
	uint64_t ended = 0;
	int listener = listen_at(o);

	if (listener < 0) {
		fprintf(stderr, "suntap: %s: %s\n", o->address_text, strerror(-listener));
		return 1;
	}
	tell_port(listener, o);
	while (!o->count || ended < o->count) {
		int fd;

		/* Full: whoever comes next waits in the kernel's queue. */
		fds[0] = (struct pollfd){ .fd = count < CLIENTS_MAX ? listener : -1, .events = POLLIN };
		for (size_t i = 0; i < count; i++)
			fds[1 + i] = (struct pollfd){ .fd = clients[i]->fd, .events = POLLIN };
		if (poll(fds, 1 + count, -1) < 0 && errno != EINTR)
			return 1;
		for (size_t i = count; i-- > 0;)
			if (fds[1 + i].revents && !serve(clients[i])) {
				close_client(clients[i]);
				clients[i] = clients[--count];
				ended++;
			}
		if (!(fds[0].revents & POLLIN))
			continue;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			continue;
		clients[count] = open_client(o, fd);
		if (clients[count])
			count++;
		else
			close(fd);
	}
	while (count)
		close_client(clients[--count]);
	close(listener);
	return fflush(stdout) ? 1 : 0;
}
