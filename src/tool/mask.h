/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mask.h - private things in captured streams, and what stands in for them
 *
 * Two rounds over all streams: the first learns what is private, the second puts a stand-in of the
 * same length wherever it occurs, so that the bytes stay where they are and a decoder finds the same
 * measurements. Each private thing has one stand-in, everywhere.
 *
 * Private are: serial numbers of inverters and loggers, names and keys of networks, passwords, names
 * and mail addresses, MAC addresses, private IP addresses. What they look like or where they stand is
 * known of the protocols; of what nobody has described, only what was learnt elsewhere can be masked.
 */
#ifndef SUNTAP_MASK_H
#define SUNTAP_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/util.h"

enum mask_kind {
	MASK_ID,		/* letters and digits; the first three stay, as they tell the model */
	MASK_TEXT,
	MASK_IP,		/* dotted, private: the first two numbers stay */
	MASK_MAC,		/* six bytes, or as text */
	MASK_KINDS,
};

struct mask;

struct mask *mask_new(void);
struct mask *mask_free(struct mask *m);		/* returns NULL; takes NULL */

/* First round. Text ends at its first NUL or ff. */
void mask_learn(struct mask *m, enum mask_kind kind, const void *bytes, size_t length);
void mask_learn_frame(struct mask *m, const char *protocol, enum dir dir, const uint8_t *frame, size_t size);
void mask_second_round(struct mask *m);
/* In place. A checksum that was good is good again; one that was wrong stays as wrong. */
void mask_frame(struct mask *m, const char *protocol, enum dir dir, uint8_t *frame, size_t size);
void mask_bytes(struct mask *m, uint8_t *bytes, size_t length);		/* of no frame; either round */

size_t mask_count(const struct mask *m, enum mask_kind kind);
bool mask_full(const struct mask *m);		/* there was more than could be learnt: do not share this */

/* ------------------------------------------------ for mask_protocols.c */
/* A place where something private stands: learns it, or in the second round masks what is too short to be sought. */
void mask_place(struct mask *m, enum mask_kind kind, uint8_t *bytes, size_t length);
uint32_t mask_number(struct mask *m, uint32_t number);	/* the stand-in of an identifier that is a number */
bool mask_applies(const struct mask *m);		/* second round */
bool *mask_asked(struct mask *m);			/* something secret was asked for, the answer is to come */

struct mask_protocol {
	const char *name;
	/* Unlocks the frame, calls mask_place() for what it knows, mask_bytes() in the second round, locks it again. */
	void (*frame)(struct mask *m, enum dir dir, uint8_t *frame, size_t size);
};
extern const struct mask_protocol mask_protocols[];	/* a name of NULL after the last */

#endif
