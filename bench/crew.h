/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads that do the same thing for a while, and what they got done.
 */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct crew;

/* One thread; @data is its owner's. */
struct member {
	struct crew *crew;
	int index;
	int cpu;
	void *data;
	unsigned long done;
	double per_s;		/* of the last run */
	pthread_t thread;
};

/*
 * @work does a piece and returns how much that was.  It is called again and
 * again until the time is up.
 */
struct crew {
	unsigned long (*work)(struct member *m);
	struct member *members;
	int count;
	atomic_bool stop;
	pthread_barrier_t start;
};

/* CPUs that we may use, and the @index-th of them, beginning again at the end. */
int cpu_count(void);
int cpu_number(int index);
void pin_to(int cpu);

void crew_init(struct crew *c, int count,
	       unsigned long (*work)(struct member *m));
void crew_exit(struct crew *c);

/* All members at once for @ms; what they did in a second, together. */
double crew_run(struct crew *c, int ms);

void sleep_ms(int ms);

#endif /* BENCH_CREW_H */
