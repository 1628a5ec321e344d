/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config.h - what suntap.ini says
 *
 * One table, in config_keys.c, has every section, key, type and default; suntap.ini(5) and `suntapd --check`
 * follow it. A configuration is read whole or not at all.
 */
#ifndef SUNTAP_CONFIG_H
#define SUNTAP_CONFIG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_FILE "/etc/suntap/suntap.ini"

enum {
	CONFIG_NAME_MAX = 32,		/* of a device, with the NUL: [A-Za-z0-9_-]+, starts with a letter */
	CONFIG_SOURCES_MAX = 16,	/* addresses, prefixes, MACs of one device */
	CONFIG_PORTS_MAX = 16,
	CONFIG_DEVICES_MAX = 256,
	CONFIG_HOST_MAX = 256,
};

enum config_way {
	WAY_TPROXY,		/* our nftables rule brings the connection, nothing else changed (default) */
	WAY_REDIRECT,		/* the owner's REDIRECT or DNAT brings it; SO_ORIGINAL_DST tells where it goes */
	WAY_DIRECT,		/* the device was pointed here; fixed upstream */
};

enum config_rules {
	RULES_AUTO,		/* suntapd owns its rules and its policy route */
	RULES_MANUAL,		/* the owner does, from nft/suntap.nft */
};

enum config_source_kind { SOURCE_IP4, SOURCE_IP6, SOURCE_MAC };

struct config_source {
	enum config_source_kind kind;
	uint8_t prefix;			/* bits, for the two IP kinds */
	union {
		struct in_addr ip4;	/* host bits are zero */
		struct in6_addr ip6;
		uint8_t mac[6];
	};
};

struct config_endpoint {		/* "host:port", "[v6]:port"; host "" = any address */
	char host[CONFIG_HOST_MAX];
	uint16_t port;			/* host order; 0 = absent */
};

struct config_device {
	char name[CONFIG_NAME_MAX];
	unsigned line;			/* of its section, for messages */
	enum config_way way;
	struct config_source sources[CONFIG_SOURCES_MAX];
	size_t source_count;
	char interface[16];		/* LAN interface, "" = any */
	uint16_t ports[CONFIG_PORTS_MAX];	/* destination ports, host order: those of `preset`, then of `ports` */
	size_t port_count;
	char preset[16];		/* "" or the name of the preset */
	struct config_endpoint listen;	/* direct and redirect: where we listen, no two at the same place */
	struct config_endpoint upstream;	/* direct */
	char dns_server[INET6_ADDRSTRLEN];	/* "" = the system's resolver */
	bool keep_source;		/* upstream connection with the device's own address */
	unsigned max_flows;		/* > 0 */
};

struct config {
	enum config_rules rules;
	uint16_t tproxy_port;		/* on 127.0.0.1 and ::1 */
	uint32_t mark, mark_mask;
	uint32_t route_table;
	uint32_t rule_priority;
	unsigned max_flows;		/* 0 = what the limit on open files allows */
	unsigned connect_timeout;	/* s */
	unsigned keepalive;		/* s of silence before the first probe */
	unsigned user_timeout;		/* s that sent bytes may stay unacknowledged */
	size_t ring_size;		/* bytes, a power of two */
	struct config_device *devices;
	size_t device_count;
};

/*
 * Reads path ("-" = standard input). On success *ret is set and 0 returned. On failure nothing is
 * set, every complaint went to `errors` as "FILE:LINE: key: what is wrong; what would be right", one
 * a line, and the return is -EINVAL (bad content) or the -errno of opening or reading.
 */
int config_load(struct config **ret, const char *path, FILE *errors);
/* The same from an open stream; `name` is what complaints call it. */
int config_read(struct config **ret, FILE *in, const char *name, FILE *errors);
struct config *config_free(struct config *c);		/* returns NULL; takes NULL */

/* What was understood, as an ini file that config_load() would read the same. */
void config_print(const struct config *c, FILE *out);

/*
 * The device that a connection from `peer` belongs to, or NULL. WAY_TPROXY: of those that have `port` among their
 * ports, the one whose source says most: a MAC before a prefix, a longer prefix before a shorter, and no source
 * at all last. WAY_REDIRECT and WAY_DIRECT have a listener for each device, whose index is passed instead of
 * the port, and only sources are looked at. mac: the peer's hardware address, interface: where it came in; NULL if unknown.
 */
const struct config_device *config_match(const struct config *c, enum config_way way,
					  const struct sockaddr *peer, const uint8_t *mac, const char *interface,
					  uint16_t port);
/* Whether the sources of d admit peer (or mac). */
bool config_device_admits(const struct config_device *d, const struct sockaddr *peer, const uint8_t *mac);
/* Whether it is interested in this destination port; without any of its own, in each. For the way redirect. */
bool config_device_takes(const struct config_device *d, uint16_t port);
/* Whether any device of this way is selected by MAC, so that it is worth looking one up. */
bool config_needs_mac(const struct config *c, enum config_way way);
/* Whether any device is selected by the interface that it comes in at. */
bool config_needs_interface(const struct config *c);

/* Name and ports of preset i, false after the last. */
bool config_preset(size_t i, const char **name, const uint16_t **ports, size_t *count);

/* Row i of the table of keys, false after the last: for manuals, examples and their tests. */
struct config_key_info {
	const char *section;		/* "suntapd" or "device" */
	const char *key;
	const char *fallback;		/* what holds where the key is absent, "" = nothing */
	const char *accepts;		/* the form of its value, in words */
	const char *help;
};
bool config_key(size_t i, struct config_key_info *ret);

#endif
