// SPDX-License-Identifier: GPL-2.0-only
/*
 * What only the module has: the device node, and the ioctls as such: numbers,
 * sizes, flags, reserved fields.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>

#include <linux/fs.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "badptr.h"
#include "layout.h"
#include "users.h"

#define MAX_FILE_WATCHES "/proc/sys/fs/myepoll/max_file_watches"

/* ep: the device, opened; fd: an eventfd, readable and watched */
FIXTURE(abi)
{
	int ep;
	int fd;
	struct sysctl_saved limit;
};

FIXTURE_SETUP(abi)
{
	REQUIRE_BACKEND(&backend_myepoll);
	self->ep = open(MYEPOLL_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->fd = eventfd(1, EFD_CLOEXEC);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, xadd(&backend_myepoll, self->ep, self->fd, EPOLLIN, 3));
}

FIXTURE_TEARDOWN(abi)
{
	sysctl_restore(&self->limit);
	close(self->ep);
}

/* ---- the device node ---- */

TEST_F(abi, every_open_is_an_instance_of_its_own)
{
	int other = open(MYEPOLL_DEVICE, O_RDWR);
	struct epoll_event ev;

	ASSERT_LE(0, other);
	EXPECT_EQ(1, wait0(&backend_myepoll, self->ep, &ev, 1));
	EXPECT_EQ(0, wait0(&backend_myepoll, other, &ev, 1));
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->ep, F_GETFD));
	EXPECT_EQ(0, fcntl(other, F_GETFD));
	EXPECT_EQ(0, xadd(&backend_myepoll, other, self->ep, EPOLLIN, 0));
}

TEST_F(abi, access_mode_does_not_matter)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	struct epoll_event ev;
	size_t i;
	int ep;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		ep = open(MYEPOLL_DEVICE, modes[i]);
		ASSERT_LE(0, ep);
		EXPECT_EQ(0, xadd(&backend_myepoll, ep, self->fd, EPOLLIN, 1));
		EXPECT_EQ(1, wait0(&backend_myepoll, ep, &ev, 1));
		EXPECT_EQ(0, close(ep));
	}
}

TEST_F(abi, opened_node_cannot_be_read_or_written)
{
	char buf[8] = "";

	EXPECT_ERR(EINVAL, read(self->ep, buf, sizeof(buf)));
	EXPECT_ERR(EINVAL, write(self->ep, buf, sizeof(buf)));
}

TEST_F(abi, opened_node_opens_again_as_a_new_instance)
{
	struct epoll_event ev;
	char path[64];
	int ep;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->ep);
	ep = open(path, O_RDWR);
	ASSERT_LE(0, ep);
	EXPECT_EQ(0, wait0(&backend_myepoll, ep, &ev, 1));
	EXPECT_ERR(ENOENT, xdel(&backend_myepoll, ep, self->fd));
}

/* ---- numbers ---- */

TEST_F(abi, unknown_numbers_are_enotty)
{
	char arg[256] = "";
	int nr;

	for (nr = 5; nr < 256; nr++) {
		EXPECT_ERR(ENOTTY, ioctl(self->ep, _IO(MYEPOLL_IOC_TYPE, nr),
					 arg));
		EXPECT_ERR(ENOTTY, ioctl(self->ep,
					 _IOC(_IOC_WRITE, MYEPOLL_IOC_TYPE, nr,
					      24), arg));
	}
}

TEST_F(abi, numbers_of_other_types_are_enotty)
{
	char arg[256] = "";

	EXPECT_ERR(ENOTTY, ioctl(self->ep, _IOW(0xE6, 2, struct myepoll_ctl),
				 arg));
	EXPECT_ERR(ENOTTY, ioctl(self->ep, _IOW(0x8A, 3, struct myepoll_params),
				 arg));
	EXPECT_ERR(ENOTTY, ioctl(self->ep, _IOW(0x8A, 0, struct myepoll_params),
				 arg));
	EXPECT_ERR(ENOTTY, ioctl(self->ep, 0, arg));
	EXPECT_ERR(ENOTTY, ioctl(self->ep, ~0UL, arg));
}

