// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/myepoll: file operations and the arguments of the ioctls.  No algorithm.
 */
#include <linux/anon_inodes.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "myepoll.h"
#include "busy.h"

#define MYE_MAX_EVENTS	(INT_MAX / sizeof(struct epoll_event))

static int mye_open(struct inode *inode, struct file *file)
{
	struct mye_instance *inst;
	int err = mye_release_check();

	if (err)
		return err;
	inst = mye_instance_new();
	if (IS_ERR(inst))
		return PTR_ERR(inst);
	file->private_data = inst;
	return 0;
}

static int mye_close(struct inode *inode, struct file *file)
{
	mye_instance_close(file->private_data);
	return 0;
}

/**
 * mye_instance_file - wrap a new instance into an anonymous file
 * @inst: the instance; closed if there is an error
 * @flags: 0 or O_CLOEXEC
 *
 * Returns the file or an error.
 */
struct file *mye_instance_file(struct mye_instance *inst, unsigned int flags)
{
	struct file *file;

	file = anon_inode_getfile("[myepoll]", &mye_fops, inst, O_RDWR | flags);
	if (IS_ERR(file))
		mye_instance_close(inst);
	return file;
}

static int mye_create(const struct myepoll_create *create)
{
	struct mye_instance *inst;
	struct file *file;
	int fd;

	if (create->reserved || (create->flags & ~O_CLOEXEC))
		return -EINVAL;
	fd = mye_release_check();
	if (fd)
		return fd;
	inst = mye_instance_new();
	if (IS_ERR(inst))
		return PTR_ERR(inst);
	fd = get_unused_fd_flags(O_RDWR | create->flags);
	if (fd < 0) {
		mye_instance_close(inst);
		return fd;
	}
	file = mye_instance_file(inst, create->flags);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	fd_install(fd, file);
	return fd;
}

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

static int mye_get_wait(struct myepoll_wait *to,
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
	return mye_ctl(file, ctl->op, ctl->fd, &event);
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

static void mye_sigmask_restore(const struct myepoll_wait *wait, int ret)
{
	if (ret == -EINTR)
		return;
	if (test_and_clear_restore_sigmask())
		sigprocmask(SIG_SETMASK, &current->saved_sigmask, NULL);
}

static int mye_wait_checked(struct mye_instance *inst,
			    const struct myepoll_wait *wait,
			    struct mye_deadline *deadline)
{
	struct epoll_event __user *events = u64_to_user_ptr(wait->events);

	if (wait->maxevents <= 0 || wait->maxevents > MYE_MAX_EVENTS)
		return -EINVAL;
	if (!access_ok(events, wait->maxevents * sizeof(*events)))
		return -EFAULT;
	return mye_wait(inst, events, wait->maxevents, deadline);
}

static noinline int mye_wait_masked(struct mye_instance *inst,
				    const struct myepoll_wait *wait,
				    struct mye_deadline *deadline)
{
	int ret = mye_sigmask_set(wait);

	if (ret)
		return ret;
	ret = mye_wait_checked(inst, wait, deadline);
	mye_sigmask_restore(wait, ret);
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

/* Fill a structure of the size that the caller knows; the rest gets zeros. */
static int mye_give(void __user *to, size_t usize, const void *from,
		    size_t ksize)
{
	if (copy_to_user(to, from, ksize))
		return -EFAULT;
	return clear_user(to + ksize, usize - ksize) ? -EFAULT : 0;
}

static int mye_ioctl_probe(void __user *arg, size_t usize)
{
	struct myepoll_probe probe = { .abi_version = MYEPOLL_ABI_VERSION };

	if (IS_ENABLED(CONFIG_NET_RX_BUSY_POLL))
		probe.features |= MYEPOLL_FEATURE_BUSY_POLL;
	if (IS_ENABLED(CONFIG_PM_SLEEP))
		probe.features |= MYEPOLL_FEATURE_WAKEUP;
	return mye_give(arg, usize, &probe, sizeof(probe));
}

static int mye_ioctl_params(struct mye_instance *inst, unsigned int cmd,
			    void __user *arg)
{
	struct myepoll_params params;

	if (cmd == MYEPOLL_IOC_GPARAMS) {
		mye_busy_get(inst, &params);
		return mye_give(arg, sizeof(params), &params, sizeof(params));
	}
	if (copy_from_user(&params, arg, sizeof(params)))
		return -EFAULT;
	return mye_busy_set(inst, &params);
}

/* A call of ours whose structure has the size that another version gave it. */
union mye_arg {
	struct myepoll_create create;
	struct myepoll_ctl ctl;
	struct myepoll_wait wait;
};

static int mye_take(union mye_arg *to, size_t ksize, void __user *from,
		    size_t usize)
{
	return usize < ksize ? -EINVAL :
	       copy_struct_from_user(to, ksize, from, usize);
}

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
		return mye_ioctl_probe(arg, usize);
	case MYEPOLL_IOC_CREATE & ~IOCSIZE_MASK:
		err = mye_take(&in, sizeof(in.create), arg, usize);
		return err ?: mye_create(&in.create);
	case MYEPOLL_IOC_CTL & ~IOCSIZE_MASK:
		err = mye_take(&in, sizeof(in.ctl), arg, usize);
		return err ?: mye_ioctl_ctl(file, &in.ctl);
	case MYEPOLL_IOC_WAIT & ~IOCSIZE_MASK:
		err = mye_take(&in, sizeof(in.wait), arg, usize);
		return err ?: mye_ioctl_wait(file->private_data, &in.wait);
	default:
		return -ENOTTY;
	}
}

/* The two that matter come first. */
static long mye_ioctl(struct file *file, unsigned int cmd, unsigned long uarg)
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
	case MYEPOLL_IOC_SPARAMS:
	case MYEPOLL_IOC_GPARAMS:
		return mye_ioctl_params(file->private_data, cmd, arg);
	default:
		return mye_ioctl_sized(file, cmd, arg);
	}
}

const struct file_operations mye_fops = {
	.owner		= THIS_MODULE,
	.open		= mye_open,
	.release	= mye_close,
	.poll		= mye_poll,
	.unlocked_ioctl	= mye_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= noop_llseek,
#ifdef CONFIG_PROC_FS
	.show_fdinfo	= mye_show_fdinfo,
#endif
};

static struct miscdevice mye_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "myepoll",
	.fops	= &mye_fops,
	/* As native epoll: for everybody. */
	.mode	= 0666,
};

int mye_device_init(void)
{
	return misc_register(&mye_device);
}

void mye_device_exit(void)
{
	misc_deregister(&mye_device);
}
