/* SPDX-License-Identifier: GPL-2.0-only */
/* Busy polling, see busy.c */
#ifndef MYEPOLL_BUSY_H
#define MYEPOLL_BUSY_H

#include "myepoll.h"

bool __mye_busy_poll(struct mye_instance *inst);
void __mye_busy_seen(struct mye_instance *inst, struct file *file);
int mye_busy_set(struct mye_instance *inst, const struct myepoll_params *p);
void mye_busy_get(struct mye_instance *inst, struct myepoll_params *p);

/* Poll the network for a while; returns whether that made anything ready. */
static inline bool mye_busy_poll(struct mye_instance *inst)
{
	return unlikely(READ_ONCE(inst->busy)) && __mye_busy_poll(inst);
}

/* A pass found @file ready: its network queue is the one to poll. */
static inline void mye_busy_seen(struct mye_instance *inst, struct file *file)
{
	if (unlikely(READ_ONCE(inst->busy)))
		__mye_busy_seen(inst, file);
}

#endif /* MYEPOLL_BUSY_H */
