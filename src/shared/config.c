/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config.c - suntap.ini: read, checked, printed
 *
 * Theory of operation
 *	ini.c reads lines and has the parsers that others share; it calls open_section() and read_value().
 *
 *	keys[] is the one table of what may be written: section, key, parser, printer, default, limits, and
 *	the words for a complaint. Defaults are texts that go through the same parsers.
 *
 *	Nothing stops at the first mistake. What concerns one value is said where it stands, what concerns a
 *	device as a whole (missing keys, keys of another way in) when all is read, then what concerns several.
 *
 * Invariants (held by test_config.c and fuzz_config.c)
 *	- config_print() of what was read reads back to the same, and prints the same again.
 *	- A struct config has at least one device, and each device can be reached: by ports or by a listener.
 */
#include "shared/config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/ini.h"
#include "shared/util.h"

enum {
	WRAP = 88,			/* columns of a printed list; inih takes 197 */
};

/* ---------------------------------------------------------------- presets */

/*
 * Where the makers' clear-text clouds listen, as the public projects that speak with them say.
 */
static const struct {
	const char *name;
	uint16_t ports[4];
	uint8_t count;
} presets[] = {
	/* Solarman V5 loggers (LSW-3, LSW-5, LSE-3, MW3 …) of many makers: Deye, Sofar, Solis, Afore, Kstar … */
	{ "solarman",	{ 10000 }, 1 },
	/* GEN3PLUS speaks Solarman V5 to iot.talent-monitoring.com:10000, GEN3 its own to logger.…:5005 */
	{ "tsun",	{ 10000, 5005 }, 2 },
	/* access1, access2.solarmanpv.com, 5406.deviceaccess.host */
	{ "deye",	{ 10000 }, 1 },
	/* www.alphaess.com; the storage system itself connects */
	{ "alphaess",	{ 7777 }, 1 },
	/* ukiot.sunsynk.net and iot.e-linter.com, the dongle labelled Inteless or E-Linter */
	{ "sunsynk",	{ 51100 }, 1 },
	{ "inteless",	{ 51100 }, 1 },
	/* ecu.apsystemsema.com: records on 8995 or 8996, commands on 8997 */
	{ "apsystems",	{ 8995, 8996, 8997 }, 3 },
	/* server.growatt.com; a second connection to 5280 was seen by one owner, what it carries is not known */
	{ "growatt",	{ 5279, 5280 }, 2 },
};

bool config_preset(size_t i, const char **name, const uint16_t **ports, size_t *count)
{
	if (i >= ARRAY_SIZE(presets))
		return false;
	*name = presets[i].name;
	*ports = presets[i].ports;
	*count = presets[i].count;
	return true;
}

/* Kinds of section that belong to suntap-export, in the same file: src/export/settings.c reads them. */
static const char *const foreign_sections[] = { "mqtt", "influxdb", "splunk", "metrics", "json", "inverter" };

/* ---------------------------------------------------------------- reading: state, complaints */

enum section { SECTION_NONE, SECTION_SUNTAPD, SECTION_DEVICE, SECTION_IGNORED };

struct parse {
	struct ini ini;			/* first: the reader knows this only */
	struct config *config;
	enum section section;
	struct config_device *device;	/* of SECTION_DEVICE; NULL where it was refused */
	const struct ini_key *key;		/* the value before was of this key, and good */
	unsigned empty_line;		/* key is a list, of which nothing has come since this line */
	unsigned suntapd_line;
	bool any_device;		/* there was a [device] section, good or bad */
	unsigned *suntapd_seen;		/* line of each key, by its row in keys[] */
	unsigned (*device_seen)[];	/* the same for each device: see seen_at() */
};

/* ---------------------------------------------------------------- values */

static const char *const rules_names[] = { [RULES_AUTO] = "auto", [RULES_MANUAL] = "manual" };
static const char *const way_names[] = {
	[WAY_TPROXY] = "tproxy", [WAY_REDIRECT] = "redirect", [WAY_DIRECT] = "direct",
};

static bool parse_rules(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	size_t i;

	if (!ini_one_of(p, k, text, rules_names, ARRAY_SIZE(rules_names), &i))
		return false;
	*(enum config_rules *)at = (enum config_rules)i;
	return true;
}

static void print_rules(const struct ini_key *k, const void *at, FILE *out)
{
	fprintf(out, "%s = %s\n", k->name, rules_names[*(const enum config_rules *)at]);
}

static bool parse_way(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	size_t i;

	if (!ini_one_of(p, k, text, way_names, ARRAY_SIZE(way_names), &i))
		return false;
	*(enum config_way *)at = (enum config_way)i;
	return true;
}

static void print_way(const struct ini_key *k, const void *at, FILE *out)
{
	fprintf(out, "%s = %s\n", k->name, way_names[*(const enum config_way *)at]);
}

/* at: uint32_t mark, mask, one behind the other. */
static_assert(offsetof(struct config, mark_mask) == offsetof(struct config, mark) + 4, "parse_mark() writes both");

