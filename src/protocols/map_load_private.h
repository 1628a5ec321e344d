/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map_load_private.h - a map on its way from text to table, for the files that make it; nobody else includes it
 *
 *	map_sections.c	lines -> sections with the values of known keys, includes followed
 *	map_parse.c	what the words of a value say: lists, numbers, spans
 *	map_head.c	[map] -> what the map is for, where its registers stand
 *	map_fields.c	every other section -> a row of the table
 *	map_load.c	all of it in order, and the memory it lives in
 */
#ifndef SUNTAP_MAP_LOAD_PRIVATE_H
#define SUNTAP_MAP_LOAD_PRIVATE_H

#include <stdint.h>
#include <stdio.h>

#include "protocols/map.h"

enum {
	MAP_SECTIONS_MAX = 1024,
	MAP_VALUE_MAX = 4096,
	MAP_SECTION_KEYS_MAX = 32,
};

enum field_key {
	KEY_AT, KEY_REGISTER, KEY_ITEM, KEY_KEY, KEY_PRODUCT, KEY_SUM,
	KEY_STEP, KEY_HIGH, KEY_HIGH_AT, KEY_NARROW, KEY_TYPE, KEY_ORDER, KEY_WORDS, KEY_BITS,
	KEY_SCALE, KEY_ADD, KEY_DIGITS, KEY_NONE, KEY_MIN, KEY_MAX, KEY_NAMES, KEY_IF, KEY_ONLY_IF, KEY_UNLESS_ZERO,
	KEY_PUBLISH, KEY_INFO, KEY_REPLACE, FIELD_KEY_COUNT,
};

enum map_head_key {
	MAP_PROTOCOL, MAP_SOURCE, MAP_MODEL, MAP_FAMILY, MAP_PART, MAP_INCLUDE, MAP_LENGTH, MAP_ORDER,
	MAP_WORDS, MAP_REGISTERS, MAP_INFO, MAP_NONE_U16, MAP_SENSOR_LIST, MAP_DATA_ID, MAP_LAYOUT,
	MAP_MODBUS, MAP_MODBUS_LIST, MAP_MODBUS_TYPE, MAP_MODBUS_REQUIRE, MAP_MODBUS_FUNCTION,
	MAP_GROUPS, MAP_GROUPS_UP_TO, MAP_REQUIRE, MAP_REFUSE, HEAD_KEY_COUNT,
};

/* What the [map] section of a file says for the fields of that file. */
struct map_defaults {
	bool big, low_first;
	bool has_none;
	int64_t none;
};

struct map_section {
	char *name;
	int line;
	unsigned int file;		/* index into map_loader.files */
	char *values[MAP_SECTION_KEYS_MAX];		/* by enum map_head_key in [map], else by enum field_key */
	int lines[MAP_SECTION_KEYS_MAX];
};

struct map_loader {
	void (*complain)(void *ctx, const char *text);
	void *ctx;
	const struct map_files *known;
	struct map *map;
	size_t errors, memory_room;
	bool failed;			/* no memory */

	struct {
		char name[64];
		struct map_defaults defaults;
		size_t first, last;	/* its sections */
		int main_section;	/* index of [map] */
	} files[16];
	unsigned int file_count, file;	/* file: the one in hand */

	struct map_section *sections;	/* with room for MAP_SECTIONS_MAX */
	size_t section_count;

	/* of the file being read */
	FILE *stream;
	const char *text;
	size_t left;
	int line;
	bool continues;			/* this line is indented */
	char *last_value;		/* what a continuation is added to */
	int last_key;

	struct field *fields;		/* with room for all */
	char **ids;			/* full name of each field, for "is there already" */
};

/* map_load.c. s NULL: of no section; line: in the file of s, else in the one in hand. */
void map_complain(struct map_loader *l, const struct map_section *s, int line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Memory that lives as long as the map, zeroed; NULL: none, and l->failed is set. */
void *map_keep(struct map_loader *l, size_t size);
char *map_keep_text(struct map_loader *l, const char *text);

/* map_sections.c. false: what is left is not worth a look; it was complained of. */
extern const char *const map_field_keys[FIELD_KEY_COUNT], *const map_head_keys[HEAD_KEY_COUNT];
bool map_read_file(struct map_loader *l, const char *name);	/* from l->stream, or l->text */
const struct map_section *map_head(const struct map_loader *l, unsigned int file);	/* [map] of that file; NULL: it has none */
bool map_include_files(struct map_loader *l, unsigned int file, unsigned int depth);	/* of `file`; depth 0 to begin with */

/* map_parse.c. false: not of that form, and the results are not to be used. */
const char *map_skip_blank(const char *p);
bool map_next_part(const char **list, char *part, size_t room);	/* of a list with commas, without blanks around; false at its end */
bool map_parse_u64(const char *text, uint64_t *ret);		/* decimal, or 0x and hexadecimal */
bool map_parse_u32(const char *text, uint32_t max, uint32_t *ret);
bool map_parse_raw(const char *text, int64_t *ret);		/* the same with a sign */
bool map_parse_decimal(const char *text, struct number *ret);	/* up to 9 digits behind the point */
bool map_parse_span(const char *text, uint64_t max, uint64_t *low, uint64_t *high);	/* N, N.., ..N or N..N, up to max */
/* Value `key` of s: yes or no; one of two words. Where it is neither they complain, and as where it is absent: `otherwise`. */
bool map_parse_yes(struct map_loader *l, const struct map_section *s, int key, const char *name, bool otherwise);
bool map_parse_choice(struct map_loader *l, const struct map_section *s, int key, const char *name, const char *yes,
		      const char *no, bool otherwise);

/* map_head.c */
void map_compile_defaults(struct map_loader *l, unsigned int file);
void map_compile_head(struct map_loader *l);

/* map_fields.c */
void map_compile_fields(struct map_loader *l, const struct map_section *s);

#endif
