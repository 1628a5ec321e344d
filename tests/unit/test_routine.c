/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_routine.c - which openings and ends are told as news */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "decoder/routine.h"

static struct flow_close flow(const char *name, unsigned host, uint16_t port, enum flow_end end)
{
	struct flow_close c = { .end = end };

	strcpy(c.flow.name, name);
	c.flow.device = (struct flow_address){ .family = 4, .port = 40000, .bytes = { 10, 0, (uint8_t)(host >> 8), (uint8_t)host } };
	c.flow.cloud = (struct flow_address){ .family = 4, .port = port, .bytes = { 203, 0, 113, 10 } };
	return c;
}

static bool opening(struct routine *r, const char *name, unsigned host, uint16_t port)
{
	struct flow_close c = flow(name, host, port, 0);
	bool known = routine_opening(r, &c.flow);

	c.flow.device.port++;		/* the next connection has another one */
	assert_true(routine_opening(r, &c.flow));
	return known;
}

static bool end(struct routine *r, const char *name, unsigned host, uint16_t port, enum flow_end how)
{
	struct flow_close c = flow(name, host, port, how);

	return routine_end(r, &c);
}

static void test_openings(void **state)
{
	struct routine r = { .made = 0 };

	(void)state;
	assert_false(opening(&r, "roof", 1, 10000));
	assert_true(opening(&r, "roof", 1, 10000));
	assert_false(opening(&r, "roof", 2, 10000));
	assert_false(opening(&r, "roof", 1, 10001));
	assert_false(opening(&r, "root", 1, 10000));
	assert_true(opening(&r, "roof", 2, 10000));
}

static void test_ends(void **state)
{
	struct routine r = { .made = 0 };

	(void)state;
	assert_false(opening(&r, "roof", 1, 10000));
	assert_false(end(&r, "roof", 1, 10000, FLOW_END_DEVICE_CLOSED));
	assert_true(end(&r, "roof", 1, 10000, FLOW_END_DEVICE_CLOSED));
	assert_false(end(&r, "roof", 1, 10000, FLOW_END_REFUSED));
	assert_true(end(&r, "roof", 1, 10000, FLOW_END_REFUSED));
	assert_false(end(&r, "roof", 1, 10000, FLOW_END_DEVICE_CLOSED));
	/* another connection of the same device is no change of this one; its opening may have been missed */
	assert_false(end(&r, "roof", 1, 10001, FLOW_END_DEVICE_RESET));
	assert_true(end(&r, "roof", 1, 10000, FLOW_END_DEVICE_CLOSED));
	assert_true(opening(&r, "roof", 1, 10001));
}

/* Of more devices than there are rows the oldest are news again, and the last is still known. */
static void test_many(void **state)
{
	struct routine r = { .made = 0 };

	(void)state;
	for (unsigned i = 0; i < 3 * ROUTINE_ROWS; i++) {
		assert_false(opening(&r, "roof", i, 10000));
		assert_false(end(&r, "roof", i, 10000, FLOW_END_DEVICE_CLOSED));
	}
	assert_true(opening(&r, "roof", 3 * ROUTINE_ROWS - 1, 10000));
	assert_true(opening(&r, "roof", 2 * ROUTINE_ROWS, 10000));
	assert_false(opening(&r, "roof", 2 * ROUTINE_ROWS - 1, 10000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_openings),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
