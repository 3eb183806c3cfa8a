/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A thread that makes one call that may take its time.
 *
 * Include this after helpers.h.
 */
#ifndef SELFTESTS_DOER_H
#define SELFTESTS_DOER_H

/*
 * struct doer - a thread that makes one call, or several, on its own
 * @work: what to do; 0 for success
 * @be, @ep, @fd, @events, @nth: for @work
 * @ret, @err: of @work, valid once @done
 */
struct doer {
	int (*work)(struct doer *doer);
	const struct backend *be;
	int ep;
	int fd;
	uint32_t events;
	int nth;
	pthread_t thread;
	atomic_int tid;
	atomic_bool done;
	int ret;
	int err;
};

static inline void *doer_main(void *arg)
{
	struct doer *doer = arg;

	atomic_store(&doer->tid, self_tid());
	doer->ret = doer->work(doer);
	doer->err = errno;
	atomic_store(&doer->done, true);
	return NULL;
}

static inline int doer_start(struct doer *doer)
{
	if (pthread_create(&doer->thread, NULL, doer_main, doer))
		return -1;
	while (!atomic_load(&doer->tid))
		breathe();
	return 0;
}

static inline bool doer_done(struct doer *doer)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;

	while (!atomic_load(&doer->done)) {
		if (now_ns() > deadline)
			return false;
		breathe();
	}
	return true;
}

/* Until the call is over or the thread sleeps in it. */
static inline void doer_settle(struct doer *doer)
{
	while (!atomic_load(&doer->done) && task_state(doer->tid) != 'S' &&
	       task_state(doer->tid) != 'D')
		breathe();
}

static inline bool doer_finish(struct doer *doer)
{
	return doer_done(doer) && !pthread_join(doer->thread, NULL);
}

#endif /* SELFTESTS_DOER_H */
