/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_streams.c - any bytes as a capture (pcap, pcapng), put together, masked and written as `suntap capture --mask` does
 *
 * Held to: what was written reads as a capture with the same streams of the same lengths.
 */
#include <pcap/pcap.h>
#include <stdio.h>

#include "fuzz.h"
#include "tool/capture.h"
#include "tool/streams.h"

static size_t opened, length;
static struct knowledge *knowledge;

static void *on_open(void *ctx, bool ipv6, const struct tcp_end *client, const struct tcp_end *server)
{
	(void)ctx, (void)ipv6, (void)client, (void)server;
	opened++;
	return &opened;
}

static void on_data(void *flow, bool from_client, const uint8_t *bytes, size_t n, int64_t time_ns)
{
	(void)flow, (void)from_client, (void)bytes, (void)time_ns;
	length += n;
}

static void on_gap(void *flow, bool from_client)
{
	(void)flow, (void)from_client;
}

static void on_close(void *flow)
{
	(void)flow;
}

static const struct tcp_events counting = { on_open, on_data, on_gap, on_close };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct streams_report report = { 0 };
	char error[PCAP_ERRBUF_SIZE] = "", *text = NULL;
	struct streams *s = streams_new();
	struct tcp *t = tcp_new(&streams_events, s);
	size_t written = 0;
	FILE *out;

	MUST(s && t);
	if (!knowledge)
		knowledge = fuzz_knowledge();
	if (!size || capture_read(FUZZ_OPEN(data, size), t, error) < 0) {
		MUST(!size || *error);
		tcp_free(t);
		streams_free(s);
		return 0;
	}
	tcp_free(t);
	MUST(streams_mask(s, knowledge, &report) == 0);
	out = open_memstream(&text, &written);
	MUST(out);
	if (!report.too_private)
		streams_write(s, out, &report);
	fclose(out);
	if (report.streams) {
		opened = length = 0;
		t = tcp_new(&counting, NULL);
		MUST(t && capture_read(FUZZ_OPEN(text, written), t, error) == 0);
		tcp_free(t);
		MUST(opened == report.streams && length == report.bytes);
	}
	free(text);
	streams_free(s);
	return 0;
}
