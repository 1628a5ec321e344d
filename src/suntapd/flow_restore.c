/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flow_restore.c - the flow table, and going on where another suntapd was interrupted
 *
 * What has to be known of a flow is in its entry or can be asked of the kernel: what a pipe holds (FIONREAD), how much a
 * socket has received and how much of that is still unread (tcpi_bytes_received, SIOCINQ), how far a connection is (TCP_INFO).
 * A FIN need not be remembered: splice() returns 0 again, and shutdown() may be repeated.
 *
 *	stream of a direction:   0 ............ forwarded ........ taken ........ received
 *	                              gone on     │  in the pipe     │  in the socket
 *	                         0 ......... copied (to the ring), anywhere up to taken
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "shared/log.h"
#include "suntapd/flow_private.h"
#include "suntapd/store.h"

static const char *const table_names[] = { "table", "table-2" };

/* The kernel's numbers; of the headers for programs, the one with these and the one with the long tcp_info exclude each other. */
enum { STATE_SYN_SENT = 2, STATE_TIME_WAIT = 6, STATE_CLOSE = 7, STATE_CLOSE_WAIT = 8, STATE_LAST_ACK = 9, STATE_CLOSING = 11 };

/* ---------------------------------------------------------------- the table */
static int map_table(int fd, struct flow_table_header **ret, size_t *ret_size)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < FLOW_TABLE_HEADER)
		return -EBADMSG;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	*ret_size = (size_t)st.st_size;
	return 0;
}

static bool can_take_over(const struct flow_table_header *h, size_t size)
{
	return h->magic == FLOW_TABLE_MAGIC && h->version == FLOW_TABLE_VERSION && h->entry_size >= sizeof(struct flow_entry) &&
	       h->entry_size <= 65536 && size == FLOW_TABLE_HEADER + (size_t)h->entry_size * h->slots;
}

