/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_json.c - any bytes as journal entries, and those as JSON
 *
 * Held to: what another library reads there is what the record has, each key once; a number is that number; times read
 * back to the same.
 */
#include <jansson.h>

#include "export/json_record.h"
#include "fuzz.h"

static void same(json_t *o, const char *key, const char *text)
{
	const char *there = json_string_value(json_object_get(o, key));

	MUST(*text ? there && strcmp(there, text) == 0 : !there);
}

static void check_values(json_t *o, const struct record *r)
{
	MUST(json_object_size(o) == r->count);
	for (size_t i = 0; i < r->count; i++) {
		const struct record_value *v = &r->values[i];
		json_t *value = json_object_get(o, v->name);

		MUST(strlen(v->name) == v->name_length && strlen(v->text) == v->text_length);
		MUST(v->number ? json_is_real(value) && json_real_value(value) >= record_number(v) &&
				 json_real_value(value) <= record_number(v) :
				 json_is_string(value) && strcmp(json_string_value(value), v->text) == 0);
	}
}

static void check(struct text *t, const struct record *r)
{
	json_t *o = json_loadb(t->data, t->length, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
	const char *when = json_string_value(json_object_get(o, "time"));
	int64_t ns;

	MUST(o && !memchr(t->data, '\n', t->length));
	same(o, "serial", r->serial);
	same(o, "logger", r->logger);
	same(o, "device", r->device);
	same(o, "model", r->model);
	MUST(when && record_parse_time(when, strlen(when), &ns) && ns == r->time_ns);
	if (r->kind == RECORD_EVENT)
		MUST(json_object_size(json_object_get(o, "fields")) == r->field_count);
	else
		check_values(json_object_get(o, "values"), r);
	json_decref(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct record *r;
	struct text t = { 0 };
	bool ours;

	if (!r)
		r = malloc(sizeof(*r));
	MUST(r);
	while (fuzz_entry(r, &data, &size, &ours)) {
		if (!ours)
			continue;
		text_clear(&t);
		json_record(&t, r);
		MUST(!t.failed);
		check(&t, r);
	}
	text_free(&t);
	return 0;
}
