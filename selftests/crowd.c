// SPDX-License-Identifier: GPL-2.0-only
/* Many threads on one instance: nothing lost, nothing reported twice. */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "observe.h"

#define NR_THREADS 8
#define NR_FILES 4
#define NR_EDGES 2000
#define NR_SHOTS 4000
#define NR_LOOKERS 64
#define NR_LOOKS 200
#define NR_MODS 3000

/*
 * What the threads share.
 * @stop: eventfd watched with data STOP; written to end them
 * @efd: the files watched, data is the index
 * @count: how often each file was reported
 * @busy: a one-shot watch was reported and is not armed again yet
 * @sum: what was read from the files
 * @faults: what must not be
 */
#define STOP 99

FIXTURE(crowd)
{
	const struct backend *be;
	int ep;
	int stop;
	int efd[NR_FILES];
	atomic_int count[NR_FILES];
	atomic_bool busy[NR_FILES];
	atomic_uint sum;
	atomic_int faults;
	pthread_t thread[NR_LOOKERS];
};

BACKEND_VARIANTS(crowd);

FIXTURE_SETUP(crowd)
{
	REQUIRE_BACKEND(variant->be);
	self->be = variant->be;
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->stop);
	for (int i = 0; i < NR_FILES; i++) {
		self->efd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		ASSERT_LE(0, self->efd[i]);
	}
}

FIXTURE_TEARDOWN(crowd)
{
	for (int i = 0; i < NR_FILES; i++)
		close(self->efd[i]);
	close(self->stop);
	close(self->ep);
}

#define CROWD FIXTURE_DATA(crowd)

#define watch_stop() \
	ASSERT_EQ(0, xadd(variant->be, self->ep, self->stop, EPOLLIN, STOP))

#define watch_files(n, mask) do {					\
	for (int i_ = 0; i_ < (n); i_++)				\
		ASSERT_EQ(0, xadd(variant->be, self->ep, self->efd[i_],	\
				  mask, i_));				\
} while (0)

#define start_threads(n, main) do {					\
	for (int i_ = 0; i_ < (n); i_++)				\
		ASSERT_EQ(0, pthread_create(&self->thread[i_], NULL,	\
					    main, self));		\
} while (0)

#define join_threads(n) do {						\
	for (int i_ = 0; i_ < (n); i_++)				\
		ASSERT_EQ(0, pthread_join(self->thread[i_], NULL));	\
} while (0)

#define stop_threads(n) do {						\
	ASSERT_EQ(0, eventfd_write(self->stop, 1));			\
	join_threads(n);						\
} while (0)

static bool reaches(atomic_int *value, int wanted)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;

	while (atomic_load(value) < wanted) {
		if (now_ns() > deadline)
			return false;
		sched_yield();
	}
	return true;
}

static void *count_events(void *arg)
{
	struct epoll_event ev[2];
	CROWD *self = arg;

	for (;;) {
		int n = self->be->wait(self->ep, ev, 2, -1);

		if (n < 1) {
			atomic_fetch_add(&self->faults, 1);
			return NULL;
		}
		for (int i = 0; i < n; i++) {
			if (ev[i].data.u64 == STOP)
				return NULL;
			atomic_fetch_add(&self->count[ev[i].data.u64], 1);
		}
	}
}

/* The eventfd is never read: only a wake-up may make it come out again. */
TEST_F_TIMEOUT(crowd, every_edge_is_reported_exactly_once, 240)
{
	watch_stop();
	watch_files(1, EPOLLIN | EPOLLET);
	start_threads(NR_THREADS, count_events);
	for (int i = 0; i < NR_EDGES; i++) {
		ASSERT_EQ(0, eventfd_write(self->efd[0], 1));
		ASSERT_TRUE(reaches(&self->count[0], i + 1));
	}
	stop_threads(NR_THREADS);
	EXPECT_EQ(NR_EDGES, atomic_load(&self->count[0]));
	EXPECT_EQ(0, atomic_load(&self->faults));
}

