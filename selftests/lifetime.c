// SPDX-License-Identifier: GPL-2.0-only
/* How long a watch lives: until the last reference to its file is gone. */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "observe.h"
#include "fdpass.h"

#define RACE_ROUNDS 1000

FIXTURE(lifetime)
{
	int ep;
	int efd;
	int other;
	struct epoll_event ev[4];
};

BACKEND_VARIANTS(lifetime);

FIXTURE_SETUP(lifetime)
{
	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->efd);
	self->other = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->other);
}

FIXTURE_TEARDOWN(lifetime)
{
	close(self->other);
	close(self->efd);
	close(self->ep);
}

#define watch(fd, mask, data) \
	ASSERT_EQ(0, xadd(variant->be, self->ep, fd, mask, data))
#define touch(fd) ASSERT_EQ(0, eventfd_write(fd, 1))
#define wait_now() wait0(variant->be, self->ep, self->ev, 4)

#define EXPECT_REFUSED(error, call) do {				\
	EXPECT_EQ(-1, call);						\
	EXPECT_EQ(error, errno);					\
} while (0)

TEST_F(lifetime, last_close_takes_the_watch_away)
{
	watch(self->efd, EPOLLIN, 1);
	EXPECT_EQ(1, count_watches(self->ep));
	close(self->efd);
	EXPECT_EQ(0, count_watches(self->ep));
	EXPECT_REFUSED(EBADF, xdel(variant->be, self->ep, self->efd));
	self->efd = -1;
}

TEST_F(lifetime, last_close_takes_a_queued_event_away)
{
	watch(self->efd, EPOLLIN, 1);
	watch(self->other, EPOLLIN, 2);
	touch(self->efd);
	touch(self->other);
	close(self->efd);
	ASSERT_EQ(1, wait_now());
	EXPECT_EQ(2U, self->ev[0].data.u64);
	self->efd = -1;
}

TEST_F(lifetime, last_close_wakes_nobody)
{
	struct waiter w = {
		.be = variant->be, .ep = self->ep, .timeout = -1
	};
	long slept;

	watch(self->efd, EPOLLIN | EPOLLHUP, 1);
	watch(self->other, EPOLLIN, 2);
	ASSERT_EQ(0, waiter_start(&w));
	slept = sleep_count(w.tid);
	close(self->efd);
	EXPECT_TRUE(slept_on(&w, slept));
	touch(self->other);
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(2U, w.events[0].data.u64);
	self->efd = -1;
}

TEST_F(lifetime, watch_lives_on_with_a_duplicate)
{
	int copy = dup(self->efd);

	ASSERT_LE(0, copy);
	watch(self->efd, EPOLLIN, 1);
	close(self->efd);
	touch(copy);
	ASSERT_EQ(1, wait_now());
	EXPECT_EQ(1U, self->ev[0].data.u64);
	/* neither descriptor names it now */
	EXPECT_REFUSED(EBADF, xmod(variant->be, self->ep, self->efd, 0, 0));
	EXPECT_REFUSED(ENOENT, xmod(variant->be, self->ep, copy, 0, 0));
	EXPECT_REFUSED(ENOENT, xdel(variant->be, self->ep, copy));
	EXPECT_EQ(1, wait_now());
	close(copy);
	EXPECT_EQ(0, wait_now());
	EXPECT_EQ(0, count_watches(self->ep));
	self->efd = -1;
}

TEST_F(lifetime, watch_is_named_again_by_its_old_number)
{
	int copy = dup(self->efd);

	ASSERT_LE(0, copy);
	watch(self->efd, EPOLLIN, 1);
	close(self->efd);
	ASSERT_EQ(self->efd, dup2(copy, self->efd));
	EXPECT_REFUSED(EEXIST, xadd(variant->be, self->ep, self->efd, EPOLLIN,
				    2));
	EXPECT_EQ(0, xdel(variant->be, self->ep, self->efd));
	EXPECT_EQ(0, count_watches(self->ep));
	close(copy);
}

TEST_F(lifetime, two_descriptors_of_a_file_are_two_watches)
{
	int copy = dup(self->efd);

	ASSERT_LE(0, copy);
	watch(self->efd, EPOLLIN, 1);
	watch(copy, EPOLLIN | EPOLLET, 2);
	touch(copy);
	EXPECT_EQ(2, wait_now());
	EXPECT_EQ(1, wait_now());
	ASSERT_EQ(0, xdel(variant->be, self->ep, self->efd));
	touch(copy);
	ASSERT_EQ(1, wait_now());
	EXPECT_EQ(2U, self->ev[0].data.u64);
	close(copy);
	EXPECT_EQ(1, count_watches(self->ep));
	close(self->efd);
	EXPECT_EQ(0, count_watches(self->ep));
	self->efd = -1;
}

