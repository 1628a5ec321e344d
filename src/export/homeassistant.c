/* SPDX-License-Identifier: GPL-2.0-or-later */
/* homeassistant.c - what Home Assistant is told of a device and its quantities; see homeassistant.h */
#include "export/homeassistant.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "protocols/vocabulary.h"
#include "shared/util.h"

/* ---------------------------------------------------------------- quantities */

#define MEASURED "measurement"
#define RISING "total_increasing"

/*
 * The first row that fits is taken. A row fits a name with that ending (all of it where it begins with =), of that unit
 * of the vocabulary. What a limit or a setting is has no statistics.
 */
static const struct {
	const char *symbol, *ending;
	struct quantity q;
} rows[] = {
	{ "V", "_voltage_min", { "voltage", "V", MEASURED, NULL, 1, true, false, true } },
	{ "V", "_voltage_max", { "voltage", "V", MEASURED, NULL, 1, true, false, true } },
	{ "V", "_voltage", { "voltage", "V", MEASURED, NULL, 1, false, false, true } },
	{ "V", "", { "voltage", "V", NULL, NULL, 1, true, false, true } },
	{ "A", "_current_limit", { "current", "A", NULL, NULL, 1, true, false, true } },
	{ "A", "", { "current", "A", MEASURED, NULL, 2, false, false, true } },
	{ "W", "rated_power", { "power", "W", NULL, NULL, 0, true, false, true } },
	{ "W", "designed_power", { "power", "W", NULL, NULL, 0, true, false, true } },
	{ "W", "_limit", { "power", "W", NULL, NULL, 0, true, false, true } },
	{ "W", "", { "power", "W", MEASURED, NULL, 0, false, false, true } },
	{ "VA", "", { "apparent_power", "VA", MEASURED, NULL, 0, false, false, true } },
	{ "var", "", { "reactive_power", "var", MEASURED, NULL, 0, false, false, true } },
	{ "kWh", "=battery_capacity", { "energy_storage", "kWh", MEASURED, NULL, 2, true, false, true } },
	{ "kWh", "energy_interval", { "energy", "kWh", NULL, NULL, 3, false, false, true } },
	{ "kWh", "energy_yesterday", { "energy", "kWh", NULL, NULL, 2, false, false, true } },
	{ "kWh", "energy_total", { "energy", "kWh", RISING, NULL, 1, false, false, true } },
	{ "kWh", "", { "energy", "kWh", RISING, NULL, 2, false, false, true } },
	{ "Hz", "_frequency", { "frequency", "Hz", MEASURED, NULL, 2, false, false, true } },
	{ "Hz", "", { "frequency", "Hz", NULL, NULL, 2, true, false, true } },
	{ "°C", "_temperature_min", { "temperature", "°C", MEASURED, NULL, 1, true, false, true } },
	{ "°C", "_temperature_max", { "temperature", "°C", MEASURED, NULL, 1, true, false, true } },
	{ "°C", "=ambient_temperature", { "temperature", "°C", MEASURED, NULL, 1, false, false, true } },
	{ "°C", "=battery_temperature", { "temperature", "°C", MEASURED, NULL, 1, false, false, true } },
	{ "°C", "", { "temperature", "°C", MEASURED, NULL, 1, true, false, true } },
	{ "%", "_soc", { "battery", "%", MEASURED, NULL, 0, false, false, true } },
	{ "%", "_soh", { NULL, "%", MEASURED, "mdi:battery-heart-variant", 0, true, false, true } },
	{ "%", "_soc_reserve", { NULL, "%", NULL, "mdi:battery-lock", 0, true, false, true } },
	{ "%", "_soc_charge_limit", { NULL, "%", NULL, "mdi:battery-lock", 0, true, false, true } },
	{ "%", "_signal", { NULL, "%", MEASURED, "mdi:wifi", 0, true, false, true } },
	{ "%", "_percent", { NULL, "%", MEASURED, "mdi:percent", 0, false, false, true } },
	{ "%", "", { NULL, "%", NULL, "mdi:speedometer", 0, true, false, true } },
	{ "dBm", "", { "signal_strength", "dBm", MEASURED, NULL, 0, true, false, true } },
	{ "s", "=uptime", { "duration", "s", NULL, NULL, 0, true, true, true } },
	{ "s", "", { "duration", "s", NULL, NULL, 0, true, false, true } },
	{ "h", "", { "duration", "h", RISING, NULL, 0, true, false, true } },
	{ "Ah", "", { NULL, "Ah", NULL, "mdi:battery", 0, true, false, true } },
	{ "kW", "", { "power", "kW", NULL, NULL, 2, true, false, true } },
	{ "MOhm", "", { NULL, "MΩ", MEASURED, "mdi:omega", 2, true, false, true } },
	{ "", "power_factor", { "power_factor", NULL, MEASURED, NULL, 2, false, false, true } },
	{ "", "connect_count", { NULL, NULL, RISING, "mdi:counter", 0, true, false, true } },
	{ "", "_cycles", { NULL, NULL, RISING, "mdi:counter", 0, true, false, true } },
	{ "", "inverters_online", { NULL, NULL, MEASURED, "mdi:solar-power", 0, true, false, true } },
	{ "", "packet_number", { NULL, NULL, NULL, "mdi:counter", -1, true, true, false } },
	{ "", "_version", { NULL, NULL, NULL, "mdi:information-outline", -1, true, true, false } },
	{ "", "_model", { NULL, NULL, NULL, "mdi:information-outline", -1, true, true, false } },
	{ "", "_firmware", { NULL, NULL, NULL, "mdi:information-outline", -1, true, true, false } },
	{ "", "sensor_list", { NULL, NULL, NULL, "mdi:information-outline", -1, true, true, false } },
	{ "", "data_id", { NULL, NULL, NULL, "mdi:information-outline", -1, true, true, false } },
	{ "", "_bits", { NULL, NULL, NULL, "mdi:alert-circle-outline", -1, true, false, false } },
};

