// SPDX-License-Identifier: GPL-2.0-only
/*
 * The members of an instance: all its watches, one list in each lane.
 *
 * A watch stays in the list it was born in.  A walk leaves a mark behind the
 * last watch it has seen and holds no lock in between; new watches come to the
 * head, so that a walk ends however many are added meanwhile.
 */
#include "members.h"
#include "lane.h"

static void mye_members_lock(struct mye_lane *lane)
	__acquires(&lane->members_lock)
{
	if (likely(spin_trylock(&lane->members_lock)))
		return;
	spin_lock(&lane->members_lock);
	mye_lane_warm(lane);
}

void mye_members_add(struct mye_watch *w)
{
	struct mye_lane *lane = mye_lane_nth(w->instance, w->home);

	mye_members_lock(lane);
	list_add(&w->member, &lane->members);
	spin_unlock(&lane->members_lock);
}

void mye_members_del(struct mye_watch *w)
{
	struct mye_lane *lane = mye_lane_nth(w->instance, w->home);

	mye_members_lock(lane);
	list_del(&w->member);
	spin_unlock(&lane->members_lock);
}

/* Begin a walk; each has to be ended. */
void mye_walk_begin(struct mye_walk *walk, struct mye_instance *inst)
{
	walk->instance = inst;
	walk->lane = 0;
	walk->mark.instance = NULL;
	INIT_LIST_HEAD(&walk->mark.member);
}

/* The next watch of the walk's list behind its mark, over marks of others. */
static struct mye_watch *mye_walk_step(struct mye_walk *walk,
				       struct mye_lane *lane)
{
	struct list_head *at = &walk->mark.member;
	struct mye_watch *w;

	lockdep_assert_held(&lane->members_lock);
	if (list_empty(at))
		at = &lane->members;
	w = list_entry(at, struct mye_watch, member);
	list_for_each_entry_continue(w, &lane->members, member) {
		if (!w->instance)
			continue;
		refcount_inc(&w->refs);
		list_move(&walk->mark.member, &w->member);
		return w;
	}
	list_del_init(&walk->mark.member);
	return NULL;
}

/**
 * mye_walk_next - the next watch of an instance
 * @walk: the walk
 *
 * Returns every watch that was there when the walk began, and was not removed
 * meanwhile, once and with a reference; then NULL.
 */
struct mye_watch *mye_walk_next(struct mye_walk *walk)
{
	unsigned int nr = smp_load_acquire(&walk->instance->nr_lanes); /* grow */
	struct mye_watch *w = NULL;

	while (walk->lane < nr) {
		struct mye_lane *lane = mye_lane_nth(walk->instance, walk->lane);

		spin_lock(&lane->members_lock);
		w = mye_walk_step(walk, lane);
		spin_unlock(&lane->members_lock);
		if (w)
			break;
		walk->lane++;
	}
	return w;
}

/* Take the mark away, if the walk has not come to its end. */
void mye_walk_end(struct mye_walk *walk)
{
	struct mye_lane *lane;

	if (list_empty(&walk->mark.member))
		return;
	lane = mye_lane_nth(walk->instance, walk->lane);
	spin_lock(&lane->members_lock);
	list_del(&walk->mark.member);
	spin_unlock(&lane->members_lock);
}
