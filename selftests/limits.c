// SPDX-License-Identifier: GPL-2.0-only
/*
 * The limit on the watches of one user: when it is met, when there is room
 * again, and what may be written to the sysctl.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "users.h"

/* ep: an instance; rd, wr: an empty pipe */
FIXTURE(limits)
{
	int ep;
	int rd;
	int wr;
	struct sysctl_saved limit;
};

BACKEND_VARIANTS(limits);

FIXTURE_SETUP(limits)
{
	int fds[2];

	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	ASSERT_EQ(0, pipe(fds));
	self->rd = fds[0];
	self->wr = fds[1];
}

FIXTURE_TEARDOWN(limits)
{
	sysctl_restore(&self->limit);
	close(self->ep);
}

/* From here the instance belongs to user A, whose limit is @limit. */
static int instance_with_limit(const struct backend *be,
			       struct sysctl_saved *saved, const char *limit)
{
	struct myepoll_create create = { .flags = EPOLL_CLOEXEC };
	int root_ep = be->create(EPOLL_CLOEXEC);
	int ep;

	if (root_ep < 0 || become(UID_A))
		return -1;
	ep = be->plain ? ioctl(root_ep, MYEPOLL_IOC_CREATE, &create) :
			 be->create(EPOLL_CLOEXEC);
	close(root_ep);
	if (become(0) || sysctl_set(saved, watch_limit_path(be), limit))
		return -1;
	return ep;
}

TEST_F(limits, enospc_at_the_limit_and_room_after_del)
{
	const struct backend *be = variant->be;
	int ep;

	if (geteuid())
		SKIP(return, "needs root to set the limit");
	ep = instance_with_limit(be, &self->limit, "1");
	ASSERT_LE(0, ep);
	ASSERT_EQ(0, xadd(be, ep, self->rd, EPOLLIN, 0));
	EXPECT_ERR(ENOSPC, xadd(be, ep, self->wr, EPOLLOUT, 0));
	EXPECT_EQ(0, xmod(be, ep, self->rd, EPOLLET, 0));
	EXPECT_ERR(ENOENT, xdel(be, ep, self->wr));
	ASSERT_EQ(0, xdel(be, ep, self->rd));
	EXPECT_EQ(0, xadd(be, ep, self->wr, EPOLLOUT, 0));
}

TEST_F(limits, room_after_the_watched_file_is_closed)
{
	const struct backend *be = variant->be;
	int ep;

	if (geteuid())
		SKIP(return, "needs root to set the limit");
	ep = instance_with_limit(be, &self->limit, "1");
	ASSERT_LE(0, ep);
	ASSERT_EQ(0, xadd(be, ep, self->rd, EPOLLIN, 0));
	ASSERT_EQ(0, close(self->rd));
	EXPECT_EQ(0, xadd(be, ep, self->wr, EPOLLOUT, 0));
	EXPECT_ERR(ENOSPC, xadd(be, ep, self->ep, EPOLLIN, 0));
}

TEST_F(limits, room_after_the_instance_is_closed)
{
	const struct backend *be = variant->be;
	int ep;

	if (geteuid())
		SKIP(return, "needs root to set the limit");
	ep = instance_with_limit(be, &self->limit, "2");
	ASSERT_LE(0, ep);
	ASSERT_EQ(0, xadd(be, ep, self->rd, EPOLLIN, 0));
	ASSERT_EQ(0, xadd(be, ep, self->wr, EPOLLIN, 0));
	ASSERT_EQ(0, close(ep));
	ep = instance_with_limit(be, &self->limit, "2");
	ASSERT_LE(0, ep);
	EXPECT_EQ(0, xadd(be, ep, self->rd, EPOLLIN, 0));
	EXPECT_EQ(0, xadd(be, ep, self->wr, EPOLLIN, 0));
}

TEST_F(limits, no_false_enospc_in_a_loop_of_open_add_close)
{
	const struct backend *be = variant->be;
	int ep, fd, i;

	if (geteuid())
		SKIP(return, "needs root to set the limit");
	ep = instance_with_limit(be, &self->limit, "1");
	ASSERT_LE(0, ep);
	for (i = 0; i < 1000; i++) {
		fd = eventfd(0, EFD_CLOEXEC);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, xadd(be, ep, fd, EPOLLIN, 0))
			TH_LOG("round %d: errno %d", i, errno);
		ASSERT_EQ(0, close(fd));
	}
}

TEST_F(limits, limit_of_zero_refuses_all)
{
	const struct backend *be = variant->be;
	int ep;

	if (geteuid())
		SKIP(return, "needs root to set the limit");
	ep = instance_with_limit(be, &self->limit, "0");
	ASSERT_LE(0, ep);
	EXPECT_ERR(ENOSPC, xadd(be, ep, self->rd, EPOLLIN, 0));
}

