// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lanes: the ready queues of an instance.
 *
 * STATES OF A WATCH, WAKE-UP and "NOTHING READY" in myepoll.h say what the
 * steps here must keep to.
 */
#include <linux/cpumask.h>
#include <linux/log2.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "myepoll.h"

/* So often must somebody have been in the way before an instance opens lanes */
#define MYE_HOT		64

/* Claims settled, or watches spread, without letting go of the lane's lock */
#define MYE_SETTLE_MAX	64
#define MYE_SPREAD_MAX	1024U

/* Watches taken out of an inbox between two looks at the scheduler */
#define MYE_RESCHED	256

void mye_lane_init(struct mye_lane *lane)
{
	init_llist_head(&lane->inbox);
	mutex_init(&lane->lock);
	seqcount_init(&lane->seq);
	INIT_LIST_HEAD(&lane->fifo);
}

struct mye_lane *mye_lane_nth(struct mye_instance *inst, unsigned int n)
{
	return n ? &inst->more[n] : &inst->lane0;
}

/* A hint that two threads met; losing a count to a race does not matter. */
static void mye_lane_warm(struct mye_lane *lane)
{
	WRITE_ONCE(lane->hot, READ_ONCE(lane->hot) + 1);
}

static void mye_lane_lock(struct mye_lane *lane)
{
	if (mutex_trylock(&lane->lock))
		return;
	mutex_lock(&lane->lock);
	mye_lane_warm(lane);
}

/* Around every change of what mye_look() reads; a few stores each. */
static void mye_lane_change(struct mye_lane *lane)
{
	lockdep_assert_held(&lane->lock);
	preempt_disable();
	write_seqcount_begin(&lane->seq);
}

static void mye_lane_changed(struct mye_lane *lane)
{
	write_seqcount_end(&lane->seq);
	preempt_enable();
}

