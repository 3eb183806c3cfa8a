// SPDX-License-Identifier: GPL-2.0-only
/*
 * What real files do not do on command, with the mock device: wake-ups from
 * interrupts, keys of all kinds, any number of wait-queue heads.  Heads that go
 * away are in mockfree.c, a poll() that sleeps in mockpoll.c.
 */
#define _GNU_SOURCE
#include <poll.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "mockuse.h"
#include "mockfix.h"

TEST_F(mockdev, wake_with_nobody_waiting)
{
	static const enum mock_context contexts[] = {
		MOCK_PROCESS, MOCK_HARDIRQ, MOCK_SOFTIRQ, MOCK_IRQ_WORK,
	};
	struct mock_stat stat;
	size_t i;

	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLET));
	for (i = 0; i < ARRAY_SIZE(contexts); i++) {
		ASSERT_EQ(0, mock_set(self->fd, 0));
		ASSERT_EQ(0, REPORTED());
		ASSERT_EQ(0, mock_order(self->fd, contexts[i], 0, EPOLLIN,
					MOCK_WAKE_SET, EPOLLIN, 0));
		ASSERT_TRUE(mock_wait_wakes(self->fd, contexts[i], 1));
		EXPECT_EQ(EPOLLIN, REPORTED());
		EXPECT_EQ(0, REPORTED());
	}
	stat = mock_stat(self->fd);
	EXPECT_EQ(0U, stat.odd_context);
}

/* The waiter must sleep already when the interrupt comes. */
static void wake_one_waiter(struct __test_metadata *_metadata,
			    const struct backend *be, int ep, int fd,
			    enum mock_context context, uint32_t flags)
{
	struct waiter w = { .be = be, .ep = ep, .timeout = -1 };
	bool timed = context == MOCK_HARDIRQ || context == MOCK_SOFTIRQ;

	ASSERT_EQ(0, mock_set(fd, 0));
	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, mock_order(fd, context, 0, EPOLLIN, MOCK_WAKE_SET | flags,
				EPOLLIN, timed ? 1000000 : 0));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ((uint32_t)EPOLLIN, w.events[0].events);
	EXPECT_EQ(DATA, w.events[0].data.u64);
}

TEST_F(mockdev, wake_of_a_sleeper)
{
	struct mock_stat stat;

	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLET));
	wake_one_waiter(_metadata, self->be, self->ep, self->fd, MOCK_PROCESS, 0);
	wake_one_waiter(_metadata, self->be, self->ep, self->fd, MOCK_HARDIRQ, 0);
	wake_one_waiter(_metadata, self->be, self->ep, self->fd, MOCK_SOFTIRQ, 0);
	wake_one_waiter(_metadata, self->be, self->ep, self->fd, MOCK_IRQ_WORK, 0);
	stat = mock_stat(self->fd);
	EXPECT_EQ(0U, stat.odd_context);
}

TEST_F(mockdev, wake_of_a_sleeper_sync)
{
	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLET));
	wake_one_waiter(_metadata, self->be, self->ep, self->fd, MOCK_PROCESS,
			MOCK_WAKE_SYNC);
	wake_one_waiter(_metadata, self->be, self->ep, self->fd, MOCK_HARDIRQ,
			MOCK_WAKE_SYNC);
}

/* An instance that is itself watched: the callback wakes two queues. */
TEST_F(mockdev, wake_of_a_watched_instance_from_hard_interrupt)
{
	struct waiter w = { .be = self->be, .timeout = -1 };
	int outer = self->be->create(0);

	ASSERT_LE(0, outer);
	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, xadd(self->be, outer, self->ep, EPOLLIN, 5));
	w.ep = outer;
	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, mock_order(self->fd, MOCK_HARDIRQ, 0, EPOLLIN,
				MOCK_WAKE_SET, EPOLLIN, 1000000));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ((uint32_t)EPOLLIN, w.events[0].events);
	EXPECT_EQ(5U, w.events[0].data.u64);
	EXPECT_EQ(0, close(outer));
}

TEST_F(mockdev, key_0_is_always_accepted)
{
	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLET));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	EXPECT_EQ(0, REPORTED());
	ASSERT_EQ(0, mock_wake(self->fd, 0, 0));
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(0, REPORTED());

	/* Accepted, but poll() has the word: nothing of interest there. */
	ASSERT_EQ(0, mock_set(self->fd, EPOLLOUT | EPOLLPRI));
	ASSERT_EQ(0, mock_wake(self->fd, 0, 0));
	EXPECT_EQ(0, REPORTED());
}

