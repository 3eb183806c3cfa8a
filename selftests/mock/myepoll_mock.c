// SPDX-License-Identifier: GPL-2.0-only
/*
 * myepoll_mock - a file whose poll() and wake-ups do what a test orders
 *
 * mock.h is the manual.  One mutex per object guards its configuration and its
 * poll_wait() calls; nobody sleeps for long under it.  The value that poll()
 * returns is read and written without it, from interrupts too.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/irq_work.h>
#include <linux/kprobes.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "compat.h"
#include "mock.h"

#define MOCK_MAX_DELAY_NS	(10ULL * NSEC_PER_SEC)
#define MOCK_MAX_SLOW_MS	10000

struct mock;

/*
 * struct mock_freeable - the head that can be destroyed under its watchers
 * @head: the head
 * @rcu: wake_up_pollfree() wants the memory kept for a grace period
 */
struct mock_freeable {
	wait_queue_head_t head;
	struct rcu_head rcu;
};

/*
 * struct mock_later - a wake-up ordered for an interrupt context
 * @mock: the object
 * @timer: MOCK_HARDIRQ and MOCK_SOFTIRQ
 * @work: MOCK_IRQ_WORK
 * @order: what to do; stable while @armed
 * @armed: 1 from the order until it has been carried out
 */
struct mock_later {
	struct mock *mock;
	struct hrtimer timer;
	struct irq_work work;
	struct mock_wake order;
	atomic_t armed;
};

/*
 * struct mock - one open file
 * @lock: taken by poll() for its registrations, by every order and report
 * @head: heads that live as long as the object
 * @freeable: one that does not, NULL once destroyed
 * @heads: what poll() registers on
 * @slow: how poll() sleeps
 * @released: generation of MOCK_IOC_RELEASE, for those asleep
 * @hold: where they sleep
 * @revents: what poll() returns
 * @last_key: pt->_key last seen
 * @polls, @registering, @sleeping, @odd_context, @wakes: see struct mock_stat
 * @later: wake-ups from interrupts, by context; MOCK_PROCESS is not used
 */
struct mock {
	struct mutex lock;	/* heads, slow and freeable */
	wait_queue_head_t head[MOCK_HEADS];
	struct mock_freeable *freeable;
	struct mock_heads heads;
	struct mock_slow slow;
	u32 released;
	wait_queue_head_t hold;
	u32 revents;
	u64 last_key;
	atomic64_t polls;
	atomic64_t registering;
	atomic64_t odd_context;
	atomic64_t wakes[MOCK_CONTEXTS];
	atomic_t sleeping;
	struct mock_later later[MOCK_CONTEXTS];
};

static atomic_t mock_leaked = ATOMIC_INIT(0);

/* NULL only for a freeable head that is gone; then the caller holds the lock. */
static wait_queue_head_t *mock_head(struct mock *mock, u32 nr)
{
	if (nr < MOCK_HEADS)
		return &mock->head[nr];
	return mock->freeable ? &mock->freeable->head : NULL;
}

/* Wake-ups */

static bool mock_in_context(enum mock_context context)
{
	switch (context) {
	case MOCK_PROCESS:
		return in_task();
	case MOCK_SOFTIRQ:
		return IS_ENABLED(CONFIG_PREEMPT_RT) || in_serving_softirq();
	default:
		return in_hardirq();
	}
}

static void mock_do_wake(struct mock *mock, wait_queue_head_t *head,
			 const struct mock_wake *wake)
{
	void *key = poll_to_key((__force __poll_t)wake->key);

	if (!mock_in_context(wake->context))
		atomic64_inc(&mock->odd_context);
	if (wake->flags & MOCK_WAKE_SET)
		WRITE_ONCE(mock->revents, wake->revents);
	/* As drivers do: the state first, then the wake-up; its lock orders. */
	if (wake->flags & MOCK_WAKE_SYNC)
		__wake_up_sync_key(head, TASK_NORMAL, key);
	else
		__wake_up(head, TASK_NORMAL, !(wake->flags & MOCK_WAKE_ALL), key);
}

static void mock_later_fire(struct mock_later *later)
{
	struct mock *mock = later->mock;
	enum mock_context context = later->order.context;

	mock_do_wake(mock, &mock->head[later->order.head], &later->order);
	atomic_set_release(&later->armed, 0);
	atomic64_inc(&mock->wakes[context]);
}

static enum hrtimer_restart mock_timer_fn(struct hrtimer *timer)
{
	mock_later_fire(container_of(timer, struct mock_later, timer));
	return HRTIMER_NORESTART;
}

