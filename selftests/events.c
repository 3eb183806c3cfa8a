// SPDX-License-Identifier: GPL-2.0-only
/* Event masks: what is reported, when it is reported again, when it is not. */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "observe.h"

#define PRIVATE_BITS (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)
#define RACE_ROUNDS 2000

FIXTURE(events)
{
	int ep;
	int efd;
	int pipe[2];
	int sock[2];
	struct epoll_event ev[4];
};

BACKEND_VARIANTS(events);

FIXTURE_SETUP(events)
{
	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->efd);
	ASSERT_EQ(0, pipe2(self->pipe, O_NONBLOCK | O_CLOEXEC));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
				SOCK_CLOEXEC, 0, self->sock));
}

FIXTURE_TEARDOWN(events)
{
	close(self->sock[0]);
	close(self->sock[1]);
	close(self->pipe[0]);
	close(self->pipe[1]);
	close(self->efd);
	close(self->ep);
}

static int signal_eventfd(int efd)
{
	return eventfd_write(efd, 1);
}

static int drain_eventfd(int efd)
{
	eventfd_t value;

	return eventfd_read(efd, &value);
}

TEST_F(events, state_is_read_at_delivery_not_at_wakeup)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->efd, EPOLLIN, 1));
	ASSERT_EQ(0, signal_eventfd(self->efd));
	ASSERT_EQ(0, drain_eventfd(self->efd));
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
}

TEST_F(events, other_ready_bits_are_reported_with_the_one_that_woke)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->sock[0], EPOLLIN | EPOLLOUT |
			  EPOLLRDNORM | EPOLLET, 7));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ((uint32_t)EPOLLOUT, self->ev[0].events);
	EXPECT_EQ(7U, self->ev[0].data.u64);
	/* this wake-up carries reading bits only; the socket is writable too */
	ASSERT_EQ(1, write(self->sock[1], "x", 1));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ((uint32_t)(EPOLLIN | EPOLLRDNORM | EPOLLOUT),
		  self->ev[0].events);
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
}

TEST_F(events, only_bits_of_the_mask_are_reported)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(1, write(self->sock[1], "x", 1));
	ASSERT_EQ(0, xadd(be, self->ep, self->sock[0], EPOLLOUT, 1));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ((uint32_t)EPOLLOUT, self->ev[0].events);
	ASSERT_EQ(0, xmod(be, self->ep, self->sock[0], EPOLLRDNORM, 1));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ((uint32_t)EPOLLRDNORM, self->ev[0].events);
	ASSERT_EQ(0, xmod(be, self->ep, self->sock[0], EPOLLPRI, 1));
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
}

TEST_F(events, half_close_is_reported_as_rdhup_if_wanted)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->sock[0], EPOLLRDHUP, 1));
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
	ASSERT_EQ(0, shutdown(self->sock[1], SHUT_WR));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ((uint32_t)EPOLLRDHUP, self->ev[0].events);
}

TEST_F(events, hup_is_reported_to_an_empty_mask)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->pipe[0], 0, 3));
	EXPECT_EQ((uint32_t)(EPOLLERR | EPOLLHUP),
		  watch_mask(self->ep, self->pipe[0]));
	ASSERT_EQ(1, write(self->pipe[1], "x", 1));
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
	close(self->pipe[1]);
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ((uint32_t)EPOLLHUP, self->ev[0].events);
	EXPECT_EQ(3U, self->ev[0].data.u64);
}

TEST_F(events, err_is_reported_to_an_empty_mask)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->pipe[1], 0, 3));
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
	close(self->pipe[0]);
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ((uint32_t)EPOLLERR, self->ev[0].events);
}

TEST_F(events, oneshot_is_disarmed_by_its_delivery)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->pipe[0],
			  EPOLLIN | EPOLLONESHOT, 1));
	ASSERT_EQ(1, write(self->pipe[1], "x", 1));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ((uint32_t)EPOLLIN, self->ev[0].events);
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
	ASSERT_EQ(1, write(self->pipe[1], "x", 1));
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
	/* not even HUP */
	close(self->pipe[1]);
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
	ASSERT_EQ(0, xmod(be, self->ep, self->pipe[0], EPOLLONESHOT, 2));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ((uint32_t)EPOLLHUP, self->ev[0].events);
	EXPECT_EQ(2U, self->ev[0].data.u64);
}