static void *take_and_rearm(void *arg)
{
	struct epoll_event ev;
	CROWD *self = arg;

	while (self->be->wait(self->ep, &ev, 1, -1) == 1) {
		int i = ev.data.u64;

		if (i == STOP)
			return NULL;
		if (atomic_exchange(&self->busy[i], true))
			atomic_fetch_add(&self->faults, 1);
		atomic_fetch_add(&self->count[i], 1);
		sched_yield();
		atomic_store(&self->busy[i], false);
		if (xmod(self->be, self->ep, self->efd[i],
			 EPOLLIN | EPOLLONESHOT, i))
			break;
	}
	atomic_fetch_add(&self->faults, 1);
	return NULL;
}

TEST_F_TIMEOUT(crowd, oneshot_is_never_with_two_threads, 240)
{
	watch_stop();
	for (int i = 0; i < NR_FILES; i++)
		ASSERT_EQ(0, eventfd_write(self->efd[i], 1));
	watch_files(NR_FILES, EPOLLIN | EPOLLONESHOT);
	start_threads(NR_THREADS, take_and_rearm);
	for (int i = 0; i < NR_FILES; i++)
		ASSERT_TRUE(reaches(&self->count[i], NR_SHOTS / NR_FILES));
	stop_threads(NR_THREADS);
	EXPECT_EQ(0, atomic_load(&self->faults));
}

static void *read_events(void *arg)
{
	struct epoll_event ev[2];
	CROWD *self = arg;
	eventfd_t value;

	for (;;) {
		int n = self->be->wait(self->ep, ev, 2, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.u64 == STOP)
				return NULL;
			if (!eventfd_read(self->efd[ev[i].data.u64], &value))
				atomic_fetch_add(&self->sum, value);
		}
		if (n < 1) {
			atomic_fetch_add(&self->faults, 1);
			return NULL;
		}
	}
}

static void *write_events(void *arg)
{
	CROWD *self = arg;

	for (int i = 0; i < NR_EDGES; i++)
		if (eventfd_write(self->efd[i % NR_FILES], 1))
			atomic_fetch_add(&self->faults, 1);
	return NULL;
}

/* Whatever is written is read, though each edge is seen by one thread only. */
static void all_that_is_written_is_read(struct __test_metadata *_metadata,
					CROWD *self)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;
	pthread_t writer[2];

	start_threads(NR_THREADS, read_events);
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&writer[i], NULL, write_events,
					    self));
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(writer[i], NULL));
	while (atomic_load(&self->sum) < 2 * NR_EDGES && now_ns() < deadline)
		sched_yield();
	EXPECT_EQ(2U * NR_EDGES, atomic_load(&self->sum));
	stop_threads(NR_THREADS);
	EXPECT_EQ(0, atomic_load(&self->faults));
}

TEST_F_TIMEOUT(crowd, no_edge_is_lost_between_writers_and_readers, 240)
{
	watch_stop();
	watch_files(NR_FILES, EPOLLIN | EPOLLET);
	all_that_is_written_is_read(_metadata, self);
}

TEST_F_TIMEOUT(crowd, no_level_is_lost_between_writers_and_readers, 240)
{
	watch_stop();
	watch_files(NR_FILES, EPOLLIN);
	all_that_is_written_is_read(_metadata, self);
}

static void *look(void *arg)
{
	struct epoll_event ev;
	CROWD *self = arg;

	for (int i = 0; i < NR_LOOKS; i++) {
		int n = self->be->wait(self->ep, &ev, 1, 0);

		if (!n)
			atomic_fetch_add(&self->count[0], 1);
		else if (n != 1)
			atomic_fetch_add(&self->faults, 1);
	}
	return NULL;
}

/*
 * A file that is always ready is never missed by a wait that does not block.
 * Native kernels before 7.2 look without the lock while another wait has the
 * ready list in its hands.
 */