static void mock_irq_work_fn(struct irq_work *work)
{
	mock_later_fire(container_of(work, struct mock_later, work));
}

static void mock_later_init(struct mock *mock)
{
	int i;

	for (i = 0; i < MOCK_CONTEXTS; i++) {
		struct mock_later *later = &mock->later[i];

		later->mock = mock;
		later->work = IRQ_WORK_INIT_HARD(mock_irq_work_fn);
		mock_timer_setup(&later->timer, mock_timer_fn,
				 i == MOCK_HARDIRQ ? HRTIMER_MODE_REL_HARD :
						     HRTIMER_MODE_REL_SOFT);
	}
}

static void mock_later_cancel(struct mock *mock)
{
	int i;

	for (i = 0; i < MOCK_CONTEXTS; i++) {
		hrtimer_cancel(&mock->later[i].timer);
		irq_work_sync(&mock->later[i].work);
	}
}

static int mock_wake_later(struct mock *mock, const struct mock_wake *wake)
{
	struct mock_later *later = &mock->later[wake->context];
	ktime_t delay = ns_to_ktime(wake->delay_ns);

	if (wake->head == MOCK_HEAD_FREEABLE)
		return -EINVAL;
	/* The heads' locks sleep there, in hard interrupt they are no use. */
	if (IS_ENABLED(CONFIG_PREEMPT_RT) && wake->context != MOCK_SOFTIRQ)
		return -EOPNOTSUPP;
	if (atomic_cmpxchg_acquire(&later->armed, 0, 1))
		return -EBUSY;

	later->order = *wake;
	if (wake->context == MOCK_IRQ_WORK)
		irq_work_queue(&later->work);
	else if (wake->context == MOCK_HARDIRQ)
		hrtimer_start(&later->timer, delay, HRTIMER_MODE_REL_HARD);
	else
		hrtimer_start(&later->timer, delay, HRTIMER_MODE_REL_SOFT);
	return 0;
}

static int mock_wake_now(struct mock *mock, const struct mock_wake *wake)
{
	wait_queue_head_t *head;
	int ret = -ENXIO;

	mutex_lock(&mock->lock);
	head = mock_head(mock, wake->head);
	if (head) {
		mock_do_wake(mock, head, wake);
		atomic64_inc(&mock->wakes[MOCK_PROCESS]);
		ret = 0;
	}
	mutex_unlock(&mock->lock);
	return ret;
}

static int mock_ioc_wake(struct mock *mock, void __user *argp)
{
	const u32 known = MOCK_WAKE_SYNC | MOCK_WAKE_ALL | MOCK_WAKE_SET;
	struct mock_wake wake;

	if (copy_from_user(&wake, argp, sizeof(wake)))
		return -EFAULT;
	if (wake.head >= MOCK_ALL_HEADS || wake.context >= MOCK_CONTEXTS ||
	    wake.flags & ~known || wake.reserved)
		return -EINVAL;
	if (wake.flags & MOCK_WAKE_SYNC && wake.flags & MOCK_WAKE_ALL)
		return -EINVAL;
	if (!(wake.flags & MOCK_WAKE_SET) && wake.revents)
		return -EINVAL;
	if (wake.delay_ns >= MOCK_MAX_DELAY_NS)
		return -EINVAL;
	if (wake.delay_ns && (wake.context == MOCK_PROCESS ||
			      wake.context == MOCK_IRQ_WORK))
		return -EINVAL;

	if (wake.context == MOCK_PROCESS)
		return mock_wake_now(mock, &wake);
	return mock_wake_later(mock, &wake);
}

static int mock_ioc_pollfree(struct mock *mock)
{
	struct mock_freeable *freeable;

	mutex_lock(&mock->lock);
	freeable = mock->freeable;
	mock->freeable = NULL;
	mutex_unlock(&mock->lock);

	if (!freeable)
		return -ENXIO;
	wake_up_pollfree(&freeable->head);
	kfree_rcu(freeable, rcu);
	return 0;
}

/* poll() */

/* Whether this poll() is to sleep; uses up one of slow.count. */
static bool mock_take_slow(struct mock *mock, bool registers,
			   struct mock_slow *slow)
{
	u32 which = registers ? MOCK_SLOW_REGISTER : MOCK_SLOW_QUERY;

	lockdep_assert_held(&mock->lock);
	*slow = mock->slow;
	if (slow->mode == MOCK_SLOW_OFF || !(slow->flags & which))
		return false;
	if (mock->slow.count && !--mock->slow.count)
		mock->slow.mode = MOCK_SLOW_OFF;
	return true;
}

