/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * maps_folders.h - where the register maps are
 *
 * What is installed (or, for a program that runs from its build folder, the source tree's maps/), then the owner's
 * /etc/suntap/maps, whose files override those of the same name.
 */
#ifndef PROTOCOLS_MAPS_FOLDERS_H
#define PROTOCOLS_MAPS_FOLDERS_H

#include <stddef.h>

enum { MAPS_FOLDERS_MAX = 2, MAPS_FOLDER_LENGTH = 4096 };

/* Fills the folders in the order in which they override; returns how many. */
size_t maps_folders(char ret[MAPS_FOLDERS_MAX][MAPS_FOLDER_LENGTH]);

#endif
