/* SPDX-License-Identifier: GPL-2.0-or-later */
/* capture.h - TCP segments out of pcap and pcapng files */
#ifndef SUNTAP_CAPTURE_H
#define SUNTAP_CAPTURE_H

#include "tool/tcp.h"

/* A segment out of a packet as it was captured; false: no TCP, a fragment, or cut off in its heads. */
bool capture_parse(int link_type, const uint8_t *packet, size_t length, struct tcp_segment *ret);
bool capture_link_known(int link_type);

/*
 * Runs the file through t. 0; 1: cut off or damaged at its end, what was there has been run; -1: no
 * capture. On 1 and -1 error (PCAP_ERRBUF_SIZE) says why. Takes the stream.
 */
int capture_read(FILE *stream, struct tcp *t, char *error);

#endif
