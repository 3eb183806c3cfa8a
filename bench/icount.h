/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one operation costs, in instructions.
 */
#ifndef BENCH_ICOUNT_H
#define BENCH_ICOUNT_H

#include <stdbool.h>

#include "backend.h"

#define EVENTS_MAX	512	/* of one wait */
#define SPARES_MAX	64

/* What the steps of an operation work on. */
struct ground {
	const struct backend *be;
	int ep;
	int *watched;		/* eventfds in the instance */
	int count;
	int capacity;
	int spares[SPARES_MAX];	/* eventfds among them that are not watched */
	int spare_count;
	unsigned int turn;	/* counts samples, to take a file after the other */
	int loose;		/* an eventfd in no instance */
	int fresh;		/* made by before(), for one sample */
	int peer[2];		/* connected sockets; the first one is watched */
	int maker;		/* an instance that makes others; -1: native */
	struct epoll_event events[EVENTS_MAX];
};

/* Operations are measured in sets, as some take long to prepare. */
enum set {
	SET_CALLS = 1 << 0,	/* single calls */
	SET_CLOSE = 1 << 1,	/* what the hook in close costs */
	SET_MANY = 1 << 2,	/* beside 10 to 100,000 watches */
	SET_HUGE = 1 << 3,	/* beside 1,000,000 */
};

/*
 * For each sample before(), op() and after() are called, and only op() is
 * timed; before() and after() may be NULL.  Every op() must return @expect.
 * Neighbours with the same @watches share one ground.
 */
struct operation {
	const char *key;	/* in results: icount.KEY */
	const char *title;
	enum set set;
	int watches;		/* for prepare() */
	void (*prepare)(struct ground *g, const struct operation *what);
	void (*before)(struct ground *g);
	long (*op)(struct ground *g);
	void (*after)(struct ground *g);
	long expect;
	bool whole;	/* mean over everything, interrupts and all */
};

extern const struct operation operations[];
extern const int operation_count;

/* Costs that are differences of two operations. */
struct difference {
	const char *key;
	const char *title;
	const char *of;
	const char *minus;
};

extern const struct difference differences[];
extern const int difference_count;

void ground_init(struct ground *g, const struct backend *be);
void ground_exit(struct ground *g);

/* The operation that does nothing: what the measuring itself costs. */
long op_nothing(struct ground *g);

#endif /* BENCH_ICOUNT_H */
