// SPDX-License-Identifier: GPL-2.0-only
/*
 * What keeps instances in instances finite: no loops, chains of five at most,
 * a bounded number of wake-up paths, a bounded number of watches of one file.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "observe.h"
#include "users.h"

#define MAX_CHAIN 5
#define FILE_LIMIT_PATH "/proc/sys/fs/myepoll/max_file_watches"

FIXTURE(nest_limits)
{
	int ep[2 * MAX_CHAIN];
	int efd;
};

BACKEND_VARIANTS(nest_limits);

FIXTURE_SETUP(nest_limits)
{
	struct rlimit files = { 4096, 4096 };

	REQUIRE_BACKEND(variant->be);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	self->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->efd);
	for (int i = 0; i < 2 * MAX_CHAIN; i++) {
		self->ep[i] = variant->be->create(EPOLL_CLOEXEC);
		ASSERT_LE(0, self->ep[i]);
	}
}

FIXTURE_TEARDOWN(nest_limits)
{
	for (int i = 0; i < 2 * MAX_CHAIN; i++)
		close(self->ep[i]);
	close(self->efd);
}

/* Instance number @outer watches instance number @inner. */
#define nest(outer, inner) \
	xadd(variant->be, self->ep[outer], self->ep[inner], EPOLLIN, 0)

#define EXPECT_REFUSED(error, call) do {				\
	EXPECT_EQ(-1, call);						\
	EXPECT_EQ(error, errno);					\
} while (0)

TEST_F(nest_limits, chain_of_five_but_not_six_built_from_the_top)
{
	for (int i = 0; i + 1 < MAX_CHAIN; i++)
		ASSERT_EQ(0, nest(i, i + 1));
	EXPECT_REFUSED(ELOOP, nest(MAX_CHAIN - 1, MAX_CHAIN));
	EXPECT_EQ(0, count_watches(self->ep[MAX_CHAIN - 1]));
	EXPECT_EQ(0, xadd(variant->be, self->ep[MAX_CHAIN - 1], self->efd,
			  EPOLLIN, 0));
}

TEST_F(nest_limits, chain_of_five_but_not_six_built_from_the_bottom)
{
	for (int i = MAX_CHAIN - 1; i > 0; i--)
		ASSERT_EQ(0, nest(i - 1, i));
	EXPECT_REFUSED(ELOOP, nest(MAX_CHAIN, 0));
	EXPECT_EQ(0, count_watches(self->ep[MAX_CHAIN]));
}

/* Two chains, of @n and of @m instances, become one: what the last link says */
static int join_chains(const struct backend *be, int *ep, int n, int m)
{
	for (int i = 0; i + 1 < n + m; i++)
		if (i != n - 1 && xadd(be, ep[i], ep[i + 1], EPOLLIN, 0))
			return -2;
	return xadd(be, ep[n - 1], ep[n], EPOLLIN, 0);
}

TEST_F(nest_limits, chains_of_two_and_three_join)
{
	EXPECT_EQ(0, join_chains(variant->be, self->ep, 2, 3));
}

TEST_F(nest_limits, chains_of_three_and_two_join)
{
	EXPECT_EQ(0, join_chains(variant->be, self->ep, 3, 2));
}

TEST_F(nest_limits, chains_of_three_do_not_join)
{
	EXPECT_REFUSED(ELOOP, join_chains(variant->be, self->ep, 3, 3));
}

TEST_F(nest_limits, chains_of_two_and_four_do_not_join)
{
	EXPECT_REFUSED(ELOOP, join_chains(variant->be, self->ep, 2, 4));
}

TEST_F(nest_limits, chains_of_five_and_one_do_not_join)
{
	EXPECT_REFUSED(ELOOP, join_chains(variant->be, self->ep, 5, 1));
}

TEST_F(nest_limits, refused_as_an_outer_may_still_be_an_inner)
{
	for (int i = 0; i + 1 < MAX_CHAIN; i++)
		ASSERT_EQ(0, nest(i, i + 1));
	EXPECT_REFUSED(ELOOP, nest(MAX_CHAIN - 1, MAX_CHAIN));
	EXPECT_EQ(0, nest(MAX_CHAIN, MAX_CHAIN - 1));
}

