/* SPDX-License-Identifier: GPL-2.0-or-later */
/* room.h - how much of what this machine's journal may take is filled by what waits to be exported */
#ifndef EXPORT_ROOM_H
#define EXPORT_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "export/journal_files.h"

struct room {
	uint64_t used, limit;		/* bytes of files written since then; when they are more, the oldest are deleted */
	uint64_t seconds_left;		/* if it goes on as it did since then */
};

/* since: µs, when what waits begins. false: nobody knows. */
bool room_look(const struct journal_files *files, uint64_t since, struct room *ret);

#endif
