/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of the stress test, and those of its actions that no books are kept
 * of.  See stress.c.
 */
#ifndef SELFTESTS_STRESS_H
#define SELFTESTS_STRESS_H

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "kselftest.h"
#include "helpers.h"

#define INSTANCES 3
#define STEADY 24
#define EDGES 6
#define CHAOS 48
#define CHAOS_BASE 400
#define CONSUMERS 4
#define PHASE_MS 1000

/* What a watch's data says it is */
#define TAG_STEADY 0x100000000ULL
#define TAG_EDGE 0x200000000ULL
#define TAG_CHAOS 0x300000000ULL
#define TAG_INSTANCE 0x400000000ULL

/*
 * struct steady - an eventfd and who watches it
 * @lock: of all below
 * @count: what is in it
 * @mask: with which mask each instance watches it; ~0: not at all
 */
struct steady {
	pthread_mutex_t lock;
	int fd;
	uint64_t count;
	uint32_t mask[INSTANCES];
};

/*
 * struct edge - an eventfd of the producer
 * @oneshot: watched one-shot, else edge-triggered
 * @sent: by the producer alone
 * @got: by all consumers
 */
struct edge {
	int fd;
	bool oneshot;
	uint64_t sent;
	atomic_ullong got;
};

static struct {
	const struct backend *be;
	int seconds;
	int threads;
	uint64_t seed;
	int instance[INSTANCES];
	int outer;
	int edge_instance;
	struct steady steady[STEADY];
	struct edge edge[EDGES];
	atomic_bool stop;
	atomic_bool quiet;
	int quit;
	atomic_bool failed;
	atomic_ullong ops;
	atomic_int progress;
} s;

static void fail(const char *what, int a, int b)
{
	atomic_store(&s.failed, true);
	ksft_print_msg("%s: %s (%d, %d; errno %d)\n", s.be->name, what, a, b, errno);
}

/* xorshift64*: the sequence of each thread depends on the seed and its number. */
static uint64_t rnd(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

static uint32_t below(uint64_t *state, uint32_t limit)
{
	return (rnd(state) >> 33) % limit;
}

static int any_instance(uint64_t *r)
{
	return s.instance[below(r, INSTANCES)];
}

static bool one_of(int err, const int *list)
{
	for (; *list; list++) {
		if (*list == err)
			return true;
	}
	return false;
}

/* Those who look */

static void look_wait(uint64_t *r)
{
	struct epoll_event ev[8];
	int max = 1 + below(r, ARRAY_SIZE(ev)), n, i;

	poison(ev, sizeof(ev));
	n = s.be->wait(below(r, 8) ? any_instance(r) : s.outer, ev, max,
		       below(r, 4) ? 0 : (int)below(r, 3));
	if (n < 0 || n > max)
		fail("wait", n, max);
	for (i = 0; i < n; i++) {
		uint64_t tag = ev[i].data.u64 & ~0xffffffffULL;

		if (!tag || tag > TAG_INSTANCE || !ev[i].events)
			fail("an event that nobody asked for", tag >> 32, ev[i].events);
	}
}

static void look_poll(uint64_t *r)
{
	struct pollfd pfd[2] = {
		{ .fd = any_instance(r), .events = POLLIN },
		{ .fd = s.outer, .events = POLLIN },
	};

	if (poll(pfd, 2, below(r, 3)) < 0)
		fail("poll", 0, 0);
	if ((pfd[0].revents | pfd[1].revents) & ~POLLIN)
		fail("poll events", pfd[0].revents, pfd[1].revents);
}

static int count_watches_of(int ep)
{
	char path[64], line[256];
	int watches = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ep);
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file))
		watches += !strncmp(line, "tfd:", 4);
	fclose(file);
	return watches;
}

static void look_fdinfo(uint64_t *r)
{
	if (count_watches_of(below(r, 4) ? any_instance(r) : s.edge_instance) < 0)
		fail("fdinfo", 0, 0);
}

/* Chaos */

static int chaos_fd(uint64_t *r)
{
	return CHAOS_BASE + below(r, CHAOS);
}

static int chaos_new(uint64_t *r, int fd[2])
{
	struct itimerspec it = {
		.it_value.tv_nsec = 1 + below(r, 3000000),
		.it_interval.tv_nsec = 1000000 + below(r, 3000000),
	};

	fd[1] = -1;
	switch (below(r, 6)) {
	case 0:
		return pipe2(fd, O_NONBLOCK | O_CLOEXEC);
	case 1:
		return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd);
	case 2:
		return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fd);
	case 3:
		fd[0] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
		return fd[0] < 0 ? -1 : timerfd_settime(fd[0], 0, &it, NULL);
	case 4:
		fd[0] = s.be->create(EPOLL_CLOEXEC);
		return fd[0] < 0 ? -1 : 0;
	default:
		fd[0] = eventfd(below(r, 2), EFD_NONBLOCK);
		return fd[0] < 0 ? -1 : 0;
	}
}

