/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * settings.c - the sections of suntap.ini that belong to suntap-export; see settings.h
 *
 * The same reader, tables and complaints as suntapd's part of the file (shared/ini.h). A section of another destination
 * is not read at all, so that its mistakes stop its own exporter only; `suntap-export --check` reads all.
 */
#include "export/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/util.h"

enum { SECTIONS_MAX = 64, INVERTERS_MAX = 1024, KEYS_MAX = 64 };

enum section { SECTION_NONE, SECTION_IGNORED, SECTION_DESTINATION, SECTION_INVERTER };

struct parse {
	struct ini ini;			/* first: the reader knows this only */
	struct settings_file *file;
	const char *wanted;		/* NULL: all */
	enum section section;
	struct settings *settings;	/* of SECTION_DESTINATION; NULL where it was refused */
	struct settings_inverter *inverter;
	unsigned seen[2][KEYS_MAX];	/* lines of the open section's keys: common, own */
	const struct ini_key *key;
};

/* ---------------------------------------------------------------- values */

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	return false;
}

bool settings_parse_text(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	char buf[64];

	if (has_control(text))
		return ini_bad_value(p, k, text);
	if (strlen(text) >= (size_t)k->max) {
		ini_complain(p, p->line, k->name, "\"%s\" is too long; would be at most %ld bytes", ini_shown(buf, text),
			     k->max - 1);
		return false;
	}
	memset(at, 0, (size_t)k->max);
	memcpy(at, text, strlen(text));
	return true;
}

bool settings_parse_path(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	if (*text != '/')
		return ini_bad_value(p, k, text);
	return settings_parse_text(p, k, text, at);
}

/* Name and password in a URL would be shown by everything that shows the URL. */
bool settings_parse_url(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	size_t scheme = strncmp(text, "http://", 7) == 0 ? 7 : strncmp(text, "https://", 8) == 0 ? 8 : 0;
	size_t host = scheme ? strcspn(text + scheme, "/?#") : 0;
	char buf[SETTINGS_PATH_MAX];
	size_t length = strlen(text);

	if (!host || strpbrk(text, " \"\\<>?#") || length >= sizeof(buf))
		return ini_bad_value(p, k, text);
	if (memchr(text + scheme, '@', host)) {
		ini_complain(p, p->line, k->name, "has a user or a password in it; would be a key of its own: see suntap.ini(5)");
		return false;
	}
	memcpy(buf, text, length + 1);
	while (length > scheme && buf[length - 1] == '/')
		buf[--length] = '\0';
	return settings_parse_text(p, k, buf, at);
}

bool settings_parse_secret(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	if (*text != '/' && (strchr(text, '/') || *text == '.'))
		return ini_bad_value(p, k, text);
	return settings_parse_text(p, k, text, at);
}

static const char *const start_names[] = { [START_BEGINNING] = "beginning", [START_END] = "end" };

static bool parse_start(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	return ini_parse_choice(p, k, text, start_names, ARRAY_SIZE(start_names), at);
}

static void print_start(const struct ini_key *k, const void *at, FILE *out)
{
	fprintf(out, "%s = %s\n", k->name, start_names[*(const enum settings_start *)at]);
}

static bool parse_journal(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	if (*text != '/' && strcmp(text, "local") != 0 && strcmp(text, "all") != 0)
		return ini_bad_value(p, k, text);
	return settings_parse_text(p, k, text, at);
}

static bool parse_unit(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	if (strcmp(text, SETTINGS_ANY_UNIT) != 0 && !strchr(text, '.'))
		return ini_bad_value(p, k, text);
	return settings_parse_text(p, k, text, at);
}

static bool add_match(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	struct settings *s = at;
	size_t name = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	if (name == 0 || text[name] != '=' || !text[name + 1] || strlen(text) >= SETTINGS_MATCH_MAX)
		return ini_bad_value(p, k, text);
	if (s->match_count == SETTINGS_MATCHES_MAX) {
		ini_complain(p, p->line, k->name, "more than %d; would be fewer", SETTINGS_MATCHES_MAX);
		return false;
	}
	memcpy(s->matches[s->match_count++], text, strlen(text) + 1);
	return true;
}

