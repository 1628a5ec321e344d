/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * apsystems.c - APsystems ECU to EMA: records (8995, 8996), commands (8997), files (ECU11); framing of the
 * local port 8899, too (its contents: apsystems_local.c)
 *
 *	0	APS
 *	3	version of the layout, two digits
 *	5	length of all without the newline, five digits, filled up with A
 *	10	command, AAAA for records
 *	14	sequence
 *	18	ECU id
 *	30	by version and command; sections end in END
 *		newline, where it comes from the ECU
 *
 * Text all of it, without a checksum: the END where the length says is what shows that it is whole. A
 * newline may follow or not, so a frame is taken when the next byte is there, or when none can be
 * waited for (scan->end). EMA answers records with digits only: 1, a count, so many times.
 *
 * The ECU's clock is that of its own zone, which it does not tell: whether a record was stored is seen
 * by how much its time falls behind that of the others (is_stored()).
 *
 * Sources: HAEdwin/homeassistant-apsystems_ecu_proxy, msp1974/apsystems_ecu_proxy, and of the ECU's firmware
 * tomyqg/STM32_RTT_F107 and syfchao/STM32_RTT_F107 (facts only); what was captured is in tests/vectors/apsystems.
 */
#include "protocols/apsystems.h"

#include <stdlib.h>
#include <string.h>

#include "protocols/reading_fill.h"
#include "protocols/vocabulary.h"

enum {
	HEAD = 10,
	LENGTH_MIN = 16,
	LENGTH_MAX = 65000,
	QUERY_LENGTH = 22,	/* APS13AAA22 and the id: which records are stored? */
	REPLY_HEAD = 3,
	TIME = 14,
	RECORD_HEAD = 86,
	STATUS_HEAD = 51,
	BODY = 30,
	FILE_HEAD = 13,
	VERSION_LOCAL = 11, VERSION_LOCAL_PRO = 12, VERSION_COMMAND = 13, VERSION_15 = 15, VERSION_16 = 16,
	VERSION_RECORD = 18,
};

/* Older than this against the ECU's clock: stored. */
#define STORED (INT64_C(15) * 60)

/* ------------------------------------------------ for both parts */
bool aps_digits(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return true;
}

unsigned int aps_number(const uint8_t *p, size_t n)
{
	unsigned int v = 0;

	for (size_t i = 0; i < n; i++)
		v = v * 10 + p[i] - '0';
	return v;
}

bool aps_time(const uint8_t *p, int64_t *ret)
{
	unsigned int t[6];

	if (!aps_digits(p, TIME))
		return false;
	t[0] = aps_number(p, 4);
	for (size_t i = 1; i < 6; i++)
		t[i] = aps_number(p + 2 + 2 * i, 2);
	return map_wall_seconds(t, ret);
}

void aps_id(char *out, const uint8_t *p)
{
	memcpy(out, p, APS_ID);
	out[APS_ID] = '\0';
}

void aps_set_time(struct reading *r, int64_t seconds)
{
	r->time_kind = TIME_LOCAL;
	r->time_ms = seconds * 1000;
}

const struct map *aps_map(const struct decoder *d, uint32_t layout, size_t length)
{
	return knowledge_record_map(d->k, d->protocol->name, "layout", layout, length);
}

void aps_run_map(struct decoder *d, const struct map *m, const uint8_t *p, size_t n, struct reading *r)
{
	struct map_work *w = &d->k->work;

	w->measurements = 0;
	w->unread_count = 0;
	w->totals = NULL;
	if (m) {
		map_decode_bytes(m, w, p, n, r);
		r->model = r->model ? r->model : m->model;
	}
	r->info = !w->measurements;
	if (w->unread_count)
		decoder_note(d, DIR_DEVICE, "error", "field");
}

/* ------------------------------------------------ framing */
static bool is_end(const uint8_t *p)
{
	return !memcmp(p, "END", 3);
}

/* 1: begins so. 0: more bytes would tell. -1: no. */
static int begins(const uint8_t *p, size_t n, const char *with)
{
	size_t length = strlen(with), have = n < length ? n : length;

	return memcmp(p, with, have) ? -1 : have == length;
}

