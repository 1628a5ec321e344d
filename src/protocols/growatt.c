/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * growatt.c - Growatt's loggers (ShineWiFi, ShineLAN, ShineLink, ShineMaster) to their cloud, port 5279
 *
 *	 0  sequence number
 *	 2  00
 *	 3  version: 00, 02 plain; 05, 06, 07 masked and with a checksum
 *	 4  L, bytes from here to the end of the body, big-endian
 *	 6  unit: 01; 50 … the sticks of a ShineLink; 24 a ShineMaster
 *	 7  function
 *	 8  body (L - 2), in 05 and later XORed with "Growatt" repeated
 *	    CRC-16 of Modbus over all before it as it is sent, high byte first (05 and later)
 *
 * The body begins with the logger's serial, in most records the inverter's follows: 10 bytes each, in 06
 * and 07 30. Records of registers tell themselves which they carry, so the map is chosen by these groups.
 *
 * Staying in step: there is no mark at a frame's beginning, and a sequence number 0002 or 0005 makes two
 * bytes before a header look like one. So where nothing good was seen yet (START) or after something
 * odd (SEARCH) the body has to begin with a serial; in SYNC a length is believed even if the checksum is
 * wrong, as some loggers get it wrong always.
 *
 * Sources: johanmeijer/grott, sciurius/Growatt-WiFi-Tools, vnbaaij/GrowattMonitor, Resident-X/go-grott, robertzaage/GroBro
 * (version 07) and others; what was captured is in tests/vectors/growatt.
 */
#include "protocols/growatt.h"

#include <string.h>
#include <time.h>

#include "protocols/modbus.h"
#include "protocols/reading_fill.h"

enum { START, SYNC, SEARCH };		/* scan.state */

struct growatt {
	bool encrypted;			/* was told */
	uint8_t body[GROWATT_BODY_MAX];	/* of the frame in hand, without its mask */
};

/* ------------------------------------------------ framing */
static bool version_known(uint8_t v)
{
	return v == 0 || v == 2 || (v >= 5 && v <= 7);
}

static bool has_checksum(uint8_t version)
{
	return version >= 5;
}

static bool unit_known(uint8_t u)
{
	return u == 0x01 || u == 0x24 || (u >= 0x50 && u <= 0x5f);
}

static bool function_known(uint8_t f)
{
	static const uint8_t known[] = {
		FN_ANNOUNCE, FN_DATA, FN_READ, FN_WRITE, FN_WRITE_MANY, FN_PING, FN_SET, FN_GET, FN_METER_TEXT,
		FN_METER, FN_SETTINGS, FN_KEY, FN_STORED,
		0x14, 0x1a, 0x1e, 0x22, 0x24, 0x25, 0x26, 0x33, 0x34, 0x37, 0x38,	/* by name only */
	};

	return memchr(known, f, sizeof(known));
}

static uint8_t unmasked(uint8_t version, uint8_t byte, size_t i)
{
	return has_checksum(version) ? byte ^ (uint8_t)"Growatt"[i % 7] : byte;
}

static bool serial_character(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
}

/* Of a frame whose first 18 bytes (9 where L is 3) are there. */
static bool serial_like(const uint8_t *p)
{
	size_t l = be16(p + 4);

	if (l == 3)
		return !unmasked(p[3], p[8], 0);
	if (l < 2 + GROWATT_ID)
		return false;
	for (size_t i = 0; i < GROWATT_ID; i++)
		if (!serial_character(unmasked(p[3], p[8 + i], i)))
			return false;
	return true;
}

static bool header_plausible(const uint8_t *p, size_t length, bool in_sync)
{
	size_t l = length > 5 ? be16(p + 4) : 2;

	if ((length > 2 && p[2]) || (length > 3 && !version_known(p[3])) || l < 2 || l > GROWATT_LENGTH_MAX)
		return false;
	return in_sync || ((length <= 6 || unit_known(p[6])) && (length <= 7 || function_known(p[7])));
}

static size_t frame_size(const uint8_t *p)
{
	return 6u + be16(p + 4) + (has_checksum(p[3]) ? 2u : 0u);
}

static bool checksum_good(const uint8_t *p, size_t size)
{
	return modbus_crc(p, size - 2) == be16(p + size - 2);
}

