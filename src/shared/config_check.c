/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config_check.c - what several keys, or several devices, have to do with each other
 *
 * Called once, when all is read: first what concerns all flows, then each device is completed (the ports of its preset, the endpoint that tells the
 * other one) and looked at as a whole, then each pair of devices.
 *
 * Invariants (held by test_config.c)
 *	- Without a complaint there is at least one device, and each can be reached: by ports or by a listener.
 *	- No connection could be that of two devices, and no two listeners are at the same place.
 */
#include <string.h>

#include "shared/config_private.h"
#include "shared/util.h"

/* ---------------------------------------------------------------- a device as a whole */

static void check_ways(struct config_parse *p, struct config_device *d)
{
	for (size_t i = 0; i < config_key_count; i++) {
		const struct ini_key *k = &config_keys[i];
		unsigned line = k->section == SECTION_DEVICE ? *config_seen_at(p, d, k) : 0;
		const char *sep = "";

		if (!line || !k->ways || k->ways & 1u << d->way)
			continue;
		if (p->ini.complaints++ >= INI_COMPLAINTS_MAX)
			return;
		fprintf(p->ini.errors, "%s:%u: %s: has no meaning with way = %s; would be way = ", p->ini.name, line, k->name,
			config_way_names[d->way]);
		for (size_t w = 0; w < CONFIG_WAYS; w++)
			if (k->ways & 1u << w) {
				fprintf(p->ini.errors, "%s%s", sep, config_way_names[w]);
				sep = " or ";
			}
		fputs(", or without this line\n", p->ini.errors);
	}
}

static unsigned key_line(struct config_parse *p, const struct config_device *d, const char *key)
{
	unsigned line = *config_seen_at(p, d, config_find_key(SECTION_DEVICE, key));

	return line ? line : d->line;
}

static void add_preset_ports(struct config_parse *p, struct config_device *d)
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
			config_add_port(d, ports[j]);
		for (size_t j = 0; j < own_count; j++)
			if (!config_has_port(d, own[j]) && !config_add_port(d, own[j])) {
				ini_complain(&p->ini, key_line(p, d, "ports"), "ports", "more than %d with those of the preset; would be "
					 "two [device] sections", CONFIG_PORTS_MAX);
				return;
			}
	}
}

/* The endpoints of `direct`, of which one may be told by the other. */
static void settle_direct(struct config_parse *p, struct config_device *d)
{
	if (!*d->upstream.host) {
		if (!*config_seen_at(p, d, config_find_key(SECTION_DEVICE, "upstream")))
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

static void settle_device(struct config_parse *p, struct config_device *d)
{
	bool ports = *config_seen_at(p, d, config_find_key(SECTION_DEVICE, "ports")) ||
		     *config_seen_at(p, d, config_find_key(SECTION_DEVICE, "preset"));

	check_ways(p, d);
	add_preset_ports(p, d);
	switch (d->way) {
	case WAY_TPROXY:
		if (!ports)
			ini_complain(&p->ini, d->line, "ports", "is missing in [device %s]; would be a preset (%s) or ports = 10000",
				 d->name, CONFIG_PRESETS_TEXT);
		break;
	case WAY_REDIRECT:
		if (!d->listen.port && !*config_seen_at(p, d, config_find_key(SECTION_DEVICE, "listen")))
			ini_complain(&p->ini, d->line, "listen", "is missing in [device %s]; would be where your REDIRECT or DNAT rule "
				 "sends the connections: listen = :17861", d->name);
		break;
	case WAY_DIRECT:
		settle_direct(p, d);
		break;
	}
}

/* ---------------------------------------------------------------- several devices */

/* Two devices that match with the same rank what the same connection brings: nobody could say whose it is. */
static void check_ambiguous(struct config_parse *p, const struct config_device *a, const struct config_device *b)
{
	const struct config_source *same = NULL;
	uint16_t port = 0;
	char buf[64];

	if (*a->interface && *b->interface && strcmp(a->interface, b->interface) != 0)
		return;
	for (size_t i = 0; i < a->port_count && !port; i++)
		if (config_has_port(b, a->ports[i]))
			port = a->ports[i];
	if (!port)
		return;
	for (size_t i = 0; i < a->source_count && !same; i++)
		for (size_t j = 0; j < b->source_count && !same; j++)
			if (config_source_same(&a->sources[i], &b->sources[j]))
				same = &b->sources[j];
	if (same)
		ini_complain(&p->ini, key_line(p, b, "source"), "source", "%s with port %u is already in [device %s], line %u; would be in "
			 "one of the two", config_source_text(buf, same), port, a->name, a->line);
	else if (!a->source_count && !b->source_count && !*config_seen_at(p, a, config_find_key(SECTION_DEVICE, "source")) &&
		 !*config_seen_at(p, b, config_find_key(SECTION_DEVICE, "source")))
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

static void check_pair(struct config_parse *p, const struct config_device *a, const struct config_device *b)
{
	char buf[CONFIG_HOST_MAX + 16];

	if (a->way == WAY_TPROXY && b->way == WAY_TPROXY)
		check_ambiguous(p, a, b);
	if (listens_clash(&a->listen, &b->listen))
		ini_complain(&p->ini, key_line(p, b, "listen"), "listen", "%s is taken by [device %s], line %u; would be another port",
			 config_endpoint_text(buf, &b->listen), a->name, a->line);
}

/*
 * With TCP_USER_TIMEOUT Linux ends a connection that has been silent for that long at the next turn of its keepalive timer, if
 * one probe has been sent (tcp_keepalive_timer()); how many may be lost before that is what lies between the two times.
 */
static void check_timeouts(struct config_parse *p)
{
	const struct config *c = p->config;
	unsigned line = *config_seen_at(p, NULL, config_find_key(SECTION_SUNTAPD, "user_timeout"));
	const char *key = line ? "user_timeout" : "keepalive";

	if (!line)
		line = *config_seen_at(p, NULL, config_find_key(SECTION_SUNTAPD, "keepalive"));
	if (c->user_timeout <= c->keepalive)
		ini_complain(&p->ini, line, key, "user_timeout (%u s) is not longer than keepalive (%u s), so that the first probe which "
			     "gets no answer would end a connection; would be user_timeout = %us", c->user_timeout, c->keepalive,
			     2 * c->keepalive);
}

void config_check(struct config_parse *p)
{
	static const struct config_endpoint loopbacks[] = { { .host = "127.0.0.1" }, { .host = "::1" } };
	struct config *c = p->config;

	if (!p->any_device)
		ini_complain(&p->ini, 0, NULL, "no [device NAME] section: nothing to do; would be, for example:\n"
			 "    [device roof]\n"
			 "    source = 192.168.1.50\n"
			 "    preset = solarman");
	check_timeouts(p);
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
