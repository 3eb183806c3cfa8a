// SPDX-License-Identifier: GPL-2.0-only
/*
 * A user without rights makes the calls take as long as he can; does anybody
 * else have to wait for it?
 *
 * An observer of real-time priority on the same CPU wakes up all the time and
 * makes a round of calls on a native epoll of its own.  It is late by what ran
 * with preemption or interrupts off, and its calls take longer if the attack
 * holds something that they need.  Each attack is made on native epoll and on
 * the module, and the module may not be worse by more than a fixed bound, nor
 * pass an absolute one, three times in a row.
 *
 * This measures something on one CPU with a preemptible kernel, best where time
 * is a count of instructions:
 *	scripts/vm run --icount --append preempt=full --env MYEPOLL_TEST_ATTACK=1
 * Elsewhere its figures mean nothing, so it does not run without that variable.
 * Options: --scale N (how many of everything, in percent: 100), --only ATTACK.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "kselftest.h"
#include "helpers.h"
#include "users.h"

/*
 * How often the observer looks, and what the module may be worse by: twice what
 * native epoll takes and, on top, the end of a file with as many watches as one
 * may have by default.  RCU frees what an attack leaves behind in batches that
 * take up to two milliseconds, whichever epoll it was.
 */
#define PERIOD_NS 300000
#define BOUND_FACTOR 2
#define BOUND_NS 2500000

/*
 * How often the module may try.  What it holds up for so long it holds up every
 * time, and an observer who looks so often cannot miss it.  But what interrupts
 * just one of all his calls, such as the end of the threads of the attack before,
 * is chance.
 */
#define ROUNDS 3

#define BASE_FD 100

/*
 * struct shared - between attacker and observer
 * @measure: the attack is on: count what is seen
 * @stop: the observer is to end
 * @late: how late it was at worst, ns
 * @slow: its longest round of calls, ns
 * @looks: how often it looked
 * @longest: the longest single call of the attacker, ns
 * @ok: the attack was carried out
 */
struct shared {
	atomic_bool measure;
	atomic_bool stop;
	atomic_long late;
	atomic_long slow;
	atomic_long looks;
	atomic_long longest;
	atomic_bool ok;
};

static struct shared *shared;
static int scale = 100;

/* ---- the observer ---- */

static void highest(atomic_long *max, int64_t value)
{
	if (value > atomic_load(max))
		atomic_store(max, value);
}

/* ADD, wait, DEL on an instance that nobody else knows. */
static int round_of_calls(int ep, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };

	return native_ctl(ep, EPOLL_CTL_ADD, fd, &ev) ||
	       native_wait(ep, &ev, 1, 0) != 1 ||
	       native_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
}

static void *observer_main(void *arg)
{
	struct sched_param param = { .sched_priority = 50 };
	int ep = native_create(0), fd = eventfd(1, 0);
	struct timespec at;
	int64_t woken, wanted;

	if (ep < 0 || fd < 0 || sched_setscheduler(0, SCHED_FIFO, &param))
		return "the observer cannot be set up";
	while (!atomic_load(&shared->stop)) {
		wanted = now_ns() + PERIOD_NS;
		at.tv_sec = wanted / 1000000000;
		at.tv_nsec = wanted % 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		woken = now_ns();
		if (round_of_calls(ep, fd))
			return "native epoll does not work beside the attack";
		if (!atomic_load(&shared->measure))
			continue;
		highest(&shared->late, woken - wanted);
		highest(&shared->slow, now_ns() - woken);
		atomic_fetch_add(&shared->looks, 1);
	}
	return NULL;
}

/* ---- what an attacker does ---- */

static int64_t call_began;

static void begin(void)
{
	call_began = now_ns();
}

static void end(void)
{
	highest(&shared->longest, now_ns() - call_began);
}

