/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inteless.c - Inteless / E-Linter: Wi-Fi dongles of Sunsynk and unbranded Deye hybrids (port 51100)
 *
 *	 0  a5 06
 *	 2  01 from the device, a1 from the cloud
 *	 3  message type; an answer repeats it
 *	 4  request: 00 or 02; answer: status
 *	 5  request: signal, in dBm perhaps; answer: 00
 *	 6  00 00
 *	 8  number, counts up; an answer repeats it
 *	 9  length of the payload, big-endian; the frame is 11 longer
 *	11  payload; no checksum and no trailer
 *
 * The dongle reads the inverter's registers by a list that the cloud gives it (type 0b, the poll
 * map). Of each entry it knows how many registers from which on, and whether they go into the report
 * (type 09): those stand there one after the other. Which registers a report carries is therefore
 * known from the poll map; where none was seen, from the report's length.
 *
 * Without a checksum everything has to look right in several places before it is believed: a frame
 * whose content proves nothing has to be followed by another one, if anything follows; a report has
 * to have its serial, its zeros and its frequencies where they belong.
 *
 * The login carries the dongle's register key, which is as good as a password: no bytes of a login
 * ever leave this file.
 *
 * Sources: bmerry/sunsniff, martinville/SolarProxxie, kellerza/sunsynk; what was captured is in tests/vectors/inteless.
 */
#include <string.h>

#include "protocols/protocol.h"
#include "protocols/reading_fill.h"

enum {
	HEAD = 11,
	PAYLOAD_MAX = 2048,
	FROM_DEVICE = 0x01, FROM_CLOUD = 0xa1,

	TYPE_LOGIN = 0x01, TYPE_INFORMATION = 0x02, TYPE_CONTROL_4 = 0x04, TYPE_CLOCK = 0x05, TYPE_WHERE = 0x07,
	TYPE_REPORT = 0x09, TYPE_CONTROL_A = 0x0a, TYPE_POLL_MAP = 0x0b, TYPE_MAX = 0x0f,

	LOGIN_SERIAL = 12,
	REPORT_SERIAL = 10, REPORT_ZEROS = 21, REPORT_TIME = 37, REPORT_WORDS = 44,
	MAP_VERSION = 16, MAP_ENTRY = 6, MAP_READ = 3,

	REGISTER_GRID_FREQUENCY = 79, REGISTER_AC_FREQUENCY = 193,

	OPEN_MAX = 16,
};

struct request {
	bool open;
	uint8_t type, number;
};

struct inteless {
	char logger[READING_ID_MAX];	/* the dongle's serial, from the login */
	struct register_blocks blocks;	/* of the poll map; count 0: none was seen */
	struct request requests[OPEN_MAX];
	unsigned int next;
	bool any;			/* a report was told; of the last one: */
	uint8_t number;
	int64_t time_ms;
};

/* Where no poll map was seen. 306 is what the captured poll map asks for, the others are older. */
static const struct layout {
	size_t size;
	struct register_blocks blocks;
} layouts[] = {
	{ 292, { 3, { { 59, 66 }, { 150, 50 }, { 312, 8 } } } },
	{ 302, { 7, { { 13, 1 }, { 16, 2 }, { 54, 1 }, { 59, 66 }, { 150, 50 }, { 204, 1 }, { 312, 8 } } } },
	{ 306, { 9, { { 13, 1 }, { 16, 2 }, { 54, 1 }, { 59, 66 }, { 150, 50 }, { 204, 1 }, { 244, 1 },
		      { 312, 8 }, { 491, 1 } } } },
};

static bool type_known(uint8_t type)
{
	return type == TYPE_LOGIN || type == TYPE_INFORMATION || type == TYPE_CONTROL_4 || type == TYPE_CLOCK ||
	       type == TYPE_WHERE || type == TYPE_REPORT || type == TYPE_CONTROL_A || type == TYPE_POLL_MAP;
}

