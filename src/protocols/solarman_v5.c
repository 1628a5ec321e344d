/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * solarman_v5.c - Solarman V5: loggers of TSUN, Deye, Sofar, Solis and others to their cloud (10000),
 * and clients to loggers (8899)
 *
 *	 0  a5
 *	 1  N, payload length, little-endian
 *	 3  10
 *	 4  message type; the control code is written 0xTT10
 *	 5  sequence of the server, 6 of the logger
 *	 7  logger number
 *	11  payload (N)
 *	    sum of bytes 1 … 10+N
 *	    15
 *
 * A record's time is the logger's working time + an offset that it learnt from the cloud's answers.
 * An offset belongs to one power-on; record_time() has the rules for stored records.
 *
 * Sources: s-allius/tsun-gen3-proxy, Hypfer/deye-microinverter-cloud-free, schasan/deye-mitm, jmccrohan/pysolarmanv5,
 * serek4/node-red-sofar-inverter, bmerry/sunsniff; what was captured is in tests/vectors/solarman-v5.
 */
#include <string.h>

#include "protocols/at.h"
#include "protocols/modbus.h"
#include "protocols/protocol.h"
#include "protocols/reading_fill.h"

enum {
	HEAD = 11,
	TAIL = 2,
	PAYLOAD_MAX = 4096,
	RECORD_HEAD = 21,	/* common to all data records */
	TIMES = 12,		/* total, uptime, offset */

	TYPE_HANDSHAKE = 0x41, TYPE_DATA = 0x42, TYPE_WIFI = 0x43, TYPE_HEARTBEAT = 0x47, TYPE_REPORT = 0x48,
	TYPE_COMMAND = 0x45, TYPE_ANSWER = 0x15, TYPE_INTERIM = 0x05,
};

struct v5 {
	struct modbus_link link;
	uint32_t number;
	char logger[12];		/* the number in decimal */
	uint32_t list;
	char list_text[12];
	bool secret_asked;		/* the last AT command: its answer is nobody's business */
};

static bool type_known(uint8_t t)
{
	return (t >= 0x41 && t <= 0x48) || (t >= 0x11 && t <= 0x18) || t == TYPE_ANSWER || t == TYPE_INTERIM;
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint64_t even = 0, odd = 0, word;
	uint32_t total = 0;

	/* Eight bytes at a time in four 16-bit lanes; 128 rounds of 2 * 255 cannot overflow one. */
	while (n >= 8) {
		size_t rounds = n / 8 < 128 ? n / 8 : 128;

		n -= 8 * rounds;
		even = odd = 0;
		for (; rounds; rounds--, p += 8) {
			memcpy(&word, p, 8);
			even += word & 0x00ff00ff00ff00ff;
			odd += word >> 8 & 0x00ff00ff00ff00ff;
		}
		even += odd;
		total += (uint32_t)((even & 0xffff) + (even >> 16 & 0xffff) + (even >> 32 & 0xffff) + (even >> 48));
	}
	while (n--)
		total += *p++;
	return (uint8_t)total;
}

/* Section 2 of the document, to the letter: the vectors depend on it. */
static struct framed v5_frame(struct scan *scan, const uint8_t *p, size_t length)
{
	const uint8_t *start;
	size_t n, whole;
	bool stop, checksum;

	(void)scan;
	if (*p != 0xa5) {
		start = memchr(p, 0xa5, length);
		return (struct framed){ FRAMING_SKIP, start ? (size_t)(start - p) : length, NULL };
	}
	if (length < 3)
		return (struct framed){ FRAMING_MORE, 3, NULL };
	n = le16(p + 1);
	if (n > PAYLOAD_MAX)
		return (struct framed){ FRAMING_SKIP, 1, NULL };
	if (length < 4)
		return (struct framed){ FRAMING_MORE, 4, NULL };
	if (p[3] != 0x10)
		return (struct framed){ FRAMING_SKIP, 1, NULL };
	whole = n + HEAD + TAIL;
	if (length < whole)
		return (struct framed){ FRAMING_MORE, whole, NULL };
	stop = p[whole - 1] == 0x15;
	checksum = p[whole - 2] == sum(p + 1, whole - 3);
	if (stop && checksum)
		return (struct framed){ FRAMING_GOOD, whole, NULL };
	if (checksum)
		return (struct framed){ FRAMING_BAD, whole, "stop" };
	if (stop && (length == whole || p[whole] == 0xa5))
		return (struct framed){ FRAMING_BAD, whole, "checksum" };
	return (struct framed){ FRAMING_SKIP, 1, NULL };
}

