/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fixture of the tests that make each part of a call fail, by number: an
 * instance, another one, and files to watch.
 *
 * Include this after fault.h.
 */
#ifndef SELFTESTS_NTHFIX_H
#define SELFTESTS_NTHFIX_H

#include <sys/resource.h>
#include <sys/stat.h>

/* No call of ours has as many places to fail. */
#define NTH_MAX 400
#define HIGH_FD 3000
#define FIFO "/tmp/myepoll-nth.fifo"

FIXTURE(nth)
{
	const struct backend *be;
	struct nth nth;
	struct slab_counts before;
	int ep;
	int inner;
	int fd;
	int fifo;
	int nr;
};

BACKEND_VARIANTS(nth);

FIXTURE_SETUP(nth)
{
	struct rlimit files = { HIGH_FD + 100, HIGH_FD + 100 };

	REQUIRE_BACKEND(variant->be);
	if (geteuid())
		SKIP(_exit(EXIT_SKIPPED), "needs root");
	if (nth_init(&self->nth))
		SKIP(_exit(EXIT_SKIPPED), "this kernel has no fault injection");
	self->be = variant->be;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	if (variant->be->ours)
		ASSERT_TRUE(slab_take(&self->before));
	/* Watches of this user are those of this test. */
	ASSERT_EQ(0, become(UID_A));
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	self->inner = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_EQ(0, become(0));
	self->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	unlink(FIFO);
	ASSERT_EQ(0, mkfifo(FIFO, 0600));
	self->fifo = open(FIFO, O_RDWR | O_CLOEXEC);
	ASSERT_EQ(HIGH_FD, dup3(self->fd, HIGH_FD, O_CLOEXEC));
	ASSERT_LE(0, self->ep);
	ASSERT_LE(0, self->inner);
	ASSERT_LE(0, self->fifo);
}

FIXTURE_TEARDOWN(nth)
{
	close(self->ep);
	close(self->inner);
	close(HIGH_FD);
	close(self->fifo);
	unlink(FIFO);
	EXPECT_TRUE(user_is_charged(variant->be, UID_A, 0));
	if (variant->be->ours)
		EXPECT_TRUE(slab_back_to(&self->before));
}

typedef FIXTURE_DATA(nth) data_t;

/*
 * struct act - a call that is made to fail
 * @call: makes it
 * @undo: takes back what it did if it succeeded with @ret; 0
 * @same: is everything as before, after it failed?
 * @errs: the errnos it may fail with, up to 0
 * @immune: it never fails
 */
struct act {
	int (*call)(data_t *t);
	int (*undo)(data_t *t, int ret);
	bool (*same)(data_t *t);
	int errs[4];
	bool immune;
};

static inline bool may_fail_with(const struct act *act, int err)
{
	int i;

	for (i = 0; i < 4 && act->errs[i]; i++)
		if (act->errs[i] == err)
			return !act->immune;
	return false;
}

/* One round.  Returns 1 if something was made to fail, 0 if not, -1: wrong. */
static inline int fail_nth(data_t *t, const struct act *act, int n, int *errors)
{
	int ret, err, hit;

	if (nth_arm(&t->nth, n))
		return -1;
	errno = 0;
	ret = act->call(t);
	err = errno;
	hit = nth_disarm(&t->nth);
	if (ret >= 0) {
		if (act->undo && act->undo(t, ret))
			return -1;
		return hit;
	}
	(*errors)++;
	if (hit == 1 && may_fail_with(act, err) && (!act->same || act->same(t)))
		return 1;
	fprintf(stderr, "# failure %d (injected: %d): %s\n", n, hit, strerror(err));
	return -1;
}

static inline void fail_each(struct __test_metadata *_metadata, data_t *t,
			     const struct act *act)
{
	int n, hit, errors = 0;

	for (n = 1; n < NTH_MAX; n++) {
		hit = fail_nth(t, act, n, &errors);
		ASSERT_LE(0, hit);
		if (!hit)
			break;
	}
	ASSERT_GT(NTH_MAX, n);
	TH_LOG("%s: %d failures, %d errors", t->be->name, n - 1, errors);
	/* A test that makes nothing fail proves nothing. */
	EXPECT_EQ(act->immune, !errors);
}

#endif /* SELFTESTS_NTHFIX_H */
