// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long a wait lasts: never less than asked for, to the nanosecond; for ever
 * if negative; and one deadline however often the sleeper is woken for nothing.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "helpers.h"

#define US 1000LL
#define MS 1000000LL

FIXTURE(timeout)
{
	int ep;
	int fd;
};

BACKEND_VARIANTS(timeout);

FIXTURE_SETUP(timeout)
{
	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->fd = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, xadd(variant->be, self->ep, self->fd, EPOLLIN, 0));
}

FIXTURE_TEARDOWN(timeout)
{
	close(self->ep);
}

/* How often this thread has gone to sleep */
static long sleeps(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? -1 : usage.ru_nvcsw;
}

/* Returns how long a pwait2 of @ns took, or -1 if it did not return 0. */
static int64_t timed_wait(const struct backend *be, int ep, int64_t ns)
{
	struct timespec ts = { .tv_sec = ns / 1000000000,
			       .tv_nsec = ns % 1000000000 };
	int64_t start = now_ns();
	struct epoll_event ev;

	if (be->pwait2(ep, &ev, 1, &ts, NULL, 0))
		return -1;
	return now_ns() - start;
}

TEST_F(timeout, zero_does_not_sleep)
{
	const struct timespec zero = { 0 };
	const struct backend *be = variant->be;
	long before = sleeps();
	struct epoll_event ev;
	int i;

	ASSERT_LE(0, before);
	for (i = 0; i < 1000; i++) {
		ASSERT_EQ(0, be->wait(self->ep, &ev, 1, 0));
		ASSERT_EQ(0, be->pwait2(self->ep, &ev, 1, &zero, NULL, 0));
	}
	EXPECT_EQ(before, sleeps());
}

TEST_F(timeout, zero_reports_what_is_ready)
{
	struct epoll_event ev;

	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	EXPECT_EQ(1, wait0(variant->be, self->ep, &ev, 1));
}

TEST_F(timeout, nothing_is_stored_when_the_time_is_up)
{
	struct epoll_event ev;

	poison(&ev, sizeof(ev));
	ASSERT_EQ(0, variant->be->wait(self->ep, &ev, 1, 2));
	EXPECT_EQ(POISON32, ev.events);
	EXPECT_EQ(POISON64, ev.data.u64);
}

TEST_F(timeout, milliseconds_are_never_early)
{
	static const int ms[] = { 1, 2, 7, 50, 999, 1001 };
	struct epoll_event ev;
	int64_t start;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ms); i++) {
		start = now_ns();
		ASSERT_EQ(0, variant->be->wait(self->ep, &ev, 1, ms[i]));
		EXPECT_LE(ms[i] * MS, now_ns() - start);
	}
}

TEST_F(timeout, nanoseconds_are_never_early)
{
	static const int64_t ns[] = { 1, 999, 1 * US, 999 * US, 1 * MS + 1,
				      3 * MS + 999999, 1000 * MS + 1 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ns); i++)
		EXPECT_LE(ns[i], timed_wait(variant->be, self->ep, ns[i]));
}

/*
 * The machine may be late at any time; a wait that rounds up to milliseconds is
 * late every time.
 */
static bool once_shorter_than(const struct backend *be, int ep, int64_t ns,
			      int64_t limit)
{
	int64_t took;
	int i;

	for (i = 0; i < 500; i++) {
		took = timed_wait(be, ep, ns);
		if (took >= ns && took < limit)
			return true;
	}
	return false;
}

TEST_F(timeout, pwait2_does_not_round_to_milliseconds)
{
	EXPECT_TRUE(once_shorter_than(variant->be, self->ep, 100 * US, 1 * MS));
	EXPECT_TRUE(once_shorter_than(variant->be, self->ep, 2100 * US, 3 * MS));
}

