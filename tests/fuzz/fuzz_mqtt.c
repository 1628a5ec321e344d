/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_mqtt.c - any bytes as journal entries, and what a broker and Home Assistant then get; and any message from there
 *
 * The broker is played here: it acknowledges in an order of its own, refuses, and may be away. Held to: topics are below ours
 * and have no wildcards; what is said is UTF-8; states and documents are JSON, no key twice, of the platforms that we have;
 * each record that was taken is confirmed once, when all is acknowledged.
 */
#include <systemd/sd-event.h>

#include "export/mqtt.c"
#include "fuzz.h"

static struct mqtt mqtt;
static int mids[4 * PENDING];
static size_t mid_count;
static int next_mid;
static size_t confirmed, announced;
static uint32_t seed;
static bool down;

static uint32_t chance(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 16;
}

/* ---------------------------------------------------------------- instead of exporter.c and mqtt_client.c */
void exporter_confirm(struct exporter *x, size_t n)
{
	(void)x;
	confirmed += n;
}

void exporter_refuse(struct exporter *x, size_t i, const char *why)
{
	(void)x;
	MUST(i == 0 && *why);
}

void exporter_ready(struct exporter *x)
{
	(void)x;
}

bool mqtt_client_is_up(const struct mqtt_client *c)
{
	(void)c;
	return !down;
}

void mqtt_client_subscribe(struct mqtt_client *c, const char *topic)
{
	(void)c;
	MUST(*topic);
}

static void check_document(json_t *o)
{
	json_t *components = json_object_get(o, "components"), *component;
	const char *key;

	MUST(json_is_object(json_object_get(o, "device")) && json_is_object(json_object_get(o, "origin")));
	MUST(json_array_size(json_object_get(json_object_get(o, "device"), "identifiers")) == 1);
	json_object_foreach(components, key, component) {
		const char *platform = json_string_value(json_object_get(component, "platform"));

		MUST(*key && platform && (!strcmp(platform, "sensor") || !strcmp(platform, "binary_sensor")));
		MUST(json_is_string(json_object_get(component, "unique_id")) && json_is_string(json_object_get(component, "name")));
		MUST(json_is_string(json_object_get(component, "value_template")));
	}
	announced++;
}

static void check_payload(const char *topic, const char *payload, size_t length)
{
	size_t n = strlen(topic);
	json_t *o;

	if (n > 13 && strcmp(topic + n - 13, "/availability") == 0) {
		MUST((length == 6 && !memcmp(payload, "online", 6)) || (length == 7 && !memcmp(payload, "offline", 7)));
		return;
	}
	o = json_loadb(payload, length, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
	MUST(json_is_object(o));
	if (strncmp(topic, "homeassistant/", 14) == 0)
		check_document(o);
	else
		MUST(strncmp(topic, "suntap/", 7) == 0 && json_is_string(json_object_get(o, "last_seen")));
	json_decref(o);
}

int mqtt_client_publish(struct mqtt_client *c, const char *topic, const char *payload, size_t length)
{
	json_t *utf8 = json_string(topic);

	(void)c;
	MUST(utf8 && *topic && strlen(topic) < 65536 && !strpbrk(topic, "+#") && !strstr(topic, "//"));
	for (const char *s = topic; *s; s++)
		MUST((unsigned char)*s > ' ' && (unsigned char)*s < 0x7f);
	json_decref(utf8);
	check_payload(topic, payload, length);
	if (chance() % 64 == 0)
		return -EMSGSIZE;
	MUST(mid_count < ARRAY_SIZE(mids));
	mids[mid_count++] = ++next_mid;
	return next_mid;
}

static void acknowledge(bool all)
{
	while (mid_count && (all || chance() % 8)) {
		size_t at = chance() % mid_count;
		int mid = mids[at];

		mids[at] = mids[--mid_count];
		on_acknowledged(&mqtt, mid, chance() % 16 ? 0 : 135);
	}
}

/* ---------------------------------------------------------------- */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mqtt_settings s = {
		.topic = "suntap", .discovery_prefix = "homeassistant", .birth_topic = "homeassistant/status", .max_age = 40000000,
		.silence = 3600,
	};
	static struct settings_file file;
	static struct settings settings = { .kind = &destination_mqtt, .name = "ha", .section = "mqtt ha" };
	static struct destination d = { .settings = &settings, .file = &file, .state = &mqtt };
	static struct record *r;
	size_t taken = 0;
	bool ours;

	if (size < 2)
		return 0;
	if (!r) {
		r = malloc(sizeof(*r));
		MUST(r && sd_event_default(&d.event) >= 0);
	}
	s.discovery = data[0] % 3;
	mqtt = (struct mqtt){ .destination = &d, .settings = &s };
	settings.own = &s;
	strcpy(mqtt.service_topic, "suntap/exporter/x/availability");
	mid_count = confirmed = announced = 0;
	next_mid = 0;
	down = false;
	seed = (uint32_t)(data[0] | data[1] << 8) + (uint32_t)size;
	data++;
	size--;
	on_message(&mqtt, s.birth_topic, (const char *)data, size);
	while (fuzz_entry(r, &data, &size, &ours)) {
		enum destination_answer answer;

		if (!ours || r->kind == RECORD_EVENT)
			continue;
		r->entry_ns = now_realtime() - (int64_t)size;
		down = chance() % 16 == 0;
		answer = mqtt_add(&d, r);
		taken += answer == DESTINATION_TAKEN;
		MUST(!down || answer != DESTINATION_TAKEN);
		acknowledge(false);
		if (chance() % 8 == 0)
			on_up(&mqtt);
	}
	down = false;
	for (size_t i = 0; i < mqtt.devices.count; i++)
		mqtt.devices.all[i]->document_due = 0;
	for (int i = 0; i < 1000 && (i < 2 || mid_count); i++) {
		mqtt_flush(&d);
		acknowledge(true);
	}
	MUST(confirmed == taken && mqtt.length == 0 && mqtt.records == 0 && mqtt_stop(&d) <= 1);
	sd_event_source_disable_unref(mqtt.birth);
	mqtt_devices_close(&mqtt.devices);
	text_free(&mqtt.text);
	return 0;
}
