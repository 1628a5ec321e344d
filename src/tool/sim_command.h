/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim_command.h - suntap sim: a device or a cloud that does not exist, over real sockets */
#ifndef SUNTAP_SIM_COMMAND_H
#define SUNTAP_SIM_COMMAND_H

int sim_main(int argc, char *argv[]);	/* argv[0]: "sim"; returns the exit status */

#endif
