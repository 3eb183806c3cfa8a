// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pass: evaluate claimed watches, deliver what is ready, settle.
 *
 * Also poll() on an instance, which is a pass that delivers nothing.
 */
#include <linux/llist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "lane.h"
#include "pm.h"
#include "busy.h"

/**
 * struct mye_claim - a claimed watch under evaluation
 * @watch: the watch
 * @data: its data, @mask, @seq: as they were when the file was asked
 * @mask: see @data
 * @seq: see @data
 * @revents: what is ready of @mask
 */
struct mye_claim {
	struct mye_watch *watch;
	u64 data;
	u32 seq;
	__poll_t mask;
	__poll_t revents;
};

/**
 * struct mye_pass_state - a pass under way
 * @instance: the instance
 * @events: where events go
 * @max: how many
 * @done: how many are there
 * @error: why the pass ends early
 * @awake: it keeps the system awake (EPOLLWAKEUP)
 * @late: late files
 * @claims: claimed watches, to be settled at the end: not before, or one that
 *	is hit meanwhile could be reported twice in one call
 */
struct mye_pass_state {
	struct mye_instance *instance;
	struct epoll_event __user *events;
	int max;
	int done;
	int error;
	bool awake;
	struct llist_head *late;
	struct list_head claims;
};

static LLIST_HEAD(mye_late_files);

/*
 * Late files: a pass found itself with the last reference to them.  fput() of
 * a last reference takes effect when we return to user space.  That is right
 * if we do so now: the file must be gone by then.
 * Model: harvester in removal.pml.
 */
void mye_late_drop(struct llist_head *late)
{
	struct mye_watch *w, *next;
	struct llist_node *list = llist_del_all(late);

	llist_for_each_entry_safe(w, next, list, late) {
		fput(w->file);
		mye_watch_put(w);
		cond_resched();
	}
}

static void mye_late_work_fn(struct work_struct *work)
{
	mye_late_drop(&mye_late_files);
}

static DECLARE_WORK(mye_late_work, mye_late_work_fn);

/* But if we sleep first, the peer would have to wait for its end of file. */
void mye_late_defer(struct llist_head *late)
{
	struct mye_watch *w, *next;
	struct llist_node *list = llist_del_all(late);

	if (!list)
		return;
	llist_for_each_entry_safe(w, next, list, late)
		llist_add(&w->late, &mye_late_files);
	queue_work(mye_workqueue, &mye_late_work);
}

/*
 * The file may be dying, and so may the watch.  As long as the watch is not
 * dead the memory of the file is there; a reference to it can be had unless
 * the last one is gone.  One that only passes still hold is closed: a wait that
 * begins after close() has returned must not report it.
 * Model: evaluate in removal.pml.
 */
static struct file *mye_pin(struct mye_claim *c)
{
	struct mye_watch *w = c->watch;
	struct file *file = NULL;

	spin_lock(&w->lock);
	if (!w->dead && !w->closed &&
	    mye_file_tryget(w->file))
		file = w->file;
	c->mask = w->mask;
	c->data = w->data;
	c->seq = w->seq;
	spin_unlock(&w->lock);
	return file;
}

/* Model: evaluate in removal.pml. */
static void mye_unpin(struct mye_watch *w, struct file *file,
		      struct llist_head *late)
{
	if (likely(mye_file_put_unless_last(file)))
		return;
	w->closed = true;
	refcount_inc(&w->refs);
	llist_add(&w->late, late);
}

/* Ask the file what is ready.  May sleep. */
static void mye_evaluate(struct mye_claim *c, struct llist_head *late)
{
	struct file *file = mye_pin(c);
	poll_table pt;

	c->revents = 0;
	if (!file)
		return;
	init_poll_funcptr(&pt, NULL);
	pt._key = c->mask;
	c->revents = vfs_poll(file, &pt) & c->mask;
	if (c->revents)
		mye_busy_seen(c->watch->instance, file);
	mye_unpin(c->watch, file, late);
}

/*
 * Evaluate a batch, what follows @last in the list of claims, and note in
 * order what is ready.  MOD may come while the file is asked; then the answer
 * is to the old question.
 * Model: evaluate in wait.pml.
 */
static unsigned int mye_pass_evaluate(struct mye_pass_state *pass,
				      struct list_head *last,
				      struct mye_claim *ready)
{
	struct mye_watch *w = list_entry(last, struct mye_watch, node);
	struct mye_claim *c = ready;

	list_for_each_entry_continue(w, &pass->claims, node) {
		w->verdict = MYE_DROP;
		c->watch = w;
		if (mye_pm_active(w))
			pass->awake |= __mye_pm_claimed(w, !pass->awake);
		mye_evaluate(c, pass->late);
		if (unlikely(READ_ONCE(w->seq) != c->seq))
			mye_evaluate(c, pass->late);
		if (c->revents)
			c++;
	}
	return c - ready;
}

/* Returns how many events of the batch are in user memory. */
static unsigned int mye_pass_copy(struct mye_pass_state *pass,
				  const struct mye_claim *ready,
				  unsigned int n)
{
	struct epoll_event __user *to = pass->events + pass->done;
	unsigned int i = 0;

	if (!user_write_access_begin(to, n * sizeof(*to)))
		return 0;
	for (; i < n; i++) {
		unsafe_put_user(ready[i].revents, &to[i].events, fault);
		unsafe_put_user(ready[i].data, &to[i].data, fault);
	}
fault:
	user_write_access_end();
	return i;
}

/*
 * One shot is spent, unless MOD has loaded again since.
 * Model: disarm in wait.pml.
 */
