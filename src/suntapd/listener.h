/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * listener.h - the ways in: where devices' connections arrive, and where each is to go
 *
 *	tproxy    127.0.0.1 and ::1, transparent: the socket's own name is where the device wanted to go
 *	redirect  the owner's REDIRECT or DNAT brought it: SO_ORIGINAL_DST
 *	direct    the device was pointed here: the section's upstream, by name
 */
#ifndef SUNTAP_LISTENER_H
#define SUNTAP_LISTENER_H

#include <systemd/sd-event.h>

#include "shared/config.h"
#include "suntapd/flow.h"

struct listeners;

/* Opens all listeners of c (which must live until the next listeners_update() or listeners_free()). *why: see rules.h. */
int listeners_new(struct listeners **ret, sd_event *event, struct flows *flows, const struct config *c, char **why);
/* Listeners that c does not have are closed, new ones opened, the same ones kept. On failure all is as before. */
int listeners_update(struct listeners *l, const struct config *c, char **why);
/* After flows came or a limit was lowered otherwise than by a connection: closes the listeners if there is no room. */
void listeners_look_for_room(struct listeners *l);
/* Leaves new connections of the way tproxy to the kernel, so that they go straight to the cloud: so long, or until an update. */
void listeners_stand_aside(struct listeners *l, unsigned seconds);
bool listeners_are_aside(const struct listeners *l);
struct listeners *listeners_free(struct listeners *l);

#endif
