// SPDX-License-Identifier: GPL-2.0-only
/*
 * An instance that was crowded.  The module spreads its work over several queues
 * then, for good, and the tests see to it that it has.  What holds with one queue
 * must hold with several.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "kselftest_harness.h"
#include "observe.h"
#include "lanesopen.h"

#define NR_FILES 200
#define NR_ROUNDS 20

FIXTURE(lanes)
{
	int ep;
	int fd[NR_FILES];
};

BACKEND_VARIANTS(lanes);

/*
 * With one processor there are no queues to open, so there is nothing to test
 * here that the other programs do not.
 */
#define REQUIRE_PROCESSORS() do {				\
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)			\
		SKIP(_exit(EXIT_SKIPPED), "one processor, one queue");	\
} while (0)

FIXTURE_SETUP(lanes)
{
	struct rlimit files = { 1000, 1000 };
	int i;

	REQUIRE_BACKEND(variant->be);
	REQUIRE_PROCESSORS();
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	for (i = 0; i < NR_FILES; i++) {
		self->fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ASSERT_LE(0, self->fd[i]);
		ASSERT_EQ(0, xadd(variant->be, self->ep, self->fd[i], EPOLLIN, i));
	}
	if (variant->be->ours)
		ASSERT_TRUE(open_lanes(self->ep, self->fd, NR_FILES));
	for (i = 0; i < NR_FILES; i++)
		ASSERT_EQ(0, xdel(variant->be, self->ep, self->fd[i]));
}

FIXTURE_TEARDOWN(lanes)
{
	for (int i = 0; i < NR_FILES; i++)
		if (self->fd[i] >= 0)
			close(self->fd[i]);
	close(self->ep);
}

/* Adds, or writes to, the files from every processor. */
static void from_processor(struct __test_metadata *_metadata, int i)
{
	long nr = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(i % nr, &cpu);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpu), &cpu));
}

#define add_files(mask) do {						\
	for (int i_ = 0; i_ < NR_FILES; i_++) {				\
		from_processor(_metadata, i_ / (NR_FILES / 4));		\
		ASSERT_EQ(0, xadd(variant->be, self->ep, self->fd[i_],	\
				  mask, i_));				\
	}								\
} while (0)

#define write_files() do {						\
	for (int i_ = 0; i_ < NR_FILES; i_++) {				\
		from_processor(_metadata, i_ / (NR_FILES / 8));		\
		ASSERT_EQ(0, eventfd_write(self->fd[i_], 1));		\
	}								\
} while (0)

/* Each file is reported once by one wait; then, if @level, by every other. */
static void all_reported(struct __test_metadata *_metadata,
			 const struct backend *be, int ep)
{
	struct epoll_event ev[NR_FILES + 1];
	bool seen[NR_FILES] = { false };
	int i;

	ASSERT_EQ(NR_FILES, wait0(be, ep, ev, NR_FILES + 1));
	for (i = 0; i < NR_FILES; i++) {
		ASSERT_GT((uint64_t)NR_FILES, ev[i].data.u64);
		EXPECT_FALSE(seen[ev[i].data.u64]);
		seen[ev[i].data.u64] = true;
	}
}

TEST_F_TIMEOUT(lanes, levels_come_back_until_they_are_over, 240)
{
	struct epoll_event ev[2];
	uint64_t count;
	int i;

	add_files(EPOLLIN);
	for (i = 0; i < NR_ROUNDS; i++) {
		write_files();
		all_reported(_metadata, variant->be, self->ep);
	}
	for (i = 0; i < NR_FILES; i++)
		ASSERT_EQ(8, read(self->fd[i], &count, sizeof(count)));
	EXPECT_EQ(0, wait0(variant->be, self->ep, ev, 2));
	EXPECT_EQ(0, wait0(variant->be, self->ep, ev, 2));
}

TEST_F_TIMEOUT(lanes, edges_come_once, 240)
{
	struct epoll_event ev[2];

	add_files(EPOLLIN | EPOLLET);
	for (int i = 0; i < NR_ROUNDS; i++) {
		write_files();
		all_reported(_metadata, variant->be, self->ep);
		EXPECT_EQ(0, wait0(variant->be, self->ep, ev, 2));
	}
}

/* Small waits serve all: none is left behind on a queue that nobody visits. */
TEST_F_TIMEOUT(lanes, small_waits_reach_every_file, 240)
{
	bool seen[NR_FILES] = { false };
	struct epoll_event ev[4];
	int left = NR_FILES;

	add_files(EPOLLIN);
	write_files();
	for (int i = 0; left && i < 100 * NR_FILES; i++) {
		ASSERT_EQ(4, wait0(variant->be, self->ep, ev, 4));
		for (int j = 0; j < 4; j++) {
			left -= !seen[ev[j].data.u64];
			seen[ev[j].data.u64] = true;
		}
	}
	EXPECT_EQ(0, left);
}

TEST_F_TIMEOUT(lanes, ready_files_that_go_leave_nothing, 240)
{
	struct pollfd pfd = { .fd = self->ep, .events = POLLIN };
	struct epoll_event ev[2];
	int i;

	add_files(EPOLLIN);
	write_files();
	EXPECT_EQ(1, poll(&pfd, 1, 0));
	EXPECT_EQ(NR_FILES, count_watches(self->ep));
	for (i = 0; i < NR_FILES; i++) {
		from_processor(_metadata, i);
		ASSERT_EQ(0, i % 2 ? xdel(variant->be, self->ep, self->fd[i]) :
				     close(self->fd[i]));
	}
	EXPECT_EQ(0, wait0(variant->be, self->ep, ev, 2));
	EXPECT_EQ(0, poll(&pfd, 1, 0));
	EXPECT_EQ(0, count_watches(self->ep));
	for (i = 0; i < NR_FILES; i += 2)
		self->fd[i] = -1;
}

/* The close of the instance finds all watches. */
TEST_F_TIMEOUT(lanes, closed_instance_leaves_nothing, 240)
{
	add_files(EPOLLIN);
	write_files();
	EXPECT_EQ(NR_FILES, count_watches(self->ep));
	ASSERT_EQ(0, close(self->ep));
	write_files();
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
}

TEST_HARNESS_MAIN
