/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config.c - suntap.ini, read into a struct config; and printed
 *
 * Theory of operation
 *	ini.c reads lines and has the parsers that others share; it calls open_section() and read_value(). What may stand
 *	there is a table in config_keys.c, whose defaults are texts that go through the same parsers. When all is read,
 *	config_check.c says what values mean beside each other.
 *
 *	Nothing stops at the first mistake. What concerns one value is said where it stands.
 *
 * Invariants (held by test_config.c and fuzz_config.c)
 *	- config_print() of what was read reads back to the same, and prints the same again.
 *	- A configuration is read whole or not at all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/config_private.h"
#include "shared/util.h"

/* Kinds of section that belong to suntap-export, in the same file: src/export/settings.c reads them. */
static const char *const foreign_sections[] = { "mqtt", "influxdb", "splunk", "metrics", "json", "inverter" };

unsigned *config_seen_at(struct config_parse *p, const struct config_device *d, const struct ini_key *k)
{
	if (!d)
		return &p->suntapd_seen[k - config_keys];
	return &p->device_seen[(size_t)(d - p->config->devices) * config_key_count + (size_t)(k - config_keys)];
}

const struct ini_key *config_find_key(enum config_section section, const char *name)
{
	for (size_t i = 0; i < config_key_count; i++)
		if (config_keys[i].section == section && strcmp(config_keys[i].name, name) == 0)
			return &config_keys[i];
	return NULL;
}

static void set_defaults(struct config_parse *p, enum config_section section, void *object)
{
	for (size_t i = 0; i < config_key_count; i++)
		if (config_keys[i].section == section && *config_keys[i].fallback)
			config_keys[i].parse(&p->ini, &config_keys[i], config_keys[i].fallback, (char *)object + config_keys[i].offset);
}

/* ---------------------------------------------------------------- lines */

static void unknown_key(struct config_parse *p, const char *name)
{
	enum config_section other = p->section == SECTION_DEVICE ? SECTION_SUNTAPD : SECTION_DEVICE;
	const struct ini_key *near = NULL;
	size_t best = 4;
	char buf[64];

	if (config_find_key(other, name)) {
		ini_complain(&p->ini, p->ini.line, name, "is not a key of %s; belongs in a [%s] section",
			 p->section == SECTION_DEVICE ? "[device]" : "[suntapd]",
			 other == SECTION_DEVICE ? "device NAME" : "suntapd");
		return;
	}
	for (size_t i = 0; i < config_key_count; i++) {
		size_t d = ini_distance(name, config_keys[i].name);

		if (config_keys[i].section != p->section)
			continue;
		if (d < best && d < strlen(config_keys[i].name)) {
			best = d;
			near = &config_keys[i];
		}
	}
	if (near) {
		ini_complain(&p->ini, p->ini.line, ini_shown(buf, name), "unknown key; did you mean %s?", near->name);
		return;
	}
	if (p->ini.complaints++ >= INI_COMPLAINTS_MAX)
		return;
	fprintf(p->ini.errors, "%s:%u: %s: unknown key; would be one of", p->ini.name, p->ini.line, ini_shown(buf, name));
	for (size_t i = 0, n = 0; i < config_key_count; i++)
		if (config_keys[i].section == p->section)
			fprintf(p->ini.errors, "%s %s", n++ ? "," : "", config_keys[i].name);
	fputc('\n', p->ini.errors);
}

/* An empty list may begin in the next line, but `source =` alone would take every device: never guess that. */
static void finish_list(struct config_parse *p)
{
	if (p->empty_line)
		ini_complain(&p->ini, p->empty_line, p->key->name, "has no value; would be %s", p->key->accepts);
	p->empty_line = 0;
}

static void read_value(struct ini *ini, const char *name, const char *value, bool continued)
{
	struct config_parse *p = (struct config_parse *)ini;
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
		if (!config_is_list(p->key)) {
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
	k = config_find_key(p->section, name);
	if (!k) {
		unknown_key(p, name);
		return;
	}
	seen = config_seen_at(p, d, k);
	if (*seen) {
		ini_complain(&p->ini, p->ini.line, name, "is there twice in this section, first in line %u; would be once%s", *seen,
			 config_is_list(k) ? ", with all values behind it" : "");
		return;
	}
	*seen = p->ini.line;
	at = d ? (char *)d + k->offset : (char *)p->config + k->offset;
	if (*value == '\0' && !config_is_list(k)) {
		ini_complain(&p->ini, p->ini.line, name, "has no value; would be %s", k->accepts);
	} else if (*value == '\0') {
		p->key = k;
		p->empty_line = p->ini.line;
	} else if (k->parse(&p->ini, k, value, at)) {
		p->key = k;
	}
}

static void open_device(struct config_parse *p, const char *name)
{
	struct config *c = p->config;
	struct config_device *d;
	char buf[64];

	p->section = SECTION_DEVICE;
	p->device = NULL;
	p->any_device = true;
	if (!ini_is_name(name, CONFIG_NAME_MAX)) {
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
	struct config_parse *p = (struct config_parse *)ini;
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

/* ---------------------------------------------------------------- the whole */

int config_read(struct config **ret, FILE *in, const char *name, FILE *errors)
{
	static const struct ini_events events = { open_section, read_value };
	struct config_parse p = { .ini = { .in = in, .errors = errors, .name = name, .events = &events } };
	CLEANUP(freep) void *suntapd_seen = NULL, *device_seen = NULL;
	struct config *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	suntapd_seen = calloc(config_key_count, sizeof(unsigned));
	device_seen = calloc((size_t)CONFIG_DEVICES_MAX * config_key_count, sizeof(unsigned));
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
	config_check(&p);
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
	for (size_t i = 0; i < config_key_count; i++)
		if (config_keys[i].section == SECTION_SUNTAPD)
			config_keys[i].print(&config_keys[i], (const char *)c + config_keys[i].offset, out);
	for (size_t j = 0; j < c->device_count; j++) {
		const struct config_device *d = &c->devices[j];

		fprintf(out, "\n[device %s]\n", d->name);
		for (size_t i = 0; i < config_key_count; i++)
			if (config_keys[i].section == SECTION_DEVICE && (!config_keys[i].ways || config_keys[i].ways & 1u << d->way))
				config_keys[i].print(&config_keys[i], (const char *)d + config_keys[i].offset, out);
	}
}
