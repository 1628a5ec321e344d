/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metric_name.h - the name that Prometheus has for a quantity
 *
 * Names of the vocabulary become families with a base unit at their end; numbers in them become labels, so that
 * `sum by` works:
 *
 *	pv1_voltage		solar_pv_voltage_volts{pv="1"}
 *	ac_l1_l2_voltage	solar_ac_voltage_volts{phase="l1_l2"}
 *	battery2_soc		solar_battery_soc_ratio{battery="2"}		× 0.01
 *	energy_total		solar_energy_joules_total			× 3600000, a counter
 *	energy_today		solar_energy_today_joules			a gauge: it falls when the device likes
 *	fault_code_3		solar_fault_code{index="3"}
 *	alarm_bits		solar_alarm_flags
 */
#ifndef EXPORT_METRIC_NAME_H
#define EXPORT_METRIC_NAME_H

#include <stdbool.h>

struct metric {
	char family[128];		/* without _total */
	char labels[96];		/* ",pv=\"1\"" or "" */
	const char *unit;		/* at the end of the family; "" = none */
	double factor;
	bool counter;
};

/* base: SI units; else those of the vocabulary. false: too long for a name. */
bool metric_name(const char *name, bool base, struct metric *ret);

#endif