TEST_F(lifetime, last_close_takes_all_watches_away)
{
	int second = variant->be->create(EPOLL_CLOEXEC);
	int copy = dup(self->efd);

	ASSERT_LE(0, second);
	ASSERT_LE(0, copy);
	watch(self->efd, EPOLLIN, 1);
	watch(copy, EPOLLIN, 2);
	ASSERT_EQ(0, xadd(variant->be, second, copy, EPOLLIN, 3));
	touch(copy);
	ASSERT_EQ(0, close(self->efd));
	ASSERT_EQ(0, close(copy));
	self->efd = -1;
	EXPECT_EQ(0, wait_now());
	EXPECT_EQ(0, wait0(variant->be, second, self->ev, 1));
	EXPECT_EQ(0, count_watches(self->ep));
	EXPECT_EQ(0, count_watches(second));
	close(second);
}

TEST_F(lifetime, number_reused_is_another_watch)
{
	int copy = dup(self->efd), fd = self->efd;

	ASSERT_LE(0, copy);
	watch(fd, EPOLLIN, 1);
	ASSERT_EQ(fd, dup2(self->other, fd));
	watch(fd, EPOLLIN, 2);
	EXPECT_EQ(2, count_watches(self->ep));
	touch(copy);
	touch(self->other);
	ASSERT_EQ(2, wait_now());
	EXPECT_EQ(1U, self->ev[0].data.u64);
	EXPECT_EQ(2U, self->ev[1].data.u64);
	ASSERT_EQ(0, xmod(variant->be, self->ep, fd, EPOLLIN, 3));
	ASSERT_EQ(0, xdel(variant->be, self->ep, fd));
	EXPECT_REFUSED(ENOENT, xdel(variant->be, self->ep, fd));
	ASSERT_EQ(1, wait_now());
	EXPECT_EQ(1U, self->ev[0].data.u64);
	close(copy);
	EXPECT_EQ(0, count_watches(self->ep));
}

TEST_F(lifetime, number_reused_after_the_last_close_is_free)
{
	for (int i = 0; i < 200; i++) {
		int fd = eventfd(1, EFD_CLOEXEC);

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, xadd(variant->be, self->ep, fd, EPOLLIN, i));
		close(fd);
	}
	EXPECT_EQ(0, wait_now());
	EXPECT_EQ(0, count_watches(self->ep));
}

TEST_F(lifetime, dup2_over_a_descriptor_is_a_close)
{
	watch(self->efd, EPOLLIN, 1);
	touch(self->efd);
	ASSERT_EQ(self->efd, dup2(self->other, self->efd));
	EXPECT_EQ(0, count_watches(self->ep));
	EXPECT_EQ(0, wait_now());
}

TEST_F(lifetime, close_range_closes_all)
{
	int low, high = -1;

	low = fcntl(self->efd, F_DUPFD_CLOEXEC, 200);
	ASSERT_EQ(200, low);
	watch(low, EPOLLIN, 0);
	for (int i = 1; i < 50; i++) {
		high = eventfd(1, EFD_CLOEXEC);
		ASSERT_EQ(low + i, dup3(high, low + i, O_CLOEXEC));
		close(high);
		high = low + i;
		watch(high, EPOLLIN, i);
	}
	EXPECT_EQ(50, count_watches(self->ep));
	ASSERT_EQ(0, syscall(SYS_close_range, low, high, 0));
	/* the first one is also self->efd */
	EXPECT_EQ(1, count_watches(self->ep));
	EXPECT_EQ(0, wait_now());
}

TEST_F(lifetime, watch_does_not_keep_its_file_open)
{
	int sock[2];
	char c;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
				SOCK_CLOEXEC, 0, sock));
	watch(sock[0], EPOLLIN | EPOLLOUT, 1);
	EXPECT_EQ(1, wait_now());
	EXPECT_EQ(-1, read(sock[1], &c, 1));
	EXPECT_EQ(EAGAIN, errno);
	close(sock[0]);
	EXPECT_EQ(0, read(sock[1], &c, 1));
	close(sock[1]);
}

TEST_F(lifetime, watch_lives_in_a_message)
{
	int sock[2], p[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock));
	ASSERT_EQ(0, pipe2(p, O_CLOEXEC));
	watch(p[0], EPOLLIN, 1);
	ASSERT_EQ(0, send_fd(sock[0], p[0]));
	close(p[0]);
	ASSERT_EQ(1, write(p[1], "x", 1));
	EXPECT_EQ(1, wait_now());
	p[0] = receive_fd(sock[1]);
	ASSERT_LE(0, p[0]);
	EXPECT_EQ(1, wait_now());
	close(p[0]);
	EXPECT_EQ(0, wait_now());
	EXPECT_EQ(0, count_watches(self->ep));
	close(sock[0]);
	close(sock[1]);
	close(p[1]);
}