TEST_F(nest_limits, removed_link_makes_room_for_another)
{
	for (int i = 0; i + 1 < MAX_CHAIN; i++)
		ASSERT_EQ(0, nest(i, i + 1));
	EXPECT_REFUSED(ELOOP, nest(MAX_CHAIN - 1, MAX_CHAIN));
	ASSERT_EQ(0, xdel(variant->be, self->ep[0], self->ep[1]));
	EXPECT_EQ(0, nest(MAX_CHAIN - 1, MAX_CHAIN));
}

TEST_F(nest_limits, closed_link_makes_room_for_another)
{
	for (int i = 0; i + 1 < MAX_CHAIN; i++)
		ASSERT_EQ(0, nest(i, i + 1));
	EXPECT_REFUSED(ELOOP, nest(MAX_CHAIN - 1, MAX_CHAIN));
	close(self->ep[0]);
	self->ep[0] = -1;
	EXPECT_EQ(0, nest(MAX_CHAIN - 1, MAX_CHAIN));
}

/* At once: not only when the link has been cleared away. */
TEST_F(nest_limits, closed_inner_makes_room_for_an_outer)
{
	int inner;

	for (int i = 0; i + 2 < MAX_CHAIN; i++)
		ASSERT_EQ(0, nest(i, i + 1));
	for (int i = 0; i < 200; i++) {
		inner = variant->be->create(EPOLL_CLOEXEC);
		ASSERT_LE(0, inner);
		ASSERT_EQ(0, xadd(variant->be, self->ep[MAX_CHAIN - 2], inner,
				  EPOLLIN, 0));
		EXPECT_REFUSED(ELOOP, nest(MAX_CHAIN, 0));
		ASSERT_EQ(0, close(inner));
		ASSERT_EQ(0, nest(MAX_CHAIN, 0));
		ASSERT_EQ(0, xdel(variant->be, self->ep[MAX_CHAIN],
				  self->ep[0]));
	}
}

TEST_F(nest_limits, instance_does_not_watch_itself)
{
	int again = dup(self->ep[0]);

	ASSERT_LE(0, again);
	EXPECT_REFUSED(EINVAL, nest(0, 0));
	EXPECT_REFUSED(EINVAL, xadd(variant->be, self->ep[0], again, EPOLLIN,
				    0));
	close(again);
}

TEST_F(nest_limits, loop_of_two_is_refused)
{
	ASSERT_EQ(0, nest(0, 1));
	EXPECT_REFUSED(ELOOP, nest(1, 0));
	ASSERT_EQ(0, xdel(variant->be, self->ep[0], self->ep[1]));
	EXPECT_EQ(0, nest(1, 0));
}

TEST_F(nest_limits, loop_of_three_is_refused)
{
	ASSERT_EQ(0, nest(0, 1));
	ASSERT_EQ(0, nest(1, 2));
	EXPECT_REFUSED(ELOOP, nest(2, 0));
	EXPECT_EQ(0, nest(0, 2));
}

TEST_F(nest_limits, instance_added_twice_exists)
{
	ASSERT_EQ(0, nest(0, 1));
	EXPECT_REFUSED(EEXIST, nest(0, 1));
}

TEST_F(nest_limits, diamond_is_no_loop)
{
	ASSERT_EQ(0, nest(0, 1));
	ASSERT_EQ(0, nest(0, 2));
	ASSERT_EQ(0, nest(1, 3));
	EXPECT_EQ(0, nest(2, 3));
}

