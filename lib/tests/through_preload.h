/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tests of selftests/ through the preload library: compiled with -include of
 * this, each of their fixtures runs on libc's epoll functions and on syscall(2)
 * with epoll's numbers, with the preload library before libc.
 */
#ifndef LIB_TESTS_THROUGH_PRELOAD_H
#define LIB_TESTS_THROUGH_PRELOAD_H

#include "preload_self.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "raw.h"

/*
 * Arguments of a system call are one register wide and can be taken as long;
 * those that were not passed are junk that the kernel does not look at.
 */
static inline long through_kernel(long number, ...)
{
	long arg[6], ret;
	va_list ap;
	int i;

	va_start(ap, number);
	for (i = 0; i < 6; i++)
		arg[i] = va_arg(ap, long);
	va_end(ap);
	ret = raw_syscall6(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	if (ret >= 0 || ret < -4095)
		return ret;
	errno = -ret;
	return -1;
}

/*
 * backend_native stays native: its calls go to the kernel.  The preload library
 * is called by (syscall)(...), which is no use of this macro.
 */
#define syscall(...) through_kernel(__VA_ARGS__)

#include "backend.h"

static inline int call_create(int flags)
{
	return (syscall)(SYS_epoll_create1, flags);
}

static inline int call_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	return (syscall)(SYS_epoll_ctl, epfd, op, fd, event);
}

static inline int call_wait(int epfd, struct epoll_event *events, int maxevents,
			    int timeout)
{
	return (syscall)(RAW_EPOLL_WAIT, epfd, events, maxevents, timeout, NULL, 0);
}

static inline int call_pwait(int epfd, struct epoll_event *events,
			     int maxevents, int timeout, const sigset_t *mask,
			     size_t sigsetsize)
{
	return (syscall)(SYS_epoll_pwait, epfd, events, maxevents, timeout, mask,
			 sigsetsize);
}

static inline int call_pwait2(int epfd, struct epoll_event *events,
			      int maxevents, const struct timespec *timeout,
			      const sigset_t *mask, size_t sigsetsize)
{
	return (syscall)(SYS_epoll_pwait2, epfd, events, maxevents, timeout, mask,
			 sigsetsize);
}

/* A mask of another size cannot be said to libc. */
static inline int libc_pwait(int epfd, struct epoll_event *events,
			     int maxevents, int timeout, const sigset_t *mask,
			     size_t sigsetsize)
{
	if (sigsetsize != KERNEL_SIGSETSIZE)
		return call_pwait(epfd, events, maxevents, timeout, mask,
				  sigsetsize);
	return epoll_pwait(epfd, events, maxevents, timeout, mask);
}

static inline int libc_pwait2(int epfd, struct epoll_event *events,
			      int maxevents, const struct timespec *timeout,
			      const sigset_t *mask, size_t sigsetsize)
{
	if (sigsetsize != KERNEL_SIGSETSIZE)
		return call_pwait2(epfd, events, maxevents, timeout, mask,
				   sigsetsize);
	return epoll_pwait2(epfd, events, maxevents, timeout, mask);
}

static const struct backend backend_preload = {
	.name = "preload",
	.ours = true,
	.both = true,
	.create = epoll_create1,
	.ctl = epoll_ctl,
	.wait = epoll_wait,
	.pwait = libc_pwait,
	.pwait2 = libc_pwait2,
};

static const struct backend backend_preload_syscall = {
	.name = "preload, syscall(2)",
	.ours = true,
	.both = true,
	.create = call_create,
	.ctl = call_ctl,
	.wait = call_wait,
	.pwait = call_pwait,
	.pwait2 = call_pwait2,
};

#define BACKEND_VARIANTS(fixture)				\
	FIXTURE_VARIANT(fixture)				\
	{							\
		const struct backend *be;			\
	};							\
	FIXTURE_VARIANT_ADD(fixture, preload)			\
	{							\
		.be = &backend_preload,				\
	};							\
	FIXTURE_VARIANT_ADD(fixture, syscall)			\
	{							\
		.be = &backend_preload_syscall,			\
	}

#endif /* LIB_TESTS_THROUGH_PRELOAD_H */
