/* SPDX-License-Identifier: GPL-2.0-or-later */
/* transcript.h - segments out of a text: "> HEX" from the device, "< HEX" from the cloud, "# GAP" */
#ifndef SUNTAP_TRANSCRIPT_H
#define SUNTAP_TRANSCRIPT_H

#include "protocols/session.h"

struct transcript_result {
	uint64_t segments, faults;
	char fault[128];	/* the first one, with its line */
};

/* Feeds the session, up to a line "---" or the end; does not end the session. 0 or -ENOMEM. */
int transcript_read(FILE *stream, struct session *session, struct transcript_result *ret);

#endif