/*
 * The numbers of this ABI, taken apart, and what a structure that is too small
 * gets.  Those of native epoll have one size; another size is another number.
 */
static const struct {
	const char *name;
	unsigned int dir;
	unsigned int type;
	unsigned int nr;
	unsigned int size;
	int too_small;
} calls[] = {
	{ "PROBE", _IOC_READ, MYEPOLL_IOC_TYPE, 0, 16, EINVAL },
	{ "CREATE", _IOC_WRITE, MYEPOLL_IOC_TYPE, 1, 8, EINVAL },
	{ "CTL", _IOC_WRITE, MYEPOLL_IOC_TYPE, 2, 24, EINVAL },
	{ "WAIT", _IOC_WRITE, MYEPOLL_IOC_TYPE, 3, 48, EINVAL },
	{ "BATCH", _IOC_READ | _IOC_WRITE, MYEPOLL_IOC_TYPE, 4, 32, EINVAL },
	{ "SPARAMS", _IOC_WRITE, 0x8A, 1, 8, ENOTTY },
	{ "GPARAMS", _IOC_READ, 0x8A, 2, 8, ENOTTY },
};

/* The number of a call but for @dir and @size */
static unsigned int number(size_t i, unsigned int dir, unsigned int size)
{
	return _IOC(dir, calls[i].type, calls[i].nr, size);
}

TEST_F(abi, other_directions_are_enotty)
{
	char arg[256] = "";
	unsigned int dir, cmd;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		for (dir = 0; dir < 4; dir++) {
			if (dir == calls[i].dir)
				continue;
			cmd = number(i, dir, calls[i].size);
			EXPECT_ERR(ENOTTY, ioctl(self->ep, cmd, arg));
		}
	}
}

TEST_F(abi, smaller_structures_are_refused)
{
	unsigned int size, cmd;
	char arg[256];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		for (size = 0; size < calls[i].size; size++) {
			poison(arg, sizeof(arg));
			cmd = number(i, calls[i].dir, size);
			EXPECT_ERR(calls[i].too_small,
				   ioctl(self->ep, cmd, arg));
			EXPECT_EQ((char)POISON_BYTE, arg[0])
				TH_LOG("%s of %u bytes", calls[i].name, size);
		}
	}
}

/* Theirs do not grow. */
TEST_F(abi, larger_structures_of_native_numbers_are_enotty)
{
	char arg[256] = "";

	EXPECT_ERR(ENOTTY, ioctl(self->ep, _IOC(_IOC_WRITE, 0x8A, 1, 16), arg));
	EXPECT_ERR(ENOTTY, ioctl(self->ep, _IOC(_IOC_READ, 0x8A, 2, 16), arg));
}

/* ---- growth ---- */

/* The number of a call whose structure is of @size bytes */
#define SIZED(nr, size) number(nr, calls[nr].dir, size)

static const unsigned int larger[] = { 1, 3, 4, 8, 64, 1000 };

/* Makes the call with @extra zero bytes behind the structure, then with a 1. */
static void try_larger(struct __test_metadata *_metadata, int ep, int nr,
		       const void *arg, size_t size)
{
	unsigned char buf[2048];
	unsigned int cmd;
	size_t i, end;

	for (i = 0; i < ARRAY_SIZE(larger); i++) {
		end = size + larger[i];
		cmd = SIZED(nr, end);
		memset(buf, 0, sizeof(buf));
		memcpy(buf, arg, size);
		EXPECT_LE(0, ioctl(ep, cmd, buf))
			TH_LOG("%zu bytes: errno %d", end, errno);
		buf[end - 1] = 1;
		EXPECT_ERR(E2BIG, ioctl(ep, cmd, buf));
		buf[end - 1] = 0;
		buf[end] = 1;
		EXPECT_LE(0, ioctl(ep, cmd, buf));
	}
}

