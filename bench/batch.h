/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changes that are kept back, to be made together: in one call where the epoll has
 * one, else in a call each.
 */
#ifndef BENCH_BATCH_H
#define BENCH_BATCH_H

#include "backend.h"
#include "util.h"

#define BATCH_MAX	32

struct batch {
	struct myepoll_change changes[BATCH_MAX];
	unsigned int nr;
};

static inline void batch_add(struct batch *b, int op, int fd, uint32_t events)
{
	b->changes[b->nr++] = (struct myepoll_change) {
		.op = op, .fd = fd, .events = events, .data = fd,
	};
}

static inline int batch_make_native(const struct backend *be, int ep,
				    const struct batch *b,
				    struct epoll_event *events, int max)
{
	for (unsigned int i = 0; i < b->nr; i++) {
		const struct myepoll_change *c = &b->changes[i];
		struct epoll_event event = {
			.events = c->events, .data.u64 = c->data,
		};

		if (be->ctl(ep, c->op, c->fd, &event))
			return -1;
	}
	return max ? be->wait(ep, events, max, 0) : 0;
}

static inline int batch_make_ours(int ep, const struct batch *b,
				  struct epoll_event *events, int max)
{
	struct myepoll_wait wait = {
		.events = (uintptr_t)events,
		.maxevents = max,
		.flags = MYEPOLL_WAIT_TIMEOUT,
	};
	struct myepoll_batch batch = {
		.changes = (uintptr_t)b->changes,
		.nr = b->nr,
		.wait = max ? (uintptr_t)&wait : 0,
		.waitsize = sizeof(wait),
	};

	return ioctl(ep, MYEPOLL_IOC_BATCH, &batch);
}

/*
 * Makes the changes, then waits with a timeout of 0 unless @max is 0.  Returns
 * how many events came; ends the program if anything fails.
 */
static inline int batch_make(const struct backend *be, int ep, struct batch *b,
			     struct epoll_event *events, int max)
{
	int n = be->ours ? batch_make_ours(ep, b, events, max) :
		batch_make_native(be, ep, b, events, max);

	if (n < 0)
		die_errno("%s: %u changes and a wait", be->name, b->nr);
	b->nr = 0;
	return n;
}

#endif /* BENCH_BATCH_H */
