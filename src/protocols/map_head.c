/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map_head.c - the section [map]: whose records the map reads, how it is chosen, where registers stand in them
 *
 * What it says of byte order and of "no value" holds for the fields of its own file; all else counts in the file that is
 * loaded, not in those it includes, except that registers are taken from an include where it has none.
 *
 * Invariants (held by test_map.c)
 *	- Blocks of registers do not overlap.
 *	- At most one key chooses the map, and a map that nothing could choose is only there to be included.
 */
#include <string.h>

#include "protocols/map_load_private.h"
#include "shared/util.h"

void map_compile_defaults(struct map_loader *l, unsigned int file)
{
	const struct map_section *s = map_head(l, file);
	struct map_defaults *d = &l->files[file].defaults;

	if (!s)
		return;
	d->big = map_parse_choice(l, s, MAP_ORDER, "order", "big", "little", true);
	d->low_first = map_parse_choice(l, s, MAP_WORDS, "words", "low-first", "high-first", !d->big);
	if (s->values[MAP_NONE_U16]) {
		d->has_none = map_parse_raw(s->values[MAP_NONE_U16], &d->none);
		if (!d->has_none)
			map_complain(l, s, s->lines[MAP_NONE_U16], "none_u16: \"%s\" is no number",
				 s->values[MAP_NONE_U16]);
	}
}

static void map_registers(struct map_loader *l, const struct map_section *s)
{
	struct map *m = l->map;
	const char *list = s->values[MAP_REGISTERS];
	char part[96];

	while (map_next_part(&list, part, sizeof(part))) {
		char *at = strstr(part, " at ");
		uint64_t low, high;
		uint32_t offset;
		struct map_range *r = &m->ranges[m->range_count];

		if (m->range_count == MAP_RANGES_MAX) {
			map_complain(l, s, s->lines[MAP_REGISTERS], "registers: more than %d blocks", MAP_RANGES_MAX);
			return;
		}
		if (at)
			*at = '\0';
		if (!map_parse_span(part, 0xffff, &low, &high) || (at && !map_parse_u32(at + 4, 65535, &offset))) {
			map_complain(l, s, s->lines[MAP_REGISTERS],
				 "registers: \"%s\" is no block; write e.g. 0x3000..0x302b at 181", part);
			return;
		}
		*r = (struct map_range){ (uint32_t)low, (uint32_t)high, at ? (int32_t)offset : -1 };
		for (size_t i = 0; i < m->range_count; i++)
			if (r->first <= m->ranges[i].last && m->ranges[i].first <= r->last)
				map_complain(l, s, s->lines[MAP_REGISTERS], "registers: block %s overlaps another",
					 part);
		m->range_count++;
	}
}

static void map_key_list(struct map_loader *l, const struct map_section *s, int key, const char *name)
{
	struct map *m = l->map;
	const char *list = s->values[key];
	char part[64];

	if (!list)
		return;
	if (m->key_name) {
		map_complain(l, s, s->lines[key], "%s: the map is chosen by %s already", name, m->key_name);
		return;
	}
	m->key_name = name;
	while (map_next_part(&list, part, sizeof(part))) {
		char *slash = strchr(part, '/');
		struct map_key *k = &m->keys[m->key_count];

		if (m->key_count == MAP_KEYS_MAX) {
			map_complain(l, s, s->lines[key], "%s: more than %d", name, MAP_KEYS_MAX);
			return;
		}
		k->mask = UINT32_MAX;
		if (slash)
			*slash = '\0';
		if (!map_parse_u32(part, UINT32_MAX, &k->value) ||
		    (slash && !map_parse_u32(slash + 1, UINT32_MAX, &k->mask)) || k->value & ~k->mask) {
			map_complain(l, s, s->lines[key], "%s: \"%s\" is no number; write 0x02b0, or 0x0011/0x00ff "
				 "for \"0x11 under the mask 0xff\"", name, part);
			return;
		}
		m->key_count++;
	}
	if (!m->key_count)
		map_complain(l, s, s->lines[key], "%s: no value", name);
}

static size_t number_list(struct map_loader *l, const struct map_section *s, int key, const char *name, uint32_t *out,
			  size_t room)
{
	const char *list = s->values[key];
	char part[64];
	size_t count = 0;

	while (list && map_next_part(&list, part, sizeof(part))) {
		if (count == room) {
			map_complain(l, s, s->lines[key], "%s: more than %zu", name, room);
			break;
		}
		if (!map_parse_u32(part, UINT32_MAX, &out[count++])) {
			map_complain(l, s, s->lines[key], "%s: \"%s\" is no number", name, part);
			break;
		}
	}
	return count;
}

