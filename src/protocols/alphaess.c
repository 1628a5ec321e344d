/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * alphaess.c - AlphaESS storage systems to their cloud (port 7777)
 *
 *	0	01
 *	1	01 request or push, 02 response; either side sends both
 *	2	command
 *	3	L, length of the data, big-endian
 *	7	data: a flat JSON object, or CSV (alphaess_body.c)
 *	7+L	CRC-16/MODBUS of all before, big-endian
 *
 * The battery comes back without a login after a break, so nothing waits for one. What it sends twice
 * (the same status 10 s later, the same minute when the cloud asks again) is told once: same serial,
 * same time, same kind of record. Times are the battery's wall clock.
 *
 * Login and configuration hold a password, names and addresses: their bytes are marked as private, and
 * of a login only a user name that is the battery's own serial is told.
 *
 * Sources: tidalvirus/alphaess-server, 230delphi/alphaess-to-mqtt; what was captured is in tests/vectors/alphaess.
 */
#include <string.h>

#include "protocols/alphaess_body.h"
#include "protocols/modbus.h"
#include "protocols/protocol.h"
#include "protocols/reading_fill.h"

enum {
	HEAD = 7,
	TAIL = 2,
	DATA_MAX = 16384,
	LOOK = HEAD + 1,	/* a header is recognised with the first byte of its data */
	EVENTS_MAX = 64,	/* the battery sends up to 16 */
	STORE = 4096,
	TEXT_MAX = 2049,

	TYPE_REQUEST = 1, TYPE_RESPONSE = 2,

	COMMAND_READY = 0x00, COMMAND_LOGIN = 0x02, COMMAND_GET_SETTINGS = 0x03, COMMAND_PUT_SETTINGS = 0x04,
	COMMAND_DUMP = 0x05, COMMAND_CLOUD = 0x08, COMMAND_MESSAGE = 0x09, COMMAND_STORED = 0x0c,
	COMMAND_STATUS = 0x10,
};

enum { SCAN_START, SCAN_IN_STEP, SCAN_LOST };

struct alphaess {
	char serial[READING_ID_MAX];	/* as last told by this flow */
	char store[STORE];		/* texts of the record in hand */
	size_t stored;
};

/* ------------------------------------------------ framing */
static bool command_known(uint8_t c)
{
	switch (c) {
	case COMMAND_READY: case COMMAND_LOGIN: case COMMAND_GET_SETTINGS: case COMMAND_PUT_SETTINGS:
	case COMMAND_DUMP: case COMMAND_CLOUD: case COMMAND_MESSAGE: case COMMAND_STORED: case COMMAND_STATUS:
		return true;
	default:
		return false;
	}
}

enum looks { LOOKS_NO, LOOKS_MORE, LOOKS_YES };

/* Type and length, common to all that follows. */
static enum looks header_looks(const uint8_t *p, size_t n)
{
	if (p[0] != 1 || (n > 1 && p[1] != TYPE_REQUEST && p[1] != TYPE_RESPONSE) || (n > 3 && p[3]) ||
	    (n > 4 && p[4]) || (n > 5 && p[5] > DATA_MAX >> 8) || (n >= HEAD && be32(p + 3) > DATA_MAX))
		return LOOKS_NO;
	return n < HEAD ? LOOKS_MORE : LOOKS_YES;
}

/* Section 2: what a header has to be where the stream is out of step. */
static enum looks plausible(const uint8_t *p, size_t n)
{
	enum looks l = header_looks(p, n);

	if (l == LOOKS_NO || (n > 2 && !command_known(p[2])))
		return LOOKS_NO;
	if (l == LOOKS_MORE || !be32(p + 3))
		return l;
	if (n < LOOK)
		return LOOKS_MORE;
	return p[HEAD] == '{' || (p[HEAD] == 'D' && p[2] == COMMAND_STORED) ? LOOKS_YES : LOOKS_NO;
}

/* In step a command may be a new one; what it carries is text all the same. */
static enum looks possible(const uint8_t *p, size_t n)
{
	enum looks l = header_looks(p, n);

	if (l != LOOKS_YES || !be32(p + 3))
		return l;
	if (n < LOOK)
		return LOOKS_MORE;
	return p[HEAD] >= ' ' && p[HEAD] <= '~' ? LOOKS_YES : LOOKS_NO;
}

