// SPDX-License-Identifier: GPL-2.0-only
/*
 * User memory that ends, or begins, at every byte of every structure that the
 * kernel reads or writes.  A call that meets such an end fails with EFAULT and
 * has changed nothing.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "observe.h"
#include "badptr.h"

#define EVENTS 4

FIXTURE(copy)
{
	const struct backend *be;
	int ep;
	int fd;
	char *low;	/* the byte after a hole */
	char *end;	/* the first byte of a hole */
};

BACKEND_VARIANTS(copy);

FIXTURE_SETUP(copy)
{
	char *map;

	REQUIRE_BACKEND(variant->be);
	self->be = variant->be;
	map = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)map);
	ASSERT_EQ(0, munmap(map, PAGE));
	ASSERT_EQ(0, munmap(map + 2 * PAGE, PAGE));
	self->low = map + PAGE;
	self->end = map + 2 * PAGE;
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	self->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT_LE(0, self->ep);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(copy)
{
	close(self->ep);
	close(self->fd);
}

typedef FIXTURE_DATA(copy) data_t;

/*
 * Put @from, @size bytes, where only the first @valid of them are memory; or,
 * with a negative number, only the last ones.
 */
static void *place(data_t *t, const void *from, int size, int valid)
{
	char *to = valid >= 0 ? t->end - valid : t->low - (size + valid);

	if (valid >= 0)
		memcpy(to, from, valid);
	else
		memcpy(t->low, (const char *)from + size + valid, -valid);
	return to;
}

typedef int (*copy_call)(data_t *t, void *arg);

/* Every cut of the structure is refused. */
static void cut_everywhere(struct __test_metadata *_metadata, data_t *t,
			   const void *from, int size, copy_call call)
{
	int valid;

	for (valid = -(size - 1); valid < size; valid++) {
		errno = 0;
		ASSERT_EQ(-1, call(t, place(t, from, size, valid)))
			TH_LOG("%d of %d bytes valid", valid, size);
		ASSERT_EQ(EFAULT, errno)
			TH_LOG("%d of %d bytes valid", valid, size);
	}
	/* And the whole of it, as close to the holes as can be, is not. */
	ASSERT_LE(0, call(t, place(t, from, size, size)));
}

static int add_event(data_t *t, void *event)
{
	return t->be->ctl(t->ep, EPOLL_CTL_ADD, t->fd, event);
}

static int mod_event(data_t *t, void *event)
{
	return t->be->ctl(t->ep, EPOLL_CTL_MOD, t->fd, event);
}

TEST_F(copy, event)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 5 };
	struct watch_line line;

	cut_everywhere(_metadata, self, &event, sizeof(event), add_event);
	event.events = EPOLLOUT;
	event.data.u64 = 6;
	cut_everywhere(_metadata, self, &event, sizeof(event), mod_event);
	ASSERT_EQ(1, read_watches(self->ep, &line, 1));
	EXPECT_EQ(6U, line.data);
	EXPECT_EQ(EPOLLOUT | EPOLLERR | EPOLLHUP | 0U, line.events);
}

static int wait_sigmask(data_t *t, void *mask)
{
	struct epoll_event ev;

	return t->be->pwait(t->ep, &ev, 1, 0, mask, KERNEL_SIGSETSIZE);
}

TEST_F(copy, sigmask)
{
	sigset_t none, now;

	sigemptyset(&none);
	sigaddset(&none, SIGUSR1);
	cut_everywhere(_metadata, self, &none, KERNEL_SIGSETSIZE, wait_sigmask);
	ASSERT_EQ(0, sigprocmask(SIG_SETMASK, NULL, &now));
	EXPECT_FALSE(sigismember(&now, SIGUSR1));
}

static int wait_timespec(data_t *t, void *timeout)
{
	struct epoll_event ev;

	return t->be->pwait2(t->ep, &ev, 1, timeout, NULL, 0);
}

TEST_F(copy, timespec)
{
	struct timespec ts = { 0 };

	cut_everywhere(_metadata, self, &ts, sizeof(ts), wait_timespec);
}

/*
 * As many events as fit are delivered, the others stay; EFAULT if none fits.
 * One-shot watches: what was not delivered is still armed.
 */
