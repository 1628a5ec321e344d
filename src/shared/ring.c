/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring.c - the sideband between suntapd (writes) and its decoder (reads); see ring.h
 *
 * Order of memory
 *	The writer stores tail after the payload (release), the reader loads it before (acquire); head the
 *	other way round. Resting is Dekker's: the reader stores `rest`, then looks at tail; the
 *	writer stores tail, then looks at `rest`; both sequentially consistent, so one sees the other.
 */
#include "shared/ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/util.h"

#define RING_MAGIC UINT64_C(0x3131706174736e73)

enum { RING_VERSION = 1, RING_PAGE = 4096 };

static uint64_t record_span(uint32_t length)
{
	return (RING_RECORD_SIZE + (uint64_t)length + RING_ALIGN - 1) & ~(uint64_t)(RING_ALIGN - 1);
}

/* Header page once, data twice in a row. */
static int map_ring(int fd, uint64_t size, int prot, uint8_t **ret)
{
	uint8_t *p = mmap(NULL, RING_PAGE + 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	if (mmap(p, RING_PAGE + size, prot, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ||
	    mmap(p + RING_PAGE + size, size, prot, MAP_SHARED | MAP_FIXED, fd, RING_PAGE) == MAP_FAILED) {
		int e = -errno;

		munmap(p, RING_PAGE + 2 * size);
		return e;
	}
	*ret = p;
	return 0;
}

static int make_memfd(const char *name, off_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		int e = -errno;

		close(fd);
		return e;
	}
	return fd;
}

static int map_head(struct ring *r)
{
	void *p;

	r->fds.head = make_memfd("suntap-ring-reader", RING_PAGE);
	if (r->fds.head < 0)
		return r->fds.head;
	p = mmap(NULL, RING_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, r->fds.head, 0);
	if (p == MAP_FAILED)
		return -errno;
	r->reader = p;
	return 0;
}

int ring_open(struct ring *r, size_t size)
{
	uint8_t *p;
	int e;

	*r = (struct ring){ .fds = { -1, -1, -1 } };
	if (size < 64 * 1024 || size > 1024 * 1024 * 1024 || (size & (size - 1)))
		return -EINVAL;
	r->size = size;

	e = r->fds.ring = make_memfd("suntap-ring", (off_t)(RING_PAGE + size));
	if (e < 0)
		goto fail;
	r->fds.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->fds.bell < 0) {
		e = -errno;
		goto fail;
	}
	e = map_ring(r->fds.ring, size, PROT_READ | PROT_WRITE, &p);
	if (e < 0)
		goto fail;
	r->shared = (struct ring_tail *)(void *)p;
	r->data = p + RING_PAGE;
	e = map_head(r);
	if (e < 0)
		goto fail;
	r->shared->magic = RING_MAGIC;
	r->shared->version = RING_VERSION;
	r->shared->size = size;
	return 0;
fail:
	ring_close(r);
	return e;
}

int ring_adopt(struct ring *r, const struct ring_fds *fds)
{
	const struct ring_head *old;
	struct stat st;
	uint8_t *p;
	int e = -EBADMSG;

	*r = (struct ring){ .fds = { fds->ring, -1, fds->bell } };
	if (fds->ring < 0 || fds->head < 0 || fds->bell < 0 || fstat(fds->ring, &st) < 0 || st.st_size <= RING_PAGE)
		goto fail;
	r->size = (uint64_t)st.st_size - RING_PAGE;
	if (r->size < 64 * 1024 || (r->size & (r->size - 1)))
		goto fail;
	e = map_ring(fds->ring, r->size, PROT_READ | PROT_WRITE, &p);
	if (e < 0)
		goto fail;
	r->shared = (struct ring_tail *)(void *)p;
	r->data = p + RING_PAGE;
	e = -EBADMSG;
	if (r->shared->magic != RING_MAGIC || r->shared->version != RING_VERSION || r->shared->size != r->size)
		goto fail;
	r->tail = atomic_load(&r->shared->tail);
	e = map_head(r);
	if (e < 0)
		goto fail;
	old = mmap(NULL, RING_PAGE, PROT_READ, MAP_SHARED, fds->head, 0);
	if (old == MAP_FAILED) {
		e = -errno;
		goto fail;
	}
	atomic_store(&r->reader->head, atomic_load(&old->head));
	atomic_store(&r->reader->readings, atomic_load(&old->readings));
	munmap((void *)(uintptr_t)old, RING_PAGE);
	close_fd(fds->head);
	if (ring_broken(r))
		ring_reset_reader(r);
	return 0;
fail:
	close_fd(fds->head);
	ring_close(r);
	return e;
}

void ring_close(struct ring *r)
{
	if (r->shared)
		munmap(r->shared, RING_PAGE + 2 * r->size);
	if (r->reader)
		munmap(r->reader, RING_PAGE);
	close_fd(r->fds.ring);
	close_fd(r->fds.head);
	close_fd(r->fds.bell);
	*r = (struct ring){ .fds = { -1, -1, -1 } };
}

int ring_reader_fd(const struct ring *r)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", r->fds.ring);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

uint64_t ring_unread(const struct ring *r)
{
	return r->tail - atomic_load_explicit(&r->reader->head, memory_order_acquire);
}

bool ring_broken(const struct ring *r)
{
	return ring_unread(r) > r->size;
}

size_t ring_room(const struct ring *r, size_t reserve)
{
	uint64_t unread = ring_unread(r), taken;

	if (unread > r->size)
		return 0;
	taken = unread + RING_RECORD_SIZE + RING_ALIGN + reserve;
	return taken >= r->size ? 0 : (size_t)(r->size - taken);
}

