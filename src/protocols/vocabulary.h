/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vocabulary.h - what the ending of a name tells: the unit, and what is physically possible */
#ifndef SUNTAP_VOCABULARY_H
#define SUNTAP_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>

struct unit {
	const char *symbol;	/* "V"; "" for counts, codes and texts */
	double min, max;	/* beyond: not a measurement. min > max: no limit */
};

const struct unit *vocabulary_unit(const char *name);	/* never NULL */
bool vocabulary_name_valid(const char *name);		/* [a-z][a-z0-9_]*, at most 60 characters */

#endif
