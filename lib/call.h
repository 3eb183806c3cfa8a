/* SPDX-License-Identifier: MIT */
/*
 * The calls of the module, for the library and the preload library alike.  Each
 * returns what the system call of that name returns, an error as -errno.
 */
#ifndef MYEPOLL_LIB_CALL_H
#define MYEPOLL_LIB_CALL_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

#include <linux/myepoll.h>

#include "raw.h"

/* The kernel's signal set: the first bytes of libc's. */
#define KERNEL_SIGSET_SIZE 8

static inline long call_ioctl(int fd, unsigned long cmd, const void *arg)
{
	return raw_syscall3(SYS_ioctl, fd, (long)cmd, (long)arg);
}

static inline long call_close(int fd)
{
	return raw_syscall3(SYS_close, fd, 0, 0);
}

/*
 * 0 if the descriptor is an instance of the module; -EBADF if it is not open.
 * A file that knows no such call and says 0 to everything leaves @probe alone.
 */
static inline long call_probe(int fd, struct myepoll_probe *probe)
{
	long ret;

	probe->abi_version = 0;
	ret = call_ioctl(fd, MYEPOLL_IOC_PROBE, probe);
	if (ret < 0)
		return ret;
	return probe->abi_version ? 0 : -ENOTTY;
}

static inline bool call_is_ours(int fd)
{
	struct myepoll_probe probe;

	return !call_probe(fd, &probe);
}

static inline long call_create_from(int fd, int flags)
{
	struct myepoll_create create = { .flags = flags };

	return call_ioctl(fd, MYEPOLL_IOC_CREATE, &create);
}

/* The opened node is an instance too: for when there is room for one only. */
static inline long call_keep_node(int node, int flags)
{
	long ret = 0;

	if (!(flags & EPOLL_CLOEXEC))
		ret = raw_syscall3(SYS_fcntl, node, F_SETFD, 0);
	return ret < 0 ? ret : node;
}

/*
 * A new instance, under the lowest free number, as epoll_create1() promises:
 * the anonymous file that CREATE makes takes the place of the node.  What is
 * open in between has close-on-exec set.
 */
static inline long call_create(int flags)
{
	long node, fd, ret;

	node = raw_syscall4(SYS_openat, AT_FDCWD, (long)MYEPOLL_DEVICE,
			    O_RDWR | O_CLOEXEC | O_NOCTTY, 0);
	if (node < 0)
		return node;
	fd = call_create_from(node, EPOLL_CLOEXEC);
	if (fd == -EMFILE || fd == -ENFILE)
		return call_keep_node(node, flags);
	if (fd >= 0) {
		ret = raw_syscall3(SYS_dup3, fd, node,
				   flags & EPOLL_CLOEXEC ? O_CLOEXEC : 0);
		call_close(fd);
	} else {
		ret = fd;
	}
	if (ret < 0)
		call_close(node);
	return ret;
}

static inline long call_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	struct myepoll_ctl ctl = {
		.op = op,
		.fd = fd,
		.event = (uintptr_t)event,
	};

	return call_ioctl(epfd, MYEPOLL_IOC_CTL, &ctl);
}

/* @timeout in milliseconds, negative for ever */
static inline long call_pwait(int epfd, struct epoll_event *events,
			      int maxevents, int timeout, const sigset_t *mask,
			      size_t sigsetsize)
{
	struct myepoll_wait wait = {
		.events = (uintptr_t)events,
		.maxevents = maxevents,
		.sigmask = (uintptr_t)mask,
		.sigsetsize = sigsetsize,
	};

	if (timeout >= 0) {
		wait.flags = MYEPOLL_WAIT_TIMEOUT;
		wait.timeout_sec = timeout / 1000;
		wait.timeout_nsec = timeout % 1000 * 1000000L;
	}
	return call_ioctl(epfd, MYEPOLL_IOC_WAIT, &wait);
}

/* @timeout NULL for ever; the kernel reads it, so that EFAULT is its answer */
static inline struct myepoll_wait call_wait_until(struct epoll_event *events,
						  int maxevents,
						  const struct timespec *timeout,
						  const sigset_t *mask,
						  size_t sigsetsize)
{
	return (struct myepoll_wait) {
		.events = (uintptr_t)events,
		.maxevents = maxevents,
		.flags = timeout ? MYEPOLL_WAIT_TIMEOUT_PTR : 0,
		.sigmask = (uintptr_t)mask,
		.sigsetsize = sigsetsize,
		.timeout_sec = (uintptr_t)timeout,
	};
}

static inline long call_pwait2(int epfd, struct epoll_event *events,
			       int maxevents, const struct timespec *timeout,
			       const sigset_t *mask, size_t sigsetsize)
{
	struct myepoll_wait wait = call_wait_until(events, maxevents, timeout,
						   mask, sigsetsize);

	return call_ioctl(epfd, MYEPOLL_IOC_WAIT, &wait);
}

/* @wait NULL for none.  @batch->done is 0 before, for files that know no such call. */
static inline long call_batch(int epfd, struct myepoll_batch *batch,
			      const struct myepoll_wait *wait)
{
	batch->wait = (uintptr_t)wait;
	batch->waitsize = wait ? sizeof(*wait) : 0;
	return call_ioctl(epfd, MYEPOLL_IOC_BATCH, batch);
}

#endif /* MYEPOLL_LIB_CALL_H */
