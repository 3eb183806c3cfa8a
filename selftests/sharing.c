// SPDX-License-Identifier: GPL-2.0-only
/* One instance in several processes: fork, exec, exit, kill, messages. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "observe.h"
#include "fdpass.h"

#define KILL_ROUNDS 60
/* Each loss costs native epoll two seconds, and one is enough to know. */
#define NATIVE_KILL_ROUNDS 6

FIXTURE(sharing)
{
	int ep;
	int efd;
	struct epoll_event ev[4];
};

BACKEND_VARIANTS(sharing);

FIXTURE_SETUP(sharing)
{
	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->efd);
}

FIXTURE_TEARDOWN(sharing)
{
	close(self->efd);
	close(self->ep);
}

#define watch(fd, mask, data) \
	ASSERT_EQ(0, xadd(variant->be, self->ep, fd, mask, data))
#define touch(fd) ASSERT_EQ(0, eventfd_write(fd, 1))
#define wait_now() wait0(variant->be, self->ep, self->ev, 4)

/* A child that does not outlive the test process, whatever becomes of that. */
static pid_t fork_child(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(60);
	}
	return pid;
}

/* In the child: @expr must hold, or it ends with the line number. */
#define CHILD_CHECK(expr) do {						\
	if (!(expr)) {							\
		fprintf(stderr, "# child: line %d: %s (errno %d)\n",	\
			__LINE__, #expr, errno);			\
		_exit(1);						\
	}								\
} while (0)

/* Runs the statements in a child and waits for its end. */
#define IN_CHILD(...) do {						\
	pid_t pid_ = fork_child();					\
	int status_;							\
									\
	ASSERT_LE(0, pid_);						\
	if (!pid_) {							\
		__VA_ARGS__;						\
		_exit(0);						\
	}								\
	ASSERT_EQ(pid_, waitpid(pid_, &status_, 0));			\
	EXPECT_EQ(0, status_);						\
} while (0)

TEST_F(sharing, watches_made_by_a_child_are_there_for_the_parent)
{
	IN_CHILD(CHILD_CHECK(!xadd(variant->be, self->ep, self->efd, EPOLLIN,
				   5)));
	EXPECT_EQ(1, count_watches(self->ep));
	touch(self->efd);
	ASSERT_EQ(1, wait_now());
	EXPECT_EQ(5U, self->ev[0].data.u64);
	EXPECT_EQ(0, xdel(variant->be, self->ep, self->efd));
}

TEST_F(sharing, child_changes_and_removes_the_watches_of_the_parent)
{
	watch(self->efd, EPOLLIN, 1);
	touch(self->efd);
	IN_CHILD(CHILD_CHECK(!xmod(variant->be, self->ep, self->efd, EPOLLIN,
				   2)));
	ASSERT_EQ(1, wait_now());
	EXPECT_EQ(2U, self->ev[0].data.u64);
	IN_CHILD(CHILD_CHECK(!xdel(variant->be, self->ep, self->efd)));
	EXPECT_EQ(0, wait_now());
}

TEST_F(sharing, descriptors_closed_by_a_child_change_nothing)
{
	watch(self->efd, EPOLLIN, 1);
	IN_CHILD(close(self->efd); close(self->ep));
	EXPECT_EQ(1, count_watches(self->ep));
	touch(self->efd);
	EXPECT_EQ(1, wait_now());
}

TEST_F(sharing, child_is_told_of_files_only_the_parent_has)
{
	watch(self->efd, EPOLLIN, 8);
	touch(self->efd);
	IN_CHILD(close(self->efd);
		 CHILD_CHECK(wait_now() == 1);
		 CHILD_CHECK(self->ev[0].data.u64 == 8);
		 CHILD_CHECK(xdel(variant->be, self->ep, self->efd) == -1);
		 CHILD_CHECK(errno == EBADF));
}

TEST_F(sharing, number_means_another_file_in_the_child)
{
	watch(self->efd, EPOLLIN, 1);
	touch(self->efd);
	IN_CHILD(int fd = eventfd(1, 0);
		 CHILD_CHECK(dup2(fd, self->efd) == self->efd);
		 CHILD_CHECK(!xadd(variant->be, self->ep, self->efd, EPOLLIN,
				   2));
		 CHILD_CHECK(wait_now() == 2);
		 CHILD_CHECK(count_watches(self->ep) == 2));
	EXPECT_EQ(1, count_watches(self->ep));
	ASSERT_EQ(1, wait_now());
	EXPECT_EQ(1U, self->ev[0].data.u64);
}

static int watch_new_files(const struct backend *be, int ep, int n)
{
	for (int i = 0; i < n; i++)
		if (xadd(be, ep, eventfd(1, 0), EPOLLIN, i))
			return -1;
	return 0;
}

TEST_F(sharing, files_of_a_child_are_gone_when_it_has_exited)
{
	IN_CHILD(CHILD_CHECK(!watch_new_files(variant->be, self->ep, 20));
		 CHILD_CHECK(wait_now() == 4));
	EXPECT_EQ(0, count_watches(self->ep));
	EXPECT_EQ(0, wait_now());
}

