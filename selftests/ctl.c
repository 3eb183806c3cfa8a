// SPDX-License-Identifier: GPL-2.0-only
/*
 * epoll_ctl: every error, and the order in which they are looked for.  To prove
 * that A is looked for before B a call is made in which both are wrong.
 *
 * The module is called through ioctl(), so what is wrong with the descriptor of
 * the instance is found by the VFS, before all else: EBADF if it is not open,
 * and ENOTTY from a file that is no instance.
 */
#define _GNU_SOURCE
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "badptr.h"

#define EXCLUSIVE_MAY_HAVE						\
	(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP |	\
	 EPOLLET | EPOLLEXCLUSIVE)

#define UNKNOWN_OP 4

/*
 * ep: an instance; rd, wr: an empty pipe; file: a file that cannot be polled;
 * closed: a number that is not open; path: an O_PATH descriptor
 */
FIXTURE(ctl)
{
	int ep;
	int rd;
	int wr;
	int file;
	int closed;
	int path;
};

BACKEND_VARIANTS(ctl);

FIXTURE_SETUP(ctl)
{
	int fds[2];

	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	ASSERT_EQ(0, pipe(fds));
	self->rd = fds[0];
	self->wr = fds[1];
	self->file = memfd_create("ctl", 0);
	ASSERT_LE(0, self->file);
	self->path = open("/dev/null", O_PATH);
	ASSERT_LE(0, self->path);
	self->closed = fcntl(self->ep, F_DUPFD, 900);
	ASSERT_LE(900, self->closed);
	ASSERT_EQ(0, close(self->closed));
}

FIXTURE_TEARDOWN(ctl)
{
	close(self->ep);
}

/* ---- the event argument ---- */

TEST_F(ctl, event_that_cannot_be_read_is_efault)
{
	const struct backend *be = variant->be;
	static const int ops[] = { EPOLL_CTL_ADD, EPOLL_CTL_MOD };
	size_t i, room;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		EXPECT_ERR(EFAULT, be->ctl(self->ep, ops[i], self->rd, NULL));
		for (room = 0; room < sizeof(struct epoll_event); room++)
			EXPECT_ERR(EFAULT, be->ctl(self->ep, ops[i], self->rd,
						   room_for(room)));
	}
	EXPECT_ERR(ENOENT, xdel(be, self->ep, self->rd));
}

TEST_F(ctl, event_in_the_kernels_range_is_efault)
{
	EXPECT_ERR(EFAULT, variant->be->ctl(self->ep, EPOLL_CTL_ADD, self->rd,
					    KERNEL_RANGE));
}

TEST_F(ctl, event_may_end_where_memory_ends)
{
	struct epoll_event out, *ev = room_for(sizeof(*ev));

	ASSERT_NE(NULL, ev);
	ev->events = EPOLLOUT;
	ev->data.u64 = 0x0123456789abcdef;
	ASSERT_EQ(0, variant->be->ctl(self->ep, EPOLL_CTL_ADD, self->wr, ev));
	ASSERT_EQ(1, wait0(variant->be, self->ep, &out, 1));
	EXPECT_EQ((uint32_t)EPOLLOUT, out.events);
	EXPECT_EQ(0x0123456789abcdefULL, out.data.u64);
}

TEST_F(ctl, efault_comes_before_everything_about_fd)
{
	const struct backend *be = variant->be;

	EXPECT_ERR(EFAULT, be->ctl(self->ep, EPOLL_CTL_ADD, self->closed, NULL));
	EXPECT_ERR(EFAULT, be->ctl(self->ep, EPOLL_CTL_ADD, self->path, NULL));
	EXPECT_ERR(EFAULT, be->ctl(self->ep, EPOLL_CTL_MOD, self->file, NULL));
	EXPECT_ERR(EFAULT, be->ctl(self->ep, EPOLL_CTL_ADD, self->ep, NULL));
}