static bool parse_match(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	return ini_each_word(p, k, text, at, add_match);
}

static void print_match(const struct ini_key *k, const void *at, FILE *out)
{
	const struct settings *s = at;

	if (!s->match_count)
		return;
	fprintf(out, "%s =", k->name);
	for (size_t i = 0; i < s->match_count; i++)
		fprintf(out, "%s %s", i ? "," : "", s->matches[i]);
	fputc('\n', out);
}

/* ---------------------------------------------------------------- the tables */

#define AT(field) offsetof(struct settings, field)
#define OF(field) #field, settings_parse_text, ini_print_text, offsetof(struct settings_inverter, field), "", 0, \
	SETTINGS_TEXT_MAX, 0
#define PV(n) "pv" #n, settings_parse_text, ini_print_text, offsetof(struct settings_inverter, pv[n - 1]), "", 0, \
	SETTINGS_TEXT_MAX, 0, "a text, such as Trina 440 W, 8 pieces", "the PV modules at input " #n

/* Of every destination. */
static const struct ini_key common_keys[] = {
	{ SECTION_DESTINATION, "start", parse_start, print_start, AT(start), "beginning", 0, 0, 0, "beginning or end",
	  "where to begin in the journal the first time" },
	{ SECTION_DESTINATION, "journal", parse_journal, ini_print_text, AT(journal), "local", 0, SETTINGS_PATH_MAX, 0,
	  "local, all, or the path of a folder",
	  "local: this machine's; all: also those that systemd-journal-remote has gathered here; or a folder of journals" },
	{ SECTION_DESTINATION, "unit", parse_unit, ini_print_text, AT(unit), "suntapd.service", 0, SETTINGS_TEXT_MAX, 0,
	  "the name of a unit, such as suntapd.service, or any",
	  "only what this unit wrote, by journald's own word; any: whoever may log can then write readings" },
	{ SECTION_DESTINATION, "match", parse_match, print_match, 0, "", 0, 0, 0,
	  "a list of FIELD=VALUE, such as SUNTAP_DEVICE=roof",
	  "only entries with these fields as well" },
};

static const struct ini_key inverter_keys[] = {
	{ SECTION_INVERTER, OF(name), "a text, such as Garage roof", "what people call it" },
	{ SECTION_INVERTER, OF(area), "a text, such as Garage", "Home Assistant's area for it" },
	{ SECTION_INVERTER, OF(manufacturer), "a text", "the maker, instead of what the readings tell" },
	{ SECTION_INVERTER, OF(model), "a text", "the model, instead of what the readings tell" },
	{ SECTION_INVERTER, PV(1) }, { SECTION_INVERTER, PV(2) }, { SECTION_INVERTER, PV(3) }, { SECTION_INVERTER, PV(4) },
	{ SECTION_INVERTER, PV(5) }, { SECTION_INVERTER, PV(6) }, { SECTION_INVERTER, PV(7) }, { SECTION_INVERTER, PV(8) },
};

/* Table t of the open section: its rows, and the object they are about; 0 rows: there is no such table. */
static size_t table(const struct parse *p, unsigned t, const struct ini_key **ret, void **ret_object)
{
	if (p->section == SECTION_INVERTER && t == 0) {
		*ret = inverter_keys;
		*ret_object = p->inverter;
		return ARRAY_SIZE(inverter_keys);
	}
	if (p->section == SECTION_DESTINATION && t == 0) {
		*ret = common_keys;
		*ret_object = p->settings;
		return ARRAY_SIZE(common_keys);
	}
	if (p->section == SECTION_DESTINATION && t == 1) {
		*ret = p->settings->kind->keys;
		*ret_object = p->settings->own;
		return p->settings->kind->key_count;
	}
	return 0;
}

static void set_defaults(struct parse *p)
{
	const struct ini_key *keys;
	void *object;
	size_t n;

	memset(p->seen, 0, sizeof(p->seen));
	for (unsigned t = 0; t < 2; t++) {
		n = table(p, t, &keys, &object);
		for (size_t i = 0; i < n; i++)
			if (*keys[i].fallback)
				keys[i].parse(&p->ini, &keys[i], keys[i].fallback, (char *)object + keys[i].offset);
	}
}

/* ---------------------------------------------------------------- lines */

