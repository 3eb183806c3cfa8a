// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lockstep mode: programs at random, each in a process of its own, on
 * native epoll and on the module at the same time; see world.h.
 *
 * Program n of a run with seed s is the program of seed s + n, so a single one
 * is repeated by giving its seed and its length.
 */
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend.h"
#include "fuzz.h"
#include "shrink.h"
#include "util.h"

#define MAX_JOBS	64
#define PROGRESS_MS	10000
#define PAUSE_MS	100

/* Programs that a short run may lose to timers without proving anything */
#define FEW		8

/* Operations in a program */
#define LENGTH		400
#define LANES_LENGTH	1000

/**
 * struct tally - of all jobs, shared memory
 * @next: number of the next program
 * @ended: programs by outcome
 * @stop: enough
 * @explaining: a job has found something and prints
 * @report: of each job
 */
struct tally {
	_Atomic uint64_t next;
	_Atomic uint64_t ended[NR_OUTCOMES];
	atomic_bool stop;
	atomic_flag explaining;
	struct report report[MAX_JOBS];
};

static struct tally *tally;

static uint64_t ms_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

static uint64_t steps_done(const struct options *o)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < o->jobs; i++)
		sum += atomic_load(&tally->report[i].steps);
	return sum;
}

static int length_of(const struct options *o)
{
	int length = o->length;

	if (!length)
		length = o->lanes ? LANES_LENGTH : LENGTH;
	return o->steps && o->steps < (uint64_t)length ? (int)o->steps : length;
}

/* Programs until told to stop; the first job to find something explains it. */
static void job(const struct options *o, int nr)
{
	static struct prog p;
	struct report *report = &tally->report[nr];
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(nr % get_nprocs_conf(), &set);
	if (o->jobs > 1 && sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
	net_private();
	while (!atomic_load(&tally->stop)) {
		uint64_t seed = o->seed + atomic_fetch_add(&tally->next, 1);
		enum outcome how;

		prog_make(&p, seed, length_of(o), o->lanes);
		how = run_apart(&p, report, o->breakage);
		atomic_fetch_add(&tally->ended[how], 1);
		if (how == RUN_SAME || how == RUN_DISTURBED)
			continue;
		atomic_store(&tally->stop, true);
		if (!atomic_flag_test_and_set(&tally->explaining))
			explain(&p, seed, report, how, o->breakage);
		fflush(stdout);
	}
	_exit(0);
}

static void progress(const struct options *o, uint64_t ms)
{
	uint64_t steps = steps_done(o);

	printf("%s: ", o->lanes ? "lanes" : "lockstep");
	printf("%6llu s %10llu operations, %llu/s, %llu programs, %llu disturbed\n",
	       (unsigned long long)ms / 1000, (unsigned long long)steps,
	       (unsigned long long)(ms ? steps * 1000 / ms : 0),
	       (unsigned long long)atomic_load(&tally->ended[RUN_SAME]),
	       (unsigned long long)atomic_load(&tally->ended[RUN_DISTURBED]));
	fflush(stdout);
}

static bool enough(const struct options *o, uint64_t ms)
{
	return (o->seconds && ms >= o->seconds * 1000ULL) ||
	       (o->steps && steps_done(o) >= o->steps) ||
	       atomic_load(&tally->stop);
}

/* Returns when all jobs have ended. */
static void watch_jobs(const struct options *o)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
	uint64_t start = ms_now(), last = start, now;
	int left = o->jobs, status;

	while (left) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid > 0) {
			left--;
			if (status)
				atomic_fetch_add(&tally->ended[RUN_DIED], 1);
			continue;
		}
		now = ms_now();
		if (enough(o, now - start))
			atomic_store(&tally->stop, true);
		if (now - last >= PROGRESS_MS) {
			last = now;
			progress(o, now - start);
		}
		nanosleep(&pause, NULL);
	}
	progress(o, ms_now() - start);
}

static int judge(uint64_t *passed)
{
	uint64_t same = tally->ended[RUN_SAME];
	uint64_t disturbed = tally->ended[RUN_DISTURBED];
	int failed = tally->ended[RUN_DIFFERS] + tally->ended[RUN_BROKEN] +
		     tally->ended[RUN_DIED];

	*passed += same;
	/* They count up to where timers of the network disturbed them. */
	if (disturbed > same + FEW) {
		printf("lockstep: FAILED: %llu programs did not come to their end, as files woke by themselves\n",
		       (unsigned long long)disturbed);
		failed++;
	}
	return failed;
}

int lockstep(const struct options *o, uint64_t *passed)
{
	int i;

	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED)
		die("mmap");
	net_probe();
	fflush(stdout);
	for (i = 0; i < o->jobs; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (!pid)
			job(o, i);
	}
	watch_jobs(o);
	return judge(passed);
}

/* In a process of its own, as every mode is. */
int lanes(const struct options *o, uint64_t *passed)
{
	struct options with = *o;
	unsigned int opened = 0, closed = 0;
	int i, failed;

	with.lanes = true;
	/* Each job takes two CPUs, and a while to begin. */
	with.jobs = (o->jobs + 1) / 2;
	failed = lockstep(&with, passed);
	for (i = 0; i < o->jobs; i++) {
		opened += tally->report[i].opened;
		closed += tally->report[i].closed;
	}
	printf("lanes: %u instances had several, %u could not be made to\n",
	       opened, closed);
	if (!opened && get_nprocs() > 1) {
		printf("lanes: FAILED: nothing was tested\n");
		failed++;
	}
	return failed;
}
