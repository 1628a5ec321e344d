/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * drain.c - in the decoder's place: reads the ring and throws the records away
 *
 * For the row of the benchmark that shows what the copy itself costs. suntapd finds it as the
 * `suntap-decoder` beside its own program.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "shared/control.h"
#include "shared/ring.h"

int main(void)
{
	const struct ring_fds fds = { CONTROL_FD_RING, CONTROL_FD_HEAD, CONTROL_FD_BELL };
	const struct control_message ready = { .kind = CONTROL_READY };
	uint64_t bytes = 0, lost = 0;
	enum ring_rest rest = RING_NAPPING;
	struct ring_view ring;

	if (ring_view_open(&ring, &fds) < 0 || send(CONTROL_FD_SOCKET, &ready, sizeof(ready), MSG_NOSIGNAL) < 0)
		return EXIT_FAILURE;
	for (;;) {
		struct pollfd p[] = {
			{ .fd = CONTROL_FD_BELL, .events = POLLIN }, { .fd = CONTROL_FD_SOCKET, .events = POLLIN },
		};
		const uint8_t *payload;
		struct ring_record rec;

		if (ring_view_next(&ring, &rec, &payload) > 0) {
			if (rec.kind == RING_DATA)
				bytes += rec.length;
			lost += rec.kind == RING_GAP ? rec.lost : 0;
			ring_view_release(&ring, &rec);
			rest = RING_NAPPING;
			continue;
		}
		if (!ring_view_rest(&ring, rest))
			continue;
		poll(p, 2, rest == RING_NAPPING ? 10 : -1);
		ring_view_awake(&ring);
		rest = RING_SLEEPING;
		if (p[1].revents) {
			fprintf(stderr, "drained %llu lost %llu\n", (unsigned long long)bytes, (unsigned long long)lost);
			return EXIT_SUCCESS;
		}
	}
}
