/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_state.c - what is known of devices outlives the decoder, and a damaged file does no harm */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/knowledge.h"
#include "shared/control.h"

static _Alignas(8) uint8_t file[CONTROL_STATE_SIZE];
static size_t complaints;

static void complain(void *ctx, const char *text)
{
	(void)ctx;
	(void)text;
	complaints++;
}

static struct knowledge *begin(int expect)
{
	struct knowledge *k = NULL;

	complaints = 0;
	assert_int_equal(knowledge_new(&k, NULL, 0, NULL, NULL), 0);
	assert_int_equal(knowledge_keep(k, file, sizeof(file), complain, NULL), expect);
	return k;
}

static struct device *known(struct knowledge *k, int i)
{
	char name[16];

	snprintf(name, sizeof(name), "R%d", i);
	return knowledge_device(k, name);
}

static void fill(struct knowledge *k, int n)
{
	for (int i = 0; i < n; i++) {
		struct device *d = known(k, i);
		struct reading r = { .time_ms = 1000 * i, .time_kind = TIME_IN_UTC };

		strcpy(d->serial, "S1");
		d->sensor_list = (uint32_t)(i + 1);
		d->has_live = true;
		d->offset = 1700000000 + i;
		d->power_on = 86400;
		d->blocks.count = 2;
		d->blocks.block[1] = (struct register_block){ 59, 66 };
		for (int m = 0; m < 6; m++)
			clock_live(&d->clock, 3600000 + m * 1000 + i, m * 1000);
		for (uint32_t m = 250; m < 260; m++)
			device_record_seen(d, m, 86400);
		assert_false(device_reading_seen(d, &r));
		state_touch(k->state, d, (i + 1) * INT64_C(1000000000) * 10);
	}
}

static void empty(void)
{
	memset(file, 0, sizeof(file));
}

/* A new file with so many devices. */
static void make(int n)
{
	struct knowledge *k;

	empty();
	k = begin(0);
	fill(k, n);
	knowledge_free(k);
}

static void it_outlives_us(void **state)
{
	struct knowledge *k;

	(void)state;
	empty();
	k = begin(0);
	assert_int_equal(complaints, 0);
	fill(k, 300);
	knowledge_free(k);
	k = begin(300);
	assert_int_equal(complaints, 0);
	for (int i = 0; i < 300; i++) {
		struct device *d = known(k, i);
		struct reading r = { .time_ms = 1000 * i, .time_kind = TIME_IN_UTC };

		assert_string_equal(d->serial, "S1");
		assert_int_equal(d->sensor_list, i + 1);
		assert_true(d->has_live);
		assert_int_equal(d->offset, 1700000000 + i);
		assert_true(d->clock.known);
		assert_int_equal(d->clock.offset_ms, 3600000 + i);
		assert_int_equal(d->blocks.count, 2);
		assert_int_equal(d->blocks.block[1].count, 66);
		assert_true(device_reading_seen(d, &r));
		assert_true(device_record_seen(d, 259, 86400));
		assert_true(device_record_seen(d, 252, 86400));
		assert_false(device_record_seen(d, 251, 86400));	/* too long ago */
		assert_false(device_record_seen(d, 260, 86400));
	}
	knowledge_free(k);
}

/* At most once a second for each device, and the rest when asked for. */
static void written_now_and_then(void **state)
{
	struct knowledge *k;
	struct device *d;

	(void)state;
	empty();
	k = begin(0);
	fill(k, 1);
	d = known(k, 0);
	d->sensor_list = 77;
	state_touch(k->state, d, d->saved_ns + 1000);
	knowledge_free(k);
	k = begin(1);
	assert_int_equal(known(k, 0)->sensor_list, 1);
	d = known(k, 0);
	d->sensor_list = 78;
	state_touch(k->state, d, d->saved_ns + 1000);
	knowledge_save(k);
	knowledge_free(k);
	k = begin(1);
	assert_int_equal(known(k, 0)->sensor_list, 78);
	knowledge_free(k);
}

static void more_devices_than_room(void **state)
{
	struct knowledge *k;

	(void)state;
	empty();
	k = begin(0);
	fill(k, 3000);
	assert_int_equal(k->device_count, DEVICES_MAX);
	knowledge_free(k);
	k = begin(CONTROL_STATE_SIZE / 1024 - 1);
	assert_int_equal(complaints, 0);
	assert_true(known(k, 2999)->clock.known);
	assert_false(known(k, 0)->clock.known);
	knowledge_free(k);
}

static void one_slot_is_damaged(void **state)
{
	struct knowledge *k;

	(void)state;
	make(5);
	file[1024 * 3 + 500] ^= 1;
	k = begin(4);
	assert_int_equal(complaints, 1);
	knowledge_free(k);
	k = begin(4);
	assert_int_equal(complaints, 0);
	knowledge_free(k);
}

static void another_version(void **state)
{
	struct knowledge *k;

	(void)state;
	make(5);
	file[8] ^= 2;
	k = begin(0);
	assert_int_equal(complaints, 1);
	fill(k, 2);
	knowledge_free(k);
	knowledge_free(begin(2));
	memset(file, 0xa5, sizeof(file));
	k = begin(0);
	assert_int_equal(complaints, 1);
	knowledge_free(k);
}

/* Two slots of one device, rubbish with a good header: whatever it is, the decoder starts. */
static void rubbish(void **state)
{
	struct knowledge *k;
	uint32_t random = 7;

	(void)state;
	make(2);
	memcpy(file + 3 * 1024, file + 2 * 1024, 1024);
	k = begin(2);
	assert_int_equal(complaints, 1);
	knowledge_free(k);
	for (size_t i = 1024; i < sizeof(file); i++) {
		random = random * 1664525 + 1013904223;
		file[i] = (uint8_t)(random >> 24);
	}
	k = begin(0);
	assert_int_equal(complaints, 1);
	fill(k, 10);
	knowledge_free(k);
	knowledge_free(begin(10));
	assert_true(knowledge_keep(NULL, file, 10, NULL, NULL) < 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_outlives_us),
		cmocka_unit_test(written_now_and_then),
		cmocka_unit_test(more_devices_than_room),
		cmocka_unit_test(one_slot_is_damaged),
		cmocka_unit_test(another_version),
		cmocka_unit_test(rubbish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