TEST_F(abi, larger_create_with_zero_tail)
{
	struct myepoll_create create = { .flags = EPOLL_CLOEXEC };

	try_larger(_metadata, self->ep, 1, &create, sizeof(create));
}

TEST_F(abi, larger_ctl_with_zero_tail)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct myepoll_ctl ctl = {
		.op = EPOLL_CTL_MOD, .fd = self->fd, .event = (uintptr_t)&ev,
	};

	try_larger(_metadata, self->ep, 2, &ctl, sizeof(ctl));
}

TEST_F(abi, larger_wait_with_zero_tail)
{
	struct epoll_event ev;
	struct myepoll_wait wait = { .events = (uintptr_t)&ev, .maxevents = 1 };

	try_larger(_metadata, self->ep, 3, &wait, sizeof(wait));
}

TEST_F(abi, larger_batch_with_zero_tail)
{
	struct myepoll_change change = { .op = EPOLL_CTL_MOD, .fd = self->fd };
	struct myepoll_batch batch = { .changes = (uintptr_t)&change, .nr = 1 };

	try_larger(_metadata, self->ep, 4, &batch, sizeof(batch));
}

TEST_F(abi, nonzero_tail_changes_nothing)
{
	struct {
		struct myepoll_ctl ctl;
		uint32_t tail;
	} arg = {
		.ctl = { .op = EPOLL_CTL_DEL, .fd = self->fd },
		.tail = 1,
	};
	struct epoll_event ev;

	EXPECT_ERR(E2BIG, ioctl(self->ep, SIZED(2, sizeof(arg)), &arg));
	EXPECT_EQ(1, wait0(&backend_myepoll, self->ep, &ev, 1));
	EXPECT_EQ(3U, ev.data.u64);
}

TEST_F(abi, tail_that_cannot_be_read_is_efault)
{
	struct myepoll_ctl *ctl = room_for(sizeof(*ctl));

	ASSERT_NE(NULL, ctl);
	memset(ctl, 0, sizeof(*ctl));
	ctl->op = EPOLL_CTL_DEL;
	ctl->fd = self->fd;
	EXPECT_ERR(EFAULT, ioctl(self->ep, SIZED(2, sizeof(*ctl) + 8), ctl));
	EXPECT_EQ(0, ioctl(self->ep, MYEPOLL_IOC_CTL, ctl));
}

TEST_F(abi, larger_probe_is_filled_with_zeros)
{
	unsigned char buf[2048];
	struct myepoll_probe known;
	size_t i, k, end;

	ASSERT_EQ(0, ioctl(self->ep, MYEPOLL_IOC_PROBE, &known));
	for (i = 0; i < ARRAY_SIZE(larger); i++) {
		end = sizeof(known) + larger[i];
		poison(buf, sizeof(buf));
		EXPECT_EQ(0, ioctl(self->ep,
				   _IOC(_IOC_READ, MYEPOLL_IOC_TYPE, 0, end),
				   buf));
		EXPECT_EQ(0, memcmp(buf, &known, sizeof(known)));
		for (k = sizeof(known); k < end; k++)
			EXPECT_EQ(0, buf[k]);
		EXPECT_EQ(POISON_BYTE, buf[end]);
	}
}

/* ---- the argument's address ---- */

TEST_F(abi, arguments_that_cannot_be_reached_are_efault)
{
	void *hole = unmapped();

	ASSERT_NE(NULL, hole);
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_PROBE, hole));
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_CREATE, hole));
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_CTL, hole));
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_WAIT, hole));
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_BATCH, hole));
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_PROBE, NULL));
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_CREATE, NULL));
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_CTL, KERNEL_RANGE));
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_WAIT, KERNEL_RANGE));
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_BATCH, KERNEL_RANGE));
}