static bool printable(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] <= ' ' || p[i] > '~')
			return false;
	return true;
}

/* Days since 1970 of a civil date (Howard Hinnant's days_from_civil). */
static int64_t days_since_1970(int y, unsigned int m, unsigned int d)
{
	int64_t era, yoe, doy;

	y -= m <= 2;
	era = y / 400;
	yoe = y - era * 400;
	doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* year - 2000, month, day, hour, minute, second, as numbers (not BCD): a wall clock's ms since 1970. */
static bool wall_clock(const uint8_t *p, int64_t *ret_ms)
{
	static const uint8_t days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	if (p[0] > 99 || p[1] < 1 || p[1] > 12 || p[2] < 1 || p[2] > days[p[1] - 1] || p[3] > 23 || p[4] > 59 ||
	    p[5] > 59 || (p[1] == 2 && p[2] == 29 && p[0] % 4))
		return false;
	*ret_ms = (days_since_1970(2000 + p[0], p[1], p[2]) * 86400 + p[3] * 3600 + p[4] * 60 + p[5]) * 1000;
	return true;
}

/* ------------------------------------------------ framing */
/* As far as it is there; no bytes at all may be the beginning of a header too. */
static bool may_be_header(const uint8_t *p, size_t length)
{
	return (length < 1 || p[0] == 0xa5) && (length < 2 || p[1] == 0x06) &&
	       (length < 3 || p[2] == FROM_DEVICE || p[2] == FROM_CLOUD) && (length < 4 || p[3] <= TYPE_MAX) &&
	       (length < 7 || !p[6]) && (length < 8 || !p[7]) && (length < HEAD || be16(p + 9) <= PAYLOAD_MAX);
}

static bool report_head_right(const uint8_t *p, size_t size)
{
	static const uint8_t zeros[REPORT_TIME - REPORT_ZEROS];

	return size >= REPORT_WORDS && printable(p + HEAD, REPORT_SERIAL) &&
	       !memcmp(p + REPORT_ZEROS, zeros, sizeof(zeros));
}

static bool poll_map_right(const uint8_t *p, size_t size)
{
	return size > HEAD + MAP_VERSION && size == HEAD + MAP_VERSION + 1 + (size_t)MAP_ENTRY * p[HEAD + MAP_VERSION];
}

/* A whole frame whose content leaves no doubt, whatever follows it. */
static bool proven(const uint8_t *p, size_t size)
{
	int64_t ms;

	if (size == HEAD)
		return true;		/* 59 bits of its header are fixed */
	switch ((unsigned int)p[2] << 8 | p[3]) {
	case FROM_DEVICE << 8 | TYPE_LOGIN:
		return size == 43 && printable(p + HEAD, LOGIN_SERIAL);
	case FROM_DEVICE << 8 | TYPE_REPORT:
		for (size_t i = 0; i < ARRAY_SIZE(layouts); i++)
			if (size == layouts[i].size)
				return report_head_right(p, size);
		return false;
	case FROM_CLOUD << 8 | TYPE_LOGIN:
		return size == 19 && wall_clock(p + HEAD, &ms);
	case FROM_CLOUD << 8 | TYPE_CLOCK:
		return size == 17 && wall_clock(p + HEAD, &ms);
	case FROM_CLOUD << 8 | TYPE_WHERE:
		return printable(p + HEAD, size - HEAD);
	case FROM_CLOUD << 8 | TYPE_POLL_MAP:
		return poll_map_right(p, size);
	default:
		return false;
	}
}

static struct framed inteless_frame(struct scan *scan, const uint8_t *p, size_t length)
{
	const uint8_t *start;
	size_t size;

	(void)scan;
	if (!may_be_header(p, length)) {
		start = memchr(p + 1, 0xa5, length - 1);
		return (struct framed){ FRAMING_SKIP, start ? (size_t)(start - p) : length, NULL };
	}
	if (length < HEAD)
		return (struct framed){ FRAMING_MORE, HEAD, NULL };
	size = HEAD + be16(p + 9);
	if (length < size)
		return (struct framed){ FRAMING_MORE, size, NULL };
	if (!may_be_header(p + size, length - size) && !proven(p, size))
		return (struct framed){ FRAMING_SKIP, 1, NULL };
	return (struct framed){ FRAMING_GOOD, size, NULL };
}

static enum probe_answer inteless_probe(const uint8_t *p, size_t length, bool at_start)
{
	struct scan scan = { 0 };
	struct framed f;

	if (*p != 0xa5)
		return PROBE_NO;
	f = inteless_frame(&scan, p, length);
	switch (f.what) {
	case FRAMING_SKIP:
	case FRAMING_BAD:
		return PROBE_NO;
	case FRAMING_MORE:
		break;
	case FRAMING_GOOD:
		if (proven(p, f.size) || length >= f.size + HEAD)
			return PROBE_YES;
		break;
	}
	/* At a flow's start the header is enough; in the midst of something else it has to prove itself. */
	return at_start && length >= HEAD ? PROBE_YES : PROBE_MORE;
}

/* ------------------------------------------------ requests and their answers */
static void open_request(struct inteless *v, uint8_t type, uint8_t number)
{
	v->requests[v->next++ % OPEN_MAX] = (struct request){ true, type, number };
}

static bool close_request(struct inteless *v, uint8_t type, uint8_t number)
{
	for (size_t i = 0; i < OPEN_MAX; i++)
		if (v->requests[i].open && v->requests[i].type == type && v->requests[i].number == number) {
			v->requests[i].open = false;
			return true;
		}
	return false;
}

/* Never seen in a capture, so its bytes are wanted; those of a login are not among them. */
static void tell_command(struct decoder *d, enum dir dir, const char *what, const uint8_t *p, size_t size)
{
	char text[2 * 256 + 1];
	size_t n = size < 256 ? size : 256;

	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", p[i]);
	decoder_note(d, dir, "command", "%s type=0x%02x number=%u len=%zu %s%s", what, p[3], p[8], size, text,
		     n < size ? "..." : "");
}

static void tell_clock(struct decoder *d, enum dir dir, const uint8_t *p)
{
	int64_t ms;

	if (wall_clock(p, &ms))
		decoder_note(d, dir, "cloud_time", "20%02u-%02u-%02uT%02u:%02u:%02u", p[0], p[1], p[2], p[3], p[4], p[5]);
}

/* ------------------------------------------------ the poll map */
static size_t word_count(const struct register_blocks *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->count; i++)
		n += b->block[i].count;
	return n;
}

