/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a benchmark hands its figures to scripts/bench: one line of JSON each.
 */
#ifndef BENCH_RESULT_H
#define BENCH_RESULT_H

#include "backend.h"

/* Prints one figure; @name is what out/bench.json calls it. */
void result(const struct backend *be, const char *name, const char *unit,
	    double value);

/* The backend of that name, or an exit that says which there are. */
const struct backend *backend_by_name(const char *name);

/*
 * Descriptors from 0 to @count must be possible, and as many watches.  What is
 * missing is asked for, which takes root; exits if it is not given.
 */
void allow_watches(long count);

#endif /* BENCH_RESULT_H */
