/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mask.c - private things in captured streams, and what stands in for them; see mask.h */
#include "tool/mask.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
	SECRETS_MAX = 1024,
	SECRET_MAX = 128,
	SOUGHT_MIN = 6,		/* shorter ones would be found in what means something else */
	FRAME_MAX = 65536,
};

struct secret {
	enum mask_kind kind;
	size_t length;
	uint8_t is[SECRET_MAX], stand_in[SECRET_MAX];
};

struct mask {
	struct secret secrets[SECRETS_MAX];	/* the longest first */
	size_t count, kinds[MASK_KINDS];
	bool applies, full, asked;
	uint8_t scratch[FRAME_MAX];
};

struct mask *mask_new(void)
{
	return calloc(1, sizeof(struct mask));
}

struct mask *mask_free(struct mask *m)
{
	free(m);
	return NULL;
}

size_t mask_count(const struct mask *m, enum mask_kind kind)
{
	return m->kinds[kind];
}

bool mask_full(const struct mask *m)
{
	return m->full;
}

bool mask_applies(const struct mask *m)
{
	return m->applies;
}

bool *mask_asked(struct mask *m)
{
	return &m->asked;
}

/* ------------------------------------------------ stand-ins */
/* The number in the last characters that `takes` likes. */
static void number_into(uint8_t *p, size_t length, size_t first, size_t n, int (*takes)(int))
{
	for (size_t i = length; i-- > first && n;) {
		if (!takes(p[i]))
			continue;
		p[i] = (uint8_t)('0' + n % 10);
		n /= 10;
	}
}

static void stand_in(struct secret *s, size_t n)
{
	size_t dots = 0;

	memcpy(s->stand_in, s->is, s->length);
	switch (s->kind) {
	case MASK_ID:
		for (size_t i = 3; i < s->length; i++)
			if (isalnum(s->is[i]))
				s->stand_in[i] = '0';
		number_into(s->stand_in, s->length, 3, n, isalnum);
		break;
	case MASK_TEXT:
		for (size_t i = 0; i < s->length; i++)
			if (isalnum(s->is[i]) || s->is[i] >= 0x80)
				s->stand_in[i] = 'x';
		number_into(s->stand_in, s->length, 0, n, isalnum);
		break;
	case MASK_IP:
		for (size_t i = 0; i < s->length; i++) {
			dots += s->is[i] == '.';
			if (dots >= 2 && isdigit(s->is[i]))
				s->stand_in[i] = '0';
		}
		number_into(s->stand_in, s->length, 0, n % 256 > 9 && s->is[s->length - 2] == '.' ? n % 10 : n % 256, isdigit);
		break;
	case MASK_MAC:
		if (s->length == 6) {
			memcpy(s->stand_in, "\2\0\0\0", 4);
			s->stand_in[4] = (uint8_t)(n >> 8);
			s->stand_in[5] = (uint8_t)n;
			break;
		}
		for (size_t i = 0; i < s->length; i++)
			if (isxdigit(s->is[i]))
				s->stand_in[i] = '0';
		s->stand_in[1] = '2';
		number_into(s->stand_in, s->length, 2, n, isxdigit);
		break;
	case MASK_KINDS:
		break;
	}
}

static size_t text_length(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] && p[i] != 0xff)
		i++;
	while (i && p[i - 1] == ' ')
		i--;
	return i;
}

static bool known(const struct mask *m, const void *bytes, size_t length)
{
	for (size_t i = 0; i < m->count; i++)
		if (m->secrets[i].length == length && !memcmp(m->secrets[i].is, bytes, length))
			return true;
	return false;
}

static void add(struct mask *m, const struct secret *s)
{
	size_t at = 0;

	if (known(m, s->is, s->length))
		return;
	if (m->count == SECRETS_MAX) {
		m->full = true;
		return;
	}
	while (at < m->count && m->secrets[at].length >= s->length)
		at++;
	memmove(&m->secrets[at + 1], &m->secrets[at], (m->count++ - at) * sizeof(*s));
	m->secrets[at] = *s;
}

/* A serial number of digits may also stand as a number (Solarman) or two digits a byte (APsystems). */
static void add_forms(struct mask *m, const struct secret *text)
{
	struct secret s = { .kind = text->kind };
	uint64_t is = 0, stands = 0;

	for (size_t i = 0; i < text->length; i++) {
		if (!isdigit(text->is[i]) || text->length > 12)
			return;
		is = is * 10 + text->is[i] - '0';
		stands = stands * 10 + text->stand_in[i] - '0';
	}
	if (text->length == 10 && is <= UINT32_MAX && stands <= UINT32_MAX) {
		s.length = 4;
		for (size_t i = 0; i < s.length; i++) {
			s.is[i] = (uint8_t)(is >> 8 * i);
			s.stand_in[i] = (uint8_t)(stands >> 8 * i);
		}
		add(m, &s);
	} else if (text->length == 12) {
		s.length = 6;
		for (size_t i = 0; i < s.length; i++) {
			s.is[i] = (uint8_t)((text->is[2 * i] - '0') << 4 | (text->is[2 * i + 1] - '0'));
			s.stand_in[i] = (uint8_t)((text->stand_in[2 * i] - '0') << 4 | (text->stand_in[2 * i + 1] - '0'));
		}
		add(m, &s);
	}
}

