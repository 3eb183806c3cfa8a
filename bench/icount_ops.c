// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations whose cost is counted.
 */
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "icount.h"
#include "util.h"

#define CROWD	10	/* watches in the instance while one comes or goes */

/* A number that neither epoll knows, nor any layer above them. */
#define UNKNOWN_IOCTL	_IO(0xE7, 0x7f)

static int new_eventfd(unsigned int count)
{
	int fd = eventfd(count, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		die_errno("eventfd");
	return fd;
}

static long control(struct ground *g, int op, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return g->be->ctl(g->ep, op, fd, &event);
}

static long signal_fd(int fd)
{
	uint64_t one = 1;

	return write(fd, &one, sizeof(one));
}

void ground_init(struct ground *g, const struct backend *be)
{
	*g = (struct ground) { .be = be, .fresh = -1 };
	g->ep = be->create(EPOLL_CLOEXEC);
	if (g->ep < 0)
		die_errno("%s: creating an instance", be->name);
	g->loose = new_eventfd(0);
}

void ground_exit(struct ground *g)
{
	for (int i = 0; i < g->count; i++)
		close(g->watched[i]);
	close(g->loose);
	close(g->ep);
}

static void watch_new(struct ground *g, unsigned int count, uint32_t events)
{
	int fd = new_eventfd(count);

	g->watched[g->count++] = fd;
	if (control(g, EPOLL_CTL_ADD, fd, events))
		die_errno("%s: EPOLL_CTL_ADD", g->be->name);
}

static void prepare_idle(struct ground *g)
{
	watch_new(g, 0, EPOLLIN);
}

static void prepare_ready(struct ground *g)
{
	watch_new(g, 1, EPOLLIN);
}

static void prepare_ready16(struct ground *g)
{
	for (int i = 0; i < 16; i++)
		watch_new(g, 1, EPOLLIN);
}

static void prepare_edge(struct ground *g)
{
	watch_new(g, 1, EPOLLIN | EPOLLET);
}

static void prepare_edge16(struct ground *g)
{
	for (int i = 0; i < 16; i++)
		watch_new(g, 1, EPOLLIN | EPOLLET);
}

static void prepare_crowd(struct ground *g)
{
	for (int i = 0; i < CROWD; i++)
		watch_new(g, 0, EPOLLIN);
}

static void before_signal(struct ground *g)
{
	for (int i = 0; i < g->count; i++)
		if (signal_fd(g->watched[i]) != sizeof(uint64_t))
			die_errno("writing an eventfd");
}

static void before_harvest(struct ground *g)
{
	if (g->be->wait(g->ep, g->events, WATCHES_MAX, 0) < 0)
		die_errno("%s: wait", g->be->name);
}

static void before_fresh(struct ground *g)
{
	g->fresh = new_eventfd(0);
}

static void before_fresh_watched(struct ground *g)
{
	before_fresh(g);
	if (control(g, EPOLL_CTL_ADD, g->fresh, EPOLLIN))
		die_errno("%s: EPOLL_CTL_ADD", g->be->name);
}

static void after_close_fresh(struct ground *g)
{
	close(g->fresh);
}

static void after_unwatch(struct ground *g)
{
	if (control(g, EPOLL_CTL_DEL, g->fresh, 0))
		die_errno("%s: EPOLL_CTL_DEL", g->be->name);
	close(g->fresh);
}

long op_nothing(struct ground *g)
{
	return 0;
}

static long op_getppid(struct ground *g)
{
	return syscall(SYS_getppid) < 0;
}

static long op_ioctl(struct ground *g)
{
	return ioctl(g->ep, UNKNOWN_IOCTL, 0);
}

static long op_wait(struct ground *g)
{
	return g->be->wait(g->ep, g->events, WATCHES_MAX, 0);
}

static long op_signal(struct ground *g)
{
	return signal_fd(g->watched[0]);
}

static long op_signal_loose(struct ground *g)
{
	return signal_fd(g->loose);
}

static long op_add(struct ground *g)
{
	return control(g, EPOLL_CTL_ADD, g->fresh, EPOLLIN);
}

static long op_mod(struct ground *g)
{
	return control(g, EPOLL_CTL_MOD, g->watched[0], EPOLLIN);
}

static long op_del(struct ground *g)
{
	return control(g, EPOLL_CTL_DEL, g->fresh, 0);
}

static long op_close(struct ground *g)
{
	return close(g->fresh);
}

static long op_add_del(struct ground *g)
{
	if (control(g, EPOLL_CTL_ADD, g->loose, EPOLLIN))
		return -1;
	return control(g, EPOLL_CTL_DEL, g->loose, 0);
}

static long op_create(struct ground *g)
{
	g->fresh = g->be->create(EPOLL_CLOEXEC);
	return g->fresh < 0;
}

static void before_create(struct ground *g)
{
	if (op_create(g))
		die_errno("%s: creating an instance", g->be->name);
}

#define EVENTFD_WRITE	((long)sizeof(uint64_t))

const struct operation operations[] = {
	{ .name = "getppid", .op = op_getppid },
	{ .name = "ioctl, unknown number", .op = op_ioctl, .expect = -1 },
	{ .name = "wait, timeout 0, nothing ready",
	  .prepare = prepare_idle, .op = op_wait },
	{ .name = "wait, 1 ready, level",
	  .prepare = prepare_ready, .op = op_wait, .expect = 1 },
	{ .name = "wait, 16 ready, level",
	  .prepare = prepare_ready16, .op = op_wait, .expect = 16 },
	{ .name = "wait, 1 ready, edge",
	  .prepare = prepare_edge, .before = before_signal, .op = op_wait,
	  .expect = 1 },
	{ .name = "wait, 16 ready, edge",
	  .prepare = prepare_edge16, .before = before_signal, .op = op_wait,
	  .expect = 16 },
	{ .name = "eventfd write, not watched",
	  .op = op_signal_loose, .expect = EVENTFD_WRITE },
	{ .name = "eventfd write, watch idle",
	  .prepare = prepare_edge, .before = before_harvest, .op = op_signal,
	  .expect = EVENTFD_WRITE },
	{ .name = "eventfd write, watch queued",
	  .prepare = prepare_edge, .before = before_signal, .op = op_signal,
	  .expect = EVENTFD_WRITE },
	{ .name = "ADD, 10 others",
	  .prepare = prepare_crowd, .before = before_fresh, .op = op_add,
	  .after = after_unwatch },
	{ .name = "MOD, 10 watched", .prepare = prepare_crowd, .op = op_mod },
	{ .name = "DEL, 10 others",
	  .prepare = prepare_crowd, .before = before_fresh_watched,
	  .op = op_del, .after = after_close_fresh },
	{ .name = "ADD and DEL, deferred work included",
	  .prepare = prepare_crowd, .op = op_add_del, .whole = true },
	{ .name = "last close, not watched",
	  .before = before_fresh, .op = op_close },
	{ .name = "last close, watched",
	  .prepare = prepare_crowd, .before = before_fresh_watched,
	  .op = op_close },
	{ .name = "create an instance",
	  .op = op_create, .after = after_close_fresh },
	{ .name = "close an instance, empty",
	  .before = before_create, .op = op_close },
};

const int operation_count = ARRAY_SIZE(operations);

const struct difference differences[] = {
	{ "callback, watch idle", "eventfd write, watch idle",
	  "eventfd write, not watched" },
	{ "callback, watch queued", "eventfd write, watch queued",
	  "eventfd write, not watched" },
};

const int difference_count = ARRAY_SIZE(differences);
