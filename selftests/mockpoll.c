// SPDX-License-Identifier: GPL-2.0-only
/*
 * A poll() that takes its time, with the mock device: who else may go on, what
 * becomes of events, removals and kills in between.
 *
 * Native epoll holds the mutex of the instance across poll(), so there others
 * wait for it to end; only the outcome is compared then.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "observe.h"
#include "mockuse.h"
#include "mockfix.h"
#include "doer.h"
#include "users.h"

static int do_add(struct doer *doer)
{
	return xadd(doer->be, doer->ep, doer->fd, doer->events, DATA);
}

static int do_mod(struct doer *doer)
{
	return xmod(doer->be, doer->ep, doer->fd, doer->events, DATA);
}

static int do_del(struct doer *doer)
{
	return xdel(doer->be, doer->ep, doer->fd);
}

static int do_wait(struct doer *doer)
{
	struct epoll_event ev;

	return doer->be->wait(doer->ep, &ev, 1, -1) == 1 ? 0 : -1;
}

static int do_poll(struct doer *doer)
{
	struct pollfd pfd = { .fd = doer->ep, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1 && pfd.revents == POLLIN ? 0 : -1;
}

/* Everything there is to do with another file on the same instance. */
static int do_others(struct doer *doer)
{
	struct epoll_event ev[2];
	uint64_t one = 1;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int ret;

	if (fd < 0)
		return -1;
	ret = xadd(doer->be, doer->ep, fd, EPOLLIN, 7);
	ret |= xmod(doer->be, doer->ep, fd, EPOLLIN | EPOLLET, 8);
	ret |= write(fd, &one, sizeof(one)) != sizeof(one);
	ret |= doer->be->wait(doer->ep, ev, 1, PATIENCE_MS) != 1;
	/* Native may report the slow file first, both being ready. */
	if (doer->be->ours)
		ret |= ev[0].data.u64 != 8;
	ret |= xdel(doer->be, doer->ep, fd);
	return ret | close(fd);
}

/*
 * With a poll() of @fd asleep: do the rest meanwhile, let the poll() go on, and
 * see it all end well.
 */
static void others_during(struct __test_metadata *_metadata,
			  const struct backend *be, int ep, int fd)
{
	struct doer others = { .work = do_others, .be = be, .ep = ep };

	ASSERT_TRUE(mock_wait_sleeping(fd, 1));
	ASSERT_EQ(0, doer_start(&others));
	if (be->ours)
		EXPECT_TRUE(doer_done(&others))
			TH_LOG("calls on other files wait for a slow poll()");
	EXPECT_EQ(1, (int)mock_stat(fd).sleeping);
	ASSERT_EQ(0, mock_release(fd));
	ASSERT_TRUE(doer_finish(&others));
	EXPECT_EQ(0, others.ret);
}

TEST_F(mockdev, others_go_on_during_add)
{
	struct doer add = {
		.work = do_add, .be = self->be, .ep = self->ep, .fd = self->fd,
		.events = EPOLLIN | EPOLLET,
	};

	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_REGISTER));
	ASSERT_EQ(0, doer_start(&add));
	others_during(_metadata, self->be, self->ep, self->fd);
	ASSERT_TRUE(doer_finish(&add));
	EXPECT_EQ(0, add.ret);
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	EXPECT_EQ(EPOLLIN, REPORTED());
}

TEST_F(mockdev, others_go_on_during_mod)
{
	struct doer mod = {
		.work = do_mod, .be = self->be, .ep = self->ep, .fd = self->fd,
		.events = EPOLLIN | EPOLLET,
	};

	ASSERT_EQ(0, ADD(0));
	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_QUERY));
	ASSERT_EQ(0, doer_start(&mod));
	others_during(_metadata, self->be, self->ep, self->fd);
	ASSERT_TRUE(doer_finish(&mod));
	EXPECT_EQ(0, mod.ret);
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	EXPECT_EQ(EPOLLIN, REPORTED());
}

