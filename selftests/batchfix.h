/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For the tests of MYEPOLL_IOC_BATCH: the fixture, short forms of changes and
 * waits, and the same changes made by single calls.
 *
 * Include this after kselftest_harness.h.
 */
#ifndef SELFTESTS_BATCHFIX_H
#define SELFTESTS_BATCHFIX_H

#include <sys/eventfd.h>

#include "observe.h"

#define FILES 4
/* Watched once */
#define ARMED (EPOLLIN | EPOLLONESHOT)

/*
 * ep: an instance of ours; native: one of native epoll, which is told the same
 * by single calls; fd: eventfds, not watched, readable
 */
FIXTURE(batch)
{
	int ep;
	int native;
	int fd[FILES];
};

FIXTURE_SETUP(batch)
{
	int i;

	REQUIRE_BACKEND(&backend_myepoll);
	self->ep = backend_myepoll.create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->native = backend_native.create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->native);
	for (i = 0; i < FILES; i++) {
		self->fd[i] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
		ASSERT_LE(0, self->fd[i]);
	}
}

FIXTURE_TEARDOWN(batch)
{
	close(self->ep);
	close(self->native);
}

typedef FIXTURE_DATA(batch) batch_fixture;

/* ---- changes ---- */

static inline struct myepoll_change change_of(int op, int fd, uint32_t events,
					      uint64_t data)
{
	return (struct myepoll_change){
		.op = op, .fd = fd, .events = events, .data = data,
	};
}

static inline struct myepoll_change add_of(int fd, uint32_t events,
					   uint64_t data)
{
	return change_of(EPOLL_CTL_ADD, fd, events, data);
}

static inline struct myepoll_change mod_of(int fd, uint32_t events,
					   uint64_t data)
{
	return change_of(EPOLL_CTL_MOD, fd, events, data);
}

static inline struct myepoll_change del_of(int fd)
{
	return change_of(EPOLL_CTL_DEL, fd, 0, 0);
}

/* The call without a wait; what it has to write is poisoned. */
static inline struct myepoll_batch batch_of(const struct myepoll_change *changes,
					    uint32_t nr)
{
	return (struct myepoll_batch){
		.changes = (uintptr_t)changes, .nr = nr, .done = POISON32,
	};
}

static inline int batch_make(int ep, const struct myepoll_change *changes,
			     uint32_t nr, uint32_t *done)
{
	struct myepoll_batch batch = batch_of(changes, nr);
	int ret = ioctl(ep, MYEPOLL_IOC_BATCH, &batch);

	*done = batch.done;
	return ret;
}

/* A change alone, by the call for one change */
static inline int make_one(const struct backend *be, int ep,
			   const struct myepoll_change *change)
{
	return xctl(be, ep, change->op, change->fd, change->events,
		    change->data);
}

/* What BATCH does, by single calls: how many were made, and errno, 0 if all. */
static inline uint32_t make_singly(const struct backend *be, int ep,
				   const struct myepoll_change *changes,
				   uint32_t nr)
{
	uint32_t i;

	errno = 0;
	for (i = 0; i < nr; i++)
		if (make_one(be, ep, &changes[i]))
			break;
	return i;
}

/* ---- waits ---- */

static inline struct myepoll_wait wait_forever(struct epoll_event *ev, int max)
{
	return (struct myepoll_wait){
		.events = (uintptr_t)ev, .maxevents = max,
	};
}

static inline struct myepoll_wait wait_for(struct epoll_event *ev, int max,
					   int64_t ns)
{
	return (struct myepoll_wait){
		.events = (uintptr_t)ev, .maxevents = max,
		.flags = MYEPOLL_WAIT_TIMEOUT,
		.timeout_sec = ns / 1000000000, .timeout_nsec = ns % 1000000000,
	};
}

static inline int batch_wait(int ep, const struct myepoll_change *changes,
			     uint32_t nr, const struct myepoll_wait *wait,
			     uint32_t *done)
{
	struct myepoll_batch batch = batch_of(changes, nr);
	int ret;

	batch.wait = (uintptr_t)wait;
	batch.waitsize = sizeof(*wait);
	ret = ioctl(ep, MYEPOLL_IOC_BATCH, &batch);
	*done = batch.done;
	return ret;
}

#endif /* SELFTESTS_BATCHFIX_H */
