/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tests of selftests/ through libmyepoll: compiled with -include of this,
 * each of their fixtures runs on the library instead of on both epolls.
 */
#ifndef LIB_TESTS_THROUGH_LIB_H
#define LIB_TESTS_THROUGH_LIB_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "backend.h"
#include "myepoll.h"

/* A mask of another size cannot be said here; the kernel is to hear of it. */
static inline int lib_pwait(int epfd, struct epoll_event *events, int maxevents,
			    int timeout, const sigset_t *mask, size_t sigsetsize)
{
	if (sigsetsize != KERNEL_SIGSETSIZE)
		return ours_pwait(epfd, events, maxevents, timeout, mask,
				  sigsetsize);
	return myepoll_pwait(epfd, events, maxevents, timeout, mask);
}

static inline int lib_pwait2(int epfd, struct epoll_event *events, int maxevents,
			     const struct timespec *timeout,
			     const sigset_t *mask, size_t sigsetsize)
{
	if (sigsetsize != KERNEL_SIGSETSIZE)
		return ours_pwait2(epfd, events, maxevents, timeout, mask,
				   sigsetsize);
	return myepoll_pwait2(epfd, events, maxevents, timeout, mask);
}

static const struct backend backend_lib = {
	.name = "libmyepoll",
	.ours = true,
	.fixed_sigset = true,
	.create = myepoll_create1,
	.ctl = myepoll_ctl,
	.wait = myepoll_wait,
	.pwait = lib_pwait,
	.pwait2 = lib_pwait2,
};

#define BACKEND_VARIANTS(fixture)				\
	FIXTURE_VARIANT(fixture)				\
	{							\
		const struct backend *be;			\
	};							\
	FIXTURE_VARIANT_ADD(fixture, lib)			\
	{							\
		.be = &backend_lib,				\
	}

#endif /* LIB_TESTS_THROUGH_LIB_H */
