// SPDX-License-Identifier: GPL-2.0-only
/*
 * The watch table of an instance: descriptor number -> watches.
 *
 * An XArray slot holds the newest watch with that number.  Older ones, whose
 * files outlived the descriptor, follow it.  Readers walk under RCU.  A watch
 * that is not published is there only to keep its place.
 */
#include <linux/slab.h>

#include "myepoll.h"

void mye_table_init(struct mye_instance *inst)
{
	int i;

	xa_init_flags(&inst->table, XA_FLAGS_ACCOUNT);
	for (i = 0; i < MYE_STRIPES; i++)
		mutex_init(&inst->stripes[i]);
}

struct mutex *mye_table_stripe(struct mye_instance *inst, int fd)
{
	return &inst->stripes[fd & (MYE_STRIPES - 1)];
}

/* In front of the older ones.  -ENOMEM if the slot's node is not there. */
static int mye_table_link(struct mye_watch *w)
{
	struct xarray *xa = &w->instance->table;
	struct mye_watch *older;
	void *old;

	xa_lock(xa);
	older = xa_load(xa, w->fd);
	RCU_INIT_POINTER(w->next, older);
	old = __xa_store(xa, w->fd, w, GFP_NOWAIT | __GFP_NOWARN);
	if (!xa_is_err(old) && older)
		older->prev = w;
	xa_unlock(xa);
	return xa_err(old);
}

/**
 * mye_table_insert - give a watch its place
 * @w: a new watch; the caller holds its stripe
 *
 * Returns 0 or -ENOMEM.
 */
int mye_table_insert(struct mye_watch *w)
{
	struct xarray *xa = &w->instance->table;
	int err;

	lockdep_assert_held(mye_table_stripe(w->instance, w->fd));
	/* Mostly the slot is there, or memory for it; else ask without haste. */
	while (mye_table_link(w)) {
		err = xa_reserve(xa, w->fd, GFP_KERNEL_ACCOUNT);
		if (err)
			return err;
	}
	return 0;
}

void mye_table_remove(struct mye_watch *w)
{
	struct xarray *xa = &w->instance->table;
	struct mye_watch *next;

	xa_lock(xa);
	next = rcu_dereference_protected(w->next, lockdep_is_held(&xa->xa_lock));
	if (next)
		next->prev = w->prev;
	if (w->prev)
		rcu_assign_pointer(w->prev->next, next);
	else if (next)
		__xa_store(xa, w->fd, next, 0);	/* in place: needs no memory */
	else
		__xa_erase(xa, w->fd);
	xa_unlock(xa);
}

static bool mye_table_shows(struct mye_watch *w)
{
	/* Who sees it published also sees its hooks and its target. */
	return smp_load_acquire(&w->published) && !READ_ONCE(w->dead);
}

/*
 * The watch of @file as @fd with a reference, or NULL.
 * Model: table_get in removal.pml.
 */
struct mye_watch *mye_table_get(struct mye_instance *inst, int fd,
				struct file *file)
{
	struct mye_watch *w;

	rcu_read_lock();
	for (w = xa_load(&inst->table, fd); w; w = rcu_dereference(w->next))
		if (w->file == file && mye_table_shows(w))
			break;
	if (w && !refcount_inc_not_zero(&w->refs))
		w = NULL;
	rcu_read_unlock();
	return w;
}

/**
 * mye_table_next - walk through the table
 * @inst: the instance
 * @fd: in: the number to begin at; out: that of the watch found
 *
 * Returns the newest watch with the lowest number from *@fd on, with a
 * reference, or NULL if there is none.
 */
struct mye_watch *mye_table_next(struct mye_instance *inst, int *fd)
{
	unsigned long index = *fd;
	struct mye_watch *w;

	rcu_read_lock();
	do {
		w = xa_find(&inst->table, &index, INT_MAX, XA_PRESENT);
	} while (w && !refcount_inc_not_zero(&w->refs));
	rcu_read_unlock();
	*fd = index;
	return w;
}

/**
 * mye_table_older - go down a chain
 * @w: a referenced watch
 *
 * Returns the next older watch with the same number, with a reference, or NULL.
 * If @w was removed meanwhile, so may be what it points to: then NULL.
 */
struct mye_watch *mye_table_older(struct mye_watch *w)
{
	struct mye_watch *next;

	rcu_read_lock();
	next = rcu_dereference(w->next);
	if (READ_ONCE(w->dead) || (next && !refcount_inc_not_zero(&next->refs)))
		next = NULL;
	rcu_read_unlock();
	return next;
}
