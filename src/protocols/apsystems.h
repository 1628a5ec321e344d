/* SPDX-License-Identifier: GPL-2.0-or-later */
/* apsystems.h - what the parts of the APsystems decoder share; for apsystems*.c only */
#ifndef SUNTAP_APSYSTEMS_H
#define SUNTAP_APSYSTEMS_H

#include "protocols/protocol.h"

enum {
	APS_ID = 12,
	APS_LOCAL_HEAD = 13,	/* APS11, length (4), command (4) */
	APS_LOCAL_SHORT = 15,	/* a reply with a status and nothing else, not even END */
};

struct apsystems {
	/* What the ECU was last asked on its local port: replies do not say for which ECU or day. */
	char asked_id[APS_ID + 1];
	bool asked_day;
	unsigned int day[3];
};

bool aps_digits(const uint8_t *p, size_t n);
unsigned int aps_number(const uint8_t *p, size_t n);		/* of digits, at most 9 */
bool aps_time(const uint8_t *p, int64_t *ret);			/* YYYYMMDDhhmmss; s since 1970 of that wall clock */
void aps_id(char *out, const uint8_t *p);			/* 13 bytes with the NUL */
void aps_set_time(struct reading *r, int64_t seconds);		/* as aps_time() gives them */
/* Which map reads it: version, command or type as hexadecimal digits (see maps/apsystems-*.ini). */
const struct map *aps_map(const struct decoder *d, uint32_t layout, size_t length);
/* Runs it; measurements of the reading, and a note where a field could not be read. */
void aps_run_map(struct decoder *d, const struct map *m, const uint8_t *p, size_t n, struct reading *r);

/* n: without the newline. Whatever the request or the reply holds that is nobody's business: private. */
void aps_local(struct decoder *d, enum dir dir, const uint8_t *p, size_t n);
bool aps_local_known(unsigned int command);
bool aps_local_private(unsigned int command);

#endif
