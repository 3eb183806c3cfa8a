/* SPDX-License-Identifier: MIT */
/*
 * System calls without libc: no lock, no memory, no lazy binding, errno left
 * alone, and no way back into a syscall(2) that the preload library replaces.
 * Each returns what the kernel returned, an error as -errno.
 */
#ifndef MYEPOLL_LIB_RAW_H
#define MYEPOLL_LIB_RAW_H

#include <sys/syscall.h>

#if !defined(__x86_64__) || !defined(__LP64__)
#error "the libraries are for 64-bit x86; elsewhere use the ioctls of <linux/myepoll.h>"
#endif

static inline long raw_syscall6(long number, long a, long b, long c, long d,
				long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a" (ret)
			 : "0" (number), "D" (a), "S" (b), "d" (c),
			   "r" (r10), "r" (r8), "r" (r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline long raw_syscall4(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long ret;

	__asm__ volatile("syscall"
			 : "=a" (ret)
			 : "0" (number), "D" (a), "S" (b), "d" (c), "r" (r10)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline long raw_syscall3(long number, long a, long b, long c)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a" (ret)
			 : "0" (number), "D" (a), "S" (b), "d" (c)
			 : "rcx", "r11", "memory");
	return ret;
}

#endif /* MYEPOLL_LIB_RAW_H */