/* The number that digits and A (as 0) make; false: something else stands there. */
static bool padded_number(const uint8_t *p, size_t n, unsigned int *ret)
{
	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] != 'A' && (p[i] < '0' || p[i] > '9'))
			return false;
		*ret = *ret * 10 + (p[i] == 'A' ? 0u : p[i] - (unsigned int)'0');
	}
	return true;
}

struct header {
	size_t length;		/* as it says, without newline */
	bool local;		/* APS11, APS12: four digits of length */
	bool file;		/* ECU11 */
};

/* 1: a header. 0: it could become one. -1: none. */
static int read_header(const uint8_t *p, size_t n, struct header *h)
{
	unsigned int v;
	int aps = begins(p, n, "APS"), ecu = begins(p, n, "ECU11");
	size_t head;

	*h = (struct header){ .file = ecu >= 0 && *p == 'E' };
	if (aps < 0 && ecu < 0)
		return -1;
	if (!h->file && n > 3 && !aps_digits(p + 3, n < 5 ? n - 3 : 2))
		return -1;
	if (n <= 5)
		return 0;
	h->local = !h->file && p[3] == '1' && (p[4] == '1' || p[4] == '2');
	if (h->local || h->file) {
		head = APS_LOCAL_HEAD;
		if (!aps_digits(p + 5, n < head ? n - 5 : head - 5))
			return -1;
		if (n < head)
			return 0;
		h->length = aps_number(p + 5, 4);
		return h->length >= APS_LOCAL_SHORT ? 1 : -1;
	}
	head = HEAD;
	if (!padded_number(p + 5, n < head ? n - 5 : head - 5, &v))
		return -1;
	if (n < head)
		return 0;
	h->length = v;
	return v >= LENGTH_MIN && v <= LENGTH_MAX ? 1 : -1;
}

/* A length that is wrong may reach into the next frame: the bad one ends where that begins. */
static struct framed bad_length(const uint8_t *p, size_t n, size_t length)
{
	struct header h;

	for (size_t i = APS_LOCAL_HEAD; i < n; i++)
		if ((p[i] == 'A' || p[i] == 'E') && length - i >= APS_LOCAL_HEAD &&
		    read_header(p + i, length - i, &h) > 0)
			return (struct framed){ FRAMING_BAD, i, "length" };
	if (n < length && p[n] == '\n')
		n++;
	return (struct framed){ FRAMING_BAD, n, "length" };
}

/* n bytes are there; a newline, another frame or nothing has to follow. */
static struct framed close_frame(const struct scan *scan, const uint8_t *p, size_t length, size_t n, bool whole)
{
	int next = -1;

	if (!whole)
		return bad_length(p, n, length);
	if (length == n) {
		if (!scan->end)
			return (struct framed){ FRAMING_MORE, n + 1, NULL };
		return (struct framed){ FRAMING_GOOD, n, NULL };
	}
	if (p[n] == '\n')
		return (struct framed){ FRAMING_GOOD, n + 1, NULL };
	if (p[n] == 'A')
		next = begins(p + n, length - n, "APS");
	else if (p[n] == 'E')
		next = begins(p + n, length - n, "ECU");
	else if (scan->dir == DIR_CLOUD && p[n] >= '0' && p[n] <= '9')
		next = 1;
	if (!next && !scan->end)
		return (struct framed){ FRAMING_MORE, length + 1, NULL };
	return next < 0 ? bad_length(p, n, length) : (struct framed){ FRAMING_GOOD, n, NULL };
}

/*
 * Local port: the length is not to be relied on (a request for energies says 39 and has 33, the reply to
 * 0058 says 52 and has 25), the END with its newline is; bytes 45 4e 44 0a are no value of any field.
 */
static struct framed local_frame(struct scan *scan, const uint8_t *p, size_t length, size_t n)
{
	size_t i = scan->done > APS_LOCAL_HEAD ? scan->done : APS_LOCAL_HEAD;

