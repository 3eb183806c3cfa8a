// SPDX-License-Identifier: GPL-2.0-only
/*
 * Batches: on the right many changes, and a wait, in one call.  On the left the
 * same calls one by one, up to the first that fails, and the wait if none did.
 *
 * What a program puts into a batch are operations that also go alone, and do so
 * on a pair that is native on both sides.
 */
#include <signal.h>

#include "pair.h"
#include "util.h"

/* What a batch has in @done until the kernel says how many changes it made */
#define UNTOUCHED	0xa5a5a5a5U

/* A newer header might have so much more. */
#define MORE		2

/**
 * struct batch - what operations make it up
 * @change: its changes
 * @nr: how many they are
 * @wait: its wait, or NULL
 * @how: enum batch_how
 */
struct batch {
	const struct op *change;
	uint32_t nr;
	const struct op *wait;
	int how;
};

/* What the kernel is given, with what a newer header might add */
struct call {
	struct myepoll_batch batch;
	uint64_t more[MORE];
	struct myepoll_wait wait;
	uint64_t more_wait[MORE];
	struct backend_timespec time;
	sigset_t mask;
};

int batch_changes(const struct op *op, int room)
{
	int nr = 0;

	while (nr < room && nr < (int)op->x && op[1 + nr].kind == OP_CTL &&
	       op[1 + nr].a == op->a)
		nr++;
	return nr;
}

bool batch_waits(const struct op *op, int room)
{
	int nr = batch_changes(op, room);

	return op->b && nr < room && op[1 + nr].kind == OP_WAIT &&
	       op[1 + nr].a == op->a;
}

/* The left side */

static void change_left(const struct op *op)
{
	if (op->c == EVENT_RESERVED) {
		errno = EINVAL;
		say(&left, -1);
	} else {
		ctl_left(op);
	}
}

static uint32_t changes_left(const struct batch *b)
{
	uint32_t done = 0;

	say(&left, 0);
	while (done < b->nr) {
		change_left(&b->change[done]);
		if (left.ret)
			break;
		done++;
	}
	return done;
}

/* Something is wrong with the wait, so nothing will be changed. */
static bool is_refused(const struct batch *b)
{
	return b->wait && (b->how == BATCH_UNKNOWN || wait_refusal(b->wait));
}

/* Both sides return how many changes were made. */
static uint32_t left_side(const struct batch *b)
{
	uint32_t done = is_refused(b) ? 0 : changes_left(b);

	if (b->wait && b->how == BATCH_UNKNOWN) {
		errno = E2BIG;
		say(&left, -1);
	} else if (b->wait && (is_refused(b) || done == b->nr)) {
		ask_left(b->wait);
	}
	return done;
}

/* The right side */

static struct myepoll_change change_of(const struct op *op)
{
	bool lose_edge = breaks("edge") && op->x == EPOLL_CTL_MOD;

	return (struct myepoll_change) {
		.op = op->x,
		.fd = right_fd(op->b),
		.events = lose_edge ? op->y & ~EPOLLET : op->y,
		.reserved = op->c == EVENT_RESERVED ? 1U << op->data % 32 : 0,
		.data = op->data,
	};
}

/* The array ends where memory does, or memory before the array. */
static void *put_changes(const struct batch *b)
{
	struct myepoll_change change[MAX_CHANGES];
	size_t size = b->nr * sizeof(change[0]);
	uint32_t i;

	for (i = 0; i < b->nr; i++)
		change[i] = change_of(&b->change[i]);
	for (i = 0; i < b->nr && !bad_event(&b->change[i]); i++)
		;
	if (i < b->nr)
		size = i * sizeof(change[0]) +
		       (b->change[i].c == EVENT_EDGE ? sizeof(change[0]) / 2 : 0);
	return memcpy(changes_end - size, change, size);
}

