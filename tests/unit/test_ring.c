/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_ring.c - what ring.h promises: nothing lost or wrapped, and a writer that no reader can hurt */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/ring.h"
#include "shared/util.h"

enum { SIZE = 64 * 1024 };

struct pair {
	struct ring ring;
	struct ring_view view;
};

static int open_pair(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct ring_fds fds;

	assert_non_null(p);
	assert_int_equal(ring_open(&p->ring, SIZE), 0);
	fds = p->ring.fds;
	fds.ring = ring_reader_fd(&p->ring);
	assert_true(fds.ring >= 0);
	assert_int_equal(ring_view_open(&p->view, &fds), 0);
	close(fds.ring);
	*state = p;
	return 0;
}

static int close_pair(void **state)
{
	struct pair *p = *state;

	ring_view_close(&p->view);
	ring_close(&p->ring);
	ring_close(&p->ring);		/* twice is fine */
	free(p);
	return 0;
}

static void fill(uint8_t *bytes, size_t length, uint64_t key)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)((key + i) * 167 >> 3);
}

static struct ring_record data_record(uint64_t number, size_t length)
{
	return (struct ring_record){
		.kind = RING_DATA, .flow = number, .offset = number * 3, .lost = ~number, .time = (int64_t)number,
		.length = (uint32_t)length,
	};
}

static int put(struct ring *r, uint64_t number, size_t length)
{
	static uint8_t bytes[SIZE];
	struct ring_record rec = data_record(number, length);

	fill(bytes, length, number);
	return ring_put(r, &rec, bytes, 0);
}

static void expect(struct ring_view *v, uint64_t number)
{
	static uint8_t bytes[SIZE];
	struct ring_record rec;
	const uint8_t *payload;

	assert_int_equal(ring_view_next(v, &rec, &payload), 1);
	assert_int_equal(rec.flow, number);
	assert_int_equal(rec.offset, number * 3);
	assert_int_equal(rec.lost, ~number);
	fill(bytes, rec.length, number);
	assert_memory_equal(payload, bytes, rec.length);
	ring_view_release(v, &rec);
}

static void sizes(void **state)
{
	static const size_t bad[] = { 0, 1, 4096, 32 * 1024, 64 * 1024 + 1, 96 * 1024, 3u << 20, (size_t)2 << 30 };
	struct ring r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(ring_open(&r, bad[i]), -EINVAL);
		ring_close(&r);
	}
}

/* Many times round, every length: what was put comes out, in order and in one piece. */
static void round_and_round(void **state)
{
	struct pair *p = *state;
	uint64_t in = 0, out = 0;

	srandom(1);
	while (out < 50000) {
		while (random() % 3) {
			size_t length = (size_t)random() % (random() % 16 ? 300 : SIZE / 2);

			if (put(&p->ring, in, length) < 0)
				break;
			in++;
		}
		while (out < in && random() % 3)
			expect(&p->view, out++);
		if (in - out > 100)
			while (out < in)
				expect(&p->view, out++);
	}
	assert_true(p->ring.tail > 20 * (uint64_t)SIZE);
	assert_false(ring_broken(&p->ring));
}

static void room_is_exact(void **state)
{
	struct pair *p = *state;
	struct ring_record rec;
	const uint8_t *payload;

	for (size_t before = 0; before < 300; before += 7) {
		size_t room;

		assert_int_equal(put(&p->ring, before, before), 0);
		room = ring_room(&p->ring, 0);
		assert_true(room > 0);
		assert_int_equal(put(&p->ring, 1, room + 1), -ENOBUFS);
		assert_int_equal(ring_room(&p->ring, 1000), room - 1000);
		assert_int_equal(ring_room(&p->ring, SIZE), 0);
		assert_int_equal(put(&p->ring, before + 1, room), 0);
		assert_true(ring_unread(&p->ring) <= SIZE);
		assert_int_equal(ring_room(&p->ring, 0), 0);
		assert_int_equal(put(&p->ring, 3, 0), -ENOBUFS);
		expect(&p->view, before);
		expect(&p->view, before + 1);
		assert_int_equal(ring_view_next(&p->view, &rec, &payload), 0);
	}
}

