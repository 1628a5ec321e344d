/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_transcript.c - any text as a transcript, printed as JSON and as tables */
#include <stdlib.h>

#include "protocols/maps_folders.h"
#include "tool/output.h"
#include "tool/transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct knowledge *k;
	static FILE *null;

	if (!k) {
		static char folders[MAPS_FOLDERS_MAX][MAPS_FOLDER_LENGTH];
		const char *list[] = { folders[0] };

		maps_folders(folders);
		null = fopen("/dev/null", "we");
		if (!null || knowledge_new(&k, list, 1, NULL, NULL) < 1)
			abort();
	}
	for (int json = 0; json < 2 && size; json++) {
		struct output o = { .to = null, .json = json, .frames = true };
		struct transcript_result result = { .segments = 0 };
		FILE *stream = fmemopen((void *)(uintptr_t)data, size, "r");
		struct session *s;

		if (!stream || session_new(&s, k, NULL, &output_events, &o) ||
		    transcript_read(stream, s, &result))
			abort();
		session_end(s);
		session_free(s);
		fclose(stream);
	}
	return 0;
}
