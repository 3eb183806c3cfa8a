// SPDX-License-Identifier: GPL-2.0-only
/*
 * A watch: its memory, its hooks on wait queues, its callback, its end.
 */
#include <linux/sched.h>
#include <linux/slab.h>

#include "lane.h"
#include "pm.h"

static struct kmem_cache *mye_watch_cache;
static struct kmem_cache *mye_hook_cache;

/**
 * struct mye_registration - a poll() that hooks a watch
 * @pt: what poll() sees
 * @watch: the watch
 * @error: 0, or why it cannot be hooked everywhere
 */
struct mye_registration {
	poll_table pt;
	struct mye_watch *watch;
	int error;
};

/*
 * Did the wake-up of an exclusive watch reach somebody who asked for just
 * that?  A key with both directions, or with the end of the queue, is for all.
 */
static bool mye_exclusive_taken(__poll_t mask, __poll_t key)
{
	if (key & POLLFREE)
		return false;
	key &= EPOLLIN | EPOLLOUT;
	if (key == (EPOLLIN | EPOLLOUT))
		return false;
	return !key || (key & mask);
}

/*
 * An event for a watch; the result is what an exclusive entry returns.
 * Model: write_file in wait.pml.
 */
static bool mye_watch_event(struct mye_watch *w, int flags, __poll_t key)
{
	__poll_t mask = READ_ONCE(w->mask);
	bool woken;

	if (!(mask & ~MYE_PRIVATE))
		return false;
	if (key && !(key & mask))
		return false;
	mye_lane_hit(w);
	/* (B), callback: the exchange in mye_lane_hit(), or else our caller's */
	mye_wake_settled(w->instance);
	woken = mye_wake_one(w->instance, flags);
	mye_wake_pollers(w->instance, key & EPOLL_URING_WAKE);
	return woken && mye_exclusive_taken(mask, key);
}

/*
 * The callback: runs under the lock of the file's wait queue, in any context.
 * A non-zero result counts as one wake-up for exclusive entries.
 * Model: wake_queue in removal.pml.
 */
static int mye_watch_wake(struct wait_queue_entry *wait, unsigned int mode,
			  int flags, void *key)
{
	struct mye_hook *hook = container_of(wait, struct mye_hook, wait);
	struct mye_watch *w = wait->private;
	bool exclusive = wait->flags & WQ_FLAG_EXCLUSIVE;
	__poll_t bits = key_to_poll(key);
	bool taken;

	/*
	 * (A) and (B), callback.  What became ready may have been stored under
	 * the lock of the queue that we run under, so taking that was not it.
	 */
	smp_mb();
	taken = mye_watch_event(w, flags, bits);
	if (bits & POLLFREE) {
		list_del_init(&wait->entry);
		/* POLLFREE: the last access; pairs with mye_hook_remove() */
		smp_store_release(&hook->head, NULL);
	}
	return taken || !exclusive;
}

static struct mye_hook *mye_hook_new(struct mye_watch *w)
{
	struct mye_hook *hook = &w->hook;

	if (!hook->head)
		return hook;
	hook = kmem_cache_zalloc(mye_hook_cache, GFP_KERNEL_ACCOUNT);
	if (!hook)
		return NULL;
	hook->next = w->hook.next;
	w->hook.next = hook;
	return hook;
}

/* poll() calls this for every wait queue that its file may wake. */
static void mye_hook_add(struct file *file, struct wait_queue_head *head,
			 poll_table *pt)
{
	struct mye_registration *reg;
	struct mye_hook *hook;

	reg = container_of(pt, struct mye_registration, pt);
	if (reg->error)
		return;
	hook = mye_hook_new(reg->watch);
	if (!hook) {
		reg->error = -ENOMEM;
		return;
	}
	hook->head = head;
	init_waitqueue_func_entry(&hook->wait, mye_watch_wake);
	hook->wait.private = reg->watch;
	if (reg->watch->mask & EPOLLEXCLUSIVE)
		add_wait_queue_exclusive(head, &hook->wait);
	else
		add_wait_queue(head, &hook->wait);
}

/**
 * mye_watch_hook - call poll() of the file and hook its wait queues
 * @w: a watch claimed by its ADD; the caller holds a reference to the file
 * @revents: what is ready of what was asked for
 *
 * Returns 0 or -ENOMEM; then some queues may be hooked already.  May sleep.
 */
int mye_watch_hook(struct mye_watch *w, __poll_t *revents)
{
	struct mye_registration reg = { .watch = w };

	init_poll_funcptr(&reg.pt, mye_hook_add);
	reg.pt._key = w->mask;
	*revents = vfs_poll(w->file, &reg.pt) & w->mask;
	return reg.error;
}

