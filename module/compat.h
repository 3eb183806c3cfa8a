/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every difference between the kernels that we build for stands here.
 *
 * Wrappers ask for a feature where it can be seen by the preprocessor, and for
 * the version only where it cannot.
 */
#ifndef MYEPOLL_COMPAT_H
#define MYEPOLL_COMPAT_H

#include <linux/compat.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/ftrace.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "myepoll needs Linux 6.1 or later"
#endif

/*
 * A distribution may have all automatic variables set to zero.  For a large
 * array that is about to be filled this says no.  The kernel's own name for it
 * came in 6.18.
 */
#ifndef __uninitialized
#if __has_attribute(__uninitialized__)
#define __uninitialized	__attribute__((__uninitialized__))
#else
#define __uninitialized
#endif
#endif

/* struct fd became one word, to be read through fd_file(), in 6.12. */
#ifndef fd_file
#define fd_file(f)	((f).file)
#endif

static inline bool mye_fd_referenced(struct fd f)
{
#ifdef EMPTY_FD
	return f.word & FDPUT_FPUT;
#else
	return f.flags & FDPUT_FPUT;
#endif
}

/*
 * A reference to a file that may be on its way out.  The count of references
 * moved from f_count to f_ref in 6.13.
 */
static inline bool mye_file_tryget(struct file *file)
{
#ifdef FILE_REF_ONEREF
	return file_ref_get(&file->f_ref);
#else
	return atomic_long_inc_not_zero(&file->f_count);
#endif
}

/*
 * Drop a reference unless it is the last one.  f_ref counts from FILE_REF_ONEREF
 * up, and between living counts a step is a step.
 */
static inline bool mye_file_put_unless_last(struct file *file)
{
#ifdef FILE_REF_ONEREF
	return atomic_long_add_unless(&file->f_ref.refcnt, -1, FILE_REF_ONEREF);
#else
	return atomic_long_add_unless(&file->f_count, -1, 1);
#endif
}

/*
 * Since 6.7 the memory of a file may be used for another one before a grace
 * period has passed.
 */
#define MYE_FILES_REUSED (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0))

/*
 * First argument of a traced function.  The accessor came in 6.5, on arm64 with
 * DYNAMIC_FTRACE_WITH_ARGS in 6.2, as a function.  Where arguments do not come by
 * themselves all registers have to be asked for, by the flag below.
 */
static inline unsigned long mye_ftrace_arg0(struct ftrace_regs *fregs)
{
#if defined(ftrace_regs_get_argument) || \
	(defined(CONFIG_ARM64) && defined(CONFIG_DYNAMIC_FTRACE_WITH_ARGS))
	return ftrace_regs_get_argument(fregs, 0);
#elif defined(CONFIG_X86_64)
	return fregs->regs.di;
#elif defined(CONFIG_ARM64) && defined(CONFIG_DYNAMIC_FTRACE_WITH_REGS)
	return ftrace_get_regs(fregs)->regs[0];
#else
#error "no way to read the argument of a traced function on this kernel"
#endif
}

#if defined(CONFIG_DYNAMIC_FTRACE_WITH_ARGS) || !defined(CONFIG_ARM64)
#define MYE_FTRACE_REGS	0
#else
#define MYE_FTRACE_REGS	FTRACE_OPS_FL_SAVE_REGS
#endif

/* A 32-bit program lays out its signal set in words of its own size. */
static inline int mye_copy_sigset(sigset_t *mask, const void __user *from)
{
#ifdef CONFIG_COMPAT
	if (in_compat_syscall())
		return get_compat_sigset(mask, from);
#endif
	return copy_from_user(mask, from, sizeof(*mask)) ? -EFAULT : 0;
}

/* An empty last entry ended a table of sysctls up to 6.10; later it is one. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
#define MYE_SYSCTL_END	{ }
#else
#define MYE_SYSCTL_END
#endif

#endif /* MYEPOLL_COMPAT_H */
