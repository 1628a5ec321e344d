/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz.h - what fuzzers share: the maps, sums made right, bytes as journal entries */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "export/record.h"
#include "protocols/maps_folders.h"
#include "protocols/modbus.h"
#include "protocols/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* abort() on a line of its own, so that the trace of a finding says which. */
#define MUST(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

/* What parses texts and files takes a FILE. */
#define FUZZ_OPEN(data, size) fmemopen((void *)(uintptr_t)(data), size, "r")

static inline struct knowledge *fuzz_knowledge(void)
{
	char folders[MAPS_FOLDERS_MAX][MAPS_FOLDER_LENGTH];
	const char *list[MAPS_FOLDERS_MAX];
	size_t n = maps_folders(folders);
	struct knowledge *k;

	for (size_t i = 0; i < n; i++)
		list[i] = folders[i];
	MUST(knowledge_new(&k, list, n, NULL, NULL) > 0);
	return k;
}

/* Makes sums right, so that what is behind them is tried too. */
static inline void fuzz_mend(uint8_t *p, size_t size)
{
	for (size_t i = 0; i + 13 <= size; i++) {
		size_t n = (size_t)(p[i + 1] | p[i + 2] << 8) + 13, k;
		uint8_t sum = 0;

		if (p[i] != 0xa5 || p[i + 3] != 0x10 || n > size - i)
			continue;
		for (k = i + 1; k < i + n - 2; k++)
			sum = (uint8_t)(sum + p[k]);
		p[k] = sum;
		p[k + 1] = 0x15;
		i += n - 1;
	}
	for (size_t i = 0; i + 9 <= size; i++) {	/* AlphaESS */
		size_t n = (size_t)(p[i + 5] << 8 | p[i + 6]) + 7;
		uint16_t crc;

		if (p[i] != 1 || (p[i + 1] != 1 && p[i + 1] != 2) || p[i + 3] || p[i + 4] || n > size - i - 2)
			continue;
		crc = modbus_crc(p + i, n);
		p[i + n] = (uint8_t)(crc >> 8);
		p[i + n + 1] = (uint8_t)crc;
		i += n + 1;
	}
}

enum { FUZZ_FIELD_END = 0x1e, FUZZ_ENTRY_END = 0x1d };

#define FUZZ_TIME (INT64_C(1714557600) * 1000000000)

/*
 * The next entry of the input: "NAME=…" FIELD_END "NAME=…" ENTRY_END. Each field is given in memory of just its size, for the
 * sanitizer to see what reads beyond. false: the input is used up.
 */
static inline bool fuzz_entry(struct record *r, const uint8_t **data, size_t *size, bool *ret_ours)
{
	const uint8_t *end = *size ? memchr(*data, FUZZ_ENTRY_END, *size) : NULL, *p = *data;
	size_t n = end ? (size_t)(end - p) : *size;

	if (!*size)
		return false;
	*data += n + (end != NULL);
	*size -= n + (end != NULL);
	memset(r, 0xaa, sizeof(*r));
	record_begin(r);
	while (n) {
		const uint8_t *stop = memchr(p, FUZZ_FIELD_END, n);
		size_t length = stop ? (size_t)(stop - p) : n;
		char *exact = malloc(length ? length : 1);

		MUST(exact);
		memcpy(exact, p, length);
		record_field(r, exact, length);
		free(exact);
		p += length + (stop != NULL);
		n -= length + (stop != NULL);
	}
	/* As the reader does; names that journald makes itself. */
	strcpy(r->machine, "0123456789abcdef0123456789abcdef");
	strcpy(r->cursor, "s=0;i=1;b=2;m=3;t=4;x=5");
	r->entry_ns = FUZZ_TIME + (int64_t)(*size % 1000) * 1000000000;
	*ret_ours = record_finish(r);
	return true;
}

#endif
