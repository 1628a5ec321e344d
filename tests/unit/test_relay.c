/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_relay.c - one direction of a flow on real TCP connections: what relay.h and tap.h promise */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/ring.h"
#include "suntapd/relay.h"

enum { RING = 4 << 20, SMALL_RING = 64 * 1024 };

/* sender ──TCP──▶ d.from  relay  d.to ──TCP──▶ receiver */
struct bench {
	struct relay_dir d;
	struct pipes pipes;
	struct ring ring;
	struct ring_view view;
	struct tap tap;
	struct flow_entry entry;
	int sender, receiver;
	uint64_t sent, received, seen;	/* bytes: given to the relay's socket, got out, found in the ring */
};

/* ---------------------------------------------------------------- allocations are counted */
static _Atomic size_t allocations;
#ifndef __SANITIZE_ADDRESS__
void *__libc_malloc(size_t size);
void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}
#endif

/* ---------------------------------------------------------------- connections */
static void tcp_pair(int *a, int *b)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(sa);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	assert_int_equal(bind(l, (struct sockaddr *)&sa, length), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&sa, &length), 0);
	*a = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*a, (struct sockaddr *)&sa, length), 0);
	*b = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*b >= 0);
	close(l);
	for (int i = 0; i < 2; i++) {
		fcntl(i ? *a : *b, F_SETFL, O_NONBLOCK);
		setsockopt(i ? *a : *b, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
}

static void reset_fd(int fd)
{
	struct linger hard = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
}

static int open_with(void **state, size_t ring)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct ring_fds fds;

	assert_non_null(b);
	tcp_pair(&b->sender, &b->d.from);
	tcp_pair(&b->receiver, &b->d.to);
	b->d.readable = b->d.writable = true;
	b->entry.id = 7;
	pipes_open(&b->pipes, 8);
	assert_int_equal(ring_open(&b->ring, ring), 0);
	fds = b->ring.fds;
	assert_int_equal(ring_view_open(&b->view, &fds), 0);
	assert_int_equal(tap_open(&b->tap, &b->ring), 0);
	*state = b;
	return 0;
}

static int open_bench(void **state)
{
	return open_with(state, RING);
}

static int open_small(void **state)
{
	return open_with(state, SMALL_RING);
}

static int close_bench(void **state)
{
	struct bench *b = *state;

	relay_drop(&b->d, &b->pipes, &b->entry, DIR_DEVICE);
	assert_int_equal(b->pipes.lent, 0);
	tap_close(&b->tap);
	ring_view_close(&b->view);
	ring_close(&b->ring);
	pipes_close(&b->pipes);
	for (int i = 0; i < 4; i++)
		close_fd((const int[]){ b->sender, b->receiver, b->d.from, b->d.to }[i]);
	free(b);
	return 0;
}

/* ---------------------------------------------------------------- bytes: each says where it belongs */
static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 31 ^ offset >> 8 ^ offset >> 16);
}

static size_t feed(struct bench *b, size_t size)
{
	static uint8_t bytes[1 << 20];
	ssize_t n;

	assert_true(size <= sizeof(bytes));
	for (size_t i = 0; i < size; i++)
		bytes[i] = byte_at(b->sent + i);
	n = send(b->sender, bytes, size, MSG_NOSIGNAL);
	if (n < 0)
		assert_int_equal(errno, EAGAIN);
	b->sent += n > 0 ? (size_t)n : 0;
	return n > 0 ? (size_t)n : 0;
}

/* What has arrived; true at EOF. A reset gives *reset. */
static bool drain(struct bench *b, size_t most, bool *reset)
{
	static uint8_t bytes[1 << 20];

	while (most > 0) {
		ssize_t n = recv(b->receiver, bytes, most < sizeof(bytes) ? most : sizeof(bytes), 0);

		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0 && reset && errno == ECONNRESET)
			*reset = true;
		else
			assert_true(n >= 0);
		if (n <= 0)
			return true;
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(bytes[i], byte_at(b->received + (size_t)i));
		b->received += (size_t)n;
		most -= (size_t)n;
	}
	return false;
}