	for (; i + 4 <= length && i + 4 <= n + 1; i++)
		if (p[i] == 'E' && is_end(p + i) && p[i + 3] == '\n')
			return (struct framed){ FRAMING_GOOD, i + 4, NULL };
	if (length < n) {
		if (scan->end && length > LENGTH_MIN && is_end(p + length - 3))
			return (struct framed){ FRAMING_GOOD, length, NULL };
		scan->done = i;
		return (struct framed){ FRAMING_MORE, length + 1, NULL };
	}
	return close_frame(scan, p, length, n, n == APS_LOCAL_SHORT || is_end(p + n - 3));
}

/* EMA's answer: digits only. */
static struct framed reply_frame(const struct scan *scan, const uint8_t *p, size_t length)
{
	size_t n = 0, most = REPLY_HEAD + 99 * TIME;

	if (*p == '1') {
		while (n < length && n < REPLY_HEAD && aps_digits(p + n, 1))
			n++;
		if (n < REPLY_HEAD)
			return n < length ? (struct framed){ FRAMING_SKIP, n, NULL } :
					    (struct framed){ FRAMING_MORE, n + 1, NULL };
		most = REPLY_HEAD + TIME * aps_number(p + 1, 2);
	}
	while (n < length && n < most && aps_digits(p + n, 1))
		n++;
	if (n == length && (n < most || *p != '1') && !(scan->end && *p != '1'))
		return (struct framed){ FRAMING_MORE, *p == '1' ? most : n + 1, NULL };
	if (*p == '1' && n < most)
		return (struct framed){ FRAMING_SKIP, n, NULL };
	if (n == length && !scan->end)
		return (struct framed){ FRAMING_MORE, n + 1, NULL };
	return (struct framed){ FRAMING_GOOD, n + (n < length && p[n] == '\n'), NULL };
}

static struct framed aps_frame(struct scan *scan, const uint8_t *p, size_t length)
{
	bool replies = scan->dir == DIR_CLOUD;
	struct header h;
	size_t n = 1;
	int r;

	if (replies && *p >= '0' && *p <= '9')
		return reply_frame(scan, p, length);
	r = read_header(p, length, &h);
	if (!r)
		return (struct framed){ FRAMING_MORE, length + 1, NULL };
	if (r < 0) {
		while (n < length && p[n] != 'A' && p[n] != 'E' && !(replies && p[n] >= '0' && p[n] <= '9'))
			n++;
		return (struct framed){ FRAMING_SKIP, n, NULL };
	}
	if (h.local)
		return local_frame(scan, p, length, h.length);
	if (length < h.length)
		return (struct framed){ FRAMING_MORE, h.length, NULL };
	return close_frame(scan, p, length, h.length,
			   is_end(p + h.length - 3) ||
			   (h.length == QUERY_LENGTH && aps_digits(p + HEAD, APS_ID)));
}

static enum probe_answer aps_probe(const uint8_t *p, size_t length, bool at_start)
{
	static const uint8_t versions[] = { VERSION_LOCAL, VERSION_LOCAL_PRO, VERSION_COMMAND, VERSION_15, VERSION_16,
					    VERSION_RECORD };
	struct header h;
	int r = read_header(p, length, &h);

	(void)at_start;
	if (r <= 0)
		return r ? PROBE_NO : PROBE_MORE;
	return h.file || memchr(versions, (int)aps_number(p + 3, 2), sizeof(versions)) ? PROBE_YES : PROBE_NO;
}

/* ------------------------------------------------ records */
/*
 * How far the record's time is from its arrival is the ECU's zone, less the delay; the least delay of
 * late is that of a live one. A wall clock that is set back looks like a delay of an hour: two
 * records in two cycles with the same delay are no backlog (which comes in one go) but a new zone.
 */
static bool is_stored(struct device *device, int64_t arrival_ns, int64_t seconds)
{
	int64_t arrival = arrival_ns / NSEC_PER_SEC, offset = seconds - arrival, last, last_arrival;

	if (!arrival_ns || !device)
		return false;
	/* No zone is so far behind. */
	if (offset < -(12 * 3600 + STORED))
		return true;
	last = device->wall.last;
	last_arrival = device->wall.arrival;
	device->wall.last = offset;
	device->wall.arrival = arrival;
	if (!device->wall.known || offset >= device->wall.offset) {
		device->wall.known = true;
		device->wall.offset = offset;
		return false;
	}
	if (offset > device->wall.offset - STORED) {
		device->wall.offset -= (device->wall.offset - offset) / 16;
		return false;
	}
	if (arrival - last_arrival >= 240 && offset - last <= 120 && last - offset <= 120) {
		device->wall.offset = offset;
		return false;
	}
	return true;
}