static bool ends(const char *name, const char *ending)
{
	size_t n = strlen(name), e;

	if (*ending == '=')
		return strcmp(name, ending + 1) == 0;
	e = strlen(ending);
	return n >= e && strcmp(name + n - e, ending) == 0;
}

/* "fault_code", "fault_code_3": the name without its number */
static bool is_code(const char *name, const char *what)
{
	const char *at = strstr(name, what);

	if (!at || (at > name && at[-1] != '_'))
		return false;
	at += strlen(what);
	return !*at || (*at == '_' && at[1] && at[1 + strspn(at + 1, "0123456789")] == '\0');
}

void homeassistant_quantity(const char *name, bool number, struct quantity *ret)
{
	const char *symbol = vocabulary_unit(name)->symbol;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].symbol, symbol) == 0 && ends(name, rows[i].ending)) {
			*ret = rows[i].q;
			/* single cells differ by millivolts */
			if (*symbol == 'V' && !symbol[1] && strstr(name, "_cell"))
				ret->precision = 3;
			return;
		}
	*ret = (struct quantity){ .precision = -1, .diagnostic = true };
	if (!number && (ends(name, "status") || ends(name, "_mode")))
		ret->diagnostic = false;
	else if (number && (ends(name, "status") || is_code(name, "code") || is_code(name, "fault_code") ||
			    is_code(name, "alarm_code")))
		ret->icon = "mdi:alert-circle-outline";
}

/* ---------------------------------------------------------------- names */

