/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clock.h - how far the clock of a device is off, and what its times mean
 *
 * A live record is measured about when it arrives: what its time is ahead of that is the clock's
 * offset, less some seconds on the way. The zone of a wall clock is part of it. One record that says
 * otherwise (it was late, or is nonsense) changes nothing; three that agree are a clock that was set.
 * What the device had kept from before that moment is then still read by the clock it had.
 */
#ifndef SUNTAP_CLOCK_H
#define SUNTAP_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

enum {
	CLOCK_RECENT = 5,
	CLOCK_JUMP = 3,			/* records that agree make a new offset */
	CLOCK_NEAR_MS = 120 * 1000,	/* what delays may make of one offset */
	CLOCK_LATE_MS = 900 * 1000,	/* a live record is not that late: its time is no good */
};

struct clock {
	bool known, has_before;
	uint8_t recent_count, strange_count;
	int64_t offset_ms;		/* ahead of UTC: median of recent */
	int64_t before_ms, since_ms;	/* the offset until then (UTC), where the clock was set while we looked */
	int64_t recent[CLOCK_RECENT], strange[CLOCK_JUMP];
	int64_t strange_since_ms;
	int64_t told_ms;		/* the last one: several readings of one record count once */
};

/* A live record: its time as told, and when it arrived. */
void clock_live(struct clock *c, int64_t told_ms, int64_t arrival_ms);
/*
 * What a told time is in UTC. false: not known, or cannot be (a stored record from the future).
 * What is a zone's offset to two minutes is taken for one: the clock is right then.
 */
bool clock_utc(const struct clock *c, int64_t told_ms, bool stored, int64_t arrival_ms, int64_t *ret_ms);
/* From a file: nothing in it can do harm. */
bool clock_sane(const struct clock *c);

#endif
