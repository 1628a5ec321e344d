/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_config.c - any bytes as suntap.ini: no crash, a complaint for each refusal, and what is understood reads
 * back the same
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/config.h"
#include "suntapd/ruleset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *read_bytes(const void *data, size_t size, bool must)
{
	FILE *in = fmemopen((void *)(uintptr_t)data, size, "r"), *errors;
	struct config *c = NULL;
	char *said = NULL;
	size_t length = 0;
	int r;

	errors = open_memstream(&said, &length);
	if (!in || !errors)
		abort();
	r = config_read(&c, in, "fuzz", errors);
	fclose(in);
	fclose(errors);
	if ((r == 0) != (length == 0) || (r == 0) != (c != NULL) || (must && r != 0))
		abort();
	free(said);
	return c;
}

static char *print(const struct config *c)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		abort();
	config_print(c, out);
	fclose(out);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *c = size ? read_bytes(data, size, false) : NULL, *again;
	struct ruleset *rules;
	char *once, *twice;
	FILE *null;

	if (!c)
		return 0;
	once = print(c);
	again = read_bytes(once, strlen(once), true);
	twice = print(again);
	if (strcmp(once, twice) != 0)
		abort();
	rules = ruleset_new(c, true);
	null = fopen("/dev/null", "we");
	if (!rules || !null)
		abort();
	ruleset_print(rules, null);
	fclose(null);
	ruleset_free(rules);
	free(once);
	free(twice);
	config_free(c);
	config_free(again);
	return 0;
}
