/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Turns the epoll calls of a program to the module, for the kernel's own
 * epoll_wakeup_test.c, which is compiled unchanged:
 *
 *	gcc -include wakeup_map.h ... epoll_wakeup_test.c
 *
 * That program makes some of its calls by syscall(2) with the numbers below.
 * Every instance it asks for is one of the module; without the module it fails.
 */
#ifndef SELFTESTS_WAKEUP_MAP_H
#define SELFTESTS_WAKEUP_MAP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdarg.h>

#include "backend.h"

static inline int map_create(int size)
{
	if (size <= 0) {
		errno = EINVAL;
		return -1;
	}
	return backend_myepoll.create(0);
}

/* What libc does: the kernel's signal set is the first 8 bytes of its own. */
static inline int map_pwait(int epfd, struct epoll_event *events, int maxevents,
			    int timeout, const sigset_t *mask)
{
	return backend_myepoll.pwait(epfd, events, maxevents, timeout, mask,
				     KERNEL_SIGSETSIZE);
}

static inline int map_pwait2(int epfd, struct epoll_event *events, int maxevents,
			     const struct timespec *timeout, const sigset_t *mask)
{
	return backend_myepoll.pwait2(epfd, events, maxevents, timeout, mask,
				      KERNEL_SIGSETSIZE);
}

/* The real one, under a name that the macro at the end does not catch. */
static inline long map_real_syscall(long number, const long arg[6])
{
	return syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

/*
 * All arguments of a system call are one register wide, so they can be taken as
 * long whatever their type was.  Reading more than were passed yields junk that
 * the kernel does not look at either.
 */
static inline long map_syscall(long number, ...)
{
	long arg[6];
	va_list ap;
	int i;

	va_start(ap, number);
	for (i = 0; i < 6; i++)
		arg[i] = va_arg(ap, long);
	va_end(ap);

	switch (number) {
#ifdef SYS_epoll_create
	case SYS_epoll_create:
		return map_create(arg[0]);
#endif
	case SYS_epoll_create1:
		return backend_myepoll.create(arg[0]);
	case SYS_epoll_ctl:
		return backend_myepoll.ctl(arg[0], arg[1], arg[2], (void *)arg[3]);
#ifdef SYS_epoll_wait
	case SYS_epoll_wait:
		return backend_myepoll.wait(arg[0], (void *)arg[1], arg[2], arg[3]);
#endif
	case SYS_epoll_pwait:
		return backend_myepoll.pwait(arg[0], (void *)arg[1], arg[2], arg[3],
					     (void *)arg[4], arg[5]);
	case SYS_epoll_pwait2:
		return backend_myepoll.pwait2(arg[0], (void *)arg[1], arg[2],
					      (void *)arg[3], (void *)arg[4], arg[5]);
	default:
		return map_real_syscall(number, arg);
	}
}

#define epoll_create(size)	map_create(size)
#define epoll_create1(flags)	(backend_myepoll.create(flags))
#define epoll_ctl(epfd, op, fd, event) \
	(backend_myepoll.ctl(epfd, op, fd, event))
#define epoll_wait(epfd, events, maxevents, timeout) \
	(backend_myepoll.wait(epfd, events, maxevents, timeout))
#define epoll_pwait(epfd, events, maxevents, timeout, mask) \
	map_pwait(epfd, events, maxevents, timeout, mask)
#define epoll_pwait2(epfd, events, maxevents, timeout, mask) \
	map_pwait2(epfd, events, maxevents, timeout, mask)
#define syscall(...)		map_syscall(__VA_ARGS__)

#endif /* SELFTESTS_WAKEUP_MAP_H */
