// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a waiter has in its hands while poll() of a mock object takes its time:
 * the last reference to a file, an edge, what else became ready.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "mockuse.h"
#include "mockfix.h"
#include "doer.h"

#define SLOW_MS 200
#define REFERENCES "/sys/module/myepoll_mock/refcnt"

/* How many mock objects there are; -1 if nobody knows. */
static int mock_objects(void)
{
	FILE *f = fopen(REFERENCES, "re");
	int n = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%d", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

/* The next poll() that asks takes its time. */
static int slow_once(int fd)
{
	struct mock_slow slow = {
		.mode = MOCK_SLOW_MS,
		.flags = MOCK_SLOW_QUERY,
		.ms = SLOW_MS,
		.count = 1,
	};

	return ioctl(fd, MOCK_IOC_SLOW, &slow);
}

/* The mock is closed while the waiter is in its poll(), which says @revents. */
static void close_under(struct __test_metadata *_metadata, struct waiter *w,
			int fd, uint32_t revents)
{
	ASSERT_EQ(0, xadd(w->be, w->ep, fd, EPOLLIN, DATA));
	ASSERT_EQ(0, mock_set(fd, revents));
	ASSERT_EQ(0, waiter_start(w));
	ASSERT_EQ(0, slow_once(fd));
	ASSERT_EQ(0, mock_wake(fd, 0, EPOLLIN));
	ASSERT_TRUE(mock_wait_sleeping(fd, 1));
	ASSERT_EQ(0, close(fd));
}

/* End a wait that may or may not have an event. */
static void end_wait(struct __test_metadata *_metadata, struct waiter *w)
{
	int fd = eventfd(1, EFD_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, xadd(w->be, w->ep, fd, EPOLLIN, 9));
	ASSERT_TRUE(waiter_finish(w, PATIENCE_MS));
	ASSERT_EQ(0, close(fd));
}

/* close() has returned: a wait that begins now knows nothing of the file. */
TEST_F(mockdev, closed_file_is_not_reported_to_others)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };
	struct epoll_event ev[2];

	close_under(_metadata, &w, self->fd, EPOLLIN);
	self->fd = -1;
	EXPECT_EQ(0, wait0(self->be, self->ep, ev, 2));
	end_wait(_metadata, &w);
}

/* A waiter that goes back to sleep does not keep the file open; native's does. */
TEST_F(mockdev, closed_file_does_not_wait_for_the_waiter)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;
	int before = mock_objects();

	ASSERT_LT(0, before);
	close_under(_metadata, &w, self->fd, 0);
	self->fd = -1;
	while (self->be->ours && mock_objects() != before - 1) {
		ASSERT_GT(deadline, now_ns());
		breathe();
	}
	EXPECT_FALSE(atomic_load(&w.done));
	end_wait(_metadata, &w);
}

static int mocks_expected;

/* The file is to be gone when the call is back, as it did not sleep. */
static int do_wait0_and_count(struct doer *doer)
{
	struct epoll_event ev;

	if (wait0(doer->be, doer->ep, &ev, 1))
		return -1;
	return mock_objects() == mocks_expected ? 0 : -1;
}

TEST_F(mockdev, closed_file_is_gone_when_a_timeout_of_zero_returns)
{
	struct doer doer = { .work = do_wait0_and_count, .be = self->be,
			     .ep = self->ep };

	mocks_expected = mock_objects() - 1;
	ASSERT_LE(0, mocks_expected);
	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, slow_once(self->fd));
	ASSERT_EQ(0, mock_wake(self->fd, 0, EPOLLIN));
	ASSERT_EQ(0, doer_start(&doer));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	ASSERT_TRUE(doer_finish(&doer));
	EXPECT_EQ(0, doer.ret);
}

/* ---- a file that is closed during a change of a batch ---- */

/* With a wait for ever if @ev is given; for native epoll that is two calls. */
static int change_and_wait(struct doer *doer, struct epoll_event *ev)
{
	struct myepoll_change change = {
		.op = EPOLL_CTL_MOD, .fd = doer->fd, .events = EPOLLIN,
		.data = DATA,
	};
	struct myepoll_wait wait = { .events = (uintptr_t)ev, .maxevents = 1 };
	struct myepoll_batch batch = {
		.changes = (uintptr_t)&change, .nr = 1,
		.wait = ev ? (uintptr_t)&wait : 0, .waitsize = sizeof(wait),
	};

	if (doer->be->ours)
		return ioctl(doer->ep, MYEPOLL_IOC_BATCH, &batch);
	if (xmod(doer->be, doer->ep, doer->fd, EPOLLIN, DATA))
		return -1;
	return ev ? doer->be->wait(doer->ep, ev, 1, -1) : 0;
}

