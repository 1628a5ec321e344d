/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_tcp.c - packets and segments of any kind into the reassembly
 *
 * The input is a list of segments (head of 6 bytes: flow and flags, sequence, length), and once more as
 * packets of each link type. Held to: flows are opened and closed in pairs, no data after the close.
 */
#include <stdlib.h>
#include <string.h>

#include "tool/capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct flow {
	bool open;
	uint64_t bytes;
};

static size_t flows;

static void *on_open(void *ctx, bool ipv6, const struct tcp_end *client, const struct tcp_end *server)
{
	struct flow *f = calloc(1, sizeof(*f));

	(void)ctx;
	(void)ipv6;
	(void)client;
	(void)server;
	if (!f || flows >= TCP_FLOWS_MAX)
		abort();
	f->open = true;
	flows++;
	return f;
}

static void on_data(void *flow, bool from_client, const uint8_t *bytes, size_t length, int64_t time_ns)
{
	struct flow *f = flow;

	(void)from_client;
	(void)time_ns;
	if (!f->open || !length)
		abort();
	f->bytes += length + bytes[0] + bytes[length - 1];	/* reads both ends */
}

static void on_gap(void *flow, bool from_client)
{
	(void)from_client;
	if (!((struct flow *)flow)->open)
		abort();
}

static void on_close(void *flow)
{
	free(flow);
	flows--;
}

static const struct tcp_events events = { on_open, on_data, on_gap, on_close };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int links[] = { 1, 113, 276, 12, 0, 108, 228, 229 };
	struct tcp *t = tcp_new(&events, NULL);
	const uint8_t *p = data;
	size_t left = size;
	int64_t time = NSEC_PER_SEC;

	if (!t)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		struct tcp_segment s;

		if (capture_parse(links[i], data, size, &s)) {
			if (s.bytes + s.length > data + size)
				abort();
			tcp_segment(t, &s);
		}
	}
	while (left >= 6) {
		size_t n = p[5] < left - 6 ? p[5] : left - 6;
		struct tcp_segment s = {
			.from.port = (uint16_t)(40000 + (p[0] & 3)), .to.port = 10000,
			.seq = (uint32_t)(p[2] << 8 | p[3]) + (p[4] & 1 ? 0xffffff00u : 0),
			.syn = p[1] & 1, .ack = p[1] & 2, .fin = p[1] & 4, .rst = (p[1] & 0x38) == 0x38,
			.bytes = p + 6, .length = n, .time_ns = time += p[4] * NSEC_PER_MSEC * 10,
		};

		if (p[0] & 4) {
			struct tcp_end swap = s.from;

			s.from = s.to;
			s.to = swap;
		}
		tcp_segment(t, &s);
		p += 6 + n;
		left -= 6 + n;
	}
	tcp_free(t);
	if (flows)
		abort();
	return 0;
}
