// SPDX-License-Identifier: GPL-2.0-only
/*
 * epoll_wait, _pwait and _pwait2: what is wrong with the arguments, in which
 * order it is found, and arrays that the events do not fit in.
 *
 * The module is called through ioctl(), so a descriptor that is no instance is
 * found by the VFS, before all else.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "badptr.h"

/* epoll's limit: the array must not be larger than INT_MAX bytes */
#define MAXEVENTS_MAX ((int)(INT_MAX / sizeof(struct epoll_event)))
#define FILES 8

/* ep: an instance; fd: eventfds, not watched, readable */
FIXTURE(wait)
{
	int ep;
	int fd[FILES];
};

BACKEND_VARIANTS(wait);

FIXTURE_SETUP(wait)
{
	int i;

	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	for (i = 0; i < FILES; i++) {
		self->fd[i] = eventfd(1, EFD_CLOEXEC);
		ASSERT_LE(0, self->fd[i]);
	}
}

FIXTURE_TEARDOWN(wait)
{
	close(self->ep);
}

/* Watch all files, with their index as data. */
static int add_all(const struct backend *be, int ep, const int *fd,
		   uint32_t events)
{
	int i;

	for (i = 0; i < FILES; i++)
		if (xadd(be, ep, fd[i], events, i))
			return -1;
	return 0;
}

/* Is the order of the @n events that of the digits in @digits? */
static bool order_is(const struct epoll_event *ev, int n, const char *digits)
{
	int i;

	for (i = 0; i < n; i++)
		if (ev[i].data.u64 != (uint64_t)(digits[i] - '0'))
			return false;
	return strlen(digits) == (size_t)n;
}

/* ---- maxevents ---- */

TEST_F(wait, maxevents_below_one_is_einval)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	EXPECT_ERR(EINVAL, be->wait(self->ep, &ev, 0, 0));
	EXPECT_ERR(EINVAL, be->wait(self->ep, &ev, -1, 0));
	EXPECT_ERR(EINVAL, be->wait(self->ep, &ev, INT_MIN, 0));
	EXPECT_ERR(EINVAL, be->wait(self->ep, &ev, 0, -1));
}

TEST_F(wait, maxevents_above_the_limit_is_einval)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	EXPECT_ERR(EINVAL, be->wait(self->ep, &ev, MAXEVENTS_MAX + 1, 0));
	EXPECT_ERR(EINVAL, be->wait(self->ep, &ev, INT_MAX, 0));
}

TEST_F(wait, maxevents_at_the_limit_is_fine)
{
	const struct backend *be = variant->be;
	/* not on the stack, behind which there may not be room for so many */
	static struct epoll_event ev[2];

	EXPECT_EQ(0, be->wait(self->ep, (void *)PAGE, MAXEVENTS_MAX, 0));
	ASSERT_EQ(0, xadd(be, self->ep, self->fd[0], EPOLLIN, 5));
	poison(ev, sizeof(ev));
	ASSERT_EQ(1, be->wait(self->ep, ev, MAXEVENTS_MAX, 0));
	EXPECT_EQ(5U, ev[0].data.u64);
	EXPECT_EQ(POISON32, ev[1].events);
}

TEST_F(wait, einval_of_maxevents_comes_before_efault)
{
	const struct backend *be = variant->be;

	EXPECT_ERR(EINVAL, be->wait(self->ep, KERNEL_RANGE, 0, 0));
	EXPECT_ERR(EINVAL, be->wait(self->ep, KERNEL_RANGE,
				    MAXEVENTS_MAX + 1, 0));
}

TEST_F(wait, stores_no_more_than_maxevents)
{
	const struct backend *be = variant->be;
	struct epoll_event ev[FILES];

	ASSERT_EQ(0, add_all(be, self->ep, self->fd, EPOLLIN));
	poison(ev, sizeof(ev));
	ASSERT_EQ(3, be->wait(self->ep, ev, 3, 0));
	EXPECT_TRUE(order_is(ev, 3, "012"));
	EXPECT_EQ(POISON32, ev[3].events);
	EXPECT_EQ(POISON64, ev[3].data.u64);
	EXPECT_EQ(FILES, be->wait(self->ep, ev, FILES, -1));
}

/* ---- the array's address ---- */

