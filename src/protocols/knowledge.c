/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * knowledge.c - the maps, and what is known of a logger across its flows
 *
 * Devices are a table of bounded size, in the order of their last use: whoever sends made-up logger
 * numbers pushes out the device that has been silent longest, and nothing grows.
 */
#include "protocols/knowledge.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 512 };

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct found {
	char *names[FILES_MAX], *paths[FILES_MAX];
	size_t count;
};

static int gather(struct found *found, const char *folder, void (*complain)(void *ctx, const char *text),
		  void *ctx)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char text[512];

	if (!dir) {
		if (errno == ENOENT)
			return 0;
		if (complain) {
			snprintf(text, sizeof(text), "%s: %s", folder, strerror(errno));
			complain(ctx, text);
		}
		return 0;
	}
	while ((entry = readdir(dir))) {
		size_t n = strlen(entry->d_name), i;
		char *path;

		if (n < 5 || n > 60 || strcmp(entry->d_name + n - 4, ".ini") || *entry->d_name == '.')
			continue;
		if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0)
			continue;
		for (i = 0; i < found->count && strcmp(found->names[i], entry->d_name); i++)
			;
		if (i < found->count) {
			free(found->paths[i]);
			found->paths[i] = path;
			continue;
		}
		if (found->count == FILES_MAX || strlen(path) >= 4096) {
			if (complain) {
				snprintf(text, sizeof(text), "%s: more than %d maps, ignoring %s", folder,
					 FILES_MAX, entry->d_name);
				complain(ctx, text);
			}
			free(path);
			continue;
		}
		found->names[i] = strdup(entry->d_name);
		found->paths[i] = path;
		found->count += found->names[i] != NULL;
	}
	closedir(dir);
	return 0;
}

static void found_free(struct found *found)
{
	for (size_t i = 0; i < found->count; i++) {
		free(found->names[i]);
		free(found->paths[i]);
	}
}

int knowledge_new(struct knowledge **ret, const char *const folders[], size_t count,
		  void (*complain)(void *ctx, const char *text), void *ctx)
{
	struct knowledge *k = calloc(1, sizeof(*k));
	struct found found = { .count = 0 };
	struct map_files files = { .count = 0 };
	char *sorted[FILES_MAX];
	int r = -ENOMEM;

	if (!k)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		gather(&found, folders[i], complain, ctx);
	files.names = calloc(found.count + 1, sizeof(*files.names));
	files.paths = calloc(found.count + 1, sizeof(*files.paths));
	k->maps = calloc(found.count + 1, sizeof(*k->maps));
	if (!files.names || !files.paths || !k->maps)
		goto out;
	/* In the order of their names: the order of a folder is anything. */
	memcpy(sorted, found.names, found.count * sizeof(sorted[0]));
	qsort(sorted, found.count, sizeof(sorted[0]), by_name);
	for (size_t i = 0; i < found.count; i++)
		for (size_t j = 0; j < found.count; j++)
			if (found.names[j] == sorted[i]) {
				snprintf(files.names[i], sizeof(files.names[i]), "%s", found.names[j]);
				snprintf(files.paths[i], sizeof(files.paths[i]), "%s", found.paths[j]);
			}
	files.count = found.count;
	for (size_t i = 0; i < files.count; i++) {
		struct map *m = map_load(&files, i, complain, ctx);

		if (m)
			k->maps[k->map_count++] = m;
	}
	r = (int)k->map_count;
	*ret = k;
	k = NULL;
out:
	free(files.names);
	free(files.paths);
	found_free(&found);
	knowledge_free(k);
	return r;
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

	d->records[i].used = true;
	d->records[i].number = number;
	d->records[i].power_on = power_on;
	return seen;
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
const struct map *knowledge_record_map(const struct knowledge *k, const char *protocol, const char *key_name,
				       uint32_t key, size_t length)
{
	for (size_t i = 0; i < k->map_count; i++)
		if (map_fits_record(k->maps[i], protocol, key_name, key, length))
			return k->maps[i];
	return NULL;
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

static bool requirements_met(const struct map *m, const struct map_registers *g)
{
	for (size_t i = 0; i < m->require_count; i++) {
		const struct map_require *r = &m->requires[i];
		const uint8_t *p;
		uint32_t v;

		if (r->reg < g->first || r->reg - g->first >= g->count)
			return false;
		p = g->bytes + 2 * (size_t)(r->reg - g->first);
		v = (uint32_t)p[0] << 8 | p[1];
		if (v < r->low || v > r->high)
			return false;
	}
	return m->require_count;
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

		if (in_question(m, q) && requirements_met(m, &q->registers)) {
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
