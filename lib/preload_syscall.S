/* SPDX-License-Identifier: MIT */
/*
 * long syscall(long number, ...): epoll's numbers to preload_syscall(), all other
 * ones to the kernel, with six arguments.
 *
 * Not in C: a variadic function cannot know how many arguments it has, and a
 * function with a frame does not come back right in a child on another stack.
 * This one is a leaf that leaves the stack alone, as libc's is.
 *
 * The arguments of syscall() are where a function of seven arguments has its own,
 * so handing over is a jump.  The kernel looks at 32 bits of the number.
 *
 * Each architecture has its own, as in raw.h.
 */
#include <asm/unistd.h>

#define MAX_ERRNO 4095

#if defined(__x86_64__)
#include "preload_syscall_x86_64.S"
#elif defined(__aarch64__)
#include "preload_syscall_arm64.S"
#endif

	.section .note.GNU-stack, "", @progbits