/* Records are minutes apart: their minute is the number, which of its seconds is the power-on. */
static bool seen(struct device *device, unsigned int kind, int64_t seconds)
{
	return device && device_record_seen(device, (uint32_t)(seconds / 60), (seconds % 60 + 60 * kind) * 1000);
}

struct sum {
	int64_t power;		/* 0.01 W, of all channels of all inverters */
	bool incomplete;	/* of some inverter it is not known */
};

static struct value *find_value(struct reading *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->values[i].type == VALUE_NUMBER && !strcmp(r->values[i].name, name))
			return &r->values[i];
	return NULL;
}

static bool in_hundredths(const struct value *v, int64_t *ret)
{
	struct number n;

	if (!v)
		return false;
	n = v->number;
	if (!number_round(&n, 2))
		return false;
	*ret = n.mantissa;
	return true;
}

/*
 * Digits that do not fit are cut on the right, and devices differ in the unit: what is not near the
 * power of the channels is tried with the other one.
 */
static void right_power(struct reading *r, unsigned int channels)
{
	struct value *v = find_value(r, "ac_power");
	int64_t ac, pv, other;

	if (!in_hundredths(v, &ac) || !in_hundredths(find_value(r, "pv_power"), &pv) || pv <= 0 || ac > 100000000)
		return;
	if (100 * ac >= 50 * pv && 100 * ac <= 115 * pv)
		return;
	other = channels == 2 ? ac * 10 : ac / 10;
	if (100 * other >= 50 * pv && 100 * other <= 115 * pv)
		v->number = (struct number){ .mantissa = other, .decimals = 2 };
}

/* Length of a sub-record before its END, by its type; 0: another type. */
static size_t inverter_length(const uint8_t *type)
{
	static const struct {
		char type[3];
		size_t length;
	} lengths[] = { { "03", 103 }, { "04", 144 }, { "05", 72 }, { "07", 85 }, { "08", 125 } };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		if (!memcmp(type, lengths[i].type, 2))
			return lengths[i].length;
	return 0;
}

/* The END that twelve digits or the end follow, from 14 on; 0: none. */
static size_t section_end(const uint8_t *p, size_t n)
{
	for (size_t i = APS_ID + 2; i + 3 <= n; i++)
		if (is_end(p + i) && (i + 3 == n || (n - i - 3 >= APS_ID && aps_digits(p + i + 3, APS_ID))))
			return i;
	return 0;
}

static uint32_t inverter_layout(const uint8_t *p, size_t length)
{
	size_t listed = inverter_length(p + APS_ID);

	if (listed)
		return length == listed ? 0x1800u + (p[APS_ID + 1] - (unsigned int)'0') : 0;
	if (length == 85 && p[45] == '1' && p[65] == '2')
		return 0x1807;
	if (length == 125 && p[45] == '1' && p[65] == '2' && p[85] == '3' && p[105] == '4')
		return 0x1808;
	return 0;
}

static void inverter(struct decoder *d, const char *logger, const uint8_t *p, size_t n, const int64_t *time,
		     bool historic, struct sum *sum)
{
	uint32_t layout = inverter_layout(p, n);
	struct reading *r;
	int64_t power;

	if (!layout) {
		decoder_note(d, DIR_DEVICE, "error", "%s", inverter_length(p + APS_ID) ? "layout" : "type");
		sum->incomplete = true;
		return;
	}
	r = decoder_reading(d, logger);
	aps_run_map(d, aps_map(d, layout, n), p, n, r);
	if (layout == 0x1807 || layout == 0x1808)
		right_power(r, layout == 0x1807 ? 2 : 4);
	if (in_hundredths(find_value(r, "pv_power"), &power))
		sum->power += power;
	else
		sum->incomplete = true;
	aps_id(r->serial, p);
	if (time)
		aps_set_time(r, *time);
	r->historic = historic;
	if (r->count)
		decoder_publish(d, r);
}

