// SPDX-License-Identifier: GPL-2.0-only
/*
 * What must hold when nobody does anything:
 *
 * 1. Nobody sleeps on an instance that watches a level-triggered file that is
 *    ready.
 * 2. Nobody sleeps on an instance that has anything else to report.
 * 3. A level-triggered file that becomes ready wakes every sleeper.
 * 4. An instance reports exactly what poll(2) says of each file: level-triggered
 *    watches each time, edges and one-shots at most once, and again when MOD
 *    or a new event arms them; never what was deleted or closed.
 *
 * To poll an instance, or to wait on it, wakes who sleeps over an event: it heals
 * what 1 and 2 look for.  So 1 goes by what poll(2) says of the files, and 2 is one
 * look at the instance, when its sleepers are known to be asleep.
 *
 * Network timers may still change what is ready.  So a comparison that fails is
 * made again, until it succeeds or the patience is over.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "concurrent.h"
#include "util.h"

#define RETRY_NS	5000000L

/* Longer than a TCP socket puts off an acknowledgment */
#define STILL_MS	60

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

static uint32_t poll_fd(int fd, uint32_t events)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	if (poll(&pfd, 1, 0) < 0)
		die("poll");
	return pfd.revents;
}

static bool instance_is_ready(int side, int place)
{
	atomic_store(&arena.touched[side][place], true);
	return poll_fd(arena.inst[side][place], POLLIN);
}

static bool out_of_patience(uint64_t began)
{
	return clock_ms() - began > arena.patience_s * 1000ULL;
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

/* What poll(2) says of the file, as far as the watch asks */
static uint32_t poll_says(const struct slot *slot, int end, uint32_t mask)
{
	return poll_fd(slot->fd[end], mask) & (mask | EPOLLERR | EPOLLHUP);
}

/* Is a file ready that the instance has to report each time? */
static bool level_is_ready(int place)
{
	int nr, end, i;

	for (nr = 0; nr < SLOTS; nr++) {
		for (end = 0; end < 2; end++) {
			uint32_t mask = arena.slot[nr].mask[end][place];

			if (mask != NO_WATCH && !(mask & MAY_BE_SILENT) &&
			    poll_says(&arena.slot[nr], end, mask))
				return true;
		}
	}
	for (i = 0; place == OUTER && i < OUTER; i++)
		if (arena.nested[i] && level_is_ready(i))
			return true;
	return false;
}

/* 1. */
static void nobody_sleeps_on_levels(int side, int place)
{
	uint64_t began = clock_ms();

	arena.checks++;
	while (still_waiting(side, place) && level_is_ready(place)) {
		if (out_of_patience(began)) {
			complain("%s: %d sleep on instance %d, of which a file is ready",
				 arena.be[side]->name, still_waiting(side, place),
				 place);
			return;
		}
		pause_a_bit();
	}
}

/* The letter in /proc/self/task/TID/stat */
static char thread_state(int tid)
{
	char path[64], text[512];
	const char *end;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	end = strrchr(text, ')');
	return end && end[1] ? end[2] : 0;
}

/* In its call, and neither woken nor on the way to sleep */
static bool is_asleep(struct sleeper *s)
{
	return !atomic_load(&s->parked) && atomic_load(&s->waiting) &&
	       thread_state(atomic_load(&s->tid)) == 'S';
}

static bool all_are_still(void)
{
	int side, place, i;

	for (side = 0; side < SIDES; side++) {
		for (place = 0; place < PLACES; place++) {
			for (i = 0; i < WAITERS; i++) {
				struct sleeper *s = &arena.sleeper[side][place][i];

				if (!atomic_load(&s->parked) && !is_asleep(s))
					return false;
			}
		}
	}
	return true;
}

/* Until every sleeper has parked, or has been asleep for a while. */
static void let_all_come_to_rest(void)
{
	uint64_t began = clock_ms(), since = began;

	while (clock_ms() - since < STILL_MS) {
		if (!all_are_still())
			since = clock_ms();
		if (out_of_patience(began)) {
			complain("a sleeper neither sleeps nor comes back");
			return;
		}
		pause_a_bit();
	}
}

/* All that poll(2) says of all files */
struct snapshot {
	uint32_t ready[SLOTS][2];
};

static void take_snapshot(struct snapshot *all)
{
	int nr, end;

	for (nr = 0; nr < SLOTS; nr++)
		for (end = 0; end < 2; end++)
			all->ready[nr][end] = poll_fd(arena.slot[nr].fd[end],
						      POLLIN | POLLOUT |
						      POLLRDHUP);
}

static int asleep(int side, int place)
{
	int i, n = 0;

	for (i = 0; i < WAITERS; i++)
		n += is_asleep(&arena.sleeper[side][place][i]);
	return n;
}

/* 2.  A file that changes just now proves nothing. */
static void nobody_sleeps_on_events(int side, int place)
{
	struct snapshot before, after;
	int n;

	arena.checks++;
	take_snapshot(&before);
	n = asleep(side, place);
	if (!n || !instance_is_ready(side, place))
		return;
	take_snapshot(&after);
	if (!memcmp(&before, &after, sizeof(before)))
		complain("%s: %d slept on instance %d, which is ready",
			 arena.be[side]->name, n, place);
}

/* 3. */
static void all_are_woken(int side, int place)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = KICK_DATA };
	uint64_t began = clock_ms();
	int inst = arena.inst[side][place], kick = eventfd(1, EFD_CLOEXEC);

	if (kick < 0 || arena.be[side]->ctl(inst, EPOLL_CTL_ADD, kick, &ev))
		die("a file that is ready");
	arena.checks++;
	while (still_waiting(side, place)) {
		if (out_of_patience(began)) {
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
		bool due = arena.nested[i] && instance_is_ready(side, i);

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
	uint64_t began = clock_ms();
	struct report_card all = { 0 }, one;
	int bad;

	arena.checks++;
	for (;;) {
		take(&one, side, place);
		merge(&all, &one, place);
		bad = compare(&all, place, due);
		if (bad < 0 && nested_fit(&all, side, place))
			return;
		if (out_of_patience(began) || arena.failed)
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
	for_all(nobody_sleeps_on_levels);
	let_all_come_to_rest();
	for_all(nobody_sleeps_on_events);
	for_all(all_are_woken);
	if (arena.failed)
		return;
	for_all(look_at_levels);
	for_all(look_after_arming);
	touch_eventfds();
	for_all(look_after_touch);
}