/* The writer's tail and what it writes never depend on the reader's page; a head that can not be is a full ring. */
static void hostile_reader(void **state)
{
	struct pair *p = *state;
	struct ring_head *page = p->ring.reader;

	srandom(2);
	for (int i = 0; i < 100000; i++) {
		uint64_t tail = p->ring.tail, head;
		size_t room;

		switch (random() % 5) {
		case 0: head = tail + 1 + (uint64_t)random() % 100; break;
		case 1: head = tail - SIZE - 1 - (uint64_t)random() % 100; break;
		case 2: head = (uint64_t)random() << 40 ^ (uint64_t)random(); break;
		case 3: head = tail - (uint64_t)random() % (SIZE + 1); break;
		default: head = 0; break;
		}
		for (size_t k = 0; k < sizeof(*page); k++)
			((volatile uint8_t *)page)[k] = (uint8_t)random();
		atomic_store(&page->head, head);
		room = ring_room(&p->ring, 0);
		assert_true(room < SIZE);
		if (tail - head > SIZE) {
			assert_true(ring_broken(&p->ring));
			assert_int_equal(room, 0);
			assert_int_equal(put(&p->ring, 1, 1), -ENOBUFS);
			assert_int_equal(ring_skip_one(&p->ring), 0);
		} else {
			assert_false(ring_broken(&p->ring));
			if (random() % 2)
				assert_true(ring_skip_one(&p->ring) <= SIZE);
			put(&p->ring, 1, (size_t)random() % 2000);
		}
		ring_ring(&p->ring);
		assert_true(p->ring.tail >= tail && p->ring.tail - tail < 2100);
	}
	assert_true(ring_reset_reader(&p->ring) <= SIZE);
	assert_false(ring_broken(&p->ring));
	assert_int_equal(ring_unread(&p->ring), 0);
	ring_next_reader(&p->ring);
	p->view.head = p->ring.tail;
	assert_int_equal(put(&p->ring, 77, 100), 0);
	expect(&p->view, 77);
}

static void reader_can_only_read(void **state)
{
	struct pair *p = *state;
	int fd = ring_reader_fd(&p->ring);

	assert_true(fd >= 0);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(errno, EACCES);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
	assert_int_equal(ftruncate(p->ring.fds.ring, 0), -1);		/* sealed: no SIGBUS for either */
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(p->ring.fds.head, 0), -1);		/* this one the reader may write, not shrink */
	assert_int_equal(errno, EPERM);
	close(fd);
}

/* The reader's side does not believe everything either. */
static void nonsense_in_the_ring(void **state)
{
	struct pair *p = *state;
	struct ring_record rec, *there = (struct ring_record *)(void *)p->ring.data;
	const uint8_t *payload;
	uint64_t tail;

	assert_int_equal(put(&p->ring, 1, 100), 0);
	tail = p->ring.tail;
	for (uint64_t length = UINT32_MAX; length > UINT32_MAX - 100; length--) {
		there->length = (uint32_t)length;
		assert_int_equal(ring_view_next(&p->view, &rec, &payload), -EBADMSG);
	}
	there->length = 105;	/* 5 beyond its end, the padding holds 4 */
	assert_int_equal(ring_view_next(&p->view, &rec, &payload), -EBADMSG);
	there->length = 100;
	for (uint64_t bad = 1; bad < RING_RECORD_SIZE; bad++) {
		atomic_store(&p->ring.shared->tail, bad);
		assert_int_equal(ring_view_next(&p->view, &rec, &payload), -EBADMSG);
	}
	atomic_store(&p->ring.shared->tail, SIZE + 1);
	assert_int_equal(ring_view_next(&p->view, &rec, &payload), -EBADMSG);
	atomic_store(&p->ring.shared->tail, tail);
	expect(&p->view, 1);
}

