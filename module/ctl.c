// SPDX-License-Identifier: GPL-2.0-only
/*
 * ADD, MOD and DEL.
 *
 * The order of the checks is part of the interface: <linux/myepoll.h>.
 */
#include <linux/file.h>
#include <linux/magic.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "lane.h"
#include "pm.h"

#define MYE_EXCLUSIVE_OK	(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | \
				 EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

#define MYE_NATIVE_NAME	"[eventpoll]"

/* The file operations of native epoll, once we have seen an instance. */
static const struct file_operations *mye_native_fops;

/*
 * A native instance is known by its operations, and these by the name that the
 * kernel gives to such files; no user can choose that name on this file system.
 */
static bool mye_is_native_epoll(struct file *file)
{
	const struct qstr *name;

	if (READ_ONCE(mye_native_fops))
		return file->f_op == mye_native_fops;
	if (file_inode(file)->i_sb->s_magic != ANON_INODE_FS_MAGIC)
		return false;
	name = &file->f_path.dentry->d_name;
	if (name->len != sizeof(MYE_NATIVE_NAME) - 1 ||
	    strcmp(name->name, MYE_NATIVE_NAME))
		return false;
	WRITE_ONCE(mye_native_fops, file->f_op);
	return true;
}

static bool mye_is_any_epoll(struct file *file)
{
	return mye_instance_of(file) || mye_is_native_epoll(file);
}

/* Everything that can make ADD fail once the watch has its place. */
static int mye_add_start(struct mye_watch *w, struct mye_instance *child,
			 __poll_t *revents)
{
	int err;

	err = child ? mye_nest_link(w, child) : mye_nest_check_leaf(w);
	if (!err && (w->mask & EPOLLWAKEUP))
		err = mye_pm_attach(w);
	if (!err)
		err = mye_watch_hook(w, revents);
	return err;
}

/*
 * The claim of ADD is over, and whoever wants to make the same watch need not
 * wait any longer.
 * Model: adder in callers.pml.  Model: adder in table.pml.
 */
static void mye_add_done(struct mye_watch *w, bool ready)
{
	struct mye_claims claims = MYE_CLAIMS_INIT(claims);
	struct mye_instance *inst = w->instance;

	w->verdict = MYE_DROP;
	list_add(&w->node, &claims.list);
	claims.edges = true;
	mye_lane_settle(inst, &claims);
	if (ready)
		mye_wake_pollers(inst, 0);
	smp_mb();	/* prepare_to_wait() in mye_await_twin() */
	if (waitqueue_active(&inst->settled))
		wake_up_all(&inst->settled);
}

/*
 * What is ready is marked before anybody can know of the watch: he must not be
 * told that nothing is.
 * Model: adder in callers.pml.  Model: adder in removal.pml.
 */
static int mye_add_watch(struct mye_watch *w)
{
	__poll_t revents = 0;
	int err;

	err = mye_add_start(w, mye_instance_of(w->file), &revents);
	if (err) {
		mye_watch_remove(w);
	} else {
		if (revents)
			mye_lane_hit(w);
		/* mye_bucket_find_shown(), mye_twin_is_made() */
		smp_store_release(&w->published, true);
	}
	mye_add_done(w, !err && revents);
	return err;
}

static bool mye_twin_is_made(struct mye_watch *twin)
{
	bool published = smp_load_acquire(&twin->published); /* mye_add_watch() */

	return published || READ_ONCE(twin->dead);
}

/*
 * There is a watch of the same file and number.  If another ADD is making it
 * just now, and that fails, it is our turn: -EAGAIN.
 * Model: twin in table.pml.
 */
static int mye_await_twin(struct mye_watch *twin)
{
	int err = 0;

	if (!mye_twin_is_made(twin))
		err = wait_event_killable(twin->instance->settled,
					  mye_twin_is_made(twin));
	if (!err)
		err = READ_ONCE(twin->published) ? -EEXIST : -EAGAIN;
	mye_watch_put(twin);
	return err == -ERESTARTSYS ? -EINTR : err;
}

