/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * splunk.c - Splunk's HTTP Event Collector
 *
 * Objects one after the other, {"time":…,"event":{…},"fields":{…}}. HEC has no deduplication: when its answer is lost,
 * the batch is sent again and its events are there twice, each with the same "cursor" for `dedup`.
 *
 * With `acknowledge = yes` a batch counts only when the indexer has it: requests carry the GUID of a channel, the answer
 * has an ackId, which is asked for until it is true. It is told true once, and lost when Splunk starts anew: what is not
 * acknowledged within ACK_SECONDS is sent again. One batch is under way at a time, so there is one ackId.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "export/exporter.h"
#include "export/json_record.h"
#include "export/sender.h"
#include "shared/log.h"
#include "shared/util.h"

enum { SPLUNK_TEXT = 128 };

struct splunk_settings {
	struct http_settings http;
	char token_file[SETTINGS_PATH_MAX];
	char index[SPLUNK_TEXT], sourcetype[SPLUNK_TEXT], source[SPLUNK_TEXT], host[SPLUNK_TEXT];
	bool acknowledge, events;
};

struct splunk {
	const struct splunk_settings *settings;
	struct sender sender;
	char channel[37];
};

#define TEXT(field, fallback, accepts, help) \
	{ 0, #field, settings_parse_text, ini_print_text, offsetof(struct splunk_settings, field), fallback, 0, SPLUNK_TEXT, 0, \
	  accepts, help }

static const struct ini_key keys[] = {
	HTTP_KEYS(struct splunk_settings, http, "https://splunk.example.com:8088"),
	{ 0, "token_file", settings_parse_secret, ini_print_text, offsetof(struct splunk_settings, token_file), "", 0,
	  SETTINGS_PATH_MAX, 0, "the path of a file, or the name of a credential of the unit", "where the collector's token is" },
	TEXT(index, "", "a name", "the index; without it, the token's default"),
	TEXT(sourcetype, "suntap:reading", "a name", "the sourcetype"),
	TEXT(source, "suntap", "a name", "the source"),
	TEXT(host, "", "a name", "the host; without it, the machine id of the gateway"),
	{ 0, "acknowledge", ini_parse_bool, ini_print_bool, offsetof(struct splunk_settings, acknowledge), "no", 0, 0, 0,
	  "yes or no", "wait for the indexer's acknowledgement, which the token must have switched on" },
	{ 0, "events", ini_parse_bool, ini_print_bool, offsetof(struct splunk_settings, events), "yes", 0, 0, 0, "yes or no",
	  "also send what is no reading: flows, gaps, TLS, commands" },
};

static void check(struct ini *p, unsigned line, const void *own)
{
	const struct splunk_settings *s = own;

	if (!s->http.url[0])
		ini_complain(p, line, "url", "is missing; would be the collector, such as https://splunk.example.com:8088");
	if (!s->token_file[0])
		ini_complain(p, line, "token_file", "is missing; would be the path of a file with the collector's token");
}

/* ---------------------------------------------------------------- events */

/* Seconds as a plain decimal: 1.7e9 is refused. */
static void add_time(struct text *t, int64_t ns)
{
	text_printf(t, "\"time\":%" PRId64 ".%03d", ns / NSEC_PER_SEC, (int)(ns % NSEC_PER_SEC / NSEC_PER_MSEC));
}

static void member(struct text *t, char *separator, const char *name, const char *value)
{
	if (!*value)
		return;
	text_add(t, separator, 1);
	*separator = ',';
	text_json(t, name, SIZE_MAX);
	text_add(t, ":", 1);
	text_json(t, value, SIZE_MAX);
}

