// SPDX-License-Identifier: GPL-2.0-only
/* Who is woken by an event, and that no event finds nobody. */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "observe.h"

#define NR_WAITERS 3
#define RACE_ROUNDS 400

FIXTURE(wake)
{
	int ep;
	int efd[NR_WAITERS];
	struct waiter w[NR_WAITERS];
	long slept[NR_WAITERS];
	struct epoll_event ev[4];
};

BACKEND_VARIANTS(wake);

FIXTURE_SETUP(wake)
{
	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	for (int i = 0; i < NR_WAITERS; i++) {
		self->efd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		ASSERT_LE(0, self->efd[i]);
		self->w[i].be = variant->be;
		self->w[i].ep = self->ep;
		self->w[i].timeout = -1;
	}
}

FIXTURE_TEARDOWN(wake)
{
	for (int i = 0; i < NR_WAITERS; i++)
		close(self->efd[i]);
	close(self->ep);
}

#define watch_all(mask) do {						\
	for (int i_ = 0; i_ < NR_WAITERS; i_++)				\
		ASSERT_EQ(0, xadd(variant->be, self->ep, self->efd[i_],	\
				  mask, i_));				\
} while (0)

/* Puts the waiters to sleep, one after the other. */
#define start_waiters(n) do {						\
	int n_ = (n);							\
									\
	for (int i_ = 0; i_ < n_; i_++)					\
		ASSERT_EQ(0, waiter_start(&self->w[i_]));		\
	for (int i_ = 0; i_ < n_; i_++)					\
		self->slept[i_] = sleep_count(self->w[i_].tid);		\
} while (0)

#define touch(i) ASSERT_EQ(0, eventfd_write(self->efd[i], 1))

#define EXPECT_WAITER_GOT(i, data_) do {				\
	struct waiter *w_ = &self->w[i];				\
									\
	ASSERT_TRUE(waiter_finish(w_, PATIENCE_MS));			\
	EXPECT_EQ(1, w_->ret);						\
	EXPECT_EQ((uint64_t)(data_), w_->events[0].data.u64);		\
} while (0)

#define EXPECT_SLEPT_ON(i) do {						\
	int i_ = (i);							\
									\
	EXPECT_TRUE(slept_on(&self->w[i_], self->slept[i_]));		\
} while (0)

TEST_F(wake, last_to_sleep_is_first_woken)
{
	watch_all(EPOLLIN | EPOLLET);
	start_waiters(3);
	touch(0);
	EXPECT_WAITER_GOT(2, 0);
	EXPECT_SLEPT_ON(1);
	EXPECT_SLEPT_ON(0);
	touch(1);
	EXPECT_WAITER_GOT(1, 1);
	EXPECT_SLEPT_ON(0);
	touch(2);
	EXPECT_WAITER_GOT(0, 2);
}

TEST_F(wake, edge_wakes_one_waiter)
{
	watch_all(EPOLLIN | EPOLLET);
	start_waiters(3);
	touch(0);
	EXPECT_WAITER_GOT(2, 0);
	EXPECT_SLEPT_ON(0);
	EXPECT_SLEPT_ON(1);
	EXPECT_EQ(0, wait0(variant->be, self->ep, self->ev, 4));
	touch(0);
	EXPECT_WAITER_GOT(1, 0);
	touch(0);
	EXPECT_WAITER_GOT(0, 0);
}

TEST_F(wake, oneshot_wakes_one_waiter)
{
	watch_all(EPOLLIN | EPOLLONESHOT);
	start_waiters(2);
	touch(0);
	EXPECT_WAITER_GOT(1, 0);
	EXPECT_SLEPT_ON(0);
	touch(0);
	EXPECT_SLEPT_ON(0);
	touch(1);
	EXPECT_WAITER_GOT(0, 1);
}

TEST_F(wake, level_event_passes_through_all_waiters)
{
	watch_all(EPOLLIN);
	start_waiters(3);
	touch(1);
	EXPECT_WAITER_GOT(2, 1);
	EXPECT_WAITER_GOT(1, 1);
	EXPECT_WAITER_GOT(0, 1);
}

/* Also the second wake-up of a watch that is queued already wakes a waiter. */
TEST_F(wake, each_of_two_wakeups_wakes_a_waiter)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;

	watch_all(EPOLLIN | EPOLLET);
	start_waiters(2);
	touch(0);
	touch(0);
	for (int i = 0; i < 2; i++)
		EXPECT_TRUE(woken_since(&self->w[i], self->slept[i]));
	for (int i = 0; i < 2; i++) {
		while (!atomic_load(&self->w[i].done) && now_ns() < deadline)
			touch(1);
		EXPECT_TRUE(waiter_finish(&self->w[i], 0));
		EXPECT_EQ(1, self->w[i].ret);
	}
}

