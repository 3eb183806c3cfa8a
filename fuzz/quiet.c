// SPDX-License-Identifier: GPL-2.0-only
/*
 * What must hold when nobody does anything:
 *
 * 1. Nobody sleeps on an instance that has something to report.
 * 2. A level-triggered file that is ready wakes every sleeper.
 * 3. An instance reports exactly what poll(2) says of each file: level-triggered
 *    watches each time, edges and one-shots at most once, and again when MOD
 *    or a new event arms them; never what was deleted or closed.
 *
 * Network timers may still change what is ready.  So a comparison that fails is
 * made again, until it succeeds or PATIENCE_S is over.
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "concurrent.h"
#include "util.h"

#define RETRY_NS	5000000L

/*
 * Watches that need not report though their file is ready: edges and one-shots
 * that have reported, and exclusive ones, which an event passes over if it woke
 * a waiter before it came to them; on both sides, as the file is the same.
 */
#define MAY_BE_SILENT	(EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE)

/* What one call of wait reported, by file; 0: nothing */
struct report_card {
	uint32_t got[SLOTS][2];
	uint32_t nested[PLACES];
};

/* What is asked of a watch in one look */
enum demand { MUST, MAY, MUST_NOT };

static void pause_a_bit(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = RETRY_NS }, NULL);
}

static bool is_ready(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	if (poll(&pfd, 1, 0) < 0)
		die("poll");
	return pfd.revents;
}

static int still_waiting(int side, int place)
{
	int i, n = 0;

	for (i = 0; i < WAITERS; i++) {
		struct sleeper *s = &arena.sleeper[side][place][i];

		n += !atomic_load(&s->parked);
	}
	return n;
}

/* 1. */
static void nobody_sleeps_on_ready(int side, int place)
{
	uint64_t end = clock_ms() + PATIENCE_S * 1000;

	arena.checks++;
	while (is_ready(arena.inst[side][place]) && still_waiting(side, place)) {
		if (clock_ms() > end) {
			complain("%s: %d sleep on instance %d, which is ready",
				 arena.be[side]->name, still_waiting(side, place),
				 place);
			return;
		}
		pause_a_bit();
	}
}

/* 2. */
static void all_are_woken(int side, int place)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = KICK_DATA };
	uint64_t end = clock_ms() + PATIENCE_S * 1000;
	int inst = arena.inst[side][place], kick = eventfd(1, EFD_CLOEXEC);

	if (kick < 0 || arena.be[side]->ctl(inst, EPOLL_CTL_ADD, kick, &ev))
		die("a file that is ready");
	arena.checks++;
	while (still_waiting(side, place)) {
		if (clock_ms() > end) {
			complain("%s: a ready file leaves %d asleep on instance %d",
				 arena.be[side]->name, still_waiting(side, place),
				 place);
			break;
		}
		pause_a_bit();
	}
	close(kick);
}

static void note(struct report_card *card, int side, const struct epoll_event *ev)
{
	uint64_t data = ev->data.u64;
	uint32_t low = data, nr = low >> 1, end = low & 1;
	uint32_t *got = NULL;

	if (low == NEST_DATA && data >> 32 < OUTER)
		got = &card->nested[data >> 32];
	else if (nr < SLOTS && data == watch_data(nr, end))
		got = &card->got[nr][end];
	if (!got || !ev->events)
		complain("%s: event %x of nothing that is watched: %llx",
			 arena.be[side]->name, ev->events,
			 (unsigned long long)data);
	else if (*got)
		complain("%s: %llx is reported twice in one call",
			 arena.be[side]->name, (unsigned long long)data);
	else
		*got = ev->events;
}

static void take(struct report_card *card, int side, int place)
{
	static struct epoll_event ev[ALL_EVENTS];
	int n, i;

	memset(card, 0, sizeof(*card));
	n = arena.be[side]->wait(arena.inst[side][place], ev, ALL_EVENTS, 0);
	if (n < 0)
		complain("%s: wait: errno %d", arena.be[side]->name, errno);
	for (i = 0; i < n; i++)
		note(card, side, &ev[i]);
}

/* What poll(2) says of the file, as far as the watch asks */
static uint32_t poll_says(const struct slot *slot, int end, uint32_t mask)
{
	struct pollfd pfd = { .fd = slot->fd[end], .events = mask };

	if (poll(&pfd, 1, 0) < 0)
		die("poll");
	return pfd.revents & (mask | EPOLLERR | EPOLLHUP);
}

static bool fits(uint32_t got, uint32_t ready, enum demand demand)
{
	switch (demand) {
	case MUST:
		return got == ready;
	case MAY:
		return !got || got == ready;
	default:
		return !got;
	}
}

/* Is a watch that may be silent due?  By slot, file, instance. */
typedef enum demand (*due_fn)(const struct slot *slot, int end, int place);

/* The first slot that does not fit, -1 if all do. */
static int compare(const struct report_card *card, int place, due_fn due)
{
	int nr, end;

	for (nr = 0; nr < SLOTS; nr++) {
		const struct slot *slot = &arena.slot[nr];

		for (end = 0; end < 2; end++) {
			uint32_t mask = slot->mask[end][place];
			enum demand demand = MUST;

			if (mask == NO_WATCH) {
				if (card->got[nr][end])
					return nr * 2 + end;
				continue;
			}
			if (mask & MAY_BE_SILENT)
				demand = due(slot, end, place);
			if (!fits(card->got[nr][end], poll_says(slot, end, mask),
				  demand))
				return nr * 2 + end;
		}
	}
	return -1;
}

