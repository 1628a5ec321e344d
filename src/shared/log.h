/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h - what suntapd and the tools say of themselves
 *
 * sd_journal_send() waits while journald does not take its messages, and a relay must not wait. So an event
 * goes to journald's socket in one datagram that is sent or dropped, never waited for (the drops
 * are counted and told with the next one that goes through). Where standard error is not the journal
 * itself (a terminal, a test), the line is written there too.
 */
#ifndef SUNTAP_LOG_H
#define SUNTAP_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

/* ident: SYSLOG_IDENTIFIER, and the prefix on a terminal. Call once, before the first event. */
void log_open(const char *ident);

/*
 * priority: LOG_ERR …; message_id: one of message_ids.h, or NULL; fields: "NAME=value" strings, ended by NULL, or NULL (a
 * newline in a value becomes a blank). The text is cut at about 900 bytes.
 */
void log_event(int priority, const char *message_id, const char *const *fields, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#define log_error(...) log_event(LOG_ERR, NULL, NULL, __VA_ARGS__)
#define log_warning(...) log_event(LOG_WARNING, NULL, NULL, __VA_ARGS__)
#define log_info(...) log_event(LOG_INFO, NULL, NULL, __VA_ARGS__)

/* A limit on events that somebody else can cause: `burst` at once, then one for each `interval` ns. */
struct log_limit {
	unsigned burst;
	int64_t interval;
	/* private */
	unsigned used;
	uint64_t held_back;
	int64_t since;
};

/* Whether to log now. *ret_held_back: how many were held back since the last that was not (NULL: not asked). */
bool log_limit_pass(struct log_limit *l, uint64_t *ret_held_back);

#endif
