// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lanes: the ready queues of an instance.
 *
 * STATES OF A WATCH, WAKE-UP and "NOTHING READY" in myepoll.h say what the
 * steps here must keep to.
 */
#include <linux/sched.h>

#include "lane.h"
#include "pm.h"

/* Claims settled without letting go of the lane's lock */
#define MYE_SETTLE_MAX	64

/* Watches taken out of an inbox between two looks at the scheduler */
#define MYE_RESCHED	256

void mye_lane_init(struct mye_lane *lane)
{
	init_llist_head(&lane->inbox);
	mutex_init(&lane->lock);
	seqcount_init(&lane->seq);
	INIT_LIST_HEAD(&lane->fifo);
	spin_lock_init(&lane->members_lock);
	INIT_LIST_HEAD(&lane->members);
}

void mye_lane_lock(struct mye_lane *lane)
{
	if (mutex_trylock(&lane->lock))
		return;
	mutex_lock(&lane->lock);
	mye_lane_warm(lane);
}

/*
 * Lock-free; the successful exchange is the callback's half of (B).
 * Model: lane_push in lane.pml.
 */
static void mye_lane_push(struct mye_watch *w)
{
	struct mye_instance *inst = w->instance;
	struct mye_lane *lane = mye_lane_nth(inst, mye_lane_home(inst));
	struct llist_node *first;

	WRITE_ONCE(w->lane, lane);
	mye_pm_queued(w);
	first = READ_ONCE(lane->inbox.first);
	w->inbox.next = first;
	while (!try_cmpxchg(&lane->inbox.first, &first, &w->inbox)) {
		w->inbox.next = first;
		mye_lane_warm(lane);
	}
}

/*
 * AGAIN is counted before it is set, or a settle could take back what was not
 * given yet.  If the claimer was faster, nobody may be left waiting for it.
 * Model: hit_claimed in lane.pml.
 */
static bool mye_lane_hit_claimed(struct mye_watch *w, int *state)
{
	struct mye_instance *inst = w->instance;

	/* Whatever comes of it, the watch will be claimed once more. */
	mye_pm_queued(w);
	atomic_inc(&inst->again);
	if (atomic_try_cmpxchg(&w->state, state, MYE_CLAIMED | MYE_AGAIN))
		return true;
	atomic_dec(&inst->again);
	smp_mb__after_atomic();	/* prepare_to_wait() in mye_await_settle() */
	if (waitqueue_active(&inst->settled))
		wake_up_all(&inst->settled);
	return false;
}

/**
 * mye_lane_hit - an event for a watch came
 * @w: a watch that cannot be killed now: the caller is on its wait queue, or
 *	holds its lock and has seen that it is not dead
 *
 * Any context.  Returns whether the watch was not due anyway.
 * Model: lane_hit in lane.pml.
 */
bool mye_lane_hit(struct mye_watch *w)
{
	int state = atomic_read(&w->state);

	for (;;) {
		if (state == MYE_IDLE) {
			if (atomic_try_cmpxchg(&w->state, &state, MYE_QUEUED)) {
				mye_lane_push(w);
				return true;
			}
		} else if (state == MYE_CLAIMED) {
			if (mye_lane_hit_claimed(w, &state))
				return true;
		} else {
			return false;
		}
	}
}

/*
 * An inbox has the newest first, a list the oldest: each goes right behind
 * @last.  Returns how many.
 */
static unsigned int mye_lane_sort(struct llist_node *inbox,
				  struct list_head *last)
{
	struct mye_watch *w, *next;
	unsigned int n = 0;

	llist_for_each_entry_safe(w, next, inbox, inbox) {
		list_add(&w->node, last);
		if (!(++n % MYE_RESCHED))
			cond_resched();
	}
	return n;
}

/*
 * Everything in the inbox to the end of the FIFO.  In between it is in neither:
 * @len says that there is something, before the inbox is seen to be empty.
 * Model: drain in lane.pml.
 */
void mye_lane_drain(struct mye_lane *lane)
{
	struct llist_node *inbox;
	unsigned int n;

	lockdep_assert_held(&lane->lock);
	if (llist_empty(&lane->inbox))
		return;
	WRITE_ONCE(lane->len, lane->len + 1);
	inbox = llist_del_all(&lane->inbox);	/* pairs with mye_lane_ready() */
	n = mye_lane_sort(inbox, lane->fifo.prev);
	WRITE_ONCE(lane->len, lane->len + n - 1);
}

static bool mye_lane_claim_one(struct mye_watch *w, bool all)
{
	WARN_ON_ONCE(atomic_read(&w->state) != MYE_QUEUED);
	/* Nobody else moves a QUEUED watch without the lane's lock. */
	atomic_set(&w->state, MYE_CLAIMED);
	w->counted = all || mye_mask_counts(READ_ONCE(w->mask));
	return w->counted;
}