TEST_F(sharing, files_of_a_child_are_gone_when_it_was_killed)
{
	struct epoll_event ev;
	pid_t pid = fork_child();
	int status;

	ASSERT_LE(0, pid);
	if (!pid) {
		xadd(variant->be, self->ep, eventfd(0, 0), EPOLLIN, 1);
		variant->be->wait(self->ep, &ev, 1, -1);
		_exit(1);
	}
	while (!count_watches(self->ep))
		breathe();
	ASSERT_TRUE(wait_until_sleeping(pid, PATIENCE_MS));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(0, count_watches(self->ep));
}

static bool becomes_empty(int ep)
{
	int64_t end = now_ns() + PATIENCE_MS * 1000000LL;

	while (count_watches(ep)) {
		if (now_ns() > end)
			return false;
		breathe();
	}
	return true;
}

TEST_F(sharing, watched_file_closed_by_exec_is_gone)
{
	int go[2], stay[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe2(go, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(stay, O_CLOEXEC));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		int fd = eventfd(1, EFD_CLOEXEC);

		CHILD_CHECK(!xadd(variant->be, self->ep, fd, EPOLLIN, 1));
		CHILD_CHECK(read(go[0], &c, 1) == 1);
		/* cat runs until the other end of stay is closed */
		dup2(stay[0], 0);
		execlp("cat", "cat", NULL);
		_exit(1);
	}
	while (!count_watches(self->ep))
		breathe();
	EXPECT_EQ(1, wait_now());
	ASSERT_EQ(1, write(go[1], "g", 1));
	EXPECT_TRUE(becomes_empty(self->ep));
	EXPECT_EQ(0, wait_now());
	/* it was the exec, not the end */
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	close(stay[1]);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
}

TEST_F(sharing, instance_goes_through_exec_unless_cloexec)
{
	int keep = variant->be->create(0);
	char script[128];
	pid_t pid;
	int status;

	ASSERT_LE(0, keep);
	ASSERT_EQ(0, xadd(variant->be, keep, self->efd, EPOLLIN, 1));
	snprintf(script, sizeof(script),
		 "test -e /proc/self/fd/%d && ! test -e /proc/self/fd/%d",
		 keep, self->ep);
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		execlp("sh", "sh", "-c", script, NULL);
		_exit(127);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(1, count_watches(keep));
	touch(self->efd);
	EXPECT_EQ(1, wait0(variant->be, keep, self->ev, 4));
	close(keep);
}

TEST_F(sharing, instance_sent_in_a_message_is_the_same)
{
	int sock[2], efd = self->efd;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	watch(efd, EPOLLIN, 1);
	ASSERT_EQ(0, send_fd(sock[0], self->ep));
	close(self->ep);
	self->ep = -1;
	touch(efd);
	IN_CHILD(int ep = receive_fd(sock[1]);
		 CHILD_CHECK(ep >= 0);
		 CHILD_CHECK(wait0(variant->be, ep, self->ev, 4) == 1);
		 CHILD_CHECK(!xmod(variant->be, ep, efd, EPOLLOUT, 2));
		 CHILD_CHECK(wait0(variant->be, ep, self->ev, 4) == 1);
		 CHILD_CHECK(self->ev[0].data.u64 == 2));
	close(sock[0]);
	close(sock[1]);
}

static void *keep_files(void *arg)
{
	pthread_barrier_t *step = arg;

	if (unshare(CLONE_FILES))
		return "unshare failed";
	pthread_barrier_wait(step);
	pthread_barrier_wait(step);
	return NULL;
}

TEST_F(sharing, thread_with_its_own_table_keeps_a_file_open)
{
	pthread_barrier_t step;
	pthread_t thread;
	void *failure;

	ASSERT_EQ(0, pthread_barrier_init(&step, NULL, 2));
	watch(self->efd, EPOLLIN | EPOLLOUT, 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_files, &step));
	pthread_barrier_wait(&step);
	close(self->efd);
	self->efd = -1;
	EXPECT_EQ(1, wait_now());
	pthread_barrier_wait(&step);
	ASSERT_EQ(0, pthread_join(thread, &failure));
	EXPECT_EQ(NULL, failure);
	/* a thread is joined a little before it has closed its files */
	EXPECT_TRUE(becomes_empty(self->ep));
	EXPECT_EQ(0, wait_now());
}

/* Where the event goes may be shared memory, to be read when the child is dead. */
static pid_t waiting_child(const struct backend *be, int ep,
			   struct epoll_event *ev)
{
	pid_t pid = fork_child();

	if (!pid)
		_exit(be->wait(ep, ev, 1, -1) == 1 ? 0 : 1);
	return pid;
}

TEST_F(sharing, killed_waiter_leaves_the_wakeup_to_the_other_process)
{
	struct waiter w = {
		.be = variant->be, .ep = self->ep, .timeout = -1
	};
	pid_t pid;

	watch(self->efd, EPOLLIN | EPOLLET, 1);
	ASSERT_EQ(0, waiter_start(&w));
	pid = waiting_child(variant->be, self->ep, self->ev);
	ASSERT_LE(0, pid);
	ASSERT_TRUE(wait_until_sleeping(pid, PATIENCE_MS));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	touch(self->efd);
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
}