/* To the next byte that may begin a header. */
static struct framed skip(struct scan *scan, const uint8_t *p, size_t length)
{
	size_t n = 1;

	scan->state = SEARCH;
	while (n + 3 < length && (p[n + 2] || !version_known(p[n + 3])))
		n++;
	return (struct framed){ FRAMING_SKIP, n, NULL };
}

static struct framed growatt_frame(struct scan *scan, const uint8_t *p, size_t length)
{
	size_t size, need;

	if (scan->lost) {
		scan->lost = false;
		scan->state = SEARCH;
	}
	if (!header_plausible(p, length, scan->state == SYNC))
		return skip(scan, p, length);
	if (length < GROWATT_HEAD)
		return (struct framed){ FRAMING_MORE, GROWATT_HEAD, NULL };
	size = frame_size(p);
	if (scan->state == SEARCH || (scan->state == START && !has_checksum(p[3]))) {
		need = be16(p + 4) == 3 ? 9 : GROWATT_HEAD + GROWATT_ID;
		if (need > size)
			return skip(scan, p, length);
		if (length < need)
			return (struct framed){ FRAMING_MORE, need, NULL };
		if (!serial_like(p))
			return skip(scan, p, length);
	}
	if (length < size)
		return (struct framed){ FRAMING_MORE, size, NULL };
	if (!has_checksum(p[3]) || checksum_good(p, size)) {
		scan->state = SYNC;
		return (struct framed){ FRAMING_GOOD, size, NULL };
	}
	if (scan->state == SYNC || (scan->state == START && serial_like(p))) {
		scan->state = SYNC;
		return (struct framed){ FRAMING_BAD, size, "checksum" };
	}
	return skip(scan, p, length);
}

/*
 * Without a checksum a header and ten letters are found in the flows of others too (the id of TSUN's
 * frames), so in the middle of a flow the body has to have the form of its function.
 */
static bool form_fits(const uint8_t *p)
{
	const uint8_t *body = p + GROWATT_HEAD;
	size_t n = be16(p + 4) - 2u;

	switch (p[7]) {
	case FN_ANNOUNCE: case FN_DATA: case FN_STORED:
		for (size_t i = GROWATT_ID; i < 2 * (size_t)GROWATT_ID; i++)
			if (i >= n || !serial_character(body[i]))
				return false;
		return true;
	case FN_PING:
		return n == 10;
	case FN_READ: case FN_WRITE_MANY:
		return n >= 14 && be16(body + 12) >= be16(body + 10);
	case FN_WRITE:
		return n == 14 || n == 15;
	case FN_SET: case FN_GET:
		return n == 13 || (n >= 14 && (n == 14 || be16(body + 12) == n - 14));
	default:
		return false;
	}
}

/* The answer to a Modbus/TCP read looks like version 00: a count of bytes where the serial begins. */
static bool is_modbus_tcp(const uint8_t *p)
{
	return !p[3] && (p[7] == 3 || p[7] == 4) && p[8] == be16(p + 4) - 3;
}

static enum probe_answer growatt_probe(const uint8_t *p, size_t length, bool at_start)
{
	struct scan scan = { .lost = !at_start };
	struct framed f;

	/* asked at every position of a stream that nobody knows: no search from each of them */
	if (!header_plausible(p, length, false))
		return PROBE_NO;
	if (length < 4)
		return PROBE_MORE;
	f = growatt_frame(&scan, p, length);
	if (f.what == FRAMING_SKIP)
		return PROBE_NO;
	if (length < GROWATT_HEAD + 1u)
		return PROBE_MORE;
	/* An acknowledgement says too little; with a checksum it is enough. */
	if (!has_checksum(p[3]) && (be16(p + 4) == 3 || is_modbus_tcp(p)))
		return at_start && p[3] && be16(p + 4) == 3 ? PROBE_YES : PROBE_NO;
	if (f.what == FRAMING_MORE)
		return at_start && length >= GROWATT_HEAD + GROWATT_ID && serial_like(p) ? PROBE_YES : PROBE_MORE;
	return at_start || has_checksum(p[3]) || form_fits(p) ? PROBE_YES : PROBE_NO;
}

