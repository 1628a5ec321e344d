/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode.c - from memory to readings: frames and bytes a second on one core, without journal
 *
 *	decode MAPS SECONDS FILE...	each FILE: a transcript's segments of the device, again and again
 *
 * Prints for each file: name, frames/s, MB/s, readings/s, values of a reading.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/session.h"

struct counts {
	uint64_t frames, readings, values;
};

static void on_frame(void *ctx, const struct frame_info *frame)
{
	((struct counts *)ctx)->frames += frame->error == NULL;
}

static void on_reading(void *ctx, const struct reading *r)
{
	struct counts *c = ctx;

	c->readings++;
	c->values += r->count;
}

static void complain(void *ctx, const char *text)
{
	(void)ctx;
	fprintf(stderr, "%s\n", text);
}

static size_t load(const char *path, uint8_t *bytes, size_t most)
{
	static char line[1 << 20];
	FILE *f = fopen(path, "r");
	size_t used = 0;

	if (!f) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	while (fgets(line, sizeof(line), f) && strcmp(line, "---\n") != 0)
		if (line[0] == '>')
			for (char *p = line + 2; p[0] > ' ' && p[1] > ' ' && used < most; p += 2) {
				unsigned byte;

				if (sscanf(p, "%2x", &byte) == 1)
					bytes[used++] = (uint8_t)byte;
			}
	fclose(f);
	return used;
}

int main(int argc, char **argv)
{
	static const struct session_events events = { .frame = on_frame, .reading = on_reading };
	const char *folders[] = { argc > 1 ? argv[1] : "" };
	static uint8_t once[65536], bytes[1 << 18];
	struct knowledge *k;

	if (argc < 4 || knowledge_new(&k, folders, 1, complain, NULL) < 0)
		return 2;
	for (int i = 3; i < argc; i++) {
		size_t n = load(argv[i], once, sizeof(once)), used = 0;
		double seconds = atof(argv[2]), took;
		struct counts c = { 0 };
		struct session *s;
		uint64_t fed = 0;
		int64_t start;

		while (n && used + n <= sizeof(bytes)) {
			memcpy(bytes + used, once, n);
			used += n;
		}
		if (used == 0 || session_new(&s, k, NULL, &events, &c) < 0)
			return EXIT_FAILURE;
		start = now_monotonic();
		do {
			session_feed(s, DIR_DEVICE, bytes, used, now_realtime());
			fed += used;
			took = (double)(now_monotonic() - start) / (double)NSEC_PER_SEC;
		} while (took < seconds);
		session_free(s);
		printf("%s %.0f %.1f %.0f %.1f\n", strrchr(argv[i], '/') ? strrchr(argv[i], '/') + 1 : argv[i], (double)c.frames / took,
		       (double)fed / took / 1e6, (double)c.readings / took,
		       c.readings ? (double)c.values / (double)c.readings : 0.0);
	}
	knowledge_free(k);
	return EXIT_SUCCESS;
}
