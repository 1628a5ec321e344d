/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map_fields.c - a section of a map, compiled into a field of the table; a template into several
 *
 * Invariants (held by test_map.c and fuzz_map.c)
 *	- A field stands at one place, which is wholly inside the record where the map tells its length.
 *	- What a condition, a sum or a product refers to stands before it.
 *	- Scale and limits fit 64 bits; a limit is in units of the field's own last decimal.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/map_load_private.h"
#include "protocols/reading_fill.h"
#include "protocols/vocabulary.h"
#include "shared/util.h"

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

static int find_name(const struct map_loader *l, const char *name)
{
	for (size_t i = 0; i < l->map->name_count; i++)
		if (!strcmp(l->map->names[i], name))
			return (int)i;
	return -1;
}

static int add_name(struct map_loader *l, const char *name)
{
	int i = find_name(l, name);
	char *kept;

	if (i >= 0)
		return i;
	kept = map_keep_text(l, name);
	if (!kept)
		return -1;
	l->map->names[l->map->name_count] = kept;
	return (int)l->map->name_count++;
}

/* What a section says, for the instance `number` of a template. */
struct instance {
	struct map_loader *l;
	const struct map_section *s;
	bool is_template;
	unsigned int number, nth;
	char text[MAP_VALUE_MAX];		/* the last value() */
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

#define WRONG(in, key, ...) map_complain((in)->l, (in)->s, (in)->s->lines[key], __VA_ARGS__)

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
		if (map_parse_u32(digits, ascii_types[i].most, &n) && n) {
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
	if (!map_parse_u64(text, ret) || *ret > max) {
		WRONG(in, key, "%s: \"%s\" is no number from 0 to %llu", map_field_keys[key], text,
		      (unsigned long long)max);
		return false;
	}
	text = value(in, KEY_STEP);
	if (in->is_template && text && !map_parse_u64(text, &step)) {
		if (!in->nth)
			WRONG(in, KEY_STEP, "step: \"%s\" is no number", text);
		return false;
	}
	if (step > 0xffffff || *ret + step * in->nth > max) {
		WRONG(in, key, "%s: with step the last one is beyond %llu", map_field_keys[key],
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

	while (list && map_next_part(&list, part, sizeof(part))) {
		if (f->key_count == MAP_FIELD_KEYS_MAX) {
			WRONG(in, KEY_KEY, "key: more than %d", MAP_FIELD_KEYS_MAX);
			return;
		}
		f->keys[f->key_count] = map_keep_text(in->l, part);
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
		map_complain(in->l, in->s, in->s->line, "says %s where it is: one of at, register, item, key, product, sum",
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
			map_complain(in->l, in->s, in->s->line, "high: only a 32-bit type has a high word");
		if ((f->high_reg >= 0) != (in->s->values[KEY_REGISTER] != NULL))
			map_complain(in->l, in->s, in->s->line, "high goes with register, high_at with at");
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
		map_complain(in->l, in->s, in->s->line, "ends at offset %zu, beyond the record's length %zu",
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
		if (!map_parse_decimal(first, &by) || (slash && !map_parse_decimal(slash + 1, &to)) || !by.mantissa ||
		    to.mantissa <= 0 || to.decimals || by.mantissa > 1000000000 || by.mantissa < -1000000000 ||
		    to.mantissa > 1000000000) {
			WRONG(in, KEY_SCALE, "scale: \"%s\" is no number; write e.g. 0.1, -0.01 or 100/1024", text);
			return;
		}
	}
	text = value(in, KEY_ADD);
	if (text && (!map_parse_decimal(text, &add) || add.mantissa > 1000000000 || add.mantissa < -1000000000)) {
		WRONG(in, KEY_ADD, "add: \"%s\" is no number", text);
		return;
	}
	digits = by.decimals > add.decimals ? by.decimals : add.decimals;
	if (fraction || computed || f->type == FIELD_F32)
		digits = 2;
	text = value(in, KEY_DIGITS);
	if (text) {
		if (!map_parse_u64(text, &v) || v > 9) {
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
		if (map_parse_decimal(text, &n))
			low = number_double(n);
		else
			WRONG(in, KEY_MIN, "min: \"%s\" is no number", text);
	}
	text = value(in, KEY_MAX);
	if (text) {
		any = true;
		if (map_parse_decimal(text, &n))
			high = number_double(n);
		else
			WRONG(in, KEY_MAX, "max: \"%s\" is no number", text);
	}
	if (low > high) {
		map_complain(in->l, in->s, in->s->line, "min is above max");
		return;
	}
	f->low = any ? rounded(low * by > -9e18 ? low * by : -9e18) : 1;
	f->high = any ? rounded(high * by < 9e18 ? high * by : 9e18) : 0;
}

/* Quantities of which one beyond its limits makes the whole record unbelievable, by the name's ending. */
static void field_refuses(struct instance *in, struct field *f)
{
	const struct map_section *head = map_head(in->l, 0);
	const char *list = head ? head->values[MAP_REFUSE] : NULL;
	char part[64];

	while (list && map_next_part(&list, part, sizeof(part))) {
		size_t n = strlen(f->name), m = strlen(part);

		f->refuses |= n >= m && !strcmp(f->name + n - m, part);
	}
}

static void field_none(struct instance *in, struct field *f)
{
	const struct map_defaults *d = &in->l->files[in->s->file].defaults;
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
	while (map_next_part(&list, part, sizeof(part))) {
		int64_t v;

		if (f->none_count == MAP_NONE_MAX || !map_parse_raw(part, &v)) {
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
	if (!map_parse_span(text, 63, &low, &high) || high - low > 62) {
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
	f->names = map_keep(in->l, room * sizeof(*f->names));
	while (f->names && map_next_part(&list, part, sizeof(part))) {
		char *blank = strchr(part, ' ');

		if (blank)
			*blank = '\0';
		if (!blank || f->name_count == room || !map_parse_raw(part, &f->names[f->name_count].value)) {
			WRONG(in, KEY_NAMES, "names: \"%s\": write VALUE NAME, …, e.g. 0 standby, 1 normal", part);
			return;
		}
		f->names[f->name_count].text = map_keep_text(in->l, map_skip_blank(blank + 1));
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

	while (list && map_next_part(&list, part, sizeof(part))) {
		struct condition *c = &f->conditions[f->condition_count];
		size_t o = 0, n = strcspn(part, " =!<>");
		const char *rest = map_skip_blank(part + n);
		char name[64];
		int index;

		while (o < ARRAY_SIZE(ops) && strncmp(rest, ops[o].text, strlen(ops[o].text)))
			o++;
		snprintf(name, sizeof(name), "%.*s", (int)n, part);
		index = find_name(in->l, name);
		if (f->condition_count == MAP_CONDITIONS_MAX || o == ARRAY_SIZE(ops) ||
		    !map_parse_decimal(rest + strlen(ops[o].text), &c->with)) {
			WRONG(in, key, "%s: \"%s\": write NAME OP NUMBER, OP one of == != < <= > >=; up to %d",
			      map_field_keys[key], part, MAP_CONDITIONS_MAX);
			return;
		}
		if (index < 0) {
			WRONG(in, key, "%s: no \"%s\" stands before this section", map_field_keys[key], name);
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

	while (list && map_next_part(&list, part, sizeof(part))) {
		bool minus = *part == '-', optional = part[minus] == '?';
		int index = find_name(in->l, map_skip_blank(part + minus + optional));

		if (f->term_count == MAP_TERMS_MAX) {
			WRONG(in, key, "%s: more than %d names", map_field_keys[key], MAP_TERMS_MAX);
			return;
		}
		if (index < 0) {
			WRONG(in, key, "%s: no \"%s\" stands before this section", map_field_keys[key], part);
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
static bool add_field(struct map_loader *l, const struct map_section *s, const char *id, struct instance *in)
{
	struct map *m = l->map;
	struct field *f;
	char name[80];
	int index;
	bool replace;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(id, "."), id);
	if (!vocabulary_name_valid(name)) {
		map_complain(l, s, s->line, "\"%s\" is no name: small letters, digits and _, as in the vocabulary", name);
		return false;
	}
	replace = map_parse_yes(l, s, KEY_REPLACE, "replace", false);
	for (size_t i = 0; i < m->field_count; i++) {
		if (strcmp(l->ids[i], id))
			continue;
		if (!replace) {
			map_complain(l, s, s->line, "%s is there already; replace = yes takes the place of an included one",
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
		map_complain(l, s, s->line, "more than %d fields", MAP_FIELDS_MAX);
		l->failed = true;
		return false;
	}
	f = &m->fields[m->field_count];
	memset(f, 0, sizeof(*f));
	f->big = map_parse_choice(l, s, KEY_ORDER, "order", "big", "little", l->files[s->file].defaults.big);
	f->low_first = s->values[KEY_ORDER] && !s->values[KEY_WORDS] ? !f->big :
		       map_parse_choice(l, s, KEY_WORDS, "words", "low-first", "high-first",
				    l->files[s->file].defaults.low_first);
	f->total = -1;
	f->name = name;
	field_type(in, f);
	if (s->values[KEY_PRODUCT])
		f->type = FIELD_PRODUCT;
	else if (s->values[KEY_SUM])
		f->type = FIELD_SUM;
	field_place(in, f);
	f->narrow = map_parse_yes(l, s, KEY_NARROW, "narrow", false);
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
	f->hidden = !map_parse_yes(l, s, KEY_PUBLISH, "publish", true);
	f->info = map_parse_yes(l, s, KEY_INFO, "info", f->type == FIELD_TEXT || f->type == FIELD_VERSION ||
			    f->type == FIELD_HEX || f->type == FIELD_DATETIME ||
			    f->type == FIELD_DATETIME_WORDS);
	if (!strcmp(name, "serial"))
		f->role = ROLE_SERIAL;
	else if (!strcmp(name, "logger"))
		f->role = ROLE_LOGGER;
	else if (!strcmp(name, "model"))
		f->role = ROLE_MODEL;
	if ((f->role == ROLE_SERIAL || f->role == ROLE_LOGGER) && f->type != FIELD_TEXT)
		map_complain(l, s, s->line, "%s has to be a text", name);
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

void map_compile_fields(struct map_loader *l, const struct map_section *s)
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
	if (!close || !strstr(span, "..") || !isdigit((unsigned char)*span) || !map_parse_span(span, 99, &low, &high) ||
	    high - low > 63) {
		map_complain(l, s, s->line, "\"%s\" is no template; write e.g. [pv{1..4}_voltage]", s->name);
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
