/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_meter.c - sequences of counters as devices tell them, and what is shown of each */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "export/meter.h"
#include "shared/util.h"

enum { NOON = 1714557600 };	/* 2024-05-01T10:00:00Z */

/* "hours:value hours:value …" (hours after NOON); "-" is what shows before there is anything. */
static void shows(enum meter_kind kind, const char *input, const char *wanted)
{
	struct meter m = { 0 };
	char got[1024] = "", copy[1024];

	snprintf(copy, sizeof(copy), "%s", input);
	for (char *p = strtok(copy, " "); p; p = strtok(NULL, " ")) {
		double hours = atof(p), v = atof(strchr(p, ':') + 1);

		meter_take(&m, kind, v, (int64_t)((NOON + hours * 3600) * (double)NSEC_PER_SEC));
		snprintf(got + strlen(got), sizeof(got) - strlen(got), m.known ? "%s%g" : "%s-", *got ? " " : "", m.value);
	}
	assert_string_equal(got, wanted);
}

static void total(void **state)
{
	(void)state;
	shows(METER_TOTAL, "0:12345 .1:12345.1 .2:12346", "12345 12345.1 12346");
	shows(METER_TOTAL, "0:12345 .1:0 .2:12345", "12345 12345 12345");
	shows(METER_TOTAL, "0:12345 .1:0 .2:0 .3:0 .4:0 .5:12345.2", "12345 12345 12345 12345 12345 12345.2");
	/* another device's total, once; rounding; below nothing */
	shows(METER_TOTAL, "0:12345 .1:17 .2:12345.1", "12345 12345 12345.1");
	shows(METER_TOTAL, "0:12345 .1:12344.9 .2:12344.9 .3:12345.1", "12345 12345 12345 12345.1");
	shows(METER_TOTAL, "0:12345 .1:-3 .2:-3 .3:-3", "12345 12345 12345 12345");
	/* a spike, and a spike down after it was doubted */
	shows(METER_TOTAL, "0:12345 .1:99999 .2:12345.1 .3:12345.2", "12345 12345 12345.1 12345.2");
	/* the device was exchanged: the second record, or the second above 0 */
	shows(METER_TOTAL, "0:12345 1:0.3 2:0.4 3:0.5", "12345 12345 0.4 0.5");
	shows(METER_TOTAL, "0:12345 1:0 2:0 3:0.1 4:0.1", "12345 12345 12345 12345 0.1");
	/* two lower ones that have nothing to do with each other */
	shows(METER_TOTAL, "0:12345 1:5000 1.1:17 1.2:12345", "12345 12345 12345 12345");
	/* away for a month */
	shows(METER_TOTAL, "0:12345 720:13345", "12345 13345");
	/* new: a 0 at first is not believed at once; the same record twice is no second one */
	shows(METER_TOTAL, "0:0 .1:0 .2:0", "- - 0");
	shows(METER_TOTAL, "0:0 .1:12345 .2:12345", "- 12345 12345");
	shows(METER_TOTAL, "0:12345 1:0.3 1:0.3", "12345 12345 12345");
}

static void day(void **state)
{
	(void)state;
	/* reset at midnight (14 h after 10:00), by the device */
	shows(METER_DAY, "0:5 8:12.3 9:12.3 14.1:0 21:0.1", "5 12.3 12.3 0 0.1");
	/* asleep at night; the first of the morning is yesterday's, then the reset */
	shows(METER_DAY, "8:12.3 21:12.3 21.1:0 21.2:0.1", "12.3 12.3 0 0.1");
	/* the first of the morning is yesterday's and more: held back, then as it is (no reset in the night) */
	shows(METER_DAY, "8:12.3 21:12.4 21.1:12.5", "12.3 12.3 12.5");
	/* 0 at dawn, yesterday's again, then the right one */
	shows(METER_DAY, "8:12.3 21:0 21.1:12.3 21.2:12.3 21.3:0.1", "12.3 0 0 0 0.1");
	/* a bad 0 at noon; two bad ones; a spike */
	shows(METER_DAY, "0:5 .1:0 .2:5.1", "5 5 5.1");
	shows(METER_DAY, "0:5 .1:0 .2:0 .3:5.1", "5 5 5 5.1");
	shows(METER_DAY, "0:5 .1:999 .2:5.1", "5 5 5.1");
	/* a device with a midnight of its own */
	shows(METER_DAY, "0:5 1:0 2:0 3:0 4:0.2", "5 5 5 0 0.2");
	shows(METER_DAY, "0:5 1:0.1 2:0.2", "5 5 0.2");
	/* back after three days */
	shows(METER_DAY, "0:5 72:9 72.1:9.1", "5 5 9.1");
	/* months end less often */
	shows(METER_MONTH, "0:100 14.1:0 14.2:100.1", "100 100 100.1");
	shows(METER_MONTH, "0:100 734.1:0 735:0.2", "100 0 0.2");
	shows(METER_YEAR, "0:100 734.1:0 735:100.2", "100 100 100.2");
}

static void kinds(void **state)
{
	(void)state;
	assert_int_equal(meter_kind("energy_total"), METER_TOTAL);
	assert_int_equal(meter_kind("battery_grid_charge_energy_total"), METER_TOTAL);
	assert_int_equal(meter_kind("pv1_energy_today"), METER_DAY);
	assert_int_equal(meter_kind("energy_yesterday"), METER_NONE);
	assert_int_equal(meter_kind("ac_energy_interval"), METER_NONE);
	assert_int_equal(meter_kind("ac_power"), METER_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(total), cmocka_unit_test(day), cmocka_unit_test(kinds) };

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
