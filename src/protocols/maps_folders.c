/* SPDX-License-Identifier: GPL-2.0-or-later */
/* maps_folders.c - where the register maps are; see maps_folders.h */
#include "protocols/maps_folders.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* BUILD/../maps (or above that: build/asan) with a Makefile beside it: we run from the source tree. */
static bool beside_the_build(char ret[MAPS_FOLDER_LENGTH])
{
	static const char *const above[] = { "..", "../..", "../../.." };
	char exe[MAPS_FOLDER_LENGTH / 2], makefile[MAPS_FOLDER_LENGTH];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n <= 0)
		return false;
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	for (size_t i = 0; i < sizeof(above) / sizeof(above[0]); i++) {
		snprintf(makefile, sizeof(makefile), "%s/%s/Makefile", exe, above[i]);
		snprintf(ret, MAPS_FOLDER_LENGTH, "%s/%s/maps", exe, above[i]);
		if (access(makefile, F_OK) == 0 && access(ret, R_OK | X_OK) == 0)
			return true;
	}
	return false;
}

size_t maps_folders(char ret[MAPS_FOLDERS_MAX][MAPS_FOLDER_LENGTH])
{
	if (!beside_the_build(ret[0]))
		strcpy(ret[0], SUNTAP_DATA "/maps");
	strcpy(ret[1], "/etc/suntap/maps");
	return MAPS_FOLDERS_MAX;
}
