/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decode.h - suntap decode: what captured conversations say, without a daemon */
#ifndef SUNTAP_DECODE_H
#define SUNTAP_DECODE_H

int decode_main(int argc, char *argv[]);	/* argv[0]: "decode"; returns the exit status */

#endif