static bool nested_fit(const struct report_card *card, int side, int place)
{
	int i;

	if (place != OUTER)
		return true;
	for (i = 0; i < OUTER; i++) {
		bool due = arena.nested[i] && is_ready(arena.inst[side][i]);

		if (due != !!card->nested[i])
			return false;
	}
	return true;
}

/*
 * Collect, over repeated calls, what edges report: a later one may not be asked
 * for again what an earlier one took.
 */
static void merge(struct report_card *all, const struct report_card *one, int place)
{
	int nr, end;

	for (nr = 0; nr < SLOTS; nr++) {
		for (end = 0; end < 2; end++) {
			uint32_t mask = arena.slot[nr].mask[end][place];

			if (mask == NO_WATCH || !(mask & MAY_BE_SILENT) ||
			    one->got[nr][end])
				all->got[nr][end] = one->got[nr][end];
		}
	}
	memcpy(all->nested, one->nested, sizeof(all->nested));
}

static void look(int side, int place, due_fn due, const char *what)
{
	uint64_t end = clock_ms() + PATIENCE_S * 1000;
	struct report_card all = { 0 }, one;
	int bad;

	arena.checks++;
	for (;;) {
		take(&one, side, place);
		merge(&all, &one, place);
		bad = compare(&all, place, due);
		if (bad < 0 && nested_fit(&all, side, place))
			return;
		if (clock_ms() > end || arena.failed)
			break;
		pause_a_bit();
	}
	if (bad < 0) {
		complain("%s: %s: the outer instance does not agree with the inner ones",
			 arena.be[side]->name, what);
		return;
	}
	complain("%s: %s: instance %d, slot %d file %d kind %d mask %x: reported %x, ready %x",
		 arena.be[side]->name, what, place, bad / 2, bad % 2,
		 arena.slot[bad / 2].kind, arena.slot[bad / 2].mask[bad % 2][place],
		 all.got[bad / 2][bad % 2],
		 poll_says(&arena.slot[bad / 2], bad % 2,
			   arena.slot[bad / 2].mask[bad % 2][place]));
}

static enum demand edges_may(const struct slot *slot, int end, int place)
{
	return MAY;
}

static enum demand edges_must(const struct slot *slot, int end, int place)
{
	return MUST;
}

/*
 * After a write to each eventfd.  That is an event for reading; a one-shot that
 * was reported in the look before (as writable, or readable) is disarmed.
 */
static enum demand edges_of_eventfds(const struct slot *slot, int end, int place)
{
	uint32_t mask = slot->mask[end][place];

	if (slot->kind != KIND_EVENTFD || !(mask & EPOLLIN))
		return MAY;
	return mask & EPOLLONESHOT ? MAY : MUST;
}

/* MOD, or DEL and ADD where MOD is refused, arms a watch again. */
static void arm(int side, int nr, int end, int place)
{
	struct slot *slot = &arena.slot[nr];
	uint32_t mask = slot->mask[end][place];
	struct epoll_event ev = { .events = mask,
				  .data.u64 = watch_data(nr, end) };
	int inst = arena.inst[side][place], ret;

	if (mask == NO_WATCH || !(mask & MAY_BE_SILENT))
		return;
	if (mask & EPOLLEXCLUSIVE) {
		ret = arena.be[side]->ctl(inst, EPOLL_CTL_DEL, slot->fd[end], &ev);
		ret |= arena.be[side]->ctl(inst, EPOLL_CTL_ADD, slot->fd[end], &ev);
	} else {
		ret = arena.be[side]->ctl(inst, EPOLL_CTL_MOD, slot->fd[end], &ev);
	}
	if (ret)
		complain("%s: arming slot %d again: errno %d",
			 arena.be[side]->name, nr, errno);
}

static void arm_all(int side, int place)
{
	int nr;

	for (nr = 0; nr < SLOTS; nr++) {
		arm(side, nr, 0, place);
		arm(side, nr, 1, place);
	}
}

static void touch_eventfds(void)
{
	int nr;

	for (nr = 0; nr < SLOTS; nr++) {
		if (arena.slot[nr].kind == KIND_EVENTFD &&
		    eventfd_write(arena.slot[nr].fd[0], 1))
			die("eventfd_write");
	}
}

static void for_all(void (*check)(int side, int place))
{
	int side, place;

	for (side = 0; side < SIDES; side++) {
		for (place = 0; place < PLACES; place++)
			check(side, place);
	}
}

static void look_at_levels(int side, int place)
{
	look(side, place, edges_may, "levels");
}

static void look_after_arming(int side, int place)
{
	arm_all(side, place);
	look(side, place, edges_must, "armed again");
}

static void look_after_touch(int side, int place)
{
	look(side, place, edges_of_eventfds, "after a new event");
}

/* Called with all workers at the barrier; the sleepers go on until they park. */
void quiet_check(void)
{
	for_all(nobody_sleeps_on_ready);
	for_all(all_are_woken);
	if (arena.failed)
		return;
	for_all(look_at_levels);
	for_all(look_after_arming);
	touch_eventfds();
	for_all(look_after_touch);
}