/* ------------------------------------------------ readings */
/* Year - 2000, month, day, hour, minute, second of the logger's wall clock. */
static void set_time(struct reading *r, const uint8_t *p)
{
	struct tm tm = { .tm_year = 100 + p[0], .tm_mon = p[1] - 1, .tm_mday = p[2], .tm_hour = p[3],
			 .tm_min = p[4], .tm_sec = p[5] };
	time_t t;

	if (p[0] > 99 || p[1] < 1 || p[1] > 12 || p[2] < 1 || p[3] > 23 || p[4] > 59 || p[5] > 59)
		return;
	t = timegm(&tm);
	if (tm.tm_mday != p[2])		/* 31 April */
		return;
	r->time_kind = TIME_LOCAL;
	r->time_ms = (int64_t)t * 1000;
}

/* A serial that is one, or none at all. */
static bool id_good(const uint8_t *p, size_t length)
{
	for (size_t i = 0; i < length && p[i]; i++)
		if (p[i] < ' ' || p[i] > '~')
			return false;
	return true;
}

/* What was not acknowledged in time comes again, to the byte. Without a time two records can be alike. */
static bool seen_before(struct device *d, const struct reading *r, uint8_t function, const uint8_t *body, size_t n)
{
	uint32_t h = 2166136261u ^ function;

	if (r->time_kind == TIME_NONE)
		return false;
	for (size_t i = 0; i < n; i++)
		h = (h ^ body[i]) * 16777619u;
	return device_record_seen(d, h, 0);
}

/* A record's place in the body, its map, and the reading that is made of it. */
struct record {
	uint8_t function;
	size_t id;			/* width of a serial */
	const uint8_t *body;
	size_t n;
	struct device *device;
	struct reading *r;
	const struct map *map;
};

/* Serials, time and device; false: they are none. serials: 1 the logger's, 2 the inverter's too. */
static bool record_start(struct decoder *d, struct record *rec, size_t serials, size_t time_at)
{
	const uint8_t *second = rec->body + rec->id;
	char key[READING_ID_MAX];
	struct reading *r;

	if (rec->n < serials * rec->id || rec->n < time_at + 6 || !id_good(rec->body, rec->id) ||
	    (serials > 1 && !id_good(second, rec->id)))
		return false;
	rec->r = r = decoder_reading(d, "");
	text_clean(r->logger, sizeof(r->logger), rec->body, rec->id);
	if (serials > 1)
		text_clean(r->serial, sizeof(r->serial), second, rec->id);
	r->historic = rec->function == FN_STORED;
	set_time(r, rec->body + time_at);
	/* A meter goes by the serial of its inverter, and has totals of its own. */
	snprintf(key, sizeof(key), "%.32s%s", *r->serial ? r->serial : r->logger,
		 rec->function == FN_METER ? "#meter" : "");
	rec->device = knowledge_device(d->k, key);
	d->k->work.measurements = 0;
	return true;
}

static void record_map(struct decoder *d, struct record *rec, const struct map *m)
{
	rec->map = m;
	d->k->work.totals = rec->device && !m->info ? device_totals(rec->device, m) : NULL;
}

/* 03 holding, 04 and 50 input registers. */
static bool registers(struct decoder *d, struct record *rec)
{
	struct map_registers groups[UINT8_MAX];
	size_t at = 2 * rec->id + 6, count;
	const struct map *m;

	if (rec->n <= at || !record_start(d, rec, 2, 2 * rec->id))
		return false;
	count = rec->body[at++];
	for (size_t i = 0; i < count; i++) {
		uint32_t first, last;

		if (rec->n - at < 4)
			return false;
		first = be16(rec->body + at);
		last = be16(rec->body + at + 2);
		at += 4;
		if (last < first || (rec->n - at) / 2 < last - first + 1)
			return false;
		groups[i] = (struct map_registers){ first, last - first + 1, rec->body + at };
		at += 2 * (size_t)(last - first + 1);
	}
	if (!count)
		return false;
	m = knowledge_groups_map(d->k, rec->device, d->protocol->name,
				 rec->function == FN_ANNOUNCE ? FN_ANNOUNCE : FN_DATA, groups, count);
	if (!m)
		return false;
	record_map(d, rec, m);
	map_decode_registers(m, &d->k->work, groups, count, rec->r);
	return true;
}

