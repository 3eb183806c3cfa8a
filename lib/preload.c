// SPDX-License-Identifier: MIT
/*
 * libmyepoll-preload: epoll calls of an unmodified program go to the module.
 *
 * WHOSE IS A DESCRIPTOR
 *	Nothing is remembered: dup, fork, exec, descriptors in messages and those
 *	that others left open need no care.  Each call is tried as an ioctl of
 *	the module, and the descriptor itself tells: an instance of the module
 *	carries the call out, and that is all.  Other files refuse the ioctl
 *	(native epoll with ENOTTY, since Linux 6.9 with EINVAL), and the call is
 *	made natively; see settled() for how the two are told apart.
 *
 * WHAT THE CALLS USE
 *	System calls and the thread's own memory.  No lock, no allocation, no
 *	function looked up: they work in signal handlers, after fork in a threaded
 *	program, and before any constructor has run.  errno is set only by a call
 *	that fails.
 *
 * DEVICE OUT OF REACH
 *	Instances are then native ones, or cannot be made, as MYEPOLL_REQUIRE
 *	says.  That is decided anew for each instance.
 */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "call.h"
#include "cancel.h"
#include "preload.h"

/* What the environment asks for, as bits of config */
#define CONFIG_READ	1	/* the rest is valid */
#define CONFIG_VERBOSE	2	/* MYEPOLL_VERBOSE */
#define CONFIG_REQUIRE	4	/* MYEPOLL_REQUIRE */
#define CONFIG_NO_URING	8	/* MYEPOLL_NO_IO_URING */

static atomic_int config;

static int config_bit(const char *name, int bit)
{
	const char *value = secure_getenv(name);

	return value && *value && strcmp(value, "0") ? bit : 0;
}

/*
 * As early as possible: the environment may change, and reading it while it
 * does is unsafe.
 */
static __attribute__((constructor)) void config_read(void)
{
	atomic_store(&config, CONFIG_READ |
		     config_bit("MYEPOLL_VERBOSE", CONFIG_VERBOSE) |
		     config_bit("MYEPOLL_REQUIRE", CONFIG_REQUIRE) |
		     config_bit("MYEPOLL_NO_IO_URING", CONFIG_NO_URING));
}

static bool configured(int bit)
{
	/* A constructor of somebody else comes before ours. */
	if (!atomic_load(&config))
		config_read();
	return atomic_load(&config) & bit;
}

/* One line for each process image, whoever comes first. */
static void say_why(int err)
{
	static atomic_flag said = ATOMIC_FLAG_INIT;
	const char *why = strerrordesc_np(err);
	const char *word[] = {
		"myepoll: " MYEPOLL_DEVICE ": ", why ? why : "unknown error",
		configured(CONFIG_REQUIRE) ? "; epoll instances are refused\n" :
					     "; using native epoll\n",
	};
	struct iovec line[3];
	int i;

	if (!configured(CONFIG_VERBOSE) || atomic_flag_test_and_set(&said))
		return;
	for (i = 0; i < 3; i++) {
		line[i].iov_base = (void *)word[i];
		line[i].iov_len = strlen(word[i]);
	}
	raw_syscall3(SYS_writev, 2, (long)line, 3);
}

static long carry_create(int flags)
{
	long fd;

	if (flags & ~EPOLL_CLOEXEC)
		return -EINVAL;
	fd = call_create(flags);
	/* Of these errors native epoll would say the same. */
	if (fd >= 0 || fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
		return fd;
	say_why(-fd);
	if (configured(CONFIG_REQUIRE))
		return fd;
	return raw_syscall3(SYS_epoll_create1, flags, 0, 0);
}

/* epoll_create() takes a size, which has meant nothing since Linux 2.6.8. */
static long carry_create_size(int size)
{
	return size > 0 ? carry_create(0) : -EINVAL;
}

/*
 * Is @ret, of one of our ioctls on @epfd, the program's answer?  If not, the call
 * is made natively.
 *
 * ENOTTY is never ours.  EINVAL need not be looked into: for an instance of ours,
 * native epoll also says EINVAL, once all that is checked before has been found
 * good, as we have done.  The errors that programs meet in the normal course of
 * things are believed; for the rest the descriptor is asked.
 */
static bool settled(int epfd, long ret)
{
	switch (ret) {
	case -ENOTTY:
	case -EINVAL:
		return false;
	case -EINTR:
	case -EEXIST:
	case -ENOENT:
		return true;
	default:
		return ret >= 0 || call_is_ours(epfd);
	}
}

static long carry_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	long ret = call_ctl(epfd, op, fd, event);

	if (settled(epfd, ret))
		return ret;
	return raw_syscall4(SYS_epoll_ctl, epfd, op, fd, (long)event);
}

