/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_map.c - any bytes as a map; what is accepted is run over records of all sizes */
#include <stdlib.h>
#include <string.h>

#include "protocols/map.h"
#include "protocols/reading_fill.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void complain(void *ctx, const char *text)
{
	*(size_t *)ctx += strlen(text) > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct map_work work;
	static struct reading reading;
	static uint8_t payload[600];
	size_t complaints = 0;
	uint64_t totals = 0;
	struct map *m = map_load_text("fuzz.ini", (const char *)data, size, complain, &complaints);

	if (!m != (complaints > 0))
		abort();
	if (!m)
		return 0;
	work.totals = &totals;
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(size ? data[i % size] ^ i : i);
	for (size_t n = 0; n < sizeof(payload); n += 1 + n / 4) {
		/* A copy of just that size, for the sanitizer to see every step beyond it. */
		uint8_t *exact = malloc(n ? n : 1);
		const struct map_registers group = { m->range_count ? m->ranges[0].first : 0, (uint32_t)n / 2, exact };

		if (!exact)
			abort();
		memcpy(exact, payload, n);
		reading_start(&reading, "fuzz", 0);
		map_decode_bytes(m, &work, exact, n, &reading);
		reading_start(&reading, "fuzz", 0);
		map_decode_registers(m, &work, &group, 1, &reading);
		reading_start(&reading, "fuzz", 0);
		map_items_start(m, &work);
		for (size_t i = 0; i < m->item_count && n >= 8; i++) {
			const struct map_item items[] = {
				{ .kind = ITEM_INTEGER, .width = 2, .integer = (int16_t)(exact[0] << 8 | exact[1]) },
				{ .kind = ITEM_REAL, .real = (double)exact[2] * 1e30 },
				{ .kind = ITEM_TEXT, .text = exact, .length = n },
			};

			map_item(m, &work, m->fields[m->items[i]].item, &items[i % 3]);
		}
		map_decode_items(m, &work, &reading);
		free(exact);
	}
	map_free(m);
	return 0;
}
