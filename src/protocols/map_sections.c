/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map_sections.c - a map file and what it includes, from lines to sections
 *
 * inih (as Debian builds it) cuts lines at 200 bytes and does not tell line numbers or empty sections: read_line() sees
 * each line first and keeps book. An indented line continues the value above it.
 *
 * Invariants (held by test_map.c and fuzz_map.c)
 *	- A section has a value for known keys alone, each at most once, of at most MAP_VALUE_MAX bytes.
 *	- Sections of one file stand together and have different names; no file is read twice.
 */
#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/map_load_private.h"
#include "shared/util.h"

enum {
	INCLUDE_DEPTH_MAX = 4,
	LINES_MAX = 20000,
};

const char *const map_field_keys[] = {
	[KEY_AT] = "at", [KEY_REGISTER] = "register", [KEY_ITEM] = "item", [KEY_KEY] = "key", [KEY_PRODUCT] = "product",
	[KEY_SUM] = "sum", [KEY_STEP] = "step", [KEY_HIGH] = "high", [KEY_HIGH_AT] = "high_at",
	[KEY_NARROW] = "narrow", [KEY_TYPE] = "type", [KEY_ORDER] = "order", [KEY_WORDS] = "words",
	[KEY_BITS] = "bits", [KEY_SCALE] = "scale", [KEY_ADD] = "add", [KEY_DIGITS] = "digits",
	[KEY_NONE] = "none", [KEY_MIN] = "min", [KEY_MAX] = "max", [KEY_NAMES] = "names", [KEY_IF] = "if", [KEY_ONLY_IF] = "only_if",
	[KEY_UNLESS_ZERO] = "unless_zero", [KEY_PUBLISH] = "publish", [KEY_INFO] = "info",
	[KEY_REPLACE] = "replace",
};
static_assert(ARRAY_SIZE(map_field_keys) == FIELD_KEY_COUNT && FIELD_KEY_COUNT <= (int)MAP_SECTION_KEYS_MAX,
	      "a key without a name");

const char *const map_head_keys[] = {
	[MAP_PROTOCOL] = "protocol", [MAP_SOURCE] = "source", [MAP_MODEL] = "model", [MAP_FAMILY] = "family",
	[MAP_PART] = "part", [MAP_INCLUDE] = "include", [MAP_LENGTH] = "length", [MAP_ORDER] = "order",
	[MAP_WORDS] = "words", [MAP_REGISTERS] = "registers", [MAP_INFO] = "info",
	[MAP_NONE_U16] = "none_u16", [MAP_SENSOR_LIST] = "sensor_list", [MAP_DATA_ID] = "data_id",
	[MAP_LAYOUT] = "layout", [MAP_MODBUS] = "modbus", [MAP_MODBUS_LIST] = "modbus_list",
	[MAP_MODBUS_TYPE] = "modbus_type", [MAP_MODBUS_REQUIRE] = "modbus_require",
	[MAP_MODBUS_FUNCTION] = "modbus_function",
	[MAP_GROUPS] = "groups", [MAP_GROUPS_UP_TO] = "groups_up_to", [MAP_REQUIRE] = "require",
	[MAP_REFUSE] = "refuse",
};
static_assert(ARRAY_SIZE(map_head_keys) == HEAD_KEY_COUNT && HEAD_KEY_COUNT <= (int)MAP_SECTION_KEYS_MAX, "a key without a name");

static struct map_section *current(struct map_loader *l)
{
	return l->section_count > l->files[l->file].first ? &l->sections[l->section_count - 1] : NULL;
}

static void begin_section(struct map_loader *l, const char *line)
{
	const char *end = strchr(line, ']');
	struct map_section *s;
	char name[80];

	l->last_value = NULL;
	if (!end)
		return;			/* inih reports it */
	if ((size_t)(end - line - 1) >= sizeof(name)) {
		map_complain(l, NULL, l->line, "section name too long");
		return;
	}
	memcpy(name, line + 1, (size_t)(end - line - 1));
	name[end - line - 1] = '\0';
	if (l->section_count == MAP_SECTIONS_MAX) {
		map_complain(l, NULL, l->line, "more than %d sections", MAP_SECTIONS_MAX);
		l->failed = true;
		return;
	}
	for (size_t i = l->files[l->file].first; i < l->section_count; i++)
		if (!strcmp(l->sections[i].name, name))
			map_complain(l, NULL, l->line, "[%s] is there already, in line %d", name,
				 l->sections[i].line);
	s = &l->sections[l->section_count];
	memset(s, 0, sizeof(*s));
	s->name = strdup(name);
	if (!s->name) {
		l->failed = true;
		return;
	}
	s->line = l->line;
	s->file = l->file;
	if (!strcmp(name, "map"))
		l->files[l->file].main_section = (int)l->section_count;
	l->section_count++;
}

static int next_byte(struct map_loader *l)
{
	if (l->stream)
		return getc(l->stream);
	if (!l->left)
		return EOF;
	l->left--;
	return (unsigned char)*l->text++;
}

