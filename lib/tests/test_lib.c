// SPDX-License-Identifier: GPL-2.0-only
/*
 * What libmyepoll has beyond epoll's functions, which the programs lib-* test: a
 * native instance is none, probing, the parameters, instances from instances.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "myepoll.h"
#include "proc.h"

FIXTURE(lib)
{
	int ep;
	int native;
	int efd;
};

FIXTURE_SETUP(lib)
{
	self->ep = myepoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->native = epoll_create1(EPOLL_CLOEXEC);
	self->efd = eventfd(1, EFD_CLOEXEC);
	ASSERT_LE(0, self->efd);
}

FIXTURE_TEARDOWN(lib)
{
}

TEST_F(lib, native_instance_is_none)
{
	struct epoll_event ev = { .events = EPOLLIN };

	ASSERT_EQ(0, epoll_ctl(self->native, EPOLL_CTL_ADD, self->efd, &ev));
	EXPECT_ERR(EINVAL, myepoll_ctl(self->native, EPOLL_CTL_DEL, self->efd, NULL));
	EXPECT_ERR(EINVAL, myepoll_wait(self->native, &ev, 1, 0));
	EXPECT_ERR(EINVAL, myepoll_pwait(self->native, &ev, 1, 0, NULL));
	EXPECT_ERR(EINVAL, myepoll_pwait2(self->native, &ev, 1, NULL, NULL));
	EXPECT_ERR(EINVAL, myepoll_create_from(self->native, 0));
	/* Nothing was taken out of it. */
	EXPECT_EQ(1, epoll_wait(self->native, &ev, 1, 0));
}

TEST_F(lib, native_instance_cannot_be_watched)
{
	struct epoll_event ev = { .events = EPOLLIN };

	EXPECT_ERR(ELOOP, myepoll_ctl(self->ep, EPOLL_CTL_ADD, self->native, &ev));
}

TEST_F(lib, probe_tells_ours_from_others)
{
	struct myepoll_probe probe;

	poison(&probe, sizeof(probe));
	EXPECT_EQ(0, myepoll_probe(self->ep, &probe));
	EXPECT_EQ((uint32_t)MYEPOLL_ABI_VERSION, probe.abi_version);
	EXPECT_EQ(0, myepoll_probe(self->ep, NULL));
	EXPECT_ERR(EINVAL, myepoll_probe(self->native, &probe));
	EXPECT_ERR(EINVAL, myepoll_probe(self->efd, NULL));
	EXPECT_ERR(EBADF, myepoll_probe(-1, NULL));
}

TEST_F(lib, instance_from_an_instance)
{
	int plain = myepoll_create_from(self->ep, 0);
	int closed = myepoll_create_from(self->ep, EPOLL_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN };

	EXPECT_TRUE(is_link(plain, OURS));
	EXPECT_EQ(0, fcntl(plain, F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(closed, F_GETFD));
	EXPECT_EQ(0, myepoll_ctl(plain, EPOLL_CTL_ADD, self->efd, &ev));
	EXPECT_EQ(1, myepoll_wait(plain, &ev, 1, -1));
	EXPECT_EQ(0, myepoll_wait(self->ep, &ev, 1, 0));
	EXPECT_ERR(EINVAL, myepoll_create_from(self->ep, O_NONBLOCK));
	EXPECT_ERR(EINVAL, myepoll_create_from(self->efd, 0));
	EXPECT_ERR(EBADF, myepoll_create_from(-1, 0));
}

TEST_F(lib, parameters_are_kept)
{
	struct myepoll_params params = { .busy_poll_usecs = 7, .busy_poll_budget = 8 };
	struct myepoll_params got;

	if (myepoll_set_params(self->ep, &params) && errno == EOPNOTSUPP)
		SKIP(return, "the kernel cannot busy poll");
	poison(&got, sizeof(got));
	EXPECT_EQ(0, myepoll_get_params(self->ep, &got));
	EXPECT_EQ(0, memcmp(&params, &got, sizeof(got)));
	params.pad = 1;
	EXPECT_ERR(EINVAL, myepoll_set_params(self->ep, &params));
	EXPECT_ERR(EFAULT, myepoll_set_params(self->ep, NULL));
	EXPECT_ERR(EFAULT, myepoll_get_params(self->ep, NULL));
	EXPECT_ERR(EINVAL, myepoll_get_params(self->native, &got));
	EXPECT_ERR(EBADF, myepoll_get_params(-1, &got));
}

TEST_F(lib, version_is_that_of_the_project)
{
	EXPECT_STREQ(TEST_VERSION, myepoll_version());
}

TEST_HARNESS_MAIN