TEST_F(events, oneshot_keeps_only_the_private_bits)
{
	const struct backend *be = variant->be;
	uint32_t mask = EPOLLIN | EPOLLPRI | EPOLLONESHOT | EPOLLET;

	ASSERT_EQ(0, xadd(be, self->ep, self->efd, mask, 1));
	EXPECT_EQ(mask | EPOLLERR | EPOLLHUP, watch_mask(self->ep, self->efd));
	ASSERT_EQ(0, signal_eventfd(self->efd));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ(mask & PRIVATE_BITS, watch_mask(self->ep, self->efd));
}

TEST_F(events, oneshot_stays_armed_if_nothing_was_delivered)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->efd, EPOLLIN | EPOLLONESHOT, 1));
	ASSERT_EQ(0, signal_eventfd(self->efd));
	ASSERT_EQ(0, drain_eventfd(self->efd));
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
	ASSERT_EQ(0, signal_eventfd(self->efd));
	EXPECT_EQ(1, wait0(be, self->ep, self->ev, 4));
}

TEST_F(events, disarmed_oneshot_does_not_wake)
{
	const struct backend *be = variant->be;
	struct waiter w = { .be = be, .ep = self->ep, .timeout = -1 };
	long slept;

	ASSERT_EQ(0, xadd(be, self->ep, self->efd, EPOLLIN | EPOLLONESHOT, 1));
	ASSERT_EQ(0, signal_eventfd(self->efd));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	ASSERT_EQ(0, waiter_start(&w));
	slept = sleep_count(w.tid);
	ASSERT_EQ(0, signal_eventfd(self->efd));
	EXPECT_TRUE(slept_on(&w, slept));
	ASSERT_EQ(0, xmod(be, self->ep, self->efd, EPOLLIN | EPOLLONESHOT, 9));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(9U, w.events[0].data.u64);
}

TEST_F(events, edge_is_reported_once_per_wakeup)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->efd, EPOLLIN | EPOLLET, 1));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, signal_eventfd(self->efd));
		EXPECT_EQ(1, wait0(be, self->ep, self->ev, 4));
		EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
	}
}

TEST_F(events, edges_before_a_wait_are_one_event)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->efd, EPOLLIN | EPOLLET, 1));
	ASSERT_EQ(0, signal_eventfd(self->efd));
	ASSERT_EQ(0, signal_eventfd(self->efd));
	EXPECT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
}

TEST_F(events, edge_that_is_over_is_not_reported)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->efd, EPOLLIN | EPOLLET, 1));
	ASSERT_EQ(0, signal_eventfd(self->efd));
	ASSERT_EQ(0, drain_eventfd(self->efd));
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
	ASSERT_EQ(0, signal_eventfd(self->efd));
	EXPECT_EQ(1, wait0(be, self->ep, self->ev, 4));
}

TEST_F(events, add_reports_what_is_ready_already)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, signal_eventfd(self->efd));
	ASSERT_EQ(0, xadd(be, self->ep, self->efd, EPOLLIN | EPOLLET, 5));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ(5U, self->ev[0].data.u64);
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
}

TEST_F(events, mod_rearms_an_edge)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, signal_eventfd(self->efd));
	ASSERT_EQ(0, xadd(be, self->ep, self->efd, EPOLLIN | EPOLLET, 5));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	ASSERT_EQ(0, xmod(be, self->ep, self->efd, EPOLLIN | EPOLLET, 6));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ(6U, self->ev[0].data.u64);
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
}

TEST_F(events, mod_looks_at_the_file_with_the_new_mask)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->efd, EPOLLIN, 1));
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
	ASSERT_EQ(0, xmod(be, self->ep, self->efd, EPOLLOUT, 2));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ((uint32_t)EPOLLOUT, self->ev[0].events);
	EXPECT_EQ(2U, self->ev[0].data.u64);
}

TEST_F(events, mod_applies_to_an_event_not_yet_delivered)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->efd, EPOLLIN, 1));
	ASSERT_EQ(0, signal_eventfd(self->efd));
	ASSERT_EQ(0, xmod(be, self->ep, self->efd, EPOLLIN, ~0ULL));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ(~0ULL, self->ev[0].data.u64);
	ASSERT_EQ(0, xmod(be, self->ep, self->efd, EPOLLPRI, 2));
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
}

TEST_F(events, level_becomes_edge_and_back_by_mod)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, signal_eventfd(self->efd));
	ASSERT_EQ(0, xadd(be, self->ep, self->efd, EPOLLIN, 1));
	EXPECT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ(1, wait0(be, self->ep, self->ev, 4));
	ASSERT_EQ(0, xmod(be, self->ep, self->efd, EPOLLIN | EPOLLET, 1));
	EXPECT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, 4));
	ASSERT_EQ(0, xmod(be, self->ep, self->efd, EPOLLIN, 1));
	EXPECT_EQ(1, wait0(be, self->ep, self->ev, 4));
	EXPECT_EQ(1, wait0(be, self->ep, self->ev, 4));
}