/* Charged to its user, with a place in the table. */
static struct mye_watch *mye_add_new(struct mye_instance *inst,
				     struct file *file, int fd,
				     const struct epoll_event *event)
{
	struct mye_watch *w, *twin = NULL;
	int err;

	err = mye_user_charge(inst->user);
	if (!err) {
		w = mye_watch_new(inst, file, fd, event);
		err = w ? mye_table_insert(w, &twin) : -ENOMEM;
		if (!err)
			return w;
		if (w)
			mye_watch_put(w);
		mye_user_uncharge(inst->user);
	}
	/* What is there counts for more than what there is no room for. */
	if (!twin)
		twin = mye_table_twin(inst, file, fd);
	return ERR_PTR(twin ? mye_await_twin(twin) : err);
}

/**
 * mye_ctl_add - watch a file
 * @inst: the instance
 * @file: the file; the caller holds a reference
 * @fd: its descriptor number
 * @event: what for
 *
 * Returns 0, -ELOOP, -EEXIST, -ENOSPC, -ENOMEM, -EINVAL: too many paths, or
 * -EINTR: killed.
 */
int mye_ctl_add(struct mye_instance *inst, struct file *file, int fd,
		const struct epoll_event *event)
{
	struct mye_instance *child = mye_instance_of(file);
	struct mye_watch *w;
	int err;

	if (child) {
		err = mye_nest_check(inst, child);
		if (err)
			return err;
	}
	mye_lanes_grow(inst);
	do {
		w = mye_add_new(inst, file, fd, event);
		err = PTR_ERR_OR_ZERO(w);
	} while (err == -EAGAIN);
	return err ?: mye_add_watch(w);
}

static int mye_mod_set(struct mye_watch *w, const struct epoll_event *event,
		       __poll_t *old)
{
	int err = 0;

	spin_lock(&w->lock);
	*old = w->mask;
	if (w->dead) {
		err = -ENOENT;
	} else {
		WRITE_ONCE(w->seq, w->seq + 1);
		smp_wmb();	/* mye_evaluate() */
		WRITE_ONCE(w->mask, event->events);
		WRITE_ONCE(w->data, event->data);
		smp_store_release(&w->seq, w->seq + 1);	/* mye_evaluate() */
	}
	spin_unlock(&w->lock);
	return err;
}

/* Model: modifier in callers.pml. */
static int mye_mod_watch(struct mye_watch *w, const struct epoll_event *event)
{
	poll_table pt;
	__poll_t old;
	int err;

	if (READ_ONCE(w->mask) & EPOLLEXCLUSIVE)
		return -EINVAL;
	err = mye_mod_set(w, event, &old);
	if (err)
		return err;
	smp_mb();	/* (A), MOD */
	/* A claim by the old mask would come back without being counted. */
	if (mye_mask_counts(event->events) && !mye_mask_counts(old))
		mye_lane_meet(w);
	if (mye_pm_active(w) || (event->events & EPOLLWAKEUP))
		mye_pm_change(w);
	init_poll_funcptr(&pt, NULL);
	pt._key = event->events;
	if ((vfs_poll(w->file, &pt) & event->events) && mye_watch_kick(w)) {
		/* (B): the exchange in mye_watch_kick() */
		mye_wake_settled(w->instance);
		mye_wake_one(w->instance, 0);
		mye_wake_pollers(w->instance, 0);
	}
	return 0;
}

static int mye_ctl_mod(struct mye_instance *inst, struct file *file, int fd,
		       const struct epoll_event *event)
{
	struct mye_watch *w = mye_table_get(inst, file, fd);
	int err;

	if (!w)
		return -ENOENT;
	err = mye_mod_watch(w, event);
	mye_watch_put(w);
	return err;
}

/*
 * A wait may be inside the inner instance, and its claim keeps the link: it could
 * not be put in again the other way round.  Who has taken it out need not know
 * of that, as with native epoll, whose DEL waits for the scan.
 * Model: deleter in links.pml.
 */
