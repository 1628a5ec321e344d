/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tsun_gen3.c - TSUN micro inverters of the third generation ("Talent", port 5005)
 *
 *	0	L, bytes that follow, big-endian
 *	4	K, length of the id (16, also 17)
 *	5	id: the logger's serial
 *	5+K	control byte, 6+K message id
 *	7+K	data, L-K-3 bytes
 *
 * No checksum: the length is believed, and what the data says is taken only as far as it is whole.
 * Stored records come from a flash that may have been written twice, hence the checks of read_items().
 * All times are the device's wall clock.
 *
 * Source: s-allius/tsun-gen3-proxy, the only public one; what was captured is in tests/vectors/tsun-gen3.
 */
#include <string.h>
#include <time.h>

#include "protocols/modbus.h"
#include "protocols/protocol.h"
#include "protocols/reading_fill.h"

enum {
	LENGTH_MIN = 19,
	LENGTH_MAX = 8192,
	DATA_ID_COLLECTOR = 0x0e100000,
	MSG_CONTACT = 0x00, MSG_INVERTER = 0x04, MSG_OTA = 0x13, MSG_TIME = 0x22, MSG_COLLECTOR = 0x71,
	MSG_MODBUS = 0x77, MSG_MODBUS_V3 = 0x87, MSG_HEARTBEAT = 0x99,
	CTRL_INDICATION = 0x91, CTRL_ANSWER = 0x99, CTRL_COMMAND = 0x70,
};

/* Older than this against the device's clock: stored (two upload intervals). */
#define STORED_MS (INT64_C(600) * 1000)

struct gen3 {
	struct modbus_link link;
	uint32_t tag;
	char logger[READING_ID_MAX];
	bool has_clock;
	int64_t clock_ms, clock_arrival_ns;
};

