// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table: from a file to all its watches, in all instances; and what is
 * decided there, who removes a watch.
 *
 * A hash of a fixed size, made for as many watches as one user may have.  Its
 * lock is held for a short walk and for the first half of a removal.  Addresses
 * of files cannot be chosen and the seed is not known, so that nobody can aim at
 * the bucket of another; who spends all his watches on files with as many as a
 * file may have makes one bucket of 256 that long.
 *
 * REMOVAL in myepoll.h says who comes here.
 */
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "members.h"

/* Watches for each bucket if one user has as many as allowed by default */
#define MYE_PER_BUCKET	4

#define MYE_MIN_BUCKETS	1024UL
#define MYE_MAX_BUCKETS	1048576UL

/**
 * struct mye_bucket - watches whose files have the same hash
 * @lock: protects @watches, and decides who removes one of them
 * @watches: those that are not dead, by mye_watch.peer
 */
struct mye_bucket {
	spinlock_t lock;	/* removals */
	struct hlist_head watches;
};

static struct mye_bucket *mye_table __read_mostly;
static unsigned int mye_table_shift __read_mostly;
static unsigned long mye_table_seed __read_mostly;

static struct mye_bucket *mye_bucket_of(const struct file *file)
{
	unsigned long key = (unsigned long)file ^ mye_table_seed;

	/* What hash_long() does. */
	return &mye_table[key * GOLDEN_RATIO_PRIME >> mye_table_shift];
}

static struct mye_watch *mye_bucket_find(struct mye_bucket *b,
					 const struct mye_instance *inst,
					 const struct file *file, int fd)
{
	struct mye_watch *w;

	lockdep_assert_held(&b->lock);
	hlist_for_each_entry(w, &b->watches, peer)
		if (w->file == file && w->fd == fd && w->instance == inst)
			return w;
	return NULL;
}

/* As above, but not one that an ADD may still take back. */
static struct mye_watch *mye_bucket_find_shown(struct mye_bucket *b,
					       const struct mye_instance *inst,
					       const struct file *file, int fd)
{
	struct mye_watch *w = mye_bucket_find(b, inst, file, fd);

	/* Who sees it published also sees its hooks: mye_add_watch() */
	return w && smp_load_acquire(&w->published) ? w : NULL;
}

/* Is there room for @w?  0, -ENOSPC, or -EEXIST and its @twin. */
static int mye_bucket_check(struct mye_bucket *b, const struct mye_watch *w,
			    struct mye_watch **twin)
{
	unsigned long nr = 0;
	struct mye_watch *other;

	lockdep_assert_held(&b->lock);
	hlist_for_each_entry(other, &b->watches, peer) {
		if (other->file != w->file)
			continue;
		if (other->fd == w->fd && other->instance == w->instance) {
			*twin = other;
			return -EEXIST;
		}
		nr++;
	}
	return nr < READ_ONCE(mye_max_file_watches) ? 0 : -ENOSPC;
}

/**
 * mye_table_insert - give a watch its place
 * @w: a new watch; the caller holds a reference to the file
 * @twin: gets the watch that is there already, with a reference
 *
 * Returns 0, -EEXIST, or -ENOSPC if the file has too many watches.
 */
int mye_table_insert(struct mye_watch *w, struct mye_watch **twin)
{
	struct mye_bucket *b = mye_bucket_of(w->file);
	int err;

	spin_lock(&b->lock);
	err = mye_bucket_check(b, w, twin);
	if (!err) {
		hlist_add_head(&w->peer, &b->watches);
		mye_members_add(w);
	} else if (err == -EEXIST) {
		refcount_inc(&(*twin)->refs);
	}
	spin_unlock(&b->lock);
	return err;
}

/**
 * mye_table_get - find a watch
 * @inst: its instance
 * @file: its file, which the caller holds
 * @fd: its number
 *
 * Returns the watch with a reference, or NULL.
 * Model: table_get in removal.pml.
 */
struct mye_watch *mye_table_get(struct mye_instance *inst, struct file *file,
				int fd)
{
	struct mye_bucket *b = mye_bucket_of(file);
	struct mye_watch *w;

	spin_lock(&b->lock);
	w = mye_bucket_find_shown(b, inst, file, fd);
	if (w)
		refcount_inc(&w->refs);
	spin_unlock(&b->lock);
	return w;
}

/* The same for one that may still be in the making. */
struct mye_watch *mye_table_twin(struct mye_instance *inst, struct file *file,
				 int fd)
{
	struct mye_bucket *b = mye_bucket_of(file);
	struct mye_watch *w;

	spin_lock(&b->lock);
	w = mye_bucket_find(b, inst, file, fd);
	if (w)
		refcount_inc(&w->refs);
	spin_unlock(&b->lock);
	return w;
}

/*
 * The decision (see REMOVAL): from here on nobody can push the watch.
 * Model: sever in removal.pml.  Model: remover in table.pml.
 */
