// SPDX-License-Identifier: GPL-2.0-only
/*
 * What waits deliver where ours has several lanes.
 *
 * Between lanes there is no order, so a wait that takes less than there is may
 * take something else on each side.  From then on what is left differs, too;
 * so both sides go on until nothing is: what they have delivered by then must
 * be the same.  Nothing but levels can have come twice, and these come again.
 */
#include <stdlib.h>
#include <sys/sysinfo.h>

#include "pair.h"
#include "util.h"

#define MAX_SEEN	(10 * MAX_EVENTS)

/* Of so many calls, each a full one, every lane gets one */
#define TURNS_OF_A_LANE	8

struct seen {
	int n;
	struct epoll_event ev[MAX_SEEN];
};

static struct seen seen_left, seen_right;

static int by_value(const void *a, const void *b)
{
	const struct epoll_event *l = a, *r = b;

	if (l->data.u64 != r->data.u64)
		return l->data.u64 < r->data.u64 ? -1 : 1;
	return memcmp(l, r, sizeof(*l));
}

static void sort(struct epoll_event *ev, int n)
{
	if (n > 0)
		qsort(ev, n, sizeof(*ev), by_value);
}

/* Any order of the same events will do. */
void compare_sorted(void)
{
	sort(left.ev, left.ret);
	sort(right.ev, right.ret);
	compare_events();
}

static void see(struct seen *s, const struct answer *a)
{
	if (a->ret <= 0)
		return;
	memcpy(s->ev + s->n, a->ev, a->ret * sizeof(a->ev[0]));
	s->n += a->ret;
}

static void ask_both(const struct op *op)
{
	ask_pair(op);
	see(&seen_left, &left);
	see(&seen_right, &right);
}

static bool comes_again(const struct epoll_event *ev, const struct answer *a)
{
	return a->ret > 0 &&
	       bsearch(ev, a->ev, a->ret, sizeof(*ev), by_value);
}

/* Leaves one of each; what there is more of must be in @again, sorted. */
static void merge(struct seen *s, const struct answer *again, const char *side)
{
	int i, n = 0;

	sort(s->ev, s->n);
	for (i = 0; i < s->n; i++) {
		if (!n || by_value(&s->ev[n - 1], &s->ev[i]))
			s->ev[n++] = s->ev[i];
		else if (!comes_again(&s->ev[i], again))
			differ("%s side: %x:%llx was delivered twice", side,
			       s->ev[i].events,
			       (unsigned long long)s->ev[i].data.u64);
	}
	s->n = n;
}

static void compare_seen(void)
{
	int i;

	merge(&seen_left, &left, "left");
	merge(&seen_right, &right, "right");
	for (i = 0; i < seen_left.n && i < seen_right.n; i++) {
		if (by_value(&seen_left.ev[i], &seen_right.ev[i]))
			break;
	}
	if (i < seen_left.n || i < seen_right.n)
		differ("what several waits delivered: left %d, right %d, number %d is %llx and %llx",
		       seen_left.n, seen_right.n, i,
		       (unsigned long long)seen_left.ev[i].data.u64,
		       (unsigned long long)seen_right.ev[i].data.u64);
}

static bool all_seen(const struct answer *all, const bool *seen)
{
	return all->ret <= 0 || !memchr(seen, false, all->ret);
}

/* No lane starves: @op, again and again, comes by every level there is. */
static void check_turns(const struct op *op, const struct answer *all)
{
	static struct answer few;
	bool seen[MAX_EVENTS] = { false };
	int turns = TURNS_OF_A_LANE * 2 * get_nprocs_conf() *
		    (all->ret / (int)op->x + 2);
	int i;

	while (turns-- && !all_seen(all, seen)) {
		ask_right(op, &few);
		for (i = 0; i < few.ret; i++) {
			const struct epoll_event *at =
				bsearch(&few.ev[i], all->ev, all->ret,
					sizeof(few.ev[0]), by_value);

			if (at)
				seen[at - all->ev] = true;
		}
	}
	if (!all_seen(all, seen))
		differ("of %d events, waits for %d never deliver some",
		       all->ret, (int)op->x);
}

/* @op took less than there was, and both answers are there. */
static void take_rest(const struct op *op)
{
	struct op more = { .kind = OP_WAIT, .a = op->a, .x = op->x };
	int times = op->data % 8;

	seen_left.n = 0;
	seen_right.n = 0;
	see(&seen_left, &left);
	see(&seen_right, &right);
	if (op->x > MAX_EVENTS)
		times = 0;
	while (times--)
		ask_both(&more);
	more.x = MAX_EVENTS;
	ask_both(&more);
	ask_pair(&more);
	compare_sorted();
	compare_seen();
	more.x = op->x;
	if (op->data % 8 == 7)
		check_turns(&more, &right);
}

static bool cut_short(const struct op *op)
{
	return left.ret == (int)op->x ||
	       (op->c == BUF_SHORT3 && left.ret == 3);
}

void compare_sets(const struct op *op)
{
	compare("wait");
	if (left.ret <= 0)
		return;
	if (cut_short(op))
		take_rest(op);
	else
		compare_sorted();
}
