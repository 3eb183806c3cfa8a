// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instances inside instances: no loops, no chains of more than MYE_MAX_NESTS
 * links, no more wake-up paths from one file than native epoll allows.
 *
 * Links change, and are followed, under one global mutex.  A plain ADD does
 * not take it, unless its instance is watched by another:
 *
 *	plain ADD:	watch into the table; barrier; instance watched?
 *	nested ADD:	instance is watched;   barrier; look at watches below it
 *
 * One of the two sees the other and counts the paths (N).
 */
#include <linux/sched.h>
#include <linux/slab.h>

#include "members.h"

static DEFINE_MUTEX(mye_nest_lock);

/* Number of the walk under way: results of earlier ones do not count. */
static u64 mye_nest_walk;

/* Wake-up paths from one file through n instances into an outermost one */
static const unsigned int mye_path_limits[MYE_MAX_NESTS + 1] = {
	UINT_MAX, 500, 100, 50, 10
};

/*
 * A link whose watch is dead counts until no wake-up can go up through it and no
 * poll() can go down: until the watch is off the wait queues, and then as long as
 * a claimer may have pinned the file before it died.  Such a claimer has stored
 * CLAIMED, with a barrier (A), before it saw the watch alive.
 * Model: nest_live in links.pml.
 */
static bool mye_nest_live(const struct mye_nest *nest)
{
	if (!smp_load_acquire(&nest->severed))	/* mye_watch_sever() */
		return true;
	return atomic_read(&nest->watch->state) & MYE_CLAIMED;
}

/*
 * Links in the longest chain below @inst; more than MYE_MAX_NESTS if @outer is
 * in one.  Chains are never longer than that, so neither is the recursion.
 * Model: nest_below in links.pml.
 */
static int mye_nest_below(struct mye_instance *inst,
			  const struct mye_instance *outer)
{
	struct mye_nest *nest;
	int depth = 0;

	lockdep_assert_held(&mye_nest_lock);
	if (inst == outer)
		return MYE_MAX_NESTS + 1;
	if (inst->stamp == mye_nest_walk)
		return inst->depth;
	list_for_each_entry(nest, &inst->children, down) {
		if (mye_nest_live(nest))
			depth = max(depth, mye_nest_below(nest->child, outer) + 1);
		cond_resched();
	}
	inst->stamp = mye_nest_walk;
	inst->depth = depth;
	return depth;
}

/* Links in the longest chain above @inst.  Model: nest_above in links.pml. */
static int mye_nest_above(struct mye_instance *inst)
{
	struct mye_nest *nest;
	int height = 0;

	lockdep_assert_held(&mye_nest_lock);
	if (inst->stamp == mye_nest_walk)
		return inst->depth;
	list_for_each_entry(nest, &inst->parents, up) {
		if (mye_nest_live(nest))
			height = max(height,
				     mye_nest_above(nest->watch->instance) + 1);
		cond_resched();
	}
	inst->stamp = mye_nest_walk;
	inst->depth = height;
	return height;
}

static int mye_nest_check_locked(struct mye_instance *inst,
				 struct mye_instance *child)
{
	int below, above;

	mye_nest_walk++;
	below = mye_nest_below(child, inst);
	mye_nest_walk++;
	above = mye_nest_above(inst);
	return below + 1 + above > MYE_MAX_NESTS ? -ELOOP : 0;
}

/* May @inst watch @child, as things are now?  0 or -ELOOP. */
int mye_nest_check(struct mye_instance *inst, struct mye_instance *child)
{
	int err;

	mutex_lock(&mye_nest_lock);
	err = mye_nest_check_locked(inst, child);
	mutex_unlock(&mye_nest_lock);
	return err;
}

/* Count the paths that go up from @inst, which is the @nth on its path. */
static bool mye_paths_up(struct mye_instance *inst, unsigned int nth,
			 unsigned int *paths)
{
	struct mye_nest *nest;
	bool outermost = true;

	list_for_each_entry(nest, &inst->parents, up) {
		if (!mye_nest_live(nest))
			continue;
		outermost = false;
		if (nth == MYE_MAX_NESTS ||
		    !mye_paths_up(nest->watch->instance, nth + 1, paths))
			return false;
	}
	return !outermost || ++paths[nth] <= mye_path_limits[nth];
}

