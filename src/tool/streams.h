/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * streams.h - streams of a capture held in memory, to be masked and written
 *
 * What is private may show only at the end, so nothing is written before all is there. Memory is
 * bounded: what comes after STREAMS_MAX bytes is left out, and told.
 */
#ifndef SUNTAP_STREAMS_H
#define SUNTAP_STREAMS_H

#include "protocols/session.h"
#include "tool/tcp.h"

struct streams;

enum { STREAMS_MAX = 256 * 1024 * 1024 };

struct streams_report {
	size_t streams, unknown_streams, unknown_frames, bytes;
	size_t ids, texts, addresses;
	bool full;			/* not all was taken */
	bool too_private;		/* more private things than can be masked: nothing was written */
};

extern const struct tcp_events streams_events;	/* their ctx is a struct streams */

struct streams *streams_new(void);
struct streams *streams_free(struct streams *s);	/* returns NULL; takes NULL */
bool streams_full(const struct streams *s);
size_t streams_bytes(const struct streams *s);

/* Masks what is private; addresses of the packets too. 0 or -errno. */
int streams_mask(struct streams *s, struct knowledge *k, struct streams_report *report);
void streams_write(struct streams *s, FILE *to, struct streams_report *report);

#endif