void homeassistant_name(const char *name, char ret[static HOMEASSISTANT_NAME_MAX])
{
	static const struct { const char *word, *shown; } words[] = {
		{ "pv", "PV" }, { "ac", "AC" }, { "dc", "DC" }, { "l", "L" }, { "soc", "SoC" }, { "soh", "SoH" }, { "bms", "BMS" },
		{ "wifi", "Wi-Fi" }, { "zigbee", "Zigbee" }, { "rssi", "RSSI" }, { "ipm", "IPM" }, { "dcdc", "DC-DC" },
		{ "dsp", "DSP" }, { "ip", "IP" }, { "mac", "MAC" }, { "id", "ID" }, { "ah", "(Ah)" },
	};
	size_t used = 0;

	for (const char *at = name; *at;) {
		size_t n = strcspn(at, "_"), letters = n;
		const char *shown = NULL;

		while (letters > 0 && isdigit((unsigned char)at[letters - 1]))
			letters--;
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			if (strlen(words[i].word) == letters && memcmp(words[i].word, at, letters) == 0)
				shown = words[i].shown;
		if (used + n + 8 >= HOMEASSISTANT_NAME_MAX)
			break;
		if (used)
			ret[used++] = ' ';
		if (shown)
			used += (size_t)sprintf(ret + used, "%s%.*s", shown, (int)(n - letters), at + letters);
		else
			used += (size_t)sprintf(ret + used, "%.*s", (int)n, at);
		at += n + (at[n] == '_');
	}
	ret[used] = '\0';
	ret[0] = (char)toupper((unsigned char)ret[0]);
}

void homeassistant_id(const char *serial, char ret[static HOMEASSISTANT_ID_MAX])
{
	uint32_t hash = 2166136261;
	bool changed = false;
	size_t n = 0;

	for (const char *s = serial; *s && n < RECORD_ID_MAX - 1; s++) {
		bool good = isalnum((unsigned char)*s) || *s == '_' || *s == '-';

		hash = (hash ^ (unsigned char)*s) * 16777619;
		changed |= !good;
		ret[n++] = good ? *s : '_';
	}
	ret[n] = '\0';
	if (changed || n == 0)
		sprintf(ret + n, "_%08x", hash);
}

/* ---------------------------------------------------------------- components */

static void put(json_t *o, const char *key, const char *value)
{
	if (value && *value)
		json_object_set_new(o, key, json_string(value));
}

/* Modules that the owner has described are attributes of what is measured at their input. */
static void add_modules(json_t *c, const struct homeassistant_device *d, const char *name)
{
	const char *modules;
	char *text;
	json_t *o;

	if (!d->settings || strncmp(name, "pv", 2) != 0 || name[2] < '1' || name[2] > '0' + SETTINGS_PV_MAX || name[3] != '_')
		return;
	modules = d->settings->pv[name[2] - '1'];
	if (!*modules)
		return;
	o = json_pack("{s:s}", "modules", modules);
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!text)
		return;
	/* It is a template there: nothing in it may look like one. Its own first brace stands alone. */
	for (char *s = text + 1; *s && s[1]; s++)
		if (*s == '{')
			*s = '(';
	put(c, "json_attributes_topic", d->state_topic);
	put(c, "json_attributes_template", text);
	free(text);
}

static json_t *component(const struct homeassistant_device *d, const char *platform, const char *id, const char *name)
{
	char unique[HOMEASSISTANT_ID_MAX + HOMEASSISTANT_NAME_MAX];
	json_t *c = json_object();

	snprintf(unique, sizeof(unique), "suntap_%s_%s", d->id, id);
	put(c, "platform", platform);
	put(c, "unique_id", unique);
	put(c, "name", name);
	if (d->expire_after)
		json_object_set_new(c, "expire_after", json_integer(d->expire_after));
	return c;
}

static json_t *sensor(const struct homeassistant_device *d, const char *name, bool number)
{
	char shown[HOMEASSISTANT_NAME_MAX], template[RECORD_NAME_MAX + 48];
	struct quantity q;
	json_t *c;

	homeassistant_quantity(name, number, &q);
	homeassistant_name(name, shown);
	/* A record may lack it, and a name may be that of a method (items). */
	snprintf(template, sizeof(template), "{{ value_json['%s'] | default('') }}", name);
	c = component(d, "sensor", name, shown);
	put(c, "value_template", template);
	put(c, "device_class", q.device_class);
	put(c, "unit_of_measurement", q.unit);
	put(c, "state_class", q.state_class);
	put(c, "icon", q.icon);
	if (q.precision >= 0)
		json_object_set_new(c, "suggested_display_precision", json_integer(q.precision));
	if (q.diagnostic)
		put(c, "entity_category", "diagnostic");
	if (q.disabled)
		json_object_set_new(c, "enabled_by_default", json_false());
	add_modules(c, d, name);
	return c;
}

