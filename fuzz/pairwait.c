// SPDX-License-Identifier: GPL-2.0-only
/* Waits on both instances of a slot, compared, and what a program ends with */
#include <limits.h>
#include <sys/eventfd.h>

#include "pair.h"
#include "util.h"

#define ADDRESS_LIMIT	((void *)0xffff800000000000UL)
#define POISON		0xa5
#define MAX_MAXEVENTS	(INT_MAX / (int)sizeof(struct epoll_event))

/* The same events, in the same order. */
void compare_events(void)
{
	compare("wait");
	if (left.ret > 0 &&
	    memcmp(left.ev, right.ev, left.ret * sizeof(left.ev[0])))
		differs("wait");
}

struct epoll_event *buffer_of(const struct op *op, struct answer *a)
{
	const size_t half = sizeof(a->ev[0]) / 2;

	memset(a->ev, POISON, sizeof(a->ev));
	switch (op->c) {
	case BUF_NULL:
		return NULL;
	case BUF_KERNEL:
		return ADDRESS_LIMIT;
	case BUF_SHORT0:
		return (void *)(page_end - half);
	case BUF_SHORT3:
		return (void *)(page_end - half - 3 * sizeof(a->ev[0]));
	case BUF_EXACT:
		return memset(page_end - op->x * sizeof(a->ev[0]), POISON,
			      op->x * sizeof(a->ev[0]));
	default:
		return a->ev;
	}
}

/* The time of a wait; only pwait2 can have a bad one. */
long wait_ns(const struct op *op)
{
	if (op->y == TIME_BAD)
		return op->b == CALL_PWAIT2 ? 1000000000 : 0;
	return op->y == TIME_MS ? 1000000 : 0;
}

static int call_wait(const struct backend *be, const struct op *op, int ep,
		     struct epoll_event *ev)
{
	struct timespec ts = { .tv_nsec = wait_ns(op) };
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	switch (op->b) {
	case CALL_PWAIT:
		return be->pwait(ep, ev, op->x, op->y == TIME_MS, &mask,
				 KERNEL_SIGSETSIZE);
	case CALL_PWAIT2:
		return be->pwait2(ep, ev, op->x, &ts, &mask, KERNEL_SIGSETSIZE);
	default:
		return be->wait(ep, ev, op->x, op->y == TIME_MS);
	}
}

static void break_wait(struct answer *a)
{
	struct epoll_event ev = a->ev[0];

	if (breaks("lost") && a->ret >= 3)
		a->ret--;
	if (breaks("order") && a->ret >= 2) {
		a->ev[0] = a->ev[1];
		a->ev[1] = ev;
	}
}

/* Nothing may be stored behind the last event. */
static void check_rest(const struct op *op, const struct answer *a,
		       const struct epoll_event *ev, const char *side)
{
	const char *at = (const char *)(ev + (a->ret > 0 ? a->ret : 0));
	const char *end = op->c == BUF_EXACT ? page_end :
					       (const char *)(ev + MAX_EVENTS);

	if (op->c != BUF_GOOD && op->c != BUF_EXACT)
		return;
	for (; at < end; at++) {
		if (*at != (char)POISON)
			differ("%s side: %d, and a store behind that", side,
			       a->ret);
	}
}

/* @a is what it said, @ev is where it stored. */
void wait_is_over(struct answer *a, const struct backend *be,
		  const struct op *op, const struct epoll_event *ev)
{
	if (a->ret > 0 && ev != a->ev)
		memcpy(a->ev, ev, a->ret * sizeof(*ev));
	if (be->ours && breaks("store") && a->ret > 0 && op->c == BUF_GOOD)
		a->ev[a->ret].data.u32 = 0;
	check_rest(op, a, ev, be->name);
	if (be->ours)
		break_wait(a);
}

static void wait_on(struct answer *a, const struct backend *be,
		    const struct op *op, int ep)
{
	struct epoll_event *ev = buffer_of(op, a);

	say(a, call_wait(be, op, ep, ev));
	wait_is_over(a, be, op, ev);
}

static bool bad_time(const struct op *op)
{
	return wait_ns(op) >= 1000000000;
}

