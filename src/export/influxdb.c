/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * influxdb.c - line protocol to InfluxDB 1, 2 and what speaks like them (VictoriaMetrics)
 *
 * A record is a point: `solar,serial=…,logger=… pv1_voltage=31.2,… 1714557600000000000`. Tags are what a point is known
 * by, and never change for a device; all that may change is a field. Every number is a float, as a field's type is that of
 * its first value; a text is a field of its own name, status_text. The time is the measurement's, so that the same record
 * sent again, today or by --since in a year, is the same point.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "export/exporter.h"
#include "export/sender.h"
#include "shared/log.h"
#include "shared/util.h"

enum { NAME_MAX_ = 128 };

enum tag { TAG_SERIAL, TAG_LOGGER, TAG_DEVICE, TAG_MODEL, TAG_PROTOCOL, TAG_MACHINE, TAG_COUNT };

struct influxdb_settings {
	struct http_settings http;
	char database[NAME_MAX_], retention_policy[NAME_MAX_], user[NAME_MAX_], password_file[SETTINGS_PATH_MAX];
	char org[NAME_MAX_], bucket[NAME_MAX_], token_file[SETTINGS_PATH_MAX];
	char measurement[NAME_MAX_];
	unsigned tags;			/* bits of enum tag */
	bool texts;
};

struct influxdb {
	const struct influxdb_settings *settings;
	struct sender sender;
	struct text measurement;	/* escaped */
};

/* ---------------------------------------------------------------- settings */

static const struct {
	const char *name;
	size_t offset;
} tags[] = {
	[TAG_SERIAL] = { "serial", offsetof(struct record, serial) },
	[TAG_LOGGER] = { "logger", offsetof(struct record, logger) },
	[TAG_DEVICE] = { "device", offsetof(struct record, device) },
	[TAG_MODEL] = { "model", offsetof(struct record, model) },
	[TAG_PROTOCOL] = { "protocol", offsetof(struct record, protocol) },
	[TAG_MACHINE] = { "machine", offsetof(struct record, machine) },
};
_Static_assert(ARRAY_SIZE(tags) == TAG_COUNT, "a row for each tag");

static bool add_tag(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	for (size_t i = 0; i < TAG_COUNT; i++)
		if (strcmp(text, tags[i].name) == 0) {
			*(unsigned *)at |= 1u << i;
			return true;
		}
	return ini_bad_value(p, k, text);
}

static bool parse_tags(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	*(unsigned *)at = 0;
	return ini_each_word(p, k, text, at, add_tag);
}

static void print_tags(const struct ini_key *k, const void *at, FILE *out)
{
	bool any = false;

	fprintf(out, "%s =", k->name);
	for (size_t i = 0; i < TAG_COUNT; i++)
		if (*(const unsigned *)at & 1u << i) {
			fprintf(out, "%s %s", any ? "," : "", tags[i].name);
			any = true;
		}
	fputc('\n', out);
}

static bool parse_measurement(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	if (*text == '_' || *text == '#' || strchr(text, '\\'))
		return ini_bad_value(p, k, text);
	return settings_parse_text(p, k, text, at);
}

#define TEXT(field, accepts, help) \
	{ 0, #field, settings_parse_text, ini_print_text, offsetof(struct influxdb_settings, field), "", 0, NAME_MAX_, 0, \
	  accepts, help }
#define SECRET(field, help) \
	{ 0, #field, settings_parse_secret, ini_print_text, offsetof(struct influxdb_settings, field), "", 0, \
	  SETTINGS_PATH_MAX, 0, "the path of a file, or the name of a credential of the unit", help }

static const struct ini_key keys[] = {
	HTTP_KEYS(struct influxdb_settings, http, "http://127.0.0.1:8086"),
	TEXT(database, "a name", "InfluxDB 1, VictoriaMetrics: the database"),
	TEXT(retention_policy, "a name", "InfluxDB 1: the retention policy, where not the database's default"),
	TEXT(user, "a name", "InfluxDB 1: the user"),
	SECRET(password_file, "InfluxDB 1: where the user's password is"),
	TEXT(org, "a name or an id", "InfluxDB 2: the organization"),
	TEXT(bucket, "a name or an id", "InfluxDB 2: the bucket"),
	SECRET(token_file, "InfluxDB 2: where the token is"),
	{ 0, "measurement", parse_measurement, ini_print_text, offsetof(struct influxdb_settings, measurement), "solar", 0,
	  NAME_MAX_, 0, "a name that does not begin with _ or #, without \\", "the measurement of all points" },
	{ 0, "tags", parse_tags, print_tags, offsetof(struct influxdb_settings, tags), "serial, logger", 0, 0, 0,
	  "a list of serial, logger, device, model, protocol, machine",
	  "what is a tag, where the reading has it; a change makes new series" },
	{ 0, "texts", ini_parse_bool, ini_print_bool, offsetof(struct influxdb_settings, texts), "yes", 0, 0, 0, "yes or no",
	  "also send texts, as fields NAME_text; VictoriaMetrics makes 0 of them" },
};

