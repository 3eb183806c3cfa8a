/* SPDX-License-Identifier: GPL-2.0-only */
/* What the modes share: numbers at random, and a last resort. */
#ifndef FUZZ_UTIL_H
#define FUZZ_UTIL_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#endif

/* xorshift64*; splitmix first, as neighbouring seeds must not look alike. */
struct rng {
	uint64_t state;
};

static inline void rng_seed(struct rng *r, uint64_t seed, uint64_t stream)
{
	uint64_t z = seed * 0x9e3779b97f4a7c15ULL + stream;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	r->state = (z ^ (z >> 31)) | 1;
}

static inline uint64_t rng_next(struct rng *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * 0x2545f4914f6cdd1dULL;
}

static inline uint32_t below(struct rng *r, uint32_t limit)
{
	return (rng_next(r) >> 33) % limit;
}

/* One time in @n */
static inline int rarely(struct rng *r, uint32_t n)
{
	return !below(r, n);
}

#define pick(r, array) ((array)[below(r, ARRAY_SIZE(array))])

/* For what the machine must give us; never for what is under test. */
static inline void die(const char *what)
{
	fprintf(stderr, "fuzz: %s: %s\n", what, strerror(errno));
	exit(2);
}

#endif /* FUZZ_UTIL_H */