static void mock_register(struct mock *mock, struct file *file, poll_table *pt)
{
	u32 i;

	lockdep_assert_held(&mock->lock);
	for (i = 0; i < mock->heads.count; i++) {
		wait_queue_head_t *head = mock_head(mock, mock->heads.head[i]);

		if (head)
			poll_wait(file, head, pt);
	}
}

static __poll_t mock_sleep(struct mock *mock, const struct mock_slow *slow,
			   u32 released)
{
	u32 revents = READ_ONCE(mock->revents);

	atomic_inc(&mock->sleeping);
	/* Killed or not, what poll() owes its caller is a mask. */
	if (slow->mode == MOCK_SLOW_MS)
		schedule_timeout_killable(msecs_to_jiffies(slow->ms));
	else if (wait_event_killable(mock->hold, READ_ONCE(mock->released) != released))
		pr_debug("a held poll() was killed\n");
	atomic_dec(&mock->sleeping);

	if (!(slow->flags & MOCK_SLOW_STALE))
		revents = READ_ONCE(mock->revents);
	return (__force __poll_t)revents;
}

static __poll_t mock_poll(struct file *file, poll_table *pt)
{
	struct mock *mock = file->private_data;
	bool registers = pt && pt->_qproc;
	struct mock_slow slow;
	bool sleeps;
	u32 released;

	atomic64_inc(&mock->polls);
	if (registers)
		atomic64_inc(&mock->registering);

	mutex_lock(&mock->lock);
	mock->last_key = pt ? (__force u32)pt->_key : 0;
	if (registers)
		mock_register(mock, file, pt);
	sleeps = mock_take_slow(mock, registers, &slow);
	released = mock->released;
	mutex_unlock(&mock->lock);

	if (sleeps)
		return mock_sleep(mock, &slow, released);
	return (__force __poll_t)READ_ONCE(mock->revents);
}

static int mock_ioc_heads(struct mock *mock, void __user *argp)
{
	struct mock_heads heads;
	u32 i;

	if (copy_from_user(&heads, argp, sizeof(heads)))
		return -EFAULT;
	if (heads.count > MOCK_ENTRIES)
		return -EINVAL;
	for (i = 0; i < heads.count; i++) {
		if (heads.head[i] >= MOCK_ALL_HEADS)
			return -EINVAL;
	}

	mutex_lock(&mock->lock);
	mock->heads = heads;
	mutex_unlock(&mock->lock);
	return 0;
}

static bool mock_slow_ok(const struct mock_slow *slow)
{
	const u32 which = MOCK_SLOW_REGISTER | MOCK_SLOW_QUERY;

	if (slow->mode >= MOCK_SLOW_MODES ||
	    slow->flags & ~(which | MOCK_SLOW_STALE))
		return false;
	if (slow->mode == MOCK_SLOW_OFF)
		return !slow->flags && !slow->ms && !slow->count;
	if (!(slow->flags & which))
		return false;
	if (slow->mode == MOCK_SLOW_MS)
		return slow->ms && slow->ms <= MOCK_MAX_SLOW_MS;
	return !slow->ms;
}

static int mock_ioc_slow(struct mock *mock, void __user *argp)
{
	struct mock_slow slow;

	if (copy_from_user(&slow, argp, sizeof(slow)))
		return -EFAULT;
	if (!mock_slow_ok(&slow))
		return -EINVAL;

	mutex_lock(&mock->lock);
	mock->slow = slow;
	mutex_unlock(&mock->lock);
	return 0;
}

static int mock_ioc_release(struct mock *mock)
{
	mutex_lock(&mock->lock);
	WRITE_ONCE(mock->released, mock->released + 1);
	mutex_unlock(&mock->lock);
	wake_up_all(&mock->hold);
	return 0;
}

/* Reports */

static void mock_count_entries(wait_queue_head_t *head, u32 *entries,
			       u32 *exclusive)
{
	wait_queue_entry_t *entry;
	unsigned long flags;

	spin_lock_irqsave(&head->lock, flags);
	list_for_each_entry(entry, &head->head, entry) {
#ifdef WQ_FLAG_BOOKMARK
		/* Up to 6.6 a walker leaves one behind when it takes a break. */
		if (entry->flags & WQ_FLAG_BOOKMARK)
			continue;
#endif
		++*entries;
		if (entry->flags & WQ_FLAG_EXCLUSIVE)
			++*exclusive;
	}
	spin_unlock_irqrestore(&head->lock, flags);
}

