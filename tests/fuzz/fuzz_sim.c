/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_sim.c - any bytes to a simulated cloud and to a simulated device, by way of the session as in `suntap sim`: what they
 * answer fits its frame
 */
#include "fuzz.h"
#include "shared/util.h"
#include "sim/sim.h"

static const struct sim_protocol *protocol;
static struct sim_device device;
static struct knowledge *knowledge;

static void on_frame(void *ctx, const struct frame_info *f)
{
	struct sim_frame said = { .length = 0 };

	(void)ctx;
	if (f->error || f->carrier)
		return;
	if (f->dir == DIR_CLOUD) {
		protocol->take(&device, f->bytes, f->size, &said);
		MUST(said.length <= SIM_FRAME_MAX);
		return;
	}
	protocol->answer(f->bytes, f->size, FUZZ_TIME / NSEC_PER_MSEC, &said);
	MUST(said.length <= SIM_FRAME_MAX);
	said.length = 0;
	if (protocol->then)
		protocol->then(f->bytes, f->size, FUZZ_TIME / NSEC_PER_MSEC, &said);
	MUST(said.length <= SIM_FRAME_MAX);
}

static const struct session_events events = { .frame = on_frame };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t count = 0;
	struct session *s;
	uint8_t *exact;

	if (size < 2)
		return 0;
	if (!knowledge)
		knowledge = fuzz_knowledge();
	while (sim_protocols[count])
		count++;
	protocol = sim_protocols[data[0] % count];
	device = (struct sim_device){ .now_ms = FUZZ_TIME / NSEC_PER_MSEC };
	strcpy(device.serial, protocol->serial);
	strcpy(device.logger, protocol->logger);
	exact = malloc(size - 1);
	MUST(exact);
	memcpy(exact, data + 1, size - 1);
	fuzz_mend(exact, size - 1);
	MUST(session_new(&s, knowledge, protocol->name, &events, NULL) == 0);
	for (int dir = 0; dir < DIR_COUNT; dir++)
		session_feed(s, (enum dir)dir, exact, size - 1, FUZZ_TIME);
	session_end(s);
	session_free(s);
	free(exact);
	return 0;
}