/* As many watches of one file as it may have, then an event, then its end. */
static bool attack_one_file(const struct backend *be, int n)
{
	int ep = be->create(0), fd = eventfd(0, 0), i, added = 0;
	struct epoll_event ev;

	for (i = 0; i < n; i++) {
		int copy = dup2(fd, BASE_FD + i);

		if (copy < 0)
			return false;
		begin();
		if (xadd(be, ep, copy, EPOLLIN, i)) {
			if (errno != ENOSPC)
				return false;
			break;
		}
		end();
		added++;
	}
	begin();
	eventfd_write(fd, 1);
	end();
	if (be->wait(ep, &ev, 1, 0) != 1)
		return false;
	close(fd);
	for (i = 0; i <= added; i++) {
		begin();
		close(BASE_FD + i);
		end();
	}
	return be->wait(ep, &ev, 1, 0) == 0;
}

/*
 * Files that outlived one descriptor number, all watched under it.  Then calls
 * on the oldest and on one that is not there; and the end of them all, with
 * the process.
 */
static bool attack_stale(const struct backend *be, int n)
{
	int ep = be->create(0), first = BASE_FD + 1, i;

	for (i = 0; i < n; i++) {
		int fd = eventfd(1, 0);

		if (dup2(fd, BASE_FD) < 0 || dup2(fd, first + i) < 0)
			return false;
		close(fd);
		begin();
		if (xadd(be, ep, BASE_FD, EPOLLIN, i))
			return false;
		end();
	}
	if (dup2(first, BASE_FD) < 0)
		return false;
	begin();
	if (xmod(be, ep, BASE_FD, EPOLLIN | EPOLLET, 1))
		return false;
	end();
	begin();
	if (!xdel(be, ep, first) || errno != ENOENT)
		return false;
	end();
	return true;
}

/* All ready at once, taken by one call, and once more through poll(). */
static bool attack_drain(const struct backend *be, int n)
{
	struct epoll_event *ev = calloc(n, sizeof(*ev));
	int ep = be->create(0), outer = be->create(0), i, got;

	if (!ev || xadd(be, outer, ep, EPOLLIN, 1))
		return false;
	for (i = 0; i < n; i++)
		if (xadd(be, ep, eventfd(1, 0), i % 2 ? EPOLLIN :
			 EPOLLIN | EPOLLET, i))
			return false;
	begin();
	got = be->wait(ep, ev, n, 0);
	end();
	begin();
	be->wait(outer, ev, 1, 0);
	end();
	begin();
	close(ep);
	end();
	return got == n;
}

/* The same, from wake-ups: they sit in the inbox until somebody comes. */
static bool attack_inbox(const struct backend *be, int n)
{
	struct epoll_event *ev = calloc(n, sizeof(*ev));
	int *fd = calloc(n, sizeof(*fd)), ep = be->create(0), i, got;

	if (!ev || !fd)
		return false;
	for (i = 0; i < n; i++) {
		fd[i] = eventfd(0, 0);
		if (xadd(be, ep, fd[i], EPOLLIN | EPOLLET, i))
			return false;
	}
	for (i = 0; i < n; i++)
		if (eventfd_write(fd[i], 1))
			return false;
	begin();
	got = be->wait(ep, ev, 1, 0);
	end();
	begin();
	got += be->wait(ep, ev, n, 0);
	end();
	return got == n;
}

struct sleeper {
	const struct backend *be;
	int ep;
	pthread_t thread;
};

static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;
	struct epoll_event ev;

	return s->be->wait(s->ep, &ev, 1, -1) == 1 ? NULL : s;
}

/* As many as there is room for, at most @n.  Returns how many. */
static int start_sleepers(const struct backend *be, int ep,
			  struct sleeper *sleeper, int n)
{
	pthread_attr_t attr;
	int i;

	if (pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, 16384) ||
	    pthread_attr_setguardsize(&attr, 0))
		return 0;
	for (i = 0; i < n; i++) {
		sleeper[i] = (struct sleeper){ .be = be, .ep = ep };
		if (pthread_create(&sleeper[i].thread, &attr, sleeper_main,
				   &sleeper[i]))
			break;
	}
	return i;
}

