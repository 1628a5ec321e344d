/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config_keys.c - what may be written in suntap.ini for suntapd: the keys, and the forms of their values
 *
 * config_keys[] at the end is the one table: section, key, parser, printer, default, limits, and the words for a
 * complaint. A parser knows its own value alone; what a value means beside others is config_check.c's.
 *
 * Invariant (held by test_config.c and fuzz_config.c): what a printer writes, its parser reads back to the same.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "shared/config_private.h"
#include "shared/util.h"

enum {
	WRAP = 88,			/* columns of a printed list; inih takes 197 */
};

/* ---------------------------------------------------------------- names and numbers */

static const char *const rules_names[] = { [RULES_AUTO] = "auto", [RULES_MANUAL] = "manual" };
const char *const config_way_names[] = {
	[WAY_TPROXY] = "tproxy", [WAY_REDIRECT] = "redirect", [WAY_DIRECT] = "direct",
};

static bool parse_rules(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	return ini_parse_choice(p, k, text, rules_names, ARRAY_SIZE(rules_names), at);
}

static void print_rules(const struct ini_key *k, const void *at, FILE *out)
{
	fprintf(out, "%s = %s\n", k->name, rules_names[*(const enum config_rules *)at]);
}

static bool parse_way(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	return ini_parse_choice(p, k, text, config_way_names, CONFIG_WAYS, at);
}

static void print_way(const struct ini_key *k, const void *at, FILE *out)
{
	fprintf(out, "%s = %s\n", k->name, config_way_names[*(const enum config_way *)at]);
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

/* ---------------------------------------------------------------- addresses */

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

const char *config_endpoint_text(char buf[static CONFIG_HOST_MAX + 16], const struct config_endpoint *e)
{
	snprintf(buf, CONFIG_HOST_MAX + 16, strchr(e->host, ':') ? "[%s]:%u" : "%s:%u", e->host, e->port);
	return buf;
}

static void print_endpoint(const struct ini_key *k, const void *at, FILE *out)
{
	const struct config_endpoint *e = at;
	char buf[CONFIG_HOST_MAX + 16];

	if (e->port)
		fprintf(out, "%s = %s\n", k->name, config_endpoint_text(buf, e));
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

const char *config_source_text(char buf[static 64], const struct config_source *s)
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
			 ini_shown(buf, text), config_source_text(buf2, &s), address);
		return false;
	}
	*ret = s;
	return true;
}

bool config_source_same(const struct config_source *a, const struct config_source *b)
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

/* ---------------------------------------------------------------- lists */

static bool add_source(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	struct config_device *d = at;
	struct config_source s;
	char buf[64];

	if (!parse_source(p, k, text, &s))
		return false;
	for (size_t i = 0; i < d->source_count; i++)
		if (config_source_same(&d->sources[i], &s)) {
			ini_complain(p, p->line, k->name, "%s is there twice; once is enough", config_source_text(buf, &s));
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

bool config_add_port(struct config_device *d, uint16_t port)
{
	if (d->port_count == CONFIG_PORTS_MAX)
		return false;
	d->ports[d->port_count++] = port;
	return true;
}

static bool add_port(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	uint16_t port;

	if (!ini_parse_port(p, k, text, &port))
		return false;
	if (config_has_port(at, port)) {
		ini_complain(p, p->line, k->name, "%u is there twice; once is enough", port);
		return false;
	}
	if (!config_add_port(at, port)) {
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
		print_item(config_source_text(buf, &d->sources[i]), i == 0, &column, out);
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

#define GLOBAL(field) SECTION_SUNTAPD, #field
#define DEVICE(field) SECTION_DEVICE, #field
#define AT(field) offsetof(struct config, field)
#define AT_DEVICE(field) offsetof(struct config_device, field)

const struct ini_key config_keys[] = {
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
	{ DEVICE(preset), parse_preset, ini_print_text, AT_DEVICE(preset), "", 0, 0, 0, CONFIG_PRESETS_TEXT,
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

const size_t config_key_count = ARRAY_SIZE(config_keys);

bool config_is_list(const struct ini_key *k)
{
	return k->parse == parse_sources || k->parse == parse_ports;
}

bool config_key(size_t i, struct config_key_info *ret)
{
	if (i >= config_key_count)
		return false;
	*ret = (struct config_key_info){
		.section = config_keys[i].section == SECTION_SUNTAPD ? "suntapd" : "device",
		.key = config_keys[i].name,
		.fallback = config_keys[i].fallback,
		.accepts = config_keys[i].accepts,
		.help = config_keys[i].help,
	};
	return true;
}
