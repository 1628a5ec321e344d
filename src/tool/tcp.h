/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcp.h - streams out of captured TCP segments
 *
 * Segments may come in any order, more than once, overlapping, or not at all. Whatever is missing is
 * waited for, within limits of time, bytes and segments, and then told as a gap. Memory is bounded
 * whatever the capture holds.
 */
#ifndef SUNTAP_TCP_H
#define SUNTAP_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/util.h"

struct tcp_end {
	uint8_t address[16];
	uint16_t port;
};

struct tcp_segment {
	bool ipv6;
	struct tcp_end from, to;
	uint32_t seq;
	bool syn, ack, fin, rst;
	const uint8_t *bytes;
	size_t length;
	int64_t time_ns;
};

struct tcp_events {
	/* A new stream; what it returns goes to the others. NULL: not interested (or no memory). */
	void *(*open)(void *ctx, bool ipv6, const struct tcp_end *client, const struct tcp_end *server);
	void (*data)(void *flow, bool from_client, const uint8_t *bytes, size_t length, int64_t time_ns);
	void (*gap)(void *flow, bool from_client);
	void (*close)(void *flow);
};

enum {
	TCP_FLOWS_MAX = 4096,
	TCP_HELD_SEGMENTS_MAX = 128,		/* a direction */
	TCP_HELD_BYTES_MAX = 256 * 1024,	/* a direction */
};

struct tcp;

struct tcp *tcp_new(const struct tcp_events *events, void *ctx);	/* NULL: no memory */
struct tcp *tcp_free(struct tcp *t);		/* ends all flows first; returns NULL; takes NULL */
void tcp_segment(struct tcp *t, const struct tcp_segment *s);

#endif
