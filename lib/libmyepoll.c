// SPDX-License-Identifier: MIT
/*
 * libmyepoll: the calls of the module as functions, with the errno of epoll.
 *
 * A file that is no instance answers the ioctl as it pleases, mostly ENOTTY,
 * where epoll says EINVAL, and says so only after it has looked at the other
 * arguments.  That is put right here, and only after a call has failed.
 */
#define _GNU_SOURCE
#include "myepoll.h"

#include "call.h"
#include "cancel.h"

static int answer(long ret)
{
	if (ret >= 0)
		return (int)ret;
	errno = (int)-ret;
	return -1;
}

/* The answer of an ioctl on @epfd, which may be no instance. */
static long checked(int epfd, long ret)
{
	switch (ret) {
	case -ENOTTY:
		return -EINVAL;
	case -EBADF:
	case -EINVAL:
	case -EINTR:
	case -EEXIST:
	case -ENOENT:
		return ret;
	default:
		return ret >= 0 || call_is_ours(epfd) ? ret : -EINVAL;
	}
}

int myepoll_create1(int flags)
{
	long fd;

	if (flags & ~EPOLL_CLOEXEC)
		return answer(-EINVAL);
	fd = call_create(flags);
	/* Something else has that name. */
	return answer(fd == -ENOTTY ? -ENODEV : fd);
}

int myepoll_create_from(int epfd, int flags)
{
	if (flags & ~EPOLL_CLOEXEC)
		return answer(-EINVAL);
	return answer(checked(epfd, call_create_from(epfd, flags)));
}

/*
 * What native epoll says if the instance is none: by asking it to have a file
 * watch itself, which it refuses after all checks of the other arguments.
 */
static long not_an_instance(int op, int fd, struct epoll_event *event)
{
	return raw_syscall4(SYS_epoll_ctl, fd, op, fd, (long)event);
}

int myepoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	long ret = call_ctl(epfd, op, fd, event);

	if (ret == -EBADF)
		/* epoll looks at the event first. */
		ret = raw_syscall4(SYS_epoll_ctl, -1, op, fd, (long)event);
	else if (checked(epfd, ret) == -EINVAL)
		ret = not_an_instance(op, fd, event);
	return answer(ret);
}

static bool no_instance(int epfd, long ret)
{
	if (ret >= 0 || ret == -EINTR)
		return false;
	return ret == -ENOTTY || ret == -EBADF || !call_is_ours(epfd);
}

/*
 * Likewise for a wait: @native is what native epoll says with these arguments and
 * a descriptor that nobody has.  If it looks at that before the array, as since
 * Linux 7.2, the array is left to be looked at: half of all addresses are the
 * kernel's.
 */
static long refused(long ret, const struct epoll_event *events, long native)
{
	if (native != -EBADF || ret == -EBADF)
		return native;
	return (intptr_t)events < 0 ? -EFAULT : -EINVAL;
}

int myepoll_wait(int epfd, struct epoll_event *events, int maxevents,
		 int timeout)
{
	return myepoll_pwait(epfd, events, maxevents, timeout, NULL);
}

int myepoll_pwait(int epfd, struct epoll_event *events, int maxevents,
		  int timeout, const sigset_t *sigmask)
{
	int type = cancel_begin();
	long ret = call_pwait(epfd, events, maxevents, timeout, sigmask,
			      KERNEL_SIGSET_SIZE);

	cancel_end(type);
	if (no_instance(epfd, ret))
		ret = refused(ret, events,
			      raw_syscall6(SYS_epoll_pwait, -1, (long)events,
					   maxevents, timeout, (long)sigmask,
					   KERNEL_SIGSET_SIZE));
	return answer(ret);
}

int myepoll_pwait2(int epfd, struct epoll_event *events, int maxevents,
		   const struct timespec *timeout, const sigset_t *sigmask)
{
	int type = cancel_begin();
	long ret = call_pwait2(epfd, events, maxevents, timeout, sigmask,
			       KERNEL_SIGSET_SIZE);

	cancel_end(type);
	if (no_instance(epfd, ret))
		ret = refused(ret, events,
			      raw_syscall6(SYS_epoll_pwait2, -1, (long)events,
					   maxevents, (long)timeout, (long)sigmask,
					   KERNEL_SIGSET_SIZE));
	return answer(ret);
}

/* What an instance does not know is a call that its module is too old for. */
static long batch_checked(int epfd, long ret)
{
	if (ret == -ENOTTY && call_is_ours(epfd))
		return -ENOSYS;
	return checked(epfd, ret);
}

static long batch_and_wait(int epfd, struct myepoll_batch *batch,
			   const struct myepoll_wait *wait)
{
	int type = cancel_begin();
	long ret = call_batch(epfd, batch, wait);

	cancel_end(type);
	return ret;
}

/*
 * A cancellation point only where it waits, as kevent() is: a thread that is
 * cancelled does not learn what it has changed.
 */
int myepoll_batch(int epfd, const struct myepoll_change *changes,
		  unsigned int nr, unsigned int *done,
		  struct epoll_event *events, int maxevents,
		  const struct timespec *timeout, const sigset_t *sigmask)
{
	struct myepoll_wait wait = call_wait_until(events, maxevents, timeout,
						   sigmask, KERNEL_SIGSET_SIZE);
	struct myepoll_batch batch = {
		.changes = (uintptr_t)changes,
		.nr = nr,
	};
	long ret = -EINVAL;

	if (events || maxevents)
		ret = batch_and_wait(epfd, &batch, &wait);
	else if (!timeout && !sigmask)
		ret = call_batch(epfd, &batch, NULL);
	if (done)
		*done = batch.done;
	return answer(batch_checked(epfd, ret));
}

int myepoll_probe(int fd, struct myepoll_probe *probe)
{
	struct myepoll_probe unwanted;
	long ret = call_probe(fd, probe ? probe : &unwanted);

	return answer(!ret || ret == -EBADF ? ret : -EINVAL);
}

/* Native epoll knows these two by the same numbers: it must not answer. */
static int params_call(int epfd, unsigned long cmd, const void *params)
{
	struct myepoll_probe probe;
	long ret = call_probe(epfd, &probe);

	if (!ret)
		ret = call_ioctl(epfd, cmd, params);
	else if (ret != -EBADF)
		ret = -EINVAL;
	return answer(ret);
}

int myepoll_get_params(int epfd, struct myepoll_params *params)
{
	return params_call(epfd, MYEPOLL_IOC_GPARAMS, params);
}

int myepoll_set_params(int epfd, const struct myepoll_params *params)
{
	return params_call(epfd, MYEPOLL_IOC_SPARAMS, params);
}

const char *myepoll_version(void)
{
	return MYEPOLL_VERSION;
}
