// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything at once, at random, on a few shared instances, and then the books
 * have to balance.
 *
 *	stress [--seed N] [--seconds N] [--threads N] [--backend NAME]
 *
 * steady	eventfds that stay open.  Their watches change under a mutex
 *		each, so that it is known who watches what.  In the pauses, when
 *		all threads are still, every instance must report exactly what
 *		is ready, and an outer instance exactly those that have events.
 * edge		eventfds watched edge-triggered or one-shot, with a producer that
 *		goes on only once consumers, who read on events alone, have
 *		got everything.  One lost edge or wake-up stops it for good.
 * chaos	files of many kinds that come, go, are duplicated, inherited and
 *		watched by anybody.  No books are kept; errors must be among
 *		those that such a mess explains.
 */
#define _GNU_SOURCE
#include <getopt.h>

#include "stress.h"

/* Steady files */

static void steady_write(uint64_t *r)
{
	struct steady *st = &s.steady[below(r, STEADY)];
	uint64_t one = 1;

	pthread_mutex_lock(&st->lock);
	if (write(st->fd, &one, sizeof(one)) != sizeof(one))
		fail("write to a steady file", st->fd, 0);
	st->count++;
	pthread_mutex_unlock(&st->lock);
}

static void steady_read(uint64_t *r)
{
	struct steady *st = &s.steady[below(r, STEADY)];
	uint64_t value = 0;

	pthread_mutex_lock(&st->lock);
	if (read(st->fd, &value, sizeof(value)) < 0 && errno != EAGAIN)
		fail("read from a steady file", st->fd, 0);
	if (value != st->count)
		fail("count of a steady file", value, st->count);
	st->count = 0;
	pthread_mutex_unlock(&st->lock);
}

static void steady_ctl(uint64_t *r)
{
	static const uint32_t masks[] = { EPOLLIN, EPOLLIN, EPOLLIN, EPOLLOUT,
					  EPOLLIN | EPOLLOUT, 0 };
	int nr = below(r, STEADY), i = below(r, INSTANCES), ret;
	uint32_t mask = masks[below(r, ARRAY_SIZE(masks))];
	struct steady *st = &s.steady[nr];
	uint64_t data = TAG_STEADY + nr;

	pthread_mutex_lock(&st->lock);
	if (st->mask[i] == ~0U) {
		ret = xadd(s.be, s.instance[i], st->fd, mask, data);
	} else if (below(r, 2)) {
		ret = xmod(s.be, s.instance[i], st->fd, mask, data);
	} else {
		ret = xdel(s.be, s.instance[i], st->fd);
		mask = ~0U;
	}
	if (ret)
		fail("ctl on a steady file", nr, i);
	else
		st->mask[i] = mask;
	pthread_mutex_unlock(&st->lock);
}

static void (*const actions[])(uint64_t *r) = {
	steady_write, steady_write, steady_write, steady_read, steady_read,
	steady_ctl, steady_ctl, steady_ctl, look_wait, look_wait, look_wait,
	look_poll, look_fdinfo, chaos_open, chaos_open, chaos_open, chaos_ctl,
	chaos_ctl, chaos_ctl, chaos_ctl, chaos_close, chaos_close, chaos_dup,
	chaos_io, chaos_io, chaos_io, nest, short_lived,
};

static void *worker_main(void *arg)
{
	uint64_t r = s.seed ^ (0x9e3779b97f4a7c15ULL * ((uintptr_t)arg + 1));

	if (!r)
		r = 1;
	while (!atomic_load(&s.stop)) {
		if (!below(&r, 500))
			chaos_fork(&r);
		else
			actions[below(&r, ARRAY_SIZE(actions))](&r);
		atomic_fetch_add(&s.ops, 1);
	}
	return NULL;
}

/* Edges */

static void consume(struct edge *e)
{
	uint64_t value;

	while (read(e->fd, &value, sizeof(value)) == sizeof(value))
		atomic_fetch_add(&e->got, value);
	if (e->oneshot && xmod(s.be, s.edge_instance, e->fd,
			       EPOLLIN | EPOLLONESHOT, TAG_EDGE + (e - s.edge)))
		fail("MOD of a one-shot watch", e - s.edge, 0);
}

/*
 * One event at a time and no timeout: a wake-up that goes astray leaves the
 * rest of a volley in the queue and a consumer asleep beside it.
 */
static void *consumer_main(void *arg)
{
	struct epoll_event ev;

	for (;;) {
		if (s.be->wait(s.edge_instance, &ev, 1, -1) != 1)
			fail("wait for edges", 0, 0);
		else if (ev.data.u64 == TAG_EDGE + EDGES)
			return NULL;
		else if ((ev.data.u64 & ~0xffffffffULL) == TAG_EDGE)
			consume(&s.edge[ev.data.u32]);
	}
}

