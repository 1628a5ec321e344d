/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * modbus_bare.c - Modbus without the loggers' carriers: RTU over TCP, Modbus TCP, AT over UDP 48899
 *
 * The side that asks is the "cloud" of these flows, the inverter the "device". Never detected: their
 * bytes could be anything's, and a wrong guess would be a wrong measurement.
 */
#include <stdlib.h>
#include <string.h>

#include "protocols/at.h"
#include "protocols/modbus.h"
#include "protocols/protocol.h"
#include "protocols/reading_fill.h"

struct bare {
	struct modbus_link link;
	char logger[READING_ID_MAX];
};

static void command_note(struct decoder *d, enum dir dir, const struct modbus_request *q)
{
	char text[700];

	modbus_request_text(q, text, sizeof(text));
	decoder_note(d, dir, "command", "%s", text);
}

/* ------------------------------------------------ RTU */
/* In step a bad CRC costs that frame; after it, or a gap, only a good CRC shows the next border. */
static struct framed rtu_frame(struct scan *scan, const uint8_t *p, size_t length)
{
	size_t size;

	if (length < 3)
		return (struct framed){ FRAMING_MORE, 3, NULL };
	size = scan->dir == DIR_CLOUD ? modbus_request_size(p, length) : modbus_answer_size(p, length);
	if (!size)
		return (struct framed){ FRAMING_SKIP, 1, NULL };
	if (length < size)
		return (struct framed){ FRAMING_MORE, size, NULL };
	if (scan->dir == DIR_CLOUD && p[1] == 16 && size == 7)
		return (struct framed){ FRAMING_MORE, 9u + p[6], NULL };
	if (!modbus_crc(p, size)) {
		scan->lost = false;
		return (struct framed){ FRAMING_GOOD, size, NULL };
	}
	if (scan->lost)
		return (struct framed){ FRAMING_SKIP, 1, NULL };
	scan->lost = true;
	return (struct framed){ FRAMING_BAD, size, "crc" };
}

static void rtu_decode(struct decoder *d, enum dir dir, const uint8_t *p, size_t size, const char *error)
{
	const struct modbus_source source = { .dumps = true };
	struct bare *b = d->state;
	struct frame_info info = decoder_frame_info(d, dir, p, size, error);
	struct modbus_request q;

	b->link.serial = true;
	info.carrier = "rtu";
	info.unit = p[0];
	info.function = p[1];
	info.length = size;
	if (dir == DIR_CLOUD) {
		bool good = modbus_parse_request(p, size - 2, &q);

		if (!good && !error)
			info.error = "payload";
		decoder_frame(d, &info);
		if (!good || error)
			return;
		command_note(d, dir, &q);
		modbus_open(&b->link, q, d->arrival_ns);
		return;
	}
	if (error) {
		decoder_frame(d, &info);
		return;
	}
	info.error = modbus_check(d, &b->link, p, size - 2, 0);
	decoder_frame(d, &info);
	if (!info.error)
		modbus_answer(d, dir, &b->link, p, size - 2, 0, &source);
}

const struct protocol protocol_modbus_rtu = {
	.name = "modbus-rtu",
	.frame_max = 9 + 255 + 8,
	.state_size = sizeof(struct bare),
	.frame = rtu_frame,
	.decode = rtu_decode,
};

/* ------------------------------------------------ Modbus TCP */
static struct framed mbap_frame(struct scan *scan, const uint8_t *p, size_t length)
{
	size_t n;

	(void)scan;
	if (length < 6)
		return (struct framed){ FRAMING_MORE, 6, NULL };
	n = be16(p + 4);
	if (p[2] || p[3] || n < 3 || n > 254)
		return (struct framed){ FRAMING_SKIP, 1, NULL };
	if (length < 6 + n)
		return (struct framed){ FRAMING_MORE, 6 + n, NULL };
	return (struct framed){ FRAMING_GOOD, 6 + n, NULL };
}

static void mbap_decode(struct decoder *d, enum dir dir, const uint8_t *p, size_t size, const char *error)
{
	const struct modbus_source source = { .dumps = true };
	struct bare *b = d->state;
	struct frame_info info = decoder_frame_info(d, dir, p, size, error);
	struct modbus_request q;
	uint32_t transaction = be16(p);

	info.carrier = "mbap";
	info.transaction = (int)transaction;
	info.unit = p[6];
	info.function = p[7];
	info.length = size;
	if (dir == DIR_CLOUD) {
		bool good = modbus_parse_request(p + 6, size - 6, &q);

		info.error = good ? NULL : "payload";
		decoder_frame(d, &info);
		if (!good)
			return;
		command_note(d, dir, &q);
		q.tag = transaction;
		modbus_open(&b->link, q, d->arrival_ns);
		return;
	}
	info.error = modbus_check(d, &b->link, p + 6, size - 6, transaction);
	decoder_frame(d, &info);
	if (!info.error)
		modbus_answer(d, dir, &b->link, p + 6, size - 6, transaction, &source);
}

