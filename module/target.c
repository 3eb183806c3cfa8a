// SPDX-License-Identifier: GPL-2.0-only
/*
 * Targets: from a file to all its watches, in all instances.
 *
 * REMOVAL in myepoll.h says who comes here and what decides.
 */
#include <linux/hash.h>
#include <linux/rhashtable.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "myepoll.h"

/* Addresses of files: nobody can choose them, and the seed is not known. */
static u32 mye_target_hash(const void *key, u32 len, u32 seed)
{
	unsigned long file = *(const unsigned long *)key;

	return hash_long(file ^ seed, 32);
}

static const struct rhashtable_params mye_target_params = {
	.hashfn = mye_target_hash,
	.head_offset = offsetof(struct mye_target, node),
	.key_offset = offsetof(struct mye_target, file),
	.key_len = sizeof(struct file *),
	.automatic_shrinking = true,
};

static struct rhashtable mye_targets;
static struct kmem_cache *mye_target_cache;

static struct mye_target *mye_target_new(struct file *file)
{
	struct mye_target *t;

	t = kmem_cache_alloc(mye_target_cache, GFP_KERNEL_ACCOUNT);
	if (!t)
		return NULL;
	*t = (struct mye_target) {
		.file = file,
		.watches = LIST_HEAD_INIT(t->watches),
		.refs = REFCOUNT_INIT(1),
	};
	spin_lock_init(&t->lock);
	return t;
}

static void mye_target_free_rcu(struct rcu_head *rcu)
{
	kmem_cache_free(mye_target_cache,
			container_of(rcu, struct mye_target, rcu));
}

void mye_target_put(struct mye_target *t)
{
	if (refcount_dec_and_test(&t->refs))
		call_rcu(&t->rcu, mye_target_free_rcu);
}

static struct mye_target *mye_target_lookup(struct file *file)
{
	return rhashtable_lookup(&mye_targets, &file, mye_target_params);
}

/* The target of @file with a reference, or NULL. */
struct mye_target *mye_target_find(struct file *file)
{
	struct mye_target *t;

	rcu_read_lock();
	t = mye_target_lookup(file);
	if (t && !refcount_inc_not_zero(&t->refs))
		t = NULL;
	rcu_read_unlock();
	return t;
}

/* As mye_target_find(), but makes it if there is none. */
static struct mye_target *mye_target_get(struct file *file)
{
	struct mye_target *t, *old;
	bool taken;

	t = mye_target_find(file);
	if (t)
		return t;
	t = mye_target_new(file);
	if (!t)
		return ERR_PTR(-ENOMEM);
	rcu_read_lock();
	old = rhashtable_lookup_get_insert_fast(&mye_targets, &t->node,
						mye_target_params);
	taken = !IS_ERR_OR_NULL(old) && refcount_inc_not_zero(&old->refs);
	rcu_read_unlock();
	if (!old)
		return t;
	mye_target_put(t);
	if (IS_ERR(old) && PTR_ERR(old) != -EBUSY)
		return ERR_PTR(-ENOMEM);
	return taken ? old : ERR_PTR(-EAGAIN);
}

/* Put @w on the list; -EAGAIN if the target has just lost its last watch. */
static int mye_target_link(struct mye_target *t, struct mye_watch *w)
{
	int err = 0;

	spin_lock(&t->lock);
	if (t->dead) {
		err = -EAGAIN;
	} else if (t->nr >= READ_ONCE(mye_max_file_watches)) {
		err = -ENOSPC;
	} else {
		smp_store_release(&w->target, t);	/* mye_paths_of_watch_ok() */
		list_add_tail(&w->peer, &t->watches);
		t->nr++;
	}
	spin_unlock(&t->lock);
	return err;
}

/*
 * Out of the table, so that the file's address can mean another file.
 * Model: retire in removal.pml.
 */
static void mye_target_retire(struct mye_target *t)
{
	lockdep_assert_held(&t->lock);
	t->dead = true;
	rhashtable_remove_fast(&mye_targets, &t->node, mye_target_params);
}

/* A new target that could not get its first watch must not stay. */
static void mye_target_unused(struct mye_target *t)
{
	spin_lock(&t->lock);
	if (!t->nr && !t->dead)
		mye_target_retire(t);
	spin_unlock(&t->lock);
	mye_target_put(t);
}

