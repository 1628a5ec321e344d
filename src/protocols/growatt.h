/* SPDX-License-Identifier: GPL-2.0-or-later */
/* growatt.h - what the files of the Growatt protocol share */
#ifndef SUNTAP_GROWATT_H
#define SUNTAP_GROWATT_H

#include "protocols/protocol.h"

enum {
	GROWATT_HEAD = 8,		/* with unit and function */
	GROWATT_LENGTH_MAX = 8192,	/* unit, function and body */
	GROWATT_BODY_MAX = GROWATT_LENGTH_MAX - 2,
	GROWATT_ID = 10,		/* characters of a logger's serial */

	FN_ANNOUNCE = 0x03, FN_DATA = 0x04, FN_READ = 0x05, FN_WRITE = 0x06, FN_WRITE_MANY = 0x10, FN_PING = 0x16,
	FN_SET = 0x18, FN_GET = 0x19, FN_METER_TEXT = 0x1b, FN_METER = 0x20, FN_SETTINGS = 0x29, FN_KEY = 0x41,
	FN_STORED = 0x50,
};

/*
 * What a command of the cloud, or the device's answer to one, says: text for people, and the key that it
 * goes under ("command", "result", "param"). NULL: its body is not understood. Passwords, names of
 * networks, and parameters nobody has described are not in the text. p: behind the logger's serial.
 */
const char *growatt_command(char *text, size_t room, enum dir dir, uint8_t version, uint8_t function,
			    const uint8_t *p, size_t n);

#endif
