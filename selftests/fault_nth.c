// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation and every copy of every call fails once, by number, until
 * the call gets through without a failure.  After each failure: a proper errno,
 * nothing has changed, nothing is left behind.
 *
 * Needs a kernel with fault injection and root.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "observe.h"
#include "fault.h"
#include "nthfix.h"

/* ---- a new instance ---- */

static int close_it(data_t *t, int fd)
{
	return close(fd);
}

static int call_open(data_t *t)
{
	return t->be->ours ? open(MYEPOLL_DEVICE, O_RDWR | O_CLOEXEC) :
			     t->be->create(EPOLL_CLOEXEC);
}

TEST_F(nth, open)
{
	const struct act act = { .call = call_open, .undo = close_it,
				 .errs = { ENOMEM, ENFILE, EFAULT } };

	fail_each(_metadata, self, &act);
}

static int call_create(data_t *t)
{
	struct myepoll_create create = { .flags = EPOLL_CLOEXEC };

	return t->be->ours ? ioctl(t->ep, MYEPOLL_IOC_CREATE, &create) :
			     t->be->create(EPOLL_CLOEXEC);
}

TEST_F(nth, create)
{
	const struct act act = { .call = call_create, .undo = close_it,
				 .errs = { ENOMEM, ENFILE, EFAULT } };

	fail_each(_metadata, self, &act);
}

/* A user without an account: more to allocate. */
TEST_F_TIMEOUT(nth, create_as_new_user, 60)
{
	const struct act act = { .call = call_create, .undo = close_it,
				 .errs = { ENOMEM, ENFILE, EFAULT } };
	int n, hit = 1, errors = 0;

	for (n = 1; hit && n < NTH_MAX; n++) {
		ASSERT_EQ(0, become(UID_B + n));
		hit = fail_nth(self, &act, n, &errors);
		ASSERT_EQ(0, become(0));
		ASSERT_LE(0, hit);
	}
	EXPECT_EQ(0, hit);
	EXPECT_LT(0, errors);
}

/* ---- ADD ---- */

static int call_add(data_t *t, int fd, uint32_t events)
{
	t->nr = fd;
	return xadd(t->be, t->ep, fd, events, 1);
}

static int undo_add(data_t *t, int ret)
{
	return count_watches(t->ep) != 1 || xdel(t->be, t->ep, t->nr);
}

static bool same_add(data_t *t)
{
	return xdel(t->be, t->ep, t->nr) == -1 && errno == ENOENT &&
	       count_watches(t->ep) == 0;
}

#define ACT_ADD(_call) {						\
	.call = _call, .undo = undo_add, .same = same_add,		\
	.errs = { ENOMEM, EFAULT },					\
}

static int add_plain(data_t *t)
{
	return call_add(t, t->fd, EPOLLIN);
}

static int add_high(data_t *t)
{
	return call_add(t, HIGH_FD, EPOLLIN | EPOLLET);
}

static int add_two_queues(data_t *t)
{
	return call_add(t, t->fifo, EPOLLIN | EPOLLOUT);
}

static int add_exclusive(data_t *t)
{
	return call_add(t, t->fd, EPOLLIN | EPOLLEXCLUSIVE);
}

static int add_wakeup(data_t *t)
{
	return call_add(t, t->fd, EPOLLIN | EPOLLWAKEUP);
}

static int add_nested(data_t *t)
{
	return call_add(t, t->inner, EPOLLIN);
}

TEST_F(nth, add)
{
	const struct act act = ACT_ADD(add_plain);

	fail_each(_metadata, self, &act);
}

/* A number for which the table has to grow */
TEST_F(nth, add_high)
{
	const struct act act = ACT_ADD(add_high);

	fail_each(_metadata, self, &act);
}

/* A second number for a file that is known already */
TEST_F(nth, add_known_file)
{
	const struct act act = ACT_ADD(add_high);

	ASSERT_EQ(0, xadd(variant->be, self->inner, self->fd, EPOLLIN, 1));
	fail_each(_metadata, self, &act);
}

TEST_F(nth, add_two_queues)
{
	const struct act act = ACT_ADD(add_two_queues);

	fail_each(_metadata, self, &act);
}

TEST_F(nth, add_exclusive)
{
	const struct act act = ACT_ADD(add_exclusive);

	fail_each(_metadata, self, &act);
}

