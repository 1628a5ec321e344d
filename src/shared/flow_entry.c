/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flow_entry.c - what suntapd says of a flow to others */
#include "shared/flow_entry.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *word, *text;
} ends[] = {
	[FLOW_END_DEVICE_CLOSED] = { "device-closed", "closed by the device" },
	[FLOW_END_CLOUD_CLOSED] = { "cloud-closed", "closed by the cloud" },
	[FLOW_END_DEVICE_RESET] = { "device-reset", "reset by the device" },
	[FLOW_END_CLOUD_RESET] = { "cloud-reset", "reset by the cloud" },
	[FLOW_END_DEVICE_LOST] = { "device-lost", "the device does not answer any more" },
	[FLOW_END_CLOUD_LOST] = { "cloud-lost", "the cloud does not answer any more" },
	[FLOW_END_REFUSED] = { "refused", "refused by the cloud" },
	[FLOW_END_UNREACHABLE] = { "unreachable", "the cloud is unreachable" },
	[FLOW_END_CONNECT_TIMEOUT] = { "connect-timeout", "no connection to the cloud in time" },
	[FLOW_END_NO_ADDRESS] = { "no-address", "the name of the cloud has no address" },
	[FLOW_END_NO_RESOURCES] = { "no-resources", "out of file descriptors or memory" },
	[FLOW_END_STOPPED] = { "stopped", "suntapd was stopped" },
};
_Static_assert(ARRAY_SIZE(ends) == FLOW_END_COUNT, "each end has its words");

const char *flow_end_word(enum flow_end end)
{
	return (size_t)end < ARRAY_SIZE(ends) ? ends[end].word : "?";
}

const char *flow_end_text(enum flow_end end)
{
	return (size_t)end < ARRAY_SIZE(ends) ? ends[end].text : "?";
}

const char *flow_address_format(const struct flow_address *a, char buf[FLOW_ADDRESS_TEXT])
{
	char host[INET6_ADDRSTRLEN];

	if (a->family == 4 && inet_ntop(AF_INET, a->bytes, host, sizeof(host)))
		snprintf(buf, FLOW_ADDRESS_TEXT, "%s:%u", host, a->port);
	else if (a->family == 6 && inet_ntop(AF_INET6, a->bytes, host, sizeof(host)))
		snprintf(buf, FLOW_ADDRESS_TEXT, "[%s]:%u", host, a->port);
	else
		snprintf(buf, FLOW_ADDRESS_TEXT, "?");
	return buf;
}

bool flow_address_parse(const char *host, uint16_t port, struct flow_address *ret)
{
	*ret = (struct flow_address){ .port = port };
	if (inet_pton(AF_INET, host, ret->bytes) == 1)
		ret->family = 4;
	else if (inet_pton(AF_INET6, host, ret->bytes) == 1)
		ret->family = 6;
	return ret->family != 0;
}

void flow_address_set(struct flow_address *a, const struct sockaddr *sa)
{
	*a = (struct flow_address){ 0 };
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;

		a->family = 4;
		a->port = ntohs(in->sin_port);
		memcpy(a->bytes, &in->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;

		a->port = ntohs(in6->sin6_port);
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			a->family = 4;
			memcpy(a->bytes, in6->sin6_addr.s6_addr + 12, 4);
		} else {
			a->family = 6;
			memcpy(a->bytes, &in6->sin6_addr, 16);
		}
	}
}

socklen_t flow_address_get(const struct flow_address *a, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (a->family == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret;

		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->bytes, 4);
		return sizeof(*in);
	}
	if (a->family == 6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(a->port);
		memcpy(&in6->sin6_addr, a->bytes, 16);
		return sizeof(*in6);
	}
	return 0;
}

bool flow_address_equal(const struct flow_address *a, const struct flow_address *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}
