/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_flow.c - the flow table with real connections: what one side does, the other one sees
 *
 *	device ──TCP── (flows_add) flows ──TCP── cloud
 *
 * The ring is read by the test, so that each flow's end, bytes and cause are looked at as the decoder sees them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/ring.h"
#include "suntapd/flow.h"

enum { LIMIT = 64 };

struct bench {
	sd_event *event;
	struct ring ring;
	struct ring_view view;
	struct flows *flows;
	int cloud_listener, door;	/* door: where devices connect; the test accepts and hands over */
	struct flow_address cloud_address, door_address;
	struct flow_close closed;	/* the last one */
	struct flow_entry opened;
	unsigned opens, closes, rooms, unreachables;
	uint64_t closed_flow, copied[DIR_COUNT], lost[DIR_COUNT];
};

/* ---------------------------------------------------------------- the bench */
static int listen_somewhere(struct flow_address *ret)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, length), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &length), 0);
	flow_address_set(ret, (struct sockaddr *)&sa);
	return fd;
}

static void on_room(void *ctx)
{
	((struct bench *)ctx)->rooms++;
}

static void on_unreachable(void *ctx, const char *name)
{
	assert_string_equal(name, "roof");
	((struct bench *)ctx)->unreachables++;
}

static int open_bench(void **state)
{
	const struct flows_options options = {
		.limit = LIMIT, .connect_timeout = 2, .patience = { .keepalive = 60, .user_timeout = 60 },
	};
	struct bench *b = calloc(1, sizeof(*b));
	struct ring_fds fds;

	assert_non_null(b);
	assert_true(sd_event_new(&b->event) >= 0);
	assert_int_equal(ring_open(&b->ring, 1 << 20), 0);
	fds = b->ring.fds;
	assert_int_equal(ring_view_open(&b->view, &fds), 0);
	assert_true(flows_new(&b->flows, b->event, &b->ring, &options) >= 0);
	flows_on_room(b->flows, on_room, b);
	flows_on_unreachable(b->flows, on_unreachable, b);
	b->cloud_listener = listen_somewhere(&b->cloud_address);
	b->door = listen_somewhere(&b->door_address);
	*state = b;
	return 0;
}

static int close_bench(void **state)
{
	struct bench *b = *state;

	b->flows = flows_free(b->flows);
	ring_view_close(&b->view);
	ring_close(&b->ring);
	close_fd(b->cloud_listener);
	close_fd(b->door);
	sd_event_unref(b->event);
	free(b);
	return 0;
}

static void read_ring(struct bench *b)
{
	struct ring_record rec;
	const uint8_t *payload;

	while (ring_view_next(&b->view, &rec, &payload) == 1) {
		switch ((enum ring_kind)rec.kind) {
		case RING_OPEN:
			memcpy(&b->opened, payload, sizeof(b->opened));
			b->opens++;
			break;
		case RING_CLOSE:
			memcpy(&b->closed, payload, sizeof(b->closed));
			b->closed_flow = rec.flow;
			b->closes++;
			break;
		case RING_DATA:
			b->copied[rec.dir] += rec.length;
			break;
		case RING_GAP:
			b->lost[rec.dir] += rec.lost;
			break;
		case RING_LOST_EVENTS:
			fail();
			break;
		}
		ring_view_release(&b->view, &rec);
	}
}

/* Runs the daemon's part for about so many ms. */
static void run(struct bench *b, int ms)
{
	int64_t until = now_monotonic() + ms * NSEC_PER_MSEC;

	while (now_monotonic() < until) {
		assert_true(sd_event_run(b->event, 1000) >= 0);
		read_ring(b);
	}
}

#define RUN_UNTIL(b, condition)                                         \
	do {                                                            \
		int64_t until = now_monotonic() + 5 * NSEC_PER_SEC;     \
		while (!(condition)) {                                  \
			assert_true(now_monotonic() < until);           \
			run(b, 1);                                      \
		}                                                       \
	} while (0)