/*
 * The CRC is wrong: a byte may have changed on the way, or the length is wrong and frames that are good
 * lie inside. With a header behind it, all of it is the bad frame, else it ends where a header stands.
 */
static struct framed bad_frame(const uint8_t *p, size_t length, size_t whole)
{
	if (whole < length && plausible(p + whole, length - whole) != LOOKS_NO)
		return (struct framed){ FRAMING_BAD, whole, "checksum" };
	for (size_t i = HEAD; i < whole; i++)
		if (plausible(p + i, length - i) != LOOKS_NO)
			return (struct framed){ FRAMING_BAD, i, "checksum" };
	return (struct framed){ FRAMING_BAD, whole, "checksum" };
}

static struct framed alphaess_frame(struct scan *scan, const uint8_t *p, size_t length)
{
	bool in_step = scan->state == SCAN_IN_STEP || (scan->state == SCAN_START && !scan->lost);
	enum looks sure = plausible(p, length), l = sure;
	const uint8_t *start;
	size_t whole;

	if (l == LOOKS_NO && in_step)
		l = possible(p, length);
	if (l == LOOKS_MORE)
		return (struct framed){ FRAMING_MORE, length + 1, NULL };
	if (l == LOOKS_YES) {
		whole = HEAD + be32(p + 3) + TAIL;
		if (length < whole)
			return (struct framed){ FRAMING_MORE, whole, NULL };
		if (modbus_crc(p, whole - TAIL) == be16(p + whole - TAIL)) {
			scan->state = SCAN_IN_STEP;
			return (struct framed){ FRAMING_GOOD, whole, NULL };
		}
		scan->state = SCAN_LOST;
		if (sure == LOOKS_YES)
			return bad_frame(p, length, whole);
	}
	scan->state = SCAN_LOST;
	start = length > 1 ? memchr(p + 1, 1, length - 1) : NULL;
	return (struct framed){ FRAMING_SKIP, start ? (size_t)(start - p) : length, NULL };
}

static enum probe_answer alphaess_probe(const uint8_t *p, size_t length, bool at_start)
{
	static const uint8_t ready[] = { 1, 1, 0, 0, 0, 0, 0, 0x11, 0x0a };
	static const char csv[] = "Date,Time,SN";
	size_t n;

	(void)at_start;
	if (header_looks(p, length) == LOOKS_NO || (length > 2 && p[2] > COMMAND_STATUS))
		return PROBE_NO;
	if (length < LOOK)
		return PROBE_MORE;
	if (!be32(p + 3)) {
		n = length < sizeof(ready) ? length : sizeof(ready);
		return memcmp(p, ready, n) ? PROBE_NO : n == sizeof(ready) ? PROBE_YES : PROBE_MORE;
	}
	if (p[2] == COMMAND_STORED && p[HEAD] == 'D') {
		n = length - HEAD < sizeof(csv) - 1 ? length - HEAD : sizeof(csv) - 1;
		return memcmp(p + HEAD, csv, n) ? PROBE_NO : n == sizeof(csv) - 1 ? PROBE_YES : PROBE_MORE;
	}
	return p[HEAD] == '{' ? PROBE_YES : PROBE_NO;
}

/* ------------------------------------------------ texts and times */
static bool key_is(const struct body_value *v, const char *key)
{
	return v->key_length == strlen(key) && !memcmp(v->key, key, v->key_length);
}

/* Of two the first counts; what is too long is not taken. */
static void copy_text(const struct body_value *v, char *out, size_t room)
{
	if (*out || v->length >= room)
		return;
	text_clean(out, room, v->text, v->length);
}

/* digits of "0000/00/00 00:00:00", or of the same with a year of two. */
static bool parse_time(const char *text, int64_t *ret)
{
	unsigned int t[6] = { 0 };
	size_t n = strlen(text);
	const char *shape = n == 17 ? "00/00/00 00:00:00" : "0000/00/00 00:00:00";
	size_t part = 0;

	if (n != strlen(shape))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (shape[i] != '0') {
			if (text[i] != shape[i])
				return false;
			part++;
			continue;
		}
		if (text[i] < '0' || text[i] > '9')
			return false;
		t[part] = t[part] * 10 + (unsigned int)(text[i] - '0');
	}
	if (n == 17)
		t[0] += 2000;
	return map_wall_seconds(t, ret);
}