TEST_F(ctl, unknown_op_reads_the_event_first)
{
	const struct backend *be = variant->be;

	EXPECT_ERR(EFAULT, be->ctl(self->ep, UNKNOWN_OP, self->rd, NULL));
	EXPECT_ERR(EFAULT, be->ctl(self->ep, 0, self->closed, NULL));
	EXPECT_ERR(EFAULT, be->ctl(self->ep, -1, self->rd, NULL));
}

TEST_F(ctl, del_does_not_look_at_the_event)
{
	const struct backend *be = variant->be;
	void *hole = unmapped();

	ASSERT_NE(NULL, hole);
	ASSERT_EQ(0, xadd(be, self->ep, self->rd, EPOLLIN, 0));
	EXPECT_EQ(0, be->ctl(self->ep, EPOLL_CTL_DEL, self->rd, NULL));
	ASSERT_EQ(0, xadd(be, self->ep, self->rd, EPOLLIN, 0));
	EXPECT_EQ(0, be->ctl(self->ep, EPOLL_CTL_DEL, self->rd, hole));
}

/* ---- the instance: the VFS is first in the module's case ---- */

TEST_F(ctl, closed_epfd_is_ebadf)
{
	const struct backend *be = variant->be;

	EXPECT_ERR(EBADF, xadd(be, self->closed, self->rd, EPOLLIN, 0));
	EXPECT_ERR(EBADF, xadd(be, -1, self->rd, EPOLLIN, 0));
	EXPECT_ERR(EBADF, xadd(be, INT_MAX, self->rd, EPOLLIN, 0));
	EXPECT_ERR(EBADF, xdel(be, self->closed, self->rd));
	EXPECT_ERR(EBADF, xdel(be, self->closed, self->file));
}

TEST_F(ctl, epfd_that_is_only_a_path_is_ebadf)
{
	EXPECT_ERR(EBADF, xadd(variant->be, self->path, self->rd, EPOLLIN, 0));
}

TEST_F(ctl, closed_epfd_and_bad_event)
{
	int err = variant->be->plain ? EBADF : EFAULT;

	EXPECT_ERR(err, variant->be->ctl(self->closed, EPOLL_CTL_ADD, self->rd,
					 NULL));
}

TEST_F(ctl, epfd_that_is_no_instance)
{
	const struct backend *be = variant->be;
	int err = be->plain ? ENOTTY : EINVAL;
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);

	ASSERT_LE(0, sock);
	EXPECT_ERR(err, xadd(be, self->wr, self->rd, EPOLLIN, 0));
	EXPECT_ERR(err, xadd(be, self->file, self->rd, EPOLLIN, 0));
	EXPECT_ERR(err, xadd(be, sock, self->rd, EPOLLIN, 0));
	EXPECT_ERR(err, xmod(be, self->wr, self->rd, EPOLLIN, 0));
	EXPECT_ERR(err, xdel(be, self->wr, self->rd));
}

TEST_F(ctl, epfd_that_is_no_instance_comes_after_fd)
{
	const struct backend *be = variant->be;

	EXPECT_ERR(be->plain ? ENOTTY : EFAULT,
		   be->ctl(self->wr, EPOLL_CTL_ADD, self->rd, NULL));
	EXPECT_ERR(be->plain ? ENOTTY : EBADF,
		   xadd(be, self->wr, self->closed, EPOLLIN, 0));
	EXPECT_ERR(be->plain ? ENOTTY : EPERM,
		   xadd(be, self->wr, self->file, EPOLLIN, 0));
}

/* Neither epoll takes the other's instance for its own. */
TEST_F(ctl, epfd_of_the_other_epoll)
{
	const struct backend *be = variant->be;
	int native = backend_native.create(EPOLL_CLOEXEC);
	struct epoll_event ev;

	ASSERT_LE(0, native);
	if (!be->ours || be->both) {
		EXPECT_EQ(0, xadd(be, native, self->wr, EPOLLOUT, 0));
		EXPECT_EQ(1, wait0(&backend_native, native, &ev, 1));
		return;
	}
	EXPECT_ERR(EINVAL, xadd(&backend_native, self->ep, self->wr, EPOLLOUT, 0));
	EXPECT_EQ(-1, xadd(be, native, self->wr, EPOLLOUT, 0));
	/* ENOTTY up to 6.8, EINVAL once native epoll has ioctls of its own */
	EXPECT_TRUE(errno == ENOTTY || errno == EINVAL);
	EXPECT_EQ(0, wait0(be, self->ep, &ev, 1));
	EXPECT_EQ(0, wait0(&backend_native, native, &ev, 1));
}

