/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the concurrent mode works on: files, each watched on two sides, by
 * native instances (side 0) and by ours (side 1), with the same masks.
 */
#ifndef FUZZ_CONCURRENT_H
#define FUZZ_CONCURRENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend.h"

#define SIDES		2
#define PLACES		4	/* instances of a side; the last is an outer one */
#define OUTER		(PLACES - 1)
#define SLOTS		24
#define WAITERS		2	/* of each instance, besides the workers */
#define PATIENCE_S	60
#define PATIENCE_BROKEN_S	5
#define ALL_EVENTS	512

/* Mask of a watch that there is not */
#define NO_WATCH	0xfffffffeU

enum slot_kind { KIND_EVENTFD, KIND_PIPE, KIND_UNIX, KIND_DGRAM, KIND_SEQ,
		 KIND_TCP, KIND_TIMER, NR_KINDS };

/**
 * struct slot - one or two files that live and die together
 * @lock: protects all below, and the watches of the files
 * @kind: what they are
 * @fd: descriptors, the second may be -1
 * @age: counts replacements, part of the data of watches
 * @mask: with what each instance watches each file, on both sides
 */
struct slot {
	pthread_mutex_t lock;
	enum slot_kind kind;
	int fd[2];
	uint32_t age;
	uint32_t mask[2][PLACES];
};

/**
 * struct sleeper - a thread that waits on an instance for ever
 * @side: whose
 * @place: which instance
 * @tid: of the thread
 * @waiting: it is in the call, or about to be
 * @parked: it will not call until the quiet is over
 * @events: how many it got
 */
struct sleeper {
	pthread_t thread;
	int side;
	int place;
	atomic_int tid;
	atomic_bool waiting;
	atomic_bool parked;
	atomic_ullong events;
};

/**
 * struct arena - everything
 * @inst: descriptors of instances
 * @nested: the outer instances watch that one; under @nest_lock
 * @sleeper: waiters without a time limit
 * @quiet: workers go to the barrier, sleepers park
 * @resume: sleepers wait for it to change
 * @touched: somebody has polled that instance since all went on
 * @patience_s: how long what must happen may take
 * @failed: checks that failed
 * @ops: operations done
 */
struct arena {
	const struct backend *be[SIDES];
	int inst[SIDES][PLACES];
	bool nested[PLACES];
	pthread_mutex_t nest_lock;
	struct slot slot[SLOTS];
	struct sleeper sleeper[SIDES][PLACES][WAITERS];
	pthread_barrier_t barrier;
	pthread_mutex_t park_lock;
	pthread_cond_t park_cond;
	uint64_t resume;
	atomic_bool quiet;
	atomic_bool stop;
	atomic_bool touched[SIDES][PLACES];
	int patience_s;
	atomic_int failed;
	atomic_ullong ops;
	uint64_t rounds;
	uint64_t checks;
};

extern struct arena arena;

#define NEST_DATA	0xffffffffULL
#define KICK_DATA	0xfffffffeULL

/* Data of a watch of file @end of slot @nr */
static inline uint64_t watch_data(int nr, int end)
{
	return (uint64_t)arena.slot[nr].age << 32 | nr << 1 | end;
}

struct rng;

void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t clock_ms(void);

uint32_t any_mask(struct rng *r);
int ctl_error(int op, uint32_t old, uint32_t mask);

/* concurrent_batch.c */
void change_many(struct rng *r);

/* quiet.c: called when all workers stand still */
void quiet_check(void);

#endif /* FUZZ_CONCURRENT_H */
