/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ruleset.h - what our two tables contain, as a description; nft text and netlink messages are made from it
 *
 * rules.c installs it, `suntapd --print-rules` prints it. Since both walk the same description they can not
 * tell different stories; test_rules.py compares them through the kernel.
 */
#ifndef SUNTAP_RULESET_H
#define SUNTAP_RULESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shared/config.h"

#define RULESET_TABLE "suntap"
#define RULESET_LIVE_TABLE "suntap_live"
#define RULESET_CHAIN "prerouting"
#define RULESET_TAKEN_CHAIN "taken"
#define RULESET_ARRIVED_CHAIN "arrived"

enum {
	RULESET_PRIORITY = -90,		/* behind DNAT (-100): where a connection goes is first the owner's to say */
	RULESET_LIVE_PRIORITY = -95,	/* what exists already comes before what is new */
	RULESET_TAKEN_PRIORITY = -89,
	RULESET_ARRIVED_PRIORITY = 1000,	/* behind everybody's filters */
};

enum ruleset_set_type { SET_IP4, SET_IP6, SET_MAC, SET_PORT };

struct ruleset_element {
	uint8_t first[16];
	uint8_t after[16];		/* intervals: the first key that is not in it any more */
	bool open_end;			/* there is none: it reaches to the last key */
	uint8_t prefix;
};

struct ruleset_set {
	char name[CONFIG_NAME_MAX + 8];
	enum ruleset_set_type type;
	struct ruleset_element elements[CONFIG_SOURCES_MAX > CONFIG_PORTS_MAX ? CONFIG_SOURCES_MAX : CONFIG_PORTS_MAX];
	size_t count;
};

enum ruleset_statement_kind {
	RS_IIFNAME,			/* text */
	RS_IP4,
	RS_IP6,
	RS_SADDR4_IN,			/* set */
	RS_SADDR6_IN,			/* set */
	RS_ETHER_SADDR_IN,		/* set */
	RS_TCP,
	RS_DPORT_IN,			/* set */
	RS_OPENING_SYN,
	RS_NOT_TO_US,
	RS_SOCKET_TRANSPARENT,
	RS_COUNTER,
	RS_TPROXY4,			/* value: port */
	RS_TPROXY6,			/* value: port */
	RS_MARK,			/* value, mask: set */
	RS_MARKED,			/* value, mask: is */
	RS_ACCEPT,
	RS_KINDS,
};

struct ruleset_statement {
	enum ruleset_statement_kind kind;
	const char *text;
	uint32_t value, mask;
};

struct ruleset_rule {
	struct ruleset_statement statements[16];
	size_t count;
	size_t chain;			/* of the table's chains */
	char comment[CONFIG_NAME_MAX + 40];
};

struct ruleset_chain {
	const char *name;
	bool input;			/* the hook: input, or prerouting */
	int32_t priority;
};

struct ruleset_table {
	const char *name;
	bool owner;
	struct ruleset_chain chains[3];	/* a rule's are together, in this order */
	size_t chain_count;
	struct ruleset_set *sets;
	size_t set_count;
	struct ruleset_rule *rules;
	size_t rule_count;
};

struct ruleset {
	struct ruleset_table live, intercept;
};

/* Whether any device needs rules: not where all are of the ways redirect and direct. */
bool ruleset_needed(const struct config *c);

/* NULL where there is no memory. c has to outlive it. ip6: the machine has IPv6. */
struct ruleset *ruleset_new(const struct config *c, bool ip6);
struct ruleset *ruleset_free(struct ruleset *r);	/* returns NULL; takes NULL */

void ruleset_print(const struct ruleset *r, FILE *out);

/* The expressions of a statement, added to a rule: 0 or -ENOMEM. set_id: of its set in this batch. */
struct nftnl_rule;
int ruleset_add_expressions(struct nftnl_rule *to, const struct ruleset_statement *s, uint32_t set_id);
/* The name of the set that a statement looks into, or NULL. */
const char *ruleset_statement_set(const struct ruleset_statement *s);

/* What nft calls a set's type, its number there, and the bytes of a key. */
struct ruleset_type {
	const char *name;
	uint32_t number;
	uint32_t size;
	bool interval;
};
extern const struct ruleset_type ruleset_types[];

#endif
