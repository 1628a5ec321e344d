/* SPDX-License-Identifier: GPL-2.0-or-later */
/* protocols.c - the protocols, in the order in which they are asked */
#include "protocols/protocol.h"

const struct protocol *const protocols[] = {
	&protocol_solarman_v5,
	&protocol_tsun_gen3,
	&protocol_inteless,
	&protocol_growatt,
	&protocol_alphaess,
	&protocol_apsystems,
	/* By name only: nothing in their bytes is sure enough. */
	&protocol_modbus_rtu,
	&protocol_modbus_tcp,
	&protocol_solarman_at,
	NULL,
};