/* Five full layers have 16^4 paths; the check must not walk each of them. */
TEST_F_TIMEOUT(nest_limits, wide_layers_are_checked_in_time, 120)
{
	enum { WIDTH = 16 };
	int layer[MAX_CHAIN][WIDTH];

	for (int i = 0; i < MAX_CHAIN * WIDTH; i++) {
		layer[i / WIDTH][i % WIDTH] = variant->be->create(0);
		ASSERT_LE(0, layer[i / WIDTH][i % WIDTH]);
	}
	for (int l = MAX_CHAIN - 2; l >= 0; l--)
		for (int i = 0; i < WIDTH * WIDTH; i++)
			ASSERT_EQ(0, xadd(variant->be, layer[l][i / WIDTH],
					  layer[l + 1][i % WIDTH], EPOLLIN, 0));
	for (int i = 0; i < WIDTH; i++)
		EXPECT_REFUSED(ELOOP, xadd(variant->be,
					   layer[MAX_CHAIN - 1][i], layer[0][i],
					   EPOLLIN, 0));
}

/*
 * One file in many instances, all of them in the first of a chain of @parents:
 * each makes a path with @parents instances in between.
 */
static void path_limit(struct __test_metadata *_metadata,
		       const struct backend *be, int *chain, int efd,
		       int parents, int limit)
{
	int child, last = -1;

	for (int i = 0; i + 1 < parents; i++)
		ASSERT_EQ(0, xadd(be, chain[i + 1], chain[i], EPOLLIN, 0));
	for (int i = 0; i < limit; i++) {
		last = be->create(EPOLL_CLOEXEC);
		ASSERT_LE(0, last);
		ASSERT_EQ(0, xadd(be, last, efd, EPOLLIN, 0));
		ASSERT_EQ(0, xadd(be, chain[0], last, EPOLLIN, 0));
	}
	child = be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, child);
	/* the file first, then the instance */
	ASSERT_EQ(0, xadd(be, child, efd, EPOLLIN, 0));
	EXPECT_REFUSED(EINVAL, xadd(be, chain[0], child, EPOLLIN, 0));
	EXPECT_EQ(limit, count_watches(chain[0]));
	/* the other way round */
	ASSERT_EQ(0, xdel(be, child, efd));
	ASSERT_EQ(0, xadd(be, chain[0], child, EPOLLIN, 0));
	EXPECT_REFUSED(EINVAL, xadd(be, child, efd, EPOLLIN, 0));
	EXPECT_EQ(0, count_watches(child));
	/* a path less, a path more */
	ASSERT_EQ(0, xdel(be, last, efd));
	EXPECT_EQ(0, xadd(be, child, efd, EPOLLIN, 0));
}

TEST_F_TIMEOUT(nest_limits, file_has_500_paths_through_one_parent, 120)
{
	path_limit(_metadata, variant->be, self->ep, self->efd, 1, 500);
}

TEST_F_TIMEOUT(nest_limits, file_has_100_paths_through_two_parents, 120)
{
	path_limit(_metadata, variant->be, self->ep, self->efd, 2, 100);
}

TEST_F_TIMEOUT(nest_limits, file_has_50_paths_through_three_parents, 120)
{
	path_limit(_metadata, variant->be, self->ep, self->efd, 3, 50);
}

TEST_F_TIMEOUT(nest_limits, file_has_10_paths_through_four_parents, 120)
{
	path_limit(_metadata, variant->be, self->ep, self->efd, 4, 10);
}

TEST_F_TIMEOUT(nest_limits, file_has_any_number_of_paths_without_parents, 120)
{
	for (int i = 0; i < 800; i++) {
		int ep = variant->be->create(EPOLL_CLOEXEC);

		ASSERT_LE(0, ep);
		ASSERT_EQ(0, xadd(variant->be, ep, self->efd, EPOLLIN, 0));
	}
}

/* struct linker - a thread that makes a link in every round */
struct linker {
	const struct backend *be;
	int outer;
	int inner;
	int rounds;
	pthread_barrier_t *step;
	atomic_int *made;
	atomic_int *faults;
};

static void *link_main(void *arg)
{
	struct linker *l = arg;

	for (int i = 0; i < l->rounds; i++) {
		pthread_barrier_wait(l->step);
		if (!xadd(l->be, l->outer, l->inner, EPOLLIN, 0))
			atomic_fetch_add(l->made, 1);
		else if (errno != ELOOP)
			atomic_fetch_add(l->faults, 1);
		pthread_barrier_wait(l->step);
		/* the main thread looks, and takes the links off again */
		pthread_barrier_wait(l->step);
	}
	return NULL;
}

