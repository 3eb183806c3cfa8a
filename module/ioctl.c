// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls and their arguments.  No algorithm.
 */
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "myepoll.h"

#define MYE_MAX_EVENTS	(INT_MAX / sizeof(struct epoll_event))
#define MYE_MAX_CHANGES	(INT_MAX / sizeof(struct myepoll_change))

/*
 * Changes after which Tasks RCU is told that we are in no trampoline: it waits for
 * user space or a voluntary sleep, and so for the end of a batch.
 */
#define MYE_TASKS_QS	64

/* Bytes of a structure whose size is in no ioctl number, which would bound it. */
#define MYE_MAX_STRUCT	4096

/*
 * The structures of the calls that matter are read field by field: for so few
 * bytes that is a fraction of what a copy costs.
 */
static int mye_get_event(struct epoll_event *to,
			 const struct epoll_event __user *from)
{
	if (!user_read_access_begin(from, sizeof(*from)))
		return -EFAULT;
	unsafe_get_user(to->events, &from->events, fault);
	unsafe_get_user(to->data, &from->data, fault);
	user_read_access_end();
	return 0;
fault:
	user_read_access_end();
	return -EFAULT;
}

static int mye_get_ctl(struct myepoll_ctl *to,
		       const struct myepoll_ctl __user *from)
{
	if (!user_read_access_begin(from, sizeof(*from)))
		return -EFAULT;
	unsafe_get_user(to->op, &from->op, fault);
	unsafe_get_user(to->fd, &from->fd, fault);
	unsafe_get_user(to->event, &from->event, fault);
	unsafe_get_user(to->flags, &from->flags, fault);
	unsafe_get_user(to->reserved, &from->reserved, fault);
	user_read_access_end();
	return 0;
fault:
	user_read_access_end();
	return -EFAULT;
}

static __always_inline int mye_get_wait(struct myepoll_wait *to,
					const struct myepoll_wait __user *from)
{
	if (!user_read_access_begin(from, sizeof(*from)))
		return -EFAULT;
	unsafe_get_user(to->events, &from->events, fault);
	unsafe_get_user(to->maxevents, &from->maxevents, fault);
	unsafe_get_user(to->flags, &from->flags, fault);
	unsafe_get_user(to->sigmask, &from->sigmask, fault);
	unsafe_get_user(to->sigsetsize, &from->sigsetsize, fault);
	unsafe_get_user(to->timeout_sec, &from->timeout_sec, fault);
	unsafe_get_user(to->timeout_nsec, &from->timeout_nsec, fault);
	user_read_access_end();
	return 0;
fault:
	user_read_access_end();
	return -EFAULT;
}

/* Inlined where it is hot: a call with a guarded frame is a tenth of a MOD. */
static __always_inline int mye_ioctl_ctl(struct file *file,
					 const struct myepoll_ctl *ctl)
{
	struct epoll_event event __uninitialized;

	if (ctl->flags || ctl->reserved)
		return -EINVAL;
	if (ctl->op != EPOLL_CTL_DEL &&
	    mye_get_event(&event, u64_to_user_ptr(ctl->event)))
		return -EFAULT;
	return mye_ctl(file, ctl->op, ctl->fd, &event, false);
}

/* From a time to go, saturating, as native epoll does it. */
static int mye_deadline_set(struct mye_deadline *deadline,
			    const struct timespec64 *timeout)
{
	if (!timespec64_valid(timeout))
		return -EINVAL;
	deadline->expired = !timeout->tv_sec && !timeout->tv_nsec;
	if (!deadline->expired)
		deadline->at = ktime_add_safe(ktime_get(),
					      timespec64_to_ktime(*timeout));
	return 0;
}

static noinline int mye_deadline_get(const struct myepoll_wait *wait,
				     struct mye_deadline *deadline)
{
	struct timespec64 timeout = {
		.tv_sec = wait->timeout_sec,
		.tv_nsec = wait->timeout_nsec,
	};

	switch (wait->flags) {
	case MYEPOLL_WAIT_TIMEOUT:
		/* Not cut short where tv_nsec has 32 bits */
		if (wait->timeout_nsec != timeout.tv_nsec)
			return -EINVAL;
		return mye_deadline_set(deadline, &timeout);
	case MYEPOLL_WAIT_TIMEOUT_PTR:
		if (wait->timeout_nsec)
			return -EINVAL;
		if (get_timespec64(&timeout, u64_to_user_ptr((u64)wait->timeout_sec)))
			return -EFAULT;
		return mye_deadline_set(deadline, &timeout);
	default:
		return -EINVAL;
	}
}

/* What servers ask for needs no calculation. */
static int mye_wait_deadline(const struct myepoll_wait *wait,
			     struct mye_deadline *deadline)
{
	*deadline = (struct mye_deadline) { 0 };
	if (wait->timeout_sec || wait->timeout_nsec)
		return mye_deadline_get(wait, deadline);
	if (wait->flags == MYEPOLL_WAIT_TIMEOUT)
		deadline->expired = true;
	else if (!wait->flags)
		deadline->forever = true;
	else
		return mye_deadline_get(wait, deadline);
	return 0;
}

