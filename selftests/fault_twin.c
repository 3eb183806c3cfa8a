// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two ADDs of the same file and number at once, of which the first fails: the
 * second, which came while that was not known yet, takes its place.
 *
 * Needs a kernel with fault injection, root, and the mock device.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "helpers.h"
#include "mockuse.h"
#include "mockfix.h"
#include "doer.h"
#include "fault.h"

/* An ADD has fewer places to fail. */
#define NTH_MAX 30

/*
 * ADD in a thread; the @nth thing in it that can fail does, if not 0.  Afterwards
 * @nth says whether anything was made to fail.
 */
static int do_add(struct doer *doer)
{
	struct nth nth;
	int ret, err;

	if (nth_init(&nth) || (doer->nth && nth_arm(&nth, doer->nth)))
		return -2;
	ret = xadd(doer->be, doer->ep, doer->fd, EPOLLIN, DATA);
	err = errno;
	if (doer->nth) {
		doer->nth = nth_disarm(&nth);
		if (doer->nth < 0)
			ret = -2;
	}
	close(nth.fd);
	errno = err;
	return ret;
}

/* Until the mock holds the call in its poll(); false if it ends before. */
static bool is_held(struct doer *add)
{
	while (!atomic_load(&add->done)) {
		if (mock_stat(add->fd).sleeping)
			return true;
		breathe();
	}
	return false;
}

/* What came of a round */
enum outcome { NOTHING_FAILED, FAILED_EARLY, FAILED_HELD, GOT_THROUGH };

static enum outcome first_fails(struct __test_metadata *_metadata,
				const struct backend *be, int ep, int fd,
				int nth)
{
	struct doer first = { .work = do_add, .be = be, .ep = ep, .fd = fd,
			      .nth = nth };
	struct doer second = { .work = do_add, .be = be, .ep = ep, .fd = fd };

	ASSERT_EQ(0, mock_hold(fd, MOCK_SLOW_REGISTER));
	ASSERT_EQ(0, doer_start(&first));
	if (!is_held(&first)) {
		ASSERT_TRUE(doer_finish(&first));
		EXPECT_EQ(-1, first.ret);
		EXPECT_TRUE(first.err == ENOMEM || first.err == EFAULT);
		return FAILED_EARLY;
	}
	ASSERT_EQ(0, doer_start(&second));
	doer_settle(&second);
	ASSERT_EQ(0, mock_release(fd));
	ASSERT_TRUE(doer_finish(&first));
	ASSERT_TRUE(doer_finish(&second));
	EXPECT_LE(-1, first.ret);
	/* One of them has made the watch, whatever became of the other. */
	if (first.ret)
		EXPECT_EQ(ENOMEM, first.err);
	EXPECT_EQ(first.ret ? 0 : -1, second.ret);
	if (second.ret)
		EXPECT_EQ(EEXIST, second.err);
	/* All of it: each head has one entry. */
	EXPECT_EQ(1, mock_entries(fd, 0));
	EXPECT_EQ(1, mock_entries(fd, 1));
	EXPECT_EQ(0, xdel(be, ep, fd));
	EXPECT_EQ(0, mock_entries(fd, 0));
	EXPECT_EQ(0, mock_entries(fd, 1));
	if (!first.nth)
		return NOTHING_FAILED;
	return first.ret ? FAILED_HELD : GOT_THROUGH;
}

TEST_F_TIMEOUT(mockdev, second_add_succeeds_if_the_first_fails, 120)
{
	enum outcome outcome = FAILED_EARLY;
	int nth, held = 0;
	struct nth probe;

	if (geteuid())
		SKIP(return, "needs root");
	if (nth_init(&probe))
		SKIP(return, "this kernel has no fault injection");
	ASSERT_EQ(0, mock_heads(self->fd, 2, 0, 1));
	for (nth = 1; outcome != NOTHING_FAILED && nth < NTH_MAX; nth++) {
		outcome = first_fails(_metadata, self->be, self->ep,
				      self->fd, nth);
		held += outcome == FAILED_HELD;
	}
	EXPECT_TRUE(outcome == NOTHING_FAILED);
	EXPECT_LT(0, held);
	close(probe.fd);
}

TEST_HARNESS_MAIN