TEST_F(nth, add_wakeup)
{
	const struct act act = ACT_ADD(add_wakeup);

	fail_each(_metadata, self, &act);
}

TEST_F(nth, add_nested)
{
	const struct act act = ACT_ADD(add_nested);

	ASSERT_EQ(0, xadd(variant->be, self->inner, self->fd, EPOLLIN, 1));
	fail_each(_metadata, self, &act);
	/* A link that is left would close a loop now. */
	EXPECT_EQ(0, xadd(variant->be, self->inner, self->ep, EPOLLIN, 1));
}

/* A plain file below a nested instance: the paths are counted. */
TEST_F(nth, add_below)
{
	const struct act act = ACT_ADD(add_plain);
	int outer = variant->be->create(EPOLL_CLOEXEC);

	ASSERT_EQ(0, xadd(variant->be, outer, self->ep, EPOLLIN, 1));
	fail_each(_metadata, self, &act);
	close(outer);
}

/* ---- MOD, DEL ---- */

static int call_mod(data_t *t)
{
	return xmod(t->be, t->ep, t->fd, EPOLLIN | EPOLLOUT, 2);
}

static int undo_mod(data_t *t, int ret)
{
	return (watch_mask(t->ep, t->fd) & EPOLLOUT) == 0 ||
	       xmod(t->be, t->ep, t->fd, EPOLLIN, 1);
}

static bool same_mod(data_t *t)
{
	struct epoll_event ev;

	return watch_mask(t->ep, t->fd) == (EPOLLIN | EPOLLERR | EPOLLHUP) &&
	       wait0(t->be, t->ep, &ev, 1) == 1 && ev.events == EPOLLIN &&
	       ev.data.u64 == 1;
}

TEST_F(nth, mod)
{
	/* The way in which the module copies in cannot be made to fail. */
	const struct act act = { .call = call_mod, .undo = undo_mod,
				 .same = same_mod, .errs = { EFAULT },
				 .immune = variant->be->ours };

	ASSERT_EQ(0, add_plain(self));
	fail_each(_metadata, self, &act);
}

static int call_mod_wakeup(data_t *t)
{
	return xmod(t->be, t->ep, t->fd, EPOLLIN | EPOLLWAKEUP, 1);
}

static int undo_mod_wakeup(data_t *t, int ret)
{
	struct epoll_event ev;

	if (wait0(t->be, t->ep, &ev, 1) != 1)
		return -1;
	return xmod(t->be, t->ep, t->fd, EPOLLIN, 1);
}

/* Without memory for its source the watch goes on without one. */
TEST_F(nth, mod_wakeup)
{
	const struct act act = { .call = call_mod_wakeup, .undo = undo_mod_wakeup,
				 .same = same_mod, .errs = { EFAULT },
				 .immune = variant->be->ours };

	ASSERT_EQ(0, add_plain(self));
	fail_each(_metadata, self, &act);
}

static int call_del(data_t *t)
{
	return xdel(t->be, t->ep, t->fd);
}

static int undo_del(data_t *t, int ret)
{
	return add_plain(t);
}

TEST_F(nth, del)
{
	const struct act act = { .call = call_del, .undo = undo_del,
				 .immune = true };

	ASSERT_EQ(0, add_plain(self));
	fail_each(_metadata, self, &act);
}

/* ---- waiting ---- */

static int call_wait(data_t *t)
{
	struct timespec ts = { 0 };
	struct epoll_event ev;
	sigset_t mask;

	sigemptyset(&mask);
	return t->be->pwait2(t->ep, &ev, 1, &ts, &mask, KERNEL_SIGSETSIZE);
}

static int undo_wait(data_t *t, int ret)
{
	return ret != 1;
}

static bool same_wait(data_t *t)
{
	struct epoll_event ev;
	sigset_t mask;

	return !sigprocmask(SIG_SETMASK, NULL, &mask) &&
	       sigismember(&mask, SIGUSR1) &&
	       wait0(t->be, t->ep, &ev, 1) == 1 && ev.events == EPOLLIN;
}

TEST_F(nth, wait)
{
	const struct act act = { .call = call_wait, .undo = undo_wait,
				 .same = same_wait, .errs = { EFAULT } };
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &mask, NULL));
	ASSERT_EQ(0, add_plain(self));
	fail_each(_metadata, self, &act);
}

