/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map_load.c - a map file read, checked and compiled into the table of map.h
 *
 *	file ─inih─▶ sections ─include─▶ all sections ─{1..4}─▶ fields ─blocks─▶ struct map
 *
 * Every complaint names file, line and section and says what would be right; all of a file's faults
 * are told at once, and a file with a fault gives no map. inih (as Debian builds it) cuts lines at 200
 * bytes and does not tell line numbers or empty sections: our reader function sees each line first
 * and keeps book. An indented line continues the value above it.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/map.h"
#include "protocols/reading_fill.h"
#include "protocols/vocabulary.h"
#include "shared/util.h"

enum {
	SECTIONS_MAX = 1024,
	VALUE_MAX = 4096,
	INCLUDE_DEPTH_MAX = 4,
	LINES_MAX = 20000,
	KEYS_MAX = 32,
};

enum field_key {
	KEY_AT, KEY_REGISTER, KEY_ITEM, KEY_KEY, KEY_PRODUCT, KEY_SUM,
	KEY_STEP, KEY_HIGH, KEY_HIGH_AT, KEY_NARROW, KEY_TYPE, KEY_ORDER, KEY_WORDS, KEY_BITS,
	KEY_SCALE, KEY_ADD, KEY_DIGITS, KEY_NONE, KEY_MIN, KEY_MAX, KEY_NAMES, KEY_IF, KEY_ONLY_IF, KEY_UNLESS_ZERO,
	KEY_PUBLISH, KEY_INFO, KEY_REPLACE, FIELD_KEY_COUNT,
};

static const char *const field_keys[] = {
	[KEY_AT] = "at", [KEY_REGISTER] = "register", [KEY_ITEM] = "item", [KEY_KEY] = "key", [KEY_PRODUCT] = "product",
	[KEY_SUM] = "sum", [KEY_STEP] = "step", [KEY_HIGH] = "high", [KEY_HIGH_AT] = "high_at",
	[KEY_NARROW] = "narrow", [KEY_TYPE] = "type", [KEY_ORDER] = "order", [KEY_WORDS] = "words",
	[KEY_BITS] = "bits", [KEY_SCALE] = "scale", [KEY_ADD] = "add", [KEY_DIGITS] = "digits",
	[KEY_NONE] = "none", [KEY_MIN] = "min", [KEY_MAX] = "max", [KEY_NAMES] = "names", [KEY_IF] = "if", [KEY_ONLY_IF] = "only_if",
	[KEY_UNLESS_ZERO] = "unless_zero", [KEY_PUBLISH] = "publish", [KEY_INFO] = "info",
	[KEY_REPLACE] = "replace",
};
static_assert(ARRAY_SIZE(field_keys) == FIELD_KEY_COUNT && FIELD_KEY_COUNT <= (int)KEYS_MAX, "a key without a name");

enum map_key_name {
	MAP_PROTOCOL, MAP_SOURCE, MAP_MODEL, MAP_FAMILY, MAP_PART, MAP_INCLUDE, MAP_LENGTH, MAP_ORDER,
	MAP_WORDS, MAP_REGISTERS, MAP_INFO, MAP_NONE_U16, MAP_SENSOR_LIST, MAP_DATA_ID, MAP_LAYOUT,
	MAP_MODBUS, MAP_MODBUS_LIST, MAP_MODBUS_TYPE, MAP_MODBUS_REQUIRE, MAP_MODBUS_FUNCTION,
	MAP_GROUPS, MAP_GROUPS_UP_TO, MAP_REQUIRE, MAP_REFUSE, MAP_KEY_COUNT,
};

