/* SPDX-License-Identifier: GPL-2.0-or-later */
/* maps_command.c - suntap maps: which register maps there are, and whether one is good */
#include "tool/maps_command.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocols/map.h"
#include "protocols/maps_folders.h"
#include "shared/util.h"
#include "tool/options.h"
#include "tool/output.h"

enum { FOLDERS_MAX = 16, CHOSEN_MAX = 512 };

static void usage(FILE *to)
{
	fputs("usage: suntap maps [--json] [--maps DIR]\n"
	      "       suntap maps --check FILE... [--maps DIR]\n"
	      "\n"
	      "Lists the register maps that the decoder uses, and how each is chosen; or checks maps of your own\n"
	      "before they go to /etc/suntap/maps.\n"
	      "\n"
	      "  --check          check these files, say what is wrong by line\n"
	      "  --json           one JSON object a line\n"
	      "  --maps DIR       read the register maps from DIR (may be given several times)\n"
	      "  --help, --version\n"
	      "\n"
	      "Exit status: 0 all maps are good, 1 one is not, 2 misuse.\n", to);
}

static void complain(void *ctx, const char *text)
{
	size_t *complaints = ctx;

	++*complaints;
	fprintf(stderr, "%s\n", text);
}

/* ------------------------------------------------ the list */
__attribute__((format(printf, 2, 3)))
static void append(char text[CHOSEN_MAX], const char *format, ...)
{
	size_t used = strlen(text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text + used, CHOSEN_MAX - used, format, ap);
	va_end(ap);
}

static void append_number(char text[CHOSEN_MAX], uint32_t n)
{
	append(text, n > UINT16_MAX ? "0x%08" PRIx32 : "0x%04" PRIx32, n);
}

/* As the documents write registers: Deye's and others' low ones in decimal. */
static void append_register(char text[CHOSEN_MAX], uint32_t n)
{
	append(text, n < 0x1000 ? "%" PRIu32 : "0x%" PRIx32, n);
}

static void append_span(char text[CHOSEN_MAX], const struct map *m)
{
	if (m->length_max == SIZE_MAX && !m->length_min)
		return;
	append(text, "%slength ", *text ? ", " : "");
	if (m->length_min == m->length_max)
		append(text, "%zu", m->length_min);
	else if (m->length_max == SIZE_MAX)
		append(text, "%zu..", m->length_min);
	else
		append(text, "%zu..%zu", m->length_min, m->length_max);
}

static void append_numbers(char text[CHOSEN_MAX], const char *what, const uint32_t *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		append(text, "%s", i ? ", " : what);
		append_number(text, numbers[i]);
	}
}

static void append_requires(char text[CHOSEN_MAX], const struct map *m)
{
	for (size_t i = 0; i < m->require_count; i++) {
		const struct map_require *r = &m->requires[i];

		append(text, ", where ");
		append_register(text, r->reg);
		append(text, " is %" PRIu32, r->low);
		if (r->high != r->low)
			append(text, "..%" PRIu32, r->high);
	}
}

/* "sensor_list 0x02b0, length 21..409; Modbus 0x3000..0x302f of list 0x02b0" */
static void chosen(const struct map *m, char text[CHOSEN_MAX])
{
	*text = '\0';
	if (m->part) {
		append(text, "included by others");
		return;
	}
	if (*m->protocol) {
		for (size_t i = 0; i < m->key_count; i++) {
			append(text, "%s%s", i ? ", " : m->key_name, i ? "" : " ");
			append_number(text, m->keys[i].value);
			if (m->keys[i].mask != UINT32_MAX)
				append(text, "/0x%" PRIx32, m->keys[i].mask);
		}
		append_span(text, m);
		if (!*text)
			append(text, "each record");
		for (size_t i = 0; i < m->group_count; i++)
			append(text, "%s%" PRIu32 "..%" PRIu32, i ? ", " : ", groups ", m->groups[i].first,
			       m->groups[i].last);
		if (m->groups_up_to != 0xffff)
			append(text, ", none beyond %" PRIu32, m->groups_up_to);
		if (!m->modbus)
			append_requires(text, m);
	}
	if (!m->modbus)
		return;
	append(text, "%sModbus", *text ? "; " : "");
	for (size_t i = 0; i < m->range_count; i++) {
		append(text, "%s", i ? ", " : " ");
		append_register(text, m->ranges[i].first);
		append(text, "..");
		append_register(text, m->ranges[i].last);
	}
	append_numbers(text, " of list ", m->modbus_lists, m->modbus_list_count);
	append_numbers(text, ", device type ", m->modbus_types, m->modbus_type_count);
	append_requires(text, m);
}