static int mye_sigmask_get(const struct myepoll_wait *wait, sigset_t *mask)
{
	void __user *from = u64_to_user_ptr(wait->sigmask);

	if (wait->sigsetsize != sizeof(*mask))
		return -EINVAL;
	return mye_copy_sigset(mask, from);
}

/*
 * set_user_sigmask() and its counterpart are not for modules.  What they do:
 * the saved mask comes back when we return, or, after EINTR, when the signal
 * has been delivered under the new one.
 */
static int mye_sigmask_set(const struct myepoll_wait *wait)
{
	sigset_t mask;
	int err;

	err = mye_sigmask_get(wait, &mask);
	if (err)
		return err;
	sigdelsetmask(&mask, sigmask(SIGKILL) | sigmask(SIGSTOP));
	set_restore_sigmask();
	current->saved_sigmask = current->blocked;
	return sigprocmask(SIG_SETMASK, &mask, NULL);
}

static void mye_sigmask_restore(int ret)
{
	if (ret == -EINTR)
		return;
	if (test_and_clear_restore_sigmask())
		sigprocmask(SIG_SETMASK, &current->saved_sigmask, NULL);
}

static __always_inline int mye_wait_check(const struct myepoll_wait *wait)
{
	if (wait->maxevents <= 0 || wait->maxevents > MYE_MAX_EVENTS)
		return -EINVAL;
	if (!access_ok(u64_to_user_ptr(wait->events),
		       wait->maxevents * sizeof(struct epoll_event)))
		return -EFAULT;
	return 0;
}

static __always_inline int mye_wait_checked(struct mye_instance *inst,
					    const struct myepoll_wait *wait,
					    struct mye_deadline *deadline)
{
	int ret = mye_wait_check(wait);

	return ret ?: mye_wait(inst, u64_to_user_ptr(wait->events),
			       wait->maxevents, deadline);
}

static noinline int mye_wait_masked(struct mye_instance *inst,
				    const struct myepoll_wait *wait,
				    struct mye_deadline *deadline)
{
	int ret = mye_sigmask_set(wait);

	if (ret)
		return ret;
	ret = mye_wait_checked(inst, wait, deadline);
	mye_sigmask_restore(ret);
	return ret;
}

static __always_inline int mye_ioctl_wait(struct mye_instance *inst,
					  const struct myepoll_wait *wait)
{
	struct mye_deadline deadline;
	int ret;

	ret = mye_wait_deadline(wait, &deadline);
	if (ret)
		return ret;
	if (wait->sigmask)
		return mye_wait_masked(inst, wait, &deadline);
	return mye_wait_checked(inst, wait, &deadline);
}

/*
 * A structure of the size that another version gave it.  Inlined, as a copy whose
 * size the compiler knows is spared the checks for overruns.
 */
static __always_inline int mye_take(void *to, size_t ksize,
				    const void __user *from, size_t usize)
{
	return usize < ksize ? -EINVAL :
	       copy_struct_from_user(to, ksize, from, usize);
}

static int mye_batch_get_wait(const struct myepoll_batch *batch,
			      struct myepoll_wait *wait)
{
	void __user *from = u64_to_user_ptr(batch->wait);

	if (likely(batch->waitsize == sizeof(*wait)))
		return mye_get_wait(wait, from);
	if (batch->waitsize > MYE_MAX_STRUCT)
		return -E2BIG;
	return mye_take(wait, sizeof(*wait), from, batch->waitsize);
}

static int mye_get_change(struct myepoll_change *to,
			  const struct myepoll_change __user *from)
{
	if (!user_read_access_begin(from, sizeof(*from)))
		return -EFAULT;
	unsafe_get_user(to->op, &from->op, fault);
	unsafe_get_user(to->fd, &from->fd, fault);
	unsafe_get_user(to->events, &from->events, fault);
	unsafe_get_user(to->reserved, &from->reserved, fault);
	unsafe_get_user(to->data, &from->data, fault);
	user_read_access_end();
	return 0;
fault:
	user_read_access_end();
	return -EFAULT;
}

static int mye_batch_change(struct file *file,
			    const struct myepoll_change __user *from, bool stays)
{
	struct myepoll_change change __uninitialized;
	struct epoll_event event;

	if (mye_get_change(&change, from))
		return -EFAULT;
	if (change.reserved)
		return -EINVAL;
	event.events = (__force __poll_t)change.events;
	event.data = change.data;
	return mye_ctl(file, change.op, change.fd, &event, stays);
}

/* A long batch must not keep its process from being stopped or frozen. */
static bool mye_batch_interrupted(u32 done)
{
	if (fatal_signal_pending(current))
		return true;
	return unlikely(done && !(done % MYEPOLL_BATCH_WHOLE)) &&
	       signal_pending(current);
}

/*
 * In order, up to the first that fails.  How many were made is told before the
 * wait: after it, events would be lost if that memory were gone by then.
 */