/* Many sleepers; one event each; and all who sleep again die with the process. */
static bool attack_waiters(const struct backend *be, int n)
{
	struct sleeper *sleeper = calloc(n, sizeof(*sleeper));
	int ep = be->create(0), fd = eventfd(0, EFD_SEMAPHORE), i, started;
	void *failed;

	if (!sleeper || xadd(be, ep, fd, EPOLLIN, 1))
		return false;
	started = start_sleepers(be, ep, sleeper, n);
	if (started < n)
		ksft_print_msg("%d of %d threads: %m\n", started, n);
	begin();
	eventfd_write(fd, started);
	end();
	for (i = 0; i < started; i++)
		if (pthread_join(sleeper[i].thread, &failed) || failed)
			return false;
	return started >= n / 10;
}

struct poller {
	struct pollfd *pfd;
	int n;
	atomic_int tid;
	int ret;
};

static void *poller_main(void *arg)
{
	struct poller *p = arg;

	atomic_store(&p->tid, self_tid());
	p->ret = poll(p->pfd, p->n, -1);
	return NULL;
}

/* One poll(2) that names the instance many times, and then an event. */
static bool attack_pollers(const struct backend *be, int n)
{
	struct poller p = { .pfd = calloc(n, sizeof(*p.pfd)), .n = n };
	int ep = be->create(0), fd = eventfd(0, 0), i;
	pthread_t thread;

	if (!p.pfd || xadd(be, ep, fd, EPOLLIN, 1))
		return false;
	for (i = 0; i < n; i++)
		p.pfd[i] = (struct pollfd){ .fd = ep, .events = POLLIN };
	if (pthread_create(&thread, NULL, poller_main, &p))
		return false;
	while (!atomic_load(&p.tid))
		breathe();
	if (!wait_until_sleeping(p.tid, PATIENCE_MS))
		return false;
	begin();
	eventfd_write(fd, 1);
	end();
	return !pthread_join(thread, NULL) && p.ret == n;
}

/*
 * @count: of everything, at the scale of 100 %
 * @most_us: for how long ours may hold up anybody, whatever native epoll does.  The
 *	end of 100,000 threads, and a wake-up of a queue with 100,000 entries, take
 *	their time on either.
 */
static const struct attack {
	const char *name;
	bool (*run)(const struct backend *be, int n);
	int count;
	int most_us;
} attacks[] = {
	{ "one_file", attack_one_file, 400000, 5000 },
	{ "stale", attack_stale, 100000, 5000 },
	{ "drain", attack_drain, 100000, 5000 },
	{ "inbox", attack_inbox, 100000, 5000 },
	{ "waiters", attack_waiters, 100000, 100000 },
	{ "pollers", attack_pollers, 100000, 20000 },
};

static int count_of(const struct attack *attack)
{
	return attack->count / 100 * scale;
}

/* ---- both together ---- */

struct figures {
	int64_t late;
	int64_t slow;
	int64_t looks;
	int64_t longest;
};

/* A process of its own; its end, with all that it has open, is part of it. */
static bool carry_out(const struct attack *attack, const struct backend *be,
		      struct figures *figures)
{
	pid_t child;

	atomic_store(&shared->late, 0);
	atomic_store(&shared->slow, 0);
	atomic_store(&shared->looks, 0);
	atomic_store(&shared->longest, 0);
	atomic_store(&shared->ok, false);
	atomic_store(&shared->measure, true);
	child = fork();
	if (!child) {
		if (!become_for_good(UID_A) &&
		    attack->run(be, count_of(attack)))
			atomic_store(&shared->ok, true);
		_exit(0);
	}
	if (child < 0 || waitpid(child, NULL, 0) != child)
		return false;
	atomic_store(&shared->measure, false);
	*figures = (struct figures){
		.late = shared->late,
		.slow = shared->slow,
		.looks = shared->looks,
		.longest = shared->longest,
	};
	ksft_print_msg("%-9s %-8s late %7.1f, calls %7.1f, longest attack %9.1f us; %lld looks\n",
		       attack->name, be->name, figures->late / 1e3,
		       figures->slow / 1e3, figures->longest / 1e3,
		       (long long)figures->looks);
	return atomic_load(&shared->ok) && figures->looks;
}