static int dial(const struct flow_address *to)
{
	struct sockaddr_storage sa;
	socklen_t length = flow_address_get(to, &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, length), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* A device connects; what the daemon got of it is offered to the table. Returns the device's end. */
static int device_to(struct bench *b, const struct flow_address *clouds, size_t count, unsigned device_limit, int *ret)
{
	struct flow_request q = {
		.name = "roof", .device_limit = device_limit, .cloud = clouds, .cloud_count = count,
	};
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	int device = dial(&b->door_address), e;

	q.fd = accept4(b->door, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(q.fd >= 0);
	flow_address_set(&q.device, (struct sockaddr *)&peer);
	e = flows_add(b->flows, &q);
	if (ret)
		*ret = e;
	else
		assert_int_equal(e, 0);
	return device;
}

static int cloud_accepts(struct bench *b)
{
	int fd = -1;

	RUN_UNTIL(b, (fd = accept4(b->cloud_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
	return fd;
}

static void open_flow(struct bench *b, int *device, int *cloud)
{
	*device = device_to(b, &b->cloud_address, 1, 1000, NULL);
	*cloud = cloud_accepts(b);
	run(b, 5);
}

static void reset_fd(int fd)
{
	struct linger hard = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void hear(struct bench *b, int fd, const char *text)
{
	char got[256];
	size_t used = 0;

	while (used < strlen(text)) {
		ssize_t n = -1;

		RUN_UNTIL(b, (n = recv(fd, got + used, strlen(text) - used, 0)) >= 0 || errno != EAGAIN);
		assert_true(n > 0);
		used += (size_t)n;
	}
	assert_memory_equal(got, text, used);
}

/* What the next read gives, waiting for at most a second: 'F'in, 'R'eset, or '-' nothing. */
static char end_of(struct bench *b, int fd)
{
	for (int i = 0; i < 1000; i++) {
		char byte;
		ssize_t n = recv(fd, &byte, 1, 0);

		if (n == 0)
			return 'F';
		if (n < 0 && errno == ECONNRESET)
			return 'R';
		assert_true(n < 0 && errno == EAGAIN);
		run(b, 1);
	}
	return '-';
}

static unsigned flows_now(struct bench *b)
{
	struct flows_stats s;

	flows_get_stats(b->flows, &s);
	return s.now;
}

static unsigned open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

/* ---------------------------------------------------------------- ends */
static void orderly(void **state)
{
	struct bench *b = *state;
	int device, cloud;

	open_flow(b, &device, &cloud);
	assert_int_equal(b->opens, 1);
	assert_string_equal(b->opened.name, "roof");
	assert_true(flow_address_equal(&b->opened.cloud, &b->cloud_address));
	say(device, "question");
	hear(b, cloud, "question");
	shutdown(device, SHUT_WR);
	assert_int_equal(end_of(b, cloud), 'F');
	run(b, 50);
	assert_int_equal(flows_now(b), 1);		/* half closed is not closed */
	say(cloud, "a late answer");
	hear(b, device, "a late answer");
	close(cloud);
	assert_int_equal(end_of(b, device), 'F');
	RUN_UNTIL(b, b->closes == 1);
	assert_int_equal(b->closed.end, FLOW_END_DEVICE_CLOSED);
	assert_int_equal(b->closed.error, 0);
	assert_int_equal(b->closed.flow.forwarded[DIR_DEVICE], 8);
	assert_int_equal(b->closed.flow.forwarded[DIR_CLOUD], 13);
	assert_int_equal(b->copied[DIR_DEVICE], 8);
	assert_int_equal(b->copied[DIR_CLOUD], 13);
	assert_int_equal(b->closed_flow, b->opened.id);
	close(device);
}

static void cloud_closes_first(void **state)
{
	struct bench *b = *state;
	int device, cloud;

	open_flow(b, &device, &cloud);
	shutdown(cloud, SHUT_WR);
	assert_int_equal(end_of(b, device), 'F');
	say(device, "still here");
	hear(b, cloud, "still here");
	close(device);
	assert_int_equal(end_of(b, cloud), 'F');
	RUN_UNTIL(b, b->closes == 1);
	assert_int_equal(b->closed.end, FLOW_END_CLOUD_CLOSED);
	close(cloud);
}

static void reset_each_way(void **state)
{
	struct bench *b = *state;

	for (int who = 0; who < 2; who++) {
		int end[2];

		open_flow(b, &end[0], &end[1]);
		say(end[who], "last words");
		hear(b, end[!who], "last words");
		reset_fd(end[who]);
		assert_int_equal(end_of(b, end[!who]), 'R');
		RUN_UNTIL(b, b->closes == (unsigned)who + 1);
		assert_int_equal(b->closed.end, who == 0 ? FLOW_END_DEVICE_RESET : FLOW_END_CLOUD_RESET);
		assert_int_equal(b->closed.error, ECONNRESET);
		close(end[!who]);
	}
}

/* Words and reset reach us in one batch: the words are passed on, then the reset. */
static void words_and_reset_at_once(void **state)
{
	struct bench *b = *state;

	for (int who = 0; who < 2; who++) {
		int end[2];

		open_flow(b, &end[0], &end[1]);
		say(end[who], "last words");
		usleep(20 * 1000);
		reset_fd(end[who]);
		usleep(20 * 1000);
		hear(b, end[!who], "last words");
		assert_int_equal(end_of(b, end[!who]), 'R');
		close(end[!who]);
	}
}

/* The same while the other side is writing too: our write finds the reset, and takes the error away from our read. */
static void crossing_words_and_reset(void **state)
{
	struct bench *b = *state;

	for (int who = 0; who < 2; who++) {
		int end[2];

		open_flow(b, &end[0], &end[1]);
		say(end[who], "last words");
		say(end[!who], "into the void");
		usleep(20 * 1000);
		reset_fd(end[who]);
		usleep(20 * 1000);
		hear(b, end[!who], "last words");
		assert_int_equal(end_of(b, end[!who]), 'R');
		RUN_UNTIL(b, b->closes == (unsigned)who + 1);
		assert_int_equal(b->closed.end, who == 0 ? FLOW_END_DEVICE_RESET : FLOW_END_CLOUD_RESET);
		close(end[!who]);
	}
}

/* FIN, then reset, with a silent other side: it has to hear of it all the same. */
static void reset_after_half_close(void **state)
{
	struct bench *b = *state;

	for (int who = 0; who < 2; who++) {
		int end[2];

		open_flow(b, &end[0], &end[1]);
		shutdown(end[who], SHUT_WR);
		assert_int_equal(end_of(b, end[!who]), 'F');
		reset_fd(end[who]);
		RUN_UNTIL(b, b->closes == (unsigned)who + 1);
		assert_int_equal(b->closed.end, who == 0 ? FLOW_END_DEVICE_RESET : FLOW_END_CLOUD_RESET);
		assert_int_equal(send(end[!who], "x", 1, MSG_NOSIGNAL), -1);
		close(end[!who]);
	}
	assert_int_equal(flows_now(b), 0);
}

/* FIN and reset in one batch, and both while there is no cloud yet: not a FIN alone. */
static void fin_and_reset_at_once(void **state)
{
	struct bench *b = *state;

	for (int who = 0; who < 3; who++) {
		int end[2];

		if (who < 2) {
			open_flow(b, &end[0], &end[1]);
		} else {
			end[0] = device_to(b, &b->cloud_address, 1, 10, NULL);
			end[1] = -1;
		}
		say(end[who % 2], "last words");
		shutdown(end[who % 2], SHUT_WR);
		usleep(20 * 1000);
		reset_fd(end[who % 2]);
		usleep(20 * 1000);
		if (who == 2)
			end[1] = cloud_accepts(b);
		hear(b, end[!(who % 2)], "last words");
		RUN_UNTIL(b, b->closes == (unsigned)who + 1);
		assert_int_equal(b->closed.end, who == 1 ? FLOW_END_CLOUD_RESET : FLOW_END_DEVICE_RESET);
		assert_int_equal(send(end[!(who % 2)], "x", 1, MSG_NOSIGNAL), -1);
		close(end[!(who % 2)]);
	}
}

/* The cloud takes the connection, speaks and resets before we look: its words are not lost, nor is it "unreachable". */
static void cloud_speaks_and_resets_at_once(void **state)
{
	struct bench *b = *state;
	int device = device_to(b, &b->cloud_address, 1, 10, NULL), cloud;
	struct pollfd p = { .fd = b->cloud_listener, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 5000), 1);
	cloud = accept4(b->cloud_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	say(cloud, "go away");
	usleep(20 * 1000);
	reset_fd(cloud);
	usleep(20 * 1000);
	hear(b, device, "go away");
	assert_int_equal(end_of(b, device), 'R');
	RUN_UNTIL(b, b->closes == 1);
	assert_int_equal(b->closed.end, FLOW_END_CLOUD_RESET);
	close(device);
}

/* ---------------------------------------------------------------- while connecting */
static struct flow_address closed_port(void)
{
	struct flow_address a;

	close(listen_somewhere(&a));
	return a;
}

static void refused(void **state)
{
	struct bench *b = *state;
	struct flow_address nobody = closed_port();
	int device = device_to(b, &nobody, 1, 10, NULL);

	assert_int_equal(end_of(b, device), 'R');
	RUN_UNTIL(b, b->closes == 1);
	assert_int_equal(b->closed.end, FLOW_END_REFUSED);
	assert_int_equal(b->closed.error, ECONNREFUSED);
	assert_int_equal(b->unreachables, 1);
	close(device);
}

static void next_candidate(void **state)
{
	struct bench *b = *state;
	struct flow_address clouds[] = { closed_port(), closed_port(), b->cloud_address };
	int device = device_to(b, clouds, 3, 10, NULL), cloud = cloud_accepts(b);

	say(device, "hello");
	hear(b, cloud, "hello");
	assert_int_equal(b->unreachables, 2);
	close(device);
	close(cloud);
	RUN_UNTIL(b, b->closes == 1);
	assert_int_equal(b->closed.end, FLOW_END_DEVICE_CLOSED);	/* the two failures are forgotten */
	assert_int_equal(b->closed.error, 0);
}

static void no_address(void **state)
{
	struct bench *b = *state;
	int device = device_to(b, NULL, 0, 10, NULL);

	assert_int_equal(end_of(b, device), 'R');
	RUN_UNTIL(b, b->closes == 1);
	assert_int_equal(b->closed.end, FLOW_END_NO_ADDRESS);
	close(device);
}

/* What is said, and FIN, while there is no cloud yet, waits for it. */
static void early_words_and_fin(void **state)
{
	struct bench *b = *state;
	int device = device_to(b, &b->cloud_address, 1, 10, NULL), cloud;

	say(device, "early");
	shutdown(device, SHUT_WR);
	cloud = cloud_accepts(b);
	hear(b, cloud, "early");
	assert_int_equal(end_of(b, cloud), 'F');
	say(cloud, "answer");
	hear(b, device, "answer");
	close(cloud);
	assert_int_equal(end_of(b, device), 'F');
	close(device);
}

/* A cloud that never answers: a listener whose queue is full drops SYNs. */
static int full_listener(struct flow_address *ret, int fillers[4])
{
	int l = listen_somewhere(ret);
	struct sockaddr_storage sa;
	socklen_t length = flow_address_get(ret, &sa);

	assert_int_equal(listen(l, 0), 0);
	for (int i = 0; i < 4; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(fillers[i], (struct sockaddr *)&sa, length);
		usleep(5000);
	}
	return l;
}

static void too_late(void **state)
{
	struct bench *b = *state;
	struct flow_address deaf;
	int fillers[4], l = full_listener(&deaf, fillers), device = device_to(b, &deaf, 1, 10, NULL);
	int64_t began = now_monotonic();

	RUN_UNTIL(b, b->closes == 1);
	assert_int_equal(b->closed.end, FLOW_END_CONNECT_TIMEOUT);
	assert_true(now_monotonic() - began > 1500 * NSEC_PER_MSEC && now_monotonic() - began < 3500 * NSEC_PER_MSEC);
	assert_int_equal(end_of(b, device), 'R');
	for (int i = 0; i < 4; i++)
		close(fillers[i]);
	close(l);
	close(device);
}

static void reset_while_connecting(void **state)
{
	struct bench *b = *state;
	struct flow_address deaf;
	int fillers[4], l = full_listener(&deaf, fillers), device = device_to(b, &deaf, 1, 10, NULL);

	run(b, 20);
	assert_int_equal(flows_now(b), 1);
	reset_fd(device);
	RUN_UNTIL(b, b->closes == 1);
	assert_int_equal(b->closed.end, FLOW_END_DEVICE_RESET);
	assert_int_equal(flows_now(b), 0);
	for (int i = 0; i < 4; i++)
		close(fillers[i]);
	close(l);
}

/* ---------------------------------------------------------------- limits */
static void limit_of_all(void **state)
{
	struct bench *b = *state;
	int devices[LIMIT], device, e;

	for (int i = 0; i < LIMIT; i++)
		devices[i] = device_to(b, &b->cloud_address, 1, 1000, NULL);
	run(b, 20);
	assert_true(flows_full(b->flows));
	device = device_to(b, &b->cloud_address, 1, 1000, &e);
	assert_int_equal(e, -ENFILE);
	assert_int_equal(end_of(b, device), 'R');
	close(device);
	assert_int_equal(b->rooms, 0);
	for (int i = 0; i < LIMIT / 2; i++)
		reset_fd(devices[i]);
	RUN_UNTIL(b, b->rooms == 1);
	assert_false(flows_full(b->flows));
	RUN_UNTIL(b, flows_now(b) == LIMIT / 2);
	assert_int_equal(b->rooms, 1);
	for (int i = LIMIT / 2; i < LIMIT; i++)
		close(devices[i]);
}

static void limit_of_a_device(void **state)
{
	struct bench *b = *state;
	int devices[3], extra, e;

	for (int i = 0; i < 3; i++)
		devices[i] = device_to(b, &b->cloud_address, 1, 3, NULL);
	extra = device_to(b, &b->cloud_address, 1, 3, &e);
	assert_int_equal(e, -EUSERS);
	assert_int_equal(end_of(b, extra), 'R');
	close(extra);
	reset_fd(devices[0]);
	RUN_UNTIL(b, flows_now(b) == 2);
	devices[0] = device_to(b, &b->cloud_address, 1, 3, NULL);
	for (int i = 0; i < 3; i++)
		close(devices[i]);
}

/* A flow whose cloud leads to our own door: the second connection comes from our own socket. */
static void loop(void **state)
{
	struct bench *b = *state;
	struct flow_request q = { .name = "roof", .device_limit = 10, .cloud = &b->cloud_address, .cloud_count = 1 };
	int device = device_to(b, &b->door_address, 1, 10, NULL);
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);

	RUN_UNTIL(b, (q.fd = accept4(b->door, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
	flow_address_set(&q.device, (struct sockaddr *)&peer);
	assert_int_equal(flows_add(b->flows, &q), -ELOOP);
	assert_int_equal(end_of(b, device), 'R');
	close(device);
}

/* With keep_source our near end looks as a device may look by chance: only what comes round again is refused. */
static void loop_with_kept_source(void **state)
{
	struct bench *b = *state;
	struct flow_request q = {
		.name = "roof", .device_limit = 10, .cloud = &b->door_address, .cloud_count = 1, .keep_source = true,
	};
	int device = dial(&b->door_address), e = 0, taken = 0;

	while (e == 0 && taken < 10) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof(peer);

		RUN_UNTIL(b, (q.fd = accept4(b->door, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
		flow_address_set(&q.device, (struct sockaddr *)&peer);
		e = flows_add(b->flows, &q);
		taken += e == 0;
	}
	assert_int_equal(e, -ELOOP);
	assert_int_equal(taken, 3);		/* the device's, and two that could be chance */
	assert_int_equal(end_of(b, device), 'R');
	close(device);
}

static void untapped(void **state)
{
	struct bench *b = *state;
	int device, cloud;

	open_flow(b, &device, &cloud);
	say(device, "seen");
	hear(b, cloud, "seen");
	RUN_UNTIL(b, b->copied[DIR_DEVICE] == 4);
	assert_false(flows_untap(b->flows, b->opened.id + 1));
	assert_false(flows_untap(b->flows, b->opened.id ^ UINT64_C(1) << 32));
	assert_false(flows_untap(b->flows, 0));
	assert_false(flows_untap(b->flows, UINT64_MAX));
	assert_true(flows_untap(b->flows, b->opened.id));
	say(device, "not seen");
	hear(b, cloud, "not seen");
	say(cloud, "nor this");
	hear(b, device, "nor this");
	close(device);
	close(cloud);
	RUN_UNTIL(b, b->closes == 1);
	assert_int_equal(b->copied[DIR_DEVICE], 4);
	assert_int_equal(b->copied[DIR_CLOUD], 0);
	assert_int_equal(b->lost[DIR_DEVICE] + b->lost[DIR_CLOUD], 0);
	assert_int_equal(b->closed.flow.forwarded[DIR_DEVICE], 12);
	assert_int_equal(b->closed.flow.forwarded[DIR_CLOUD], 8);
	/* the slot's next flow is tapped, and has another id */
	open_flow(b, &device, &cloud);
	assert_true(b->opened.id != b->closed_flow);
	say(device, "again");
	hear(b, cloud, "again");
	RUN_UNTIL(b, b->copied[DIR_DEVICE] == 9);
	close(device);
	close(cloud);
}

static void stopped(void **state)
{
	struct bench *b = *state;
	int device, cloud;

	open_flow(b, &device, &cloud);
	say(device, "something");
	hear(b, cloud, "something");
	b->flows = flows_free(b->flows);
	read_ring(b);
	assert_int_equal(b->closes, 1);
	assert_int_equal(b->closed.end, FLOW_END_STOPPED);
	assert_int_equal(b->closed.flow.forwarded[DIR_DEVICE], 9);
	close(device);
	close(cloud);
}

/* Anything at any time on many flows, for a while: in the end nothing is left of any of them. */
static void chaos(void **state)
{
	struct bench *b = *state;
	unsigned before = open_files();
	int fds[400], count = 0;
	struct flow_address nobody = closed_port();

	srandom(5);
	for (int i = 0; i < 6000; i++) {
		int fd, k = count ? (int)((unsigned)random() % (unsigned)count) : 0, e;
		char bytes[20000];

		switch (random() % 9) {
		case 0:
		case 1:
			if (count < 300)
				fds[count++] = device_to(b, random() % 8 ? &b->cloud_address : &nobody, 1, 1000, &e);
			break;
		case 2:
		case 3:
			fd = accept4(b->cloud_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
			if (fd >= 0 && count < 400)
				fds[count++] = fd;
			else
				close_fd(fd);
			break;
		case 4:
			if (count)
				send(fds[k], memset(bytes, 'x', sizeof(bytes)), (size_t)random() % sizeof(bytes), MSG_NOSIGNAL);
			break;
		case 5:
			if (count)
				recv(fds[k], bytes, sizeof(bytes), 0);
			break;
		case 6:
			if (count)
				shutdown(fds[k], SHUT_WR);
			break;
		case 7:
			if (count && random() % 2)
				close(fds[k]);
			else if (count)
				reset_fd(fds[k]);
			if (count)
				fds[k] = fds[--count];
			break;
		default:
			assert_true(sd_event_run(b->event, 0) >= 0);
			read_ring(b);
			break;
		}
	}
	while (count)
		close(fds[--count]);
	for (int fd, quiet = 0; quiet < 100; quiet++) {
		while ((fd = accept4(b->cloud_listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
			close(fd);
		run(b, 2);
	}
	RUN_UNTIL(b, flows_now(b) == 0);
	assert_int_equal(b->opens, b->closes);
	assert_true(b->opens > 300);
	assert_true(open_files() <= before + 2 * PIPES_MAX);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_bench, close_bench)
	const struct CMUnitTest tests[] = {
		TEST(orderly), TEST(cloud_closes_first), TEST(reset_each_way), TEST(words_and_reset_at_once),
		TEST(crossing_words_and_reset), TEST(reset_after_half_close), TEST(fin_and_reset_at_once),
		TEST(cloud_speaks_and_resets_at_once),
		TEST(refused), TEST(next_candidate), TEST(no_address), TEST(early_words_and_fin), TEST(too_late),
		TEST(reset_while_connecting), TEST(limit_of_all), TEST(limit_of_a_device), TEST(loop), TEST(loop_with_kept_source),
		TEST(untapped),
		TEST(stopped), TEST(chaos),
	};

	signal(SIGPIPE, SIG_IGN);	/* as suntapd does: splice() has no MSG_NOSIGNAL */
	return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