static bool letter_or_digit(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static struct framed gen3_frame(struct scan *scan, const uint8_t *p, size_t length)
{
	const struct framed skip = { FRAMING_SKIP, 1, NULL };
	uint32_t l;
	size_t k;

	(void)scan;
	if (length < 4)
		return (struct framed){ FRAMING_MORE, 4, NULL };
	l = be32(p);
	if (l < LENGTH_MIN || l > LENGTH_MAX)
		return skip;
	if (length < 5)
		return (struct framed){ FRAMING_MORE, 5, NULL };
	/* "With the whole id known": a length byte that cannot be is known to be wrong at once. */
	k = p[4];
	if (k != 16 && k != 17)
		return skip;
	if (length < 5 + k)
		return (struct framed){ FRAMING_MORE, 5 + k, NULL };
	if (l < k + 3)
		return skip;
	for (size_t i = 0; i < k; i++)
		if (!letter_or_digit(p[5 + i]))
			return skip;
	if (length < l + 4)
		return (struct framed){ FRAMING_MORE, l + 4, NULL };
	return (struct framed){ FRAMING_GOOD, l + 4, NULL };
}

static enum probe_answer gen3_probe(const uint8_t *p, size_t length, bool at_start)
{
	struct scan scan = { 0 };
	struct framed f = gen3_frame(&scan, p, length);

	(void)at_start;
	if (f.what == FRAMING_SKIP)
		return PROBE_NO;
	/* Sixteen letters and digits behind a length that fits do not come by chance. */
	return length >= 5 && length >= 5u + p[4] ? PROBE_YES : PROBE_MORE;
}

/* ------------------------------------------------ parts of the data */
struct part {
	const uint8_t *p;
	size_t left;
};

static const uint8_t *take(struct part *part, size_t n)
{
	const uint8_t *p = part->p;

	if (n > part->left)
		return NULL;
	part->p += n;
	part->left -= n;
	return p;
}

/* A text with its length before it; NULL: runs over the end. */
static const uint8_t *take_text(struct part *part, size_t *ret_length)
{
	const uint8_t *n = take(part, 1);

	*ret_length = n ? *n : 0;
	return n ? take(part, *n) : NULL;
}

static void set_clock(struct decoder *d, struct gen3 *g, int64_t ms)
{
	g->has_clock = true;
	g->clock_ms = ms;
	g->clock_arrival_ns = d->arrival_ns;
}

static bool is_stored(const struct decoder *d, const struct gen3 *g, int64_t ms)
{
	int64_t now = g->clock_ms;

	if (!g->has_clock)
		return false;
	if (d->arrival_ns && g->clock_arrival_ns)
		now += (d->arrival_ns - g->clock_arrival_ns) / NSEC_PER_MSEC;
	return now - ms > STORED_MS;
}

static bool plausible_ms(uint64_t ms)
{
	return ms >= UINT64_C(946684800000) && ms < UINT64_C(4102444800000);	/* 2000 … 2099 */
}

static void note_time(struct decoder *d, enum dir dir, const char *key, uint64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	if (plausible_ms(ms) && gmtime_r(&t, &tm))
		decoder_note(d, dir, key, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1,
			     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* ------------------------------------------------ lists */
struct list_head {
	uint32_t data_id, count;
	uint64_t time_ms;
	const uint8_t *sub_id;
	size_t sub_id_length;
};

static bool list_head(struct part *part, struct list_head *ret)
{
	const uint8_t *p = take(part, 4);

	if (!p)
		return false;
	ret->data_id = be32(p);
	ret->sub_id = take_text(part, &ret->sub_id_length);
	if (!ret->sub_id)
		return false;
	p = take(part, 13);
	if (!p)
		return false;
	ret->time_ms = be64(p + 1);
	ret->count = be32(p + 9);
	return true;
}

static bool read_item(struct part *part, uint8_t type, struct map_item *ret)
{
	const uint8_t *p;
	uint32_t bits;
	float real;

	*ret = (struct map_item){ .kind = ITEM_INTEGER };
	switch (type) {
	case 'T':
		ret->kind = ITEM_TEXT;
		ret->text = take_text(part, &ret->length);
		return ret->text;
	case 'I':
		p = take(part, ret->width = 4);
		if (p)
			ret->integer = (int32_t)be32(p);
		return p;
	case 'S':
		p = take(part, ret->width = 2);
		if (p)
			ret->integer = (int16_t)be16(p);
		return p;
	case 'L':
		p = take(part, ret->width = 8);
		if (p)
			ret->integer = (int64_t)be64(p);
		return p;
	case 'B':
		p = take(part, ret->width = 1);
		if (p)
			ret->integer = *p;
		return p;
	case 'F':
		p = take(part, 4);
		if (!p)
			return false;
		bits = be32(p);
		memcpy(&real, &bits, sizeof(real));
		ret->kind = ITEM_REAL;
		ret->real = (double)real;
		return true;
	case 'A':
		ret->kind = ITEM_ABSENT;
		return true;
	default:
		return false;
	}
}

/*
 * Fills the map's work with the items; false: reading stopped before the end. Ids of an inverter's
 * list rise: where they do not, the flash page held two lists at once and nothing after counts.
 */
static bool read_items(const struct map *m, struct map_work *w, struct part part, uint32_t count, bool rising)
{
	int64_t last = -1;
	struct map_item item;

	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *p = take(&part, 5);
		int64_t id;

		if (!p)
			return false;
		if (!p[4])
			break;
		id = be32(p);
		if (rising && id <= last)
			return false;
		if (!read_item(&part, p[4], &item))
			return false;
		if (m)
			map_item(m, w, id, &item);
		last = id;
	}
	return !part.left;
}

static void item_list(struct decoder *d, struct gen3 *g, enum dir dir, uint8_t id, struct frame_info *info,
		      const uint8_t *data, size_t n)
{
	struct map_work *w = &d->k->work;
	struct part part = { data, n };
	struct list_head head;
	const struct map *m;
	struct reading *r;
	struct device *device;
	char text[12];

	(void)dir;
	if (!list_head(&part, &head)) {
		info->error = "payload";
		decoder_frame(d, info);
		return;
	}
	m = knowledge_record_map(d->k, d->protocol->name, "data_id", head.data_id, n);
	if (m)
		map_items_start(m, w);
	if (!read_items(m, w, part, head.count, id == MSG_INVERTER))
		info->error = "payload";
	decoder_frame(d, info);

	r = decoder_reading(d, g->logger);
	device = knowledge_device(d->k, g->logger);
	opcode_hex(text, head.data_id, 8);
	reading_add_bytes(r, "data_id", (const uint8_t *)text, strlen(text));
	w->measurements = 0;
	if (m) {
		w->totals = device ? device_totals(device, m) : NULL;
		map_decode_items(m, w, r);
	}
	r->info = !w->measurements;
	if (id == MSG_INVERTER && !*r->serial)
		text_clean(r->serial, sizeof(r->serial), head.sub_id, head.sub_id_length);
	if (device && id == MSG_INVERTER && *r->serial)
		memcpy(device->serial, r->serial, sizeof(device->serial));
	if (!r->model && m)
		r->model = m->model;
	if (plausible_ms(head.time_ms)) {
		r->time_kind = TIME_LOCAL;
		r->time_ms = (int64_t)head.time_ms;
		r->historic = is_stored(d, g, r->time_ms);
	}
	decoder_publish(d, r);
}

/* ------------------------------------------------ the other messages */
static void contact(struct decoder *d, struct gen3 *g, const uint8_t *data, size_t n)
{
	struct part part = { data, n };
	size_t name_length, mail_length;
	const uint8_t *name = take_text(&part, &name_length);
	const uint8_t *mail = name ? take_text(&part, &mail_length) : NULL;
	struct reading *r;

	if (!mail)
		return;
	r = decoder_reading(d, g->logger);
	r->info = true;
	reading_add_bytes(r, "contact_name", name, name_length);
	reading_add_bytes(r, "contact_mail", mail, mail_length);
	if (r->count)
		decoder_publish(d, r);
}

static void ota(struct decoder *d, enum dir dir, const uint8_t *data, size_t n)
{
	static const char *const names[] = { "version", "url", NULL, "md5", "size" };
	struct part part = { data, n };
	const uint8_t *texts[5];
	size_t lengths[5], used = 0;
	char line[800] = "";

	take(&part, 1);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		texts[i] = take_text(&part, &lengths[i]);
		if (!texts[i])
			return;
	}
	for (size_t order = 0; order < 4; order++) {
		size_t i = (const size_t[]){ 0, 1, 4, 3 }[order];
		char word[260];

		text_clean(word, sizeof(word), texts[i], lengths[i]);
		used += (size_t)snprintf(line + used, sizeof(line) - used, " %s=%s", names[i], word);
		if (used >= sizeof(line))
			break;
	}
	decoder_note(d, dir, "command", "ota%s", line);
}

static void modbus_command(struct decoder *d, struct gen3 *g, enum dir dir, const uint8_t *data)
{
	struct modbus_request q;
	const uint8_t *rtu = data + 5;
	char text[700];
	bool good;

	good = !modbus_crc(rtu, data[4]);
	if (!modbus_parse_request(rtu, data[4] - 2u, &q)) {
		decoder_note(d, dir, "command", "modbus unit=%u fc=%u crc=%s", rtu[0], rtu[1], good ? "ok" : "bad");
		return;
	}
	modbus_request_text(&q, text, sizeof(text));
	decoder_note(d, dir, "command", "modbus %s crc=%s", text, good ? "ok" : "bad");
	if (good) {
		q.tag = ++g->tag;
		modbus_open(&g->link, q, d->arrival_ns);
	}
}

static void modbus_response(struct decoder *d, struct gen3 *g, enum dir dir, const uint8_t *data, size_t head)
{
	const struct modbus_source source = { .logger = g->logger };
	const char *error;
	size_t length = data[head - 1], size;

	size = modbus_answer_size(data + head, length);
	if (!size || size > length || modbus_crc(data + head, size)) {
		decoder_note(d, dir, "modbus", "bad crc");
		return;
	}
	error = modbus_answer(d, dir, &g->link, data + head, size - 2, 0, &source);
	if (error)
		decoder_note(d, dir, "modbus", "unit=%u fc=%u %s", data[head], data[head + 1], error);
}

/* Shorter than it claims, or than it has to be? */
static const char *payload_error(enum dir dir, uint8_t ctrl, uint8_t id, const uint8_t *data, size_t n)
{
	struct part part = { data, n };
	size_t length, head = id == MSG_MODBUS_V3 ? 6 : 5;
	bool good = true;

	switch (id) {
	case MSG_CONTACT:
		if (ctrl == CTRL_INDICATION && dir == DIR_DEVICE)
			good = take_text(&part, &length) && take_text(&part, &length);
		break;
	case MSG_TIME:
		good = ctrl != CTRL_INDICATION || !n || n == 8;
		break;
	case MSG_HEARTBEAT:
		good = ctrl != CTRL_INDICATION || n == 9;
		break;
	case MSG_OTA:
		if (ctrl == CTRL_COMMAND) {
			good = take(&part, 1);
			for (int i = 0; i < 5 && good; i++)
				good = take_text(&part, &length);
		}
		break;
	case MSG_MODBUS:
	case MSG_MODBUS_V3:
		if (ctrl == CTRL_COMMAND && id == MSG_MODBUS)
			good = n >= head && data[4] >= 8 && data[4] <= n - head;
		else if (ctrl == CTRL_INDICATION)
			good = n >= head && data[head - 1] >= 5 && data[head - 1] <= n - head;
		break;
	default:
		break;
	}
	return good ? NULL : "payload";
}

static void message(struct decoder *d, struct gen3 *g, enum dir dir, uint8_t ctrl, uint8_t id,
		    const uint8_t *data, size_t n)
{
	uint64_t ms;

	switch (id) {
	case MSG_CONTACT:
		if (ctrl == CTRL_INDICATION && dir == DIR_DEVICE)
			contact(d, g, data, n);
		break;
	case MSG_TIME:
	case MSG_HEARTBEAT:
		if (ctrl != CTRL_INDICATION || !n)
			break;
		ms = be64(data + (id == MSG_HEARTBEAT));
		if (!plausible_ms(ms))
			break;
		set_clock(d, g, (int64_t)ms);
		note_time(d, dir, id == MSG_TIME ? "cloud_time_local" : "time_local", ms);
		break;
	case MSG_OTA:
		if (ctrl == CTRL_COMMAND)
			ota(d, dir, data, n);
		break;
	case MSG_MODBUS:
		if (ctrl == CTRL_COMMAND)
			modbus_command(d, g, dir, data);
		else if (ctrl == CTRL_INDICATION)
			modbus_response(d, g, dir, data, 5);
		break;
	case MSG_MODBUS_V3:
		if (ctrl == CTRL_INDICATION)
			modbus_response(d, g, dir, data, 6);
		break;
	default:
		break;
	}
}

static bool message_known(uint8_t ctrl, uint8_t id)
{
	switch (id) {
	case MSG_CONTACT: case MSG_TIME:
		return ctrl == CTRL_INDICATION;
	case MSG_HEARTBEAT: case MSG_COLLECTOR: case MSG_INVERTER:
		return ctrl == CTRL_INDICATION || ctrl == CTRL_ANSWER;
	case MSG_OTA: case MSG_MODBUS:
		return ctrl == CTRL_COMMAND || ctrl == CTRL_INDICATION;
	case MSG_MODBUS_V3:
		return ctrl == CTRL_INDICATION;
	default:
		return false;
	}
}

static void gen3_decode(struct decoder *d, enum dir dir, const uint8_t *frame, size_t size, const char *error)
{
	struct gen3 *g = d->state;
	struct frame_info info = decoder_frame_info(d, dir, frame, size, error);
	size_t k = frame[4], n = size - 7 - k;
	uint8_t ctrl = frame[5 + k], id = frame[6 + k];
	const uint8_t *data = frame + 7 + k;

	opcode_hex(info.opcode, id, 2);
	info.ctrl = ctrl;
	info.length = n;
	info.known = message_known(ctrl, id);
	if (id == MSG_CONTACT) {
		info.private_at = size - n;	/* the installer's name and mail address */
		info.private_size = n;
	}
	text_clean(g->logger, sizeof(g->logger), frame + 5, k);
	if ((id == MSG_INVERTER || id == MSG_COLLECTOR) && ctrl == CTRL_INDICATION) {
		item_list(d, g, dir, id, &info, data, n);
		return;
	}
	info.error = payload_error(dir, ctrl, id, data, n);
	decoder_frame(d, &info);
	if (!info.error)
		message(d, g, dir, ctrl, id, data, n);
}

const struct protocol protocol_tsun_gen3 = {
	.name = "tsun-gen3",
	.likely = 6,
	.frame_max = LENGTH_MAX + 4,
	.state_size = sizeof(struct gen3),
	.probe = gen3_probe,
	.frame = gen3_frame,
	.decode = gen3_decode,
};