TEST_F(wait, array_in_the_kernels_range_is_efault_at_once)
{
	const struct backend *be = variant->be;

	EXPECT_ERR(EFAULT, be->wait(self->ep, KERNEL_RANGE, 1, 0));
	EXPECT_ERR(EFAULT, be->wait(self->ep, KERNEL_RANGE, 1, -1));
	ASSERT_EQ(0, xadd(be, self->ep, self->fd[0], EPOLLIN, 0));
	EXPECT_ERR(EFAULT, be->wait(self->ep, KERNEL_RANGE, 1, -1));
}

/* The first address at which room for @n events is refused. */
static uintptr_t first_refused(const struct backend *be, int ep, int n)
{
	uintptr_t good = PAGE, bad = -PAGE, mid;

	while (bad - good > 1) {
		mid = good + (bad - good) / 2;
		if (be->wait(ep, (void *)mid, n, 0) < 0)
			bad = mid;
		else
			good = mid;
	}
	return bad;
}

/* Where exactly user space ends is the machine's affair: ask native epoll. */
TEST_F(wait, array_must_end_in_user_space)
{
	const struct backend *be = variant->be;
	int native = backend_native.create(EPOLL_CLOEXEC);
	uintptr_t one, many;

	ASSERT_LE(0, native);
	one = first_refused(be, self->ep, 1);
	many = first_refused(be, self->ep, MAXEVENTS_MAX);
	EXPECT_EQ(first_refused(&backend_native, native, 1), one);
	EXPECT_EQ(first_refused(&backend_native, native, MAXEVENTS_MAX), many);
	EXPECT_GE(one, many);
	EXPECT_ERR(EFAULT, be->wait(self->ep, (void *)one, 1, 0));
	EXPECT_EQ(0, be->wait(self->ep, (void *)(one - 1), 1, 0));
	EXPECT_ERR(EFAULT, be->wait(self->ep, (void *)one, MAXEVENTS_MAX, 0));
}

TEST_F(wait, unmapped_array_matters_only_with_events)
{
	const struct backend *be = variant->be;
	void *hole = unmapped();

	ASSERT_NE(NULL, hole);
	EXPECT_EQ(0, be->wait(self->ep, hole, 4, 0));
	EXPECT_EQ(0, be->wait(self->ep, hole, 4, 5));
	EXPECT_EQ(0, be->wait(self->ep, NULL, 4, 0));
	ASSERT_EQ(0, xadd(be, self->ep, self->fd[0], EPOLLIN, 0));
	EXPECT_ERR(EFAULT, be->wait(self->ep, hole, 4, 0));
	EXPECT_ERR(EFAULT, be->wait(self->ep, hole, 4, -1));
	EXPECT_ERR(EFAULT, be->wait(self->ep, NULL, 4, 0));
}

TEST_F(wait, array_that_cannot_be_written_is_efault)
{
	const struct backend *be = variant->be;
	void *page = page_before_hole(PROT_READ);
	struct epoll_event ev;

	ASSERT_NE(NULL, page);
	ASSERT_EQ(0, xadd(be, self->ep, self->fd[0], EPOLLIN | EPOLLET, 4));
	EXPECT_ERR(EFAULT, be->wait(self->ep, page, 1, 0));
	ASSERT_EQ(1, wait0(be, self->ep, &ev, 1));
	EXPECT_EQ(4U, ev.data.u64);
}

/* ---- the instance ---- */

TEST_F(wait, closed_epfd_is_ebadf)
{
	const struct backend *be = variant->be;
	int path = open("/dev/null", O_PATH);
	struct epoll_event ev;

	ASSERT_LE(0, path);
	EXPECT_ERR(EBADF, be->wait(-1, &ev, 1, 0));
	EXPECT_ERR(EBADF, be->wait(INT_MAX, &ev, 1, 0));
	EXPECT_ERR(EBADF, be->wait(path, &ev, 1, 0));
}

TEST_F(wait, epfd_that_is_no_instance)
{
	const struct backend *be = variant->be;
	int err = be->plain ? ENOTTY : EINVAL;
	int file = memfd_create("wait", 0);
	struct epoll_event ev;

	ASSERT_LE(0, file);
	EXPECT_ERR(err, be->wait(self->fd[0], &ev, 1, 0));
	EXPECT_ERR(err, be->wait(file, &ev, 1, -1));
}

/* Linux 7.2 moved the descriptor to the front, where the VFS has it for us. */
TEST_F(wait, closed_epfd_and_bad_maxevents)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	errno = 0;
	EXPECT_EQ(-1, be->wait(-1, &ev, 0, 0));
	EXPECT_TRUE(errno == EBADF || (!be->plain && errno == EINVAL))
		TH_LOG("errno %d", errno);
}

