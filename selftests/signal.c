// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting and signals: what interrupts, what wins over what, and when the
 * signal mask of pwait is in effect.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "helpers.h"

static atomic_int handled;
static sigset_t mask_in_handler;

static void count_signal(int sig)
{
	sigprocmask(SIG_SETMASK, NULL, &mask_in_handler);
	atomic_fetch_add(&handled, 1);
}

static int handle(int sig, int flags)
{
	struct sigaction sa = { .sa_handler = count_signal, .sa_flags = flags };

	return sigaction(sig, &sa, NULL);
}

static sigset_t set_of(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	if (sig)
		sigaddset(&set, sig);
	return set;
}

static bool blocked(int sig)
{
	sigset_t now;

	return !sigprocmask(SIG_SETMASK, NULL, &now) &&
	       sigismember(&now, sig) == 1;
}

static bool pending(int sig)
{
	sigset_t now;

	return !sigpending(&now) && sigismember(&now, sig) == 1;
}

/* SIGUSR1 has a handler and is blocked in the test's main thread. */
FIXTURE(sig)
{
	int ep;
	int fd;
};

BACKEND_VARIANTS(sig);

FIXTURE_SETUP(sig)
{
	sigset_t usr1 = set_of(SIGUSR1);

	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->fd = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, xadd(variant->be, self->ep, self->fd, EPOLLIN, 7));
	ASSERT_EQ(0, handle(SIGUSR1, 0));
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &usr1, NULL));
}

FIXTURE_TEARDOWN(sig)
{
	close(self->ep);
}

/* ---- a signal that is pending before the call ---- */

TEST_F(sig, pending_signal_interrupts_an_endless_wait)
{
	const struct backend *be = variant->be;
	sigset_t none = set_of(0);
	struct epoll_event ev;

	ASSERT_EQ(0, raise(SIGUSR1));
	poison(&ev, sizeof(ev));
	EXPECT_ERR(EINTR, be->pwait(self->ep, &ev, 1, -1, &none,
				    KERNEL_SIGSETSIZE));
	EXPECT_EQ(1, handled);
	EXPECT_EQ(POISON32, ev.events);
	EXPECT_TRUE(blocked(SIGUSR1));
}

TEST_F(sig, pending_signal_interrupts_a_finite_wait)
{
	const struct timespec ts = { .tv_sec = 1000 };
	const struct backend *be = variant->be;
	sigset_t none = set_of(0);
	struct epoll_event ev;

	ASSERT_EQ(0, raise(SIGUSR1));
	EXPECT_ERR(EINTR, be->pwait(self->ep, &ev, 1, 1000000, &none,
				    KERNEL_SIGSETSIZE));
	ASSERT_EQ(0, raise(SIGUSR1));
	EXPECT_ERR(EINTR, be->pwait2(self->ep, &ev, 1, &ts, &none,
				     KERNEL_SIGSETSIZE));
	EXPECT_EQ(2, handled);
	EXPECT_TRUE(blocked(SIGUSR1));
}

/* The signal is not delivered either: the old mask is back before it could be. */
TEST_F(sig, event_wins_over_pending_signal)
{
	const struct backend *be = variant->be;
	sigset_t none = set_of(0);
	struct epoll_event ev;

	ASSERT_EQ(0, raise(SIGUSR1));
	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	ASSERT_EQ(1, be->pwait(self->ep, &ev, 1, -1, &none,
			       KERNEL_SIGSETSIZE));
	EXPECT_EQ(7U, ev.data.u64);
	EXPECT_EQ(0, handled);
	EXPECT_TRUE(pending(SIGUSR1));
	EXPECT_TRUE(blocked(SIGUSR1));
}

TEST_F(sig, timeout_of_zero_does_not_look_at_signals)
{
	const struct timespec zero = { 0 };
	const struct backend *be = variant->be;
	sigset_t none = set_of(0);
	struct epoll_event ev;

	ASSERT_EQ(0, raise(SIGUSR1));
	EXPECT_EQ(0, be->pwait(self->ep, &ev, 1, 0, &none, KERNEL_SIGSETSIZE));
	EXPECT_EQ(0, be->pwait2(self->ep, &ev, 1, &zero, &none,
				KERNEL_SIGSETSIZE));
	EXPECT_EQ(0, handled);
	EXPECT_TRUE(pending(SIGUSR1));
	EXPECT_TRUE(blocked(SIGUSR1));
}