TEST_F(lifetime, message_thrown_away_takes_the_watch_along)
{
	int sock[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock));
	watch(self->efd, EPOLLIN, 1);
	ASSERT_EQ(0, send_fd(sock[0], self->efd));
	touch(self->efd);
	close(self->efd);
	EXPECT_EQ(1, wait_now());
	close(sock[0]);
	close(sock[1]);
	EXPECT_EQ(0, wait_now());
	EXPECT_EQ(0, count_watches(self->ep));
	self->efd = -1;
}

/* An instance in a message on a socket that it watches itself. */
TEST_F(lifetime, instance_in_flight_on_its_own_file_is_freed)
{
	int sock[2], p[2];
	char c;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock));
	ASSERT_EQ(0, pipe2(p, O_CLOEXEC | O_NONBLOCK));
	watch(sock[1], EPOLLIN, 1);
	watch(p[1], EPOLLOUT, 2);
	ASSERT_EQ(0, send_fd(sock[0], self->ep));
	/* the writing end goes into the same socket: it tells of its end */
	ASSERT_EQ(0, send_fd(sock[0], p[1]));
	close(self->ep);
	close(p[1]);
	EXPECT_EQ(-1, read(p[0], &c, 1));
	close(sock[0]);
	close(sock[1]);
	EXPECT_EQ(0, read(p[0], &c, 1));
	close(p[0]);
	self->ep = -1;
}

TEST_F(lifetime, file_with_two_wait_queues)
{
	char path[64], buf[4096];
	int p[2], both;

	/* a pipe open for reading and writing waits on both of its queues */
	ASSERT_EQ(0, pipe2(p, O_CLOEXEC | O_NONBLOCK));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
	both = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	ASSERT_LE(0, both);
	watch(both, EPOLLIN | EPOLLOUT | EPOLLET, 1);
	ASSERT_EQ(1, wait_now());
	EXPECT_EQ((uint32_t)EPOLLOUT, self->ev[0].events);
	EXPECT_EQ(0, wait_now());
	memset(buf, 0, sizeof(buf));
	while (write(p[1], buf, sizeof(buf)) > 0)
		;
	ASSERT_EQ(1, wait_now());
	EXPECT_EQ((uint32_t)EPOLLIN, self->ev[0].events);
	EXPECT_EQ(0, wait_now());
	while (read(p[0], buf, sizeof(buf)) > 0)
		;
	ASSERT_EQ(1, wait_now());
	EXPECT_EQ((uint32_t)EPOLLOUT, self->ev[0].events);
	close(both);
	EXPECT_EQ(0, count_watches(self->ep));
	ASSERT_EQ(1, write(p[1], "x", 1));
	EXPECT_EQ(0, wait_now());
	close(p[0]);
	close(p[1]);
}

TEST_F(lifetime, instance_lives_as_long_as_someone_waits_on_it)
{
	struct waiter w = {
		.be = variant->be, .ep = self->ep, .timeout = -1
	};
	long slept;

	watch(self->efd, EPOLLIN, 1);
	ASSERT_EQ(0, waiter_start(&w));
	slept = sleep_count(w.tid);
	close(self->ep);
	EXPECT_TRUE(slept_on(&w, slept));
	touch(self->efd);
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(1U, w.events[0].data.u64);
	self->ep = -1;
}

/* DEL, close of the file and close of the instance, in every order */
TEST_F(lifetime, every_order_of_the_three_ends)
{
	static const char * const orders[] = {
		"dfe", "def", "fde", "fed", "edf", "efd"
	};

	for (int i = 0; i < 2 * 6; i++) {
		int ep = variant->be->create(EPOLL_CLOEXEC);
		int fd = eventfd(i % 2, EFD_CLOEXEC);
		bool ep_open = true, fd_open = true;

		ASSERT_LE(0, ep);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, xadd(variant->be, ep, fd, EPOLLIN, 0));
		for (const char *step = orders[i / 2]; *step; step++) {
			if (*step == 'd' && ep_open && fd_open) {
				EXPECT_EQ(0, xdel(variant->be, ep, fd));
			} else if (*step == 'd') {
				EXPECT_REFUSED(EBADF, xdel(variant->be, ep,
							   fd));
			} else if (*step == 'f') {
				EXPECT_EQ(0, close(fd));
				fd_open = false;
			} else if (*step == 'e') {
				EXPECT_EQ(0, close(ep));
				ep_open = false;
			}
		}
	}
}

/* struct closer - closes @fd in every round, against the main thread */
struct closer {
	int fd;
	pthread_barrier_t step;
};