TEST_F(wait, arguments_come_before_the_kind_of_epfd)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	EXPECT_ERR(be->plain ? ENOTTY : EINVAL,
		   be->wait(self->fd[0], &ev, 0, 0));
	EXPECT_ERR(be->plain ? ENOTTY : EFAULT,
		   be->wait(self->fd[0], KERNEL_RANGE, 1, 0));
}

/* ---- the signal mask ---- */

TEST_F(wait, size_of_no_mask_is_not_looked_at)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	EXPECT_EQ(0, be->pwait(self->ep, &ev, 1, 0, NULL, 0));
	EXPECT_EQ(0, be->pwait(self->ep, &ev, 1, 0, NULL, 12345));
}

TEST_F(wait, wrong_size_of_the_mask_is_einval)
{
	static const size_t sizes[] = { 0, 4, 7, 9, 16, 128, SIZE_MAX };
	const struct backend *be = variant->be;
	struct epoll_event ev;
	sigset_t mask;
	size_t i;

	sigemptyset(&mask);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		EXPECT_ERR(EINVAL, be->pwait(self->ep, &ev, 1, 0, &mask,
					     sizes[i]));
	EXPECT_EQ(0, be->pwait(self->ep, &ev, 1, 0, &mask, KERNEL_SIGSETSIZE));
}

TEST_F(wait, mask_that_cannot_be_read_is_efault)
{
	const struct backend *be = variant->be;
	char *hole = unmapped();
	struct epoll_event ev;

	ASSERT_NE(NULL, hole);
	EXPECT_ERR(EFAULT, be->pwait(self->ep, &ev, 1, 0, (void *)hole,
				     KERNEL_SIGSETSIZE));
	EXPECT_ERR(EFAULT, be->pwait(self->ep, &ev, 1, 0, (void *)(hole - 7),
				     KERNEL_SIGSETSIZE));
	EXPECT_EQ(0, be->pwait(self->ep, &ev, 1, 0, (void *)(hole - 8),
			       KERNEL_SIGSETSIZE));
}

TEST_F(wait, size_comes_before_address_of_the_mask)
{
	struct epoll_event ev;
	void *hole = unmapped();

	ASSERT_NE(NULL, hole);
	EXPECT_ERR(EINVAL, variant->be->pwait(self->ep, &ev, 1, 0, hole, 7));
}

TEST_F(wait, mask_comes_before_maxevents_and_array)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;
	void *hole = unmapped();
	sigset_t mask;

	ASSERT_NE(NULL, hole);
	sigemptyset(&mask);
	EXPECT_ERR(EFAULT, be->pwait(self->ep, &ev, 0, 0, hole,
				     KERNEL_SIGSETSIZE));
	EXPECT_ERR(EFAULT, be->pwait(self->ep, &ev, MAXEVENTS_MAX + 1, 0, hole,
				     KERNEL_SIGSETSIZE));
	EXPECT_ERR(EINVAL, be->pwait(self->ep, KERNEL_RANGE, 1, 0, &mask, 7));
}

TEST_F(wait, mask_and_closed_epfd)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;
	sigset_t mask;

	if (be->fixed_sigset)
		SKIP(return, "these functions have no size of the mask");
	sigemptyset(&mask);
	EXPECT_ERR(be->plain ? EBADF : EINVAL,
		   be->pwait(-1, &ev, 1, 0, &mask, 7));
}

/* ---- the timespec of pwait2 ---- */

TEST_F(wait, timespec_that_cannot_be_read_is_efault)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;
	size_t room;

	for (room = 0; room < sizeof(struct timespec); room++)
		EXPECT_ERR(EFAULT, be->pwait2(self->ep, &ev, 1, room_for(room),
					      NULL, 0));
}

TEST_F(wait, timespec_out_of_range_is_einval)
{
	static const struct timespec bad[] = {
		{ .tv_sec = -1, .tv_nsec = 0 },
		{ .tv_sec = 0, .tv_nsec = -1 },
		{ .tv_sec = 0, .tv_nsec = 1000000000 },
		{ .tv_sec = 5, .tv_nsec = LONG_MAX },
		{ .tv_sec = 0, .tv_nsec = LONG_MIN },
		{ .tv_sec = LONG_MIN, .tv_nsec = 0 },
	};
	const struct backend *be = variant->be;
	struct epoll_event ev;
	size_t i;

	ASSERT_EQ(0, xadd(be, self->ep, self->fd[0], EPOLLIN, 0));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_ERR(EINVAL, be->pwait2(self->ep, &ev, 1, &bad[i], NULL,
					      0));
}

