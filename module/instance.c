// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instances: birth, death, and the work that finishes removals for the hook.
 */
#include <linux/cred.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "lane.h"
#include "members.h"
#include "pm.h"

static struct kmem_cache *mye_instance_cache;

atomic_t mye_nr_instances;

/*
 * Finish the watches whose files have died (REMOVAL, C).
 * Model: worker in removal.pml.
 */
static void mye_instance_reap_work(struct work_struct *work)
{
	struct mye_instance *inst;
	struct mye_watch *w, *next;
	struct llist_node *list;

	inst = container_of(work, struct mye_instance, reap_work);
	list = llist_del_all(&inst->reap);
	llist_for_each_entry_safe(w, next, list, reap) {
		mye_watch_finish(w);
		mye_instance_put(inst);
		cond_resched();
	}
}

/**
 * mye_instance_reap - leave the second half of a removal to a worker
 * @w: a killed watch, with a reference to its instance that is taken over
 *
 * Atomic context.
 */
void mye_instance_reap(struct mye_watch *w)
{
	struct mye_instance *inst = w->instance;

	if (llist_add(&w->reap, &inst->reap))
		queue_work(mye_workqueue, &inst->reap_work);
}

/* A new instance that belongs to the caller's user, or an error. */
struct mye_instance *mye_instance_new(void)
{
	struct mye_instance *inst;

	inst = kmem_cache_zalloc(mye_instance_cache, GFP_KERNEL_ACCOUNT);
	if (!inst)
		return ERR_PTR(-ENOMEM);
	inst->user = mye_user_get(current_uid());
	if (!inst->user) {
		kmem_cache_free(mye_instance_cache, inst);
		return ERR_PTR(-ENOMEM);
	}
	mye_lane_init(&inst->lane0);
	inst->nr_lanes = 1;
	init_waitqueue_head(&inst->wq);
	init_waitqueue_head(&inst->pwq);
	init_waitqueue_head(&inst->settled);
	mutex_init(&inst->grow_lock);
	mutex_init(&inst->show_lock);
	INIT_LIST_HEAD(&inst->children);
	INIT_LIST_HEAD(&inst->parents);
	init_llist_head(&inst->reap);
	INIT_WORK(&inst->reap_work, mye_instance_reap_work);
	INIT_WORK(&inst->poll_work, mye_pollers_work);
	refcount_set(&inst->refs, 1);
	atomic_inc(&mye_nr_instances);
	return inst;
}

void mye_instance_get(struct mye_instance *inst)
{
	refcount_inc(&inst->refs);
}

/* Process context.  Model: instance_put in objects.pml. */
void mye_instance_put(struct mye_instance *inst)
{
	if (!refcount_dec_and_test(&inst->refs))
		return;
	WARN_ON_ONCE(mye_lanes_ready(inst) || atomic_read(&inst->again));
	atomic_dec_return_release(&mye_nr_instances);	/* mye_instances_exist() */
	mye_pm_instance_free(inst);
	mye_user_put(inst->user);
	kfree(inst->busy);
	kfree(inst->more);
	kmem_cache_free(mye_instance_cache, inst);
}

/**
 * mye_instance_close - the last reference to the file of an instance is gone
 * @inst: the instance; only path C of REMOVAL can still come by
 * Model: instance_closer in removal.pml.
 */
void mye_instance_close(struct mye_instance *inst)
{
	struct mye_walk walk;
	struct mye_watch *w;

	/* A waiter holds the file; no barrier is needed to see none. */
	WARN_ON_ONCE(waitqueue_active(&inst->wq));
	mye_walk_begin(&walk, inst);
	while ((w = mye_walk_next(&walk))) {
		mye_watch_remove(w);
		mye_watch_put(w);
		cond_resched();
	}
	mye_walk_end(&walk);
	mye_instance_put(inst);
}

int mye_instance_init(void)
{
	mye_instance_cache = kmem_cache_create("myepoll_instance",
					       sizeof(struct mye_instance), 0,
					       SLAB_HWCACHE_ALIGN | SLAB_ACCOUNT,
					       NULL);
	return mye_instance_cache ? 0 : -ENOMEM;
}

void mye_instance_exit(void)
{
	kmem_cache_destroy(mye_instance_cache);
}
