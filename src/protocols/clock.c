/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock.c - how far the clock of a device is off; see clock.h */
#include "protocols/clock.h"

#include <string.h>

#include "shared/util.h"

#define QUARTER_MS (INT64_C(900) * 1000)
#define ZONE_MOST_MS (INT64_C(14) * 3600 * 1000)
#define OFFSET_MOST_MS (INT64_C(200) * 365 * 86400 * 1000)

static bool near(int64_t a, int64_t b)
{
	return a - b <= CLOCK_NEAR_MS && b - a <= CLOCK_NEAR_MS;
}

static bool possible(int64_t offset)
{
	return offset > -OFFSET_MOST_MS && offset < OFFSET_MOST_MS;
}

static int64_t median(const int64_t *values, size_t count)
{
	int64_t sorted[CLOCK_RECENT] = { 0 };

	for (size_t i = 0; i < count; i++) {
		size_t at = i;

		for (; at && sorted[at - 1] > values[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = values[i];
	}
	return sorted[count / 2];
}

static void remember(struct clock *c, int64_t offset)
{
	if (c->recent_count == CLOCK_RECENT)
		memmove(c->recent, c->recent + 1, --c->recent_count * sizeof(c->recent[0]));
	c->recent[c->recent_count++] = offset;
	c->offset_ms = median(c->recent, c->recent_count);
}

static void strange(struct clock *c, int64_t offset, int64_t arrival_ms)
{
	if (c->strange_count && !near(offset, c->strange[0]))
		c->strange_count = 0;
	if (!c->strange_count)
		c->strange_since_ms = arrival_ms;
	c->strange[c->strange_count++] = offset;
	if (c->strange_count < CLOCK_JUMP)
		return;
	c->has_before = true;
	c->before_ms = c->offset_ms;
	c->since_ms = c->strange_since_ms;
	c->recent_count = c->strange_count = 0;
	for (size_t i = 0; i < CLOCK_JUMP; i++)
		remember(c, c->strange[i]);
}

void clock_live(struct clock *c, int64_t told_ms, int64_t arrival_ms)
{
	int64_t offset;

	if (__builtin_sub_overflow(told_ms, arrival_ms, &offset) || !possible(offset))
		return;
	if (c->known && told_ms == c->told_ms)
		return;
	c->told_ms = told_ms;
	if (c->known && !near(offset, c->offset_ms)) {
		strange(c, offset, arrival_ms);
		return;
	}
	c->known = true;
	c->strange_count = 0;
	remember(c, offset);
}

/* The offset without the seconds on the way, where it is that of a zone; else to the second. */
static int64_t steady(int64_t offset)
{
	int64_t zone = (offset + (offset < 0 ? -QUARTER_MS / 2 : QUARTER_MS / 2)) / QUARTER_MS * QUARTER_MS;

	return near(offset, zone) && zone >= -ZONE_MOST_MS && zone <= ZONE_MOST_MS ? zone : offset / 1000 * 1000;
}

bool clock_utc(const struct clock *c, int64_t told_ms, bool stored, int64_t arrival_ms, int64_t *ret_ms)
{
	int64_t utc, before;

	if (!c->known || __builtin_sub_overflow(told_ms, steady(c->offset_ms), &utc))
		return false;
	if (!stored) {
		if (utc - arrival_ms > CLOCK_LATE_MS || arrival_ms - utc > CLOCK_LATE_MS)
			utc = arrival_ms;
		*ret_ms = utc;
		return true;
	}
	if (c->has_before && utc < c->since_ms && !__builtin_sub_overflow(told_ms, steady(c->before_ms), &before) &&
	    before < c->since_ms)
		utc = before;
	if (utc > arrival_ms + CLOCK_NEAR_MS)
		return false;
	*ret_ms = utc;
	return true;
}

bool clock_sane(const struct clock *c)
{
	bool good = c->recent_count <= CLOCK_RECENT && c->strange_count < CLOCK_JUMP && possible(c->offset_ms) &&
		    possible(c->before_ms) && possible(c->since_ms) && possible(c->strange_since_ms);

	for (size_t i = 0; i < CLOCK_RECENT; i++)
		good &= possible(c->recent[i]);
	for (size_t i = 0; i < CLOCK_JUMP; i++)
		good &= possible(c->strange[i]);
	return good && (c->recent_count || !c->known);
}