/* Three ADDs of one watch at once, the first inside poll(). */
static void add_thrice(struct __test_metadata *_metadata,
		       const struct backend *be, int ep, int fd,
		       struct sysctl_saved *limit)
{
	struct doer add[3];
	int i;

	ASSERT_EQ(0, mock_hold(fd, MOCK_SLOW_REGISTER));
	for (i = 0; i < 3; i++) {
		add[i] = (struct doer) {
			.work = do_add, .be = be, .ep = ep, .fd = fd,
			.events = EPOLLIN,
		};
		ASSERT_EQ(0, doer_start(&add[i]));
		if (i) {
			doer_settle(&add[i]);
			continue;
		}
		ASSERT_TRUE(mock_wait_sleeping(fd, 1));
		if (limit)
			ASSERT_EQ(0, sysctl_set(limit, watch_limit_path(be), "0"));
	}
	/* Whether the first will succeed is not known yet. */
	for (i = 0; i < 3; i++)
		EXPECT_FALSE(atomic_load(&add[i].done));
	ASSERT_EQ(0, mock_release(fd));
	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(doer_finish(&add[i]));
		EXPECT_EQ(i ? -1 : 0, add[i].ret);
		if (i)
			EXPECT_EQ(EEXIST, add[i].err);
	}
}

TEST_F(mockdev, second_add_waits_for_the_first)
{
	add_thrice(_metadata, self->be, self->ep, self->fd, NULL);
	EXPECT_EQ(0, DEL());
}

/* Also where there is no room for another watch. */
TEST_F(mockdev, second_add_waits_at_the_limit)
{
	struct sysctl_saved limit = { 0 };

	add_thrice(_metadata, self->be, self->ep, self->fd, &limit);
	EXPECT_EQ(0, sysctl_restore(&limit));
	EXPECT_EQ(0, DEL());
}

/* A waiter inside poll() of the mock, which has told of @key. */
static void hold_waiter(struct __test_metadata *_metadata, struct waiter *w,
			int fd, uint32_t key, uint32_t flags)
{
	ASSERT_EQ(0, waiter_start(w));
	ASSERT_EQ(0, mock_hold(fd, MOCK_SLOW_QUERY | flags));
	ASSERT_EQ(0, mock_wake(fd, 0, key));
	ASSERT_TRUE(mock_wait_sleeping(fd, 1));
}

TEST_F(mockdev, others_go_on_during_wait)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1,
			    .maxevents = 1 };

	/* Edge triggered, so that nobody but the waiter can report it. */
	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLET));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	hold_waiter(_metadata, &w, self->fd, EPOLLIN, 0);
	others_during(_metadata, self->be, self->ep, self->fd);
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(DATA, w.events[0].data.u64);
	EXPECT_EQ(0, REPORTED());
}

TEST_F(mockdev, others_go_on_during_poll_of_the_instance)
{
	struct doer poller = { .work = do_poll, .ep = self->ep };

	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLET));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_QUERY));
	ASSERT_EQ(0, doer_start(&poller));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(doer_finish(&poller));
	EXPECT_EQ(0, poller.ret);
	/* Asking the instance used no edge up. */
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(0, REPORTED());
}

/* The event comes after poll() has looked: it must be looked at again. */
static void event_during_wait(struct __test_metadata *_metadata,
			      const struct backend *be, int ep, int fd,
			      uint32_t mode, uint32_t first)
{
	struct waiter w = { .be = be, .ep = ep, .timeout = -1 };

	ASSERT_EQ(0, xadd(be, ep, fd, EPOLLIN | EPOLLOUT | mode, DATA));
	ASSERT_EQ(0, mock_set(fd, first));
	hold_waiter(_metadata, &w, fd, EPOLLIN, MOCK_SLOW_STALE);
	ASSERT_EQ(0, mock_event(fd, EPOLLIN));
	ASSERT_EQ(0, mock_release(fd));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(first ?: EPOLLIN, w.events[0].events);
}

