/* SPDX-License-Identifier: MIT */
/*
 * syscall() of 64-bit x86: what preload_syscall.S promises.  The seventh argument is
 * on the stack.
 */
#ifdef __CET__
#include <cet.h>
#else
#define _CET_ENDBR
#endif

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
