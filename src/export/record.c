/* SPDX-License-Identifier: GPL-2.0-or-later */
/* record.c - one journal entry of suntap's; see record.h */
#include "export/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/message_ids.h"
#include "shared/util.h"

/* ---------------------------------------------------------------- texts */

/* Length of the UTF-8 sequence at s, 0 if it is none that Unicode has. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 :
		   s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* Copies at most size - 1 bytes, whole characters; what is no text becomes '?'. Returns the length written. */
static size_t clean(char *to, size_t size, const char *from, size_t length)
{
	const unsigned char *s = (const unsigned char *)from;
	size_t used = 0, i = 0;

	/* Nearly always it is all plain. */
	while (i < length && i + 1 < size && s[i] >= ' ' && s[i] < 0x7f)
		i++;
	memcpy(to, from, i);
	used = i;
	while (i < length) {
		size_t n = utf8_length(s + i, length - i);
		/* C0, DEL, C1, and the two separators that some readers take for line ends */
		bool bad = n == 0 || s[i] < ' ' || s[i] == 0x7f || (n == 2 && s[i] == 0xc2 && s[i + 1] < 0xa0) ||
			   (n == 3 && s[i] == 0xe2 && s[i + 1] == 0x80 && (s[i + 2] == 0xa8 || s[i + 2] == 0xa9));

		if (used + (bad ? 1 : n) >= size)
			break;
		if (bad)
			to[used++] = '?';
		else
			for (size_t j = 0; j < n; j++)
				to[used++] = from[i + j];
		i += n ? n : 1;
	}
	to[used] = '\0';
	return used;
}

static bool is_number(const char *s, size_t length)
{
	size_t i = 0, digits;

	if (length == 0 || length > 24)
		return false;
	if (s[i] == '-')
		i++;
	/* 007 is a serial number or a version, and no number in JSON. */
	if (i + 1 < length && s[i] == '0' && s[i + 1] != '.')
		return false;
	for (digits = 0; i < length && s[i] >= '0' && s[i] <= '9'; i++)
		digits++;
	if (!digits)
		return false;
	if (i == length)
		return true;
	if (s[i++] != '.')
		return false;
	for (digits = 0; i < length && s[i] >= '0' && s[i] <= '9'; i++)
		digits++;
	return digits && i == length;
}

/* ---------------------------------------------------------------- times */

static bool digits(const char *s, size_t n, int *ret)
{
	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		*ret = *ret * 10 + (s[i] - '0');
	}
	return true;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar: timegm() takes a lock and looks for a zone each time. */
