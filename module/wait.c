// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for events, and waking who waits.
 */
#include <linux/bits.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "lane.h"
#include "busy.h"

#define MYE_MAX_SLACK	(100 * NSEC_PER_MSEC)

/*
 * In mye_instance.poll_due: a wake-up is due; above the count of those, how many of
 * them came from an io_uring.  One word, or a walk for another wake-up could take
 * the mark of one that is not yet counted, and find nobody to pass it on to.
 */
#define MYE_POLL_DUE	((s64)1)
#define MYE_POLL_URING	((s64)BIT_ULL(32))

/* Walks over who polls before a worker takes over */
#define MYE_POLL_ROUNDS	16

/**
 * mye_wake_one - wake the waiter that came last
 * @inst: the instance; a barrier of WAKE-UP precedes
 * @flags: wake flags of the wake-up that we pass on
 *
 * Any context.  The waiter is off the queue afterwards, so that the next event
 * finds another one.  Returns whether there was one.
 * Model: wake_one in lane.pml.
 */
bool mye_wake_one(struct mye_instance *inst, int flags)
{
	struct wait_queue_entry *waiter;
	unsigned long irq;

	/* After the caller's barrier */
	if (!waitqueue_active(&inst->wq))
		return false;
	spin_lock_irqsave(&inst->wq.lock, irq);
	waiter = list_first_entry_or_null(&inst->wq.head,
					  struct wait_queue_entry, entry);
	if (waiter) {
		default_wake_function(waiter, TASK_NORMAL, flags, NULL);
		/* The last access: pairs with mye_unwait() */
		list_del_init_careful(&waiter->entry);
	}
	spin_unlock_irqrestore(&inst->wq.lock, irq);
	return waiter;
}

/*
 * Who owns poll_due is the only one to walk, so others hold this lock only while
 * they come or go, and he gets it whatever he holds.  To lockdep that is a lock
 * that was tried: it knows nothing of poll_due.
 */
static void mye_pollers_lock(struct mye_instance *inst)
	__acquires(&inst->pwq.lock)
{
	if (!IS_ENABLED(CONFIG_LOCKDEP)) {
		spin_lock(&inst->pwq.lock);
		return;
	}
	while (!spin_trylock(&inst->pwq.lock))
		cpu_relax();
}

/*
 * One walk over who polls, for one of the wake-ups that are due, or for all of
 * them.  An outer instance wakes its own pollers from in here.  Returns whether
 * more are due.
 * Model: pollers_walk in pollers.pml.
 */
static bool mye_pollers_walk(struct mye_instance *inst, bool all)
{
	/* Whose wake-up is in the count finds his event seen by this walk. */
	s64 due = atomic64_read_acquire(&inst->poll_due);
	s64 served = MYE_POLL_DUE;
	__poll_t key = EPOLLIN;

	/* Who waits for us to walk must not wait for us to be scheduled. */
	lockdep_assert_irqs_disabled();
	if (unlikely(due >= MYE_POLL_URING)) {
		served += MYE_POLL_URING;
		key |= EPOLL_URING_WAKE;
	}
	mye_pollers_lock(inst);
	__wake_up_locked_key(&inst->pwq, TASK_NORMAL, poll_to_key(key));
	spin_unlock(&inst->pwq.lock);
	return atomic64_sub_return(all ? due : served, &inst->poll_due);
}

/*
 * Where there is no end of wake-ups, they are left to a worker.
 * Model: worker in pollers.pml.
 */
void mye_pollers_work(struct work_struct *work)
{
	struct mye_instance *inst;
	bool more;

	inst = container_of(work, struct mye_instance, poll_work);
	do {
		local_irq_disable();
		more = mye_pollers_walk(inst, true);
		local_irq_enable();
		cond_resched();
	} while (more);
	mye_instance_put(inst);
}

static void mye_wake_pollers_irqoff(struct mye_instance *inst, s64 due)
{
	unsigned int rounds = 0;

	if (atomic64_fetch_add(due, &inst->poll_due))
		return;
	while (mye_pollers_walk(inst, false)) {
		if (++rounds < MYE_POLL_ROUNDS)
			continue;
		mye_instance_get(inst);
		queue_work(mye_workqueue, &inst->poll_work);
		return;
	}
}

