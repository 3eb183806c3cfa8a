// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order in which ready watches are reported, and what a wait leaves behind.
 *
 * For tests of what happens while a wait is in the middle of its work, the
 * array it writes to runs into a page that is missing: userfaultfd stops the
 * wait there, after it has polled and stored, until the test fills the page.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <linux/userfaultfd.h>
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "observe.h"

#define NR_ITEMS 8

/*
 * struct paused_wait - a wait that stops in the middle
 * @before: how many events it can store before it stops
 * @fault: userfaultfd that tells of the stop
 * @map: two pages, the second one missing
 * @events: the array, @before of it in the first page
 */
struct paused_wait {
	const struct backend *be;
	int ep;
	int maxevents;
	int before;
	int fault;
	char *map;
	long page;
	struct epoll_event *events;
	pthread_t thread;
	int ret;
	int err;
};

FIXTURE(ready)
{
	int ep;
	int in[NR_ITEMS];
	int out[NR_ITEMS];
	struct epoll_event ev[NR_ITEMS];
	struct paused_wait paused;
};

BACKEND_VARIANTS(ready);

FIXTURE_SETUP(ready)
{
	int fds[2];

	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	for (int i = 0; i < NR_ITEMS; i++) {
		ASSERT_EQ(0, pipe2(fds, O_NONBLOCK | O_CLOEXEC));
		self->in[i] = fds[0];
		self->out[i] = fds[1];
	}
	self->paused.fault = -1;
}

FIXTURE_TEARDOWN(ready)
{
	for (int i = 0; i < NR_ITEMS; i++) {
		close(self->in[i]);
		close(self->out[i]);
	}
	close(self->ep);
}

#define watch_items(from, to, mask) do {				\
	for (int item_ = (from); item_ <= (to); item_++)		\
		ASSERT_EQ(0, xadd(variant->be, self->ep,		\
				  self->in[item_], mask, item_));	\
} while (0)

#define touch(item) ASSERT_EQ(1, write(self->out[item], "x", 1))

static void drain(int fd)
{
	char buf[64];

	while (read(fd, buf, sizeof(buf)) > 0)
		;
}

/* The items a wait reported, as digits; "!" if the wait failed. */
static const char *items_of(const struct epoll_event *ev, int n)
{
	static char text[NR_ITEMS + 1];

	if (n < 0)
		return "!";
	for (int i = 0; i < n; i++)
		text[i] = ev[i].data.u64 < NR_ITEMS ? '0' + ev[i].data.u64 : '?';
	text[n] = '\0';
	return text;
}

#define EXPECT_ITEMS(expected, max) \
	EXPECT_STREQ(expected, items_of(self->ev, wait0(variant->be,	\
						self->ep, self->ev, max)))

TEST_F(ready, first_woken_is_first_reported)
{
	watch_items(0, 3, EPOLLIN);
	touch(3);
	touch(0);
	touch(2);
	EXPECT_ITEMS("302", NR_ITEMS);
}

TEST_F(ready, second_wakeup_neither_repeats_nor_moves_an_item)
{
	watch_items(0, 3, EPOLLIN | EPOLLET);
	touch(1);
	touch(3);
	touch(1);
	EXPECT_ITEMS("13", NR_ITEMS);
	EXPECT_ITEMS("", NR_ITEMS);
}

TEST_F(ready, items_ready_when_added_come_in_order_of_adding)
{
	touch(2);
	touch(0);
	touch(1);
	watch_items(0, 2, EPOLLIN);
	EXPECT_ITEMS("012", NR_ITEMS);
}

TEST_F(ready, level_items_take_turns)
{
	watch_items(0, 7, EPOLLIN);
	for (int i = 0; i < NR_ITEMS; i++)
		touch(i);
	EXPECT_ITEMS("012", 3);
	EXPECT_ITEMS("345", 3);
	EXPECT_ITEMS("670", 3);
	EXPECT_ITEMS("123", 3);
	EXPECT_ITEMS("456", 3);
}

TEST_F(ready, one_at_a_time_serves_every_item_equally)
{
	int served[NR_ITEMS] = { 0 };

	watch_items(0, 7, EPOLLIN);
	for (int i = 0; i < NR_ITEMS; i++)
		touch(i);
	for (int i = 0; i < 32 * NR_ITEMS; i++) {
		ASSERT_EQ(1, wait0(variant->be, self->ep, self->ev, 1));
		ASSERT_EQ((uint64_t)i % NR_ITEMS, self->ev[0].data.u64);
		served[self->ev[0].data.u64]++;
	}
	for (int i = 0; i < NR_ITEMS; i++)
		EXPECT_EQ(32, served[i]);
}

