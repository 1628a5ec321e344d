/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map.c - a map's table run over a record
 *
 * One pass over the fields in the order of the file; what a condition or a sum refers to stands
 * before it (the loader sees to that). Numbers stay integers all the way:
 *
 *	bytes ─▶ raw ─(none? bits)─▶ raw * mul / div + add = mantissa ─(limits)─▶ value
 *
 * A field that does not lie wholly inside the input is passed over: a short record gives what it has.
 */
#include "protocols/map.h"

#include <stdlib.h>
#include <string.h>

#include "protocols/reading_fill.h"

struct input {
	const uint8_t *bytes;		/* NULL: registers */
	size_t length;
	const struct map_registers *groups;
	size_t group_count;
};

struct map *map_free(struct map *m)
{
	if (m) {
		for (size_t i = 0; i < m->memory_count; i++)
			free(m->memory[i]);
		free(m->memory);
		free(m);
	}
	return NULL;
}

static inline const uint8_t *find(const struct input *in, int32_t at, int32_t reg, size_t width)
{
	if (in->bytes) {
		if (at < 0 || width > in->length || (size_t)at > in->length - width)
			return NULL;
		return in->bytes + at;
	}
	if (reg < 0)
		return NULL;
	for (size_t i = 0; i < in->group_count; i++) {
		const struct map_registers *g = &in->groups[i];
		uint32_t words = (uint32_t)((width + 1) / 2), skip;

		if ((uint32_t)reg < g->first)
			continue;
		skip = (uint32_t)reg - g->first;
		if (words <= g->count && skip <= g->count - words)
			return g->bytes + 2 * (size_t)skip;
	}
	return NULL;
}

