/* SPDX-License-Identifier: MIT */
/* What preload.c and preload_syscall.S know of each other. */
#ifndef MYEPOLL_LIB_PRELOAD_H
#define MYEPOLL_LIB_PRELOAD_H

#define PRELOAD_API	__attribute__((visibility("default")))
#define PRELOAD_HIDDEN	__attribute__((visibility("hidden")))

PRELOAD_HIDDEN long preload_syscall(long number, long a, long b, long c, long d,
				    long e, long f);
PRELOAD_HIDDEN long preload_syscall_failed(long ret);

#endif /* MYEPOLL_LIB_PRELOAD_H */
