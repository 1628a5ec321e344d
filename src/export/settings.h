/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * settings.h - the sections of suntap.ini that belong to suntap-export
 *
 * [KIND] or [KIND NAME] is a destination, and NAME (or KIND, where there is none) is what the program and its unit call
 * it: suntap-export@house.service runs [influxdb house]. Each has the keys of its kind beside those all have. [inverter
 * SERIAL] says what people call a device. The other sections are suntapd's and are not looked at.
 */
#ifndef EXPORT_SETTINGS_H
#define EXPORT_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "export/destination.h"
#include "shared/config.h"

enum {
	SETTINGS_PATH_MAX = 256,	/* also of URLs and host names */
	SETTINGS_MATCHES_MAX = 8,
	SETTINGS_MATCH_MAX = 128,
	SETTINGS_TEXT_MAX = 64,
	SETTINGS_PV_MAX = 8,
	SETTINGS_PASSWORD_MAX = 4096,
};

#define SETTINGS_ANY_UNIT "any"

enum settings_start { START_BEGINNING, START_END };

struct settings {
	const struct destination_kind *kind;
	char name[CONFIG_NAME_MAX];		/* NAME, or KIND */
	char section[2 * CONFIG_NAME_MAX];	/* "influxdb house" */
	unsigned line;
	enum settings_start start;		/* where there is no cursor yet */
	char journal[SETTINGS_PATH_MAX];	/* "local", "all", or a folder */
	char unit[SETTINGS_TEXT_MAX];		/* that entries must be of, or SETTINGS_ANY_UNIT */
	char matches[SETTINGS_MATCHES_MAX][SETTINGS_MATCH_MAX];	/* "SUNTAP_DEVICE=roof": demanded of entries */
	size_t match_count;
	void *own;				/* kind->settings_size bytes */
};

struct settings_inverter {
	char serial[RECORD_ID_MAX];
	unsigned line;
	char name[SETTINGS_TEXT_MAX], area[SETTINGS_TEXT_MAX];
	char manufacturer[SETTINGS_TEXT_MAX], model[SETTINGS_TEXT_MAX];
	char pv[SETTINGS_PV_MAX][SETTINGS_TEXT_MAX];	/* the modules at each input */
};

struct settings_file {
	struct settings *sections;
	size_t section_count;
	struct settings_inverter *inverters;
	size_t inverter_count;
};

/* Reads the section called `name` (NULL: all of them) and the inverters. Complaints as config_load(). */
int settings_load(struct settings_file **ret, const char *path, const char *name, FILE *errors);
int settings_read(struct settings_file **ret, FILE *in, const char *file, const char *name, FILE *errors);
struct settings_file *settings_free(struct settings_file *f);	/* returns NULL; takes NULL */
void settings_print(const struct settings_file *f, FILE *out);	/* reads back to the same */
/* What is in force where a section says nothing; for --stdout. settings_free() frees it. */
struct settings_file *settings_default(const struct destination_kind *kind, const char *name);
const struct settings_inverter *settings_inverter(const struct settings_file *f, const char *serial);	/* or NULL */

/* More parsers for the tables of destinations; `at` is a char[k->max]. */
bool settings_parse_text(struct ini *p, const struct ini_key *k, const char *text, void *at);	/* no control characters */
bool settings_parse_path(struct ini *p, const struct ini_key *k, const char *text, void *at);	/* absolute */
bool settings_parse_url(struct ini *p, const struct ini_key *k, const char *text, void *at);	/* http:// https:// */
/* A file of a secret: a path, or the bare name of a credential of the unit (LoadCredential=). */
bool settings_parse_secret(struct ini *p, const struct ini_key *k, const char *text, void *at);

/*
 * Reads the secret that a key names: *ret (free it with settings_secret_free()) has no newline at its end and no
 * control character in it. Says what is wrong to the log, never what is in it.
 */
int settings_secret(const struct settings *s, const char *key, const char *source, char **ret);
/* Where it is: `source`, or in $CREDENTIALS_DIRECTORY. */
int settings_secret_path(const struct settings *s, const char *key, const char *source, char path[static 512]);
char *settings_secret_free(char *secret);		/* overwrites it; returns NULL */

#endif