TEST_F(wait, largest_valid_timespec_is_fine)
{
	const struct timespec ts = { .tv_sec = LONG_MAX, .tv_nsec = 999999999 };
	const struct backend *be = variant->be;
	struct epoll_event ev;

	ASSERT_EQ(0, xadd(be, self->ep, self->fd[0], EPOLLIN, 0));
	EXPECT_EQ(1, be->pwait2(self->ep, &ev, 1, &ts, NULL, 0));
}

TEST_F(wait, no_timespec_waits_for_ever)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	ASSERT_EQ(0, xadd(be, self->ep, self->fd[0], EPOLLIN, 0));
	EXPECT_EQ(1, be->pwait2(self->ep, &ev, 1, NULL, NULL, 0));
}

TEST_F(wait, timespec_comes_before_the_mask)
{
	const struct timespec bad = { .tv_nsec = -1 };
	const struct backend *be = variant->be;
	struct epoll_event ev;
	void *hole = unmapped();
	sigset_t mask;

	ASSERT_NE(NULL, hole);
	sigemptyset(&mask);
	EXPECT_ERR(EFAULT, be->pwait2(self->ep, &ev, 1, hole, &mask, 7));
	EXPECT_ERR(EINVAL, be->pwait2(self->ep, &ev, 1, &bad, hole,
				      KERNEL_SIGSETSIZE));
	EXPECT_ERR(EFAULT, be->pwait2(self->ep, &ev, 0, hole, NULL, 0));
	EXPECT_ERR(EINVAL, be->pwait2(self->ep, KERNEL_RANGE, 1, &bad, NULL, 0));
}

TEST_F(wait, mask_of_pwait2_is_checked_like_that_of_pwait)
{
	const struct timespec now = { 0 };
	const struct backend *be = variant->be;
	struct epoll_event ev;
	void *hole = unmapped();
	sigset_t mask;

	ASSERT_NE(NULL, hole);
	sigemptyset(&mask);
	EXPECT_ERR(EINVAL, be->pwait2(self->ep, &ev, 1, &now, &mask, 7));
	EXPECT_ERR(EFAULT, be->pwait2(self->ep, &ev, 0, &now, hole,
				      KERNEL_SIGSETSIZE));
	EXPECT_EQ(0, be->pwait2(self->ep, &ev, 1, &now, &mask,
				KERNEL_SIGSETSIZE));
	EXPECT_EQ(0, be->pwait2(self->ep, &ev, 1, &now, NULL, 7));
}

/* ---- arrays that end too early ---- */

TEST_F(wait, events_that_do_not_fit_come_first_next_time)
{
	const struct backend *be = variant->be;
	struct epoll_event ev[FILES], *room = room_for(3 * sizeof(*room));

	ASSERT_NE(NULL, room);
	ASSERT_EQ(0, add_all(be, self->ep, self->fd, EPOLLIN));
	ASSERT_EQ(3, be->wait(self->ep, room, FILES, 0));
	EXPECT_TRUE(order_is(room, 3, "012"));
	ASSERT_EQ(FILES, wait0(be, self->ep, ev, FILES));
	EXPECT_TRUE(order_is(ev, FILES, "34567012"));
}

TEST_F(wait, edges_that_do_not_fit_are_not_lost)
{
	const struct backend *be = variant->be;
	struct epoll_event ev[FILES], *room = room_for(3 * sizeof(*room));

	ASSERT_NE(NULL, room);
	ASSERT_EQ(0, add_all(be, self->ep, self->fd, EPOLLIN | EPOLLET));
	ASSERT_EQ(3, be->wait(self->ep, room, FILES, 0));
	EXPECT_TRUE(order_is(room, 3, "012"));
	ASSERT_EQ(5, wait0(be, self->ep, ev, FILES));
	EXPECT_TRUE(order_is(ev, 5, "34567"));
	EXPECT_EQ(0, wait0(be, self->ep, ev, FILES));
}

