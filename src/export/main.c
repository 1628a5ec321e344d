/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main.c - suntap-export: readings from the journal to where people look at them
 *
 * One process per destination. Read destination.h for what a destination is, exporter.h for how the cursor follows it.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "export/exporter.h"
#include "shared/log.h"
#include "shared/util.h"

enum { EXIT_BAD_CONFIG = EX_CONFIG, EXIT_MISUSE = 2 };

static const char usage[] =
	"suntap-export [-c FILE] SECTION                  export as [KIND SECTION] of suntap.ini says, for ever\n"
	"suntap-export [-c FILE] --since DATE SECTION     export again what the journal has since then, and end\n"
	"suntap-export --stdout [--since DATE] [--follow] JSON lines, of all that the journal has\n"
	"suntap-export --check [FILE]                     print what was understood of all destinations\n"
	"\n"
	"  -c, --config FILE      instead of " CONFIG_FILE "\n"
	"      --since DATE       2024-01-01, 2024-01-01T12:00 (UTC) or @SECONDS; what journald took since then\n"
	"      --until DATE       and before then\n"
	"  -f, --follow           with --since or --stdout: go on with what comes\n"
	"  -D, --directory FOLDER journals to read, instead of this machine's\n"
	"      --unit UNIT        what wrote the entries, instead of suntapd.service; any: whoever may log\n"
	"      --state FOLDER     where cursors are kept, instead of $STATE_DIRECTORY or /var/lib/suntap-export\n"
	"  -h, --help, -v, --version\n";

struct arguments {
	const char *config, *section, *directory, *state, *unit;
	uint64_t since, until;
	bool standard_output, follow, check;
};

static bool parse_date(const char *option, const char *text, uint64_t *ret)
{
	int64_t ns;
	char *end;

	if (*text == '@') {
		unsigned long long s = strtoull(text + 1, &end, 10);

		if (text[1] >= '0' && text[1] <= '9' && *end == '\0' && s > 0 && s < 9000000000) {
			*ret = s * 1000000;
			return true;
		}
	} else if (record_parse_time(text, strlen(text), &ns)) {
		*ret = (uint64_t)(ns / 1000);
		return true;
	}
	fprintf(stderr, "suntap-export: %s %s is not a date; would be 2024-01-01, 2024-01-01T12:00:00 (in UTC) or @SECONDS\n",
		option, text);
	return false;
}

/* -1: go on; else the exit status */
static int parse_arguments(int argc, char **argv, struct arguments *a)
{
	enum { OPT_STDOUT = 256, OPT_SINCE, OPT_UNTIL, OPT_STATE, OPT_UNIT, OPT_CHECK };
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "stdout", no_argument, NULL, OPT_STDOUT },
		{ "since", required_argument, NULL, OPT_SINCE }, { "until", required_argument, NULL, OPT_UNTIL },
		{ "follow", no_argument, NULL, 'f' }, { "directory", required_argument, NULL, 'D' },
		{ "state", required_argument, NULL, OPT_STATE },
		{ "unit", required_argument, NULL, OPT_UNIT }, { "check", no_argument, NULL, OPT_CHECK },
		{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'v' }, { 0 },
	};
	int c;

	*a = (struct arguments){ .config = CONFIG_FILE };
	while ((c = getopt_long(argc, argv, "c:D:fhv", options, NULL)) >= 0) {
		switch (c) {
		case 'c': a->config = optarg; break;
		case 'D': a->directory = optarg; break;
		case 'f': a->follow = true; break;
		case OPT_STDOUT: a->standard_output = true; break;
		case OPT_STATE: a->state = optarg; break;
		case OPT_UNIT: a->unit = optarg; break;
		case OPT_CHECK: a->check = true; break;
		case OPT_SINCE:
			if (!parse_date("--since", optarg, &a->since))
				return EXIT_MISUSE;
			break;
		case OPT_UNTIL:
			if (!parse_date("--until", optarg, &a->until))
				return EXIT_MISUSE;
			break;
		case 'h': fputs(usage, stdout); return 0;
		case 'v': puts("suntap-export " SUNTAP_VERSION); return 0;
		default: fputs(usage, stderr); return EXIT_MISUSE;
		}
	}
	if (a->check && optind < argc)
		a->config = argv[optind++];
	else if (!a->check && !a->standard_output && optind < argc)
		a->section = argv[optind++];
	if (optind < argc || (!a->check && !a->standard_output && !a->section) ||
	    (a->directory && *a->directory != '/') || (a->unit && (!*a->unit || strlen(a->unit) >= SETTINGS_TEXT_MAX)) || (a->until && !a->since && !a->standard_output)) {
		fputs(usage, stderr);
		return EXIT_MISUSE;
	}
	return -1;
}

/* What is open to us of the folders that may hold cursors. */
static const char *state_folder(const struct arguments *a)
{
	static char folder[256];
	const char *given = a->state ? a->state : getenv("STATE_DIRECTORY");

	if (a->since || a->standard_output)
		return NULL;
	/* $STATE_DIRECTORY is a list; the first is ours */
	snprintf(folder, sizeof(folder), "%.*s", given ? (int)strcspn(given, ":") : 0, given ? given : "");
	if (!*folder)
		snprintf(folder, sizeof(folder), "/var/lib/suntap-export");
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		log_error("%s cannot be made: %s", folder, strerror(errno));
	return folder;
}

int main(int argc, char **argv)
{
	struct arguments a;
	struct settings_file *settings = NULL;
	struct exporter_options o = { 0 };
	int r = parse_arguments(argc, argv, &a);

	if (r >= 0)
		return r;
	log_open("suntap-export");
	umask(0077);
	signal(SIGPIPE, SIG_IGN);	/* whoever has closed the other end */

	if (a.standard_output)
		settings = settings_default(&destination_json, "stdout");
	else
		r = settings_load(&settings, a.config, a.check ? NULL : a.section, stderr);
	if (!settings)
		return r == -EINVAL ? EXIT_BAD_CONFIG : EXIT_FAILURE;
	if (a.check) {
		settings_print(settings, stdout);
		settings_free(settings);
		return fflush(stdout) == 0 ? 0 : EXIT_FAILURE;
	}
	if (a.since && settings->sections[0].kind->live) {
		fprintf(stderr, "suntap-export: [%s] shows the present, and has no place for what was: --since is not for it\n",
			settings->sections[0].section);
		settings_free(settings);
		return EXIT_MISUSE;
	}
	if (a.directory)
		snprintf(settings->sections[0].journal, sizeof(settings->sections[0].journal), "%s", a.directory);

	if (a.unit)
		snprintf(settings->sections[0].unit, sizeof(settings->sections[0].unit), "%s", a.unit);

	o = (struct exporter_options){
		.settings = &settings->sections[0], .file = settings, .state_folder = state_folder(&a), .since = a.since,
		.until = a.until, .follow = a.follow, .progress = a.since && !a.standard_output && isatty(STDERR_FILENO),
	};
	/* From the beginning, and to what is there now. */
	if (a.standard_output && !o.since)
		o.since = 1;
	if (o.since && !o.until && !o.follow)
		o.until = (uint64_t)(now_realtime() / 1000);
	r = exporter_run(&o);
	settings_free(settings);
	return r < 0 ? EXIT_FAILURE : 0;
}
