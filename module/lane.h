/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What lane.c and lanes.c share, and what is short enough for their callers.
 */
#ifndef MYEPOLL_LANE_H
#define MYEPOLL_LANE_H

#include <linux/lockdep.h>
#include <linux/preempt.h>

#include "myepoll.h"

static inline struct mye_lane *mye_lane_nth(struct mye_instance *inst,
					    unsigned int n)
{
	return n ? &inst->more[n] : &inst->lane0;
}

/* A hint that two threads met; losing a count to a race does not matter. */
static inline void mye_lane_warm(struct mye_lane *lane)
{
	WRITE_ONCE(lane->hot, READ_ONCE(lane->hot) + 1);
}

/* Edge-triggered and one-shot watches do not come back from a pass. */
static inline bool mye_mask_counts(__poll_t mask)
{
	return !(mask & (EPOLLET | EPOLLONESHOT));
}

/* Around every change of what mye_look() reads; a few stores each. */
static inline void mye_lane_change(struct mye_lane *lane)
{
	lockdep_assert_held(&lane->lock);
	preempt_disable();
	write_seqcount_begin(&lane->seq);
}

static inline void mye_lane_changed(struct mye_lane *lane)
{
	write_seqcount_end(&lane->seq);
	preempt_enable();
}

/* The lane of this CPU. */
static inline unsigned int mye_lane_home(struct mye_instance *inst)
{
	unsigned int nr = smp_load_acquire(&inst->nr_lanes);	/* grow */

	return nr == 1 ? 0 : raw_smp_processor_id() & (nr - 1);
}

/* Model: lane_ready in lane.pml. */
static inline bool mye_lane_ready(struct mye_lane *lane)
{
	return smp_load_acquire(&lane->inbox.first) || /* mye_lane_drain() */
	       READ_ONCE(lane->len);
}

/*
 * Is any watch on any lane?  A hint, unless a barrier of WAKE-UP precedes.  How
 * many lanes there are is read after the first was seen empty: what was there
 * may have been dealt out to new ones meanwhile.
 * Model: lanes_ready in lane.pml.
 */
static inline bool mye_lanes_ready(struct mye_instance *inst)
{
	unsigned int i = 0;

	do {
		if (mye_lane_ready(mye_lane_nth(inst, i)))
			return true;
		smp_rmb();	/* pairs with mye_lane_move() */
	} while (++i < smp_load_acquire(&inst->nr_lanes));	/* grow */
	return false;
}

/* One of those who wait for more than claims.  After a barrier. */
static inline void mye_wake_settled(struct mye_instance *inst)
{
	/* After the caller's barrier */
	if (waitqueue_active(&inst->settled))
		wake_up(&inst->settled);
}

/* lane.c */
void mye_lane_lock(struct mye_lane *lane);
void mye_lane_drain(struct mye_lane *lane);
void mye_lane_init(struct mye_lane *lane);
bool mye_lane_hit(struct mye_watch *w);
unsigned int mye_lane_claim(struct mye_lane *lane, struct mye_claims *claims,
			    unsigned int want, unsigned int *budget, bool all);
void mye_lane_settle(struct mye_instance *inst, struct mye_claims *claims);
void mye_lane_meet(struct mye_watch *w);
bool mye_lane_unqueue(struct mye_watch *w);

/* lanes.c */
unsigned int mye_lane_start(struct mye_instance *inst, unsigned int nr);
void mye_lanes_grow(struct mye_instance *inst);
enum mye_sight mye_look(struct mye_instance *inst);

#endif /* MYEPOLL_LANE_H */