/*
 * The sum of an ECU is in W, or with some firmware in 0.01 W: what is nearer to the channels. Where an
 * inverter's are missing that is a matter of its order only, and without any it is W.
 */
static bool sum_in_hundredths(int64_t power, const struct sum *sum)
{
	int64_t hundredth = power / 100;

	if (sum->incomplete)
		return sum->power && power / 10 > sum->power;
	return llabs(hundredth - sum->power) < llabs(power - sum->power);
}

static void record(struct decoder *d, const uint8_t *p, size_t n)
{
	char logger[APS_ID + 1];
	struct sum sum = { 0 };
	struct device *device;
	struct reading *r;
	struct value *v;
	int64_t time, power;
	bool has_time, historic;
	size_t at = RECORD_HEAD, length;

	if (n < RECORD_HEAD || !is_end(p + RECORD_HEAD - 3) || !aps_digits(p + 18, APS_ID)) {
		decoder_note(d, DIR_DEVICE, "error", "layout");
		return;
	}
	aps_id(logger, p + 18);
	device = knowledge_device(d->k, logger);
	has_time = aps_time(p + 60, &time);
	if (has_time && seen(device, 0, time)) {
		decoder_note(d, DIR_DEVICE, "duplicate", "%.14s local", (const char *)p + 60);
		return;
	}
	historic = has_time && is_stored(device, d->arrival_ns, time);
	if (!has_time)
		decoder_note(d, DIR_DEVICE, "time", "arrival");
	while (at < n) {
		length = n - at >= APS_ID + 2 && aps_digits(p + at, APS_ID) ? section_end(p + at, n - at) : 0;
		if (!length) {
			decoder_note(d, DIR_DEVICE, "error", "layout");
			sum.incomplete = true;
			break;
		}
		inverter(d, logger, p + at, length, has_time ? &time : NULL, historic, &sum);
		at += length + 3;
	}
	r = decoder_reading(d, logger);
	aps_run_map(d, aps_map(d, 0x1800, n), p, RECORD_HEAD, r);
	v = find_value(r, "ac_power");
	if (in_hundredths(v, &power)) {
		if (sum_in_hundredths(power, &sum))
			v->number = (struct number){ .mantissa = power / 100, .decimals = 2 };
		/* The map's limit is that of the small unit. */
		if (number_double(v->number) > vocabulary_unit("ac_power")->max)
			*v = r->values[--r->count];
	}
	memcpy(r->serial, logger, sizeof(logger));
	if (has_time)
		aps_set_time(r, time);
	r->historic = historic;
	decoder_publish(d, r);
}

/* APS15, APS16: nobody has published one; who and when is certain, the rest stays raw. */
static void older_record(struct decoder *d, const uint8_t *p, size_t n, size_t time_at)
{
	struct reading *r;
	char logger[APS_ID + 1];
	int64_t time;

	if (n < time_at + TIME || !aps_digits(p + 18, APS_ID)) {
		decoder_note(d, DIR_DEVICE, "error", "layout");
		return;
	}
	aps_id(logger, p + 18);
	r = decoder_reading(d, logger);
	memcpy(r->serial, logger, sizeof(logger));
	r->info = true;
	if (aps_time(p + time_at, &time))
		aps_set_time(r, time);
	decoder_publish(d, r);
}