TEST_F(wake, two_edges_wake_two_waiters)
{
	uint64_t seen = 0;

	watch_all(EPOLLIN | EPOLLET);
	for (int i = 0; i < 2; i++)
		self->w[i].maxevents = 1;
	start_waiters(2);
	touch(0);
	touch(1);
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(waiter_finish(&self->w[i], PATIENCE_MS));
		EXPECT_EQ(1, self->w[i].ret);
		seen |= 1U << self->w[i].events[0].data.u64;
	}
	EXPECT_EQ(3U, seen);
}

TEST_F(wake, add_of_a_ready_file_wakes_one_waiter)
{
	start_waiters(2);
	touch(0);
	ASSERT_EQ(0, xadd(variant->be, self->ep, self->efd[0],
			  EPOLLIN | EPOLLET, 7));
	EXPECT_WAITER_GOT(1, 7);
	EXPECT_SLEPT_ON(0);
	touch(0);
	EXPECT_WAITER_GOT(0, 7);
}

TEST_F(wake, add_of_an_idle_file_wakes_nobody)
{
	start_waiters(1);
	watch_all(EPOLLIN);
	EXPECT_SLEPT_ON(0);
	touch(2);
	EXPECT_WAITER_GOT(0, 2);
}

TEST_F(wake, mod_that_finds_a_file_ready_wakes_one_waiter)
{
	watch_all(EPOLLPRI);
	start_waiters(2);
	touch(0);
	EXPECT_SLEPT_ON(1);
	ASSERT_EQ(0, xmod(variant->be, self->ep, self->efd[0],
			  EPOLLIN | EPOLLET, 8));
	EXPECT_WAITER_GOT(1, 8);
	EXPECT_SLEPT_ON(0);
	ASSERT_EQ(0, xmod(variant->be, self->ep, self->efd[0], EPOLLIN, 9));
	EXPECT_WAITER_GOT(0, 9);
}

TEST_F(wake, wakeup_that_yields_nothing_leaves_the_deadline_alone)
{
	struct waiter *w = &self->w[0];
	int64_t start = now_ns();
	eventfd_t value;

	/* woken for IN, which is over before the waiter can look */
	watch_all(EPOLLIN | EPOLLET);
	w->timeout = 300;
	start_waiters(1);
	while (!atomic_load(&w->done)) {
		touch(0);
		eventfd_read(self->efd[0], &value);
		breathe();
	}
	ASSERT_TRUE(waiter_finish(w, 0));
	EXPECT_LE(0, w->ret);
	/* 0: it timed out, and not before its time */
	EXPECT_TRUE(w->ret > 0 || start + 300000000 <= w->end_ns);
}

struct poller {
	int ep;
	atomic_int tid;
	atomic_bool done;
	int ret;
	short revents;
};

static void *poller_main(void *arg)
{
	struct poller *p = arg;
	struct pollfd pfd = { .fd = p->ep, .events = POLLIN };

	atomic_store(&p->tid, self_tid());
	p->ret = poll(&pfd, 1, PATIENCE_MS);
	p->revents = pfd.revents;
	atomic_store(&p->done, true);
	return NULL;
}

/* An event goes to a waiter and, all the same, to whoever polls the instance. */
TEST_F(wake, pollers_are_woken_beside_a_waiter)
{
	struct poller p[2] = { { .ep = self->ep }, { .ep = self->ep } };
	pthread_t thread[2];

	watch_all(EPOLLIN);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, poller_main,
					    &p[i]));
		while (!atomic_load(&p[i].tid))
			breathe();
		ASSERT_TRUE(wait_until_sleeping(p[i].tid, PATIENCE_MS));
	}
	start_waiters(1);
	touch(0);
	EXPECT_WAITER_GOT(0, 0);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
		EXPECT_EQ(1, p[i].ret);
		EXPECT_EQ(POLLIN, p[i].revents);
	}
}

/*
 * Rounds of a race: a thread makes an event while another one gives up waiting.
 * @spin: how long the event is held back, to move it across the deadline
 */
struct event_source {
	int efd;
	int rounds;
	int spin;
	pthread_barrier_t start;
	pid_t target;
};

static void *make_events(void *arg)
{
	struct event_source *src = arg;

	for (int i = 0; i < src->rounds; i++) {
		int64_t until;

		pthread_barrier_wait(&src->start);
		until = now_ns() + i * 7919LL % src->spin;
		while (now_ns() < until)
			;
		if (src->target)
			syscall(SYS_tgkill, getpid(), src->target, SIGUSR1);
		if (eventfd_write(src->efd, 1))
			return "write failed";
	}
	return NULL;
}

