/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.h - what all subcommands do with --help, --version and options that they do not know */
#ifndef SUNTAP_OPTIONS_H
#define SUNTAP_OPTIONS_H

#include <stdio.h>

/* c: 'h', 'V' or '?' of getopt_long(), which has complained then. The exit status. */
int options_other(int c, void (*usage)(FILE *to), const char *command);

#endif