/* A123: which protections of which inverters have acted. */
static void status(struct decoder *d, const uint8_t *p, size_t n)
{
	char logger[APS_ID + 1];
	struct device *device;
	int64_t time;
	bool has_time;
	size_t at = STATUS_HEAD, length;

	if (n < STATUS_HEAD || !is_end(p + STATUS_HEAD - 3) || !aps_digits(p + 18, APS_ID)) {
		decoder_note(d, DIR_DEVICE, "error", "layout");
		return;
	}
	aps_id(logger, p + 18);
	device = knowledge_device(d->k, logger);
	has_time = aps_time(p + 34, &time);
	if (has_time && seen(device, 10, time)) {
		decoder_note(d, DIR_DEVICE, "duplicate", "%.14s local", (const char *)p + 34);
		return;
	}
	for (; at < n; at += length + 3) {
		const struct map *m = NULL;
		struct reading *r;

		length = n - at >= APS_ID + 2 && aps_digits(p + at, APS_ID) ? section_end(p + at, n - at) : 0;
		if (!length) {
			decoder_note(d, DIR_DEVICE, "error", "layout");
			return;
		}
		if (aps_digits(p + at + APS_ID, 2))
			m = aps_map(d, 0x1500 + 16 * (p[at + APS_ID] - (uint32_t)'0') +
				    (p[at + APS_ID + 1] - (uint32_t)'0'), length);
		if (!m) {
			decoder_note(d, DIR_DEVICE, "error", "type");
			continue;
		}
		r = decoder_reading(d, logger);
		aps_run_map(d, m, p + at, length, r);
		aps_id(r->serial, p + at);
		if (has_time)
			aps_set_time(r, time);
		if (r->count)
			decoder_publish(d, r);
	}
}

/* ------------------------------------------------ commands of the cloud */
/* What can do no harm, or is asked only; all others, also those nobody knows, are on the block list. */
static bool harmless(unsigned int command)
{
	static const uint8_t list[] = { 100, 101, 102, 104, 106, 112, 117, 118, 123, 124, 125, 126, 127 };

	return command < 256 && memchr(list, (int)command, sizeof(list));
}

static bool command_known(unsigned int command)
{
	return (command >= 100 && command <= 127 && command != 115 && command != 116) ||
	       (command >= 128 && command <= 134 && command != 133) || command == 136 || command == 138 ||
	       (command >= 140 && command <= 142) || command == 145 || command == 146 ||
	       (command >= 148 && command <= 151);
}

/* Annn, or 0 */
static unsigned int command_number(const uint8_t *p)
{
	return *p == 'A' && aps_digits(p + 1, 3) ? aps_number(p + 1, 3) : 0;
}

static void cloud_command(struct decoder *d, enum dir dir, const uint8_t *p, size_t n)
{
	unsigned int command = command_number(p + 10);
	char text[256];

	if (command == 123)
		return;
	if (command == 101) {
		if (n < BODY + 4 + TIME + 3) {
			decoder_note(d, dir, "error", "layout");
			return;
		}
		p += 20;		/* the question form: the command stands at 30 */
		n -= 20;
		command = command_number(p + 10);
	}
	if (command == 100) {
		decoder_note(d, dir, "command", "none");
		return;
	}
	text_clean(text, sizeof(text), p + 10, 4);
	decoder_note(d, dir, "command", "%s", text);
	if (!harmless(command))
		decoder_note(d, dir, "dangerous", "1");
	if (n > BODY + 3 && text_clean(text, sizeof(text), p + BODY, n - BODY - 3))
		decoder_note(d, dir, "param", "%s", text);
}

static void acknowledgement(struct decoder *d, const uint8_t *p, size_t n)
{
	if (n < BODY + 4 + TIME + 1 || !aps_digits(p + BODY + 4 + TIME, 1)) {
		decoder_note(d, DIR_DEVICE, "error", "layout");
		return;
	}
	decoder_note(d, DIR_DEVICE, "ack", "%c", p[BODY + 4 + TIME]);
}

static void message(struct decoder *d, enum dir dir, unsigned int version, const uint8_t *p, size_t n)
{
	bool data = n >= BODY && !memcmp(p + HEAD, "AAAA", 4);
	unsigned int command = n >= BODY ? command_number(p + HEAD) : 0;

	if (dir == DIR_CLOUD) {
		if (version == VERSION_COMMAND && command)
			cloud_command(d, dir, p, n);
		else if (n != QUERY_LENGTH)
			decoder_note(d, dir, "error", "layout");
		return;
	}
	if (version == VERSION_RECORD && data)
		record(d, p, n);
	else if (version == VERSION_16 && data)
		older_record(d, p, n, 70);
	else if (version == VERSION_15 && data)
		older_record(d, p, n, 60);
	else if (version == VERSION_15 && command == 123)
		status(d, p, n);
	else if (version == VERSION_COMMAND && command == 100)
		acknowledgement(d, p, n);
	else if (n < BODY && n != QUERY_LENGTH)
		decoder_note(d, dir, "error", "layout");
}