/**
 * mye_wake_pollers - wake everybody who polls the instance
 * @inst: the instance; a barrier of WAKE-UP precedes
 * @key: EPOLL_URING_WAKE or nothing, to be passed on
 *
 * Any context.  One walks at a time, and whoever comes meanwhile leaves his
 * wake-up to that one.  He may hold the queue of a file of ours, which the
 * walker may want: an aio request on us completes from in there and signals an
 * eventfd, which we may watch.
 * Model: wake_pollers in lane.pml.  Model: wake_pollers in pollers.pml.
 */
void mye_wake_pollers(struct mye_instance *inst, __poll_t key)
{
	unsigned long irq;

	/* After the caller's barrier */
	if (!waitqueue_active(&inst->pwq))
		return;
	local_irq_save(irq);
	mye_wake_pollers_irqoff(inst, MYE_POLL_DUE + (key ? MYE_POLL_URING : 0));
	local_irq_restore(irq);
}

/*
 * Wake another waiter if there is something left.  After a barrier.
 * Model: wake_next in lane.pml.
 */
void mye_wake_next(struct mye_instance *inst)
{
	/* After the caller's barrier */
	if (waitqueue_active(&inst->wq) && mye_lanes_ready(inst))
		mye_wake_one(inst, 0);
}

/* How late a timer may fire: what select() and native epoll allow themselves. */
static u64 mye_slack(ktime_t deadline)
{
	u64 slack = current->timer_slack_ns;
	s64 left;

	if (!slack)
		return 0;
	left = ktime_to_ns(ktime_sub(deadline, ktime_get()));
	if (left <= 0)
		return slack;
	left = div_s64(left, task_nice(current) > 0 ? 200 : 1000);
	return max_t(u64, slack, min_t(s64, left, MYE_MAX_SLACK));
}

/*
 * Sleep until woken or until the time is up; returns false on the latter.
 * Model: sleep in wait.pml.
 */
static bool mye_sleep(struct mye_deadline *deadline)
{
	if (deadline->forever) {
		schedule();
		return true;
	}
	return schedule_hrtimeout_range(&deadline->at, mye_slack(deadline->at),
					HRTIMER_MODE_ABS);
}

/*
 * Newest first: its cache is the warmest.  Whoever takes us off the queue must
 * find us asleep, or on the way: waking a running task does nothing.
 * Model: enqueue in wait.pml.
 */
static void mye_enqueue(struct mye_instance *inst,
			struct wait_queue_entry *waiter)
{
	waiter->flags = WQ_FLAG_EXCLUSIVE;
	waiter->private = current;
	waiter->func = default_wake_function;
	spin_lock_irq(&inst->wq.lock);
	__add_wait_queue(&inst->wq, waiter);
	/* Holds the barrier of (B) and (C), waiter */
	set_current_state(TASK_INTERRUPTIBLE);
	spin_unlock_irq(&inst->wq.lock);
}

/*
 * Returns whether a waker had taken us off the queue.
 * Model: unwait in wait.pml.
 */
static bool mye_unwait(struct mye_instance *inst,
		       struct wait_queue_entry *waiter)
{
	bool woken = true;

	/* Empty means that the waker is done with us: see mye_wake_one() */
	if (list_empty_careful(&waiter->entry))
		return true;
	spin_lock_irq(&inst->wq.lock);
	woken = list_empty(&waiter->entry);
	if (!woken)
		__remove_wait_queue(&inst->wq, waiter);
	spin_unlock_irq(&inst->wq.lock);
	return woken;
}

/*
 * One sleep.  If somebody woke us, the time is not up: we owe a pass.
 * Model: await_event in wait.pml.
 */
static void mye_await_event(struct mye_instance *inst,
			    struct mye_deadline *deadline)
{
	struct wait_queue_entry waiter;
	bool in_time = true;

	mye_enqueue(inst, &waiter);
	if (!mye_lanes_ready(inst))
		in_time = mye_sleep(deadline);
	else if (!deadline->forever)
		in_time = ktime_before(ktime_get(), deadline->at);
	__set_current_state(TASK_RUNNING);
	if (!mye_unwait(inst, &waiter) && !in_time)
		deadline->expired = true;
	deadline->slept = true;
}

