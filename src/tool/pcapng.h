/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pcapng.h - TCP streams written as packets, as any program reads them
 *
 * The packets are made anew (no link layer, made-up sequence numbers, segments of at most 1,400 bytes):
 * what is kept of the capture are the streams, who sent what and when.
 */
#ifndef SUNTAP_PCAPNG_H
#define SUNTAP_PCAPNG_H

#include "tool/tcp.h"

struct pcapng_stream {
	bool ipv6, opened;
	struct tcp_end client, server;
	uint32_t next[2];		/* sequence number of the client, of the server */
};

/* Each writes to the stream; ferror() tells at the end whether all went well. */
void pcapng_start(FILE *to, const char *comment);
void pcapng_open(FILE *to, struct pcapng_stream *s, int64_t time_ns);	/* SYN, SYN, ACK */
void pcapng_data(FILE *to, struct pcapng_stream *s, bool from_client, const uint8_t *bytes, size_t length, int64_t time_ns);
void pcapng_gap(struct pcapng_stream *s, bool from_client);		/* a hole in the numbers */
void pcapng_close(FILE *to, struct pcapng_stream *s, int64_t time_ns);	/* FIN both ways */

#endif
