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
 */
#include <asm/unistd.h>
#ifdef __CET__
#include <cet.h>
#else
#define _CET_ENDBR
#endif

#define MAX_ERRNO 4095

	.text
	.globl	syscall
	.type	syscall, @function
	.p2align 4
syscall:
	.cfi_startproc
	_CET_ENDBR
	cmpl	$__NR_epoll_wait, %edi
	jb	.Llower
	je	preload_syscall
	cmpl	$__NR_epoll_ctl, %edi
	je	preload_syscall
	cmpl	$__NR_epoll_pwait, %edi
	je	preload_syscall
	cmpl	$__NR_epoll_create1, %edi
	je	preload_syscall
	cmpl	$__NR_epoll_pwait2, %edi
	je	preload_syscall
	cmpl	$__NR_io_uring_setup, %edi
	je	preload_syscall
.Lkernel:
	movq	%rdi, %rax
	movq	%rsi, %rdi
	movq	%rdx, %rsi
	movq	%rcx, %rdx
	movq	%r8, %r10
	movq	%r9, %r8
	movq	8(%rsp), %r9
	syscall
	cmpq	$-MAX_ERRNO, %rax
	jae	.Lfailed
	ret
.Llower:
	/* Of the lower numbers only this one is epoll's. */
	cmpl	$__NR_epoll_create, %edi
	jne	.Lkernel
	jmp	preload_syscall
.Lfailed:
	movq	%rax, %rdi
	jmp	preload_syscall_failed
	.cfi_endproc
	.size	syscall, . - syscall

	.section .note.GNU-stack, "", @progbits
