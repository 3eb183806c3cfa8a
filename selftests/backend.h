/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One face for the two epolls, so that a test is written once and runs on both.
 *
 * Every function returns what the system call of that name returns, with errno.
 * The bodies for the module are the thinnest possible: a structure and an
 * ioctl.  Checks that native epoll makes and an ioctl cannot (EBADF before
 * EINVAL, EINVAL for a descriptor that is no instance) are not imitated here;
 * docs/conformance.md lists them.
 */
#ifndef SELFTESTS_BACKEND_H
#define SELFTESTS_BACKEND_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/myepoll.h>

#ifndef EPOLL_URING_WAKE
#define EPOLL_URING_WAKE (1U << 27)
#endif

/* The kernel's signal set is 64 bits on every architecture we run on. */
#define KERNEL_SIGSETSIZE 8

/*
 * struct backend - one of the two epolls
 * @name: "native" or "myepoll"
 * @ours: it is the module
 * @plain: its calls are bare ioctls: what the VFS refuses is not put right
 * @both: it takes native instances, too
 * @fixed_sigset: its pwait functions have no sigsetsize
 * @create: epoll_create1(flags); myepoll: MYEPOLL_IOC_CREATE on /dev/myepoll
 * @ctl: epoll_ctl
 * @wait: epoll_wait, timeout in milliseconds, negative for ever
 * @pwait: epoll_pwait with the kernel's sigsetsize
 * @pwait2: epoll_pwait2, timeout NULL for ever
 */
struct backend {
	const char *name;
	bool ours;
	bool plain;
	bool both;
	bool fixed_sigset;
	int (*create)(int flags);
	int (*ctl)(int epfd, int op, int fd, struct epoll_event *event);
	int (*wait)(int epfd, struct epoll_event *events, int maxevents,
		    int timeout);
	int (*pwait)(int epfd, struct epoll_event *events, int maxevents,
		     int timeout, const sigset_t *mask, size_t sigsetsize);
	int (*pwait2)(int epfd, struct epoll_event *events, int maxevents,
		      const struct timespec *timeout, const sigset_t *mask,
		      size_t sigsetsize);
};

static inline int native_create(int flags)
{
	return syscall(SYS_epoll_create1, flags);
}

static inline int native_ctl(int epfd, int op, int fd,
			     struct epoll_event *event)
{
	return syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

static inline int native_pwait(int epfd, struct epoll_event *events,
			       int maxevents, int timeout, const sigset_t *mask,
			       size_t sigsetsize)
{
	return syscall(SYS_epoll_pwait, epfd, events, maxevents, timeout, mask,
		       sigsetsize);
}

static inline int native_wait(int epfd, struct epoll_event *events,
			      int maxevents, int timeout)
{
#ifdef SYS_epoll_wait
	return syscall(SYS_epoll_wait, epfd, events, maxevents, timeout);
#else
	return native_pwait(epfd, events, maxevents, timeout, NULL, 0);
#endif
}

/* What the kernel reads: 64-bit fields, also from a 32-bit program. */
struct backend_timespec {
	int64_t tv_sec;
	int64_t tv_nsec;
};

static inline int native_pwait2(int epfd, struct epoll_event *events,
				int maxevents, const struct timespec *timeout,
				const sigset_t *mask, size_t sigsetsize)
{
#ifdef __LP64__
	return syscall(SYS_epoll_pwait2, epfd, events, maxevents, timeout, mask,
		       sigsetsize);
#else
	struct backend_timespec ts;

	if (!timeout)
		return syscall(SYS_epoll_pwait2, epfd, events, maxevents, NULL,
			       mask, sigsetsize);
	ts.tv_sec = timeout->tv_sec;
	ts.tv_nsec = timeout->tv_nsec;
	return syscall(SYS_epoll_pwait2, epfd, events, maxevents, &ts, mask,
		       sigsetsize);
#endif
}

static inline int ours_create(int flags)
{
	struct myepoll_create create = { .flags = flags };
	int dev, fd, err;

	dev = open(MYEPOLL_DEVICE, O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return -1;
	fd = ioctl(dev, MYEPOLL_IOC_CREATE, &create);
	err = errno;
	close(dev);
	errno = err;
	return fd;
}

static inline int ours_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	struct myepoll_ctl ctl = {
		.op = op,
		.fd = fd,
		.event = (uintptr_t)event,
	};

	return ioctl(epfd, MYEPOLL_IOC_CTL, &ctl);
}

static inline int ours_pwait(int epfd, struct epoll_event *events,
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
	return ioctl(epfd, MYEPOLL_IOC_WAIT, &wait);
}

static inline int ours_wait(int epfd, struct epoll_event *events, int maxevents,
			    int timeout)
{
	return ours_pwait(epfd, events, maxevents, timeout, NULL, 0);
}

static inline int ours_pwait2(int epfd, struct epoll_event *events,
			      int maxevents, const struct timespec *timeout,
			      const sigset_t *mask, size_t sigsetsize)
{
	struct myepoll_wait wait = {
		.events = (uintptr_t)events,
		.maxevents = maxevents,
		.sigmask = (uintptr_t)mask,
		.sigsetsize = sigsetsize,
	};

#ifndef __LP64__
	struct backend_timespec ts;

	if (timeout) {
		ts.tv_sec = timeout->tv_sec;
		ts.tv_nsec = timeout->tv_nsec;
		timeout = (const void *)&ts;
	}
#endif
	if (timeout) {
		wait.flags = MYEPOLL_WAIT_TIMEOUT_PTR;
		wait.timeout_sec = (uintptr_t)timeout;
	}
	return ioctl(epfd, MYEPOLL_IOC_WAIT, &wait);
}

static const struct backend backend_native __attribute__((unused)) = {
	.name = "native",
	.ours = false,
	.create = native_create,
	.ctl = native_ctl,
	.wait = native_wait,
	.pwait = native_pwait,
	.pwait2 = native_pwait2,
};

static const struct backend backend_myepoll __attribute__((unused)) = {
	.name = "myepoll",
	.ours = true,
	.plain = true,
	.create = ours_create,
	.ctl = ours_ctl,
	.wait = ours_wait,
	.pwait = ours_pwait,
	.pwait2 = ours_pwait2,
};

#endif /* SELFTESTS_BACKEND_H */