static void add_event(struct text *t, const struct splunk_settings *s, const struct record *r)
{
	char separator = ',';

	text_add(t, "{", 1);
	add_time(t, r->time_ns);
	member(t, &separator, "host", s->host[0] ? s->host : r->machine);
	member(t, &separator, "source", s->source);
	member(t, &separator, "sourcetype", s->sourcetype);
	member(t, &separator, "index", s->index);
	text_puts(t, ",\"event\":");
	json_record(t, r);
	text_puts(t, ",\"fields\":");
	separator = '{';
	member(t, &separator, "serial", r->serial);
	member(t, &separator, "logger", r->logger);
	member(t, &separator, "model", r->model);
	member(t, &separator, "device", r->device);
	text_puts(t, separator == '{' ? "{}}\n" : "}}\n");
}

/* ---------------------------------------------------------------- answers */

/* {"text":"…","code":6,"invalid-event-number":2,"ackId":0}; -1 where it is not there */
struct reply {
	json_int_t code, invalid, ack;
	char text[120];
};

static void parse_reply(const char *body, struct reply *ret)
{
	json_t *o = json_loads(body, 0, NULL), *code = json_object_get(o, "code");
	json_t *invalid = json_object_get(o, "invalid-event-number"), *ack = json_object_get(o, "ackId");
	const char *text = json_string_value(json_object_get(o, "text"));

	*ret = (struct reply){
		.code = json_is_integer(code) ? json_integer_value(code) : -1,
		.invalid = json_is_integer(invalid) ? json_integer_value(invalid) : -1,
		.ack = json_is_integer(ack) ? json_integer_value(ack) : -1,
	};
	snprintf(ret->text, sizeof(ret->text), "%s", text ? text : body);
	json_decref(o);
}

static void judge_accepted(struct splunk *x, const struct reply *reply, struct judgement *ret)
{
	const char *url = x->settings->http.url;

	if (!x->settings->acknowledge)
		return;
	if (reply->ack < 0) {
		ret->verdict = VERDICT_HOLD;
		judgement_say(ret, "%s gives no ackId: switch acknowledgement on for this token, or use acknowledge = no", url);
		return;
	}
	snprintf(ret->ask_path, sizeof(ret->ask_path), "/services/collector/ack?channel=%s", x->channel);
	snprintf(ret->ask_body, sizeof(ret->ask_body), "{\"acks\":[%" JSON_INTEGER_FORMAT "]}", reply->ack);
	ret->verdict = VERDICT_ASK;
}

/* {"acks":{"7":true}} */
static bool is_acknowledged(const char *body)
{
	json_t *o = json_loads(body, 0, NULL), *acks = json_object_get(o, "acks"), *value;
	const char *key;
	bool any = false, all = true;

	json_object_foreach(acks, key, value) {
		any = true;
		all &= json_is_true(value);
	}
	json_decref(o);
	return any && all;
}

/* An event that is at fault alone; which one, the answer tells. */
static void judge_fault(const struct reply *reply, size_t range, struct judgement *ret)
{
	ret->verdict = VERDICT_HALVE;
	/* Code 7 is not among these, so the number counts from 0. */
	if (reply->invalid >= 0 && (size_t)reply->invalid < range) {
		ret->verdict = VERDICT_REFUSED;
		ret->refused = (size_t)reply->invalid;
	}
	judgement_say(ret, "code %" JSON_INTEGER_FORMAT " %s", reply->code, reply->text);
}

static void judge(struct destination *d, const struct http_answer *a, size_t range, struct judgement *ret)
{
	struct splunk *x = d->state;
	const char *url = x->settings->http.url;
	struct reply reply;

	if (sender_judge(a, url, ret))
		return;
	parse_reply(a->body, &reply);
	if (a->status == 200) {
		judge_accepted(x, &reply, ret);
		return;
	}
	ret->verdict = VERDICT_HOLD;
	switch (reply.code) {
	case 1: case 2: case 3: case 4: case 21: case 22:
		judgement_say(ret, "%s does not accept the token: %s", url, reply.text);
		break;
	case 7:
		judgement_say(ret, "%s does not accept the index %s for this token: %s", url, x->settings->index, reply.text);
		break;
	case 10: case 11:
		judgement_say(ret, "%s wants a channel (%s): its token has acknowledgement on; would be acknowledge = yes", url,
			      reply.text);
		break;
	case 14:
		judgement_say(ret, "%s: acknowledgement is off for this token; would be acknowledge = no", url);
		break;
	case 5: case 6: case 12: case 13: case 15:
		judge_fault(&reply, range, ret);
		break;
	default:
		judgement_say(ret, "%s answers %ld: %s", url, a->status, reply.text);
		break;
	}
}