TEST_F(abi, arguments_that_are_read_only_in_part_are_efault)
{
	struct myepoll_wait wait = { .maxevents = 1 };
	char *end = unmapped();
	size_t size;

	ASSERT_NE(NULL, end);
	for (size = 1; size < sizeof(wait); size += 13) {
		memcpy(end - size, &wait, size);
		EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_WAIT,
					 end - size));
	}
}

/* ---- CREATE ---- */

TEST_F(abi, create_refuses_reserved)
{
	struct myepoll_create create = { .flags = EPOLL_CLOEXEC, .reserved = 1 };
	int before = dup(self->ep), after;

	close(before);
	EXPECT_ERR(EINVAL, ioctl(self->ep, MYEPOLL_IOC_CREATE, &create));
	create.reserved = 1U << 31;
	EXPECT_ERR(EINVAL, ioctl(self->ep, MYEPOLL_IOC_CREATE, &create));
	after = dup(self->ep);
	EXPECT_EQ(before, after);
}

TEST_F(abi, created_instance_can_create)
{
	struct myepoll_create create = { 0 };
	int first = ioctl(self->ep, MYEPOLL_IOC_CREATE, &create);
	int second;

	ASSERT_LE(0, first);
	close(self->ep);
	second = ioctl(first, MYEPOLL_IOC_CREATE, &create);
	ASSERT_LE(0, second);
	close(first);
	EXPECT_EQ(0, xadd(&backend_myepoll, second, self->fd, EPOLLIN, 0));
}

/* ---- CTL ---- */

TEST_F(abi, ctl_refuses_flags_and_reserved_before_all_else)
{
	struct myepoll_ctl ctl = { .op = EPOLL_CTL_ADD, .fd = -1 };
	uint32_t bit;

	for (bit = 1; bit; bit <<= 1) {
		ctl.flags = bit;
		ctl.reserved = 0;
		EXPECT_ERR(EINVAL, ioctl(self->ep, MYEPOLL_IOC_CTL, &ctl));
		ctl.flags = 0;
		ctl.reserved = bit;
		EXPECT_ERR(EINVAL, ioctl(self->ep, MYEPOLL_IOC_CTL, &ctl));
	}
	ctl.reserved = 0;
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_CTL, &ctl));
}

/* A 64-bit address is not cut to 32 bits. */
TEST_F(abi, ctl_takes_all_bits_of_the_address)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct myepoll_ctl ctl = {
		.op = EPOLL_CTL_MOD, .fd = self->fd,
		.event = (uintptr_t)&ev | 1ULL << 63,
	};

	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_CTL, &ctl));
}

TEST_F(abi, no_more_watches_of_one_file_than_the_limit)
{
	const struct backend *be = &backend_myepoll;
	int a = be->create(0), b = be->create(0);
	int other = eventfd(0, 0);

	if (geteuid())
		SKIP(return, "needs root to set the limit");
	ASSERT_LE(0, a);
	ASSERT_LE(0, b);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, sysctl_set(&self->limit, MAX_FILE_WATCHES, "2"));
	EXPECT_EQ(0, xadd(be, a, self->fd, EPOLLIN, 0));
	EXPECT_ERR(ENOSPC, xadd(be, b, self->fd, EPOLLIN, 0));
	EXPECT_ERR(EEXIST, xadd(be, a, self->fd, EPOLLIN, 0));
	EXPECT_EQ(0, xadd(be, b, other, EPOLLIN, 0));
	EXPECT_EQ(0, xdel(be, a, self->fd));
	EXPECT_EQ(0, xadd(be, b, self->fd, EPOLLIN, 0));
}

/* ---- WAIT ---- */

/* An argument with which WAIT reports the event there is */
static struct myepoll_wait good_wait(struct epoll_event *ev)
{
	return (struct myepoll_wait){
		.events = (uintptr_t)ev, .maxevents = 1,
	};
}