static void mye_disarm(const struct mye_claim *c)
{
	struct mye_watch *w = c->watch;

	spin_lock(&w->lock);
	if (w->seq == c->seq)
		WRITE_ONCE(w->mask, w->mask & MYE_PRIVATE);
	spin_unlock(&w->lock);
}

static enum mye_verdict mye_delivered(const struct mye_claim *c)
{
	if (c->mask & EPOLLONESHOT) {
		mye_disarm(c);
		return MYE_DROP;
	}
	return c->mask & EPOLLET ? MYE_DROP : MYE_BACK;
}

/* Model: deliver in wait.pml. */
static void mye_pass_deliver(struct mye_pass_state *pass,
			     const struct mye_claim *ready, unsigned int n)
{
	unsigned int i, stored = 0;

	/* Who dies now would take the events along. */
	if (!fatal_signal_pending(current))
		stored = mye_pass_copy(pass, ready, n);
	for (i = 0; i < stored; i++)
		ready[i].watch->verdict = mye_delivered(&ready[i]);
	for (; i < n; i++)
		ready[i].watch->verdict = MYE_FRONT;
	pass->done += stored;
	if (stored < n)
		pass->error = fatal_signal_pending(current) ? -EINTR : -EFAULT;
}

/*
 * Take from one lane what was there when we came, as far as there is room.
 * Model: pass_lane in wait.pml.
 */
static void mye_pass_lane(struct mye_pass_state *pass, struct mye_lane *lane)
{
	struct mye_claim ready[MYE_BATCH] __uninitialized;
	unsigned int budget = UINT_MAX;
	struct list_head *last;
	unsigned int n, want;

	while (budget && !pass->error && pass->done < pass->max) {
		want = min(MYE_BATCH, pass->max - pass->done);
		last = pass->claims.prev;
		if (!mye_lane_claim(lane, &pass->claims, want, &budget, false))
			return;
		n = mye_pass_evaluate(pass, last, ready);
		if (n)
			mye_pass_deliver(pass, ready, n);
		if (fatal_signal_pending(current))
			pass->error = -EINTR;
		cond_resched();
	}
}

/**
 * mye_pass - one pass over an instance
 * @inst: the instance
 * @events: where events go; the range has been checked
 * @max: how many, more than 0
 * @late: gets files that the caller has to drop or to defer
 *
 * Returns how many events were stored; 0 if nothing was ready after all;
 * -EFAULT if none could be stored; -EINTR if a fatal signal is pending.
 * Model: pass in wait.pml.
 */
int mye_pass(struct mye_instance *inst, struct epoll_event __user *events,
	     int max, struct llist_head *late)
{
	struct mye_pass_state pass = {
		.instance = inst,
		.events = events,
		.max = max,
		.late = late,
		.claims = LIST_HEAD_INIT(pass.claims),
	};
	unsigned int i, nr, start;

	if (fatal_signal_pending(current))
		return -EINTR;
	mye_lanes_grow(inst);
	nr = smp_load_acquire(&inst->nr_lanes);	/* grow */
	start = mye_lane_start(inst, nr);
	for (i = 0; i < nr && !pass.error && pass.done < max; i++)
		mye_pass_lane(&pass, mye_lane_nth(inst, (start + i) & (nr - 1)));
	mye_lane_settle(inst, &pass.claims);
	if (pass.awake)
		mye_pm_pass_done(inst);
	return pass.done ?: pass.error;
}

/*
 * Is there a ready watch on this lane?  Those before it that are not leave.
 * Model: poll_lane in wait.pml.
 */
static bool mye_poll_lane(struct mye_instance *inst, struct mye_lane *lane,
			  struct llist_head *late)
{
	unsigned int budget = UINT_MAX;
	struct mye_claim c;
	LIST_HEAD(claims);

	while (mye_lane_claim(lane, &claims, 1, &budget, true)) {
		bool awake;

		c.watch = list_first_entry(&claims, struct mye_watch, node);
		awake = mye_pm_active(c.watch) && __mye_pm_claimed(c.watch, true);
		mye_evaluate(&c, late);
		c.watch->verdict = c.revents ? MYE_FRONT : MYE_DROP;
		mye_lane_settle(inst, &claims);
		if (awake)
			mye_pm_pass_done(inst);
		if (c.revents)
			return true;
		cond_resched();
	}
	return false;
}

static bool mye_poll_lanes(struct mye_instance *inst)
{
	unsigned int i, nr = smp_load_acquire(&inst->nr_lanes);	/* grow */
	LLIST_HEAD(late);
	bool ready = false;

	for (i = 0; i < nr && !ready; i++)
		ready = mye_poll_lane(inst, mye_lane_nth(inst, i), &late);
	mye_late_defer(&late);
	return ready;
}

/*
 * poll() on an instance: is there an event to report?  Like a wait that may
 * not wait for events, it waits for claims that may come back.
 * Model: poller in wait.pml.
 */
__poll_t mye_poll(struct file *file, struct poll_table_struct *pt)
{
	struct mye_instance *inst = file->private_data;
	enum mye_sight sight;
	bool waited = false;
	bool ready;

	poll_wait(file, &inst->pwq, pt);
	smp_mb();	/* (B), poll(): between pwq and the lanes */
	do {
		ready = mye_poll_lanes(inst);
		sight = ready ? MYE_READY : mye_look(inst);
		if (sight == MYE_BUSY) {
			waited = true;
			mye_await_settle(inst);
		}
		cond_resched();
	} while (!ready && sight != MYE_EMPTY && !fatal_signal_pending(current));
	if (waited)
		mye_wake_left(inst);
	return ready ? EPOLLIN | EPOLLRDNORM : 0;
}
