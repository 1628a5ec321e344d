/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inteless.c - the look-alike of Solarman V5: Wi-Fi dongles of Sunsynk and Deye hybrids (port 51100)
 *
 *	 0  a5 06
 *	 2  01 from the device, a1 from the cloud
 *	 3  message type, 09: report
 *	 6  00 00
 *	 9  length of the payload, big-endian; the packet is 11 longer
 *	11  report: serial (10), 37: date and time, 44: registers
 *
 * No checksum: a report has to look like one in several places before its values are taken. As yet
 * only the reports are understood; all bytes are told as skipped.
 */
#include <string.h>

#include "protocols/protocol.h"
#include "protocols/reading_fill.h"

enum { HEAD = 11, PAYLOAD_MAX = 2048, TYPE_REPORT = 9, REPORT_HEAD = 44 };

static struct framed inteless_frame(struct scan *scan, const uint8_t *p, size_t length)
{
	const struct framed skip = { FRAMING_SKIP, 1, NULL };
	const uint8_t *start;
	size_t n;

	(void)scan;
	if (*p != 0xa5) {
		start = memchr(p, 0xa5, length);
		return (struct framed){ FRAMING_SKIP, start ? (size_t)(start - p) : length, NULL };
	}
	if ((length > 1 && p[1] != 6) || (length > 2 && p[2] != 1 && p[2] != 0xa1) ||
	    (length > 3 && (!p[3] || p[3] > 0x0f)) || (length > 6 && p[6]) || (length > 7 && p[7]))
		return skip;
	if (length < HEAD)
		return (struct framed){ FRAMING_MORE, HEAD, NULL };
	n = be16(p + 9);
	if (n > PAYLOAD_MAX)
		return skip;
	if (length < HEAD + n)
		return (struct framed){ FRAMING_MORE, HEAD + n, NULL };
	return (struct framed){ FRAMING_GOOD, HEAD + n, NULL };
}

static bool is_report(const uint8_t *p, size_t size)
{
	if (p[2] != 1 || p[3] != TYPE_REPORT || size < REPORT_HEAD)
		return false;
	for (size_t i = 11; i < 21; i++)
		if (p[i] <= ' ' || p[i] > '~')
			return false;
	for (size_t i = 21; i < 37; i++)
		if (p[i])
			return false;
	return p[37] < 100 && p[38] >= 1 && p[38] <= 12 && p[39] >= 1 && p[39] <= 31 && p[40] < 24 &&
	       p[41] < 60 && p[42] < 60;
}

static enum probe_answer inteless_probe(const uint8_t *p, size_t length, bool at_start)
{
	struct scan scan = { 0 };
	struct framed f = inteless_frame(&scan, p, length);

	switch (f.what) {
	case FRAMING_SKIP:
		return PROBE_NO;
	case FRAMING_MORE:
		return at_start && length >= HEAD ? PROBE_YES : PROBE_MORE;
	case FRAMING_GOOD:
	case FRAMING_BAD:
		break;
	}
	return at_start || is_report(p, f.size) ? PROBE_YES : PROBE_NO;
}

static int64_t days_since_1970(int y, unsigned int m, unsigned int d)
{
	int64_t era, yoe, doy;

	y -= m <= 2;
	era = y / 400;
	yoe = y - era * 400;
	doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void inteless_decode(struct decoder *d, enum dir dir, const uint8_t *p, size_t size, const char *error)
{
	const struct map *m;
	const struct value *frequency;
	struct reading *r;
	struct map_work *w = &d->k->work;

	if (error || dir != DIR_DEVICE || !is_report(p, size))
		return;
	m = knowledge_record_map(d->k, d->protocol->name, NULL, 0, size);
	r = decoder_reading(d, "");
	text_clean(r->serial, sizeof(r->serial), p + 11, 10);
	r->time_kind = TIME_LOCAL;
	r->time_ms = (days_since_1970(2000 + p[37], p[38], p[39]) * 86400 + p[40] * 3600 + p[41] * 60 + p[42]) *
		     1000;
	w->measurements = 0;
	w->totals = NULL;
	if (m) {
		map_decode_bytes(m, w, p, size, r);
		r->model = r->model ? r->model : m->model;
	}
	/* Without a checksum this is the test that the registers stand where they are looked for. */
	frequency = reading_find(r, "grid_frequency");
	if (m && (!frequency || (frequency->number.mantissa && number_double(frequency->number) < 40)))
		return;
	r->info = !w->measurements;
	decoder_publish(d, r);
}

const struct protocol protocol_inteless = {
	.name = "a5-inteless",
	.unframed = true,
	.likely = HEAD,
	.frame_max = HEAD + PAYLOAD_MAX,
	.probe = inteless_probe,
	.frame = inteless_frame,
	.decode = inteless_decode,
};
