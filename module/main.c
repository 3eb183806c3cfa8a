// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module init and exit.
 */
#include <linux/module.h>

#include "myepoll.h"

/* Finishes removals and drops late files; flushed before the module goes. */
struct workqueue_struct *mye_workqueue;

/**
 * struct mye_part - one part of the module, to be set up in order
 * @name: for the log
 * @init: returns 0 or an error
 * @exit: undoes it; may be NULL
 */
struct mye_part {
	const char *name;
	int (*init)(void);
	void (*exit)(void);
};

static int mye_workqueue_init(void)
{
	mye_workqueue = alloc_workqueue("myepoll", WQ_UNBOUND | WQ_HIGHPRI, 0);
	return mye_workqueue ? 0 : -ENOMEM;
}

static void mye_workqueue_exit(void)
{
	destroy_workqueue(mye_workqueue);
}

/* The hook must be there, and be seen to work, before there is a device. */
static const struct mye_part mye_parts[] = {
	{ "watch cache", mye_watch_init, mye_watch_exit },
	{ "instance cache", mye_instance_init, mye_instance_exit },
	{ "table of watches", mye_table_init, mye_table_exit },
	{ "limits", mye_limits_init, mye_limits_exit },
	{ "work queue", mye_workqueue_init, mye_workqueue_exit },
	{ "last-close hook", mye_release_init, mye_release_exit },
	{ "test of the last-close hook", mye_release_test, NULL },
	{ "device", mye_device_init, mye_device_exit },
};

static void mye_undo(int part)
{
	while (--part >= 0)
		if (mye_parts[part].exit)
			mye_parts[part].exit();
}

static int __init mye_init(void)
{
	int i, err;

	for (i = 0; i < ARRAY_SIZE(mye_parts); i++) {
		err = mye_parts[i].init();
		if (err) {
			pr_err("myepoll: cannot load: %s: %pe\n",
			       mye_parts[i].name, ERR_PTR(err));
			mye_undo(i);
			return err;
		}
	}
	return 0;
}

static void __exit mye_exit(void)
{
	mye_undo(ARRAY_SIZE(mye_parts));
}

module_init(mye_init);
module_exit(mye_exit);

MODULE_DESCRIPTION("A second epoll whose instances scale: /dev/myepoll");
MODULE_AUTHOR("The myepoll authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(MYE_VERSION);
