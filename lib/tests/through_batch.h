/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tests of selftests/ through batches: compiled with -include of this, each
 * of their fixtures makes its changes one by one, each a batch without a wait,
 * and waits by batches without a change.
 */
#ifndef LIB_TESTS_THROUGH_BATCH_H
#define LIB_TESTS_THROUGH_BATCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdlib.h>
#include <sys/uio.h>

#include "backend.h"
#include "myepoll.h"

/*
 * The tests know two answers on a file that is no instance, and when: native's,
 * after all other checks, and ENOTTY before them.  A batch, which native epoll does
 * not have, says EINVAL before them.
 */
static inline int batch_answer(int epfd, int ret)
{
	if (ret < 0 && errno == EINVAL)
		errno = myepoll_probe(epfd, NULL) ? ENOTTY : EINVAL;
	return ret;
}

/* False if it cannot be read; a fault here would be ours and not the kernel's. */
static inline bool batch_read(struct epoll_event *to, struct epoll_event *from)
{
	struct iovec here = { .iov_base = to, .iov_len = sizeof(*to) };
	struct iovec there = { .iov_base = from, .iov_len = sizeof(*from) };

	return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == sizeof(*to);
}

/* An event that cannot be read becomes a change that cannot be read. */
static inline int batch_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	struct myepoll_change change = { .op = op, .fd = fd };
	const struct myepoll_change *changes = &change;
	struct epoll_event copy = { 0 };
	void *unreadable = event;
	unsigned int done = 2;
	int ret;

	if (op != EPOLL_CTL_DEL && !batch_read(&copy, event))
		changes = unreadable;
	change.events = copy.events;
	change.data = copy.data.u64;
	ret = myepoll_batch(epfd, changes, 1, &done, NULL, 0, NULL, NULL);
	/* The tests do not know of it, so this is where it is looked at. */
	if (done != !ret)
		abort();
	return batch_answer(epfd, ret);
}

/* For a mask of a size that cannot be said to the library */
static inline int batch_sized(int epfd, struct epoll_event *events,
			      int maxevents, const struct timespec *timeout,
			      const sigset_t *mask, size_t sigsetsize)
{
	struct myepoll_wait wait = {
		.events = (uintptr_t)events,
		.maxevents = maxevents,
		.flags = timeout ? MYEPOLL_WAIT_TIMEOUT_PTR : 0,
		.sigmask = (uintptr_t)mask,
		.sigsetsize = sigsetsize,
		.timeout_sec = (uintptr_t)timeout,
	};
	struct myepoll_batch batch = {
		.wait = (uintptr_t)&wait,
		.waitsize = sizeof(wait),
	};

	return ioctl(epfd, MYEPOLL_IOC_BATCH, &batch);
}

static inline int batch_pwait2(int epfd, struct epoll_event *events,
			       int maxevents, const struct timespec *timeout,
			       const sigset_t *mask, size_t sigsetsize)
{
	if (sigsetsize != KERNEL_SIGSETSIZE && (mask || sigsetsize))
		return batch_sized(epfd, events, maxevents, timeout, mask,
				   sigsetsize);
	return batch_answer(epfd, myepoll_batch(epfd, NULL, 0, NULL, events,
						maxevents, timeout, mask));
}

static inline int batch_pwait(int epfd, struct epoll_event *events,
			      int maxevents, int timeout, const sigset_t *mask,
			      size_t sigsetsize)
{
	struct timespec ts = {
		.tv_sec = timeout / 1000,
		.tv_nsec = timeout % 1000 * 1000000L,
	};

	return batch_pwait2(epfd, events, maxevents, timeout < 0 ? NULL : &ts,
			    mask, sigsetsize);
}

static inline int batch_wait(int epfd, struct epoll_event *events, int maxevents,
			     int timeout)
{
	return batch_pwait(epfd, events, maxevents, timeout, NULL, 0);
}

static const struct backend backend_batch = {
	.name = "batch",
	.ours = true,
	.plain = true,
	.create = myepoll_create1,
	.ctl = batch_ctl,
	.wait = batch_wait,
	.pwait = batch_pwait,
	.pwait2 = batch_pwait2,
};

#define BACKEND_VARIANTS(fixture)				\
	FIXTURE_VARIANT(fixture)				\
	{							\
		const struct backend *be;			\
	};							\
	FIXTURE_VARIANT_ADD(fixture, batch)			\
	{							\
		.be = &backend_batch,				\
	}

#endif /* LIB_TESTS_THROUGH_BATCH_H */