/* Reads the ring: every byte is there at its place or told as a gap. Returns how many were told lost. */
static uint64_t read_ring(struct bench *b)
{
	struct ring_record rec;
	const uint8_t *payload;
	uint64_t lost = 0;

	while (ring_view_next(&b->view, &rec, &payload) == 1) {
		assert_int_equal(rec.flow, 7);
		assert_int_equal(rec.offset, b->seen);
		if (rec.kind == RING_GAP) {
			lost += rec.lost;
			b->seen += rec.lost;
		} else {
			assert_int_equal(rec.kind, RING_DATA);
			for (size_t i = 0; i < rec.length; i++)
				assert_int_equal(payload[i], byte_at(b->seen + i));
			b->seen += rec.length;
		}
		ring_view_release(&b->view, &rec);
	}
	return lost;
}

static enum relay_stop pump(struct bench *b, struct tap *tap, int *error)
{
	int e = 0;
	enum relay_stop stop = relay_pump(&b->d, &b->pipes, tap, &b->entry, DIR_DEVICE, error ? error : &e);

	/* the invariant of relay.c */
	assert_int_equal(b->d.pipe != NULL, b->d.pending > 0);
	assert_int_equal(b->pipes.lent, b->d.pending > 0);
	if (b->d.pipe) {
		int inside = 0;

		assert_int_equal(ioctl(b->d.pipe->read, FIONREAD, &inside), 0);
		assert_int_equal(inside, b->d.pending);
	}
	return stop;
}

static void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	assert_int_equal(poll(&p, 1, 5000), 1);
}

/* ---------------------------------------------------------------- tests */
static void every_byte(void **state)
{
	struct bench *b = *state;
	size_t before;

	srandom(3);
	feed(b, 100);
	b->d.readable = true;
	pump(b, &b->tap, NULL);		/* makes the pipe */
	before = allocations;
	while (b->received < 30u << 20) {
		feed(b, 1 + (size_t)random() % (random() % 4 ? 2000 : 300000));
		b->d.readable = b->d.writable = true;
		pump(b, &b->tap, NULL);
		if (random() % 2)
			drain(b, (size_t)random() % 400000, NULL);
		assert_int_equal(read_ring(b), 0);
		assert_int_equal(b->entry.copied[DIR_DEVICE], b->entry.forwarded[DIR_DEVICE] + b->d.pending);
	}
	assert_int_equal(allocations, before);	/* none while bytes move */
	assert_int_equal(b->entry.forwarded[DIR_CLOUD], 0);
	assert_int_equal(b->seen, b->entry.copied[DIR_DEVICE]);
}

/* A receiver that does not read holds the sender back: no more is taken than its socket and one pipe hold. */
static void back_pressure(void **state)
{
	struct bench *b = *state;
	uint64_t taken;
	int quiet = 0;

	while (quiet < 20) {
		b->d.readable = true;
		quiet = feed(b, 1 << 20) > 0 ? 0 : quiet + 1;
		pump(b, NULL, NULL);
		usleep(1000);
	}
	assert_int_equal(pump(b, NULL, NULL), RELAY_WANT_OUT);
	assert_false(b->d.writable);
	taken = b->entry.forwarded[DIR_DEVICE] + b->d.pending;
	assert_true(taken < b->sent);				/* the rest waits in the sockets before us */
	assert_true(b->d.pending <= PIPES_CAPACITY_BIG);
	for (int i = 0; i < 1000; i++) {			/* and asking again changes nothing */
		b->d.readable = true;
		assert_int_equal(pump(b, NULL, NULL), RELAY_WANT_OUT);
	}
	assert_int_equal(b->entry.forwarded[DIR_DEVICE] + b->d.pending, taken);
	while (b->received < b->sent) {
		drain(b, 1 << 20, NULL);
		b->d.readable = b->d.writable = true;
		pump(b, NULL, NULL);
	}
}