static void map_requires(struct map_loader *l, const struct map_section *s, int key)
{
	struct map *m = l->map;
	const char *list = s->values[key];
	char part[96];

	while (list && map_next_part(&list, part, sizeof(part))) {
		struct map_require *r = &m->requires[m->require_count];
		char *in = strstr(part, " in ");
		uint64_t low, high;

		if (m->require_count == MAP_KEYS_MAX) {
			map_complain(l, s, s->lines[key], "%s: more than %d", map_head_keys[key], MAP_KEYS_MAX);
			return;
		}
		if (in)
			*in = '\0';
		if (!in || !map_parse_u32(part, 0xffff, &r->reg) || !map_parse_span(in + 4, 0xffff, &low, &high)) {
			map_complain(l, s, s->lines[key], "%s: write REGISTER in LOW..HIGH, e.g. 79 in 4500..6500",
				 map_head_keys[key]);
			return;
		}
		r->low = (uint32_t)low;
		r->high = (uint32_t)high;
		m->require_count++;
	}
}

/* The groups a record must have: of the maps that fit, the one that asks for the most reads it. */
static void map_groups(struct map_loader *l, const struct map_section *s)
{
	struct map *m = l->map;
	const char *list = s->values[MAP_GROUPS], *up_to = s->values[MAP_GROUPS_UP_TO];
	char part[64];

	m->groups_up_to = 0xffff;
	if (up_to && !map_parse_u32(up_to, 0xffff, &m->groups_up_to))
		map_complain(l, s, s->lines[MAP_GROUPS_UP_TO], "groups_up_to: \"%s\" is no register", up_to);
	while (list && map_next_part(&list, part, sizeof(part))) {
		uint64_t low, high;

		if (m->group_count == MAP_KEYS_MAX || !map_parse_span(part, 0xffff, &low, &high)) {
			map_complain(l, s, s->lines[MAP_GROUPS], "groups: \"%s\": write e.g. 0..124, 1000..1124; up to %d",
				 part, MAP_KEYS_MAX);
			return;
		}
		m->groups[m->group_count++] = (struct map_range){ (uint32_t)low, (uint32_t)high, -1 };
	}
}

/* A map that gives no registers of its own reads those of what it includes. */
static void inherit_registers(struct map_loader *l)
{
	for (unsigned int f = 1; f < l->file_count && !l->map->range_count; f++) {
		const struct map_section *s = map_head(l, f);

		if (s && s->values[MAP_REGISTERS])
			map_registers(l, s);
	}
}

static const char *text_or(struct map_loader *l, const struct map_section *s, int key, const char *otherwise)
{
	const char *kept = s->values[key] ? map_keep_text(l, s->values[key]) : NULL;

	return kept ? kept : otherwise;
}

void map_compile_head(struct map_loader *l)
{
	struct map *m = l->map;
	const struct map_section *s = map_head(l, 0);
	uint64_t low, high;
	uint32_t v;

	m->length_max = SIZE_MAX;
	m->protocol = m->source = "";
	if (!s) {
		l->file = 0;
		map_complain(l, NULL, 1, "no section [map]");
		return;
	}
	m->protocol = text_or(l, s, MAP_PROTOCOL, "");
	m->source = text_or(l, s, MAP_SOURCE, "");
	m->model = text_or(l, s, MAP_MODEL, NULL);
	m->family = text_or(l, s, MAP_FAMILY, NULL);
	m->part = map_parse_yes(l, s, MAP_PART, "part", false);
	m->info = map_parse_yes(l, s, MAP_INFO, "info", false);
	m->modbus_claim = map_parse_yes(l, s, MAP_MODBUS, "modbus", false);
	if (s->values[MAP_LENGTH]) {
		if (map_parse_span(s->values[MAP_LENGTH], 65535, &low, &high)) {
			m->length_min = (size_t)low;
			m->length_max = high == 65535 ? SIZE_MAX : (size_t)high;
		} else {
			map_complain(l, s, s->lines[MAP_LENGTH],
				 "length: \"%s\" is no length; write 409, 151.., ..500 or 151..500",
				 s->values[MAP_LENGTH]);
		}
	}
	if (s->values[MAP_REGISTERS])
		map_registers(l, s);
	else
		inherit_registers(l);
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
		if (map_parse_u32(s->values[MAP_MODBUS_FUNCTION], 4, &v) && v >= 3)
			m->modbus_function = (int)v;
		else
			map_complain(l, s, s->lines[MAP_MODBUS_FUNCTION], "modbus_function: 3 or 4");
	}
	m->modbus = m->modbus_claim || m->modbus_list_count || m->modbus_type_count ||
		    s->values[MAP_MODBUS_REQUIRE];
	if (!m->part && !*m->protocol && !m->modbus)
		map_complain(l, s, s->line, "nothing says when this map is used: protocol, a modbus_… key, or part = yes");
	if (m->modbus && !m->range_count)
		map_complain(l, s, s->line, "a map for Modbus needs registers = FIRST..LAST");
}
