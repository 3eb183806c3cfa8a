// SPDX-License-Identifier: GPL-2.0-only
/*
 * Wait-queue heads that go away while they are watched (POLLFREE), and
 * removals that race with that and with interrupts, with the mock device.
 */
#define _GNU_SOURCE
#include <sys/signalfd.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "mockuse.h"
#include "mockfix.h"

TEST_F(mockdev, pollfree_then_del)
{
	ASSERT_EQ(0, mock_heads(self->fd, 1, MOCK_HEAD_FREEABLE));
	ASSERT_EQ(0, ADD(EPOLLIN));
	EXPECT_EQ(1, mock_entries(self->fd, MOCK_HEAD_FREEABLE));
	ASSERT_EQ(0, mock_pollfree(self->fd));
	EXPECT_EQ(0, REPORTED());
	ASSERT_EQ(0, DEL());
	ASSERT_EQ(-1, DEL());
	EXPECT_EQ(ENOENT, errno);
}

TEST_F(mockdev, pollfree_says_hup)
{
	ASSERT_EQ(0, mock_heads(self->fd, 1, MOCK_HEAD_FREEABLE));
	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLET));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLHUP));
	EXPECT_EQ(0, REPORTED());
	ASSERT_EQ(0, mock_pollfree(self->fd));
	EXPECT_EQ(EPOLLHUP, REPORTED());
	EXPECT_EQ(0, REPORTED());
}

TEST_F(mockdev, pollfree_then_mod)
{
	ASSERT_EQ(0, mock_heads(self->fd, 2, MOCK_HEAD_FREEABLE, 0));
	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, mock_pollfree(self->fd));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLOUT));
	ASSERT_EQ(0, MOD(EPOLLOUT | EPOLLET));
	EXPECT_EQ(EPOLLOUT, REPORTED());
	/* The other head is not affected. */
	EXPECT_EQ(1, mock_entries(self->fd, 0));
	ASSERT_EQ(0, mock_wake(self->fd, 0, EPOLLOUT));
	EXPECT_EQ(EPOLLOUT, REPORTED());
}

TEST_F(mockdev, pollfree_of_a_head_registered_twice)
{
	ASSERT_EQ(0, mock_heads(self->fd, 3, MOCK_HEAD_FREEABLE, 0, MOCK_HEAD_FREEABLE));
	ASSERT_EQ(0, ADD(EPOLLIN | EPOLLEXCLUSIVE));
	EXPECT_EQ(2, mock_exclusive(self->fd, MOCK_HEAD_FREEABLE));
	ASSERT_EQ(0, mock_pollfree(self->fd));
	ASSERT_EQ(0, mock_event(self->fd, EPOLLIN));
	EXPECT_EQ(EPOLLIN, REPORTED());
	ASSERT_EQ(0, DEL());
	EXPECT_EQ(0, mock_entries(self->fd, 0));
}

TEST_F(mockdev, pollfree_then_close_of_the_file)
{
	ASSERT_EQ(0, mock_heads(self->fd, 2, 0, MOCK_HEAD_FREEABLE));
	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	ASSERT_EQ(0, mock_pollfree(self->fd));
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	EXPECT_EQ(0, REPORTED());
}

TEST_F(mockdev, pollfree_then_close_of_the_instance)
{
	ASSERT_EQ(0, mock_heads(self->fd, 2, 0, MOCK_HEAD_FREEABLE));
	ASSERT_EQ(0, ADD(EPOLLIN));
	ASSERT_EQ(0, mock_pollfree(self->fd));
	ASSERT_EQ(0, close(self->ep));
	self->ep = -1;
	EXPECT_EQ(0, mock_entries(self->fd, 0));
}

TEST_F(mockdev, pollfree_then_add)
{
	ASSERT_EQ(0, mock_heads(self->fd, 1, MOCK_HEAD_FREEABLE));
	ASSERT_EQ(0, mock_pollfree(self->fd));
	ASSERT_EQ(0, mock_set(self->fd, EPOLLIN));
	ASSERT_EQ(0, ADD(EPOLLIN));
	EXPECT_EQ(EPOLLIN, REPORTED());
	ASSERT_EQ(0, DEL());
}

enum { RACE_DEL, RACE_MOD, RACE_ADD, RACE_CLOSE, RACES };

/*
 * struct race - something that takes a head away, against a call of ours
 * @start, @end: both threads meet before and after each round
 * @fd: the file of this round; negative: no more rounds
 * @owner: process whose signals the file tells of, 0 for a mock object
 * @failures: of the thread that takes the head away
 */
struct race {
	pthread_barrier_t start;
	pthread_barrier_t end;
	int fd;
	pid_t owner;
	int failures;
	pthread_t thread;
};

static void *race_main(void *arg)
{
	struct race *race = arg;

	for (;;) {
		pthread_barrier_wait(&race->start);
		if (race->fd < 0)
			return NULL;
		if (race->owner)
			race->failures += waitpid(race->owner, NULL, 0) != race->owner;
		else
			race->failures += !!mock_pollfree(race->fd);
		pthread_barrier_wait(&race->end);
	}
}

static int race_begin(struct race *race)
{
	memset(race, 0, sizeof(*race));
	return pthread_barrier_init(&race->start, NULL, 2) ?:
	       pthread_barrier_init(&race->end, NULL, 2) ?:
	       pthread_create(&race->thread, NULL, race_main, race);
}

/* Returns how often the other thread failed. */
static int race_stop(struct race *race)
{
	race->fd = -1;
	pthread_barrier_wait(&race->start);
	return pthread_join(race->thread, NULL) ?: race->failures;
}