static void fin_after_the_last_byte(void **state)
{
	struct bench *b = *state;

	feed(b, 100 * 1000);
	shutdown(b->sender, SHUT_WR);
	for (int i = 0; !b->d.done && i < 1000; i++) {
		b->d.readable = b->d.writable = true;
		pump(b, &b->tap, NULL);
	}
	assert_true(b->d.done && b->d.eof);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pump(b, &b->tap, NULL), RELAY_DONE);
	wait_for(b->receiver, POLLIN);
	while (!drain(b, 1 << 20, NULL))
		wait_for(b->receiver, POLLIN);
	assert_int_equal(b->received, 100 * 1000);
	/* half-closed: the other direction's sockets still work both ways */
	assert_int_equal(send(b->receiver, "x", 1, 0), 1);
	wait_for(b->d.to, POLLIN);
}

static void reset_after_data(void **state)
{
	struct bench *b = *state;
	enum relay_stop stop;
	int error = 0;

	feed(b, 50 * 1000);
	wait_for(b->d.from, POLLIN);
	usleep(20 * 1000);
	reset_fd(b->sender);
	b->sender = -1;
	do {
		b->d.readable = true;
		stop = pump(b, &b->tap, &error);
	} while (stop != RELAY_FROM_FAILED && stop != RELAY_DONE);
	assert_int_equal(stop, RELAY_FROM_FAILED);
	assert_int_equal(error, ECONNRESET);
	while (b->received < 50 * 1000) {
		wait_for(b->receiver, POLLIN);
		drain(b, 1 << 20, NULL);
	}
	assert_int_equal(read_ring(b), 0);
	assert_int_equal(b->seen, 50 * 1000);
}

static void sink_is_gone(void **state)
{
	struct bench *b = *state;
	enum relay_stop stop = RELAY_WANT_IN;
	int error = 0, left = -1;

	feed(b, 1000);
	reset_fd(b->receiver);
	b->receiver = -1;
	usleep(20 * 1000);
	for (int i = 0; i < 100 && stop != RELAY_TO_FAILED; i++) {
		feed(b, 1000);
		b->d.readable = b->d.writable = true;
		stop = pump(b, &b->tap, &error);
		usleep(1000);
	}
	assert_int_equal(stop, RELAY_TO_FAILED);
	assert_true(error == ECONNRESET || error == EPIPE);
	assert_int_equal(b->d.pending, 0);
	assert_true(b->pipes.free->read >= 0);
	assert_int_equal(ioctl(b->pipes.free->read, FIONREAD, &left), 0);
	assert_int_equal(left, 0);
}

static void a_fin_that_is_a_reset(void **state)
{
	struct bench *b = *state;
	int error = 0;

	shutdown(b->sender, SHUT_WR);
	wait_for(b->d.from, POLLIN);
	b->d.from_failed = true;
	assert_int_equal(pump(b, NULL, &error), RELAY_FROM_FAILED);
	assert_int_equal(error, ECONNRESET);
	assert_false(b->d.eof || b->d.done);
}

/* No pipe, no byte taken; and with few left a direction takes only what it can pass on, so that none of them gets stuck. */
static void scarce_pipes(void **state)
{
	struct bench *b = *state;
	struct pipe *held[8];
	int unread = 0;

	for (int i = 0; i < 8; i++)
		assert_non_null(held[i] = pipes_borrow(&b->pipes));
	assert_null(pipes_borrow(&b->pipes));
	feed(b, 1000);
	wait_for(b->d.from, POLLIN);
	assert_int_equal(relay_pump(&b->d, &b->pipes, NULL, &b->entry, DIR_DEVICE, &unread), RELAY_WANT_PIPE);
	ioctl(b->d.from, FIONREAD, &unread);
	assert_int_equal(unread, 1000);
	pipes_return(&b->pipes, held[0], true);
	assert_true(b->pipes.lent == 7);
	for (int i = 0; i < 3000; i++) {
		int e;

		feed(b, 1 << 20);
		b->d.readable = b->d.writable = true;
		relay_pump(&b->d, &b->pipes, NULL, &b->entry, DIR_DEVICE, &e);
		assert_int_equal(b->d.pending, 0);
		if (i % 500 > 400)
			drain(b, 100 * 1000, NULL);
	}
	assert_true(b->received > 1000 * 1000);
	for (int i = 1; i < 8; i++)
		pipes_return(&b->pipes, held[i], true);
}