/* @n threads each make a link of a loop of @n: one of them has to fail. */
static void race_for_a_loop(struct __test_metadata *_metadata,
			    const struct backend *be, int *ep, int n,
			    int rounds)
{
	atomic_int made = 0, faults = 0;
	pthread_barrier_t step;
	struct linker l[MAX_CHAIN];
	pthread_t thread[MAX_CHAIN];
	int wrong = 0;

	ASSERT_EQ(0, pthread_barrier_init(&step, NULL, n + 1));
	for (int i = 0; i < n; i++) {
		l[i] = (struct linker) {
			be, ep[i], ep[(i + 1) % n], rounds, &step, &made,
			&faults
		};
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, link_main,
					    &l[i]));
	}
	for (int i = 0; i < rounds; i++) {
		pthread_barrier_wait(&step);
		pthread_barrier_wait(&step);
		wrong += atomic_exchange(&made, 0) != n - 1;
		for (int k = 0; k < n; k++)
			xdel(be, ep[k], ep[(k + 1) % n]);
		pthread_barrier_wait(&step);
	}
	for (int i = 0; i < n; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(0, atomic_load(&faults));
}

TEST_F_TIMEOUT(nest_limits, two_threads_cannot_close_a_loop, 120)
{
	race_for_a_loop(_metadata, variant->be, self->ep, 2, 500);
}

TEST_F_TIMEOUT(nest_limits, three_threads_cannot_close_a_loop, 120)
{
	race_for_a_loop(_metadata, variant->be, self->ep, 3, 300);
}

TEST_F_TIMEOUT(nest_limits, five_threads_cannot_close_a_loop, 120)
{
	race_for_a_loop(_metadata, variant->be, self->ep, 5, 200);
}

/* struct mixer - a thread that adds and removes links at random */
#define NR_MIXED 6
#define NR_MIXERS 4
#define NR_MIXES 1500

struct mixer {
	const struct backend *be;
	int *ep;
	int efd;
	unsigned int seed;
	atomic_int *faults;
};

static bool is_expected(int error, bool self_add)
{
	if (self_add)
		return error == EINVAL;
	return error == ELOOP || error == EEXIST || error == ENOENT;
}

static void *mix_main(void *arg)
{
	struct mixer *m = arg;

	for (int i = 0; i < NR_MIXES; i++) {
		int outer = rand_r(&m->seed) % NR_MIXED;
		int inner = rand_r(&m->seed) % NR_MIXED;
		bool add = rand_r(&m->seed) % 3;
		int ret;

		ret = add ? xadd(m->be, m->ep[outer], m->ep[inner], EPOLLIN,
				 inner) :
			    xdel(m->be, m->ep[outer], m->ep[inner]);
		if (ret && !is_expected(errno, outer == inner))
			atomic_fetch_add(m->faults, 1);
		if (i % 16 == 0 && eventfd_write(m->efd, 1))
			atomic_fetch_add(m->faults, 1);
	}
	return NULL;
}

/* The longest chain below @i by the links that fdinfo shows; over 5 is a loop. */
static int height(int *ep, int i, int left)
{
	struct watch_line lines[NR_MIXED + 1];
	int n = read_watches(ep[i], lines, NR_MIXED + 1), tallest = 0;

	if (!left)
		return 1;
	for (int k = 0; k < n; k++) {
		int below;

		if (lines[k].data >= NR_MIXED)
			continue;
		below = height(ep, lines[k].data, left - 1);
		tallest = below > tallest ? below : tallest;
	}
	return tallest + 1;
}

