/* SPDX-License-Identifier: GPL-2.0-or-later */
/* capture_command.h - suntap capture: a device's streams into a file, for sharing with private things masked */
#ifndef SUNTAP_CAPTURE_COMMAND_H
#define SUNTAP_CAPTURE_COMMAND_H

int capture_main(int argc, char *argv[]);	/* argv[0]: "capture"; returns the exit status */

#endif
