/* SPDX-License-Identifier: GPL-2.0-or-later */
/* maps_command.h - suntap maps: which register maps there are, and whether one is good */
#ifndef SUNTAP_MAPS_COMMAND_H
#define SUNTAP_MAPS_COMMAND_H

int maps_main(int argc, char *argv[]);	/* argv[0]: "maps"; returns the exit status */

#endif
