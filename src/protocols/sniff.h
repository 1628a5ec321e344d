/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sniff.h - what is not ours, told from the first bytes of a direction */
#ifndef SUNTAP_SNIFF_H
#define SUNTAP_SNIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sniffed { SNIFF_NO, SNIFF_MORE, SNIFF_YES };

/*
 * TLS, from the first byte of a direction. SNIFF_MORE: it is TLS, the ClientHello goes on. On
 * SNIFF_YES sni is the server's name, "" where there is none (or it is no ClientHello).
 */
enum sniffed sniff_tls(const uint8_t *bytes, size_t length, char *sni, size_t room);

/* "http", "ssh", "mqtt", "at"; NULL: none of these (or not yet to be seen). */
const char *sniff_known(const uint8_t *bytes, size_t length);

#endif