void mask_learn(struct mask *m, enum mask_kind kind, const void *bytes, size_t length)
{
	struct secret s = { .kind = kind };

	if (kind != MASK_MAC || length != 6)
		length = text_length(bytes, length);
	if (length < SOUGHT_MIN)
		return;
	if (length > SECRET_MAX)
		length = SECRET_MAX;
	if (known(m, bytes, length))
		return;
	s.length = length;
	memcpy(s.is, bytes, length);
	stand_in(&s, ++m->kinds[kind]);
	add(m, &s);
	if (kind == MASK_ID)
		add_forms(m, &s);
}

uint32_t mask_number(struct mask *m, uint32_t number)
{
	char text[16];
	size_t n = (size_t)snprintf(text, sizeof(text), "%u", number);

	if (!m->applies) {
		mask_learn(m, MASK_ID, text, n);
		return number;
	}
	mask_bytes(m, (uint8_t *)text, n);
	return (uint32_t)strtoul(text, NULL, 10);
}

/* ------------------------------------------------ what can be seen without knowing the protocol */
static size_t private_ip(const uint8_t *p, size_t n)
{
	unsigned int part = 0, parts[4] = { 0 };
	size_t i = 0, digits = 0;

	for (; i < n && (isdigit(p[i]) || p[i] == '.'); i++) {
		if (p[i] == '.') {
			if (!digits || ++part == 4)
				return 0;
			digits = 0;
			continue;
		}
		if (++digits > 3)
			return 0;
		parts[part] = parts[part] * 10 + (unsigned int)(p[i] - '0');
	}
	if (part != 3 || !digits || parts[0] > 255 || parts[1] > 255 || parts[2] > 255 || parts[3] > 255)
		return 0;
	if (parts[0] == 10 || (parts[0] == 192 && parts[1] == 168) || (parts[0] == 172 && parts[1] >= 16 && parts[1] < 32) ||
	    (parts[0] == 100 && parts[1] >= 64 && parts[1] < 128) || (parts[0] == 169 && parts[1] == 254))
		return i;
	return 0;
}

static bool text_mac(const uint8_t *p, size_t n)
{
	if (n < 17 || (p[2] != ':' && p[2] != '-'))
		return false;
	for (size_t i = 0; i < 17; i++)
		if (i % 3 == 2 ? p[i] != p[2] : !isxdigit(p[i]))
			return false;
	return true;
}

static void learn_looks(struct mask *m, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t length;

		if (i && (isalnum(p[i - 1]) || p[i - 1] == '.'))
			continue;
		if (isdigit(p[i]) && (length = private_ip(p + i, n - i)))
			mask_learn(m, MASK_IP, p + i, length);
		if (isxdigit(p[i]) && text_mac(p + i, n - i))
			mask_learn(m, MASK_MAC, p + i, 17);
	}
}

void mask_bytes(struct mask *m, uint8_t *bytes, size_t length)
{
	if (!m->applies) {
		learn_looks(m, bytes, length);
		return;
	}
	for (size_t at = 0; at < length;) {
		size_t i = 0;

		while (i < m->count && (m->secrets[i].length > length - at || m->secrets[i].is[0] != bytes[at] ||
					memcmp(m->secrets[i].is, bytes + at, m->secrets[i].length)))
			i++;
		if (i == m->count) {
			at++;
			continue;
		}
		memcpy(bytes + at, m->secrets[i].stand_in, m->secrets[i].length);
		at += m->secrets[i].length;
	}
}

void mask_place(struct mask *m, enum mask_kind kind, uint8_t *bytes, size_t length)
{
	size_t n = text_length(bytes, length);

	if (!m->applies) {
		mask_learn(m, kind, bytes, length);
		return;
	}
	for (size_t i = 0; i < n && n < SOUGHT_MIN; i++)
		if (isalnum(bytes[i]) || bytes[i] >= 0x80)
			bytes[i] = kind == MASK_ID ? '0' : 'x';
}

void mask_second_round(struct mask *m)
{
	m->applies = true;
	m->asked = false;
}

/* ------------------------------------------------ frames */
static void run(struct mask *m, const char *protocol, enum dir dir, uint8_t *frame, size_t size)
{
	const struct mask_protocol *p = mask_protocols;

	while (p->name && strcmp(p->name, protocol))
		p++;
	if (p->name)
		p->frame(m, dir, frame, size);
	else
		mask_bytes(m, frame, size);
}

void mask_learn_frame(struct mask *m, const char *protocol, enum dir dir, const uint8_t *frame, size_t size)
{
	if (size > FRAME_MAX) {
		m->full = true;
		return;
	}
	memcpy(m->scratch, frame, size);
	run(m, protocol, dir, m->scratch, size);
}

void mask_frame(struct mask *m, const char *protocol, enum dir dir, uint8_t *frame, size_t size)
{
	run(m, protocol, dir, frame, size);
}