static int mock_ioc_stat(struct mock *mock, void __user *argp)
{
	struct mock_stat stat = {};
	int i;

	mutex_lock(&mock->lock);
	for (i = 0; i < MOCK_ALL_HEADS; i++) {
		wait_queue_head_t *head = mock_head(mock, i);

		if (head)
			mock_count_entries(head, &stat.entries[i],
					   &stat.exclusive[i]);
	}
	stat.last_key = mock->last_key;
	mutex_unlock(&mock->lock);

	stat.polls = atomic64_read(&mock->polls);
	stat.registering = atomic64_read(&mock->registering);
	for (i = 0; i < MOCK_CONTEXTS; i++)
		stat.wakes[i] = atomic64_read(&mock->wakes[i]);
	stat.odd_context = atomic64_read(&mock->odd_context);
	stat.sleeping = atomic_read(&mock->sleeping);
	stat.leaked = atomic_read(&mock_leaked);
	return copy_to_user(argp, &stat, sizeof(stat)) ? -EFAULT : 0;
}

/* Nobody else may do this to a kernel: no way back but a boot. */
static int mock_ioc_ftrace_kill(unsigned long magic)
{
	struct kprobe kp = { .symbol_name = "ftrace_kill" };
	void (*kill)(void);
	int ret;

	if (magic != MOCK_FTRACE_KILL_MAGIC)
		return -EINVAL;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;

	ret = register_kprobe(&kp);
	if (ret)
		return ret;
	kill = (void (*)(void))kp.addr;
	unregister_kprobe(&kp);
	kill();
	pr_notice("function tracing is off until the next boot\n");
	return 0;
}

/* The file */

static long mock_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct mock *mock = file->private_data;
	void __user *argp = (void __user *)arg;

	switch (cmd) {
	case MOCK_IOC_SET:
		if (arg > U32_MAX)
			return -EINVAL;
		WRITE_ONCE(mock->revents, arg);
		return 0;
	case MOCK_IOC_HEADS:
		return mock_ioc_heads(mock, argp);
	case MOCK_IOC_WAKE:
		return mock_ioc_wake(mock, argp);
	case MOCK_IOC_SLOW:
		return mock_ioc_slow(mock, argp);
	case MOCK_IOC_RELEASE:
		return mock_ioc_release(mock);
	case MOCK_IOC_POLLFREE:
		return mock_ioc_pollfree(mock);
	case MOCK_IOC_STAT:
		return mock_ioc_stat(mock, argp);
	case MOCK_IOC_FTRACE_KILL:
		return mock_ioc_ftrace_kill(arg);
	default:
		return -ENOTTY;
	}
}

static int mock_open(struct inode *inode, struct file *file)
{
	struct mock *mock = kzalloc(sizeof(*mock), GFP_KERNEL);
	int i;

	if (!mock)
		return -ENOMEM;
	mock->freeable = kzalloc(sizeof(*mock->freeable), GFP_KERNEL);
	if (!mock->freeable) {
		kfree(mock);
		return -ENOMEM;
	}

	mutex_init(&mock->lock);
	for (i = 0; i < MOCK_HEADS; i++)
		init_waitqueue_head(&mock->head[i]);
	init_waitqueue_head(&mock->freeable->head);
	init_waitqueue_head(&mock->hold);
	mock->heads.count = 1;
	mock_later_init(mock);
	file->private_data = mock;
	return 0;
}

static bool mock_is_watched(struct mock *mock)
{
	int i;

	for (i = 0; i < MOCK_ALL_HEADS; i++) {
		wait_queue_head_t *head = mock_head(mock, i);

		/* The last reference is gone: whoever is here stays here. */
		if (head && waitqueue_active(head))
			return true;
	}
	return false;
}

static int mock_release(struct inode *inode, struct file *file)
{
	struct mock *mock = file->private_data;

	mock_later_cancel(mock);
	if (mock_is_watched(mock)) {
		/* Whoever forgot its entries must not find freed memory. */
		atomic_inc(&mock_leaked);
		pr_err("closed with a wait entry left on a head\n");
		return 0;
	}
	if (mock->freeable)
		kfree_rcu(mock->freeable, rcu);
	kfree(mock);
	return 0;
}

static const struct file_operations mock_fops = {
	.owner = THIS_MODULE,
	.open = mock_open,
	.release = mock_release,
	.poll = mock_poll,
	.unlocked_ioctl = mock_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice mock_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &mock_fops,
	.mode = 0600,
};

module_misc_device(mock_misc);

MODULE_DESCRIPTION("A poll() that does what a test of myepoll orders");
MODULE_LICENSE("GPL");
