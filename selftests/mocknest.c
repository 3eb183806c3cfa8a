// SPDX-License-Identifier: GPL-2.0-only
/*
 * A poll() that takes its time below an instance that another one watches, with
 * the mock device: what becomes of the link, and of who waits above.
 *
 * Native epoll holds the mutexes of both instances meanwhile, so there others
 * wait for it to end; only the outcome is compared then.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "helpers.h"
#include "mockuse.h"
#include "mockfix.h"
#include "doer.h"

#define MOCKDEV FIXTURE_DATA(mockdev)

static int do_add(struct doer *doer)
{
	return xadd(doer->be, doer->ep, doer->fd, doer->events, DATA);
}

static int do_del(struct doer *doer)
{
	return xdel(doer->be, doer->ep, doer->fd);
}

/* An inner instance that watches the mock, and is watched with @events. */
static int inner_instance(struct __test_metadata *_metadata, MOCKDEV *self,
			  uint32_t events)
{
	int inner = self->be->create(EPOLL_CLOEXEC);

	ASSERT_LE(0, inner);
	ASSERT_EQ(0, xadd(self->be, inner, self->fd, EPOLLIN, 1));
	ASSERT_EQ(0, xadd(self->be, self->ep, inner, events, DATA));
	return inner;
}

/* A wait is inside the inner instance: the two cannot be turned round yet. */
TEST_F(mockdev, link_counts_until_the_wait_has_left_it)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };
	struct doer del = { .work = do_del, .be = self->be, .ep = self->ep };
	struct doer add = { .work = do_add, .be = self->be, .fd = self->ep,
			    .events = EPOLLIN | EPOLLET };
	int inner = inner_instance(_metadata, self, EPOLLIN | EPOLLET);

	del.fd = inner;
	add.ep = inner;
	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_QUERY));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	ASSERT_EQ(0, doer_start(&del));
	doer_settle(&del);
	ASSERT_EQ(0, doer_start(&add));
	doer_settle(&add);
	EXPECT_FALSE(atomic_load(&add.done) && !add.ret);
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(doer_finish(&del));
	EXPECT_EQ(0, del.ret);
	ASSERT_TRUE(doer_finish(&add));
	if (add.ret)
		EXPECT_EQ(ELOOP, add.err);
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	/* Nobody is inside any more. */
	if (add.ret)
		EXPECT_EQ(0, do_add(&add));
	EXPECT_EQ(0, close(inner));
}

/* DEL has returned: its thread may turn the two round at once. */
TEST_F(mockdev, link_is_gone_when_del_returns)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };
	int inner = inner_instance(_metadata, self, EPOLLIN);
	struct mock_slow slow = {
		.mode = MOCK_SLOW_MS,
		.flags = MOCK_SLOW_QUERY,
		.ms = 100,
		.count = 1,
	};

	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, ioctl(self->fd, MOCK_IOC_SLOW, &slow));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	EXPECT_EQ(0, xdel(self->be, self->ep, inner));
	EXPECT_EQ(0, xadd(self->be, inner, self->ep, EPOLLIN, 2));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(0, close(inner));
}

/*
 * A wait is killed inside an inner instance, where it had to wait for another
 * thread: the event it did not see is there for others.
 */
TEST_F(mockdev, killed_inside_an_inner_instance)
{
	int inner = inner_instance(_metadata, self, EPOLLIN);
	struct waiter w = { .be = self->be, .ep = inner, .timeout = -1 };
	struct epoll_event ev;
	int status;
	pid_t pid;

	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_QUERY));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(self->be->wait(self->ep, &ev, 1, -1));
	ASSERT_TRUE(wait_until_state(pid, 'D', PATIENCE_MS));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	/* Native's cannot be killed where it waits. */
	if (self->be->ours)
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, mock_release(self->fd));
	if (!self->be->ours)
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(0, close(inner));
}

TEST_HARNESS_MAIN
