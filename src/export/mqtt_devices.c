/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mqtt_devices.c - what is known of each device; see mqtt_devices.h */
#include "export/mqtt_devices.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/util.h"

enum { FILE_VERSION = 1 };

/* ---------------------------------------------------------------- devices and values */

static void device_free(struct mqtt_device *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->count; i++) {
		free(d->values[i].text);
		free(d->values[i].meter);
	}
	free(d->values);
	free(d);
}

static void tell_full(struct mqtt_devices *m)
{
	if (!m->told_full)
		log_warning("More than %d devices or %d quantities: what is beyond is not published", MQTT_DEVICES_MAX, MQTT_VALUES_MAX);
	m->told_full = true;
}

struct mqtt_device *mqtt_devices_get(struct mqtt_devices *m, const char *serial, bool is_logger)
{
	char id[HOMEASSISTANT_ID_MAX];
	struct mqtt_device *d;

	homeassistant_id(serial, id);
	for (size_t i = 0; i < m->count; i++)
		if (strcmp(m->all[i]->id, id) == 0)
			return m->all[i];
	if (!m->all)
		m->all = calloc(MQTT_DEVICES_MAX, sizeof(*m->all));
	d = m->all && m->count < MQTT_DEVICES_MAX ? calloc(1, sizeof(*d)) : NULL;
	if (!d) {
		tell_full(m);
		return NULL;
	}
	memcpy(d->id, id, sizeof(d->id));
	snprintf(d->serial, sizeof(d->serial), "%s", serial);
	d->is_logger = is_logger;
	m->all[m->count++] = d;
	return d;
}

static struct mqtt_value *find(const struct mqtt_device *d, const char *name)
{
	for (size_t i = 0; i < d->count; i++)
		if (strcmp(d->values[i].name, name) == 0)
			return &d->values[i];
	return NULL;
}

static struct mqtt_value *add_value(struct mqtt_devices *m, struct mqtt_device *d, const char *name, bool number)
{
	struct mqtt_value *v;

	if (d->count == d->room && m->value_count < MQTT_VALUES_MAX) {
		size_t room = d->room ? 2 * d->room : 32;
		struct mqtt_value *all = realloc(d->values, room * sizeof(*all));

		if (all) {
			d->values = all;
			d->room = room;
		}
	}
	if (d->count == d->room || m->value_count >= MQTT_VALUES_MAX) {
		tell_full(m);
		return NULL;
	}
	v = &d->values[d->count];
	*v = (struct mqtt_value){ .first_number = number, .number = number, .kind = meter_kind(name) };
	snprintf(v->name, sizeof(v->name), "%s", name);
	if (v->kind != METER_NONE) {
		v->meter = calloc(1, sizeof(*v->meter));
		if (!v->meter)
			return NULL;
	}
	d->count++;
	m->value_count++;
	return v;
}

static bool set_text(struct mqtt_value *v, const char *text, size_t length, bool number)
{
	char *copy;

	if (v->text && v->number == number && strlen(v->text) == length && memcmp(v->text, text, length) == 0)
		return false;
	copy = strndup(text, length);
	if (!copy)
		return false;
	free(v->text);
	v->text = copy;
	v->number = number;
	return true;
}

