// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making an instance: flags, errors and their order, what the descriptor is,
 * and whose limit the watches of an instance count against.
 *
 * epoll_create1() on one side, MYEPOLL_IOC_CREATE on the other.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "users.h"

/* donor: an instance open before the tests, to be asked for further ones */
FIXTURE(create)
{
	int donor;
	struct sysctl_saved file_max;
	struct sysctl_saved limit;
};

BACKEND_VARIANTS(create);

FIXTURE_SETUP(create)
{
	REQUIRE_BACKEND(variant->be);
	self->donor = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->donor);
}

FIXTURE_TEARDOWN(create)
{
	sysctl_restore(&self->file_max);
	sysctl_restore(&self->limit);
	close(self->donor);
}

/* be->create() without the open() that the module's side needs before it */
static int create_from(const struct backend *be, int donor, int flags)
{
	struct myepoll_create create = { .flags = flags };

	return be->plain ? ioctl(donor, MYEPOLL_IOC_CREATE, &create) :
			   be->create(flags);
}

TEST_F(create, no_flags_means_no_cloexec)
{
	int ep = create_from(variant->be, self->donor, 0);

	ASSERT_LE(0, ep);
	EXPECT_EQ(0, fcntl(ep, F_GETFD));
}

TEST_F(create, cloexec_is_set_on_the_descriptor)
{
	int ep = create_from(variant->be, self->donor, EPOLL_CLOEXEC);

	ASSERT_LE(0, ep);
	EXPECT_EQ(FD_CLOEXEC, fcntl(ep, F_GETFD));
}

TEST_F(create, every_other_flag_bit_is_einval)
{
	uint32_t bit;
	int ep;

	for (bit = 1; bit; bit <<= 1) {
		if (bit == EPOLL_CLOEXEC)
			continue;
		errno = 0;
		ep = create_from(variant->be, self->donor, bit | EPOLL_CLOEXEC);
		EXPECT_EQ(-1, ep)
			TH_LOG("flag %#x", bit);
		EXPECT_EQ(EINVAL, errno);
	}
}

TEST_F(create, takes_the_lowest_free_number)
{
	int low = dup(self->donor);
	int ep;

	ASSERT_LE(0, low);
	close(low);
	ep = create_from(variant->be, self->donor, 0);
	EXPECT_EQ(low, ep);
}

TEST_F(create, instances_are_independent)
{
	const struct backend *be = variant->be;
	struct epoll_event ev;
	int a = create_from(be, self->donor, 0);
	int b = create_from(be, self->donor, 0);
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, xadd(be, a, fds[1], EPOLLOUT, 7));
	EXPECT_EQ(0, wait0(be, b, &ev, 1));
	EXPECT_EQ(0, wait0(be, self->donor, &ev, 1));
	EXPECT_EQ(1, wait0(be, a, &ev, 1));
	EXPECT_EQ(-1, xdel(be, b, fds[1]));
	EXPECT_EQ(ENOENT, errno);
	close(self->donor);
	EXPECT_EQ(1, wait0(be, a, &ev, 1));
}

/* Leave no free descriptor number below the limit. */
static int fill_descriptors(int donor)
{
	struct rlimit lim = { .rlim_cur = donor + 16, .rlim_max = donor + 16 };

	if (setrlimit(RLIMIT_NOFILE, &lim))
		return -1;
	while (dup(donor) >= 0)
		;
	return errno == EMFILE ? 0 : -1;
}

TEST_F(create, emfile_at_the_descriptor_limit)
{
	int last;

	ASSERT_EQ(0, fill_descriptors(self->donor));
	EXPECT_EQ(-1, create_from(variant->be, self->donor, 0));
	EXPECT_EQ(EMFILE, errno);
	last = self->donor + 15;
	ASSERT_EQ(0, close(last));
	EXPECT_EQ(last, create_from(variant->be, self->donor, 0));
}

TEST_F(create, einval_comes_before_emfile)
{
	ASSERT_EQ(0, fill_descriptors(self->donor));
	EXPECT_EQ(-1, create_from(variant->be, self->donor, 1));
	EXPECT_EQ(EINVAL, errno);
}