static noinline void mye_del_nested(struct mye_watch *w)
{
	struct mye_instance *inst = w->instance;

	refcount_inc(&w->refs);
	mye_watch_finish(w);
	/* Killed or not, it is removed. */
	wait_event_killable(inst->settled, !READ_ONCE(w->nest));
	mye_watch_put(w);
}

static int mye_ctl_del(struct mye_instance *inst, struct file *file, int fd)
{
	struct mye_watch *w = mye_table_take(inst, file, fd);

	if (!w)
		return -ENOENT;
	if (w->nested)
		mye_del_nested(w);
	else
		mye_watch_finish(w);
	return 0;
}

static int mye_check_exclusive(int op, struct file *file, __poll_t events)
{
	if (!(events & EPOLLEXCLUSIVE))
		return 0;
	if (op == EPOLL_CTL_MOD)
		return -EINVAL;
	if (op == EPOLL_CTL_ADD &&
	    (mye_is_any_epoll(file) || (events & ~MYE_EXCLUSIVE_OK)))
		return -EINVAL;
	return 0;
}

static int mye_ctl_op(struct mye_instance *inst, int op, struct file *file,
		      int fd, struct epoll_event *event)
{
	switch (op) {
	case EPOLL_CTL_ADD:
		event->events |= EPOLLERR | EPOLLHUP;
		/* We could not see a loop that goes through such a one. */
		if (mye_is_native_epoll(file))
			return -ELOOP;
		return mye_ctl_add(inst, file, fd, event);
	case EPOLL_CTL_MOD:
		event->events |= EPOLLERR | EPOLLHUP;
		return mye_ctl_mod(inst, file, fd, event);
	case EPOLL_CTL_DEL:
		return mye_ctl_del(inst, file, fd);
	default:
		return -EINVAL;
	}
}

static int mye_ctl_file(struct file *self, int op, struct file *file, int fd,
			struct epoll_event *event)
{
	int err;

	if (!file_can_poll(file))
		return -EPERM;
	if (op != EPOLL_CTL_DEL)
		mye_pm_filter(event);
	if (file == self)
		return -EINVAL;
	if (op != EPOLL_CTL_DEL) {
		err = mye_check_exclusive(op, file, event->events);
		if (err)
			return err;
	}
	return mye_ctl_op(self->private_data, op, file, fd, event);
}

/**
 * struct mye_last - a last reference to a file, on its way to a worker
 * @work: drops it
 * @file: the file
 */
struct mye_last {
	struct work_struct work;
	struct file *file;
};

static void mye_last_fn(struct work_struct *work)
{
	struct mye_last *last = container_of(work, struct mye_last, work);

	fput(last->file);
	kfree(last);
}

/*
 * The file was closed while we were at it.  fput() of a last reference takes
 * effect when we return to user space, which may be never.
 */
static noinline void mye_put_last(struct file *file)
{
	struct mye_last *last = kmalloc(sizeof(*last), GFP_KERNEL);

	if (!last) {
		fput(file);	/* late, but so small an allocation never fails */
		return;
	}
	INIT_WORK(&last->work, mye_last_fn);
	last->file = file;
	queue_work(mye_workqueue, &last->work);
}

/* Without a reference of ours nobody else is there who could close the file. */
static void mye_ctl_put(struct fd f, bool stays)
{
	if (!stays || !mye_fd_referenced(f))
		fdput(f);
	else if (unlikely(!mye_file_put_unless_last(fd_file(f))))
		mye_put_last(fd_file(f));
}

/**
 * mye_ctl - epoll_ctl()
 * @self: the file of the instance
 * @op: EPOLL_CTL_*
 * @fd: descriptor of the file to watch
 * @event: what for; changed; not looked at by DEL
 * @stays: after success, the caller does not return to user space at once
 *
 * Returns 0 or an error of struct myepoll_ctl.
 */
int mye_ctl(struct file *self, int op, int fd, struct epoll_event *event,
	    bool stays)
{
	struct fd f = fdget(fd);
	int err;

	if (!fd_file(f))
		return -EBADF;
	err = mye_ctl_file(self, op, fd_file(f), fd, event);
	/* An error is the end of the call. */
	mye_ctl_put(f, stays && !err);
	return err;
}
