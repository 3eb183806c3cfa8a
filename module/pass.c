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
 * struct mye_asker - what asking files takes
 * @pt: hooks nothing; its key is the question
 * @busy: note where ready sockets get their packets from
 * @late: gets files whose last reference we hold
 */
struct mye_asker {
	poll_table pt;
	bool busy;
	struct llist_head *late;
};

#define MYE_ASKER_INIT(inst, l)	{ .busy = READ_ONCE((inst)->busy), .late = (l) }

/**
 * struct mye_pass_state - a pass under way
 * @instance: the instance
 * @events: where events go
 * @max: how many
 * @done: how many are there
 * @error: why the pass ends early
 * @awake: it keeps the system awake (EPOLLWAKEUP)
 * @shots: one-shot watches are among what was ready
 * @asker: for asking files
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
	bool shots;
	struct mye_asker asker;
	struct mye_claims claims;
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
 * The file may be dying, and so may the watch.  If the watch is not dead, the
 * memory of the file stays until the next grace period; a reference to it can
 * be had unless the last one is gone.
 * Model: evaluate in removal.pml.
 */
static __always_inline struct file *mye_pin(struct mye_watch *w)
{
	struct file *file = w->file;
	bool got;

	rcu_read_lock_sched();
	got = !READ_ONCE(w->dead) && mye_file_tryget(file);
	rcu_read_unlock_sched();
	return got ? file : NULL;
}

/*
 * The file is closed: only we hold it.  A wait that begins after close() has
 * returned must not report it, so nothing is asked for any more.
 * Model: evaluate in removal.pml.
 */
static noinline void mye_unpin_last(struct mye_watch *w, struct llist_head *late)
{
	spin_lock(&w->lock);
	WRITE_ONCE(w->mask, w->mask & MYE_PRIVATE);
	spin_unlock(&w->lock);
	refcount_inc(&w->refs);
	llist_add(&w->late, late);
}

/* Ask the file what is ready of @mask.  May sleep. */
static __always_inline __poll_t mye_ask(struct mye_asker *asker,
					struct mye_watch *w, __poll_t mask)
{
	struct file *file = mye_pin(w);
	__poll_t revents = 0;

	if (!file)
		return 0;
	/* If its memory may be used again at once, it may be another's by now. */
	if (!MYE_FILES_REUSED || likely(!READ_ONCE(w->dead))) {
		asker->pt._key = mask;
		revents = vfs_poll(file, &asker->pt) & mask;
		if (unlikely(asker->busy) && revents)
			mye_busy_seen(w->instance, file);
	}
	/* A plain fput() of the last one would take effect when we return. */
	if (unlikely(!mye_file_put_unless_last(file)))
		mye_unpin_last(w, asker->late);
	return revents;
}

/* The question as one ADD or MOD put it. */
static noinline __poll_t mye_ask_again(struct mye_asker *asker,
				       struct mye_claim *c)
{
	struct mye_watch *w = c->watch;

	spin_lock(&w->lock);
	c->mask = w->mask;
	c->data = w->data;
	c->seq = w->seq;
	spin_unlock(&w->lock);
	return mye_ask(asker, w, c->mask);
}

/*
 * Ask without a lock; if MOD comes meanwhile the answer is to the old question,
 * or to half of each.
 * Model: evaluate in wait.pml.
 */
static __always_inline __poll_t mye_evaluate(struct mye_asker *asker,
					     struct mye_watch *w,
					     struct mye_claim *c)
{
	c->watch = w;
	c->seq = smp_load_acquire(&w->seq);	/* mye_mod_set() */
	c->mask = READ_ONCE(w->mask);
	c->data = READ_ONCE(w->data);
	c->revents = mye_ask(asker, w, c->mask);
	smp_rmb();	/* mye_mod_set() */
	if (unlikely((c->seq & 1) || READ_ONCE(w->seq) != c->seq))
		c->revents = mye_ask_again(asker, c);
	return c->revents;
}

/*
 * Evaluate a batch, what follows @last in the list of claims, and note in
 * order what is ready.  The verdict is for when it has been delivered.
 */
static unsigned int mye_pass_evaluate(struct mye_pass_state *pass,
				      struct list_head *last,
				      struct mye_claim *ready)
{
	struct mye_watch *w = list_entry(last, struct mye_watch, node);
	struct mye_claim *c = ready;

