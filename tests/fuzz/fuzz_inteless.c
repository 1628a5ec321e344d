/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_inteless.c - any bytes as the two streams of an Inteless dongle
 *
 * What begins like a frame of the cloud is the cloud's, so that logins, poll maps and reports meet as
 * they do on the wire. Held to: each byte is told exactly once, cut or not; no note and no text ever
 * has the register key of the last login in it.
 */
#include "fuzz.h"

static uint64_t told[DIR_COUNT];
static size_t readings;
static char key[9];

static void look(const char *text)
{
	if (strlen(key) == 8 && strstr(text, key))
		abort();
}

static void on_frame(void *ctx, const struct frame_info *f)
{
	(void)ctx;
	told[f->dir] += f->size;
	if (f->private_at > f->size || f->private_size > f->size - f->private_at)
		abort();
	key[0] = '\0';
	/* Only a key that nothing else can contain by chance. */
	if (f->size == 43 && f->bytes[3] == 1 && f->bytes[2] == 1 && f->bytes[27] == '\x01')
		memcpy(key, f->bytes + 27, 8);
}

static void on_bytes(void *ctx, enum dir dir, uint64_t length)
{
	(void)ctx;
	told[dir] += length;
}

static void on_reading(void *ctx, const struct reading *r)
{
	(void)ctx;
	readings += !r->info;
	look(r->logger);
	for (size_t i = 0; i < r->count; i++)
		if (r->values[i].type == VALUE_TEXT)
			look(r->values[i].text);
}

static void on_note(void *ctx, enum dir dir, const char *name, const char *text)
{
	(void)ctx;
	(void)dir;
	(void)name;
	look(text);
}

static const struct session_events events = {
	.frame = on_frame, .skip = on_bytes, .partial = on_bytes, .reading = on_reading, .note = on_note,
};

static size_t run(struct knowledge *k, const char *protocol, const uint8_t *data, size_t size, size_t cut)
{
	uint64_t fed[DIR_COUNT] = { 0 };
	enum dir dir = DIR_DEVICE;
	struct session *s;

	memset(told, 0, sizeof(told));
	readings = 0;
	if (session_new(&s, k, protocol, &events, NULL))
		abort();
	while (size) {
		size_t n = 1;

		if (size >= 3 && data[0] == 0xa5 && data[1] == 6)
			dir = data[2] == 0xa1 ? DIR_CLOUD : DIR_DEVICE;
		while (n < size && (!cut || n < cut) && !(size - n >= 3 && data[n] == 0xa5 && data[n + 1] == 6))
			n++;
		session_feed(s, dir, data, n, 0);
		fed[dir] += n;
		data += n;
		size -= n;
	}
	session_end(s);
	session_free(s);
	if (memcmp(fed, told, sizeof(fed)))
		abort();
	return readings;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct knowledge *k;

	if (!k)
		k = fuzz_knowledge();
	if (!size)
		return 0;
	run(k, NULL, data, size, 0);
	run(k, "inteless", data, size, 0);
	run(k, "inteless", data, size, 1 + data[size - 1] % 16);
	return 0;
}