static void array_of(struct __test_metadata *_metadata, data_t *t, int valid)
{
	struct epoll_event ev[2 * EVENTS];
	int fit = valid / (int)sizeof(ev[0]), fd[EVENTS], i, got;

	for (i = 0; i < EVENTS; i++) {
		fd[i] = eventfd(1, EFD_CLOEXEC);
		ASSERT_EQ(0, xadd(t->be, t->ep, fd[i], EPOLLIN | EPOLLONESHOT, i));
	}
	errno = 0;
	got = t->be->wait(t->ep, (void *)(t->end - valid), EVENTS, 0);
	ASSERT_EQ(fit ? fit : -1, got)
		TH_LOG("%d bytes valid", valid);
	if (!fit)
		ASSERT_EQ(EFAULT, errno);
	memcpy(ev, t->end - valid, fit * sizeof(ev[0]));
	ASSERT_EQ(EVENTS - fit, wait0(t->be, t->ep, ev + fit, EVENTS));
	for (i = 0; i < EVENTS; i++) {
		ASSERT_EQ(EPOLLIN | 0U, ev[i].events);
		ASSERT_EQ((uint64_t)i, ev[i].data.u64);
		close(fd[i]);
	}
}

TEST_F(copy, array)
{
	int valid;

	for (valid = 0; valid < EVENTS * (int)sizeof(struct epoll_event); valid++)
		array_of(_metadata, self, valid);
}

/* An array that begins in a hole: not even the first event fits. */
TEST_F(copy, array_begins_late)
{
	const struct backend *be = variant->be;
	struct epoll_event ev[EVENTS];
	int hole;

	ASSERT_EQ(0, xadd(variant->be, self->ep, self->fd, EPOLLIN | EPOLLET, 7));
	for (hole = 1; hole < (int)sizeof(ev[0]); hole++)
		EXPECT_ERR(EFAULT, be->wait(self->ep, (void *)(self->low - hole),
					    EVENTS, 0));
	ASSERT_EQ(1, wait0(variant->be, self->ep, ev, EVENTS));
	EXPECT_EQ(7U, ev[0].data.u64);
}

/* ---- the module's own structures ---- */

#define OURS_ONLY() do {						\
	if (!variant->be->ours)						\
		SKIP(return, "native epoll has no such structure");	\
} while (0)

static int own_ctl(data_t *t, void *arg)
{
	return ioctl(t->ep, MYEPOLL_IOC_CTL, arg);
}

TEST_F(copy, struct_ctl)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct myepoll_ctl ctl = {
		.op = EPOLL_CTL_ADD,
		.fd = self->fd,
		.event = (uintptr_t)&event,
	};

	OURS_ONLY();
	cut_everywhere(_metadata, self, &ctl, sizeof(ctl), own_ctl);
	EXPECT_EQ(1, count_watches(self->ep));
}

static int own_wait(data_t *t, void *arg)
{
	return ioctl(t->ep, MYEPOLL_IOC_WAIT, arg);
}

TEST_F(copy, struct_wait)
{
	struct epoll_event event;
	struct myepoll_wait wait = {
		.events = (uintptr_t)&event,
		.maxevents = 1,
		.flags = MYEPOLL_WAIT_TIMEOUT,
	};

	OURS_ONLY();
	cut_everywhere(_metadata, self, &wait, sizeof(wait), own_wait);
}

static int own_create(data_t *t, void *arg)
{
	int fd = ioctl(t->ep, MYEPOLL_IOC_CREATE, arg);

	if (fd >= 0)
		close(fd);
	return fd;
}

TEST_F(copy, struct_create)
{
	struct myepoll_create create = { 0 };

	OURS_ONLY();
	cut_everywhere(_metadata, self, &create, sizeof(create), own_create);
}

static int own_sparams(data_t *t, void *arg)
{
	return ioctl(t->ep, MYEPOLL_IOC_SPARAMS, arg);
}

static int own_gparams(data_t *t, void *arg)
{
	return ioctl(t->ep, MYEPOLL_IOC_GPARAMS, arg);
}

TEST_F(copy, struct_params)
{
	struct myepoll_params params = { .busy_poll_usecs = 3 }, now;

	OURS_ONLY();
	if (ioctl(self->ep, MYEPOLL_IOC_GPARAMS, &now) && errno == EOPNOTSUPP)
		SKIP(return, "the kernel cannot busy poll");
	cut_everywhere(_metadata, self, &params, sizeof(params), own_sparams);
	cut_everywhere(_metadata, self, &params, sizeof(params), own_gparams);
}

static int own_probe(data_t *t, void *arg)
{
	return ioctl(t->ep, MYEPOLL_IOC_PROBE, arg);
}

TEST_F(copy, struct_probe)
{
	struct myepoll_probe probe = { 0 };

	OURS_ONLY();
	cut_everywhere(_metadata, self, &probe, sizeof(probe), own_probe);
}

TEST_HARNESS_MAIN