TEST_F(mockdev, event_during_a_poll_that_saw_nothing)
{
	static const uint32_t modes[] = { 0, EPOLLET, EPOLLONESHOT,
					  EPOLLET | EPOLLONESHOT };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		event_during_wait(_metadata, self->be, self->ep, self->fd,
				  modes[i], 0);
		EXPECT_EQ(modes[i] ? 0 : EPOLLIN, REPORTED());
		ASSERT_EQ(0, DEL());
	}
}

TEST_F(mockdev, event_during_a_poll_level)
{
	event_during_wait(_metadata, self->be, self->ep, self->fd, 0, EPOLLOUT);
	EXPECT_EQ(EPOLLIN, REPORTED());
}

TEST_F(mockdev, event_during_a_poll_edge)
{
	event_during_wait(_metadata, self->be, self->ep, self->fd, EPOLLET,
			  EPOLLOUT);
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(0, REPORTED());
}

TEST_F(mockdev, event_during_a_poll_one_shot)
{
	event_during_wait(_metadata, self->be, self->ep, self->fd, EPOLLONESHOT,
			  EPOLLOUT);
	EXPECT_EQ(0, REPORTED());
	ASSERT_EQ(0, MOD(EPOLLIN | EPOLLONESHOT));
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(0, REPORTED());
}

TEST_F(mockdev, event_during_add)
{
	struct doer add = {
		.work = do_add, .be = self->be, .ep = self->ep, .fd = self->fd,
		.events = EPOLLIN | EPOLLET,
	};
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };

	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_REGISTER | MOCK_SLOW_STALE));
	ASSERT_EQ(0, doer_start(&add));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(doer_finish(&add));
	EXPECT_EQ(0, add.ret);
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ((uint32_t)EPOLLIN, w.events[0].events);
}

TEST_F(mockdev, event_during_mod)
{
	struct doer mod = {
		.work = do_mod, .be = self->be, .ep = self->ep, .fd = self->fd,
		.events = EPOLLIN | EPOLLET,
	};

	ASSERT_EQ(0, ADD(0));
	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_QUERY | MOCK_SLOW_STALE));
	ASSERT_EQ(0, doer_start(&mod));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(doer_finish(&mod));
	EXPECT_EQ(0, mod.ret);
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(0, REPORTED());
}

TEST_F(mockdev, pollfree_during_wait)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };

	ASSERT_EQ(0, mock_heads(self->fd, 2, 0, MOCK_HEAD_FREEABLE));
	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLET));
	hold_waiter(_metadata, &w, self->fd, EPOLLIN, MOCK_SLOW_STALE);
	ASSERT_EQ(0, mock_set(self->fd, EPOLLHUP));
	ASSERT_EQ(0, mock_pollfree(self->fd));
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ((uint32_t)EPOLLHUP, w.events[0].events);
	ASSERT_EQ(0, DEL());
}

/* A waiter that may or may not have an event already; make it come back. */
static void kick(struct __test_metadata *_metadata, struct waiter *w)
{
	int fd = eventfd(1, 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, xadd(w->be, w->ep, fd, EPOLLIN, 9));
	ASSERT_TRUE(waiter_finish(w, PATIENCE_MS));
	EXPECT_LE(1, w->ret);
	ASSERT_EQ(0, xdel(w->be, w->ep, fd));
	ASSERT_EQ(0, close(fd));
}

