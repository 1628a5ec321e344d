/* SPDX-License-Identifier: GPL-2.0-or-later */
/* metric_name.c - the name that Prometheus has for a quantity; see metric_name.h */
#include "export/metric_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/record.h"
#include "protocols/vocabulary.h"
#include "shared/util.h"

static const struct {
	const char *symbol;
	struct { const char *unit; double factor; } base, own;
} units[] = {
	{ "V", { "volts", 1 }, { "volts", 1 } },
	{ "A", { "amperes", 1 }, { "amperes", 1 } },
	{ "W", { "watts", 1 }, { "watts", 1 } },
	{ "VA", { "voltamperes", 1 }, { "voltamperes", 1 } },
	{ "var", { "vars", 1 }, { "vars", 1 } },
	{ "kWh", { "joules", 3600000 }, { "kwh", 1 } },
	{ "kW", { "watts", 1000 }, { "kilowatts", 1 } },
	{ "Hz", { "hertz", 1 }, { "hertz", 1 } },
	{ "°C", { "celsius", 1 }, { "celsius", 1 } },
	{ "%", { "ratio", 0.01 }, { "percent", 1 } },
	{ "dBm", { "dbm", 1 }, { "dbm", 1 } },
	{ "s", { "seconds", 1 }, { "seconds", 1 } },
	{ "h", { "seconds", 3600 }, { "seconds", 3600 } },	/* promtool does not want hours */
	{ "Ah", { "coulombs", 3600 }, { "ah", 1 } },
	{ "MOhm", { "ohms", 1e6 }, { "megaohms", 1 } },
};

static bool all_digits(const char *s)
{
	return *s && s[strspn(s, "0123456789")] == '\0';
}

static bool is_phase(const char *word)
{
	return word[0] == 'l' && word[1] >= '1' && word[1] <= '3' && !word[2];
}

struct parts {
	char *words[RECORD_NAME_MAX];
	size_t count;
	char phase[16], pv[8], battery[8], cell[8], index[8];
};

/* The number at the end of word[n] goes to a label of that name, if it has none yet. */
static bool take_number(char *word, const char *name, char label[static 8])
{
	size_t n = strlen(name);

	if (strncmp(word, name, n) != 0 || !all_digits(word + n) || strlen(word + n) > 7 || *label)
		return false;
	strcpy(label, word + n);
	word[n] = '\0';
	return true;
}

static void take_labels(struct parts *p)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->count; i++) {
		char *word = p->words[i];

		/* not where it is all there is, and phases only where they stand together */
		if (is_phase(word) && (!p->phase[0] || (i && is_phase(p->words[i - 1]))) && strlen(p->phase) < 6) {
			snprintf(p->phase + strlen(p->phase), sizeof(p->phase) - strlen(p->phase), "%s%s",
				 p->phase[0] ? "_" : "", word);
			continue;
		}
		if (i && all_digits(word) && !p->index[0] && strlen(word) < 8) {
			strcpy(p->index, word);
			continue;
		}
		if (!take_number(word, "pv", p->pv) && !take_number(word, "battery", p->battery))
			take_number(word, "cell", p->cell);
		p->words[kept++] = word;
	}
	p->count = kept;
}

static bool last_is(const struct parts *p, const char *word)
{
	return p->count && strcmp(p->words[p->count - 1], word) == 0;
}

/* What the names of samples and other types end in. */
static bool is_reserved(const struct parts *p)
{
	static const char *const reserved[] = { "total", "count", "sum", "bucket", "info", "created", "counter", "gauge" };

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (last_is(p, reserved[i]))
			return true;
	return false;
}

static void set_unit(struct parts *p, const char *name, bool base, struct metric *ret)
{
	static char connections[] = "connections", flags[] = "flags";
	const char *symbol = vocabulary_unit(name)->symbol;

	ret->unit = "";
	ret->factor = 1;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcmp(symbol, units[i].symbol) == 0) {
			ret->unit = base ? units[i].base.unit : units[i].own.unit;
			ret->factor = base ? units[i].base.factor : units[i].own.factor;
		}
	if (strcmp(symbol, "kWh") == 0 && last_is(p, "total")) {
		ret->counter = true;
		p->count--;
	} else if (strcmp(symbol, "h") == 0 || (!*symbol && last_is(p, "cycles"))) {
		ret->counter = true;
	} else if (strcmp(name, "connect_count") == 0) {
		ret->counter = true;
		p->words[0] = connections;
		p->count = 1;
	} else if (!*symbol && last_is(p, "bits")) {
		p->words[p->count - 1] = flags;		/* bits are a unit, and promtool wants bytes */
	} else if (last_is(p, "factor") && p->count > 1 && strcmp(p->words[p->count - 2], "power") == 0) {
		ret->unit = "ratio";
	}
	if (p->count > 1 && (last_is(p, "percent") || last_is(p, "ah")))
		p->count--;
}

static void add_label(struct metric *m, const char *name, const char *value)
{
	size_t n = strlen(m->labels);

	if (*value)
		snprintf(m->labels + n, sizeof(m->labels) - n, ",%s=\"%s\"", name, value);
}

bool metric_name(const char *name, bool base, struct metric *ret)
{
	char copy[RECORD_NAME_MAX];
	struct parts p = { 0 };
	size_t n;

	if (snprintf(copy, sizeof(copy), "%s", name) >= (int)sizeof(copy))
		return false;
	for (char *word = strtok(copy, "_"); word; word = strtok(NULL, "_"))
		p.words[p.count++] = word;
	*ret = (struct metric){ 0 };
	take_labels(&p);
	set_unit(&p, name, base, ret);
	n = (size_t)snprintf(ret->family, sizeof(ret->family), "solar");
	for (size_t i = 0; i < p.count; i++)
		n += (size_t)snprintf(ret->family + n, sizeof(ret->family) - n, "_%s", p.words[i]);
	if (is_reserved(&p))
		n += (size_t)snprintf(ret->family + n, sizeof(ret->family) - n, "_value");
	if (*ret->unit)
		snprintf(ret->family + n, sizeof(ret->family) - n, "_%s", ret->unit);
	add_label(ret, "pv", p.pv);
	add_label(ret, "phase", p.phase);
	add_label(ret, "battery", p.battery);
	add_label(ret, "cell", p.cell);
	add_label(ret, "index", p.index);
	return true;
}