static bool parse_mark(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	unsigned long long mark, mask = UINT32_MAX;
	const char *slash = strchr(text, '/');

	if (!ini_number(text, slash ? (size_t)(slash - text) : strlen(text), &mark) ||
	    (slash && !ini_number(slash + 1, strlen(slash + 1), &mask)) || mark > UINT32_MAX || mask > UINT32_MAX)
		return ini_bad_value(p, k, text);
	if (mark == 0) {
		ini_complain(p, p->line, k->name, "the value is 0, which every packet has; would be %s", k->accepts);
		return false;
	}
	if (mark & ~mask) {
		ini_complain(p, p->line, k->name, "the value 0x%llx has bits outside the mask 0x%llx; would be 0x%llx/0x%llx",
			 mark, mask, mark, mask | mark);
		return false;
	}
	((uint32_t *)at)[0] = (uint32_t)mark;
	((uint32_t *)at)[1] = (uint32_t)mask;
	return true;
}

static void print_mark(const struct ini_key *k, const void *at, FILE *out)
{
	fprintf(out, "%s = 0x%" PRIx32 "/0x%" PRIx32 "\n", k->name, ((const uint32_t *)at)[0], ((const uint32_t *)at)[1]);
}

static bool parse_table(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	uint32_t table;

	if (!ini_parse_unsigned(p, k, text, &table))
		return false;
	if (table >= 253 && table <= 255) {
		ini_complain(p, p->line, k->name, "table %" PRIu32 " is the system's own; would be %s", table, k->accepts);
		return false;
	}
	*(uint32_t *)at = table;
	return true;
}

