/* SPDX-License-Identifier: MIT */
/*
 * System calls without libc: no lock, no memory, no lazy binding, errno left
 * alone, and no way back into a syscall(2) that the preload library replaces.
 * Each returns what the kernel returned, an error as -errno.  RAW_EPOLL_WAIT is
 * the number for epoll_wait(); the call is given the mask and size of
 * epoll_pwait() as well, NULL and 0.
 */
#ifndef MYEPOLL_LIB_RAW_H
#define MYEPOLL_LIB_RAW_H

#include <sys/syscall.h>

#if defined(__x86_64__) && defined(__LP64__)
#include "raw_x86_64.h"
#elif defined(__aarch64__) && defined(__LP64__)
#include "raw_arm64.h"
#else
#error "the libraries are for 64-bit x86 and arm64; elsewhere use the ioctls of <linux/myepoll.h>"
#endif

#endif /* MYEPOLL_LIB_RAW_H */