/* Ring full: the relay goes on at the same pace, and afterwards exactly what is missing is told. */
static void gap_is_exact(void **state)
{
	struct bench *b = *state;
	uint64_t told = 0, rounds = 0;

	srandom(4);
	for (int phase = 0; phase < 20; phase++) {
		uint64_t until = b->received + 200 * 1000;

		while (b->received < until) {		/* nobody reads the ring */
			feed(b, 1 + (size_t)random() % 9000);
			b->d.readable = b->d.writable = true;
			pump(b, &b->tap, NULL);
			drain(b, 1 << 20, NULL);
			rounds++;
		}
		assert_true(b->d.lost > 0);
		told += read_ring(b);
		feed(b, 10);
		wait_for(b->d.from, POLLIN);
		b->d.readable = b->d.writable = true;
		pump(b, &b->tap, NULL);
		told += read_ring(b);
		assert_int_equal(b->d.lost, 0);
		assert_int_equal(b->seen, b->entry.copied[DIR_DEVICE]);
	}
	assert_int_equal(told, b->tap.lost_bytes);
	assert_true(told > 20 * 100 * 1000);
	assert_true(rounds > 100);
}

/* Bytes may not use the last eighth: the close of a flow, with its gap, is told even when the ring is full of data. */
static void close_finds_room(void **state)
{
	struct bench *b = *state;
	const struct flow_close close = { .end = FLOW_END_CLOUD_RESET };
	uint64_t lost[DIR_COUNT] = { 0 }, copied[DIR_COUNT];
	struct ring_record rec;
	const uint8_t *payload;
	uint64_t end = 0;

	while (b->received < 300 * 1000) {
		feed(b, 5000);
		b->d.readable = b->d.writable = true;
		pump(b, &b->tap, NULL);
		drain(b, 1 << 20, NULL);
	}
	lost[DIR_DEVICE] = b->d.lost;
	copied[DIR_DEVICE] = b->entry.copied[DIR_DEVICE];
	copied[DIR_CLOUD] = 0;
	tap_flow_closed(&b->tap, 7, &close, lost, copied);
	assert_int_equal(b->tap.lost_events, 0);
	while (ring_view_next(&b->view, &rec, &payload) == 1) {
		if (rec.kind == RING_CLOSE)
			break;
		assert_int_equal(rec.offset, end);
		end += rec.kind == RING_GAP ? rec.lost : rec.length;
		ring_view_release(&b->view, &rec);
	}
	assert_int_equal(rec.kind, RING_CLOSE);
	assert_int_equal(end, copied[DIR_DEVICE]);
}

