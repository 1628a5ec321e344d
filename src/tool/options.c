/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.c - what all subcommands do with some options; see options.h */
#include "tool/options.h"

int options_other(int c, void (*usage)(FILE *to), const char *command)
{
	switch (c) {
	case 'h':
		usage(stdout);
		return 0;
	case 'V':
		puts("suntap " SUNTAP_VERSION);
		return 0;
	default:
		fprintf(stderr, "Try \"suntap %s --help\".\n", command);
		return 2;
	}
}
