// SPDX-License-Identifier: GPL-2.0-only
/* EPOLLEXCLUSIVE: one file in several instances, and whom it wakes. */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "kselftest_harness.h"
#include "observe.h"

#define NR_EPS 3
#define EXCL_ET (EPOLLEXCLUSIVE | EPOLLET)
#define NR_TOKENS 2000

/* w[i] is to wait on ep[i], sleep since slept[i] */
FIXTURE(exclusive)
{
	int ep[NR_EPS];
	int efd;
	struct waiter w[NR_EPS];
	long slept[NR_EPS];
	struct epoll_event ev[4];
};

BACKEND_VARIANTS(exclusive);

FIXTURE_SETUP(exclusive)
{
	REQUIRE_BACKEND(variant->be);
	self->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->efd);
	for (int i = 0; i < NR_EPS; i++) {
		self->ep[i] = variant->be->create(EPOLL_CLOEXEC);
		ASSERT_LE(0, self->ep[i]);
		self->w[i].be = variant->be;
		self->w[i].ep = self->ep[i];
		self->w[i].timeout = -1;
	}
}

FIXTURE_TEARDOWN(exclusive)
{
	for (int i = 0; i < NR_EPS; i++)
		close(self->ep[i]);
	close(self->efd);
}

#define watch_in(i, fd, mask) do {					\
	int at_ = (i);							\
									\
	ASSERT_EQ(0, xadd(variant->be, self->ep[at_], fd, mask, at_));	\
} while (0)

#define start_waiter(i) do {						\
	int at_ = (i);							\
									\
	ASSERT_EQ(0, waiter_start(&self->w[at_]));			\
	self->slept[at_] = sleep_count(self->w[at_].tid);		\
} while (0)

#define EXPECT_WOKEN(i) do {						\
	struct waiter *w_ = &self->w[i];				\
									\
	ASSERT_TRUE(waiter_finish(w_, PATIENCE_MS));			\
	EXPECT_EQ(1, w_->ret);						\
} while (0)

#define EXPECT_SLEPT_ON(i) do {						\
	int at_ = (i);							\
									\
	EXPECT_TRUE(slept_on(&self->w[at_], self->slept[at_]));		\
} while (0)

#define signal_efd() ASSERT_EQ(0, eventfd_write(self->efd, 1))

TEST_F(exclusive, with_nobody_waiting_every_instance_has_the_event)
{
	for (int i = 0; i < NR_EPS; i++)
		watch_in(i, self->efd, EPOLLIN | EXCL_ET);
	signal_efd();
	for (int i = 0; i < NR_EPS; i++) {
		EXPECT_EQ(1, wait0(variant->be, self->ep[i], self->ev, 4));
		EXPECT_EQ((uint32_t)EPOLLIN, self->ev[0].events);
		EXPECT_EQ(0, wait0(variant->be, self->ep[i], self->ev, 4));
	}
}

TEST_F(exclusive, first_added_with_a_waiter_is_the_one_woken)
{
	for (int i = 0; i < NR_EPS; i++)
		watch_in(i, self->efd, EPOLLIN | EXCL_ET);
	for (int i = NR_EPS - 1; i >= 0; i--)
		start_waiter(i);
	signal_efd();
	EXPECT_WOKEN(0);
	EXPECT_SLEPT_ON(1);
	EXPECT_SLEPT_ON(2);
	/* nobody waits on the first any more */
	signal_efd();
	EXPECT_WOKEN(1);
	EXPECT_SLEPT_ON(2);
	signal_efd();
	EXPECT_WOKEN(2);
}

TEST_F(exclusive, instance_without_waiter_is_passed_over_but_has_the_event)
{
	for (int i = 0; i < NR_EPS; i++)
		watch_in(i, self->efd, EPOLLIN | EXCL_ET);
	start_waiter(1);
	start_waiter(2);
	signal_efd();
	EXPECT_WOKEN(1);
	EXPECT_SLEPT_ON(2);
	EXPECT_EQ(1, wait0(variant->be, self->ep[0], self->ev, 4));
}

TEST_F(exclusive, instance_behind_the_one_woken_does_not_have_the_event)
{
	for (int i = 0; i < 2; i++)
		watch_in(i, self->efd, EPOLLIN | EXCL_ET);
	start_waiter(0);
	signal_efd();
	EXPECT_WOKEN(0);
	EXPECT_EQ(0, wait0(variant->be, self->ep[1], self->ev, 4));
}

