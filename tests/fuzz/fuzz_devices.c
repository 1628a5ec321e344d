/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_devices.c - any bytes as the file of what the MQTT exporter knows of a device
 *
 * Held to: what is understood is written and reads back the same; its state message is JSON, and a reading after it, at any
 * time, is taken.
 */
#include "export/mqtt_devices.c"
#include "fuzz.h"

static void check_state(const struct mqtt_device *d)
{
	struct text t = { 0 };
	json_t *o;

	mqtt_device_state(d, &t);
	o = json_loadb(t.data, t.length, JSON_REJECT_DUPLICATES, NULL);
	/* Digits that are more than an integer of this library has are JSON all the same. */
	if (!o)
		o = json_loadb(t.data, t.length, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
	MUST(o && json_object_get(o, "last_seen"));
	json_decref(o);
	text_free(&t);
}

static json_t *written(const struct mqtt_device *d)
{
	json_t *o = to_json(d), *values = json_object_get(o, "values"), *value;
	const char *name;

	MUST(o);
	/* Numbers of a counter go through decimal digits: the file is where they are compared. */
	json_object_foreach(values, name, value)
		MUST(json_is_object(value));
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mqtt_devices m = { .count = 0 }, again = { .count = 0 };
	json_t *o = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL), *once, *twice;
	struct record_value v = { .name = "energy_total", .name_length = 12, .text = "12.5", .text_length = 4, .number = true };

	if (o && from_json(&m, o)) {
		MUST(m.count == 1 && m.value_count <= MQTT_VALUES_MAX);
		check_state(m.all[0]);
		once = written(m.all[0]);
		MUST(from_json(&again, once));
		twice = written(again.all[0]);
		MUST(json_equal(once, twice));
		json_decref(once);
		json_decref(twice);
		mqtt_device_take(&m, m.all[0], &v, FUZZ_TIME, false);
		check_state(m.all[0]);
	}
	json_decref(o);
	mqtt_devices_close(&m);
	mqtt_devices_close(&again);
	return 0;
}