static int64_t days_of(int year, int month, int day)
{
	int y = month <= 2 ? year - 1 : year, era = y / 400, of_era = y - era * 400;
	int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool record_parse_time(const char *text, size_t length, int64_t *ret_ns)
{
	static const int month_days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year, month, day, hour = 0, minute = 0, second = 0;
	int64_t fraction = 0;
	size_t i = 10;

	if (length > 0 && text[length - 1] == 'Z')
		length--;
	if (length < 10 || !digits(text, 4, &year) || text[4] != '-' || !digits(text + 5, 2, &month) || text[7] != '-' ||
	    !digits(text + 8, 2, &day) || month < 1 || month > 12 || day < 1 || day > month_days[month - 1])
		return false;
	if (month == 2 && day == 29 && (year % 4 || (year % 100 == 0 && year % 400)))
		return false;
	if (year < 1971 || year > 2261)		/* line protocol ends in 2262 */
		return false;
	if (length > 10) {
		if (length < 16 || (text[10] != 'T' && text[10] != ' ') || !digits(text + 11, 2, &hour) || text[13] != ':' ||
		    !digits(text + 14, 2, &minute) || hour > 23 || minute > 59)
			return false;
		i = 16;
	}
	if (length > i) {
		if (length < 19 || text[16] != ':' || !digits(text + 17, 2, &second) || second > 60)
			return false;
		i = 19;
	}
	if (length > i) {
		int64_t unit = NSEC_PER_SEC / 10;

		if (text[i] != '.' || length == ++i || length - i > 9)
			return false;
		for (; i < length; i++, unit /= 10) {
			if (text[i] < '0' || text[i] > '9')
				return false;
			fraction += (text[i] - '0') * unit;
		}
	}
	*ret_ns = ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 * NSEC_PER_SEC + second * NSEC_PER_SEC + fraction;
	return true;
}

const char *record_format_time(int64_t ns, char *buf)
{
	time_t seconds = (time_t)(ns / NSEC_PER_SEC - (ns % NSEC_PER_SEC < 0));
	int64_t rest = ns - (int64_t)seconds * NSEC_PER_SEC;
	struct tm tm;
	size_t n;

	if (!gmtime_r(&seconds, &tm))
		memset(&tm, 0, sizeof(tm));
	n = strftime(buf, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	if (rest && rest % NSEC_PER_MSEC == 0)
		snprintf(buf + n, 40 - n, ".%03dZ", (int)(rest / NSEC_PER_MSEC));
	else if (rest)
		snprintf(buf + n, 40 - n, ".%09" PRId64 "Z", rest);
	else
		snprintf(buf + n, 40 - n, "Z");
	return buf;
}

/* ---------------------------------------------------------------- fields */

void record_begin(struct record *r)
{
	memset(r, 0, offsetof(struct record, values));
	r->field_count = 0;
	r->left_out = 0;
	r->bad_time = false;
	r->ours = false;
	r->used = 0;
}

static const char *keep(struct record *r, const char *data, size_t length, size_t *ret_length)
{
	char *at = r->store + r->used;

	*ret_length = clean(at, RECORD_STORE - r->used, data, length);
	r->used += *ret_length + 1;
	return at;
}

/* For a name and a text of that length, each with its NUL. */
static bool room(const struct record *r, size_t name_length, size_t length)
{
	return length <= RECORD_TEXT_MAX && RECORD_STORE - r->used >= name_length + length + 2;
}

static bool has_value(const struct record *r, const char *name, size_t length)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->values[i].name_length == length && memcmp(r->values[i].name, name, length) == 0)
			return true;
	return false;
}