static int mye_batch_make(struct file *file, const struct myepoll_batch *batch,
			  struct myepoll_batch __user *to, bool sleeps)
{
	const struct myepoll_change __user *from;
	u32 done = 0;
	int err = 0;

	from = u64_to_user_ptr(batch->changes);
	while (!err && done < batch->nr) {
		err = mye_batch_interrupted(done) ? -EINTR :
		      mye_batch_change(file, from + done,
				       sleeps || done + 1 < batch->nr);
		done += !err;
		if (done % MYE_TASKS_QS)
			cond_resched();
		else
			cond_resched_tasks_rcu_qs();
	}
	return put_user(done, &to->done) ? -EFAULT : err;
}

static int mye_batch_wait(struct file *file, const struct myepoll_batch *batch,
			  struct myepoll_batch __user *to,
			  const struct myepoll_wait *wait)
{
	struct mye_deadline deadline;
	int ret;

	ret = mye_wait_deadline(wait, &deadline);
	if (ret)
		return ret;
	ret = wait->sigmask ? mye_sigmask_set(wait) : 0;
	if (ret)
		return ret;
	ret = mye_wait_check(wait) ?:
	      mye_batch_make(file, batch, to, !deadline.expired) ?:
	      mye_wait(file->private_data, u64_to_user_ptr(wait->events),
		       wait->maxevents, &deadline);
	if (wait->sigmask)
		mye_sigmask_restore(ret);
	return ret;
}

static noinline int mye_ioctl_batch(struct file *file,
				    const struct myepoll_batch *batch,
				    struct myepoll_batch __user *to)
{
	struct myepoll_wait wait __uninitialized;
	int err;

	/* Whatever happens, nobody is told of changes that were not made. */
	if (put_user(0, &to->done))
		return -EFAULT;
	if (batch->reserved || batch->nr > MYE_MAX_CHANGES)
		return -EINVAL;
	if (!access_ok(u64_to_user_ptr(batch->changes),
		       batch->nr * sizeof(struct myepoll_change)))
		return -EFAULT;
	if (!batch->wait)
		return mye_batch_make(file, batch, to, false);
	err = mye_batch_get_wait(batch, &wait);
	return err ?: mye_batch_wait(file, batch, to, &wait);
}

union mye_arg {
	struct myepoll_create create;
	struct myepoll_ctl ctl;
	struct myepoll_wait wait;
	struct myepoll_batch batch;
};

/* The ioctl number without the size: what a newer header does not change. */
static unsigned int mye_cmd(unsigned int cmd)
{
	return cmd & ~IOCSIZE_MASK;
}

static noinline long mye_ioctl_sized(struct file *file, unsigned int cmd,
				     void __user *arg)
{
	size_t usize = _IOC_SIZE(cmd);
	union mye_arg in;
	int err;

	switch (mye_cmd(cmd)) {
	case MYEPOLL_IOC_PROBE & ~IOCSIZE_MASK:
		if (usize < sizeof(struct myepoll_probe))
			return -EINVAL;
		return mye_probe(arg, usize);
	case MYEPOLL_IOC_CREATE & ~IOCSIZE_MASK:
		err = mye_take(&in, sizeof(in.create), arg, usize);
		return err ?: mye_create(&in.create);
	case MYEPOLL_IOC_CTL & ~IOCSIZE_MASK:
		err = mye_take(&in, sizeof(in.ctl), arg, usize);
		return err ?: mye_ioctl_ctl(file, &in.ctl);
	case MYEPOLL_IOC_WAIT & ~IOCSIZE_MASK:
		err = mye_take(&in, sizeof(in.wait), arg, usize);
		return err ?: mye_ioctl_wait(file->private_data, &in.wait);
	case MYEPOLL_IOC_BATCH & ~IOCSIZE_MASK:
		err = mye_take(&in, sizeof(in.batch), arg, usize);
		return err ?: mye_ioctl_batch(file, &in.batch, arg);
	default:
		return -ENOTTY;
	}
}

/* Those that matter come first. */
long mye_ioctl(struct file *file, unsigned int cmd, unsigned long uarg)
{
	void __user *arg = (void __user *)uarg;
	union mye_arg in __uninitialized;

	switch (cmd) {
	case MYEPOLL_IOC_WAIT:
		if (mye_get_wait(&in.wait, arg))
			return -EFAULT;
		return mye_ioctl_wait(file->private_data, &in.wait);
	case MYEPOLL_IOC_CTL:
		if (mye_get_ctl(&in.ctl, arg))
			return -EFAULT;
		return mye_ioctl_ctl(file, &in.ctl);
	case MYEPOLL_IOC_BATCH:
		if (copy_from_user(&in.batch, arg, sizeof(in.batch)))
			return -EFAULT;
		return mye_ioctl_batch(file, &in.batch, arg);
	case MYEPOLL_IOC_SPARAMS:
	case MYEPOLL_IOC_GPARAMS:
		return mye_params(file->private_data, cmd, arg);
	default:
		return mye_ioctl_sized(file, cmd, arg);
	}
}
