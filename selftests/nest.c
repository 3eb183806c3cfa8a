// SPDX-License-Identifier: GPL-2.0-only
/* Instances in instances, and poll() on an instance. */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "observe.h"

#define NR_FILES 4
#define NR_TOKENS 2000

FIXTURE(nest)
{
	int inner;
	int outer;
	int efd[NR_FILES];
	struct epoll_event ev[NR_FILES];
};

BACKEND_VARIANTS(nest);

FIXTURE_SETUP(nest)
{
	REQUIRE_BACKEND(variant->be);
	self->inner = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->inner);
	self->outer = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->outer);
	for (int i = 0; i < NR_FILES; i++) {
		self->efd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		ASSERT_LE(0, self->efd[i]);
	}
}

FIXTURE_TEARDOWN(nest)
{
	for (int i = 0; i < NR_FILES; i++)
		close(self->efd[i]);
	close(self->outer);
	close(self->inner);
}

static int poll_now(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = ~0 };
	int ret = poll(&pfd, 1, 0);

	return ret < 0 ? ret : pfd.revents;
}

static int drain(int efd)
{
	eventfd_t value;

	return eventfd_read(efd, &value);
}

#define watch(ep, fd, mask, data) \
	ASSERT_EQ(0, xadd(variant->be, ep, fd, mask, data))
#define nest(mask) watch(self->outer, self->inner, mask, 77)
#define touch(i) ASSERT_EQ(0, eventfd_write(self->efd[i], 1))
#define wait_on(ep) wait0(variant->be, ep, self->ev, NR_FILES)

TEST_F(nest, poll_says_in_while_something_is_ready)
{
	EXPECT_EQ(0, poll_now(self->inner));
	watch(self->inner, self->efd[0], EPOLLIN, 0);
	EXPECT_EQ(0, poll_now(self->inner));
	touch(0);
	EXPECT_EQ(POLLIN | POLLRDNORM, poll_now(self->inner));
	EXPECT_EQ(1, wait_on(self->inner));
	EXPECT_EQ(POLLIN | POLLRDNORM, poll_now(self->inner));
	ASSERT_EQ(0, drain(self->efd[0]));
	EXPECT_EQ(0, poll_now(self->inner));
}

TEST_F(nest, poll_says_in_for_any_event)
{
	watch(self->inner, self->efd[0], EPOLLOUT, 0);
	EXPECT_EQ(POLLIN | POLLRDNORM, poll_now(self->inner));
}

TEST_F(nest, poll_does_not_use_up_an_edge)
{
	watch(self->inner, self->efd[0], EPOLLIN | EPOLLET, 0);
	touch(0);
	EXPECT_EQ(POLLIN | POLLRDNORM, poll_now(self->inner));
	EXPECT_EQ(POLLIN | POLLRDNORM, poll_now(self->inner));
	EXPECT_EQ(1, wait_on(self->inner));
	EXPECT_EQ(0, poll_now(self->inner));
}

TEST_F(nest, poll_does_not_disarm_a_oneshot)
{
	watch(self->inner, self->efd[0], EPOLLIN | EPOLLONESHOT, 0);
	touch(0);
	EXPECT_EQ(POLLIN | POLLRDNORM, poll_now(self->inner));
	EXPECT_EQ(1, wait_on(self->inner));
	EXPECT_EQ(0, poll_now(self->inner));
	touch(0);
	EXPECT_EQ(0, poll_now(self->inner));
}

/* What poll() finds not ready goes out of the order; the rest keeps it. */
TEST_F(nest, poll_drops_what_is_not_ready_and_keeps_the_rest)
{
	for (int i = 0; i < NR_FILES; i++)
		watch(self->inner, self->efd[i], EPOLLIN, i);
	for (int i = 0; i < NR_FILES; i++)
		touch(i);
	ASSERT_EQ(0, drain(self->efd[0]));
	EXPECT_EQ(POLLIN | POLLRDNORM, poll_now(self->inner));
	touch(0);
	ASSERT_EQ(NR_FILES, wait_on(self->inner));
	for (int i = 0; i < NR_FILES; i++)
		EXPECT_EQ((i + 1U) % NR_FILES, self->ev[i].data.u64);
}