/**
 * mye_target_attach - make the end of the file known to a watch
 * @w: a new watch; the caller holds a reference to the file
 *
 * Returns 0, -ENOMEM, or -ENOSPC if the file has too many watches.
 */
int mye_target_attach(struct mye_watch *w)
{
	struct mye_target *t;
	int err;

	for (;;) {
		t = mye_target_get(w->file);
		err = PTR_ERR_OR_ZERO(t);
		if (!err) {
			err = mye_target_link(t, w);
			if (!err)
				return 0;
			mye_target_unused(t);
		}
		/* Somebody is taking it out of the table, or that is growing. */
		if (err != -EAGAIN)
			return err;
		cond_resched();
	}
}

/*
 * The decision (see REMOVAL): from here on nobody can push the watch.
 * Model: sever in removal.pml.
 */
static void mye_watch_sever(struct mye_watch *w)
{
	struct mye_target *t = w->target;

	lockdep_assert_held(&t->lock);
	spin_lock(&w->lock);
	WRITE_ONCE(w->dead, true);
	spin_unlock(&w->lock);
	list_del(&w->peer);
	t->nr--;
	mye_watch_unhook(w);
}

/*
 * Out of the instance.  The instance may be closed as soon as its table is
 * empty, so that comes last.
 * Model: forget in removal.pml.
 */
static void mye_watch_forget(struct mye_watch *w)
{
	lockdep_assert_held(&w->target->lock);
	mye_user_uncharge(w->instance->user);
	mye_table_remove(w);
}

/**
 * mye_watch_kill - first half of a removal
 * @w: a referenced watch
 *
 * Returns true if the caller has to call mye_watch_finish().  If not, somebody
 * else does, and has already unhooked it and taken it out of the table.
 * Model: kill in removal.pml.
 */
bool mye_watch_kill(struct mye_watch *w)
{
	struct mye_target *t = w->target;
	bool killed;

	spin_lock(&t->lock);
	killed = !w->dead;
	if (killed) {
		mye_watch_sever(w);
		mye_watch_forget(w);
		if (!t->nr)
			mye_target_retire(t);
	}
	spin_unlock(&t->lock);
	return killed;
}

/* May the last reference be dropped here, in atomic context? */
static bool mye_watch_is_simple(struct mye_watch *w)
{
	return atomic_read(&w->state) == MYE_IDLE && !w->nest &&
	       !rcu_access_pointer(w->ws);
}

static void mye_target_release_watches(struct mye_target *t)
{
	struct mye_watch *w, *next;
	bool simple;

	list_for_each_entry_safe(w, next, &t->watches, peer) {
		mye_watch_sever(w);
		simple = mye_watch_is_simple(w);
		if (!simple)
			mye_instance_get(w->instance);
		mye_watch_forget(w);
		if (simple)
			mye_watch_put(w);
		else
			mye_instance_reap(w);
	}
	mye_target_retire(t);
}

/**
 * mye_target_release - the last reference to a file is gone
 * @file: the file; nobody can get a reference any more
 *
 * Called for every file that dies in the system, in process context but
 * possibly with preemption disabled.  When it returns, nothing of ours knows
 * the file.
 * Model: target_release in removal.pml.
 */
void mye_target_release(struct file *file)
{
	struct mye_target *t;

	if (!atomic_read(&mye_targets.nelems))
		return;
	rcu_read_lock();
	t = mye_target_lookup(file);
	if (t) {
		/*
		 * RCU keeps the memory of the target, and of instances that
		 * are closed meanwhile.
		 */
		spin_lock(&t->lock);
		if (!t->dead)
			mye_target_release_watches(t);
		spin_unlock(&t->lock);
	}
	rcu_read_unlock();
}

int mye_target_init(void)
{
	int err;

	mye_target_cache = kmem_cache_create("myepoll_target",
					     sizeof(struct mye_target), 0,
					     SLAB_ACCOUNT, NULL);
	if (!mye_target_cache)
		return -ENOMEM;
	err = rhashtable_init(&mye_targets, &mye_target_params);
	if (err)
		kmem_cache_destroy(mye_target_cache);
	return err;
}

void mye_target_exit(void)
{
	WARN_ON_ONCE(atomic_read(&mye_targets.nelems));
	rhashtable_destroy(&mye_targets);
	kmem_cache_destroy(mye_target_cache);
}