static enum probe_answer v5_probe(const uint8_t *p, size_t length, bool at_start)
{
	struct scan scan = { 0 };
	struct framed f;

	if (*p != 0xa5)
		return PROBE_NO;
	f = v5_frame(&scan, p, length);
	switch (f.what) {
	case FRAMING_SKIP:
		return PROBE_NO;
	case FRAMING_GOOD:
		return PROBE_YES;
	case FRAMING_BAD:
		return type_known(p[4]) ? PROBE_YES : PROBE_NO;
	case FRAMING_MORE:
		break;
	}
	/* At a flow's start the head is enough; elsewhere a5 .. .. 10 may be anything. */
	return at_start && length >= 5 && type_known(p[4]) ? PROBE_YES : PROBE_MORE;
}

static const char *payload_error(uint8_t type, size_t n)
{
	size_t least = 0;

	switch (type) {
	case TYPE_DATA:
		least = RECORD_HEAD;
		break;
	case TYPE_HANDSHAKE: case TYPE_WIFI: case TYPE_HEARTBEAT:
		least = 1;
		break;
	case TYPE_REPORT:
		least = 16;
		break;
	case TYPE_COMMAND:
		least = 15;
		break;
	case TYPE_ANSWER: case TYPE_INTERIM:
		least = 14;
		break;
	default:
		if (type >= 0x11 && type <= 0x18)
			least = 10;
		break;
	}
	return n < least ? "payload" : NULL;
}

static void set_logger(struct v5 *v, uint32_t number)
{
	if (v->number == number && *v->logger)
		return;
	v->number = number;
	snprintf(v->logger, sizeof(v->logger), "%u", number);
}

/* ------------------------------------------------ time */
static bool plausible(int64_t seconds, int64_t arrival_ns)
{
	int64_t now = (arrival_ns ? arrival_ns : now_realtime()) / NSEC_PER_SEC;

	return seconds >= 1420070400 /* 2015 */ && seconds <= now + 86400;
}

static void set_time(struct reading *r, int64_t seconds)
{
	r->time_kind = TIME_IN_UTC;
	r->time_ms = seconds * 1000;
}

/* total, uptime, offset as they stand in most messages. */
static void own_time(struct reading *r, const uint8_t *times)
{
	int64_t offset = le32(times + 8), seconds = le32(times) + offset;

	if (offset && plausible(seconds, r->arrival_ns))
		set_time(r, seconds);
}

static int64_t quarter_hours(int64_t seconds)
{
	return (seconds + (seconds < 0 ? -450 : 450)) / 900 * 900;
}

static void record_time(struct reading *r, struct device *d, const struct map_work *w, const uint8_t *times)
{
	int64_t total = le32(times), power_on = total - le32(times + 4), offset = le32(times + 8);
	bool own = offset && plausible(total + offset, r->arrival_ns);

	if (own)
		set_time(r, total + offset);
	if (!d)
		return;
	if (!r->historic) {
		if (!own)
			return;
		d->has_live = true;
		d->offset = offset;
		d->power_on = power_on;
		if (w->has_device_time) {
			d->has_zone = true;
			d->zone = quarter_hours(total + offset - w->device_time);
		}
		return;
	}
	if (own || !d->has_live)
		return;
	if (d->power_on - power_on <= 120 && power_on - d->power_on <= 120)
		set_time(r, total + d->offset);
	else if (d->has_zone && w->has_device_time)
		set_time(r, w->device_time + d->zone);
}