static const char *const map_keys[] = {
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
static_assert(ARRAY_SIZE(map_keys) == MAP_KEY_COUNT && MAP_KEY_COUNT <= (int)KEYS_MAX, "a key without a name");

static const struct {
	const char *name;
	enum field_type type;
	uint16_t width;
	uint8_t words;
} types[] = {
	{ "u8", FIELD_U8, 1, 0 },	{ "s8", FIELD_S8, 1, 0 },
	{ "u16", FIELD_U16, 2, 1 },	{ "s16", FIELD_S16, 2, 1 },
	{ "bits", FIELD_U16, 2, 1 },
	{ "u32", FIELD_U32, 4, 2 },	{ "s32", FIELD_S32, 4, 2 },
	{ "u64", FIELD_U64, 8, 4 },	{ "s64", FIELD_S64, 8, 4 },
	{ "f32", FIELD_F32, 4, 2 },
	{ "version", FIELD_VERSION, 2, 1 },
	{ "hex", FIELD_HEX, 2, 1 },
	{ "datetime", FIELD_DATETIME, 6, 3 },
	{ "datetime_words", FIELD_DATETIME_WORDS, 12, 6 },
	{ "bool", FIELD_BOOL, 1, 0 },
};

/* As many characters of ASCII as stand in the parentheses. */
static const struct {
	const char *name;
	enum field_type type;
	uint16_t most;
} ascii_types[] = {
	{ "text(", FIELD_TEXT, 512 },
	{ "ascii(", FIELD_TEXT, 512 },
	{ "digits(", FIELD_DIGITS, 18 },	/* what fits 63 bits */
	{ "signed_digits(", FIELD_SIGNED_DIGITS, 18 },
	{ "binary(", FIELD_BINARY, 62 },
	{ "flags(", FIELD_FLAGS, 62 },
};

/* What the [map] section of a file says for the fields of that file. */
struct defaults {
	bool big, low_first;
	bool has_none;
	int64_t none;
};

struct section {
	char *name;
	int line;
	unsigned int file;		/* index into load->files */
	char *values[KEYS_MAX];		/* by enum map_key_name in [map], else by enum field_key */
	int lines[KEYS_MAX];
};

struct load {
	void (*complain)(void *ctx, const char *text);
	void *ctx;
	const struct map_files *known;
	struct map *map;
	size_t errors, memory_room, field_room, name_room;
	bool failed;			/* no memory */

	struct {
		char name[64];
		struct defaults defaults;
		size_t first, last;	/* its sections */
		int main_section;	/* index of [map] */
	} files[16];
	unsigned int file_count, file;	/* file: the one in hand */

	struct section *sections;
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

__attribute__((format(printf, 4, 5)))
static void complain(struct load *l, const struct section *s, int line, const char *format, ...)
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

/* ------------------------------------------------ memory of the map */
static void *keep(struct load *l, size_t size)
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

static char *keep_text(struct load *l, const char *text)
{
	size_t n = strlen(text) + 1;
	char *p = keep(l, n);

	if (p)
		memcpy(p, text, n);
	return p;
}

/* ------------------------------------------------ from file to sections */
static struct section *current(struct load *l)
{
	return l->section_count > l->files[l->file].first ? &l->sections[l->section_count - 1] : NULL;
}

static void begin_section(struct load *l, const char *line)
{
	const char *end = strchr(line, ']');
	struct section *s;
	char name[80];

	l->last_value = NULL;
	if (!end)
		return;			/* inih reports it */
	if ((size_t)(end - line - 1) >= sizeof(name)) {
		complain(l, NULL, l->line, "section name too long");
		return;
	}
	memcpy(name, line + 1, (size_t)(end - line - 1));
	name[end - line - 1] = '\0';
	if (l->section_count == SECTIONS_MAX) {
		complain(l, NULL, l->line, "more than %d sections", SECTIONS_MAX);
		l->failed = true;
		return;
	}
	for (size_t i = l->files[l->file].first; i < l->section_count; i++)
		if (!strcmp(l->sections[i].name, name))
			complain(l, NULL, l->line, "[%s] is there already, in line %d", name,
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

static int next_byte(struct load *l)
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
	struct load *l = ctx;
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
		complain(l, NULL, l->line, "more than %d lines", LINES_MAX);
		return NULL;
	}
	if (cut)
		complain(l, NULL, l->line, "line too long: at most %d bytes; go on in the next line, indented",
			 room - 2);
	start = buf + strspn(buf, " \t\r");
	l->continues = start > buf && *start;
	if (*start == '[')
		begin_section(l, start);
	return buf;
}

static int handle(void *ctx, const char *section_name, const char *key, const char *value)
{
	struct load *l = ctx;
	struct section *s = current(l);
	const char *const *keys = field_keys;
	int count = FIELD_KEY_COUNT, k;
	char list[512] = "";
	size_t length;

	(void)section_name;
	if (!s) {
		complain(l, NULL, l->line, "\"%s\" stands before the first section", key);
		return 1;
	}
	if (!strcmp(s->name, "map")) {
		keys = map_keys;
		count = MAP_KEY_COUNT;
	}
	if (l->continues && l->last_value) {
		char **slot = &s->values[l->last_key], *more;

		length = strlen(*slot) + strlen(value) + 2;
		if (length > VALUE_MAX) {
			complain(l, s, l->line, "%s: more than %d bytes", key, VALUE_MAX);
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
		complain(l, s, l->line, "unknown key \"%s\"; known are: %s", key, list);
		return 1;
	}
	if (s->values[k]) {
		complain(l, s, l->line, "%s is there already, in line %d", key, s->lines[k]);
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

static bool read_file(struct load *l, const char *name)
{
	int error;

	if (l->file_count == ARRAY_SIZE(l->files)) {
		complain(l, NULL, l->line, "too many files included");
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
		complain(l, NULL, error, "neither [section] nor key = value");
	l->files[l->file].last = l->section_count;
	return true;
}

/* ------------------------------------------------ words of a value */
static const char *skip_blank(const char *p)
{
	return p + strspn(p, " \t");
}

/* The next part of a list separated by commas, without blanks around; false at its end. */
static bool next_part(const char **list, char *part, size_t room)
{
	const char *p = skip_blank(*list), *end;
	size_t n;

	if (!*p)
		return false;
	end = strchr(p, ',');
	if (!end)
		end = p + strlen(p);
	*list = *end ? end + 1 : end;
	n = (size_t)(end - p);
	while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	if (n >= room)
		n = room - 1;
	memcpy(part, p, n);
	part[n] = '\0';
	return true;
}

static bool parse_u64(const char *text, uint64_t *ret)
{
	char *end;

	text = skip_blank(text);
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	/* Base 16 only where it says so: 010 is ten. */
	*ret = strtoull(text, &end, text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10);
	return !errno && !*skip_blank(end) && end > text;
}

static bool parse_u32(const char *text, uint32_t max, uint32_t *ret)
{
	uint64_t v;

	if (!parse_u64(text, &v) || v > max)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool parse_raw(const char *text, int64_t *ret)
{
	uint64_t v;
	bool minus = *(text = skip_blank(text)) == '-';

	if (!parse_u64(text + minus, &v) || (minus && v > INT64_MAX))
		return false;
	*ret = minus ? -(int64_t)v : (int64_t)v;
	return true;
}

/* A decimal number; hexadecimal ones are integers. */
static bool parse_decimal(const char *text, struct number *ret)
{
	bool minus = *(text = skip_blank(text)) == '-', point = false, digit = false;
	struct number n = { 0 };
	uint64_t whole;

	text += minus || *text == '+';
	if (text[0] == '0' && (text[1] | 0x20) == 'x') {
		if (!parse_u64(text, &whole) || whole > INT64_MAX)
			return false;
		*ret = (struct number){ .mantissa = minus ? -(int64_t)whole : (int64_t)whole };
		return true;
	}
	for (; *text && *text != ' ' && *text != '\t'; text++) {
		if (*text == '.' && !point) {
			point = true;
			continue;
		}
		if (!isdigit((unsigned char)*text) || (point && n.decimals == 9) ||
		    __builtin_mul_overflow(n.mantissa, 10, &n.mantissa) ||
		    __builtin_add_overflow(n.mantissa, *text - '0', &n.mantissa))
			return false;
		digit = true;
		n.decimals = (uint8_t)(n.decimals + point);
	}
	if (!digit || *skip_blank(text))
		return false;
	if (minus)
		n.mantissa = -n.mantissa;
	*ret = n;
	return true;
}

static bool parse_yes(struct load *l, const struct section *s, int key, const char *name, bool otherwise)
{
	const char *v = s->values[key];

	if (!v)
		return otherwise;
	if (!strcmp(v, "yes") || !strcmp(v, "no"))
		return *v == 'y';
	complain(l, s, s->lines[key], "%s: \"%s\" is neither yes nor no", name, v);
	return otherwise;
}

static bool parse_choice(struct load *l, const struct section *s, int key, const char *name, const char *yes,
			 const char *no, bool otherwise)
{
	const char *v = s->values[key];

	if (!v)
		return otherwise;
	if (!strcmp(v, yes) || !strcmp(v, no))
		return !strcmp(v, yes);
	complain(l, s, s->lines[key], "%s: \"%s\" is neither %s nor %s", name, v, yes, no);
	return otherwise;
}

/* ------------------------------------------------ [map] */
static void map_defaults(struct load *l, unsigned int file)
{
	struct section *s;
	struct defaults *d = &l->files[file].defaults;

	if (l->files[file].main_section < 0)
		return;
	s = &l->sections[l->files[file].main_section];
	d->big = parse_choice(l, s, MAP_ORDER, "order", "big", "little", true);
	d->low_first = parse_choice(l, s, MAP_WORDS, "words", "low-first", "high-first", !d->big);
	if (s->values[MAP_NONE_U16]) {
		d->has_none = parse_raw(s->values[MAP_NONE_U16], &d->none);
		if (!d->has_none)
			complain(l, s, s->lines[MAP_NONE_U16], "none_u16: \"%s\" is no number",
				 s->values[MAP_NONE_U16]);
	}
}

static bool parse_span(const char *text, uint64_t max, uint64_t *low, uint64_t *high)
{
	char copy[64], *dots;

	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	dots = strstr(copy, "..");
	if (!dots) {
		if (!parse_u64(copy, low))
			return false;
		*high = *low;
		return *low <= max;
	}
	*dots = '\0';
	*low = 0;
	*high = max;
	if (*skip_blank(copy) && !parse_u64(copy, low))
		return false;
	if (*skip_blank(dots + 2) && !parse_u64(dots + 2, high))
		return false;
	return *low <= *high && *high <= max;
}

static void map_registers(struct load *l, const struct section *s)
{
	struct map *m = l->map;
	const char *list = s->values[MAP_REGISTERS];
	char part[96];

	while (next_part(&list, part, sizeof(part))) {
		char *at = strstr(part, " at ");
		uint64_t low, high;
		uint32_t offset;
		struct map_range *r = &m->ranges[m->range_count];

		if (m->range_count == MAP_RANGES_MAX) {
			complain(l, s, s->lines[MAP_REGISTERS], "registers: more than %d blocks", MAP_RANGES_MAX);
			return;
		}
		if (at)
			*at = '\0';
		if (!parse_span(part, 0xffff, &low, &high) || (at && !parse_u32(at + 4, 65535, &offset))) {
			complain(l, s, s->lines[MAP_REGISTERS],
				 "registers: \"%s\" is no block; write e.g. 0x3000..0x302b at 181", part);
			return;
		}
		*r = (struct map_range){ (uint32_t)low, (uint32_t)high, at ? (int32_t)offset : -1 };
		for (size_t i = 0; i < m->range_count; i++)
			if (r->first <= m->ranges[i].last && m->ranges[i].first <= r->last)
				complain(l, s, s->lines[MAP_REGISTERS], "registers: block %s overlaps another",
					 part);
		m->range_count++;
	}
}

static void map_key_list(struct load *l, const struct section *s, int key, const char *name)
{
	struct map *m = l->map;
	const char *list = s->values[key];
	char part[64];

	if (!list)
		return;
	if (m->key_name) {
		complain(l, s, s->lines[key], "%s: the map is chosen by %s already", name, m->key_name);
		return;
	}
	m->key_name = name;
	while (next_part(&list, part, sizeof(part))) {
		char *slash = strchr(part, '/');
		struct map_key *k = &m->keys[m->key_count];

		if (m->key_count == MAP_KEYS_MAX) {
			complain(l, s, s->lines[key], "%s: more than %d", name, MAP_KEYS_MAX);
			return;
		}
		k->mask = UINT32_MAX;
		if (slash)
			*slash = '\0';
		if (!parse_u32(part, UINT32_MAX, &k->value) ||
		    (slash && !parse_u32(slash + 1, UINT32_MAX, &k->mask)) || k->value & ~k->mask) {
			complain(l, s, s->lines[key], "%s: \"%s\" is no number; write 0x02b0, or 0x0011/0x00ff "
				 "for \"0x11 under the mask 0xff\"", name, part);
			return;
		}
		m->key_count++;
	}
	if (!m->key_count)
		complain(l, s, s->lines[key], "%s: no value", name);
}

static size_t number_list(struct load *l, const struct section *s, int key, const char *name, uint32_t *out,
			  size_t room)
{
	const char *list = s->values[key];
	char part[64];
	size_t count = 0;

	while (list && next_part(&list, part, sizeof(part))) {
		if (count == room) {
			complain(l, s, s->lines[key], "%s: more than %zu", name, room);
			break;
		}
		if (!parse_u32(part, UINT32_MAX, &out[count++])) {
			complain(l, s, s->lines[key], "%s: \"%s\" is no number", name, part);
			break;
		}
	}
	return count;
}

static void map_requires(struct load *l, const struct section *s, int key)
{
	struct map *m = l->map;
	const char *list = s->values[key];
	char part[96];

	while (list && next_part(&list, part, sizeof(part))) {
		struct map_require *r = &m->requires[m->require_count];
		char *in = strstr(part, " in ");
		uint64_t low, high;

		if (m->require_count == MAP_KEYS_MAX) {
			complain(l, s, s->lines[key], "%s: more than %d", map_keys[key], MAP_KEYS_MAX);
			return;
		}
		if (in)
			*in = '\0';
		if (!in || !parse_u32(part, 0xffff, &r->reg) || !parse_span(in + 4, 0xffff, &low, &high)) {
			complain(l, s, s->lines[key], "%s: write REGISTER in LOW..HIGH, e.g. 79 in 4500..6500",
				 map_keys[key]);
			return;
		}
		r->low = (uint32_t)low;
		r->high = (uint32_t)high;
		m->require_count++;
	}
}

/* The groups a record must have: of the maps that fit, the one that asks for the most reads it. */
static void map_groups(struct load *l, const struct section *s)
{
	struct map *m = l->map;
	const char *list = s->values[MAP_GROUPS], *up_to = s->values[MAP_GROUPS_UP_TO];
	char part[64];

	m->groups_up_to = 0xffff;
	if (up_to && !parse_u32(up_to, 0xffff, &m->groups_up_to))
		complain(l, s, s->lines[MAP_GROUPS_UP_TO], "groups_up_to: \"%s\" is no register", up_to);
	while (list && next_part(&list, part, sizeof(part))) {
		uint64_t low, high;

		if (m->group_count == MAP_KEYS_MAX || !parse_span(part, 0xffff, &low, &high)) {
			complain(l, s, s->lines[MAP_GROUPS], "groups: \"%s\": write e.g. 0..124, 1000..1124; up to %d",
				 part, MAP_KEYS_MAX);
			return;
		}
		m->groups[m->group_count++] = (struct map_range){ (uint32_t)low, (uint32_t)high, -1 };
	}
}

static const char *text_or(struct load *l, const struct section *s, int key, const char *otherwise)
{
	const char *kept = s->values[key] ? keep_text(l, s->values[key]) : NULL;

	return kept ? kept : otherwise;
}

static void compile_map_section(struct load *l)
{
	struct map *m = l->map;
	const struct section *s;
	uint64_t low, high;
	uint32_t v;

	m->length_max = SIZE_MAX;
	m->protocol = m->source = "";
	if (l->files[0].main_section < 0) {
		l->file = 0;
		complain(l, NULL, 1, "no section [map]");
		return;
	}
	s = &l->sections[l->files[0].main_section];
	m->protocol = text_or(l, s, MAP_PROTOCOL, "");
	m->source = text_or(l, s, MAP_SOURCE, "");
	m->model = text_or(l, s, MAP_MODEL, NULL);
	m->family = text_or(l, s, MAP_FAMILY, NULL);
	m->part = parse_yes(l, s, MAP_PART, "part", false);
	m->info = parse_yes(l, s, MAP_INFO, "info", false);
	m->modbus_claim = parse_yes(l, s, MAP_MODBUS, "modbus", false);
	if (s->values[MAP_LENGTH]) {
		if (parse_span(s->values[MAP_LENGTH], 65535, &low, &high)) {
			m->length_min = (size_t)low;
			m->length_max = high == 65535 ? SIZE_MAX : (size_t)high;
		} else {
			complain(l, s, s->lines[MAP_LENGTH],
				 "length: \"%s\" is no length; write 409, 151.., ..500 or 151..500",
				 s->values[MAP_LENGTH]);
		}
	}
	if (s->values[MAP_REGISTERS])
		map_registers(l, s);
	map_key_list(l, s, MAP_SENSOR_LIST, "sensor_list");
	map_key_list(l, s, MAP_DATA_ID, "data_id");
	map_key_list(l, s, MAP_LAYOUT, "layout");
	m->modbus_list_count = number_list(l, s, MAP_MODBUS_LIST, "modbus_list", m->modbus_lists,
					   ARRAY_SIZE(m->modbus_lists));
	m->modbus_type_count = number_list(l, s, MAP_MODBUS_TYPE, "modbus_type", m->modbus_types,
					   ARRAY_SIZE(m->modbus_types));
	map_requires(l, s, MAP_MODBUS_REQUIRE);
	map_requires(l, s, MAP_REQUIRE);
	map_groups(l, s);
	if (s->values[MAP_MODBUS_FUNCTION]) {
		if (parse_u32(s->values[MAP_MODBUS_FUNCTION], 4, &v) && v >= 3)
			m->modbus_function = (int)v;
		else
			complain(l, s, s->lines[MAP_MODBUS_FUNCTION], "modbus_function: 3 or 4");
	}
	m->modbus = m->modbus_claim || m->modbus_list_count || m->modbus_type_count ||
		    s->values[MAP_MODBUS_REQUIRE];
	if (!m->part && !*m->protocol && !m->modbus)
		complain(l, s, s->line, "nothing says when this map is used: protocol, a modbus_… key, or part = yes");
	if (m->modbus && !m->range_count)
		complain(l, s, s->line, "a map for Modbus needs registers = FIRST..LAST");
}

static bool include_files(struct load *l, unsigned int file, unsigned int depth)
{
	const struct section *s;
	const char *list;
	char part[64];

	if (l->files[file].main_section < 0)
		return true;
	s = &l->sections[l->files[file].main_section];
	list = s->values[MAP_INCLUDE];
	while (list && next_part(&list, part, sizeof(part))) {
		size_t i = 0;

		/* The sections may move when a file is read. */
		s = &l->sections[l->files[file].main_section];
		while (l->known && i < l->known->count && strcmp(l->known->names[i], part))
			i++;
		if (!l->known || i == l->known->count) {
			complain(l, s, s->lines[MAP_INCLUDE], "include: there is no map \"%s\"", part);
			continue;
		}
		for (unsigned int f = 0; f < l->file_count; f++)
			if (!strcmp(l->files[f].name, part)) {
				complain(l, s, s->lines[MAP_INCLUDE], "include: \"%s\" comes twice or in a circle",
					 part);
				return false;
			}
		if (depth == INCLUDE_DEPTH_MAX) {
			complain(l, s, s->lines[MAP_INCLUDE], "include: more than %d deep", INCLUDE_DEPTH_MAX);
			return false;
		}
		l->stream = fopen(l->known->paths[i], "re");
		if (!l->stream) {
			complain(l, s, s->lines[MAP_INCLUDE], "include: %s: %s", part, strerror(errno));
			continue;
		}
		if (read_file(l, part)) {
			unsigned int included = l->file;

			fclose(l->stream);
			l->stream = NULL;
			map_defaults(l, included);
			if (!include_files(l, included, depth + 1))
				return false;
		} else {
			fclose(l->stream);
			l->stream = NULL;
			return false;
		}
	}
	return true;
}

/* ------------------------------------------------ fields */
static int find_name(const struct load *l, const char *name)
{
	for (size_t i = 0; i < l->map->name_count; i++)
		if (!strcmp(l->map->names[i], name))
			return (int)i;
	return -1;
}

static int add_name(struct load *l, const char *name)
{
	int i = find_name(l, name);
	char *kept;

	if (i >= 0)
		return i;
	kept = keep_text(l, name);
	if (!kept)
		return -1;
	l->map->names[l->map->name_count] = kept;
	return (int)l->map->name_count++;
}

/* What a section says, for the instance `number` of a template. */
struct instance {
	struct load *l;
	const struct section *s;
	bool is_template;
	unsigned int number, nth;
	char text[VALUE_MAX];		/* the last value() */
};

/* The value with {i} replaced; NULL: not there. Valid until the next call. */
static const char *value(struct instance *in, enum field_key key)
{
	const char *from = in->s->values[key];
	size_t used = 0;

	if (!from)
		return NULL;
	while (*from && used < sizeof(in->text) - 8) {
		if (!strncmp(from, "{i}", 3)) {
			used += (size_t)snprintf(in->text + used, sizeof(in->text) - used, "%u", in->number);
			from += 3;
		} else {
			in->text[used++] = *from++;
		}
	}
	in->text[used] = '\0';
	return in->text;
}

#define WRONG(in, key, ...) complain((in)->l, (in)->s, (in)->s->lines[key], __VA_ARGS__)

static void field_type(struct instance *in, struct field *f)
{
	const char *text = value(in, KEY_TYPE);
	char list[256] = "";
	uint32_t n;

	f->sized = text;
	if (!text)
		text = in->s->values[KEY_ITEM] ? "s32" : in->s->values[KEY_KEY] ? "s64" : "u16";
	f->plain = !strncmp(text, "ascii(", 6);
	for (size_t i = 0; i < ARRAY_SIZE(ascii_types); i++) {
		size_t head = strlen(ascii_types[i].name);
		char digits[16];

		if (strncmp(text, ascii_types[i].name, head) || text[strlen(text) - 1] != ')')
			continue;
		snprintf(digits, sizeof(digits), "%.*s", (int)(strlen(text) - head - 1), text + head);
		if (parse_u32(digits, ascii_types[i].most, &n) && n) {
			f->type = ascii_types[i].type;
			f->width = (uint16_t)n;
			return;
		}
		WRONG(in, KEY_TYPE, "type: \"%s\": from 1 to %u characters", text, ascii_types[i].most);
		return;
	}
	if (!strcmp(text, "text") && (in->s->values[KEY_ITEM] || in->s->values[KEY_KEY])) {
		f->type = FIELD_TEXT;
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(text, types[i].name)) {
			f->type = types[i].type;
			f->width = types[i].width;
			f->words = types[i].words;
			return;
		}
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		strncat(list, types[i].name, sizeof(list) - strlen(list) - 1);
		strncat(list, ", ", sizeof(list) - strlen(list) - 1);
	}
	WRONG(in, KEY_TYPE, "type: unknown type \"%s\"; known are: %stext(n) and ascii(n) with n up to 512, "
	      "digits(n), signed_digits(n), binary(n), flags(n)", text, list);
}

static bool field_number(struct instance *in, enum field_key key, uint64_t max, uint64_t *ret)
{
	const char *text = value(in, key);
	uint64_t step = 0;

	if (!text)
		return false;
	if (!parse_u64(text, ret) || *ret > max) {
		WRONG(in, key, "%s: \"%s\" is no number from 0 to %llu", field_keys[key], text,
		      (unsigned long long)max);
		return false;
	}
	text = value(in, KEY_STEP);
	if (in->is_template && text && !parse_u64(text, &step)) {
		if (!in->nth)
			WRONG(in, KEY_STEP, "step: \"%s\" is no number", text);
		return false;
	}
	if (step > 0xffffff || *ret + step * in->nth > max) {
		WRONG(in, key, "%s: with step the last one is beyond %llu", field_keys[key],
		      (unsigned long long)max);
		return false;
	}
	*ret += step * in->nth;
	return true;
}

/* Where a register stands in the record, or -1; false: it is in no block. */
static bool register_offset(const struct map *m, uint32_t reg, uint32_t words, int32_t *ret)
{
	for (size_t i = 0; i < m->range_count; i++) {
		const struct map_range *r = &m->ranges[i];

		if (reg < r->first || reg > r->last || words > r->last - reg + 1)
			continue;
		*ret = r->at < 0 ? -1 : r->at + 2 * (int32_t)(reg - r->first);
		return true;
	}
	return false;
}

static void field_keys_of(struct instance *in, struct field *f)
{
	const char *list = value(in, KEY_KEY);
	char part[128];

	while (list && next_part(&list, part, sizeof(part))) {
		if (f->key_count == MAP_FIELD_KEYS_MAX) {
			WRONG(in, KEY_KEY, "key: more than %d", MAP_FIELD_KEYS_MAX);
			return;
		}
		f->keys[f->key_count] = keep_text(in->l, part);
		f->key_count = (uint8_t)(f->key_count + (f->keys[f->key_count] != NULL));
	}
	if (list && !f->key_count)
		WRONG(in, KEY_KEY, "key: no name");
}

static void field_place(struct instance *in, struct field *f)
{
	const struct map *m = in->l->map;
	const enum field_key places[] = { KEY_AT, KEY_REGISTER, KEY_ITEM, KEY_KEY, KEY_PRODUCT, KEY_SUM };
	unsigned int count = 0;
	uint32_t words = f->width > 1 ? (f->width + 1u) / 2 : 1;
	uint64_t v;

	f->at = f->high_at = f->reg = f->high_reg = -1;
	f->item = -1;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		count += in->s->values[places[i]] != NULL;
	if (count != 1) {
		complain(in->l, in->s, in->s->line, "says %s where it is: one of at, register, item, key, product, sum",
			 count ? "more than once" : "nowhere");
		return;
	}
	if (field_number(in, KEY_AT, 65535, &v))
		f->at = (int32_t)v;
	if (field_number(in, KEY_ITEM, UINT32_MAX, &v))
		f->item = (int64_t)v;
	field_keys_of(in, f);
	if (field_number(in, KEY_HIGH_AT, 65535, &v))
		f->high_at = (int32_t)v;
	if (field_number(in, KEY_HIGH, 65535, &v))
		f->high_reg = (int32_t)v;
	if (f->high_reg >= 0 || f->high_at >= 0) {
		if (f->words != 2)
			complain(in->l, in->s, in->s->line, "high: only a 32-bit type has a high word");
		if ((f->high_reg >= 0) != (in->s->values[KEY_REGISTER] != NULL))
			complain(in->l, in->s, in->s->line, "high goes with register, high_at with at");
		f->width = 2;
		words = 1;
	}
	if (field_number(in, KEY_REGISTER, 65535, &v)) {
		f->reg = (int32_t)v;
		/* A part's registers are checked where it is included. */
		if (!register_offset(m, (uint32_t)v, words, &f->at) && !m->part)
			WRONG(in, KEY_REGISTER, "register %u%s: not (wholly) inside a block of [map] registers",
			      (unsigned int)v, words > 1 ? " and those it goes on to" : "");
		else if (f->at >= 0 && !f->words && f->type != FIELD_TEXT && f->big)
			f->at++;		/* the low byte */
		if (f->high_reg >= 0 && !register_offset(m, (uint32_t)f->high_reg, 1, &f->high_at) && !m->part)
			WRONG(in, KEY_HIGH, "high: register %d is in no block of [map] registers", f->high_reg);
	}
	if (f->at >= 0 && m->length_max != SIZE_MAX && (size_t)f->at + f->width > m->length_max)
		complain(in->l, in->s, in->s->line, "ends at offset %zu, beyond the record's length %zu",
			 (size_t)f->at + f->width, m->length_max);
}

static int64_t rounded(double v)
{
	return (int64_t)(v < 0 ? v - 0.5 : v + 0.5);
}

static void field_scale(struct instance *in, struct field *f)
{
	const char *text = value(in, KEY_SCALE), *slash;
	struct number by = { .mantissa = 1 }, to = { .mantissa = 1 }, add = { 0 };
	unsigned int digits;
	uint64_t v;
	bool fraction = false, computed = f->type == FIELD_PRODUCT || f->type == FIELD_SUM;

	f->mul = f->div = 1;
	if (text) {
		char first[64];

		slash = strchr(text, '/');
		fraction = slash;
		snprintf(first, sizeof(first), "%.*s", slash ? (int)(slash - text) : (int)strlen(text), text);
		if (!parse_decimal(first, &by) || (slash && !parse_decimal(slash + 1, &to)) || !by.mantissa ||
		    to.mantissa <= 0 || to.decimals || by.mantissa > 1000000000 || by.mantissa < -1000000000 ||
		    to.mantissa > 1000000000) {
			WRONG(in, KEY_SCALE, "scale: \"%s\" is no number; write e.g. 0.1, -0.01 or 100/1024", text);
			return;
		}
	}
	text = value(in, KEY_ADD);
	if (text && (!parse_decimal(text, &add) || add.mantissa > 1000000000 || add.mantissa < -1000000000)) {
		WRONG(in, KEY_ADD, "add: \"%s\" is no number", text);
		return;
	}
	digits = by.decimals > add.decimals ? by.decimals : add.decimals;
	if (fraction || computed || f->type == FIELD_F32)
		digits = 2;
	text = value(in, KEY_DIGITS);
	if (text) {
		if (!parse_u64(text, &v) || v > 9) {
			WRONG(in, KEY_DIGITS, "digits: \"%s\" is no number from 0 to 9", text);
			return;
		}
		digits = (unsigned int)v;
		f->fixed = true;
	}
	f->decimals = (uint8_t)digits;
	/* raw * by/10^by.decimals / to, in units of 10^-digits */
	f->mul = by.mantissa;
	f->div = to.mantissa;
	if (digits >= by.decimals)
		f->mul *= number_power_of_ten(digits - by.decimals);
	else
		f->div *= number_power_of_ten(by.decimals - digits);
	f->add = rounded(number_double(add) * (double)number_power_of_ten(digits));
}

static void field_limits(struct instance *in, struct field *f)
{
	const struct unit *unit = vocabulary_unit(f->name);
	double low = unit->min, high = unit->max, by = (double)number_power_of_ten(f->decimals);
	bool any = unit->min <= unit->max;
	struct number n;
	const char *text;

	if (!any) {
		low = -9e18 / by;
		high = 9e18 / by;
	}
	if (f->type == FIELD_BOOL) {
		any = true;
		low = 0;
		high = 1;
	}
	text = value(in, KEY_MIN);
	if (text) {
		any = true;
		if (parse_decimal(text, &n))
			low = number_double(n);
		else
			WRONG(in, KEY_MIN, "min: \"%s\" is no number", text);
	}
	text = value(in, KEY_MAX);
	if (text) {
		any = true;
		if (parse_decimal(text, &n))
			high = number_double(n);
		else
			WRONG(in, KEY_MAX, "max: \"%s\" is no number", text);
	}
	if (low > high) {
		complain(in->l, in->s, in->s->line, "min is above max");
		return;
	}
	f->low = any ? rounded(low * by > -9e18 ? low * by : -9e18) : 1;
	f->high = any ? rounded(high * by < 9e18 ? high * by : 9e18) : 0;
}

/* Quantities of which one beyond its limits makes the whole record unbelievable, by the name's ending. */
static void field_refuses(struct instance *in, struct field *f)
{
	const struct load *l = in->l;
	int main_section = l->files[0].main_section;
	const char *list = main_section < 0 ? NULL : l->sections[main_section].values[MAP_REFUSE];
	char part[64];

	while (list && next_part(&list, part, sizeof(part))) {
		size_t n = strlen(f->name), m = strlen(part);

		f->refuses |= n >= m && !strcmp(f->name + n - m, part);
	}
}

static void field_none(struct instance *in, struct field *f)
{
	const struct defaults *d = &in->l->files[in->s->file].defaults;
	const char *list = value(in, KEY_NONE);
	unsigned int bits = f->words ? 16u * f->words : 8;
	char part[64];

	if (!list) {
		/* Of a longer number: each of its words is that value. */
		if (d->has_none && f->item < 0 &&
		    (f->type == FIELD_U16 || f->type == FIELD_U32 || f->type == FIELD_U64)) {
			uint64_t word = (uint64_t)d->none & 0xffff;
			uint64_t all = word * UINT64_C(0x0001000100010001);

			f->none[f->none_count++] = f->type == FIELD_U16 ? (int64_t)word :
						   f->type == FIELD_U32 ? (int64_t)(all & UINT32_MAX) : (int64_t)all;
		}
		return;
	}
	while (next_part(&list, part, sizeof(part))) {
		int64_t v;

		if (f->none_count == MAP_NONE_MAX || !parse_raw(part, &v)) {
			WRONG(in, KEY_NONE, "none: \"%s\": up to %d raw values, e.g. 0xffff, -1", part,
			      MAP_NONE_MAX);
			return;
		}
		/* 0xffff of a signed word is -1 */
		if ((f->type == FIELD_S8 || f->type == FIELD_S16 || f->type == FIELD_S32) && v > 0 &&
		    v >> (bits - 1) == 1)
			v -= INT64_C(1) << bits;
		f->none[f->none_count++] = v;
	}
}

static void field_bits(struct instance *in, struct field *f)
{
	const char *text = value(in, KEY_BITS);
	uint64_t low, high;

	if (!text)
		return;
	if (!parse_span(text, 63, &low, &high) || high - low > 62) {
		WRONG(in, KEY_BITS, "bits: \"%s\"; write e.g. 8..11, or 3", text);
		return;
	}
	f->shift = (uint8_t)low;
	f->mask = (UINT64_C(1) << (high - low + 1)) - 1;
}

static void field_names(struct instance *in, struct field *f)
{
	const char *list = value(in, KEY_NAMES);
	size_t room = 1;
	char part[96];

	if (!list)
		return;
	for (const char *p = list; *p; p++)
		room += *p == ',';
	f->names = keep(in->l, room * sizeof(*f->names));
	while (f->names && next_part(&list, part, sizeof(part))) {
		char *blank = strchr(part, ' ');

		if (blank)
			*blank = '\0';
		if (!blank || f->name_count == room || !parse_raw(part, &f->names[f->name_count].value)) {
			WRONG(in, KEY_NAMES, "names: \"%s\": write VALUE NAME, …, e.g. 0 standby, 1 normal", part);
			return;
		}
		f->names[f->name_count].text = keep_text(in->l, skip_blank(blank + 1));
		f->name_count += f->names[f->name_count].text != NULL;
	}
}

static void field_conditions(struct instance *in, struct field *f, enum field_key key)
{
	static const struct { const char *text; enum condition_op op; } ops[] = {
		{ "==", CONDITION_EQ }, { "!=", CONDITION_NE }, { "<=", CONDITION_LE }, { ">=", CONDITION_GE },
		{ "<", CONDITION_LT }, { ">", CONDITION_GT },
	};
	const char *list = value(in, key);
	char part[128];

	while (list && next_part(&list, part, sizeof(part))) {
		struct condition *c = &f->conditions[f->condition_count];
		size_t o = 0, n = strcspn(part, " =!<>");
		const char *rest = skip_blank(part + n);
		char name[64];
		int index;

		while (o < ARRAY_SIZE(ops) && strncmp(rest, ops[o].text, strlen(ops[o].text)))
			o++;
		snprintf(name, sizeof(name), "%.*s", (int)n, part);
		index = find_name(in->l, name);
		if (f->condition_count == MAP_CONDITIONS_MAX || o == ARRAY_SIZE(ops) ||
		    !parse_decimal(rest + strlen(ops[o].text), &c->with)) {
			WRONG(in, key, "%s: \"%s\": write NAME OP NUMBER, OP one of == != < <= > >=; up to %d",
			      field_keys[key], part, MAP_CONDITIONS_MAX);
			return;
		}
		if (index < 0) {
			WRONG(in, key, "%s: no \"%s\" stands before this section", field_keys[key], name);
			return;
		}
		c->op = ops[o].op;
		c->must = key == KEY_ONLY_IF;
		c->name = (uint16_t)index;
		f->condition_count++;
	}
}

static void field_terms(struct instance *in, struct field *f, enum field_key key)
{
	const char *list = value(in, key);
	char part[96];

	while (list && next_part(&list, part, sizeof(part))) {
		bool minus = *part == '-', optional = part[minus] == '?';
		int index = find_name(in->l, skip_blank(part + minus + optional));

		if (f->term_count == MAP_TERMS_MAX) {
			WRONG(in, key, "%s: more than %d names", field_keys[key], MAP_TERMS_MAX);
			return;
		}
		if (index < 0) {
			WRONG(in, key, "%s: no \"%s\" stands before this section", field_keys[key], part);
			return;
		}
		f->terms[f->term_count++] = (struct term){ (uint16_t)index, minus, optional };
	}
	if (key == KEY_UNLESS_ZERO) {
		f->zero_count = f->term_count;
		if (f->type == FIELD_SUM || f->type == FIELD_PRODUCT)
			WRONG(in, key, "unless_zero: not for sums and products; put it where the parts are");
	}
}

/* A sum has the digits of its parts. */
static uint8_t most_decimals(const struct map *m, const struct field *sum)
{
	uint8_t most = 0;

	for (size_t t = 0; t < sum->term_count; t++)
		for (size_t i = 0; i < m->field_count; i++)
			if (m->fields[i].name_index == sum->terms[t].name && m->fields[i].decimals > most)
				most = m->fields[i].decimals;
	return most;
}

/* The field's own name, without the mark of an alternative: "ac_voltage.2" is one of "ac_voltage". */
static bool add_field(struct load *l, const struct section *s, const char *id, struct instance *in)
{
	struct map *m = l->map;
	struct field *f;
	char name[80];
	int index;
	bool replace;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(id, "."), id);
	if (!vocabulary_name_valid(name)) {
		complain(l, s, s->line, "\"%s\" is no name: small letters, digits and _, as in the vocabulary", name);
		return false;
	}
	replace = parse_yes(l, s, KEY_REPLACE, "replace", false);
	for (size_t i = 0; i < m->field_count; i++) {
		if (strcmp(l->ids[i], id))
			continue;
		if (!replace) {
			complain(l, s, s->line, "%s is there already; replace = yes takes the place of an included one",
				 id);
			return false;
		}
		free(l->ids[i]);
		memmove(&l->ids[i], &l->ids[i + 1], (m->field_count - i - 1) * sizeof(l->ids[0]));
		memmove(&m->fields[i], &m->fields[i + 1], (m->field_count - i - 1) * sizeof(m->fields[0]));
		l->ids[--m->field_count] = NULL;
		break;
	}
	if (m->field_count == MAP_FIELDS_MAX || m->name_count == MAP_FIELDS_MAX) {
		complain(l, s, s->line, "more than %d fields", MAP_FIELDS_MAX);
		l->failed = true;
		return false;
	}
	f = &m->fields[m->field_count];
	memset(f, 0, sizeof(*f));
	f->big = parse_choice(l, s, KEY_ORDER, "order", "big", "little", l->files[s->file].defaults.big);
	f->low_first = s->values[KEY_ORDER] && !s->values[KEY_WORDS] ? !f->big :
		       parse_choice(l, s, KEY_WORDS, "words", "low-first", "high-first",
				    l->files[s->file].defaults.low_first);
	f->total = -1;
	f->name = name;
	field_type(in, f);
	if (s->values[KEY_PRODUCT])
		f->type = FIELD_PRODUCT;
	else if (s->values[KEY_SUM])
		f->type = FIELD_SUM;
	field_place(in, f);
	f->narrow = parse_yes(l, s, KEY_NARROW, "narrow", false);
	field_scale(in, f);
	field_none(in, f);
	field_bits(in, f);
	field_names(in, f);
	field_conditions(in, f, KEY_IF);
	field_conditions(in, f, KEY_ONLY_IF);
	if (s->values[KEY_PRODUCT])
		field_terms(in, f, KEY_PRODUCT);
	else if (s->values[KEY_SUM])
		field_terms(in, f, KEY_SUM);
	else if (s->values[KEY_UNLESS_ZERO])
		field_terms(in, f, KEY_UNLESS_ZERO);
	if (f->type == FIELD_SUM && !s->values[KEY_DIGITS])
		f->decimals = most_decimals(m, f);
	field_limits(in, f);
	field_refuses(in, f);
	f->hidden = !parse_yes(l, s, KEY_PUBLISH, "publish", true);
	f->info = parse_yes(l, s, KEY_INFO, "info", f->type == FIELD_TEXT || f->type == FIELD_VERSION ||
			    f->type == FIELD_HEX || f->type == FIELD_DATETIME ||
			    f->type == FIELD_DATETIME_WORDS);
	if (!strcmp(name, "serial"))
		f->role = ROLE_SERIAL;
	else if (!strcmp(name, "logger"))
		f->role = ROLE_LOGGER;
	else if (!strcmp(name, "model"))
		f->role = ROLE_MODEL;
	if ((f->role == ROLE_SERIAL || f->role == ROLE_LOGGER) && f->type != FIELD_TEXT)
		complain(l, s, s->line, "%s has to be a text", name);
	index = add_name(l, name);
	l->ids[m->field_count] = strdup(id);
	if (index < 0 || !l->ids[m->field_count]) {
		l->failed = true;
		return false;
	}
	f->name_index = (uint16_t)index;
	f->name = m->names[index];
	m->field_count++;
	return true;
}

static void expand_section(struct load *l, const struct section *s)
{
	const char *open = strchr(s->name, '{'), *close = open ? strchr(open, '}') : NULL;
	struct instance *in = calloc(1, sizeof(*in));
	uint64_t low = 0, high = 0;
	char span[32], id[128];

	if (!in) {
		l->failed = true;
		return;
	}
	in->l = l;
	in->s = s;
	if (!open) {
		if (s->values[KEY_STEP])
			WRONG(in, KEY_STEP, "step: only for a template such as [pv{1..4}_voltage]");
		add_field(l, s, s->name, in);
		free(in);
		return;
	}
	snprintf(span, sizeof(span), "%.*s", close ? (int)(close - open - 1) : 0, open + 1);
	if (!close || !strstr(span, "..") || !isdigit((unsigned char)*span) || !parse_span(span, 99, &low, &high) ||
	    high - low > 63) {
		complain(l, s, s->line, "\"%s\" is no template; write e.g. [pv{1..4}_voltage]", s->name);
		free(in);
		return;
	}
	in->is_template = true;
	for (uint64_t i = low; i <= high; i++) {
		in->number = (unsigned int)i;
		in->nth = (unsigned int)(i - low);
		snprintf(id, sizeof(id), "%.*s%u%s", (int)(open - s->name), s->name, in->number, close + 1);
		if (!add_field(l, s, id, in))
			break;
	}
	free(in);
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

static void index_words(struct load *l)
{
	struct map *m = l->map;
	size_t count = 0;

	for (size_t i = 0; i < m->field_count; i++)
		count += m->fields[i].key_count;
	if (!count)
		return;
	m->words = keep(l, count * sizeof(*m->words));
	for (size_t i = 0; m->words && i < m->field_count; i++)
		for (size_t k = 0; k < m->fields[i].key_count; k++)
			m->words[m->word_count++] = (struct map_word){ m->fields[i].keys[k], (uint16_t)i };
	qsort(m->words, m->word_count, sizeof(*m->words), by_text);
}

static void finish(struct load *l)
{
	struct map *m = l->map;
	int8_t totals = 0;

	m->items = keep(l, m->field_count * sizeof(*m->items));
	m->fields = keep(l, m->field_count * sizeof(*m->fields));
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
			complain(l, NULL, 1, "item 0x%llx is taken twice: %s and %s",
				 (unsigned long long)m->fields[m->items[i]].item, m->fields[m->items[i - 1]].name,
				 m->fields[m->items[i]].name);
		}
}

static void compile(struct load *l)
{
	struct map *m = l->map;

	/* Included files stand first, so that what refers to their values comes after them. */
	for (unsigned int f = l->file_count; f-- > 0;)
		for (size_t i = l->files[f].first; i < l->files[f].last && !l->failed; i++)
			if (strcmp(l->sections[i].name, "map"))
				expand_section(l, &l->sections[i]);
	if (!m->field_count && !l->errors) {
		l->file = 0;
		complain(l, NULL, 1, "a map without a single field");
	}
	if (!l->failed)
		finish(l);
}

/* A map that gives no registers of its own reads those of what it includes. */
static void inherit_registers(struct load *l)
{
	if (l->files[0].main_section >= 0 && l->sections[l->files[0].main_section].values[MAP_REGISTERS])
		return;
	for (unsigned int f = 1; f < l->file_count && !l->map->range_count; f++)
		if (l->files[f].main_section >= 0 &&
		    l->sections[l->files[f].main_section].values[MAP_REGISTERS])
			map_registers(l, &l->sections[l->files[f].main_section]);
}

static struct map *load_all(struct load *l, const char *name)
{
	struct map *m = calloc(1, sizeof(*m));

	l->map = m;
	l->sections = calloc(SECTIONS_MAX, sizeof(*l->sections));
	l->ids = calloc(MAP_FIELDS_MAX + 1, sizeof(*l->ids));
	if (m && l->sections && l->ids && read_file(l, name)) {
		if (l->stream)
			fclose(l->stream);
		l->stream = NULL;
		m->file = keep_text(l, name);
		m->fields = l->fields = calloc(MAP_FIELDS_MAX + 1, sizeof(*m->fields));
		m->names = keep(l, (MAP_FIELDS_MAX + 1) * sizeof(*m->names));
		map_defaults(l, 0);
		l->failed |= !m->fields;
		if (!l->failed && include_files(l, 0, 0)) {
			inherit_registers(l);
			compile_map_section(l);
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
		     void (*complain_to)(void *ctx, const char *text), void *ctx)
{
	struct load *l = calloc(1, sizeof(*l));
	struct map *m;

	if (!l)
		return NULL;
	l->complain = complain_to;
	l->ctx = ctx;
	l->known = files;
	l->stream = fopen(files->paths[index], "re");
	if (!l->stream) {
		char text[512];

		snprintf(text, sizeof(text), "%s: %s", files->names[index], strerror(errno));
		if (complain_to)
			complain_to(ctx, text);
		free(l);
		return NULL;
	}
	m = load_all(l, files->names[index]);
	free(l);
	return m;
}

struct map *map_load_text(const char *file, const char *text, size_t length,
			  void (*complain_to)(void *ctx, const char *text), void *ctx)
{
	struct load *l = calloc(1, sizeof(*l));
	struct map *m;

	if (!l)
		return NULL;
	l->complain = complain_to;
	l->ctx = ctx;
	l->text = text;
	l->left = length;
	m = load_all(l, file);
	free(l);
	return m;
}
