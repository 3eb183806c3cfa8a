// SPDX-License-Identifier: GPL-2.0-only
/*
 * PROBE: what the module says of itself, and that files of others can be asked.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "helpers.h"

/* ep: the device, opened; fd: an eventfd, readable */
FIXTURE(probe)
{
	int ep;
	int fd;
};

FIXTURE_SETUP(probe)
{
	REQUIRE_BACKEND(&backend_myepoll);
	self->ep = open(MYEPOLL_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->fd = eventfd(1, EFD_CLOEXEC);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(probe)
{
	close(self->ep);
}

TEST_F(probe, tells_version_and_features)
{
	struct myepoll_probe probe;

	poison(&probe, sizeof(probe));
	ASSERT_EQ(0, ioctl(self->ep, MYEPOLL_IOC_PROBE, &probe));
	EXPECT_EQ(MYEPOLL_ABI_VERSION, (int)probe.abi_version);
	EXPECT_EQ(0U, probe.reserved);
	EXPECT_EQ(0U, probe.features & ~(MYEPOLL_FEATURE_BUSY_POLL |
					 MYEPOLL_FEATURE_WAKEUP |
					 MYEPOLL_FEATURE_BATCH));
	EXPECT_NE(0U, probe.features & MYEPOLL_FEATURE_BATCH);
}

TEST_F(probe, of_a_created_instance_is_the_same)
{
	struct myepoll_probe node, anon;
	int ep = backend_myepoll.create(0);

	ASSERT_LE(0, ep);
	ASSERT_EQ(0, ioctl(self->ep, MYEPOLL_IOC_PROBE, &node));
	ASSERT_EQ(0, ioctl(ep, MYEPOLL_IOC_PROBE, &anon));
	EXPECT_EQ(0, memcmp(&node, &anon, sizeof(node)));
}

/* A file that is not ours says so, and leaves the buffer alone. */
static void probe_stranger(struct __test_metadata *_metadata, int fd)
{
	struct myepoll_probe probe;

	ASSERT_LE(0, fd);
	poison(&probe, sizeof(probe));
	errno = 0;
	EXPECT_EQ(-1, ioctl(fd, MYEPOLL_IOC_PROBE, &probe));
	EXPECT_TRUE(errno == ENOTTY || errno == EINVAL)
		TH_LOG("errno %d", errno);
	EXPECT_EQ(POISON32, probe.abi_version);
	EXPECT_EQ(POISON64, probe.features);
	close(fd);
}

TEST_F(probe, is_safe_on_files_of_others)
{
	int fds[2];

	probe_stranger(_metadata, memfd_create("abi", 0));
	probe_stranger(_metadata, open("/", O_RDONLY | O_DIRECTORY));
	probe_stranger(_metadata, open("/dev/null", O_RDWR));
	probe_stranger(_metadata, eventfd(0, 0));
	probe_stranger(_metadata, socket(AF_UNIX, SOCK_STREAM, 0));
	probe_stranger(_metadata, socket(AF_UNIX, SOCK_DGRAM, 0));
	probe_stranger(_metadata, socket(AF_INET, SOCK_STREAM, 0));
	probe_stranger(_metadata, socket(AF_INET, SOCK_DGRAM, 0));
	ASSERT_EQ(0, pipe(fds));
	probe_stranger(_metadata, fds[0]);
	probe_stranger(_metadata, fds[1]);
}

TEST_F(probe, is_safe_on_a_native_epoll)
{
	int native = backend_native.create(EPOLL_CLOEXEC);
	struct epoll_event ev;

	ASSERT_LE(0, native);
	ASSERT_EQ(0, xadd(&backend_native, native, self->fd, EPOLLIN | EPOLLET,
			  6));
	probe_stranger(_metadata, dup(native));
	ASSERT_EQ(1, wait0(&backend_native, native, &ev, 1));
	EXPECT_EQ(6U, ev.data.u64);
}

TEST_HARNESS_MAIN
