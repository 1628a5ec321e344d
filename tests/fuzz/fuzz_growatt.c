/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_growatt.c - any body behind a good Growatt header
 *
 * fuzz_session can not guess checksums; here they are made good, so that bodies are read.
 */
#include "fuzz.h"
#include "protocols/vocabulary.h"

enum { HEAD = 8, FRAME_MAX = 8200 };

static uint64_t told;

static void on_frame(void *ctx, const struct frame_info *f)
{
	(void)ctx;
	if (f->error || f->private_at + f->private_size > f->size)
		abort();
	told += f->size;
}

static void on_bytes(void *ctx, enum dir dir, uint64_t length)
{
	(void)ctx;
	(void)dir;
	told += length;
}

static void on_reading(void *ctx, const struct reading *r)
{
	(void)ctx;
	for (size_t i = 0; i < r->count; i++) {
		const struct unit *u = vocabulary_unit(r->values[i].name);
		double v = number_double(r->values[i].number);

		if (r->values[i].type == VALUE_NUMBER && u->min <= u->max && (v < u->min - 1e-6 || v > u->max + 1e-6))
			abort();
	}
}

static const struct session_events events = {
	.frame = on_frame, .skip = on_bytes, .partial = on_bytes, .reading = on_reading,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct knowledge *k;
	uint8_t frame[FRAME_MAX], *exact;
	struct session *s;
	uint16_t crc;

	if (!k)
		k = fuzz_knowledge();
	if (size < HEAD)
		return 0;
	size = size < FRAME_MAX - 2 ? size : FRAME_MAX - 2;
	memcpy(frame, data, size);
	frame[2] = 0;
	if (frame[3] && frame[3] != 2 && (frame[3] < 5 || frame[3] > 7))
		frame[3] = (uint8_t)(5 + frame[3] % 3);
	frame[4] = (uint8_t)((size - 6) >> 8);
	frame[5] = (uint8_t)(size - 6);
	/* A ping before it: what follows is believed whatever it begins with. */
	if (session_new(&s, k, "growatt", &events, NULL))
		abort();
	told = 0;
	for (int dir = 0; dir < DIR_COUNT; dir++)
		session_feed(s, (enum dir)dir, (const uint8_t *)"\0\1\0\2\0\x0c\1\x16""ABC0123456", 18, 0);
	if (frame[3] >= 5) {
		crc = modbus_crc(frame, size);
		frame[size++] = (uint8_t)(crc >> 8);
		frame[size++] = (uint8_t)crc;
	}
	exact = malloc(size);
	memcpy(exact, frame, size);
	session_feed(s, frame[0] & 1 ? DIR_CLOUD : DIR_DEVICE, exact, size, 0);
	session_end(s);
	session_free(s);
	free(exact);
	if (told != size + 36)
		abort();
	return 0;
}
