/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the test programs share on top of the backends: variants, short forms of
 * the calls, a thread that waits, and ways to see that a task sleeps.
 *
 * Include this after kselftest_harness.h.
 */
#ifndef SELFTESTS_HELPERS_H
#define SELFTESTS_HELPERS_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "backend.h"

/* What the harness takes for a skipped test when a test process exits with it */
#define EXIT_SKIPPED 255

/* How long anything that must happen may take; TCG on a shared host is slow. */
#define PATIENCE_MS 20000

/* What outputs hold before a call, so that a store by the kernel shows. */
#define POISON_BYTE 0xa5
#define POISON32 0xa5a5a5a5U
#define POISON64 0xa5a5a5a5a5a5a5a5ULL

/* Run every test of the fixture on both epolls, or on what lib/tests/ has. */
#ifndef BACKEND_VARIANTS
#define BACKEND_VARIANTS(fixture)				\
	FIXTURE_VARIANT(fixture)				\
	{							\
		const struct backend *be;			\
	};							\
	FIXTURE_VARIANT_ADD(fixture, native)			\
	{							\
		.be = &backend_native,				\
	};							\
	FIXTURE_VARIANT_ADD(fixture, myepoll)			\
	{							\
		.be = &backend_myepoll,				\
	}
#endif

/*
 * Returns 1 if tests on @be are to be skipped, else 0.  A missing module is no
 * reason to skip unless the caller of the test says so in the environment.
 */
static inline int require_backend(const struct backend *be)
{
	const char *native_only = getenv("MYEPOLL_TEST_NATIVE_ONLY");

	return be->ours && native_only && !strcmp(native_only, "1");
}

/*
 * For FIXTURE_SETUP.  The harness would go on into the test after a plain SKIP
 * in the setup, so leave the test process.
 */
#define REQUIRE_BACKEND(be) do {				\
	if (require_backend(be))				\
		SKIP(_exit(EXIT_SKIPPED),			\
		     "MYEPOLL_TEST_NATIVE_ONLY is set");	\
} while (0)

/* The call fails with exactly this errno. */
#define EXPECT_ERR(err, call) do {			\
	errno = 0;					\
	EXPECT_EQ(-1, call);				\
	EXPECT_EQ(err, errno)				\
		TH_LOG("from %s", #call);		\
} while (0)

static inline int xctl(const struct backend *be, int ep, int op, int fd,
		       uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	return be->ctl(ep, op, fd, &ev);
}

static inline int xadd(const struct backend *be, int ep, int fd,
		       uint32_t events, uint64_t data)
{
	return xctl(be, ep, EPOLL_CTL_ADD, fd, events, data);
}

static inline int xmod(const struct backend *be, int ep, int fd,
		       uint32_t events, uint64_t data)
{
	return xctl(be, ep, EPOLL_CTL_MOD, fd, events, data);
}

static inline int xdel(const struct backend *be, int ep, int fd)
{
	return be->ctl(ep, EPOLL_CTL_DEL, fd, NULL);
}

static inline void poison(void *buf, size_t size)
{
	memset(buf, POISON_BYTE, size);
}

/* wait with a timeout of 0 into a poisoned array */
static inline int wait0(const struct backend *be, int ep,
			struct epoll_event *ev, int max)
{
	poison(ev, max * sizeof(*ev));
	return be->wait(ep, ev, max, 0);
}

static inline int64_t timespec_ns(const struct timespec *ts)
{
	return ts->tv_sec * 1000000000LL + ts->tv_nsec;
}

static inline int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return timespec_ns(&ts);
}

static inline pid_t self_tid(void)
{
	return syscall(SYS_gettid);
}

/* For polling loops: let others run, about a tenth of a millisecond. */
static inline void breathe(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
}

/* The letter in /proc/TID/stat: works for threads too.  0: no such task. */
static inline char task_state(pid_t tid)
{
	char path[64], buf[512];
	const char *comm_end;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	len = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	buf[len] = '\0';
	comm_end = strrchr(buf, ')');
	return comm_end && comm_end[1] ? comm_end[2] : 0;
}

static inline bool wait_until_state(pid_t tid, char state, int timeout_ms)
{
	int64_t deadline = now_ns() + timeout_ms * 1000000LL;

	while (task_state(tid) != state) {
		if (now_ns() > deadline)
			return false;
		breathe();
	}
	return true;
}

/*
 * A task says that it sleeps before it leaves the processor; this file tells
 * whether it has.  Who may not read it has to do with the state.
 */
static inline bool off_processor(pid_t tid)
{
	char path[64], buf[16] = "";
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	len = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	return len <= 0 || strncmp(buf, "running", 7);
}

static inline bool wait_until_sleeping(pid_t tid, int timeout_ms)
{
	int64_t deadline = now_ns() + timeout_ms * 1000000LL;

	while (task_state(tid) != 'S' || !off_processor(tid)) {
		if (now_ns() > deadline)
			return false;
		breathe();
	}
	return true;
}

/*
 * struct waiter - a thread that makes one call of wait
 * @be: in: backend
 * @ep: in: instance
 * @timeout: in: milliseconds
 * @maxevents: in: 0 means WAITER_EVENTS
 * @array: in: where events are to go; NULL: to @events
 * @tid: of the thread, once it is about to call
 * @done: the call is over; the fields below are valid
 * @ret: what the call returned
 * @err: errno of it, if @ret is -1
 * @end_ns: when it came back, CLOCK_MONOTONIC
 * @events: what it stored
 */
#define WAITER_EVENTS 16

struct waiter {
	const struct backend *be;
	int ep;
	int timeout;
	int maxevents;
	struct epoll_event *array;
	pthread_t thread;
	atomic_int tid;
	atomic_bool done;
	int ret;
	int err;
	int64_t end_ns;
	struct epoll_event events[WAITER_EVENTS];
};

static inline void *waiter_main(void *arg)
{
	struct waiter *w = arg;

	poison(w->events, sizeof(w->events));
	atomic_store(&w->tid, self_tid());
	w->ret = w->be->wait(w->ep, w->array, w->maxevents, w->timeout);
	w->err = errno;
	w->end_ns = now_ns();
	atomic_store(&w->done, true);
	return NULL;
}

/* Returns 0 once the thread sleeps in its call, -1 if it does not come to that. */
static inline int waiter_start(struct waiter *w)
{
	atomic_store(&w->tid, 0);
	atomic_store(&w->done, false);
	if (!w->maxevents)
		w->maxevents = WAITER_EVENTS;
	if (!w->array)
		w->array = w->events;
	if (pthread_create(&w->thread, NULL, waiter_main, w))
		return -1;
	while (!atomic_load(&w->tid))
		breathe();
	return wait_until_sleeping(w->tid, PATIENCE_MS) ? 0 : -1;
}

/* Returns true if the call came back within @timeout_ms, and joins then. */
static inline bool waiter_finish(struct waiter *w, int timeout_ms)
{
	int64_t deadline = now_ns() + timeout_ms * 1000000LL;

	while (!atomic_load(&w->done)) {
		if (now_ns() > deadline)
			return false;
		breathe();
	}
	return !pthread_join(w->thread, NULL);
}

#endif /* SELFTESTS_HELPERS_H */