/* ECU11: firmware and other files. */
static void file_message(struct decoder *d, enum dir dir, const uint8_t *p, size_t n)
{
	unsigned int command = aps_number(p + 9, 4);
	char path[61];

	if (command == 1 && n >= 80 && dir == DIR_DEVICE) {
		if (text_clean(path, sizeof(path), p + FILE_HEAD + 4, 60)) {
			decoder_note(d, dir, "path", "%s", path);
			decoder_note(d, dir, "dangerous", "1");
		}
	} else if (dir == DIR_CLOUD && !(command == 1 && n == 30) && !(command == 4 && n == 99)) {
		decoder_note(d, dir, "command", "file");
		decoder_note(d, dir, "dangerous", "1");
	}
}

/* ------------------------------------------------ frames */
static void set_opcode(struct frame_info *info, const uint8_t *frame, size_t n, size_t command_at)
{
	char text[8];

	memcpy(info->opcode, frame, 5);
	info->opcode[5] = '\0';
	if (n < command_at + 4 || !memcmp(frame + command_at, "AAAA", 4))
		return;
	text_clean(text, sizeof(text), frame + command_at, 4);
	snprintf(info->opcode + 5, sizeof(info->opcode) - 5, "-%s", text);
}

static bool frame_known(enum dir dir, unsigned int version, const uint8_t *p, size_t n)
{
	if (version == VERSION_COMMAND && n == QUERY_LENGTH)
		return true;
	if (n < BODY)
		return false;
	if (version == VERSION_RECORD)
		return dir == DIR_DEVICE && !memcmp(p + HEAD, "AAAA", 4);
	if (version == VERSION_15)
		return dir == DIR_DEVICE && command_number(p + HEAD) == 123;
	return version == VERSION_COMMAND && command_known(command_number(p + HEAD));
}

static void aps_decode(struct decoder *d, enum dir dir, const uint8_t *frame, size_t size, const char *error)
{
	struct frame_info info = decoder_frame_info(d, dir, frame, size, error);
	size_t n = size - (frame[size - 1] == '\n');
	unsigned int version, command;

	info.length = size;
	if (*frame != 'A' && *frame != 'E') {
		strcpy(info.opcode, "reply");
		decoder_frame(d, &info);
		if (*frame != '1')
			decoder_note(d, dir, "reply", "refused");
		return;
	}
	if (*frame == 'E') {
		set_opcode(&info, frame, n, 9);
		info.known = aps_number(frame + 9, 4) <= 4;
		decoder_frame(d, &info);
		if (!error)
			file_message(d, dir, frame, n);
		return;
	}
	version = aps_number(frame + 3, 2);
	if (version == VERSION_LOCAL || version == VERSION_LOCAL_PRO) {
		command = aps_number(frame + 9, 4);
		set_opcode(&info, frame, n, 9);
		info.known = aps_local_known(command);
		if ((error || aps_local_private(command)) && size > APS_LOCAL_HEAD) {
			info.private_at = APS_LOCAL_HEAD;
			info.private_size = size - APS_LOCAL_HEAD;
		}
		decoder_frame(d, &info);
		if (!error)
			aps_local(d, dir, frame, n);
		return;
	}
	set_opcode(&info, frame, n == QUERY_LENGTH ? 0 : n, HEAD);
	info.known = frame_known(dir, version, frame, n);
	decoder_frame(d, &info);
	if (!error)
		message(d, dir, version, frame, n);
}

const struct protocol protocol_apsystems = {
	.name = "apsystems",
	.likely = 5,
	.frame_max = LENGTH_MAX + 4,
	.state_size = sizeof(struct apsystems),
	.probe = aps_probe,
	.frame = aps_frame,
	.decode = aps_decode,
};
