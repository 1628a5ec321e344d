/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_config.c - suntap.ini: what is understood, what is complained of, and that the documents know every key */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/config.h"
#include "shared/util.h"

/* Reads text; *complaints (free it) is what was said. */
static int read_text(struct config **ret, const char *text, size_t size, char **complaints)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, size, "r"), *errors;
	size_t length;
	int r;

	*complaints = NULL;
	errors = open_memstream(complaints, &length);
	assert_non_null(in);
	assert_non_null(errors);
	r = config_read(ret, in, "t", errors);
	fclose(in);
	fclose(errors);
	return r;
}

static struct config *good(const char *text)
{
	CLEANUP(freep) char *complaints = NULL;
	struct config *c = NULL;
	int r = read_text(&c, text, strlen(text), &complaints);

	if (r || *complaints)
		fail_msg("%d: %s", r, complaints);
	return c;
}

static char *printed(const struct config *c)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	assert_non_null(out);
	config_print(c, out);
	fclose(out);
	return text;
}

static void test_defaults(void **state)
{
	struct config *c = good("[device roof]\nports = 10000\n");
	const struct config_device *d = c->devices;

	(void)state;
	assert_int_equal(c->rules, RULES_AUTO);
	assert_int_equal(c->tproxy_port, 17860);
	assert_int_equal(c->mark, 0x20000000);
	assert_int_equal(c->mark_mask, 0x20000000);
	assert_int_equal(c->route_table, 7860);
	assert_int_equal(c->rule_priority, 786);
	assert_int_equal(c->max_flows, 0);
	assert_int_equal(c->connect_timeout, 30);
	assert_int_equal(c->keepalive, 120);
	assert_int_equal(c->user_timeout, 300);
	assert_int_equal(c->ring_size, 4 << 20);
	assert_int_equal(c->device_count, 1);
	assert_string_equal(d->name, "roof");
	assert_int_equal(d->line, 1);
	assert_int_equal(d->way, WAY_TPROXY);
	assert_int_equal(d->source_count, 0);
	assert_int_equal(d->port_count, 1);
	assert_int_equal(d->ports[0], 10000);
	assert_string_equal(d->interface, "");
	assert_false(d->keep_source);
	assert_int_equal(d->max_flows, 2048);
	config_free(c);
}

