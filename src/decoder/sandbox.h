/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sandbox.h - lock the decoder in before it sees the first byte
 *
 * Afterwards it can read its ring, write to journald and to its control socket, allocate bounded memory, and end. It
 * can not open or connect to anything, start, signal or trace anybody, or gain anything by executing a file.
 */
#ifndef DECODER_SANDBOX_H
#define DECODER_SANDBOX_H

#include <stdint.h>

/*
 * probe_fd: the one socket that may still connect() (to see whether journald is there; it is AF_UNIX). As root it becomes `user`
 * where that exists, else nobody. mapped: bytes that the limit on memory is not for, the ring's. 0, or -errno: then the
 * caller must not go on.
 */
int sandbox_enter(const char *user, int probe_fd, uint64_t mapped);

#endif