TEST_F(mockdev, key_outside_the_mask_is_dropped)
{
	static const uint32_t foreign[] = {
		EPOLLOUT, EPOLLPRI, EPOLLRDNORM, EPOLLRDHUP,
		EPOLLOUT | EPOLLWRNORM | EPOLLMSG,
	};
	size_t i;

	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	for (i = 0; i < ARRAY_SIZE(foreign); i++) {
		ASSERT_EQ(0, mock_wake(self->fd, 0, foreign[i]));
		EXPECT_EQ(0, REPORTED());
	}
	ASSERT_EQ(0, mock_wake(self->fd, 0, EPOLLOUT | EPOLLIN));
	EXPECT_EQ(EPOLLIN, REPORTED());
}

TEST_F(mockdev, key_err_and_hup_are_in_every_mask)
{
	ASSERT_EQ(0, ADD(EPOLLET));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLERR));
	EXPECT_EQ(EPOLLERR, REPORTED());
	ASSERT_EQ(0, mock_event(self->fd, EPOLLHUP));
	EXPECT_EQ(EPOLLHUP, REPORTED());
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	EXPECT_EQ(0, REPORTED());
}

TEST_F(mockdev, key_is_not_what_is_reported)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };

	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLOUT));
	ASSERT_EQ(0, waiter_start(&w));
	/* A lie: the waiter may look but must go back to sleep. */
	ASSERT_EQ(0, mock_wake(self->fd, 0, EPOLLIN | EPOLLHUP));
	ASSERT_TRUE(wait_until_sleeping(w.tid, PATIENCE_MS));
	ASSERT_FALSE(atomic_load(&w.done));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLOUT));
	ASSERT_EQ(0, mock_wake(self->fd, 0, EPOLLIN));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ((uint32_t)EPOLLOUT, w.events[0].events);
}

TEST_F(mockdev, disarmed_one_shot_takes_no_wake)
{
	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLONESHOT));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	EXPECT_EQ(EPOLLIN, REPORTED());
	ASSERT_EQ(0, mock_wake(self->fd, 0, 0));
	EXPECT_EQ(0, REPORTED());
	ASSERT_EQ(0, mock_event(self->fd, EPOLLERR | EPOLLHUP));
	EXPECT_EQ(0, REPORTED());
	ASSERT_EQ(0, MOD(EPOLLIN | EPOLLONESHOT));
	EXPECT_EQ(EPOLLERR | EPOLLHUP, REPORTED());
}

TEST_F(mockdev, mask_is_given_to_poll_raw)
{
	/* 0x8000 is POLL_BUSY_LOOP, the rest means nothing to anybody. */
	const uint32_t odd = EPOLLIN | 0x8000 | 0x00450000 | EPOLLET;
	const uint32_t forced = EPOLLERR | EPOLLHUP;
	struct pollfd pfd = { .fd = self->ep, .events = POLLIN };
	struct mock_stat stat;

	ASSERT_EQ(0, ADD(odd));
	EXPECT_EQ(odd | forced, mock_key(self->fd));

	ASSERT_EQ(0, MOD(EPOLLPRI | EPOLLONESHOT | 0x8000));
	EXPECT_EQ(EPOLLPRI | EPOLLONESHOT | 0x8000 | forced,
		  mock_key(self->fd));

	ASSERT_EQ(0, MOD(odd));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	stat = mock_stat(self->fd);
	ASSERT_EQ(1, poll(&pfd, 1, 0));
	EXPECT_LT(stat.polls, mock_stat(self->fd).polls);
	EXPECT_EQ(odd | forced, mock_key(self->fd));

	stat = mock_stat(self->fd);
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_LT(stat.polls, mock_stat(self->fd).polls);
	EXPECT_EQ(odd | forced, mock_key(self->fd));
}

TEST_F(mockdev, mask_0_and_exclusive_are_given_to_poll)
{
	ASSERT_EQ(0, ADD(0));
	EXPECT_EQ((uint32_t)(EPOLLERR | EPOLLHUP), mock_key(self->fd));
	ASSERT_EQ(0, DEL());
	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLEXCLUSIVE));
	EXPECT_EQ(0U | EPOLLIN | EPOLLEXCLUSIVE | EPOLLERR | EPOLLHUP,
		  mock_key(self->fd));
}

