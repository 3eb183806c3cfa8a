// SPDX-License-Identifier: GPL-2.0-only
/*
 * MYEPOLL_IOC_BATCH: the wait after its changes.  That it is one, and what of it
 * is refused before the first change.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "batchfix.h"
#include "badptr.h"

#define MAXEVENTS_MAX ((int)(INT_MAX / sizeof(struct epoll_event)))
#define MS 1000000LL

/* ---- changes, then a wait ---- */

TEST_F(batch, no_changes_and_a_wait)
{
	struct epoll_event ev;
	struct myepoll_wait wait = wait_forever(&ev, 1);
	uint32_t done;

	ASSERT_EQ(0, xadd(&backend_myepoll, self->ep, self->fd[0], EPOLLIN, 4));
	EXPECT_EQ(1, batch_wait(self->ep, NULL, 0, &wait, &done));
	EXPECT_EQ(0U, done);
	EXPECT_EQ(4U, ev.data.u64);
}

/* Once more and once more, as native epoll with two calls. */
TEST_F(batch, oneshot_is_armed_and_reported)
{
	const struct myepoll_change add = add_of(self->fd[0], ARMED, 7);
	struct myepoll_change mod = mod_of(self->fd[0], ARMED, 0);
	struct epoll_event ev[2], native[2];
	struct myepoll_wait wait = wait_for(ev, 2, 0);
	uint32_t done;
	int i;

	ASSERT_EQ(1, batch_wait(self->ep, &add, 1, &wait, &done));
	EXPECT_EQ(7U, ev[0].data.u64);
	ASSERT_EQ(0, make_one(&backend_native, self->native, &add));
	for (i = 0; i < 100; i++) {
		mod.data = i;
		poison(ev, sizeof(ev));
		ASSERT_EQ(1, batch_wait(self->ep, &mod, 1, &wait, &done));
		ASSERT_EQ(1U, done);
		ASSERT_EQ(0, make_one(&backend_native, self->native, &mod));
		ASSERT_EQ(1, wait0(&backend_native, self->native, native, 2));
		ASSERT_EQ(0, memcmp(native, ev, sizeof(ev)));
		ASSERT_EQ(0, batch_wait(self->ep, NULL, 0, &wait, &done));
	}
}

TEST_F(batch, failed_change_begins_no_wait)
{
	const struct myepoll_change changes[] = {
		add_of(self->fd[0], ARMED, 1), del_of(self->fd[1]),
		add_of(self->fd[2], EPOLLIN, 3),
	};
	struct epoll_event ev[FILES];
	struct myepoll_wait wait = wait_forever(ev, FILES);
	uint32_t done;

	poison(ev, sizeof(ev));
	EXPECT_ERR(ENOENT, batch_wait(self->ep, changes, 3, &wait, &done));
	EXPECT_EQ(1U, done);
	EXPECT_EQ(POISON32, ev[0].events);
	EXPECT_EQ(1, wait0(&backend_myepoll, self->ep, ev, FILES));
	/* Nor if there is nothing to report, where it would not end. */
	EXPECT_ERR(EEXIST, batch_wait(self->ep, changes, 3, &wait, &done));
	EXPECT_EQ(0U, done);
}

TEST_F(batch, waitsize_means_nothing_without_a_wait)
{
	struct myepoll_change change = add_of(self->fd[0], EPOLLIN, 0);
	struct myepoll_batch batch = batch_of(&change, 1);

	batch.waitsize = ~0U;
	EXPECT_EQ(0, ioctl(self->ep, MYEPOLL_IOC_BATCH, &batch));
	EXPECT_EQ(1U, batch.done);
}

TEST_F(batch, time_that_is_up_is_success)
{
	static const int64_t ns[] = { 0, 1, 30 * MS, 1001 * MS };
	struct myepoll_change change = add_of(self->fd[0], EPOLLPRI, 0);
	struct epoll_event ev;
	struct myepoll_wait wait;
	uint32_t done;
	int64_t start;
	size_t i;

	poison(&ev, sizeof(ev));
	for (i = 0; i < ARRAY_SIZE(ns); i++) {
		wait = wait_for(&ev, 1, ns[i]);
		start = now_ns();
		EXPECT_EQ(0, batch_wait(self->ep, &change, 1, &wait, &done));
		EXPECT_LE(ns[i], now_ns() - start);
		EXPECT_EQ(1U, done);
		EXPECT_EQ(POISON32, ev.events);
		change.op = EPOLL_CTL_MOD;
	}
}

