/* SPDX-License-Identifier: GPL-2.0-or-later */
/* json_record.c - a record as one JSON object; see json_record.h */
#include "export/json_record.h"

#include <string.h>

static void member(struct text *t, const char *name, const char *value)
{
	if (!*value)
		return;
	text_add(t, ",\"", 2);
	text_puts(t, name);
	text_add(t, "\":", 2);
	text_json(t, value, SIZE_MAX);
}

static void json_values(struct text *t, const struct record *r)
{
	text_add(t, "{", 1);
	for (size_t i = 0; i < r->count; i++) {
		const struct record_value *v = &r->values[i];

		text_add(t, ",\"", i ? 2 : 0);
		text_add(t, "\"", i ? 0 : 1);
		text_add(t, v->name, v->name_length);
		text_add(t, "\":", 2);
		if (v->number)
			text_add(t, v->text, v->text_length);
		else
			text_json(t, v->text, v->text_length);
	}
	text_add(t, "}", 1);
}

void json_record(struct text *t, const struct record *r)
{
	static const char *const types[] = {
		[RECORD_READING] = "reading", [RECORD_INFO] = "info", [RECORD_EVENT] = "event",
	};
	char when[40];

	text_puts(t, "{\"type\":\"");
	text_puts(t, types[r->kind]);
	text_add(t, "\"", 1);
	member(t, "protocol", r->protocol);
	member(t, "serial", r->serial);
	member(t, "logger", r->logger);
	member(t, "model", r->model);
	member(t, "device", r->device);
	member(t, "time", record_format_time(r->time_ns, when));
	if (r->historic)
		text_puts(t, ",\"historic\":true");
	if (r->repeat)
		text_puts(t, ",\"repeat\":true");
	if (r->kind == RECORD_EVENT) {
		member(t, "message_id", r->message_id);
		text_puts(t, ",\"fields\":{");
		for (size_t i = 0; i < r->field_count; i++) {
			if (i)
				text_add(t, ",", 1);
			text_json(t, r->fields[i].name, SIZE_MAX);
			text_add(t, ":", 1);
			text_json(t, r->fields[i].text, SIZE_MAX);
		}
		text_add(t, "}", 1);
	} else {
		text_puts(t, ",\"values\":");
		json_values(t, r);
	}
	member(t, "machine", r->machine);
	member(t, "cursor", r->cursor);
	text_add(t, "}", 1);
}
