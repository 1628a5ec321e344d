/* SPDX-License-Identifier: GPL-2.0-or-later */
/* journal.c - what the decoder has understood, as journal entries; see journal.h */
#include "decoder/journal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

#include "protocols/clock.h"
#include "shared/message_ids.h"

enum {
	FIELDS_MAX = READING_VALUES_MAX + 32,
	STORE = 64 * 1024,
	HEX_MOST = 2048,		/* bytes of an unknown frame that are shown */
};

#define HOUR_MS (INT64_C(3600) * 1000)

/* One entry while it is put together. There is one writer, so one store is enough. */
struct entry {
	struct iovec fields[FIELDS_MAX];
	int count;
	size_t used;
	char store[STORE];
};
static struct entry the_entry;

/* ---------------------------------------------------------------- putting an entry together */
static struct entry *begin(int priority, const char *message_id)
{
	struct entry *e = &the_entry;
	static const char ident[] = "SYSLOG_IDENTIFIER=suntap";

	e->count = 0;
	e->used = 0;
	e->fields[e->count++] = (struct iovec){ (void *)(uintptr_t)ident, sizeof(ident) - 1 };
	e->store[e->used++] = 'P';
	memcpy(e->store + e->used, "RIORITY=", 8);
	e->used += 8;
	e->store[e->used++] = (char)('0' + priority);
	e->fields[e->count++] = (struct iovec){ e->store, e->used };
	if (message_id) {
		size_t start = e->used;

		e->used += (size_t)snprintf(e->store + e->used, STORE - e->used, "MESSAGE_ID=%s", message_id);
		e->fields[e->count++] = (struct iovec){ e->store + start, e->used - start };
	}
	return e;
}