static void mye_hook_remove(struct mye_hook *hook)
{
	struct wait_queue_head *head;

	rcu_read_lock();
	/* POLLFREE: pairs with mye_watch_wake() */
	head = smp_load_acquire(&hook->head);
	if (head)
		remove_wait_queue(head, &hook->wait);
	rcu_read_unlock();
}

/*
 * When this returns, no callback of @w runs or will.
 * Model: unhook in removal.pml.
 */
void mye_watch_unhook(struct mye_watch *w)
{
	struct mye_hook *hook;

	for (hook = &w->hook; hook; hook = hook->next)
		mye_hook_remove(hook);
}

struct mye_watch *mye_watch_new(struct mye_instance *inst, struct file *file,
				int fd, const struct epoll_event *event)
{
	unsigned int home;
	struct mye_watch *w;

	w = kmem_cache_alloc(mye_watch_cache, GFP_KERNEL_ACCOUNT);
	if (!w)
		return NULL;
	home = mye_lane_home(inst);
	*w = (struct mye_watch) {
		.state = ATOMIC_INIT(MYE_CLAIMED),
		.lane = mye_lane_nth(inst, home),
		.home = home,
		.instance = inst,
		.mask = event->events,
		.data = event->data,
		.fd = fd,
		.file = file,
		.nested = mye_instance_of(file),
		.refs = REFCOUNT_INIT(1),
	};
	spin_lock_init(&w->lock);
	return w;
}

static void mye_watch_free(struct mye_watch *w)
{
	struct mye_hook *hook, *next;

	for (hook = w->hook.next; hook; hook = next) {
		next = hook->next;
		kmem_cache_free(mye_hook_cache, hook);
	}
	kmem_cache_free(mye_watch_cache, w);
}

/*
 * The last reference of a watch with a wake-up source or a nested instance is
 * dropped in process context only: mye_watch_release() sees to that.  No grace
 * period: who found a watch without a reference of his own is on a wait queue
 * that it was hooked into, or holds a lock under which it is not dead.
 * Model: watch_put in objects.pml.
 */
void mye_watch_put(struct mye_watch *w)
{
	if (!refcount_dec_and_test(&w->refs))
		return;
	WARN_ON_ONCE(mye_watch_nest(w));
	if (mye_pm_active(w))
		mye_pm_free(w);
	mye_watch_free(w);
}

/**
 * mye_watch_end - last step of a removal
 * @w: a dead watch that is on no lane and nobody's claim; its table reference
 *	goes
 *
 * Process context.  Returns whether it was that of an instance.
 */
bool mye_watch_end(struct mye_watch *w)
{
	bool nested = mye_watch_nest(w);

	if (nested)
		mye_nest_unlink(w);
	mye_watch_put(w);
	return nested;
}

/**
 * mye_watch_finish - second half of a removal, after mye_watch_kill()
 * @w: the watch; its table reference goes
 *
 * Process context.
 * Model: finish in removal.pml.  Model: remover in grow.pml.
 */
void mye_watch_finish(struct mye_watch *w)
{
	int state = atomic_read_acquire(&w->state);

	while (state != MYE_IDLE) {
		if (state == MYE_QUEUED) {
			mye_lane_unqueue(w);
		} else if (atomic_try_cmpxchg(&w->state, &state,
					      state | MYE_ORPHAN)) {
			return;
		}
		state = atomic_read_acquire(&w->state);
	}
	mye_watch_end(w);
}

/* Remove a watch, or wait until whoever is at it has unhooked it. */
void mye_watch_remove(struct mye_watch *w)
{
	if (mye_watch_kill(w))
		mye_watch_finish(w);
}

/**
 * mye_watch_kick - an event that did not come from a wait queue
 * @w: a referenced watch; a full barrier precedes
 *
 * Returns false if there was nothing to do.
 */
bool mye_watch_kick(struct mye_watch *w)
{
	bool hit;

	/* (A), MOD, precedes: what it looked at will be looked at again. */
	if (atomic_read(&w->state) == MYE_QUEUED)
		return false;
	spin_lock(&w->lock);
	hit = !w->dead && mye_lane_hit(w);
	spin_unlock(&w->lock);
	return hit;
}

int mye_watch_init(void)
{
	mye_watch_cache = kmem_cache_create("myepoll_watch",
					    sizeof(struct mye_watch), 0,
					    SLAB_ACCOUNT, NULL);
	if (!mye_watch_cache)
		return -ENOMEM;
	mye_hook_cache = kmem_cache_create("myepoll_hook",
					   sizeof(struct mye_hook), 0,
					   SLAB_ACCOUNT, NULL);
	if (mye_hook_cache)
		return 0;
	kmem_cache_destroy(mye_watch_cache);
	return -ENOMEM;
}

void mye_watch_exit(void)
{
	kmem_cache_destroy(mye_hook_cache);
	kmem_cache_destroy(mye_watch_cache);
}