TEST_F(wait, oneshots_that_do_not_fit_stay_armed)
{
	const struct backend *be = variant->be;
	struct epoll_event ev[FILES], *room = room_for(3 * sizeof(*room));

	ASSERT_NE(NULL, room);
	ASSERT_EQ(0, add_all(be, self->ep, self->fd, EPOLLIN | EPOLLONESHOT));
	ASSERT_EQ(3, be->wait(self->ep, room, FILES, 0));
	ASSERT_EQ(5, wait0(be, self->ep, ev, FILES));
	EXPECT_TRUE(order_is(ev, 5, "34567"));
	EXPECT_EQ(0, wait0(be, self->ep, ev, FILES));
}

/* With room for less than one event the call fails and all events stay. */
static void no_room(struct __test_metadata *_metadata, const struct backend *be,
		    int ep, const int *fd, uint32_t events)
{
	struct epoll_event ev[FILES], *room = room_for(sizeof(*room) / 2);

	ASSERT_NE(NULL, room);
	ASSERT_EQ(0, add_all(be, ep, fd, events));
	EXPECT_ERR(EFAULT, be->wait(ep, room, FILES, 0));
	EXPECT_ERR(EFAULT, be->wait(ep, room, 1, -1));
	ASSERT_EQ(FILES, wait0(be, ep, ev, FILES));
	EXPECT_TRUE(order_is(ev, FILES, "01234567"));
}

TEST_F(wait, room_for_half_an_event_is_efault)
{
	no_room(_metadata, variant->be, self->ep, self->fd, EPOLLIN);
}

TEST_F(wait, room_for_half_an_event_keeps_edges)
{
	no_room(_metadata, variant->be, self->ep, self->fd, EPOLLIN | EPOLLET);
}

TEST_F(wait, room_for_half_an_event_keeps_oneshots)
{
	no_room(_metadata, variant->be, self->ep, self->fd,
		EPOLLIN | EPOLLONESHOT);
}

TEST_F(wait, room_for_three_events_and_a_half)
{
	const struct backend *be = variant->be;
	struct epoll_event ev[FILES];
	struct epoll_event *room = room_for(3 * sizeof(*room) +
					    sizeof(*room) / 2);

	ASSERT_NE(NULL, room);
	ASSERT_EQ(0, add_all(be, self->ep, self->fd, EPOLLIN | EPOLLET));
	ASSERT_EQ(3, be->wait(self->ep, room, FILES, 0));
	ASSERT_EQ(5, wait0(be, self->ep, ev, FILES));
	EXPECT_TRUE(order_is(ev, 5, "34567"));
}

TEST_F(wait, sleeper_with_a_bad_array_gets_efault_and_loses_nothing)
{
	const struct backend *be = variant->be;
	struct waiter w = { .be = be, .ep = self->ep, .timeout = -1 };
	struct epoll_event ev;
	int fd = eventfd(0, EFD_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, xadd(be, self->ep, fd, EPOLLIN | EPOLLET, 9));
	w.array = unmapped();
	ASSERT_NE(NULL, w.array);
	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, eventfd_write(fd, 1));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(-1, w.ret);
	EXPECT_EQ(EFAULT, w.err);
	ASSERT_EQ(1, wait0(be, self->ep, &ev, 1));
	EXPECT_EQ(9U, ev.data.u64);
}

/* ---- descriptors closed under a sleeper ---- */

TEST_F(wait, close_of_the_instance_does_not_wake)
{
	const struct backend *be = variant->be;
	struct waiter w = { .be = be, .timeout = -1 };
	int fd = eventfd(0, EFD_CLOEXEC);

	ASSERT_LE(0, fd);
	w.ep = be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, w.ep);
	ASSERT_EQ(0, xadd(be, w.ep, fd, EPOLLIN, 4));
	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, close(w.ep));
	ASSERT_TRUE(wait_until_sleeping(w.tid, PATIENCE_MS));
	EXPECT_FALSE(atomic_load(&w.done));
	ASSERT_EQ(0, eventfd_write(fd, 1));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(4U, w.events[0].data.u64);
}

TEST_F(wait, close_of_a_watched_file_does_not_wake)
{
	const struct backend *be = variant->be;
	struct waiter w = { .be = be, .ep = self->ep, .timeout = -1 };
	int fd = eventfd(0, EFD_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, xadd(be, self->ep, fd, EPOLLIN, 4));
	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, close(fd));
	ASSERT_TRUE(wait_until_sleeping(w.tid, PATIENCE_MS));
	EXPECT_FALSE(atomic_load(&w.done));
	ASSERT_EQ(0, xadd(be, self->ep, self->fd[0], EPOLLIN, 5));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(5U, w.events[0].data.u64);
}

TEST_HARNESS_MAIN