/* IFNAMSIZ, and what the kernel and nft's language would not take apart. */
static bool parse_interface(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	size_t length = strlen(text);

	if (length == 0 || length > 15 || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return ini_bad_value(p, k, text);
	for (size_t i = 0; i < length; i++)
		if (!isgraph((unsigned char)text[i]) || strchr("/:*\"\\;,", text[i]))
			return ini_bad_value(p, k, text);
	memset(at, 0, 16);
	memcpy(at, text, length);
	return true;
}

static bool parse_preset(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	const char *name, *near = NULL;
	const uint16_t *ports;
	size_t count, best = 3;
	char buf[64];

	for (size_t i = 0; config_preset(i, &name, &ports, &count); i++) {
		size_t d = ini_distance(text, name);

		if (strcasecmp(text, name) == 0) {
			memset(at, 0, 16);
			memcpy(at, name, strlen(name));
			return true;
		}
		if (d < best) {
			best = d;
			near = name;
		}
	}
	if (near)
		ini_complain(p, p->line, k->name, "\"%s\" is not known; did you mean %s?", ini_shown(buf, text), near);
	else
		ini_complain(p, p->line, k->name, "\"%s\" is not known; would be %s", ini_shown(buf, text), k->accepts);
	return false;
}

/* ---------------------------------------------------------------- values: addresses */

/* "host:port", "[v6]:port", ":port", or either part alone; false where it is none of these. */
static bool split_endpoint(const char *text, char host[static CONFIG_HOST_MAX], uint16_t *port)
{
	const char *end, *colon;
	unsigned long long v = 0;
	size_t length;

	if (*text == '[') {
		end = strchr(++text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		colon = end[1] ? end + 1 : NULL;
	} else {
		struct in6_addr ip6;

		/* A bare IPv6 address is full of colons: none of them is a port's. */
		colon = inet_pton(AF_INET6, text, &ip6) == 1 ? NULL : strrchr(text, ':');
		end = colon ? colon : text + strlen(text);
	}
	length = (size_t)(end - text);
	if (length >= CONFIG_HOST_MAX || (length == 0 && !colon))
		return false;
	if (colon && (!ini_number(colon + 1, strlen(colon + 1), &v) || v == 0 || v > 65535))
		return false;
	memset(host, 0, CONFIG_HOST_MAX);
	memcpy(host, text, length);
	*port = (uint16_t)v;
	return true;
}

/* A listener's host is an address of this machine, a number alone is its port. */
static bool parse_listen(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	struct config_endpoint e = { 0 };
	unsigned long long port;

	if (ini_number(text, strlen(text), &port) && port > 0 && port < 65536)
		e.port = (uint16_t)port;
	else if (!split_endpoint(text, e.host, &e.port) || e.port == 0)
		return ini_bad_value(p, k, text);
	if (strcmp(e.host, "*") == 0)
		memset(e.host, 0, sizeof(e.host));
	if (*e.host && !ini_is_ip(e.host))
		return ini_bad_value(p, k, text);
	*(struct config_endpoint *)at = e;
	return true;
}

/* The port may be left out: settle_device() takes the listener's. */
static bool parse_upstream(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	struct config_endpoint e = { 0 };

	if (!split_endpoint(text, e.host, &e.port) || !(ini_is_ip(e.host) || ini_is_host_name(e.host)))
		return ini_bad_value(p, k, text);
	*(struct config_endpoint *)at = e;
	return true;
}

static const char *endpoint_text(char buf[static CONFIG_HOST_MAX + 16], const struct config_endpoint *e)
{
	snprintf(buf, CONFIG_HOST_MAX + 16, strchr(e->host, ':') ? "[%s]:%u" : "%s:%u", e->host, e->port);
	return buf;
}

static void print_endpoint(const struct ini_key *k, const void *at, FILE *out)
{
	const struct config_endpoint *e = at;
	char buf[CONFIG_HOST_MAX + 16];

	if (e->port)
		fprintf(out, "%s = %s\n", k->name, endpoint_text(buf, e));
}

static bool parse_address(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	struct in6_addr a;
	int family = inet_pton(AF_INET, text, &a) == 1 ? AF_INET : inet_pton(AF_INET6, text, &a) == 1 ? AF_INET6 : 0;

	if (!family)
		return ini_bad_value(p, k, text);
	inet_ntop(family, &a, at, INET6_ADDRSTRLEN);
	return true;
}

/* Clears the bits behind the prefix; true where there was one to clear. */
static bool clear_host_bits(uint8_t *address, size_t size, unsigned prefix)
{
	bool cleared = false;

	for (size_t i = 0; i < size; i++) {
		unsigned bits = prefix > 8 * i ? prefix - 8 * (unsigned)i : 0;
		unsigned mask = bits >= 8 ? 0xffu : 0xff00u >> bits & 0xffu;

		cleared |= address[i] & ~mask;
		address[i] = (uint8_t)(address[i] & mask);
	}
	return cleared;
}

static const char *source_text(char buf[static 64], const struct config_source *s)
{
	switch (s->kind) {
	case SOURCE_IP4:
	case SOURCE_IP6:
		inet_ntop(s->kind == SOURCE_IP4 ? AF_INET : AF_INET6, &s->ip6, buf, INET6_ADDRSTRLEN);
		if (s->prefix < (s->kind == SOURCE_IP4 ? 32 : 128))
			sprintf(buf + strlen(buf), "/%u", s->prefix);
		break;
	case SOURCE_MAC:
		sprintf(buf, "%02x:%02x:%02x:%02x:%02x:%02x", s->mac[0], s->mac[1], s->mac[2], s->mac[3], s->mac[4],
			s->mac[5]);
		break;
	}
	return buf;
}

static bool parse_mac(const char *text, uint8_t mac[static 6])
{
	if (strlen(text) != 17)
		return false;
	for (size_t i = 0; i < 6; i++) {
		unsigned long long v;
		char digits[] = { '0', 'x', text[3 * i], text[3 * i + 1] };

		if (!ini_number(digits, 4, &v) || (i < 5 && text[3 * i + 2] != ':' && text[3 * i + 2] != '-'))
			return false;
		mac[i] = (uint8_t)v;
	}
	return true;
}

static bool parse_source(struct ini *p, const struct ini_key *k, const char *text, struct config_source *ret)
{
	struct config_source s = { 0 };
	unsigned long long prefix;
	unsigned width;
	char address[64] = "", buf[64], buf2[64];
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);

	if (!slash && parse_mac(text, s.mac)) {
		s.kind = SOURCE_MAC;
		if (s.mac[0] & 1 || !memcmp(s.mac, "\0\0\0\0\0", 6)) {
			ini_complain(p, p->line, k->name, "%s is no device's own hardware address; would be the one that "
				 "`ip neigh` shows for it", ini_shown(buf, text));
			return false;
		}
		*ret = s;
		return true;
	}
	if (length >= sizeof(address))
		return ini_bad_value(p, k, text);
	memcpy(address, text, length);
	if (inet_pton(AF_INET, address, &s.ip4) == 1) {
		s.kind = SOURCE_IP4;
		width = 32;
	} else if (inet_pton(AF_INET6, address, &s.ip6) == 1) {
		s.kind = SOURCE_IP6;
		width = 128;
		if (IN6_IS_ADDR_V4MAPPED(&s.ip6)) {
			inet_ntop(AF_INET, s.ip6.s6_addr + 12, address, sizeof(address));
			ini_complain(p, p->line, k->name, "%s is an IPv4 address in IPv6 clothes; would be %s",
				 ini_shown(buf, text), address);
			return false;
		}
	} else {
		return ini_bad_value(p, k, text);
	}
	prefix = width;
	if (slash && (!ini_number(slash + 1, strlen(slash + 1), &prefix) || prefix > width)) {
		ini_complain(p, p->line, k->name, "\"%s\": the prefix length is wrong; would be 0 to %u", ini_shown(buf, text), width);
		return false;
	}
	s.prefix = (uint8_t)prefix;
	if (clear_host_bits(s.ip6.s6_addr, width / 8, s.prefix)) {
		ini_complain(p, p->line, k->name, "%s has bits set behind the prefix; would be %s, or %s for one device",
			 ini_shown(buf, text), source_text(buf2, &s), address);
		return false;
	}
	*ret = s;
	return true;
}

static bool source_same(const struct config_source *a, const struct config_source *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case SOURCE_IP4:
		return a->prefix == b->prefix && a->ip4.s_addr == b->ip4.s_addr;
	case SOURCE_IP6:
		return a->prefix == b->prefix && !memcmp(&a->ip6, &b->ip6, 16);
	case SOURCE_MAC:
		return !memcmp(a->mac, b->mac, 6);
	}
	return false;
}

/* ---------------------------------------------------------------- values: lists */

static bool add_source(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	struct config_device *d = at;
	struct config_source s;
	char buf[64];

	if (!parse_source(p, k, text, &s))
		return false;
	for (size_t i = 0; i < d->source_count; i++)
		if (source_same(&d->sources[i], &s)) {
			ini_complain(p, p->line, k->name, "%s is there twice; once is enough", source_text(buf, &s));
			return false;
		}
	if (d->source_count == CONFIG_SOURCES_MAX) {
		ini_complain(p, p->line, k->name, "more than %d sources; would be a prefix such as 192.168.1.0/24, or a second "
			 "[device]", CONFIG_SOURCES_MAX);
		return false;
	}
	d->sources[d->source_count++] = s;
	return true;
}