/* Returns whose event ended the wait. */
static int do_change_and_wait(struct doer *doer)
{
	struct epoll_event ev;

	return change_and_wait(doer, &ev) == 1 ? (int)ev.data.u64 : -1;
}

static int do_change_and_count(struct doer *doer)
{
	if (change_and_wait(doer, NULL))
		return -1;
	return mock_objects() == mocks_expected ? 0 : -1;
}

/* The mock is closed while a change is in its poll(). */
static void close_under_change(struct __test_metadata *_metadata,
			       struct doer *doer)
{
	mocks_expected = mock_objects() - 1;
	ASSERT_LE(0, mocks_expected);
	ASSERT_EQ(0, xadd(doer->be, doer->ep, doer->fd, 0, DATA));
	ASSERT_EQ(0, slow_once(doer->fd));
	ASSERT_EQ(0, doer_start(doer));
	ASSERT_TRUE(mock_wait_sleeping(doer->fd, 1));
	ASSERT_EQ(0, close(doer->fd));
}

/* The other end of a connection would wait for its end. */
TEST_F(mockdev, file_closed_during_a_change_does_not_wait_for_the_wait)
{
	struct doer doer = { .work = do_change_and_wait, .be = self->be,
			     .ep = self->ep, .fd = self->fd };
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;
	int fd = eventfd(1, EFD_CLOEXEC);

	close_under_change(_metadata, &doer);
	self->fd = -1;
	while (mock_objects() != mocks_expected) {
		ASSERT_GT(deadline, now_ns());
		breathe();
	}
	EXPECT_FALSE(atomic_load(&doer.done));
	ASSERT_EQ(0, xadd(self->be, self->ep, fd, EPOLLIN, 9));
	ASSERT_TRUE(doer_finish(&doer));
	EXPECT_EQ(9, doer.ret);
}

TEST_F(mockdev, file_closed_during_a_change_is_gone_when_the_call_returns)
{
	struct doer doer = { .work = do_change_and_count, .be = self->be,
			     .ep = self->ep, .fd = self->fd };

	close_under_change(_metadata, &doer);
	self->fd = -1;
	ASSERT_TRUE(doer_finish(&doer));
	EXPECT_EQ(0, doer.ret);
}

/* Who is killed does not take an edge along.  Native does. */
TEST_F(mockdev, killed_waiter_leaves_the_edge)
{
	struct epoll_event ev;
	int status;
	pid_t pid;

	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLET));
	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_QUERY));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(self->be->wait(self->ep, &ev, 1, -1));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	if (self->be->ours)
		EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(0, DEL());
	EXPECT_EQ(0, mock_entries(self->fd, 0));
}

/* What becomes ready while a wait is at work is for the next one. */
TEST_F(mockdev, arrivals_during_a_wait_are_for_the_next)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };
	int fd = eventfd(0, EFD_CLOEXEC);
	struct epoll_event ev[3];

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, xadd(self->be, self->ep, fd, EPOLLIN, 9));
	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_QUERY));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	ASSERT_EQ(0, eventfd_write(fd, 1));
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(DATA, w.events[0].data.u64);
	ASSERT_EQ(2, wait0(self->be, self->ep, ev, 3));
	EXPECT_EQ(9U, ev[0].data.u64);
	EXPECT_EQ(DATA, ev[1].data.u64);
	EXPECT_EQ(0, close(fd));
}

/* More than the module asks at a time */
#define NR_MANY 40

/* So it is if what was there takes more than one round of asking. */
TEST_F(mockdev, arrivals_are_for_the_next_even_behind_many)
{
	static struct epoll_event ev[NR_MANY + 3];
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1,
			    .array = ev, .maxevents = NR_MANY + 3 };
	int fd[NR_MANY + 1], i;

	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	ASSERT_EQ(0, ADD(EPOLLIN));
	for (i = 0; i <= NR_MANY; i++) {
		fd[i] = eventfd(i < NR_MANY, EFD_CLOEXEC);
		ASSERT_LE(0, fd[i]);
		ASSERT_EQ(0, xadd(self->be, self->ep, fd[i], EPOLLIN, i));
	}
	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_QUERY));
	ASSERT_EQ(0, pthread_create(&w.thread, NULL, waiter_main, &w));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	ASSERT_EQ(0, eventfd_write(fd[NR_MANY], 1));
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(NR_MANY + 1, w.ret);
	EXPECT_EQ(NR_MANY + 2, wait0(self->be, self->ep, ev, NR_MANY + 3));
	for (i = 0; i <= NR_MANY; i++)
		EXPECT_EQ(0, close(fd[i]));
}

TEST_HARNESS_MAIN
