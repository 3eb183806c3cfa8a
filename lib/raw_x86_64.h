/* SPDX-License-Identifier: MIT */
/* System calls of 64-bit x86: what raw.h promises. */
#ifndef MYEPOLL_LIB_RAW_X86_64_H
#define MYEPOLL_LIB_RAW_X86_64_H

#define RAW_EPOLL_WAIT	SYS_epoll_wait

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

#endif /* MYEPOLL_LIB_RAW_X86_64_H */
