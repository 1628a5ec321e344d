/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * destination.h - what every destination of records has in common
 *
 * A kind of destination is one file and one row in destinations.c. To add one (mqtt.c is the example in words):
 *
 *	1. mqtt.c has a struct of its settings and a table of struct ini_key with offsets into it, a struct of its state,
 *	   and a `const struct destination_kind destination_mqtt` with the functions below; declare that in this file
 *	   and add it to kinds[] in destinations.c. Its library goes into LIBS_export and PACKAGES of the Makefile.
 *	2. open() makes what it needs, with event sources of its own in d->event, and returns 0 even where the far end is
 *	   away: a destination that is away is normal. It fails for what only the owner can mend before a restart (a
 *	   setting, a file of a secret that is not there), after log_error().
 *	3. add() is given one record, whose pointers hold until it returns: it writes what it will send into its own
 *	   buffers and says TAKEN, or SKIPPED where there is nothing in it to send, or FULL. FULL means "not taken": the
 *	   exporter stops reading the journal until exporter_ready(). So the journal is the queue, and the memory of
 *	   a destination is bounded by when it says FULL.
 *	4. flush() is called when there is nothing more to read: send what is waiting.
 *	5. exporter_confirm(x, n) says that the n oldest TAKEN records that are not confirmed yet are at the destination
 *	   for good; that is what moves the cursor (a PUBACK out of order is kept until those before it came). A record
 *	   that the far end refuses for good is told with exporter_refuse() and is then confirmed like the others.
 *	6. Trouble (no connection, wrong credentials) is told with exporter_trouble() as often as it happens, the end of it
 *	   with exporter_fine(): they see to the journal and STATUS= so that it is said once.
 *	7. tick() comes once a second. close() ends at once; before it comes, stop() asks whether something is under way
 *	   that is worth some seconds of waiting (0 = nothing: done).
 *
 * Nothing here blocks but what a library can not do otherwise; the watchdog wants a turn of the loop every 30 s.
 */
#ifndef EXPORT_DESTINATION_H
#define EXPORT_DESTINATION_H

#include <stddef.h>
#include <systemd/sd-event.h>

#include "export/record.h"
#include "shared/ini.h"

struct exporter;
struct settings;
struct settings_file;
struct destination;

enum destination_answer { DESTINATION_TAKEN, DESTINATION_SKIPPED, DESTINATION_FULL };

struct destination_kind {
	const char *name;		/* of its sections: [name], [name NAME] */
	unsigned records;		/* bits of enum record_kind it wants */
	unsigned recent;		/* s; 0: goes on where it was. Else it keeps no cursor and begins this long ago. */
	bool live;			/* shows the present: --since is refused */
	const struct ini_key *keys;	/* into its own settings; see settings.h for more parsers */
	size_t key_count, settings_size;
	/* What concerns its settings as a whole, after all keys: complain with settings_complain(). May be NULL. */
	void (*check)(struct ini *p, unsigned line, const void *own);
	int (*open)(struct destination *d);				/* 0 or -errno */
	enum destination_answer (*add)(struct destination *d, const struct record *r);
	void (*flush)(struct destination *d);				/* may be NULL */
	/* What has to be on disk before the cursor passes it; at most once a second. 0, or -errno: the cursor stays. */
	int (*save)(struct destination *d);				/* may be NULL */
	void (*tick)(struct destination *d);				/* may be NULL */
	size_t (*stop)(struct destination *d);				/* may be NULL */
	void (*close)(struct destination *d);				/* safe when open() failed */
};

struct destination {
	const struct destination_kind *kind;
	const struct settings *settings;	/* names, and settings->own */
	const struct settings_file *file;	/* settings_inverter() asks it for names */
	const char *state_folder;		/* for files of its own, named after the section; NULL: none is there */
	sd_event *event;
	struct exporter *exporter;
	void *state;				/* its own */
};

extern const struct destination_kind destination_influxdb, destination_splunk, destination_mqtt, destination_metrics, destination_json;

const struct destination_kind *destination_kind(size_t i);		/* row i, NULL after the last */
const struct destination_kind *destination_find(const char *name, size_t length);

#endif