static bool within(int64_t ours, int64_t native)
{
	return ours <= native * BOUND_FACTOR + BOUND_NS;
}

static bool no_worse(const struct figures *ours, const struct figures *native)
{
	return within(ours->late, native->late) && within(ours->slow, native->slow);
}

static bool below(const struct figures *ours, int most_us)
{
	return ours->late <= most_us * 1000LL && ours->slow <= most_us * 1000LL;
}

static int64_t lower(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* On the module, again as long as it is too bad; @best: of each figure. */
static bool carry_out_on_ours(const struct attack *attack,
			      const struct figures *native, struct figures *best)
{
	struct figures ours;

	best->late = INT64_MAX;
	best->slow = INT64_MAX;
	for (int i = 0; i < ROUNDS; i++) {
		if (!carry_out(attack, &backend_myepoll, &ours))
			return false;
		best->late = lower(best->late, ours.late);
		best->slow = lower(best->slow, ours.slow);
		if (no_worse(best, native) && below(best, attack->most_us))
			break;
	}
	return true;
}

static void compare(const struct attack *attack)
{
	struct figures native, ours;

	if (!carry_out(attack, &backend_native, &native) ||
	    !carry_out_on_ours(attack, &native, &ours)) {
		ksft_test_result_fail("%s: could not be carried out\n", attack->name);
		ksft_test_result_fail("%s: nothing was measured\n", attack->name);
		return;
	}
	ksft_test_result(no_worse(&ours, &native),
			 "%s: nobody waits more than %d x native + %d us\n",
			 attack->name, BOUND_FACTOR, BOUND_NS / 1000);
	ksft_test_result(below(&ours, attack->most_us),
			 "%s: nobody waits more than %d us\n", attack->name,
			 attack->most_us);
}

/* Room for as many threads and descriptors as an attack may want */
static int make_room(void)
{
	struct rlimit files = { 500000, 500000 };
	struct rlimit threads = { RLIM_INFINITY, RLIM_INFINITY };

	return sysctl_write("/proc/sys/fs/nr_open", "500000") ||
	       sysctl_write("/proc/sys/kernel/pid_max", "400000") ||
	       sysctl_write("/proc/sys/kernel/threads-max", "400000") ||
	       sysctl_write("/proc/sys/vm/max_map_count", "1000000") ||
	       setrlimit(RLIMIT_NOFILE, &files) ||
	       setrlimit(RLIMIT_NPROC, &threads);
}

static int prepare(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared == MAP_FAILED || make_room() ||
	       sched_setaffinity(0, sizeof(one), &one);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "scale", required_argument, NULL, 's' },
		{ "only", required_argument, NULL, 'o' },
		{ }
	};
	const char *only = NULL;
	pthread_t observer;
	void *trouble;
	size_t i;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			scale = atoi(optarg);
		else if (c == 'o')
			only = optarg;
		else
			return KSFT_FAIL;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	ksft_print_header();
	if (!getenv("MYEPOLL_TEST_ATTACK"))
		ksft_exit_skip("MYEPOLL_TEST_ATTACK is not set: needs its own machine\n");
	if (geteuid())
		ksft_exit_skip("needs root for the observer's priority\n");
	ksft_set_plan(2 * ARRAY_SIZE(attacks) + 1);
	if (prepare() || pthread_create(&observer, NULL, observer_main, NULL))
		ksft_exit_fail_msg("cannot be set up: %m\n");
	for (i = 0; i < ARRAY_SIZE(attacks); i++) {
		if (!only || !strcmp(only, attacks[i].name)) {
			compare(&attacks[i]);
			continue;
		}
		for (c = 0; c < 2; c++)
			ksft_test_result_skip("%s: not asked for\n", attacks[i].name);
	}
	atomic_store(&shared->stop, true);
	pthread_join(observer, &trouble);
	if (trouble)
		ksft_print_msg("%s\n", (char *)trouble);
	ksft_test_result(!trouble, "native epoll works beside all of this\n");
	ksft_finished();
}
