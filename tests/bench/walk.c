/* SPDX-License-Identifier: GPL-2.0-or-later */
/* walk.c - the bare rate: every entry of suntap's in a folder of journals, with all its fields, and nothing done with them */
#include <stdint.h>
#include <stdio.h>
#include <systemd/sd-journal.h>
#include <time.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	unsigned long entries = 0, fields = 0, bytes = 0;
	double begun = now();
	sd_journal *j;
	const void *data;
	size_t length;

	if (argc != 2 || sd_journal_open_directory(&j, argv[1], 0) < 0 ||
	    sd_journal_add_match(j, "SYSLOG_IDENTIFIER=suntap", 0) < 0)
		return 1;
	sd_journal_set_data_threshold(j, 0);
	while (sd_journal_next(j) > 0) {
		entries++;
		SD_JOURNAL_FOREACH_DATA(j, data, length) {
			fields++;
			bytes += length;
		}
	}
	printf("{\"entries\":%lu,\"fields\":%lu,\"bytes\":%lu,\"seconds\":%.3f}\n", entries, fields, bytes, now() - begun);
	return 0;
}
