/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config_private.h - what the parts of the configuration's reader know of each other; nobody else includes it */
#ifndef SUNTAP_CONFIG_PRIVATE_H
#define SUNTAP_CONFIG_PRIVATE_H

#include "shared/config.h"
#include "shared/ini.h"

#define CONFIG_PRESETS_TEXT "solarman, tsun, deye, alphaess, sunsynk, inteless, apsystems or growatt"

enum { CONFIG_WAYS = WAY_DIRECT + 1 };

enum config_section { SECTION_NONE, SECTION_SUNTAPD, SECTION_DEVICE, SECTION_IGNORED };

struct config_parse {
	struct ini ini;			/* first: the reader knows this only */
	struct config *config;
	enum config_section section;
	struct config_device *device;	/* of SECTION_DEVICE; NULL where it was refused */
	const struct ini_key *key;	/* the value before was of this key, and good */
	unsigned empty_line;		/* key is a list, of which nothing has come since this line */
	unsigned suntapd_line;
	bool any_device;		/* there was a [device] section, good or bad */
	unsigned *suntapd_seen;		/* line of each key, by its row in config_keys[] */
	unsigned *device_seen;		/* the same for each device, a row each */
};

/* config.c. Line at which a key was given, 0 = not; d NULL for [suntapd]. */
unsigned *config_seen_at(struct config_parse *p, const struct config_device *d, const struct ini_key *k);
const struct ini_key *config_find_key(enum config_section section, const char *name);	/* NULL: no such key */

/* config_keys.c. Parsers of lists get the device as `at`, the others their field. */
extern const struct ini_key config_keys[];
extern const size_t config_key_count;
extern const char *const config_way_names[CONFIG_WAYS];
bool config_is_list(const struct ini_key *k);
bool config_add_port(struct config_device *d, uint16_t port);		/* false: it has all it can have */
bool config_source_same(const struct config_source *a, const struct config_source *b);
const char *config_source_text(char buf[static 64], const struct config_source *s);
const char *config_endpoint_text(char buf[static CONFIG_HOST_MAX + 16], const struct config_endpoint *e);

/* config_match.c */
bool config_has_port(const struct config_device *d, uint16_t port);

/* config_check.c: completes the devices, and complains of what can not be. */
void config_check(struct config_parse *p);

#endif
