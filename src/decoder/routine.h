/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * routine.h - which openings and ends of flows are as usual
 *
 * Some devices connect anew for each record, every minute, for ever. The owner wants to hear of the first connection and of
 * those that end otherwise than the one before; the others are written, too, but as something for the curious.
 */
#ifndef DECODER_ROUTINE_H
#define DECODER_ROUTINE_H

#include <stdbool.h>

#include "shared/flow_entry.h"

enum { ROUTINE_ROWS = 256 };	/* when there are more, the one made first is forgotten, and told again */

struct routine {
	struct {
		char name[sizeof(((struct flow_entry *)0)->name)];
		struct flow_address device;	/* without its port, which is another one each time */
		uint16_t cloud_port;		/* a device may have a connection for each purpose */
		bool ended;
		uint32_t end;			/* enum flow_end of the last one */
	} rows[ROUTINE_ROWS];
	size_t made;
};

/* Whether this device has connected to this port of its cloud before. */
bool routine_opening(struct routine *r, const struct flow_entry *flow);
/* Whether its last flow there ended in the same way. */
bool routine_end(struct routine *r, const struct flow_close *close);

#endif
