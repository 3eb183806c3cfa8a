// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cancellation points: the wait functions are, a batch is if it waits, the others
 * are not.  On native instances as well, and by myepoll_*(); libc's own functions
 * without the preload library are not here, as there is no way to them with it.
 */
#define _GNU_SOURCE
#include "preload_self.h"

#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "myepoll.h"
#include "raw.h"

static const struct timespec zero;

static int way_wait(int ep, struct epoll_event *ev, bool ever)
{
	return epoll_wait(ep, ev, 1, ever ? -1 : 0);
}

static int way_pwait(int ep, struct epoll_event *ev, bool ever)
{
	return epoll_pwait(ep, ev, 1, ever ? -1 : 0, NULL);
}

static int way_pwait2(int ep, struct epoll_event *ev, bool ever)
{
	return epoll_pwait2(ep, ev, 1, ever ? NULL : &zero, NULL);
}

static int way_lib_wait(int ep, struct epoll_event *ev, bool ever)
{
	return myepoll_wait(ep, ev, 1, ever ? -1 : 0);
}

static int way_lib_pwait(int ep, struct epoll_event *ev, bool ever)
{
	return myepoll_pwait(ep, ev, 1, ever ? -1 : 0, NULL);
}

static int way_lib_pwait2(int ep, struct epoll_event *ev, bool ever)
{
	return myepoll_pwait2(ep, ev, 1, ever ? NULL : &zero, NULL);
}

static int way_lib_batch(int ep, struct epoll_event *ev, bool ever)
{
	return myepoll_batch(ep, NULL, 0, NULL, ev, 1, ever ? NULL : &zero, NULL);
}

/**
 * struct scene - a thread that waits, and what became of it
 * @ep: instance
 * @efd: readable, not watched at first
 * @tid: of the thread, once it is about to wait
 * @go: it may begin
 * @cleaned: its clean-up handler has run
 * @ret: what a function returned
 * @old: type of cancellation to have, and then the one it had
 * @wait: how to wait
 */
struct scene {
	int ep;
	int efd;
	atomic_int tid;
	atomic_bool go;
	atomic_bool cleaned;
	int ret;
	int old;
	int (*wait)(int ep, struct epoll_event *ev, bool ever);
};

FIXTURE(cancel)
{
	struct scene s;
};

FIXTURE_VARIANT(cancel)
{
	int (*wait)(int ep, struct epoll_event *ev, bool ever);
	bool native;
};

FIXTURE_VARIANT_ADD(cancel, wait) { .wait = way_wait };
FIXTURE_VARIANT_ADD(cancel, pwait) { .wait = way_pwait };
FIXTURE_VARIANT_ADD(cancel, pwait2) { .wait = way_pwait2 };
FIXTURE_VARIANT_ADD(cancel, native_wait) { .wait = way_wait, .native = true };
FIXTURE_VARIANT_ADD(cancel, native_pwait) { .wait = way_pwait, .native = true };
FIXTURE_VARIANT_ADD(cancel, native_pwait2) { .wait = way_pwait2, .native = true };
FIXTURE_VARIANT_ADD(cancel, lib_wait) { .wait = way_lib_wait };
FIXTURE_VARIANT_ADD(cancel, lib_pwait) { .wait = way_lib_pwait };
FIXTURE_VARIANT_ADD(cancel, lib_pwait2) { .wait = way_lib_pwait2 };
FIXTURE_VARIANT_ADD(cancel, lib_batch) { .wait = way_lib_batch };

FIXTURE_SETUP(cancel)
{
	self->s.ep = variant->native ?
		   (int)raw_syscall3(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0) :
		   epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->s.ep);
	self->s.efd = eventfd(1, EFD_CLOEXEC);
	ASSERT_LE(0, self->s.efd);
	self->s.wait = variant->wait;
}

FIXTURE_TEARDOWN(cancel)
{
}

static void cleanup(void *arg)
{
	struct scene *self = arg;

	atomic_store(&self->cleaned, true);
}

