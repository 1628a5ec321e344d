/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state.c - what is known of devices, where it outlives the decoder
 *
 *	header		magic, version, size of a slot, byte order
 *	slots		one for a device, each with a checksum over itself
 *
 * The memory is a file's, mapped shared; the decoder writes to it without a system call, which it may
 * not make. A write that is cut off by our death leaves one slot whose checksum is wrong: one device is
 * learnt anew. Nothing that is read is trusted beyond its bounds: the file may be anybody's.
 * Full: the device that was saved longest ago makes room.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/knowledge.h"

enum { VERSION = 1, SLOT_SIZE = 1024, SAVED_RECORDS = 8, SAVED_READINGS = 8, NAME = 48 };

#define ORDER UINT32_C(0x01020304)
#define SAVE_NS NSEC_PER_SEC

static const char magic[8] = "suntap\n";

struct header {
	char magic[8];
	uint32_t version, order, slot_size, reserved;
	uint8_t rest[SLOT_SIZE - 24];
};
static_assert(sizeof(struct header) == SLOT_SIZE, "a header is a slot long");

struct content {
	uint64_t sum;			/* of what follows; a slot of zeros is free */
	int64_t saved_ns;
	char logger[READING_ID_MAX], serial[READING_ID_MAX];
	int64_t offset, power_on, zone;
	uint64_t totals;
	uint32_t sensor_list, type;
	uint8_t has_live, has_zone, has_type, clock_known, clock_before, clock_recent, clock_strange, record_count;
	char totals_map[NAME], modbus_map[NAME];
	uint32_t totals_fields, block_count;
	int64_t clock_offset, clock_before_ms, clock_since, clock_strange_since;
	int64_t recent[CLOCK_RECENT], strange[CLOCK_JUMP];
	uint64_t readings[SAVED_READINGS];
	struct { int64_t power_on; uint32_t number, reserved; } records[SAVED_RECORDS];
	struct register_block blocks[REGISTER_BLOCKS_MAX];
};

/* Another layout is another VERSION. */
union slot {
	struct content is;
	uint8_t bytes[SLOT_SIZE];
};
static_assert(sizeof(union slot) == SLOT_SIZE, "a content fits its slot");

struct device_store {
	union slot *slots;		/* the mapped memory's */
	size_t count;
};

static uint64_t sum_of(const struct content *s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325), word;

	for (size_t at = sizeof(s->sum); at < sizeof(*s); at += sizeof(word)) {
		memcpy(&word, (const uint8_t *)s + at, sizeof(word));
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return h ? h : 1;
}

static bool is_text(const char text[READING_ID_MAX])
{
	size_t i = 0;

	while (i < READING_ID_MAX && text[i] >= ' ' && text[i] <= '~')
		i++;
	return i < READING_ID_MAX && !text[i];
}

/* ------------------------------------------------ out */
static void set_name(char name[NAME], const struct map *m)
{
	if (m && strlen(m->file) < NAME)
		strcpy(name, m->file);
}