TEST_F(mockdev, del_during_wait)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };
	struct doer del = {
		.work = do_del, .be = self->be, .ep = self->ep, .fd = self->fd,
	};

	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	hold_waiter(_metadata, &w, self->fd, EPOLLIN, 0);
	ASSERT_EQ(0, doer_start(&del));
	doer_settle(&del);
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(doer_finish(&del));
	EXPECT_EQ(0, del.ret);
	EXPECT_EQ(0, mock_entries(self->fd, 0));
	kick(_metadata, &w);
	EXPECT_EQ(0, REPORTED());
	ASSERT_EQ(-1, DEL());
	EXPECT_EQ(ENOENT, errno);
	ASSERT_EQ(0, ADD(EPOLLIN));
	EXPECT_EQ(EPOLLIN, REPORTED());
}

TEST_F(mockdev, close_of_the_file_during_wait)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };
	int control = dup(self->fd);
	int next;

	ASSERT_LE(0, control);
	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	hold_waiter(_metadata, &w, self->fd, EPOLLIN, 0);
	ASSERT_EQ(0, close(self->fd));
	next = eventfd(0, 0);
	ASSERT_EQ(self->fd, next);
	self->fd = -1;
	/* The ioctl that lets poll() go on must be over before the last close. */
	ASSERT_EQ(0, mock_release(control));
	ASSERT_EQ(0, close(control));
	kick(_metadata, &w);
	EXPECT_EQ(0, REPORTED());
	/* The number belongs to another file now, which nobody watches. */
	ASSERT_EQ(-1, xdel(self->be, self->ep, next));
	EXPECT_EQ(ENOENT, errno);
	ASSERT_EQ(0, xadd(self->be, self->ep, next, EPOLLOUT, DATA));
	EXPECT_EQ(EPOLLOUT, REPORTED());
	ASSERT_EQ(0, close(next));
	EXPECT_EQ(0, REPORTED());
}

/* The reference that the waiter holds for its poll() is the last one. */
TEST_F(mockdev, last_reference_is_the_waiters)
{
	struct mock_slow slow = {
		.mode = MOCK_SLOW_MS,
		.flags = MOCK_SLOW_QUERY,
		.ms = 200,
		.count = 1,
	};
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };

	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, ioctl(self->fd, MOCK_IOC_SLOW, &slow));
	ASSERT_EQ(0, mock_wake(self->fd, 0, EPOLLIN));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	kick(_metadata, &w);
	EXPECT_EQ(0, REPORTED());
}

TEST_F(mockdev, close_of_the_instance_during_wait)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };

	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	hold_waiter(_metadata, &w, self->fd, EPOLLIN, 0);
	ASSERT_EQ(0, close(self->ep));
	self->ep = -1;
	EXPECT_EQ(1, mock_entries(self->fd, 0));
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(DATA, w.events[0].data.u64);
	/* The waiter's reference was the last; it is gone with its call. */
	EXPECT_EQ(0, mock_entries(self->fd, 0));
}

TEST_F(mockdev, mod_during_wait)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };
	struct epoll_event ev = { .events = EPOLLOUT, .data.u64 = 3 };
	struct doer mod = {
		.work = do_mod, .be = self->be, .ep = self->ep, .fd = self->fd,
		.events = EPOLLOUT,
	};

	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLONESHOT));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN | EPOLLOUT));
	hold_waiter(_metadata, &w, self->fd, EPOLLIN, 0);
	ASSERT_EQ(0, doer_start(&mod));
	doer_settle(&mod);
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(doer_finish(&mod));
	EXPECT_EQ(0, mod.ret);
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	/* Before or after MOD, but never a mixture of the two. */
	EXPECT_TRUE(w.events[0].events == EPOLLIN ||
		    w.events[0].events == EPOLLOUT);
	/* MOD came later than the report or took its place: it is in force. */
	EXPECT_EQ(EPOLLOUT, REPORTED());
	ASSERT_EQ(0, self->be->ctl(self->ep, EPOLL_CTL_MOD, self->fd, &ev));
	ASSERT_EQ(1, wait0(self->be, self->ep, &ev, 1));
	EXPECT_EQ(3U, ev.data.u64);
}