TEST_F(ready, new_item_comes_after_leftovers_and_delivered)
{
	watch_items(0, 5, EPOLLIN);
	for (int i = 0; i < 4; i++)
		touch(i);
	EXPECT_ITEMS("01", 2);
	touch(5);
	EXPECT_ITEMS("23015", NR_ITEMS);
}

TEST_F(ready, edge_items_are_not_queued_again)
{
	watch_items(0, 1, EPOLLIN | EPOLLET);
	watch_items(2, 3, EPOLLIN);
	watch_items(4, 5, EPOLLIN | EPOLLONESHOT);
	for (int i = 0; i < 6; i++)
		touch(i);
	EXPECT_ITEMS("0123", 4);
	EXPECT_ITEMS("4523", NR_ITEMS);
	EXPECT_ITEMS("23", NR_ITEMS);
}

TEST_F(ready, undelivered_edges_keep_their_place)
{
	watch_items(0, 5, EPOLLIN | EPOLLET);
	for (int i = 0; i < 6; i++)
		touch(5 - i);
	EXPECT_ITEMS("54", 2);
	touch(1);
	EXPECT_ITEMS("3210", NR_ITEMS);
	EXPECT_ITEMS("", NR_ITEMS);
}

TEST_F(ready, item_found_not_ready_loses_its_place)
{
	watch_items(0, 2, EPOLLIN);
	for (int i = 0; i < 3; i++)
		touch(i);
	drain(self->in[0]);
	EXPECT_ITEMS("12", NR_ITEMS);
	touch(0);
	EXPECT_ITEMS("120", NR_ITEMS);
}

TEST_F(ready, item_not_ready_does_not_use_up_room)
{
	watch_items(0, 2, EPOLLIN);
	for (int i = 0; i < 3; i++)
		touch(i);
	drain(self->in[0]);
	EXPECT_ITEMS("12", 2);
}

TEST_F(ready, removed_item_leaves_the_order_of_the_others)
{
	watch_items(0, 4, EPOLLIN);
	for (int i = 0; i < 5; i++)
		touch(i);
	ASSERT_EQ(0, xdel(variant->be, self->ep, self->in[0]));
	ASSERT_EQ(0, xdel(variant->be, self->ep, self->in[2]));
	ASSERT_EQ(0, xdel(variant->be, self->ep, self->in[4]));
	EXPECT_ITEMS("13", NR_ITEMS);
}

TEST_F(ready, mod_of_a_queued_item_keeps_its_place)
{
	watch_items(0, 2, EPOLLIN);
	for (int i = 0; i < 3; i++)
		touch(i);
	ASSERT_EQ(0, xmod(variant->be, self->ep, self->in[0], EPOLLIN, 0));
	EXPECT_ITEMS("012", NR_ITEMS);
}

TEST_F(ready, mod_of_an_idle_item_puts_it_last)
{
	watch_items(0, 2, EPOLLIN | EPOLLET);
	touch(0);
	EXPECT_ITEMS("0", NR_ITEMS);
	touch(1);
	ASSERT_EQ(0, xmod(variant->be, self->ep, self->in[0], EPOLLIN, 0));
	EXPECT_ITEMS("10", NR_ITEMS);
}

static void *paused_wait_main(void *arg)
{
	struct paused_wait *p = arg;

	p->ret = p->be->wait(p->ep, p->events, p->maxevents, 0);
	p->err = errno;
	return NULL;
}

static int paused_wait_map(struct paused_wait *p)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	p->page = sysconf(_SC_PAGESIZE);
	p->fault = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (p->fault < 0 || ioctl(p->fault, UFFDIO_API, &api))
		return -1;
	p->map = mmap(NULL, 2 * p->page, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->map == MAP_FAILED)
		return -1;
	poison(p->map, p->page);
	reg.range.start = (uintptr_t)p->map + p->page;
	reg.range.len = p->page;
	return ioctl(p->fault, UFFDIO_REGISTER, &reg);
}

/* Returns 0 when the wait stands still, having stored @p->before events. */
static int paused_wait_start(struct paused_wait *p)
{
	struct pollfd pfd = { .events = POLLIN };
	struct uffd_msg msg;

	if (paused_wait_map(p))
		return -1;
	p->events = (void *)(p->map + p->page - p->before * sizeof(p->events[0]));
	if (pthread_create(&p->thread, NULL, paused_wait_main, p))
		return -1;
	pfd.fd = p->fault;
	if (poll(&pfd, 1, PATIENCE_MS) != 1)
		return -1;
	if (read(p->fault, &msg, sizeof(msg)) != sizeof(msg))
		return -1;
	return msg.event == UFFD_EVENT_PAGEFAULT ? 0 : -1;
}