/* ---- the descriptor to watch ---- */

TEST_F(ctl, closed_fd_is_ebadf)
{
	const struct backend *be = variant->be;

	EXPECT_ERR(EBADF, xadd(be, self->ep, self->closed, EPOLLIN, 0));
	EXPECT_ERR(EBADF, xmod(be, self->ep, self->closed, EPOLLIN, 0));
	EXPECT_ERR(EBADF, xdel(be, self->ep, self->closed));
	EXPECT_ERR(EBADF, xadd(be, self->ep, -1, EPOLLIN, 0));
	EXPECT_ERR(EBADF, xadd(be, self->ep, INT_MIN, EPOLLIN, 0));
	EXPECT_ERR(EBADF, xadd(be, self->ep, INT_MAX, EPOLLIN, 0));
}

TEST_F(ctl, fd_that_is_only_a_path_is_ebadf)
{
	EXPECT_ERR(EBADF, xadd(variant->be, self->ep, self->path, EPOLLIN, 0));
	EXPECT_ERR(EBADF, xdel(variant->be, self->ep, self->path));
}

TEST_F(ctl, ebadf_comes_before_op_and_bits)
{
	const struct backend *be = variant->be;

	EXPECT_ERR(EBADF, xctl(be, self->ep, UNKNOWN_OP, self->closed, 0, 0));
	EXPECT_ERR(EBADF, xmod(be, self->ep, self->closed, EPOLLEXCLUSIVE, 0));
	EXPECT_ERR(EBADF, xadd(be, self->ep, self->closed,
			       EPOLLEXCLUSIVE | EPOLLONESHOT, 0));
}

TEST_F(ctl, files_that_cannot_be_polled_are_eperm)
{
	const struct backend *be = variant->be;
	int null = open("/dev/null", O_RDWR);
	int dir = open("/", O_RDONLY | O_DIRECTORY);

	ASSERT_LE(0, null);
	ASSERT_LE(0, dir);
	EXPECT_ERR(EPERM, xadd(be, self->ep, self->file, EPOLLIN, 0));
	EXPECT_ERR(EPERM, xadd(be, self->ep, null, EPOLLIN, 0));
	EXPECT_ERR(EPERM, xadd(be, self->ep, dir, EPOLLIN, 0));
	EXPECT_ERR(EPERM, xmod(be, self->ep, self->file, EPOLLIN, 0));
	EXPECT_ERR(EPERM, xdel(be, self->ep, self->file));
}

TEST_F(ctl, eperm_comes_before_op_and_bits)
{
	const struct backend *be = variant->be;

	EXPECT_ERR(EPERM, xctl(be, self->ep, UNKNOWN_OP, self->file, 0, 0));
	EXPECT_ERR(EPERM, xmod(be, self->ep, self->file, EPOLLEXCLUSIVE, 0));
	EXPECT_ERR(EPERM, xadd(be, self->ep, self->file,
			       EPOLLEXCLUSIVE | EPOLLONESHOT, 0));
}

TEST_F(ctl, the_instance_itself_is_einval)
{
	const struct backend *be = variant->be;
	int twin = dup(self->ep);

	ASSERT_LE(0, twin);
	EXPECT_ERR(EINVAL, xadd(be, self->ep, self->ep, EPOLLIN, 0));
	EXPECT_ERR(EINVAL, xadd(be, self->ep, twin, EPOLLIN, 0));
	EXPECT_ERR(EINVAL, xmod(be, self->ep, self->ep, EPOLLIN, 0));
	EXPECT_ERR(EINVAL, xdel(be, self->ep, twin));
}

