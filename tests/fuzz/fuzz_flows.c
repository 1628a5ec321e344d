/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_flows.c - any bytes as the flow table that another suntapd left in the store, half written or another version's, and
 * any flow in the decoder's messages
 *
 * systemd's store is played here: it has the table, and sockets for as many flows as the input says. Held to: flows are
 * counted within the limits, each in its own slot; those that are restored are served and end; new ones find a slot.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "suntapd/flow_private.h"
#include "suntapd/store.h"

enum { LIMIT = 8, HEAD = 32 };

static int table = -1;
static unsigned sockets;		/* bits: which of the asked for are there */

int store_take(const char *format, ...)
{
	char name[STORE_NAME_MAX];
	int pair[2];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	if (strcmp(name, "table") == 0)
		return dup(table);
	if (name[0] != 'f')
		return -1;
	sockets = sockets >> 1 | sockets << 31;
	if (!(sockets & 1) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -1;
	close(pair[1]);
	return pair[0];
}

/* Nothing leaves this machine. */
int socket_connect(const struct flow_address *cloud, const struct flow_address *source, const struct socket_patience *patience)
{
	(void)cloud, (void)source, (void)patience;
	return -ENETUNREACH;
}

static void add(struct flows *t)
{
	const struct flow_address cloud = { .family = 4, .port = 10000, .bytes = { 203, 0, 113, 10 } };
	struct flow_request request = { .name = "new", .device_limit = LIMIT, .cloud = &cloud, .cloud_count = 1 };
	int pair[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	close(pair[1]);
	request.fd = pair[0];
	flows_add(t, &request);
}

static void check(const struct flows *t, const struct flows_stats *s)
{
	unsigned used = 0;

	for (uint32_t slot = 0; slot < t->limit_made; slot++) {
		const struct flow_entry *e = &t->entries[slot];

		MUST(!e->id || flow_id_slot(e->id) == slot);
		MUST(!e->id || slot < t->unused);
		MUST(memchr(e->name, '\0', sizeof(e->name)) || !e->id);
		used += e->id && e->state != FLOW_FREE;
	}
	MUST(s->now == used && s->now <= s->limit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct flows_options options = {
		.limit = LIMIT, .limit_later = LIMIT, .connect_timeout = 1,
	};
	struct flow_table_header head = {
		.magic = FLOW_TABLE_MAGIC, .version = FLOW_TABLE_VERSION, .entry_size = sizeof(struct flow_entry),
	};
	static sd_event *event;
	struct flows_stats stats;
	struct flows *t;
	struct ring ring;
	uint64_t id;
	size_t slots;

	if (size < HEAD)
		return 0;
	if (!event)
		MUST(sd_event_default(&event) >= 0);
	memcpy(&sockets, data, sizeof(sockets));
	memcpy(&id, data + 8, sizeof(id));
	if (data[4] & 1)
		head.entry_size += data[5] % 64;
	slots = (size - HEAD) / head.entry_size;
	head.slots = (uint32_t)(data[4] & 2 ? slots + data[6] : slots);
	if (data[4] & 4)
		memcpy(&head.version, data + 16, 4);
	table = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(table >= 0 && ftruncate(table, (off_t)(FLOW_TABLE_HEADER + slots * head.entry_size)) == 0);
	MUST(pwrite(table, &head, sizeof(head), 0) == sizeof(head));
	MUST(!slots || pwrite(table, data + HEAD, slots * head.entry_size, FLOW_TABLE_HEADER) > 0);
	MUST(ring_open(&ring, 64 * 1024) == 0);
	MUST(flows_new(&t, event, &ring, &options) == 0);
	flows_restore(t);
	flows_get_stats(t, &stats);
	check(t, &stats);
	flows_untap(t, id);
	add(t);
	flows_tell_gaps(t);
	for (int i = 0; i < 4; i++)
		sd_event_run(event, 0);
	flows_get_stats(t, &stats);
	check(t, &stats);
	flows_free(t);
	ring_close(&ring);
	close(table);
	return 0;
}