static int call_poll(data_t *t)
{
	struct pollfd pfd[2] = {
		{ .fd = t->ep, .events = POLLIN },
		{ .fd = t->fd, .events = POLLIN },
	};

	return poll(pfd, 2, 0) < 0 ? -1 : pfd[0].revents == POLLIN;
}

TEST_F(nth, poll)
{
	const struct act act = { .call = call_poll, .undo = undo_wait,
				 .same = same_wait,
				 .errs = { ENOMEM, EFAULT } };
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &mask, NULL));
	ASSERT_EQ(0, add_plain(self));
	fail_each(_metadata, self, &act);
}

static int call_params(data_t *t)
{
	struct myepoll_params p = { .busy_poll_usecs = 5 };

	/* Each time an instance that has none yet */
	if (!t->be->ours) {
		errno = ENOTTY;
		return -1;
	}
	return ioctl(t->inner, MYEPOLL_IOC_SPARAMS, &p);
}

static bool same_params(data_t *t)
{
	struct myepoll_params p;

	return !ioctl(t->inner, MYEPOLL_IOC_GPARAMS, &p) && !p.busy_poll_usecs;
}

TEST_F(nth, params)
{
	const struct act act = { .call = call_params, .same = same_params,
				 .errs = { ENOMEM, EFAULT } };

	if (!variant->be->ours)
		SKIP(return, "native epoll has no parameters before Linux 6.9");
	fail_each(_metadata, self, &act);
}

static int call_get_params(data_t *t)
{
	struct myepoll_params p;

	return ioctl(t->inner, MYEPOLL_IOC_GPARAMS, &p);
}

TEST_F(nth, get_params)
{
	const struct act act = { .call = call_get_params, .errs = { EFAULT } };

	if (!variant->be->ours)
		SKIP(return, "native epoll has no parameters before Linux 6.9");
	fail_each(_metadata, self, &act);
}

static int call_probe(data_t *t)
{
	struct myepoll_probe probe;

	return ioctl(t->ep, MYEPOLL_IOC_PROBE, &probe);
}

TEST_F(nth, probe)
{
	const struct act act = { .call = call_probe, .errs = { EFAULT } };

	if (!variant->be->ours)
		SKIP(return, "native epoll has no such call");
	fail_each(_metadata, self, &act);
}

static int call_fdinfo(data_t *t)
{
	char path[64], text[4096];
	int fd, ret, err;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", t->ep);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ret = read(fd, text, sizeof(text));
	err = errno;
	close(fd);
	errno = err;
	return ret < 0 ? -1 : 0;
}

/* A walk that breaks off leaves nothing behind that a later one would meet. */
static bool same_fdinfo(data_t *t)
{
	return count_watches(t->ep) == 2;
}

static int undo_fdinfo(data_t *t, int ret)
{
	return !same_fdinfo(t);
}

TEST_F(nth, fdinfo)
{
	const struct act act = { .call = call_fdinfo, .undo = undo_fdinfo,
				 .same = same_fdinfo,
				 /* The kernel takes /proc for empty, too. */
				 .errs = { ENOMEM, EFAULT, ENOENT, ENFILE } };

	ASSERT_EQ(0, add_plain(self));
	ASSERT_EQ(0, add_high(self));
	fail_each(_metadata, self, &act);
}

/* ---- the whole life of an instance, at every failure ---- */

static int call_life(data_t *t)
{
	struct epoll_event ev[2];
	int ep = call_create(t), ret;

	if (ep < 0)
		return -1;
	ret = xadd(t->be, ep, t->fifo, EPOLLIN | EPOLLOUT, 1) ||
	      xadd(t->be, ep, t->fd, EPOLLIN | EPOLLET | EPOLLWAKEUP, 2) ||
	      xmod(t->be, ep, t->fd, EPOLLIN | EPOLLONESHOT, 3) ||
	      t->be->wait(ep, ev, 2, 0) < 0 || xdel(t->be, ep, t->fd);
	if (ret)
		ret = errno;
	close(ep);
	errno = ret;
	return ret ? -1 : 0;
}

TEST_F_TIMEOUT(nth, life, 60)
{
	const struct act act = { .call = call_life,
				 .errs = { ENOMEM, ENFILE, EFAULT } };

	fail_each(_metadata, self, &act);
}

TEST_HARNESS_MAIN