/*
 * Cut the first @n watches off the FIFO, which has as many.
 * Model: lane_cut in lane.pml.
 */
static void mye_lane_cut(struct mye_lane *lane, struct mye_claims *claims,
			 unsigned int n, bool all)
{
	unsigned int left = n, counted = 0;
	struct mye_watch *w;

	mye_lane_change(lane);
	list_for_each_entry(w, &lane->fifo, node) {
		counted += mye_lane_claim_one(w, all);
		if (!--left)
			break;
	}
	WRITE_ONCE(lane->claims, lane->claims + counted);
	WRITE_ONCE(lane->len, lane->len - n);
	mye_lane_changed(lane);
	list_bulk_move_tail(&claims->list, lane->fifo.next, &w->node);
	claims->edges |= counted != n;
}

/**
 * mye_lane_claim - take watches off the head of a lane
 * @lane: the lane
 * @claims: to whose end they go
 * @want: how many at most
 * @budget: in and out: how many this pass may still take from this lane;
 *	UINT_MAX in the first call, which cuts it down to what is there now
 * @all: every claim will come back (poll() only looks)
 *
 * Returns how many were taken.
 * Model: lane_claim in lane.pml.
 */
unsigned int mye_lane_claim(struct mye_lane *lane, struct mye_claims *claims,
			    unsigned int want, unsigned int *budget, bool all)
{
	unsigned int n;

	if (!mye_lane_ready(lane))
		return 0;
	mye_lane_lock(lane);
	if (!llist_empty(&lane->inbox))
		mye_lane_drain(lane);
	*budget = min(*budget, lane->len);
	n = min(want, *budget);
	*budget -= n;
	if (n)
		mye_lane_cut(lane, claims, n, all);
	mutex_unlock(&lane->lock);
	smp_mb();	/* (A), claimer: between CLAIMED and poll() */
	return n;
}

/*
 * What the lane's lock is not needed for: edges and one-shots are done.
 * Model: settle_unlocked in lane.pml.
 */
static void mye_lane_settle_unlocked(struct list_head *claims)
{
	struct mye_watch *w, *next;
	int state;

	list_for_each_entry_safe(w, next, claims, node) {
		if (w->counted || w->verdict != MYE_DROP)
			continue;
		/* Once it is IDLE, anybody may queue or free it. */
		__list_del(w->node.prev, &next->node);
		state = MYE_CLAIMED;
		if (!atomic_try_cmpxchg(&w->state, &state, MYE_IDLE))
			list_add_tail(&w->node, &next->node);
	}
}

/*
 * Settle one claim that is dropped; false if it leaves the run it is in.
 * Model: settle_one in lane.pml.
 */
static bool mye_lane_settle_drop(struct mye_watch *w)
{
	struct mye_watch *next = list_next_entry(w, node);
	int state = MYE_CLAIMED;

	list_del(&w->node);
	if (atomic_try_cmpxchg(&w->state, &state, MYE_IDLE))
		return false;
	list_add_tail(&w->node, &next->node);
	return true;
}

/* What came meanwhile; false if the watch was removed. */
static noinline bool mye_lane_settle_bits(struct mye_watch *w, int state,
					  struct list_head *orphans)
{
	if (state & MYE_AGAIN)
		atomic_dec(&w->instance->again);
	if (state & MYE_ORPHAN)
		list_move(&w->node, orphans);
	return !(state & MYE_ORPHAN);
}

/**
 * struct mye_settling - what becomes of claims
 * @orphans: watches that were removed meanwhile
 * @front: the first of a run that goes to the front: a pass that broke off has
 *	some at its end
 * @requeued: how many came back
 * @faulted: an edge came back that nobody who polled could see
 */
struct mye_settling {
	struct list_head orphans;
	struct mye_watch *front;
	unsigned int requeued;
	bool faulted;
};

/* What is left of a run, up to @end, goes back to the lane. */
static void mye_lane_requeue(struct mye_lane *lane, struct list_head *claims,
			     struct list_head *end, struct mye_watch *front)
{
	if (front)
		list_bulk_move_tail(lane->fifo.next, &front->node, end->prev);
	if (claims->next != end)
		list_bulk_move_tail(&lane->fifo, claims->next, end->prev);
}

/*
 * Settle claims at the head of the list, those that came from this lane, but not
 * too many, as others wait for the lock.  What goes to the front is not torn
 * apart.  Returns how many claims are counted no more.
 */
static unsigned int mye_lane_settle_each(struct mye_lane *lane,
					 struct list_head *claims,
					 struct mye_settling *s)
{
	unsigned int requeued = 0, counted = 0, n = 0;
	struct mye_watch *w, *next;
	int state;

