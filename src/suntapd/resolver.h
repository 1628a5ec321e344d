/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * resolver.h - names to addresses, without making the relay wait
 *
 * One thread does nothing but ask; questions and answers go through two pipes. The system's resolver
 * (hosts, mDNS, whatever nsswitch.conf says) is asked, or one DNS server that the owner named because the local one
 * was made to lie to the device.
 */
#ifndef SUNTAP_RESOLVER_H
#define SUNTAP_RESOLVER_H

#include <systemd/sd-event.h>

#include "shared/config.h"
#include "shared/flow_entry.h"

enum { RESOLVER_ADDRESSES_MAX = 8 };

struct resolver_answer {
	uint32_t key;			/* the question's */
	int32_t error;			/* 0, or -errno: -ENXIO no such name or no address, -EAGAIN nobody answered */
	uint32_t count;
	struct flow_address addresses[RESOLVER_ADDRESSES_MAX];	/* with the question's port */
};

struct resolver;

int resolver_new(struct resolver **ret, sd_event *event,
		 void (*answered)(void *ctx, const struct resolver_answer *answer), void *ctx);
struct resolver *resolver_free(struct resolver *r);

/* dns_server: an address, or "" for the system's resolver. An address as name is answered too. 0, -EAGAIN: too many open questions. */
int resolver_ask(struct resolver *r, uint32_t key, const struct config_endpoint *name, const char *dns_server);

#endif
