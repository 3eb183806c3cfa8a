/* SPDX-License-Identifier: MIT */
/* System calls of arm64: what raw.h promises. */
#ifndef MYEPOLL_LIB_RAW_ARM64_H
#define MYEPOLL_LIB_RAW_ARM64_H

/* There is no epoll_wait(); without a mask this is the same. */
#define RAW_EPOLL_WAIT	SYS_epoll_pwait

/* The kernel leaves all registers but x0 as they are. */
static inline long raw_syscall6(long number, long a, long b, long c, long d,
				long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r" (x0)
			 : "r" (x8), "r" (x1), "r" (x2), "r" (x3), "r" (x4),
			   "r" (x5)
			 : "memory");
	return x0;
}

static inline long raw_syscall4(long number, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc #0"
			 : "+r" (x0)
			 : "r" (x8), "r" (x1), "r" (x2), "r" (x3)
			 : "memory");
	return x0;
}

static inline long raw_syscall3(long number, long a, long b, long c)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;

	__asm__ volatile("svc #0"
			 : "+r" (x0)
			 : "r" (x8), "r" (x1), "r" (x2)
			 : "memory");
	return x0;
}

#endif /* MYEPOLL_LIB_RAW_ARM64_H */