static json_t *problem(const struct homeassistant_device *d, const char *name)
{
	char id[HOMEASSISTANT_NAME_MAX], shown[HOMEASSISTANT_NAME_MAX], template[2 * RECORD_NAME_MAX + 100];
	json_t *c;

	snprintf(id, sizeof(id), "problem-%s", name);
	homeassistant_name(name, shown);
	snprintf(shown + strlen(shown), sizeof(shown) - strlen(shown), " problem");
	snprintf(template, sizeof(template), "{%% if value_json['%s'] is defined %%}{{ 'ON' if value_json['%s'] != 0 else 'OFF' }}"
		 "{%% endif %%}", name, name);
	c = component(d, "binary_sensor", id, shown);
	put(c, "value_template", template);
	put(c, "device_class", "problem");
	put(c, "entity_category", "diagnostic");
	return c;
}

size_t homeassistant_parts(const struct homeassistant_device *d, const char *name, bool number,
			   struct homeassistant_part ret[static 2])
{
	bool code = is_code(name, "fault_code") || is_code(name, "alarm_code") || is_code(name, "fault_bits") ||
		    is_code(name, "alarm_bits");

	snprintf(ret[0].key, sizeof(ret[0].key), "%s", name);
	ret[0].component = sensor(d, name, number);
	if (!number || !code)
		return 1;
	snprintf(ret[1].key, sizeof(ret[1].key), "problem-%s", name);
	ret[1].component = problem(d, name);
	return 2;
}

void homeassistant_last_seen(const struct homeassistant_device *d, struct homeassistant_part *ret)
{
	strcpy(ret->key, "last_seen");
	ret->component = component(d, "sensor", "last_seen", "Last seen");
	put(ret->component, "value_template", "{{ value_json['last_seen'] }}");
	put(ret->component, "device_class", "timestamp");
	put(ret->component, "entity_category", "diagnostic");
}

/* ---------------------------------------------------------------- documents */

static json_t *device_block(const struct homeassistant_device *d)
{
	char id[HOMEASSISTANT_ID_MAX + 8], name[SETTINGS_TEXT_MAX + RECORD_ID_MAX + 16];
	const struct settings_inverter *s = d->settings;
	json_t *o = json_object();

	snprintf(id, sizeof(id), "suntap_%s", d->id);
	json_object_set_new(o, "identifiers", json_pack("[s]", id));
	if (*d->mac)
		json_object_set_new(o, "connections", json_pack("[[s,s]]", "mac", d->mac));
	snprintf(name, sizeof(name), "%s %s", d->is_logger ? "Logger" : "Inverter", d->serial);
	put(o, "name", s && s->name[0] ? s->name : name);
	put(o, "manufacturer", s && s->manufacturer[0] ? s->manufacturer : d->manufacturer);
	put(o, "model", s && s->model[0] ? s->model : d->model);
	put(o, "serial_number", d->serial);
	put(o, "sw_version", d->sw_version);
	put(o, "hw_version", d->hw_version);
	put(o, "suggested_area", s ? s->area : NULL);
	if (*d->via) {
		snprintf(id, sizeof(id), "suntap_%s", d->via);
		put(o, "via_device", id);
	}
	return o;
}

static void add_frame(const struct homeassistant_device *d, json_t *o)
{
	json_object_set_new(o, "device", device_block(d));
	json_object_set_new(o, "origin", json_pack("{s:s,s:s}", "name", "suntap", "sw_version", SUNTAP_VERSION));
	put(o, "state_topic", d->state_topic);
	json_object_set_new(o, "availability", json_pack("[{s:s},{s:s}]", "topic", d->service_topic, "topic", d->availability_topic));
	put(o, "availability_mode", "all");
	json_object_set_new(o, "qos", json_integer(1));
}

json_t *homeassistant_document(const struct homeassistant_device *d, json_t *components)
{
	json_t *o = json_object();

	add_frame(d, o);
	json_object_set_new(o, "components", components);
	return o;
}

json_t *homeassistant_entity(const struct homeassistant_device *d, json_t *c)
{
	json_object_del(c, "platform");
	add_frame(d, c);
	return c;
}
