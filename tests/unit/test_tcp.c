/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_tcp.c - streams put together: whatever the order, each byte once; holes told; memory bounded */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* The tool is no library of the unit tests; this part of it stands alone. */
#include "tool/tcp.c"

static struct {
	size_t opened, closed;
	char text[2][70000];
} seen;

static void *on_open(void *ctx, bool ipv6, const struct tcp_end *client, const struct tcp_end *server)
{
	(void)ctx;
	(void)ipv6;
	(void)client;
	(void)server;
	seen.opened++;
	return &seen;
}

static void on_data(void *flow, bool from_client, const uint8_t *bytes, size_t length, int64_t time_ns)
{
	(void)flow;
	(void)time_ns;
	if (strlen(seen.text[!from_client]) + length < sizeof(seen.text[0]))
		strncat(seen.text[!from_client], (const char *)bytes, length);
}

static void on_gap(void *flow, bool from_client)
{
	(void)flow;
	if (strlen(seen.text[!from_client]) + 2 < sizeof(seen.text[0]))
		strcat(seen.text[!from_client], "|");
}

static void on_close(void *flow)
{
	(void)flow;
	seen.closed++;
}

static const struct tcp_events events = { on_open, on_data, on_gap, on_close };
static struct tcp *tcp;
static int64_t now;

static int begin(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	tcp = tcp_new(&events, NULL);
	now = 1000 * NSEC_PER_SEC;
	return tcp ? 0 : -1;
}

static int finish(void **state)
{
	(void)state;
	tcp = tcp_free(tcp);
	return seen.opened == seen.closed ? 0 : -1;
}

enum { SYN = 1, ACK = 2, FIN = 4, RST = 8, BACK = 16 };

static void send_from(uint16_t port, uint32_t seq, const char *bytes, int flags)
{
	struct tcp_segment s = {
		.from = { .port = port }, .to = { .port = 10000 }, .seq = seq, .syn = flags & SYN, .ack = flags & ACK,
		.fin = flags & FIN, .rst = flags & RST, .bytes = (const uint8_t *)bytes, .length = strlen(bytes),
		.time_ns = now += NSEC_PER_MSEC,
	};

	if (flags & BACK) {
		s.from.port = 10000;
		s.to.port = port;
	}
	tcp_segment(tcp, &s);
}

static void send(uint32_t seq, const char *bytes, int flags)
{
	send_from(40000, seq, bytes, flags);
}

static void in_any_order_each_byte_once(void **state)
{
	static const uint32_t starts[] = { 0, 1000, 0xfffffff8, 0x7ffffff8 };
	const char text[] = "abcdefghijklmnopqrstuvwxyz";
	unsigned int seed = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		for (int round = 0; round < 200; round++) {
			uint32_t first = starts[i];
			bool sent[26] = { false };

			finish(NULL);
			assert_int_equal(begin(NULL), 0);
			send(first - 1, "", SYN);
			for (int left = 26; left;) {
				size_t at = (size_t)(rand_r(&seed) >> 4) % 26, n = 1 + (size_t)(rand_r(&seed) >> 4) % 6;
				char part[8] = "";

				n = n < 26 - at ? n : 26 - at;
				memcpy(part, text + at, n);
				for (size_t k = at; k < at + n; k++) {
					left -= !sent[k];
					sent[k] = true;
				}
				send(first + (uint32_t)at, part, ACK);
			}
			assert_string_equal(seen.text[0], text);
		}
}

static void the_first_copy_counts(void **state)
{
	(void)state;
	send(99, "", SYN);
	send(103, "DEF", ACK);
	send(103, "xyz", ACK);
	send(100, "abcx", ACK);
	send(100, "ABCDEFG", ACK);
	assert_string_equal(seen.text[0], "abcxEFG");
}

static void holes_are_waited_for_and_told(void **state)
{
	(void)state;
	send(99, "", SYN);
	send(100, "ab", ACK);
	send(104, "ef", ACK);
	now += 2 * NSEC_PER_SEC;
	send(106, "g", ACK);
	assert_string_equal(seen.text[0], "ab");
	now += 2 * NSEC_PER_SEC;
	send(500, "x", ACK | BACK);		/* time goes on in either direction */
	assert_string_equal(seen.text[0], "ab|efg");
	send(102, "cd", ACK);			/* too late */
	send(107, "h", ACK);
	assert_string_equal(seen.text[0], "ab|efgh");
	assert_string_equal(seen.text[1], "x");
	/* What is held at the end comes out. */
	send(200, "z", ACK);
	tcp = tcp_free(tcp);
	assert_string_equal(seen.text[0], "ab|efgh|z");
}

static void what_is_held_is_bounded(void **state)
{
	(void)state;
	send(99, "", SYN);
	for (uint32_t i = 0; i < 1000; i++)
		send(200 + 3 * i, "x", ACK);
	/* Only the last ones are still waited for. */
	assert_true(strlen(seen.text[0]) >= 2 * (1000 - TCP_HELD_SEGMENTS_MAX) - 2);
	assert_memory_equal(seen.text[0], "|x|x", 4);
}

static void flows_begin_and_end(void **state)
{
	(void)state;
	send(1, "late", RST);
	send(1, "", ACK);
	assert_int_equal(seen.opened, 0);
	send(99, "", SYN);
	send(299, "", SYN | ACK | BACK);
	send(100, "a", ACK);
	send(99, "", SYN);			/* repeated */
	send(101, "", FIN | ACK);
	send(300, "b", FIN | ACK | BACK);
	assert_int_equal(seen.closed, 1);
	assert_string_equal(seen.text[0], "a");
	assert_string_equal(seen.text[1], "b");
	/* The same ports for another connection, the old one not ended in the capture. */
	send(5000, "", SYN);
	send(5001, "c", ACK);
	send(5002, "", FIN | ACK);
	send(90000000, "", SYN);
	send(90000001, "d", ACK);
	assert_int_equal(seen.opened, 3);
	assert_string_equal(seen.text[0], "acd");
	send(90000002, "", RST);
	assert_int_equal(seen.closed, 3);
}

static void flows_are_bounded(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < TCP_FLOWS_MAX + 100; i++)
		send_from((uint16_t)(20000 + i), 5, "x", ACK);
	assert_int_equal(seen.opened - seen.closed, TCP_FLOWS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(in_any_order_each_byte_once, begin, finish),
		cmocka_unit_test_setup_teardown(the_first_copy_counts, begin, finish),
		cmocka_unit_test_setup_teardown(holes_are_waited_for_and_told, begin, finish),
		cmocka_unit_test_setup_teardown(what_is_held_is_bounded, begin, finish),
		cmocka_unit_test_setup_teardown(flows_begin_and_end, begin, finish),
		cmocka_unit_test_setup_teardown(flows_are_bounded, begin, finish),
	};

	return cmocka_run_group_tests_name("tcp", tests, NULL, NULL);
}