/* name: behind SOLAR_ */
static void take_value(struct record *r, const char *name, size_t name_length, const char *data, size_t length)
{
	struct record_value *v = &r->values[r->count];
	char *at = r->store + r->used;

	if (r->count == RECORD_VALUES_MAX || name_length == 0 || name_length >= RECORD_NAME_MAX || length == 0 ||
	    !room(r, name_length, length) || *name < 'A' || *name > 'Z') {
		r->left_out++;
		return;
	}
	for (size_t i = 0; i < name_length; i++) {
		char c = name[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) {
			r->left_out++;
			return;
		}
		at[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	at[name_length] = '\0';
	if (has_value(r, at, name_length)) {
		r->left_out++;
		return;
	}
	v->name = at;
	v->name_length = (uint16_t)name_length;
	at += name_length + 1;
	r->used += name_length + 1;
	v->number = is_number(data, length);
	if (v->number) {
		memcpy(at, data, length);
		at[length] = '\0';
		r->used += length + 1;
		v->text = at;
	} else {
		v->text = keep(r, data, length, &length);
	}
	v->text_length = (uint16_t)length;
	r->count++;
}

#define ID(field, member) { field, sizeof(field) - 1, offsetof(struct record, member) }
static const struct {
	const char *field;
	size_t length, offset;
} ids[] = {
	ID("SUNTAP_SERIAL", serial), ID("SUNTAP_LOGGER", logger), ID("SUNTAP_DEVICE", device),
	ID("SUNTAP_PROTOCOL", protocol), ID("SUNTAP_MODEL", model), ID("SUNTAP_TIME_SOURCE", time_source),
};

/* Its name is `name_length` long, its text what follows. */
static void take_suntap(struct record *r, const char *field, size_t name_length, const char *data, size_t length)
{
	const char *name;
	size_t used;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		if (ids[i].length == name_length && memcmp(ids[i].field, field, name_length) == 0) {
			/* An identity that was cut would be another device's. */
			if (length >= RECORD_ID_MAX)
				r->left_out++;
			else
				clean((char *)r + ids[i].offset, RECORD_ID_MAX, data, length);
			return;
		}
	if (name_length == 11 && memcmp(field, "SUNTAP_TIME", 11) == 0) {
		r->bad_time = !record_parse_time(data, length, &r->time_ns);
		return;
	}
	if (name_length == 15 && memcmp(field, "SUNTAP_HISTORIC", 15) == 0) {
		r->historic = length == 1 && *data == '1';
		return;
	}
	if (name_length == 13 && memcmp(field, "SUNTAP_REPEAT", 13) == 0) {
		r->repeat = length == 1 && *data == '1';
		return;
	}
	if (r->field_count == RECORD_FIELDS_MAX || name_length >= RECORD_NAME_MAX + 4 || !room(r, name_length, length)) {
		r->left_out++;
		return;
	}
	used = r->used;
	name = keep(r, field, name_length, &name_length);
	if (record_event_field(r, name)) {
		r->used = used;
		r->left_out++;
		return;
	}
	r->fields[r->field_count].name = name;
	r->fields[r->field_count++].text = keep(r, data, length, &length);
}

#define ORIGIN(field, member) { field "=", sizeof(field), offsetof(struct record, member), sizeof(((struct record *)0)->member) }
static const struct {
	const char *start;
	size_t length, offset, size;
} origins[] = { ORIGIN("_MACHINE_ID", machine), ORIGIN("_SYSTEMD_UNIT", unit), ORIGIN("_UID", uid) };

/* Cut where it is too long, and then no unit that an owner can ask for. */
static void take_origin(struct record *r, const char *data, size_t length)
{
	for (size_t i = 0; i < ARRAY_SIZE(origins); i++)
		if (length > origins[i].length && memcmp(data, origins[i].start, origins[i].length) == 0)
			clean((char *)r + origins[i].offset, origins[i].size, data + origins[i].length, length - origins[i].length);
}

void record_field(struct record *r, const char *data, size_t length)
{
	const char *equals;
	size_t name;

	/* Most fields of an entry are journald's own (_PID=…): out, before anything is searched. */
	if (length && data[0] == '_')
		take_origin(r, data, length);
	if (length < 8 || (data[0] != 'S' && data[0] != 'M'))
		return;
	equals = memchr(data, '=', length < 80 ? length : 80);
	if (!equals)
		return;
	name = (size_t)(equals - data);
	length -= name + 1;
	if (memcmp(data, "SOLAR_", 6) == 0) {
		take_value(r, data + 6, name - 6, equals + 1, length);
	} else if (memcmp(data, "SUNTAP_", 7) == 0) {
		take_suntap(r, data, name, equals + 1, length);
	} else if (name == 10 && length == 32 && memcmp(data, "MESSAGE_ID", 10) == 0) {
		clean(r->message_id, sizeof(r->message_id), equals + 1, length);
		r->ours = true;
	} else if (name == 7 && memcmp(data, "MESSAGE", 7) == 0) {
		take_suntap(r, data, name, equals + 1, length);
	}
}

bool record_finish(struct record *r)
{
	if (!r->ours)
		return false;
	r->kind = strcmp(r->message_id, MESSAGE_ID_READING) == 0 ? RECORD_READING :
		  strcmp(r->message_id, MESSAGE_ID_INFO) == 0 ? RECORD_INFO : RECORD_EVENT;
	if (r->time_ns == 0 || r->bad_time)
		r->time_ns = r->entry_ns;
	return true;
}

const struct record_value *record_find(const struct record *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->values[i].name, name) == 0)
			return &r->values[i];
	return NULL;
}

const char *record_event_field(const struct record *r, const char *name)
{
	for (size_t i = 0; i < r->field_count; i++)
		if (strcmp(r->fields[i].name, name) == 0)
			return r->fields[i].text;
	return NULL;
}

/* The program never calls setlocale(): strtod() is in the C locale. */
double record_number(const struct record_value *v)
{
	return v->number ? strtod(v->text, NULL) : 0;
}
