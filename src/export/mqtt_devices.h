/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mqtt_devices.h - what is known of each device: the last value of every quantity, and what is still to be said
 *
 * A state message has the last known value of every key, so that a record of some of them removes none. What is known is
 * on disk as well, a file for each device, so that after a restart at night neither a sensor nor a value is missing. The
 * files are written before the cursor is: what is behind the cursor is in them.
 *
 * A record that comes again after a kill (it is not newer than what the file knows) is published with the counters as
 * the file has them: they have seen it already, and must not fall.
 *
 * What a stranger could make grow has limits: DEVICES_MAX, VALUES_MAX in all, a text of HOMEASSISTANT_TEXT_MAX bytes.
 */
#ifndef EXPORT_MQTT_DEVICES_H
#define EXPORT_MQTT_DEVICES_H

#include "export/homeassistant.h"
#include "export/meter.h"
#include "export/record.h"
#include "export/text.h"

enum { MQTT_DEVICES_MAX = 1024, MQTT_VALUES_MAX = 65536 };

struct mqtt_value {
	char name[RECORD_NAME_MAX];
	char *text;			/* as it is shown: a number's digits, or a text; NULL: nothing yet */
	bool number;			/* what text is now */
	bool first_number;		/* what the first was; its sensor is made by that */
	enum meter_kind kind;
	struct meter *meter;		/* where there is a kind */
};

enum mqtt_message { MQTT_DOCUMENT, MQTT_AVAILABILITY, MQTT_STATE };

struct mqtt_device {
	char id[HOMEASSISTANT_ID_MAX], serial[RECORD_ID_MAX];
	char via[HOMEASSISTANT_ID_MAX];	/* id of its logger */
	char model[RECORD_ID_MAX];
	bool is_logger;
	struct mqtt_value *values;
	size_t count, room;
	int64_t time_ns;		/* of the last reading that was taken, as it was measured */
	int64_t entry_ns;		/* and when journald took it */
	int64_t known_ns;		/* the same, in its file at the start: what is older comes again */
	bool changed;			/* since its file was written */
	bool online;
	/* what is still to be said; see mqtt.c */
	bool say_document, say_availability, say_state;
	int64_t document_due, document_said;	/* monotonic */
	unsigned refused;		/* bits of enum mqtt_message: the broker does not want it */
	size_t part;			/* of a document that goes out in parts */
};

struct mqtt_devices {
	char folder[400];		/* "" = nothing is kept */
	struct mqtt_device **all;
	size_t count, value_count;
	bool told_full;
};

/* Reads the files in folder (made where there is none); NULL: none are kept. What makes no sense is told and left out. */
int mqtt_devices_open(struct mqtt_devices *m, const char *folder);
void mqtt_devices_close(struct mqtt_devices *m);
int mqtt_devices_save(struct mqtt_devices *m);			/* those that have changed; 0 or -errno */

/* Makes it where it is not known yet; NULL: no room. */
struct mqtt_device *mqtt_devices_get(struct mqtt_devices *m, const char *serial, bool is_logger);
/* Takes a value; true where the document changes by it (a new quantity, another firmware). */
bool mqtt_device_take(struct mqtt_devices *m, struct mqtt_device *d, const struct record_value *v, int64_t time_ns, bool again);
/* {"pv1_voltage":35.3,…,"last_seen":"…"} */
void mqtt_device_state(const struct mqtt_device *d, struct text *t);
/* The text of the first of these that it has told; "" where none. names ends with NULL. */
const char *mqtt_device_text(const struct mqtt_device *d, const char *const *names);

#endif