static void test_everything(void **state)
{
	static const char text[] =
		"\xef\xbb\xbf; a comment\n"
		"# another\r\n"
		"  [suntapd]   ; and one here\n"
		"rules = Manual\r\n"
		"tproxy_port=0x100\n"
		"mark = 0x100/0xf00   ; inline\n"
		"route_table : 4294967295\n"
		"rule_priority = 1\n"
		"max_flows = 10\n"
		"connect_timeout = 5 s\n"
		"keepalive = 90\n"
		"user_timeout = 1h\n"
		"ring_size = 64k\n"
		"[mqtt home]\n"
		"anything = goes\n"
		"   even this\n"
		"[metrics]\n"
		"[ device\troof-1_x ]\n"
		"  source = 192.168.1.50,fd00::1/128 ,\n"
		"      10.0.0.0/8\t02:00:00:00:0a:01\n"
		"\n"
		"   ; a comment in between\n"
		"      02-00-00-00-00-02\n"
		"  interface = br-lan.7\n"
		"  preset = TSUN\n"
		"  ports =\n"
		"    10443, 5005\n"
		"  keep_source = on\n"
		"  max_flows = 3\n"
		"[device cellar]\n"
		"way = direct\n"
		"listen = [::1]:5000\n"
		"upstream = server.growatt.com\n"
		"dns_server = 2620:fe::fe\n"
		"[device r]\n"
		"way = redirect\n"
		"listen = 17861\n";
	struct config *c = good(text);
	const struct config_device *d = c->devices;

	(void)state;
	assert_int_equal(c->rules, RULES_MANUAL);
	assert_int_equal(c->tproxy_port, 256);
	assert_int_equal(c->mark, 0x100);
	assert_int_equal(c->mark_mask, 0xf00);
	assert_int_equal(c->route_table, UINT32_MAX);
	assert_int_equal(c->rule_priority, 1);
	assert_int_equal(c->max_flows, 10);
	assert_int_equal(c->connect_timeout, 5);
	assert_int_equal(c->keepalive, 90);
	assert_int_equal(c->user_timeout, 3600);
	assert_int_equal(c->ring_size, 65536);
	assert_int_equal(c->device_count, 3);

	assert_string_equal(d->name, "roof-1_x");
	assert_int_equal(d->source_count, 5);
	assert_int_equal(d->sources[0].kind, SOURCE_IP4);
	assert_int_equal(d->sources[0].prefix, 32);
	assert_int_equal(d->sources[1].kind, SOURCE_IP6);
	assert_int_equal(d->sources[1].prefix, 128);
	assert_int_equal(d->sources[2].prefix, 8);
	assert_int_equal(d->sources[2].ip4.s_addr, htonl(0x0a000000));
	assert_int_equal(d->sources[3].kind, SOURCE_MAC);
	assert_memory_equal(d->sources[3].mac, "\2\0\0\0\12\1", 6);
	assert_memory_equal(d->sources[4].mac, "\2\0\0\0\0\2", 6);
	assert_string_equal(d->interface, "br-lan.7");
	assert_string_equal(d->preset, "tsun");
	assert_int_equal(d->port_count, 3);
	assert_int_equal(d->ports[0], 10000);
	assert_int_equal(d->ports[1], 5005);
	assert_int_equal(d->ports[2], 10443);
	assert_true(d->keep_source);
	assert_int_equal(d->max_flows, 3);

	d++;
	assert_int_equal(d->way, WAY_DIRECT);
	assert_string_equal(d->listen.host, "::1");
	assert_int_equal(d->listen.port, 5000);
	assert_string_equal(d->upstream.host, "server.growatt.com");
	assert_int_equal(d->upstream.port, 5000);
	assert_string_equal(d->dns_server, "2620:fe::fe");

	d++;
	assert_int_equal(d->way, WAY_REDIRECT);
	assert_string_equal(d->listen.host, "");
	assert_int_equal(d->listen.port, 17861);
	assert_int_equal(d->port_count, 0);
	assert_true(config_device_takes(d, 5));
	assert_false(config_device_takes(c->devices, 5));
	config_free(c);
}

/* direct: the listener's port is told by the upstream's, or that by the preset's one */
static void test_direct_ports(void **state)
{
	struct config *c = good("[device a]\nway=direct\nupstream=h.example:7000\npreset=tsun\n"
				"[device b]\nway=direct\nupstream=[fd00::1]\npreset=alphaess\n");

	(void)state;
	assert_int_equal(c->devices[0].listen.port, 7000);
	assert_string_equal(c->devices[1].upstream.host, "fd00::1");
	assert_int_equal(c->devices[1].upstream.port, 7777);
	assert_int_equal(c->devices[1].listen.port, 7777);
	config_free(c);
}

static void test_prints_what_it_reads(void **state)
{
	static const char *const texts[] = {
		"[device a]\nports=1\n",
		"[suntapd]\nmark=5/7\nuser_timeout=61\nkeepalive=1min\nring_size=128K\n"
		"[device a]\npreset=growatt\nports=1,2\nsource=10.0.0.0/8 ::/0\n[device b]\nports=1\nsource=fe80::/10\n",
		"[device a]\nway=direct\nupstream=x.example\nlisten=[::]:4\npreset=tsun\nsource=02:11:22:33:44:55\n",
		"[device a]\nway=redirect\nlisten=10.0.0.1:5\npreset=apsystems\n",
		"[device a]\npreset=deye\nsource=fd00:1111:2222:3333:4444:5555:6666:0001 fd00:1111:2222:3333:4444:5555:6666:0002\n"
		" fd00:1111:2222:3333:4444:5555:6666:0003 fd00:1111:2222:3333:4444:5555:6666:0004\n"
		" fd00:1111:2222:3333:4444:5555:6666:0005 fd00:1111:2222:3333:4444:5555:6666:0006\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct config *c = good(texts[i]);
		CLEANUP(freep) char *once = printed(c), *twice = NULL;
		struct config *again = good(once);

		twice = printed(again);
		assert_string_equal(once, twice);
		again->devices->line = c->devices->line;
		assert_int_equal(c->device_count, again->device_count);
		assert_memory_equal(c->devices, again->devices, sizeof(*c->devices));
		config_free(c);
		config_free(again);
	}
}