TEST_F(sig, failed_call_leaves_mask_and_signal_alone)
{
	const struct backend *be = variant->be;
	sigset_t none = set_of(0);
	struct epoll_event ev;

	ASSERT_EQ(0, raise(SIGUSR1));
	EXPECT_ERR(EINVAL, be->pwait(self->ep, &ev, 0, -1, &none,
				     KERNEL_SIGSETSIZE));
	EXPECT_ERR(EINVAL, be->pwait(self->ep, &ev, 1, -1, &none, 4));
	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	EXPECT_ERR(EFAULT, be->pwait(self->ep, NULL, 1, -1, &none,
				     KERNEL_SIGSETSIZE));
	EXPECT_EQ(0, handled);
	EXPECT_TRUE(pending(SIGUSR1));
	EXPECT_TRUE(blocked(SIGUSR1));
}

TEST_F(sig, blocked_pending_signal_does_not_interrupt)
{
	struct epoll_event ev;

	ASSERT_EQ(0, raise(SIGUSR1));
	EXPECT_EQ(0, variant->be->wait(self->ep, &ev, 1, 30));
	EXPECT_EQ(0, handled);
}

TEST_F(sig, handler_runs_with_the_mask_of_the_wait)
{
	const struct backend *be = variant->be;
	sigset_t usr2 = set_of(SIGUSR2);
	struct epoll_event ev;

	ASSERT_EQ(0, raise(SIGUSR1));
	ASSERT_FALSE(blocked(SIGUSR2));
	EXPECT_ERR(EINTR, be->pwait(self->ep, &ev, 1, -1, &usr2,
				    KERNEL_SIGSETSIZE));
	ASSERT_EQ(1, handled);
	EXPECT_EQ(1, sigismember(&mask_in_handler, SIGUSR1));
	EXPECT_EQ(1, sigismember(&mask_in_handler, SIGUSR2));
	EXPECT_FALSE(blocked(SIGUSR2));
	EXPECT_TRUE(blocked(SIGUSR1));
}

/* ---- the mask of pwait ---- */

TEST_F(sig, mask_is_restored_after_events_and_timeouts)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;
	sigset_t full;

	sigfillset(&full);
	EXPECT_EQ(0, be->pwait(self->ep, &ev, 1, 5, &full, KERNEL_SIGSETSIZE));
	EXPECT_FALSE(blocked(SIGUSR2));
	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	EXPECT_EQ(1, be->pwait(self->ep, &ev, 1, -1, &full, KERNEL_SIGSETSIZE));
	EXPECT_FALSE(blocked(SIGUSR2));
	EXPECT_TRUE(blocked(SIGUSR1));
}

/* ---- a signal that comes during the wait ---- */

/*
 * struct sleeper - a thread in pwait with a mask of its own
 * @w: the waiter; its timeout, array and maxevents do not count here
 * @own: in: mask of the thread
 * @during: in: mask for the wait; NULL: none is given
 * @after: out: the thread's mask after the wait
 * @seen: out: value of handled right after the wait
 */
struct sleeper {
	struct waiter w;
	sigset_t own;
	const sigset_t *during;
	sigset_t after;
	int seen;
};

static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;

	pthread_sigmask(SIG_SETMASK, &s->own, NULL);
	atomic_store(&s->w.tid, self_tid());
	s->w.ret = s->w.be->pwait(s->w.ep, s->w.events, WAITER_EVENTS, -1,
				  s->during, KERNEL_SIGSETSIZE);
	s->w.err = errno;
	s->seen = atomic_load(&handled);
	pthread_sigmask(SIG_SETMASK, NULL, &s->after);
	atomic_store(&s->w.done, true);
	return NULL;
}

static int sleeper_start(struct sleeper *s)
{
	if (pthread_create(&s->w.thread, NULL, sleeper_main, s))
		return -1;
	while (!atomic_load(&s->w.tid))
		breathe();
	return wait_until_sleeping(s->w.tid, PATIENCE_MS) ? 0 : -1;
}

TEST_F(sig, signal_interrupts_a_sleeper)
{
	struct sleeper s = { .w = { .be = variant->be, .ep = self->ep },
			     .own = set_of(0) };

	ASSERT_EQ(0, sleeper_start(&s));
	ASSERT_EQ(0, pthread_kill(s.w.thread, SIGUSR1));
	ASSERT_TRUE(waiter_finish(&s.w, PATIENCE_MS));
	EXPECT_EQ(-1, s.w.ret);
	EXPECT_EQ(EINTR, s.w.err);
	EXPECT_EQ(1, s.seen);
}

TEST_F(sig, sa_restart_does_not_restart)
{
	struct sleeper s = { .w = { .be = variant->be, .ep = self->ep },
			     .own = set_of(0) };

	ASSERT_EQ(0, handle(SIGUSR1, SA_RESTART));
	ASSERT_EQ(0, sleeper_start(&s));
	ASSERT_EQ(0, pthread_kill(s.w.thread, SIGUSR1));
	ASSERT_TRUE(waiter_finish(&s.w, PATIENCE_MS));
	EXPECT_EQ(-1, s.w.ret);
	EXPECT_EQ(EINTR, s.w.err);
}