/* ------------------------------------------------ messages from the logger */
static bool letter_or_digit(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Without a map: what stands where a serial may, if it looks like one. */
static bool serial_at(struct reading *r, const uint8_t *payload, size_t n, size_t at)
{
	size_t length = 0;

	while (length < 16 && at + length < n && letter_or_digit(payload[at + length]))
		length++;
	if (length < 10)
		return false;
	memcpy(r->serial, payload + at, length);
	r->serial[length] = '\0';
	return true;
}

/* Deye's three-phase hybrids (lists 0x..11) have a head that is four bytes longer. */
static void serial_of_unknown(struct reading *r, const uint8_t *payload, size_t n, uint32_t list)
{
	if (!serial_at(r, payload, n, RECORD_HEAD) && (list & 0xff) == 0x11)
		serial_at(r, payload, n, RECORD_HEAD + 4);
}

static void data_record(struct decoder *d, struct v5 *v, const uint8_t *p, size_t n)
{
	uint32_t list = le16(p + 1), number = le32(p + 17);
	int64_t power_on = (int64_t)le32(p + 3) - le32(p + 7);
	struct device *device = knowledge_device(d->k, v->logger);
	struct map_work *w = &d->k->work;
	const struct map *m = NULL;
	struct reading *r = decoder_reading(d, v->logger);

	if (!*v->list_text || v->list != list) {
		v->list = list;
		opcode_hex(v->list_text, list, 4);
	}
	r->historic = p[0] & 0x80;
	reading_add_string(r, "sensor_list", v->list_text);
	reading_add_integer(r, "uptime", le32(p + 7));
	reading_add_integer(r, "packet_number", number);
	if ((p[0] & 0x7f) == 1)
		m = knowledge_record_map(d->k, d->protocol->name, "sensor_list", list, n);
	w->measurements = 0;
	w->has_device_time = false;
	if (m) {
		w->totals = device ? device_totals(device, m) : NULL;
		map_decode_bytes(m, w, p, n, r);
		r->model = r->model ? r->model : m->model;
	} else {
		serial_of_unknown(r, p, n, list);
	}
	r->info = !w->measurements;
	if (device) {
		device->sensor_list = list;
		if (*r->serial)
			memcpy(device->serial, r->serial, sizeof(device->serial));
		r->repeat = device_record_seen(device, number, power_on);
	}
	record_time(r, device, w, p + 3);
	decoder_publish(d, r);
}

enum layout_type { LAYOUT_TEXT, LAYOUT_BYTE, LAYOUT_MINUTES, LAYOUT_WORD_HEX, LAYOUT_MAC };

/* What stands where in a handshake; the SSID at 172 is left out on purpose. */
static const struct layout {
	uint16_t at;
	enum layout_type type;
	uint8_t length;
	const char *name;
} handshake_layout[] = {
	{ 13, LAYOUT_MINUTES, 1, "upload_interval" },
	{ 14, LAYOUT_BYTE, 1, "collect_interval" },
	{ 15, LAYOUT_BYTE, 1, "heartbeat_interval" },
	{ 17, LAYOUT_BYTE, 1, "wifi_signal" },
	{ 19, LAYOUT_TEXT, 40, "logger_model" },
	{ 59, LAYOUT_MAC, 6, "logger_mac" },
	{ 65, LAYOUT_TEXT, 16, "logger_ip" },
	{ 84, LAYOUT_WORD_HEX, 2, "sensor_list" },
	{ 89, LAYOUT_TEXT, 40, "logger_firmware" },
};

static void add_text(struct reading *r, const char *name, const char *text)
{
	reading_add_bytes(r, name, (const uint8_t *)text, strlen(text));
}

static void handshake(struct decoder *d, struct v5 *v, const uint8_t *p, size_t n)
{
	struct reading *r = decoder_reading(d, v->logger);
	char text[24];

	r->info = true;
	if (n >= 1 + TIMES) {
		reading_add_integer(r, "uptime", le32(p + 5));
		own_time(r, p + 1);
	}
	for (size_t i = 0; i < ARRAY_SIZE(handshake_layout); i++) {
		const struct layout *l = &handshake_layout[i];

		if (n < (size_t)l->at + l->length)
			continue;
		switch (l->type) {
		case LAYOUT_TEXT:
			reading_add_bytes(r, l->name, p + l->at, l->length);
			break;
		case LAYOUT_BYTE:
			if (l->at == 17 && p[17] > 100)
				break;
			reading_add_integer(r, l->name, p[l->at]);
			break;
		case LAYOUT_MINUTES:
			reading_add_integer(r, l->name, 60 * p[l->at]);
			break;
		case LAYOUT_WORD_HEX:
			if (!p[83])
				break;
			opcode_hex(text, le16(p + l->at), 4);
			add_text(r, l->name, text);
			break;
		case LAYOUT_MAC:
			snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", p[l->at], p[l->at + 1],
				 p[l->at + 2], p[l->at + 3], p[l->at + 4], p[l->at + 5]);
			add_text(r, l->name, text);
			break;
		}
	}
	if (r->count)
		decoder_publish(d, r);
}