TEST_F_TIMEOUT(crowd, level_ready_file_is_never_missed_by_timeout_0, 240)
{
	int missed;

	ASSERT_EQ(0, eventfd_write(self->efd[0], 1));
	watch_files(1, EPOLLIN);
	start_threads(NR_LOOKERS, look);
	join_threads(NR_LOOKERS);
	EXPECT_EQ(0, atomic_load(&self->faults));
	missed = atomic_load(&self->count[0]);
	if (missed && !self->be->ours)
		SKIP(return, "native bug on this kernel: %d of %d waits missed it",
		     missed, NR_LOOKERS * NR_LOOKS);
	EXPECT_EQ(0, missed);
}

static void *look_until_stopped(void *arg)
{
	struct pollfd pfd;
	struct epoll_event ev;
	CROWD *self = arg;

	pfd = (struct pollfd){ .fd = self->stop, .events = POLLIN };
	while (!poll(&pfd, 1, 0))
		for (int i = 0; i < 50; i++)
			if (self->be->wait(self->ep, &ev, 1, 0) < 0)
				atomic_fetch_add(&self->faults, 1);
	return NULL;
}

/* Takes what it can get, without a pause. */
static void *take_until_stopped(void *arg)
{
	CROWD *self = arg;
	struct epoll_event ev[2];

	for (;;) {
		int n = wait0(self->be, self->ep, ev, 2);

		for (int i = 0; i < n; i++)
			if (ev[i].data.u64 == STOP)
				return NULL;
	}
}

/* From MOD on it is level-triggered, whoever has it in his hands just now. */
TEST_F_TIMEOUT(crowd, edge_made_level_is_never_missed_by_timeout_0, 240)
{
	struct epoll_event ev[2];
	uint32_t before[] = { EPOLLIN | EPOLLET, EPOLLIN | EPOLLONESHOT };

	watch_stop();
	ASSERT_EQ(0, eventfd_write(self->efd[0], 1));
	watch_files(1, EPOLLIN);
	start_threads(1, take_until_stopped);
	for (int i = 0; i < NR_MODS; i++) {
		ASSERT_EQ(0, xmod(self->be, self->ep, self->efd[0],
				  before[i % 2], 0));
		ASSERT_EQ(0, xmod(self->be, self->ep, self->efd[0], EPOLLIN, 0));
		ASSERT_EQ(1, wait0(self->be, self->ep, ev, 2)) {
			TH_LOG("round %d", i);
		}
	}
	stop_threads(1);
}

TEST_F_TIMEOUT(crowd, level_ready_file_is_never_missed_by_poll, 240)
{
	struct pollfd pfd = { .fd = self->ep, .events = POLLIN };
	int missed = 0;

	ASSERT_EQ(0, eventfd_write(self->efd[0], 1));
	watch_files(1, EPOLLIN);
	start_threads(4, look_until_stopped);
	for (int i = 0; i < 20 * NR_LOOKS; i++)
		missed += poll(&pfd, 1, 0) != 1 || pfd.revents != POLLIN;
	stop_threads(4);
	EXPECT_EQ(0, missed);
	EXPECT_EQ(0, atomic_load(&self->faults));
}

TEST_F_TIMEOUT(crowd, level_ready_file_is_never_missed_by_a_sleeping_poll, 240)
{
	struct pollfd pfd = { .fd = self->ep, .events = POLLIN };
	int missed = 0;

	ASSERT_EQ(0, eventfd_write(self->efd[0], 1));
	watch_files(1, EPOLLIN);
	start_threads(4, look_until_stopped);
	for (int i = 0; i < 5 * NR_LOOKS && !missed; i++)
		missed += poll(&pfd, 1, PATIENCE_MS) != 1;
	stop_threads(4);
	EXPECT_EQ(0, missed);
}

