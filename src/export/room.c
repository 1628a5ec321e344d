/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * room.c - how much of what this machine's journal may take is filled by what waits; see room.h
 *
 * journald tells its limit in an entry at its start, and by _TRANSPORT=driver nobody else can. It deletes whole files,
 * the oldest first, when all of them are larger than that. So what waits is safe for as long as the files that were
 * written to since then are smaller. Where that entry was deleted itself, all files together are as large as they become.
 */
#include "export/room.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>

#include "shared/util.h"

/* SD_MESSAGE_JOURNAL_USAGE of systemd */
#define MESSAGE_ID_USAGE "ec387f577b844b8fa948f33cad9a75e6"

/* 0: it is not told (any more) */
static uint64_t limit_of_journald(void)
{
	const void *data;
	size_t length;
	char text[32] = "";
	sd_journal *j;

	if (sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY) < 0)
		return 0;
	if (sd_journal_add_match(j, "_TRANSPORT=driver", 0) >= 0 &&
	    sd_journal_add_match(j, "MESSAGE_ID=" MESSAGE_ID_USAGE, 0) >= 0 && sd_journal_seek_tail(j) >= 0 &&
	    sd_journal_previous(j) > 0 && sd_journal_get_data(j, "LIMIT", &data, &length) >= 0 && length - 6 < sizeof(text))
		memcpy(text, (const char *)data + 6, length - 6);
	sd_journal_close(j);
	return strtoull(text, NULL, 10);
}

bool room_look(const struct journal_files *files, uint64_t since, struct room *ret)
{
	uint64_t now = (uint64_t)(now_realtime() / 1000), all = 0;

	*ret = (struct room){ .limit = limit_of_journald() };
	for (size_t i = 0; i < files->count; i++) {
		struct stat st;

		if (stat(files->all[i].path, &st) < 0)
			continue;
		all += (uint64_t)st.st_blocks * 512;
		/* (Its time of modification is none: it is written through memory.) */
		if (journal_file_ended(&files->all[i]) >= since)
			ret->used += (uint64_t)st.st_blocks * 512;
	}
	if (!ret->limit)
		ret->limit = all;
	if (!ret->used || now <= since)
		return false;
	if (ret->used < ret->limit)
		ret->seconds_left = (uint64_t)((double)(ret->limit - ret->used) / (double)ret->used * (double)(now - since) / 1e6);
	return true;
}