/* Only numbers from CHAOS_BASE on are closed by others. */
static void chaos_open(uint64_t *r)
{
	int fd[2], i;

	if (chaos_new(r, fd)) {
		fail("a new file", 0, 0);
		return;
	}
	for (i = 0; i < 2; i++) {
		if (fd[i] < 0)
			continue;
		if (dup2(fd[i], chaos_fd(r)) < 0 && errno != EBUSY)
			fail("dup2", fd[i], 0);
		close(fd[i]);
	}
}

static void chaos_ctl(uint64_t *r)
{
	static const int explained[] = { EEXIST, ENOENT, EBADF, EINVAL, ELOOP, 0 };
	static const uint32_t modes[] = { 0, EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE,
					  EPOLLET | EPOLLEXCLUSIVE };
	uint32_t mask = EPOLLIN | (below(r, 4) ? 0 : EPOLLOUT);
	int ep = any_instance(r), fd = chaos_fd(r), op = 1 + below(r, 3);

	mask |= modes[below(r, ARRAY_SIZE(modes))];
	if (!below(r, 8) && !atomic_load(&s.quiet)) {
		ep = s.edge_instance;
		mask |= EPOLLET;
	} else if (!below(r, 8)) {
		/* Perhaps no instance at all. */
		ep = chaos_fd(r);
		if (xctl(s.be, ep, op, fd, mask, TAG_CHAOS) &&
		    errno != ENOTTY && errno != EPERM && !one_of(errno, explained))
			fail("ctl between chaos files", op, ep);
		return;
	}
	if (xctl(s.be, ep, op, fd, mask, TAG_CHAOS) && !one_of(errno, explained))
		fail("ctl on a chaos file", op, fd);
}

static void chaos_close(uint64_t *r)
{
	if (close(chaos_fd(r)) && errno != EBADF)
		fail("close", 0, 0);
}

static void chaos_dup(uint64_t *r)
{
	if (dup2(chaos_fd(r), chaos_fd(r)) < 0 && errno != EBADF && errno != EBUSY)
		fail("dup2", 0, 0);
}

static void chaos_io(uint64_t *r)
{
	char buf[64] = { 1 };
	int fd = chaos_fd(r), flags = fcntl(fd, F_GETFL);

	/* An fd that another thread changes meanwhile still never blocks. */
	if (flags < 0 || !(flags & O_NONBLOCK))
		return;
	if (below(r, 2) ? write(fd, buf, 8) < 0 : read(fd, buf, sizeof(buf)) < 0)
		errno = 0;
}

/* A child shares the instances; it adds, looks and goes. */
static void chaos_fork(uint64_t *r)
{
	int ep = any_instance(r), fd = chaos_fd(r), status;
	struct epoll_event ev;
	pid_t pid = fork();

	if (!pid) {
		xadd(s.be, ep, fd, EPOLLIN, TAG_CHAOS);
		_exit(s.be->wait(ep, &ev, 1, 0) < 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		fail("child", pid, status);
}

static void nest(uint64_t *r)
{
	static const int explained[] = { EEXIST, ENOENT, EINVAL, ELOOP, 0 };
	int outer = any_instance(r), inner = any_instance(r);
	int op = below(r, 3) ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;

	if (xctl(s.be, outer, op, inner, EPOLLIN | (below(r, 2) ? EPOLLET : 0),
		 TAG_CHAOS) && !one_of(errno, explained))
		fail("nesting", outer, inner);
}

/* An instance with watches that is closed at once. */
static void short_lived(uint64_t *r)
{
	int ep = s.be->create(EPOLL_CLOEXEC), i;
	struct epoll_event ev[4];

	if (ep < 0) {
		fail("create", 0, 0);
		return;
	}
	for (i = below(r, STEADY); i < STEADY; i += 3) {
		if (xadd(s.be, ep, s.steady[i].fd, EPOLLIN, TAG_STEADY + i))
			fail("add to a new instance", ep, i);
	}
	if (s.be->wait(ep, ev, 4, 0) < 0)
		fail("wait on a new instance", ep, 0);
	close(ep);
}

#endif /* SELFTESTS_STRESS_H */