static void wifi_state(struct decoder *d, struct v5 *v, const uint8_t *p, size_t n)
{
	struct reading *r = decoder_reading(d, v->logger);
	struct device *device;

	r->info = true;
	/* The same code carries other short records; of one it is known that it names the inverter. */
	if (p[0] == 4 && serial_at(r, p, n, 15)) {
		device = knowledge_device(d->k, v->logger);
		if (device)
			memcpy(device->serial, r->serial, sizeof(device->serial));
		decoder_publish(d, r);
		return;
	}
	if ((p[0] & 0x7f) != 1 || n < 1 + TIMES)
		return;
	r->historic = p[0] & 0x80;
	reading_add_integer(r, "uptime", le32(p + 5));
	own_time(r, p + 1);
	if (n >= 46 && p[45] <= 100)
		reading_add_integer(r, "wifi_signal", p[45]);
	decoder_publish(d, r);
}

static void report(struct decoder *d, struct v5 *v, const uint8_t *p, size_t n)
{
	struct reading *r = decoder_reading(d, v->logger);
	size_t length = p[15], i;

	r->info = true;
	r->historic = p[0] & 0x80;
	reading_add_integer(r, "uptime", le32(p + 5));
	own_time(r, p + 1);
	reading_add_integer(r, "report_type", p[14]);
	if (p[14] == 5 && length >= 44 && n >= 16 + 44) {
		for (i = 0; i < 40 && p[20 + i] == 0xff; i++)
			;
		if (i < 40)
			reading_add_bytes(r, "logger_model", p + 20, 40);
	}
	decoder_publish(d, r);
}

/* ------------------------------------------------ answers and commands of the cloud */
static void cloud_answer(struct decoder *d, enum dir dir, const uint8_t *p)
{
	int64_t seconds = le32(p + 2), days = seconds / 86400, era, y, m, day;
	unsigned int doe, yoe, doy, mp;

	if (!seconds || !d->events->note)
		return;
	/* Civil date of a day number (Howard Hinnant's days_from_civil, turned round). */
	days += 719468;
	era = days / 146097;
	doe = (unsigned int)(days - era * 146097);
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	day = doy - (153 * mp + 2) / 5 + 1;
	m = mp < 10 ? mp + 3 : mp - 9;
	y = yoe + era * 400 + (m <= 2);
	decoder_note(d, dir, "cloud_time", "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)y, (int)m, (int)day,
		     (int)(seconds / 3600 % 24), (int)(seconds / 60 % 60), (int)(seconds % 60));
	decoder_note(d, dir, "cloud_utc_offset", "%d min", (int32_t)le32(p + 6));
}

