/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flow_entry.h - what suntapd says of a flow to others
 *
 * The flow table is a memfd, written by suntapd alone, with a fixed layout:
 *
 *	┌──────────────────────────────────────────┬──────────────────────────────┐
 *	│ struct flow_table_header (one page)       │ struct flow_entry [slots]    │
 *	└──────────────────────────────────────────┴──────────────────────────────┘
 *
 * The decoder maps it read-only (a decoder that was restarted finds out there what the flows in the ring are). It is also in
 * systemd's file descriptor store: a suntapd that was restarted, maybe another version, goes on from it. So
 * a field is never moved or given another meaning; new ones go to the end, and entry_size tells.
 */
#ifndef SUNTAP_FLOW_ENTRY_H
#define SUNTAP_FLOW_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "shared/util.h"

#define FLOW_TABLE_MAGIC UINT64_C(0x737761742d776f6c)

enum { FLOW_TABLE_VERSION = 1, FLOW_TABLE_HEADER = 4096 };

struct flow_table_header {
	uint64_t magic;
	uint32_t version;		/* another one can not be taken over */
	uint32_t entry_size;		/* may grow */
	uint32_t slots;
	uint32_t reserved;
};

struct flow_address {
	uint8_t family;		/* 4, 6, or 0: unknown */
	uint8_t reserved;
	uint16_t port;		/* host order */
	uint8_t bytes[16];
};

/* A flow's id: its slot in the table in the low 32 bits, counted up above at each use of the slot; never 0. */
static inline uint32_t flow_id_slot(uint64_t id)
{
	return (uint32_t)id;
}

struct flow_entry {
	_Atomic uint64_t id;		/* 0: the slot is free */
	struct flow_address device, cloud;
	char name[32];			/* of the [device …] section */
	int64_t opened;			/* realtime, ns */
	uint64_t forwarded[DIR_COUNT];	/* bytes given to the other side's socket */
	uint64_t copied[DIR_COUNT];	/* bytes offered to the ring, the lost ones among them */
	uint16_t pipe[DIR_COUNT];	/* the pipe of the pool that may hold bytes of this direction, from 1; 0: none */
	uint8_t state;			/* enum flow_state */
	uint8_t flags;			/* enum flow_flag */
	uint16_t reserved;
};

enum flow_state {			/* the numbers are part of the layout; the picture is in suntapd/flow.h */
	FLOW_FREE = 0,
	FLOW_CONNECTING = 1,
	FLOW_OPEN = 2,
	FLOW_RESETTING = 3,
};

enum flow_flag {
	FLOW_UNTAPPED = 1,
	FLOW_KEEPS_SOURCE = 2,
};

_Static_assert(sizeof(struct flow_entry) == 128, "the flow table's layout is shared between processes");

enum flow_end {
	FLOW_END_DEVICE_CLOSED,		/* orderly, the device said FIN first */
	FLOW_END_CLOUD_CLOSED,
	FLOW_END_DEVICE_RESET,
	FLOW_END_CLOUD_RESET,
	FLOW_END_DEVICE_LOST,		/* no answer to keepalives or data */
	FLOW_END_CLOUD_LOST,
	FLOW_END_REFUSED,		/* by the cloud */
	FLOW_END_UNREACHABLE,
	FLOW_END_CONNECT_TIMEOUT,
	FLOW_END_NO_ADDRESS,		/* the upstream's name did not resolve */
	FLOW_END_NO_RESOURCES,		/* descriptors or memory ran out here */
	FLOW_END_STOPPED,		/* suntapd was stopped */
	FLOW_END_COUNT,
};

const char *flow_end_word(enum flow_end end);		/* "device-closed", for a journal field */
const char *flow_end_text(enum flow_end end);		/* "closed by the device" */

/* Says all of the flow once more: a decoder that was restarted meanwhile knows nothing of it. */
struct flow_close {
	struct flow_entry flow;
	uint32_t end;			/* enum flow_end */
	int32_t error;			/* errno behind it, or 0 */
};

/* "192.168.50.2:40000", "[fd00::2]:40000", "?" */
enum { FLOW_ADDRESS_TEXT = 56 };
const char *flow_address_format(const struct flow_address *a, char buf[FLOW_ADDRESS_TEXT]);
bool flow_address_parse(const char *host, uint16_t port, struct flow_address *ret);	/* numeric only */
void flow_address_set(struct flow_address *a, const struct sockaddr *sa);	/* maps v4-mapped IPv6 to IPv4 */
socklen_t flow_address_get(const struct flow_address *a, struct sockaddr_storage *ret);	/* 0 if unknown */
bool flow_address_equal(const struct flow_address *a, const struct flow_address *b);

#endif
