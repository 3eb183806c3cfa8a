// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a successful epoll_ctl does: which watch it means, what MOD changes, and
 * what the stored mask is.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "users.h"

/* ep: an instance; rd, wr: an empty pipe */
FIXTURE(ctl_effect)
{
	int ep;
	int rd;
	int wr;
};

BACKEND_VARIANTS(ctl_effect);

FIXTURE_SETUP(ctl_effect)
{
	int fds[2];

	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	ASSERT_EQ(0, pipe(fds));
	self->rd = fds[0];
	self->wr = fds[1];
}

FIXTURE_TEARDOWN(ctl_effect)
{
	close(self->ep);
}

/* ---- which watch ---- */

TEST_F(ctl_effect, two_numbers_of_one_file_are_two_watches)
{
	const struct backend *be = variant->be;
	struct epoll_event ev[4];
	int twin = dup(self->wr);

	ASSERT_LE(0, twin);
	ASSERT_EQ(0, xadd(be, self->ep, self->wr, EPOLLOUT, 1));
	EXPECT_ERR(ENOENT, xmod(be, self->ep, twin, EPOLLOUT, 2));
	EXPECT_ERR(ENOENT, xdel(be, self->ep, twin));
	ASSERT_EQ(0, xadd(be, self->ep, twin, EPOLLOUT, 2));
	ASSERT_EQ(2, wait0(be, self->ep, ev, 4));
	EXPECT_EQ(3U, ev[0].data.u64 + ev[1].data.u64);
	EXPECT_EQ(0, xdel(be, self->ep, self->wr));
	ASSERT_EQ(1, wait0(be, self->ep, ev, 4));
	EXPECT_EQ(2U, ev[0].data.u64);
}

/* The file lives on through a dup, so its watch stays and the number is free. */
TEST_F(ctl_effect, reused_number_of_another_file_is_another_watch)
{
	const struct backend *be = variant->be;
	struct epoll_event ev[4];
	int twin = dup(self->wr), other = eventfd(1, EFD_CLOEXEC);

	ASSERT_LE(0, twin);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, xadd(be, self->ep, self->wr, EPOLLOUT, 1));
	ASSERT_EQ(self->wr, dup2(other, self->wr));
	EXPECT_ERR(ENOENT, xmod(be, self->ep, self->wr, EPOLLIN, 2));
	EXPECT_EQ(0, xadd(be, self->ep, self->wr, EPOLLIN, 2));
	ASSERT_EQ(2, wait0(be, self->ep, ev, 4));
	EXPECT_EQ(3U, ev[0].data.u64 + ev[1].data.u64);
	EXPECT_EQ(0, xdel(be, self->ep, self->wr));
	EXPECT_ERR(ENOENT, xdel(be, self->ep, self->wr));
}

/* ---- MOD ---- */

TEST_F(ctl_effect, mod_replaces_mask_and_data)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	ASSERT_EQ(0, xadd(be, self->ep, self->wr, EPOLLIN, 1));
	EXPECT_EQ(0, wait0(be, self->ep, &ev, 1));
	ASSERT_EQ(0, xmod(be, self->ep, self->wr, EPOLLOUT, UINT64_MAX - 1));
	ASSERT_EQ(1, wait0(be, self->ep, &ev, 1));
	EXPECT_EQ((uint32_t)EPOLLOUT, ev.events);
	EXPECT_EQ(UINT64_MAX - 1, ev.data.u64);
	ASSERT_EQ(0, xmod(be, self->ep, self->wr, EPOLLIN, 3));
	EXPECT_EQ(0, wait0(be, self->ep, &ev, 1));
}

TEST_F(ctl_effect, mod_with_the_same_mask_shows_an_edge_again)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	ASSERT_EQ(0, xadd(be, self->ep, self->wr, EPOLLOUT | EPOLLET, 1));
	EXPECT_EQ(1, wait0(be, self->ep, &ev, 1));
	EXPECT_EQ(0, wait0(be, self->ep, &ev, 1));
	ASSERT_EQ(0, xmod(be, self->ep, self->wr, EPOLLOUT | EPOLLET, 1));
	EXPECT_EQ(1, wait0(be, self->ep, &ev, 1));
	EXPECT_EQ(0, wait0(be, self->ep, &ev, 1));
}

TEST_F(ctl_effect, mod_arms_a_oneshot_again)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	ASSERT_EQ(0, xadd(be, self->ep, self->wr, EPOLLOUT | EPOLLONESHOT, 1));
	EXPECT_EQ(1, wait0(be, self->ep, &ev, 1));
	EXPECT_EQ(0, wait0(be, self->ep, &ev, 1));
	EXPECT_ERR(EEXIST, xadd(be, self->ep, self->wr, EPOLLOUT, 1));
	ASSERT_EQ(0, xmod(be, self->ep, self->wr, EPOLLOUT | EPOLLONESHOT, 2));
	ASSERT_EQ(1, wait0(be, self->ep, &ev, 1));
	EXPECT_EQ(2U, ev.data.u64);
}

