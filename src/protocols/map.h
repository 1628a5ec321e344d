/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map.h - what a maker's fields mean: a map as loaded, and its use on a record
 *
 * A map is a text file (maps/README.md describes it), compiled at load into a flat table. The same
 * table is used on three sorts of input:
 *
 *	bytes		fields stand at an offset of the payload		[at, or register in a block]
 *	registers	groups of 16-bit words, each with its first number	[register]
 *	items		values that come with a number of their own		[item]
 *			or with a name: keys of JSON, columns of CSV		[key]
 *
 * In a record that carries copied register blocks the loader turns registers into offsets, so that
 * one map serves the cloud's record and the Modbus answer.
 */
#ifndef SUNTAP_MAP_H
#define SUNTAP_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocols/reading.h"

enum {
	MAP_FIELDS_MAX = READING_VALUES_MAX,
	MAP_NONE_MAX = 4,
	MAP_TERMS_MAX = 16,
	MAP_FIELD_KEYS_MAX = 4,
	MAP_CONDITIONS_MAX = 4,
	MAP_RANGES_MAX = 16,
	MAP_KEYS_MAX = 8,
};

enum field_type {
	FIELD_U8, FIELD_S8,
	FIELD_U16, FIELD_S16,
	FIELD_U32, FIELD_S32,
	FIELD_U64, FIELD_S64,
	FIELD_F32,
	FIELD_TEXT,		/* text(n), ascii(n): n bytes */
	FIELD_VERSION,		/* 0x4010: V4.0.10 */
	FIELD_HEX,		/* 0x002a: 002A */
	FIELD_DATETIME,		/* year - 2000, month, day, hour, minute, second: a byte each */
	FIELD_DATETIME_WORDS,	/* the same in a word each */
	FIELD_BOOL,		/* 0 and 1; of a text also false and true */
	FIELD_DIGITS,		/* digits(n): decimal, in ASCII, filled up with A or blanks on the left */
	FIELD_SIGNED_DIGITS,	/* the same; B or - before the digits is a minus */
	FIELD_BINARY,		/* binary(n): ASCII 0 and 1, the highest bit first */
	FIELD_FLAGS,		/* flags(n): the lowest bit first, capital letters between them do not count */
	FIELD_PRODUCT, FIELD_SUM,	/* computed from other fields */
};

enum field_role { ROLE_VALUE, ROLE_SERIAL, ROLE_LOGGER, ROLE_MODEL };

enum condition_op { CONDITION_EQ, CONDITION_NE, CONDITION_LT, CONDITION_LE, CONDITION_GT, CONDITION_GE };

struct condition {
	uint16_t name;		/* index of the value it asks for */
	enum condition_op op;
	bool must;		/* what was not decoded forbids */
	struct number with;
};

struct term {
	uint16_t name;
	bool minus;
	bool optional;		/* not in the record: left out (but no sum if it could not be read) */
};

struct value_name {
	int64_t value;
	const char *text;
};

struct field {
	const char *name;
	uint16_t name_index;	/* alternatives ([name.x]) share it */
	enum field_type type;
	enum field_role role;
	uint16_t width;		/* bytes of the wire, without `high` */
	uint8_t words;		/* of 16 bits */
	bool big, low_first;
	int32_t at, high_at;	/* offset in the payload, -1: not in the record */
	int32_t reg, high_reg;	/* register, -1: none */
	bool narrow;		/* without its high word it is the low word's own signed value */
	int64_t item;		/* -1: none */
	const char *keys[MAP_FIELD_KEYS_MAX];	/* its name on the wire, or other makers' spellings of it */
	uint8_t key_count;
	bool fixed;		/* the map says how many decimals */
	uint8_t shift;		/* bits = lo..hi */
	uint64_t mask;		/* 0: all bits */
	int64_t mul, div, add;	/* mantissa = raw * mul / div + add */
	uint8_t decimals;
	int64_t low, high;	/* limits of the mantissa; low > high: none */
	uint8_t none_count;
	int64_t none[MAP_NONE_MAX];
	bool hidden;		/* for conditions and sums only */
	bool info;		/* identification or setting: no measurement */
	bool sized;		/* the map states the type (counts for items, which bring their own) */
	bool plain;		/* text ends before the first byte that is no printable ASCII */
	bool refuses;		/* outside its limits: nothing of the record is to be believed */
	int8_t total;		/* bit for "was above 0", -1: not such a counter */
	uint8_t condition_count, term_count;
	uint16_t zero_first, zero_count;	/* unless_zero: in map->terms */
	struct condition conditions[MAP_CONDITIONS_MAX];
	struct term terms[MAP_TERMS_MAX];
	struct value_name *names;
	size_t name_count;
};

struct map_word {
	const char *text;
	uint16_t field;
};

struct map_range {
	uint32_t first, last;
	int32_t at;		/* where the block stands in the record, -1: Modbus only */
};

struct map_key {
	uint32_t value, mask;
};

struct map_require {		/* a register's value must be within */
	uint32_t reg, low, high;
};

