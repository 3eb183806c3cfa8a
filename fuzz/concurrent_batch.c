// SPDX-License-Identifier: GPL-2.0-only
/*
 * Batches of the concurrent mode: changes of files in neighbouring slots, on ours
 * in one call, on the native side one by one.
 */
#include "concurrent.h"
#include "util.h"

#define BATCH_SIZE	8
#define NEIGHBOURS	3

struct change {
	int op;
	int nr;
	int end;
	uint32_t mask;
};

/**
 * struct plan - a batch
 * @place: which instance
 * @first: of the slots
 * @change: of which there are @n; the first @good of them can be made
 * @err: what the next one says, or 0
 */
struct plan {
	int place;
	int first;
	int n;
	int good;
	int err;
	struct change change[BATCH_SIZE];
};

/* Always in this order */
static void lock_slots(const struct plan *p)
{
	int i;

	for (i = 0; i < NEIGHBOURS; i++)
		pthread_mutex_lock(&arena.slot[p->first + i].lock);
}

static void unlock_slots(const struct plan *p)
{
	int i;

	for (i = 0; i < NEIGHBOURS; i++)
		pthread_mutex_unlock(&arena.slot[p->first + i].lock);
}

static uint32_t *mask_of(const struct plan *p, const struct change *c)
{
	return &arena.slot[c->nr].mask[c->end][p->place];
}

static int any_op(struct rng *r, uint32_t old)
{
	static const int ops[] = { EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL };

	if (rarely(r, 8))
		return pick(r, ops);
	if (old == NO_WATCH)
		return EPOLL_CTL_ADD;
	return rarely(r, 2) || (old & EPOLLEXCLUSIVE) ? EPOLL_CTL_DEL :
							EPOLL_CTL_MOD;
}

/* The books are kept as far as the changes can be made. */
static void plan_change(struct plan *p, struct rng *r)
{
	struct change *c = &p->change[p->n];
	uint32_t *old;

	c->nr = p->first + below(r, NEIGHBOURS);
	c->end = below(r, 2);
	if (arena.slot[c->nr].fd[c->end] < 0)
		return;
	old = mask_of(p, c);
	c->op = any_op(r, *old);
	c->mask = any_mask(r);
	if (!p->err)
		p->err = ctl_error(c->op, *old, c->mask);
	if (!p->err) {
		*old = c->op == EPOLL_CTL_DEL ? NO_WATCH : c->mask;
		p->good++;
	}
	p->n++;
}

static void change_natively(const struct plan *p)
{
	int i, err = 0;

	for (i = 0; i < p->n && !err; i++) {
		const struct change *c = &p->change[i];
		struct epoll_event ev = { .events = c->mask,
					  .data.u64 = watch_data(c->nr, c->end) };

		err = arena.be[0]->ctl(arena.inst[0][p->place], c->op,
				       arena.slot[c->nr].fd[c->end], &ev) ?
		      errno : 0;
	}
	if (err != p->err || i - !!err != p->good)
		complain("native: change %d of %d: errno %d, not %d after %d",
			 i, p->n, err, p->err, p->good);
}

static void change_in_a_batch(const struct plan *p, struct rng *r)
{
	struct myepoll_change change[BATCH_SIZE] = { 0 };
	struct epoll_event ev[4];
	struct myepoll_wait wait = {
		.events = (uintptr_t)ev,
		.maxevents = ARRAY_SIZE(ev),
		.flags = MYEPOLL_WAIT_TIMEOUT,
	};
	struct myepoll_batch batch = {
		.changes = (uintptr_t)change,
		.nr = p->n,
		.wait = below(r, 2) ? (uintptr_t)&wait : 0,
		.waitsize = sizeof(wait),
	};
	int i, ret, most = batch.wait ? wait.maxevents : 0;

	for (i = 0; i < p->n; i++) {
		const struct change *c = &p->change[i];

		change[i].op = c->op;
		change[i].fd = arena.slot[c->nr].fd[c->end];
		change[i].events = c->mask;
		change[i].data = watch_data(c->nr, c->end);
	}
	ret = ioctl(arena.inst[1][p->place], MYEPOLL_IOC_BATCH, &batch);
	if (ret < 0 ? errno != p->err : p->err || ret > most)
		complain("batch of %d: %d errno %d, not %d", p->n, ret,
			 ret < 0 ? errno : 0, p->err);
	if ((int)batch.done != p->good)
		complain("batch of %d: %u were made, not %d", p->n, batch.done,
			 p->good);
}

void change_many(struct rng *r)
{
	struct plan p = {
		.place = below(r, PLACES),
		.first = below(r, SLOTS - NEIGHBOURS + 1),
	};
	int tries = 1 + below(r, BATCH_SIZE);

	lock_slots(&p);
	while (tries--)
		plan_change(&p, r);
	change_natively(&p);
	change_in_a_batch(&p, r);
	unlock_slots(&p);
}
