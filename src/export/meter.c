/* SPDX-License-Identifier: GPL-2.0-or-later */
/* meter.c - counters of energy that do not fall by a mistake; see meter.h */
#include "export/meter.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "shared/util.h"

static bool ends(const char *name, const char *ending)
{
	size_t n = strlen(name), e = strlen(ending);

	return n >= e && strcmp(name + n - e, ending) == 0;
}

enum meter_kind meter_kind(const char *name)
{
	if (ends(name, "energy_total") || strcmp(name, "operating_time") == 0)
		return METER_TOTAL;
	if (ends(name, "energy_today"))
		return METER_DAY;
	if (ends(name, "energy_month"))
		return METER_MONTH;
	if (ends(name, "energy_year"))
		return METER_YEAR;
	return METER_NONE;
}

static bool same_period(enum meter_kind kind, int64_t a_ns, int64_t b_ns)
{
	time_t a = (time_t)(a_ns / NSEC_PER_SEC), b = (time_t)(b_ns / NSEC_PER_SEC);
	struct tm at, bt;

	if (!localtime_r(&a, &at) || !localtime_r(&b, &bt))
		return true;
	return at.tm_year == bt.tm_year && (kind == METER_YEAR || (at.tm_mon == bt.tm_mon &&
	       (kind == METER_MONTH || at.tm_mday == bt.tm_mday)));
}

/* What a plant of 100 kW could have added meanwhile (kWh; also more hours than there were), and some. */
static bool possible(double from, int64_t from_ns, double to, int64_t to_ns, double some)
{
	double hours = to_ns > from_ns ? (double)(to_ns - from_ns) / 3.6e12 : 0;

	return to >= from - 1e-9 && to - from <= some + 100 * hours;
}

static bool accept(struct meter *m, double v, int64_t time_ns)
{
	if (m->known && v < m->value)
		m->before = m->value;
	m->known = true;
	m->value = v;
	m->value_ns = time_ns;
	m->seen = 0;
	return true;
}

static bool hold(struct meter *m, double v, int64_t time_ns, unsigned needed, double some)
{
	if (m->seen && time_ns == m->candidate_ns)
		return false;		/* the same record again */
	if (m->seen && possible(m->candidate, m->candidate_ns, v, time_ns, some))
		m->seen++;
	else
		m->seen = 1;
	m->candidate = v;
	m->candidate_ns = time_ns;
	return m->seen >= needed && accept(m, v, time_ns);
}

static bool take_total(struct meter *m, double v, int64_t time_ns)
{
	const double some = 50;

	if (!m->known)
		return v > 0 ? accept(m, v, time_ns) : hold(m, v, time_ns, 3, some);
	if (possible(m->value, m->value_ns, v, time_ns, some))
		return accept(m, v, time_ns);
	if (v <= 0 || (v < m->value && m->value - v <= fmin(1, m->value / 100) + 0.11)) {
		m->seen = 0;
		return false;
	}
	return hold(m, v, time_ns, 2, some);
}

static bool take_period(struct meter *m, enum meter_kind kind, double v, int64_t time_ns)
{
	bool first = m->known && !same_period(kind, m->value_ns, time_ns);
	double some = kind == METER_DAY ? 2 : 50;

	if (!m->known || (first && v < m->value))
		return accept(m, v, time_ns);
	if (v < m->value) {
		if (v > 0 && m->value - v <= fmin(1, m->value / 100) + 0.01) {
			m->seen = 0;
			return false;
		}
		return hold(m, v, time_ns, v > 0 ? 2 : 3, some);
	}
	/* Yesterday's: the reset is still to come, and is then no surprise. */
	if (first && v - m->value < 1e-9)
		return true;
	if (first) {
		m->value_ns = time_ns;
		return false;
	}
	if (v > m->value && m->before > 0 && fabs(v - m->before) < 0.05 && v - m->value > 0.5)
		return hold(m, v, time_ns, 4, some);
	if (possible(m->value, m->value_ns, v, time_ns, some))
		return accept(m, v, time_ns);
	return hold(m, v, time_ns, 2, some);
}

bool meter_take(struct meter *m, enum meter_kind kind, double v, int64_t time_ns)
{
	if (kind == METER_NONE)
		return true;
	if (!(v >= 0))
		return false;
	return kind == METER_TOTAL ? take_total(m, v, time_ns) : take_period(m, kind, v, time_ns);
}