static void unknown_key(struct parse *p, const char *name)
{
	const struct ini_key *keys, *near = NULL;
	size_t best = 4, n, length = strlen(name);
	char list[1024] = "", buf[64];
	void *object;

	for (unsigned t = 0; t < 2; t++) {
		n = table(p, t, &keys, &object);
		for (size_t i = 0; i < n; i++) {
			size_t d = ini_distance(name, keys[i].name), used = strlen(list);

			if (d < best && d < strlen(keys[i].name)) {
				best = d;
				near = &keys[i];
			}
			/* token = … where it is token_file */
			if (length >= 4 && strncmp(keys[i].name, name, length) == 0 && strcmp(keys[i].name + length, "_file") == 0) {
				ini_complain(&p->ini, p->ini.line, ini_shown(buf, name), "a secret does not belong in this file; "
					     "would be %s, with the path of a file that has it", keys[i].name);
				return;
			}
			snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", keys[i].name);
		}
	}
	if (near)
		ini_complain(&p->ini, p->ini.line, ini_shown(buf, name), "unknown key; did you mean %s?", near->name);
	else
		ini_complain(&p->ini, p->ini.line, ini_shown(buf, name), "unknown key; would be one of %s", list);
}

static void on_value(struct ini *ini, const char *name, const char *value, bool continued)
{
	struct parse *p = (struct parse *)ini;
	const struct ini_key *keys;
	void *object;
	size_t n;

	if (p->section < SECTION_DESTINATION)
		return;
	if (continued) {
		if (p->key)
			ini_complain(ini, ini->line, p->key->name, "goes on in an indented line; would be in one line");
		return;
	}
	p->key = NULL;
	for (unsigned t = 0; t < 2; t++) {
		n = table(p, t, &keys, &object);
		for (size_t i = 0; i < n; i++) {
			const struct ini_key *k = &keys[i];

			if (strcmp(k->name, name) != 0)
				continue;
			p->key = k;
			if (p->seen[t][i])
				ini_complain(ini, ini->line, name, "is there twice in this section, first in line %u; would be once",
					     p->seen[t][i]);
			else if (*value == '\0')
				ini_complain(ini, ini->line, name, "has no value; would be %s", k->accepts);
			else
				k->parse(ini, k, value, (char *)object + k->offset);
			p->seen[t][i] = ini->line;
			return;
		}
	}
	unknown_key(p, name);
}

static struct settings *add_section(struct settings_file *f, const struct destination_kind *kind, const char *name)
{
	struct settings *s = &f->sections[f->section_count];

	*s = (struct settings){ .kind = kind, .own = calloc(1, kind->settings_size + 1) };
	if (!s->own)
		return NULL;
	f->section_count++;
	snprintf(s->name, sizeof(s->name), "%s", *name ? name : kind->name);
	snprintf(s->section, sizeof(s->section), "%s%s%s", kind->name, *name ? " " : "", name);
	return s;
}

static void open_destination(struct parse *p, const struct destination_kind *kind, const char *name)
{
	struct settings_file *f = p->file;
	char buf[64];

	if (p->wanted && strcmp(p->wanted, *name ? name : kind->name) != 0)
		return;
	if (*name && !ini_is_name(name, CONFIG_NAME_MAX)) {
		ini_complain(&p->ini, p->ini.line, NULL, "[%s %s]: would be a name of letters, digits, - and _, a letter first, "
			     "at most %d", kind->name, ini_shown(buf, name), CONFIG_NAME_MAX - 1);
		return;
	}
	for (size_t i = 0; i < f->section_count; i++)
		if (strcmp(f->sections[i].name, *name ? name : kind->name) == 0) {
			ini_complain(&p->ini, p->ini.line, NULL, "[%s%s%s] has the name of [%s] in line %u; would be another: "
				     "[%s NAME]", kind->name, *name ? " " : "", name, f->sections[i].section,
				     f->sections[i].line, kind->name);
			return;
		}
	if (f->section_count == SECTIONS_MAX) {
		ini_complain(&p->ini, p->ini.line, NULL, "more than %d destinations; would be fewer", SECTIONS_MAX);
		return;
	}
	p->settings = add_section(f, kind, name);
	if (!p->settings) {
		p->ini.error = -ENOMEM;
		return;
	}
	p->settings->line = p->ini.line;
	p->section = SECTION_DESTINATION;
	set_defaults(p);
}

