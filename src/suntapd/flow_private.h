/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flow_private.h - what the files of the flows share: flow.c (table, events), flow_life.c (states), flow_queue.c (where they wait),
 * flow_restore.c (those of the suntapd before)
 */
#ifndef SUNTAP_FLOW_PRIVATE_H
#define SUNTAP_FLOW_PRIVATE_H

#include "shared/config.h"
#include "suntapd/flow.h"
#include "suntapd/store.h"

enum {
	RESET_PATIENCE_MS = 2000,	/* for the last bytes of a connection that was reset, to be acknowledged */
	RESET_TICK_MS = 20,
	CONNECT_TICK_MS = 500,
	PIPE_TICK_MS = 100,
	STORE_TICK_MS = 10,		/* while something waits for systemd to have its descriptors */
	NO_SLOT = UINT32_MAX,
};

/* Which list of struct flows a flow is in (besides none). */
enum flow_list { LIST_CONNECTING, LIST_RESETTING, LIST_COUNT };

struct flow {
	struct relay_dir dir[DIR_COUNT];	/* [DIR_DEVICE].from and [DIR_CLOUD].to: the device's socket */
	int64_t deadline;			/* monotonic ns, while in a list */
	uint32_t previous, next;		/* in its list */
	uint32_t queue_next;			/* in the run queue or the queue of the starving */
	uint16_t use;				/* index in flows.use */
	uint8_t queued;				/* in one of the two queues */
	uint8_t end;				/* enum flow_end, once decided */
	bool end_known;
	bool hurried;				/* OPEN, and in the list of the RESETTING all the same, see flow_hurry() */
	uint8_t candidate, candidates;		/* the one tried now, of how many */
	int error;
	uint16_t near_port;			/* of our connection to the cloud; 0 while there is none */
	uint8_t came_back;			/* how often, by its addresses, it may have passed through us before */
	uint32_t generation;			/* how often the slot was used: the upper half of the id */
	struct flow_address *cloud;		/* candidates; only while CONNECTING to one of several */
	uint64_t stored;			/* ticket: its sockets are in the store */
};

struct queue {
	uint32_t first, last;
};

struct flows {
	struct flow *slots;			/* [limit_made]; memory comes with use */
	struct flow_entry *entries;
	struct flow_table_header *table;	/* the entries are behind it */
	size_t table_size;
	int table_fd, epoll;
	unsigned limit_made, now;
	uint32_t free, unused;			/* list of free slots; slots from here on were never used */
	struct flows_options options;
	struct pipes pipes;
	struct tap tap;
	struct queue run, starving;
	uint32_t minded;			/* flows_mind_windows() goes on here */
	uint16_t *near_ports;			/* [65536]: how many of our connections to clouds have this port */
	uint32_t lists[LIST_COUNT];
	struct device_use {
		char name[CONFIG_NAME_MAX];
		unsigned flows;
	} use[CONFIG_DEVICES_MAX * 2];
	sd_event *event;
	sd_event_source *io, *more, *timer;
	void (*room)(void *ctx);
	void *room_ctx;
	void (*unreachable)(void *ctx, const char *name);
	void *unreachable_ctx;
	bool looping;			/* in flows_loop() */
	bool touched;			/* sd-event was told something that it arms only when it prepares */
	bool was_full;			/* and has not become much emptier since */
	uint64_t opened, refused, bytes[DIR_COUNT];
};

/* ---------------------------------------------------------------- flow_restore.c */
/* Takes over the table of the store, or makes a new one: 0 or -errno. */
int flow_table_open(struct flows *t);
/* Goes on with the flows of a table that was taken over; returns how many. The event sources are there already. */
unsigned flow_restore_all(struct flows *t);

/* ---------------------------------------------------------------- flow.c */
struct device_use *flow_device_use(struct flows *t, const char *name);

/* ---------------------------------------------------------------- flow_queue.c */
/* A list has a deadline for each of its flows, and the table's timer runs while one of them has any. */
void flow_timer_at_most(struct flows *t, unsigned ms);	/* it fires in ms at the latest */
void flow_list_add(struct flows *t, enum flow_list list, uint32_t slot, int64_t deadline);
void flow_list_remove(struct flows *t, enum flow_list list, uint32_t slot);

/* A flow is in one queue at most; to put it there again does nothing. */
void flow_queue_put(struct flows *t, struct queue *q, uint32_t slot);
uint32_t flow_queue_take(struct flows *t, struct queue *q);	/* NO_SLOT: empty */
void flow_queue_remove(struct flows *t, struct queue *q, uint32_t slot);

/* ---------------------------------------------------------------- flow_life.c */
/* In the store: which socket of which slot, and of the flows that used the slot which one, as short as it can be. */
void flow_socket_name(uint32_t slot, uint32_t generation, enum dir side, char ret[static STORE_FLOW_NAME_SIZE]);

int flow_side_fd(const struct flow *f, enum dir side);
void flow_set_side_fd(struct flow *f, enum dir side, int fd);
int flow_watch(struct flows *t, uint32_t slot, enum dir side);

/* The only place where a flow's state changes. */
void flow_set_state(struct flows *t, uint32_t slot, enum flow_state state);
/* The first cause of an end is kept. */
void flow_set_end(struct flow *f, enum flow_end end, int error);
/* Closes what is left of a flow, tells the ring, frees the slot. reset: the sockets that are left get a RST. */
void flow_finish(struct flows *t, uint32_t slot, bool reset);

/* Starts the connection to the candidate whose turn it is: 0 or -errno. */
int flow_connect_candidate(struct flows *t, uint32_t slot);
/* It failed with e (-errno): the next one, or the end. */
void flow_connect_failed(struct flows *t, uint32_t slot, int e);
/* The device gave up before the cloud answered, and left no bytes that would still have to go there. */
bool flow_device_gave_up(const struct flow *f);

/*
 * A side failed, but what it had sent before can not go on yet: it gets as long as in the state RESETTING, then flow_give_up()
 * ends it.
 */
void flow_hurry(struct flows *t, uint32_t slot);
void flow_give_up(struct flows *t, uint32_t slot);

/* Does what can be done now. Afterwards the slot may be free. */
void flow_service(struct flows *t, uint32_t slot);

#endif