TEST_F(exclusive, one_wakeup_wakes_one_of_the_waiters_of_an_instance)
{
	struct waiter second = self->w[0];
	long slept;

	watch_in(0, self->efd, EPOLLIN | EXCL_ET);
	watch_in(1, self->efd, EPOLLIN | EXCL_ET);
	ASSERT_EQ(0, waiter_start(&second));
	slept = sleep_count(second.tid);
	start_waiter(0);
	start_waiter(1);
	signal_efd();
	EXPECT_WOKEN(0);
	EXPECT_TRUE(slept_on(&second, slept));
	EXPECT_SLEPT_ON(1);
	signal_efd();
	ASSERT_TRUE(waiter_finish(&second, PATIENCE_MS));
	EXPECT_SLEPT_ON(1);
	signal_efd();
	EXPECT_WOKEN(1);
}

TEST_F(exclusive, level_event_wakes_one_instance)
{
	watch_in(0, self->efd, EPOLLIN | EPOLLEXCLUSIVE);
	watch_in(1, self->efd, EPOLLIN | EPOLLEXCLUSIVE);
	start_waiter(0);
	start_waiter(1);
	signal_efd();
	EXPECT_WOKEN(0);
	EXPECT_SLEPT_ON(1);
	EXPECT_EQ(1, wait0(variant->be, self->ep[0], self->ev, 4));
	signal_efd();
	EXPECT_WOKEN(1);
}

TEST_F(exclusive, ordinary_watches_are_all_woken_beside_one_exclusive)
{
	struct waiter fourth = self->w[0];
	long slept;

	watch_in(0, self->efd, EPOLLIN | EXCL_ET);
	watch_in(1, self->efd, EPOLLIN | EPOLLET);
	fourth.ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, fourth.ep);
	ASSERT_EQ(0, xadd(variant->be, fourth.ep, self->efd,
			  EPOLLIN | EXCL_ET, 3));
	watch_in(2, self->efd, EPOLLIN | EPOLLET);
	ASSERT_EQ(0, waiter_start(&fourth));
	slept = sleep_count(fourth.tid);
	for (int i = 0; i < NR_EPS; i++)
		start_waiter(i);
	signal_efd();
	for (int i = 0; i < NR_EPS; i++)
		EXPECT_WOKEN(i);
	EXPECT_TRUE(slept_on(&fourth, slept));
	signal_efd();
	ASSERT_TRUE(waiter_finish(&fourth, PATIENCE_MS));
	EXPECT_EQ(3U, fourth.events[0].data.u64);
	close(fourth.ep);
}

TEST_F(exclusive, watch_that_does_not_want_the_event_is_passed_over)
{
	/* never writable, so that only reading makes it wake with OUT */
	ASSERT_EQ(0, eventfd_write(self->efd, UINT64_MAX - 2));
	watch_in(0, self->efd, EPOLLOUT | EXCL_ET);
	EXPECT_EQ(1, wait0(variant->be, self->ep[0], self->ev, 4));
	watch_in(1, self->efd, EPOLLIN | EXCL_ET);
	EXPECT_EQ(1, wait0(variant->be, self->ep[1], self->ev, 4));
	start_waiter(0);
	start_waiter(1);
	signal_efd();
	EXPECT_WOKEN(1);
	EXPECT_SLEPT_ON(0);
}

TEST_F(exclusive, writability_wakes_one_instance)
{
	eventfd_t value;

	ASSERT_EQ(0, eventfd_write(self->efd, UINT64_MAX - 1));
	watch_in(0, self->efd, EPOLLOUT | EXCL_ET);
	watch_in(1, self->efd, EPOLLOUT | EXCL_ET);
	start_waiter(0);
	start_waiter(1);
	ASSERT_EQ(0, eventfd_read(self->efd, &value));
	EXPECT_WOKEN(0);
	EXPECT_EQ((uint32_t)EPOLLOUT, self->w[0].events[0].events);
	EXPECT_SLEPT_ON(1);
}