/* ------------------------------------------------ records */
struct record {
	struct decoder *d;
	struct alphaess *a;
	const struct map *m;
	char sn[READING_ID_MAX], date[16], time[32];
};

static void take_value(void *ctx, const struct body_value *v)
{
	struct record *rec = ctx;
	struct alphaess *a = rec->a;
	struct map_item item;

	if (key_is(v, "SN"))
		copy_text(v, rec->sn, sizeof(rec->sn));
	else if (key_is(v, "Time"))
		copy_text(v, rec->time, sizeof(rec->time));
	else if (key_is(v, "Date"))
		copy_text(v, rec->date, sizeof(rec->date));
	if (!rec->m || v->length > sizeof(a->store) - a->stored)
		return;
	memcpy(a->store + a->stored, v->text, v->length);
	item = map_item_of_text((const uint8_t *)a->store + a->stored, v->length);
	if (map_word(rec->m, &rec->d->k->work, v->key, v->key_length, &item))
		a->stored += v->length;
}

static void start_record(struct record *rec, struct decoder *d, uint8_t command, size_t length)
{
	struct alphaess *a = d->state;

	*rec = (struct record){ .d = d, .a = a };
	a->stored = 0;
	rec->m = knowledge_record_map(d->k, d->protocol->name, "layout", command, length);
	if (rec->m)
		map_items_start(rec->m, &d->k->work);
}

/* The wall clock's seconds serve as the number of the record, its kind as the power-on. */
static bool seen(struct device *device, uint32_t kind, int64_t seconds)
{
	return device_record_seen(device, (uint32_t)seconds ^ kind << 6, (int64_t)kind * 1000);
}

static void finish_record(struct record *rec, uint8_t command)
{
	struct decoder *d = rec->d;
	struct map_work *w = &d->k->work;
	struct device *device = NULL;
	struct reading *r;
	bool settings = command == COMMAND_GET_SETTINGS || command == COMMAND_PUT_SETTINGS, has_time;
	char text[sizeof(rec->date) + sizeof(rec->time)];
	int64_t seconds;

	if (*rec->sn)
		memcpy(rec->a->serial, rec->sn, sizeof(rec->sn));
	if (*rec->date)
		snprintf(text, sizeof(text), "%s %s", rec->date, rec->time);
	else
		snprintf(text, sizeof(text), "%s", rec->time);
	has_time = !settings && parse_time(text, &seconds);
	if (*rec->a->serial)
		device = knowledge_device(d->k, rec->a->serial);
	if (has_time && device && seen(device, command, seconds)) {
		decoder_note(d, DIR_DEVICE, "duplicate", "%s local", text);
		return;
	}
	r = decoder_reading(d, "");
	w->measurements = 0;
	w->unread_count = 0;
	if (rec->m) {
		w->totals = device ? device_totals(device, rec->m) : NULL;
		map_decode_items(rec->m, w, r);
		r->model = r->model ? r->model : rec->m->model;
	}
	if (!*r->serial)
		memcpy(r->serial, rec->a->serial, sizeof(r->serial));
	if (has_time) {
		r->time_kind = TIME_LOCAL;
		r->time_ms = seconds * 1000;
	}
	r->historic = command == COMMAND_STORED;
	r->info = settings || !w->measurements;
	if (w->unread_count)
		decoder_note(d, DIR_DEVICE, "error", "field");
	if (!r->count) {
		if (!settings)
			decoder_note(d, DIR_DEVICE, "error", "layout");
		return;
	}
	if (!has_time && !settings)
		decoder_note(d, DIR_DEVICE, "time", "arrival");
	decoder_publish(d, r);
}

static void json_record(struct decoder *d, enum dir dir, uint8_t command, const uint8_t *data, size_t n)
{
	struct record rec;

	start_record(&rec, d, command, n);
	if (!body_json(data, n, take_value, &rec)) {
		decoder_note(d, dir, "error", "body");
		return;
	}
	finish_record(&rec, command);
}