static void blocks_text(const struct register_blocks *b, char *text, size_t room)
{
	size_t used = 0;

	*text = '\0';
	for (size_t i = 0; i < b->count && used + 16 < room; i++) {
		unsigned int first = b->block[i].first, last = first + b->block[i].count - 1u;

		used += (size_t)snprintf(text + used, room - used, first == last ? "%s%u" : "%s%u-%u", i ? "," : "",
					 first, last);
	}
}

static void poll_map(struct decoder *d, struct inteless *v, enum dir dir, const uint8_t *frame, size_t size)
{
	struct register_blocks b = { .count = 0 };
	const uint8_t *p = frame + HEAD;
	struct device *device;
	char text[900];
	bool fits = true;

	if (size == HEAD)
		return;
	if (!poll_map_right(frame, size)) {
		decoder_note(d, dir, "error", "body: no poll map");
		return;
	}
	text_clean(text, sizeof(text), p, MAP_VERSION);
	decoder_note(d, dir, "map_version", "%s", text);
	decoder_note(d, dir, "map_entries", "%u", p[MAP_VERSION]);
	for (const uint8_t *e = p + MAP_VERSION + 1; e < frame + size; e += MAP_ENTRY) {
		uint16_t first = be16(e + 3);
		uint8_t count = e[5];

		/* The dongle would write instead of reading. */
		if (e[2] != MAP_READ) {
			tell_command(d, dir, "poll map that does not only read", frame, size);
			return;
		}
		if (e[0] || !count)
			continue;
		if (b.count == REGISTER_BLOCKS_MAX || first + count > 0x10000) {
			fits = false;
			continue;
		}
		b.block[b.count].first = first;
		b.block[b.count++].count = count;
	}
	if (!fits || !b.count || REPORT_WORDS + 2 * word_count(&b) > HEAD + PAYLOAD_MAX) {
		decoder_note(d, dir, "error", "field: the poll map's registers make no report");
		return;
	}
	blocks_text(&b, text, sizeof(text));
	decoder_note(d, dir, "report_length", "%zu", REPORT_WORDS + 2 * word_count(&b));
	decoder_note(d, dir, "report_registers", "%s", text);
	v->blocks = b;
	/* The dongle asks once a connection; who joins a later one knows it from here. */
	device = *v->logger ? knowledge_device(d->k, v->logger) : NULL;
	if (device)
		device->blocks = b;
}