static void *closer_main(void *arg)
{
	struct closer *c = arg;

	for (int i = 0; i < RACE_ROUNDS; i++) {
		pthread_barrier_wait(&c->step);
		close(c->fd);
		pthread_barrier_wait(&c->step);
	}
	return NULL;
}

/*
 * Each round has a fresh file, ready, with @fd as the descriptor, closed by
 * another thread while this one does @what.
 */
enum against { AGAINST_WAIT, AGAINST_DEL, AGAINST_MOD, AGAINST_CLOSE };

static int race_step(const struct backend *be, int ep, int fd,
		     enum against what)
{
	struct epoll_event ev;
	int ret;

	switch (what) {
	case AGAINST_WAIT:
		ret = wait0(be, ep, &ev, 1);
		return ret == 0 || ret == 1 ? 0 : -1;
	case AGAINST_DEL:
		ret = xdel(be, ep, fd);
		break;
	case AGAINST_MOD:
		ret = xmod(be, ep, fd, EPOLLIN | EPOLLET, 1);
		break;
	default:
		return close(ep);
	}
	return !ret || errno == EBADF ? 0 : -1;
}

static void race_close(struct __test_metadata *_metadata,
		       const struct backend *be, enum against what)
{
	struct closer c = { .fd = -1 };
	struct epoll_event ev;
	pthread_t thread;
	int faults = 0, left = 0, ep = -1;
	int64_t seen;

	ASSERT_EQ(0, pthread_barrier_init(&c.step, NULL, 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, closer_main, &c));
	for (int i = 0; i < RACE_ROUNDS; i++) {
		int sock[2];

		if (ep < 0)
			ep = be->create(EPOLL_CLOEXEC);
		ASSERT_LE(0, ep);
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK,
					0, sock));
		ASSERT_EQ(0, xadd(be, ep, sock[0], EPOLLIN | EPOLLOUT, i));
		c.fd = sock[0];
		pthread_barrier_wait(&c.step);
		faults += race_step(be, ep, sock[0], what) != 0;
		pthread_barrier_wait(&c.step);
		if (what == AGAINST_CLOSE)
			ep = -1;
		else
			left += wait0(be, ep, &ev, 1) != 0;
		/* the other end hears of it now, not when someone waits */
		seen = read(sock[1], &ev, 1);
		faults += seen != 0;
		close(sock[1]);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, faults);
	EXPECT_EQ(0, left);
	close(ep);
}

TEST_F_TIMEOUT(lifetime, close_races_with_wait, 120)
{
	race_close(_metadata, variant->be, AGAINST_WAIT);
}

TEST_F_TIMEOUT(lifetime, close_races_with_del, 120)
{
	race_close(_metadata, variant->be, AGAINST_DEL);
}

TEST_F_TIMEOUT(lifetime, close_races_with_mod, 120)
{
	race_close(_metadata, variant->be, AGAINST_MOD);
}

TEST_F_TIMEOUT(lifetime, close_races_with_close_of_the_instance, 120)
{
	race_close(_metadata, variant->be, AGAINST_CLOSE);
}

static void *wait_until_stop(void *arg)
{
	struct waiter *w = arg;
	struct epoll_event ev;

	while (w->be->wait(w->ep, &ev, 1, -1) == 1)
		if (ev.data.u64 == 0)
			return NULL;
	return "wait failed";
}

/*
 * A waiter that is just looking at a file may drop the last reference to it.
 * It must not sleep on that: the other end has to hear of the close.  Native
 * epoll puts the release off until the waiter returns to its program.
 */
TEST_F_TIMEOUT(lifetime, peer_hears_of_a_close_while_others_wait, 120)
{
	struct waiter w = { .be = variant->be, .ep = self->ep };
	pthread_t thread[2];
	int unheard = 0;
	void *failure;

	watch(self->other, EPOLLIN, 0);
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, wait_until_stop,
					    &w));
	for (int i = 0; i < RACE_ROUNDS && !unheard; i++) {
		struct pollfd pfd = { .events = POLLRDHUP };
		int sock[2];
		char c;

		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
		watch(sock[0], EPOLLIN | EPOLLET, 1);
		ASSERT_EQ(1, write(sock[1], "x", 1));
		/* what wakes a waiter is over when it gets to look */
		ASSERT_EQ(1, read(sock[0], &c, 1));
		close(sock[0]);
		pfd.fd = sock[1];
		unheard += poll(&pfd, 1, PATIENCE_MS / 4) != 1;
		close(sock[1]);
	}
	touch(self->other);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_join(thread[i], &failure));
		EXPECT_EQ(NULL, failure);
	}
	if (unheard && !variant->be->ours)
		SKIP(return, "native bug on this kernel: a sleeping waiter kept the file open");
	EXPECT_EQ(0, unheard);
}

TEST_HARNESS_MAIN
