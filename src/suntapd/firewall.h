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
#include <systemd/sd-event.h>

#include "shared/config.h"

struct firewall;

/* foreign_mark: hears of what firewall_read() finds. 0 or -errno. */
int firewall_new(struct firewall **ret, sd_event *event, void (*foreign_mark)(const char *text));
struct firewall *firewall_free(struct firewall *f);		/* returns NULL; takes NULL */

/*
 * How many opening packets were lost on the way to us since the last call; 0 where there is no table of ours. A single one is
 * no news, and may still be under way: it is told with the next.
 */
uint64_t firewall_lost(struct firewall *f);

/* What to look at and what would help, in words: free() it; NULL: no memory. */
char *firewall_cause(const struct config *c);

/*
 * Begins to look through all rules for one of somebody else that sets our mark, so that packets which are not ours would be
 * delivered to this machine. A few rules at a time, so that no flow waits for it; foreign_mark() is called with where it is and
 * what would help. Not found are marks that a rule computes (from a map, from conntrack).
 */
void firewall_read(struct firewall *f, const struct config *c);

#endif
