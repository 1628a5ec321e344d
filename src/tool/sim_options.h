/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim_options.h - suntap sim: what was asked for, and how it is carried */
#ifndef SUNTAP_SIM_OPTIONS_H
#define SUNTAP_SIM_OPTIONS_H

#include <sys/socket.h>

#include "protocols/session.h"
#include "sim/sim.h"

struct sim_options {
	const struct sim_protocol *protocol;
	struct sockaddr_storage address;	/* to connect to, or to listen at */
	socklen_t address_length;
	char address_text[80];
	double interval, timeout;		/* s */
	double noon;				/* hour of the sun's clock at the first record */
	uint64_t count;				/* records, connections; 0: endless */
	unsigned int backfill, reset_after;
	bool split, silence, rubbish, bad_checksum;
	bool json, transcript;
	int64_t clock_error_ms;
	const char *serial, *logger;
	uint32_t random;			/* state */
	struct knowledge *knowledge;
};

int sim_device_run(struct sim_options *o);	/* the exit status */
int sim_cloud_run(struct sim_options *o);

/* Sends all of it, with the faults asked for: rubbish before it, each byte by itself. 0 or -errno. */
int sim_send(struct sim_options *o, int fd, enum dir dir, const struct sim_frame *f);
/* As hexadecimal in a transcript's line. */
void sim_transcribe(struct sim_options *o, enum dir dir, const struct sim_frame *f);
void sim_reset(int fd);				/* closes it with a reset */

#endif