/* Values it may give: names, not alternatives of one name. */
static size_t values(const struct map *m)
{
	size_t count = 0;

	for (size_t i = 0; i < m->name_count; i++)
		for (size_t j = 0; j < m->field_count; j++)
			if (m->fields[j].name_index == i && !m->fields[j].hidden) {
				count++;
				break;
			}
	return count;
}

static void print_map(const struct map *m, const char *path, bool json)
{
	const char *protocol = *m->protocol ? m->protocol : m->modbus ? "modbus" : "-";
	char how[CHOSEN_MAX];

	chosen(m, how);
	if (!json) {
		printf("%-28s %-12s %4zu  %s\n", m->file, protocol, values(m), how);
		if (*m->source)
			printf("%-28s   from %s\n", "", m->source);
		return;
	}
	fputs("{\"name\":", stdout);
	output_json_string(stdout, m->file);
	fputs(",\"protocol\":", stdout);
	output_json_string(stdout, protocol);
	printf(",\"fields\":%zu,\"chosen\":", values(m));
	output_json_string(stdout, how);
	fputs(",\"source\":", stdout);
	output_json_string(stdout, m->source);
	fputs(",\"path\":", stdout);
	output_json_string(stdout, path);
	fputs("}\n", stdout);
}

static int list(const struct map_files *files, bool json)
{
	size_t complaints = 0;

	if (!json && files->count)
		printf("%-28s %-12s %4s  %s\n", "MAP", "PROTOCOL", "GIVES", "CHOSEN BY");
	for (size_t i = 0; i < files->count; i++) {
		struct map *m = map_load(files, i, complain, &complaints);

		if (m)
			print_map(m, files->paths[i], json);
		map_free(m);
	}
	return complaints ? 1 : 0;
}

/* ------------------------------------------------ the check */
/* The file stands in for the installed map of its name, so that what it includes is found. */
static int check(struct map_files *files, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t i = 0, complaints = 0;
	char before[sizeof(files->paths[0])];
	struct map *m;
	bool added;

	if (strlen(name) >= sizeof(files->names[0]) || strlen(path) >= sizeof(files->paths[0])) {
		fprintf(stderr, "%s: too long a name for a map\n", path);
		return 1;
	}
	if (access(path, R_OK) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	while (i < files->count && strcmp(files->names[i], name))
		i++;
	added = i == files->count;
	memcpy(before, files->paths[i], sizeof(before));
	strcpy(files->names[i], name);
	strcpy(files->paths[i], path);
	files->count += added;
	m = map_load(files, i, complain, &complaints);
	if (m)
		printf("%s: good, %zu values%s\n", path, values(m), m->part ? ", for including only" : "");
	else if (!complaints)
		fprintf(stderr, "%s: no memory\n", path);
	files->count -= added;
	memcpy(files->paths[i], before, sizeof(before));
	map_free(m);
	return m ? 0 : 1;
}

int maps_main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "check", no_argument, NULL, 'c' },	{ "json", no_argument, NULL, 'j' },
		{ "maps", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },	{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	static char standard[MAPS_FOLDERS_MAX][MAPS_FOLDER_LENGTH];
	const char *folders[FOLDERS_MAX];
	size_t folder_count = 0, complaints = 0;
	bool checks = false, json = false;
	struct map_files files;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 'c':
			checks = true;
			break;
		case 'j':
			json = true;
			break;
		case 'm':
			if (folder_count < FOLDERS_MAX)
				folders[folder_count++] = optarg;
			break;
		default:
			return options_other(c, usage, "maps");
		}
	if (checks != (optind < argc) || (checks && json)) {
		usage(stderr);
		return 2;
	}
	if (!folder_count)
		for (size_t n = maps_folders(standard); folder_count < n; folder_count++)
			folders[folder_count] = standard[folder_count];
	r = map_files_find(&files, folders, folder_count, complain, &complaints);
	if (r < 0) {
		fprintf(stderr, "suntap: %s\n", strerror(-r));
		return 2;
	}
	if (!checks && !files.count)
		fprintf(stderr, "suntap: no register maps in %s\n", folders[0]);
	r = checks ? 0 : list(&files, json);
	for (; optind < argc; optind++)
		r |= check(&files, argv[optind]);
	map_files_free(&files);
	return r || complaints || fflush(stdout) ? 1 : 0;
}
