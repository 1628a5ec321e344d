/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * meter.h - counters of energy that do not fall by a mistake
 *
 * Home Assistant takes a fall of a total_increasing sensor for a new beginning and adds what it shows then: one wrong 0
 * between 12345 and 12345 kWh counts 12345 kWh. Devices tell such zeros when they wake up, when a register is read too
 * early, or when they have just been updated; and some tell yesterday's energy until they have reset it. So a value
 * that can not be is held back until the device says it again:
 *
 *	a total			falls, or jumps:	the second record that goes on with it
 *				falls to 0:		never; what is more than 0 afterwards comes as a fall
 *				falls by a trifle:	never; rounding
 *	energy of a day, …	falls, another day:	at once; this is the reset
 *				falls, the same day:	the second record (0: the third). Some have a midnight of their own
 *				does not fall, the day's first: the second record; the device may not have reset it yet
 *				jumps back to what it was before the reset: the fourth
 *
 * Days are those of this machine's time zone. Nothing is ever made up: neither a zero at midnight nor a value between.
 */
#ifndef EXPORT_METER_H
#define EXPORT_METER_H

#include <stdbool.h>
#include <stdint.h>

enum meter_kind { METER_NONE, METER_TOTAL, METER_DAY, METER_MONTH, METER_YEAR };

struct meter {
	bool known;
	double value;			/* the last that was good */
	int64_t value_ns;		/* when it was measured */
	double before;			/* where it stood before its last reset */
	double candidate;		/* held back */
	int64_t candidate_ns;
	unsigned seen;			/* records that agree with the candidate, itself among them */
};

/* By the vocabulary: energy_total, …_energy_today, operating_time. */
enum meter_kind meter_kind(const char *name);
/* Whether v may be shown. If not, m->value goes on to be shown (where m->known). */
bool meter_take(struct meter *m, enum meter_kind kind, double v, int64_t time_ns);

#endif
