/* SPDX-License-Identifier: GPL-2.0-or-later */
/* output.h - what `suntap decode` prints: JSON, one object a line, or tables for people */
#ifndef SUNTAP_OUTPUT_H
#define SUNTAP_OUTPUT_H

#include "protocols/session.h"

struct output {
	FILE *to;
	bool json, frames;
	const char *flow;	/* "192.0.2.7:40123 > 198.51.100.1:10000", NULL in transcripts */
	uint64_t decoded;	/* good frames, readings */
};

extern const struct session_events output_events;	/* their ctx is a struct output */

void output_json_string(FILE *to, const char *text);	/* with its quotes; valid UTF-8 whatever comes */

#endif