TEST_F_TIMEOUT(nest_limits, links_made_at_random_stay_within_limits, 120)
{
	unsigned int seed = now_ns();
	pthread_t thread[NR_MIXERS];
	struct mixer m[NR_MIXERS];
	atomic_int faults = 0;

	TH_LOG("seed %u", seed);
	for (int i = 0; i < NR_MIXED; i++)
		ASSERT_EQ(0, xadd(variant->be, self->ep[i], self->efd,
				  EPOLLIN | EPOLLET, NR_MIXED));
	for (int i = 0; i < NR_MIXERS; i++) {
		m[i] = (struct mixer) {
			variant->be, self->ep, self->efd, seed + i, &faults
		};
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, mix_main, &m[i]));
	}
	for (int i = 0; i < NR_MIXERS; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	/* six instances cannot have too many paths: EINVAL would be a fault */
	EXPECT_EQ(0, atomic_load(&faults));
	for (int i = 0; i < NR_MIXED; i++)
		EXPECT_GE(MAX_CHAIN, height(self->ep, i, MAX_CHAIN));
}

FIXTURE(file_limit)
{
	const struct backend *be;
	struct sysctl_saved limit;
	int ep[2];
	int efd;
	int copy[4];
};

FIXTURE_SETUP(file_limit)
{
	self->be = &backend_myepoll;
	REQUIRE_BACKEND(self->be);
	for (int i = 0; i < 2; i++) {
		self->ep[i] = self->be->create(EPOLL_CLOEXEC);
		ASSERT_LE(0, self->ep[i]);
	}
	self->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->efd);
	for (int i = 0; i < 4; i++) {
		self->copy[i] = dup(self->efd);
		ASSERT_LE(0, self->copy[i]);
	}
	ASSERT_EQ(0, sysctl_set(&self->limit, FILE_LIMIT_PATH, "4"));
}

FIXTURE_TEARDOWN(file_limit)
{
	EXPECT_EQ(0, sysctl_restore(&self->limit));
}

#define fill_limit() do {						\
	for (int i_ = 0; i_ < 4; i_++)					\
		ASSERT_EQ(0, xadd(self->be, self->ep[i_ % 2],		\
				  self->copy[i_], EPOLLIN, i_));	\
} while (0)

TEST_F(file_limit, default_is_1024)
{
	EXPECT_STREQ("1024\n", self->limit.text);
}

TEST_F(file_limit, counts_over_all_instances)
{
	fill_limit();
	for (int i = 0; i < 2; i++) {
		EXPECT_REFUSED(ENOSPC, xadd(self->be, self->ep[i], self->efd,
					    EPOLLIN, 0));
		EXPECT_EQ(2, count_watches(self->ep[i]));
	}
}

TEST_F(file_limit, other_files_are_not_affected)
{
	int other = eventfd(0, EFD_CLOEXEC);

	ASSERT_LE(0, other);
	fill_limit();
	EXPECT_EQ(0, xadd(self->be, self->ep[0], other, EPOLLIN, 0));
}

TEST_F(file_limit, deleted_watch_makes_room)
{
	fill_limit();
	ASSERT_EQ(0, xdel(self->be, self->ep[0], self->copy[0]));
	EXPECT_EQ(0, xadd(self->be, self->ep[1], self->efd, EPOLLIN, 0));
	EXPECT_REFUSED(ENOSPC, xadd(self->be, self->ep[0], self->efd, EPOLLIN,
				    0));
}

TEST_F(file_limit, closed_instance_makes_room)
{
	fill_limit();
	close(self->ep[1]);
	EXPECT_EQ(0, xadd(self->be, self->ep[0], self->efd, EPOLLIN, 0));
	EXPECT_EQ(0, xadd(self->be, self->ep[0], self->copy[1], EPOLLIN, 0));
	EXPECT_REFUSED(ENOSPC, xadd(self->be, self->ep[0], self->copy[3],
				    EPOLLIN, 0));
}

TEST_F(file_limit, watch_that_exists_is_told_before_the_limit)
{
	fill_limit();
	EXPECT_REFUSED(EEXIST, xadd(self->be, self->ep[0], self->copy[0],
				    EPOLLIN, 0));
	EXPECT_EQ(0, xmod(self->be, self->ep[0], self->copy[0], EPOLLOUT, 0));
}

TEST_HARNESS_MAIN
