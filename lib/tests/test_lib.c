// SPDX-License-Identifier: GPL-2.0-only
/*
 * What libmyepoll has beyond epoll's functions, which the programs lib-* test: a
 * native instance is none, probing, the parameters, instances from instances,
 * batches.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "badptr.h"
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
	struct myepoll_change del = { .op = EPOLL_CTL_DEL, .fd = self->efd };
	struct epoll_event ev = { .events = EPOLLIN };

	ASSERT_EQ(0, epoll_ctl(self->native, EPOLL_CTL_ADD, self->efd, &ev));
	EXPECT_ERR(EINVAL, myepoll_ctl(self->native, EPOLL_CTL_DEL, self->efd, NULL));
	EXPECT_ERR(EINVAL, myepoll_batch(self->native, &del, 1, NULL, &ev, 1, NULL, NULL));
	EXPECT_ERR(EINVAL, myepoll_batch(self->native, &del, 1, NULL, NULL, 0, NULL, NULL));
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

/* ---- batches ---- */

static const struct timespec zero;

static struct myepoll_change add(int fd, uint32_t events, uint64_t data)
{
	return (struct myepoll_change) {
		.op = EPOLL_CTL_ADD,
		.fd = fd,
		.events = events,
		.data = data,
	};
}

TEST_F(lib, batch_makes_changes_and_waits)
{
	struct myepoll_change changes[] = {
		add(self->efd, 0, 1),
		{ .op = EPOLL_CTL_MOD, .fd = self->efd, .events = EPOLLIN, .data = 2 },
	};
	unsigned int done = POISON32;
	struct epoll_event ev;

	ASSERT_EQ(1, myepoll_batch(self->ep, changes, 2, &done, &ev, 1, NULL, NULL));
	EXPECT_EQ(2U, done);
	EXPECT_EQ((uint32_t)EPOLLIN, ev.events);
	EXPECT_EQ(2U, ev.data.u64);
	changes[0].op = EPOLL_CTL_DEL;
	EXPECT_EQ(0, myepoll_batch(self->ep, changes, 1, NULL, &ev, 1, &zero, NULL));
	EXPECT_ERR(ENOENT, myepoll_ctl(self->ep, EPOLL_CTL_DEL, self->efd, NULL));
}

TEST_F(lib, batch_need_not_wait_nor_change)
{
	struct myepoll_change change = add(self->efd, EPOLLIN, 3);
	unsigned int done = POISON32;
	struct epoll_event ev;

	EXPECT_EQ(0, myepoll_batch(self->ep, &change, 1, &done, NULL, 0, NULL, NULL));
	EXPECT_EQ(1U, done);
	EXPECT_EQ(0, myepoll_batch(self->ep, NULL, 0, &done, NULL, 0, NULL, NULL));
	EXPECT_EQ(0U, done);
	EXPECT_EQ(1, myepoll_batch(self->ep, NULL, 0, NULL, &ev, 1, NULL, NULL));
	EXPECT_EQ(3U, ev.data.u64);
}

TEST_F(lib, batch_ends_where_a_change_fails)
{
	struct myepoll_change changes[] = {
		add(self->efd, EPOLLIN, 1),
		add(self->efd, EPOLLIN, 2),
		{ .op = EPOLL_CTL_DEL, .fd = self->efd },
	};
	unsigned int done = POISON32;
	struct epoll_event ev;

	poison(&ev, sizeof(ev));
	EXPECT_ERR(EEXIST, myepoll_batch(self->ep, changes, 3, &done, &ev, 1, NULL, NULL));
	EXPECT_EQ(1U, done);
	EXPECT_EQ(POISON64, ev.data.u64);
	EXPECT_ERR(EEXIST, myepoll_batch(self->ep, changes, 3, &done, NULL, 0, NULL, NULL));
	EXPECT_EQ(0U, done);
	changes[0].op = EPOLL_CTL_MOD;
	changes[1].fd = -1;
	EXPECT_ERR(EBADF, myepoll_batch(self->ep, changes, 3, &done, &ev, 1, NULL, NULL));
	EXPECT_EQ(1U, done);
	changes[1] = changes[0];
	changes[1].reserved = 1;
	EXPECT_ERR(EINVAL, myepoll_batch(self->ep, changes, 3, &done, &ev, 1, NULL, NULL));
	EXPECT_EQ(1U, done);
}

/* A change that could be made, and an argument that is wrong. */
#define EXPECT_UNCHANGED(err, ep, changes, nr, ...) do {			\
	unsigned int done = POISON32;						\
	EXPECT_ERR(err, myepoll_batch(ep, changes, nr, &done, __VA_ARGS__));	\
	EXPECT_EQ(0U, done);							\
} while (0)