static void stored_records(struct decoder *d, const uint8_t *data, size_t n)
{
	struct body_csv csv;
	struct record rec;
	int r;

	if (!body_csv_start(&csv, data, n)) {
		decoder_note(d, DIR_DEVICE, "error", "body");
		return;
	}
	for (;;) {
		start_record(&rec, d, COMMAND_STORED, n);
		r = body_csv_row(&csv, take_value, &rec);
		if (!r)
			return;
		if (r < 0)
			decoder_note(d, DIR_DEVICE, "error", "layout");
		else
			finish_record(&rec, COMMAND_STORED);
	}
}

/* ------------------------------------------------ the other messages */
struct message {
	char sn[READING_ID_MAX], user[READING_ID_MAX];
	char type[32], content[TEXT_MAX];
	char command[64], index[32], parameter1[64], parameter2[64], status[64];
};

static void take_message(void *ctx, const struct body_value *v)
{
	struct message *m = ctx;
	const struct {
		const char *key;
		char *out;
		size_t room;
	} texts[] = {
		{ "SN", m->sn, sizeof(m->sn) },
		{ "UserName", m->user, sizeof(m->user) },
		{ "MsgType", m->type, sizeof(m->type) },
		{ "MsgContent", m->content, sizeof(m->content) },
		{ "Command", m->command, sizeof(m->command) },
		{ "CmdIndex", m->index, sizeof(m->index) },
		{ "Parameter1", m->parameter1, sizeof(m->parameter1) },
		{ "Parameter2", m->parameter2, sizeof(m->parameter2) },
		{ "Status", m->status, sizeof(m->status) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (key_is(v, texts[i].key))
			copy_text(v, texts[i].out, texts[i].room);
}

/* A user may have been given any name; only the battery's number is nobody's secret. */
static bool is_serial(const char *text)
{
	return strlen(text) == 15 && text[0] == 'A' && text[1] == 'L' &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == 15;
}

static void login(struct decoder *d, struct alphaess *a, const struct message *m)
{
	struct reading *r;

	if (!is_serial(m->user))
		return;
	memcpy(a->serial, m->user, sizeof(a->serial));
	r = decoder_reading(d, m->user);
	memcpy(r->serial, m->user, sizeof(r->serial));
	r->info = true;
	decoder_publish(d, r);
}

static void event(struct decoder *d, const struct alphaess *a, const char *entry, size_t length)
{
	char text[32];
	const char *code = text + 18;
	struct device *device = NULL;
	struct reading *r;
	int64_t seconds;
	uint32_t number = 0;

	/* YY/MM/DD hh:mm:ss CODE */
	if (length < 19 || length > 27 || entry[17] != ' ') {
		decoder_note(d, DIR_DEVICE, "error", "field");
		return;
	}
	memcpy(text, entry, length);
	text[length] = '\0';
	text[17] = '\0';
	if (!parse_time(text, &seconds) || strspn(code, "0123456789") != length - 18) {
		decoder_note(d, DIR_DEVICE, "error", "field");
		return;
	}
	for (const char *p = code; *p; p++)
		number = number * 10 + (uint32_t)(*p - '0');
	if (*a->serial)
		device = knowledge_device(d->k, a->serial);
	if (device && seen(device, 256 + number % 65536, seconds)) {
		decoder_note(d, DIR_DEVICE, "duplicate", "%s event %u", text, number);
		return;
	}
	r = decoder_reading(d, "");
	memcpy(r->serial, a->serial, sizeof(r->serial));
	r->historic = true;
	r->time_kind = TIME_LOCAL;
	r->time_ms = seconds * 1000;
	reading_add_integer(r, "event_code", number);
	decoder_publish(d, r);
}

static void event_log(struct decoder *d, const struct alphaess *a, const char *text)
{
	for (int i = 0; i < EVENTS_MAX; i++) {
		size_t n;

		text += strspn(text, "; ");
		n = strcspn(text, ";");
		if (!n)
			return;
		event(d, a, text, n);
		text += n;
	}
}

static void notice(struct decoder *d, const struct alphaess *a, struct message *m)
{
	char *address;

	if (!strcmp(m->type, "EventLog")) {
		event_log(d, a, m->content);
		return;
	}
	/* "System is restart, reason:1 0 1 0 0 0!MAC:…!" */
	address = strstr(m->content, "MAC:");
	if (address)
		*address = '\0';
	decoder_note(d, DIR_DEVICE, "message_type", "%s", m->type);
	if (*m->content)
		decoder_note(d, DIR_DEVICE, "text", "%s", m->content);
}

static void cloud_command(struct decoder *d, enum dir dir, const struct message *m)
{
	const struct {
		const char *key, *text;
	} notes[] = {
		{ "command", m->command }, { "command_index", m->index }, { "parameter1", m->parameter1 },
		{ "parameter2", m->parameter2 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(notes); i++)
		if (*notes[i].text)
			decoder_note(d, dir, notes[i].key, "%s", notes[i].text);
}

static void other_message(struct decoder *d, enum dir dir, uint8_t type, uint8_t command, const uint8_t *data,
			  size_t n)
{
	struct alphaess *a = d->state;
	struct message m;

	memset(&m, 0, sizeof(m));
	if (!n)
		return;
	if (!body_json(data, n, take_message, &m)) {
		decoder_note(d, dir, "error", "body");
		return;
	}
	if (type == TYPE_RESPONSE) {
		if (*m.status && strcmp(m.status, "Success"))
			decoder_note(d, dir, "status", "%s", m.status);
		else if (command == COMMAND_CLOUD && dir == DIR_DEVICE)
			decoder_note(d, dir, "ack", "%s %s", m.command, m.index);
		return;
	}
	if (dir == DIR_DEVICE && *m.sn)
		memcpy(a->serial, m.sn, sizeof(a->serial));
	if (dir == DIR_CLOUD) {
		if (command == COMMAND_CLOUD)
			cloud_command(d, dir, &m);
	} else if (command == COMMAND_LOGIN) {
		login(d, a, &m);
	} else if (command == COMMAND_MESSAGE) {
		notice(d, a, &m);
	}
}

static void message(struct decoder *d, enum dir dir, uint8_t type, uint8_t command, const uint8_t *data, size_t n)
{
	bool push = type == TYPE_REQUEST && dir == DIR_DEVICE;

	if (push && (command == COMMAND_STATUS || command == COMMAND_DUMP || command == COMMAND_PUT_SETTINGS))
		json_record(d, dir, command, data, n);
	else if (type == TYPE_RESPONSE && dir == DIR_CLOUD && command == COMMAND_GET_SETTINGS)
		json_record(d, dir, command, data, n);
	else if (push && command == COMMAND_STORED)
		stored_records(d, data, n);
	else
		other_message(d, dir, type, command, data, n);
}

static bool message_known(enum dir dir, uint8_t type, uint8_t command)
{
	/* Only commands go from the cloud to the device; each side answers what the other sends. */
	enum dir asks = command == COMMAND_CLOUD ? DIR_CLOUD : DIR_DEVICE;

	return command_known(command) && (type == TYPE_REQUEST) == (dir == asks);
}

static bool is_private(const struct frame_info *info, uint8_t command)
{
	/* Of a bad frame, also the command may be wrong. */
	return info->error || command == COMMAND_LOGIN || command == COMMAND_GET_SETTINGS ||
	       command == COMMAND_PUT_SETTINGS || memmem(info->bytes, info->size, "assword", 7) ||
	       memmem(info->bytes, info->size, "MAC:", 4);
}

static void alphaess_decode(struct decoder *d, enum dir dir, const uint8_t *frame, size_t size, const char *error)
{
	struct frame_info info = decoder_frame_info(d, dir, frame, size, error);
	uint8_t type = frame[1], command = frame[2];

	opcode_hex(info.opcode, be32(frame) >> 8, 6);
	info.length = HEAD + be32(frame + 3) + TAIL;
	info.known = message_known(dir, type, command);
	if (is_private(&info, command) && size > HEAD) {
		info.private_at = HEAD;
		info.private_size = size - HEAD;
	}
	decoder_frame(d, &info);
	if (!error)
		message(d, dir, type, command, frame + HEAD, size - HEAD - TAIL);
}

const struct protocol protocol_alphaess = {
	.name = "alphaess",
	.likely = HEAD,
	.frame_max = HEAD + DATA_MAX + TAIL,
	.state_size = sizeof(struct alphaess),
	.probe = alphaess_probe,
	.frame = alphaess_frame,
	.decode = alphaess_decode,
};
