// SPDX-License-Identifier: GPL-2.0-only
/*
 * The moment at which an instance opens its further queues, while somebody is
 * about to sleep on it.
 *
 * A waiter is held in poll() of a mock object, whose event turns out to be none.
 * Meanwhile others meet on the instance without making it open its queues, which
 * waits and ADD do, but not poll(), and events come, which find nobody asleep.
 * Then the waiter goes to sleep while a wait that takes one event opens the
 * queues and deals out what is left.
 */
#define _GNU_SOURCE
#include <sys/resource.h>

#include "kselftest_harness.h"
#include "observe.h"
#include "lanesopen.h"
#include "mockuse.h"
#include "mockfix.h"

/* Rounds that opened queues, how many rounds it may take, and how long */
#define NR_OPENED 30
#define NR_DEALT 5
#define NR_ROUNDS 2000
#define ROUNDS_MS 30000

/* Files that make it warm, and files that have an event */
#define NR_WARM 400
#define NR_EDGES 8

/* How much sooner or later than the waiter goes on the other wait may come */
#define MAX_LAG_NS 1000000

/* How often the instance is made warm, at most */
#define MAX_HEATS 64

struct growth {
	const struct backend *be;
	int ep;
	int mock;
	int warm[NR_WARM];
	int edge[NR_EDGES];
	int nr_edges;
	uint32_t mask;
	int heats;
	int lag;
	pthread_barrier_t go;
};

static void add_all(struct __test_metadata *_metadata, struct growth *g)
{
	int i;

	g->ep = g->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, g->ep);
	ASSERT_EQ(0, xadd(g->be, g->ep, g->mock, EPOLLIN | EPOLLET, DATA));
	for (i = 0; i < NR_WARM; i++)
		ASSERT_EQ(0, xadd(g->be, g->ep, g->warm[i], EPOLLIN, i));
	for (i = 0; i < g->nr_edges; i++)
		ASSERT_EQ(0, xadd(g->be, g->ep, g->edge[i], g->mask, i));
}

static void lag_behind(int ns)
{
	int64_t end = now_ns() + ns;

	while (now_ns() < end)
		;
}

/* The waiter is in its call, and has the mock's event in its hands. */
static void hold_waiter(struct __test_metadata *_metadata, struct growth *g,
			struct waiter *w)
{
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(1, &cpu);
	ASSERT_EQ(0, waiter_start(w));
	ASSERT_EQ(0, pthread_setaffinity_np(w->thread, sizeof(cpu), &cpu));
	ASSERT_EQ(0, mock_hold(g->mock, MOCK_SLOW_QUERY));
	ASSERT_EQ(0, mock_wake(g->mock, 0, EPOLLIN));
	ASSERT_TRUE(mock_wait_sleeping(g->mock, 1));
}

static void write_edges(struct __test_metadata *_metadata, struct growth *g)
{
	for (int i = 0; i < g->nr_edges; i++)
		ASSERT_EQ(0, eventfd_write(g->edge[i], 1));
}

/* Ends a round; returns whether queues were opened in it. */
static bool end_round(struct __test_metadata *_metadata, struct growth *g)
{
	bool opened = true;
	eventfd_t value;

	for (int i = 0; i < g->nr_edges; i++)
		ASSERT_EQ(0, eventfd_read(g->edge[i], &value));
	if (g->be->ours)
		opened = lanes_are_open(g->ep);
	ASSERT_EQ(0, close(g->ep));
	return opened;
}

static void *releaser_main(void *arg)
{
	struct growth *g = arg;

	if (run_on(1))
		return "no second processor";
	pthread_barrier_wait(&g->go);
	lag_behind(-g->lag);
	return mock_release(g->mock) ? "no release" : NULL;
}

/* The waiter goes on, and somebody else takes one event.  Returns how many. */
static int release_and_take(struct __test_metadata *_metadata, struct growth *g)
{
	struct epoll_event ev[NR_EDGES];
	pthread_t releaser;
	void *failure;
	int n;

	ASSERT_EQ(0, pthread_create(&releaser, NULL, releaser_main, g));
	pthread_barrier_wait(&g->go);
	lag_behind(g->lag);
	n = wait0(g->be, g->ep, ev, 1);
	ASSERT_EQ(0, pthread_join(releaser, &failure));
	ASSERT_EQ(NULL, failure);
	return n;
}

static bool grow_behind_a_waiter(struct __test_metadata *_metadata,
				 struct growth *g)
{
	struct waiter w = { .be = g->be, .timeout = -1 };
	struct epoll_event ev[NR_EDGES];
	int n;

