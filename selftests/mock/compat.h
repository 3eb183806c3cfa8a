/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between kernels, for the mock device. */
#ifndef SELFTESTS_MOCK_COMPAT_H
#define SELFTESTS_MOCK_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/version.h>

/* hrtimer_init() gave way to hrtimer_setup() in 6.13. */
static inline void mock_timer_setup(struct hrtimer *timer,
				    enum hrtimer_restart (*fn)(struct hrtimer *),
				    enum hrtimer_mode mode)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
	hrtimer_init(timer, CLOCK_MONOTONIC, mode);
	timer->function = fn;
#else
	hrtimer_setup(timer, fn, CLOCK_MONOTONIC, mode);
#endif
}

#endif /* SELFTESTS_MOCK_COMPAT_H */
