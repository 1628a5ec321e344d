/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sniff.c - what is not ours, told from the first bytes of a direction
 *
 * TLS (RFC 8446 section 4 and 5, RFC 6066 section 3 for the name):
 *
 *	record:		16 | 03 0x | length 2 | part of the handshake
 *	handshake:	01 | length 3 | version 2, random 32, session id <1>, suites <2>, methods <1>, extensions <2>
 *	extension:	type 2 (0: server_name) | <2> of: list <2> of: type 1 (0: host name), name <2>
 *
 * A ClientHello may go over several records, and records over several segments.
 */
#include "protocols/sniff.h"

#include <string.h>

enum { HELLO_MAX = 8192 };

struct cursor {
	const uint8_t *p;
	size_t left;
};

static bool take(struct cursor *c, size_t n, struct cursor *ret)
{
	if (n > c->left)
		return false;
	if (ret)
		*ret = (struct cursor){ c->p, n };
	c->p += n;
	c->left -= n;
	return true;
}

static bool take_number(struct cursor *c, size_t bytes, size_t *ret)
{
	size_t v = 0;

	if (bytes > c->left)
		return false;
	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | c->p[i];
	c->p += bytes;
	c->left -= bytes;
	*ret = v;
	return true;
}

/* A vector with a length of so many bytes before it. */
static bool take_vector(struct cursor *c, size_t bytes, struct cursor *ret)
{
	size_t n;

	return take_number(c, bytes, &n) && take(c, n, ret);
}

static bool host_character(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
	       c == '-' || c == '_';
}

static void server_name(struct cursor hello, char *sni, size_t room)
{
	struct cursor extensions, extension, list, name;
	size_t type;

	if (!take(&hello, 34, NULL) || !take_vector(&hello, 1, NULL) || !take_vector(&hello, 2, NULL) ||
	    !take_vector(&hello, 1, NULL) || !take_vector(&hello, 2, &extensions))
		return;
	while (take_number(&extensions, 2, &type) && take_vector(&extensions, 2, &extension)) {
		if (type)
			continue;
		if (!take_vector(&extension, 2, &list))
			return;
		while (take_number(&list, 1, &type) && take_vector(&list, 2, &name)) {
			if (type || !name.left || name.left >= room || name.left > 255)
				continue;
			for (size_t i = 0; i < name.left; i++)
				if (!host_character(name.p[i]))
					return;
			memcpy(sni, name.p, name.left);
			sni[name.left] = '\0';
			return;
		}
		return;
	}
}

enum sniffed sniff_tls(const uint8_t *bytes, size_t length, char *sni, size_t room)
{
	uint8_t hello[HELLO_MAX];
	size_t have = 0, size, type;
	struct cursor c = { bytes, length }, h;
	bool complete = true;

	*sni = '\0';
	if (length < 3)
		return SNIFF_NO;		/* not yet to be said; the caller asks again */
	if (bytes[0] < 0x14 || bytes[0] > 0x17 || bytes[1] != 3 || bytes[2] > 4)
		return SNIFF_NO;
	if (length >= 5 && (!(bytes[3] | bytes[4]) || ((size_t)bytes[3] << 8 | bytes[4]) > 16384 + 2048))
		return SNIFF_NO;
	if (length < 6)
		return SNIFF_MORE;
	if (bytes[0] != 0x16 || bytes[5] != 1)
		return bytes[0] == 0x16 && bytes[5] > 24 ? SNIFF_NO : SNIFF_YES;
	while (c.left && complete) {
		size_t n;

		if (c.left < 5) {
			complete = false;
			break;
		}
		if (c.p[0] != 0x16 || c.p[1] != 3)
			break;
		n = (size_t)c.p[3] << 8 | c.p[4];
		take(&c, 5, NULL);
		if (n > c.left) {
			n = c.left;
			complete = false;
		}
		if (n > sizeof(hello) - have)
			n = sizeof(hello) - have;
		memcpy(hello + have, c.p, n);
		have += n;
		take(&c, n, NULL);
		if (have == sizeof(hello))
			break;
	}
	h = (struct cursor){ hello, have };
	if (have < 4)
		return SNIFF_MORE;
	take_number(&h, 1, &type);
	take_number(&h, 3, &size);
	if (size > h.left) {
		/* Something else than a handshake record follows, or more than anybody sends. */
		if (size > HELLO_MAX - 4 || have == sizeof(hello) || (c.left >= 5 && complete))
			return SNIFF_YES;
		return SNIFF_MORE;
	}
	h.left = size;
	server_name(h, sni, room);
	return SNIFF_YES;
}

static bool starts(const uint8_t *bytes, size_t length, const char *with)
{
	size_t n = strlen(with);

	return length >= n && !memcmp(bytes, with, n);
}

const char *sniff_known(const uint8_t *bytes, size_t length)
{
	static const char *const http[] = { "GET /", "POST /", "PUT /", "HEAD /", "DELETE /", "OPTIONS ",
					    "CONNECT ", "PATCH /", "HTTP/1.0 ", "HTTP/1.1 ", "PRI * HTTP/2" };
	size_t at;

	for (size_t i = 0; i < sizeof(http) / sizeof(http[0]); i++)
		if (starts(bytes, length, http[i]))
			return "http";
	if (starts(bytes, length, "SSH-"))
		return "ssh";
	if (starts(bytes, length, "AT+") || starts(bytes, length, "+ok"))
		return "at";
	/* CONNECT, the length that follows (1 to 4 bytes), the protocol's name */
	if (length >= 2 && bytes[0] == 0x10) {
		for (at = 1; at < 4 && at < length && bytes[at] & 0x80; at++)
			;
		at++;
		if (at < length && ((length - at >= 6 && !memcmp(bytes + at, "\0\4MQTT", 6)) ||
				    (length - at >= 8 && !memcmp(bytes + at, "\0\6MQIsdp", 8))))
			return "mqtt";
	}
	return NULL;
}
