/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal.h - what the decoder has understood, as journal entries
 *
 * suntap.journal-fields(7) is the reference of the fields. sd_journal_sendv() waits while journald is busy, which is
 * right here: the ring is the buffer, and the relay does not wait for the ring.
 */
#ifndef DECODER_JOURNAL_H
#define DECODER_JOURNAL_H

#include <stdbool.h>

#include "protocols/session.h"
#include "shared/flow_entry.h"

struct journal {
	int probe;		/* AF_UNIX socket that connects to journald's to see whether it is there */
};

/* Opens what it needs for good; afterwards only sendmsg() and connect() on `probe` are used. 0 or -errno. */
int journal_open(struct journal *j);

/* libsystemd answers success where no journald listens, so look before each entry: a microsecond each. */
bool journal_is_there(struct journal *j);

/* Each writes one entry: 0 or -errno. flow may be NULL. */
int journal_reading(const struct flow_entry *flow, const struct reading *r);
/* routine: as usual, so no news (priority debug instead of info) */
int journal_flow_opened(const struct flow_entry *flow, bool routine);
/* lost: bytes of it that the decoder missed; now: realtime, ns */
int journal_flow_closed(const struct flow_close *close, bool routine, const char *protocol, uint64_t lost, int64_t now);
/* unknown or bad, with the bytes as hex */
int journal_frame(const struct flow_entry *flow, const struct frame_info *f);
int journal_stream(const struct flow_entry *flow, const char *looks_like, const uint8_t *bytes, size_t length);
int journal_tls(const struct flow_entry *flow, const char *sni);
int journal_silent(const struct flow_entry *flow, int64_t seconds);
int journal_gap(const struct flow_entry *flow, enum dir dir, uint64_t lost, uint64_t offset, uint64_t held_back);
int journal_lost_events(uint64_t lost);
int journal_encrypted(const struct flow_entry *flow, const char *protocol);
int journal_command(const struct flow_entry *flow, const char *protocol, const char *key, const char *text);
int journal_say(int priority, const char *text);

#endif
