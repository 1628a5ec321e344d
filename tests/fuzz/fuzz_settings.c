/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_settings.c - any bytes as the exporter's sections of suntap.ini: a complaint for each refusal, and what is
 * understood reads back the same
 */
#include <stdio.h>

#include "export/settings.h"
#include "fuzz.h"

static struct settings_file *read_bytes(const void *data, size_t size, bool must)
{
	FILE *in = FUZZ_OPEN(data, size), *errors;
	struct settings_file *f = NULL;
	char *said = NULL;
	size_t length = 0;
	int r;

	errors = open_memstream(&said, &length);
	MUST(in && errors);
	r = settings_read(&f, in, "fuzz", NULL, errors);
	fclose(in);
	fclose(errors);
	MUST((r == 0) == (length == 0) && (r == 0) == (f != NULL) && (!must || r == 0));
	free(said);
	return f;
}

static char *print(const struct settings_file *f)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	MUST(out);
	settings_print(f, out);
	fclose(out);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings_file *f = size ? read_bytes(data, size, false) : NULL, *again;
	char *once, *twice;

	if (!f)
		return 0;
	once = print(f);
	again = *once ? read_bytes(once, strlen(once), true) : NULL;
	if (again) {
		twice = print(again);
		MUST(strcmp(once, twice) == 0);
		free(twice);
	}
	free(once);
	settings_free(f);
	settings_free(again);
	return 0;
}
