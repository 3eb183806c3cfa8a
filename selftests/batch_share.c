// SPDX-License-Identifier: GPL-2.0-only
/*
 * MYEPOLL_IOC_BATCH by several threads: on the same instance with the same files.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "batchfix.h"

/* ---- two at once ---- */

#define CHURN_FILES 8
#define CHURN_NR 6
#define CHURN_ROUNDS 30000

/*
 * struct churn - threads that add and delete the same files
 * @made: of each file, the ADDs less the DELs that were made
 * @faults: results that cannot be
 */
struct churn {
	int ep;
	int fd[CHURN_FILES];
	atomic_int made[CHURN_FILES];
	atomic_int faults;
	atomic_uint seed;
};

/* The result says of @done changes that they were made, and why no more were. */
static bool churn_is_right(const struct myepoll_change *changes, int ret,
			   uint32_t done)
{
	if (!ret)
		return done == CHURN_NR;
	return done < CHURN_NR &&
	       errno == (changes[done].op == EPOLL_CTL_ADD ? EEXIST : ENOENT);
}

static void *churn_main(void *arg)
{
	struct myepoll_change changes[CHURN_NR];
	struct churn *churn = arg;
	unsigned int seed = atomic_fetch_add(&churn->seed, 1);
	int i, ret, round, nth[CHURN_NR];
	uint32_t done, k;

	for (round = 0; round < CHURN_ROUNDS; round++) {
		for (i = 0; i < CHURN_NR; i++) {
			nth[i] = rand_r(&seed) % CHURN_FILES;
			changes[i] = add_of(churn->fd[nth[i]], EPOLLIN, 0);
			if (rand_r(&seed) & 1)
				changes[i].op = EPOLL_CTL_DEL;
		}
		ret = batch_make(churn->ep, changes, CHURN_NR, &done);
		if (!churn_is_right(changes, ret, done))
			atomic_fetch_add(&churn->faults, 1);
		for (k = 0; k < done && k < CHURN_NR; k++)
			atomic_fetch_add(&churn->made[nth[k]],
					 changes[k].op == EPOLL_CTL_ADD ? 1 : -1);
	}
	return NULL;
}

TEST_F_TIMEOUT(batch, two_threads_with_the_same_files, 120)
{
	struct churn churn = { .ep = self->ep, .seed = 1 };
	int i, made, sum = 0;
	pthread_t thread[2];

	for (i = 0; i < CHURN_FILES; i++)
		churn.fd[i] = eventfd(1, EFD_CLOEXEC);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, churn_main,
					    &churn));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	EXPECT_EQ(0, atomic_load(&churn.faults));
	for (i = 0; i < CHURN_FILES; i++)
		sum += atomic_load(&churn.made[i]);
	EXPECT_EQ(sum, count_watches(self->ep));
	for (i = 0; i < CHURN_FILES; i++) {
		made = atomic_load(&churn.made[i]);
		EXPECT_EQ(made - 1, xdel(&backend_myepoll, self->ep,
					 churn.fd[i]));
	}
}

/* ---- four at once ---- */

#define SHARERS 4
#define PIPES 16
#define BYTES 4000
#define STOP PIPES

/*
 * struct share - threads that serve the same pipes
 * @rd: their ends to read, watched once at a time
 * @stop: an eventfd that says that all is read
 * @busy: a thread has this pipe
 * @next: the next byte of it, for the thread that has it
 * @left: bytes that were not read yet
 * @faults: what cannot be
 */
struct share {
	int ep;
	int rd[PIPES];
	int stop;
	atomic_bool busy[PIPES];
	uint8_t next[PIPES];
	atomic_int left;
	atomic_int faults;
};

static void serve(struct share *share, int i)
{
	uint8_t byte;

	if (atomic_exchange(&share->busy[i], true))
		atomic_fetch_add(&share->faults, 1);
	if (read(share->rd[i], &byte, 1) != 1 || byte != share->next[i]++)
		atomic_fetch_add(&share->faults, 1);
	if (atomic_fetch_sub(&share->left, 1) == 1)
		eventfd_write(share->stop, 1);
}

/* Serves what was reported; returns the changes that arm it again, -1: stop. */
static int serve_all(struct share *share, const struct epoll_event *ev, int n,
		     struct myepoll_change *again)
{
	int i, pipe;

	for (i = 0; i < n; i++) {
		pipe = ev[i].data.u64;
		if (pipe == STOP)
			return -1;
		serve(share, pipe);
		again[i] = mod_of(share->rd[pipe], ARMED, pipe);
	}
	return n;
}

static void *share_main(void *arg)
{
	struct myepoll_change again[FILES];
	struct epoll_event ev[FILES];
	struct myepoll_wait wait = wait_forever(ev, FILES);
	struct share *share = arg;
	int i, n = 0, nr = 0;
	uint32_t done;

	while (nr >= 0) {
		for (i = 0; i < nr; i++)
			atomic_store(&share->busy[again[i].data], false);
		n = batch_wait(share->ep, again, nr, &wait, &done);
		if (n < 1 || done != (uint32_t)nr)
			return "a batch failed";
		nr = serve_all(share, ev, n, again);
	}
	return NULL;
}

static int share_init(struct share *share)
{
	uint8_t bytes[BYTES];
	int i, fds[2];

	for (i = 0; i < BYTES; i++)
		bytes[i] = i;
	share->stop = eventfd(0, EFD_CLOEXEC);
	for (i = 0; i < PIPES; i++) {
		if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) ||
		    write(fds[1], bytes, BYTES) != BYTES ||
		    xadd(&backend_myepoll, share->ep, fds[0], ARMED, i))
			return -1;
		share->rd[i] = fds[0];
	}
	share->left = PIPES * BYTES;
	return xadd(&backend_myepoll, share->ep, share->stop, EPOLLIN, STOP);
}

TEST_F_TIMEOUT(batch, threads_share_oneshot_files, 120)
{
	int64_t deadline = now_ns() + 4 * PATIENCE_MS * 1000000LL;
	struct share share = { .ep = self->ep };
	pthread_t thread[SHARERS];
	void *failure;
	int i;

	ASSERT_EQ(0, share_init(&share));
	for (i = 0; i < SHARERS; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, share_main,
					    &share));
	while (atomic_load(&share.left) > 0 && now_ns() < deadline)
		breathe();
	EXPECT_EQ(0, atomic_load(&share.left));
	ASSERT_EQ(0, eventfd_write(share.stop, 1));
	for (i = 0; i < SHARERS; i++) {
		ASSERT_EQ(0, pthread_join(thread[i], &failure));
		EXPECT_EQ(NULL, failure);
	}
	EXPECT_EQ(0, atomic_load(&share.faults));
	EXPECT_EQ(0, atomic_load(&share.left));
}

TEST_HARNESS_MAIN
