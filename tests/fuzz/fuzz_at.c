/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_at.c - any bytes as datagrams between a Solarman logger and who asks it by AT commands
 *
 * Each line is a datagram, from the cloud's side where it begins with '<'. "#" in a line of hex digits becomes their
 * checksum, so that what is behind it is read. Held to: a logger is told by digits only; no value beyond its bounds.
 */
#include <stdio.h>

#include "fuzz.h"
#include "protocols/vocabulary.h"

static void on_reading(void *ctx, const struct reading *r)
{
	(void)ctx;
	MUST(r->logger[strspn(r->logger, "0123456789")] == '\0');
	for (size_t i = 0; i < r->count; i++) {
		const struct unit *u = vocabulary_unit(r->values[i].name);
		double v = number_double(r->values[i].number);

		MUST(r->values[i].type != VALUE_NUMBER || u->min > u->max || (v >= u->min - 1e-6 && v <= u->max + 1e-6));
	}
}

static const struct session_events events = { .reading = on_reading };

static unsigned digit(char c)
{
	return c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 32) - 'a' + 10) & 15;
}

static size_t with_sum(char *to, const uint8_t *line, size_t n)
{
	const uint8_t *mark = memchr(line, '#', n);
	size_t hex = mark ? (size_t)(mark - line) : n, from = hex;
	uint8_t rtu[600];
	size_t count = 0;
	uint16_t crc;

	while (from > 0 && strchr("0123456789abcdefABCDEF", line[from - 1]) && line[from - 1])
		from--;
	for (size_t i = from; i + 1 < hex && count < sizeof(rtu); i += 2)
		rtu[count++] = (uint8_t)(digit((char)line[i]) << 4 | digit((char)line[i + 1]));
	memcpy(to, line, hex);
	if (!mark)
		return n;
	crc = modbus_crc(rtu, count);
	return hex + (size_t)sprintf(to + hex, "%02X%02X", crc & 255, crc >> 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct knowledge *k;
	int64_t time = FUZZ_TIME;
	struct session *s;

	if (!k)
		k = fuzz_knowledge();
	MUST(session_new(&s, k, "solarman-at", &events, NULL) == 0);
	while (size) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t n = end ? (size_t)(end - data) : size, length;
		bool cloud = n && *data == '<';
		char *line = malloc(n + 8);

		MUST(line);
		length = with_sum(line, data + cloud, n - cloud);
		session_feed(s, cloud ? DIR_CLOUD : DIR_DEVICE, (uint8_t *)line, length, time += 1000000);
		free(line);
		data += n + (end != NULL);
		size -= n + (end != NULL);
	}
	session_end(s);
	session_free(s);
	return 0;
}