static bool parse_sources(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	return ini_each_word(p, k, text, at, add_source);
}

static bool device_add_port(struct config_device *d, uint16_t port)
{
	if (d->port_count == CONFIG_PORTS_MAX)
		return false;
	d->ports[d->port_count++] = port;
	return true;
}

static bool has_port(const struct config_device *d, uint16_t port)
{
	for (size_t i = 0; i < d->port_count; i++)
		if (d->ports[i] == port)
			return true;
	return false;
}

static bool add_port(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	uint16_t port;

	if (!ini_parse_port(p, k, text, &port))
		return false;
	if (has_port(at, port)) {
		ini_complain(p, p->line, k->name, "%u is there twice; once is enough", port);
		return false;
	}
	if (!device_add_port(at, port)) {
		ini_complain(p, p->line, k->name, "more than %d ports; would be two [device] sections", CONFIG_PORTS_MAX);
		return false;
	}
	return true;
}

static bool parse_ports(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	return ini_each_word(p, k, text, at, add_port);
}

/* A list over as many indented lines as it takes; column is where the line stands. */
static void print_item(const char *text, bool first, int *column, FILE *out)
{
	if (!first && *column + (int)strlen(text) > WRAP)
		*column = fprintf(out, ",\n\t") + 5;
	else if (!first)
		*column += fprintf(out, ", ");
	*column += fprintf(out, "%s", text);
}

static void print_sources(const struct ini_key *k, const void *at, FILE *out)
{
	const struct config_device *d = at;
	char buf[64];
	int column;

	if (d->source_count == 0)
		return;
	column = fprintf(out, "%s = ", k->name);
	for (size_t i = 0; i < d->source_count; i++)
		print_item(source_text(buf, &d->sources[i]), i == 0, &column, out);
	fputc('\n', out);
}

static void print_ports(const struct ini_key *k, const void *at, FILE *out)
{
	const struct config_device *d = at;
	char buf[8];
	int column;

	if (d->port_count == 0)
		return;
	column = fprintf(out, "%s = ", k->name);
	for (size_t i = 0; i < d->port_count; i++) {
		snprintf(buf, sizeof(buf), "%u", d->ports[i]);
		print_item(buf, i == 0, &column, out);
	}
	fputc('\n', out);
}

/* ---------------------------------------------------------------- the table */

#define PRESETS_TEXT "solarman, tsun, deye, alphaess, sunsynk, inteless, apsystems or growatt"
#define GLOBAL(field) SECTION_SUNTAPD, #field
#define DEVICE(field) SECTION_DEVICE, #field
#define AT(field) offsetof(struct config, field)
#define AT_DEVICE(field) offsetof(struct config_device, field)