/* Paths counted so far; stamps the watch, so that its file is not met again. */
static bool mye_paths_through(struct mye_watch *w, void *paths)
{
	if (!w->nested)
		w->stamp = mye_nest_walk;
	return mye_paths_up(w->instance, 0, paths);
}

/* Are the paths from this file within the limits? */
static bool mye_paths_ok(struct file *file)
{
	unsigned int paths[MYE_MAX_NESTS + 1] = { 0 };

	lockdep_assert_held(&mye_nest_lock);
	return mye_table_each(file, mye_paths_through, paths);
}

static bool mye_paths_below_ok(struct mye_instance *inst);

static bool mye_paths_of_watch_ok(struct mye_watch *w)
{
	if (w->nested)
		return !w->nest || mye_paths_below_ok(w->nest->child);
	return w->stamp == mye_nest_walk || mye_paths_ok(w->file);
}

/* The same for every file below @inst; each instance is visited once. */
static bool mye_paths_below_ok(struct mye_instance *inst)
{
	struct mye_walk walk;
	struct mye_watch *w;
	bool ok = true;

	lockdep_assert_held(&mye_nest_lock);
	if (inst->stamp == mye_nest_walk)
		return true;
	inst->stamp = mye_nest_walk;
	mye_walk_begin(&walk, inst);
	while (ok && (w = mye_walk_next(&walk))) {
		ok = mye_paths_of_watch_ok(w);
		mye_watch_put(w);
		cond_resched();
	}
	mye_walk_end(&walk);
	return ok;
}

static void mye_nest_unlink_locked(struct mye_nest *nest)
{
	lockdep_assert_held(&mye_nest_lock);
	list_del(&nest->down);
	list_del(&nest->up);
	if (list_empty(&nest->child->parents))
		WRITE_ONCE(nest->child->watched, false);
	WRITE_ONCE(nest->watch->nest, NULL);	/* mye_del_nested() */
}

/* Model: nested_add in nest.pml. */
static int mye_nest_link_locked(struct mye_nest *nest)
{
	struct mye_instance *inst = nest->watch->instance;
	struct mye_instance *child = nest->child;
	int err;

	err = mye_nest_check_locked(inst, child);
	if (err)
		return err;
	list_add(&nest->down, &inst->children);
	list_add(&nest->up, &child->parents);
	nest->watch->nest = nest;
	WRITE_ONCE(child->watched, true);
	smp_mb();	/* (N), nested ADD */
	mye_nest_walk++;
	if (mye_paths_below_ok(child))
		return 0;
	mye_nest_unlink_locked(nest);
	return -EINVAL;
}

/**
 * mye_nest_link - let a watch be one of an instance
 * @w: a watch in the table, made by its ADD
 * @child: the instance behind its file
 *
 * Returns 0, -ENOMEM, -ELOOP, or -EINVAL: too many paths.
 * Model: add in links.pml.
 */
int mye_nest_link(struct mye_watch *w, struct mye_instance *child)
{
	struct mye_nest *nest = kmalloc(sizeof(*nest), GFP_KERNEL_ACCOUNT);
	int err;

	if (!nest)
		return -ENOMEM;
	nest->watch = w;
	nest->child = child;
	nest->severed = false;
	mutex_lock(&mye_nest_lock);
	err = mye_nest_link_locked(nest);
	mutex_unlock(&mye_nest_lock);
	if (err)
		kfree(nest);
	else
		mye_instance_get(child);
	return err;
}

/*
 * A removed watch that nobody has claimed.  Process context.
 * Model: nest_unlink in links.pml.
 */
void mye_nest_unlink(struct mye_watch *w)
{
	struct mye_nest *nest = w->nest;

	mutex_lock(&mye_nest_lock);
	mye_nest_unlink_locked(nest);
	mutex_unlock(&mye_nest_lock);
	mye_instance_put(nest->child);
	kfree(nest);
}

/**
 * mye_nest_check_leaf - does a watch of an ordinary file make too many paths?
 * @w: a watch in the table, made by its ADD
 *
 * Returns 0 or -EINVAL.
 * Model: plain_add in nest.pml.
 */
int mye_nest_check_leaf(struct mye_watch *w)
{
	bool ok;

	smp_mb();	/* (N), plain ADD */
	if (!READ_ONCE(w->instance->watched))
		return 0;
	mutex_lock(&mye_nest_lock);
	mye_nest_walk++;
	ok = mye_paths_ok(w->file);
	mutex_unlock(&mye_nest_lock);
	return ok ? 0 : -EINVAL;
}