/* It stops at the first that is ready. */
TEST_F(nest, poll_leaves_what_comes_after_the_first_ready_one)
{
	for (int i = 0; i < NR_FILES; i++)
		watch(self->inner, self->efd[i], EPOLLIN, i);
	for (int i = 0; i < NR_FILES; i++)
		touch(i);
	ASSERT_EQ(0, drain(self->efd[1]));
	EXPECT_EQ(POLLIN | POLLRDNORM, poll_now(self->inner));
	touch(1);
	ASSERT_EQ(NR_FILES, wait_on(self->inner));
	for (int i = 0; i < NR_FILES; i++)
		EXPECT_EQ((uint64_t)i, self->ev[i].data.u64);
}

TEST_F(nest, outer_reports_inner_while_inner_has_events)
{
	watch(self->inner, self->efd[0], EPOLLIN, 0);
	nest(EPOLLIN);
	EXPECT_EQ(0, wait_on(self->outer));
	touch(0);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(1, wait_on(self->outer));
		EXPECT_EQ((uint32_t)EPOLLIN, self->ev[0].events);
		EXPECT_EQ(77U, self->ev[0].data.u64);
	}
	ASSERT_EQ(0, drain(self->efd[0]));
	EXPECT_EQ(0, wait_on(self->outer));
}

TEST_F(nest, outer_reports_what_inner_had_when_it_was_added)
{
	watch(self->inner, self->efd[0], EPOLLIN, 0);
	touch(0);
	nest(EPOLLIN | EPOLLRDNORM | EPOLLET);
	ASSERT_EQ(1, wait_on(self->outer));
	EXPECT_EQ((uint32_t)(EPOLLIN | EPOLLRDNORM), self->ev[0].events);
	EXPECT_EQ(0, wait_on(self->outer));
}

TEST_F(nest, add_of_a_ready_file_to_inner_is_an_event_for_outer)
{
	nest(EPOLLIN | EPOLLET);
	touch(0);
	watch(self->inner, self->efd[0], EPOLLIN | EPOLLET, 0);
	EXPECT_EQ(1, wait_on(self->outer));
	EXPECT_EQ(0, wait_on(self->outer));
	EXPECT_EQ(1, wait_on(self->inner));
	ASSERT_EQ(0, xmod(variant->be, self->inner, self->efd[0], EPOLLIN, 0));
	EXPECT_EQ(1, wait_on(self->outer));
}

TEST_F(nest, outer_edge_comes_with_every_wakeup_of_inner)
{
	watch(self->inner, self->efd[0], EPOLLIN, 0);
	nest(EPOLLIN | EPOLLET);
	for (int i = 0; i < 3; i++) {
		touch(0);
		EXPECT_EQ(1, wait_on(self->outer));
		EXPECT_EQ(0, wait_on(self->outer));
	}
}

TEST_F(nest, outer_edge_comes_though_inner_has_the_event_queued)
{
	watch(self->inner, self->efd[0], EPOLLIN | EPOLLET, 0);
	nest(EPOLLIN | EPOLLET);
	touch(0);
	EXPECT_EQ(1, wait_on(self->outer));
	touch(0);
	EXPECT_EQ(1, wait_on(self->outer));
	EXPECT_EQ(1, wait_on(self->inner));
	EXPECT_EQ(0, wait_on(self->inner));
}

TEST_F(nest, taking_events_from_inner_is_no_edge_for_outer)
{
	watch(self->inner, self->efd[0], EPOLLIN, 0);
	watch(self->inner, self->efd[1], EPOLLIN, 1);
	nest(EPOLLIN | EPOLLET);
	touch(0);
	touch(1);
	EXPECT_EQ(1, wait_on(self->outer));
	EXPECT_EQ(1, wait0(variant->be, self->inner, self->ev, 1));
	EXPECT_EQ(0, wait_on(self->outer));
}

TEST_F(nest, outer_oneshot_reports_inner_once)
{
	watch(self->inner, self->efd[0], EPOLLIN, 0);
	nest(EPOLLIN | EPOLLONESHOT);
	touch(0);
	EXPECT_EQ(1, wait_on(self->outer));
	EXPECT_EQ(0, wait_on(self->outer));
	ASSERT_EQ(0, xmod(variant->be, self->outer, self->inner,
			  EPOLLIN | EPOLLONESHOT, 1));
	EXPECT_EQ(1, wait_on(self->outer));
}