static void put_wait(struct call *call, const struct op *op,
		     const struct epoll_event *ev)
{
	struct myepoll_wait *wait = &call->wait;

	wait->events = (uintptr_t)ev;
	wait->maxevents = op->x;
	wait->flags = MYEPOLL_WAIT_TIMEOUT;
	wait->timeout_nsec = wait_ns(op);
	if (op->b == CALL_PWAIT2) {
		call->time.tv_nsec = wait_ns(op);
		wait->flags = MYEPOLL_WAIT_TIMEOUT_PTR;
		wait->timeout_sec = (uintptr_t)&call->time;
		wait->timeout_nsec = 0;
	}
	if (op->b != CALL_WAIT) {
		wait->sigmask = (uintptr_t)&call->mask;
		wait->sigsetsize = KERNEL_SIGSETSIZE;
	}
}

static void put_call(struct call *call, const struct batch *b,
		     const struct epoll_event *ev)
{
	memset(call, 0, sizeof(*call));
	sigaddset(&call->mask, SIGUSR1);
	sigaddset(&call->mask, SIGUSR2);
	call->batch.changes = (uintptr_t)put_changes(b);
	call->batch.nr = b->nr;
	call->batch.done = UNTOUCHED;
	if (!b->wait)
		return;
	put_wait(call, b->wait, ev);
	call->batch.wait = (uintptr_t)&call->wait;
	call->batch.waitsize = sizeof(call->wait);
	if (b->how != BATCH_PLAIN)
		call->batch.waitsize += sizeof(call->more_wait);
	call->more_wait[MORE - 1] = b->how == BATCH_UNKNOWN;
}

/* Whatever came of it, the mask is in effect for the call only. */
static void check_mask(void)
{
	sigset_t now;

	if (sigprocmask(SIG_BLOCK, NULL, &now) || sigismember(&now, SIGUSR2))
		differ("a batch leaves the mask of its wait behind");
}

static uint32_t break_done(const struct batch *b, uint32_t done)
{
	return breaks("done") && done && done < b->nr ? done + 1 : done;
}

static uint32_t right_side(const struct op *op, const struct batch *b)
{
	struct epoll_event *ev = b->wait ? buffer_of(b->wait, &right) : NULL;
	unsigned long cmd = MYEPOLL_IOC_BATCH;
	struct call call;

	if (b->how == BATCH_LARGER)
		cmd = _IOC(_IOC_DIR(cmd), _IOC_TYPE(cmd), _IOC_NR(cmd),
			   sizeof(call.batch) + sizeof(call.more));
	put_call(&call, b, ev);
	say(&right, break_ctl(ioctl(right_fd(op->a), cmd, &call)));
	if (b->wait)
		wait_is_over(&right, &backend_myepoll, b->wait, ev);
	check_mask();
	return break_done(b, call.batch.done);
}

/* Both */

static void compare_batch(const struct batch *b, uint32_t made, uint32_t done)
{
	char what[80];

	snprintf(what, sizeof(what), "batch of %u: left made %u, right says %u",
		 b->nr, made, done);
	if (made != done)
		differs(what);
	/* The answer is that of the wait only if there was one. */
	if (b->wait && !is_refused(b) && made == b->nr)
		judge_wait(b->wait);
	else
		compare(what);
}

static void not_an_instance(const struct op *op, const struct batch *b)
{
	int err = ours_error(op->a, kind_of(op->a));
	uint32_t done = right_side(op, b);

	answer_is("right", &right, -1, err);
	if (done != UNTOUCHED)
		differ("a batch on what is no instance made %u changes", done);
}

int batch_pair(const struct op *op, int room)
{
	struct batch b = {
		.change = op + 1,
		.nr = batch_changes(op, room),
		.how = op->c,
	};
	uint32_t made;

	if (is_mixed(op->a))
		return 0;
	if (batch_waits(op, room))
		b.wait = b.change + b.nr;
	sentinel_drain();
	if (kind_of(op->a) == EP_INSTANCE) {
		made = left_side(&b);
		compare_batch(&b, made, right_side(op, &b));
	} else {
		not_an_instance(op, &b);
	}
	undisturbed();
	return b.nr + !!b.wait;
}
