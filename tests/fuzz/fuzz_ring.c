/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_ring.c - any bytes as the ring that another suntapd left, as what its reader writes, and as what the reader finds
 *
 * Held to: the writer's places stay inside the mapping whatever the reader's page says; what the reader is given lies inside
 * it; after a reset of the reader the ring works.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "shared/ring.h"
#include "shared/util.h"

enum { PAGE = 4096, SIZE = 64 * 1024, HEAD = 64 };

static int memory(const void *data, size_t used, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	MUST(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	MUST(!used || pwrite(fd, data, used, 0) == (ssize_t)used);
	return fd;
}

static void check_writer(struct ring *r)
{
	for (size_t reserve = 0; reserve <= SIZE; reserve += SIZE / 8) {
		size_t room = ring_room(r, reserve);
		const struct ring_record rec = { .kind = RING_DATA, .length = (uint32_t)room };

		MUST(room + RING_RECORD_SIZE <= r->size && (!ring_broken(r) || room == 0));
		MUST(ring_payload(r) >= r->data && ring_payload(r) + room <= r->data + 2 * r->size);
		if (reserve == SIZE / 2 && room)
			ring_commit(r, &rec);
	}
	MUST(ring_skip_one(r) <= r->size);
}

static void check_reader(const struct ring *r, const struct ring_fds *fds)
{
	struct ring_view v;
	struct ring_record rec;
	const uint8_t *payload;

	if (ring_view_open(&v, fds) < 0)
		return;
	for (int i = 0; i < 4096 && ring_view_next(&v, &rec, &payload) > 0; i++) {
		MUST(payload >= v.data && payload + rec.length <= v.data + 2 * v.size);
		ring_view_release(&v, &rec);
	}
	MUST(v.size == r->size);
	ring_view_close(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ring_record one = { .kind = RING_DATA, .length = 3, .flow = 7 };
	struct ring_tail tail = { .magic = UINT64_C(0x3131706174736e73), .version = 1, .size = SIZE };
	struct ring_record rec;
	const uint8_t *payload;
	struct ring_view v;
	struct ring_fds fds;
	uint8_t page[PAGE] = { 0 };
	struct ring r;
	size_t n;

	/* head, tail, and what the reader's page has later; what follows is the data. */
	if (size < HEAD)
		return 0;
	n = size - HEAD < SIZE ? size - HEAD : SIZE;
	memcpy(&tail.tail, data, 8);
	if (data[16] & 1)
		memcpy(&tail, data + 24, 24);
	fds.ring = memory(&tail, sizeof(tail), PAGE + SIZE);
	MUST(!n || pwrite(fds.ring, data + HEAD, n, PAGE) == (ssize_t)n);
	memcpy(page, data + 8, 8);
	fds.head = memory(page, sizeof(page), PAGE);
	fds.bell = memory(NULL, 0, 8);
	if (ring_adopt(&r, &fds) < 0)
		return 0;
	MUST(!ring_broken(&r));
	check_writer(&r);
	check_reader(&r, &r.fds);
	memcpy(r.reader, data + 24, 40);
	check_writer(&r);
	ring_reset_reader(&r);
	ring_next_reader(&r);
	MUST(!ring_broken(&r) && ring_unread(&r) == 0 && ring_put(&r, &one, "abc", 0) == 0);
	MUST(ring_view_open(&v, &r.fds) == 0 && ring_view_next(&v, &rec, &payload) == 1);
	MUST(rec.flow == 7 && rec.length == 3 && memcmp(payload, "abc", 3) == 0);
	ring_view_close(&v);
	ring_close(&r);
	return 0;
}
