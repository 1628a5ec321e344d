/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - suntap, the owner's tool: one subcommand, one file */
#include <stdio.h>
#include <string.h>

#include "shared/util.h"
#include "tool/capture_command.h"
#include "tool/decode.h"
#include "tool/maps_command.h"
#include "tool/sim_command.h"

static const struct {
	const char *name;
	int (*run)(int argc, char *argv[]);
	const char *what;
} commands[] = {
	{ "decode", decode_main, "what captured conversations say (pcap, pcapng, transcripts)" },
	{ "capture", capture_main, "a device's streams into a file, private things masked on request" },
	{ "maps", maps_main, "which register maps there are, and whether one is good" },
	{ "sim", sim_main, "a device or a cloud that does not exist, to try things with" },
};

static void usage(FILE *to)
{
	fputs("usage: suntap COMMAND [OPTION...]\n\n", to);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].what);
	fputs("\n\"suntap COMMAND --help\" says more; suntap(1) is the manual.\n", to);
}

int main(int argc, char *argv[])
{
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("suntap " SUNTAP_VERSION);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "suntap: unknown command \"%s\". Try \"suntap --help\".\n", argv[1]);
	return 2;
}