struct map {
	const char *file;	/* "tsun-gen3plus.ini" */
	const char *source;	/* where its knowledge is from; "" where it does not say */
	const char *protocol;	/* whose records; "" where only Modbus answers */
	const char *model;
	const char *family;	/* maps of one family are alternatives for the same device */
	bool part;		/* only there to be included */
	const char *key_name;	/* "sensor_list", "data_id"; NULL: none */
	struct map_key keys[MAP_KEYS_MAX];
	size_t key_count;
	size_t length_min, length_max;
	struct map_range ranges[MAP_RANGES_MAX];
	size_t range_count;
	bool modbus, modbus_claim;
	uint32_t modbus_lists[MAP_KEYS_MAX];
	size_t modbus_list_count;
	uint32_t modbus_types[16];
	size_t modbus_type_count;
	struct map_require requires[MAP_KEYS_MAX];
	size_t require_count;
	struct map_range groups[MAP_KEYS_MAX];	/* that a record of register groups has to have */
	size_t group_count;
	uint32_t groups_up_to;			/* and none beyond this register */
	int modbus_function;	/* 0: 3 and 4 */
	bool info;
	struct field *fields;
	size_t field_count;
	const char **names;	/* by name_index */
	size_t name_count;
	uint16_t *items;	/* fields with an item number, in its order */
	size_t item_count;
	struct map_word *words;	/* all keys, sorted */
	size_t word_count;
	void **memory;		/* all strings and tables, for map_free() */
	size_t memory_count;
};

struct map *map_free(struct map *m);	/* returns NULL; takes NULL */

/* ------------------------------------------------ loading (map_load.c, and the files it names) */
struct map_files {		/* name of each file and where it is; sorted by name */
	char (*names)[64];
	char (*paths)[4096];
	size_t count;
};

/*
 * All *.ini of the folders; those of later ones override those of the same name. A folder that does not
 * exist is passed over. How many, or -errno; room for one more is there.
 */
int map_files_find(struct map_files *ret, const char *const folders[], size_t count,
		   void (*complain)(void *ctx, const char *text), void *ctx);
void map_files_free(struct map_files *files);

/*
 * Loads files->…[index]. Complaints go to complain(), each with file and line. NULL if there was any.
 */
struct map *map_load(const struct map_files *files, size_t index,
		     void (*complain)(void *ctx, const char *text), void *ctx);
/* The same from memory, for tests and the fuzzer; an include finds nothing. */
struct map *map_load_text(const char *file, const char *text, size_t length,
			  void (*complain)(void *ctx, const char *text), void *ctx);

/* ------------------------------------------------ use (map.c) */
struct map_registers {
	uint32_t first, count;
	const uint8_t *bytes;
};

struct map_item {		/* the value of an item as the wire had it */
	enum { ITEM_ABSENT, ITEM_INTEGER, ITEM_REAL, ITEM_DECIMAL, ITEM_TEXT } kind;
	uint8_t width;		/* bytes of an integer */
	int64_t integer;
	double real;
	struct number decimal;	/* as printed; its text may be there as well */
	const uint8_t *text;
	size_t length;
};

/* Working memory of one decoding at a time: one for a process. */
struct map_work {
	bool have[MAP_FIELDS_MAX];		/* by name_index */
	bool unread[MAP_FIELDS_MAX];		/* by name_index: it is there, but is no value */
	size_t unread_count;			/* out */
	struct number number[MAP_FIELDS_MAX];
	struct map_item items[MAP_FIELDS_MAX];	/* by field */
	size_t measurements;			/* out: values that are no identification */
	const struct field *unbelievable;	/* out: one that refuses, NULL: none */
	bool has_device_time;
	int64_t device_time;			/* out: the field device_time, seconds of its wall clock */
	uint64_t *totals;			/* in and out, may be NULL: bits of counters that were above 0 */
};

/* Adds what the map finds to r. */
void map_decode_bytes(const struct map *m, struct map_work *w, const uint8_t *payload, size_t length,
		      struct reading *r);
void map_decode_registers(const struct map *m, struct map_work *w, const struct map_registers *groups,
			  size_t count, struct reading *r);
/* Items: map_items_start(), map_item() for each item (false: not in the map), map_decode_items(). */
void map_items_start(const struct map *m, struct map_work *w);
bool map_item(const struct map *m, struct map_work *w, int64_t item, const struct map_item *value);
void map_decode_items(const struct map *m, struct map_work *w, struct reading *r);
/* The same with a name; of two with one name the first counts. The text has to live until then. */
bool map_word(const struct map *m, struct map_work *w, const char *word, size_t length,
	      const struct map_item *value);
struct map_item map_item_of_text(const uint8_t *text, size_t length);	/* ITEM_DECIMAL or ITEM_TEXT */

/* Year (2000 … 2099), month, day, hour, minute, second to seconds since 1970; false: no such moment. */
bool map_wall_seconds(const unsigned int t[6], int64_t *ret);

/*
 * Whether the map is one for records of this protocol and length (of the payload, bytes), chosen by this key ("sensor_list", …)
 * with this value; key_name NULL: for those that no key chooses.
 */
bool map_fits_record(const struct map *m, const char *protocol, const char *key_name, uint32_t key,
		     size_t length);
bool map_has_registers(const struct map *m, uint32_t first, uint32_t count);	/* any of them */

#endif