/* One busy flow does not keep the others waiting: a turn ends by itself. */
static void *feed_for_ever(void *arg)
{
	int fd = *(int *)arg;
	static uint8_t bytes[1 << 18];

	while (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

static void *drain_for_ever(void *arg)
{
	int fd = *(int *)arg;

	while (recv(fd, NULL, 1 << 20, MSG_TRUNC) > 0)
		;
	return NULL;
}

static void fair_share(void **state)
{
	struct bench *b = *state;
	pthread_t feeder, drainer;
	uint64_t most = 0, budgets = 0;

	fcntl(b->sender, F_SETFL, 0);
	fcntl(b->receiver, F_SETFL, 0);
	pthread_create(&feeder, NULL, feed_for_ever, &b->sender);
	pthread_create(&drainer, NULL, drain_for_ever, &b->receiver);
	while (b->entry.forwarded[DIR_DEVICE] < UINT64_C(1) << 30) {
		uint64_t before = b->entry.forwarded[DIR_DEVICE];
		struct pollfd p[2] = { { .fd = b->d.from, .events = POLLIN }, { .fd = b->d.to, .events = POLLOUT } };
		int e;

		poll(&p[0], 1, 100);
		poll(&p[1], 1, 100);
		b->d.readable = b->d.writable = true;
		budgets += relay_pump(&b->d, &b->pipes, NULL, &b->entry, DIR_DEVICE, &e) == RELAY_BUDGET;
		if (b->entry.forwarded[DIR_DEVICE] - before > most)
			most = b->entry.forwarded[DIR_DEVICE] - before;
	}
	assert_true(most <= (2 << 20) + 2 * PIPES_CAPACITY_BIG);
	print_message("             1 GiB: most in a turn %llu bytes, %llu turns ended by it\n", (unsigned long long)most,
		      (unsigned long long)budgets);
	shutdown(b->d.from, SHUT_RDWR);
	shutdown(b->d.to, SHUT_RDWR);
	reset_fd(b->d.from);
	reset_fd(b->d.to);
	b->d.from = b->d.to = -1;
	pthread_join(feeder, NULL);
	pthread_join(drainer, NULL);
}

/* ---------------------------------------------------------------- what we take from the kernel */
static void kernel_tee_and_splice(void **state)
{
	struct bench *b = *state;
	struct pipe *p = pipes_borrow(&b->pipes);
	uint8_t bytes[3000];
	int inside = 0;

	/* an empty socket into an empty pipe: EAGAIN */
	assert_int_equal(splice(b->d.from, NULL, p->write, NULL, 1000, SPLICE_F_NONBLOCK), -1);
	assert_int_equal(errno, EAGAIN);
	feed(b, 3000);
	wait_for(b->d.from, POLLIN);
	assert_int_equal(splice(b->d.from, NULL, p->write, NULL, 3000, SPLICE_F_NONBLOCK), 3000);
	/* tee takes nothing away, and what is sent on afterwards does not touch the copy */
	assert_int_equal(tee(p->read, b->tap.pipe.write, 2000, SPLICE_F_NONBLOCK), 2000);
	assert_int_equal(splice(p->read, NULL, b->d.to, NULL, 3000, SPLICE_F_NONBLOCK | SPLICE_F_MOVE), 3000);
	drain(b, 3000, NULL);
	assert_int_equal(read(b->tap.pipe.read, bytes, sizeof(bytes)), 2000);
	for (size_t i = 0; i < 2000; i++)
		assert_int_equal(bytes[i], byte_at(i));
	assert_int_equal(ioctl(p->read, FIONREAD, &inside), 0);
	assert_int_equal(inside, 0);
	/* EOF is 0, and again 0 */
	shutdown(b->sender, SHUT_WR);
	wait_for(b->d.from, POLLIN);
	for (int i = 0; i < 3; i++)
		assert_int_equal(splice(b->d.from, NULL, p->write, NULL, 1000, SPLICE_F_NONBLOCK), 0);
	pipes_return(&b->pipes, p, true);
}

/* Many tiny segments fill a pipe's slots long before its bytes: less is taken, nothing is lost. */
static void crumbs(void **state)
{
	struct bench *b = *state;

	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 300; i++)
			feed(b, 1);
		wait_for(b->d.from, POLLIN);
		b->d.readable = b->d.writable = true;
		pump(b, &b->tap, NULL);
		drain(b, 1 << 20, NULL);
		assert_int_equal(read_ring(b), 0);
	}
	for (int i = 0; i < 100 && b->received < b->sent; i++) {
		b->d.readable = b->d.writable = true;
		pump(b, &b->tap, NULL);
		drain(b, 1 << 20, NULL);
		usleep(1000);
	}
	assert_int_equal(read_ring(b), 0);
	assert_int_equal(b->received, b->sent);
	assert_int_equal(b->seen, b->sent);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_bench, close_bench)
	const struct CMUnitTest tests[] = {
		TEST(every_byte), TEST(back_pressure), TEST(fin_after_the_last_byte), TEST(reset_after_data), TEST(sink_is_gone),
		TEST(a_fin_that_is_a_reset), TEST(scarce_pipes), TEST(fair_share),
		cmocka_unit_test_setup_teardown(gap_is_exact, open_small, close_bench),
		cmocka_unit_test_setup_teardown(close_finds_room, open_small, close_bench),
		TEST(kernel_tee_and_splice), TEST(crumbs),
	};

	signal(SIGPIPE, SIG_IGN);	/* as suntapd does: splice() has no MSG_NOSIGNAL */
	return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
