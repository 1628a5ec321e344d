/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mqtt.c - readings to an MQTT broker, and devices that Home Assistant finds there
 *
 *	suntap/R17…/state			{"ac_power":165.8,…,"last_seen":"…"}	retained, one a reading
 *	suntap/R17…/availability		online, offline (silent for longer than `silence`)	retained
 *	suntap/exporter/CLIENT/availability	online, offline (the last will)		retained
 *	homeassistant/device/suntap_R17…/config	the device and its sensors		retained
 *
 * A record counts when its state message was acknowledged. What else is said of a device (its document, whether it is
 * there) is a flag of the device, set whenever it has to be said, and taken by announce() as there is room on the way: at
 * the start, after a new connection, at Home Assistant's birth message, when something has changed. Order: documents,
 * the loggers' first, as others name them; availability; states.
 *
 * Messages on the way are in a ring; PENDING_RECORDS of them at most may be records. While there is no connection
 * nothing is put on the way, so the journal is the queue.
 *
 * Home Assistant has no way to take a value for a time that is past. So what a device had kept for later, what it sends
 * again and what is older than `max_age` is no state.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <systemd/sd-id128.h>

#include "export/exporter.h"
#include "export/homeassistant.h"
#include "export/mqtt_client.h"
#include "export/mqtt_devices.h"
#include "shared/log.h"
#include "shared/util.h"

enum {
	PENDING = 512,			/* messages on the way */
	PENDING_RECORDS = 256,		/* of which records may be so many, */
	PENDING_ANNOUNCED = 128,	/* and no more are announced beyond this */
	DOCUMENT_DELAY = 3,		/* s; more may be known then, */
	DOCUMENT_INTERVAL = 10,		/* and Home Assistant does not take two versions at once */
	BACKWARDS_SECONDS = 900,	/* how long a device may tell times before its last */
	ACKNOWLEDGE_SECONDS = 60,	/* how long a broker may take for the oldest message */
};

enum discovery { DISCOVERY_NO, DISCOVERY_DEVICE, DISCOVERY_ENTITY };

struct mqtt_settings {
	struct mqtt_client_settings client;
	char topic[MQTT_TOPIC_MAX], discovery_prefix[MQTT_TOPIC_MAX], birth_topic[MQTT_TOPIC_MAX];
	int discovery;			/* enum discovery */
	unsigned silence, max_age, expire_after;
};

struct pending {
	int mid;
	int reason;			/* of its acknowledgement; -1: none yet */
	bool ends_record;		/* the last message of a record */
	struct mqtt_device *device;	/* it is about; NULL: the service's own */
	enum mqtt_message message;
};

struct mqtt {
	struct destination *destination;
	const struct mqtt_settings *settings;
	struct mqtt_client *client;
	struct mqtt_devices devices;
	char client_id[MQTT_ID_MAX], service_topic[MQTT_TOPIC_MAX + MQTT_ID_MAX + 32];
	struct pending pending[PENDING];
	size_t head, length, records;
	int64_t waits_since;		/* monotonic: when the oldest of them became the oldest */
	bool say_online, full;
	int offline_mid;		/* stopping: the last message; 0: not yet said */
	sd_event_source *birth;
	struct text text;
	struct log_limit refused_limit, late_limit;
};

/* ---------------------------------------------------------------- settings */

static bool parse_topic(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	size_t n = strlen(text);

	if (*text == '/' || *text == '$' || n == 0 || text[n - 1] == '/' || strpbrk(text, "+# \"\\") || strstr(text, "//"))
		return ini_bad_value(p, k, text);
	return settings_parse_text(p, k, text, at);
}

