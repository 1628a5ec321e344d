/* SPDX-License-Identifier: GPL-2.0-or-later */
/* at.h - AT commands of loggers, as far as somebody may read them */
#ifndef SUNTAP_AT_H
#define SUNTAP_AT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The command without its line end; what follows '=' is masked where it is a password or a network. */
void at_readable(const uint8_t *bytes, size_t length, char *text, size_t room);
bool at_secret(const uint8_t *bytes, size_t length);	/* its answer must not be told either */

#endif