TEST_F(events, wakeup_with_other_bits_does_not_wake)
{
	const struct backend *be = variant->be;
	struct waiter w = { .be = be, .ep = self->ep, .timeout = -1 };
	long slept;

	/* an eventfd wakes with IN when written and never has PRI */
	ASSERT_EQ(0, xadd(be, self->ep, self->efd, EPOLLPRI, 1));
	ASSERT_EQ(0, waiter_start(&w));
	slept = sleep_count(w.tid);
	ASSERT_EQ(0, signal_eventfd(self->efd));
	EXPECT_TRUE(slept_on(&w, slept));
	ASSERT_EQ(0, xadd(be, self->ep, self->pipe[1], EPOLLOUT, 2));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	ASSERT_EQ(1, w.ret);
	EXPECT_EQ(2U, w.events[0].data.u64);
}

TEST_F(events, wakeup_without_bits_is_always_looked_at)
{
	const struct backend *be = variant->be;
	struct waiter w = { .be = be, .ep = self->ep, .timeout = -1 };
	int ino = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	long slept;

	ASSERT_LE(0, ino);
	ASSERT_LE(0, inotify_add_watch(ino, "/proc/self/exe", IN_OPEN));
	/* inotify wakes without saying why, and never has PRI */
	ASSERT_EQ(0, xadd(be, self->ep, ino, EPOLLPRI, 1));
	ASSERT_EQ(0, waiter_start(&w));
	slept = sleep_count(w.tid);
	close(open("/proc/self/exe", O_RDONLY));
	EXPECT_TRUE(woken_since(&w, slept));
	EXPECT_FALSE(atomic_load(&w.done));
	ASSERT_EQ(0, xmod(be, self->ep, ino, EPOLLIN, 2));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(2U, w.events[0].data.u64);
	close(ino);
}

struct race {
	int efd;
	pthread_barrier_t start, end;
};

static void *write_each_round(void *arg)
{
	struct race *race = arg;

	for (int i = 0; i < RACE_ROUNDS; i++) {
		pthread_barrier_wait(&race->start);
		if (signal_eventfd(race->efd))
			return "write failed";
		pthread_barrier_wait(&race->end);
	}
	return NULL;
}

/* Either the wake-up sees the new mask or MOD sees the new state. */
static void mod_against_wakeup(struct __test_metadata *_metadata,
			       const struct backend *be, int ep, int efd,
			       uint32_t mask)
{
	struct race race = { .efd = efd };
	struct epoll_event ev;
	pthread_t writer;
	void *failure;
	int lost = 0;

	ASSERT_EQ(0, pthread_barrier_init(&race.start, NULL, 2));
	ASSERT_EQ(0, pthread_barrier_init(&race.end, NULL, 2));
	ASSERT_EQ(0, xadd(be, ep, efd, 0, 0));
	ASSERT_EQ(0, pthread_create(&writer, NULL, write_each_round, &race));
	for (int i = 0; i < RACE_ROUNDS; i++) {
		pthread_barrier_wait(&race.start);
		if (xmod(be, ep, efd, mask, i))
			lost = RACE_ROUNDS;
		pthread_barrier_wait(&race.end);
		if (wait0(be, ep, &ev, 1) != 1 || ev.data.u64 != (uint64_t)i)
			lost++;
		drain_eventfd(efd);
		xmod(be, ep, efd, 0, i);
	}
	ASSERT_EQ(0, pthread_join(writer, &failure));
	EXPECT_EQ(NULL, failure);
	EXPECT_EQ(0, lost);
}

TEST_F_TIMEOUT(events, mod_races_with_wakeup_level, 120)
{
	mod_against_wakeup(_metadata, variant->be, self->ep, self->efd,
			   EPOLLIN);
}

TEST_F_TIMEOUT(events, mod_races_with_wakeup_edge, 120)
{
	mod_against_wakeup(_metadata, variant->be, self->ep, self->efd,
			   EPOLLIN | EPOLLET);
}

TEST_F_TIMEOUT(events, mod_races_with_wakeup_oneshot, 120)
{
	mod_against_wakeup(_metadata, variant->be, self->ep, self->efd,
			   EPOLLIN | EPOLLONESHOT);
}

TEST_HARNESS_MAIN