TEST_F(abi, wait_refuses_unknown_flags_first)
{
	struct epoll_event ev;
	struct myepoll_wait wait = good_wait(&ev);
	void *hole = unmapped();
	uint32_t bit;

	ASSERT_NE(NULL, hole);
	wait.timeout_sec = (uintptr_t)hole;
	for (bit = 4; bit; bit <<= 1) {
		wait.flags = MYEPOLL_WAIT_TIMEOUT_PTR | bit;
		EXPECT_ERR(EINVAL, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
	}
	wait.flags = MYEPOLL_WAIT_TIMEOUT_PTR;
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
}

TEST_F(abi, wait_refuses_both_timeouts)
{
	struct epoll_event ev;
	struct myepoll_wait wait = good_wait(&ev);
	void *hole = unmapped();

	ASSERT_NE(NULL, hole);
	wait.flags = MYEPOLL_WAIT_TIMEOUT | MYEPOLL_WAIT_TIMEOUT_PTR;
	EXPECT_ERR(EINVAL, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
	wait.timeout_sec = (uintptr_t)hole;
	EXPECT_ERR(EINVAL, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
}

TEST_F(abi, wait_refuses_times_without_their_flag)
{
	struct timespec ts = { .tv_sec = 1 };
	struct epoll_event ev;
	struct myepoll_wait wait = good_wait(&ev);

	wait.timeout_sec = 1;
	EXPECT_ERR(EINVAL, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
	wait.timeout_sec = 0;
	wait.timeout_nsec = 1;
	EXPECT_ERR(EINVAL, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
	wait.flags = MYEPOLL_WAIT_TIMEOUT_PTR;
	wait.timeout_sec = (uintptr_t)&ts;
	EXPECT_ERR(EINVAL, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
	wait.timeout_nsec = 0;
	EXPECT_EQ(1, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
}

TEST_F(abi, wait_checks_an_inline_timeout)
{
	static const struct timespec bad[] = {
		{ .tv_sec = -1 }, { .tv_sec = LONG_MIN }, { .tv_nsec = -1 },
		{ .tv_nsec = 1000000000 }, { .tv_nsec = LONG_MAX },
	};
	struct epoll_event ev;
	struct myepoll_wait wait = good_wait(&ev);
	size_t i;

	wait.flags = MYEPOLL_WAIT_TIMEOUT;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		wait.timeout_sec = bad[i].tv_sec;
		wait.timeout_nsec = bad[i].tv_nsec;
		EXPECT_ERR(EINVAL, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
	}
	wait.timeout_sec = INT64_MAX;
	wait.timeout_nsec = 999999999;
	EXPECT_EQ(1, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
}

TEST_F(abi, wait_checks_the_time_before_the_mask)
{
	struct epoll_event ev;
	struct myepoll_wait wait = good_wait(&ev);

	wait.flags = MYEPOLL_WAIT_TIMEOUT;
	wait.timeout_nsec = -1;
	wait.sigmask = (uintptr_t)unmapped();
	wait.sigsetsize = KERNEL_SIGSETSIZE;
	EXPECT_ERR(EINVAL, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
	wait.timeout_nsec = 0;
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
}

TEST_F(abi, wait_with_an_inline_timeout_of_zero_is_a_look)
{
	struct epoll_event ev;
	struct myepoll_wait wait = good_wait(&ev);

	wait.flags = MYEPOLL_WAIT_TIMEOUT;
	EXPECT_EQ(1, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
	ASSERT_EQ(0, xdel(&backend_myepoll, self->ep, self->fd));
	EXPECT_EQ(0, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
}

TEST_F(abi, wait_does_not_write_to_its_argument)
{
	struct epoll_event ev;
	struct myepoll_wait wait = good_wait(&ev), copy;

	wait.flags = MYEPOLL_WAIT_TIMEOUT;
	wait.timeout_nsec = 1000;
	copy = wait;
	ASSERT_EQ(1, ioctl(self->ep, MYEPOLL_IOC_WAIT, &wait));
	EXPECT_EQ(0, memcmp(&copy, &wait, sizeof(wait)));
}

TEST_HARNESS_MAIN