static int array_refusal(const struct op *op)
{
	int max = op->x;

	if (max <= 0 || max > MAX_MAXEVENTS)
		return EINVAL;
	return op->c == BUF_KERNEL ? EFAULT : 0;
}

/* The error that is found before the wait looks for events, or 0 */
int wait_refusal(const struct op *op)
{
	return bad_time(op) ? EINVAL : array_refusal(op);
}

/* What native says if the instance's descriptor is no instance. */
static int native_wait_error(const struct op *op, enum kind_of_ep kind)
{
	int none = kind == EP_CLOSED ? EBADF : EINVAL;

	if (bad_time(op))
		return EINVAL;
	if (kind == EP_CLOSED && world.fd_first)
		return EBADF;
	return array_refusal(op) ?: none;
}

/* The array ended before the events did, or was not there at all. */
static bool faulted(const struct op *op, const struct answer *a)
{
	return (a->ret < 0 && a->err == EFAULT && op->c != BUF_KERNEL) ||
	       (op->c == BUF_SHORT3 && a->ret == 3 && op->x > 3);
}

/*
 * Edges and one-shots that come back to the queue after a fault wake those who
 * poll the instance on the right, and not on the left: in the module a poll()
 * does not wait for another thread's claims on them.  An outer edge shows that.
 * To have the same history on both sides, wake the pollers on both.
 */
static void wake_pollers(int ref)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd = eventfd(1, EFD_CLOEXEC);

	if (fd < 0 ||
	    native_ctl(left_fd(ref), EPOLL_CTL_ADD, fd, &ev) ||
	    right_backend(ref)->ctl(right_fd(ref), EPOLL_CTL_ADD, fd, &ev))
		broken("waking pollers");
	close(fd);
}

void ask_right(const struct op *op, struct answer *a)
{
	wait_on(a, right_backend(op->a), op, right_fd(op->a));
}

void ask_left(const struct op *op)
{
	wait_on(&left, &backend_native, op, left_fd(op->a));
}

void ask_pair(const struct op *op)
{
	ask_left(op);
	ask_right(op, &right);
}

/* Both answers are there, of an instance. */
void judge_wait(const struct op *op)
{
	bool fault = faulted(op, &left);

	if (world.lanes && right_backend(op->a)->ours)
		compare_sets(op);
	else
		compare_events();
	if (fault)
		wake_pollers(op->a);
}

void wait_pair(const struct op *op)
{
	enum kind_of_ep kind = kind_of(op->a);

	sentinel_drain();
	ask_pair(op);
	if (kind == EP_INSTANCE) {
		judge_wait(op);
		return;
	}
	answer_is("left", &left, -1, native_wait_error(op, kind));
	answer_is("right", &right, -1, ours_error(op->a, kind));
}

/*
 * The module asks up to 24 files before it copies what they say.  If the copy
 * then fails, those behind that turned out not to be ready have lost their place
 * in the queue, which on the left they keep.  So while order is compared, waits
 * that are to fault ask for no more files than come to the fault; here, at the
 * end, for many, and what is there afterwards is compared without order.
 */
static void check_after_fault(void)
{
	struct op op = { .kind = OP_WAIT, .x = 64, .c = BUF_NULL };
	int i;

	for (i = 0; i < NR_INSTS; i++) {
		if (is_closed(LEFT_FD(i)))
			continue;
		op.a = NR_FILES + i;
		wait_pair(&op);
		undisturbed();
	}
	op.x = MAX_EVENTS;
	op.c = BUF_GOOD;
	for (i = 0; i < NR_INSTS; i++) {
		if (is_closed(LEFT_FD(i)))
			continue;
		op.a = NR_FILES + i;
		sentinel_drain();
		ask_pair(&op);
		compare_sorted();
		undisturbed();
	}
}

/* At the end of a program: everything that can be seen of each instance. */
void pair_check_all(void)
{
	struct op op = { .kind = OP_WAIT, .x = MAX_EVENTS };
	int i, times;

	for (i = 0; i < NR_INSTS; i++) {
		if (is_closed(LEFT_FD(i)))
			continue;
		poll_pair(i, -1);
		fdinfo_pair(i);
		op.a = NR_FILES + i;
		for (times = 0; times < 2; times++) {
			wait_pair(&op);
			undisturbed();
		}
	}
	check_after_fault();
}