/* Lets the wait go on.  Returns what it returned. */
static int paused_wait_finish(struct paused_wait *p)
{
	struct uffdio_zeropage zero = {
		.range = {
			.start = (uintptr_t)p->map + p->page,
			.len = p->page,
		},
	};

	if (ioctl(p->fault, UFFDIO_ZEROPAGE, &zero))
		return -1;
	pthread_join(p->thread, NULL);
	close(p->fault);
	return p->ret;
}

/* Pauses a wait for two events after the first of them. */
#define pause_wait() do {						\
	self->paused.be = variant->be;					\
	self->paused.ep = self->ep;					\
	self->paused.maxevents = 2;					\
	self->paused.before = 1;					\
	ASSERT_EQ(0, paused_wait_start(&self->paused));			\
} while (0)

#define EXPECT_PAUSED_ITEMS(expected) do {				\
	int n_ = paused_wait_finish(&self->paused);			\
									\
	EXPECT_STREQ(expected, items_of(self->paused.events, n_));	\
} while (0)

TEST_F(ready, arrivals_during_a_wait_come_before_what_it_delivered)
{
	watch_items(0, 5, EPOLLIN);
	for (int i = 0; i < 4; i++)
		touch(i);
	pause_wait();
	touch(5);
	touch(4);
	EXPECT_PAUSED_ITEMS("01");
	EXPECT_ITEMS("235401", NR_ITEMS);
}

TEST_F(ready, edge_during_its_own_delivery_is_reported_again)
{
	watch_items(0, 0, EPOLLIN | EPOLLET);
	watch_items(1, 1, EPOLLIN);
	touch(0);
	touch(1);
	pause_wait();
	touch(0);
	EXPECT_PAUSED_ITEMS("01");
	EXPECT_ITEMS("01", NR_ITEMS);
	EXPECT_ITEMS("1", NR_ITEMS);
}

TEST_F(ready, edge_being_copied_is_reported_again)
{
	watch_items(0, 1, EPOLLIN | EPOLLET);
	touch(0);
	touch(1);
	pause_wait();
	touch(1);
	EXPECT_PAUSED_ITEMS("01");
	EXPECT_ITEMS("1", NR_ITEMS);
	EXPECT_ITEMS("", NR_ITEMS);
}

TEST_F(ready, oneshot_delivered_ignores_what_comes_during_the_wait)
{
	watch_items(0, 1, EPOLLIN | EPOLLONESHOT);
	touch(0);
	touch(1);
	pause_wait();
	touch(0);
	EXPECT_PAUSED_ITEMS("01");
	EXPECT_ITEMS("", NR_ITEMS);
}

TEST_F(ready, level_item_hit_during_its_delivery_is_queued_once)
{
	watch_items(0, 1, EPOLLIN);
	touch(0);
	touch(1);
	pause_wait();
	touch(0);
	touch(1);
	EXPECT_PAUSED_ITEMS("01");
	EXPECT_ITEMS("01", NR_ITEMS);
}

TEST_F(ready, leftover_hit_during_a_wait_is_queued_once)
{
	watch_items(0, 3, EPOLLIN | EPOLLET);
	for (int i = 0; i < 4; i++)
		touch(i);
	pause_wait();
	touch(3);
	EXPECT_PAUSED_ITEMS("01");
	EXPECT_ITEMS("23", NR_ITEMS);
	EXPECT_ITEMS("", NR_ITEMS);
}

/*
 * Calls that come while a wait stands still may have to wait for it, or may go
 * on: what counts is what is there at the end.
 */
TEST_F(ready, nonblocking_wait_sees_what_another_wait_holds)
{
	struct waiter w = {
		.be = variant->be,
		.ep = self->ep,
		.maxevents = WAITER_EVENTS,
	};

	watch_items(0, 1, EPOLLIN);
	touch(0);
	touch(1);
	pause_wait();
	w.array = w.events;
	ASSERT_EQ(0, pthread_create(&w.thread, NULL, waiter_main, &w));
	while (!atomic_load(&w.tid))
		breathe();
	while (!atomic_load(&w.done) && task_state(w.tid) == 'R')
		breathe();
	EXPECT_PAUSED_ITEMS("01");
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_STREQ("01", items_of(w.events, w.ret));
}

struct removal {
	const struct backend *be;
	int ep;
	int fd;
	bool by_close;
	int ret;
};