/* Returns false if the consumers have not got it all after a long time. */
static bool edge_arrives(struct edge *e)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;

	while (atomic_load(&e->got) != e->sent) {
		if (now_ns() > deadline)
			return false;
		sched_yield();
	}
	return true;
}

/* A volley: some of the edges at once, then all must arrive. */
static void *producer_main(void *arg)
{
	uint64_t r = s.seed ^ 0xd1b54a32d192ed03ULL;
	uint64_t one = 1;
	int i;

	while (!atomic_load(&s.stop) && !atomic_load(&s.failed)) {
		uint32_t volley = below(&r, 1 << EDGES);

		for (i = 0; i < EDGES; i++) {
			struct edge *e = &s.edge[i];

			if (!(volley & (1 << i)))
				continue;
			e->sent++;
			if (write(e->fd, &one, sizeof(one)) != sizeof(one))
				fail("write of an edge", e->fd, 0);
		}
		for (i = 0; i < EDGES; i++) {
			if (!edge_arrives(&s.edge[i]))
				fail("an edge or its wake-up was lost: sent, got",
				     s.edge[i].sent, s.edge[i].got);
		}
		atomic_fetch_add(&s.progress, 1);
	}
	return NULL;
}

/* The books */

static bool steady_expected(int nr, int i, uint32_t *events)
{
	struct steady *st = &s.steady[nr];

	*events = st->mask[i] == ~0U ? 0 :
		  st->mask[i] & (EPOLLOUT | (st->count ? EPOLLIN : 0));
	return *events;
}

/* Returns whether instance @i has something to report, and checks all of it. */
static bool balance_instance(int i)
{
	uint32_t seen[STEADY] = { 0 }, want;
	struct epoll_event ev[STEADY + 1];
	int n = wait0(s.be, s.instance[i], ev, ARRAY_SIZE(ev));
	int nr, watched = 0, k;
	bool any = false;

	for (k = 0; k < n; k++) {
		if ((ev[k].data.u64 & ~0xffffffffULL) != TAG_STEADY || seen[ev[k].data.u32])
			fail("reported twice, or closed", i, ev[k].data.u32);
		else
			seen[ev[k].data.u32] = ev[k].events;
	}
	for (nr = 0; nr < STEADY; nr++) {
		any |= steady_expected(nr, i, &want);
		if (seen[nr] != want)
			fail("events of a steady file: seen, expected", seen[nr], want);
		watched += s.steady[nr].mask[i] != ~0U;
	}
	if (n < 0 || count_watches_of(s.instance[i]) != watched)
		fail("number of watches, expected", count_watches_of(s.instance[i]),
		     watched);
	return any;
}

static void balance(void)
{
	struct epoll_event ev[INSTANCES + 1];
	bool any[INSTANCES], seen[INSTANCES] = { false };
	int i, j, n;

	for (i = 0; i < CHAOS; i++)
		close(CHAOS_BASE + i);
	for (i = 0; i < INSTANCES; i++) {
		for (j = 0; j < INSTANCES; j++)
			xdel(s.be, s.instance[i], s.instance[j]);
	}
	for (i = 0; i < INSTANCES; i++)
		any[i] = balance_instance(i);
	n = wait0(s.be, s.outer, ev, ARRAY_SIZE(ev));
	for (i = 0; i < n; i++)
		seen[ev[i].data.u32] = true;
	for (i = 0; i < INSTANCES; i++) {
		if (any[i] != seen[i])
			fail("outer instance", i, seen[i]);
	}
	/* And the one that ends the consumers */
	if (count_watches_of(s.edge_instance) != EDGES + 1)
		fail("number of edge watches", count_watches_of(s.edge_instance),
		     EDGES + 1);
}

static void phase(int nr)
{
	pthread_t worker[s.threads], producer, consumer[CONSUMERS];
	int64_t end = now_ns() + PHASE_MS * 1000000LL;
	int i, err = 0;

	atomic_store(&s.stop, false);
	/* In every other phase nobody else's events help a consumer up. */
	atomic_store(&s.quiet, nr % 2);
	for (i = 0; i < CONSUMERS; i++)
		err |= pthread_create(&consumer[i], NULL, consumer_main, NULL);
	err |= pthread_create(&producer, NULL, producer_main, NULL);
	for (i = 0; i < s.threads; i++)
		err |= pthread_create(&worker[i], NULL, worker_main,
				      (void *)(uintptr_t)(nr * s.threads + i));
	if (err)
		ksft_exit_fail_msg("no threads\n");
	while (now_ns() < end && !atomic_load(&s.failed))
		breathe();
	atomic_store(&s.stop, true);
	for (i = 0; i < s.threads; i++)
		pthread_join(worker[i], NULL);
	pthread_join(producer, NULL);
	if (write(s.quit, &(uint64_t){ 1 }, 8) != 8)
		ksft_exit_fail_msg("write: %m\n");
	for (i = 0; i < CONSUMERS; i++)
		pthread_join(consumer[i], NULL);
	if (read(s.quit, &(uint64_t){ 0 }, 8) != 8)
		ksft_exit_fail_msg("read: %m\n");
	balance();
}