/* How many of ten waits of 2 ms take longer than @limit */
static int longer_than(const struct backend *be, int ep, int64_t limit)
{
	int i, n = 0;

	for (i = 0; i < 10; i++)
		n += timed_wait(be, ep, 2 * MS) > limit;
	return n;
}

/*
 * With nothing else to wake the CPU for, a timer fires when its slack is used
 * up.  Most waits see that; single ones may be late for other reasons.
 */
TEST_F(timeout, timer_slack_is_honoured)
{
	ASSERT_EQ(0, prctl(PR_SET_TIMERSLACK, 200 * MS));
	EXPECT_LE(6, longer_than(variant->be, self->ep, 100 * MS));
	ASSERT_EQ(0, prctl(PR_SET_TIMERSLACK, 1));
	EXPECT_TRUE(once_shorter_than(variant->be, self->ep, 2 * MS, 3 * MS));
}

/* Late by up to the slack is right, early is wrong; so is more than patience. */
TEST_F(timeout, large_timer_slack_is_never_early)
{
	int64_t took;
	int i;

	ASSERT_EQ(0, prctl(PR_SET_TIMERSLACK, 200 * MS));
	for (i = 0; i < 5; i++) {
		took = timed_wait(variant->be, self->ep, 5 * MS);
		EXPECT_LE(5 * MS, took);
		EXPECT_GT((200 + 5 + PATIENCE_MS) * MS, took);
	}
}

TEST_F(timeout, event_ends_the_wait_before_the_deadline)
{
	struct waiter w = {
		.be = variant->be, .ep = self->ep, .timeout = 10 * PATIENCE_MS,
	};

	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
}

/*
 * struct knocker - wakes a sleeper again and again without an event for it
 * @sock: a socket pair.  Watched for EPOLLPRI alone, the wake-up that a message
 *	brings passes for urgent data, of which poll() then finds none.
 * @stop: in: enough
 * @knocks: how often so far
 */
struct knocker {
	pthread_t thread;
	int sock[2];
	atomic_bool stop;
	atomic_int knocks;
};

static void *knocker_main(void *arg)
{
	struct knocker *k = arg;
	char byte;

	while (!atomic_load(&k->stop)) {
		if (send(k->sock[1], "x", 1, 0) != 1 ||
		    recv(k->sock[0], &byte, 1, 0) != 1)
			break;
		atomic_fetch_add(&k->knocks, 1);
		nanosleep(&(struct timespec){ .tv_nsec = 2 * MS }, NULL);
	}
	return NULL;
}

static int knocker_start(struct knocker *k, const struct backend *be, int ep)
{
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, k->sock) ||
	    xadd(be, ep, k->sock[0], EPOLLPRI, 0))
		return -1;
	return pthread_create(&k->thread, NULL, knocker_main, k);
}

static int knocker_stop(struct knocker *k)
{
	atomic_store(&k->stop, true);
	return pthread_join(k->thread, NULL);
}

/* The knocks go on until the wait is over: a new deadline each time never ends. */
TEST_F(timeout, deadline_is_kept_across_spurious_wakeups)
{
	struct knocker k = { 0 };
	int64_t took;
	long before;
	int knocks;

	ASSERT_EQ(0, knocker_start(&k, variant->be, self->ep));
	while (!atomic_load(&k.knocks))
		breathe();
	before = sleeps();
	knocks = atomic_load(&k.knocks);
	took = timed_wait(variant->be, self->ep, 400 * MS);
	before = sleeps() - before;
	knocks = atomic_load(&k.knocks) - knocks;
	ASSERT_EQ(0, knocker_stop(&k));
	EXPECT_LE(400 * MS, took);
	EXPECT_GT(PATIENCE_MS * MS, took);
	/* it was really woken, and slept again */
	EXPECT_LE(5, knocks);
	EXPECT_LE(5, before);
}

