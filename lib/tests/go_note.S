/* SPDX-License-Identifier: GPL-2.0-only */
/* The note by which a program made with Go is known. */
	.section .note.go.buildid, "a", @note
	.p2align 2
	.long	2f - 1f
	.long	4f - 3f
	.long	4
1:	.asciz	"Go"
2:	.p2align 2
3:	.asciz	"myepoll"
4:	.p2align 2
	.section .note.GNU-stack, "", @progbits