TEST_F(mockdev, add_looks_once)
{
	struct mock_stat stat = mock_stat(self->fd);

	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLET));
	EXPECT_EQ(stat.polls + 1, mock_stat(self->fd).polls);
	EXPECT_EQ(stat.registering + 1, mock_stat(self->fd).registering);
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(stat.polls + 2, mock_stat(self->fd).polls);
	EXPECT_EQ(stat.registering + 1, mock_stat(self->fd).registering);
}

/* What a MOD leaves behind must not make every later look one at a changing watch. */
TEST_F(mockdev, wait_looks_once_however_often_mod_came)
{
	struct mock_stat stat;

	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	ASSERT_EQ(0, ADD(EPOLLIN));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, MOD(EPOLLIN));
		stat = mock_stat(self->fd);
		EXPECT_EQ(EPOLLIN, REPORTED());
		EXPECT_EQ(stat.polls + 1, mock_stat(self->fd).polls);
	}
}

TEST_F(mockdev, mod_does_not_register_again)
{
	struct mock_stat stat;

	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, mock_heads(self->fd, 2, 3, 4));
	stat = mock_stat(self->fd);
	ASSERT_EQ(0, MOD(EPOLLOUT));
	EXPECT_EQ(stat.registering, mock_stat(self->fd).registering);
	EXPECT_EQ(stat.polls + 1, mock_stat(self->fd).polls);
	EXPECT_EQ(1, mock_entries(self->fd, 0));
	EXPECT_EQ(0, mock_entries(self->fd, 3));
	EXPECT_EQ(0, mock_entries(self->fd, 4));

	ASSERT_EQ(0, mock_set(self->fd, EPOLLOUT));
	ASSERT_EQ(0, mock_wake(self->fd, 3, EPOLLOUT));
	EXPECT_EQ(0, REPORTED());
	ASSERT_EQ(0, mock_wake(self->fd, 0, EPOLLOUT));
	EXPECT_EQ(EPOLLOUT, REPORTED());
}

TEST_F(mockdev, several_heads)
{
	int head;

	ASSERT_EQ(0, mock_heads(self->fd, 4, 0, 2, 5, 7));
	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLET));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	EXPECT_EQ(0, REPORTED());
	for (head = 0; head < MOCK_HEADS; head++) {
		bool on = head == 0 || head == 2 || head == 5 || head == 7;

		EXPECT_EQ(on, mock_entries(self->fd, head));
		ASSERT_EQ(0, mock_wake(self->fd, head, EPOLLIN));
		EXPECT_EQ(on ? EPOLLIN : 0, REPORTED());
	}
	ASSERT_EQ(0, DEL());
	for (head = 0; head < MOCK_HEADS; head++)
		EXPECT_EQ(0, mock_entries(self->fd, head));
}

TEST_F(mockdev, same_head_twice)
{
	ASSERT_EQ(0, mock_heads(self->fd, 3, 1, 6, 1));
	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLET));
	EXPECT_EQ(2, mock_entries(self->fd, 1));
	EXPECT_EQ(1, mock_entries(self->fd, 6));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	ASSERT_EQ(0, mock_wake(self->fd, 1, EPOLLIN));
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(0, REPORTED());
	ASSERT_EQ(0, DEL());
	EXPECT_EQ(0, mock_entries(self->fd, 1));
	EXPECT_EQ(0, mock_entries(self->fd, 6));
}

TEST_F(mockdev, as_many_heads_as_the_mock_has)
{
	struct mock_heads heads = { .count = MOCK_ENTRIES };
	int i;

	for (i = 0; i < MOCK_ENTRIES; i++)
		heads.head[i] = i % MOCK_ALL_HEADS;
	ASSERT_EQ(0, ioctl(self->fd, MOCK_IOC_HEADS, &heads));
	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLET));
	for (i = 0; i < MOCK_ALL_HEADS; i++)
		EXPECT_EQ((MOCK_ENTRIES + MOCK_ALL_HEADS - 1 - i) / MOCK_ALL_HEADS,
			  mock_entries(self->fd, i));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(0, REPORTED());
	ASSERT_EQ(0, mock_pollfree(self->fd));
	EXPECT_EQ(EPOLLIN, mock_wake(self->fd, 7, EPOLLIN) ?: REPORTED());
	ASSERT_EQ(0, DEL());
	for (i = 0; i < MOCK_HEADS; i++)
		EXPECT_EQ(0, mock_entries(self->fd, i));
}

