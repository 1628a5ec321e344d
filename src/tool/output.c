/* SPDX-License-Identifier: GPL-2.0-or-later */
/* output.c - what `suntap decode` prints: JSON, one object a line, or tables for people */
#include "tool/output.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "protocols/vocabulary.h"

/* Bytes of the valid UTF-8 sequence at p (RFC 3629), 0 if it is none. */
static size_t utf8(const unsigned char *p)
{
	static const struct { unsigned char low, high, second_low, second_high, length; } forms[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	if (*p < 0x80)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (*p < forms[i].low || *p > forms[i].high)
			continue;
		if (p[1] < forms[i].second_low || p[1] > forms[i].second_high)
			return 0;
		for (size_t k = 2; k < forms[i].length; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].length;
	}
	return 0;
}

void output_json_string(FILE *to, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	fputc('"', to);
	while (*p) {
		size_t n = utf8(p);

		if (!n) {
			fputs("\\ufffd", to);
			n = 1;
		} else if (*p == '"' || *p == '\\') {
			fprintf(to, "\\%c", *p);
		} else if (*p < 0x20 || *p == 0x7f) {
			fprintf(to, "\\u%04x", *p);
		} else {
			fwrite(p, 1, n, to);
		}
		p += n;
	}
	fputc('"', to);
}

static void key_text(const struct output *o, const char *key, const char *text)
{
	fprintf(o->to, ",\"%s\":", key);
	output_json_string(o->to, text);
}

static void start_object(const struct output *o, const char *type)
{
	fprintf(o->to, "{\"type\":\"%s\"", type);
	if (o->flow)
		key_text(o, "flow", o->flow);
}

static void end_object(const struct output *o)
{
	fputs("}\n", o->to);
}

/* ISO 8601; with milliseconds only where there are any. Empty for a moment that is no year of ours. */
static void format_time(const struct reading *r, char text[40])
{
	time_t seconds = (time_t)(r->time_ms / 1000);
	int ms = (int)(r->time_ms % 1000);
	struct tm tm;
	size_t n;

	*text = '\0';
	if (r->time_kind == TIME_NONE || !gmtime_r(&seconds, &tm) || tm.tm_year > 8099 || r->time_ms < 0)
		return;
	n = strftime(text, 40, r->whole_day ? "%Y-%m-%d" : "%Y-%m-%dT%H:%M:%S", &tm);
	if (r->whole_day)
		return;
	if (ms)
		n += (size_t)snprintf(text + n, 40 - n, ".%03d", ms);
	if (r->time_kind == TIME_IN_UTC)
		strcpy(text + n, "Z");
}

/* ------------------------------------------------ readings */
static void reading_json(const struct output *o, const struct reading *r)
{
	char text[40];

	start_object(o, r->info ? "info" : "reading");
	key_text(o, "protocol", r->protocol);
	if (*r->serial)
		key_text(o, "serial", r->serial);
	if (*r->logger)
		key_text(o, "logger", r->logger);
	format_time(r, text);
	if (*text)
		key_text(o, "time", text);
	if (r->historic)
		fputs(",\"historic\":true", o->to);
	if (r->repeat)
		fputs(",\"repeat\":true", o->to);
	if (r->model)
		key_text(o, "model", r->model);
	fputs(",\"values\":{", o->to);
	for (size_t i = 0; i < r->count; i++) {
		const struct value *v = &r->values[i];

		if (i)
			fputc(',', o->to);
		output_json_string(o->to, v->name);
		fputc(':', o->to);
		switch (v->type) {
		case VALUE_NUMBER:
			number_format(v->number, text);
			fputs(text, o->to);
			break;
		case VALUE_TEXT:
			output_json_string(o->to, v->text);
			break;
		}
	}
	fputc('}', o->to);
	end_object(o);
}

static void reading_table(const struct output *o, const struct reading *r)
{
	size_t name_width = 0, number_width = 0, n;
	char text[40];

	format_time(r, text);
	fprintf(o->to, "%s", r->protocol);
	if (r->model)
		fprintf(o->to, ", %s", r->model);
	if (*r->serial)
		fprintf(o->to, ", serial %s", r->serial);
	if (*r->logger)
		fprintf(o->to, ", logger %s", r->logger);
	if (*text)
		fprintf(o->to, ", %s%s", text, r->time_kind == TIME_LOCAL ? " local" : "");
	fprintf(o->to, "%s%s%s\n", r->historic ? ", stored" : "", r->repeat ? ", repeated" : "",
		r->info ? ", about the device" : "");
	if (o->flow)
		fprintf(o->to, "  %s\n", o->flow);
	for (size_t i = 0; i < r->count; i++) {
		n = strlen(r->values[i].name);
		name_width = n > name_width ? n : name_width;
		if (r->values[i].type == VALUE_NUMBER) {
			n = number_format(r->values[i].number, text);
			number_width = n > number_width ? n : number_width;
		}
	}
	for (size_t i = 0; i < r->count; i++) {
		const struct value *v = &r->values[i];

		switch (v->type) {
		case VALUE_NUMBER:
			number_format(v->number, text);
			n = strlen(vocabulary_unit(v->name)->symbol);
			fprintf(o->to, "  %-*s  %*s%s%s\n", (int)name_width, v->name, (int)number_width, text,
				n ? " " : "", vocabulary_unit(v->name)->symbol);
			break;
		case VALUE_TEXT:
			fprintf(o->to, "  %-*s  %s\n", (int)name_width, v->name, v->text);
			break;
		}
	}
	fputc('\n', o->to);
}

