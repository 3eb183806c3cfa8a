// SPDX-License-Identifier: GPL-2.0-only
/*
 * Busy polling: before a wait sleeps, it may spin for a while on the network
 * queue that the last ready socket came from.
 *
 * Only the parameters of the instance turn it on: the system-wide setting
 * net.core.busy_poll is out of a module's reach.
 */
#include <linux/capability.h>
#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <net/busy_poll.h>
#include <net/sock.h>

#include "lane.h"
#include "busy.h"

/**
 * struct mye_busy - busy-poll state; every field may be read at any time
 * @usecs: how long to spin; 0 is off
 * @budget: packets a round; 0 is the default
 * @prefer: keep the device's interrupts off in between
 * @napi_id: queue of the last ready socket; 0 if none is known
 */
struct mye_busy {
	u32 usecs;
	u16 budget;
	u8 prefer;
	unsigned int napi_id;
};

#ifdef CONFIG_NET_RX_BUSY_POLL

static int mye_busy_check(const struct myepoll_params *p)
{
	if (p->pad || p->busy_poll_usecs > S32_MAX || p->prefer_busy_poll > 1)
		return -EINVAL;
	if (p->busy_poll_budget > NAPI_POLL_WEIGHT && !capable(CAP_NET_ADMIN))
		return -EPERM;
	return 0;
}

int mye_busy_set(struct mye_instance *inst, const struct myepoll_params *p)
{
	struct mye_busy *busy;
	int err = mye_busy_check(p);

	if (err)
		return err;
	mutex_lock(&inst->grow_lock);
	busy = inst->busy;
	if (!busy)
		busy = kzalloc(sizeof(*busy), GFP_KERNEL_ACCOUNT);
	if (busy) {
		WRITE_ONCE(busy->usecs, p->busy_poll_usecs);
		WRITE_ONCE(busy->budget, p->busy_poll_budget);
		WRITE_ONCE(busy->prefer, p->prefer_busy_poll);
		smp_store_release(&inst->busy, busy);	/* by its address */
	}
	mutex_unlock(&inst->grow_lock);
	return busy ? 0 : -ENOMEM;
}

void __mye_busy_seen(struct mye_instance *inst, struct file *file)
{
	struct socket *sock = sock_from_file(file);
	unsigned int id;

	if (!sock || !sock->sk)
		return;
	id = READ_ONCE(sock->sk->sk_napi_id);
	if (id >= MIN_NAPI_ID)
		WRITE_ONCE(inst->busy->napi_id, id);
}

static bool mye_busy_end(void *arg, unsigned long start)
{
	struct mye_instance *inst = arg;
	unsigned long end = start + READ_ONCE(inst->busy->usecs);

	return mye_lanes_ready(inst) || signal_pending(current) ||
	       time_after(busy_loop_current_time(), end);
}

bool __mye_busy_poll(struct mye_instance *inst)
{
	struct mye_busy *busy = inst->busy;
	unsigned int id = READ_ONCE(busy->napi_id);
	u16 budget = READ_ONCE(busy->budget);

	if (!id || !READ_ONCE(busy->usecs) || signal_pending(current))
		return false;
	napi_busy_loop(id, mye_busy_end, inst, READ_ONCE(busy->prefer),
		       budget ?: BUSY_POLL_BUDGET);
	if (mye_lanes_ready(inst))
		return true;
	/* Learn it anew from the next ready socket. */
	WRITE_ONCE(busy->napi_id, 0);
	return false;
}

#else

int mye_busy_set(struct mye_instance *inst, const struct myepoll_params *p)
{
	return -EOPNOTSUPP;
}

void __mye_busy_seen(struct mye_instance *inst, struct file *file)
{
}

bool __mye_busy_poll(struct mye_instance *inst)
{
	return false;
}

#endif

void mye_busy_get(struct mye_instance *inst, struct myepoll_params *p)
{
	struct mye_busy *busy = READ_ONCE(inst->busy);

	memset(p, 0, sizeof(*p));
	if (!busy)
		return;
	p->busy_poll_usecs = READ_ONCE(busy->usecs);
	p->busy_poll_budget = READ_ONCE(busy->budget);
	p->prefer_busy_poll = READ_ONCE(busy->prefer);
}
