// SPDX-License-Identifier: GPL-2.0-only
/*
 * The concurrent mode: threads do what they like with shared instances, on both
 * sides, until all of a sudden nobody does anything.  Then the books must
 * balance: see quiet.c.
 *
 * Files are replaced, and watches changed, under the lock of their slot, so it
 * is known who watches what.  Everything else (reads, writes, waits, polls) has
 * no lock and may well meet a file that is being closed.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "concurrent.h"
#include "fuzz.h"
#include "util.h"

#define ROUND_MS	200
#define PROGRESS_MS	10000
#define MAX_COMPLAINTS	20

struct arena arena;

static uint64_t seed_of_run;

void complain(const char *format, ...)
{
	va_list args;

	if (atomic_fetch_add(&arena.failed, 1) >= MAX_COMPLAINTS)
		return;
	flockfile(stdout);
	printf("FAILED (seed %llu, round %llu): ", (unsigned long long)seed_of_run,
	       (unsigned long long)arena.rounds);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	funlockfile(stdout);
}

uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

static void sleep_ms(int ms)
{
	const struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

/*
 * Breakages, to see the checks fail.  "sleep": some waits on ours sleep over every
 * event, until somebody touches the instance, as a waiter does that was not woken.
 */
static void sleep_till_touched(int ep)
{
	int place;

	for (place = 0; place < PLACES; place++) {
		if (arena.inst[1][place] != ep)
			continue;
		while (!atomic_load(&arena.touched[1][place]))
			sleep_ms(1);
	}
}

static atomic_uint broken_calls;

static int wait_that_sleeps(int ep, struct epoll_event *ev, int max, int timeout)
{
	if (timeout < 0 && !(atomic_fetch_add(&broken_calls, 1) % 8))
		sleep_till_touched(ep);
	return backend_myepoll.wait(ep, ev, max, timeout);
}

/* "lost": some waits on ours forget an event. */
static int wait_that_loses(int ep, struct epoll_event *ev, int max, int timeout)
{
	int n = backend_myepoll.wait(ep, ev, max, timeout);

	return n - (n > 1 && !(atomic_fetch_add(&broken_calls, 1) % 8));
}

static const struct backend *broken_backend(const char *how)
{
	static struct backend broken;

	broken = backend_myepoll;
	if (!strcmp(how, "sleep"))
		broken.wait = wait_that_sleeps;
	else if (!strcmp(how, "lost"))
		broken.wait = wait_that_loses;
	else
		die("concurrent: --break sleep or lost");
	return &broken;
}

/* Files */

static void open_tcp(int fd[2])
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int at = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (at < 0 || bind(at, (void *)&addr, len) ||
	    getsockname(at, (void *)&addr, &len) || listen(at, 1))
		die("listening socket");
	/* Never blocking: a worker may still use its number for an older file. */
	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd[0] < 0 || (connect(fd[0], (void *)&addr, len) &&
			  errno != EINPROGRESS))
		die("connect");
	fd[1] = accept4(at, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd[1] < 0)
		die("accept");
	close(at);
}

static int open_kind(enum slot_kind kind, int fd[2])
{
	static const int types[] = {
		[KIND_UNIX] = SOCK_STREAM,
		[KIND_DGRAM] = SOCK_DGRAM,
		[KIND_SEQ] = SOCK_SEQPACKET,
	};

	fd[1] = -1;
	switch (kind) {
	case KIND_EVENTFD:
		fd[0] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		return fd[0];
	case KIND_TIMER:
		fd[0] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		return fd[0];
	case KIND_PIPE:
		return pipe2(fd, O_NONBLOCK | O_CLOEXEC);
	case KIND_TCP:
		open_tcp(fd);
		return 0;
	default:
		return socketpair(AF_UNIX, types[kind] | SOCK_NONBLOCK |
				  SOCK_CLOEXEC, 0, fd);
	}
}

static void open_slot(struct slot *slot, enum slot_kind kind)
{
	int end, place;

	slot->kind = kind;
	slot->age++;
	for (end = 0; end < 2; end++) {
		for (place = 0; place < PLACES; place++)
			slot->mask[end][place] = NO_WATCH;
	}
	if (open_kind(kind, slot->fd) < 0)
		die("a new file");
}

static void replace(struct rng *r)
{
	struct slot *slot = &arena.slot[below(r, SLOTS)];

	pthread_mutex_lock(&slot->lock);
	close(slot->fd[0]);
	if (slot->fd[1] >= 0)
		close(slot->fd[1]);
	open_slot(slot, below(r, NR_KINDS));
	pthread_mutex_unlock(&slot->lock);
}

/* Watches */

uint32_t any_mask(struct rng *r)
{
	static const uint32_t bits[] = {
		EPOLLIN, EPOLLIN, EPOLLOUT, EPOLLIN | EPOLLOUT, 0,
		EPOLLIN | EPOLLRDHUP,
	};
	static const uint32_t modes[] = {
		0, 0, EPOLLET, EPOLLET, EPOLLONESHOT, EPOLLET | EPOLLONESHOT,
		EPOLLEXCLUSIVE, EPOLLEXCLUSIVE | EPOLLET,
	};

	return pick(r, bits) | pick(r, modes);
}

