/* SPDX-License-Identifier: GPL-2.0-only */
/* What the attackers of the hostile mode make their calls of. */
#ifndef FUZZ_HOSTILE_H
#define FUZZ_HOSTILE_H

#include "backend.h"
#include "util.h"

#define PLAY_SIZE	(4 * 4096)

/*
 * Memory for arguments that other threads make unusable; we never touch it
 * ourselves.  Guards on both sides take what is stored beyond its ends, and no
 * page of it is unmapped, or a stack could come to lie there.
 */
extern char *playground;

/* What the fields of a wait point to if they are good */
struct wait_memory {
	struct epoll_event ev[16];
	uint64_t mask;
	struct backend_timespec time;
};

int any_fd(struct rng *r);
/* Addresses of all kinds; @good is one that works */
uint64_t any_address(struct rng *r, const void *good);
/* Mostly @value, else a number near a limit, else any */
uint64_t odd(struct rng *r, uint64_t value);
void any_wait(struct rng *r, struct myepoll_wait *wait, struct wait_memory *m);

/* hostile_batch.c */
void act_batch(struct rng *r);
void act_scribble(struct rng *r);
void long_batch_make(void);
void batch_start(void);

#endif /* FUZZ_HOSTILE_H */
