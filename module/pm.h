/* SPDX-License-Identifier: GPL-2.0-only */
/* EPOLLWAKEUP, see pm.c */
#ifndef MYEPOLL_PM_H
#define MYEPOLL_PM_H

#include "myepoll.h"

void __mye_pm_filter(struct epoll_event *event);
int mye_pm_attach(struct mye_watch *w);
void mye_pm_change(struct mye_watch *w);
void mye_pm_free(struct mye_watch *w);
void mye_pm_instance_free(struct mye_instance *inst);
void __mye_pm_queued(struct mye_watch *w);
bool __mye_pm_claimed(struct mye_watch *w, bool first);
void mye_pm_pass_done(struct mye_instance *inst);

/* Who may not block suspend does not, and is not told. */
static inline void mye_pm_filter(struct epoll_event *event)
{
	if (unlikely(event->events & EPOLLWAKEUP))
		__mye_pm_filter(event);
}

static inline bool mye_pm_active(struct mye_watch *w)
{
	return unlikely(rcu_access_pointer(w->ws));
}

/* The watch got an event: keep the system awake.  Any context. */
static inline void mye_pm_queued(struct mye_watch *w)
{
	if (mye_pm_active(w))
		__mye_pm_queued(w);
}

#endif /* MYEPOLL_PM_H */