/* What the device block has. */
static bool is_identity(const char *name)
{
	static const char *const names[] = { "firmware_version", "hardware_version", "inverter_model", "product_model", "model",
		"product_name", "maker", "manufacturer", "logger_firmware", "logger_model", "logger_maker", "logger_mac" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Home Assistant takes 255 characters; cut between two of them. */
static size_t cut(const char *text, size_t length)
{
	if (length <= HOMEASSISTANT_TEXT_MAX)
		return length;
	length = HOMEASSISTANT_TEXT_MAX;
	while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
		length--;
	return length;
}

bool mqtt_device_take(struct mqtt_devices *m, struct mqtt_device *d, const struct record_value *v, int64_t time_ns, bool again)
{
	struct mqtt_value *mine = find(d, v->name);
	struct quantity q;
	bool is_new = false, changed;

	homeassistant_quantity(v->name, v->number, &q);
	/* last_seen is ours. */
	if ((q.numeric && !v->number) || strcmp(v->name, "last_seen") == 0)
		return false;
	if (!mine) {
		mine = add_value(m, d, v->name, v->number);
		if (!mine)
			return false;
		is_new = true;
	}
	if (mine->meter && ((again && mine->meter->known) ||
			    !meter_take(mine->meter, mine->kind, record_number(v), time_ns))) {
		/* Held back: nothing is shown as long as nothing good was. */
		d->changed = true;
		return is_new && mine->text;
	}
	is_new |= !mine->text;
	changed = set_text(mine, v->text, cut(v->text, v->text_length), v->number);
	d->changed = true;
	return is_new || (changed && is_identity(v->name));
}

void mqtt_device_state(const struct mqtt_device *d, struct text *t)
{
	char when[40];

	text_add(t, "{", 1);
	for (size_t i = 0; i < d->count; i++) {
		const struct mqtt_value *v = &d->values[i];

		if (!v->text)
			continue;
		text_json(t, v->name, SIZE_MAX);
		text_add(t, ":", 1);
		if (v->number)
			text_puts(t, v->text);
		else
			text_json(t, v->text, SIZE_MAX);
		text_add(t, ",", 1);
	}
	text_printf(t, "\"last_seen\":\"%s\"}", record_format_time(d->time_ns / NSEC_PER_SEC * NSEC_PER_SEC, when));
}

const char *mqtt_device_text(const struct mqtt_device *d, const char *const *names)
{
	for (; *names; names++) {
		const struct mqtt_value *v = find(d, *names);

		if (v && v->text && *v->text)
			return v->text;
	}
	return "";
}

/* ---------------------------------------------------------------- files */

static json_t *value_to_json(const struct mqtt_value *v)
{
	json_t *o = json_pack("{s:b,s:b}", "number", v->number, "first_number", v->first_number);

	if (v->text)
		json_object_set_new(o, "text", json_string(v->text));
	if (v->meter && v->meter->known)
		json_object_set_new(o, "meter", json_pack("[f,I,f]", v->meter->value, (json_int_t)v->meter->value_ns,
							  v->meter->before));
	return o;
}

static json_t *to_json(const struct mqtt_device *d)
{
	json_t *values = json_object();

	for (size_t i = 0; i < d->count; i++)
		json_object_set_new(values, d->values[i].name, value_to_json(&d->values[i]));
	return json_pack("{s:i,s:s,s:b,s:s,s:s,s:I,s:I,s:o}", "version", FILE_VERSION, "serial", d->serial, "logger", d->is_logger,
			 "via", d->via, "model", d->model, "time", (json_int_t)d->time_ns, "entry", (json_int_t)d->entry_ns,
			 "values", values);
}

static bool is_plain_number(const char *s)
{
	size_t n = strlen(s), at = *s == '-', digits = strspn(s + at, "0123456789");

	if (n > 24 || digits == 0 || (digits > 1 && s[at] == '0'))
		return false;
	at += digits;
	return !s[at] || (s[at] == '.' && s[at + 1] && s[at + 1 + strspn(s + at + 1, "0123456789")] == '\0');
}

/* An age can be computed of it without an overflow. */
static bool is_time(json_int_t ns)
{
	return ns >= 0 && ns <= INT64_MAX / 2;
}

static bool value_from_json(struct mqtt_devices *m, struct mqtt_device *d, const char *name, json_t *o)
{
	int number = 0, first = 0;
	const char *text = NULL;
	struct mqtt_value *v;
	double value, before;
	json_int_t at;

	if (json_unpack(o, "{s:b,s:b,s?s}", "number", &number, "first_number", &first, "text", &text) < 0 ||
	    !*name || strlen(name) >= RECORD_NAME_MAX || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] || find(d, name) ||
	    (text && (strlen(text) > HOMEASSISTANT_TEXT_MAX || (number && !is_plain_number(text)))))
		return false;
	v = add_value(m, d, name, first);
	if (!v)
		return false;
	if (text)
		set_text(v, text, strlen(text), number);
	if (v->meter && json_unpack(json_object_get(o, "meter"), "[F,I,F]", &value, &at, &before) == 0 && isfinite(value) &&
	    isfinite(before) && is_time(at))
		*v->meter = (struct meter){ .known = true, .value = value, .value_ns = at, .before = before };
	return true;
}

static bool from_json(struct mqtt_devices *m, json_t *o)
{
	const char *serial, *via, *model, *name;
	json_int_t time, entry;
	json_t *values, *value;
	struct mqtt_device *d;
	int version, logger;
	size_t before = m->count;

	if (json_unpack(o, "{s:i,s:s,s:b,s:s,s:s,s:I,s:I,s:o}", "version", &version, "serial", &serial, "logger", &logger,
			"via", &via, "model", &model, "time", &time, "entry", &entry, "values", &values) < 0 ||
	    version != FILE_VERSION || !is_time(time) || !is_time(entry) || strlen(serial) >= RECORD_ID_MAX || strlen(via) >= HOMEASSISTANT_ID_MAX ||
	    strlen(model) >= RECORD_ID_MAX || via[strspn(via, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")])
		return false;
	d = mqtt_devices_get(m, serial, logger);
	if (!d || m->count == before)
		return false;
	strcpy(d->via, via);
	strcpy(d->model, model);
	d->time_ns = time;
	d->entry_ns = d->known_ns = entry;
	json_object_foreach(values, name, value)
		if (!value_from_json(m, d, name, value))
			return false;
	return true;
}

static void load(struct mqtt_devices *m, const char *file)
{
	char path[1024];
	json_error_t error;
	json_t *o;

	snprintf(path, sizeof(path), "%s/%s", m->folder, file);
	o = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!o || !from_json(m, o))
		log_warning("%s makes no sense and is left out; what it knew will come with the next readings", path);
	json_decref(o);
}

int mqtt_devices_open(struct mqtt_devices *m, const char *folder)
{
	struct dirent *e;
	DIR *dir;

	*m = (struct mqtt_devices){ 0 };
	if (!folder)
		return 0;
	snprintf(m->folder, sizeof(m->folder), "%s", folder);
	if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
		int r = -errno;

		log_error("%s cannot be made: %s", folder, strerror(-r));
		return r;
	}
	dir = opendir(folder);
	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		size_t n = strlen(e->d_name);

		if (n > 5 && strcmp(e->d_name + n - 5, ".json") == 0)
			load(m, e->d_name);
	}
	closedir(dir);
	return 0;
}

static int save(const struct mqtt_devices *m, const struct mqtt_device *d)
{
	char path[512], new[520];
	json_t *o = to_json(d);
	int fd, r = 0;

	if (!o)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s/%s.json", m->folder, d->id);
	snprintf(new, sizeof(new), "%s.new", path);
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || json_dumpfd(o, fd, JSON_COMPACT) < 0 || fsync(fd) < 0)
		r = errno ? -errno : -EIO;
	json_decref(o);
	if (fd >= 0 && close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(new, path) < 0)
		r = -errno;
	if (r)
		unlink(new);
	return r;
}

int mqtt_devices_save(struct mqtt_devices *m)
{
	for (size_t i = 0; i < m->count && *m->folder; i++) {
		struct mqtt_device *d = m->all[i];
		int r = d->changed ? save(m, d) : 0;

		if (r)
			return r;
		d->changed = false;
	}
	return 0;
}

void mqtt_devices_close(struct mqtt_devices *m)
{
	for (size_t i = 0; i < m->count; i++)
		device_free(m->all[i]);
	free(m->all);
	*m = (struct mqtt_devices){ 0 };
}
