// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 32-bit program on a 64-bit kernel: the essentials of create, ctl, wait and
 * the ABI, where addresses, masks and times could be read wrongly.
 *
 * Build with -m32.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "badptr.h"
#include "layout.h"

static_assert(sizeof(void *) == 4, "this is for 32 bits");
#ifdef __i386__
static_assert(sizeof(struct epoll_event) == 12, "epoll_event");
#endif

#define MAXEVENTS_MAX ((int)(INT_MAX / sizeof(struct epoll_event)))
#define FILES 4

/* The last page of the address space, where nothing can be mapped */
#define TOP_OF_MEMORY ((void *)-PAGE)

/* A signal whose bit is in the upper half of a mask */
#define HIGH_SIGNAL 40

static atomic_int handled;

static void count_signal(int sig)
{
	atomic_fetch_add(&handled, 1);
}

/* ep: an instance; fd: eventfds, not watched, readable */
FIXTURE(compat32)
{
	int ep;
	int fd[FILES];
};

BACKEND_VARIANTS(compat32);

FIXTURE_SETUP(compat32)
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

FIXTURE_TEARDOWN(compat32)
{
	close(self->ep);
}

/* pwait2 with the timespec as the kernel sees it */
static int pwait2_raw(const struct backend *be, int ep, struct epoll_event *ev,
		      const struct backend_timespec *ts)
{
	struct myepoll_wait wait = {
		.events = (uintptr_t)ev,
		.maxevents = 1,
		.flags = MYEPOLL_WAIT_TIMEOUT_PTR,
		.timeout_sec = (uintptr_t)ts,
	};

	return be->ours ? ioctl(ep, MYEPOLL_IOC_WAIT, &wait) :
			  syscall(SYS_epoll_pwait2, ep, ev, 1, ts, NULL, 0);
}

TEST_F(compat32, create_checks_its_flags)
{
	int ep = variant->be->create(0);

	ASSERT_LE(0, ep);
	EXPECT_EQ(0, fcntl(ep, F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->ep, F_GETFD));
	EXPECT_ERR(EINVAL, variant->be->create(1));
}

TEST_F(compat32, data_keeps_its_64_bits)
{
	const struct backend *be = variant->be;
	struct epoll_event ev[FILES + 1];
	int i;

	for (i = 0; i < FILES; i++)
		ASSERT_EQ(0, xadd(be, self->ep, self->fd[i], EPOLLIN,
				  0xfedcba9876543210ULL + i));
	ASSERT_EQ(FILES, wait0(be, self->ep, ev, FILES + 1));
	for (i = 0; i < FILES; i++) {
		EXPECT_EQ((uint32_t)EPOLLIN, ev[i].events);
		EXPECT_EQ(0xfedcba9876543210ULL + i, ev[i].data.u64);
	}
	EXPECT_EQ(POISON32, ev[FILES].events);
	EXPECT_EQ(POISON64, ev[FILES].data.u64);
}

TEST_F(compat32, ctl_finds_its_errors)
{
	const struct backend *be = variant->be;
	int file = memfd_create("compat32", 0);

	ASSERT_LE(0, file);
	EXPECT_ERR(EFAULT, be->ctl(self->ep, EPOLL_CTL_ADD, self->fd[0], NULL));
	EXPECT_ERR(EFAULT, be->ctl(self->ep, EPOLL_CTL_ADD, self->fd[0],
				   TOP_OF_MEMORY));
	EXPECT_ERR(EBADF, xadd(be, self->ep, -1, EPOLLIN, 0));
	EXPECT_ERR(EPERM, xadd(be, self->ep, file, EPOLLIN, 0));
	EXPECT_ERR(EINVAL, xadd(be, self->ep, self->ep, EPOLLIN, 0));
	EXPECT_ERR(ENOENT, xmod(be, self->ep, self->fd[0], EPOLLIN, 0));
	EXPECT_ERR(ENOENT, xdel(be, self->ep, self->fd[0]));
	ASSERT_EQ(0, xadd(be, self->ep, self->fd[0], EPOLLIN, 0));
	EXPECT_ERR(EEXIST, xadd(be, self->ep, self->fd[0], EPOLLIN, 0));
	EXPECT_ERR(EINVAL, xctl(be, self->ep, 4, self->fd[0], EPOLLIN, 0));
	EXPECT_EQ(0, xmod(be, self->ep, self->fd[0], EPOLLOUT, 0));
	EXPECT_EQ(0, xdel(be, self->ep, self->fd[0]));
}

TEST_F(compat32, wait_checks_maxevents)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	/* no array of 32 bits, however long, ends in the kernel's range */
	EXPECT_ERR(EINVAL, be->wait(self->ep, &ev, 0, 0));
	EXPECT_ERR(EINVAL, be->wait(self->ep, &ev, -1, 0));
	EXPECT_ERR(EINVAL, be->wait(self->ep, &ev, MAXEVENTS_MAX + 1, 0));
	EXPECT_EQ(0, be->wait(self->ep, &ev, MAXEVENTS_MAX, 0));
}