static int add_ready(struct scene *self)
{
	struct epoll_event ev = { .events = EPOLLIN };

	return epoll_ctl(self->ep, EPOLL_CTL_ADD, self->efd, &ev);
}

static void *sleeper(void *arg)
{
	struct scene *self = arg;
	struct epoll_event ev;

	pthread_cleanup_push(cleanup, self);
	atomic_store(&self->tid, self_tid());
	self->ret = self->wait(self->ep, &ev, true);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *start_sleeping(struct scene *self, pthread_t *thread)
{
	if (pthread_create(thread, NULL, sleeper, self))
		return "no thread";
	while (!atomic_load(&self->tid))
		breathe();
	return wait_until_sleeping(self->tid, PATIENCE_MS) ? NULL : "does not sleep";
}

TEST_F(cancel, a_sleeping_thread_is_cancelled)
{
	pthread_t thread;
	void *result;

	ASSERT_EQ(NULL, start_sleeping(&self->s, &thread));
	ASSERT_EQ(0, pthread_cancel(thread));
	ASSERT_EQ(0, pthread_join(thread, &result));
	EXPECT_EQ(PTHREAD_CANCELED, result);
	EXPECT_TRUE(atomic_load(&self->s.cleaned));
}

/* Acts on what is pending, though there is an event and nothing to wait for. */
static void *late(void *arg)
{
	struct scene *self = arg;
	struct epoll_event ev;

	pthread_cleanup_push(cleanup, self);
	while (!atomic_load(&self->go))
		;
	self->ret = self->wait(self->ep, &ev, false);
	pthread_cleanup_pop(0);
	return NULL;
}

TEST_F(cancel, what_is_pending_acts_before_events)
{
	pthread_t thread;
	void *result;

	ASSERT_EQ(0, add_ready(&self->s));
	self->s.ret = 4711;
	ASSERT_EQ(0, pthread_create(&thread, NULL, late, &self->s));
	ASSERT_EQ(0, pthread_cancel(thread));
	atomic_store(&self->s.go, true);
	ASSERT_EQ(0, pthread_join(thread, &result));
	EXPECT_EQ(PTHREAD_CANCELED, result);
	EXPECT_TRUE(atomic_load(&self->s.cleaned));
	EXPECT_EQ(4711, self->s.ret);
}

static void *immune(void *arg)
{
	struct scene *self = arg;
	int old;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	return sleeper(arg) ?: self;
}

TEST_F(cancel, not_where_it_is_disabled)
{
	pthread_t thread;
	void *result;

	ASSERT_EQ(0, pthread_create(&thread, NULL, immune, &self->s));
	while (!atomic_load(&self->s.tid))
		breathe();
	ASSERT_TRUE(wait_until_sleeping(self->s.tid, PATIENCE_MS));
	ASSERT_EQ(0, pthread_cancel(thread));
	ASSERT_EQ(0, add_ready(&self->s));
	ASSERT_EQ(0, pthread_join(thread, &result));
	EXPECT_EQ(&self->s, result);
	EXPECT_EQ(1, self->s.ret);
}

static void *look_at_type(void *arg)
{
	struct scene *self = arg;
	struct epoll_event ev;
	int old;

	pthread_setcanceltype(self->old, &old);
	self->ret = self->wait(self->ep, &ev, false);
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &self->old);
	return NULL;
}

TEST_F(cancel, type_is_afterwards_what_it_was)
{
	static const int types[] = { PTHREAD_CANCEL_DEFERRED,
				     PTHREAD_CANCEL_ASYNCHRONOUS };
	pthread_t thread;
	size_t i;

	for (i = 0; i < 2; i++) {
		self->s.old = types[i];
		ASSERT_EQ(0, pthread_create(&thread, NULL, look_at_type, &self->s));
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_EQ(0, self->s.ret);
		EXPECT_EQ(types[i], self->s.old);
	}
}

static void leave(void *arg)
{
	_exit(42);
}

