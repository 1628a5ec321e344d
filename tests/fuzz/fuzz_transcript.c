/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_transcript.c - any text as a transcript, printed as tables and as JSON, of which each line is one object, no key twice */
#include <jansson.h>
#include <stdio.h>

#include "fuzz.h"
#include "tool/output.h"
#include "tool/transcript.h"

static void check_lines(char *text)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		json_t *o = json_loads(line, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);

		MUST(json_is_object(o));
		json_decref(o);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct knowledge *k;

	if (!k)
		k = fuzz_knowledge();
	for (int json = 0; json < 2 && size; json++) {
		char *text = NULL;
		size_t length = 0;
		struct output o = { .to = open_memstream(&text, &length), .json = json, .frames = true };
		struct transcript_result result = { .segments = 0 };
		FILE *stream = FUZZ_OPEN(data, size);
		struct session *s;

		MUST(o.to && stream && session_new(&s, k, NULL, &output_events, &o) == 0);
		MUST(transcript_read(stream, s, &result) == 0);
		session_end(s);
		session_free(s);
		fclose(stream);
		fclose(o.to);
		if (json)
			check_lines(text);
		free(text);
	}
	return 0;
}
