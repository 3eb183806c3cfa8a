/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every benchmark needs: the clock, and a way out that says why.
 */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include <stddef.h>
#include <stdint.h>

#define NSEC_PER_SEC	1000000000LL
#define __noreturn	__attribute__((noreturn))
#define __printf(a, b)	__attribute__((format(printf, a, b)))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Goes in front of every message; a process sets it once, before threads. */
extern const char *who;

/* End the process with status 1; die_errno() adds what errno says. */
void __noreturn __printf(1, 2) die(const char *fmt, ...);
void __noreturn __printf(1, 2) die_errno(const char *fmt, ...);

/* CLOCK_MONOTONIC, which all processes share. */
int64_t now_ns(void);

/* Milliseconds until @deadline for poll() and its kin, at least 0. */
int ms_until(int64_t deadline);

void *xcalloc(size_t n, size_t size);

/* The number in @text, or an exit that names @what; @min and @max included. */
long parse_number(const char *text, const char *what, long min, long max);

int compare_double(const void *a, const void *b);
double median(double *values, size_t n);	/* sorts @values */

#endif /* BENCH_UTIL_H */