static void hex(char *out, const uint8_t *p, size_t n, size_t room)
{
	size_t i = 0;

	*out = '\0';
	for (; i < n && 2 * i + 3 <= room; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
}

static void command(struct decoder *d, struct v5 *v, enum dir dir, const uint8_t *frame, const uint8_t *p, size_t n)
{
	const uint8_t *body = p + 15;
	size_t length = n - 15;
	struct modbus_request q;
	char text[700];
	bool good;

	switch (p[0]) {
	case 1:
		at_readable(body, length, text, sizeof(text));
		v->secret_asked = at_secret(body, length);
		decoder_note(d, dir, "command", "at %s", text);
		return;
	case 2:
		if (length < 8 || !modbus_parse_request(body, length - 2, &q)) {
			hex(text, body, length, sizeof(text));
			decoder_note(d, dir, "command", "modbus %s", text);
			return;
		}
		good = !modbus_crc(body, length);
		modbus_request_text(&q, text, sizeof(text));
		decoder_note(d, dir, "command", "modbus %s crc=%s", text, good ? "ok" : "bad");
		if (!good)
			return;
		q.sensor_list = le16(p + 1);
		q.tag = frame[5];
		modbus_open(&v->link, q, d->arrival_ns);
		return;
	case 5:
		hex(text, body, length, sizeof(text));
		decoder_note(d, dir, "command", "dcu %s", text);
		return;
	default:
		decoder_note(d, dir, "command", "unknown type=0x%02x", p[0]);
	}
}

static void modbus_response(struct decoder *d, struct v5 *v, enum dir dir, const uint8_t *frame,
			    const uint8_t *p, const uint8_t *body, size_t length)
{
	struct modbus_source source = { .logger = v->logger };
	struct reading times = { .arrival_ns = d->arrival_ns };
	const char *error;
	size_t size;

	own_time(&times, p + 2);
	source.time_kind = times.time_kind;
	source.time_ms = times.time_ms;
	if (length < 5) {
		if (length && body[0])
			modbus_error(d, &v->link, body[0], frame[5], &source);
		return;
	}
	if (p[1] != 1) {
		decoder_note(d, dir, "modbus", "not executed");
		return;
	}
	/* One stray ff may stand in front; behind the CRC two more bytes, which the length leaves out. */
	for (int stray = 0; stray < 2 && length >= 5; stray++) {
		size = modbus_answer_size(body, length);
		if (size && size <= length && !modbus_crc(body, size)) {
			error = modbus_answer(d, dir, &v->link, body, size - 2, frame[5], &source);
			if (error)
				decoder_note(d, dir, "modbus", "unit=%u fc=%u %s", body[0], body[1], error);
			return;
		}
		if (*body != 0xff)
			break;
		body++;
		length--;
	}
	decoder_note(d, dir, "modbus", "bad crc");
}

static void answer(struct decoder *d, struct v5 *v, enum dir dir, const uint8_t *frame, const uint8_t *p, size_t n)
{
	const uint8_t *body = p + 14;
	size_t length = n - 14;
	char text[700];

	switch (p[0]) {
	case 1:
	case 8:
		at_readable(body, length, text, sizeof(text));
		decoder_note(d, dir, "at_response", "%s", v->secret_asked ? "***" : text);
		break;
	case 2:
		modbus_response(d, v, dir, frame, p, body, length);
		break;
	case 5:
		hex(text, body, length, sizeof(text));
		decoder_note(d, dir, "dcu_response", "%s", text);
		break;
	default:
		break;
	}
}

/* Where a frame holds what is nobody's business (the document's 4.2, 4.9, 6.1), also if the frame is bad. */
static void set_private(struct frame_info *info, uint8_t type, const uint8_t *p, size_t n)
{
	size_t from = n, to = n;

	if (type == TYPE_HANDSHAKE) {
		from = 172;
		to = 212;
	} else if (type == TYPE_WIFI) {
		from = 15;
		to = 45;
	} else if (type == TYPE_COMMAND && n > 15 && p[0] == 1) {
		from = 15;	/* any AT command may carry a password, and what it is stands in the note */
	} else if ((type == TYPE_ANSWER || type == TYPE_INTERIM) && n > 14 && p[0] != 2) {
		from = 14;
	}
	if (from >= n)
		return;
	info->private_at = HEAD + from;
	info->private_size = (to < n ? to : n) - from;
}

static void v5_decode(struct decoder *d, enum dir dir, const uint8_t *frame, size_t size, const char *error)
{
	struct v5 *v = d->state;
	struct frame_info info = decoder_frame_info(d, dir, frame, size, error);
	const uint8_t *p = frame + HEAD;
	size_t n = size - HEAD - TAIL;
	uint8_t type = frame[4];

	opcode_hex(info.opcode, (uint32_t)type << 8 | 0x10, 4);
	info.length = n;
	info.known = type_known(type);
	set_private(&info, type, p, n);
	if (!error)
		info.error = payload_error(type, n);
	decoder_frame(d, &info);
	if (info.error)
		return;
	set_logger(v, le32(frame + 7));
	switch (type) {
	case TYPE_HANDSHAKE:
		handshake(d, v, p, n);
		break;
	case TYPE_DATA:
		data_record(d, v, p, n);
		break;
	case TYPE_WIFI:
		wifi_state(d, v, p, n);
		break;
	case TYPE_REPORT:
		report(d, v, p, n);
		break;
	case TYPE_COMMAND:
		command(d, v, dir, frame, p, n);
		break;
	case TYPE_ANSWER:
	case TYPE_INTERIM:
		answer(d, v, dir, frame, p, n);
		break;
	default:
		if (type >= 0x11 && type <= 0x18)
			cloud_answer(d, dir, p);
		break;
	}
}

const struct protocol protocol_solarman_v5 = {
	.name = "solarman-v5",
	.likely = 5,
	.frame_max = PAYLOAD_MAX + HEAD + TAIL,
	.state_size = sizeof(struct v5),
	.probe = v5_probe,
	.frame = v5_frame,
	.decode = v5_decode,
};
