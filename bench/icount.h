/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one operation costs, in instructions.
 */
#ifndef BENCH_ICOUNT_H
#define BENCH_ICOUNT_H

#include <stdbool.h>

#include "backend.h"

#define WATCHES_MAX	16

/* What the steps of an operation work on; made anew for each operation. */
struct ground {
	const struct backend *be;
	int ep;
	int watched[WATCHES_MAX];	/* eventfds in the instance */
	int count;
	int loose;			/* an eventfd in no instance */
	int fresh;			/* made by before(), for one sample */
	struct epoll_event events[WATCHES_MAX];
};

/*
 * For each sample before(), op() and after() are called, and only op() is
 * timed; before() and after() may be NULL.  Every op() must return @expect.
 */
struct operation {
	const char *name;
	void (*prepare)(struct ground *g);
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
	const char *name;
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
