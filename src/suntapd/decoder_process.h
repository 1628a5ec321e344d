/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decoder_process.h - start the decoder, watch it, start it again
 *
 * The relay does not depend on it: while no decoder runs the ring fills and what finds no room is counted.
 */
#ifndef SUNTAP_DECODER_PROCESS_H
#define SUNTAP_DECODER_PROCESS_H

#include <systemd/sd-event.h>

#include "shared/ring.h"
#include "suntapd/flow.h"

struct decoder_process;

/* Starts it at once. SIGCHLD must be blocked. 0, or -errno: the program is not there, no descriptors … */
int decoder_process_new(struct decoder_process **ret, sd_event *event, struct ring *ring, struct flows *flows);
/* Lets it read what is in the ring, for at most two seconds, then ends it. */
struct decoder_process *decoder_process_free(struct decoder_process *p);

/* Calls now and then (every few seconds): a decoder that hangs is ended, and so started again. */
void decoder_process_check(struct decoder_process *p);

struct decoder_stats {
	uint64_t readings, frames_good, frames_bad, gaps, restarts;
	bool running, ready, no_journal, journal_stuck;
};
void decoder_process_get_stats(const struct decoder_process *p, struct decoder_stats *ret);

#endif