/* To a 64-bit kernel every 32-bit address is in user space. */
TEST_F(compat32, array_at_the_top_of_memory)
{
	const struct backend *be = variant->be;

	EXPECT_EQ(0, be->wait(self->ep, TOP_OF_MEMORY, 1, 0));
	ASSERT_EQ(0, xadd(be, self->ep, self->fd[0], EPOLLIN, 0));
	EXPECT_ERR(EFAULT, be->wait(self->ep, TOP_OF_MEMORY, 1, 0));
	EXPECT_ERR(EFAULT, be->wait(self->ep, NULL, 1, 0));
}

TEST_F(compat32, events_that_do_not_fit_are_kept)
{
	const struct backend *be = variant->be;
	struct epoll_event ev[FILES], *room = room_for(2 * sizeof(*room));
	int i;

	ASSERT_TRUE(!!room);
	for (i = 0; i < FILES; i++)
		ASSERT_EQ(0, xadd(be, self->ep, self->fd[i], EPOLLIN | EPOLLET,
				  i));
	ASSERT_EQ(2, be->wait(self->ep, room, FILES, 0));
	ASSERT_EQ(2, wait0(be, self->ep, ev, FILES));
	EXPECT_EQ(2U, ev[0].data.u64);
	EXPECT_EQ(3U, ev[1].data.u64);
}

TEST_F(compat32, pwait_checks_its_mask)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;
	sigset_t none;

	sigemptyset(&none);
	EXPECT_ERR(EINVAL, be->pwait(self->ep, &ev, 1, 0, &none, 4));
	EXPECT_ERR(EINVAL, be->pwait(self->ep, &ev, 1, 0, &none, 16));
	EXPECT_ERR(EFAULT, be->pwait(self->ep, &ev, 1, 0, unmapped(),
				     KERNEL_SIGSETSIZE));
	EXPECT_EQ(0, be->pwait(self->ep, &ev, 1, 0, &none, KERNEL_SIGSETSIZE));
	EXPECT_EQ(0, be->pwait(self->ep, &ev, 1, 0, NULL, 4));
}

/* Blocks HIGH_SIGNAL, gives it a handler, and makes it pending. */
static int make_pending(void)
{
	sigset_t high;

	sigemptyset(&high);
	sigaddset(&high, HIGH_SIGNAL);
	if (signal(HIGH_SIGNAL, count_signal) == SIG_ERR ||
	    sigprocmask(SIG_BLOCK, &high, NULL))
		return -1;
	return raise(HIGH_SIGNAL);
}

TEST_F(compat32, mask_lets_a_high_signal_through)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;
	sigset_t mask, now;

	ASSERT_EQ(0, make_pending());
	sigfillset(&mask);
	sigdelset(&mask, HIGH_SIGNAL);
	EXPECT_ERR(EINTR, be->pwait(self->ep, &ev, 1, -1, &mask,
				    KERNEL_SIGSETSIZE));
	EXPECT_EQ(1, handled);
	ASSERT_EQ(0, sigprocmask(SIG_SETMASK, NULL, &now));
	EXPECT_EQ(1, sigismember(&now, HIGH_SIGNAL));
	EXPECT_EQ(0, sigismember(&now, SIGUSR1));
}

TEST_F(compat32, mask_keeps_a_high_signal_out)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;
	sigset_t mask;

	ASSERT_EQ(0, make_pending());
	sigemptyset(&mask);
	sigaddset(&mask, HIGH_SIGNAL);
	EXPECT_EQ(0, be->pwait(self->ep, &ev, 1, 20, &mask, KERNEL_SIGSETSIZE));
	EXPECT_EQ(0, handled);
}

TEST_F(compat32, pwait2_checks_its_timespec)
{
	static const struct backend_timespec bad[] = {
		{ .tv_sec = -1 }, { .tv_sec = INT64_MIN },
		{ .tv_nsec = 1000000000 }, { .tv_nsec = 0xffffffff },
	};
	const struct backend *be = variant->be;
	struct epoll_event ev;
	size_t i;

	ASSERT_EQ(0, xadd(be, self->ep, self->fd[0], EPOLLIN, 0));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_ERR(EINVAL, pwait2_raw(be, self->ep, &ev, &bad[i]));
	EXPECT_ERR(EFAULT, pwait2_raw(be, self->ep, &ev, unmapped()));
}

/* A 32-bit C library leaves junk in what it takes for padding. */
TEST_F(compat32, upper_half_of_the_nanoseconds_is_padding)
{
	const struct backend_timespec ts = {
		.tv_nsec = 0x7eadbeef00000000LL | 1000,
	};
	struct epoll_event ev;

	EXPECT_EQ(0, pwait2_raw(variant->be, self->ep, &ev, &ts));
}

/* In the shape of a backend's wait, for 2^32 seconds */
static int native_wait_long(int ep, struct epoll_event *ev, int max, int unused)
{
	const struct backend_timespec ts = { .tv_sec = 1LL << 32 };

	return pwait2_raw(&backend_native, ep, ev, &ts);
}

static int ours_wait_long(int ep, struct epoll_event *ev, int max, int unused)
{
	const struct backend_timespec ts = { .tv_sec = 1LL << 32 };

	return pwait2_raw(&backend_myepoll, ep, ev, &ts);
}