/* NAME=text; a field that finds no room is left out. Control characters can not come: sources are checked or formatted here. */
static void field(struct entry *e, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void field(struct entry *e, const char *name, const char *format, ...)
{
	size_t left = STORE - e->used, start = e->used;
	va_list args;
	int n, m;

	if (e->count == FIELDS_MAX)
		return;
	n = snprintf(e->store + start, left, "%s=", name);
	if (n < 0 || (size_t)n >= left)
		return;
	va_start(args, format);
	m = vsnprintf(e->store + start + n, left - (size_t)n, format, args);
	va_end(args);
	if (m < 0 || (size_t)m >= left - (size_t)n)
		return;
	e->fields[e->count++] = (struct iovec){ e->store + start, (size_t)(n + m) };
	e->used += (size_t)(n + m);
}

/* SOLAR_NAME=value, without printf(): this is the path of every measurement. */
static void value_field(struct entry *e, const struct value *v)
{
	size_t start = e->used, name = strlen(v->name), text = v->type == VALUE_TEXT ? strlen(v->text) : 24;
	char *p = e->store + start;

	if (e->count == FIELDS_MAX || name > 56 || STORE - start < name + text + 8)
		return;
	memcpy(p, "SOLAR_", 6);
	p += 6;
	for (size_t i = 0; i < name; i++)
		*p++ = (char)(v->name[i] >= 'a' && v->name[i] <= 'z' ? v->name[i] - 'a' + 'A' : v->name[i]);
	*p++ = '=';
	if (v->type == VALUE_TEXT) {
		memcpy(p, v->text, text);
		p += text;
	} else {
		p += number_format(v->number, p);
	}
	e->used = (size_t)(p - e->store);
	e->fields[e->count++] = (struct iovec){ e->store + start, e->used - start };
}

/* Bytes as hex; those from hidden_at on are shown as dashes. */
static void hex_field(struct entry *e, const char *name, const uint8_t *bytes, size_t length, size_t hidden_at,
		      size_t hidden_size)
{
	static const char digits[] = "0123456789abcdef";
	char hex[2 * HEX_MOST + 1];
	size_t shown = length < HEX_MOST ? length : HEX_MOST;

	for (size_t i = 0; i < shown; i++) {
		bool hidden = i >= hidden_at && i - hidden_at < hidden_size;

		hex[2 * i] = hidden ? '-' : digits[bytes[i] >> 4];
		hex[2 * i + 1] = hidden ? '-' : digits[bytes[i] & 15];
	}
	hex[2 * shown] = '\0';
	field(e, name, "%s", hex);
}

static int send_entry(struct entry *e)
{
	return sd_journal_sendv(e->fields, e->count);
}

static void flow_fields(struct entry *e, const struct flow_entry *flow)
{
	char text[FLOW_ADDRESS_TEXT];

	if (!flow)
		return;
	field(e, "SUNTAP_FLOW", "%" PRIu64, (uint64_t)flow->id);
	field(e, "SUNTAP_DEVICE", "%s", flow->name);
	field(e, "SUNTAP_PEER", "%s", flow_address_format(&flow->device, text));
	field(e, "SUNTAP_CLOUD", "%s", flow_address_format(&flow->cloud, text));
}

/* ms since 1970, as "2024-05-01T10:00:00Z" or, for a wall clock, without the Z */
static const char *format_time(int64_t ms, const char *zone, char buf[40])
{
	time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
	int rest = (int)(ms - (int64_t)seconds * 1000);
	struct tm tm;
	size_t n;

	if (!gmtime_r(&seconds, &tm))
		return "";
	n = strftime(buf, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	if (rest)
		snprintf(buf + n, 40 - n, ".%03d%s", rest, zone);
	else
		snprintf(buf + n, 40 - n, "%s", zone);
	return buf;
}

/* A wall clock of the device, taken for one in this machine's zone (the device hangs on the same house). */
static int64_t wall_to_utc(int64_t wall_ms)
{
	time_t wall = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (!gmtime_r(&wall, &tm))
		return wall_ms;
	tm.tm_isdst = -1;
	return (int64_t)mktime(&tm) * 1000 + wall_ms % 1000;
}

/* ms that a right clock of the reading's kind is ahead of UTC when it arrives */
static int64_t zone_of(const struct reading *r)
{
	time_t arrival = (time_t)(r->arrival_ns / NSEC_PER_SEC);
	struct tm tm;

	return r->time_kind == TIME_LOCAL && localtime_r(&arrival, &tm) ? tm.tm_gmtoff * INT64_C(1000) : 0;
}

/*
 * A clock that is right is believed as it is: a wall clock with the rules of this machine's zone, which know of
 * summer time (a record that was kept over the change would be an hour off by today's offset). Any other is put right.
 */
static int64_t measured_at(const struct reading *r, const char **ret_source)
{
	int64_t told = r->time_kind == TIME_LOCAL ? wall_to_utc(r->time_ms) : r->time_ms;
	int64_t apart = told - r->utc_ms;
	bool summer = r->time_kind == TIME_LOCAL && r->historic && (apart == HOUR_MS || apart == -HOUR_MS);

	*ret_source = "arrival";
	if (r->time_kind == TIME_NONE || (r->has_clock && !r->has_utc))
		return r->arrival_ns / NSEC_PER_MSEC;
	if (!r->has_clock || !apart || (summer && llabs(r->clock_offset_ms - zone_of(r)) <= CLOCK_NEAR_MS)) {
		*ret_source = r->time_kind == TIME_LOCAL ? "device-local" : "device";
		return told;
	}
	if (r->utc_ms != r->arrival_ns / NSEC_PER_MSEC)
		*ret_source = "corrected";
	return r->utc_ms;
}

/* ---------------------------------------------------------------- entries */
/* "roof: 165.8 W, 0.11 kWh today, 101.36 kWh in all" */
static void reading_sentence(const struct flow_entry *flow, const struct reading *r, char *buf, size_t size)
{
	static const struct {
		const char *name, *before, *after;
	} parts[] = {
		{ "ac_power", "", " W" }, { "pv_power", "PV ", " W" }, { "battery_power", "battery ", " W" },
		{ "battery_soc", "battery ", " %" }, { "grid_power", "grid ", " W" }, { "load_power", "load ", " W" },
		{ "energy_today", "", " kWh today" }, { "energy_total", "", " kWh in all" },
	};
	const char *who = r->serial[0] ? r->serial : r->logger[0] ? r->logger : flow ? flow->name : "?";
	size_t used, named = 0;

	used = (size_t)snprintf(buf, size, "%s%s%s%s:", flow ? flow->name : "", flow ? " " : "", who,
				r->historic ? " (stored)" : "");
	for (size_t i = 0; i < ARRAY_SIZE(parts) && used < size; i++) {
		const struct value *v = reading_find(r, parts[i].name);
		char number[32];

		if (!v || v->type != VALUE_NUMBER)
			continue;
		number_format(v->number, number);
		used += (size_t)snprintf(buf + used, size - used, "%s %s%s%s", named++ ? "," : "", parts[i].before, number,
					 parts[i].after);
	}
	if (!named && used < size)
		snprintf(buf + used, size - used, r->info ? " describes itself in %zu fields" : " %zu values", r->count);
}

int journal_reading(const struct flow_entry *flow, const struct reading *r)
{
	struct entry *e = begin(LOG_INFO, r->info ? MESSAGE_ID_INFO : MESSAGE_ID_READING);
	const char *source;
	int64_t utc = measured_at(r, &source);
	char text[256];

	reading_sentence(flow, r, text, sizeof(text));
	field(e, "MESSAGE", "%s", text);
	flow_fields(e, flow);
	field(e, "SUNTAP_PROTOCOL", "%s", r->protocol);
	if (r->serial[0])
		field(e, "SUNTAP_SERIAL", "%s", r->serial);
	if (r->logger[0])
		field(e, "SUNTAP_LOGGER", "%s", r->logger);
	if (r->model)
		field(e, "SUNTAP_MODEL", "%s", r->model);
	field(e, "SUNTAP_TIME", "%s", format_time(utc, "Z", text));
	field(e, "SUNTAP_TIME_SOURCE", "%s", source);
	if (r->time_kind != TIME_NONE)
		field(e, "SUNTAP_TIME_RAW", "%s", format_time(r->time_ms, r->time_kind == TIME_LOCAL ? "" : "Z", text));
	if (r->has_clock)
		field(e, "SUNTAP_CLOCK_OFFSET", "%.3f", (double)(r->clock_offset_ms - zone_of(r)) / 1000.0);
	if (r->historic)
		field(e, "SUNTAP_HISTORIC", "1");
	if (r->repeat)
		field(e, "SUNTAP_REPEAT", "1");
	for (size_t i = 0; i < r->count; i++)
		value_field(e, &r->values[i]);
	return send_entry(e);
}

int journal_flow_opened(const struct flow_entry *flow, bool routine)
{
	struct entry *e = begin(routine ? LOG_DEBUG : LOG_INFO, MESSAGE_ID_FLOW_OPENED);
	char from[FLOW_ADDRESS_TEXT], to[FLOW_ADDRESS_TEXT];

	field(e, "MESSAGE", "%s: flow from %s to %s opened", flow->name, flow_address_format(&flow->device, from),
	      flow_address_format(&flow->cloud, to));
	flow_fields(e, flow);
	return send_entry(e);
}

int journal_flow_closed(const struct flow_close *c, bool routine, const char *protocol, uint64_t lost, int64_t now)
{
	const struct flow_entry *flow = &c->flow;
	struct entry *e = begin(routine && !lost ? LOG_DEBUG : LOG_INFO, MESSAGE_ID_FLOW_CLOSED);
	char from[FLOW_ADDRESS_TEXT], to[FLOW_ADDRESS_TEXT];
	/* the clock may have been set back meanwhile */
	double duration = now > flow->opened ? (double)(now - flow->opened) / (double)NSEC_PER_SEC : 0;

	field(e, "MESSAGE", "%s: flow from %s to %s %s after %.1f s, %" PRIu64 " bytes from the device, %" PRIu64
	      " from the cloud", flow->name, flow_address_format(&flow->device, from), flow_address_format(&flow->cloud, to),
	      flow_end_text((enum flow_end)c->end), duration, flow->forwarded[DIR_DEVICE], flow->forwarded[DIR_CLOUD]);
	flow_fields(e, flow);
	field(e, "SUNTAP_BYTES_DEVICE", "%" PRIu64, flow->forwarded[DIR_DEVICE]);
	field(e, "SUNTAP_BYTES_CLOUD", "%" PRIu64, flow->forwarded[DIR_CLOUD]);
	field(e, "SUNTAP_DURATION", "%.3f", duration);
	field(e, "SUNTAP_END", "%s", flow_end_word((enum flow_end)c->end));
	if (lost)
		field(e, "SUNTAP_LOST", "%" PRIu64, lost);
	if (c->error)
		field(e, "ERRNO", "%d", c->error);
	if (protocol)
		field(e, "SUNTAP_PROTOCOL", "%s", protocol);
	return send_entry(e);
}

int journal_frame(const struct flow_entry *flow, const struct frame_info *f)
{
	struct entry *e = begin(LOG_NOTICE, f->error ? MESSAGE_ID_BAD_FRAME : MESSAGE_ID_UNKNOWN_FRAME);

	if (f->error)
		field(e, "MESSAGE", "%s: bad frame %s of %s from the %s: %s (%zu bytes; logged once for a flow)", flow->name,
		      f->opcode, f->protocol, dir_name(f->dir), f->error, f->size);
	else
		field(e, "MESSAGE", "%s: unknown frame %s of %s from the %s (%zu bytes; logged once for a flow)", flow->name,
		      f->opcode, f->protocol, dir_name(f->dir), f->size);
	flow_fields(e, flow);
	field(e, "SUNTAP_PROTOCOL", "%s", f->protocol);
	field(e, "SUNTAP_DIRECTION", "%s", dir_name(f->dir));
	field(e, "SUNTAP_OPCODE", "%s", f->opcode);
	if (f->error)
		field(e, "SUNTAP_ERROR", "%s", f->error);
	field(e, "SUNTAP_BYTES", "%zu", f->size);
	hex_field(e, "SUNTAP_HEX", f->bytes, f->size, f->private_at, f->private_size);
	return send_entry(e);
}

int journal_stream(const struct flow_entry *flow, const char *looks_like, const uint8_t *bytes, size_t length)
{
	struct entry *e = begin(LOG_NOTICE, MESSAGE_ID_UNKNOWN_FRAME);

	field(e, "MESSAGE", "%s: no protocol that suntap knows%s%s; the flow is relayed, not read", flow->name,
	      looks_like[0] ? ", it looks like " : "", looks_like);
	flow_fields(e, flow);
	if (looks_like[0])
		field(e, "SUNTAP_LOOKS_LIKE", "%s", looks_like);
	if (length)
		hex_field(e, "SUNTAP_HEX", bytes, length, 0, 0);
	return send_entry(e);
}

int journal_tls(const struct flow_entry *flow, const char *sni)
{
	struct entry *e = begin(LOG_NOTICE, MESSAGE_ID_TLS_SEEN);

	field(e, "MESSAGE", "%s: the device speaks TLS%s%s: relayed, not readable. Its firmware may have been changed.",
	      flow->name, sni[0] ? " to " : "", sni);
	flow_fields(e, flow);
	if (sni[0])
		field(e, "SUNTAP_SNI", "%s", sni);
	return send_entry(e);
}

int journal_encrypted(const struct flow_entry *flow, const char *protocol)
{
	struct entry *e = begin(LOG_NOTICE, MESSAGE_ID_ENCRYPTED);

	field(e, "MESSAGE", "%s: its logger's firmware encrypts what it sends%s%s: relayed, not readable", flow->name,
	      protocol ? " in " : "", protocol ? protocol : "");
	flow_fields(e, flow);
	if (protocol)
		field(e, "SUNTAP_PROTOCOL", "%s", protocol);
	return send_entry(e);
}

int journal_silent(const struct flow_entry *flow, int64_t seconds)
{
	struct entry *e = begin(LOG_NOTICE, MESSAGE_ID_SILENT);

	field(e, "MESSAGE", "%s: connected to its cloud, but has not said a byte for %" PRId64 " s", flow->name, seconds);
	flow_fields(e, flow);
	return send_entry(e);
}

int journal_gap(const struct flow_entry *flow, enum dir dir, uint64_t lost, uint64_t offset, uint64_t held_back)
{
	struct entry *e = begin(LOG_WARNING, MESSAGE_ID_GAP);

	field(e, "MESSAGE", "%s: the decoder missed %" PRIu64 " bytes from the %s (%" PRIu64
	      " such events before were not logged); the relay lost none", flow->name, lost, dir_name(dir), held_back);
	flow_fields(e, flow);
	field(e, "SUNTAP_DIRECTION", "%s", dir_name(dir));
	field(e, "SUNTAP_LOST", "%" PRIu64, lost);
	field(e, "SUNTAP_OFFSET", "%" PRIu64, offset);
	return send_entry(e);
}

int journal_lost_events(uint64_t lost)
{
	struct entry *e = begin(LOG_WARNING, MESSAGE_ID_GAP);

	field(e, "MESSAGE", "The decoder missed %" PRIu64 " opened or closed flows: the ring was full", lost);
	field(e, "SUNTAP_LOST_EVENTS", "%" PRIu64, lost);
	return send_entry(e);
}

int journal_command(const struct flow_entry *flow, const char *protocol, const char *key, const char *text)
{
	struct entry *e = begin(LOG_NOTICE, MESSAGE_ID_COMMAND);

	field(e, "MESSAGE", "%s: %s: %s", flow->name, key, text);
	flow_fields(e, flow);
	if (protocol)
		field(e, "SUNTAP_PROTOCOL", "%s", protocol);
	field(e, "SUNTAP_COMMAND", "%s", text);
	return send_entry(e);
}

int journal_say(int priority, const char *text)
{
	struct entry *e = begin(priority, NULL);

	field(e, "MESSAGE", "%s", text);
	return send_entry(e);
}

/* ---------------------------------------------------------------- is it there? */
bool journal_is_there(struct journal *j)
{
	static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };

	return connect(j->probe, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

int journal_open(struct journal *j)
{
	*j = (struct journal){ .probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
	if (j->probe < 0)
		return -errno;
	tzset();	/* reads the zone's file now, as later it can not */
	/* libsystemd opens its socket with the first entry; that nobody may be there yet is dealt with later */
	journal_say(LOG_DEBUG, "The decoder starts");
	return 0;
}
