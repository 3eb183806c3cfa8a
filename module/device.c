// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/myepoll: file operations, and the ioctls that are not called often.
 */
#include <linux/anon_inodes.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "myepoll.h"
#include "busy.h"

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

/**
 * mye_create - MYEPOLL_IOC_CREATE
 * @create: the arguments
 *
 * Returns the descriptor of a new instance or an error of struct myepoll_create.
 */
int mye_create(const struct myepoll_create *create)
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

/* Fill a structure of the size that the caller knows; the rest gets zeros. */
static int mye_give(void __user *to, size_t usize, const void *from,
		    size_t ksize)
{
	if (copy_to_user(to, from, ksize))
		return -EFAULT;
	return clear_user(to + ksize, usize - ksize) ? -EFAULT : 0;
}

/**
 * mye_probe - MYEPOLL_IOC_PROBE
 * @arg: a struct myepoll_probe
 * @usize: its size as the caller knows it, not below ours
 *
 * Returns 0 or -EFAULT.
 */
int mye_probe(void __user *arg, size_t usize)
{
	struct myepoll_probe probe = {
		.abi_version = MYEPOLL_ABI_VERSION,
		.features = MYEPOLL_FEATURE_BATCH,
	};

	if (IS_ENABLED(CONFIG_NET_RX_BUSY_POLL))
		probe.features |= MYEPOLL_FEATURE_BUSY_POLL;
	if (IS_ENABLED(CONFIG_PM_SLEEP))
		probe.features |= MYEPOLL_FEATURE_WAKEUP;
	return mye_give(arg, usize, &probe, sizeof(probe));
}

/**
 * mye_params - MYEPOLL_IOC_SPARAMS and MYEPOLL_IOC_GPARAMS
 * @inst: the instance
 * @cmd: which
 * @arg: a struct myepoll_params
 *
 * Returns 0 or an error of struct myepoll_params.
 */
int mye_params(struct mye_instance *inst, unsigned int cmd, void __user *arg)
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