static void open_inverter(struct parse *p, const char *serial)
{
	struct settings_file *f = p->file;
	char buf[64];

	if (!*serial || strlen(serial) >= RECORD_ID_MAX || has_control(serial)) {
		ini_complain(&p->ini, p->ini.line, NULL, "[inverter %s]: would be the serial number, such as [inverter "
			     "R170000000000001]", ini_shown(buf, serial));
		return;
	}
	if (settings_inverter(f, serial)) {
		ini_complain(&p->ini, p->ini.line, NULL, "[inverter %s] is there already, in line %u; would be one section",
			     ini_shown(buf, serial), settings_inverter(f, serial)->line);
		return;
	}
	if (f->inverter_count == INVERTERS_MAX) {
		ini_complain(&p->ini, p->ini.line, NULL, "more than %d inverters; would be fewer", INVERTERS_MAX);
		return;
	}
	p->inverter = &f->inverters[f->inverter_count++];
	memcpy(p->inverter->serial, serial, strlen(serial) + 1);
	p->inverter->line = p->ini.line;
	p->section = SECTION_INVERTER;
	set_defaults(p);
}

static void on_section(struct ini *ini, const char *text)
{
	struct parse *p = (struct parse *)ini;
	const struct destination_kind *kind;
	size_t word;

	if (p->section == SECTION_DESTINATION && p->settings->kind->check)
		p->settings->kind->check(ini, p->settings->line, p->settings->own);
	p->section = SECTION_IGNORED;
	p->key = NULL;
	if (!text)
		return;
	word = strcspn(text, " \t");
	kind = destination_find(text, word);
	if (kind)
		open_destination(p, kind, text + word + strspn(text + word, " \t"));
	else if (word == 8 && memcmp(text, "inverter", 8) == 0)
		open_inverter(p, text + word + strspn(text + word, " \t"));
}

/* ---------------------------------------------------------------- the file */

struct settings_file *settings_free(struct settings_file *f)
{
	if (f) {
		for (size_t i = 0; i < f->section_count; i++)
			free(f->sections[i].own);
		free(f->sections);
		free(f->inverters);
	}
	free(f);
	return NULL;
}

static struct settings_file *new_file(void)
{
	struct settings_file *f = calloc(1, sizeof(*f));

	if (f) {
		f->sections = calloc(SECTIONS_MAX, sizeof(*f->sections));
		f->inverters = calloc(INVERTERS_MAX, sizeof(*f->inverters));
	}
	return f && f->sections && f->inverters ? f : settings_free(f);
}

struct settings_file *settings_default(const struct destination_kind *kind, const char *name)
{
	struct parse p = { .ini = { .errors = stderr, .name = "defaults" } };

	p.file = new_file();
	if (!p.file)
		return NULL;
	p.settings = add_section(p.file, kind, name);
	if (!p.settings)
		return settings_free(p.file);
	p.section = SECTION_DESTINATION;
	set_defaults(&p);
	return p.file;
}

static void tell_missing(struct parse *p)
{
	char list[512] = "", buf[64];
	const struct destination_kind *kind;

	for (size_t i = 0; (kind = destination_kind(i)); i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s[%s %s]", i ? ", " : "", kind->name,
			 ini_is_name(p->wanted, CONFIG_NAME_MAX) ? p->wanted : "NAME");
	ini_complain(&p->ini, 0, NULL, "no section is called \"%s\"; would be one of %s", ini_shown(buf, p->wanted), list);
}

int settings_read(struct settings_file **ret, FILE *in, const char *file, const char *name, FILE *errors)
{
	static const struct ini_events events = { on_section, on_value };
	struct parse p = { .ini = { .in = in, .errors = errors, .name = file, .events = &events }, .wanted = name };
	int r = -ENOMEM;

	p.file = new_file();
	if (!p.file)
		return r;
	r = ini_read(&p.ini);
	if (r == 0 && name && p.file->section_count == 0)
		tell_missing(&p);
	if (r == 0)
		r = ini_finish(&p.ini);
	if (r) {
		settings_free(p.file);
		return r;
	}
	*ret = p.file;
	return 0;
}