/* The ini_reader: like fgets(), and sees each line before inih does. */
static char *read_line(char *buf, int room, void *ctx)
{
	struct map_loader *l = ctx;
	const char *start;
	int n = 0, c;
	bool cut = false, any = false;

	while ((c = next_byte(l)) != EOF) {
		any = true;
		if (c == '\n')
			break;
		if (!c)
			c = '?';
		if (n < room - 2)
			buf[n++] = (char)c;
		else
			cut = true;
	}
	if (!any || l->failed)
		return NULL;
	buf[n] = '\0';
	l->line++;
	if (l->line > LINES_MAX) {
		map_complain(l, NULL, l->line, "more than %d lines", LINES_MAX);
		return NULL;
	}
	if (cut)
		map_complain(l, NULL, l->line, "line too long: at most %d bytes; go on in the next line, indented",
			 room - 2);
	start = buf + strspn(buf, " \t\r");
	l->continues = start > buf && *start;
	if (*start == '[')
		begin_section(l, start);
	return buf;
}

static int handle(void *ctx, const char *section_name, const char *key, const char *value)
{
	struct map_loader *l = ctx;
	struct map_section *s = current(l);
	const char *const *keys = map_field_keys;
	int count = FIELD_KEY_COUNT, k;
	char list[512] = "";
	size_t length;

	(void)section_name;
	if (!s) {
		map_complain(l, NULL, l->line, "\"%s\" stands before the first section", key);
		return 1;
	}
	if (!strcmp(s->name, "map")) {
		keys = map_head_keys;
		count = HEAD_KEY_COUNT;
	}
	if (l->continues && l->last_value) {
		char **slot = &s->values[l->last_key], *more;

		length = strlen(*slot) + strlen(value) + 2;
		if (length > MAP_VALUE_MAX) {
			map_complain(l, s, l->line, "%s: more than %d bytes", key, MAP_VALUE_MAX);
			return 1;
		}
		more = realloc(*slot, length);
		if (!more) {
			l->failed = true;
			return 1;
		}
		strcat(strcat(more, " "), value);
		*slot = l->last_value = more;
		return 1;
	}
	for (k = 0; k < count && strcmp(keys[k], key); k++)
		;
	l->last_value = NULL;
	if (k == count) {
		for (int i = 0; i < count; i++) {
			strncat(list, i ? ", " : "", sizeof(list) - strlen(list) - 1);
			strncat(list, keys[i], sizeof(list) - strlen(list) - 1);
		}
		map_complain(l, s, l->line, "unknown key \"%s\"; known are: %s", key, list);
		return 1;
	}
	if (s->values[k]) {
		map_complain(l, s, l->line, "%s is there already, in line %d", key, s->lines[k]);
		return 1;
	}
	s->values[k] = strdup(value);
	if (!s->values[k])
		l->failed = true;
	s->lines[k] = l->line;
	l->last_value = s->values[k];
	l->last_key = k;
	return 1;
}

bool map_read_file(struct map_loader *l, const char *name)
{
	int error;

	if (l->file_count == ARRAY_SIZE(l->files)) {
		map_complain(l, NULL, l->line, "too many files included");
		return false;
	}
	l->file = l->file_count++;
	memset(&l->files[l->file], 0, sizeof(l->files[0]));
	snprintf(l->files[l->file].name, sizeof(l->files[0].name), "%s", name);
	l->files[l->file].main_section = -1;
	l->files[l->file].defaults.big = true;
	l->files[l->file].first = l->section_count;
	l->line = 0;
	l->last_value = NULL;
	error = ini_parse_stream(read_line, l, handle, l);
	if (error > 0)
		map_complain(l, NULL, error, "neither [section] nor key = value");
	l->files[l->file].last = l->section_count;
	return true;
}

const struct map_section *map_head(const struct map_loader *l, unsigned int file)
{
	return l->files[file].main_section < 0 ? NULL : &l->sections[l->files[file].main_section];
}

bool map_include_files(struct map_loader *l, unsigned int file, unsigned int depth)
{
	const struct map_section *s = map_head(l, file);
	const char *list = s ? s->values[MAP_INCLUDE] : NULL;
	char part[64];
	bool read;

	while (list && map_next_part(&list, part, sizeof(part))) {
		size_t i = 0;

		while (l->known && i < l->known->count && strcmp(l->known->names[i], part))
			i++;
		if (!l->known || i == l->known->count) {
			map_complain(l, s, s->lines[MAP_INCLUDE], "include: there is no map \"%s\"", part);
			continue;
		}
		for (unsigned int f = 0; f < l->file_count; f++)
			if (!strcmp(l->files[f].name, part)) {
				map_complain(l, s, s->lines[MAP_INCLUDE], "include: \"%s\" comes twice or in a circle",
					 part);
				return false;
			}
		if (depth == INCLUDE_DEPTH_MAX) {
			map_complain(l, s, s->lines[MAP_INCLUDE], "include: more than %d deep", INCLUDE_DEPTH_MAX);
			return false;
		}
		l->stream = fopen(l->known->paths[i], "re");
		if (!l->stream) {
			map_complain(l, s, s->lines[MAP_INCLUDE], "include: %s: %s", part, strerror(errno));
			continue;
		}
		read = map_read_file(l, part);
		fclose(l->stream);
		l->stream = NULL;
		if (!read || !map_include_files(l, l->file, depth + 1))
			return false;
	}
	return true;
}