/* ---- EPOLLEXCLUSIVE ---- */

TEST_F(ctl, exclusive_goes_with_few_other_bits)
{
	const struct backend *be = variant->be;
	uint32_t bit, events;

	for (bit = 1; bit; bit <<= 1) {
		events = EPOLLEXCLUSIVE | bit;
		errno = 0;
		if (events & ~EXCLUSIVE_MAY_HAVE) {
			EXPECT_EQ(-1, xadd(be, self->ep, self->rd, events, 0))
				TH_LOG("events %#x", events);
			EXPECT_EQ(EINVAL, errno);
			continue;
		}
		EXPECT_EQ(0, xadd(be, self->ep, self->rd, events, 0))
			TH_LOG("events %#x: errno %d", events, errno);
		EXPECT_EQ(0, xdel(be, self->ep, self->rd));
	}
}

TEST_F(ctl, every_bit_is_fine_without_exclusive)
{
	const struct backend *be = variant->be;
	uint32_t bit;

	for (bit = 1; bit; bit <<= 1) {
		if (bit == EPOLLEXCLUSIVE)
			continue;
		EXPECT_EQ(0, xadd(be, self->ep, self->rd, bit, 0));
		EXPECT_EQ(0, xmod(be, self->ep, self->rd, bit, 0));
		EXPECT_EQ(0, xdel(be, self->ep, self->rd));
	}
	EXPECT_EQ(0, xadd(be, self->ep, self->rd, ~EPOLLEXCLUSIVE, 0));
}

TEST_F(ctl, exclusive_cannot_come_by_mod)
{
	const struct backend *be = variant->be;

	EXPECT_ERR(EINVAL, xmod(be, self->ep, self->rd,
				EPOLLEXCLUSIVE | EPOLLIN, 0));
	ASSERT_EQ(0, xadd(be, self->ep, self->rd, EPOLLIN, 0));
	EXPECT_ERR(EINVAL, xmod(be, self->ep, self->rd,
				EPOLLEXCLUSIVE | EPOLLIN, 0));
}

TEST_F(ctl, exclusive_watch_cannot_be_modified)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->rd, EPOLLEXCLUSIVE | EPOLLIN, 0));
	EXPECT_ERR(EINVAL, xmod(be, self->ep, self->rd, EPOLLIN, 0));
	EXPECT_ERR(EINVAL, xmod(be, self->ep, self->rd,
				EPOLLEXCLUSIVE | EPOLLIN, 0));
}

TEST_F(ctl, exclusive_watch_can_be_deleted)
{
	const struct backend *be = variant->be;

	ASSERT_EQ(0, xadd(be, self->ep, self->rd, EPOLLEXCLUSIVE | EPOLLIN, 0));
	EXPECT_EQ(0, xdel(be, self->ep, self->rd));
	EXPECT_ERR(ENOENT, xdel(be, self->ep, self->rd));
	EXPECT_EQ(0, xadd(be, self->ep, self->rd, EPOLLIN, 0));
}

TEST_F(ctl, exclusive_is_not_for_instances)
{
	const struct backend *be = variant->be;
	int inner = be->create(EPOLL_CLOEXEC);

	ASSERT_LE(0, inner);
	EXPECT_ERR(EINVAL, xadd(be, self->ep, inner,
				EPOLLEXCLUSIVE | EPOLLIN, 0));
	EXPECT_ERR(ENOENT, xdel(be, self->ep, inner));
}

TEST_F(ctl, exclusive_rules_come_before_the_lookup)
{
	const struct backend *be = variant->be;
	int outer = be->create(EPOLL_CLOEXEC);

	ASSERT_LE(0, outer);
	ASSERT_EQ(0, xadd(be, self->ep, self->rd, EPOLLIN, 0));
	EXPECT_ERR(EINVAL, xadd(be, self->ep, self->rd,
				EPOLLEXCLUSIVE | EPOLLONESHOT, 0));
	ASSERT_EQ(0, xadd(be, outer, self->ep, EPOLLIN, 0));
	EXPECT_ERR(EINVAL, xadd(be, self->ep, outer,
				EPOLLEXCLUSIVE | EPOLLIN, 0));
	EXPECT_ERR(ELOOP, xadd(be, self->ep, outer, EPOLLIN, 0));
}