/* Lock-free; the successful exchange is the callback's half of (B). */
static void mye_lane_push(struct mye_watch *w)
{
	struct mye_instance *inst = w->instance;
	unsigned int nr = smp_load_acquire(&inst->nr_lanes);	/* grow */
	struct mye_lane *lane;
	struct llist_node *first;

	lane = mye_lane_nth(inst, raw_smp_processor_id() & (nr - 1));
	w->lane = lane;
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

/* Oldest first, as a list; returns how many. */
static unsigned int mye_lane_sort(struct llist_node *inbox,
				  struct list_head *list)
{
	struct mye_watch *w, *next;
	unsigned int n = 0;

	inbox = llist_reverse_order(inbox);
	llist_for_each_entry_safe(w, next, inbox, inbox) {
		list_add_tail(&w->node, list);
		if (!(++n % MYE_RESCHED))
			cond_resched();
	}
	return n;
}

/*
 * Everything in the inbox to the end of the FIFO.  In between it is in neither:
 * @len says that there is something, before the inbox is seen to be empty.
 */
static void mye_lane_drain(struct mye_lane *lane)
{
	struct llist_node *inbox;
	LIST_HEAD(list);
	unsigned int n;

	lockdep_assert_held(&lane->lock);
	if (llist_empty(&lane->inbox))
		return;
	WRITE_ONCE(lane->len, lane->len + 1);
	inbox = llist_del_all(&lane->inbox);	/* pairs with mye_lane_ready() */
	n = mye_lane_sort(inbox, &list);
	list_splice_tail(&list, &lane->fifo);
	WRITE_ONCE(lane->len, lane->len + n - 1);
}

static bool mye_lane_ready(struct mye_lane *lane)
{
	return smp_load_acquire(&lane->inbox.first) || /* mye_lane_drain() */
	       READ_ONCE(lane->len);
}

/* Edge-triggered and one-shot watches do not come back from a pass. */
static bool mye_lane_counts(struct mye_watch *w)
{
	return !(READ_ONCE(w->mask) & (EPOLLET | EPOLLONESHOT));
}

static void mye_lane_claim_one(struct mye_lane *lane, struct mye_watch *w,
			       bool all)
{
	WARN_ON_ONCE(atomic_read(&w->state) != MYE_QUEUED);
	/* Nobody else moves a QUEUED watch without the lane's lock. */
	atomic_set(&w->state, MYE_CLAIMED);
	w->counted = all || mye_lane_counts(w);
	lane->claims += w->counted;
}

/* Cut the first @n watches off the FIFO, which has as many. */
static void mye_lane_cut(struct mye_lane *lane, struct list_head *claims,
			 unsigned int n, bool all)
{
	struct mye_watch *w;
	unsigned int i = 0;
	LIST_HEAD(cut);

	mye_lane_change(lane);
	list_for_each_entry(w, &lane->fifo, node) {
		mye_lane_claim_one(lane, w, all);
		if (++i == n)
			break;
	}
	WRITE_ONCE(lane->len, lane->len - n);
	mye_lane_changed(lane);
	list_cut_position(&cut, &lane->fifo, &w->node);
	list_splice_tail(&cut, claims);
}

/**
 * mye_lane_claim - take watches off the head of a lane
 * @lane: the lane
 * @claims: list to whose end they go, by mye_watch.node
 * @want: how many at most
 * @budget: in and out: how many this pass may still take from this lane;
 *	UINT_MAX in the first call, which cuts it down to what is there now
 * @all: every claim will come back (poll() only looks)
 *
 * Returns how many were taken.
 */
unsigned int mye_lane_claim(struct mye_lane *lane, struct list_head *claims,
			    unsigned int want, unsigned int *budget, bool all)
{
	unsigned int n;

	if (!*budget || !mye_lane_ready(lane))
		return 0;
	mye_lane_lock(lane);
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

/* What the lane's lock is not needed for: edges and one-shots are done. */
static void mye_lane_settle_unlocked(struct list_head *claims)
{
	struct mye_watch *w, *next;
	int state;

	list_for_each_entry_safe(w, next, claims, node) {
		if (w->counted || w->verdict != MYE_DROP)
			continue;
		/* Once it is IDLE, anybody may queue or free it. */
		list_del(&w->node);
		state = MYE_CLAIMED;
		if (!atomic_try_cmpxchg(&w->state, &state, MYE_IDLE))
			list_add_tail(&w->node, &next->node);
	}
}

/* Settle one claim; false if it leaves the run it is in. */
static bool mye_lane_settle_one(struct mye_lane *lane, struct mye_watch *w,
				struct list_head *orphans)
{
	int state = MYE_CLAIMED;

	lane->claims -= w->counted;
	if (w->verdict == MYE_DROP) {
		struct mye_watch *next = list_next_entry(w, node);

		list_del(&w->node);
		if (atomic_try_cmpxchg(&w->state, &state, MYE_IDLE))
			return false;
		list_add_tail(&w->node, &next->node);
	}
	state = atomic_xchg(&w->state, MYE_QUEUED);
	if (state & MYE_AGAIN)
		atomic_dec(&w->instance->again);
	if (state & MYE_ORPHAN) {
		list_move(&w->node, orphans);
		return false;
	}
	mye_pm_queued(w);
	return true;
}

/*
 * The claims at the head of the list that came from the same lane, but not too
 * many, as others wait for the lock.  What goes to the front is not torn apart.
 */
static void mye_lane_cut_run(struct list_head *claims, struct list_head *run)
{
	struct mye_watch *w = list_first_entry(claims, struct mye_watch, node);
	struct mye_lane *lane = w->lane;
	bool front = false;
	unsigned int i = 0;

	list_for_each_entry(w, claims, node) {
		front |= w->verdict == MYE_FRONT;
		if (w->lane != lane || (i++ >= MYE_SETTLE_MAX && !front))
			break;
	}
	list_cut_before(run, claims, &w->node);
}

/*
 * Settle a run; what comes back stays in it.  Returns how many, and the first
 * of those that go to the front: a pass that broke off has some at its end.
 */
static unsigned int mye_lane_settle_each(struct mye_lane *lane,
					 struct list_head *run,
					 struct list_head *orphans,
					 struct mye_watch **front,
					 bool *faulted)
{
	struct mye_watch *w, *next;
	unsigned int requeued = 0;

	list_for_each_entry_safe(w, next, run, node) {
		if (!mye_lane_settle_one(lane, w, orphans))
			continue;
		requeued++;
		if (w->verdict != MYE_FRONT)
			continue;
		*faulted |= !w->counted;
		if (!*front)
			*front = w;
	}
	return requeued;
}

static unsigned int mye_lane_settle_run(struct list_head *run,
					struct list_head *orphans,
					bool *faulted)
{
	struct mye_watch *w = list_first_entry(run, struct mye_watch, node);
	struct mye_watch *front = NULL;
	struct mye_lane *lane = w->lane;
	unsigned int requeued;
	LIST_HEAD(back);

	mye_lane_lock(lane);
	mye_lane_drain(lane);
	mye_lane_change(lane);
	requeued = mye_lane_settle_each(lane, run, orphans, &front, faulted);
	if (front) {
		list_cut_before(&back, run, &front->node);
		list_splice_init(run, &lane->fifo);
		list_splice_tail(&back, &lane->fifo);
	} else {
		list_splice_tail_init(run, &lane->fifo);
	}
	WRITE_ONCE(lane->len, lane->len + requeued);
	mye_lane_changed(lane);
	mutex_unlock(&lane->lock);
	return requeued;
}

static void mye_lane_put_orphans(struct list_head *orphans)
{
	struct mye_watch *w, *next;

	list_for_each_entry_safe(w, next, orphans, node)
		mye_watch_put(w);
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

/**
 * mye_lane_settle - give back claimed watches
 * @inst: their instance
 * @claims: list of them, by mye_watch.node, with a verdict each; emptied
 *
 * The watches must not be touched afterwards.  May sleep.
 */
void mye_lane_settle(struct mye_instance *inst, struct list_head *claims)
{
	unsigned int requeued = 0;
	bool faulted = false;
	LIST_HEAD(orphans);
	LIST_HEAD(run);

	mye_lane_settle_unlocked(claims);
	if (list_empty(claims))
		return;
	while (!list_empty(claims)) {
		mye_lane_cut_run(claims, &run);
		requeued += mye_lane_settle_run(&run, &orphans, &faulted);
		cond_resched();
	}
	mye_lane_settled(inst, requeued);
	/* Edges that come back after all: nobody who polled could see them. */
	if (faulted)
		mye_wake_pollers(inst, 0);
	mye_lane_put_orphans(&orphans);
}

/**
 * mye_lane_unqueue - take a dead watch off its lane
 * @w: a watch that nobody can push any more
 *
 * Returns whether it was there.
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

/* Move the first watch of one lane to another; it is on one at any time. */
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

/* Deal out what is ready, as most of it would stay in the first lane. */
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

/* Is any watch on any lane?  A hint, unless a barrier of WAKE-UP precedes. */
bool mye_lanes_ready(struct mye_instance *inst)
{
	unsigned int i, nr = smp_load_acquire(&inst->nr_lanes);	/* grow */

	for (i = 0; i < nr; i++) {
		if (mye_lane_ready(mye_lane_nth(inst, i)))
			return true;
		smp_rmb();	/* pairs with mye_lane_move() */
	}
	return false;
}

static enum mye_sight mye_look_lane(struct mye_instance *inst,
				    struct mye_lane *lane, unsigned int *gen)
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

/* One look over all lanes; @gen gets the sum of what moves with each of them. */
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

/**
 * mye_look - is anything ready?
 * @inst: the instance
 *
 * One lane: its sequence number did not move while we read, so what we saw was
 * so at one instant.  Several: what was ready may have moved between lanes
 * behind our back; but if two looks saw nothing and no number moved from the
 * first to the second, nothing was ready in between.
 */
enum mye_sight mye_look(struct mye_instance *inst)
{
	unsigned int nr = smp_load_acquire(&inst->nr_lanes);	/* grow */
	unsigned int gen, before;
	enum mye_sight sight;

	sight = mye_look_once(inst, nr, &gen);
	while (sight == MYE_EMPTY) {
		unsigned int now = smp_load_acquire(&inst->nr_lanes); /* grow */

		if (nr == 1 && now == 1)
			break;
		before = gen;
		sight = mye_look_once(inst, now, &gen);
		if (now == nr && gen == before)
			break;
		nr = now;
	}
	return sight;
}