/* Runs in a child without privileges while the system may open no more files */
static int create_without_files(const struct backend *be, int donor, int go,
				bool descriptors_too)
{
	char byte;

	if (descriptors_too && fill_descriptors(donor))
		return 0;
	if (become_for_good(UID_A) || read(go, &byte, 1) != 1)
		return 0;
	return create_from(be, donor, 0) < 0 ? errno : 0;
}

static int create_at_file_max(struct __test_metadata *_metadata,
			      struct sysctl_saved *saved,
			      const struct backend *be, int donor,
			      bool descriptors_too)
{
	int go[2], status;
	pid_t child;

	ASSERT_EQ(0, pipe(go));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(create_without_files(be, donor, go[0], descriptors_too));
	ASSERT_EQ(0, sysctl_set(saved, "/proc/sys/fs/file-max", "0"));
	ASSERT_EQ(1, write(go[1], "", 1));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, sysctl_restore(saved));
	ASSERT_TRUE(WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST_F(create, enfile_at_the_file_limit_of_the_system)
{
	if (geteuid())
		SKIP(return, "needs root to set fs.file-max");
	EXPECT_EQ(ENFILE, create_at_file_max(_metadata, &self->file_max,
					     variant->be, self->donor, false));
}

TEST_F(create, emfile_comes_before_enfile)
{
	if (geteuid())
		SKIP(return, "needs root to set fs.file-max");
	EXPECT_EQ(EMFILE, create_at_file_max(_metadata, &self->file_max,
					     variant->be, self->donor, true));
}

TEST_F(create, file_is_open_for_reading_and_writing)
{
	int ep = create_from(variant->be, self->donor, 0);

	ASSERT_LE(0, ep);
	EXPECT_EQ(O_RDWR, fcntl(ep, F_GETFL) & (O_ACCMODE | O_NONBLOCK |
						O_APPEND | O_ASYNC | O_PATH));
	EXPECT_EQ(0, fcntl(ep, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(O_NONBLOCK, fcntl(ep, F_GETFL) & O_NONBLOCK);
}

TEST_F(create, stat_shows_mode_0600_and_no_type)
{
	struct stat st;
	int ep = create_from(variant->be, self->donor, 0);

	ASSERT_LE(0, ep);
	poison(&st, sizeof(st));
	ASSERT_EQ(0, fstat(ep, &st));
	EXPECT_EQ(0600U, st.st_mode);
	EXPECT_EQ(0, st.st_size);
}

/* A wanted difference: the name says which epoll it is. */
TEST_F(create, link_in_proc_names_the_kind)
{
	char path[64], text[64] = "";
	int ep = create_from(variant->be, self->donor, 0);

	ASSERT_LE(0, ep);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ep);
	ASSERT_LT(0, readlink(path, text, sizeof(text) - 1));
	EXPECT_STREQ(variant->be->ours ? "anon_inode:[myepoll]" :
					 "anon_inode:[eventpoll]", text);
}

TEST_F(create, link_in_proc_cannot_be_opened)
{
	char path[64];
	int ep = create_from(variant->be, self->donor, 0);

	ASSERT_LE(0, ep);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ep);
	EXPECT_EQ(-1, open(path, O_RDWR));
	EXPECT_EQ(ENXIO, errno);
}

TEST_F(create, read_and_write_are_einval)
{
	char buf[8] = "";
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	int ep = create_from(variant->be, self->donor, 0);

	ASSERT_LE(0, ep);
	EXPECT_EQ(-1, read(ep, buf, sizeof(buf)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(ep, buf, sizeof(buf)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, readv(ep, &iov, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, writev(ep, &iov, 1));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(create, reads_at_a_position_are_espipe)
{
	char buf[8] = "";
	int ep = create_from(variant->be, self->donor, 0);

	ASSERT_LE(0, ep);
	EXPECT_EQ(-1, pread(ep, buf, sizeof(buf), 0));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, pwrite(ep, buf, sizeof(buf), 0));
	EXPECT_EQ(ESPIPE, errno);
}

TEST_F(create, seeking_succeeds_and_does_nothing)
{
	int ep = create_from(variant->be, self->donor, 0);

	ASSERT_LE(0, ep);
	EXPECT_EQ(0, lseek(ep, 5, SEEK_SET));
	EXPECT_EQ(0, lseek(ep, 5, SEEK_CUR));
	EXPECT_EQ(0, lseek(ep, 0, SEEK_END));
}

TEST_F(create, no_mapping_no_sync_no_size)
{
	int ep = create_from(variant->be, self->donor, 0);

	ASSERT_LE(0, ep);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, ep, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, fsync(ep));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ftruncate(ep, 0));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(create, locks_and_flags_work_as_on_any_file)
{
	int on = 1;
	int ep = create_from(variant->be, self->donor, 0);

	ASSERT_LE(0, ep);
	EXPECT_EQ(0, flock(ep, LOCK_EX | LOCK_NB));
	EXPECT_EQ(0, ioctl(ep, FIOCLEX));
	EXPECT_EQ(FD_CLOEXEC, fcntl(ep, F_GETFD));
	EXPECT_EQ(0, ioctl(ep, FIONBIO, &on));
	EXPECT_EQ(O_NONBLOCK, fcntl(ep, F_GETFL) & O_NONBLOCK);
}

/* Native epoll only: the old call exists as a system call or not at all. */
TEST(epoll_create_wants_a_positive_size)
{
#ifdef SYS_epoll_create
	int ep;

	EXPECT_EQ(-1, syscall(SYS_epoll_create, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, syscall(SYS_epoll_create, -1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, syscall(SYS_epoll_create, INT_MIN));
	EXPECT_EQ(EINVAL, errno);
	ep = syscall(SYS_epoll_create, INT_MAX);
	ASSERT_LE(0, ep);
	EXPECT_EQ(0, fcntl(ep, F_GETFD));
#else
	SKIP(return, "this architecture has only epoll_create1()");
#endif
}

/* Makes an instance as user @uid and comes back to being root. */
static int create_as(const struct backend *be, int donor, uid_t uid)
{
	int ep;

	if (become(uid))
		return -1;
	ep = create_from(be, donor, 0);
	if (become(0))
		return -1;
	return ep;
}

/*
 * With a limit of 2: B adds to A's instance until that is full; this leaves
 * all of B's own limit, and nothing of A's.
 */
TEST_F(create, watches_are_charged_to_the_creator)
{
	const struct backend *be = variant->be;
	int ep_a, ep_b, fds[2], spare;

	if (geteuid())
		SKIP(return, "needs root to change users and limits");
	ep_a = create_as(be, self->donor, UID_A);
	ep_b = create_as(be, self->donor, UID_B);
	ASSERT_LE(0, ep_a);
	ASSERT_LE(0, ep_b);
	ASSERT_EQ(0, pipe(fds));
	spare = dup(fds[0]);
	ASSERT_LE(0, spare);
	ASSERT_EQ(0, sysctl_set(&self->limit, watch_limit_path(be), "2"));

	ASSERT_EQ(0, become(UID_B));
	EXPECT_EQ(0, xadd(be, ep_a, fds[0], EPOLLIN, 0));
	EXPECT_EQ(0, xadd(be, ep_a, fds[1], EPOLLIN, 0));
	EXPECT_EQ(-1, xadd(be, ep_a, spare, EPOLLIN, 0));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(0, xadd(be, ep_b, fds[0], EPOLLIN, 0));

	ASSERT_EQ(0, become(UID_A));
	EXPECT_EQ(-1, xadd(be, ep_a, spare, EPOLLIN, 0));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(0, xadd(be, ep_b, fds[1], EPOLLIN, 0));
	EXPECT_EQ(-1, xadd(be, ep_b, spare, EPOLLIN, 0));
	EXPECT_EQ(ENOSPC, errno);
	ASSERT_EQ(0, become(0));
}

TEST_F(create, one_user_has_one_limit_for_all_instances)
{
	const struct backend *be = variant->be;
	int first, second, fds[2];

	if (geteuid())
		SKIP(return, "needs root to change users and limits");
	first = create_as(be, self->donor, UID_A);
	second = create_as(be, self->donor, UID_A);
	ASSERT_LE(0, first);
	ASSERT_LE(0, second);
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, sysctl_set(&self->limit, watch_limit_path(be), "1"));
	EXPECT_EQ(0, xadd(be, first, fds[0], EPOLLIN, 0));
	EXPECT_EQ(-1, xadd(be, second, fds[0], EPOLLIN, 0));
	EXPECT_EQ(ENOSPC, errno);
	close(first);
	EXPECT_EQ(0, xadd(be, second, fds[0], EPOLLIN, 0));
}

TEST_HARNESS_MAIN
