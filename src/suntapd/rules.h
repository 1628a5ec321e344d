/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rules.h - the rules and the policy route that bring the devices' connections to us
 *
 *	table inet suntap (owner: the kernel removes it the instant our netlink socket closes)
 *		sets of each device; one rule per device and family: opening SYN → tproxy, mark
 *	table inet suntap_live (its owner is in systemd's store, too: it lives as long as the flows, and a restarted daemon finds both)
 *		socket transparent → mark
 *	ip rule fwmark MARK/MASK → route table: local default dev lo      (IPv4 and IPv6)
 */
#ifndef SUNTAP_RULES_H
#define SUNTAP_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "shared/config.h"

struct rules;

/*
 * Installs nothing, and needs no capability, where no device is of the way tproxy or keeps its source.
 *
 * Looks whether the kernel and our capability allow what we need and whether the mark, the table
 * numbers and names are free (or leftovers of ours), then installs all of it. On failure nothing is left
 * behind, *why (free() it) says in words what is wrong and what would help, and -errno is returned.
 * With RULES_MANUAL nothing is installed, but what can be checked (policy route present) is: rules_remark()
 * says what is missing.
 */
int rules_install(struct rules **ret, const struct config *c, char **why);

/* What the owner should know although all went well (IPv6 is off …), or NULL; belongs to r. */
const char *rules_remark(const struct rules *r);

/*
 * Replaces the device rules by those of c in one transaction (reload): same guarantees, old rules stay on
 * failure. -EINVAL where c wants another mark, route_table, rule_priority, tproxy_port or `rules`: that takes a
 * restart. c is not kept.
 */
int rules_update(struct rules *r, const struct config *c, char **why);

/*
 * Becomes readable when somebody changed rules or routes (-1 with RULES_MANUAL); then rules_repair()
 * puts back what is gone of ours. Returns 0: nothing was missing; 1: repaired, *what (free() it) says what
 * was; -errno: could not, *what says why; -EBUSY: somebody else uses the mark or the table. It reads the fd empty in any case, so that a repair that does not
 * help is not tried again before somebody changes something again.
 */
int rules_monitor_fd(const struct rules *r);
int rules_repair(struct rules *r, char **what);

/* Whether other programs have added rules to nftables since the last call. */
bool rules_others_changed(struct rules *r);

/*
 * Removes everything of ours; NULL is fine; returns NULL. keep_live: leave the second table and the policy
 * route (for a restart that takes flows over).
 */
struct rules *rules_remove(struct rules *r, bool keep_live);

/*
 * What a suntapd that died has left, where none goes on: the configuration of today has no use for it, or is bad. Does nothing
 * beside a running suntapd, or without the capability.
 */
void rules_remove_leftovers(void);

/* The same rules in nft's language, with the ip commands as comments on top. */
void rules_print(const struct config *c, FILE *out);

#endif