static void fill(struct content *s, const struct device *d)
{
	const struct clock *c = &d->clock;
	size_t n = 0;

	s->saved_ns = d->saved_ns;
	memcpy(s->logger, d->logger, sizeof(s->logger));
	if (is_text(d->serial))		/* what is read back has to be; the next record tells it anew */
		memcpy(s->serial, d->serial, sizeof(s->serial));
	s->has_live = d->has_live;
	s->offset = d->offset;
	s->power_on = d->power_on;
	s->has_zone = d->has_zone;
	s->zone = d->zone;
	s->sensor_list = d->sensor_list;
	s->has_type = d->has_type;
	s->type = d->type;
	set_name(s->modbus_map, d->modbus_map);
	set_name(s->totals_map, d->totals_map);
	s->totals = d->totals;
	s->totals_fields = d->totals_map ? (uint32_t)d->totals_map->field_count : 0;
	s->block_count = d->blocks.count;
	memcpy(s->blocks, d->blocks.block, sizeof(s->blocks));
	s->clock_known = c->known;
	s->clock_before = c->has_before;
	s->clock_recent = c->recent_count;
	s->clock_strange = c->strange_count;
	s->clock_offset = c->offset_ms;
	s->clock_before_ms = c->before_ms;
	s->clock_since = c->since_ms;
	s->clock_strange_since = c->strange_since_ms;
	memcpy(s->recent, c->recent, sizeof(s->recent));
	memcpy(s->strange, c->strange, sizeof(s->strange));
	for (size_t i = 1; i <= SAVED_READINGS; i++)
		s->readings[SAVED_READINGS - i] =
			d->readings[(d->reading_next + READINGS_REMEMBERED - i) % READINGS_REMEMBERED];
	/* The table is by number: those up to the last one. */
	for (uint32_t i = 0; d->any_record && i < RECORDS_REMEMBERED && n < SAVED_RECORDS; i++) {
		uint32_t number = d->last_record - i;
		size_t at = number % RECORDS_REMEMBERED;

		if (!d->records[at].used || d->records[at].number != number)
			continue;
		s->records[n].number = number;
		s->records[n++].power_on = d->records[at].power_on;
	}
	s->record_count = (uint8_t)n;
	s->sum = sum_of(s);
}

static uint32_t room(struct device_store *s)
{
	uint32_t oldest = 0;

	for (uint32_t i = 0; i < s->count; i++) {
		if (!s->slots[i].is.sum)
			return i;
		if (s->slots[i].is.saved_ns < s->slots[oldest].is.saved_ns)
			oldest = i;
	}
	return oldest;
}

static void save(struct device_store *s, struct device *d)
{
	union slot slot = { .bytes = { 0 } };

	d->unsaved = false;
	if (!*d->logger || !is_text(d->logger))
		return;
	if (!d->slot || d->slot > s->count || strncmp(s->slots[d->slot - 1].is.logger, d->logger, READING_ID_MAX))
		d->slot = room(s) + 1;
	fill(&slot.is, d);
	memcpy(&s->slots[d->slot - 1], &slot, sizeof(slot));
}

void state_touch(struct device_store *s, struct device *d, int64_t now_ns)
{
	if (!s)
		return;
	d->unsaved = true;
	if (now_ns - d->saved_ns < SAVE_NS && now_ns >= d->saved_ns)
		return;
	d->saved_ns = now_ns;
	save(s, d);
}

void state_forget(struct device_store *s, struct device *d)
{
	if (s && d->unsaved)
		save(s, d);
}

void knowledge_save(struct knowledge *k)
{
	if (!k->state)
		return;
	for (struct device *d = k->newest; d; d = d->older)
		if (d->unsaved)
			save(k->state, d);
}

/* ------------------------------------------------ in */
static const struct map *find_map(const struct knowledge *k, const char name[NAME])
{
	for (size_t i = 0; *name && i < k->map_count; i++)
		if (!strncmp(k->maps[i]->file, name, NAME))
			return k->maps[i];
	return NULL;
}

static bool bounded(int64_t v)
{
	return v > -(INT64_C(1) << 40) && v < INT64_C(1) << 40;		/* s */
}

static struct clock clock_of(const struct content *s)
{
	struct clock c = {
		.known = s->clock_known, .has_before = s->clock_before, .recent_count = s->clock_recent,
		.strange_count = s->clock_strange, .offset_ms = s->clock_offset, .before_ms = s->clock_before_ms,
		.since_ms = s->clock_since, .strange_since_ms = s->clock_strange_since,
	};

	memcpy(c.recent, s->recent, sizeof(c.recent));
	memcpy(c.strange, s->strange, sizeof(c.strange));
	return c;
}

