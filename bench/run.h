/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One run: the server on one backend, and its clients.
 */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "server.h"

struct result {
	uint64_t connections;
	uint64_t closes_seen;		/* streams; UDP says goodbye instead */
	uint64_t goodbyes_seen;
	uint64_t resent;		/* datagrams, after the kernel dropped some */
	struct traffic requests;	/* as the server received them */
	struct traffic replies;		/* as it sent them */
	uint64_t tally[TALLIES];	/* of the whole run */

	/* While messages were exchanged, without connecting and closing. */
	uint64_t phase_messages;	/* both directions */
	uint64_t phase_bytes;
	uint64_t phase_events;
	uint64_t phase_waits;
	uint64_t phase_switches;
	int64_t phase_cpu_ns;
	int64_t phase_ns;
};

/* Ends the process if anything at all does not match. */
void run_backend(const struct plan *plan, const struct backend *be,
		 struct result *result);

#endif /* BENCH_RUN_H */