static bool meter(struct decoder *d, struct record *rec)
{
	const struct map *m;
	size_t from = 2 * rec->id;

	if (!record_start(d, rec, 2, from))
		return false;
	m = knowledge_record_map(d->k, d->protocol->name, "layout", FN_METER, rec->n - from);
	if (!m)
		return false;
	record_map(d, rec, m);
	map_decode_bytes(m, &d->k->work, rec->body + from, rec->n - from, rec->r);
	return true;
}

/* A printed number as a decimal, to the last digit. */
static bool printed_number(const uint8_t *p, size_t n, struct map_item *ret)
{
	bool minus, point = false, digit = false;
	struct number v = { 0 };

	while (n && *p == ' ') {
		p++;
		n--;
	}
	while (n && p[n - 1] == ' ')
		n--;
	minus = n && *p == '-';
	for (size_t i = n && (*p == '-' || *p == '+') ? 1 : 0; i < n; i++) {
		if (p[i] == '.' && !point) {
			point = true;
			continue;
		}
		if (p[i] < '0' || p[i] > '9' || (point && v.decimals == 9) || v.mantissa > INT64_MAX / 10 - 1)
			return false;
		v.mantissa = v.mantissa * 10 + (p[i] - '0');
		v.decimals = (uint8_t)(v.decimals + point);
		digit = true;
	}
	if (minus)
		v.mantissa = -v.mantissa;
	*ret = (struct map_item){ .kind = ITEM_DECIMAL, .decimal = v };
	return digit;
}

/* Serial, two bytes, time, two bytes (of a ShineMaster the text's length), numbers with commas between. */
static bool meter_text(struct decoder *d, struct record *rec)
{
	size_t from = rec->id + 10, n = rec->n, count = 1, i = 0;
	const uint8_t *p = rec->body + from, *end;
	const struct map *m;

	if (n <= from || !record_start(d, rec, 1, rec->id + 2))
		return false;
	n -= from;
	while (n && (!p[n - 1] || p[n - 1] == ','))
		n--;
	for (size_t c = 0; c < n; c++)
		count += p[c] == ',';
	m = knowledge_record_map(d->k, d->protocol->name, "layout", FN_METER_TEXT, count);
	if (!m)
		return false;
	record_map(d, rec, m);
	map_items_start(m, &d->k->work);
	for (end = p + n; p <= end; p++) {
		const uint8_t *comma = memchr(p, ',', (size_t)(end - p));
		const uint8_t *stop = comma ? comma : end;
		struct map_item item;

		i++;
		if (printed_number(p, (size_t)(stop - p), &item))
			map_item(m, &d->k->work, (int64_t)i, &item);
		p = stop;
	}
	map_decode_items(m, &d->k->work, rec->r);
	return true;
}

static void record(struct decoder *d, struct frame_info *info, struct record *rec)
{
	const struct field *unbelievable = NULL;
	bool good;

	switch (rec->function) {
	case FN_METER:
		good = meter(d, rec);
		break;
	case FN_METER_TEXT:
		good = meter_text(d, rec);
		break;
	default:
		good = registers(d, rec);
		break;
	}
	if (good)
		unbelievable = d->k->work.unbelievable;
	info->known = good && !unbelievable;
	decoder_frame(d, info);
	if (unbelievable)
		decoder_note(d, info->dir, "refused", "%s of %s is beyond what can be: nothing of the record is believed",
			     unbelievable->name, *rec->r->serial ? rec->r->serial : rec->r->logger);
	if (!info->known || !rec->r->count)
		return;
	rec->r->info = !d->k->work.measurements;
	rec->r->model = rec->r->model ? rec->r->model : rec->map->model;
	if (rec->device)
		rec->r->repeat = seen_before(rec->device, rec->r, rec->function, rec->body, rec->n);
	decoder_publish(d, rec->r);
}

/* ------------------------------------------------ frames */
/*
 * Firmware since 2025 agrees on a key with 41 and then encrypts bodies (AES, so a multiple of 16 bytes),
 * while headers and checksums stay. A body with a serial at its beginning is none of these.
 */