TEST_F(nest, file_in_both_instances_is_reported_by_both)
{
	watch(self->inner, self->efd[0], EPOLLIN, 0);
	watch(self->outer, self->efd[0], EPOLLIN, 1);
	nest(EPOLLIN);
	touch(0);
	EXPECT_EQ(2, wait_on(self->outer));
	EXPECT_EQ(1, wait_on(self->inner));
}

TEST_F(nest, event_wakes_a_waiter_four_levels_up)
{
	struct waiter w = { .be = variant->be, .timeout = -1 };
	int ep[5];

	for (int i = 0; i < 5; i++) {
		ep[i] = variant->be->create(EPOLL_CLOEXEC);
		ASSERT_LE(0, ep[i]);
		if (i)
			watch(ep[i], ep[i - 1], EPOLLIN, i);
	}
	watch(ep[0], self->efd[0], EPOLLIN, 0);
	w.ep = ep[4];
	ASSERT_EQ(0, waiter_start(&w));
	touch(0);
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(4U, w.events[0].data.u64);
	for (int i = 4; i >= 0; i--) {
		ASSERT_EQ(1, wait_on(ep[i]));
		EXPECT_EQ((uint64_t)i, self->ev[0].data.u64);
	}
	ASSERT_EQ(0, drain(self->efd[0]));
	for (int i = 4; i >= 0; i--)
		EXPECT_EQ(0, wait_on(ep[i]));
	for (int i = 0; i < 5; i++)
		close(ep[i]);
}

TEST_F(nest, waiters_on_inner_and_outer_are_both_woken)
{
	struct waiter in = {
		.be = variant->be, .ep = self->inner, .timeout = -1
	};
	struct waiter out = {
		.be = variant->be, .ep = self->outer, .timeout = -1
	};

	watch(self->inner, self->efd[0], EPOLLIN, 0);
	nest(EPOLLIN);
	ASSERT_EQ(0, waiter_start(&in));
	ASSERT_EQ(0, waiter_start(&out));
	touch(0);
	ASSERT_TRUE(waiter_finish(&in, PATIENCE_MS));
	ASSERT_TRUE(waiter_finish(&out, PATIENCE_MS));
	EXPECT_EQ(1, in.ret);
	EXPECT_EQ(1, out.ret);
}

TEST_F(nest, closed_inner_leaves_outer)
{
	watch(self->inner, self->efd[0], EPOLLIN, 0);
	nest(EPOLLIN);
	touch(0);
	close(self->inner);
	EXPECT_EQ(0, wait_on(self->outer));
	EXPECT_EQ(0, count_watches(self->outer));
	EXPECT_EQ(-1, xdel(variant->be, self->outer, self->inner));
	EXPECT_EQ(EBADF, errno);
	self->inner = -1;
}

TEST_F(nest, closed_inner_is_no_event_for_a_waiter_on_outer)
{
	struct waiter w = {
		.be = variant->be, .ep = self->outer, .timeout = -1
	};

	watch(self->inner, self->efd[0], EPOLLIN, 0);
	watch(self->outer, self->efd[1], EPOLLIN, 1);
	nest(EPOLLIN);
	ASSERT_EQ(0, waiter_start(&w));
	close(self->inner);
	ASSERT_TRUE(wait_until_sleeping(w.tid, PATIENCE_MS));
	EXPECT_FALSE(atomic_load(&w.done));
	touch(0);
	touch(1);
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(1U, w.events[0].data.u64);
	self->inner = -1;
}

TEST_F(nest, inner_outlives_outer)
{
	watch(self->inner, self->efd[0], EPOLLIN, 0);
	nest(EPOLLIN);
	touch(0);
	close(self->outer);
	EXPECT_EQ(1, wait_on(self->inner));
	self->outer = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->outer);
	nest(EPOLLIN);
	EXPECT_EQ(1, wait_on(self->outer));
}

/* A file that closes takes its event out of every level. */
TEST_F(nest, closed_file_is_gone_from_inner_and_outer)
{
	watch(self->inner, self->efd[0], EPOLLIN, 0);
	nest(EPOLLIN);
	touch(0);
	EXPECT_EQ(1, wait_on(self->outer));
	close(self->efd[0]);
	EXPECT_EQ(0, wait_on(self->outer));
	EXPECT_EQ(0, poll_now(self->inner));
	self->efd[0] = -1;
}

