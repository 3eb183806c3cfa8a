// SPDX-License-Identifier: GPL-2.0-only
/*
 * A poll() that takes its time, with the mock device, and what keeps a call whose
 * time is up: wake-ups without an event, the scan of another.
 *
 * Native epoll holds the mutex of the instance across poll(), so there others
 * wait for it to end; only the outcome is compared then.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "mockuse.h"
#include "mockfix.h"
#include "doer.h"

#define MOCKDEV FIXTURE_DATA(mockdev)

static int do_poll(struct doer *doer)
{
	struct pollfd pfd = { .fd = doer->ep, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1 && pfd.revents == POLLIN ? 0 : -1;
}

/* Polls of the mock until a call must have given up; ours does after 16. */
#define ROUNDS 60

/* Until the call is asleep in another poll() of the mock, or over; false: neither. */
static bool asks_again(const struct doer *doer, int fd, uint64_t polls)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;
	struct mock_stat stat;

	for (;;) {
		stat = mock_stat(fd);
		if (atomic_load(&doer->done) || (stat.sleeping && stat.polls > polls))
			return true;
		if (now_ns() > deadline)
			return false;
		breathe();
	}
}

/*
 * A call to which the mock says each time that nothing is ready, and wakes its
 * queue again before it has said so.
 */
static void call_in_vain(struct __test_metadata *_metadata, MOCKDEV *self,
			 int (*work)(struct doer *))
{
	struct mock_slow slow = {
		.mode = MOCK_SLOW_HOLD,
		.flags = MOCK_SLOW_QUERY,
	};
	struct doer doer = { .work = work, .be = self->be, .ep = self->ep };
	uint64_t polls;
	int rounds = 0;

	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, ioctl(self->fd, MOCK_IOC_SLOW, &slow));
	ASSERT_EQ(0, mock_wake(self->fd, 0, EPOLLIN));
	polls = mock_stat(self->fd).polls;
	ASSERT_EQ(0, doer_start(&doer));
	do {
		ASSERT_TRUE(asks_again(&doer, self->fd, polls));
		ASSERT_EQ(0, mock_wake(self->fd, 0, EPOLLIN));
		polls = mock_stat(self->fd).polls;
		ASSERT_EQ(0, mock_release(self->fd));
	} while (!atomic_load(&doer.done) && ++rounds < ROUNDS);
	EXPECT_GT(ROUNDS, rounds);
	memset(&slow, 0, sizeof(slow));
	ASSERT_EQ(0, ioctl(self->fd, MOCK_IOC_SLOW, &slow));
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(doer_finish(&doer));
	EXPECT_EQ(0, doer.ret);
}

static int do_wait0(struct doer *doer)
{
	struct epoll_event ev;

	return wait0(doer->be, doer->ep, &ev, 1);
}

static int do_wait_a_little(struct doer *doer)
{
	struct epoll_event ev;

	return doer->be->wait(doer->ep, &ev, 1, 1);
}

/* Whatever it says of an instance that is never at rest. */
static int do_poll_once(struct doer *doer)
{
	struct pollfd pfd = { .fd = doer->ep, .events = POLLIN };

	return poll(&pfd, 1, 0) < 0;
}

TEST_F(mockdev, wakeups_without_event_beside_a_timeout_of_zero)
{
	call_in_vain(_metadata, self, do_wait0);
}

TEST_F(mockdev, wakeups_without_event_beside_a_timeout)
{
	call_in_vain(_metadata, self, do_wait_a_little);
}

TEST_F(mockdev, wakeups_without_event_beside_poll)
{
	call_in_vain(_metadata, self, do_poll_once);
}

/* A timeout that has run out is not made longer by the scan of another. */
TEST_F(mockdev, timeout_runs_out_during_the_scan_of_another)
{
	struct waiter first = { .be = self->be, .ep = self->ep, .timeout = 200 };
	struct waiter second = { .be = self->be, .ep = self->ep, .timeout = -1 };

	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_QUERY));
	ASSERT_EQ(0, waiter_start(&first));
	/* The last to sleep is the first to be woken. */
	ASSERT_EQ(0, waiter_start(&second));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	EXPECT_TRUE(waiter_finish(&first, PATIENCE_MS));
	EXPECT_EQ(0, first.ret);
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(waiter_finish(&second, PATIENCE_MS));
	EXPECT_EQ(1, second.ret);
}

/* Who may only wait for the scan of another sees what comes meanwhile. */
static void new_event_during_a_scan(struct __test_metadata *_metadata,
				    MOCKDEV *self,
				    int (*work)(struct doer *), int ret)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };
	struct doer doer = { .work = work, .be = self->be, .ep = self->ep };
	int fd = eventfd(0, EFD_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, xadd(self->be, self->ep, fd, EPOLLIN, 9));
	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_QUERY));
	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	ASSERT_EQ(0, doer_start(&doer));
	doer_settle(&doer);
	ASSERT_EQ(0, eventfd_write(fd, 1));
	/* Native waits for the scan all the same. */
	if (self->be->ours)
		EXPECT_TRUE(doer_done(&doer));
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(doer_finish(&doer));
	EXPECT_EQ(ret, doer.ret);
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(0, close(fd));
}

TEST_F(mockdev, event_for_a_timeout_of_zero_during_a_scan)
{
	new_event_during_a_scan(_metadata, self, do_wait0, 1);
}

TEST_F(mockdev, event_for_poll_during_a_scan)
{
	new_event_during_a_scan(_metadata, self, do_poll, 0);
}

TEST_HARNESS_MAIN
