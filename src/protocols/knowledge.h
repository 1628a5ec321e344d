/* SPDX-License-Identifier: GPL-2.0-or-later */
/* knowledge.h - the maps, and what is known of a logger across its flows; for protocols only */
#ifndef SUNTAP_KNOWLEDGE_H
#define SUNTAP_KNOWLEDGE_H

#include "protocols/clock.h"
#include "protocols/map.h"
#include "protocols/session.h"

enum {
	DEVICES_MAX = 1024,
	RECORDS_REMEMBERED = 256,	/* a power of two */
	READINGS_REMEMBERED = 32,
	REGISTER_BLOCKS_MAX = 48,
	CHOICES = 64,
};

/* Which registers a report carries, in its order. */
struct register_blocks {
	uint16_t count;
	struct register_block {
		uint16_t first, count;
	} block[REGISTER_BLOCKS_MAX];
};

struct device {
	char logger[READING_ID_MAX];
	char serial[READING_ID_MAX];	/* of the inverter behind it, as last told */
	bool has_live;			/* a live record with a good time was seen: */
	int64_t offset, power_on;	/* its offset; total - uptime: names the power-on it belongs to */
	bool has_zone;
	int64_t zone;			/* s to take from the device's wall clock to have UTC, negated */
	struct {			/* of records that tell wall clock time only: */
		bool known;
		int64_t offset;		/* s from the arrival to the time of a live one */
		int64_t last, arrival;	/* the offset of the last one, and when it came */
	} wall;
	uint32_t sensor_list;		/* of the last record; 0: none */
	bool has_type;
	uint32_t type;			/* Deye's register 0 */
	const struct map *modbus_map, *record_map;	/* found by evidence once */
	struct register_blocks blocks;	/* that its cloud had it poll; count 0: not known */
	const struct map *totals_map;
	uint64_t totals;		/* map_work.totals for that map */
	struct {
		bool used;
		uint32_t number;
		int64_t power_on;
	} records[RECORDS_REMEMBERED];
	bool any_record;
	uint32_t last_record;		/* its number */

	uint64_t readings[READINGS_REMEMBERED];	/* what stands for each of the last ones; 0: none */
	size_t reading_next;
	struct clock clock;
	bool unsaved;
	int64_t saved_ns;
	uint32_t slot;			/* in the state's file, + 1 */

	struct device *newer, *older, *chain;
};

struct knowledge {
	struct map **maps;
	size_t map_count;
	struct device *newest, *oldest, *table[256];
	size_t device_count;
	struct map_choice {		/* of the records that come again and again; maps do not change */
		const char *protocol, *key_name;
		uint32_t key;
		size_t length;
		const struct map *map;
	} choices[CHOICES];
	struct map_work work;
	struct reading reading;		/* one is made at a time */
	struct device_store *state;		/* NULL: nothing is kept */
};

/* Made if unknown; NULL without memory. Valid until the next call. */
struct device *knowledge_device(struct knowledge *k, const char *logger);
/* Was this record of the same power-on seen before? Remembers it. */
bool device_record_seen(struct device *d, uint32_t number, int64_t power_on);
/* Was a reading of the same serial, time and numbers told before? Remembers it. Only for those with a time. */
bool device_reading_seen(struct device *d, const struct reading *r);
/* Something of d may have changed: writes it where it outlives us, once a second. Takes a NULL state. */
void state_touch(struct device_store *s, struct device *d, int64_t now_ns);
/* d is another device from now on, or nobody's. */
void state_forget(struct device_store *s, struct device *d);

/* The totals that belong to this map (others are forgotten). */
uint64_t *device_totals(struct device *d, const struct map *m);

/* The first map that fits, or NULL. protocol and key_name are constants of the program. */
const struct map *knowledge_record_map(struct knowledge *k, const char *protocol, const char *key_name,
				       uint32_t key, size_t length);

/*
 * Which map reads a record of these register groups. Where maps ask for the same groups, what their
 * `require` finds in the registers decides; without evidence, what it found the last time for d
 * (may be NULL). NULL: none, or not certain which.
 */
const struct map *knowledge_groups_map(const struct knowledge *k, struct device *d, const char *protocol,
				       uint32_t layout, const struct map_registers *groups, size_t count);

struct modbus_question {
	uint32_t sensor_list;		/* of the carrier's request, 0: none */
	int function;
	struct map_registers registers;
};
/* Which map understands these registers; d may be NULL. NULL: none, or not certain which. */
const struct map *knowledge_modbus_map(const struct knowledge *k, struct device *d,
				       const struct modbus_question *q);

#endif