const struct protocol protocol_modbus_tcp = {
	.name = "modbus-tcp",
	.frame_max = 6 + 254,
	.state_size = sizeof(struct bare),
	.frame = mbap_frame,
	.decode = mbap_decode,
};

/* ------------------------------------------------ AT over UDP */
static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hexadecimal text to bytes up to the line end; 0: none, odd, or no hexadecimal. */
static size_t from_hex(const uint8_t *p, size_t length, uint8_t *out, size_t room)
{
	size_t n = 0;

	for (; length >= 2 && *p != '\r' && *p != '\n' && n < room; p += 2, length -= 2) {
		int high = hex_digit(p[0]), low = hex_digit(p[1]);

		if (high < 0 || low < 0)
			return 0;
		out[n++] = (uint8_t)(high << 4 | low);
	}
	return length && *p != '\r' && *p != '\n' ? 0 : n;
}

static bool starts(const uint8_t *p, size_t length, const char *with)
{
	return length >= strlen(with) && !memcmp(p, with, strlen(with));
}

static void at_request(struct decoder *d, struct bare *b, const uint8_t *p, size_t length)
{
	uint8_t rtu[300];
	struct modbus_request q;
	const uint8_t *comma;
	char text[700];
	size_t n;

	at_readable(p, length, text, sizeof(text));
	decoder_note(d, DIR_CLOUD, "text", "%s", text);
	if (!starts(p, length, "AT+INVDATA="))
		return;
	comma = memchr(p, ',', length);
	if (!comma)
		return;
	n = from_hex(comma + 1, length - (size_t)(comma + 1 - p), rtu, sizeof(rtu));
	if (n < 8 || modbus_crc(rtu, n) || !modbus_parse_request(rtu, n - 2, &q))
		return;
	b->link.serial = true;
	modbus_open(&b->link, q, d->arrival_ns);
}

/* IP,MAC,number */
static bool discovery(struct decoder *d, struct bare *b, const uint8_t *p, size_t length)
{
	char line[128], *mac, *number;
	struct reading *r;

	text_clean(line, sizeof(line), p, length);
	line[strcspn(line, "\r\n?")] = '\0';
	mac = strchr(line, ',');
	number = mac ? strchr(mac + 1, ',') : NULL;
	if (!number || strspn(line, "0123456789.") != (size_t)(mac - line) ||
	    strspn(mac + 1, "0123456789abcdefABCDEF") != 12 || number != mac + 13 ||
	    !number[1] || strlen(number + 1) > 20 || number[1 + strspn(number + 1, "0123456789")])
		return false;
	*mac++ = *number++ = '\0';
	snprintf(b->logger, sizeof(b->logger), "%s", number);
	r = decoder_reading(d, b->logger);
	r->info = true;
	reading_add_bytes(r, "logger_ip", (uint8_t *)line, strlen(line));
	reading_add_bytes(r, "logger_mac", (uint8_t *)mac, strlen(mac));
	decoder_publish(d, r);
	return true;
}

static void at_answer(struct decoder *d, struct bare *b, const uint8_t *p, size_t length)
{
	const struct modbus_source source = { .logger = b->logger, .dumps = true };
	struct frame_info info;
	uint8_t plain[2048] = { 0 }, rtu[600];
	size_t n = 0, size;
	char text[200];

	/* Each character may be followed by a byte 0x10. */
	for (size_t i = 0; i < length && n < sizeof(plain); i++)
		if (p[i] != 0x10)
			plain[n++] = p[i];
	if (discovery(d, b, plain, n))
		return;
	if (starts(plain, n, "+ok=no data") || starts(plain, n, "+ERR") || !starts(plain, n, "+ok=")) {
		at_readable(plain, n, text, sizeof(text));
		decoder_note(d, DIR_DEVICE, "text", "%s", text);
		return;
	}
	n = from_hex(plain + 4, n - 4, rtu, sizeof(rtu));
	size = n >= 5 ? modbus_answer_size(rtu, n) : 0;
	if (!size || size > n) {
		decoder_skip(d, DIR_DEVICE, length);
		return;
	}
	info = decoder_frame_info(d, DIR_DEVICE, rtu, size, NULL);
	info.carrier = "rtu";
	info.unit = rtu[0];
	info.function = rtu[1];
	info.length = size;
	info.error = modbus_crc(rtu, size) ? "crc" : modbus_check(d, &b->link, rtu, size - 2, 0);
	decoder_frame(d, &info);
	if (!info.error)
		modbus_answer(d, DIR_DEVICE, &b->link, rtu, size - 2, 0, &source);
}

static void at_datagram(struct decoder *d, enum dir dir, const uint8_t *p, size_t length)
{
	if (dir == DIR_CLOUD)
		at_request(d, d->state, p, length);
	else
		at_answer(d, d->state, p, length);
}

const struct protocol protocol_solarman_at = {
	.name = "solarman-at",
	.state_size = sizeof(struct bare),
	.datagram = at_datagram,
};
