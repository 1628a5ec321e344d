/* SPDX-License-Identifier: GPL-2.0-or-later */
/* at.c - AT commands of loggers, as far as somebody may read them */
#include "protocols/at.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "protocols/reading_fill.h"

/* Networks, their keys, passwords of the logger's page, the logger's own key. */
static const char *const secrets[] = {
	"WSSSID", "WSKEY", "WSCAN", "WIFI", "WAP", "WAKEY", "WEBU", "ASWD", "CMDPW", "KEY", "WSLK",
};

bool at_secret(const uint8_t *bytes, size_t length)
{
	if (length < 4 || strncasecmp((const char *)bytes, "AT+", 3))
		return false;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		size_t n = strlen(secrets[i]);

		if (length - 3 >= n && !strncasecmp((const char *)bytes + 3, secrets[i], n))
			return true;
	}
	return false;
}

void at_readable(const uint8_t *bytes, size_t length, char *text, size_t room)
{
	const uint8_t *equals = memchr(bytes, '=', length);

	while (length && (bytes[length - 1] == '\r' || bytes[length - 1] == '\n' || !bytes[length - 1]))
		length--;
	if (equals && at_secret(bytes, length)) {
		size_t n = text_clean(text, room, bytes, (size_t)(equals - bytes) + 1);

		snprintf(text + n, room - n, "***");
		return;
	}
	text_clean(text, room, bytes, length);
}
