// SPDX-License-Identifier: GPL-2.0-only
/*
 * EPOLLWAKEUP: no system suspend between an event and the wait that follows
 * the one that reported it.
 *
 * A watch's wake-up source is active from the event until a pass claims the
 * watch; from then to the end of the pass the instance's source is.  Sources
 * are made and destroyed in process context; callbacks find them under RCU.
 */
#include <linux/capability.h>
#include <linux/dcache.h>
#include <linux/device.h>
#include <linux/pm_wakeup.h>
#include <linux/slab.h>

#include "myepoll.h"
#include "pm.h"

/**
 * struct mye_pm - what an instance keeps the system awake with
 * @lock: protects what follows
 * @passes: passes under way that claimed a watch with a source
 * @ws: active while there are any
 */
struct mye_pm {
	spinlock_t lock;	/* passes, and ws with it */
	unsigned int passes;
	struct wakeup_source *ws;
};

void __mye_pm_filter(struct epoll_event *event)
{
	if (!IS_ENABLED(CONFIG_PM_SLEEP) || !capable(CAP_BLOCK_SUSPEND))
		event->events &= ~EPOLLWAKEUP;
}

static struct mye_pm *mye_pm_new(void)
{
	struct mye_pm *pm = kzalloc(sizeof(*pm), GFP_KERNEL_ACCOUNT);

	if (!pm)
		return NULL;
	spin_lock_init(&pm->lock);
	pm->ws = wakeup_source_register(NULL, "myepoll");
	if (pm->ws)
		return pm;
	kfree(pm);
	return NULL;
}

static int mye_pm_instance_init(struct mye_instance *inst)
{
	lockdep_assert_held(&inst->grow_lock);
	if (!inst->pm)
		inst->pm = mye_pm_new();
	return inst->pm ? 0 : -ENOMEM;
}

void mye_pm_instance_free(struct mye_instance *inst)
{
	if (!inst->pm)
		return;
	wakeup_source_unregister(inst->pm->ws);
	kfree(inst->pm);
}

static int mye_pm_attach_locked(struct mye_watch *w)
{
	struct name_snapshot name;
	struct wakeup_source *ws;
	int err;

	err = mye_pm_instance_init(w->instance);
	if (err)
		return err;
	take_dentry_name_snapshot(&name, w->file->f_path.dentry);
	ws = wakeup_source_register(NULL, name.name.name);
	release_dentry_name_snapshot(&name);
	if (!ws)
		return -ENOMEM;
	rcu_assign_pointer(w->ws, ws);
	return 0;
}

/**
 * mye_pm_attach - give a watch its wake-up source
 * @w: a watch that its ADD is making; the caller holds the file
 *
 * Returns 0 or -ENOMEM.
 */
int mye_pm_attach(struct mye_watch *w)
{
	struct mye_instance *inst = w->instance;
	int err;

	mutex_lock(&inst->grow_lock);
	err = mye_pm_attach_locked(w);
	mutex_unlock(&inst->grow_lock);
	return err;
}

/* No callback can be using it any more. */
void mye_pm_free(struct mye_watch *w)
{
	wakeup_source_unregister(rcu_dereference_raw(w->ws));
}

static void mye_pm_detach(struct mye_watch *w)
{
	struct wakeup_source *ws = rcu_dereference_raw(w->ws);

	RCU_INIT_POINTER(w->ws, NULL);
	synchronize_rcu();
	wakeup_source_unregister(ws);
}

/* MOD: the mask has changed.  Without memory the system may fall asleep. */
void mye_pm_change(struct mye_watch *w)
{
	struct mye_instance *inst = w->instance;
	bool has, wants;

	mutex_lock(&inst->grow_lock);
	has = rcu_access_pointer(w->ws);
	wants = READ_ONCE(w->mask) & EPOLLWAKEUP;
	if (wants && !has)
		mye_pm_attach_locked(w);
	else if (has && !wants)
		mye_pm_detach(w);
	mutex_unlock(&inst->grow_lock);
}

void __mye_pm_queued(struct mye_watch *w)
{
	struct wakeup_source *ws;

	rcu_read_lock();
	ws = rcu_dereference(w->ws);
	if (ws)
		__pm_stay_awake(ws);
	rcu_read_unlock();
}

/* Hand over from the watch to the pass.  Returns true: the pass is awake. */
bool __mye_pm_claimed(struct mye_watch *w, bool first)
{
	struct wakeup_source *ws;
	struct mye_pm *pm;

	smp_rmb();	/* ws was seen, so pm is there: mye_pm_attach_locked() */
	pm = w->instance->pm;
	if (first) {
		spin_lock(&pm->lock);
		if (!pm->passes++)
			__pm_stay_awake(pm->ws);
		spin_unlock(&pm->lock);
	}
	rcu_read_lock();
	ws = rcu_dereference(w->ws);
	if (ws)
		__pm_relax(ws);
	rcu_read_unlock();
	return true;
}

void mye_pm_pass_done(struct mye_instance *inst)
{
	struct mye_pm *pm = inst->pm;

	spin_lock(&pm->lock);
	if (!--pm->passes)
		__pm_relax(pm->ws);
	spin_unlock(&pm->lock);
}
