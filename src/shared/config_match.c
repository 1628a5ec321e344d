/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config_match.c - which device of the configuration a connection belongs to */
#include <string.h>

#include "shared/config_private.h"

/* How much a source says about a peer. Between these two: 1 + the bits of a prefix. */
enum { RANK_NONE = -1, RANK_ANY = 0, RANK_MAC = 200 };

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned rest = bits % 8;

	return memcmp(a, b, bits / 8) == 0 && (!rest || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0);
}

static int source_rank(const struct config_source *s, const struct sockaddr *peer, const uint8_t *mac)
{
	enum config_source_kind kind = SOURCE_IP4;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	uint8_t address[16] = { 0 };

	if (s->kind == SOURCE_MAC)
		return mac && memcmp(mac, s->mac, 6) == 0 ? RANK_MAC : RANK_NONE;
	if (peer->sa_family == AF_INET) {
		memcpy(&in, peer, sizeof(in));
		memcpy(address, &in.sin_addr, 4);
	} else if (peer->sa_family == AF_INET6) {
		memcpy(&in6, peer, sizeof(in6));
		if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {	/* an IPv4 peer on an IPv6 listener */
			memcpy(address, in6.sin6_addr.s6_addr + 12, 4);
		} else {
			memcpy(address, &in6.sin6_addr, 16);
			kind = SOURCE_IP6;
		}
	} else {
		return RANK_NONE;
	}
	return s->kind == kind && same_bits(address, s->ip6.s6_addr, s->prefix) ? 1 + s->prefix : RANK_NONE;
}

/* IPv4 and IPv6 prefixes are never compared with each other: a peer is one or the other. */
static int device_rank(const struct config_device *d, const struct sockaddr *peer, const uint8_t *mac)
{
	int best = d->source_count ? RANK_NONE : RANK_ANY;

	for (size_t i = 0; i < d->source_count; i++) {
		int rank = source_rank(&d->sources[i], peer, mac);

		if (rank > best)
			best = rank;
	}
	return best;
}

bool config_has_port(const struct config_device *d, uint16_t port)
{
	for (size_t i = 0; i < d->port_count; i++)
		if (d->ports[i] == port)
			return true;
	return false;
}

bool config_device_admits(const struct config_device *d, const struct sockaddr *peer, const uint8_t *mac)
{
	return device_rank(d, peer, mac) != RANK_NONE;
}

bool config_device_takes(const struct config_device *d, uint16_t port)
{
	return d->port_count == 0 || config_has_port(d, port);
}

static bool comes_in_at(const struct config_device *d, const char *interface)
{
	return !interface || !*d->interface || strcmp(d->interface, interface) == 0;
}

const struct config_device *config_match(const struct config *c, enum config_way way, const struct sockaddr *peer,
					  const uint8_t *mac, const char *interface, uint16_t port)
{
	const struct config_device *best = NULL;
	int best_rank = RANK_NONE;

	if (way != WAY_TPROXY) {
		const struct config_device *d = port < c->device_count ? &c->devices[port] : NULL;

		return d && d->way == way && config_device_admits(d, peer, mac) ? d : NULL;
	}
	for (size_t i = 0; i < c->device_count; i++) {
		const struct config_device *d = &c->devices[i];
		bool may_be = d->way == way && config_has_port(d, port) && comes_in_at(d, interface);
		int rank = may_be ? device_rank(d, peer, mac) : RANK_NONE;

		if (rank > best_rank) {
			best = d;
			best_rank = rank;
		}
	}
	return best;
}

bool config_needs_mac(const struct config *c, enum config_way way)
{
	for (size_t i = 0; i < c->device_count; i++)
		for (size_t j = 0; j < c->devices[i].source_count; j++)
			if (c->devices[i].way == way && c->devices[i].sources[j].kind == SOURCE_MAC)
				return true;
	return false;
}

bool config_needs_interface(const struct config *c)
{
	for (size_t i = 0; i < c->device_count; i++)
		if (*c->devices[i].interface)
			return true;
	return false;
}
