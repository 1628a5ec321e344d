/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_notify.c - what systemd is told arrives in order, however late it reads, and nobody waits for it */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/util.h"
#include "suntapd/notify.h"

enum { MANY = 600 };		/* more than any net.unix.max_dgram_qlen */

static int manager;

static int setup(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	(void)state;
	/* in the abstract namespace: nothing to clean up */
	snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "suntap-test-notify-%d", getpid());
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (manager < 0 ||
	    bind(manager, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(at.sun_path + 1))))
		return -1;
	at.sun_path[0] = '@';
	setenv("NOTIFY_SOCKET", at.sun_path, 1);
	return notify_open();
}

static int teardown(void **state)
{
	(void)state;
	notify_close();
	close(manager);
	return 0;
}

/* The next message, or "" if there is none; *fd (-1) is what came with it. */
static const char *hear(int *fd)
{
	static char text[256];
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(manager, &m, MSG_CMSG_CLOEXEC);

	text[n < 0 ? 0 : n] = '\0';
	if (fd)
		*fd = -1;
	if (fd && n >= 0 && CMSG_FIRSTHDR(&m))
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	return text;
}

static uint64_t send_many(void)
{
	uint64_t ticket = 0;
	char text[32];

	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "N=%d", i);
		ticket = notify_send(-1, text);
	}
	return ticket;
}

static void hear_many(int from, int to)
{
	char text[32];

	for (int i = from; i < to; i++) {
		snprintf(text, sizeof(text), "N=%d", i);
		assert_string_equal(hear(NULL), text);
		notify_flush(0);
	}
}

static void in_order(void **state)
{
	uint64_t first = notify_send(-1, "FIRST=1"), last;

	(void)state;
	assert_true(notify_is_sent(first));
	last = send_many();
	assert_false(notify_is_sent(last));
	assert_true(notify_is_sent(first));
	assert_string_equal(hear(NULL), "FIRST=1");
	hear_many(0, MANY);
	assert_true(notify_is_sent(last));
	assert_string_equal(hear(NULL), "");
	assert_true(notify_is_sent(notify_send(-1, "AFTER=1")));
}

static void with_descriptors(void **state)
{
	int fds[2], fd;
	char byte = 0;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	send_many();
	notify_send(fds[0], "FDSTORE=1");
	hear_many(0, MANY);
	assert_string_equal(hear(&fd), "FDSTORE=1");
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(read(fd, &byte, 1), 1);
	assert_int_equal(byte, 'x');
	close(fd);
	close(fds[0]);
	close(fds[1]);
}

static void taken_back(void **state)
{
	uint64_t put, next;

	(void)state;
	send_many();
	put = notify_send(0, "PUT=a");
	next = notify_send(-1, "NEXT=1");
	assert_false(notify_cancel("PUT="));
	assert_true(notify_cancel("PUT=a"));
	assert_false(notify_cancel("PUT=a"));
	assert_false(notify_cancel("N=0"));		/* sent long ago */
	assert_false(notify_is_sent(next));
	hear_many(0, MANY);
	assert_string_equal(hear(NULL), "NEXT=1");
	assert_string_equal(hear(NULL), "");
	assert_true(notify_is_sent(put) && notify_is_sent(next));
}

static void newest_state(void **state)
{
	uint64_t last = send_many();
	char text[32];
	int heard = 0;

	(void)state;
	notify_state("STATUS=old");
	notify_state("READY=1");
	notify_send(-1, "BETWEEN=1");
	notify_state("STATUS=new");
	notify_state("STATUSES=1");
	assert_false(notify_is_sent(last));
	/* what is in systemd's queue already, then the states, then what waits with us */
	for (snprintf(text, sizeof(text), "%s", hear(NULL)); strncmp(text, "N=", 2) == 0; snprintf(text, sizeof(text), "%s", hear(NULL))) {
		assert_int_equal(atoi(text + 2), heard++);
		notify_flush(0);
	}
	assert_true(heard > 0 && heard < MANY);
	assert_string_equal(text, "READY=1");
	notify_flush(0);
	assert_string_equal(hear(NULL), "STATUS=new");
	notify_flush(0);
	assert_string_equal(hear(NULL), "STATUSES=1");
	notify_flush(0);
	hear_many(heard, MANY);
	assert_true(notify_is_sent(last));
	assert_string_equal(hear(NULL), "BETWEEN=1");
	assert_string_equal(hear(NULL), "");
}

static void patience_ends(void **state)
{
	int64_t start = now_monotonic();
	uint64_t last = send_many();

	(void)state;
	while (!notify_is_sent(last))
		assert_true(now_monotonic() - start < 60 * NSEC_PER_SEC);
	assert_true(now_monotonic() - start >= NOTIFY_PATIENCE_MS * NSEC_PER_MSEC);
	hear_many(0, MANY);
	/* it listens again: worth waiting for */
	last = send_many();
	assert_false(notify_is_sent(last));
}

static void flush_ends(void **state)
{
	int64_t start = now_monotonic();

	(void)state;
	send_many();
	notify_flush(30);
	assert_true(now_monotonic() - start >= 30 * NSEC_PER_MSEC);
	hear_many(0, MANY);
}

static void gone(void **state)
{
	(void)state;
	send_many();
	close(manager);
	notify_flush(1000);	/* nobody will ever read: dropped, not kept */
	assert_true(notify_is_sent(notify_send(-1, "X=1")));
}

static void without_systemd(void **state)
{
	(void)state;
	notify_close();
	assert_true(notify_is_sent(notify_send(-1, "X=1")));
	notify_state("X=1");
	assert_false(notify_cancel("X=1"));
	notify_flush(1000);
}

static void via_loop(void **state)
{
	sd_event *event;
	char text[32];

	(void)state;
	assert_int_equal(sd_event_new(&event), 0);
	assert_true(notify_attach(event) >= 0);
	assert_int_equal(sd_event_run(event, 0), 0);	/* nothing waits: nothing to do */
	send_many();
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "N=%d", i);
		assert_string_equal(hear(NULL), text);
		assert_true(sd_event_run(event, 0) >= 0);
	}
	assert_int_equal(sd_event_run(event, 0), 0);
	notify_detach();
	sd_event_unref(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(with_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(taken_back, setup, teardown),
		cmocka_unit_test_setup_teardown(newest_state, setup, teardown),
		cmocka_unit_test_setup_teardown(patience_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(flush_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(gone, setup, teardown),
		cmocka_unit_test_setup_teardown(without_systemd, setup, teardown),
		cmocka_unit_test_setup_teardown(via_loop, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