static bool is_encrypted(enum dir dir, const uint8_t *p, size_t n)
{
	if (p[7] == FN_KEY)
		return true;
	return dir == DIR_DEVICE && has_checksum(p[3]) && n && n % 16 == 0 && !serial_like(p) &&
	       (p[7] == FN_ANNOUNCE || p[7] == FN_DATA || p[7] == FN_STORED);
}

static void tell_encrypted(struct decoder *d, struct growatt *g, enum dir dir)
{
	if (g->encrypted)
		return;
	g->encrypted = true;
	decoder_note(d, dir, "encrypted", "yes; the logger's firmware encrypts what it sends (ShineWiFi-X 3.1.1.7 and "
		     "later): relayed, not readable");
}

static bool is_record(uint8_t function)
{
	return function == FN_ANNOUNCE || function == FN_DATA || function == FN_STORED || function == FN_METER ||
	       function == FN_METER_TEXT;
}

static bool is_command(uint8_t function)
{
	return function == FN_READ || function == FN_WRITE || function == FN_WRITE_MANY || function == FN_SET ||
	       function == FN_GET;
}

/* Settings hold passwords; a bad frame may be one of them whose function is damaged. */
static void set_private(struct frame_info *info, uint8_t function)
{
	const size_t from = GROWATT_HEAD + GROWATT_ID;

	if (info->size <= from || is_record(function) || function == FN_PING)
		return;
	if (!info->error && function != FN_SET && function != FN_GET && function != FN_SETTINGS && function != FN_KEY)
		return;
	info->private_at = from;
	info->private_size = info->size - from;
}

static void tell_unread(struct decoder *d, uint8_t function)
{
	decoder_note(d, DIR_CLOUD, "command", "cloud function=0x%02x, not understood", function);
}

static void command(struct decoder *d, struct frame_info *info, const struct record *rec, uint8_t version)
{
	const char *key = NULL;
	char text[900];

	if (rec->n >= rec->id)
		key = growatt_command(text, sizeof(text), info->dir, version, rec->function, rec->body + rec->id,
				      rec->n - rec->id);
	info->known = key;
	decoder_frame(d, info);
	if (key)
		decoder_note(d, info->dir, key, "%s", text);
	else if (info->dir == DIR_CLOUD)
		tell_unread(d, rec->function);
}

static void growatt_decode(struct decoder *d, enum dir dir, const uint8_t *p, size_t size, const char *error)
{
	struct growatt *g = d->state;
	struct frame_info info = decoder_frame_info(d, dir, p, size, error);
	uint8_t version = p[3], function = p[7];
	struct record rec = { .function = function, .id = version >= 6 ? 30 : 10, .body = g->body,
			      .n = be16(p + 4) - 2u };

	opcode_hex(info.opcode, function, 2);
	info.unit = p[6];
	info.length = size;
	info.known = rec.n == 1 || is_record(function) || is_command(function) || function == FN_PING ||
		     function == FN_SETTINGS || function == FN_KEY;
	set_private(&info, function);
	if (error) {
		decoder_frame(d, &info);
		return;
	}
	if (is_encrypted(dir, p, rec.n)) {
		decoder_frame(d, &info);
		tell_encrypted(d, g, dir);
		return;
	}
	/* An acknowledgement, what an encrypting logger says, or no serial where one belongs. */
	if (rec.n < GROWATT_ID || !serial_like(p)) {
		info.known &= g->encrypted || rec.n == 1 || !(dir == DIR_DEVICE && is_record(function));
		decoder_frame(d, &info);
		if (dir == DIR_CLOUD && is_command(function))
			tell_unread(d, function);
		return;
	}
	for (size_t i = 0; i < rec.n; i++)
		g->body[i] = unmasked(version, p[GROWATT_HEAD + i], i);
	if (dir == DIR_DEVICE && is_record(function))
		record(d, &info, &rec);
	else if (is_command(function))
		command(d, &info, &rec, version);
	else
		decoder_frame(d, &info);
}

const struct protocol protocol_growatt = {
	.name = "growatt",
	.likely = GROWATT_HEAD + GROWATT_ID,
	.frame_max = GROWATT_LENGTH_MAX + 8,
	.state_size = sizeof(struct growatt),
	.probe = growatt_probe,
	.frame = growatt_frame,
	.decode = growatt_decode,
};