TEST_F(batch, timespec_by_address)
{
	struct myepoll_change change = add_of(self->fd[0], EPOLLPRI, 0);
	struct backend_timespec ts = { .tv_nsec = 30 * MS };
	struct epoll_event ev;
	struct myepoll_wait wait = wait_forever(&ev, 1);
	int64_t start = now_ns();
	uint32_t done;

	wait.flags = MYEPOLL_WAIT_TIMEOUT_PTR;
	wait.timeout_sec = (uintptr_t)&ts;
	EXPECT_EQ(0, batch_wait(self->ep, &change, 1, &wait, &done));
	EXPECT_LE(30 * MS, now_ns() - start);
	EXPECT_EQ(1U, done);
}

/* The event stays, as does the change. */
TEST_F(batch, event_that_cannot_be_stored_is_efault)
{
	struct myepoll_change change = add_of(self->fd[0], ARMED, 5);
	struct epoll_event ev;
	struct myepoll_wait wait = wait_forever(unmapped(), 1);
	uint32_t done;

	ASSERT_NE(0U, wait.events);
	EXPECT_ERR(EFAULT, batch_wait(self->ep, &change, 1, &wait, &done));
	EXPECT_EQ(1U, done);
	ASSERT_EQ(1, wait0(&backend_myepoll, self->ep, &ev, 1));
	EXPECT_EQ(5U, ev.data.u64);
}

/* ---- random ones, beside single calls on native epoll ---- */

static const uint32_t masks[] = {
	0, EPOLLIN, EPOLLOUT, EPOLLIN | EPOLLOUT, ARMED, EPOLLIN | EPOLLET,
	EPOLLOUT | EPOLLONESHOT, EPOLLIN | EPOLLOUT | EPOLLET,
	EPOLLIN | EPOLLEXCLUSIVE, ARMED | EPOLLEXCLUSIVE, ARMED | EPOLLET,
};

static struct myepoll_change random_change(const int *fd, unsigned int *seed)
{
	int i = rand_r(seed) % (8 * FILES);

	return change_of(i ? rand_r(seed) % 3 + 1 : 4,
			 i == 1 ? -1 : fd[i % FILES],
			 masks[rand_r(seed) % ARRAY_SIZE(masks)], rand_r(seed));
}

static void change_a_file(const int *fd, unsigned int *seed)
{
	int i = rand_r(seed) % FILES;
	eventfd_t value;

	if (rand_r(seed) % 2)
		eventfd_write(fd[i], 1);
	else
		eventfd_read(fd[i], &value);
}

TEST_F(batch, random_ones_do_what_single_calls_do)
{
	struct epoll_event ev[FILES + 1], native[FILES + 1];
	struct myepoll_wait wait = wait_for(ev, FILES + 1, 0);
	struct myepoll_change changes[5];
	int round, i, nr, ret, want, err;
	unsigned int seed = 1;
	uint32_t done, made;

	for (round = 0; round < 5000; round++) {
		nr = rand_r(&seed) % 6;
		for (i = 0; i < nr; i++)
			changes[i] = random_change(self->fd, &seed);
		poison(ev, sizeof(ev));
		poison(native, sizeof(native));
		made = make_singly(&backend_native, self->native, changes, nr);
		want = made < (uint32_t)nr ? -1 :
		       wait0(&backend_native, self->native, native, FILES + 1);
		err = want < 0 ? errno : 0;
		errno = 0;
		ret = batch_wait(self->ep, changes, nr, &wait, &done);
		ASSERT_EQ(err, errno) TH_LOG("round %d", round);
		ASSERT_EQ(want, ret) TH_LOG("round %d", round);
		ASSERT_EQ(made, done) TH_LOG("round %d", round);
		ASSERT_EQ(0, memcmp(native, ev, sizeof(ev)))
			TH_LOG("round %d", round);
		change_a_file(self->fd, &seed);
	}
}

/* ---- what is refused before the first change ---- */

/* One ADD, and a wait that has @size bytes */
static int add_and_wait(batch_fixture *self, const void *wait, uint32_t size,
			uint32_t *done)
{
	struct myepoll_change change = add_of(self->fd[0], EPOLLIN, 0);
	struct myepoll_batch batch = batch_of(&change, 1);
	int ret;

	batch.wait = (uintptr_t)wait;
	batch.waitsize = size;
	ret = ioctl(self->ep, MYEPOLL_IOC_BATCH, &batch);
	*done = batch.done;
	return ret;
}