static void check(struct ini *p, unsigned line, const void *own)
{
	const struct influxdb_settings *s = own;

	if (!s->http.url[0])
		ini_complain(p, line, "url", "is missing; would be the server, such as http://127.0.0.1:8086");
	if (!s->database[0] == !s->bucket[0])
		ini_complain(p, line, s->bucket[0] ? "bucket" : "database", s->bucket[0] ?
			     "stands beside database; would be one of them: database for InfluxDB 1, bucket for InfluxDB 2" :
			     "is missing; would be database = NAME for InfluxDB 1 and VictoriaMetrics, or org, bucket and "
			     "token_file for InfluxDB 2");
	if (s->bucket[0] && !s->org[0])
		ini_complain(p, line, "org", "is missing; would be the organization that the bucket is in");
	if (s->bucket[0] && !s->token_file[0])
		ini_complain(p, line, "token_file", "is missing; would be the path of a file with the token");
	if (s->user[0] && !s->password_file[0])
		ini_complain(p, line, "password_file", "is missing; would be the path of a file with the password of %s", s->user);
}

/* ---------------------------------------------------------------- lines */

/*
 * Measurement, tag values: `\` before what would end them; special has `\` in it. A backslash itself can not be written at the end of a
 * value, so it is none at all. record.h has seen to newlines.
 */
static void escape(struct text *t, const char *s, const char *special)
{
	for (;;) {
		size_t plain = strcspn(s, special);

		text_add(t, s, plain);
		s += plain;
		if (!*s)
			return;
		if (*s == '\\') {
			text_add(t, "_", 1);
		} else {
			text_add(t, "\\", 1);
			text_add(t, s, 1);
		}
		s++;
	}
}

static void escape_text(struct text *t, const char *s, size_t length)
{
	size_t start = 0;

	text_add(t, "\"", 1);
	for (size_t i = 0; i < length; i++)
		if (s[i] == '"' || s[i] == '\\') {
			text_add(t, s + start, i - start);
			text_add(t, "\\", 1);
			start = i;
		}
	text_add(t, s + start, length - start);
	text_add(t, "\"", 1);
}

static void add_tags(struct text *t, const struct influxdb_settings *s, const struct record *r)
{
	/* A point needs something to be known by. */
	unsigned which = r->serial[0] || r->logger[0] ? s->tags : s->tags | 1u << TAG_DEVICE;

	for (size_t i = 0; i < TAG_COUNT; i++) {
		const char *value = (const char *)r + tags[i].offset;

		if (!(which & 1u << i) || !*value)
			continue;
		text_add(t, ",", 1);
		text_puts(t, tags[i].name);
		text_add(t, "=", 1);
		escape(t, value, ",= \\");
	}
}

/* A field called time is dropped by the server, in silence; and NAME_text is what we call a text. */
static bool is_taken(const struct record_value *v)
{
	return (v->name_length == 4 && memcmp(v->name, "time", 4) == 0) ||
	       (v->number && v->name_length > 5 && memcmp(v->name + v->name_length - 5, "_text", 5) == 0);
}

/* false: nothing of it can be sent, and nothing was written */
static bool add_line(struct text *t, const struct influxdb *x, const struct record *r)
{
	size_t begun = t->length;
	char separator = ' ';

	text_add(t, x->measurement.data, x->measurement.length);
	add_tags(t, x->settings, r);
	for (size_t i = 0; i < r->count; i++) {
		const struct record_value *v = &r->values[i];

		if ((!v->number && !x->settings->texts) || is_taken(v))
			continue;
		text_add(t, &separator, 1);
		separator = ',';
		text_add(t, v->name, v->name_length);
		if (v->number) {
			text_add(t, "=", 1);
			text_add(t, v->text, v->text_length);
		} else {
			text_add(t, "_text=", 6);
			escape_text(t, v->text, v->text_length);
		}
	}
	if (separator == ' ') {
		t->length = begun;
		return false;
	}
	text_add(t, " ", 1);
	text_integer(t, r->time_ns);
	text_add(t, "\n", 1);
	return true;
}

/* ---------------------------------------------------------------- answers */

/* "partial write: field type conflict: … dropped=1": 1 */
static size_t dropped(const char *body)
{
	const char *at = strstr(body, "dropped=");
	long n = at ? strtol(at + 8, NULL, 10) : 0;

	return n > 0 ? (size_t)n : 0;
}

