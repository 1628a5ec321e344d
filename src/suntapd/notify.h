/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * notify.h - what we tell systemd, without ever waiting for it
 *
 * sd_notify() and its kin wait while systemd does not read its socket (a daemon-reload, a busy boot), and with them the relay
 * would. So the messages, which are a documented protocol (sd_notify(3)), are sent here: at once where they can be, otherwise in
 * their order as soon as systemd reads again.
 *
 * Without systemd (no NOTIFY_SOCKET) all calls do nothing, and nothing is ever waited for.
 */
#ifndef SUNTAP_NOTIFY_H
#define SUNTAP_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

int notify_open(void);				/* 0 or -errno */
bool notify_is_open(void);
/* Sends what waits from this loop, and answers systemd's watchdog, if it has one: 0 or -errno. */
int notify_attach(sd_event *event);
void notify_detach(void);
/* Sends what waits, for at most timeout_ms. */
void notify_flush(int timeout_ms);
void notify_close(void);			/* what waits is dropped */

/*
 * With a descriptor unless fd is -1; until it is sent the descriptor stays the caller's and has to stay open. Returns a ticket for
 * notify_is_sent(). What waits is bounded by the descriptors of two processes: each message puts one of ours into the
 * store or takes one of systemd's out of it.
 */
uint64_t notify_send(int fd, const char *text);
/* Takes back the one of this text that waits: true; false: there is none, it was sent. */
bool notify_cancel(const char *text);
/* A state (KEY=value, with no descriptor) does not wait for descriptors. One of the same key that still waits is forgotten for it. */
void notify_state(const char *text);

/* Something waits; but when systemd has not read for NOTIFY_PATIENCE_MS, waiting would harm more than going without. */
bool notify_is_behind(void);
/* systemd has it, or is not worth waiting for any more. */
bool notify_is_sent(uint64_t ticket);
enum { NOTIFY_PATIENCE_MS = 200 };
/* Called when all that waited was sent. */
void notify_on_caught_up(void (*caught_up)(void *ctx), void *ctx);

#endif