static int new_table(struct flows *t)
{
	size_t size = FLOW_TABLE_HEADER + t->limit_made * sizeof(struct flow_entry);
	int e;

	t->table_fd = memfd_create("suntap-flows", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (t->table_fd < 0)
		return -errno;
	if (ftruncate(t->table_fd, (off_t)size) < 0 ||
	    fcntl(t->table_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	e = map_table(t->table_fd, &t->table, &t->table_size);
	if (e < 0)
		return e;
	t->table->magic = FLOW_TABLE_MAGIC;
	t->table->version = FLOW_TABLE_VERSION;
	t->table->entry_size = sizeof(struct flow_entry);
	t->table->slots = t->limit_made;
	t->entries = (struct flow_entry *)(void *)((uint8_t *)t->table + FLOW_TABLE_HEADER);
	return 0;
}

/* Into a table of ours: another version's entries may be larger, another limit may have been in force. */
static void copy_entries(struct flows *t, const struct flow_table_header *old)
{
	const uint8_t *from = (const uint8_t *)old + FLOW_TABLE_HEADER;

	for (uint32_t slot = 0; slot < old->slots; slot++, from += old->entry_size) {
		if (slot < t->limit_made)
			memcpy(&t->entries[slot], from, sizeof(struct flow_entry));
	}
}

int flow_table_open(struct flows *t)
{
	struct flow_table_header *old = NULL;
	int CLEANUP(closep) fd = store_take("%s", table_names[0]);
	int CLEANUP(closep) other_fd = store_take("%s", table_names[1]);
	int which = 0;
	size_t old_size = 0;
	void *p;
	int e;

	if (fd < 0) {
		which = 1;
		fd = other_fd;
		other_fd = -1;
	} else if (other_fd >= 0) {
		store_remove("%s", table_names[1]);	/* somebody was killed between the two lines below: they say the same */
	}
	p = mmap(NULL, t->limit_made * sizeof(struct flow), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	t->slots = p;
	if (fd >= 0 && map_table(fd, &old, &old_size) == 0 && !can_take_over(old, old_size)) {
		log_warning("the flows of another suntapd are of a version that can not be taken over: they are closed");
		munmap(old, old_size);
		old = NULL;
	}
	if (old && old->entry_size == sizeof(struct flow_entry) && old->slots == t->limit_made) {
		t->table = old;
		t->table_size = old_size;
		t->table_fd = fd;
		t->entries = (struct flow_entry *)(void *)((uint8_t *)old + FLOW_TABLE_HEADER);
		fd = -1;
		return 0;
	}
	e = new_table(t);
	if (e < 0)
		return e;
	if (old)
		copy_entries(t, old);
	store_put(t->table_fd, "%s", table_names[!which]);
	if (fd >= 0)
		store_remove("%s", table_names[which]);
	if (old)
		munmap(old, old_size);
	return 0;
}

/* ---------------------------------------------------------------- one flow */
/*
 * How many bytes of payload have been read from a socket, by us and those before us; `known` is what was written down of it, which
 * lags behind at most.
 */
static uint64_t bytes_taken(int fd, uint64_t known)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);
	int unread = 0;
	uint64_t received;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 || ioctl(fd, SIOCINQ, &unread) < 0)
		return 0;
	received = info.tcpi_bytes_received;
	if (received < (uint64_t)unread)
		return 0;
	received -= (uint64_t)unread;
	/* the kernel counts a FIN as one; a closed connection may have ended by one, or by a reset */
	if (info.tcpi_state == STATE_CLOSE_WAIT || info.tcpi_state == STATE_LAST_ACK || info.tcpi_state == STATE_CLOSING ||
	    info.tcpi_state == STATE_TIME_WAIT || (info.tcpi_state == STATE_CLOSE && received == known + 1))
		received -= received > 0;
	return received;
}

static bool is_connected(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state != STATE_SYN_SENT;
}

/* false: bytes are lost that were taken from one side and not given to the other. */
static bool restore_direction(struct flows *t, uint32_t slot, enum dir dir)
{
	struct relay_dir *d = &t->slots[slot].dir[dir];
	struct flow_entry *entry = &t->entries[slot];
	uint64_t taken;
	int claimed = entry->pipe[dir] ? pipes_claim(&t->pipes, entry->pipe[dir], &d->pipe, &d->pending) : 0;

	if (claimed == 0)
		entry->pipe[dir] = 0;
	/* no edge will tell what came while nobody was there */
	d->readable = d->writable = true;
	if (claimed < 0)
		return false;
	if (d->from < 0)
		return true;
	taken = bytes_taken(d->from, entry->forwarded[dir] + d->pending);
	if (taken < d->pending)
		taken = d->pending;
	entry->forwarded[dir] = taken - d->pending;
	if (entry->flags & FLOW_UNTAPPED)
		return true;
	/* of what is in the pipe, the ring gets what it did not get before; what is not there any more is a gap */
	if (entry->copied[dir] < entry->forwarded[dir])
		d->lost = entry->forwarded[dir] - entry->copied[dir];
	if (entry->copied[dir] < taken && d->pending > 0)
		tap_repeat(&t->tap, entry->id, dir, d->pipe, entry->forwarded[dir], d->pending, entry->copied[dir], &d->lost);
	entry->copied[dir] = taken;
	return true;
}

static int take_side(uint32_t slot, uint32_t generation, enum dir side)
{
	char name[STORE_FLOW_NAME_SIZE];

	flow_socket_name(slot, generation, side, name);
	return store_take("%s", name);
}

/*
 * The entry says at any moment what the next suntapd needs, should this one be killed here: as long as a pipe may hold something,
 * the state is OPEN (or RESETTING, which is restored as OPEN).
 */
static bool restore(struct flows *t, uint32_t slot)
{
	struct flow_entry *entry = &t->entries[slot];
	struct flow *f = &t->slots[slot];
	struct device_use *use;
	struct flow_address near;
	int device, cloud;

	entry->name[sizeof(entry->name) - 1] = '\0';
	use = flow_device_use(t, entry->name);
	*f = (struct flow){ .generation = (uint32_t)(entry->id >> 32), .use = use ? (uint16_t)(use - t->use) : 0, .candidates = 1 };
	flow_set_side_fd(f, DIR_DEVICE, -1);
	flow_set_side_fd(f, DIR_CLOUD, -1);
	if (!use || entry->state == FLOW_FREE)
		return false;	/* store_drop_untaken() closes what there is */
	device = take_side(slot, f->generation, DIR_DEVICE);
	cloud = take_side(slot, f->generation, DIR_CLOUD);
	flow_set_side_fd(f, DIR_DEVICE, device);
	flow_set_side_fd(f, DIR_CLOUD, cloud);
	if (device < 0 && cloud < 0)
		return false;
	use->flows++;
	t->now++;
	if (entry->state == FLOW_CONNECTING)
		flow_list_add(t, LIST_CONNECTING, slot, now_monotonic() + t->options.connect_timeout * NSEC_PER_SEC);
	else
		entry->state = FLOW_OPEN;
	if (device >= 0)
		flow_watch(t, slot, DIR_DEVICE);
	if (cloud >= 0) {
		flow_watch(t, slot, DIR_CLOUD);
		if (socket_name(cloud, &near) && near.port) {
			f->near_port = near.port;
			t->near_ports[near.port]++;
		}
	}
	if (entry->state == FLOW_CONNECTING && device < 0) {
		flow_finish(t, slot, true);
	} else if (entry->state == FLOW_CONNECTING) {
		f->dir[DIR_DEVICE].readable = true;
		if (cloud >= 0)
			f->dir[DIR_DEVICE].writable = is_connected(cloud);
		else if (flow_connect_candidate(t, slot) < 0)
			flow_connect_failed(t, slot, -ENETUNREACH);
	} else {
		bool whole = restore_direction(t, slot, DIR_DEVICE);

		whole = restore_direction(t, slot, DIR_CLOUD) && whole;
		if (!whole) {
			/* a stream with a hole would look like a whole one */
			log_warning("flow of device %s: what was under way is lost, as its pipe was not kept: reset", entry->name);
			flow_set_end(f, FLOW_END_STOPPED, 0);
			flow_finish(t, slot, true);
		} else if (device < 0 || cloud < 0) {
			flow_set_state(t, slot, FLOW_RESETTING);
		}
	}
	if (entry->state != FLOW_FREE)
		flow_queue_put(t, &t->run, slot);
	return true;
}

unsigned flow_restore_all(struct flows *t)
{
	uint32_t highest = 0;

	for (uint32_t slot = 0; slot < t->limit_made; slot++)
		if (t->entries[slot].id)
			t->unused = slot + 1;
	for (uint32_t slot = 0; slot < t->unused; slot++) {
		uint64_t id = t->entries[slot].id;

		if ((uint32_t)(id >> 32) > highest)
			highest = (uint32_t)(id >> 32);
	}
	for (uint32_t slot = 0; slot < t->unused; slot++) {
		struct flow_entry *entry = &t->entries[slot];

		if (entry->id && flow_id_slot(entry->id) == slot && restore(t, slot))
			continue;
		memset(entry, 0, sizeof(*entry));
		t->slots[slot] = (struct flow){ .generation = highest, .next = t->free };
		flow_set_side_fd(&t->slots[slot], DIR_DEVICE, -1);
		flow_set_side_fd(&t->slots[slot], DIR_CLOUD, -1);
		t->free = slot;
	}
	pipes_drop_unclaimed(&t->pipes);
	return t->now;
}