TEST_F(ctl_effect, mod_of_a_ready_watch_wakes_a_waiter)
{
	const struct backend *be = variant->be;
	struct waiter w = { .be = be, .ep = self->ep, .timeout = -1 };

	ASSERT_EQ(0, xadd(be, self->ep, self->wr, EPOLLIN, 1));
	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, xmod(be, self->ep, self->wr, EPOLLOUT, 2));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	ASSERT_EQ(1, w.ret);
	EXPECT_EQ(2U, w.events[0].data.u64);
}

TEST_F(ctl_effect, add_of_a_ready_file_wakes_a_waiter)
{
	const struct backend *be = variant->be;
	struct waiter w = { .be = be, .ep = self->ep, .timeout = -1 };

	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, xadd(be, self->ep, self->wr, EPOLLOUT | EPOLLET, 2));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	ASSERT_EQ(1, w.ret);
	EXPECT_EQ(2U, w.events[0].data.u64);
}

/* ---- the mask ---- */

TEST_F(ctl_effect, hangup_is_reported_without_being_asked_for)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	ASSERT_EQ(0, xadd(be, self->ep, self->rd, 0, 1));
	ASSERT_EQ(1, write(self->wr, "x", 1));
	EXPECT_EQ(0, wait0(be, self->ep, &ev, 1));
	ASSERT_EQ(0, close(self->wr));
	ASSERT_EQ(1, wait0(be, self->ep, &ev, 1));
	EXPECT_EQ((uint32_t)EPOLLHUP, ev.events);
}

TEST_F(ctl_effect, error_is_reported_without_being_asked_for)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	ASSERT_EQ(0, xadd(be, self->ep, self->wr, EPOLLIN, 1));
	ASSERT_EQ(0, xmod(be, self->ep, self->wr, 0, 1));
	EXPECT_EQ(0, wait0(be, self->ep, &ev, 1));
	ASSERT_EQ(0, close(self->rd));
	ASSERT_EQ(1, wait0(be, self->ep, &ev, 1));
	EXPECT_EQ((uint32_t)EPOLLERR, ev.events);
}

/* The mask that an instance has stored for its only watch, from /proc */
static int64_t stored_mask(int ep)
{
	char path[64], line[256];
	unsigned int mask;
	int64_t ret = -1;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ep);
	info = fopen(path, "r");
	if (!info)
		return -1;
	while (fgets(line, sizeof(line), info))
		if (sscanf(line, "tfd: %*d events: %x", &mask) == 1)
			ret = mask;
	fclose(info);
	return ret;
}

TEST_F(ctl_effect, error_and_hangup_are_in_the_stored_mask)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->rd, EPOLLIN, 0));
	EXPECT_EQ(EPOLLIN | EPOLLERR | EPOLLHUP, stored_mask(self->ep));
	ASSERT_EQ(0, xmod(be, self->ep, self->rd, 0, 0));
	EXPECT_EQ(EPOLLERR | EPOLLHUP, stored_mask(self->ep));
}

TEST_F(ctl_effect, wakeup_is_dropped_without_the_capability)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	if (geteuid())
		SKIP(return, "needs root to give up CAP_BLOCK_SUSPEND");
	ASSERT_EQ(0, become(UID_A));
	ASSERT_EQ(0, xadd(be, self->ep, self->wr, EPOLLOUT | EPOLLWAKEUP, 0));
	ASSERT_EQ(0, become(0));
	EXPECT_EQ(EPOLLOUT | EPOLLERR | EPOLLHUP, stored_mask(self->ep));
	ASSERT_EQ(1, wait0(be, self->ep, &ev, 1));
	EXPECT_EQ((uint32_t)EPOLLOUT, ev.events);
}

TEST_F(ctl_effect, wakeup_is_kept_with_the_capability)
{
	const struct backend *be = variant->be;
	bool can_sleep = !access("/sys/power/wakeup_count", F_OK);
	uint32_t kept = can_sleep ? EPOLLWAKEUP : 0;
	struct epoll_event ev;

	if (geteuid())
		SKIP(return, "needs root to have CAP_BLOCK_SUSPEND");
	ASSERT_EQ(0, xadd(be, self->ep, self->wr, EPOLLOUT | EPOLLWAKEUP, 0));
	EXPECT_EQ(EPOLLOUT | EPOLLERR | EPOLLHUP | kept, stored_mask(self->ep));
	ASSERT_EQ(1, wait0(be, self->ep, &ev, 1));
	EXPECT_EQ((uint32_t)EPOLLOUT, ev.events);
	ASSERT_EQ(0, xmod(be, self->ep, self->wr, EPOLLIN, 0));
	EXPECT_EQ(EPOLLIN | EPOLLERR | EPOLLHUP, stored_mask(self->ep));
	ASSERT_EQ(0, xmod(be, self->ep, self->wr, EPOLLIN | EPOLLWAKEUP, 0));
	EXPECT_EQ(EPOLLIN | EPOLLERR | EPOLLHUP | kept, stored_mask(self->ep));
}

TEST_HARNESS_MAIN
