// SPDX-License-Identifier: GPL-2.0-only
/*
 * No memory for further queues.  Needs a kernel with fault injection and root.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "helpers.h"
#include "observe.h"
#include "lanesopen.h"
#include "fault.h"
#include "nthfix.h"

#define NR_WARM 200
#define NR_REFUSED 3
#define FEW 4	/* places to fail in a wait, its own copies among them */

/* A wait that is to open queues, and whose @n-th part fails: harmless? */
static int wait_without_memory(data_t *t, int n)
{
	struct epoll_event ev;
	int ret, err, hit;

	if (nth_arm(&t->nth, n))
		return -1;
	ret = t->be->wait(t->ep, &ev, 1, 0);
	err = errno;
	hit = nth_disarm(&t->nth);
	if (hit < 0 || (ret != 1 && !(hit == 1 && err == EFAULT)))
		return -1;
	return hit == 1 && ret == 1;
}

static void make_warm_files(struct __test_metadata *_metadata, data_t *t, int *fd)
{
	for (int i = 0; i < NR_WARM; i++) {
		fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ASSERT_LE(0, fd[i]);
		ASSERT_EQ(0, xadd(t->be, t->ep, fd[i], EPOLLIN, i));
	}
}

/* Without memory for more queues there is one, and each wait succeeds. */
TEST_F_TIMEOUT(nth, queues_that_cannot_be_opened, 200)
{
	int64_t deadline = now_ns() + 3 * PATIENCE_MS * 1000000LL;
	int fd[NR_WARM], refused = 0, n = 1, got;
	eventfd_t value;

	if (!variant->be->ours)
		SKIP(return, "native epoll has one queue");
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one processor, one queue");
	make_warm_files(_metadata, self, fd);
	while (refused < NR_REFUSED && now_ns() < deadline) {
		ASSERT_TRUE(warm_up(self->ep, fd, NR_WARM, 8));
		ASSERT_EQ(0, eventfd_write(fd[0], 1));
		got = wait_without_memory(self, n);
		ASSERT_LE(0, got);
		ASSERT_EQ(0, eventfd_read(fd[0], &value));
		refused += got;
		n = got ? n : n % FEW + 1;
	}
	if (!refused)
		SKIP(return, "the processors did not meet");
	TH_LOG("memory for queues was refused %d times", refused);
	EXPECT_TRUE(open_lanes(self->ep, fd, NR_WARM));
	for (n = 0; n < NR_WARM; n++)
		EXPECT_EQ(0, close(fd[n]));
}

TEST_HARNESS_MAIN