/* ---- lookup ---- */

TEST_F(ctl, second_add_is_eexist_and_changes_nothing)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;

	ASSERT_EQ(0, xadd(be, self->ep, self->wr, EPOLLOUT, 1));
	EXPECT_ERR(EEXIST, xadd(be, self->ep, self->wr, EPOLLIN, 2));
	EXPECT_ERR(EEXIST, xadd(be, self->ep, self->wr,
				EPOLLEXCLUSIVE | EPOLLOUT, 2));
	ASSERT_EQ(1, wait0(be, self->ep, &ev, 1));
	EXPECT_EQ(1U, ev.data.u64);
}

TEST_F(ctl, absent_watch_is_enoent)
{
	const struct backend *be = variant->be;

	EXPECT_ERR(ENOENT, xmod(be, self->ep, self->rd, EPOLLIN, 0));
	EXPECT_ERR(ENOENT, xdel(be, self->ep, self->rd));
	ASSERT_EQ(0, xadd(be, self->ep, self->rd, EPOLLIN, 0));
	ASSERT_EQ(0, xdel(be, self->ep, self->rd));
	EXPECT_ERR(ENOENT, xdel(be, self->ep, self->rd));
	EXPECT_ERR(ENOENT, xmod(be, self->ep, self->rd, EPOLLIN, 0));
}

TEST_F(ctl, unknown_ops_are_einval)
{
	static const int ops[] = { 0, 4, 5, -1, 0x101, INT_MAX, INT_MIN };
	const struct backend *be = variant->be;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ops); i++)
		EXPECT_ERR(EINVAL, xctl(be, self->ep, ops[i], self->rd,
					EPOLLIN, 0));
	ASSERT_EQ(0, xadd(be, self->ep, self->rd, EPOLLIN, 0));
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		EXPECT_ERR(EINVAL, xctl(be, self->ep, ops[i], self->rd,
					EPOLLIN, 0));
	EXPECT_EQ(0, xdel(be, self->ep, self->rd));
}

/* ---- loops ---- */

TEST_F(ctl, loop_of_instances_is_eloop)
{
	const struct backend *be = variant->be;
	int mid = be->create(EPOLL_CLOEXEC);
	int inner = be->create(EPOLL_CLOEXEC);

	ASSERT_LE(0, mid);
	ASSERT_LE(0, inner);
	ASSERT_EQ(0, xadd(be, self->ep, mid, EPOLLIN, 0));
	ASSERT_EQ(0, xadd(be, mid, inner, EPOLLIN, 0));
	EXPECT_ERR(ELOOP, xadd(be, inner, self->ep, EPOLLIN, 0));
	EXPECT_ERR(ELOOP, xadd(be, mid, self->ep, EPOLLIN, 0));
	EXPECT_ERR(EEXIST, xadd(be, self->ep, mid, EPOLLIN, 0));
	EXPECT_ERR(ENOENT, xmod(be, inner, self->ep, EPOLLIN, 0));
	EXPECT_ERR(ENOENT, xdel(be, inner, self->ep));
	ASSERT_EQ(0, xdel(be, mid, inner));
	EXPECT_EQ(0, xadd(be, inner, self->ep, EPOLLIN, 0));
}

/* A wanted difference: a native instance is refused, as a loop neither sees. */
TEST_F(ctl, native_instance_as_target)
{
	const struct backend *be = variant->be;
	int inner = backend_native.create(EPOLL_CLOEXEC);

	ASSERT_LE(0, inner);
	if (be->ours)
		EXPECT_ERR(ELOOP, xadd(be, self->ep, inner, EPOLLIN, 0));
	else
		EXPECT_EQ(0, xadd(be, self->ep, inner, EPOLLIN, 0));
}

TEST_HARNESS_MAIN