/* The answer to a question after an ackId. */
static bool judge_asked(struct destination *d, const struct http_answer *a, struct judgement *ret)
{
	const struct splunk *x = d->state;

	if (sender_judge(a, x->settings->http.url, ret))
		return false;
	ret->verdict = VERDICT_DONE;
	return a->status == 200 && is_acknowledged(a->body);
}

/* ---------------------------------------------------------------- begin and end */

static int set_credentials(struct destination *d)
{
	struct splunk *x = d->state;
	char line[SETTINGS_PASSWORD_MAX + 64], *secret = NULL;
	int e = settings_secret(d->settings, "token_file", x->settings->token_file, &secret);

	if (e)
		return e;
	http_clear_headers(x->sender.http);
	snprintf(line, sizeof(line), "Authorization: Splunk %s", secret);
	e = http_add_header(x->sender.http, line);
	explicit_bzero(line, sizeof(line));
	settings_secret_free(secret);
	if (e == 0)
		e = http_add_header(x->sender.http, "Content-Type: application/json");
	if (e == 0 && x->settings->acknowledge) {
		snprintf(line, sizeof(line), "X-Splunk-Request-Channel: %s", x->channel);
		e = http_add_header(x->sender.http, line);
	}
	return e;
}

static void renew(struct destination *d)
{
	set_credentials(d);
}

static int splunk_open(struct destination *d)
{
	struct splunk *x = calloc(1, sizeof(*x));
	sd_id128_t id;
	int e;

	if (!x)
		return -ENOMEM;
	d->state = x;
	x->settings = d->settings->own;
	e = sd_id128_randomize(&id);
	if (e < 0)
		return e;
	sd_id128_to_uuid_string(id, x->channel);
	e = sender_open(&x->sender, d, &x->settings->http);
	if (e)
		return e;
	x->sender.judge = judge;
	x->sender.judge_asked = judge_asked;
	x->sender.renew = renew;
	strcpy(x->sender.path, "/services/collector/event");
	return set_credentials(d);
}

static enum destination_answer splunk_add(struct destination *d, const struct record *r)
{
	struct splunk *x = d->state;
	struct text *t;

	if (r->kind == RECORD_EVENT && !x->settings->events)
		return DESTINATION_SKIPPED;
	t = sender_begin(&x->sender);
	if (!t)
		return DESTINATION_FULL;
	add_event(t, x->settings, r);
	sender_added(&x->sender);
	return DESTINATION_TAKEN;
}

static void splunk_flush(struct destination *d)
{
	struct splunk *x = d->state;

	sender_flush(&x->sender);
}

static size_t splunk_stop(struct destination *d)
{
	struct splunk *x = d->state;

	sender_flush(&x->sender);
	return sender_under_way(&x->sender);
}

static void splunk_close(struct destination *d)
{
	struct splunk *x = d->state;

	if (!x)
		return;
	sender_close(&x->sender);
	free(x);
	d->state = NULL;
}

const struct destination_kind destination_splunk = {
	.name = "splunk",
	.records = 1 << RECORD_READING | 1 << RECORD_INFO | 1 << RECORD_EVENT,
	.keys = keys,
	.key_count = ARRAY_SIZE(keys),
	.settings_size = sizeof(struct splunk_settings),
	.check = check,
	.open = splunk_open,
	.add = splunk_add,
	.flush = splunk_flush,
	.stop = splunk_stop,
	.close = splunk_close,
};
