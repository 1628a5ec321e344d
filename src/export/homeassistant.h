/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * homeassistant.h - what Home Assistant is told of a device and its quantities
 *
 * Home Assistant refuses an entity whose unit does not go with its class, and a whole document for one key that it does
 * not know; and it tells nobody. What goes with what is in the table of homeassistant.c, which tests/unit and
 * tests/system hold to Home Assistant's own lists for every name of the vocabulary.
 */
#ifndef EXPORT_HOMEASSISTANT_H
#define EXPORT_HOMEASSISTANT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "export/settings.h"

enum { HOMEASSISTANT_ID_MAX = RECORD_ID_MAX + 10, HOMEASSISTANT_TEXT_MAX = 255, HOMEASSISTANT_NAME_MAX = 96 };

struct quantity {
	const char *device_class, *unit, *state_class, *icon;	/* NULL: the key is left out */
	int precision;			/* -1: none */
	bool diagnostic, disabled;
	bool numeric;			/* a text is an error there */
};

/* number: what was seen first of it was one; it matters only where the name tells no unit. */
void homeassistant_quantity(const char *name, bool number, struct quantity *ret);
/* "pv1_voltage": "PV1 voltage" */
void homeassistant_name(const char *name, char ret[static HOMEASSISTANT_NAME_MAX]);
/* What of a serial number may stand in topics and ids; two that differ stay different. */
void homeassistant_id(const char *serial, char ret[static HOMEASSISTANT_ID_MAX]);

/* All texts are valid UTF-8; "" where nothing is known. */
struct homeassistant_device {
	const char *id, *serial, *via;	/* via: the id of its logger */
	const char *manufacturer, *model, *sw_version, *hw_version, *mac;
	bool is_logger;
	const struct settings_inverter *settings;	/* NULL: the owner says nothing of it */
	const char *state_topic, *availability_topic, *service_topic;
	unsigned expire_after;
};

/* One of its components, with the key it has among them. */
struct homeassistant_part {
	char key[HOMEASSISTANT_NAME_MAX];
	json_t *component;
};

/* The sensors of a quantity: 1, or 2 where a code also has a binary sensor "problem". */
size_t homeassistant_parts(const struct homeassistant_device *d, const char *name, bool number,
			   struct homeassistant_part ret[static 2]);
void homeassistant_last_seen(const struct homeassistant_device *d, struct homeassistant_part *ret);
/* {"device":…,"origin":…,"components":…}; takes components. NULL: no memory. */
json_t *homeassistant_document(const struct homeassistant_device *d, json_t *components);
/* The same for one entity; takes the component. */
json_t *homeassistant_entity(const struct homeassistant_device *d, json_t *component);

#endif