TEST_F(limits, enospc_comes_after_every_other_check)
{
	const struct backend *be = variant->be;
	int file = memfd_create("limits", 0);
	int ep;

	if (geteuid())
		SKIP(return, "needs root to set the limit");
	ep = instance_with_limit(be, &self->limit, "1");
	ASSERT_LE(0, ep);
	ASSERT_EQ(0, xadd(be, ep, self->rd, EPOLLIN, 0));
	EXPECT_ERR(EFAULT, be->ctl(ep, EPOLL_CTL_ADD, self->wr, NULL));
	EXPECT_ERR(EBADF, xadd(be, ep, -1, EPOLLIN, 0));
	EXPECT_ERR(EPERM, xadd(be, ep, file, EPOLLIN, 0));
	EXPECT_ERR(EINVAL, xadd(be, ep, ep, EPOLLIN, 0));
	EXPECT_ERR(EINVAL, xctl(be, ep, 4, self->wr, EPOLLIN, 0));
	EXPECT_ERR(EINVAL, xadd(be, ep, self->wr,
				EPOLLEXCLUSIVE | EPOLLONESHOT, 0));
	EXPECT_ERR(EEXIST, xadd(be, ep, self->rd, EPOLLIN, 0));
}

TEST_F(limits, enospc_comes_after_the_loop_check)
{
	const struct backend *be = variant->be;
	int ep;

	if (geteuid())
		SKIP(return, "needs root to set the limit");
	ep = instance_with_limit(be, &self->limit, "1");
	ASSERT_LE(0, ep);
	ASSERT_EQ(0, sysctl_restore(&self->limit));
	ASSERT_EQ(0, xadd(be, self->ep, ep, EPOLLIN, 0));
	ASSERT_EQ(0, xadd(be, ep, self->rd, EPOLLIN, 0));
	ASSERT_EQ(0, sysctl_set(&self->limit, watch_limit_path(be), "1"));
	EXPECT_ERR(ELOOP, xadd(be, ep, self->ep, EPOLLIN, 0));
	EXPECT_ERR(ENOSPC, xadd(be, ep, self->wr, EPOLLIN, 0));
}

/*
 * Ten chains of five instances may lead from one file to as many instances at
 * the top; the eleventh is one too many, and its owner is at the limit too.
 */
TEST_F(limits, enospc_comes_before_the_path_limit)
{
	const struct backend *be = variant->be;
	int chain[4], top, i;

	if (geteuid())
		SKIP(return, "needs root to set the limit");
	for (i = 0; i < 4; i++) {
		chain[i] = be->create(EPOLL_CLOEXEC);
		ASSERT_LE(0, chain[i]);
		ASSERT_EQ(0, xadd(be, chain[i], i ? chain[i - 1] : self->rd,
				  EPOLLIN, 0));
	}
	for (i = 0; i < 10; i++) {
		top = be->create(EPOLL_CLOEXEC);
		ASSERT_LE(0, top);
		ASSERT_EQ(0, xadd(be, top, chain[3], EPOLLIN, 0));
	}
	top = instance_with_limit(be, &self->limit, "0");
	ASSERT_LE(0, top);
	EXPECT_ERR(ENOSPC, xadd(be, top, chain[3], EPOLLIN, 0));
	ASSERT_EQ(0, sysctl_restore(&self->limit));
	EXPECT_ERR(EINVAL, xadd(be, top, chain[3], EPOLLIN, 0));
}

TEST_F(limits, limit_takes_zero_to_long_max)
{
	const char *path = watch_limit_path(variant->be);
	char text[64], max[64], over[64];

	if (geteuid())
		SKIP(return, "needs root to set the limit");
	snprintf(max, sizeof(max), "%ld", LONG_MAX);
	snprintf(over, sizeof(over), "%lu", LONG_MAX + 1UL);
	ASSERT_EQ(0, sysctl_set(&self->limit, path, max));
	ASSERT_EQ(0, sysctl_read(path, text, sizeof(text)));
	text[strcspn(text, "\n")] = '\0';
	EXPECT_STREQ(max, text);
	EXPECT_ERR(EINVAL, sysctl_write(path, "-1"));
	EXPECT_ERR(EINVAL, sysctl_write(path, over));
	EXPECT_ERR(EINVAL, sysctl_write(path, "many"));
	ASSERT_EQ(0, sysctl_read(path, text, sizeof(text)));
	text[strcspn(text, "\n")] = '\0';
	EXPECT_STREQ(max, text);
	EXPECT_EQ(0, sysctl_write(path, "0"));
}

TEST_F(limits, limit_is_readable_by_all_and_writable_by_root)
{
	const char *path = watch_limit_path(variant->be);

	EXPECT_EQ(0, access(path, R_OK));
	if (geteuid())
		SKIP(return, "needs root to change users");
	ASSERT_EQ(0, become(UID_A));
	EXPECT_ERR(EACCES, open(path, O_WRONLY));
	EXPECT_LE(0, open(path, O_RDONLY));
	ASSERT_EQ(0, become(0));
}

TEST_HARNESS_MAIN