	list_for_each_entry_safe(w, next, claims, node) {
		if (w->lane != lane || (n++ >= MYE_SETTLE_MAX && !s->front &&
					w->verdict != MYE_FRONT))
			break;
		counted += w->counted;
		if (w->verdict == MYE_DROP && !mye_lane_settle_drop(w))
			continue;
		state = atomic_xchg(&w->state, MYE_QUEUED);
		if (unlikely(state != MYE_CLAIMED) &&
		    !mye_lane_settle_bits(w, state, &s->orphans))
			continue;
		mye_pm_queued(w);
		requeued++;
		if (likely(w->verdict != MYE_FRONT))
			continue;
		s->faulted |= !w->counted;
		if (!s->front)
			s->front = w;
	}
	mye_lane_requeue(lane, claims, &w->node, s->front);
	s->requeued += requeued;
	return counted;
}

/* Model: settle_run in lane.pml. */
static void mye_lane_settle_run(struct mye_lane *lane,
				struct list_head *claims,
				struct mye_settling *s)
{
	unsigned int before = s->requeued;

	s->front = NULL;
	mye_lane_lock(lane);
	if (!llist_empty(&lane->inbox))
		mye_lane_drain(lane);
	mye_lane_change(lane);
	WRITE_ONCE(lane->claims,
		   lane->claims - mye_lane_settle_each(lane, claims, s));
	WRITE_ONCE(lane->len, lane->len + s->requeued - before);
	mye_lane_changed(lane);
	mutex_unlock(&lane->lock);
}

/*
 * What DEL left to the claimer; mye_del_nested() may wait for it.
 * Model: settle in links.pml.
 */
static void mye_lane_end_orphans(struct mye_instance *inst,
				 struct list_head *orphans)
{
	struct mye_watch *w, *next;
	bool nested = false;

	list_for_each_entry_safe(w, next, orphans, node)
		nested |= mye_watch_end(w);
	if (nested)
		wake_up_all(&inst->settled);
}

/* Tell those who found nothing but claims, and the next waiter. */
static void mye_lane_settled(struct mye_instance *inst, unsigned int requeued)
{
	smp_mb();	/* (C), and prepare_to_wait() in mye_await_settle() */
	if (waitqueue_active(&inst->settled)) {
		if (requeued)
			wake_up_nr(&inst->settled, requeued);
		else
			wake_up_all(&inst->settled);
	}
	if (requeued)
		mye_wake_next(inst);
}

/* What is left is given back under the lock of its lane. */
static void mye_lane_settle_locked(struct mye_instance *inst,
				   struct list_head *claims)
{
	struct mye_settling s = { .orphans = LIST_HEAD_INIT(s.orphans) };
	struct mye_watch *w;

	do {
		w = list_first_entry(claims, struct mye_watch, node);
		mye_lane_settle_run(w->lane, claims, &s);
		cond_resched();
	} while (!list_empty(claims));
	mye_lane_settled(inst, s.requeued);
	/* Edges that come back after all: nobody who polled could see them. */
	if (s.faulted)
		mye_wake_pollers(inst, 0);
	if (!list_empty(&s.orphans))
		mye_lane_end_orphans(inst, &s.orphans);
}

/**
 * mye_lane_settle - give back claimed watches
 * @inst: their instance
 * @claims: watches with a verdict each; none are left
 *
 * The watches must not be touched afterwards.  May sleep.
 * Model: settle in lane.pml.
 */
void mye_lane_settle(struct mye_instance *inst, struct mye_claims *claims)
{
	if (claims->edges)
		mye_lane_settle_unlocked(&claims->list);
	claims->edges = false;
	if (!list_empty(&claims->list))
		mye_lane_settle_locked(inst, &claims->list);
}

/**
 * mye_lane_meet - meet who may be claiming a watch just now
 * @w: a watch whose new mask has been stored, with a full barrier
 *
 * Who claims it either has seen the new mask, or his claim is seen from here on.
 */
void mye_lane_meet(struct mye_watch *w)
{
	struct mye_lane *lane = READ_ONCE(w->lane);

	mye_lane_lock(lane);
	mutex_unlock(&lane->lock);
}

/**
 * mye_lane_unqueue - take a dead watch off its lane
 * @w: a watch that nobody can push any more
 *
 * Returns whether it was there.
 * Model: finish in removal.pml.  Model: lane_unqueue in grow.pml.
 */
bool mye_lane_unqueue(struct mye_watch *w)
{
	struct mye_lane *lane = READ_ONCE(w->lane);
	bool queued;

	mye_lane_lock(lane);
	/* Both are stable under the lock of the lane that it is on. */
	queued = atomic_read(&w->state) == MYE_QUEUED && w->lane == lane;
	if (queued) {
		mye_lane_drain(lane);
		list_del(&w->node);
		atomic_set(&w->state, MYE_IDLE);
		mye_lane_change(lane);
		WRITE_ONCE(lane->len, lane->len - 1);
		mye_lane_changed(lane);
	}
	mutex_unlock(&lane->lock);
	return queued;
}
