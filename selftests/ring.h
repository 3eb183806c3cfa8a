/* SPDX-License-Identifier: GPL-2.0-only */
/* As much of io_uring as the tests need, straight on its system calls. */
#ifndef SELFTESTS_RING_H
#define SELFTESTS_RING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RING_ENTRIES 32

/*
 * struct ring - a ring; the pointers are into what is mapped
 * @map: both queues in one mapping
 */
struct ring {
	int fd;
	void *map;
	size_t map_size;
	struct io_uring_sqe *sqes;
	size_t sqes_size;
	struct io_uring_cqe *cqes;
	uint32_t *sq_tail, *sq_array, *cq_head, *cq_tail;
	uint32_t sq_mask, cq_mask;
};

static inline int ring_map(struct ring *r, const struct io_uring_params *p)
{
	size_t sq = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
	size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(*r->cqes);
	char *map;

	if (!(p->features & IORING_FEAT_SINGLE_MMAP))
		return -1;
	r->map_size = sq > cq ? sq : cq;
	r->map = mmap(NULL, r->map_size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQ_RING);
	r->sqes_size = p->sq_entries * sizeof(*r->sqes);
	r->sqes = mmap(NULL, r->sqes_size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQES);
	if (r->map == MAP_FAILED || r->sqes == MAP_FAILED)
		return -1;
	map = r->map;
	r->sq_tail = (uint32_t *)(map + p->sq_off.tail);
	r->sq_mask = *(uint32_t *)(map + p->sq_off.ring_mask);
	r->sq_array = (uint32_t *)(map + p->sq_off.array);
	r->cq_head = (uint32_t *)(map + p->cq_off.head);
	r->cq_tail = (uint32_t *)(map + p->cq_off.tail);
	r->cq_mask = *(uint32_t *)(map + p->cq_off.ring_mask);
	r->cqes = (struct io_uring_cqe *)(map + p->cq_off.cqes);
	return 0;
}

static inline int ring_init(struct ring *r)
{
	struct io_uring_params p = { 0 };

	r->fd = syscall(SYS_io_uring_setup, RING_ENTRIES, &p);
	if (r->fd < 0)
		return -1;
	return ring_map(r, &p);
}

static inline void ring_unmap(struct ring *r)
{
	munmap(r->map, r->map_size);
	munmap(r->sqes, r->sqes_size);
}

static inline void ring_exit(struct ring *r)
{
	ring_unmap(r);
	close(r->fd);
}

/* Submits one request.  Returns 0, or -1 with errno. */
static inline int ring_submit(struct ring *r, const struct io_uring_sqe *sqe)
{
	uint32_t tail = *r->sq_tail, slot = tail & r->sq_mask;

	r->sqes[slot] = *sqe;
	r->sq_array[slot] = slot;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0) == 1 ? 0 : -1;
}

/* Takes a completion if there is one.  Returns 1 or 0. */
static inline int ring_peek(struct ring *r, struct io_uring_cqe *cqe)
{
	uint32_t head = *r->cq_head;

	/* let the kernel post what it has put off */
	syscall(SYS_io_uring_enter, r->fd, 0, 0, IORING_ENTER_GETEVENTS, NULL,
		0);
	if (head == __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE))
		return 0;
	*cqe = r->cqes[head & r->cq_mask];
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	return 1;
}

/* Waits for a completion and takes it.  Returns 1, or 0 if the wait failed. */
static inline int ring_wait(struct ring *r, struct io_uring_cqe *cqe)
{
	if (syscall(SYS_io_uring_enter, r->fd, 0, 1, IORING_ENTER_GETEVENTS,
		    NULL, 0) < 0 && errno != EINTR)
		return 0;
	return ring_peek(r, cqe);
}

static inline int ring_poll_add(struct ring *r, int fd, uint32_t events,
				uint32_t flags, uint64_t user_data)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_POLL_ADD,
		.fd = fd,
		.len = flags,
		.poll32_events = events,
		.user_data = user_data,
	};

	return ring_submit(r, &sqe);
}

#endif /* SELFTESTS_RING_H */