/* Each text with all that is said of it, in order; "" alone would be no complaint. */
static const struct {
	const char *text, *said;
} bad[] = {
	{ "", "t: no [device NAME] section: nothing to do; would be, for example:\n"
	      "    [device roof]\n    source = 192.168.1.50\n    preset = solarman\n" },
	{ "x = 1\n[device a]\nports=1\n", "t:1: x: stands before any section; would be below [suntapd] or [device NAME]\n" },
	/* unknown keys and sections */
	{ "[device a]\nport = 1\n",
	  "t:2: port: unknown key; did you mean ports?\n"
	  "t:1: ports: is missing in [device a]; would be a preset (solarman, tsun, deye, alphaess, sunsynk, inteless, "
	  "apsystems or growatt) or ports = 10000\n" },
	{ "[device a]\nports = 1\nzzzzzzzzzzz = 1\n",
	  "t:3: zzzzzzzzzzz: unknown key; would be one of source, interface, preset, ports, way, listen, upstream, "
	  "dns_server, keep_source, max_flows\n" },
	{ "[suntapd]\nsource = 1.2.3.4\n[device a]\nports=1\nmark = 1\n",
	  "t:2: source: is not a key of [suntapd]; belongs in a [device NAME] section\n"
	  "t:5: mark: is not a key of [device]; belongs in a [suntapd] section\n" },
	{ "[devise a]\nfoo = 1\n[device a]\nports=1\n",
	  "t:1: [devise a]: unknown section; would be [suntapd], [device NAME], or an exporter's: [mqtt NAME], "
	  "[influxdb NAME], [splunk NAME], [metrics NAME], [json NAME], [inverter SERIAL]\n" },
	{ "[mqttx]\n[device a]\nports=1\n",
	  "t:1: [mqttx]: unknown section; would be [suntapd], [device NAME], or an exporter's: [mqtt NAME], "
	  "[influxdb NAME], [splunk NAME], [metrics NAME], [json NAME], [inverter SERIAL]\n" },
	{ "[device a\nports=1\n", "t:1: \"[device a\" is not a section; would be [suntapd] or [device NAME]\n"
	  "t: no [device NAME] section: nothing to do; would be, for example:\n"
	  "    [device roof]\n    source = 192.168.1.50\n    preset = solarman\n" },
	{ "[device a] b\n[device b]\nports=1\n", "t:1: \"[device a] b\" is not a section; would be [suntapd] or [device NAME]\n" },
	/* duplicates */
	{ "[device a]\nports = 1\nports = 2\n",
	  "t:3: ports: is there twice in this section, first in line 2; would be once, with all values behind it\n" },
	{ "[device a]\nports = 1\n[device a]\nports = 2\n",
	  "t:3: [device]: \"a\" is there already, in line 1; would be another name, or one section\n" },
	{ "[suntapd]\n[device a]\nports = 1\n[suntapd]\n",
	  "t:4: [suntapd]: is there already, in line 1; would be one section\n" },
	{ "[device a]\nports = 1, 2 1\nsource = 10.0.0.1 10.0.0.1/32\n",
	  "t:2: ports: 1 is there twice; once is enough\nt:3: source: 10.0.0.1 is there twice; once is enough\n" },
	/* lines that inih would swallow */
	{ "[device a]\nports = 1\nnonsense\n",
	  "t:3: is neither a section nor a key with its value; would be [section], key = value or ; comment\n" },
	{ "[device a]\n   nonsense\nports = 1\n",
	  "t:2: is neither a section nor a key with its value; would be [section], key = value or ; comment\n" },
	{ "[device a]\n   source: nonsense\nports = 1\n",
	  "t:2: source: \"nonsense\" is not understood; would be a list of addresses or prefixes (192.168.1.50, 192.168.1.0/24, "
	  "fd00::/64) or hardware addresses (02:00:5e:00:00:01)\n" },
	{ "[device a]\nports = 1 # one\n",
	  "t:2: ports: \" # one\" has a comment in it; a comment behind a value begins with \" ;\"\n" },
	{ "[device a]\nports = 1\nmax_flows = 1\n  2\n",
	  "t:4: max_flows: goes on in an indented line, but has one value; would be a number, 1 to 1000000\n" },
	/* nothing where something should be: never the default, and never everybody */
	{ "[device a]\nports = 1\nsource =\n",
	  "t:3: source: has no value; would be a list of addresses or prefixes (192.168.1.50, 192.168.1.0/24, fd00::/64) or "
	  "hardware addresses (02:00:5e:00:00:01)\n" },
	{ "[device a]\nports = 1\nsource =\n[device b]\nports = 1\n",
	  "t:3: source: has no value; would be a list of addresses or prefixes (192.168.1.50, 192.168.1.0/24, fd00::/64) or "
	  "hardware addresses (02:00:5e:00:00:01)\n" },
	{ "[device a]\nports = 1\nsource = ; mine\nway =\n",
	  "t:3: source: has no value; would be a list of addresses or prefixes (192.168.1.50, 192.168.1.0/24, fd00::/64) or "
	  "hardware addresses (02:00:5e:00:00:01)\n"
	  "t:4: way: has no value; would be tproxy, redirect or direct\n" },
	/* values */
	{ "[suntapd]\nmark = 0x3/0x1\nring_size = 3M\nrules = x\ntproxy_port = 65536\nroute_table = 254\n[device a]\nports=1\n",
	  "t:2: mark: the value 0x3 has bits outside the mask 0x1; would be 0x3/0x3\n"
	  "t:3: ring_size: 3M is not a power of two; would be a power of two such as 4M, 64K to 1G\n"
	  "t:4: rules: \"x\" is not understood; would be auto or manual\n"
	  "t:5: tproxy_port: 65536 is out of range; would be a port number, 1 to 65535\n"
	  "t:6: route_table: table 254 is the system's own; would be the number of a routing table that nobody else uses, not "
	  "253 to 255\n" },
	{ "[suntapd]\nmark = 0/1\nring_size = 4MM\nkeepalive = 0s\nuser_timeout = 5 minutes\nrule_priority = -1\n"
	  "max_flows = 99999999999999999999\n[device a]\nports=1\n",
	  "t:2: mark: the value is 0, which every packet has; would be 0xVALUE/0xMASK, such as 0x20000000/0x20000000\n"
	  "t:3: ring_size: \"4MM\" is not understood; would be a power of two such as 4M, 64K to 1G\n"
	  "t:4: keepalive: 0s is out of range; would be a time such as 90s or 2min, 1s to 9h\n"
	  "t:5: user_timeout: \"5 minutes\" is not understood; would be a time such as 90s or 5min, 1s to 24h\n"
	  "t:6: rule_priority: \"-1\" is not understood; would be a number, 1 to 32765\n"
	  "t:7: max_flows: \"99999999999999999999\" is not understood; would be a number, 0 (what the limit on open files "
	  "allows) to 1000000\n" },
	/* values that go together */
	{ "[suntapd]\nuser_timeout = 1min\n[device a]\nports=1\n",
	  "t:2: user_timeout: user_timeout (60 s) is not longer than keepalive (120 s), so that the first probe which gets no answer "
	  "would end a connection; would be user_timeout = 240s\n" },
	{ "[suntapd]\nkeepalive = 5min\n[device a]\nports=1\n",
	  "t:2: keepalive: user_timeout (300 s) is not longer than keepalive (300 s), so that the first probe which gets no answer "
	  "would end a connection; would be user_timeout = 600s\n" },
	{ "[device a]\npreset = growat\n", "t:2: preset: \"growat\" is not known; did you mean growatt?\n" },
	{ "[device a]\npreset = victron\n",
	  "t:2: preset: \"victron\" is not known; would be solarman, tsun, deye, alphaess, sunsynk, inteless, apsystems or "
	  "growatt\n" },
	{ "[device a]\nports=1\nsource = 192.168.1.5/24\n",
	  "t:3: source: 192.168.1.5/24 has bits set behind the prefix; would be 192.168.1.0/24, or 192.168.1.5 for one "
	  "device\n" },
	{ "[device a]\nports=1\nsource = fd00::/129 10.0.0.0/ ::ffff:10.0.0.1 01:00:5e:00:00:01 00:00:00:00:00:00\n",
	  "t:3: source: \"fd00::/129\": the prefix length is wrong; would be 0 to 128\n"
	  "t:3: source: \"10.0.0.0/\": the prefix length is wrong; would be 0 to 32\n"
	  "t:3: source: ::ffff:10.0.0.1 is an IPv4 address in IPv6 clothes; would be 10.0.0.1\n"
	  "t:3: source: 01:00:5e:00:00:01 is no device's own hardware address; would be the one that `ip neigh` shows for it\n"
	  "t:3: source: 00:00:00:00:00:00 is no device's own hardware address; would be the one that `ip neigh` shows for it\n" },
	{ "[device a]\nports=1\ninterface = eth*\nkeep_source = maybe\nmax_flows = 0\n",
	  "t:3: interface: \"eth*\" is not understood; would be the name of a network interface, such as eth1 or br-lan\n"
	  "t:4: keep_source: \"maybe\" is not understood; would be yes or no\n"
	  "t:5: max_flows: 0 is out of range; would be a number, 1 to 1000000\n" },
	{ "[device 1a]\n[device]\n[device a b]\n[device abcdefghijklmnopqrstuvwxyzabcdef]\n[device b]\nports=1\n",
	  "t:1: [device]: \"1a\" is not a name; would be letters, digits, - and _, a letter first, at most 31: "
	  "[device roof-east]\n"
	  "t:2: [device]: \"\" is not a name; would be letters, digits, - and _, a letter first, at most 31: "
	  "[device roof-east]\n"
	  "t:3: [device]: \"a b\" is not a name; would be letters, digits, - and _, a letter first, at most 31: "
	  "[device roof-east]\n"
	  "t:4: [device]: \"abcdefghijklmnopqrstuvwxyzabcdef\" is not a name; would be letters, digits, - and _, a letter first, "
	  "at most 31: [device roof-east]\n" },
	{ "[device a]\nports=1\nsource = \033[31m\n",
	  "t:3: source: \"?[31m\" is not understood; would be a list of addresses or prefixes (192.168.1.50, 192.168.1.0/24, "
	  "fd00::/64) or hardware addresses (02:00:5e:00:00:01)\n" },
	/* ways */
	{ "[device a]\nports=1\nlisten = :5\nupstream = x.example\ndns_server = 9.9.9.9\n",
	  "t:3: listen: has no meaning with way = tproxy; would be way = redirect or direct, or without this line\n"
	  "t:4: upstream: has no meaning with way = tproxy; would be way = direct, or without this line\n"
	  "t:5: dns_server: has no meaning with way = tproxy; would be way = direct, or without this line\n" },
	{ "[device a]\nports=1\ninterface = eth0\nway = direct\n",
	  "t:3: interface: has no meaning with way = direct; would be way = tproxy, or without this line\n"
	  "t:2: ports: has no meaning with way = direct; would be way = tproxy or redirect, or without this line\n"
	  "t:1: upstream: is missing in [device a]; with way = direct would be the cloud: upstream = iot.example.com:10000\n" },
	{ "[device a]\nway = direct\nupstream = cloud.example\npreset = tsun\n",
	  "t:3: upstream: has no port; would be upstream = cloud.example:10000\n" },
	{ "[device a]\nway = direct\nupstream = 10.0.0:5\n[device b]\nway = direct\nupstream = :5\n",
	  "t:3: upstream: \"10.0.0:5\" is not understood; would be HOST:PORT, such as iot.example.com:10000\n"
	  "t:6: upstream: \":5\" is not understood; would be HOST:PORT, such as iot.example.com:10000\n" },
	{ "[device a]\nway = redirect\nports = 1\n",
	  "t:1: listen: is missing in [device a]; would be where your REDIRECT or DNAT rule sends the connections: "
	  "listen = :17861\n" },
	{ "[device a]\nway = redirect\nlisten = host.example:3\n",
	  "t:3: listen: \"host.example:3\" is not understood; would be ADDRESS:PORT, [IPV6]:PORT, or :PORT for every address\n" },
	/* several devices */
	{ "[device a]\nports=1\nsource=10.0.0.0/8\n[device b]\nports=2,1\nsource=10.0.0.1 10.0.0.0/8\n",
	  "t:6: source: 10.0.0.0/8 with port 1 is already in [device a], line 1; would be in one of the two\n" },
	{ "[device a]\nports=1\n[device b]\nports=2,1\n",
	  "t:3: source: is missing in [device b] and in [device a], line 1, and both have port 1; would be given in one of the "
	  "two at least\n" },
	{ "[device a]\nway=direct\nupstream=x.example:5\n[device b]\nway=redirect\nlisten=10.0.0.1:5\n",
	  "t:6: listen: 10.0.0.1:5 is taken by [device a], line 1; would be another port\n" },
	{ "[device a]\nway=redirect\nlisten=0.0.0.0:17860\n",
	  "t:3: listen: port 17860 is tproxy_port; would be another port\n" },
};