TEST_F(sig, mask_lets_a_signal_through_during_the_wait)
{
	sigset_t none = set_of(0);
	struct sleeper s = { .w = { .be = variant->be, .ep = self->ep },
			     .own = set_of(SIGUSR1), .during = &none };

	ASSERT_EQ(0, sleeper_start(&s));
	ASSERT_EQ(0, pthread_kill(s.w.thread, SIGUSR1));
	ASSERT_TRUE(waiter_finish(&s.w, PATIENCE_MS));
	EXPECT_EQ(-1, s.w.ret);
	EXPECT_EQ(EINTR, s.w.err);
	EXPECT_EQ(1, s.seen);
	EXPECT_EQ(1, sigismember(&s.after, SIGUSR1));
}

TEST_F(sig, mask_keeps_a_signal_out_during_the_wait)
{
	sigset_t usr1 = set_of(SIGUSR1);
	struct sleeper s = { .w = { .be = variant->be, .ep = self->ep },
			     .own = set_of(0), .during = &usr1 };

	ASSERT_EQ(0, sleeper_start(&s));
	ASSERT_EQ(0, pthread_kill(s.w.thread, SIGUSR1));
	ASSERT_TRUE(wait_until_sleeping(s.w.tid, PATIENCE_MS));
	EXPECT_EQ(0, handled);
	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	ASSERT_TRUE(waiter_finish(&s.w, PATIENCE_MS));
	EXPECT_EQ(1, s.w.ret);
	EXPECT_EQ(1, s.seen);
	EXPECT_EQ(0, sigismember(&s.after, SIGUSR1));
}

TEST_F(sig, ignored_signals_do_not_interrupt)
{
	struct sleeper s = { .w = { .be = variant->be, .ep = self->ep },
			     .own = set_of(0) };

	ASSERT_NE(SIG_ERR, signal(SIGUSR2, SIG_IGN));
	ASSERT_EQ(0, sleeper_start(&s));
	ASSERT_EQ(0, pthread_kill(s.w.thread, SIGUSR2));
	ASSERT_EQ(0, pthread_kill(s.w.thread, SIGWINCH));
	ASSERT_TRUE(wait_until_sleeping(s.w.tid, PATIENCE_MS));
	EXPECT_FALSE(atomic_load(&s.w.done));
	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	ASSERT_TRUE(waiter_finish(&s.w, PATIENCE_MS));
	EXPECT_EQ(1, s.w.ret);
}

/* An interrupted waiter takes no event with it. */
TEST_F(sig, event_after_an_interruption_is_there)
{
	struct sleeper s = { .w = { .be = variant->be, .ep = self->ep },
			     .own = set_of(0) };
	struct epoll_event ev;

	ASSERT_EQ(0, xmod(variant->be, self->ep, self->fd,
			  EPOLLIN | EPOLLET | EPOLLONESHOT, 8));
	ASSERT_EQ(0, sleeper_start(&s));
	ASSERT_EQ(0, pthread_kill(s.w.thread, SIGUSR1));
	ASSERT_TRUE(waiter_finish(&s.w, PATIENCE_MS));
	ASSERT_EQ(-1, s.w.ret);
	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	ASSERT_EQ(1, wait0(variant->be, self->ep, &ev, 1));
	EXPECT_EQ(8U, ev.data.u64);
}

/*
 * Signal and event race, many times: whoever wins, no edge is lost.  The
 * sleeper answers EINTR, and the edge is there for the next call, or the event.
 */
TEST_F(sig, race_of_signal_and_event_loses_no_edge)
{
	const struct backend *be = variant->be;
	int i, got;

	ASSERT_EQ(0, xmod(be, self->ep, self->fd, EPOLLIN | EPOLLET, 8));
	for (i = 0; i < 200; i++) {
		struct sleeper s = { .w = { .be = be, .ep = self->ep },
				     .own = set_of(0) };
		struct epoll_event ev;

		ASSERT_EQ(0, sleeper_start(&s));
		ASSERT_EQ(0, pthread_kill(s.w.thread, SIGUSR1));
		ASSERT_EQ(0, eventfd_write(self->fd, 1));
		ASSERT_TRUE(waiter_finish(&s.w, PATIENCE_MS));
		got = s.w.ret == 1 ? 1 : wait0(be, self->ep, &ev, 1);
		ASSERT_EQ(1, got)
			TH_LOG("round %d: wait gave %d, errno %d", i, s.w.ret,
			       s.w.err);
		ASSERT_EQ(0, wait0(be, self->ep, &ev, 1));
	}
}

TEST_HARNESS_MAIN