static void judge(struct destination *d, const struct http_answer *a, size_t range, struct judgement *ret)
{
	const struct influxdb *x = d->state;
	const struct influxdb_settings *s = x->settings;
	const char *url = s->http.url;

	if (sender_judge(a, url, ret))
		return;
	if (a->status >= 200 && a->status < 300)
		return;
	ret->verdict = VERDICT_HOLD;
	if (a->status == 401)
		judgement_say(ret, "%s does not accept the %s: %.100s", url, s->bucket[0] ? "token" :
			 s->user[0] ? "user or the password" : "request without a user", a->body);
	else if (a->status == 403)
		judgement_say(ret, "%s: the %s may not write to %.60s: %.80s", url, s->bucket[0] ? "token" : "user",
			 s->bucket[0] ? s->bucket : s->database, a->body);
	else if (a->status == 404 && s->bucket[0] && !strchr(a->body, '{'))
		judgement_say(ret, "%s has no /api/v2/write: an InfluxDB before 1.8, or a wrong url? With "
			 "database = instead of bucket = it is asked as version 1", url);
	else if (a->status == 404)
		judgement_say(ret, "%s does not know the %s %.60s: %.80s", url, s->bucket[0] ?
			 "organization or the bucket" : "database", s->bucket[0] ? s->bucket : s->database, a->body);
	else if (a->status == 422 || (a->status == 400 && strstr(a->body, "partial write")))
		ret->verdict = VERDICT_PARTIAL;
	else if (a->status == 400)
		ret->verdict = VERDICT_HALVE;
	else
		judgement_say(ret, "%s answers %ld: %.120s", url, a->status, a->body);
	if (ret->verdict == VERDICT_HOLD)
		return;
	ret->refused = range > 1 ? dropped(a->body) : 1;
	judgement_say(ret, "%ld %.200s", a->status, a->body);
}

/* ---------------------------------------------------------------- begin and end */

static int set_credentials(struct destination *d)
{
	struct influxdb *x = d->state;
	const struct influxdb_settings *s = x->settings;
	char *secret = NULL;
	int e;

	http_clear_headers(x->sender.http);
	e = http_add_header(x->sender.http, "Content-Type: text/plain; charset=utf-8");
	if (e == 0 && s->token_file[0]) {
		char line[SETTINGS_PASSWORD_MAX + 32];

		e = settings_secret(d->settings, "token_file", s->token_file, &secret);
		if (e == 0) {
			snprintf(line, sizeof(line), "Authorization: Token %s", secret);
			e = http_add_header(x->sender.http, line);
			explicit_bzero(line, sizeof(line));
		}
	} else if (e == 0 && s->user[0]) {
		e = settings_secret(d->settings, "password_file", s->password_file, &secret);
		if (e == 0)
			http_set_user(x->sender.http, s->user, secret);
	}
	settings_secret_free(secret);
	return e;
}

/* The owner may have put another token in its place. */
static void renew(struct destination *d)
{
	set_credentials(d);
}

static void set_path(struct influxdb *x)
{
	const struct influxdb_settings *s = x->settings;
	char *path = x->sender.path;

	if (s->bucket[0]) {
		strcpy(path, "/api/v2/write?precision=ns&org=");
		http_add_encoded(path, SENDER_PATH_MAX, s->org);
		strcat(path, "&bucket=");
		http_add_encoded(path, SENDER_PATH_MAX, s->bucket);
		return;
	}
	strcpy(path, "/write?precision=ns&db=");
	http_add_encoded(path, SENDER_PATH_MAX, s->database);
	if (s->retention_policy[0]) {
		strcat(path, "&rp=");
		http_add_encoded(path, SENDER_PATH_MAX, s->retention_policy);
	}
}
_Static_assert(3 * 2 * NAME_MAX_ + 64 < SENDER_PATH_MAX, "set_path() has room for two names, percent-encoded");

static int influxdb_open(struct destination *d)
{
	struct influxdb *x = calloc(1, sizeof(*x));
	int e;

	if (!x)
		return -ENOMEM;
	d->state = x;
	x->settings = d->settings->own;
	escape(&x->measurement, x->settings->measurement, ", \\");
	e = sender_open(&x->sender, d, &x->settings->http);
	if (e)
		return e;
	x->sender.judge = judge;
	x->sender.renew = renew;
	set_path(x);
	return set_credentials(d);
}

static enum destination_answer influxdb_add(struct destination *d, const struct record *r)
{
	struct influxdb *x = d->state;
	struct text *t = sender_begin(&x->sender);

	if (!t)
		return DESTINATION_FULL;
	if (!add_line(t, x, r))
		return DESTINATION_SKIPPED;
	sender_added(&x->sender);
	return DESTINATION_TAKEN;
}

static void influxdb_flush(struct destination *d)
{
	struct influxdb *x = d->state;

	sender_flush(&x->sender);
}

static size_t influxdb_stop(struct destination *d)
{
	struct influxdb *x = d->state;

	sender_flush(&x->sender);
	return sender_under_way(&x->sender);
}

static void influxdb_close(struct destination *d)
{
	struct influxdb *x = d->state;

	if (!x)
		return;
	sender_close(&x->sender);
	text_free(&x->measurement);
	free(x);
	d->state = NULL;
}

const struct destination_kind destination_influxdb = {
	.name = "influxdb",
	.records = 1 << RECORD_READING | 1 << RECORD_INFO,
	.keys = keys,
	.key_count = ARRAY_SIZE(keys),
	.settings_size = sizeof(struct influxdb_settings),
	.check = check,
	.open = influxdb_open,
	.add = influxdb_add,
	.flush = influxdb_flush,
	.stop = influxdb_stop,
	.close = influxdb_close,
};