/* A waiter killed in the middle leaves the level for others to see. */
TEST_F(mockdev, kill_during_wait)
{
	struct epoll_event ev;
	int status;
	pid_t pid;

	ASSERT_EQ(0, ADD(EPOLLIN));
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
	EXPECT_EQ(EPOLLIN, REPORTED());
	ASSERT_EQ(0, DEL());
	EXPECT_EQ(0, mock_entries(self->fd, 0));
}

/* What an ADD is making is not there yet: DEL comes before it, or after. */
TEST_F(mockdev, del_during_add)
{
	struct doer add = {
		.work = do_add, .be = self->be, .ep = self->ep, .fd = self->fd,
		.events = EPOLLIN,
	};
	struct doer del = {
		.work = do_del, .be = self->be, .ep = self->ep, .fd = self->fd,
	};

	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_REGISTER));
	ASSERT_EQ(0, doer_start(&add));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	ASSERT_EQ(0, doer_start(&del));
	doer_settle(&del);
	/* Native would have the reader wait for ADD. */
	if (self->be->ours) {
		EXPECT_EQ(0, count_watches(self->ep));
		EXPECT_TRUE(doer_done(&del));
		EXPECT_EQ(-1, del.ret);
	}
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(doer_finish(&add));
	ASSERT_TRUE(doer_finish(&del));
	EXPECT_EQ(0, add.ret);
	if (del.ret) {
		EXPECT_EQ(ENOENT, del.err);
		EXPECT_EQ(0, DEL());
	}
	EXPECT_EQ(0, mock_entries(self->fd, 0));
}

/* A thread with room for two; how many of its events are not of the mock. */
static int do_wait_others(struct doer *doer)
{
	struct epoll_event ev[2];
	int i, n = doer->be->wait(doer->ep, ev, 2, -1);
	int others = 0;

	for (i = 0; i < n; i++)
		others += ev[i].data.u64 != DATA;
	return n < 0 ? n : others;
}

/* Claimed together with a file that takes its time; then it is deleted. */
TEST_F(mockdev, del_of_what_comes_next_during_wait)
{
	struct doer waiter = { .work = do_wait_others, .be = self->be,
			       .ep = self->ep };
	struct doer del = { .work = do_del, .be = self->be, .ep = self->ep };
	bool gone;

	del.fd = eventfd(1, EFD_CLOEXEC);
	ASSERT_LE(0, del.fd);
	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	ASSERT_EQ(0, xadd(self->be, self->ep, del.fd, EPOLLIN, 9));
	ASSERT_EQ(0, mock_hold(self->fd, MOCK_SLOW_QUERY));
	ASSERT_EQ(0, doer_start(&waiter));
	ASSERT_TRUE(mock_wait_sleeping(self->fd, 1));
	ASSERT_EQ(0, doer_start(&del));
	doer_settle(&del);
	gone = atomic_load(&del.done);
	if (self->be->ours)
		EXPECT_TRUE(gone);
	ASSERT_EQ(0, mock_release(self->fd));
	ASSERT_TRUE(doer_finish(&waiter));
	ASSERT_TRUE(doer_finish(&del));
	EXPECT_EQ(0, del.ret);
	EXPECT_EQ(gone ? 0 : 1, waiter.ret);
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(0, close(del.fd));
}

/* A second waiter that finds the only event in the hands of the first. */
TEST_F(mockdev, second_waiter_during_wait)
{
	struct waiter w = { .be = self->be, .ep = self->ep, .timeout = -1 };
	struct doer v = { .work = do_wait, .be = self->be, .ep = self->ep };

	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	hold_waiter(_metadata, &w, self->fd, EPOLLIN, 0);
	ASSERT_EQ(0, doer_start(&v));
	doer_settle(&v);
	ASSERT_EQ(0, mock_release(self->fd));
	/* Level triggered: the report to one is no reason not to tell the other. */
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	ASSERT_TRUE(doer_finish(&v));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(0, v.ret);
}

TEST_HARNESS_MAIN