/* The outer instance must not lose what threads pass around on the inner one. */
TEST_F_TIMEOUT(crowd, level_ready_file_is_never_missed_by_an_outer_instance,
	       240)
{
	int outer = variant->be->create(EPOLL_CLOEXEC);
	struct epoll_event ev;
	int missed = 0;

	ASSERT_LE(0, outer);
	ASSERT_EQ(0, eventfd_write(self->efd[0], 1));
	watch_files(1, EPOLLIN);
	ASSERT_EQ(0, xadd(variant->be, outer, self->ep, EPOLLIN, 5));
	start_threads(4, look_until_stopped);
	for (int i = 0; i < 5 * NR_LOOKS && !missed; i++)
		missed += variant->be->wait(outer, &ev, 1, PATIENCE_MS) != 1;
	stop_threads(4);
	EXPECT_EQ(0, missed);
	close(outer);
}

static void *consume_one_by_one(void *arg)
{
	struct epoll_event ev;
	CROWD *self = arg;
	eventfd_t value;

	while (self->be->wait(self->ep, &ev, 1, -1) == 1) {
		if (ev.data.u64 == STOP)
			return NULL;
		if (!eventfd_read(self->efd[ev.data.u64], &value))
			atomic_fetch_add(&self->count[0], 1);
	}
	atomic_fetch_add(&self->faults, 1);
	return NULL;
}

/* Watches come and go while their events are being taken. */
TEST_F_TIMEOUT(crowd, events_survive_watches_that_come_and_go, 240)
{
	watch_stop();
	watch_files(1, EPOLLIN);
	start_threads(NR_THREADS / 2, consume_one_by_one);
	for (int i = 0; i < NR_EDGES / 2; i++) {
		for (int k = 1; k < NR_FILES; k++)
			ASSERT_EQ(0, xadd(variant->be, self->ep, self->efd[k],
					  EPOLLIN, k));
		ASSERT_EQ(0, eventfd_write(self->efd[0], 1));
		for (int k = 1; k < NR_FILES; k++)
			ASSERT_EQ(0, xdel(variant->be, self->ep, self->efd[k]));
		ASSERT_TRUE(reaches(&self->count[0], i + 1));
	}
	stop_threads(NR_THREADS / 2);
	EXPECT_EQ(NR_EDGES / 2, atomic_load(&self->count[0]));
	EXPECT_EQ(0, atomic_load(&self->faults));
}

#define NR_SPINS 20000
#define SPIN_MS 60000

static void *write_edges(void *arg)
{
	CROWD *self = arg;

	while (!atomic_load(&self->busy[0]))
		if (eventfd_write(self->efd[0], 1))
			return "eventfd_write failed";
	return NULL;
}

/* Who looks without pause meets events at any point of their way. */
TEST_F_TIMEOUT(crowd, edges_meet_a_thread_that_does_not_sleep, 240)
{
	/* Who spins for native's lock keeps an emulated writer from it for long. */
	int64_t end = now_ns() + SPIN_MS * 1000000LL;
	struct epoll_event ev[2];
	void *failure;
	int i, n;

	watch_files(1, EPOLLIN | EPOLLET);
	start_threads(1, write_edges);
	for (i = 0; !i || (i < NR_SPINS && now_ns() < end); i += n) {
		n = self->be->wait(self->ep, ev, 2, 0);
		ASSERT_LE(0, n);
		ASSERT_GE(1, n);
	}
	atomic_store(&self->busy[0], true);
	ASSERT_EQ(0, pthread_join(self->thread[0], &failure));
	EXPECT_EQ(NULL, failure);
	/* Of all those that came since the last look one is left, or none. */
	ASSERT_GE(1, wait0(self->be, self->ep, ev, 2));
	ASSERT_EQ(0, wait0(self->be, self->ep, ev, 2));
	ASSERT_EQ(0, eventfd_write(self->efd[0], 1));
	ASSERT_EQ(1, wait0(self->be, self->ep, ev, 2));
	ASSERT_EQ(0, wait0(self->be, self->ep, ev, 2));
}

TEST_HARNESS_MAIN