/* The only thread there is: nobody else can have asked for it. */
static int cancel_myself(struct scene *self)
{
	struct epoll_event ev;

	pthread_cleanup_push(leave, NULL);
	pthread_cancel(pthread_self());
	self->wait(self->ep, &ev, false);
	pthread_cleanup_pop(0);
	return 0;
}

TEST_F(cancel, a_single_thread_cancels_itself)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(cancel_myself(&self->s));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(42, WEXITSTATUS(status));
}

static void *no_points(void *arg)
{
	struct scene *self = arg;
	struct epoll_event ev;

	pthread_cleanup_push(cleanup, self);
	while (!atomic_load(&self->go))
		;
	/* EINVAL on a native one: a failed call is no point either. */
	myepoll_batch(self->ep, NULL, 0, NULL, NULL, 0, NULL, NULL);
	self->ret = epoll_create1(EPOLL_CLOEXEC) < 0 ||
		    epoll_create(1) < 0 || add_ready(self) ||
		    syscall(RAW_EPOLL_WAIT, self->ep, &ev, 1, -1, NULL, 0) != 1;
	pthread_cleanup_pop(0);
	pthread_testcancel();
	return NULL;
}

TEST_F(cancel, no_other_function_is_a_point)
{
	pthread_t thread;
	void *result;

	self->s.ret = 4711;
	ASSERT_EQ(0, pthread_create(&thread, NULL, no_points, &self->s));
	ASSERT_EQ(0, pthread_cancel(thread));
	atomic_store(&self->s.go, true);
	ASSERT_EQ(0, pthread_join(thread, &result));
	EXPECT_EQ(PTHREAD_CANCELED, result);
	EXPECT_EQ(0, self->s.ret);
	EXPECT_FALSE(atomic_load(&self->s.cleaned));
}

/* ---- changes, and then a wait that is cancelled ---- */

FIXTURE(batch)
{
	struct scene s;
};

FIXTURE_SETUP(batch)
{
	self->s.ep = myepoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->s.ep);
	self->s.efd = eventfd(1, EFD_CLOEXEC);
	ASSERT_LE(0, self->s.efd);
}

FIXTURE_TEARDOWN(batch)
{
}

static struct scene *batch_scene;

/* The watch asks for nothing, so that there is something to wait for. */
static int way_change(int ep, struct epoll_event *ev, bool ever)
{
	struct myepoll_change change = {
		.op = EPOLL_CTL_ADD,
		.fd = batch_scene->efd,
	};

	return myepoll_batch(ep, &change, 1, NULL, ev, 1, ever ? NULL : &zero, NULL);
}

TEST_F(batch, cancelled_in_the_wait_has_made_its_changes)
{
	pthread_t thread;
	void *result;

	batch_scene = &self->s;
	self->s.wait = way_change;
	ASSERT_EQ(NULL, start_sleeping(&self->s, &thread));
	ASSERT_EQ(0, pthread_cancel(thread));
	ASSERT_EQ(0, pthread_join(thread, &result));
	EXPECT_EQ(PTHREAD_CANCELED, result);
	EXPECT_TRUE(atomic_load(&self->s.cleaned));
	EXPECT_EQ(0, myepoll_ctl(self->s.ep, EPOLL_CTL_DEL, self->s.efd, NULL));
}

TEST_F(batch, cancelled_before_it_began_has_made_none)
{
	pthread_t thread;
	void *result;

	batch_scene = &self->s;
	self->s.wait = way_change;
	ASSERT_EQ(0, pthread_create(&thread, NULL, late, &self->s));
	ASSERT_EQ(0, pthread_cancel(thread));
	atomic_store(&self->s.go, true);
	ASSERT_EQ(0, pthread_join(thread, &result));
	EXPECT_EQ(PTHREAD_CANCELED, result);
	EXPECT_ERR(ENOENT, myepoll_ctl(self->s.ep, EPOLL_CTL_DEL, self->s.efd, NULL));
}

TEST_HARNESS_MAIN