/* What an ADD, MOD or DEL must say if the old mask is @old. */
int ctl_error(int op, uint32_t old, uint32_t mask)
{
	bool there = old != NO_WATCH;

	if (op == EPOLL_CTL_DEL)
		return there ? 0 : ENOENT;
	if ((mask & EPOLLEXCLUSIVE) &&
	    (op == EPOLL_CTL_MOD || (mask & (EPOLLONESHOT | EPOLLRDHUP))))
		return EINVAL;
	if (op == EPOLL_CTL_ADD)
		return there ? EEXIST : 0;
	if (!there)
		return ENOENT;
	return old & EPOLLEXCLUSIVE ? EINVAL : 0;
}

static void ctl_both(int op, int nr, int end, int place, uint32_t mask)
{
	struct slot *slot = &arena.slot[nr];
	uint32_t *old = &slot->mask[end][place];
	int side, err = ctl_error(op, *old, mask);

	for (side = 0; side < SIDES; side++) {
		struct epoll_event ev = { .events = mask,
					  .data.u64 = watch_data(nr, end) };
		int ret = arena.be[side]->ctl(arena.inst[side][place], op,
					      slot->fd[end], &ev);

		if (ret < 0 ? errno != err : err)
			complain("%s: op %d, mask %x on %x: %d errno %d, not %d",
				 arena.be[side]->name, op, mask, *old, ret,
				 ret < 0 ? errno : 0, err);
	}
	if (!err)
		*old = op == EPOLL_CTL_DEL ? NO_WATCH : mask;
}

static void ctl(struct rng *r)
{
	static const int ops[] = { EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_MOD,
				   EPOLL_CTL_DEL };
	int nr = below(r, SLOTS), end = below(r, 2), place = below(r, PLACES);
	struct slot *slot = &arena.slot[nr];

	pthread_mutex_lock(&slot->lock);
	if (slot->fd[end] >= 0)
		ctl_both(pick(r, ops), nr, end, place, any_mask(r));
	pthread_mutex_unlock(&slot->lock);
}

static void nest(struct rng *r)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = NEST_DATA };
	int place = below(r, OUTER), side;

	pthread_mutex_lock(&arena.nest_lock);
	for (side = 0; side < SIDES; side++) {
		ev.data.u64 = NEST_DATA | (uint64_t)place << 32;
		if (arena.be[side]->ctl(arena.inst[side][OUTER],
					arena.nested[place] ? EPOLL_CTL_DEL :
					EPOLL_CTL_ADD, arena.inst[side][place], &ev))
			complain("%s: nesting: errno %d", arena.be[side]->name,
				 errno);
	}
	arena.nested[place] = !arena.nested[place];
	pthread_mutex_unlock(&arena.nest_lock);
}

/* Use: no lock, the descriptor may be gone or another file's by now. */

static int any_fd(struct rng *r)
{
	return __atomic_load_n(&arena.slot[below(r, SLOTS)].fd[below(r, 2)],
			       __ATOMIC_RELAXED);
}

static void use_write(struct rng *r)
{
	char data[64] = { 1 };

	/* An eventfd takes 8 bytes, a pipe less than all might fill up. */
	if (write(any_fd(r), data, 8) < 0)
		errno = 0;
}

static void use_read(struct rng *r)
{
	char data[4096];

	if (read(any_fd(r), data, below(r, 4) ? sizeof(data) : 8) < 0)
		errno = 0;
}

static void use_timer(struct rng *r)
{
	struct itimerspec it = { .it_value.tv_nsec = 1 + below(r, 2000000) };

	if (timerfd_settime(any_fd(r), 0, &it, NULL))
		errno = 0;
}

static void use_wait(struct rng *r)
{
	struct epoll_event ev[16];
	int side = below(r, SIDES), max = 1 + below(r, ARRAY_SIZE(ev)), n;

	n = arena.be[side]->wait(arena.inst[side][below(r, PLACES)], ev, max,
				 below(r, 3) ? 0 : (int)below(r, 3));
	if (n < 0 || n > max)
		complain("%s: wait: %d errno %d", arena.be[side]->name, n, errno);
}

static void use_poll(struct rng *r)
{
	struct pollfd pfd = {
		.fd = arena.inst[below(r, SIDES)][below(r, PLACES)],
		.events = POLLIN,
	};

	if (poll(&pfd, 1, below(r, 2)) < 0 || (pfd.revents & ~POLLIN))
		complain("poll: %x errno %d", pfd.revents, errno);
}

static void (*const actions[])(struct rng *r) = {
	ctl, ctl, ctl, ctl, ctl, ctl, change_many, change_many, use_write,
	use_write, use_write, use_write, use_read, use_read, use_read, use_wait,
	use_wait, use_wait, use_wait, use_poll, use_timer, replace, nest,
};

