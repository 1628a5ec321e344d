/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_state.c - any bytes as decoder.state, with a good head and good checksums, and then devices that speak
 *
 * Held to: what is known afterwards is within its bounds; sessions of the devices it names decode what comes; and what is
 * saved is taken by the next decoder.
 */
#include "protocols/state.c"
#include "fuzz.h"

enum { SLOTS = 4 };

static size_t bad;

static void complain(void *ctx, const char *text)
{
	(void)ctx;
	MUST(*text);
	bad++;
}

static void on_reading(void *ctx, const struct reading *r)
{
	(void)ctx;
	MUST(r->count <= READING_VALUES_MAX);
}

static const struct session_events events = { .reading = on_reading };

/* A Solarman record of the logger that a slot names, as its number. */
static void speak(struct knowledge *k, const uint8_t *frame, size_t size, const char *logger)
{
	uint32_t number = (uint32_t)strtoul(logger, NULL, 10);
	uint8_t copy[512], sum = 0;
	struct session *s;
	size_t n;

	if (size < 13)
		return;
	n = size < sizeof(copy) ? size : sizeof(copy);
	memcpy(copy, frame, n);
	copy[0] = 0xa5;
	copy[1] = (uint8_t)(n - 13);
	copy[2] = (uint8_t)((n - 13) >> 8);
	copy[3] = 0x10;
	for (int i = 0; i < 4; i++)
		copy[7 + i] = (uint8_t)(number >> 8 * i);
	for (size_t i = 1; i < n - 2; i++)
		sum = (uint8_t)(sum + copy[i]);
	copy[n - 2] = sum;
	copy[n - 1] = 0x15;
	MUST(session_new(&s, k, "solarman-v5", &events, NULL) == 0);
	for (int i = 0; i < 3; i++)
		session_feed(s, DIR_DEVICE, copy, n, FUZZ_TIME + i * 300 * NSEC_PER_SEC);
	session_end(s);
	session_free(s);
}

/* The maps are read once; what is known of devices is another's each time. */
static void forget(struct knowledge *k)
{
	while (k->newest) {
		struct device *d = k->newest;

		k->newest = d->older;
		free(d);
	}
	free(k->state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct knowledge *maps;
	static struct knowledge k, next;
	static union { union slot slots[1 + SLOTS]; struct header head; } memory;
	size_t used = size < sizeof(memory.slots[0]) * SLOTS ? size : sizeof(memory.slots[0]) * SLOTS;
	int known;

	memset(&memory, 0, sizeof(memory));
	memcpy(memory.head.magic, magic, sizeof(magic));
	memory.head.version = VERSION;
	memory.head.order = ORDER;
	memory.head.slot_size = SLOT_SIZE;
	if (used)
		memcpy(&memory.slots[1], data, used);
	for (size_t i = 1; i <= SLOTS; i++)
		if (memory.slots[i].is.sum)
			memory.slots[i].is.sum = sum_of(&memory.slots[i].is);
	if (!maps)
		maps = fuzz_knowledge();
	k = next = (struct knowledge){ .maps = maps->maps, .map_count = maps->map_count };
	bad = 0;
	known = knowledge_keep(&k, &memory, sizeof(memory), complain, NULL);
	MUST(known >= 0 && known <= SLOTS && bad <= 1);
	for (size_t i = 1; i <= SLOTS; i++)
		if (memory.slots[i].is.sum)
			speak(&k, data + used, size - used, memory.slots[i].is.logger);
	knowledge_save(&k);
	forget(&k);
	bad = 0;
	MUST(knowledge_keep(&next, &memory, sizeof(memory), complain, NULL) >= known && bad == 0);
	forget(&next);
	return 0;
}
