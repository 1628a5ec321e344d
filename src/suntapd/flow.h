/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flow.h - the flows: a device's connection and ours to its cloud, from accept to the last byte
 *
 *	          connected                 both FINs passed on
 *	CONNECTING ───────▶ OPEN ──────────────────────────────▶ (closed)
 *	    │                 │ one side reset or lost              ▲
 *	    │                 └────▶ RESETTING ─────────────────────┤
 *	    └── refused, unreachable, too late, device gave up ─────┘
 *
 *	CONNECTING  the device may send (its bytes wait in its socket), nothing is moved yet
 *	OPEN        both directions move; a half-closed one is done
 *	RESETTING   one socket is gone; what it had sent still goes to the other one, which is then reset
 *
 * All memory is taken when the table is made, by address; what a slot costs is used when a flow uses it.
 */
#ifndef SUNTAP_FLOW_H
#define SUNTAP_FLOW_H

#include <systemd/sd-event.h>

#include "shared/flow_entry.h"
#include "suntapd/pipes.h"
#include "suntapd/relay.h"
#include "suntapd/sockets.h"
#include "suntapd/tap.h"

struct flows;

struct flows_options {
	unsigned limit;			/* flows in all; see flows_full() */
	unsigned limit_later;		/* what flows_set_options() may raise it to; so many slots there are */
	unsigned connect_timeout;	/* s */
	struct socket_patience patience;
};

struct flow_request {
	int fd;				/* the device's connection; the table's from now on, also on failure */
	const char *name;		/* of the device's section */
	unsigned device_limit;		/* flows of this device at once */
	struct flow_address device;
	const struct flow_address *cloud;	/* candidates in order, tried one after the other */
	size_t cloud_count;
	bool keep_source;
};

enum { FLOW_CANDIDATES_MAX = 8 };

/* How many flows the limit on open files allows, when `reserve` descriptors are kept for the rest of the process. */
unsigned flows_limit_by_files(size_t reserve);

int flows_new(struct flows **ret, sd_event *event, struct ring *ring, const struct flows_options *options);
/* Runs until sd_event_exit(): flows at once, sd-event's sources when they have something. Its exit code, or -errno. */
int flows_loop(struct flows *t);

/* Goes on with the flows that the store kept for us, if any; returns how many. */
unsigned flows_restore(struct flows *t);
struct flows *flows_free(struct flows *t);		/* NULL is fine; tells the ring of flows that are left: FLOW_END_STOPPED */
void flows_set_options(struct flows *t, const struct flows_options *options);	/* limit: up to limit_later of flows_new() */

/*
 * Takes a connection over. 0, or: -EUSERS the device has its limit; -ENFILE all slots are used; -ELOOP `device` is a socket
 * of our own; -errno no descriptor or memory. On failure the device's connection has been reset.
 */
int flows_add(struct flows *t, const struct flow_request *request);

/* Whether the limit is reached. Some slots are left then, for connections that the kernel had taken before it was told. */
bool flows_full(const struct flows *t);
/* Whether there is no slot at all. */
bool flows_used_up(const struct flows *t);
/* Called when there was no room and now is. */
void flows_on_room(struct flows *t, void (*room)(void *ctx), void *ctx);
/* Called when a connection to a candidate failed: time to resolve its name again. */
void flows_on_unreachable(struct flows *t, void (*unreachable)(void *ctx, const char *name), void *ctx);

/* The decoder says that there is nothing to learn from this flow: relay it without a copy. false: no such flow. */
bool flows_untap(struct flows *t, uint64_t id);

/* Looks after closed windows (socket_mind_window()) of one of so many parts of the flows, each call of the next part. */
void flows_mind_windows(struct flows *t, unsigned parts);

/* To be called every few seconds: gaps of flows that have gone quiet are told, now that there may be room. */
void flows_tell_gaps(struct flows *t);

/* A read-only descriptor of the table of struct flow_entry, for the decoder (the caller owns it), or -errno. */
int flows_table_fd(const struct flows *t);

struct flows_stats {
	unsigned now, limit;
	uint64_t opened, refused, bytes[DIR_COUNT], lost_bytes;
};
void flows_get_stats(const struct flows *t, struct flows_stats *ret);

#endif