/* The child waits; event and kill come together, in this or the other order. */
static void touch_and_kill(int efd, pid_t pid, bool touch_first)
{
	if (touch_first)
		eventfd_write(efd, 1);
	kill(pid, SIGKILL);
	if (!touch_first)
		eventfd_write(efd, 1);
}

/*
 * The child sleeps last, so that the event is for it; it is killed at the same
 * time.  Native epoll may lose the wake-up with the child: the next one heals.
 * Ours hands it on.  If the kill came second, the child may have been given the
 * event before it died: its memory tells.  All on one CPU, as otherwise that
 * is what happens nearly always.
 */
TEST_F_TIMEOUT(sharing, event_for_a_dying_waiter_reaches_the_other, 240)
{
	struct waiter w = {
		.be = variant->be, .ep = self->ep, .timeout = -1
	};
	int rounds = variant->be->ours ? KILL_ROUNDS : NATIVE_KILL_ROUNDS;
	int lost = 0, by_child = 0, unseen = 0;
	struct epoll_event *ev;
	cpu_set_t cpu;

	ev = mmap(NULL, sizeof(*ev), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)ev);
	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpu), &cpu));
	watch(self->efd, EPOLLIN | EPOLLET, 1);
	for (int i = 0; i < rounds; i++) {
		pid_t pid;

		ev->events = 0;
		ASSERT_EQ(0, waiter_start(&w));
		pid = waiting_child(variant->be, self->ep, ev);
		ASSERT_LE(0, pid);
		ASSERT_TRUE(wait_until_sleeping(pid, PATIENCE_MS));
		touch_and_kill(self->efd, pid, i % 2);
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
		if (i % 2 && ev->events) {
			by_child++;
			touch(self->efd);
		} else if (!waiter_finish(&w, 2000)) {
			lost++;
			touch(self->efd);
		} else {
			unseen += !ev->events;
			continue;
		}
		ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	}
	TH_LOG("%d of %d events went to the child, %d were lost with it",
	       by_child, rounds, lost);
	if (lost && !variant->be->ours)
		SKIP(return, "native bug on this kernel: %d wake-ups died with a waiter",
		     lost);
	EXPECT_EQ(0, lost);
	/* an edge is for one of them only */
	EXPECT_EQ(rounds - by_child, unseen);
	munmap(ev, sizeof(*ev));
}

static int signalfd_for(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

TEST_F(sharing, signalfd_tells_whoever_polls_of_his_own_signals)
{
	int fd = signalfd_for(SIGUSR1);

	ASSERT_LE(0, fd);
	watch(fd, EPOLLIN, 1);
	ASSERT_EQ(0, kill(getpid(), SIGUSR1));
	/* the child has no signal, finds nothing, and drops the event */
	IN_CHILD(CHILD_CHECK(wait_now() == 0));
	EXPECT_EQ(0, wait_now());
	ASSERT_EQ(0, xmod(variant->be, self->ep, fd, EPOLLIN, 2));
	EXPECT_EQ(1, wait_now());
	close(fd);
}

/* The wait queue of a signalfd belongs to the process that added it. */
TEST_F(sharing, signalfd_outlives_the_process_that_added_it)
{
	int fd = signalfd_for(SIGUSR1);

	ASSERT_LE(0, fd);
	IN_CHILD(CHILD_CHECK(!xadd(variant->be, self->ep, fd, EPOLLIN, 1)));
	EXPECT_EQ(1, count_watches(self->ep));
	ASSERT_EQ(0, kill(getpid(), SIGUSR1));
	EXPECT_EQ(0, xmod(variant->be, self->ep, fd, EPOLLIN, 1));
	EXPECT_EQ(1, wait_now());
	EXPECT_EQ(0, xdel(variant->be, self->ep, fd));
	IN_CHILD(CHILD_CHECK(!xadd(variant->be, self->ep, fd, EPOLLIN, 1)));
	close(fd);
	EXPECT_EQ(0, count_watches(self->ep));
}

/* The process goes while another one waits, changes and closes. */
TEST_F_TIMEOUT(sharing, signalfd_loses_its_queue_while_in_use, 120)
{
	int fd = signalfd_for(SIGUSR1);

	ASSERT_LE(0, fd);
	for (int i = 0; i < KILL_ROUNDS; i++) {
		int copy = dup(fd), ep = variant->be->create(0);
		pid_t pid = fork_child();

		ASSERT_LE(0, pid);
		if (!pid)
			_exit(xadd(variant->be, ep, copy, EPOLLIN, 1) != 0);
		if (i % 3)
			while (!count_watches(ep) &&
			       waitpid(pid, NULL, WNOHANG) != pid)
				sched_yield();
		wait0(variant->be, ep, self->ev, 1);
		if (i % 2)
			xdel(variant->be, ep, copy);
		close(ep);
		close(copy);
		waitpid(pid, NULL, 0);
	}
	close(fd);
}

TEST_HARNESS_MAIN
