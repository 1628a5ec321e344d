/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_influxdb.c - any bytes as journal entries, and those as line protocol; and any answer of the server
 *
 * Held to: read by the rules of the protocol, each line is one point with the record's tags, numbers, texts and time, no
 * key twice. The first byte chooses the settings, the second the status of the answer, whose text is the input.
 */
#include "export/influxdb.c"
#include "fuzz.h"

/* One element, up to what ends it, without its escapes. Only a field's value has quotes; in a tag they are like any other. */
static const char *element(const char *p, const char *ends, bool quoted, char *ret, size_t size)
{
	size_t n = 0;

	p += quoted;
	for (; *p && (quoted ? *p != '"' : !strchr(ends, *p)); p++) {
		if (*p == '\\' && p[1] && strchr(quoted ? "\"\\" : ",= ", p[1]))
			p++;
		MUST(n + 1 < size);
		ret[n++] = *p;
	}
	ret[n] = '\0';
	if (quoted)
		MUST(*p++ == '"');
	return p;
}

/* A backslash can not be written in a tag. */
static bool same_tag(const char *there, const char *is)
{
	for (; *is; is++, there++)
		if (*there != (*is == '\\' ? '_' : *is))
			return false;
	return !*there;
}

static const struct record_value *value_of(const struct record *r, const char *key, bool text)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < r->count; i++) {
		const struct record_value *v = &r->values[i];

		if (text && !v->number && n == v->name_length + 5u && !memcmp(key, v->name, v->name_length) && !strcmp(key + n - 5, "_text"))
			return v;
		if (!text && v->number && strcmp(v->name, key) == 0)
			return v;
	}
	return NULL;
}

static void check_fields(const char *p, const struct record *r)
{
	static char keys[RECORD_VALUES_MAX][128], value[RECORD_TEXT_MAX + 1];
	size_t count = 0;
	char *end;

	do {
		const struct record_value *v;
		bool text;

		p = element(p + 1, "=", false, keys[count], sizeof(keys[0]));
		MUST(*p == '=');
		text = *++p == '"';
		p = element(p, ", ", text, value, sizeof(value));
		v = value_of(r, keys[count], text);
		MUST(v && strcmp(v->text, value) == 0);
		for (size_t i = 0; i < count; i++)
			MUST(strcmp(keys[i], keys[count]) != 0);
		MUST(++count <= r->count);
	} while (*p == ',');
	MUST(*p == ' ' && strtoll(p + 1, &end, 10) == r->time_ns && end > p + 1 && strcmp(end, "\n") == 0);
}

static void check_line(struct text *t, const struct influxdb *x, const struct record *r)
{
	const char *p = text_string(t);
	char key[32], value[RECORD_ID_MAX + 1];

	MUST(strchr(p, '\n') == p + t->length - 1);
	p = element(p, ", ", false, value, sizeof(value));
	MUST(strcmp(value, x->settings->measurement) == 0);
	while (*p == ',') {
		size_t i = 0;

		p = element(p + 1, "=", false, key, sizeof(key));
		while (i < TAG_COUNT && strcmp(tags[i].name, key) != 0)
			i++;
		MUST(*p == '=' && i < TAG_COUNT);
		p = element(p + 1, ", ", false, value, sizeof(value));
		MUST(same_tag(value, (const char *)r + tags[i].offset));
	}
	MUST(*p == ' ');
	check_fields(p, r);
}

static void check_answer(struct destination *d, const uint8_t *data, size_t size)
{
	static const long statuses[] = { 200, 204, 301, 400, 401, 403, 404, 413, 422, 429, 500 };
	char body[HTTP_ANSWER_MAX + 1];
	struct http_answer a = { .body = body, .status = statuses[size ? data[0] % ARRAY_SIZE(statuses) : 0] };
	size_t n = size < HTTP_ANSWER_MAX ? size : HTTP_ANSWER_MAX;

	/* As http.c leaves it. */
	for (size_t i = 0; i < n; i++)
		body[i] = (char)(data[i] < ' ' || data[i] > '~' ? '?' : data[i]);
	body[n] = '\0';
	for (size_t range = 1; range <= SENDER_RECORDS; range *= 17) {
		struct judgement j = { .verdict = VERDICT_DONE };

		judge(d, &a, range, &j);
		MUST((j.verdict == VERDICT_DONE) == (a.status < 300) && j.verdict != VERDICT_REFUSED && j.verdict != VERDICT_ASK);
		MUST(j.verdict == VERDICT_DONE || j.why[0]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct influxdb_settings s = { .http.url = "http://localhost", .database = "home" };
	static struct influxdb x = { .settings = &s };
	struct destination d = { .state = &x };
	static struct record *r;
	struct text t = { 0 };
	bool ours;

	if (size < 2)
		return 0;
	if (!r)
		r = malloc(sizeof(*r));
	MUST(r);
	s.tags = data[0] % (1 << TAG_COUNT);
	s.texts = data[0] & 64;
	strcpy(s.measurement, data[0] & 128 ? "so, l=ar" : "solar");
	strcpy(s.bucket, data[0] & 64 ? "bucket" : "");
	text_clear(&x.measurement);
	escape(&x.measurement, s.measurement, ", \\");
	check_answer(&d, data + 1, size - 1);
	data += 2;
	size -= 2;
	while (fuzz_entry(r, &data, &size, &ours)) {
		if (!ours || r->kind == RECORD_EVENT)
			continue;
		text_clear(&t);
		if (add_line(&t, &x, r))
			check_line(&t, &x, r);
		else
			MUST(t.length == 0);
	}
	text_free(&t);
	return 0;
}