static int race_call(const struct backend *be, int ep, int fd, int what)
{
	switch (what) {
	case RACE_DEL:
		return xdel(be, ep, fd);
	case RACE_MOD:
		return xmod(be, ep, fd, EPOLLIN | EPOLLET, 2);
	case RACE_ADD:
		return xadd(be, ep, fd, EPOLLIN, 1);
	default:
		return close(ep);
	}
}

/* Returns 0 if everything went as it must. */
static int race_round(const struct backend *be, struct race *race, int what)
{
	int ep = be->create(0), fd = mock_open(), ret = 0;

	if (ep < 0 || fd < 0)
		return -1;
	race->fd = fd;
	ret |= mock_heads(fd, 3, MOCK_HEAD_FREEABLE, 0, MOCK_HEAD_FREEABLE);
	if (what != RACE_ADD)
		ret |= xadd(be, ep, fd, EPOLLIN, 1);
	pthread_barrier_wait(&race->start);
	ret |= race_call(be, ep, fd, what);
	pthread_barrier_wait(&race->end);
	if (what == RACE_ADD || what == RACE_MOD) {
		ret |= mock_entries(fd, 0) != 1;
		ret |= xdel(be, ep, fd);
	}
	ret |= mock_entries(fd, 0);
	if (what != RACE_CLOSE)
		ret |= close(ep);
	return ret | close(fd);
}

TEST_F_TIMEOUT(mockdev, pollfree_against_our_calls, 120)
{
	struct race race;
	int i;

	ASSERT_EQ(0, race_begin(&race));
	for (i = 0; i < 150 * RACES; i++)
		ASSERT_EQ(0, race_round(self->be, &race, i % RACES));
	EXPECT_EQ(0, race_stop(&race));
}

/*
 * A signalfd hangs on the signal handlers of the process that added it and the
 * kernel takes these away when that process is reaped.  Returns the process,
 * dead but not reaped; it has added @fd.
 */
static pid_t dead_adder(const struct backend *be, int ep, int fd)
{
	siginfo_t info;
	pid_t pid = fork();

	if (!pid)
		_exit(xadd(be, ep, fd, EPOLLIN, DATA) ? 1 : 0);
	if (pid < 0 || waitid(P_PID, pid, &info, WEXITED | WNOWAIT))
		return -1;
	return info.si_code == CLD_EXITED && !info.si_status ? pid : -1;
}

TEST_F(mockdev, signalfd_of_a_reaped_process)
{
	struct epoll_event ev;
	sigset_t mask;
	pid_t pid;
	int fd;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &mask, NULL));
	fd = signalfd(-1, &mask, SFD_NONBLOCK);
	ASSERT_LE(0, fd);
	pid = dead_adder(self->be, self->ep, fd);
	ASSERT_LT(0, pid);
	EXPECT_EQ(0, REPORTED());
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));

	/* The signals reported are those of whoever asks, once someone does. */
	ASSERT_EQ(0, raise(SIGUSR1));
	EXPECT_EQ(0, xmod(self->be, self->ep, fd, EPOLLIN, DATA));
	EXPECT_EQ(EPOLLIN, REPORTED());
	EXPECT_EQ(0, xdel(self->be, self->ep, fd));
	EXPECT_EQ(0, wait0(self->be, self->ep, &ev, 1));
	EXPECT_EQ(0, close(fd));
}

TEST_F_TIMEOUT(mockdev, signalfd_reaped_against_removal, 120)
{
	struct race race;
	sigset_t mask;
	int i;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &mask, NULL));
	ASSERT_EQ(0, race_begin(&race));
	for (i = 0; i < 150; i++) {
		race.fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
		ASSERT_LE(0, race.fd);
		race.owner = dead_adder(self->be, self->ep, race.fd);
		ASSERT_LT(0, race.owner);
		pthread_barrier_wait(&race.start);
		EXPECT_EQ(0, i % 3 ? close(race.fd) :
				     xdel(self->be, self->ep, race.fd));
		pthread_barrier_wait(&race.end);
		ASSERT_EQ(0, REPORTED());
		if (!(i % 3))
			ASSERT_EQ(0, close(race.fd));
	}
	EXPECT_EQ(0, race_stop(&race));
}

/* A timer fires at some point of ADD, report and DEL, another one each time. */
TEST_F_TIMEOUT(mockdev, hard_interrupt_against_add_and_del, 120)
{
	uint64_t fired = 0;
	int i;

	for (i = 0; i < 1000; i++) {
		int seen;

		ASSERT_EQ(0, mock_set(self->fd, 0));
		ASSERT_EQ(0, mock_order(self->fd, MOCK_HARDIRQ, 0, EPOLLIN,
					MOCK_WAKE_SET, EPOLLIN, i * 200));
		ASSERT_EQ(0, ADD(EPOLLIN | (i % 2 ? EPOLLET : 0)));
		seen = REPORTED();
		ASSERT_TRUE(seen == 0 || seen == EPOLLIN);
		if (i % 3 == 0) {
			ASSERT_EQ(0, DEL());
			ASSERT_TRUE(mock_wait_wakes(self->fd, MOCK_HARDIRQ, ++fired));
			ASSERT_EQ(0, REPORTED());
			continue;
		}
		ASSERT_TRUE(mock_wait_wakes(self->fd, MOCK_HARDIRQ, ++fired));
		/*
		 * Edge triggered, the event may have been reported for the
		 * look at ADD already; the wake-up may then report it again.
		 */
		if (!seen || !(i % 2))
			ASSERT_EQ(EPOLLIN, REPORTED());
		ASSERT_EQ(0, DEL());
		ASSERT_EQ(0, REPORTED());
	}
}

TEST_HARNESS_MAIN