static void test_complaints(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CLEANUP(freep) char *said = NULL;
		struct config *c = NULL;
		const char *text = *bad[i].text ? bad[i].text : "\n";

		assert_int_equal(read_text(&c, text, strlen(text), &said), -EINVAL);
		assert_null(c);
		assert_string_equal(said, bad[i].said);
	}
}

/* What may stand beside each other */
static void test_no_complaints(void **state)
{
	static const char *const texts[] = {
		/* nested sources: the longer prefix wins */
		"[device a]\nports=1\nsource=10.0.0.0/8\n[device b]\nports=1\nsource=10.0.0.0/9\n[device c]\nports=1\n",
		/* the same device on other ports */
		"[device a]\nports=1\nsource=10.0.0.1\n[device b]\nports=2\nsource=10.0.0.1\n",
		"[device a]\nway=redirect\nlisten=0.0.0.0:5\n[device b]\nway=redirect\nlisten=[::]:5\n",
		("[device a]\nway=direct\nupstream=x.example:5\nlisten=10.0.0.1:5\n"
		 "[device b]\nway=direct\nupstream=x.example:5\nlisten=10.0.0.2:5\n"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		config_free(good(texts[i]));
}

static void test_limits(void **state)
{
	CLEANUP(freep) char *text = calloc(1, 2 << 20), *said = NULL;
	struct config *c = NULL;
	size_t n;

	(void)state;
	/* A line that inih would cut: 197 bytes are fine, 198 are not. */
	for (int extra = 0; extra < 2; extra++) {
		n = (size_t)sprintf(text, "[device a]\nports=1\nsource = 10.0.0.1 ;");
		memset(text + n, 'x', 197 - (n - 19) + (size_t)extra);
		n += 197 - (n - 19) + (size_t)extra;
		text[n++] = '\n';
		assert_int_equal(read_text(&c, text, n, &said), extra ? -EINVAL : 0);
		assert_string_equal(said, extra ? "t:3: is longer than 197 bytes, or has a NUL byte in it; a list may go on in "
						  "indented lines\n" : "");
		free(said);
		c = extra ? c : config_free(c);
	}
	assert_int_equal(read_text(&c, "[device a]\nports=\0001\n", 21, &said), -EINVAL);
	assert_non_null(strstr(said, "t:2: is longer than 197 bytes, or has a NUL byte in it"));
	free(said);

	/* 256 devices, 16 sources, 16 ports */
	for (unsigned devices = 256; devices <= 257; devices++) {
		n = 0;
		for (unsigned i = 0; i < devices; i++) {
			n += (size_t)sprintf(text + n, "[device d%u]\nports = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\nsource =\n", i);
			for (unsigned j = 0; j < 16; j++)
				n += (size_t)sprintf(text + n, " 10.%u.%u.1\n", i % 256, i / 256 * 16 + j);
		}
		assert_int_equal(read_text(&c, text, n, &said), devices > 256 ? -EINVAL : 0);
		assert_string_equal(said, devices > 256 ? "t:4865: [device]: more than 256 devices; would be a source with a "
			"prefix, which takes many devices of one kind\n" : "");
		free(said);
		c = devices > 256 ? c : config_free(c);
	}
	n = (size_t)sprintf(text, "[device a]\nports=1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\nsource=");
	for (unsigned i = 1; i <= 17; i++)
		n += (size_t)sprintf(text + n, "10.0.0.%u%s", i, i % 8 ? " " : "\n ");
	text[n++] = '\n';
	assert_int_equal(read_text(&c, text, n, &said), -EINVAL);
	assert_string_equal(said, "t:2: ports: more than 16 ports; would be two [device] sections\n"
			    "t:5: source: more than 16 sources; would be a prefix such as 192.168.1.0/24, or a second [device]\n");
	free(said);
	/* with those of the preset */
	n = (size_t)sprintf(text, "[device a]\nports=1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\npreset=growatt\n");
	assert_int_equal(read_text(&c, text, n, &said), -EINVAL);
	assert_string_equal(said, "t:2: ports: more than 16 with those of the preset; would be two [device] sections\n");
	free(said);

	/* not a configuration at all */
	memset(text, '\n', (1 << 20) + 1);
	assert_int_equal(read_text(&c, text, (1 << 20) + 1, &said), -EINVAL);
	assert_non_null(strstr(said, "is larger than 1048576 bytes; is this the right file?"));
	free(said);
	for (n = 0; n < 1000; n += 2)
		memcpy(text + n, "x\n", 2);
	assert_int_equal(read_text(&c, text, n, &said), -EINVAL);
	assert_non_null(strstr(said, "t: 200 complaints, the rest is left out\n"));
}

static void test_files(void **state)
{
	char path[] = "/tmp/test_config.XXXXXX";
	CLEANUP(freep) char *said = NULL;
	size_t length;
	FILE *errors = open_memstream(&said, &length);
	struct config *c = NULL;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0 && write(fd, "[device a]\nports=1\n", 19) == 19);
	close(fd);
	assert_int_equal(config_load(&c, path, errors), 0);
	c = config_free(c);
	unlink(path);
	assert_int_equal(config_load(&c, path, errors), -ENOENT);
	assert_int_equal(config_load(&c, "/tmp", errors), -EISDIR);
	fclose(errors);
	assert_non_null(strstr(said, "cannot be opened: No such file or directory\n/tmp: cannot be read: Is a directory\n"));
}

static const char *match_at(const struct config *c, enum config_way way, const char *peer, const uint8_t *mac,
			    const char *interface, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	bool v4 = inet_pton(AF_INET, peer, &in.sin_addr) == 1;
	const struct config_device *d;

	assert_true(v4 || inet_pton(AF_INET6, peer, &in6.sin6_addr) == 1);
	d = config_match(c, way, v4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6, mac, interface, port);
	return d ? d->name : "";
}

static const char *match(const struct config *c, enum config_way way, const char *peer, const uint8_t *mac, uint16_t port)
{
	return match_at(c, way, peer, mac, NULL, port);
}

static void test_match_interface(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	struct config *c = good("[device east]\nports=1\ninterface=lan0\n[device west]\nports=1\ninterface=lan1\n"
				"[device one]\nports=1\nsource=10.2.3.4, 02:00:00:00:00:01\ninterface=lan1\n");

	(void)state;
	assert_string_equal(match_at(c, WAY_TPROXY, "10.2.3.4", mac, "lan0", 1), "east");
	assert_string_equal(match_at(c, WAY_TPROXY, "10.2.3.4", mac, "lan1", 1), "one");
	assert_string_equal(match_at(c, WAY_TPROXY, "10.2.3.5", NULL, "lan1", 1), "west");
	assert_string_equal(match_at(c, WAY_TPROXY, "10.2.3.5", NULL, "lan2", 1), "");
	assert_string_equal(match_at(c, WAY_TPROXY, "10.2.3.4", NULL, NULL, 1), "one");
	config_free(c);
}

static void test_match(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 }, other[6] = { 2, 0, 0, 0, 0, 2 };
	struct config *c = good("[device wide]\nports=1,2\nsource=10.0.0.0/8, fd00::/16\n"
				"[device narrow]\nports=1\nsource=10.1.0.0/16, 10.2.3.4, fd00:1::/33\n"
				"[device mac]\nports=1\nsource=02:00:00:00:00:01\n"
				"[device any]\nports=1\n"
				"[device direct]\nway=direct\nupstream=x.example:5\nsource=10.0.0.1\n"
				"[device redirect]\nway=redirect\nlisten=:6\n");

	(void)state;
	assert_string_equal(match(c, WAY_TPROXY, "10.3.0.1", NULL, 1), "wide");
	assert_string_equal(match(c, WAY_TPROXY, "10.1.0.1", NULL, 1), "narrow");
	assert_string_equal(match(c, WAY_TPROXY, "10.2.3.4", other, 1), "narrow");
	assert_string_equal(match(c, WAY_TPROXY, "10.2.3.5", other, 1), "wide");
	assert_string_equal(match(c, WAY_TPROXY, "::ffff:10.2.3.4", NULL, 1), "narrow");
	assert_string_equal(match(c, WAY_TPROXY, "10.2.3.4", mac, 1), "mac");
	assert_string_equal(match(c, WAY_TPROXY, "fd00:1::9", NULL, 1), "narrow");
	assert_string_equal(match(c, WAY_TPROXY, "fd00:1:8000::9", NULL, 1), "wide");
	assert_string_equal(match(c, WAY_TPROXY, "11.0.0.1", NULL, 1), "any");
	assert_string_equal(match(c, WAY_TPROXY, "11.0.0.1", NULL, 2), "");
	assert_string_equal(match(c, WAY_TPROXY, "10.1.0.1", NULL, 2), "wide");
	assert_string_equal(match(c, WAY_TPROXY, "10.1.0.1", NULL, 3), "");
	assert_string_equal(match(c, WAY_DIRECT, "10.0.0.1", NULL, 4), "direct");
	assert_string_equal(match(c, WAY_DIRECT, "10.0.0.2", NULL, 4), "");
	assert_string_equal(match(c, WAY_DIRECT, "10.0.0.1", NULL, 3), "");
	assert_string_equal(match(c, WAY_DIRECT, "10.0.0.1", NULL, 6), "");
	assert_string_equal(match(c, WAY_REDIRECT, "1.2.3.4", NULL, 5), "redirect");
	assert_true(config_needs_mac(c, WAY_TPROXY));
	assert_false(config_needs_mac(c, WAY_DIRECT));
	config_free(c);
}

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, 1 << 20);

	if (!f)
		fail_msg("%s: %s (run this from the top of the source)", path, strerror(errno));
	assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	return text;
}