static void refused(struct __test_metadata *_metadata, batch_fixture *self,
		    const void *wait, uint32_t size, int err)
{
	uint32_t done;

	EXPECT_ERR(err, add_and_wait(self, wait, size, &done));
	EXPECT_EQ(0U, done);
	EXPECT_EQ(0, count_watches(self->ep));
}

/* WAIT says the same. */
#define REFUSED(err, wait) do {						\
	refused(_metadata, self, wait, sizeof(*(wait)), err);		\
	EXPECT_ERR(err, ioctl(self->ep, MYEPOLL_IOC_WAIT, wait));	\
} while (0)

TEST_F(batch, flags_of_the_wait_are_checked_first)
{
	struct epoll_event ev;
	struct myepoll_wait wait = wait_forever(&ev, 1);
	uint32_t bit;

	for (bit = 4; bit; bit <<= 1) {
		wait.flags = bit;
		REFUSED(EINVAL, &wait);
	}
	wait.flags = MYEPOLL_WAIT_TIMEOUT | MYEPOLL_WAIT_TIMEOUT_PTR;
	REFUSED(EINVAL, &wait);
	wait.flags = 0;
	wait.timeout_sec = 1;
	REFUSED(EINVAL, &wait);
}

TEST_F(batch, time_of_the_wait_is_checked_first)
{
	static const struct backend_timespec bad[] = {
		{ .tv_sec = -1 }, { .tv_sec = INT64_MIN }, { .tv_nsec = -1 },
		{ .tv_nsec = 1000000000 }, { .tv_nsec = INT64_MAX },
	};
	struct epoll_event ev;
	struct myepoll_wait inside = wait_for(&ev, 1, 0);
	struct myepoll_wait wait = wait_forever(&ev, 1);
	size_t i;

	wait.flags = MYEPOLL_WAIT_TIMEOUT_PTR;
	wait.timeout_sec = (uintptr_t)unmapped();
	REFUSED(EFAULT, &wait);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		wait.timeout_sec = (uintptr_t)&bad[i];
		REFUSED(EINVAL, &wait);
		inside.timeout_sec = bad[i].tv_sec;
		inside.timeout_nsec = bad[i].tv_nsec;
		REFUSED(EINVAL, &inside);
	}
}

TEST_F(batch, mask_of_the_wait_is_checked_first)
{
	static const uint64_t sizes[] = { 0, 7, 9, 16, 1ULL << 32 | 8 };
	struct epoll_event ev;
	struct myepoll_wait wait = wait_forever(&ev, 1);
	sigset_t mask;
	size_t i;

	sigemptyset(&mask);
	wait.sigmask = (uintptr_t)&mask;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		wait.sigsetsize = sizes[i];
		REFUSED(EINVAL, &wait);
	}
	wait.sigsetsize = KERNEL_SIGSETSIZE;
	wait.sigmask = (uintptr_t)unmapped();
	REFUSED(EFAULT, &wait);
}

TEST_F(batch, array_of_the_wait_is_checked_first)
{
	static const int bad[] = { 0, -1, INT_MIN, MAXEVENTS_MAX + 1, INT_MAX };
	struct epoll_event ev;
	struct myepoll_wait wait = wait_forever(&ev, 1);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		wait.maxevents = bad[i];
		REFUSED(EINVAL, &wait);
	}
	wait = wait_forever(KERNEL_RANGE, 1);
	REFUSED(EFAULT, &wait);
}

TEST_F(batch, wait_that_is_too_small_or_cannot_be_read)
{
	struct epoll_event ev;
	struct myepoll_wait wait = wait_for(&ev, 1, 0);
	uint32_t size;
	char *room;

	for (size = 0; size < sizeof(wait); size++) {
		refused(_metadata, self, &wait, size, EINVAL);
		room = room_for(size);
		ASSERT_NE(NULL, room);
		memcpy(room, &wait, size);
		refused(_metadata, self, room, sizeof(wait), EFAULT);
	}
	refused(_metadata, self, KERNEL_RANGE, sizeof(wait), EFAULT);
	refused(_metadata, self, (void *)((uintptr_t)&wait | 1ULL << 63),
		sizeof(wait), EFAULT);
}