uint8_t *ring_payload(struct ring *r)
{
	return r->data + (r->tail & (r->size - 1)) + RING_RECORD_SIZE;
}

void ring_commit(struct ring *r, const struct ring_record *rec)
{
	memcpy(r->data + (r->tail & (r->size - 1)), rec, sizeof(*rec));
	r->tail += record_span(rec->length);
	atomic_store_explicit(&r->shared->tail, r->tail, memory_order_release);
	r->unrung = true;
}

int ring_put(struct ring *r, const struct ring_record *rec, const void *payload, size_t reserve)
{
	size_t room = ring_room(r, reserve);

	if (room == 0 || room < rec->length)
		return -ENOBUFS;
	if (rec->length)
		memcpy(ring_payload(r), payload, rec->length);
	ring_commit(r, rec);
	return 0;
}

static bool wants_bell(uint32_t rest, uint64_t unread, uint64_t size)
{
	return rest == RING_SLEEPING ? unread > 0 : rest == RING_NAPPING && unread >= size / 8;
}

void ring_ring(struct ring *r)
{
	uint64_t one = 1;

	if (!r->unrung)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	if (!wants_bell(atomic_load_explicit(&r->reader->rest, memory_order_relaxed), ring_unread(r), r->size))
		return;
	r->unrung = false;
	/* EAGAIN: the count is full, so it has been rung often enough */
	if (write(r->fds.bell, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
}

uint64_t ring_reset_reader(struct ring *r)
{
	uint64_t unread = ring_unread(r);

	atomic_store(&r->reader->head, r->tail);
	return unread > r->size ? r->size : unread;
}

uint64_t ring_skip_one(struct ring *r)
{
	/* the head is read once: a reader that is not quite dead may still write there */
	uint64_t head = atomic_load(&r->reader->head), unread = r->tail - head, span;
	struct ring_record rec;

	if (unread == 0 || unread > r->size)
		return 0;
	memcpy(&rec, r->data + (head & (r->size - 1)), sizeof(rec));
	span = record_span(rec.length);
	if (span > unread)	/* head does not stand at a record */
		span = unread;
	atomic_store(&r->reader->head, head + span);
	return span;
}

void ring_next_reader(struct ring *r)
{
	atomic_store(&r->reader->rest, RING_AWAKE);
	atomic_store(&r->reader->state, READER_STARTING);
}

/* ---------------------------------------------------------------- the reader */
int ring_view_open(struct ring_view *v, const struct ring_fds *fds)
{
	struct stat st;
	uint8_t *p;
	int e;

	*v = (struct ring_view){ .bell = fds->bell };
	if (fstat(fds->ring, &st) < 0)
		return -errno;
	if (st.st_size <= RING_PAGE)
		return -EBADMSG;
	v->size = (uint64_t)st.st_size - RING_PAGE;
	e = map_ring(fds->ring, v->size, PROT_READ, &p);
	if (e < 0)
		return e;
	v->shared = (const struct ring_tail *)(const void *)p;
	v->data = p + RING_PAGE;
	p = mmap(NULL, RING_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fds->head, 0);
	if (p == MAP_FAILED) {
		e = -errno;
		ring_view_close(v);
		return e;
	}
	v->reader = (struct ring_head *)(void *)p;
	if (v->shared->magic != RING_MAGIC || v->shared->version != RING_VERSION || v->shared->size != v->size) {
		ring_view_close(v);
		return -EBADMSG;
	}
	v->head = atomic_load(&v->reader->head);
	return 0;
}

void ring_view_close(struct ring_view *v)
{
	if (v->data)
		munmap((void *)(uintptr_t)v->shared, RING_PAGE + 2 * v->size);
	if (v->reader)
		munmap(v->reader, RING_PAGE);
	*v = (struct ring_view){ .bell = -1 };
}

static int record_at(const struct ring_view *v, uint64_t position, struct ring_record *ret, const uint8_t **ret_payload)
{
	uint64_t tail = atomic_load_explicit(&v->shared->tail, memory_order_acquire), unread = tail - position;
	const uint8_t *p;

	if (unread == 0)
		return 0;
	if (unread > v->size || unread < RING_RECORD_SIZE)
		return -EBADMSG;
	p = v->data + (position & (v->size - 1));
	memcpy(ret, p, sizeof(*ret));
	if (record_span(ret->length) > unread)
		return -EBADMSG;
	*ret_payload = p + RING_RECORD_SIZE;
	return 1;
}

int ring_view_next(struct ring_view *v, struct ring_record *ret, const uint8_t **ret_payload)
{
	return record_at(v, v->head, ret, ret_payload);
}

int ring_view_ahead(const struct ring_view *v, uint64_t *ahead, struct ring_record *ret, const uint8_t **ret_payload)
{
	int e = record_at(v, v->head + *ahead, ret, ret_payload);

	if (e > 0)
		*ahead += record_span(ret->length);
	return e;
}

void ring_view_release(struct ring_view *v, const struct ring_record *rec)
{
	v->head += record_span(rec->length);
	atomic_store_explicit(&v->reader->head, v->head, memory_order_release);
}

bool ring_view_rest(struct ring_view *v, enum ring_rest rest)
{
	atomic_store(&v->reader->rest, rest);
	atomic_thread_fence(memory_order_seq_cst);
	if (!wants_bell(rest, atomic_load(&v->shared->tail) - v->head, v->size))
		return true;
	atomic_store(&v->reader->rest, RING_AWAKE);
	return false;
}

void ring_view_awake(struct ring_view *v)
{
	uint64_t count;

	atomic_store(&v->reader->rest, RING_AWAKE);
	if (read(v->bell, &count, sizeof(count)) < 0)
		assert(errno == EAGAIN || errno == EINTR);
}
