/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How an instance of ours is brought to open its further queues, and whether it
 * has.  Nothing tells that but the order of /proc/PID/fdinfo: queue by queue,
 * each the newest first, where a watch belongs to the queue of the processor that
 * added it.
 *
 * A crowd of waits does not do: who finds all that is ready in the hands of
 * another sleeps until that one is done.  All this needs two processors.
 *
 * Include this after observe.h.
 */
#ifndef SELFTESTS_LANESOPEN_H
#define SELFTESTS_LANESOPEN_H

#include <poll.h>
#include <sys/eventfd.h>

/* Files to tell it by, added by two processors in turn */
#define NR_PROBES 4
#define PROBE_LINES 4096

static inline int run_on(int processor)
{
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(processor, &cpu);
	return sched_setaffinity(0, sizeof(cpu), &cpu);
}

/* The order in which the probes are listed, as a number of one digit for each */
static inline int probe_order(int ep, const int *probe)
{
	struct watch_line *lines = calloc(PROBE_LINES, sizeof(*lines));
	int n = lines ? read_watches(ep, lines, PROBE_LINES) : 0;
	int order = 0;

	for (int i = 0; i < n && i < PROBE_LINES; i++)
		for (int k = 0; k < NR_PROBES; k++)
			if (lines[i].tfd == probe[k])
				order = order * 10 + k;
	free(lines);
	return order;
}

/*
 * One queue has the probes as 3 2 1 0; several have those
 * of the first processor and those of the second apart.
 */
static inline bool lanes_are_open(int ep)
{
	int probe[NR_PROBES], order;
	cpu_set_t before;

	if (sched_getaffinity(0, sizeof(before), &before))
		return false;
	for (int i = 0; i < NR_PROBES; i++) {
		run_on(i % 2);
		probe[i] = eventfd(0, EFD_CLOEXEC);
		xadd(&backend_myepoll, ep, probe[i], EPOLLIN, 0);
	}
	order = probe_order(ep, probe);
	for (int i = 0; i < NR_PROBES; i++)
		close(probe[i]);
	sched_setaffinity(0, sizeof(before), &before);
	return order == 2031;
}

/*
 * struct warmer - a thread that walks over an instance
 * @ep: the instance
 * @processor: where
 * @times: how often
 * @barrier: it waits here before and after each walk
 * @failed: out: a walk did not go as it should
 */
struct warmer {
	pthread_t thread;
	int ep;
	int processor;
	int times;
	pthread_barrier_t *barrier;
	bool failed;
};

static inline void *warmer_main(void *arg)
{
	struct warmer *w = arg;
	struct pollfd pfd = { .fd = w->ep, .events = POLLIN };

	w->failed = run_on(w->processor);
	for (int i = 0; i < w->times; i++) {
		pthread_barrier_wait(w->barrier);
		w->failed |= poll(&pfd, 1, 0);
		pthread_barrier_wait(w->barrier);
	}
	return NULL;
}

/*
 * Two polls side by side walk over files that were ready and are no more; a poll
 * does not open queues itself, so the next wait or ADD does.  @fd: eventfds that
 * are 0, do not block and are watched for reading.  Returns whether all went
 * well.
 */
static inline bool warm_up(int ep, const int *fd, int nr, int times)
{
	struct warmer w[2];
	pthread_barrier_t barrier;
	eventfd_t value;
	bool ok = true;
	int i, k;

	pthread_barrier_init(&barrier, NULL, 3);
	for (i = 0; i < 2; i++) {
		w[i] = (struct warmer) { .ep = ep, .processor = i,
					 .times = times, .barrier = &barrier };
		if (pthread_create(&w[i].thread, NULL, warmer_main, &w[i]))
			abort();
	}
	for (i = 0; i < times; i++) {
		for (k = 0; k < nr; k++)
			ok &= !eventfd_write(fd[k], 1) &&
			      !eventfd_read(fd[k], &value);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
	}
	for (i = 0; i < 2; i++) {
		pthread_join(w[i].thread, NULL);
		ok &= !w[i].failed;
	}
	pthread_barrier_destroy(&barrier);
	return ok;
}

/* Until the queues are open; false if it does not come to that. */
static inline bool open_lanes(int ep, const int *fd, int nr)
{
	int64_t deadline = now_ns() + 6 * PATIENCE_MS * 1000000LL;
	int times = 2;

	while (now_ns() < deadline) {
		/* The ADD that looks opens them. */
		if (!warm_up(ep, fd, nr, times))
			return false;
		if (lanes_are_open(ep))
			return true;
		times *= 2;
	}
	return false;
}

#endif /* SELFTESTS_LANESOPEN_H */