TEST_F(exclusive, wakeup_without_bits_wakes_one_instance)
{
	int ino = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	ASSERT_LE(0, ino);
	ASSERT_LE(0, inotify_add_watch(ino, "/proc/self/exe", IN_OPEN));
	watch_in(0, ino, EPOLLIN | EXCL_ET);
	watch_in(1, ino, EPOLLIN | EXCL_ET);
	start_waiter(0);
	start_waiter(1);
	close(open("/proc/self/exe", O_RDONLY));
	EXPECT_WOKEN(0);
	EXPECT_SLEPT_ON(1);
	close(ino);
}

TEST_F(exclusive, deleted_watch_takes_no_wakeups)
{
	watch_in(0, self->efd, EPOLLIN | EXCL_ET);
	watch_in(1, self->efd, EPOLLIN | EXCL_ET);
	start_waiter(0);
	start_waiter(1);
	ASSERT_EQ(0, xdel(variant->be, self->ep[0], self->efd));
	signal_efd();
	EXPECT_WOKEN(1);
	EXPECT_SLEPT_ON(0);
}

TEST_F(exclusive, closed_instance_takes_no_wakeups)
{
	watch_in(0, self->efd, EPOLLIN | EXCL_ET);
	watch_in(1, self->efd, EPOLLIN | EXCL_ET);
	start_waiter(1);
	close(self->ep[0]);
	signal_efd();
	EXPECT_WOKEN(1);
	self->ep[0] = -1;
}

/* An instance that somebody only polls counts as one where nobody waits. */
TEST_F(exclusive, poller_of_an_instance_does_not_take_the_wakeup)
{
	int outer = variant->be->create(EPOLL_CLOEXEC);
	struct waiter on_outer = self->w[0];

	ASSERT_LE(0, outer);
	watch_in(0, self->efd, EPOLLIN | EXCL_ET);
	watch_in(1, self->efd, EPOLLIN | EXCL_ET);
	ASSERT_EQ(0, xadd(variant->be, outer, self->ep[0], EPOLLIN, 9));
	on_outer.ep = outer;
	ASSERT_EQ(0, waiter_start(&on_outer));
	start_waiter(1);
	signal_efd();
	ASSERT_TRUE(waiter_finish(&on_outer, PATIENCE_MS));
	EXPECT_EQ(9U, on_outer.events[0].data.u64);
	EXPECT_WOKEN(1);
	close(outer);
}

struct consumer {
	const struct backend *be;
	int ep;
	int efd;
	atomic_int *taken;
};

#define STOP 99

static void *consume_main(void *arg)
{
	struct consumer *c = arg;
	struct epoll_event ev;
	eventfd_t value;

	while (c->be->wait(c->ep, &ev, 1, -1) == 1) {
		if (ev.data.u64 == STOP)
			return NULL;
		while (!eventfd_read(c->efd, &value))
			atomic_fetch_add(c->taken, 1);
	}
	return "wait failed";
}

static bool taken_before_long(atomic_int *taken, int wanted)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;

	while (atomic_load(taken) < wanted) {
		if (now_ns() > deadline)
			return false;
		sched_yield();
	}
	return true;
}

/*
 * Every token is written when the ones before it are gone, so that it depends
 * on its own wake-up.
 */
TEST_F_TIMEOUT(exclusive, every_wakeup_finds_a_consumer, 240)
{
	struct consumer c[NR_EPS * 2];
	pthread_t thread[NR_EPS * 2];
	atomic_int taken = 0;
	int sem = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);

	ASSERT_LE(0, sem);
	for (int i = 0; i < NR_EPS; i++) {
		watch_in(i, sem, EPOLLIN | EPOLLEXCLUSIVE);
		ASSERT_EQ(0, xadd(variant->be, self->ep[i], self->efd, EPOLLIN,
				  STOP));
	}
	for (int i = 0; i < NR_EPS * 2; i++) {
		c[i] = (struct consumer) {
			variant->be, self->ep[i % NR_EPS], sem, &taken
		};
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, consume_main,
					    &c[i]));
	}
	for (int i = 0; i < NR_TOKENS; i++) {
		ASSERT_EQ(0, eventfd_write(sem, 1));
		ASSERT_TRUE(taken_before_long(&taken, i + 1));
	}
	signal_efd();
	for (int i = 0; i < NR_EPS * 2; i++) {
		void *failure;

		ASSERT_EQ(0, pthread_join(thread[i], &failure));
		EXPECT_EQ(NULL, failure);
	}
	EXPECT_EQ(NR_TOKENS, atomic_load(&taken));
	close(sem);
}

TEST_HARNESS_MAIN
