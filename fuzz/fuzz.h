/* SPDX-License-Identifier: GPL-2.0-only */
/* The modes of the fuzzer and what they have in common. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct options - the command line
 * @seed: what everything at random follows from
 * @seconds: when to stop, 0: not for that reason
 * @steps: how many operations to do, 0: not limited
 * @length: operations in one program, 0: as many as the mode likes
 * @jobs: lockstep programs at a time
 * @threads: of the concurrent and hostile modes
 * @user: who the hostile mode is
 * @lanes: lockstep with instances that have several lanes
 * @breakage: how to falsify our side, to see the fuzzer fail
 */
struct options {
	uint64_t seed;
	int seconds;
	uint64_t steps;
	int length;
	int jobs;
	int threads;
	unsigned int user;
	bool lanes;
	const char *breakage;
};

/* Each returns how many checks failed and adds those that passed to @passed. */
int lockstep(const struct options *o, uint64_t *passed);
int lanes(const struct options *o, uint64_t *passed);
int concurrent(const struct options *o, uint64_t *passed);
int hostile(const struct options *o, uint64_t *passed);

#endif /* FUZZ_FUZZ_H */
