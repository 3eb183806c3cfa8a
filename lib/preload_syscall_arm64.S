/* SPDX-License-Identifier: MIT */
/* syscall() of arm64: what preload_syscall.S promises. */
	.text
	.globl	syscall
	.type	syscall, %function
	.p2align 4
syscall:
	.cfi_startproc
#ifdef __ARM_FEATURE_BTI_DEFAULT
	hint	#34		/* bti c, for assemblers that do not know it */
#endif
	cmp	w0, #__NR_epoll_create1
	b.eq	.Lours
	cmp	w0, #__NR_epoll_ctl
	b.eq	.Lours
	cmp	w0, #__NR_epoll_pwait
	b.eq	.Lours
	cmp	w0, #__NR_epoll_pwait2
	b.eq	.Lours
	cmp	w0, #__NR_io_uring_setup
	b.eq	.Lours
	mov	x8, x0
	mov	x0, x1
	mov	x1, x2
	mov	x2, x3
	mov	x3, x4
	mov	x4, x5
	mov	x5, x6
	svc	#0
	cmn	x0, #MAX_ERRNO
	b.hs	.Lfailed
	ret
.Lours:
	/* A conditional branch does not reach as far. */
	b	preload_syscall
.Lfailed:
	b	preload_syscall_failed
	.cfi_endproc
	.size	syscall, . - syscall

#ifdef __ARM_FEATURE_BTI_DEFAULT
/*
 * A library has landing pads if all its objects say that they do: a property of
 * the processor (0xc0000000), one word, with the bits BTI and PAC.  No return
 * address is on the stack here that would have to be signed.
 */
	.section .note.gnu.property, "a", %note
	.p2align 3
	.word	4, 16, 5
	.asciz	"GNU"
	.word	0xc0000000, 4, 3, 0
#endif
