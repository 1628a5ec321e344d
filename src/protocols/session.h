/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session.h - one flow's bytes in, what they mean out
 *
 * The boundary between those who have bytes (the decoder process with its ring, `suntap decode` with
 * a file) and the protocols. Nothing on the protocols' side opens, reads or writes anything.
 *
 *	session_feed() ─▶ probe: which protocol? ─▶ framing ─▶ decode ─▶ struct session_events
 *
 * Bytes of both directions go into one session, because an answer is often understood only with its
 * request. Memory of a session is bounded; it allocates at its start and when a protocol is found.
 */
#ifndef SUNTAP_SESSION_H
#define SUNTAP_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "protocols/reading.h"
#include "shared/util.h"

struct frame_info {
	const char *protocol;
	enum dir dir;
	char opcode[24];	/* as the protocol's document writes it: "0x4210", "APS18" */
	int ctrl, unit, function, transaction;	/* -1 where the protocol has none */
	size_t length;		/* what the protocol's document counts as length */
	const char *error;	/* NULL: good; else "checksum", "stop", "payload" … */
	const char *carrier;	/* for frames inside others ("rtu"), else NULL */
	bool known;		/* false: its type, or what is in it, is not understood */
	const uint8_t *bytes;	/* the whole frame as it was on the wire; valid during the call */
	size_t size;
	size_t private_at, private_size;	/* within bytes: names, SSIDs, passwords; not to be shown */
};

enum session_verdict {
	SESSION_KNOWN,		/* text: name of the protocol */
	SESSION_TLS,		/* text: the SNI, or "" */
	SESSION_UNKNOWN,	/* nothing we know; text: what it looks like ("http", "ssh", "mqtt"), or "" */
};

/* All may be NULL. What is handed over is valid during the call only. */
struct session_events {
	void (*verdict)(void *ctx, enum session_verdict verdict, const char *text);
	void (*frame)(void *ctx, const struct frame_info *frame);
	/* Bytes that are in no frame; and those of a frame that did not come whole. Each byte is told once. */
	void (*skip)(void *ctx, enum dir dir, uint64_t length);
	void (*partial)(void *ctx, enum dir dir, uint64_t length);
	void (*reading)(void *ctx, const struct reading *reading);
	/* For people: "command", "at_response", "modbus_error" … as the protocols' documents name them. */
	void (*note)(void *ctx, enum dir dir, const char *key, const char *text);
};

/*
 * The register maps, and what is known of devices across flows (clock offsets by logger, last
 * records). Bounded: the longest unused device is forgotten first. One for a process.
 */
struct knowledge;

/*
 * Reads every *.ini of each folder, later folders override maps of the same file name of earlier
 * ones; a folder that does not exist is passed over. A bad map is reported with file and line
 * through complain() and left out; the others are used. Returns the number of maps, or -errno.
 */
int knowledge_new(struct knowledge **ret, const char *const folders[], size_t count,
		  void (*complain)(void *ctx, const char *text), void *ctx);
/* The same with the folders of maps_folders.h. */
int knowledge_installed(struct knowledge **ret, void (*complain)(void *ctx, const char *text), void *ctx);
struct knowledge *knowledge_free(struct knowledge *k);	/* returns NULL; takes NULL */

/*
 * Keeps what is known of devices in memory that outlives us: a file, mapped shared. What is there is
 * taken in as far as it makes sense; what makes none is told and left out, and a file of another
 * version is begun anew. Returns how many devices are known now, or -errno.
 */
int knowledge_keep(struct knowledge *k, void *memory, size_t size,
		   void (*complain)(void *ctx, const char *text), void *ctx);
/* Writes all that is not there yet; while readings come it happens by itself, once a second for each device. */
void knowledge_save(struct knowledge *k);

struct session;

/* protocol: NULL to detect it, else its name. k, events and ctx stay the caller's. 0, -EINVAL: no such protocol, -ENOMEM. */
int session_new(struct session **ret, struct knowledge *k, const char *protocol,
		const struct session_events *events, void *ctx);
struct session *session_free(struct session *s);	/* returns NULL; takes NULL; tells nothing */

/* arrival_ns: realtime when the bytes came, 0 if unknown. */
void session_feed(struct session *s, enum dir dir, const uint8_t *bytes, size_t length, int64_t arrival_ns);
/* The tap lost bytes here: what was held of this direction is given up, the next byte is anywhere. */
void session_gap(struct session *s, enum dir dir);
/* No more bytes of either direction: tells what is left over. */
void session_end(struct session *s);

/* Names of the protocols, for --help and for checking a name; i from 0, NULL after the last. */
const char *session_protocol_name(size_t i);

#endif
