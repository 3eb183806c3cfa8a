/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the runs have shown, for people and for programs.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "run.h"

#define RUNS_MAX	31

struct series {
	const char *name;	/* of the backend */
	unsigned int runs;	/* that went well */
	struct result result[RUNS_MAX];
};

/* One line of JSON about a run. */
void report_json(const char *backend, unsigned int run,
		 const struct result *result);

/* Medians, side by side; one of the two series may be without runs. */
void report_table(const struct plan *plan, const struct series *native,
		  const struct series *ours);

#endif /* BENCH_REPORT_H */