/**
 * mye_await_settle - wait until there is more to see than claims
 * @inst: the instance
 *
 * For callers that may not wait for events.  Claims are settled soon, unless a
 * poll() sleeps.  Whoever was here calls mye_wake_left() when it leaves.
 * Returns 0 or -EINTR: killed.
 * Model: await_settle in wait.pml.
 */
int mye_await_settle(struct mye_instance *inst)
{
	if (wait_event_killable_exclusive(inst->settled,
					  mye_look(inst) != MYE_BUSY))
		return -EINTR;
	return 0;
}

/*
 * The time is up, and nothing was delivered.  A timeout of 0 waits for claims
 * that may come back; one that has run out has had its time, and as with native
 * epoll a scan of somebody else does not make it longer.
 * Model: wait_more in wait.pml.
 */
static int mye_wait_last(struct mye_instance *inst,
			 struct mye_deadline *deadline,
			 struct llist_head *late)
{
	enum mye_sight sight = mye_look(inst);

	if (sight == MYE_EMPTY || (sight == MYE_BUSY && deadline->at))
		return 1;
	if (sight != MYE_BUSY)
		return 0;
	deadline->slept = true;
	mye_late_defer(late);
	return mye_await_settle(inst);
}

/*
 * Nothing was delivered.  Returns 0 to try again, 1 if there is nothing for
 * sure and the time is up, or -EINTR.
 * Model: wait_more in wait.pml.
 */
static int mye_wait_more(struct mye_instance *inst,
			 struct mye_deadline *deadline,
			 struct llist_head *late)
{
	if (deadline->expired)
		return mye_wait_last(inst, deadline, late);
	if (signal_pending(current))
		return -EINTR;
	mye_late_defer(late);
	if (mye_busy_poll(inst)) {
		deadline->expired = !deadline->forever &&
				    ktime_after(ktime_get(), deadline->at);
		return 0;
	}
	if (signal_pending(current))
		return -EINTR;
	mye_await_event(inst, deadline);
	return 0;
}

/**
 * mye_wake_left - leave an instance after having slept on it
 * @inst: the instance
 *
 * We may have been woken instead of another, and leave something behind.
 * Model: wake_left in wait.pml.
 */
void mye_wake_left(struct mye_instance *inst)
{
	smp_mb();	/* (C): as a settle */
	mye_wake_next(inst);
	/* After the same barrier */
	mye_wake_settled(inst);
}

/* Passes and sleeps.  Model: wait in wait.pml.  Model: count_vain in wait.pml. */
static noinline int mye_wait_long(struct mye_instance *inst,
				  struct epoll_event __user *events, int max,
				  struct mye_deadline *deadline)
{
	unsigned int vain = 0;
	LLIST_HEAD(late);
	int ret, more;

	for (;;) {
		ret = mye_lanes_ready(inst) ?
		      mye_pass(inst, events, max, &late) : 0;
		if (ret && ret != -EAGAIN)
			break;
		/* Wake-ups without an event do not put off the end for ever. */
		if (deadline->expired && ret && ++vain == MYE_VAIN_MAX)
			more = 1;
		else
			more = mye_wait_more(inst, deadline, &late);
		if (more) {
			ret = min(more, 0);
			break;
		}
		cond_resched();
	}
	if (!llist_empty(&late))
		mye_late_drop(&late);
	if (deadline->slept)
		mye_wake_left(inst);
	return ret;
}

/**
 * mye_wait - wait for events and store them
 * @inst: the instance
 * @events: where to; the range has been checked
 * @max: how many, more than 0
 * @deadline: until when
 *
 * Returns the number of events, 0 if the time was up, -EFAULT or -EINTR.
 */
int mye_wait(struct mye_instance *inst, struct epoll_event __user *events,
	     int max, struct mye_deadline *deadline)
{
	/* The poll that finds nothing: the shortest way. */
	if (deadline->expired && !mye_lane_ready(&inst->lane0) &&
	    mye_look(inst) == MYE_EMPTY)
		return 0;
	return mye_wait_long(inst, events, max, deadline);
}