static bool parse_client_id(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	if (text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")])
		return ini_bad_value(p, k, text);
	return settings_parse_text(p, k, text, at);
}

static const char *const discovery_names[] = {
	[DISCOVERY_NO] = "no", [DISCOVERY_DEVICE] = "device", [DISCOVERY_ENTITY] = "entity",
};

static bool parse_discovery(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	return ini_parse_choice(p, k, text, discovery_names, ARRAY_SIZE(discovery_names), at);
}

static void print_discovery(const struct ini_key *k, const void *at, FILE *out)
{
	fprintf(out, "%s = %s\n", k->name, discovery_names[*(const int *)at]);
}

#define AT(member) offsetof(struct mqtt_settings, member)
#define PEM "the path of a PEM file"

static const struct ini_key keys[] = {
	{ 0, "url", mqtt_parse_url, ini_print_text, AT(client.url), "", 0, SETTINGS_PATH_MAX, 0,
	  "mqtt:// or mqtts:// and the broker, such as mqtt://homeassistant.local:1883", "the broker" },
	{ 0, "user", settings_parse_text, ini_print_text, AT(client.user), "", 0, SETTINGS_TEXT_MAX, 0, "a name", "the user" },
	{ 0, "password_file", settings_parse_secret, ini_print_text, AT(client.password_file), "", 0, SETTINGS_PATH_MAX, 0,
	  "the path of a file, or the name of a credential of the unit", "where the user's password is" },
	{ 0, "ca_file", settings_parse_path, ini_print_text, AT(client.ca_file), "", 0, SETTINGS_PATH_MAX, 0, PEM,
	  "who signed the broker's certificate, where the system does not know" },
	{ 0, "certificate_file", settings_parse_secret, ini_print_text, AT(client.certificate_file), "", 0, SETTINGS_PATH_MAX, 0,
	  PEM ", or the name of a credential of the unit", "a certificate to show to the broker" },
	{ 0, "key_file", settings_parse_secret, ini_print_text, AT(client.key_file), "", 0, SETTINGS_PATH_MAX, 0,
	  PEM ", or the name of a credential of the unit", "its private key" },
	{ 0, "verify", ini_parse_bool, ini_print_bool, AT(client.verify), "yes", 0, 0, 0, "yes or no",
	  "no: take whatever certificate the broker shows; whoever is on the way then gets the credentials" },
	{ 0, "version", mqtt_parse_version, mqtt_print_version, AT(client.version), "auto", 0, 0, 0, "auto, 5 or 3.1.1",
	  "of MQTT; auto: 5, and 3.1.1 where the broker does not have it" },
	{ 0, "client_id", parse_client_id, ini_print_text, AT(client.client_id), "", 0, MQTT_ID_MAX, 0,
	  "letters, digits, - and _", "what the broker knows us by; without it, one of this machine and section" },
	{ 0, "topic", parse_topic, ini_print_text, AT(topic), "suntap", 0, MQTT_TOPIC_MAX, 0,
	  "a topic without + and #, such as suntap", "what all topics begin with" },
	{ 0, "discovery", parse_discovery, print_discovery, AT(discovery), "device", 0, 0, 0, "device, entity or no",
	  "for Home Assistant; device: one message a device, from 2024.12 on; entity: one a sensor, from 2024.2 on" },
	{ 0, "discovery_prefix", parse_topic, ini_print_text, AT(discovery_prefix), "homeassistant", 0, MQTT_TOPIC_MAX, 0,
	  "a topic without + and #", "where Home Assistant looks for devices" },
	{ 0, "birth_topic", parse_topic, ini_print_text, AT(birth_topic), "homeassistant/status", 0, MQTT_TOPIC_MAX, 0,
	  "a topic without + and #", "where Home Assistant says that it is there" },
	{ 0, "silence", ini_parse_seconds, ini_print_seconds, AT(silence), "26h", 0, 40000000, 0, "a time such as 26h; 0: for ever",
	  "a device that was silent for so long is offline; longer than a night" },
	{ 0, "max_age", ini_parse_seconds, ini_print_seconds, AT(max_age), "24h", 60, 40000000, 0, "a time such as 24h, 1min or more",
	  "a reading that is older when it is exported is no state any more" },
	{ 0, "expire_after", ini_parse_seconds, ini_print_seconds, AT(expire_after), "0s", 0, 40000000, 0,
	  "a time such as 26h; 0: never", "sensors without a message for so long are unavailable in Home Assistant" },
};

static void check(struct ini *p, unsigned line, const void *own)
{
	const struct mqtt_settings *s = own;
	size_t n = strlen(s->discovery_prefix);

	if (!s->client.url[0])
		ini_complain(p, line, "url", "is missing; would be the broker, such as mqtt://homeassistant.local:1883");
	if (s->client.password_file[0] && !s->client.user[0])
		ini_complain(p, line, "user", "is missing beside password_file; would be the user's name");
	if (!s->client.certificate_file[0] != !s->client.key_file[0])
		ini_complain(p, line, s->client.key_file[0] ? "certificate_file" : "key_file", "is missing; would be both or neither of "
			     "certificate_file and key_file");
	/* Home Assistant would read our states as documents. */
	if (s->discovery != DISCOVERY_NO && strncmp(s->topic, s->discovery_prefix, n) == 0 && (!s->topic[n] || s->topic[n] == '/'))
		ini_complain(p, line, "topic", "is below discovery_prefix; would be a topic of its own, such as suntap");
}

/* ---------------------------------------------------------------- messages on the way */

/* What of the front is acknowledged is over; records among it are confirmed. */
static void settle(struct mqtt *x)
{
	struct exporter *e = x->destination->exporter;
	size_t done = 0;

	while (x->length && x->pending[x->head].reason >= 0) {
		const struct pending *p = &x->pending[x->head];

		if (p->ends_record) {
			if (p->reason >= 128) {
				char why[64];

				if (done)
					exporter_confirm(e, done);
				done = 0;
				snprintf(why, sizeof(why), p->reason == 135 ? "not allowed to write to this topic" :
					 "the broker's reason is %d", p->reason);
				exporter_refuse(e, 0, why);
			}
			done++;
			x->records--;
		}
		x->head = (x->head + 1) % PENDING;
		x->length--;
		x->waits_since = now_monotonic();
	}
	if (done)
		exporter_confirm(e, done);
	if (x->full && x->records < PENDING_RECORDS / 2 && mqtt_client_is_up(x->client)) {
		x->full = false;
		exporter_ready(e);
	}
}

static void on_acknowledged(void *user, int mid, int reason)
{
	struct mqtt *x = user;
	uint64_t held;

	for (size_t i = 0; i < x->length; i++) {
		struct pending *p = &x->pending[(x->head + i) % PENDING];

		if (p->mid != mid || p->reason >= 0)
			continue;
		p->reason = reason;
		if (p->device && reason >= 128)
			p->device->refused |= 1u << p->message;
		else if (p->device)
			p->device->refused &= ~(1u << p->message);
		if (reason >= 128 && !p->ends_record && log_limit_pass(&x->refused_limit, &held))
			log_warning("[%s]: the broker refuses an announcement, with reason %d%s", x->destination->settings->section,
				    reason, reason == 135 ? ": not allowed to write to its topic" : "");
		break;
	}
	settle(x);
}

/* false: there is no room, or the broker does not take so much (which is told) */
static bool publish(struct mqtt *x, const char *topic, const char *payload, size_t length, struct mqtt_device *d,
		    enum mqtt_message message, bool ends_record)
{
	uint64_t held;
	int mid;

	if (x->length == PENDING)
		return false;
	mid = mqtt_client_publish(x->client, topic, payload, length);
	if (mid < 0) {
		if (log_limit_pass(&x->refused_limit, &held))
			log_warning("[%s]: %s cannot be published: %s", x->destination->settings->section, topic, mid == -EMSGSIZE ?
				    "the broker does not take messages of that size; discovery = entity has smaller ones" : strerror(-mid));
		return false;
	}
	if (!x->length)
		x->waits_since = now_monotonic();
	x->pending[(x->head + x->length++) % PENDING] = (struct pending){
		.mid = mid, .reason = -1, .ends_record = ends_record, .device = d, .message = message,
	};
	x->records += ends_record;
	return true;
}

/* ---------------------------------------------------------------- announcements */

static const char *topic_of(const struct mqtt *x, const struct mqtt_device *d, const char *what,
			    char topic[static MQTT_TOPIC_MAX + HOMEASSISTANT_ID_MAX + 32])
{
	snprintf(topic, MQTT_TOPIC_MAX + HOMEASSISTANT_ID_MAX + 32, "%s/%s/%s", x->settings->topic, d->id, what);
	return topic;
}

/* 80-F3-…, 80f3…: "80:f3:…"; "" where it is no hardware address */
static const char *mac_of(const char *text, char mac[static 18])
{
	size_t n = 0;

	for (; *text && n < 17; text++) {
		if (*text == ':' || *text == '-')
			continue;
		if (!strchr("0123456789abcdefABCDEF", *text))
			return "";
		if (n % 3 == 2)
			mac[n++] = ':';
		mac[n++] = (char)(*text >= 'A' && *text <= 'F' ? *text + 32 : *text);
	}
	mac[n] = '\0';
	return n == 17 && !*text ? mac : "";
}

struct described {
	struct homeassistant_device device;
	char state[MQTT_TOPIC_MAX + HOMEASSISTANT_ID_MAX + 32], availability[MQTT_TOPIC_MAX + HOMEASSISTANT_ID_MAX + 32], mac[18];
};

static void describe(const struct mqtt *x, const struct mqtt_device *d, struct described *ret)
{
	static const char *const makers[] = { "maker", "manufacturer", NULL }, *const logger_makers[] = { "logger_maker", NULL };
	static const char *const models[] = { "inverter_model", "product_model", "model", "product_name", NULL };
	static const char *const logger_models[] = { "logger_model", NULL };
	static const char *const versions[] = { "firmware_version", NULL }, *const logger_versions[] = { "logger_firmware", NULL };
	static const char *const hardware[] = { "hardware_version", NULL }, *const macs[] = { "logger_mac", NULL };
	bool logger = d->is_logger;
	const char *model = mqtt_device_text(d, logger ? logger_models : models);

	*ret = (struct described){ 0 };
	ret->device = (struct homeassistant_device){
		.id = d->id, .serial = d->serial, .via = d->via, .is_logger = logger,
		.manufacturer = mqtt_device_text(d, logger ? logger_makers : makers),
		.model = *model ? model : d->model,
		.sw_version = mqtt_device_text(d, logger ? logger_versions : versions),
		.hw_version = logger ? "" : mqtt_device_text(d, hardware),
		.mac = logger ? mac_of(mqtt_device_text(d, macs), ret->mac) : "",
		.settings = settings_inverter(x->destination->file, d->serial),
		.state_topic = topic_of(x, d, "state", ret->state),
		.availability_topic = topic_of(x, d, "availability", ret->availability),
		.service_topic = x->service_topic, .expire_after = x->settings->expire_after,
	};
}

static bool publish_json(struct mqtt *x, struct mqtt_device *d, const char *topic, json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	bool good = text && publish(x, topic, text, strlen(text), d, MQTT_DOCUMENT, false);

	free(text);
	json_decref(o);
	return good;
}

static void say_device(struct mqtt *x, struct mqtt_device *d)
{
	char topic[MQTT_TOPIC_MAX + HOMEASSISTANT_ID_MAX + 32];
	struct homeassistant_part parts[2];
	json_t *components = json_object();
	struct described it;

	describe(x, d, &it);
	for (size_t i = 0; i < d->count; i++) {
		size_t n = d->values[i].text ? homeassistant_parts(&it.device, d->values[i].name, d->values[i].first_number, parts) : 0;

		while (n--)
			json_object_set_new(components, parts[n].key, parts[n].component);
	}
	homeassistant_last_seen(&it.device, parts);
	json_object_set_new(components, parts[0].key, parts[0].component);
	snprintf(topic, sizeof(topic), "%s/device/suntap_%s/config", x->settings->discovery_prefix, d->id);
	publish_json(x, d, topic, homeassistant_document(&it.device, components));
	d->say_document = false;
}

/* The next of its sensors; the last one ends it. */
static void say_entity(struct mqtt *x, struct mqtt_device *d)
{
	char topic[MQTT_TOPIC_MAX + HOMEASSISTANT_ID_MAX + HOMEASSISTANT_NAME_MAX + 32];
	struct homeassistant_part parts[2];
	struct described it;
	size_t n = 1;

	describe(x, d, &it);
	while (d->part < d->count && !d->values[d->part].text)
		d->part++;
	if (d->part < d->count)
		n = homeassistant_parts(&it.device, d->values[d->part].name, d->values[d->part].first_number, parts);
	else
		homeassistant_last_seen(&it.device, parts);
	while (n--) {
		snprintf(topic, sizeof(topic), "%s/%s/suntap_%s/%s/config", x->settings->discovery_prefix,
			 json_string_value(json_object_get(parts[n].component, "platform")), d->id, parts[n].key);
		publish_json(x, d, topic, homeassistant_entity(&it.device, parts[n].component));
	}
	if (d->part++ >= d->count) {
		d->part = 0;
		d->say_document = false;
	}
}

static bool room(const struct mqtt *x)
{
	/* A code has two sensors. */
	return mqtt_client_is_up(x->client) && x->length + 2 <= PENDING && x->length - x->records < PENDING_ANNOUNCED;
}

static void say_documents(struct mqtt *x, bool loggers)
{
	int64_t now = now_monotonic();

	for (size_t i = 0; i < x->devices.count && room(x); i++) {
		struct mqtt_device *d = x->devices.all[i];

		if (!d->say_document || d->is_logger != loggers || (now < d->document_due && d->part == 0))
			continue;
		d->document_said = now;
		if (x->settings->discovery == DISCOVERY_DEVICE)
			say_device(x, d);
		while (x->settings->discovery == DISCOVERY_ENTITY && d->say_document && room(x))
			say_entity(x, d);
		if (x->settings->discovery == DISCOVERY_NO)
			d->say_document = false;
	}
}

static void say_state(struct mqtt *x, struct mqtt_device *d, bool ends_record)
{
	char topic[MQTT_TOPIC_MAX + HOMEASSISTANT_ID_MAX + 32];

	text_clear(&x->text);
	mqtt_device_state(d, &x->text);
	topic_of(x, d, "state", topic);
	if (!x->text.failed)
		publish(x, topic, x->text.data, x->text.length, d, MQTT_STATE, ends_record);
	d->say_state = false;
}

static void say_rest(struct mqtt *x)
{
	char topic[MQTT_TOPIC_MAX + HOMEASSISTANT_ID_MAX + 32];

	if (x->say_online && room(x) && publish(x, x->service_topic, "online", 6, NULL, MQTT_AVAILABILITY, false))
		x->say_online = false;
	for (size_t i = 0; i < x->devices.count && room(x); i++) {
		struct mqtt_device *d = x->devices.all[i];
		const char *word = d->online ? "online" : "offline";

		if (!d->say_availability)
			continue;
		topic_of(x, d, "availability", topic);
		publish(x, topic, word, strlen(word), d, MQTT_AVAILABILITY, false);
		d->say_availability = false;
	}
	for (size_t i = 0; i < x->devices.count && room(x); i++)
		if (x->devices.all[i]->say_state)
			say_state(x, x->devices.all[i], false);
}

static void announce(struct mqtt *x)
{
	if (x->offline_mid)
		return;
	say_documents(x, true);
	say_documents(x, false);
	say_rest(x);
}

/* Everything again: to Home Assistant or a broker that may have lost it. */
static void announce_all(struct mqtt *x)
{
	x->say_online = true;
	for (size_t i = 0; i < x->devices.count; i++) {
		struct mqtt_device *d = x->devices.all[i];

		/* The same document once more may go at once; one that has changed waits for its time. */
		if (!d->say_document || d->part)
			d->document_due = 0;
		/* mosquitto 2.0.11 may close the connection after it has refused one: not again for the same. */
		d->say_document = !(d->refused & 1u << MQTT_DOCUMENT);
		d->say_availability = !(d->refused & 1u << MQTT_AVAILABILITY);
		d->say_state = !(d->refused & 1u << MQTT_STATE);
		d->part = 0;
	}
	announce(x);
}

static int on_birth_time(sd_event_source *source, uint64_t usec, void *user)
{
	struct mqtt *x = user;

	(void)usec;
	sd_event_source_disable_unref(source);
	x->birth = NULL;
	announce_all(x);
	return 0;
}

/* Others answer it as well: at a random time. */
static void on_message(void *user, const char *topic, const char *payload, size_t length)
{
	struct mqtt *x = user;
	uint32_t random = 0;
	uint64_t now;

	if (strcmp(topic, x->settings->birth_topic) != 0 || length != 6 || memcmp(payload, "online", 6) != 0 || x->birth)
		return;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = 0;
	sd_event_now(x->destination->event, CLOCK_MONOTONIC, &now);
	sd_event_add_time(x->destination->event, &x->birth, CLOCK_MONOTONIC, now + 1000000 + random % 9000000, 0, on_birth_time, x);
}

static void on_up(void *user)
{
	struct mqtt *x = user;

	x->waits_since = now_monotonic();
	if (x->settings->discovery != DISCOVERY_NO)
		mqtt_client_subscribe(x->client, x->settings->birth_topic);
	announce_all(x);
	x->full = false;
	exporter_ready(x->destination->exporter);
}

/* ---------------------------------------------------------------- records */

static void document_changed(struct mqtt *x, struct mqtt_device *d)
{
	int64_t due = now_monotonic() + DOCUMENT_DELAY * NSEC_PER_SEC;

	if (d->document_said && d->document_said + DOCUMENT_INTERVAL * NSEC_PER_SEC > due)
		due = d->document_said + DOCUMENT_INTERVAL * NSEC_PER_SEC;
	if (!d->say_document || d->part || !d->document_due)
		d->document_due = due;
	d->say_document = x->settings->discovery != DISCOVERY_NO;
	d->part = 0;
}

static bool is_silent(const struct mqtt *x, const struct mqtt_device *d)
{
	return x->settings->silence && now_realtime() - d->entry_ns > x->settings->silence * NSEC_PER_SEC;
}

static void set_online(struct mqtt *x, struct mqtt_device *d)
{
	bool online = !is_silent(x, d);

	if (online == d->online)
		return;
	d->online = online;
	d->say_availability = true;
}

/* Older than what the device has said already, and so no state. But a clock may have been wrong, and set right. */
static bool is_late(const struct mqtt_device *d, const struct record *r)
{
	if (r->entry_ns <= d->known_ns || r->time_ns > d->time_ns)
		return false;
	if (r->repeat)
		return true;
	return r->time_ns < d->time_ns && d->time_ns <= d->entry_ns + 60 * NSEC_PER_SEC && strcmp(r->time_source, "device") == 0 &&
	       r->entry_ns - d->entry_ns < BACKWARDS_SECONDS * NSEC_PER_SEC;
}

static bool of_logger(const char *name)
{
	return strncmp(name, "logger_", 7) == 0 || strncmp(name, "wifi_", 5) == 0 || strncmp(name, "zigbee_", 7) == 0;
}

/* The record's values for one of its two devices; all of them where the other is NULL. */
static void take(struct mqtt *x, struct mqtt_device *d, const struct record *r, bool split)
{
	bool again = r->entry_ns <= d->known_ns, changed = d->document_said == 0 && !d->say_document;
	int64_t time_ns = r->time_ns < r->entry_ns ? r->time_ns : r->entry_ns;

	for (size_t i = 0; i < r->count; i++)
		if (!split || of_logger(r->values[i].name) == d->is_logger)
			changed |= mqtt_device_take(&x->devices, d, &r->values[i], time_ns, again);
	if (!d->is_logger && r->model[0] && strcmp(d->model, r->model) != 0) {
		memcpy(d->model, r->model, sizeof(d->model));
		changed = true;
	}
	d->time_ns = time_ns;
	if (r->entry_ns > d->entry_ns)
		d->entry_ns = r->entry_ns;
	d->changed = true;
	set_online(x, d);
	if (changed)
		document_changed(x, d);
}

static void set_via(struct mqtt *x, struct mqtt_device *d, const struct mqtt_device *logger)
{
	if (!logger || strcmp(d->via, logger->id) == 0)
		return;
	memcpy(d->via, logger->id, sizeof(d->via));
	document_changed(x, d);
}

static bool has_values_of(const struct record *r, bool logger)
{
	for (size_t i = 0; i < r->count; i++)
		if (of_logger(r->values[i].name) == logger)
			return true;
	return false;
}

static enum destination_answer take_record(struct mqtt *x, const struct record *r)
{
	struct mqtt_device *logger = NULL, *d;
	const char *serial = r->serial[0] ? r->serial : r->device;

	if (r->logger[0] && strcmp(r->logger, r->serial) != 0)
		logger = mqtt_devices_get(&x->devices, r->logger, true);
	/* Without a serial number the logger is all that is known. */
	d = r->logger[0] && !r->serial[0] ? logger : *serial ? mqtt_devices_get(&x->devices, serial, false) : NULL;
	if (!d || is_late(d, r))
		return DESTINATION_SKIPPED;
	if (logger && logger != d) {
		set_via(x, d, logger);
		take(x, logger, r, true);
		if (has_values_of(r, true))
			say_state(x, logger, false);
		else
			logger->say_state = true;
	}
	take(x, d, r, logger && logger != d);
	if (x->length == PENDING)
		return DESTINATION_FULL;
	say_state(x, d, true);
	return DESTINATION_TAKEN;
}

static enum destination_answer mqtt_add(struct destination *d, const struct record *r)
{
	struct mqtt *x = d->state;
	size_t before = x->records;
	enum destination_answer answer;

	if (r->historic)
		return DESTINATION_SKIPPED;
	if (!mqtt_client_is_up(x->client) || x->records >= PENDING_RECORDS || x->length + 4 > PENDING) {
		x->full = true;
		return DESTINATION_FULL;
	}
	if (now_realtime() - r->entry_ns > x->settings->max_age * NSEC_PER_SEC) {
		uint64_t held;

		if (log_limit_pass(&x->late_limit, &held))
			log_info("[%s]: readings older than max_age are left out", d->settings->section);
		return DESTINATION_SKIPPED;
	}
	answer = take_record(x, r);
	/* What could not be published was told, and is not on the way. */
	if (answer == DESTINATION_TAKEN && x->records == before)
		return DESTINATION_SKIPPED;
	return answer;
}

/* ---------------------------------------------------------------- begin and end */

static int make_client_id(struct mqtt *x)
{
	/* Of this machine, without giving its machine id away. */
	const sd_id128_t app = SD_ID128_MAKE(2b,8d,0f,4c,73,1e,49,50,9e,06,a1,5d,c4,77,08,3b);
	sd_id128_t id;
	int e = sd_id128_get_machine_app_specific(app, &id);

	if (x->settings->client.client_id[0])
		snprintf(x->client_id, sizeof(x->client_id), "%s", x->settings->client.client_id);
	else
		snprintf(x->client_id, sizeof(x->client_id), "suntap-%02x%02x%02x%02x-%.31s", e < 0 ? 0 : id.bytes[0],
			 e < 0 ? 0 : id.bytes[1], e < 0 ? 0 : id.bytes[2], e < 0 ? 0 : id.bytes[3], x->destination->settings->name);
	snprintf(x->service_topic, sizeof(x->service_topic), "%s/exporter/%s/availability", x->settings->topic, x->client_id);
	return 0;
}

static int open_devices(struct mqtt *x)
{
	struct destination *d = x->destination;
	char folder[400];
	int e;

	if (d->state_folder)
		snprintf(folder, sizeof(folder), "%s/%s.devices", d->state_folder, d->settings->name);
	e = mqtt_devices_open(&x->devices, d->state_folder ? folder : NULL);
	for (size_t i = 0; i < x->devices.count; i++)
		x->devices.all[i]->online = !is_silent(x, x->devices.all[i]);
	return e;
}

static int mqtt_open(struct destination *d)
{
	static const struct mqtt_events events = { on_up, on_acknowledged, on_message };
	struct mqtt *x = calloc(1, sizeof(*x));
	int e;

	if (!x)
		return -ENOMEM;
	d->state = x;
	x->destination = d;
	x->settings = d->settings->own;
	x->refused_limit = (struct log_limit){ .burst = 5, .interval = 60 * NSEC_PER_SEC };
	x->late_limit = (struct log_limit){ .burst = 1, .interval = 3600 * NSEC_PER_SEC };
	make_client_id(x);
	e = open_devices(x);
	return e ? e : mqtt_client_open(&x->client, d, &x->settings->client, x->client_id, x->service_topic, &events, x);
}

static void mqtt_flush(struct destination *d)
{
	announce(d->state);
}

static void mqtt_tick(struct destination *d)
{
	struct mqtt *x = d->state;

	for (size_t i = 0; i < x->devices.count; i++)
		set_online(x, x->devices.all[i]);
	mqtt_client_tick(x->client);
	if (mqtt_client_is_up(x->client) && x->length && now_monotonic() - x->waits_since > ACKNOWLEDGE_SECONDS * NSEC_PER_SEC)
		mqtt_client_again(x->client, "the broker does not acknowledge what it is sent; nothing is lost, it waits in the journal");
	announce(x);
}

static int mqtt_save(struct destination *d)
{
	struct mqtt *x = d->state;

	return mqtt_devices_save(&x->devices);
}

/* "offline" is said by ourselves: a clean end sends no will. */
static size_t mqtt_stop(struct destination *d)
{
	struct mqtt *x = d->state;

	if (!mqtt_client_is_up(x->client))
		return 0;
	if (!x->offline_mid && x->length < PENDING) {
		publish(x, x->service_topic, "offline", 7, NULL, MQTT_AVAILABILITY, false);
		x->offline_mid = 1;
	}
	return x->length;
}

static void mqtt_close(struct destination *d)
{
	struct mqtt *x = d->state;

	if (!x)
		return;
	sd_event_source_unref(x->birth);
	x->client = mqtt_client_close(x->client);
	mqtt_devices_close(&x->devices);
	text_free(&x->text);
	free(x);
	d->state = NULL;
}

const struct destination_kind destination_mqtt = {
	.name = "mqtt",
	.records = 1 << RECORD_READING | 1 << RECORD_INFO,
	.live = true,
	.keys = keys,
	.key_count = ARRAY_SIZE(keys),
	.settings_size = sizeof(struct mqtt_settings),
	.check = check,
	.open = mqtt_open,
	.add = mqtt_add,
	.flush = mqtt_flush,
	.save = mqtt_save,
	.tick = mqtt_tick,
	.stop = mqtt_stop,
	.close = mqtt_close,
};
