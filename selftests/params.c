// SPDX-License-Identifier: GPL-2.0-only
/*
 * The busy-poll parameters of an instance.  Native epoll has these calls since
 * Linux 6.9, under the same numbers, so it can be the judge there.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "helpers.h"
#include "badptr.h"
#include "users.h"

#define SET MYEPOLL_IOC_SPARAMS
#define GET MYEPOLL_IOC_GPARAMS

/* Packets a round, above which CAP_NET_ADMIN is needed */
#define BUDGET_MAX 64

FIXTURE(params)
{
	int ep;
};

BACKEND_VARIANTS(params);

static void require_params(struct __test_metadata *_metadata, bool ours, int ep)
{
	struct myepoll_params params;

	if (!ioctl(ep, GET, &params))
		return;
	if (errno == EOPNOTSUPP)
		SKIP(_exit(EXIT_SKIPPED), "the kernel cannot busy poll");
	if (errno == ENOTTY && !ours)
		SKIP(_exit(EXIT_SKIPPED),
		     "native epoll has no busy-poll calls before 6.9");
	ASSERT_EQ(0, errno);
}

FIXTURE_SETUP(params)
{
	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	require_params(_metadata, variant->be->ours, self->ep);
}

FIXTURE_TEARDOWN(params)
{
	close(self->ep);
}

static bool params_are(int ep, const struct myepoll_params *wanted)
{
	struct myepoll_params params;

	poison(&params, sizeof(params));
	return !ioctl(ep, GET, &params) &&
	       !memcmp(&params, wanted, sizeof(params));
}

static const struct myepoll_params zero;
static const struct myepoll_params some = {
	.busy_poll_usecs = 12345, .busy_poll_budget = 33, .prefer_busy_poll = 1,
};

TEST_F(params, all_zero_at_first)
{
	EXPECT_TRUE(params_are(self->ep, &zero));
}

TEST_F(params, what_is_set_can_be_read_back)
{
	struct myepoll_params p = some;

	EXPECT_EQ(0, ioctl(self->ep, SET, &p));
	EXPECT_TRUE(params_are(self->ep, &some));
	p = (struct myepoll_params){
		.busy_poll_usecs = INT_MAX, .busy_poll_budget = BUDGET_MAX,
	};
	EXPECT_EQ(0, ioctl(self->ep, SET, &p));
	EXPECT_TRUE(params_are(self->ep, &p));
	p = zero;
	EXPECT_EQ(0, ioctl(self->ep, SET, &p));
	EXPECT_TRUE(params_are(self->ep, &zero));
}

TEST_F(params, belong_to_one_instance)
{
	struct myepoll_params p = some;
	int other = variant->be->create(EPOLL_CLOEXEC);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, ioctl(self->ep, SET, &p));
	EXPECT_TRUE(params_are(other, &zero));
}

TEST_F(params, addresses_that_cannot_be_used_are_efault)
{
	void *hole = unmapped(), *page = page_before_hole(PROT_READ);

	ASSERT_NE(NULL, hole);
	ASSERT_NE(NULL, page);
	EXPECT_ERR(EFAULT, ioctl(self->ep, SET, hole));
	EXPECT_ERR(EFAULT, ioctl(self->ep, GET, hole));
	EXPECT_ERR(EFAULT, ioctl(self->ep, GET, page));
	EXPECT_ERR(EFAULT, ioctl(self->ep, SET, NULL));
}

/* The parameters are refused with @err, and those of @some stay in force. */
static void refused(struct __test_metadata *_metadata, int ep, int err,
		    struct myepoll_params p)
{
	struct myepoll_params before = some;

	ASSERT_EQ(0, ioctl(ep, SET, &before));
	EXPECT_ERR(err, ioctl(ep, SET, &p));
	EXPECT_TRUE(params_are(ep, &some));
}

TEST_F(params, padding_must_be_zero)
{
	struct myepoll_params p = some;

	p.pad = 1;
	refused(_metadata, self->ep, EINVAL, p);
	p.pad = 0x80;
	refused(_metadata, self->ep, EINVAL, p);
}

TEST_F(params, usecs_must_fit_an_int)
{
	struct myepoll_params p = some;

	p.busy_poll_usecs = INT_MAX + 1U;
	refused(_metadata, self->ep, EINVAL, p);
	p.busy_poll_usecs = UINT_MAX;
	refused(_metadata, self->ep, EINVAL, p);
}

TEST_F(params, prefer_is_zero_or_one)
{
	struct myepoll_params p = some;

	p.prefer_busy_poll = 2;
	refused(_metadata, self->ep, EINVAL, p);
	p.prefer_busy_poll = 0xff;
	refused(_metadata, self->ep, EINVAL, p);
}

TEST_F(params, large_budget_needs_a_capability)
{
	struct myepoll_params p = some;

	if (geteuid())
		SKIP(return, "needs root to have and to give up a capability");
	p.busy_poll_budget = BUDGET_MAX + 1;
	EXPECT_EQ(0, ioctl(self->ep, SET, &p));
	EXPECT_TRUE(params_are(self->ep, &p));
	p.busy_poll_budget = UINT16_MAX;
	EXPECT_EQ(0, ioctl(self->ep, SET, &p));
	EXPECT_TRUE(params_are(self->ep, &p));
	ASSERT_EQ(0, become(UID_A));
	refused(_metadata, self->ep, EPERM, p);
	p.busy_poll_budget = BUDGET_MAX;
	EXPECT_EQ(0, ioctl(self->ep, SET, &p));
	ASSERT_EQ(0, become(0));
}

TEST_F(params, einval_comes_before_eperm)
{
	struct myepoll_params p = some;

	if (geteuid())
		SKIP(return, "needs root to give up a capability");
	ASSERT_EQ(0, become(UID_A));
	p.busy_poll_budget = BUDGET_MAX + 1;
	p.prefer_busy_poll = 2;
	refused(_metadata, self->ep, EINVAL, p);
	p.prefer_busy_poll = 1;
	p.pad = 1;
	refused(_metadata, self->ep, EINVAL, p);
	p.pad = 0;
	p.busy_poll_usecs = UINT_MAX;
	refused(_metadata, self->ep, EINVAL, p);
	ASSERT_EQ(0, become(0));
}

/* Without a network socket there is nothing to poll: waits are as before. */
TEST_F(params, do_not_disturb_other_files)
{
	struct myepoll_params p = some;
	struct epoll_event ev;
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, ioctl(self->ep, SET, &p));
	ASSERT_EQ(0, xadd(variant->be, self->ep, fds[0], EPOLLIN, 1));
	EXPECT_EQ(0, variant->be->wait(self->ep, &ev, 1, 20));
	ASSERT_EQ(1, write(fds[1], "x", 1));
	EXPECT_EQ(1, variant->be->wait(self->ep, &ev, 1, -1));
}

TEST_HARNESS_MAIN