static bool sane(const struct content *s)
{
	const struct clock c = clock_of(s);

	for (size_t i = 0; i < REGISTER_BLOCKS_MAX; i++)
		if ((uint32_t)s->blocks[i].first + s->blocks[i].count > 65536)
			return false;
	for (size_t i = 0; i < SAVED_RECORDS; i++)
		if (!bounded(s->records[i].power_on))
			return false;
	return s->sum == sum_of(s) && *s->logger && is_text(s->logger) && is_text(s->serial) && bounded(s->offset) &&
	       bounded(s->power_on) && bounded(s->zone) && s->saved_ns >= 0 && s->block_count <= REGISTER_BLOCKS_MAX &&
	       s->record_count <= SAVED_RECORDS && clock_sane(&c);
}

static void take(struct knowledge *k, struct device *d, const struct content *s)
{
	const struct map *m = find_map(k, s->totals_map);

	d->clock = clock_of(s);
	memcpy(d->serial, s->serial, sizeof(d->serial));
	d->has_live = s->has_live;
	d->offset = s->offset;
	d->power_on = s->power_on;
	d->has_zone = s->has_zone;
	d->zone = s->zone;
	d->sensor_list = s->sensor_list;
	d->has_type = s->has_type;
	d->type = s->type;
	d->modbus_map = find_map(k, s->modbus_map);
	if (m && m->field_count == s->totals_fields) {	/* another map by the same name: its bits mean others */
		d->totals_map = m;
		d->totals = s->totals;
	}
	d->blocks.count = (uint16_t)s->block_count;
	memcpy(d->blocks.block, s->blocks, sizeof(d->blocks.block));
	for (size_t i = 0; i < SAVED_READINGS; i++)
		d->readings[i] = s->readings[i];
	d->reading_next = SAVED_READINGS;
	for (size_t i = s->record_count; i-- > 0;)
		device_record_seen(d, s->records[i].number, s->records[i].power_on);
}

/* Oldest first, so that the newest end up as such; returns how many slots made no sense. */
static size_t take_all(struct knowledge *k)
{
	struct device_store *st = k->state;
	size_t bad = 0;

	for (uint32_t i = 0; i < st->count; i++) {
		struct content s;
		struct device *d;

		memcpy(&s, &st->slots[i].is, sizeof(s));	/* one look: whoever else has the file may write to it */
		if (!s.sum)
			continue;
		d = sane(&s) && k->device_count < DEVICES_MAX ? knowledge_device(k, s.logger) : NULL;
		if (!d || d->slot) {
			bad++;
			memset(&st->slots[i], 0, sizeof(st->slots[i]));
			continue;
		}
		take(k, d, &s);
		d->slot = i + 1;
		d->saved_ns = s.saved_ns;
	}
	return bad;
}

int knowledge_keep(struct knowledge *k, void *memory, size_t size,
		   void (*complain)(void *ctx, const char *text), void *ctx)
{
	static const struct header fresh = {
		.magic = "suntap\n", .version = VERSION, .order = ORDER, .slot_size = SLOT_SIZE,
	};
	struct header *h = memory;
	const uint8_t *byte = memory;
	char text[160];
	bool used = false;
	size_t bad;

	if (size < 2 * SLOT_SIZE)
		return -EINVAL;
	if (!k->state)
		k->state = calloc(1, sizeof(*k->state));
	if (!k->state)
		return -ENOMEM;
	k->state->slots = (union slot *)memory + 1;
	k->state->count = size / SLOT_SIZE - 1;
	if (memcmp(h->magic, magic, sizeof(magic)) || h->version != VERSION || h->order != ORDER ||
	    h->slot_size != SLOT_SIZE) {
		for (size_t i = 0; i < size && !used; i++)
			used = byte[i];
		if (used && complain)
			complain(ctx, "the file of what was known of the devices is damaged, or of another version: ignoring it");
		memset(memory, 0, size);
		memcpy(h, &fresh, sizeof(fresh));
		return 0;
	}
	bad = take_all(k);
	if (bad && complain) {
		snprintf(text, sizeof(text), "what was known of %zu device%s makes no sense: ignoring it", bad,
			 bad == 1 ? "" : "s");
		complain(ctx, text);
	}
	return (int)k->device_count;
}
