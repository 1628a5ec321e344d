/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map_load.c - a map file read, checked and compiled into the table of map.h
 *
 *	file ─inih─▶ sections ─include─▶ all sections ─{1..4}─▶ fields ─blocks─▶ struct map
 *
 * Every complaint names file, line and section and says what would be right; all of a file's faults
 * are told at once, and a file with a fault gives no map. Which file does which step is in
 * map_load_private.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/map_load_private.h"
#include "protocols/reading_fill.h"
#include "shared/util.h"

void map_complain(struct map_loader *l, const struct map_section *s, int line, const char *format, ...)
{
	char what[512], text[768], clean[768];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	if (l->errors++ > 50)
		return;
	if (s)
		snprintf(text, sizeof(text), "%s:%d: [%.60s] %s", l->files[s->file].name, line, s->name, what);
	else
		snprintf(text, sizeof(text), "%s:%d: %s", l->files[l->file].name, line, what);
	/* It quotes the file, which may be anything. */
	text_clean(clean, sizeof(clean), (const uint8_t *)text, strlen(text));
	if (l->complain)
		l->complain(l->ctx, clean);
}

void *map_keep(struct map_loader *l, size_t size)
{
	struct map *m = l->map;
	void *p;

	if (m->memory_count == l->memory_room) {
		size_t room = l->memory_room ? 2 * l->memory_room : 64;
		void **more = realloc(m->memory, room * sizeof(*more));

		if (!more) {
			l->failed = true;
			return NULL;
		}
		m->memory = more;
		l->memory_room = room;
	}
	p = calloc(1, size ? size : 1);
	if (!p) {
		l->failed = true;
		return NULL;
	}
	m->memory[m->memory_count++] = p;
	return p;
}

char *map_keep_text(struct map_loader *l, const char *text)
{
	size_t n = strlen(text) + 1;
	char *p = map_keep(l, n);

	if (p)
		memcpy(p, text, n);
	return p;
}

static int by_item(const void *a, const void *b, void *ctx)
{
	const struct map *m = ctx;
	int64_t x = m->fields[*(const uint16_t *)a].item, y = m->fields[*(const uint16_t *)b].item;

	return (x > y) - (x < y);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct map_word *)a)->text, ((const struct map_word *)b)->text);
}

static void index_words(struct map_loader *l)
{
	struct map *m = l->map;
	size_t count = 0;

	for (size_t i = 0; i < m->field_count; i++)
		count += m->fields[i].key_count;
	if (!count)
		return;
	m->words = map_keep(l, count * sizeof(*m->words));
	for (size_t i = 0; m->words && i < m->field_count; i++)
		for (size_t k = 0; k < m->fields[i].key_count; k++)
			m->words[m->word_count++] = (struct map_word){ m->fields[i].keys[k], (uint16_t)i };
	qsort(m->words, m->word_count, sizeof(*m->words), by_text);
}

static void finish(struct map_loader *l)
{
	struct map *m = l->map;
	int8_t totals = 0;

	m->items = map_keep(l, m->field_count * sizeof(*m->items));
	m->fields = map_keep(l, m->field_count * sizeof(*m->fields));
	if (!m->items || !m->fields)
		return;
	memcpy(m->fields, l->fields, m->field_count * sizeof(*m->fields));
	for (size_t i = 0; i < m->field_count; i++) {
		struct field *f = &m->fields[i];
		size_t n = strlen(f->name);

		if (f->item >= 0)
			m->items[m->item_count++] = (uint16_t)i;
		if (n >= 12 && !strcmp(f->name + n - 12, "energy_total") && totals < 64 && f->type != FIELD_TEXT)
			f->total = totals++;
	}
	index_words(l);
	qsort_r(m->items, m->item_count, sizeof(*m->items), by_item, m);
	for (size_t i = 1; i < m->item_count; i++)
		if (m->fields[m->items[i]].item == m->fields[m->items[i - 1]].item) {
			l->file = 0;
			map_complain(l, NULL, 1, "item 0x%llx is taken twice: %s and %s",
				 (unsigned long long)m->fields[m->items[i]].item, m->fields[m->items[i - 1]].name,
				 m->fields[m->items[i]].name);
		}
}

static void compile(struct map_loader *l)
{
	struct map *m = l->map;

	/* Included files stand first, so that what refers to their values comes after them. */
	for (unsigned int f = l->file_count; f-- > 0;)
		for (size_t i = l->files[f].first; i < l->files[f].last && !l->failed; i++)
			if (strcmp(l->sections[i].name, "map"))
				map_compile_fields(l, &l->sections[i]);
	if (!m->field_count && !l->errors) {
		l->file = 0;
		map_complain(l, NULL, 1, "a map without a single field");
	}
	if (!l->failed)
		finish(l);
}

static struct map *load_all(struct map_loader *l, const char *name)
{
	struct map *m = calloc(1, sizeof(*m));
	bool included;

	l->map = m;
	l->sections = calloc(MAP_SECTIONS_MAX, sizeof(*l->sections));
	l->ids = calloc(MAP_FIELDS_MAX + 1, sizeof(*l->ids));
	if (m && l->sections && l->ids && map_read_file(l, name)) {
		if (l->stream)
			fclose(l->stream);
		l->stream = NULL;
		m->file = map_keep_text(l, name);
		m->fields = l->fields = calloc(MAP_FIELDS_MAX + 1, sizeof(*m->fields));
		m->names = map_keep(l, (MAP_FIELDS_MAX + 1) * sizeof(*m->names));
		l->failed |= !m->fields;
		included = !l->failed && map_include_files(l, 0, 0);
		for (unsigned int f = 0; f < l->file_count; f++)
			map_compile_defaults(l, f);
		if (included) {
			map_compile_head(l);
			compile(l);
		}
	}
	if (l->stream)
		fclose(l->stream);
	for (size_t i = 0; l->sections && i < l->section_count; i++) {
		free(l->sections[i].name);
		for (size_t k = 0; k < ARRAY_SIZE(l->sections[i].values); k++)
			free(l->sections[i].values[k]);
	}
	free(l->sections);
	free(l->fields);
	for (size_t i = 0; l->ids && i <= MAP_FIELDS_MAX; i++)
		free(l->ids[i]);
	free(l->ids);
	if (l->errors || l->failed || !m || !m->file)
		return map_free(m);
	return m;
}

struct map *map_load(const struct map_files *files, size_t index,
		     void (*complain)(void *ctx, const char *text), void *ctx)
{
	struct map_loader l = { .complain = complain, .ctx = ctx, .known = files };

	l.stream = fopen(files->paths[index], "re");
	if (!l.stream) {
		char text[512];

		snprintf(text, sizeof(text), "%s: %s", files->names[index], strerror(errno));
		if (complain)
			complain(ctx, text);
		return NULL;
	}
	return load_all(&l, files->names[index]);
}

struct map *map_load_text(const char *file, const char *text, size_t length,
			  void (*complain)(void *ctx, const char *text), void *ctx)
{
	struct map_loader l = { .complain = complain, .ctx = ctx, .text = text, .left = length };

	return load_all(&l, file);
}
