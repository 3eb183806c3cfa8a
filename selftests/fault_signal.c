// SPDX-License-Identifier: GPL-2.0-only
/*
 * A signal at every point of a wait: a timer fires later and later, in small
 * steps, from before the call to long after the thread has gone to sleep.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "helpers.h"

#define ROUNDS 1500
#define STEP_NS 700
#define FIRST_NS 2000

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static atomic_int handled;

static void handler(int signo)
{
	atomic_fetch_add(&handled, 1);
}

FIXTURE(at)
{
	const struct backend *be;
	timer_t timer;
	int ep;
	int fd;
};

BACKEND_VARIANTS(at);

FIXTURE_SETUP(at)
{
	struct sigaction sa = { .sa_handler = handler };
	struct sigevent sev = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = SIGUSR1,
		.sigev_notify_thread_id = self_tid(),
	};

	REQUIRE_BACKEND(variant->be);
	self->be = variant->be;
	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	ASSERT_EQ(0, timer_create(CLOCK_MONOTONIC, &sev, &self->timer));
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	self->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT_LE(0, self->ep);
	ASSERT_EQ(0, xadd(variant->be, self->ep, self->fd, EPOLLIN | EPOLLET, 9));
}

FIXTURE_TEARDOWN(at)
{
	timer_delete(self->timer);
	close(self->ep);
	close(self->fd);
}

typedef FIXTURE_DATA(at) data_t;

static int arm(data_t *t, int round)
{
	struct itimerspec when = {
		.it_value.tv_nsec = FIRST_NS + round * STEP_NS,
	};

	atomic_store(&handled, 0);
	return timer_settime(t->timer, 0, &when, NULL);
}

static void await_signal(void)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;

	while (!atomic_load(&handled) && now_ns() < deadline)
		;
}

/*
 * The signal comes outside the call only, before or after it, or it ends the
 * call.  The mask keeps it out until the call, so that it cannot come before
 * and leave the call asleep.
 */
TEST_F_TIMEOUT(at, no_event, 120)
{
	struct epoll_event ev;
	sigset_t block, none, now;
	int i;

	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &block, NULL));
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, arm(self, i));
		poison(&ev, sizeof(ev));
		ASSERT_EQ(-1, variant->be->pwait(self->ep, &ev, 1, -1, &none,
						 KERNEL_SIGSETSIZE));
		ASSERT_EQ(EINTR, errno);
		ASSERT_EQ(1, atomic_load(&handled));
		ASSERT_EQ(POISON32, ev.events);
		ASSERT_EQ(0, sigprocmask(SIG_SETMASK, NULL, &now));
		ASSERT_TRUE(sigismember(&now, SIGUSR1));
	}
}

/* An event that is there is delivered, whatever the signal does. */
TEST_F_TIMEOUT(at, event_there, 120)
{
	struct epoll_event ev;
	int i, ret;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, eventfd_write(self->fd, 1));
		ASSERT_EQ(0, arm(self, i / 8));
		ret = wait0(variant->be, self->ep, &ev, 1);
		await_signal();
		ASSERT_EQ(1, atomic_load(&handled));
		ASSERT_EQ(1, ret);
		ASSERT_EQ(9U, ev.data.u64);
	}
}

/*
 * struct writer - a thread that makes an edge when told to
 * @go: which one to make
 * @made: how many it has made
 */
struct writer {
	int fd;
	atomic_int go;
	atomic_int made;
};

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	int go;

	while ((go = atomic_load(&w->go)) >= 0) {
		if (go == atomic_load(&w->made)) {
			sched_yield();
			continue;
		}
		if (eventfd_write(w->fd, 1))
			return "write";
		atomic_store(&w->made, go);
	}
	return NULL;
}

/*
 * The edge and the signal come at about the same time: the call reports one of
 * them, and if it was the signal, the edge is there in the next one.
 */
TEST_F_TIMEOUT(at, event_comes, 120)
{
	struct writer writer = { .fd = self->fd };
	struct epoll_event ev;
	int i, ret, interrupted = 0;
	pthread_t thread;
	void *failed;

	ASSERT_EQ(0, pthread_create(&thread, NULL, writer_main, &writer));
	for (i = 1; i <= ROUNDS; i++) {
		ASSERT_EQ(0, arm(self, i / 4));
		atomic_store(&writer.go, i);
		ret = variant->be->wait(self->ep, &ev, 1, -1);
		if (ret == -1) {
			ASSERT_EQ(EINTR, errno);
			interrupted++;
			/* Another signal cannot come: the timer fires once. */
			ASSERT_EQ(1, variant->be->wait(self->ep, &ev, 1,
						       PATIENCE_MS));
		} else {
			ASSERT_EQ(1, ret);
		}
		ASSERT_EQ(9U, ev.data.u64);
		await_signal();
		ASSERT_EQ(1, atomic_load(&handled));
		/* It may still be on its way out of the write. */
		while (atomic_load(&writer.made) != i)
			sched_yield();
	}
	atomic_store(&writer.go, -1);
	ASSERT_EQ(0, pthread_join(thread, &failed));
	EXPECT_EQ(NULL, failed);
	TH_LOG("%d of %d waits were interrupted", interrupted, ROUNDS);
	/* One event was made and delivered a round: no more are left. */
	EXPECT_EQ(0, wait0(variant->be, self->ep, &ev, 1));
}

TEST_HARNESS_MAIN
