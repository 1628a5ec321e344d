/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state_file.h - the file in which decoders keep what they know of devices */
#ifndef SUNTAPD_STATE_FILE_H
#define SUNTAPD_STATE_FILE_H

/*
 * A descriptor of CONTROL_STATE_SIZE bytes, all of which exist: decoder.state in $STATE_DIRECTORY, or
 * memory, which outlives decoders but not us, where there is no such folder or the file is no good
 * (which is logged). Or -errno. What is in it is the decoder's business.
 */
int state_file_open(void);

#endif
