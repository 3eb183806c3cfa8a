/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses that the kernel must refuse, and arrays that end where memory ends.
 */
#ifndef SELFTESTS_BADPTR_H
#define SELFTESTS_BADPTR_H

#include "helpers.h"

#define PAGE 4096

/* In the kernel's half: refused by range.  A 32-bit program has none. */
#define KERNEL_RANGE ((void *)(intptr_t)-PAGE)

/*
 * Returns the first of two pages of which only the first can be used, with
 * @prot, or NULL.
 */
static inline char *page_before_hole(int prot)
{
	char *page = mmap(NULL, 2 * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	if (page == MAP_FAILED)
		return NULL;
	return munmap(page + PAGE, PAGE) ? NULL : page;
}

/* Returns an address of @size bytes which ends where the memory ends, or NULL. */
static inline void *room_for(size_t size)
{
	char *page = page_before_hole(PROT_READ | PROT_WRITE);

	return page ? page + PAGE - size : NULL;
}

/* Returns an address in user space where nothing is mapped, or NULL. */
static inline void *unmapped(void)
{
	return room_for(0);
}

#endif /* SELFTESTS_BADPTR_H */