/* @number: RAW_EPOLL_WAIT, without a mask, or SYS_epoll_pwait */
static long carry_pwait(long number, int epfd, struct epoll_event *events,
			int maxevents, int timeout, const sigset_t *mask,
			size_t sigsetsize)
{
	long ret = call_pwait(epfd, events, maxevents, timeout, mask,
			      sigsetsize);

	if (settled(epfd, ret))
		return ret;
	return raw_syscall6(number, epfd, (long)events, maxevents, timeout,
			    (long)mask, (long)sigsetsize);
}

static long carry_pwait2(int epfd, struct epoll_event *events, int maxevents,
			 const struct timespec *timeout, const sigset_t *mask,
			 size_t sigsetsize)
{
	long ret = call_pwait2(epfd, events, maxevents, timeout, mask,
			       sigsetsize);

	if (settled(epfd, ret))
		return ret;
	return raw_syscall6(SYS_epoll_pwait2, epfd, (long)events, maxevents,
			    (long)timeout, (long)mask, (long)sigsetsize);
}

/* What libc's functions return. */
static long answer(long ret)
{
	return ret < 0 ? preload_syscall_failed(ret) : ret;
}

long preload_syscall_failed(long ret)
{
	errno = (int)-ret;
	return -1;
}

PRELOAD_API int epoll_create(int size)
{
	return answer(carry_create_size(size));
}

PRELOAD_API int epoll_create1(int flags)
{
	return answer(carry_create(flags));
}

PRELOAD_API int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	return answer(carry_ctl(epfd, op, fd, event));
}

PRELOAD_API int epoll_wait(int epfd, struct epoll_event *events, int maxevents,
			   int timeout)
{
	int type = cancel_begin();
	long ret = carry_pwait(RAW_EPOLL_WAIT, epfd, events, maxevents, timeout,
			       NULL, 0);

	cancel_end(type);
	return answer(ret);
}

PRELOAD_API int epoll_pwait(int epfd, struct epoll_event *events, int maxevents,
			    int timeout, const sigset_t *mask)
{
	int type = cancel_begin();
	long ret = carry_pwait(SYS_epoll_pwait, epfd, events, maxevents, timeout,
			       mask, KERNEL_SIGSET_SIZE);

	cancel_end(type);
	return answer(ret);
}

PRELOAD_API int epoll_pwait2(int epfd, struct epoll_event *events, int maxevents,
			     const struct timespec *timeout, const sigset_t *mask)
{
	int type = cancel_begin();
	long ret = carry_pwait2(epfd, events, maxevents, timeout, mask,
				KERNEL_SIGSET_SIZE);

	cancel_end(type);
	return answer(ret);
}

/*
 * The calls that syscall(2) hands over, in preload_syscall.S; arm64 lacks two of
 * them.  It is no cancellation point.  io_uring's EPOLL_CTL takes native instances
 * only: a program that learns here that there is no io_uring calls epoll_ctl()
 * instead.
 */
long preload_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	switch ((int)number) {
#ifdef SYS_epoll_create
	case SYS_epoll_create:
		return answer(carry_create_size(a));
#endif
	case SYS_epoll_create1:
		return answer(carry_create(a));
	case SYS_epoll_ctl:
		return answer(carry_ctl(a, b, c, (void *)d));
#ifdef SYS_epoll_wait
	case SYS_epoll_wait:
		return answer(carry_pwait(SYS_epoll_wait, a, (void *)b, c, d,
					  NULL, 0));
#endif
	case SYS_epoll_pwait:
		return answer(carry_pwait(SYS_epoll_pwait, a, (void *)b, c, d,
					  (void *)e, f));
	case SYS_epoll_pwait2:
		return answer(carry_pwait2(a, (void *)b, c, (void *)d,
					   (void *)e, f));
	case SYS_io_uring_setup:
		if (configured(CONFIG_NO_URING))
			return answer(-ENOSYS);
	}
	return answer(raw_syscall6(number, a, b, c, d, e, f));
}