TEST_F(lib, batch_with_wrong_arguments_changes_nothing)
{
	struct myepoll_change change = add(self->efd, EPOLLIN, 1);
	struct timespec bad = { .tv_nsec = 1000000000 };
	struct epoll_event ev;
	void *hole = unmapped();
	sigset_t none;

	ASSERT_NE(NULL, hole);
	sigemptyset(&none);
	EXPECT_UNCHANGED(EBADF, -1, &change, 1, &ev, 1, NULL, NULL);
	EXPECT_UNCHANGED(EBADF, -1, &change, 1, NULL, 0, NULL, NULL);
	EXPECT_UNCHANGED(EINVAL, self->efd, &change, 1, &ev, 1, NULL, NULL);
	EXPECT_UNCHANGED(EINVAL, self->native, &change, 1, NULL, 0, NULL, NULL);
	EXPECT_UNCHANGED(EINVAL, self->ep, &change, 1, NULL, 0, &zero, NULL);
	EXPECT_UNCHANGED(EINVAL, self->ep, &change, 1, NULL, 0, NULL, &none);
	EXPECT_UNCHANGED(EINVAL, self->ep, &change, 1, &ev, 0, NULL, NULL);
	EXPECT_UNCHANGED(EINVAL, self->ep, &change, 1, NULL, -1, NULL, NULL);
	EXPECT_UNCHANGED(EINVAL, self->ep, &change, 1, &ev, 1, &bad, NULL);
	EXPECT_UNCHANGED(EINVAL, self->ep, &change, UINT_MAX, &ev, 1, NULL, NULL);
	EXPECT_UNCHANGED(EFAULT, self->ep, hole, 1, &ev, 1, NULL, NULL);
	EXPECT_UNCHANGED(EFAULT, self->ep, KERNEL_RANGE, 1, NULL, 0, NULL, NULL);
	EXPECT_UNCHANGED(EFAULT, self->ep, &change, 1, KERNEL_RANGE, 1, NULL, NULL);
	EXPECT_UNCHANGED(EFAULT, self->ep, &change, 1, &ev, 1, hole, NULL);
	EXPECT_UNCHANGED(EFAULT, self->ep, &change, 1, &ev, 1, NULL, hole);
	EXPECT_ERR(ENOENT, myepoll_ctl(self->ep, EPOLL_CTL_DEL, self->efd, NULL));
}

static void no_action(int number)
{
}

TEST_F(lib, batch_whose_wait_fails_has_changed_all)
{
	struct myepoll_change change = add(self->efd, EPOLLIN, 1);
	struct sigaction action = { .sa_handler = no_action };
	unsigned int done = POISON32;
	struct epoll_event ev;
	sigset_t none, usr1;

	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_EQ(0, pthread_sigmask(SIG_BLOCK, &usr1, NULL));
	EXPECT_ERR(EFAULT, myepoll_batch(self->ep, &change, 1, &done, unmapped(), 1, NULL, NULL));
	EXPECT_EQ(1U, done);
	change.op = EPOLL_CTL_MOD;
	change.events = 0;
	ASSERT_EQ(0, raise(SIGUSR1));
	EXPECT_ERR(EINTR, myepoll_batch(self->ep, &change, 1, &done, &ev, 1, NULL, &none));
	EXPECT_EQ(1U, done);
	EXPECT_EQ(0, myepoll_wait(self->ep, &ev, 1, 0));
}

TEST_F(lib, batch_waits_as_long_as_it_is_told)
{
	struct myepoll_change change = add(self->efd, 0, 1);
	struct timespec some = { .tv_nsec = 3000000 };
	unsigned int done = POISON32;
	int64_t begin = now_ns();
	struct epoll_event ev;

	EXPECT_EQ(0, myepoll_batch(self->ep, &change, 1, &done, &ev, 1, &some, NULL));
	EXPECT_LE(3000000, now_ns() - begin);
	EXPECT_EQ(1U, done);
}

/* As modules before 0.2.0 do it: no such ioctl. */
static int forbid_batches(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MYEPOLL_IOC_BATCH, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ?:
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

TEST_F(lib, batch_is_enosys_on_an_older_module)
{
	struct myepoll_change change = add(self->efd, EPOLLIN, 1);
	struct epoll_event ev;

	if (forbid_batches())
		SKIP(return, "no seccomp filters here: %s", strerror(errno));
	EXPECT_UNCHANGED(ENOSYS, self->ep, &change, 1, &ev, 1, NULL, NULL);
	EXPECT_UNCHANGED(ENOSYS, self->ep, &change, 1, NULL, 0, NULL, NULL);
	EXPECT_UNCHANGED(EINVAL, self->efd, &change, 1, &ev, 1, NULL, NULL);
	EXPECT_UNCHANGED(EINVAL, self->native, &change, 1, NULL, 0, NULL, NULL);
}

TEST_HARNESS_MAIN