	add_all(_metadata, g);
	w.ep = g->ep;
	hold_waiter(_metadata, g, &w);
	if (g->be->ours)
		ASSERT_TRUE(warm_up(g->ep, g->warm, NR_WARM, g->heats));
	write_edges(_metadata, g);
	n = release_and_take(_metadata, g);
	ASSERT_LE(0, n);
	/* One was taken, of two. */
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS))
		TH_LOG("a waiter sleeps over an event; %d was taken", n);
	ASSERT_LE(1, w.ret);
	n += w.ret + wait0(g->be, g->ep, ev, NR_EDGES);
	ASSERT_EQ(g->nr_edges, n);
	return end_round(_metadata, g);
}

/* Is @ev in the order in which the events came?  The first one has come back. */
static bool in_order(const struct epoll_event *ev, int n)
{
	uint64_t last = 0;

	for (int i = 0; i < n; i++) {
		if (!ev[i].data.u64)
			continue;
		if (ev[i].data.u64 < last)
			return false;
		last = ev[i].data.u64;
	}
	return true;
}

static void nothing_is_left(struct __test_metadata *_metadata, struct growth *g)
{
	struct pollfd pfd = { .fd = g->ep, .events = POLLIN };
	struct epoll_event ev;

	for (int i = 0; i < g->nr_edges; i++)
		ASSERT_EQ(0, xdel(g->be, g->ep, g->edge[i]));
	ASSERT_EQ(0, wait0(g->be, g->ep, &ev, 1));
	ASSERT_EQ(0, poll(&pfd, 1, 0));
}

/* What was queued when the queues were opened is on all of them then. */
static bool grow_alone(struct __test_metadata *_metadata, struct growth *g)
{
	struct epoll_event ev[NR_EDGES];
	bool ordered, opened;
	int n;

	add_all(_metadata, g);
	if (g->be->ours)
		ASSERT_TRUE(warm_up(g->ep, g->warm, NR_WARM, g->heats));
	write_edges(_metadata, g);
	ASSERT_EQ(1, wait0(g->be, g->ep, ev, 1));
	n = wait0(g->be, g->ep, ev, NR_EDGES);
	ASSERT_EQ(g->nr_edges, n);
	ordered = in_order(ev, n);
	nothing_is_left(_metadata, g);
	opened = end_round(_metadata, g);
	if (g->be->ours)
		ASSERT_NE(opened, ordered);
	return opened;
}

/* As warm as it takes: if two processors seldom meet, they meet more often. */
static void tune(struct growth *g, bool opened)
{
	if (!opened && g->heats < MAX_HEATS)
		g->heats *= 2;
	else if (opened && g->heats > 1)
		g->heats--;
}

static void open_files(struct __test_metadata *_metadata, struct growth *g)
{
	struct rlimit files = { NR_WARM + 200, NR_WARM + 200 };
	int i;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	for (i = 0; i < NR_WARM; i++) {
		g->warm[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ASSERT_LE(0, g->warm[i]);
	}
	for (i = 0; i < NR_EDGES; i++) {
		g->edge[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ASSERT_LE(0, g->edge[i]);
	}
}

static void rounds(struct __test_metadata *_metadata, struct growth *g, int wanted,
		   bool (*grow)(struct __test_metadata *_metadata,
				struct growth *g))
{
	int64_t deadline = now_ns() + ROUNDS_MS * 1000000LL;
	unsigned int seed = 1;
	int i, opened = 0;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one processor, one queue");
	open_files(_metadata, g);
	ASSERT_EQ(0, run_on(0));
	ASSERT_EQ(0, pthread_barrier_init(&g->go, NULL, 2));
	for (i = 0; i < NR_ROUNDS && opened < wanted && now_ns() < deadline; i++) {
		bool now;

		g->lag = rand_r(&seed) % (2 * MAX_LAG_NS) - MAX_LAG_NS;
		now = grow(_metadata, g);
		opened += now;
		tune(g, now);
	}
	TH_LOG("queues were opened in %d of %d rounds", opened, i);
	if (!opened)
		SKIP(return, "the processors did not meet");
}

/* Two events: one is taken, one is left. */
TEST_F_TIMEOUT(mockdev, queues_open_behind_the_back_of_a_waiter, 240)
{
	struct growth g = { .be = self->be, .mock = self->fd, .heats = 4,
			    .nr_edges = 2, .mask = EPOLLIN | EPOLLET };

	rounds(_metadata, &g, NR_OPENED, grow_behind_a_waiter);
}

TEST_F_TIMEOUT(mockdev, queues_that_open_share_what_is_there, 240)
{
	struct growth g = { .be = self->be, .mock = self->fd, .heats = 4,
			    .nr_edges = NR_EDGES, .mask = EPOLLIN };

	rounds(_metadata, &g, NR_DEALT, grow_alone);
}

TEST_HARNESS_MAIN