TEST_F(compat32, seconds_have_64_bits)
{
	const struct backend be = {
		.wait = variant->be->ours ? ours_wait_long : native_wait_long,
	};
	struct waiter w = { .be = &be, .ep = self->ep };

	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, xadd(variant->be, self->ep, self->fd[1], EPOLLIN, 0));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
}

TEST_F(compat32, timeouts_are_never_early)
{
	const struct timespec ts = { .tv_nsec = 12345678 };
	const struct backend *be = variant->be;
	struct epoll_event ev;
	int64_t start = now_ns();

	EXPECT_EQ(0, be->pwait2(self->ep, &ev, 1, &ts, NULL, 0));
	EXPECT_LE(12345678, now_ns() - start);
	start = now_ns();
	EXPECT_EQ(0, be->wait(self->ep, &ev, 1, 13));
	EXPECT_LE(13000000, now_ns() - start);
}

/* ---- the module alone ---- */

FIXTURE(abi32)
{
	int ep;
};

FIXTURE_SETUP(abi32)
{
	REQUIRE_BACKEND(&backend_myepoll);
	self->ep = open(MYEPOLL_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->ep);
}

FIXTURE_TEARDOWN(abi32)
{
	close(self->ep);
}

TEST_F(abi32, probe)
{
	struct myepoll_probe probe;

	poison(&probe, sizeof(probe));
	ASSERT_EQ(0, ioctl(self->ep, MYEPOLL_IOC_PROBE, &probe));
	EXPECT_EQ(MYEPOLL_ABI_VERSION, (int)probe.abi_version);
	EXPECT_EQ(0U, probe.reserved);
}

TEST_F(abi32, unknown_numbers_are_enotty)
{
	char arg[64] = "";

	EXPECT_ERR(ENOTTY, ioctl(self->ep, _IO(MYEPOLL_IOC_TYPE, 4), arg));
	EXPECT_ERR(ENOTTY, ioctl(self->ep, _IOR(MYEPOLL_IOC_TYPE, 2,
						struct myepoll_ctl), arg));
}

/* Addresses in structures have 64 bits: the upper half is not thrown away. */
TEST_F(abi32, address_above_32_bits_is_efault)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd = eventfd(1, EFD_CLOEXEC);
	struct myepoll_ctl ctl = {
		.op = EPOLL_CTL_ADD, .fd = fd,
		.event = (uintptr_t)&ev | 1ULL << 40,
	};
	struct myepoll_wait wait = {
		.events = (uintptr_t)&ev | 1ULL << 40, .maxevents = 1,
	};

	ASSERT_LE(0, fd);
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_CTL, &ctl));
	ASSERT_EQ(0, xadd(&backend_myepoll, self->ep, fd, EPOLLIN, 0));
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
}

/* Changes and a wait are found at their addresses, and with nothing cut off. */
TEST_F(abi32, batch_changes_and_waits)
{
	int fd = eventfd(1, EFD_CLOEXEC);
	struct epoll_event ev;
	struct myepoll_change change = {
		.op = EPOLL_CTL_ADD, .fd = fd, .events = EPOLLIN,
		.data = 0xfedcba9876543210ULL,
	};
	struct myepoll_wait wait = { .events = (uintptr_t)&ev, .maxevents = 1 };
	struct myepoll_batch batch = {
		.changes = (uintptr_t)&change | 1ULL << 40, .nr = 1,
		.done = POISON32, .wait = (uintptr_t)&wait | 1ULL << 40,
		.waitsize = sizeof(wait),
	};

	ASSERT_LE(0, fd);
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_BATCH, &batch));
	EXPECT_EQ(0U, batch.done);
	batch.wait = (uintptr_t)&wait;
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_BATCH, &batch));
	EXPECT_EQ(0U, batch.done);
	batch.changes = (uintptr_t)&change;
	ASSERT_EQ(1, ioctl(self->ep, MYEPOLL_IOC_BATCH, &batch));
	EXPECT_EQ(1U, batch.done);
	EXPECT_EQ(0xfedcba9876543210ULL, ev.data.u64);
	EXPECT_ERR(EEXIST, ioctl(self->ep, MYEPOLL_IOC_BATCH, &batch));
	EXPECT_EQ(0U, batch.done);
}

TEST_F(abi32, params_round_trip)
{
	struct myepoll_params set = {
		.busy_poll_usecs = 9, .busy_poll_budget = 8,
		.prefer_busy_poll = 1,
	};
	struct myepoll_params get;

	poison(&get, sizeof(get));
	if (ioctl(self->ep, MYEPOLL_IOC_GPARAMS, &get) && errno == EOPNOTSUPP)
		SKIP(return, "the kernel cannot busy poll");
	ASSERT_EQ(0, ioctl(self->ep, MYEPOLL_IOC_SPARAMS, &set));
	ASSERT_EQ(0, ioctl(self->ep, MYEPOLL_IOC_GPARAMS, &get));
	EXPECT_EQ(0, memcmp(&set, &get, sizeof(set)));
}

TEST_HARNESS_MAIN