TEST_F(mockdev, no_head_at_all)
{
	ASSERT_EQ(0, mock_heads(self->fd, 0));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	ASSERT_EQ(0, ADD(EPOLLIN));
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(EPOLLIN, REPORTED());
	ASSERT_EQ(0, mock_set(self->fd, 0));
	EXPECT_EQ(0, REPORTED());
	/* Nobody tells the instance from here on; MOD looks by itself. */
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	EXPECT_EQ(0, REPORTED());
	ASSERT_EQ(0, MOD(EPOLLIN | EPOLLET));
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(0, REPORTED());
	ASSERT_EQ(0, DEL());
}

TEST_F(mockdev, exclusive_entries)
{
	ASSERT_EQ(0, mock_heads(self->fd, 2, 0, 3));
	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLEXCLUSIVE));
	EXPECT_EQ(1, mock_exclusive(self->fd, 0));
	EXPECT_EQ(1, mock_exclusive(self->fd, 3));
	ASSERT_EQ(0, DEL());
	EXPECT_EQ(0, mock_entries(self->fd, 0));
	EXPECT_EQ(0, mock_entries(self->fd, 3));
	ASSERT_EQ(0, ADD(EPOLLIN));
	EXPECT_EQ(1, mock_entries(self->fd, 0));
	EXPECT_EQ(0, mock_exclusive(self->fd, 0));
}

TEST_F(mockdev, instance_release_unhooks)
{
	int second = self->be->create(0);

	ASSERT_LE(0, second);
	ASSERT_EQ(0, mock_heads(self->fd, 2, 0, MOCK_HEAD_FREEABLE));
	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, xadd(self->be, second, self->fd, EPOLLIN, 1));
	EXPECT_EQ(2, mock_entries(self->fd, 0));
	ASSERT_EQ(0, close(second));
	EXPECT_EQ(1, mock_entries(self->fd, 0));
	ASSERT_EQ(0, close(self->ep));
	self->ep = -1;
	EXPECT_EQ(0, mock_entries(self->fd, 0));
	EXPECT_EQ(0, mock_entries(self->fd, MOCK_HEAD_FREEABLE));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	ASSERT_EQ(0, mock_pollfree(self->fd));
}

TEST_F(mockdev, last_close_of_the_file_unhooks)
{
	struct epoll_event ev;
	int copy = dup(self->fd);

	ASSERT_LE(0, copy);
	ASSERT_EQ(0, mock_heads(self->fd, 3, 0, 0, MOCK_HEAD_FREEABLE));
	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	EXPECT_EQ(2, mock_entries(copy, 0));
	EXPECT_EQ(1, wait0(self->be, self->ep, &ev, 1));
	/* The teardown asks for objects closed with an entry left. */
	ASSERT_EQ(0, close(copy));
	EXPECT_EQ(0, wait0(self->be, self->ep, &ev, 1));
}

/* The mock itself refuses what makes no sense. */
TEST(mock_arguments)
{
	struct mock_wake good = { .key = EPOLLIN }, wake;
	struct mock_heads heads = { .count = MOCK_ENTRIES + 1 };
	struct mock_slow slow = { .mode = MOCK_SLOW_HOLD };
	int fd = mock_open();

	ASSERT_LE(0, fd);
#define REFUSED(err, cmd, arg) do {				\
		errno = 0;					\
		EXPECT_EQ(-1, ioctl(fd, cmd, arg));		\
		EXPECT_EQ(err, errno);				\
	} while (0)
#define BAD_WAKE(field, value) do {				\
		wake = good;					\
		wake.field = value;				\
		REFUSED(EINVAL, MOCK_IOC_WAKE, &wake);		\
	} while (0)
	BAD_WAKE(head, MOCK_ALL_HEADS);
	BAD_WAKE(context, MOCK_CONTEXTS);
	BAD_WAKE(flags, 0x8);
	BAD_WAKE(flags, MOCK_WAKE_SYNC | MOCK_WAKE_ALL);
	BAD_WAKE(revents, EPOLLIN);
	BAD_WAKE(reserved, 1);
	BAD_WAKE(delay_ns, 1);
	REFUSED(EFAULT, MOCK_IOC_WAKE, NULL);
	REFUSED(EINVAL, MOCK_IOC_HEADS, &heads);
	REFUSED(EINVAL, MOCK_IOC_SLOW, &slow);
	REFUSED(EINVAL, MOCK_IOC_FTRACE_KILL, 0UL);
	REFUSED(ENOTTY, _IO(MOCK_IOC_TYPE, 0x7f), 0UL);
	EXPECT_EQ(0, mock_pollfree(fd));
	REFUSED(ENXIO, MOCK_IOC_POLLFREE, 0UL);
	EXPECT_EQ(0, close(fd));
}

TEST_HARNESS_MAIN
