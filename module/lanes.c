// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lanes of an instance together: how many there are, where a call begins,
 * and whether anything is ready on any of them.
 */
#include <linux/cpumask.h>
#include <linux/log2.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "myepoll.h"
#include "lane.h"

/* So often must somebody have been in the way before an instance opens lanes */
#define MYE_HOT		64

/* Watches dealt out when it does */
#define MYE_SPREAD_MAX	1024U

/*
 * Where a call begins.  Mostly on the lane of its own CPU, which is warm and
 * which others leave alone; but in every eighth call somewhere else, so that
 * no lane starves when each call is full after the first.
 */
unsigned int mye_lane_start(struct mye_instance *inst, unsigned int nr)
{
	unsigned int cpu = raw_smp_processor_id();
	struct mye_lane *own;
	unsigned int turn;

	if (nr == 1)
		return 0;
	own = mye_lane_nth(inst, cpu & (nr - 1));
	turn = READ_ONCE(own->turn);
	WRITE_ONCE(own->turn, turn + 1);
	if (turn % 8 == 7)
		cpu += turn / 8;
	return cpu & (nr - 1);
}

/*
 * Move the first watch of one lane to another; it is on one at any time.
 * Model: lane_move in grow.pml.
 */
static void mye_lane_move(struct mye_lane *from, struct mye_lane *to)
{
	struct mye_watch *w;

	w = list_first_entry(&from->fifo, struct mye_watch, node);
	mutex_lock_nested(&to->lock, SINGLE_DEPTH_NESTING);
	mye_lane_change(to);
	WRITE_ONCE(w->lane, to);
	list_move_tail(&w->node, &to->fifo);
	WRITE_ONCE(to->len, to->len + 1);
	mye_lane_changed(to);
	mutex_unlock(&to->lock);
	smp_wmb();	/* pairs with mye_lanes_ready() */
	mye_lane_change(from);
	WRITE_ONCE(from->len, from->len - 1);
	mye_lane_changed(from);
}

/*
 * Deal out what is ready, as most of it would stay in the first lane.
 * Model: lanes_spread in grow.pml.
 */
static void mye_lanes_spread(struct mye_instance *inst, unsigned int nr)
{
	struct mye_lane *from = &inst->lane0;
	unsigned int i, n;

	mutex_lock(&from->lock);
	mye_lane_drain(from);
	n = min(from->len, MYE_SPREAD_MAX);
	for (i = 0; i < n; i++) {
		if (i & (nr - 1))
			mye_lane_move(from, mye_lane_nth(inst, i & (nr - 1)));
		else
			list_rotate_left(&from->fifo);
	}
	mutex_unlock(&from->lock);
}

/* Model: lanes_open in grow.pml. */
static void mye_lanes_open(struct mye_instance *inst)
{
	unsigned int i, nr = roundup_pow_of_two(num_online_cpus());
	struct mye_lane *lanes;

	nr = min_t(unsigned int, nr, MYE_MAX_LANES);
	if (nr == 1)
		return;
	/* Index 0 stays unused: a power of two of lanes is aligned. */
	lanes = kcalloc(nr, sizeof(*lanes), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!lanes)
		return;
	for (i = 1; i < nr; i++)
		mye_lane_init(&lanes[i]);
	inst->more = lanes;
	smp_store_release(&inst->nr_lanes, nr);	/* everybody who loads it */
	mye_lanes_spread(inst, nr);
}

/**
 * mye_lanes_grow - open more lanes if there is a crowd
 * @inst: the instance
 *
 * Does nothing if there is none, if they are open, or if there is no memory:
 * one lane is slower, not wrong.  May sleep.
 */
void mye_lanes_grow(struct mye_instance *inst)
{
	if (likely(READ_ONCE(inst->lane0.hot) < MYE_HOT) ||
	    READ_ONCE(inst->nr_lanes) > 1)
		return;
	if (!mutex_trylock(&inst->grow_lock))
		return;
	WRITE_ONCE(inst->lane0.hot, 0);
	if (inst->nr_lanes == 1)
		mye_lanes_open(inst);
	mutex_unlock(&inst->grow_lock);
}

/* Model: look_lane in lane.pml. */
static __always_inline enum mye_sight
mye_look_lane(struct mye_instance *inst, struct mye_lane *lane,
	      unsigned int *gen)
{
	unsigned int seq;
	bool ready, busy;

	do {
		seq = read_seqcount_begin(&lane->seq);
		ready = mye_lane_ready(lane);
		busy = READ_ONCE(lane->claims) || atomic_read(&inst->again);
	} while (read_seqcount_retry(&lane->seq, seq));
	*gen += seq;
	if (ready)
		return MYE_READY;
	return busy ? MYE_BUSY : MYE_EMPTY;
}

/*
 * One look over all lanes; @gen gets the sum of what moves with each of them.
 * Model: look_once in lane.pml.
 */
static enum mye_sight mye_look_once(struct mye_instance *inst, unsigned int nr,
				    unsigned int *gen)
{
	enum mye_sight lane, all = MYE_EMPTY;
	unsigned int i;

	*gen = 0;
	for (i = 0; i < nr; i++) {
		lane = mye_look_lane(inst, mye_lane_nth(inst, i), gen);
		if (lane == MYE_READY)
			return lane;
		if (lane == MYE_BUSY)
			all = lane;
	}
	return all;
}

/*
 * Several lanes, which there will be for good: what was ready may have moved
 * between them behind our back; but if two looks saw nothing and no number moved
 * from the first to the second, nothing was ready in between.
 * Model: look_all in lane.pml.
 */
static noinline enum mye_sight mye_look_all(struct mye_instance *inst,
					    unsigned int nr)
{
	unsigned int gen, before;
	enum mye_sight sight;

	sight = mye_look_once(inst, nr, &gen);
	while (sight == MYE_EMPTY) {
		before = gen;
		sight = mye_look_once(inst, nr, &gen);
		if (gen == before)
			break;
	}
	return sight;
}

/**
 * mye_look - is anything ready?
 * @inst: the instance
 *
 * One lane: its sequence number did not move while we read, so what we saw was
 * so at one instant.
 * Model: look in lane.pml.
 */
enum mye_sight mye_look(struct mye_instance *inst)
{
	unsigned int nr, gen = 0;
	enum mye_sight sight;

	sight = mye_look_lane(inst, &inst->lane0, &gen);
	if (sight == MYE_READY)
		return sight;
	nr = smp_load_acquire(&inst->nr_lanes);	/* grow; after the first lane */
	return nr == 1 ? sight : mye_look_all(inst, nr);
}