TEST_F(timeout, endless_wait_survives_spurious_wakeups)
{
	struct waiter w = {
		.be = variant->be, .ep = self->ep, .timeout = -1,
	};
	struct knocker k = { 0 };

	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, knocker_start(&k, variant->be, self->ep));
	while (atomic_load(&k.knocks) < 20)
		breathe();
	EXPECT_FALSE(atomic_load(&w.done));
	ASSERT_EQ(0, knocker_stop(&k));
	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(EPOLLIN, (int)w.events[0].events);
}

/* Still asleep after a time in which a wrong reading would have run out */
static bool sleeps_on(struct waiter *w, int ms)
{
	int64_t until;

	if (waiter_start(w))
		return false;
	until = now_ns() + ms * MS;
	while (now_ns() < until) {
		if (atomic_load(&w->done))
			return false;
		breathe();
	}
	return wait_until_sleeping(w->tid, PATIENCE_MS);
}

static void sleeps_until_event(struct __test_metadata *_metadata,
			       const struct backend *be, int ep, int fd,
			       int timeout)
{
	struct waiter w = { .be = be, .ep = ep, .timeout = timeout };
	uint64_t count;

	ASSERT_TRUE(sleeps_on(&w, 60))
		TH_LOG("timeout %d: returned %d", timeout, w.ret);
	ASSERT_EQ(0, eventfd_write(fd, 1));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	ASSERT_EQ(0, eventfd_read(fd, &count));
}

TEST_F(timeout, any_negative_is_for_ever)
{
	static const int ms[] = { -1, -2, -1000, INT_MIN };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ms); i++)
		sleeps_until_event(_metadata, variant->be, self->ep, self->fd,
				   ms[i]);
}

TEST_F(timeout, largest_milliseconds_do_not_overflow)
{
	sleeps_until_event(_metadata, variant->be, self->ep, self->fd, INT_MAX);
}

/* pwait2 with the time of @huge, in the shape of a backend's wait */
static const struct timespec huge[] = {
	{ .tv_sec = LONG_MAX, .tv_nsec = 999999999 },
	{ .tv_sec = LONG_MAX / 1000000000, .tv_nsec = 999999999 },
	{ .tv_sec = LONG_MAX / 1000000000 - 1, .tv_nsec = 0 },
};

static int native_wait_huge(int ep, struct epoll_event *ev, int max, int which)
{
	return native_pwait2(ep, ev, max, &huge[which], NULL, 0);
}

static int ours_wait_huge(int ep, struct epoll_event *ev, int max, int which)
{
	return ours_pwait2(ep, ev, max, &huge[which], NULL, 0);
}

TEST_F(timeout, largest_timespecs_saturate)
{
	const struct backend be = {
		.wait = variant->be->ours ? ours_wait_huge : native_wait_huge,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(huge); i++)
		sleeps_until_event(_metadata, &be, self->ep, self->fd, i);
}

/* Two sleepers, one event on an edge: the other keeps its own deadline. */
TEST_F(timeout, event_taken_by_another_waiter_leaves_the_deadline)
{
	const struct backend *be = variant->be;
	struct waiter w[2] = {
		{ .be = be, .ep = self->ep, .timeout = 1500 },
		{ .be = be, .ep = self->ep, .timeout = 1500 },
	};
	int64_t start[2];
	int i;

	ASSERT_EQ(0, xmod(be, self->ep, self->fd, EPOLLIN | EPOLLET, 0));
	for (i = 0; i < 2; i++) {
		start[i] = now_ns();
		ASSERT_EQ(0, waiter_start(&w[i]));
	}
	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	for (i = 0; i < 2; i++)
		ASSERT_TRUE(waiter_finish(&w[i], PATIENCE_MS));
	EXPECT_EQ(1, w[0].ret + w[1].ret);
	i = w[0].ret ? 1 : 0;
	EXPECT_EQ(0, w[i].ret);
	EXPECT_LE(1500 * MS, w[i].end_ns - start[i]);
}

TEST_HARNESS_MAIN
