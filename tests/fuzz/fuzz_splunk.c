/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_splunk.c - any bytes as journal entries, and those as events for the collector; and any answer of it
 *
 * Held to: another library reads one object, whose event is the record's JSON, no key twice; an answer never names a
 * record outside the range.
 */
#include "export/splunk.c"
#include "fuzz.h"

static void check_event(const struct text *t, const struct record *r)
{
	json_t *o = json_loadb(t->data, t->length, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
	struct text event = { 0 };
	json_t *own, *time = json_object_get(o, "time");

	MUST(o && json_is_real(time) && json_real_value(time) > 0);
	json_record(&event, r);
	own = json_loadb(event.data, event.length, JSON_DECODE_INT_AS_REAL, NULL);
	MUST(own && json_equal(json_object_get(o, "event"), own) && json_is_object(json_object_get(o, "fields")));
	json_decref(own);
	json_decref(o);
	text_free(&event);
}

static void check_answer(struct destination *d, const uint8_t *data, size_t size)
{
	static const long statuses[] = { 200, 301, 400, 401, 403, 413, 503 };
	char body[HTTP_ANSWER_MAX + 1];
	struct http_answer a = { .body = body, .status = statuses[size ? data[0] % ARRAY_SIZE(statuses) : 0] };
	size_t n = size < 1 ? 0 : size - 1 < HTTP_ANSWER_MAX ? size - 1 : HTTP_ANSWER_MAX;
	struct judgement asked = { .verdict = VERDICT_DONE };

	/* As http.c leaves it. */
	for (size_t i = 0; i < n; i++)
		body[i] = (char)(data[i + 1] < ' ' || data[i + 1] > '~' ? '?' : data[i + 1]);
	body[n] = '\0';
	for (size_t range = 1; range <= SENDER_RECORDS; range *= 17) {
		struct judgement j = { .verdict = VERDICT_DONE };

		judge(d, &a, range, &j);
		MUST(j.verdict != VERDICT_DONE || a.status == 200);
		MUST(j.verdict != VERDICT_REFUSED || j.refused < range);
		MUST(j.verdict != VERDICT_ASK || (strlen(j.ask_body) < sizeof(j.ask_body) - 1 && strstr(j.ask_body, "]}")));
	}
	judge_asked(d, &a, &asked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct splunk_settings s = { .http.url = "http://localhost", .source = "suntap", .sourcetype = "a\"b" };
	static struct splunk x = { .settings = &s, .channel = "00000000-0000-0000-0000-000000000000" };
	struct destination d = { .state = &x };
	static struct record *r;
	struct text t = { 0 };
	bool ours;

	if (size < 1)
		return 0;
	if (!r)
		r = malloc(sizeof(*r));
	MUST(r);
	s.acknowledge = data[0] & 1;
	check_answer(&d, data + 1, size - 1);
	data++;
	size--;
	while (fuzz_entry(r, &data, &size, &ours)) {
		if (!ours)
			continue;
		text_clear(&t);
		add_event(&t, &s, r);
		MUST(!t.failed);
		check_event(&t, r);
	}
	text_free(&t);
	return 0;
}