/* ------------------------------------------------ login and report */
static void login(struct decoder *d, struct inteless *v, enum dir dir, const uint8_t *frame, size_t size)
{
	const struct device *device;

	if (size < HEAD + LOGIN_SERIAL || !printable(frame + HEAD, LOGIN_SERIAL)) {
		decoder_note(d, dir, "error", "body: no login");
		return;
	}
	text_clean(v->logger, sizeof(v->logger), frame + HEAD, LOGIN_SERIAL);
	decoder_note(d, dir, "login", "%s", v->logger);
	device = knowledge_device(d->k, v->logger);
	if (device)
		v->blocks = device->blocks;
}

static const struct register_blocks *report_layout(const struct inteless *v, size_t size)
{
	if (v->blocks.count && size == REPORT_WORDS + 2 * word_count(&v->blocks))
		return &v->blocks;
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++)
		if (size == layouts[i].size)
			return &layouts[i].blocks;
	return NULL;
}

/* Where each block stands; blocks that follow one another as registers too become one. */
static size_t place(const struct register_blocks *b, const uint8_t *p, struct map_registers *groups)
{
	size_t n = 0;

	for (size_t i = 0; i < b->count; i++) {
		const struct register_block *one = &b->block[i];

		if (n && groups[n - 1].first + groups[n - 1].count == one->first)
			groups[n - 1].count += one->count;
		else
			groups[n++] = (struct map_registers){ one->first, one->count, p };
		p += 2 * one->count;
	}
	return n;
}

/* The test that the registers stand where they are looked for: off, or a grid's frequency. */
static bool frequency_right(const struct map_registers *groups, size_t count, uint32_t reg)
{
	for (size_t i = 0; i < count; i++)
		if (reg >= groups[i].first && reg - groups[i].first < groups[i].count) {
			unsigned int v = be16(groups[i].bytes + 2 * (size_t)(reg - groups[i].first));

			return !v || (v >= 4000 && v <= 7000);
		}
	return true;
}