/* The manual and the example follow the table: every key, and its default as it is. */
static void test_documents(void **state)
{
	CLEANUP(freep) char *manual = slurp("man/suntap.ini.5"), *example = slurp("config.example.ini");
	struct config_key_info k;
	const char *name;
	const uint16_t *ports;
	size_t count;
	char text[200], *row, *end;

	(void)state;
	for (size_t i = 0; config_key(i, &k); i++) {
		snprintf(text, sizeof(text), "\n.It Ic %s No = ", k.key);
		/* max_flows is a key of both */
		row = strstr(manual, k.section[0] == 's' ? "\n.Ss The section suntapd\n" : "\n.Ss Sections of devices\n");
		row = row ? strstr(row, text) : NULL;
		if (!row)
			fail_msg("man/suntap.ini.5 does not have \"%s\"", text + 1);
		row++;
		snprintf(text, sizeof(text), strpbrk(k.fallback, "0123456789") ? "Default: %s.\n" : "Default:\n.Cm %s .\n",
			 k.fallback);
		end = strstr(row, "\n.It Ic ");
		if (*k.fallback && !memmem(row, end ? (size_t)(end - row) + 1 : strlen(row), text, strlen(text)))
			fail_msg("man/suntap.ini.5 does not have the default of %s: %s", k.key, text);
		/* Where there is no default, an example stands behind the sign. */
		snprintf(text, sizeof(text), "\n;%s = %s", k.key, k.fallback);
		if (!strstr(example, text)) {
			snprintf(text, sizeof(text), "\n%s = ", k.key);
			if (*k.fallback || !strstr(example, text))
				fail_msg("config.example.ini does not have \";%s = %s\"", k.key, k.fallback);
		}
	}
	for (size_t i = 0; config_preset(i, &name, &ports, &count); i++) {
		snprintf(text, sizeof(text), "\n.It Li %s Ta", name);
		row = strstr(manual, text);
		if (!row)
			fail_msg("man/suntap.ini.5 does not have the preset %s", name);
		for (size_t j = 0; j < count; j++) {
			snprintf(text, sizeof(text), "%u", ports[j]);
			if (!memmem(row, strcspn(row + 1, "\n") + 1, text, strlen(text)))
				fail_msg("man/suntap.ini.5: preset %s without port %s", name, text);
		}
	}
	config_free(good(example));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_direct_ports),
		cmocka_unit_test(test_prints_what_it_reads),
		cmocka_unit_test(test_complaints),
		cmocka_unit_test(test_no_complaints),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_match_interface),
		cmocka_unit_test(test_documents),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