static void *worker(void *arg)
{
	struct rng r;

	rng_seed(&r, seed_of_run, 1 + (uintptr_t)arg);
	while (!atomic_load(&arena.stop)) {
		if (atomic_load(&arena.quiet)) {
			pthread_barrier_wait(&arena.barrier);	/* all still */
			pthread_barrier_wait(&arena.barrier);	/* go on */
			continue;
		}
		pick(&r, actions)(&r);
		atomic_fetch_add_explicit(&arena.ops, 1, memory_order_relaxed);
	}
	return NULL;
}

static void park(struct sleeper *s)
{
	uint64_t before;

	pthread_mutex_lock(&arena.park_lock);
	before = arena.resume;
	atomic_store(&s->parked, true);
	while (arena.resume == before && atomic_load(&arena.quiet))
		pthread_cond_wait(&arena.park_cond, &arena.park_lock);
	atomic_store(&s->parked, false);
	pthread_mutex_unlock(&arena.park_lock);
}

static void *sleeper_main(void *arg)
{
	struct epoll_event ev[4];
	struct sleeper *s = arg;
	int n;

	atomic_store(&s->tid, syscall(SYS_gettid));
	while (!atomic_load(&arena.stop)) {
		atomic_store(&s->waiting, true);
		n = arena.be[s->side]->wait(arena.inst[s->side][s->place], ev,
					    ARRAY_SIZE(ev), -1);
		atomic_store(&s->waiting, false);
		if (n <= 0)
			complain("%s: endless wait: %d errno %d",
				 arena.be[s->side]->name, n, errno);
		atomic_fetch_add(&s->events, n);
		if (atomic_load(&arena.quiet))
			park(s);
		else	/* leave the CPU to the workers */
			sleep_ms(1);
	}
	return NULL;
}

static void make_arena(const char *breakage)
{
	int side, place, i;

	arena.be[0] = &backend_native;
	arena.be[1] = breakage ? broken_backend(breakage) : &backend_myepoll;
	arena.patience_s = breakage ? PATIENCE_BROKEN_S : PATIENCE_S;
	pthread_mutex_init(&arena.nest_lock, NULL);
	pthread_mutex_init(&arena.park_lock, NULL);
	pthread_cond_init(&arena.park_cond, NULL);
	for (i = 0; i < SLOTS; i++) {
		pthread_mutex_init(&arena.slot[i].lock, NULL);
		open_slot(&arena.slot[i], i % NR_KINDS);
	}
	for (side = 0; side < SIDES; side++) {
		for (place = 0; place < PLACES; place++) {
			arena.inst[side][place] = arena.be[side]->create(EPOLL_CLOEXEC);
			if (arena.inst[side][place] < 0)
				die("an instance");
		}
	}
}

static void start(pthread_t *thread, void *(*main)(void *), void *arg)
{
	if (pthread_create(thread, NULL, main, arg))
		die("pthread_create");
}

static void start_sleepers(void)
{
	int side, place, i;

	for (side = 0; side < SIDES; side++) {
		for (place = 0; place < PLACES; place++) {
			for (i = 0; i < WAITERS; i++) {
				struct sleeper *s = &arena.sleeper[side][place][i];

				s->side = side;
				s->place = place;
				start(&s->thread, sleeper_main, s);
			}
		}
	}
}

static void resume(void)
{
	int i;

	for (i = 0; i < SIDES * PLACES; i++)
		atomic_store(&arena.touched[i / PLACES][i % PLACES], false);
	pthread_mutex_lock(&arena.park_lock);
	atomic_store(&arena.quiet, false);
	arena.resume++;
	pthread_cond_broadcast(&arena.park_cond);
	pthread_mutex_unlock(&arena.park_lock);
	pthread_barrier_wait(&arena.barrier);
}

static void progress(uint64_t began)
{
	uint64_t ms = clock_ms() - began;

	printf("concurrent: %6llu s %10llu operations, %llu/s, %llu rounds, %llu checks, %d failed\n",
	       (unsigned long long)ms / 1000, (unsigned long long)arena.ops,
	       (unsigned long long)(arena.ops * 1000 / (ms + 1)),
	       (unsigned long long)arena.rounds,
	       (unsigned long long)arena.checks, arena.failed);
}

static void one_round(void)
{
	sleep_ms(ROUND_MS);
	atomic_store(&arena.quiet, true);
	pthread_barrier_wait(&arena.barrier);
	arena.rounds++;
	quiet_check();
}

/* The process ends with its threads where they are: that must work too. */
int concurrent(const struct options *o, uint64_t *passed)
{
	uint64_t began = clock_ms(), last = began;
	pthread_t thread;
	int i;

	seed_of_run = o->seed;
	make_arena(o->breakage);
	pthread_barrier_init(&arena.barrier, NULL, o->threads + 1);
	for (i = 0; i < o->threads; i++)
		start(&thread, worker, (void *)(uintptr_t)i);
	start_sleepers();
	do {
		if (arena.rounds)
			resume();
		one_round();
		if (clock_ms() - last >= PROGRESS_MS) {
			last = clock_ms();
			progress(began);
		}
	} while (!arena.failed &&
		 (!o->seconds || clock_ms() - began < o->seconds * 1000ULL) &&
		 (!o->steps || arena.ops < o->steps));
	progress(began);
	*passed += arena.rounds - !!arena.failed;
	return arena.failed;
}