static int wait_ns(const struct backend *be, int ep, struct epoll_event *ev,
		   long ns)
{
	struct timespec ts = { .tv_nsec = ns };

	return be->pwait2(ep, ev, 1, &ts, NULL, 0);
}

/* Each edge comes out once: at the deadline, or after it. */
TEST_F_TIMEOUT(wake, event_at_the_deadline_is_not_lost, 120)
{
	struct event_source src = {
		.efd = self->efd[0],
		.rounds = RACE_ROUNDS,
		.spin = 400000,
	};
	int late = 0, bad = 0;
	pthread_t thread;
	void *failure;

	watch_all(EPOLLIN | EPOLLET);
	ASSERT_EQ(0, pthread_barrier_init(&src.start, NULL, 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, make_events, &src));
	for (int i = 0; i < RACE_ROUNDS; i++) {
		int ret;

		pthread_barrier_wait(&src.start);
		ret = wait_ns(variant->be, self->ep, self->ev, 200000);
		if (!ret) {
			late++;
			ret = variant->be->wait(self->ep, self->ev, 1,
						PATIENCE_MS);
		}
		bad += ret != 1;
	}
	ASSERT_EQ(0, pthread_join(thread, &failure));
	EXPECT_EQ(NULL, failure);
	EXPECT_EQ(0, bad);
	EXPECT_EQ(0, wait0(variant->be, self->ep, self->ev, 1));
	TH_LOG("%d of %d waits were over before the event", late, RACE_ROUNDS);
}

/*
 * A waiter that gives up has either not been woken, and then the wake-up is for
 * the one that sleeps on, or it has the event.
 */
TEST_F_TIMEOUT(wake, event_at_the_deadline_goes_to_another_waiter, 240)
{
	struct event_source src = {
		.efd = self->efd[0],
		.rounds = RACE_ROUNDS,
		.spin = 400000,
	};
	struct waiter *other = &self->w[0];
	int by_other = 0;
	pthread_t thread;

	watch_all(EPOLLIN | EPOLLET);
	ASSERT_EQ(0, pthread_barrier_init(&src.start, NULL, 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, make_events, &src));
	ASSERT_EQ(0, waiter_start(other));
	for (int i = 0; i < RACE_ROUNDS; i++) {
		int ret;

		pthread_barrier_wait(&src.start);
		ret = wait_ns(variant->be, self->ep, self->ev, 200000);
		ASSERT_LE(0, ret);
		if (ret == 1)
			continue;
		by_other++;
		ASSERT_TRUE(waiter_finish(other, PATIENCE_MS));
		ASSERT_EQ(1, other->ret);
		ASSERT_EQ(0, waiter_start(other));
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	TH_LOG("%d of %d events went to the other waiter", by_other,
	       RACE_ROUNDS);
	touch(1);
	ASSERT_TRUE(waiter_finish(other, PATIENCE_MS));
}

static void ignore_signal(int sig)
{
}

/* The same with a signal in the place of the deadline. */
TEST_F_TIMEOUT(wake, event_beside_a_signal_is_not_lost, 240)
{
	struct sigaction sa = { .sa_handler = ignore_signal };
	struct event_source src = {
		.efd = self->efd[0],
		.rounds = RACE_ROUNDS,
		.spin = 100000,
		.target = self_tid(),
	};
	struct waiter *other = &self->w[0];
	int interrupted = 0;
	pthread_t thread;

	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	watch_all(EPOLLIN | EPOLLET);
	ASSERT_EQ(0, pthread_barrier_init(&src.start, NULL, 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, make_events, &src));
	ASSERT_EQ(0, waiter_start(other));
	for (int i = 0; i < RACE_ROUNDS; i++) {
		int ret;

		pthread_barrier_wait(&src.start);
		/* the time-out is for when both came before the wait */
		ret = variant->be->wait(self->ep, self->ev, 1, 5);
		if (ret == 1)
			continue;
		ASSERT_FALSE(ret < 0 && errno != EINTR);
		interrupted += ret < 0;
		ASSERT_TRUE(waiter_finish(other, PATIENCE_MS));
		ASSERT_EQ(1, other->ret);
		ASSERT_EQ(0, waiter_start(other));
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	TH_LOG("%d of %d waits were interrupted", interrupted, RACE_ROUNDS);
	touch(1);
	ASSERT_TRUE(waiter_finish(other, PATIENCE_MS));
}

TEST_HARNESS_MAIN