int settings_load(struct settings_file **ret, const char *path, const char *name, FILE *errors)
{
	CLEANUP(fclosep) FILE *file = fopen(path, "re");
	int r;

	if (!file) {
		r = -errno;
		fprintf(errors, "%s: cannot be opened: %s\n", path, strerror(-r));
		return r;
	}
	return settings_read(ret, file, path, name, errors);
}

void settings_print(const struct settings_file *f, FILE *out)
{
	for (size_t i = 0; i < f->section_count; i++) {
		const struct settings *s = &f->sections[i];

		fprintf(out, "%s[%s]\n", i ? "\n" : "", s->section);
		for (size_t k = 0; k < ARRAY_SIZE(common_keys); k++)
			common_keys[k].print(&common_keys[k], (const char *)s + common_keys[k].offset, out);
		for (size_t k = 0; k < s->kind->key_count; k++)
			s->kind->keys[k].print(&s->kind->keys[k], (const char *)s->own + s->kind->keys[k].offset, out);
	}
	for (size_t i = 0; i < f->inverter_count; i++) {
		fprintf(out, "%s[inverter %s]\n", i || f->section_count ? "\n" : "", f->inverters[i].serial);
		for (size_t k = 0; k < ARRAY_SIZE(inverter_keys); k++)
			inverter_keys[k].print(&inverter_keys[k], (const char *)&f->inverters[i] + inverter_keys[k].offset, out);
	}
}

const struct settings_inverter *settings_inverter(const struct settings_file *f, const char *serial)
{
	for (size_t i = 0; i < f->inverter_count; i++)
		if (strcmp(f->inverters[i].serial, serial) == 0)
			return &f->inverters[i];
	return NULL;
}

/* ---------------------------------------------------------------- secrets */

char *settings_secret_free(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
	return NULL;
}

/* Where a bare name is found: $CREDENTIALS_DIRECTORY, which systemd makes of LoadCredential=. */
int settings_secret_path(const struct settings *s, const char *key, const char *source, char path[static 512])
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");

	if (*source == '/') {
		snprintf(path, 512, "%s", source);
	} else if (!folder) {
		log_error("[%s]: %s = %s names a credential, but the unit has none: LoadCredential=%s:/path/of/the/file",
			  s->section, key, source, source);
		return -ENOENT;
	} else if (snprintf(path, 512, "%s/%s", folder, source) >= 512) {
		return -ENAMETOOLONG;
	}
	return 0;
}

int settings_secret(const struct settings *s, const char *key, const char *source, char **ret)
{
	char path[512], buf[SETTINGS_PASSWORD_MAX + 1];
	CLEANUP(closep) int fd = -1;
	struct stat st;
	ssize_t n;
	int r = settings_secret_path(s, key, source, path);

	if (r)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		r = -errno;
		log_error("[%s]: %s: %s cannot be opened: %s", s->section, key, path, strerror(-r));
		return r;
	}
	n = read(fd, buf, sizeof(buf));
	if (n < 0) {
		r = -errno;
		log_error("[%s]: %s: %s cannot be read: %s", s->section, key, path, strerror(-r));
		return r;
	}
	while (n > 0 && n < (ssize_t)sizeof(buf) && (buf[n - 1] == '\n' || buf[n - 1] == '\r'))
		n--;
	r = n == 0 || n == (ssize_t)sizeof(buf) ? -EINVAL : 0;
	for (ssize_t i = 0; i < n; i++)
		if ((unsigned char)buf[i] < ' ' || buf[i] == 0x7f)
			r = -EINVAL;
	if (r) {
		log_error("[%s]: %s: %s has to hold one line of at most %d bytes", s->section, key, path,
			  SETTINGS_PASSWORD_MAX);
	} else {
		if (fstat(fd, &st) == 0 && st.st_mode & 0004)
			log_warning("[%s]: %s: %s can be read by everybody; would be chmod 600", s->section, key, path);
		*ret = strndup(buf, (size_t)n);
		r = *ret ? 0 : -ENOMEM;
	}
	explicit_bzero(buf, sizeof(buf));
	return r;
}