static inline uint32_t word(const uint8_t *p, bool big)
{
	return big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static int64_t sign(uint64_t raw, unsigned int bits)
{
	return bits >= 64 ? (int64_t)raw : (int64_t)(raw << (64 - bits)) >> (64 - bits);
}

static bool is_signed(enum field_type type)
{
	return type == FIELD_S8 || type == FIELD_S16 || type == FIELD_S32 || type == FIELD_S64;
}

/* false: not as the type wants it; ret_blank: it is filling only. */
static bool load_ascii(const struct field *f, const uint8_t *p, int64_t *ret, bool *ret_blank)
{
	bool digits = f->type == FIELD_DIGITS || f->type == FIELD_SIGNED_DIGITS, minus = false;
	uint64_t raw = 0;
	size_t i = 0, bit = 0;

	*ret_blank = false;
	while (digits && i < f->width && (p[i] == 'A' || p[i] == ' '))
		i++;
	if (i == f->width) {
		*ret_blank = true;
		return false;
	}
	if (f->type == FIELD_SIGNED_DIGITS && (p[i] == 'B' || p[i] == '-')) {
		minus = true;
		if (++i == f->width)
			return false;
	}
	for (; i < f->width; i++) {
		if (f->type == FIELD_FLAGS && p[i] >= 'A' && p[i] <= 'Z')
			continue;
		if (p[i] < '0' || p[i] > (digits ? '9' : '1'))
			return false;
		if (digits)
			raw = raw * 10 + p[i] - '0';
		else if (f->type == FIELD_BINARY)
			raw = raw << 1 | (p[i] - (unsigned int)'0');
		else
			raw |= (uint64_t)(p[i] - '0') << bit++;
	}
	*ret = minus ? -(int64_t)raw : (int64_t)raw;
	return true;
}

static bool load(const struct field *f, const struct input *in, int64_t *ret)
{
	const uint8_t *p = find(in, f->at, f->reg, f->width), *high;
	uint64_t raw = 0;
	unsigned int bits;

	if (!p)
		return false;
	if (f->high_at >= 0 || f->high_reg >= 0) {
		high = find(in, f->high_at, f->high_reg, 2);
		if (!high && !f->narrow)
			return false;
		raw = word(p, f->big);
		bits = 16;
		if (high) {
			raw |= (uint64_t)word(high, f->big) << 16;
			bits = 32;
		}
	} else if (f->words == 1) {
		raw = word(p, f->big);
		bits = 16;
	} else if (!f->words) {
		/* A byte; of a register the low one, as u8 counts of Modbus devices stand there. */
		raw = in->bytes ? p[0] : p[1];
		bits = 8;
	} else {
		bits = 16u * f->words;
		for (unsigned int i = 0; i < f->words; i++) {
			unsigned int from = f->low_first ? f->words - 1u - i : i;

			raw = raw << 16 | word(p + 2 * from, f->big);
		}
	}
	*ret = is_signed(f->type) ? sign(raw, bits) : (int64_t)raw;
	return true;
}

static bool is_none(const struct field *f, int64_t raw)
{
	for (size_t i = 0; i < f->none_count; i++)
		if (f->none[i] == raw)
			return true;
	return false;
}

static bool outside(struct map_work *w, const struct field *f, int64_t mantissa)
{
	if (f->low > f->high || (mantissa >= f->low && mantissa <= f->high))
		return false;
	if (f->refuses)
		w->unbelievable = f;
	return true;
}

static bool scale(struct map_work *w, const struct field *f, int64_t raw, struct number *ret)
{
	int64_t m;

	/* Bits, not a quantity: fault 64 of 64 is no minus sign. */
	if (f->type == FIELD_U64 && raw < 0 && f->mul == 1 && f->div == 1 && !f->add && !f->mask && f->low > f->high) {
		*ret = (struct number){ raw, NUMBER_UNSIGNED };
		return true;
	}
	if (f->mask) {
		raw = (int64_t)((uint64_t)raw >> f->shift & f->mask);
		if (f->sized && is_signed(f->type))
			raw = sign((uint64_t)raw, (unsigned int)__builtin_popcountll(f->mask));
	}
	if (__builtin_mul_overflow(raw, f->mul, &m))
		return false;
	if (f->div != 1) {
		int64_t half = m < 0 ? -(f->div / 2) : f->div / 2;

		if (__builtin_add_overflow(m, half, &m))
			return false;
		m /= f->div;
	}
	if (__builtin_add_overflow(m, f->add, &m))
		return false;
	if (outside(w, f, m))
		return false;
	ret->mantissa = m;
	ret->decimals = f->decimals;
	return true;
}

static int compare(struct number a, struct number b)
{
	double x = number_double(a), y = number_double(b);

	if (a.decimals == b.decimals)
		return (a.mantissa > b.mantissa) - (a.mantissa < b.mantissa);
	return (x > y) - (x < y);
}

/*
 * `if`: what is asked for and was not decoded does not forbid, so that a short record keeps its
 * fields. `only_if`: it does, for fields that would otherwise be given beside their alternative.
 */
static bool conditions_met(const struct map_work *w, const struct field *f)
{
	for (size_t i = 0; i < f->condition_count; i++) {
		const struct condition *c = &f->conditions[i];
		bool met = true;
		int r;

		if (!w->have[c->name]) {
			if (c->must)
				return false;
			continue;
		}
		r = compare(w->number[c->name], c->with);
		switch (c->op) {
		case CONDITION_EQ: met = r == 0; break;
		case CONDITION_NE: met = r != 0; break;
		case CONDITION_LT: met = r < 0; break;
		case CONDITION_LE: met = r <= 0; break;
		case CONDITION_GT: met = r > 0; break;
		case CONDITION_GE: met = r >= 0; break;
		}
		if (!met)
			return false;
	}
	return true;
}

static bool all_zero(const struct map_work *w, const struct field *f)
{
	for (size_t i = f->zero_first; i < (size_t)f->zero_first + f->zero_count; i++)
		if (!w->have[f->terms[i].name] || w->number[f->terms[i].name].mantissa)
			return false;
	return true;
}

static bool compute(struct map_work *w, const struct field *f, struct number *ret)
{
	struct number n = { .mantissa = f->type == FIELD_PRODUCT };
	bool any = false;

	for (size_t i = 0; i < f->term_count; i++) {
		struct number t = w->number[f->terms[i].name];

		if (!w->have[f->terms[i].name]) {
			if (!f->terms[i].optional || w->unread[f->terms[i].name])
				return false;
			continue;
		}
		any = true;
		if (f->type == FIELD_PRODUCT) {
			if (n.decimals + t.decimals > 18 ||
			    __builtin_mul_overflow(n.mantissa, t.mantissa, &n.mantissa))
				return false;
			n.decimals = (uint8_t)(n.decimals + t.decimals);
			if (f->terms[i].minus)
				n.mantissa = -n.mantissa;
		} else {
			unsigned int decimals = t.decimals > n.decimals ? t.decimals : n.decimals;

			if (!number_round(&n, decimals) || !number_round(&t, decimals))
				return false;
			if (f->terms[i].minus ? __builtin_sub_overflow(n.mantissa, t.mantissa, &n.mantissa) :
						__builtin_add_overflow(n.mantissa, t.mantissa, &n.mantissa))
				return false;
		}
	}
	if (!any || !number_round(&n, f->decimals) || outside(w, f, n.mantissa))
		return false;
	*ret = n;
	return true;
}

static void publish_text(struct map_work *w, const struct field *f, const uint8_t *bytes, size_t length,
			 struct reading *r)
{
	const char *text;
	size_t plain = 0;

	if (f->plain) {
		while (plain < length && bytes[plain] >= ' ' && bytes[plain] <= '~')
			plain++;
		length = plain;
	}
	switch (f->role) {
	case ROLE_SERIAL:
		text_clean(r->serial, sizeof(r->serial), bytes, length);
		return;
	case ROLE_LOGGER:
		text_clean(r->logger, sizeof(r->logger), bytes, length);
		return;
	case ROLE_MODEL:
	case ROLE_VALUE:
		break;
	}
	text = reading_store(r, bytes, length);
	if (!text || !*text)
		return;
	if (f->role == ROLE_MODEL)
		r->model = text;
	reading_add_string(r, f->name, text);
	w->have[f->name_index] = false;		/* texts take no part in sums */
	if (!f->info)
		w->measurements++;
}

static const char *text_of_value(const struct field *f, int64_t raw)
{
	for (size_t i = 0; i < f->name_count; i++)
		if (f->names[i].value == raw)
			return f->names[i].text;
	return NULL;
}

static void publish_number(const struct map *m, struct map_work *w, const struct field *f, int64_t raw,
			   struct number n, struct reading *r)
{
	const char *text;

	w->have[f->name_index] = true;
	w->number[f->name_index] = n;
	if (f->hidden)
		return;
	/*
	 * Right after a start energy counters can be 0. A total that falls to 0 is not published: to
	 * those who store it, it would be a new meter.
	 */
	if (f->total >= 0 && w->totals) {
		uint64_t bit = UINT64_C(1) << f->total;

		if (n.mantissa > 0)
			*w->totals |= bit;
		else if (n.mantissa == 0 && *w->totals & bit)
			return;
	}
	text = f->name_count ? text_of_value(f, raw) : NULL;
	if (text)
		reading_add_string(r, f->name, text);
	else
		reading_add_number(r, f->name, n);
	if (!f->info && !m->info)
		w->measurements++;
}

static bool leap(int64_t y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

bool map_wall_seconds(const unsigned int t[6], int64_t *ret)
{
	static const uint16_t before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int64_t y = t[0], day;

	if (y < 2000 || y > 2099 || t[1] < 1 || t[1] > 12 || t[2] < 1 || t[3] > 23 || t[4] > 59 || t[5] > 59)
		return false;
	if (t[2] > days[t[1] - 1] + (unsigned int)(t[1] == 2 && leap(y)))
		return false;
	day = (y - 1970) * 365 + (y - 1969) / 4 - (y - 1901) / 100 + (y - 1601) / 400 + before[t[1] - 1] +
	      (t[1] > 2 && leap(y)) + t[2] - 1;
	*ret = day * 86400 + t[3] * 3600 + t[4] * 60 + t[5];
	return true;
}

static void put(char *out, unsigned int v, unsigned int digits)
{
	while (digits--) {
		out[digits] = (char)('0' + v % 10);
		v /= 10;
	}
}

static void decode_datetime(struct map_work *w, const struct field *f, const uint8_t *p, struct reading *r)
{
	char text[] = "0000-00-00T00:00:00";
	unsigned int t[6];
	int64_t seconds;

	for (unsigned int i = 0; i < 6; i++)
		t[i] = f->type == FIELD_DATETIME ? p[i] : word(p + 2 * i, f->big);
	if (t[0] < 100)
		t[0] += 2000;
	if (!map_wall_seconds(t, &seconds))
		return;
	put(text, t[0], 4);
	put(text + 5, t[1], 2);
	put(text + 8, t[2], 2);
	put(text + 11, t[3], 2);
	put(text + 14, t[4], 2);
	put(text + 17, t[5], 2);
	if (!strcmp(f->name, "device_time")) {
		w->has_device_time = true;
		w->device_time = seconds;
	}
	if (!f->hidden)
		publish_text(w, f, (const uint8_t *)text, sizeof(text) - 1, r);
}

static void decode_version(struct map_work *w, const struct field *f, uint32_t v, struct reading *r)
{
	static const char digit[] = "0123456789ABCDEF";
	char text[] = "V0.0.00";

	if (f->type == FIELD_HEX) {
		char hex[] = { digit[v >> 12 & 15], digit[v >> 8 & 15], digit[v >> 4 & 15], digit[v & 15] };

		publish_text(w, f, (const uint8_t *)hex, sizeof(hex), r);
		return;
	}
	text[1] = digit[v >> 12 & 15];
	text[3] = digit[v >> 8 & 15];
	text[5] = digit[v >> 4 & 15];
	text[6] = digit[v & 15];
	publish_text(w, f, (const uint8_t *)text, sizeof(text) - 1, r);
}

static void decode_real(const struct map *m, struct map_work *w, const struct field *f, double real,
			struct reading *r)
{
	struct number n;

	real = real * (double)f->mul / (double)f->div / (double)number_power_of_ten(f->decimals) +
	       (double)f->add / (double)number_power_of_ten(f->decimals);
	if (!number_from_double(real, f->decimals, &n))
		return;
	if (outside(w, f, n.mantissa))
		return;
	publish_number(m, w, f, n.mantissa, n, r);
}

static void decode_integer(const struct map *m, struct map_work *w, const struct field *f, int64_t raw,
			   struct reading *r)
{
	struct number n;

	if (f->none_count && is_none(f, raw))
		return;
	if (scale(w, f, raw, &n))
		publish_number(m, w, f, raw, n, r);
}

static void set_unread(struct map_work *w, const struct field *f)
{
	w->unread[f->name_index] = true;
	w->unread_count++;
}

static void decode_ascii(const struct map *m, struct map_work *w, const struct field *f, const struct input *in,
			 struct reading *r)
{
	const uint8_t *p = find(in, f->at, f->reg, f->width);
	int64_t raw;
	bool blank;

	if (!p)
		return;
	if (load_ascii(f, p, &raw, &blank))
		decode_integer(m, w, f, raw, r);
	else if (!blank)
		set_unread(w, f);
}

static void decode_field(const struct map *m, struct map_work *w, const struct field *f,
			 const struct input *in, struct reading *r)
{
	const uint8_t *p;
	struct number n;
	int64_t raw;
	uint32_t bits;
	float real;

	switch (f->type) {
	case FIELD_U8: case FIELD_S8:
	case FIELD_U16: case FIELD_S16:
	case FIELD_U32: case FIELD_S32:
	case FIELD_U64: case FIELD_S64:
	case FIELD_BOOL:
		if (load(f, in, &raw))
			decode_integer(m, w, f, raw, r);
		break;
	case FIELD_F32:
		if (!load(f, in, &raw))
			break;
		bits = (uint32_t)raw;
		memcpy(&real, &bits, sizeof(real));
		decode_real(m, w, f, (double)real, r);
		break;
	case FIELD_TEXT:
		p = find(in, f->at, f->reg, f->width);
		if (p)
			publish_text(w, f, p, f->width, r);
		break;
	case FIELD_VERSION:
	case FIELD_HEX:
		if (load(f, in, &raw) && !is_none(f, raw))
			decode_version(w, f, (uint32_t)raw, r);
		break;
	case FIELD_DATETIME:
	case FIELD_DATETIME_WORDS:
		p = find(in, f->at, f->reg, f->width);
		if (p)
			decode_datetime(w, f, p, r);
		break;
	case FIELD_DIGITS: case FIELD_SIGNED_DIGITS:
	case FIELD_BINARY: case FIELD_FLAGS:
		decode_ascii(m, w, f, in, r);
		break;
	case FIELD_PRODUCT:
	case FIELD_SUM:
		if (compute(w, f, &n))
			publish_number(m, w, f, n.mantissa, n, r);
		break;
	}
}

/* ------------------------------------------------ numbers that come as text */
static bool parse_decimal(const uint8_t *p, size_t length, struct number *ret)
{
	struct number n = { 0 };
	bool minus = length && *p == '-', point = false, digit = false;

	for (size_t i = length && (*p == '-' || *p == '+'); i < length; i++) {
		if (p[i] == '.' && !point) {
			point = true;
			continue;
		}
		if (p[i] < '0' || p[i] > '9')
			return false;
		digit = true;
		if (point && n.decimals == 9)
			continue;
		if (__builtin_mul_overflow(n.mantissa, 10, &n.mantissa) ||
		    __builtin_add_overflow(n.mantissa, p[i] - '0', &n.mantissa))
			return false;
		n.decimals = (uint8_t)(n.decimals + point);
	}
	if (minus)
		n.mantissa = -n.mantissa;
	*ret = n;
	return digit;
}

struct map_item map_item_of_text(const uint8_t *text, size_t length)
{
	struct map_item item = { .kind = ITEM_TEXT };

	while (length && (*text == ' ' || *text == '\t')) {
		text++;
		length--;
	}
	while (length && (text[length - 1] == ' ' || text[length - 1] == '\t'))
		length--;
	item.text = text;
	item.length = length;
	if (parse_decimal(text, length, &item.decimal))
		item.kind = ITEM_DECIMAL;
	return item;
}

static void strip_zeros(struct number *n)
{
	while (n->decimals && n->mantissa % 10 == 0) {
		n->mantissa /= 10;
		n->decimals--;
	}
}

static bool fits(const struct field *f, int64_t raw)
{
	unsigned int bits = f->words ? 16u * f->words : 8;

	if (is_signed(f->type))
		return raw == sign((uint64_t)raw, bits);
	return raw >= 0 && (bits >= 64 || !((uint64_t)raw >> bits));
}

/* As many decimals as the wire had, unless the map says how many. */
static void decode_decimal(const struct map *m, struct map_work *w, const struct field *f, struct number n,
			   struct reading *r)
{
	struct number whole = n, add = { .mantissa = f->add, .decimals = f->decimals };
	bool bits = f->key_count && (f->type == FIELD_BOOL || f->mask || f->sized);
	int64_t raw = 0;

	strip_zeros(&whole);
	if (!whole.decimals) {
		raw = whole.mantissa;
		if (bits) {
			if (fits(f, raw))
				decode_integer(m, w, f, raw, r);
			return;
		}
		if (f->none_count && is_none(f, raw))
			return;
	} else if (bits) {
		return;
	}
	if (f->div != 1) {
		decode_real(m, w, f, number_double(n), r);
		return;
	}
	if (__builtin_mul_overflow(n.mantissa, f->mul, &n.mantissa))
		return;
	n.decimals = (uint8_t)(n.decimals + f->decimals);
	if (n.decimals > 9 && !number_round(&n, 9))
		return;
	if (!number_round(&add, n.decimals) || __builtin_add_overflow(n.mantissa, add.mantissa, &n.mantissa))
		return;
	if (f->low <= f->high && (compare(n, (struct number){ f->low, f->decimals }) < 0 ||
				  compare(n, (struct number){ f->high, f->decimals }) > 0)) {
		if (f->refuses)
			w->unbelievable = f;
		return;
	}
	if (f->fixed && !number_round(&n, f->decimals))
		return;
	if (!f->fixed && f->mul != 1)
		strip_zeros(&n);
	publish_number(m, w, f, raw, n, r);
}

static bool same_word(const struct map_item *item, const char *word)
{
	return item->length == strlen(word) && !strncasecmp((const char *)item->text, word, item->length);
}

/* The wire said what it is; a type in the map says how to read an integer's bits. */
static void decode_item(const struct map *m, struct map_work *w, const struct field *f,
			const struct map_item *item, struct reading *r)
{
	int64_t raw = item->integer;

	switch (item->kind) {
	case ITEM_ABSENT:
		break;
	case ITEM_INTEGER:
		if (f->type == FIELD_TEXT || f->type == FIELD_DATETIME || f->type == FIELD_DATETIME_WORDS)
			break;
		if (f->type == FIELD_VERSION || f->type == FIELD_HEX) {
			decode_version(w, f, (uint32_t)raw, r);
			break;
		}
		if (f->sized && !is_signed(f->type) && item->width && item->width < 8)
			raw = (int64_t)((uint64_t)raw & ((UINT64_C(1) << 8 * item->width) - 1));
		decode_integer(m, w, f, raw, r);
		break;
	case ITEM_REAL:
		if (f->type != FIELD_TEXT)
			decode_real(m, w, f, item->real, r);
		break;
	case ITEM_TEXT:
		if (f->type == FIELD_TEXT)
			publish_text(w, f, item->text, item->length, r);
		else if (f->type == FIELD_BOOL && (same_word(item, "true") || same_word(item, "false")))
			decode_integer(m, w, f, same_word(item, "true"), r);
		break;
	case ITEM_DECIMAL:
		if (f->type == FIELD_TEXT && item->text)
			publish_text(w, f, item->text, item->length, r);
		else if (f->type <= FIELD_F32 || f->type == FIELD_BOOL)
			decode_decimal(m, w, f, item->decimal, r);
		break;
	}
	if (f->type != FIELD_TEXT && !w->have[f->name_index] &&
	    (item->kind == ITEM_DECIMAL || (item->kind == ITEM_TEXT && item->length)))
		set_unread(w, f);
}

static void start(const struct map *m, struct map_work *w)
{
	memset(w->have, 0, m->name_count * sizeof(w->have[0]));
	memset(w->unread, 0, m->name_count * sizeof(w->unread[0]));
	w->unread_count = 0;
	w->measurements = 0;
	w->unbelievable = NULL;
	w->has_device_time = false;
}

/* A value of the same name is there already, or the map's conditions forbid it. */
static bool left_out(const struct map_work *w, const struct field *f)
{
	if (w->have[f->name_index])
		return true;
	if (f->condition_count && !conditions_met(w, f))
		return true;
	return f->zero_count && all_zero(w, f);
}

static void decode(const struct map *m, struct map_work *w, const struct input *in, struct reading *r)
{
	start(m, w);
	for (size_t i = 0; i < m->field_count; i++)
		if (!left_out(w, &m->fields[i]))
			decode_field(m, w, &m->fields[i], in, r);
}

void map_decode_bytes(const struct map *m, struct map_work *w, const uint8_t *payload, size_t length,
		      struct reading *r)
{
	const struct input in = { .bytes = payload, .length = length };

	decode(m, w, &in, r);
}

void map_decode_registers(const struct map *m, struct map_work *w, const struct map_registers *groups,
			  size_t count, struct reading *r)
{
	const struct input in = { .groups = groups, .group_count = count };

	decode(m, w, &in, r);
}

void map_items_start(const struct map *m, struct map_work *w)
{
	start(m, w);
	for (size_t i = 0; i < m->field_count; i++)
		w->items[i].kind = ITEM_ABSENT;
}

bool map_item(const struct map *m, struct map_work *w, int64_t item, const struct map_item *value)
{
	size_t low = 0, high = m->item_count;

	while (low < high) {
		size_t mid = (low + high) / 2;
		const struct field *f = &m->fields[m->items[mid]];

		if (f->item == item) {
			if (w->items[m->items[mid]].kind == ITEM_ABSENT)
				w->items[m->items[mid]] = *value;
			return true;
		}
		if (f->item < item)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static int compare_word(const char *word, size_t length, const char *with)
{
	int r = strncmp(word, with, length);

	return r ? r : with[length] ? -1 : 0;
}

bool map_word(const struct map *m, struct map_work *w, const char *word, size_t length,
	      const struct map_item *value)
{
	size_t low = 0, high = m->word_count;
	bool found = false;

	if (memchr(word, 0, length))
		return false;
	while (low < high) {
		size_t mid = (low + high) / 2;

		if (compare_word(word, length, m->words[mid].text) > 0)
			low = mid + 1;
		else
			high = mid;
	}
	/* Several fields may be made of one value. */
	for (; low < m->word_count && !compare_word(word, length, m->words[low].text); low++) {
		struct map_item *item = &w->items[m->words[low].field];

		found = true;
		if (item->kind == ITEM_ABSENT)
			*item = *value;
	}
	return found;
}

void map_decode_items(const struct map *m, struct map_work *w, struct reading *r)
{
	static const struct input nothing = { .groups = NULL };

	for (size_t i = 0; i < m->field_count; i++) {
		const struct field *f = &m->fields[i];

		if (left_out(w, f))
			continue;
		if (f->item >= 0 || f->key_count)
			decode_item(m, w, f, &w->items[i], r);
		else if (f->type == FIELD_PRODUCT || f->type == FIELD_SUM)
			decode_field(m, w, f, &nothing, r);
	}
}

bool map_fits_record(const struct map *m, const char *protocol, const char *key_name, uint32_t key,
		     size_t length)
{
	if (m->part || strcmp(m->protocol, protocol) || length < m->length_min || length > m->length_max)
		return false;
	if (!key_name)
		return !m->key_name;
	if (!m->key_name || strcmp(m->key_name, key_name))
		return false;
	for (size_t i = 0; i < m->key_count; i++)
		if ((key & m->keys[i].mask) == m->keys[i].value)
			return true;
	return false;
}

bool map_has_registers(const struct map *m, uint32_t first, uint32_t count)
{
	for (size_t i = 0; i < m->range_count; i++)
		if (first <= m->ranges[i].last && m->ranges[i].first <= first + count - 1)
			return true;
	return false;
}
