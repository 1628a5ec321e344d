/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * knowledge.c - the maps, and what is known of a logger across its flows
 *
 * Devices are a table of bounded size, in the order of their last use: whoever sends made-up logger
 * numbers pushes out the device that has been silent longest, and nothing grows.
 */
#include "protocols/knowledge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/maps_folders.h"

int knowledge_new(struct knowledge **ret, const char *const folders[], size_t count,
		  void (*complain)(void *ctx, const char *text), void *ctx)
{
	struct knowledge *k = calloc(1, sizeof(*k));
	struct map_files files;
	int r = map_files_find(&files, folders, count, complain, ctx);

	if (k && r >= 0) {
		k->maps = calloc(files.count + 1, sizeof(struct map *));
		if (!k->maps)
			r = -ENOMEM;
	}
	if (!k || r < 0) {
		map_files_free(&files);
		knowledge_free(k);
		return k ? r : -ENOMEM;
	}
	for (size_t i = 0; i < files.count; i++) {
		struct map *m = map_load(&files, i, complain, ctx);

		if (m)
			k->maps[k->map_count++] = m;
	}
	map_files_free(&files);
	*ret = k;
	return (int)k->map_count;
}

int knowledge_installed(struct knowledge **ret, void (*complain)(void *ctx, const char *text), void *ctx)
{
	char folders[MAPS_FOLDERS_MAX][MAPS_FOLDER_LENGTH];
	const char *list[MAPS_FOLDERS_MAX];
	size_t count = maps_folders(folders);

	for (size_t i = 0; i < count; i++)
		list[i] = folders[i];
	return knowledge_new(ret, list, count, complain, ctx);
}

struct knowledge *knowledge_free(struct knowledge *k)
{
	if (!k)
		return NULL;
	while (k->newest) {
		struct device *d = k->newest;

		k->newest = d->older;
		free(d);
	}
	free(k->state);
	for (size_t i = 0; i < k->map_count; i++)
		map_free(k->maps[i]);
	free(k->maps);
	free(k);
	return NULL;
}

/* ------------------------------------------------ devices */
static struct device **slot(struct knowledge *k, const char *logger)
{
	uint32_t h = 2166136261u;

	for (const char *p = logger; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	return &k->table[(h ^ h >> 16) % (sizeof(k->table) / sizeof(k->table[0]))];
}

static void unlink_age(struct knowledge *k, struct device *d)
{
	*(d->newer ? &d->newer->older : &k->newest) = d->older;
	*(d->older ? &d->older->newer : &k->oldest) = d->newer;
}

static void push_newest(struct knowledge *k, struct device *d)
{
	d->newer = NULL;
	d->older = k->newest;
	*(k->newest ? &k->newest->newer : &k->oldest) = d;
	k->newest = d;
}

static struct device *forget_oldest(struct knowledge *k)
{
	struct device *d = k->oldest, **p = slot(k, d->logger);

	while (*p != d)
		p = &(*p)->chain;
	*p = d->chain;
	state_forget(k->state, d);
	unlink_age(k, d);
	k->device_count--;
	memset(d, 0, sizeof(*d));
	return d;
}

struct device *knowledge_device(struct knowledge *k, const char *logger)
{
	struct device *d, **head = slot(k, logger);

	if (k->newest && !strcmp(k->newest->logger, logger))
		return k->newest;
	for (d = *head; d; d = d->chain)
		if (!strcmp(d->logger, logger)) {
			unlink_age(k, d);
			push_newest(k, d);
			return d;
		}
	d = k->device_count < DEVICES_MAX ? calloc(1, sizeof(*d)) : forget_oldest(k);
	if (!d)
		return NULL;
	snprintf(d->logger, sizeof(d->logger), "%s", logger);
	d->chain = *head;
	*head = d;
	push_newest(k, d);
	k->device_count++;
	return d;
}

bool device_record_seen(struct device *d, uint32_t number, int64_t power_on)
{
	size_t i = number % RECORDS_REMEMBERED;
	int64_t apart = d->records[i].power_on - power_on;
	bool seen = d->records[i].used && d->records[i].number == number && apart <= 120 && apart >= -120;

	d->any_record = true;
	d->last_record = number;
	d->records[i].used = true;
	d->records[i].number = number;
	d->records[i].power_on = power_on;
	return seen;
}

/* Order counts, as a map gives its values always in the same. 0 stands for none. */
static uint64_t stand_in(const struct reading *r)
{
	uint64_t h = (uint64_t)r->time_ms * UINT64_C(0x9e3779b97f4a7c15);

	for (const char *p = r->serial; *p; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < r->count; i++)
		if (r->values[i].type == VALUE_NUMBER) {
			h = (h ^ (uint64_t)r->values[i].number.mantissa) * UINT64_C(0xff51afd7ed558ccd);
			h ^= h >> 32;
		}
	return h ? h : 1;
}

bool device_reading_seen(struct device *d, const struct reading *r)
{
	uint64_t h = stand_in(r);

	for (size_t i = 0; i < READINGS_REMEMBERED; i++)
		if (d->readings[i] == h)
			return true;
	d->readings[d->reading_next] = h;
	d->reading_next = (d->reading_next + 1) % READINGS_REMEMBERED;
	return false;
}

uint64_t *device_totals(struct device *d, const struct map *m)
{
	if (d->totals_map != m) {
		d->totals_map = m;
		d->totals = 0;
	}
	return &d->totals;
}

/* ------------------------------------------------ choosing a map */
const struct map *knowledge_record_map(struct knowledge *k, const char *protocol, const char *key_name,
				       uint32_t key, size_t length)
{
	struct map_choice *c = &k->choices[(key * 31 + length) % CHOICES];
	size_t i = 0;

	/* The same strings: their addresses are enough, another address is only looked for again. */
	if (c->protocol == protocol && c->key_name == key_name && c->key == key && c->length == length)
		return c->map;
	while (i < k->map_count && !map_fits_record(k->maps[i], protocol, key_name, key, length))
		i++;
	*c = (struct map_choice){ protocol, key_name, key, length, i < k->map_count ? k->maps[i] : NULL };
	return c->map;
}

static bool has(const uint32_t *list, size_t count, uint32_t v)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == v)
			return true;
	return false;
}

