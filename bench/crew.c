// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "crew.h"
#include "util.h"

static cpu_set_t allowed;

/* Before anybody is pinned: a thread inherits the set of its maker. */
static void __attribute__((constructor)) remember_cpus(void)
{
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		die_errno("sched_getaffinity");
}

int cpu_count(void)
{
	return CPU_COUNT(&allowed);
}

int cpu_number(int index)
{
	index %= cpu_count();
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && !index--)
			return cpu;
	die("there is no CPU");
}

void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die_errno("sched_setaffinity to CPU %d", cpu);
}

void sleep_ms(int ms)
{
	struct timespec left = {
		.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L,
	};
	int err;

	do {
		err = clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left);
	} while (err == EINTR);
	if (err) {
		errno = err;
		die_errno("clock_nanosleep");
	}
}

void crew_init(struct crew *c, int count,
	       unsigned long (*work)(struct member *m))
{
	*c = (struct crew) { .work = work, .count = count };
	c->members = xcalloc(count, sizeof(*c->members));
	for (int i = 0; i < count; i++)
		c->members[i] = (struct member) {
			.crew = c, .index = i, .cpu = cpu_number(i),
		};
}

void crew_exit(struct crew *c)
{
	free(c->members);
}

static void *member_main(void *arg)
{
	struct member *m = arg;
	struct crew *c = m->crew;
	unsigned long done = 0;
	int64_t start;

	pin_to(m->cpu);
	pthread_barrier_wait(&c->start);
	start = now_ns();
	while (!atomic_load_explicit(&c->stop, memory_order_relaxed))
		done += c->work(m);
	m->done = done;
	m->per_s = (double)done * NSEC_PER_SEC / (now_ns() - start);
	return NULL;
}

double crew_run(struct crew *c, int ms)
{
	double sum = 0;
	int err = pthread_barrier_init(&c->start, NULL, c->count + 1);

	atomic_store(&c->stop, false);
	for (int i = 0; !err && i < c->count; i++)
		err = pthread_create(&c->members[i].thread, NULL, member_main,
				     &c->members[i]);
	if (err) {
		errno = err;
		die_errno("starting %d threads", c->count);
	}
	pthread_barrier_wait(&c->start);
	sleep_ms(ms);
	atomic_store(&c->stop, true);
	for (int i = 0; i < c->count; i++) {
		pthread_join(c->members[i].thread, NULL);
		sum += c->members[i].per_s;
	}
	pthread_barrier_destroy(&c->start);
	return sum;
}
