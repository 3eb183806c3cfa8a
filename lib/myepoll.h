/* SPDX-License-Identifier: MIT */
/*
 * libmyepoll: epoll on /dev/myepoll by function calls, for C and C++.
 *
 * Types and constants are those of <sys/epoll.h>.  myepoll_X() takes and returns
 * what epoll_X(2) does, and fails with the same errno; myepoll_create1(3),
 * myepoll_ctl(3), myepoll_wait(3), myepoll_batch(3) and myepoll_probe(3) tell the
 * rest.  All functions are safe in threads and in signal handlers.
 */
#ifndef MYEPOLL_H
#define MYEPOLL_H

#include <signal.h>
#include <stddef.h>
#include <sys/cdefs.h>
#include <sys/epoll.h>
#include <time.h>

#include <linux/myepoll.h>

__BEGIN_DECLS

/* A new instance; flags is 0 or EPOLL_CLOEXEC. */
int myepoll_create1(int flags) __THROW;

/* The same from an instance one has, where the device node is out of sight. */
int myepoll_create_from(int epfd, int flags) __THROW;

int myepoll_ctl(int epfd, int op, int fd, struct epoll_event *event) __THROW;

/* Cancellation points, so they may throw in C++ as epoll_wait() may. */
int myepoll_wait(int epfd, struct epoll_event *events, int maxevents,
		 int timeout);
int myepoll_pwait(int epfd, struct epoll_event *events, int maxevents,
		  int timeout, const sigset_t *sigmask);
int myepoll_pwait2(int epfd, struct epoll_event *events, int maxevents,
		   const struct timespec *timeout, const sigset_t *sigmask);

/*
 * Changes up to the first that fails, then a wait: kevent() of the BSDs.  *done is
 * how many were made, whatever is returned.  events NULL and maxevents 0: no wait,
 * and then no cancellation point.  ENOSYS: the module is older than 0.2.0.
 */
int myepoll_batch(int epfd, const struct myepoll_change *changes,
		  unsigned int nr, unsigned int *done,
		  struct epoll_event *events, int maxevents,
		  const struct timespec *timeout, const sigset_t *sigmask);

/* 0 if fd is an instance of the module; probe may be NULL. */
int myepoll_probe(int fd, struct myepoll_probe *probe) __THROW;

/* Busy polling: EPIOCGPARAMS and EPIOCSPARAMS of native epoll. */
int myepoll_get_params(int epfd, struct myepoll_params *params) __THROW;
int myepoll_set_params(int epfd, const struct myepoll_params *params) __THROW;

/* The version of the library, as "1.2.3". */
const char *myepoll_version(void)
	__THROW;

__END_DECLS

#endif /* MYEPOLL_H */