static void *remove_main(void *arg)
{
	struct removal *r = arg;

	r->ret = r->by_close ? close(r->fd) : xdel(r->be, r->ep, r->fd);
	return NULL;
}

static void remove_during_wait(struct __test_metadata *_metadata,
			       struct paused_wait *p, struct removal *r)
{
	pthread_t thread;
	int ret;

	ASSERT_EQ(0, pthread_create(&thread, NULL, remove_main, r));
	ret = paused_wait_finish(p);
	EXPECT_EQ(2, ret);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, r->ret);
}

TEST_F(ready, item_deleted_during_its_delivery_is_not_queued_again)
{
	struct removal r = { .be = variant->be, .ep = self->ep };

	watch_items(0, 3, EPOLLIN);
	for (int i = 0; i < 4; i++)
		touch(i);
	pause_wait();
	r.fd = self->in[0];
	remove_during_wait(_metadata, &self->paused, &r);
	EXPECT_ITEMS("231", NR_ITEMS);
}

TEST_F(ready, file_closed_during_its_delivery_is_not_queued_again)
{
	struct removal r = { .be = variant->be, .ep = self->ep };

	watch_items(0, 3, EPOLLIN);
	for (int i = 0; i < 4; i++)
		touch(i);
	pause_wait();
	r.fd = self->in[1];
	r.by_close = true;
	remove_during_wait(_metadata, &self->paused, &r);
	EXPECT_EQ(3, count_watches(self->ep));
	EXPECT_ITEMS("230", NR_ITEMS);
}

TEST_F(ready, leftover_deleted_during_a_wait_is_gone)
{
	struct removal r = { .be = variant->be, .ep = self->ep };

	watch_items(0, 3, EPOLLIN);
	for (int i = 0; i < 4; i++)
		touch(i);
	pause_wait();
	r.fd = self->in[2];
	remove_during_wait(_metadata, &self->paused, &r);
	EXPECT_ITEMS("301", NR_ITEMS);
}

#define NR_EDGES 4
#define NR_LEVELS 92
#define NR_STORED 64

/*
 * A wait that cannot store all it has claimed: what it could not comes first
 * next time, in the old order, before what it could; edges among what it could
 * do not come again.  The module claims 24 at a time and gives back 64 at a time:
 * of those levels that were not stored, four belong to the first 64.
 */
TEST_F(ready, many_leftovers_of_a_fault_keep_their_order)
{
	long page = sysconf(_SC_PAGESIZE);
	struct epoll_event ev[NR_LEVELS + 1], *room;
	int i, fd;
	char *map;

	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, munmap(map + page, page));
	room = (struct epoll_event *)(map + page) - NR_STORED;
	for (i = 0; i < NR_EDGES + NR_LEVELS; i++) {
		fd = eventfd(1, EFD_CLOEXEC);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, xadd(variant->be, self->ep, fd,
				  i < NR_EDGES ? EPOLLIN | EPOLLET : EPOLLIN, i));
	}
	ASSERT_EQ(NR_STORED, variant->be->wait(self->ep, room, NR_EDGES + NR_LEVELS, 0));
	for (i = 0; i < NR_STORED; i++)
		EXPECT_EQ((uint64_t)i, room[i].data.u64);
	ASSERT_EQ(NR_LEVELS, wait0(variant->be, self->ep, ev, NR_LEVELS + 1));
	for (i = 0; i < NR_LEVELS; i++)
		EXPECT_EQ((NR_STORED - NR_EDGES + i) % NR_LEVELS,
			  (int)ev[i].data.u64 - NR_EDGES);
	ASSERT_EQ(0, munmap(map, page));
}

/* Each kind of watch is given back as what it is, also side by side. */
TEST_F(ready, edge_beside_levels_that_are_over)
{
	const struct backend *be = variant->be;
	char c;

	ASSERT_EQ(0, xadd(be, self->ep, self->in[0], EPOLLIN | EPOLLET, 0));
	ASSERT_EQ(0, xadd(be, self->ep, self->in[1], EPOLLIN, 1));
	ASSERT_EQ(0, xadd(be, self->ep, self->in[2], EPOLLIN, 2));
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(1, write(self->out[i], "x", 1));
	for (int i = 1; i < 3; i++)
		ASSERT_EQ(1, read(self->in[i], &c, 1));
	ASSERT_EQ(1, wait0(be, self->ep, self->ev, NR_ITEMS));
	EXPECT_EQ(0U, self->ev[0].data.u64);
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, NR_ITEMS));
	EXPECT_EQ(0, wait0(be, self->ep, self->ev, NR_ITEMS));
}

TEST_HARNESS_MAIN