static void mye_watch_sever(struct mye_bucket *b, struct mye_watch *w)
{
	lockdep_assert_held(&b->lock);
	spin_lock(&w->lock);
	WRITE_ONCE(w->dead, true);
	spin_unlock(&w->lock);
	mye_watch_unhook(w);
	smp_mb();	/* pairs with mye_table_release(), without the lock */
	if (mye_watch_nest(w))
		smp_store_release(&w->nest->severed, true); /* mye_nest_live() */
	hlist_del(&w->peer);
}

/*
 * Out of the instance.  The instance may be closed as soon as it has no
 * members, so that comes last.
 * Model: forget in removal.pml.
 */
static void mye_watch_forget(struct mye_bucket *b, struct mye_watch *w)
{
	lockdep_assert_held(&b->lock);
	mye_user_uncharge(w->instance->user);
	mye_members_del(w);
}

static void mye_watch_cut(struct mye_bucket *b, struct mye_watch *w)
{
	mye_watch_sever(b, w);
	mye_watch_forget(b, w);
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
	struct mye_bucket *b = mye_bucket_of(w->file);
	bool killed;

	spin_lock(&b->lock);
	killed = !w->dead;
	if (killed)
		mye_watch_cut(b, w);
	spin_unlock(&b->lock);
	return killed;
}

/**
 * mye_table_take - find a watch and kill it
 * @inst: its instance
 * @file: its file, which the caller holds
 * @fd: its number
 *
 * Returns the watch, for mye_watch_finish(), or NULL.
 * Model: deleter in removal.pml.
 */
struct mye_watch *mye_table_take(struct mye_instance *inst, struct file *file,
				 int fd)
{
	struct mye_bucket *b = mye_bucket_of(file);
	struct mye_watch *w;

	spin_lock(&b->lock);
	w = mye_bucket_find_shown(b, inst, file, fd);
	if (w)
		mye_watch_cut(b, w);
	spin_unlock(&b->lock);
	return w;
}

/* May the last reference be dropped here, in atomic context? */
static bool mye_watch_is_simple(struct mye_watch *w)
{
	return atomic_read(&w->state) == MYE_IDLE && !w->nested &&
	       !rcu_access_pointer(w->ws);
}

static void mye_watch_release(struct mye_bucket *b, struct mye_watch *w)
{
	bool simple;

	mye_watch_sever(b, w);
	simple = mye_watch_is_simple(w);
	if (!simple)
		mye_instance_get(w->instance);
	mye_watch_forget(b, w);
	if (simple)
		mye_watch_put(w);
	else
		mye_instance_reap(w);
}

/**
 * mye_table_release - the last reference to a file is gone
 * @file: the file; nobody can get a reference any more
 *
 * Called for every file that dies in the system, in process context but
 * possibly with preemption disabled.  When it returns, nothing of ours knows
 * the file.
 * Model: table_release in removal.pml.  Model: release in table.pml.
 */
void mye_table_release(struct file *file)
{
	struct mye_bucket *b = mye_bucket_of(file);
	struct mye_watch *w;
	struct hlist_node *next;

	/*
	 * What was added while somebody held the file is there, or else has
	 * been unhooked by who took it away: mye_watch_sever().
	 */
	if (!smp_load_acquire(&b->watches.first))
		return;
	spin_lock(&b->lock);
	hlist_for_each_entry_safe(w, next, &b->watches, peer)
		if (w->file == file)
			mye_watch_release(b, w);
	spin_unlock(&b->lock);
}

/**
 * mye_table_each - look at all watches of a file
 * @file: the file; only compared
 * @visit: called for each with the lock of the table held; false ends it
 * @arg: its second argument
 *
 * Returns whether no visit ended it.
 */
bool mye_table_each(struct file *file,
		    bool (*visit)(struct mye_watch *w, void *arg), void *arg)
{
	struct mye_bucket *b = mye_bucket_of(file);
	struct mye_watch *w;
	bool go_on = true;

	spin_lock(&b->lock);
	hlist_for_each_entry(w, &b->watches, peer) {
		if (w->file == file)
			go_on = visit(w, arg);
		if (!go_on)
			break;
	}
	spin_unlock(&b->lock);
	return go_on;
}

int mye_table_init(void)
{
	unsigned long i, nr;

	nr = clamp(mye_default_watches() / MYE_PER_BUCKET, MYE_MIN_BUCKETS,
		   MYE_MAX_BUCKETS);
	nr = roundup_pow_of_two(nr);
	mye_table = kvcalloc(nr, sizeof(*mye_table), GFP_KERNEL);
	if (!mye_table)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		spin_lock_init(&mye_table[i].lock);
	mye_table_shift = BITS_PER_LONG - ilog2(nr);
	mye_table_seed = get_random_long();
	return 0;
}

void mye_table_exit(void)
{
	unsigned long i;

	for (i = 0; i < 1UL << (BITS_PER_LONG - mye_table_shift); i++)
		WARN_ON_ONCE(!hlist_empty(&mye_table[i].watches));
	kvfree(mye_table);
}
