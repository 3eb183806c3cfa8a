/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One walk through the states of a file, the same for every kind of file and
 * on both epolls.
 *
 * A walk is an array of steps: something to do, and the exact events that the
 * file has to report from then on.  It is made level triggered, edge triggered
 * and one-shot.  A native instance watches the same file beside the instance
 * under test, which must report the same edges.
 *
 * Include this after helpers.h.
 */
#ifndef SELFTESTS_FAMILIES_H
#define SELFTESTS_FAMILIES_H

#include <poll.h>

#define FAMILY_MASK (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLRDNORM | \
		     EPOLLRDBAND | EPOLLWRNORM | EPOLLWRBAND | EPOLLMSG)
#define FAMILY_DATA 0x0123456789abcdefULL

#define READABLE (EPOLLIN | EPOLLRDNORM)
#define WRITABLE (EPOLLOUT | EPOLLWRNORM)
#define SOCK_WRITABLE (WRITABLE | EPOLLWRBAND)

/*
 * struct family - one file in a walk
 * @fd: what is watched
 * @peer: the other end, or -1
 * @extra: one more descriptor or process, or -1
 * @due: bytes sent to @fd that were not read yet
 * @peer_due: bytes sent to @peer that were not read yet
 * @map: memory of the family, or NULL
 * @be: backend under test
 */
struct family {
	int fd;
	int peer;
	int extra;
	long due;
	long peer_due;
	void *map;
	const struct backend *be;
};

/*
 * struct step - one step of a walk
 * @what: for messages
 * @act: what to do, returns 0; NULL for the state after opening
 * @want: the events from then on, of FAMILY_MASK, EPOLLERR and EPOLLHUP
 * @edge: the step is news to an edge-triggered watch, with any kernel
 */
struct step {
	const char *what;
	int (*act)(struct family *f);
	uint32_t want;
	bool edge;
};

/* Until poll(2) sees just that: some files have a worker in between. */
static inline bool family_settles(int fd, uint32_t want)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;
	struct pollfd pfd = { .fd = fd, .events = FAMILY_MASK };
	int n;

	for (;;) {
		n = poll(&pfd, 1, 0);
		if (n == !!want && pfd.revents == (short)want)
			return true;
		if (now_ns() > deadline)
			break;
		breathe();
	}
	fprintf(stderr, "# poll(2) says %#x, expected %#x\n",
		(unsigned short)pfd.revents, want);
	return false;
}

/* What the instance reports within @timeout; 0: nothing, -1: no such thing. */
static inline int family_reported(const struct backend *be, int ep, int timeout)
{
	struct epoll_event ev[2];
	int n;

	poison(ev, sizeof(ev));
	n = be->wait(ep, ev, 2, timeout);
	if (!n)
		return 0;
	return n == 1 && ev[0].data.u64 == FAMILY_DATA ? (int)ev[0].events : -1;
}

/* The wake-up may come a little after the state that poll(2) has seen. */
static inline int family_level(const struct backend *be, int ep, int want)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;
	int seen;

	while ((seen = family_reported(be, ep, 0)) != want && now_ns() < deadline)
		breathe();
	if (seen == want)
		seen = family_reported(be, ep, 0);
	return seen;
}

/*
 * Without knowing whether this kernel takes the step for news: both instances
 * must agree, be it after a while.
 */
static inline bool family_edges_agree(const struct backend *be, int ep,
				      int native)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;
	int ours = 0, theirs = 0;

	for (;;) {
		ours |= family_reported(be, ep, 0);
		theirs |= family_reported(&backend_native, native, 0);
		if (ours == theirs)
			return ours >= 0;
		if (now_ns() > deadline)
			break;
		breathe();
	}
	fprintf(stderr, "# native reports %#x, %s %#x\n", theirs, be->name, ours);
	return false;
}

static inline bool family_check(struct family *f, const struct step *step,
				uint32_t mode, int ep, int native)
{
	int want = step->want, seen;

	if (!family_settles(f->fd, want))
		return false;
	if (mode == EPOLLET) {
		if (!step->edge)
			return family_edges_agree(f->be, ep, native);
		seen = family_reported(f->be, ep, PATIENCE_MS);
		if (seen == want)
			seen = family_reported(&backend_native, native,
					       PATIENCE_MS);
		if (seen == want && family_edges_agree(f->be, ep, native))
			return true;
	} else if (mode == EPOLLONESHOT) {
		if (xmod(f->be, ep, f->fd, FAMILY_MASK | mode, FAMILY_DATA))
			return false;
		seen = family_reported(f->be, ep, 0);
		if (seen == want && !family_reported(f->be, ep, 0))
			return true;
	} else {
		seen = family_level(f->be, ep, want);
		if (seen == want)
			return true;
	}
	fprintf(stderr, "# reported %#x, expected %#x\n", seen, want);
	return false;
}

static inline void family_close(struct family *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->peer >= 0)
		close(f->peer);
	if (f->extra >= 0)
		close(f->extra);
}

/* Returns false if a step went wrong, with a message. */
static inline bool family_steps(struct family *f, const struct step *step,
				uint32_t mode, int ep, int native)
{
	for (; step->what; step++) {
		if (step->act && step->act(f)) {
			fprintf(stderr, "# %s: %m\n", step->what);
			return false;
		}
		if (!family_check(f, step, mode, ep, native)) {
			fprintf(stderr, "# %s, mode %#x\n", step->what, mode);
			return false;
		}
	}
	return true;
}

/*
 * The walk in one trigger mode.  It ends with the close of the watched file:
 * whatever it had to report is gone then.
 */
static inline bool family_walk(const struct backend *be,
			       int (*open_it)(struct family *f),
			       const struct step *steps, uint32_t mode)
{
	struct family f = { .fd = -1, .peer = -1, .extra = -1, .be = be };
	int ep = be->create(EPOLL_CLOEXEC), native = native_create(EPOLL_CLOEXEC);
	bool good = false;

	if (ep < 0 || native < 0 || open_it(&f)) {
		perror("# open");
		return false;
	}
	if (xadd(be, ep, f.fd, FAMILY_MASK | mode, FAMILY_DATA) ||
	    xadd(&backend_native, native, f.fd, FAMILY_MASK | mode, FAMILY_DATA))
		perror("# ADD");
	else
		good = family_steps(&f, steps, mode, ep, native);

	if (close(f.fd) || family_reported(be, ep, 0)) {
		fprintf(stderr, "# reported after the last close\n");
		good = false;
	}
	f.fd = -1;
	family_close(&f);
	if (family_reported(be, ep, 0)) {
		fprintf(stderr, "# reported after the close of the peer\n");
		good = false;
	}
	close(ep);
	close(native);
	return good;
}

#endif /* SELFTESTS_FAMILIES_H */
