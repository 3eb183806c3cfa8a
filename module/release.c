// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the last close of a watched file comes to our notice, and nothing else.
 *
 * __fput() tells native epoll of it by a direct call.  We trace a function that
 * __fput() calls for every file that was opened, before the file's own release
 * and after the last reference has gone: locks_remove_file().  The ftrace_ops
 * is marked permanent, so that kernel.ftrace_enabled cannot be turned off
 * beneath us.  The handler may run with or without preemption: it must not
 * sleep.
 */
#include <linux/anon_inodes.h>
#include <linux/completion.h>
#include <linux/ftrace.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "myepoll.h"

#define MYE_HOOKED	"locks_remove_file"

/* How often, at most, to ask whether ftrace still works */
#define MYE_CHECK_EVERY	HZ

/* How long the death of a file may take that is tried at load */
#define MYE_TRIAL_TIME	(5 * HZ)

static void mye_release_hook(unsigned long ip, unsigned long parent,
			     struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	struct file *file = (struct file *)mye_ftrace_arg0(fregs);

	if (mye_instances_exist() && file_can_poll(file))
		mye_table_release(file);
}

static struct ftrace_ops mye_release_ops = {
	.func	= mye_release_hook,
	.flags	= FTRACE_OPS_FL_PERMANENT | MYE_FTRACE_REGS,
};

/* Never registered: only to ask ftrace whether it is alive. */
static struct ftrace_ops mye_probe_ops;

static unsigned long mye_checked_at;
static bool mye_broken;
static DEFINE_MUTEX(mye_check_lock);

/*
 * After ftrace_kill() nothing can be unregistered.  The traced function would
 * jump into a module that is gone: so the module has to stay.
 */
static void mye_release_pin(void)
{
	if (mye_broken)
		return;
	__module_get(THIS_MODULE);
	WRITE_ONCE(mye_broken, true);
	pr_err("myepoll: ftrace has stopped working, see above in this log\n");
	pr_err("myepoll: no new instances, and no unloading until the next boot\n");
}

static void mye_release_ask(void)
{
	unsigned long nowhere = (unsigned long)&mye_probe_ops;

	mutex_lock(&mye_check_lock);
	/* Dead is the first thing that this looks at. */
	if (ftrace_set_filter_ip(&mye_probe_ops, nowhere, 1, 0) == -ENODEV)
		mye_release_pin();
	WRITE_ONCE(mye_checked_at, jiffies);
	mutex_unlock(&mye_check_lock);
}

/* May there be new instances?  0 or -ENODEV. */
int mye_release_check(void)
{
	unsigned long next = READ_ONCE(mye_checked_at) + MYE_CHECK_EVERY;

	if (time_after(jiffies, next))
		mye_release_ask();
	return READ_ONCE(mye_broken) ? -ENODEV : 0;
}

static int mye_release_register(void)
{
	int err;

	err = ftrace_set_filter(&mye_release_ops, MYE_HOOKED,
				sizeof(MYE_HOOKED) - 1, 1);
	if (err) {
		pr_err("myepoll: the kernel has no traceable function " MYE_HOOKED "()\n");
		return err;
	}
	err = register_ftrace_function(&mye_release_ops);
	if (!err)
		return 0;
	if (err == -EBUSY)
		pr_err("myepoll: tracing is off: set kernel.ftrace_enabled=1 and load again\n");
	ftrace_free_filter(&mye_release_ops);
	return err;
}

int mye_release_init(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		pr_err("myepoll: PREEMPT_RT is not supported: the last close of a file\n");
		pr_err("myepoll: is noticed where this kernel's spinlocks may sleep\n");
		return -EOPNOTSUPP;
	}
	mye_checked_at = jiffies;
	return mye_release_register();
}

void mye_release_exit(void)
{
	int err = unregister_ftrace_function(&mye_release_ops);

	if (err) {
		pr_emerg("myepoll: cannot take back the hook on " MYE_HOOKED "(): %pe\n",
			 ERR_PTR(err));
		pr_emerg("myepoll: the module must stay: this rmmod never returns\n");
		for (;;)
			schedule_timeout_uninterruptible(MAX_SCHEDULE_TIMEOUT);
	}
	ftrace_free_filter(&mye_release_ops);
}

/**
 * struct mye_release_trial - the hook is tried on a real file
 * @work: runs in a kernel thread, where fput() of a last reference is delayed
 *	to a queue that can be flushed
 * @err: the result
 */
struct mye_release_trial {
	struct work_struct work;
	int err;
};

/* Another worker may be at the queue of delayed files, with ours in its hands. */
static bool mye_release_seen(struct mye_instance *inst)
{
	unsigned long end = jiffies + MYE_TRIAL_TIME;

	flush_delayed_fput();
	while (!list_empty_careful(&inst->lane0.members)) {
		if (time_after(jiffies, end))
			return false;
		schedule_timeout_uninterruptible(1);
	}
	return true;
}

/*
 * Does the watch of @file vanish when the file does?  Drops both references.
 * If the hook is deaf the watch is removed here; it keeps the memory of the
 * instance behind the file, which has its wait queue.
 */
static int mye_release_try(struct mye_instance *inst, struct file *file)
{
	const struct epoll_event event = { .events = EPOLLERR | EPOLLHUP };
	int err = mye_ctl_add(inst, file, 0, &event);

	fput(file);
	if (!err && !mye_release_seen(inst))
		err = -ENODEV;
	mye_instance_close(inst);
	return err;
}

static void mye_release_trial_work(struct work_struct *work)
{
	struct mye_instance *outer = mye_instance_new();
	struct mye_instance *inner = mye_instance_new();
	struct mye_release_trial *trial;
	struct file *file = ERR_PTR(-ENOMEM);

	trial = container_of(work, struct mye_release_trial, work);
	if (!IS_ERR(inner))
		file = mye_instance_file(inner, 0);
	if (!IS_ERR(outer) && !IS_ERR(file)) {
		trial->err = mye_release_try(outer, file);
		return;
	}
	trial->err = -ENOMEM;
	if (!IS_ERR(outer))
		mye_instance_close(outer);
	if (!IS_ERR(file))
		fput(file);
}

/*
 * The file of the trial has a reference to the module until the last of our
 * functions has returned.  If loading fails, nobody asks how many there are.
 */
#if defined(MODULE) && defined(CONFIG_MODULE_UNLOAD)
static int mye_release_refs(void)
{
	return module_refcount(THIS_MODULE);
}
#else
static int mye_release_refs(void)
{
	return 0;
}
#endif

static void mye_release_await_close(int refs)
{
	unsigned long end = jiffies + MYE_TRIAL_TIME;

	while (mye_release_refs() > refs && time_before(jiffies, end))
		schedule_timeout_uninterruptible(1);
}

/* Prove that the hook is called; without it nothing may be watched. */
int mye_release_test(void)
{
	struct mye_release_trial trial;
	int refs = mye_release_refs();

	INIT_WORK_ONSTACK(&trial.work, mye_release_trial_work);
	queue_work(mye_workqueue, &trial.work);
	flush_work(&trial.work);
	mye_release_await_close(refs);
	destroy_work_on_stack(&trial.work);
	if (trial.err == -ENODEV)
		pr_err("myepoll: " MYE_HOOKED "() was not called when a file died\n");
	return trial.err;
}
