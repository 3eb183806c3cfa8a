// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of the soak test, taken while no connection is open.
 *
 * What has been freed comes back after an RCU grace period, so a sample is the
 * least of several, taken until it falls no more.
 */
#include <time.h>

#include "soak.h"

#define TRIES		40
#define TRY_NS		50000000L
#define STEADY_TRIES	6

/*
 * Each CPU keeps a few slabs with free objects, which count as in use; and a
 * minute's connections leave TIME_WAIT sockets behind, more or fewer of them.
 * A leak of one object in a hundred connections exceeds this in minutes.
 */
#define SLACK_OBJECTS	256
#define SLACK_SLAB_KB	4096
#define SLACK_MEM_KB	16384

static void read_meminfo(struct memory *m)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];

	if (!file)
		die("/proc/meminfo");
	m->available_kb = -1;
	m->slab_kb = -1;
	while (fgets(line, sizeof(line), file)) {
		/* The first word of a line that matches is converted. */
		if (!strncmp(line, "MemAvailable:", 13))
			m->available_kb = strtol(line + 13, NULL, 10);
		if (!strncmp(line, "Slab:", 5))
			m->slab_kb = strtol(line + 5, NULL, 10);
	}
	fclose(file);
	if (m->available_kb < 0 || m->slab_kb < 0)
		die("/proc/meminfo without MemAvailable or Slab");
}

/* Objects in use, and the size of all slabs, of the module's caches */
static void read_slabinfo(struct memory *m)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	long active, total, size;
	char line[256];
	int caches = 0;

	if (!file)
		die("/proc/slabinfo");
	m->objects = 0;
	m->object_kb = 0;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "myepoll_%*s %ld %ld %ld", &active, &total,
			   &size) != 3)
			continue;
		m->objects += active;
		m->object_kb += total * size / 1024;
		caches++;
	}
	fclose(file);
	if (!caches && soak.be->ours) {
		fprintf(stderr, "soak: no cache of the module in /proc/slabinfo\n");
		exit(2);
	}
}

void memory_now(struct memory *m)
{
	struct memory now;
	int i, steady = 0;

	read_slabinfo(m);
	for (i = 0; i < TRIES && steady < STEADY_TRIES; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = TRY_NS }, NULL);
		read_slabinfo(&now);
		steady = now.objects < m->objects ? 0 : steady + 1;
		if (!steady)
			*m = now;
	}
	read_meminfo(m);
}

bool memory_flat(const struct memory *first, const struct memory *now)
{
	return now->objects <= first->objects + SLACK_OBJECTS &&
	       now->slab_kb <= first->slab_kb + SLACK_SLAB_KB &&
	       now->available_kb >= first->available_kb - SLACK_MEM_KB;
}