TEST_F(nest, native_instance_watches_this_one)
{
	const struct backend *native = &backend_native;
	int ep = native->create(EPOLL_CLOEXEC);

	ASSERT_LE(0, ep);
	watch(self->inner, self->efd[0], EPOLLIN, 0);
	ASSERT_EQ(0, xadd(native, ep, self->inner, EPOLLIN, 1));
	EXPECT_EQ(0, wait0(native, ep, self->ev, 1));
	touch(0);
	EXPECT_EQ(1, wait0(native, ep, self->ev, 1));
	ASSERT_EQ(0, xmod(native, ep, self->inner, EPOLLIN | EPOLLET, 1));
	EXPECT_EQ(1, wait0(native, ep, self->ev, 1));
	EXPECT_EQ(0, wait0(native, ep, self->ev, 1));
	touch(0);
	EXPECT_EQ(1, wait0(native, ep, self->ev, 1));
	EXPECT_EQ(0, wait0(native, ep, self->ev, 1));
	close(ep);
}

TEST_F(nest, native_waiter_is_woken_through_instances)
{
	const struct backend *native = &backend_native;
	struct waiter w = {
		.be = native, .ep = native->create(EPOLL_CLOEXEC), .timeout = -1
	};

	ASSERT_LE(0, w.ep);
	watch(self->inner, self->efd[0], EPOLLIN, 0);
	nest(EPOLLIN);
	ASSERT_EQ(0, xadd(native, w.ep, self->outer, EPOLLIN, 6));
	ASSERT_EQ(0, waiter_start(&w));
	touch(0);
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(6U, w.events[0].data.u64);
	close(w.ep);
}

/*
 * A native instance in one of ours could close a loop that neither side sees,
 * so ours refuses it.
 */
TEST_F(nest, native_instance_as_a_file_to_watch)
{
	int ep = backend_native.create(EPOLL_CLOEXEC);

	ASSERT_LE(0, ep);
	if (variant->be->ours) {
		EXPECT_EQ(-1, xadd(variant->be, self->outer, ep, EPOLLIN, 0));
		EXPECT_EQ(ELOOP, errno);
		EXPECT_EQ(0, count_watches(self->outer));
		EXPECT_EQ(-1, xdel(variant->be, self->outer, ep));
		EXPECT_EQ(ENOENT, errno);
	} else {
		EXPECT_EQ(0, xadd(variant->be, self->outer, ep, EPOLLIN, 0));
	}
	close(ep);
}

struct consumer {
	const struct backend *be;
	int inner;
	int outer;
	atomic_int *taken;
	int stop;
};

/* Takes all that inner has for every edge of outer. */
static void *consume_through_outer(void *arg)
{
	struct consumer *c = arg;
	struct epoll_event ev;
	eventfd_t value;

	while (c->be->wait(c->outer, &ev, 1, -1) == 1) {
		if (ev.data.fd == c->stop)
			return NULL;
		while (c->be->wait(c->inner, &ev, 1, 0) == 1)
			if (!eventfd_read(ev.data.fd, &value))
				atomic_fetch_add(c->taken, value);
	}
	return "wait failed";
}

TEST_F_TIMEOUT(nest, every_edge_of_inner_reaches_a_waiter_on_outer, 240)
{
	atomic_int taken = 0;
	struct consumer c = {
		variant->be, self->inner, self->outer, &taken, self->efd[3]
	};
	int64_t deadline;
	pthread_t thread[3];
	void *failure;

	for (int i = 0; i < 3; i++)
		watch(self->inner, self->efd[i], EPOLLIN | EPOLLET,
		      self->efd[i]);
	watch(self->outer, self->efd[3], EPOLLIN, self->efd[3]);
	nest(EPOLLIN | EPOLLET);
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL,
					    consume_through_outer, &c));
	for (int i = 0; i < NR_TOKENS; i++) {
		touch(i % 3);
		deadline = now_ns() + PATIENCE_MS * 1000000LL;
		while (i % 4 == 3 && atomic_load(&taken) <= i) {
			ASSERT_GT(deadline, now_ns());
			sched_yield();
		}
	}
	touch(3);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, pthread_join(thread[i], &failure));
		EXPECT_EQ(NULL, failure);
	}
	EXPECT_EQ(NR_TOKENS, atomic_load(&taken));
}

TEST_HARNESS_MAIN