static void after_a_death(void **state)
{
	struct pair *p = *state;
	struct ring_view second;
	struct ring_fds fds = p->ring.fds;

	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(put(&p->ring, i, 100 + i), 0);
	expect(&p->view, 0);
	expect(&p->view, 1);
	/* the next reader begins where the first one stopped … */
	assert_int_equal(ring_view_open(&second, &fds), 0);
	expect(&second, 2);
	/* … or one further, if that one record is what it dies of */
	assert_int_equal(ring_skip_one(&p->ring), RING_RECORD_SIZE + 104);
	ring_view_close(&second);
	assert_int_equal(ring_view_open(&second, &fds), 0);
	expect(&second, 4);
	assert_int_equal(ring_reset_reader(&p->ring), 5 * RING_RECORD_SIZE + 112 + 112 + 112 + 112 + 112);
	assert_int_equal(ring_skip_one(&p->ring), 0);
	ring_view_close(&second);
}

/* A reader that sleeps is woken by anything, one that naps by an eighth of the ring. A missed bell is a poll() ended by time. */
struct bell_test {
	struct pair *p;
	uint64_t count;
	size_t most;
	enum ring_rest rest;
};

static void *ring_bells(void *arg)
{
	struct bell_test *t = arg;

	for (uint64_t i = 0; i < t->count;) {
		if (put(&t->p->ring, i, i % t->most) == 0)
			i++;
		ring_ring(&t->p->ring);
		/* now and then the reader is given the time to lie down, however busy the machine is */
		if (i % 4096 == 0)
			while (i < t->count && atomic_load(&t->p->ring.reader->rest) != t->rest)
				sched_yield();
	}
	return NULL;
}

static void bells(struct pair *p, enum ring_rest rest, uint64_t count, size_t most)
{
	struct bell_test t = { .p = p, .count = count, .most = most, .rest = rest };
	struct ring_view *v = &p->view;
	uint64_t out = 0, rested = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, ring_bells, &t), 0);
	while (out < t.count) {
		struct pollfd bell = { .fd = v->bell, .events = POLLIN };
		bool may_end_by_time = rest == RING_NAPPING && t.count - out < 2 * SIZE / RING_RECORD_SIZE;
		struct ring_record rec;
		const uint8_t *payload;

		if (ring_view_next(v, &rec, &payload) == 1) {
			expect(v, out++);
			continue;
		}
		if (!ring_view_rest(v, rest))
			continue;
		rested++;
		if (poll(&bell, 1, may_end_by_time ? 1 : 5000) == 0)
			assert_true(may_end_by_time);
		ring_view_awake(v);
	}
	pthread_join(thread, NULL);
	assert_true(rested > 10);
}

static void wakes_a_sleeper(void **state)
{
	bells(*state, RING_SLEEPING, 300000, 50);
}

static void wakes_a_napper(void **state)
{
	bells(*state, RING_NAPPING, 100000, 500);
}

static void lets_a_napper_nap(void **state)
{
	struct pair *p = *state;
	struct pollfd bell = { .fd = p->view.bell, .events = POLLIN };

	assert_true(ring_view_rest(&p->view, RING_NAPPING));
	for (int i = 0; i < 10; i++) {
		assert_int_equal(put(&p->ring, 1, 100), 0);
		ring_ring(&p->ring);
	}
	assert_int_equal(poll(&bell, 1, 0), 0);
	assert_false(ring_view_rest(&p->view, RING_SLEEPING));		/* looking again before a real sleep it sees them */
	assert_int_equal(put(&p->ring, 1, SIZE / 8), 0);
	assert_false(ring_view_rest(&p->view, RING_NAPPING));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test_setup_teardown(round_and_round, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(room_is_exact, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(hostile_reader, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(reader_can_only_read, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(nonsense_in_the_ring, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(after_a_death, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(wakes_a_sleeper, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(wakes_a_napper, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(lets_a_napper_nap, open_pair, close_pair),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
