/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reading_fill.h - how protocols fill a reading; those who take readings need reading.h only */
#ifndef SUNTAP_READING_FILL_H
#define SUNTAP_READING_FILL_H

#include "protocols/reading.h"

int64_t number_power_of_ten(unsigned int exponent);	/* 0 … 9 */
/* To that many decimals, half away from zero; false: does not fit. */
bool number_round(struct number *n, unsigned int decimals);
bool number_from_double(double v, unsigned int decimals, struct number *ret);	/* false: not finite or too big */

void reading_start(struct reading *r, const char *protocol, int64_t arrival_ns);
/* name and text live as long as the maps. What has no room is left out. */
void reading_add_number(struct reading *r, const char *name, struct number number);
void reading_add_integer(struct reading *r, const char *name, int64_t number);
void reading_add_string(struct reading *r, const char *name, const char *text);
/* Text of the wire: cleaned as text_clean() does and copied; an empty one is no value. */
void reading_add_bytes(struct reading *r, const char *name, const uint8_t *bytes, size_t length);
const char *reading_store(struct reading *r, const uint8_t *bytes, size_t length);	/* NULL: no room */

/*
 * Up to the first NUL, without blanks around it and bytes ff behind it (empty flash), what is no
 * UTF-8 or a control character becomes '?'. Writes at most room bytes with the NUL; the length.
 */
size_t text_clean(char *out, size_t room, const uint8_t *bytes, size_t length);

#endif