static void setup(const struct backend *be, uint64_t seed, int seconds, int threads)
{
	int i;

	memset(&s, 0, sizeof(s));
	s.be = be;
	s.seed = seed;
	s.seconds = seconds;
	s.threads = threads;
	s.outer = be->create(EPOLL_CLOEXEC);
	s.edge_instance = be->create(EPOLL_CLOEXEC);
	if (s.outer < 0 || s.edge_instance < 0)
		fail("create", s.outer, s.edge_instance);
	for (i = 0; i < INSTANCES; i++) {
		s.instance[i] = be->create(EPOLL_CLOEXEC);
		if (xadd(be, s.outer, s.instance[i], EPOLLIN, TAG_INSTANCE + i))
			fail("nesting", i, 0);
	}
	for (i = 0; i < STEADY; i++) {
		s.steady[i].fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		pthread_mutex_init(&s.steady[i].lock, NULL);
		memset(s.steady[i].mask, 0xff, sizeof(s.steady[i].mask));
	}
	s.quit = eventfd(0, EFD_CLOEXEC);
	if (xadd(be, s.edge_instance, s.quit, EPOLLIN, TAG_EDGE + EDGES))
		fail("ADD of the last event", s.quit, 0);
	for (i = 0; i < EDGES; i++) {
		struct edge *e = &s.edge[i];

		e->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		e->oneshot = i % 2;
		if (xadd(be, s.edge_instance, e->fd,
			 EPOLLIN | (e->oneshot ? EPOLLONESHOT : EPOLLET),
			 TAG_EDGE + i))
			fail("ADD of an edge", i, 0);
	}
}

static void teardown(void)
{
	int i;

	for (i = 0; i < INSTANCES; i++)
		close(s.instance[i]);
	for (i = 0; i < STEADY; i++)
		close(s.steady[i].fd);
	for (i = 0; i < EDGES; i++)
		close(s.edge[i].fd);
	close(s.quit);
	close(s.outer);
	close(s.edge_instance);
}

/* Returns false if anything went wrong. */
static bool stress(const struct backend *be, uint64_t seed, int seconds, int threads)
{
	int64_t end;
	int nr;

	setup(be, seed, seconds, threads);
	end = now_ns() + seconds * 1000000000LL;
	for (nr = 0; !s.failed && (!nr || now_ns() < end); nr++)
		phase(nr);
	ksft_print_msg("%s: %d phases, %llu operations, %d edge rounds\n", be->name,
		       nr, (unsigned long long)s.ops, s.progress);
	if (!s.ops || !s.progress)
		fail("nothing was done", 0, 0);
	teardown();
	return !s.failed;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ "threads", required_argument, NULL, 'n' },
		{ "backend", required_argument, NULL, 'b' },
		{ }
	};
	const struct backend *all[] = { &backend_native, &backend_myepoll };
	uint64_t seed = now_ns() ^ ((uint64_t)getpid() << 32);
	int seconds = 5, threads = 6, c;
	const char *only = NULL;
	size_t i;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 't')
			seconds = atoi(optarg);
		else if (c == 'n')
			threads = atoi(optarg);
		else if (c == 'b')
			only = optarg;
		else
			return KSFT_FAIL;
	}
	if (threads < 1 || threads > 64 || seconds < 0)
		ksft_exit_fail_msg("1 to 64 threads, 0 or more seconds\n");

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	ksft_print_header();
	ksft_set_plan(ARRAY_SIZE(all));
	ksft_print_msg("--seed %llu --seconds %d --threads %d\n",
		       (unsigned long long)seed, seconds, threads);
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		if (only && strcmp(only, all[i]->name))
			ksft_test_result_skip("stress.%s: not asked for\n", all[i]->name);
		else if (require_backend(all[i]))
			ksft_test_result_skip("stress.%s: MYEPOLL_TEST_NATIVE_ONLY is set\n",
					      all[i]->name);
		else
			ksft_test_result(stress(all[i], seed, seconds, threads),
					 "stress.%s\n", all[i]->name);
	}
	ksft_finished();
}