static void report(struct decoder *d, struct inteless *v, enum dir dir, const uint8_t *p, size_t size)
{
	struct map_registers groups[REGISTER_BLOCKS_MAX];
	const struct register_blocks *b = report_layout(v, size);
	struct map_work *w = &d->k->work;
	struct device *device;
	const struct map *m;
	struct reading *r;
	size_t n;

	if (!report_head_right(p, size)) {
		decoder_note(d, dir, "error", "body: no report");
		return;
	}
	r = decoder_reading(d, v->logger);
	text_clean(r->serial, sizeof(r->serial), p + HEAD, REPORT_SERIAL);
	if (wall_clock(p + REPORT_TIME, &r->time_ms))
		r->time_kind = TIME_LOCAL;
	r->repeat = v->any && v->number == p[8] && v->time_ms == r->time_ms;
	v->any = r->time_kind == TIME_LOCAL;
	v->number = p[8];
	v->time_ms = r->time_ms;

	n = b ? place(b, p + REPORT_WORDS, groups) : 0;
	if (!b || !frequency_right(groups, n, REGISTER_GRID_FREQUENCY) ||
	    !frequency_right(groups, n, REGISTER_AC_FREQUENCY)) {
		r->info = true;
		reading_add_integer(r, "report_length", (int64_t)size);
		decoder_publish(d, r);
		decoder_note(d, dir, "error", b ? "layout: the report of %zu bytes has no frequency where it should be" :
			     "layout: a report of %zu bytes is not known", size);
		return;
	}
	m = knowledge_record_map(d->k, d->protocol->name, NULL, 0, size);
	device = *v->logger ? knowledge_device(d->k, v->logger) : NULL;
	w->measurements = 0;
	if (m) {
		w->totals = device ? device_totals(device, m) : NULL;
		map_decode_registers(m, w, groups, n, r);
		r->model = r->model ? r->model : m->model;
	}
	r->info = !w->measurements;
	if (device)
		memcpy(device->serial, r->serial, sizeof(device->serial));
	decoder_publish(d, r);
}

/* ------------------------------------------------ messages */
static void request(struct decoder *d, struct inteless *v, enum dir dir, const uint8_t *p, size_t size)
{
	open_request(v, p[3], p[8]);
	switch (p[3]) {
	case TYPE_LOGIN:
		login(d, v, dir, p, size);
		break;
	case TYPE_REPORT:
		report(d, v, dir, p, size);
		break;
	default:
		break;
	}
}

static void answer(struct decoder *d, struct inteless *v, enum dir dir, const uint8_t *p, size_t size)
{
	if (!close_request(v, p[3], p[8]))
		tell_command(d, dir, "answer to nothing asked,", p, size);
	switch (p[3]) {
	case TYPE_LOGIN:
	case TYPE_CLOCK:
		if (size >= HEAD + 6)
			tell_clock(d, dir, p + HEAD);
		break;
	case TYPE_WHERE:
		if (size > HEAD && printable(p + HEAD, size - HEAD))
			decoder_note(d, dir, "redirect", "%.*s", (int)(size - HEAD), (const char *)p + HEAD);
		break;
	case TYPE_POLL_MAP:
		poll_map(d, v, dir, p, size);
		break;
	default:
		break;
	}
}

static void inteless_decode(struct decoder *d, enum dir dir, const uint8_t *p, size_t size, const char *error)
{
	struct frame_info info = decoder_frame_info(d, dir, p, size, error);

	opcode_hex(info.opcode, be16(p + 2), 4);
	info.length = size;
	info.known = type_known(p[3]);
	if (p[3] == TYPE_LOGIN && size > HEAD + LOGIN_SERIAL) {
		info.private_at = HEAD + LOGIN_SERIAL;	/* the register key */
		info.private_size = size - info.private_at;
	}
	decoder_frame(d, &info);
	if (dir == DIR_DEVICE && p[2] == FROM_DEVICE)
		request(d, d->state, dir, p, size);
	else if (dir == DIR_CLOUD && p[2] == FROM_CLOUD)
		answer(d, d->state, dir, p, size);
	else if (dir == DIR_CLOUD && p[3] != TYPE_LOGIN)
		tell_command(d, dir, "request of the cloud,", p, size);
}

const struct protocol protocol_inteless = {
	.name = "inteless",
	.likely = HEAD,
	.frame_max = HEAD + PAYLOAD_MAX,
	.state_size = sizeof(struct inteless),
	.probe = inteless_probe,
	.frame = inteless_frame,
	.decode = inteless_decode,
};