static const struct ini_key keys[] = {
	{ GLOBAL(rules), parse_rules, print_rules, AT(rules), "auto", 0, 0, 0, "auto or manual",
	  "auto: suntapd installs the nftables rules and the policy route and removes them when it stops; "
	  "manual: you do, see nft/suntap.nft and suntapd --print-rules" },
	{ GLOBAL(tproxy_port), ini_parse_port, ini_print_port, AT(tproxy_port), "17860", 1, 65535, 0,
	  "a port number, 1 to 65535",
	  "port on 127.0.0.1 and ::1 where suntapd takes the intercepted connections" },
	{ GLOBAL(mark), parse_mark, print_mark, AT(mark), "0x20000000/0x20000000", 0, 0, 0,
	  "0xVALUE/0xMASK, such as 0x20000000/0x20000000",
	  "packet mark of intercepted connections; only the bits of the mask are touched" },
	{ GLOBAL(route_table), parse_table, ini_print_unsigned, AT(route_table), "7860", 1, UINT32_MAX, 0,
	  "the number of a routing table that nobody else uses, not 253 to 255",
	  "routing table of the policy route" },
	{ GLOBAL(rule_priority), ini_parse_unsigned, ini_print_unsigned, AT(rule_priority), "786", 1, 32765, 0,
	  "a number, 1 to 32765",
	  "priority of the ip rule; smaller than those of VPNs and multi-WAN programs" },
	{ GLOBAL(max_flows), ini_parse_unsigned, ini_print_unsigned, AT(max_flows), "0", 0, 1000000, 0,
	  "a number, 0 (what the limit on open files allows) to 1000000",
	  "connections at once, of all devices; 0: what the limit on open files allows" },
	{ GLOBAL(connect_timeout), ini_parse_seconds, ini_print_seconds, AT(connect_timeout), "30s", 1, 3600, 0,
	  "a time such as 30s, 1s to 1h",
	  "how long the cloud may take to accept a connection" },
	{ GLOBAL(keepalive), ini_parse_seconds, ini_print_seconds, AT(keepalive), "2min", 1, 32767, 0,
	  "a time such as 90s or 2min, 1s to 9h",
	  "silence after which each side of a connection is probed" },
	{ GLOBAL(user_timeout), ini_parse_seconds, ini_print_seconds, AT(user_timeout), "5min", 1, 86400, 0,
	  "a time such as 90s or 5min, 1s to 24h",
	  "how long sent bytes or probes may stay unacknowledged before a connection counts as dead" },
	{ GLOBAL(ring_size), ini_parse_size, ini_print_size, AT(ring_size), "4M", 65536, 1 << 30, 0,
	  "a power of two such as 4M, 64K to 1G",
	  "bytes of traffic that may wait for the decoder" },

	{ DEVICE(source), parse_sources, print_sources, 0, "", 0, 0, 0,
	  "a list of addresses or prefixes (192.168.1.50, 192.168.1.0/24, fd00::/64) or hardware addresses "
	  "(02:00:5e:00:00:01)",
	  "the device: its addresses, prefixes or hardware addresses; without it, whoever uses the ports" },
	{ DEVICE(interface), parse_interface, ini_print_text, AT_DEVICE(interface), "", 0, 0, 1 << WAY_TPROXY,
	  "the name of a network interface, such as eth1 or br-lan",
	  "only connections that come in here" },
	{ DEVICE(preset), parse_preset, ini_print_text, AT_DEVICE(preset), "", 0, 0, 0, PRESETS_TEXT,
	  "the maker, for the ports of its cloud" },
	{ DEVICE(ports), parse_ports, print_ports, 0, "", 1, 65535, 1 << WAY_TPROXY | 1 << WAY_REDIRECT,
	  "a list of port numbers, 1 to 65535, such as 10000, 10443",
	  "ports of the cloud, in addition to those of the preset; redirect: without any, all that comes" },
	{ DEVICE(way), parse_way, print_way, AT_DEVICE(way), "tproxy", 0, 0, 0, "tproxy, redirect or direct",
	  "how its connections come: tproxy: by suntapd's own rules; redirect: by a REDIRECT or DNAT rule of "
	  "yours; direct: the device was pointed here" },
	{ DEVICE(listen), parse_listen, print_endpoint, AT_DEVICE(listen), "", 0, 0,
	  1 << WAY_REDIRECT | 1 << WAY_DIRECT,
	  "ADDRESS:PORT, [IPV6]:PORT, or :PORT for every address",
	  "where suntapd listens for it" },
	{ DEVICE(upstream), parse_upstream, print_endpoint, AT_DEVICE(upstream), "", 0, 0, 1 << WAY_DIRECT,
	  "HOST:PORT, such as iot.example.com:10000",
	  "the cloud, which a connection that was sent here does not tell" },
	{ DEVICE(dns_server), parse_address, ini_print_text, AT_DEVICE(dns_server), "", 0, 0, 1 << WAY_DIRECT,
	  "the address of a DNS server, such as 9.9.9.9",
	  "who is asked for the upstream's address, where the system's own DNS answers with this machine" },
	{ DEVICE(keep_source), ini_parse_bool, ini_print_bool, AT_DEVICE(keep_source), "no", 0, 0, 0, "yes or no",
	  "go on to the cloud with the device's own address instead of the gateway's" },
	{ DEVICE(max_flows), ini_parse_unsigned, ini_print_unsigned, AT_DEVICE(max_flows), "2048", 1, 1000000, 0,
	  "a number, 1 to 1000000",
	  "connections at once, of this device" },
};

enum { KEYS = ARRAY_SIZE(keys) };

bool config_key(size_t i, struct config_key_info *ret)
{
	if (i >= KEYS)
		return false;
	*ret = (struct config_key_info){
		.section = keys[i].section == SECTION_SUNTAPD ? "suntapd" : "device",
		.key = keys[i].name,
		.fallback = keys[i].fallback,
		.accepts = keys[i].accepts,
		.help = keys[i].help,
	};
	return true;
}

/* Line at which a key was given, 0 = not; device NULL for [suntapd]. */
static unsigned *seen_at(struct parse *p, const struct config_device *d, const struct ini_key *k)
{
	if (!d)
		return &p->suntapd_seen[k - keys];
	return &(*p->device_seen)[(size_t)(d - p->config->devices) * KEYS + (size_t)(k - keys)];
}