/* What a wait may have at most, now and later */
#define MOST_BYTES 4096

/* All of it would be read in one go. */
TEST_F(batch, no_wait_is_larger_than_its_limit)
{
	static char buf[2 * PAGE];
	struct epoll_event ev;
	struct myepoll_wait wait = wait_for(&ev, 1, 0);

	memcpy(buf, &wait, sizeof(wait));
	refused(_metadata, self, buf, MOST_BYTES + 1, E2BIG);
	refused(_metadata, self, unmapped(), MOST_BYTES + 1, E2BIG);
	refused(_metadata, self, buf, UINT32_MAX, E2BIG);
}

TEST_F(batch, larger_wait_must_end_in_zeros)
{
	static const uint32_t larger[] = {
		1, 3, 8, 80, MOST_BYTES - sizeof(struct myepoll_wait),
	};
	static char buf[2 * PAGE];
	struct epoll_event ev;
	struct myepoll_wait wait = wait_for(&ev, 1, 0);
	uint32_t end, done;
	void *room;
	size_t i;

	memcpy(buf, &wait, sizeof(wait));
	for (i = 0; i < ARRAY_SIZE(larger); i++) {
		end = sizeof(wait) + larger[i];
		buf[end - 1] = 1;
		refused(_metadata, self, buf, end, E2BIG);
		buf[end - 1] = 0;
		buf[end] = 1;
		EXPECT_EQ(1, add_and_wait(self, buf, end, &done));
		EXPECT_EQ(1U, done);
		ASSERT_EQ(0, xdel(&backend_myepoll, self->ep, self->fd[0]));
		buf[end] = 0;
	}
	room = room_for(sizeof(wait));
	ASSERT_NE(NULL, room);
	refused(_metadata, self, memcpy(room, &wait, sizeof(wait)),
		sizeof(wait) + 8, EFAULT);
}

/* In each step the first of what is still wrong is found, and then put right. */
#define STEP(err, repair) do {						\
	batch.done = POISON32;						\
	EXPECT_ERR(err, ioctl(self->ep, MYEPOLL_IOC_BATCH, &batch));	\
	EXPECT_EQ(0U, batch.done);					\
	repair;								\
} while (0)

TEST_F(batch, errors_are_looked_for_in_their_order)
{
	struct myepoll_change change = add_of(self->fd[0], EPOLLIN, 0);
	struct backend_timespec ts = { .tv_sec = -1 };
	uintptr_t hole = (uintptr_t)unmapped();
	struct epoll_event ev;
	sigset_t mask;
	struct {
		struct myepoll_wait wait;
		uint64_t tail;
	} in = { {
		.events = (uintptr_t)KERNEL_RANGE, .flags = 4, .sigmask = hole,
		.sigsetsize = KERNEL_SIGSETSIZE, .timeout_sec = hole,
	}, 1 };
	struct myepoll_batch batch = {
		.changes = (uintptr_t)KERNEL_RANGE, .nr = 1, .wait = hole,
		.waitsize = 47, .reserved = 1,
	};

	change.reserved = 1;
	sigemptyset(&mask);
	STEP(EINVAL, batch.reserved = 0);
	STEP(EFAULT, batch.changes = (uintptr_t)&change);
	STEP(EINVAL, batch.waitsize = MOST_BYTES + 1);
	STEP(E2BIG, batch.waitsize = sizeof(in));
	STEP(EFAULT, batch.wait = (uintptr_t)&in);
	STEP(E2BIG, in.tail = 0);
	STEP(EINVAL, in.wait.flags = MYEPOLL_WAIT_TIMEOUT_PTR);
	STEP(EFAULT, in.wait.timeout_sec = (uintptr_t)&ts);
	STEP(EINVAL, ts.tv_sec = 0);
	STEP(EFAULT, in.wait.sigsetsize = 7);
	STEP(EINVAL, in.wait.sigsetsize = KERNEL_SIGSETSIZE);
	in.wait.sigmask = (uintptr_t)&mask;
	STEP(EINVAL, in.wait.maxevents = 1);
	STEP(EFAULT, in.wait.events = (uintptr_t)&ev);
	STEP(EINVAL, change.reserved = 0);
	EXPECT_EQ(1, ioctl(self->ep, MYEPOLL_IOC_BATCH, &batch));
	EXPECT_EQ(1U, batch.done);
}

TEST_HARNESS_MAIN
