/* SPDX-License-Identifier: MIT */
/*
 * Cancellation: epoll_wait() and its kin are cancellation points, ioctl() and
 * raw system calls are none.  Between begin and end the calling thread can be
 * cancelled at any time, so there may be nothing in between but system calls;
 * glibc up to 2.40 makes its own cancellation points in the same way.
 */
#ifndef MYEPOLL_LIB_CANCEL_H
#define MYEPOLL_LIB_CANCEL_H

#include <pthread.h>
#include <sys/single_threaded.h>

/* Nobody else is there to cancel us; what we did ourselves is seen at once. */
#define CANCEL_NOTHING_TO_DO (-1)

/* The type to go back to. */
static inline int cancel_begin(void)
{
	int type;

	if (__libc_single_threaded) {
		pthread_testcancel();
		return CANCEL_NOTHING_TO_DO;
	}
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	return type;
}

static inline void cancel_end(int type)
{
	int ours;

	if (type != CANCEL_NOTHING_TO_DO)
		pthread_setcanceltype(type, &ours);
}

#endif /* MYEPOLL_LIB_CANCEL_H */
