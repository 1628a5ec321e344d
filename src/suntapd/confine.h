/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * confine.h - once suntapd is up, it needs no more than it did until then
 *
 * Its systemd unit says the same and more; this holds also where it was started in another way.
 */
#ifndef SUNTAP_CONFINE_H
#define SUNTAP_CONFINE_H

/* For all threads, and for the decoders that are started later. 0 or -errno. */
int confine(void);

#endif
