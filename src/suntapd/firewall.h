/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * firewall.h - what other programs' rules do to the devices' connections
 *
 * A connection that our rule has taken still has to pass what others have in the hooks behind it: an INPUT chain that drops,
 * a rule that changes the mark, a filter of the reverse path. Then the device would be cut off from its cloud by us alone, for
 * where it goes straight none of this is in its way. Whose rule it is can not be found out by reading rules; that packets
 * are lost can, by counting them at both ends: chains `taken` and `arrived` of our table.
 *
 * What is said of causes is a guess from what is easily seen, for the owner to look at.
 */
#ifndef SUNTAP_FIREWALL_H
#define SUNTAP_FIREWALL_H

#include <stdint.h>

#include "shared/config.h"

struct firewall {
	uint64_t arrived, lost;		/* when it was looked last */
};

/*
 * How many opening packets were lost on the way to us since the last call; 0 where there is no table of ours. A single one is
 * no news, and may still be under way: it is told with the next.
 */
uint64_t firewall_lost(struct firewall *f);

/* What to look at and what would help, in words: free() it; NULL: no memory. */
char *firewall_cause(const struct config *c);

/*
 * A rule of somebody else that sets our mark, so that packets which are not ours would be delivered to this machine: in words,
 * with a remedy, free() it; NULL: none was found. Not found are marks that a rule computes (from a map, from
 * conntrack), and what comes after the first thousands of rules.
 */
char *firewall_foreign_mark(const struct config *c);

#endif