static bool in_question(const struct map *m, const struct modbus_question *q)
{
	return m->modbus && !m->part && (!m->modbus_function || m->modbus_function == q->function) &&
	       map_has_registers(m, q->registers.first, q->registers.count);
}

static bool find_register(const struct map_registers *groups, size_t count, uint32_t reg, uint32_t *ret)
{
	for (size_t i = 0; i < count; i++) {
		const uint8_t *p;

		if (reg < groups[i].first || reg - groups[i].first >= groups[i].count)
			continue;
		p = groups[i].bytes + 2 * (size_t)(reg - groups[i].first);
		*ret = (uint32_t)p[0] << 8 | p[1];
		return true;
	}
	return false;
}

static bool requirements_met(const struct map *m, const struct map_registers *groups, size_t count)
{
	for (size_t i = 0; i < m->require_count; i++) {
		const struct map_require *r = &m->requires[i];
		uint32_t v;

		if (!find_register(groups, count, r->reg, &v) || v < r->low || v > r->high)
			return false;
	}
	return m->require_count;
}

static bool has_groups(const struct map *m, const struct map_registers *groups, size_t count)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++)
		if (groups[i].first + groups[i].count - 1 > m->groups_up_to)
			return false;
	for (size_t g = 0; g < m->group_count; g++) {
		size_t i = 0;

		while (i < count && (groups[i].first != m->groups[g].first ||
				     groups[i].first + groups[i].count - 1 != m->groups[g].last))
			i++;
		found += i < count;
	}
	return found == m->group_count;
}

const struct map *knowledge_groups_map(const struct knowledge *k, struct device *d, const char *protocol,
				       uint32_t layout, const struct map_registers *groups, size_t count)
{
	const struct map *found = NULL, *known = NULL;
	size_t most = 0;
	bool two = false;

	for (size_t i = 0; i < k->map_count; i++) {
		const struct map *m = k->maps[i];

		if (m->group_count < most || !map_fits_record(m, protocol, "layout", layout, 0) ||
		    !has_groups(m, groups, count))
			continue;
		if (m->group_count > most) {
			most = m->group_count;
			found = known = NULL;
			two = false;
		}
		if (d && d->record_map == m)
			known = m;
		if (m->require_count && !requirements_met(m, groups, count))
			continue;
		two |= found != NULL;
		found = m;
	}
	if (!found || two)
		return known;
	if (d && found->require_count)
		d->record_map = found;
	return found;
}

/* All of what was read lies in the map's blocks: only then it may be claimed by the range alone. */
static bool covers(const struct map *m, const struct map_registers *g)
{
	uint32_t next = g->first, end = g->first + g->count;

	for (bool found = true; found && next < end;) {
		found = false;
		for (size_t i = 0; i < m->range_count; i++)
			if (next >= m->ranges[i].first && next <= m->ranges[i].last) {
				next = m->ranges[i].last + 1;
				found = true;
			}
	}
	return next >= end;
}

const struct map *knowledge_modbus_map(const struct knowledge *k, struct device *d,
				       const struct modbus_question *q)
{
	uint32_t list = q->sensor_list ? q->sensor_list : d ? d->sensor_list : 0;
	const struct map *found = NULL;
	bool two = false;

	if (!q->registers.count)
		return NULL;
	if (list)
		for (size_t i = 0; i < k->map_count; i++) {
			const struct map *m = k->maps[i];

			if (in_question(m, q) && has(m->modbus_lists, m->modbus_list_count, list))
				return m;
		}
	if (d && d->has_type)
		for (size_t i = 0; i < k->map_count; i++) {
			const struct map *m = k->maps[i];

			if (in_question(m, q) && has(m->modbus_types, m->modbus_type_count, d->type))
				return m;
		}
	/* Evidence in the registers themselves; two that fit are none. */
	for (size_t i = 0; i < k->map_count; i++) {
		const struct map *m = k->maps[i];

		if (in_question(m, q) && requirements_met(m, &q->registers, 1)) {
			two = found;
			found = m;
		}
	}
	if (found && !two) {
		if (d)
			d->modbus_map = found;
		return found;
	}
	if (d && d->modbus_map && in_question(d->modbus_map, q))
		return d->modbus_map;
	found = NULL;
	for (size_t i = 0; i < k->map_count; i++) {
		const struct map *m = k->maps[i];

		if (!in_question(m, q) || !m->modbus_claim || !covers(m, &q->registers))
			continue;
		if (found)
			return NULL;
		found = m;
	}
	return found;
}