static void on_reading(void *ctx, const struct reading *r)
{
	struct output *o = ctx;

	o->decoded++;
	if (o->json)
		reading_json(o, r);
	else
		reading_table(o, r);
}

/* ------------------------------------------------ the rest */
static void on_frame(void *ctx, const struct frame_info *f)
{
	struct output *o = ctx;

	o->decoded += !f->error;
	if (!o->frames)
		return;
	if (!o->json) {
		fprintf(o->to, "frame %c %s%s%s", f->dir == DIR_DEVICE ? '>' : '<', f->carrier ? f->carrier : "",
			f->carrier ? " " : "", f->opcode);
		if (f->ctrl >= 0)
			fprintf(o->to, " ctrl 0x%02x", (unsigned int)f->ctrl);
		if (f->transaction >= 0)
			fprintf(o->to, " transaction %d", f->transaction);
		if (f->unit >= 0)
			fprintf(o->to, " unit %d", f->unit);
		if (f->function >= 0)
			fprintf(o->to, " function %d", f->function);
		fprintf(o->to, ", %zu bytes, %s%s%s\n", f->length, f->error ? "bad " : "ok",
			f->error ? f->error : "", f->known ? "" : ", of a type unknown");
		return;
	}
	start_object(o, "frame");
	key_text(o, "protocol", f->protocol);
	key_text(o, "dir", dir_name(f->dir));
	if (*f->opcode)
		key_text(o, "opcode", f->opcode);
	if (f->ctrl >= 0)
		fprintf(o->to, ",\"ctrl\":\"0x%02x\"", (unsigned int)f->ctrl);
	if (f->carrier)
		key_text(o, "carrier", f->carrier);
	if (f->transaction >= 0)
		fprintf(o->to, ",\"transaction\":%d", f->transaction);
	if (f->unit >= 0)
		fprintf(o->to, ",\"unit\":%d", f->unit);
	if (f->function >= 0)
		fprintf(o->to, ",\"function\":%d", f->function);
	fprintf(o->to, ",\"length\":%zu,\"ok\":%s", f->length, f->error ? "false" : "true");
	if (f->error)
		key_text(o, "error", f->error);
	if (!f->known)
		fputs(",\"known\":false", o->to);
	end_object(o);
}

static void bytes_line(const struct output *o, const char *type, enum dir dir, uint64_t length)
{
	if (!o->frames)
		return;
	if (!o->json) {
		fprintf(o->to, "%s %c %" PRIu64 " bytes\n", type, dir == DIR_DEVICE ? '>' : '<', length);
		return;
	}
	start_object(o, type);
	key_text(o, "dir", dir_name(dir));
	fprintf(o->to, ",\"length\":%" PRIu64, length);
	end_object(o);
}

static void on_skip(void *ctx, enum dir dir, uint64_t length)
{
	bytes_line(ctx, "skip", dir, length);
}

static void on_partial(void *ctx, enum dir dir, uint64_t length)
{
	bytes_line(ctx, "partial", dir, length);
}

static void on_note(void *ctx, enum dir dir, const char *key, const char *text)
{
	struct output *o = ctx;

	if (!o->json) {
		fprintf(o->to, "%s %c %s\n", key, dir == DIR_DEVICE ? '>' : '<', text);
		return;
	}
	start_object(o, "note");
	key_text(o, "dir", dir_name(dir));
	key_text(o, "key", key);
	key_text(o, "text", text);
	end_object(o);
}

static void on_verdict(void *ctx, enum session_verdict verdict, const char *text)
{
	static const char *const words[] = {
		[SESSION_KNOWN] = "known", [SESSION_TLS] = "tls", [SESSION_UNKNOWN] = "unknown",
	};
	struct output *o = ctx;

	if (o->json) {
		if (!o->frames)
			return;
		start_object(o, "verdict");
		key_text(o, "verdict", words[verdict]);
		key_text(o, "text", text);
		end_object(o);
		return;
	}
	switch (verdict) {
	case SESSION_KNOWN:
		break;
	case SESSION_TLS:
		fprintf(o->to, "%s%sTLS%s%s: encrypted, cannot be read\n", o->flow ? o->flow : "", o->flow ? ": " : "",
			*text ? " to " : "", text);
		break;
	case SESSION_UNKNOWN:
		fprintf(o->to, "%s%sno protocol known here%s%s%s\n", o->flow ? o->flow : "", o->flow ? ": " : "",
			*text ? " (looks like " : "", text, *text ? ")" : "");
		break;
	}
}

const struct session_events output_events = {
	.verdict = on_verdict,
	.frame = on_frame,
	.skip = on_skip,
	.partial = on_partial,
	.reading = on_reading,
	.note = on_note,
};