static const struct ini_key *find_key(enum section section, const char *name)
{
	for (size_t i = 0; i < KEYS; i++)
		if (keys[i].section == section && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static void set_defaults(struct parse *p, enum section section, void *object)
{
	for (size_t i = 0; i < KEYS; i++)
		if (keys[i].section == section && *keys[i].fallback)
			keys[i].parse(&p->ini, &keys[i], keys[i].fallback, (char *)object + keys[i].offset);
}

/* ---------------------------------------------------------------- lines */

static void unknown_key(struct parse *p, const char *name)
{
	enum section other = p->section == SECTION_DEVICE ? SECTION_SUNTAPD : SECTION_DEVICE;
	const struct ini_key *near = NULL;
	size_t best = 4;
	char buf[64];

	if (find_key(other, name)) {
		ini_complain(&p->ini, p->ini.line, name, "is not a key of %s; belongs in a [%s] section",
			 p->section == SECTION_DEVICE ? "[device]" : "[suntapd]",
			 other == SECTION_DEVICE ? "device NAME" : "suntapd");
		return;
	}
	for (size_t i = 0; i < KEYS; i++) {
		size_t d = ini_distance(name, keys[i].name);

		if (keys[i].section != p->section)
			continue;
		if (d < best && d < strlen(keys[i].name)) {
			best = d;
			near = &keys[i];
		}
	}
	if (near) {
		ini_complain(&p->ini, p->ini.line, ini_shown(buf, name), "unknown key; did you mean %s?", near->name);
		return;
	}
	if (p->ini.complaints++ >= INI_COMPLAINTS_MAX)
		return;
	fprintf(p->ini.errors, "%s:%u: %s: unknown key; would be one of", p->ini.name, p->ini.line, ini_shown(buf, name));
	for (size_t i = 0, n = 0; i < KEYS; i++)
		if (keys[i].section == p->section)
			fprintf(p->ini.errors, "%s %s", n++ ? "," : "", keys[i].name);
	fputc('\n', p->ini.errors);
}

/* An empty list may begin in the next line, but `source =` alone would take every device: never guess that. */
static void finish_list(struct parse *p)
{
	if (p->empty_line)
		ini_complain(&p->ini, p->empty_line, p->key->name, "has no value; would be %s", p->key->accepts);
	p->empty_line = 0;
}

static bool is_list(const struct ini_key *k)
{
	return k->parse == parse_sources || k->parse == parse_ports;
}

static void read_value(struct ini *ini, const char *name, const char *value, bool continued)
{
	struct parse *p = (struct parse *)ini;
	const struct ini_key *k;
	struct config_device *d = p->section == SECTION_DEVICE ? p->device : NULL;
	void *at;
	unsigned *seen;

	if (p->section == SECTION_IGNORED || (p->section == SECTION_DEVICE && !d))
		return;
	if (continued) {
		if (!p->key)
			return;	/* what it continues was refused already */
		p->empty_line = 0;
		if (!is_list(p->key)) {
			ini_complain(&p->ini, p->ini.line, p->key->name, "goes on in an indented line, but has one value; would be %s",
				 p->key->accepts);
			return;
		}
		p->key->parse(&p->ini, p->key, value, d);
		return;
	}
	finish_list(p);
	p->key = NULL;
	if (p->section == SECTION_NONE) {
		ini_complain(&p->ini, p->ini.line, name, "stands before any section; would be below [suntapd] or [device NAME]");
		return;
	}
	k = find_key(p->section, name);
	if (!k) {
		unknown_key(p, name);
		return;
	}
	seen = seen_at(p, d, k);
	if (*seen) {
		ini_complain(&p->ini, p->ini.line, name, "is there twice in this section, first in line %u; would be once%s", *seen,
			 is_list(k) ? ", with all values behind it" : "");
		return;
	}
	*seen = p->ini.line;
	at = d ? (char *)d + k->offset : (char *)p->config + k->offset;
	if (*value == '\0' && !is_list(k)) {
		ini_complain(&p->ini, p->ini.line, name, "has no value; would be %s", k->accepts);
	} else if (*value == '\0') {
		p->key = k;
		p->empty_line = p->ini.line;
	} else if (k->parse(&p->ini, k, value, at)) {
		p->key = k;
	}
}

static bool is_device_name(const char *name)
{
	if (!isalpha((unsigned char)*name) || strlen(name) >= CONFIG_NAME_MAX)
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '-' && *name != '_')
			return false;
	return true;
}

static void open_device(struct parse *p, const char *name)
{
	struct config *c = p->config;
	struct config_device *d;
	char buf[64];

	p->section = SECTION_DEVICE;
	p->device = NULL;
	p->any_device = true;
	if (!is_device_name(name)) {
		ini_complain(&p->ini, p->ini.line, "[device]", "\"%s\" is not a name; would be letters, digits, - and _, a letter first, "
			 "at most %d: [device roof-east]", ini_shown(buf, name), CONFIG_NAME_MAX - 1);
		return;
	}
	for (size_t i = 0; i < c->device_count; i++)
		if (strcmp(c->devices[i].name, name) == 0) {
			ini_complain(&p->ini, p->ini.line, "[device]", "\"%s\" is there already, in line %u; would be another name, or "
				 "one section", name, c->devices[i].line);
			return;
		}
	if (c->device_count == CONFIG_DEVICES_MAX) {
		ini_complain(&p->ini, p->ini.line, "[device]", "more than %d devices; would be a source with a prefix, which takes "
			 "many devices of one kind", CONFIG_DEVICES_MAX);
		return;
	}
	d = &c->devices[c->device_count++];
	*d = (struct config_device){ .line = p->ini.line };
	memcpy(d->name, name, strlen(name) + 1);
	set_defaults(p, SECTION_DEVICE, d);
	p->device = d;
}

/* text: what is between the brackets; NULL: no header, or the end of the file. */
static void open_section(struct ini *ini, const char *text)
{
	struct parse *p = (struct parse *)ini;
	const char *name;
	char buf[64];
	size_t word;

	finish_list(p);
	p->key = NULL;
	p->section = SECTION_IGNORED;
	if (!text)
		return;
	word = strcspn(text, " \t");
	name = text + word + strspn(text + word, " \t");
	if (word == 6 && memcmp(text, "device", 6) == 0) {
		open_device(p, name);
		return;
	}
	if (strcmp(text, "suntapd") == 0) {
		p->section = SECTION_SUNTAPD;
		if (p->suntapd_line)
			ini_complain(&p->ini, p->ini.line, "[suntapd]", "is there already, in line %u; would be one section", p->suntapd_line);
		else
			p->suntapd_line = p->ini.line;
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(foreign_sections); i++)
		if (strlen(foreign_sections[i]) == word && memcmp(text, foreign_sections[i], word) == 0)
			return;
	ini_complain(&p->ini, p->ini.line, NULL, "[%s]: unknown section; would be [suntapd], [device NAME], or an exporter's: "
		     "[mqtt NAME], [influxdb NAME], [splunk NAME], [metrics NAME], [json NAME], [inverter SERIAL]",
		     ini_shown(buf, text));
}

/* ---------------------------------------------------------------- what concerns a whole device */

static void check_ways(struct parse *p, struct config_device *d)
{
	for (size_t i = 0; i < KEYS; i++) {
		const struct ini_key *k = &keys[i];
		unsigned line = k->section == SECTION_DEVICE ? *seen_at(p, d, k) : 0;
		const char *sep = "";

		if (!line || !k->ways || k->ways & 1u << d->way)
			continue;
		if (p->ini.complaints++ >= INI_COMPLAINTS_MAX)
			return;
		fprintf(p->ini.errors, "%s:%u: %s: has no meaning with way = %s; would be way = ", p->ini.name, line, k->name,
			way_names[d->way]);
		for (size_t w = 0; w < ARRAY_SIZE(way_names); w++)
			if (k->ways & 1u << w) {
				fprintf(p->ini.errors, "%s%s", sep, way_names[w]);
				sep = " or ";
			}
		fputs(", or without this line\n", p->ini.errors);
	}
}

static unsigned key_line(struct parse *p, const struct config_device *d, const char *key)
{
	unsigned line = *seen_at(p, d, find_key(SECTION_DEVICE, key));

	return line ? line : d->line;
}

static void add_preset_ports(struct parse *p, struct config_device *d)
{
	const char *name;
	const uint16_t *ports;
	size_t count;
	uint16_t own[CONFIG_PORTS_MAX];
	size_t own_count = d->port_count;

	if (!*d->preset)
		return;
	for (size_t i = 0; config_preset(i, &name, &ports, &count); i++) {
		if (strcmp(name, d->preset) != 0)
			continue;
		memcpy(own, d->ports, sizeof(own));
		d->port_count = 0;
		for (size_t j = 0; j < count; j++)
			device_add_port(d, ports[j]);
		for (size_t j = 0; j < own_count; j++)
			if (!has_port(d, own[j]) && !device_add_port(d, own[j])) {
				ini_complain(&p->ini, key_line(p, d, "ports"), "ports", "more than %d with those of the preset; would be "
					 "two [device] sections", CONFIG_PORTS_MAX);
				return;
			}
	}
}

/* The endpoints of `direct`, of which one may be told by the other. */
static void settle_direct(struct parse *p, struct config_device *d)
{
	if (!*d->upstream.host) {
		if (!*seen_at(p, d, find_key(SECTION_DEVICE, "upstream")))
			ini_complain(&p->ini, d->line, "upstream", "is missing in [device %s]; with way = direct would be the cloud: "
				 "upstream = iot.example.com:%u", d->name, d->listen.port ? d->listen.port : 10000);
		return;
	}
	if (!d->upstream.port && d->listen.port)
		d->upstream.port = d->listen.port;
	if (!d->upstream.port && d->port_count == 1)
		d->upstream.port = d->ports[0];
	if (!d->upstream.port)
		ini_complain(&p->ini, key_line(p, d, "upstream"), "upstream", "has no port; would be upstream = %s:%u", d->upstream.host,
			 d->port_count ? d->ports[0] : 10000);
	if (!d->listen.port)
		d->listen.port = d->upstream.port;
}

static void settle_device(struct parse *p, struct config_device *d)
{
	bool ports = *seen_at(p, d, find_key(SECTION_DEVICE, "ports")) ||
		     *seen_at(p, d, find_key(SECTION_DEVICE, "preset"));

	check_ways(p, d);
	add_preset_ports(p, d);
	switch (d->way) {
	case WAY_TPROXY:
		if (!ports)
			ini_complain(&p->ini, d->line, "ports", "is missing in [device %s]; would be a preset (%s) or ports = 10000",
				 d->name, PRESETS_TEXT);
		break;
	case WAY_REDIRECT:
		if (!d->listen.port && !*seen_at(p, d, find_key(SECTION_DEVICE, "listen")))
			ini_complain(&p->ini, d->line, "listen", "is missing in [device %s]; would be where your REDIRECT or DNAT rule "
				 "sends the connections: listen = :17861", d->name);
		break;
	case WAY_DIRECT:
		settle_direct(p, d);
		break;
	}
}

/* ---------------------------------------------------------------- what concerns several devices */

/* Two devices that match with the same rank what the same connection brings: nobody could say whose it is. */
static void check_ambiguous(struct parse *p, const struct config_device *a, const struct config_device *b)
{
	const struct config_source *same = NULL;
	uint16_t port = 0;
	char buf[64];

	if (*a->interface && *b->interface && strcmp(a->interface, b->interface) != 0)
		return;
	for (size_t i = 0; i < a->port_count && !port; i++)
		if (has_port(b, a->ports[i]))
			port = a->ports[i];
	if (!port)
		return;
	for (size_t i = 0; i < a->source_count && !same; i++)
		for (size_t j = 0; j < b->source_count && !same; j++)
			if (source_same(&a->sources[i], &b->sources[j]))
				same = &b->sources[j];
	if (same)
		ini_complain(&p->ini, key_line(p, b, "source"), "source", "%s with port %u is already in [device %s], line %u; would be in "
			 "one of the two", source_text(buf, same), port, a->name, a->line);
	else if (!a->source_count && !b->source_count && !*seen_at(p, a, find_key(SECTION_DEVICE, "source")) &&
		 !*seen_at(p, b, find_key(SECTION_DEVICE, "source")))
		ini_complain(&p->ini, b->line, "source", "is missing in [device %s] and in [device %s], line %u, and both have port %u; "
			 "would be given in one of the two at least", b->name, a->name, a->line, port);
}

static bool listens_clash(const struct config_endpoint *a, const struct config_endpoint *b)
{
	static const char *const any[] = { "", "0.0.0.0", "::" };
	bool any_a = false, any_b = false;

	for (size_t i = 0; i < ARRAY_SIZE(any); i++) {
		any_a |= !strcmp(a->host, any[i]);
		any_b |= !strcmp(b->host, any[i]);
	}
	/* 0.0.0.0 leaves [::] to somebody else, but "" is both. */
	if (*a->host && *b->host && !strchr(a->host, ':') != !strchr(b->host, ':'))
		return false;
	return a->port && a->port == b->port && (any_a || any_b || !strcmp(a->host, b->host));
}

static void check_pair(struct parse *p, const struct config_device *a, const struct config_device *b)
{
	char buf[CONFIG_HOST_MAX + 16];

	if (a->way == WAY_TPROXY && b->way == WAY_TPROXY)
		check_ambiguous(p, a, b);
	if (listens_clash(&a->listen, &b->listen))
		ini_complain(&p->ini, key_line(p, b, "listen"), "listen", "%s is taken by [device %s], line %u; would be another port",
			 endpoint_text(buf, &b->listen), a->name, a->line);
}

static void check_all(struct parse *p)
{
	static const struct config_endpoint loopbacks[] = { { .host = "127.0.0.1" }, { .host = "::1" } };
	struct config *c = p->config;

	if (!p->any_device)
		ini_complain(&p->ini, 0, NULL, "no [device NAME] section: nothing to do; would be, for example:\n"
			 "    [device roof]\n"
			 "    source = 192.168.1.50\n"
			 "    preset = solarman");
	for (size_t i = 0; i < c->device_count; i++) {
		settle_device(p, &c->devices[i]);
		for (size_t j = 0; j < ARRAY_SIZE(loopbacks); j++) {
			struct config_endpoint ours = loopbacks[j];

			ours.port = c->tproxy_port;
			if (listens_clash(&ours, &c->devices[i].listen)) {
				ini_complain(&p->ini, key_line(p, &c->devices[i], "listen"), "listen", "port %u is tproxy_port; would be "
					 "another port", c->tproxy_port);
				break;
			}
		}
		for (size_t j = 0; j < i; j++)
			check_pair(p, &c->devices[j], &c->devices[i]);
	}
}

/* ---------------------------------------------------------------- reading */

int config_read(struct config **ret, FILE *in, const char *name, FILE *errors)
{
	static const struct ini_events events = { open_section, read_value };
	struct parse p = { .ini = { .in = in, .errors = errors, .name = name, .events = &events } };
	CLEANUP(freep) void *suntapd_seen = NULL, *device_seen = NULL;
	struct config *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	suntapd_seen = calloc(KEYS, sizeof(unsigned));
	device_seen = calloc((size_t)CONFIG_DEVICES_MAX * KEYS, sizeof(unsigned));
	if (c)
		c->devices = calloc(CONFIG_DEVICES_MAX, sizeof(*c->devices));
	if (!c || !c->devices || !suntapd_seen || !device_seen)
		goto out;
	p.config = c;
	p.suntapd_seen = suntapd_seen;
	p.device_seen = device_seen;
	set_defaults(&p, SECTION_SUNTAPD, c);

	r = ini_read(&p.ini);
	if (r)
		goto out;
	check_all(&p);
	r = ini_finish(&p.ini);
	if (r)
		goto out;
	*ret = c;
	return 0;
out:
	config_free(c);
	return r;
}

int config_load(struct config **ret, const char *path, FILE *errors)
{
	CLEANUP(fclosep) FILE *file = NULL;
	int r;

	if (strcmp(path, "-") == 0)
		return config_read(ret, stdin, "(standard input)", errors);
	file = fopen(path, "re");
	if (!file) {
		r = -errno;
		fprintf(errors, "%s: cannot be opened: %s\n", path, strerror(-r));
		return r;
	}
	return config_read(ret, file, path, errors);
}

struct config *config_free(struct config *c)
{
	if (c)
		free(c->devices);
	free(c);
	return NULL;
}

void config_print(const struct config *c, FILE *out)
{
	fputs("[suntapd]\n", out);
	for (size_t i = 0; i < KEYS; i++)
		if (keys[i].section == SECTION_SUNTAPD)
			keys[i].print(&keys[i], (const char *)c + keys[i].offset, out);
	for (size_t j = 0; j < c->device_count; j++) {
		const struct config_device *d = &c->devices[j];

		fprintf(out, "\n[device %s]\n", d->name);
		for (size_t i = 0; i < KEYS; i++)
			if (keys[i].section == SECTION_DEVICE && (!keys[i].ways || keys[i].ways & 1u << d->way))
				keys[i].print(&keys[i], (const char *)d + keys[i].offset, out);
	}
}