	list_for_each_entry_continue(w, &pass->claims.list, node) {
		if (mye_pm_active(w))
			pass->awake |= __mye_pm_claimed(w, !pass->awake);
		if (!mye_evaluate(&pass->asker, w, c)) {
			w->verdict = MYE_DROP;
			continue;
		}
		w->verdict = c->mask & (EPOLLET | EPOLLONESHOT) ? MYE_DROP :
								 MYE_BACK;
		if (c->mask & EPOLLONESHOT)
			pass->shots = true;
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

/* Model: deliver in wait.pml. */
static void mye_pass_deliver(struct mye_pass_state *pass,
			     const struct mye_claim *ready, unsigned int n)
{
	unsigned int i, stored = 0;

	/* Who dies now would take the events along. */
	if (!fatal_signal_pending(current))
		stored = mye_pass_copy(pass, ready, n);
	pass->done += stored;
	if (unlikely(pass->shots))
		for (i = 0; i < stored; i++)
			if (ready[i].mask & EPOLLONESHOT)
				mye_disarm(&ready[i]);
	if (likely(stored == n))
		return;
	for (i = stored; i < n; i++)
		ready[i].watch->verdict = MYE_FRONT;
	pass->error = fatal_signal_pending(current) ? -EINTR : -EFAULT;
}

/*
 * Take from one lane what was there when we came, as far as there is room; there
 * is some.
 * Model: pass_lane in wait.pml.
 */
static void mye_pass_lane(struct mye_pass_state *pass, struct mye_lane *lane)
{
	struct mye_claim ready[MYE_BATCH] __uninitialized;
	unsigned int budget = UINT_MAX;
	struct list_head *last;
	unsigned int n, want;

	for (;;) {
		want = min(MYE_BATCH, pass->max - pass->done);
		last = pass->claims.list.prev;
		if (!mye_lane_claim(lane, &pass->claims, want, &budget, false))
			return;
		n = mye_pass_evaluate(pass, last, ready);
		if (n)
			mye_pass_deliver(pass, ready, n);
		if (!budget || pass->error || pass->done == pass->max)
			return;
		if (fatal_signal_pending(current)) {
			pass->error = -EINTR;
			return;
		}
		cond_resched();
	}
}

/* Field by field: clearing what is little at once costs more than all of it. */
static void mye_pass_init(struct mye_pass_state *pass, struct mye_instance *inst,
			  struct epoll_event __user *events, int max,
			  struct llist_head *late)
{
	pass->instance = inst;
	pass->events = events;
	pass->max = max;
	pass->done = 0;
	pass->error = 0;
	pass->awake = false;
	pass->shots = false;
	init_poll_funcptr(&pass->asker.pt, NULL);
	pass->asker.busy = READ_ONCE(inst->busy);
	pass->asker.late = late;
	INIT_LIST_HEAD(&pass->claims.list);
	pass->claims.edges = false;
}

/**
 * mye_pass - one pass over an instance
 * @inst: the instance
 * @events: where events go; the range has been checked
 * @max: how many, more than 0
 * @late: gets files that the caller has to drop or to defer
 *
 * Returns how many events were stored; 0 if others had taken what there was;
 * -EAGAIN if there was something, but none of it was ready after all; -EFAULT
 * if none could be stored; -EINTR if a fatal signal is pending.
 * Model: pass in wait.pml.
 */
int mye_pass(struct mye_instance *inst, struct epoll_event __user *events,
	     int max, struct llist_head *late)
{
	struct mye_pass_state pass __uninitialized;
	unsigned int i, nr, start;

	if (fatal_signal_pending(current))
		return -EINTR;
	mye_pass_init(&pass, inst, events, max, late);
	mye_lanes_grow(inst);
	nr = smp_load_acquire(&inst->nr_lanes);	/* grow */
	start = mye_lane_start(inst, nr);
	for (i = 0; i < nr && !pass.error && pass.done < max; i++) {
		if (i)
			cond_resched();
		mye_pass_lane(&pass, mye_lane_nth(inst, (start + i) & (nr - 1)));
	}
	if (!pass.done && !pass.error && !list_empty(&pass.claims.list))
		pass.error = -EAGAIN;
	mye_lane_settle(inst, &pass.claims);
	if (pass.awake)
		mye_pm_pass_done(inst);
	return pass.done ?: pass.error;
}

/*
 * Is there a ready watch on this lane?  Those before it that are not leave.
 * Model: poll_lane in callers.pml.
 */
static bool mye_poll_lane(struct mye_instance *inst, struct mye_lane *lane,
			  struct llist_head *late)
{
	struct mye_claims claims = MYE_CLAIMS_INIT(claims);
	struct mye_asker asker = MYE_ASKER_INIT(inst, late);
	unsigned int budget = UINT_MAX;
	struct mye_claim c;

	while (mye_lane_claim(lane, &claims, 1, &budget, true)) {
		struct mye_watch *w;
		bool awake;

		w = list_first_entry(&claims.list, struct mye_watch, node);
		awake = mye_pm_active(w) && __mye_pm_claimed(w, true);
		w->verdict = mye_evaluate(&asker, w, &c) ? MYE_FRONT : MYE_DROP;
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
 * not wait for events, it waits for claims that may come back.  If it has to go
 * without an answer, being killed or kept busy by wake-ups without an event, it
 * says yes: a wait that asks for another instance must not drop it.
 * Model: poller in callers.pml.
 */
__poll_t mye_poll(struct file *file, struct poll_table_struct *pt)
{
	struct mye_instance *inst = file->private_data;
	unsigned int vain = 0;
	enum mye_sight sight;
	bool waited = false;

	poll_wait(file, &inst->pwq, pt);
	smp_mb();	/* (B), poll(): between pwq and the lanes */
	do {
		if (mye_poll_lanes(inst)) {
			sight = MYE_READY;
			break;
		}
		sight = mye_look(inst);
		if (sight == MYE_BUSY) {
			waited = true;
			mye_await_settle(inst);
		} else if (sight == MYE_READY) {
			vain++;
		}
		cond_resched();
	} while (sight != MYE_EMPTY && vain < MYE_VAIN_MAX &&
		 !fatal_signal_pending(current));
	if (waited)
		mye_wake_left(inst);
	return sight == MYE_EMPTY ? 0 : EPOLLIN | EPOLLRDNORM;
}
