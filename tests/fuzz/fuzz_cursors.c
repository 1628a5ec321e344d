/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_cursors.c - any bytes as an exporter's file of cursors: what is understood is written and reads back the same */
#include "export/cursors.c"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursors c = { .lock = -1 }, again = { .lock = -1 };
	FILE *in = size ? FUZZ_OPEN(data, size) : NULL, *out;
	char *text = NULL;
	size_t length = 0;
	int r;

	if (!in)
		return 0;
	r = load_from(&c, in);
	fclose(in);
	MUST(r == 0 || r == -EBADMSG);
	if (r == 0) {
		/* One that was cut is none: it would be behind, or know of fewer. */
		MUST(size >= 6 && memcmp(data + size - 6, "# end\n", 6) == 0);
		out = open_memstream(&text, &length);
		MUST(out);
		write_all(&c, out);		/* its fsync() finds no file */
		fclose(out);
		in = FUZZ_OPEN(text, length);
		MUST(in && load_from(&again, in) == 0 && again.count == c.count);
		fclose(in);
		for (size_t i = 0; i < c.count; i++)
			MUST(strcmp(c.all[i].sequence, again.all[i].sequence) == 0 && strcmp(c.all[i].at, again.all[i].at) == 0);
		free(text);
	}
	cursors_close(&c);
	cursors_close(&again);
	return 0;
}
