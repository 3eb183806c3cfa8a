// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting processes that are stopped, traced, frozen or killed.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <linux/magic.h>

#include "kselftest_harness.h"
#include "helpers.h"

#define CGROUP_TOP "/sys/fs/cgroup"

/*
 * ep: an instance that watches fd; cgroup: a group of the test's own, or empty;
 * child: processes that wait on ep, 0 if there is none
 */
FIXTURE(stop)
{
	int ep;
	int fd;
	char cgroup[64];
	pid_t child[2];
};

BACKEND_VARIANTS(stop);

FIXTURE_SETUP(stop)
{
	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->fd = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, xadd(variant->be, self->ep, self->fd, EPOLLIN, 7));
}

FIXTURE_TEARDOWN(stop)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (self->child[i] <= 0)
			continue;
		kill(self->child[i], SIGKILL);
		waitpid(self->child[i], NULL, 0);
	}
	if (self->cgroup[0])
		rmdir(self->cgroup);
}

#define EXIT_EVENT 100

/*
 * Starts a child that waits on @ep without end; its exit status is EXIT_EVENT
 * if it got one event, else errno.  Returns once it sleeps; -1: it does not.
 */
static pid_t start_child(const struct backend *be, int ep, const sigset_t *mask)
{
	struct epoll_event ev;
	pid_t pid = fork();
	int ret;

	if (!pid) {
		ret = be->pwait(ep, &ev, 1, -1, mask, KERNEL_SIGSETSIZE);
		_exit(ret == 1 ? EXIT_EVENT : errno);
	}
	if (pid < 0 || !wait_until_sleeping(pid, PATIENCE_MS))
		return -1;
	return pid;
}

/* The child's exit status, or -1; forgets the child. */
static int end_of(pid_t *child)
{
	int status;

	if (waitpid(*child, &status, 0) != *child)
		return -1;
	*child = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The signal that ended the child, or -1; forgets the child. */
static int death_of(pid_t *child)
{
	int status;

	if (waitpid(*child, &status, 0) != *child)
		return -1;
	*child = 0;
	return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

TEST_F(stop, stop_and_continue_interrupt)
{
	pid_t *child = &self->child[0];
	int status;

	*child = start_child(variant->be, self->ep, NULL);
	ASSERT_LT(0, *child);
	ASSERT_EQ(0, kill(*child, SIGSTOP));
	ASSERT_EQ(*child, waitpid(*child, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, kill(*child, SIGCONT));
	EXPECT_EQ(EINTR, end_of(child));
}

/* The event comes while the process is stopped: it is lost for nobody. */
TEST_F(stop, event_during_a_stop_is_reported)
{
	pid_t *child = &self->child[0];
	struct epoll_event ev;
	int status, end;

	ASSERT_EQ(0, xmod(variant->be, self->ep, self->fd,
			  EPOLLIN | EPOLLET, 7));
	*child = start_child(variant->be, self->ep, NULL);
	ASSERT_LT(0, *child);
	ASSERT_EQ(0, kill(*child, SIGSTOP));
	ASSERT_EQ(*child, waitpid(*child, &status, WUNTRACED));
	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	ASSERT_EQ(0, kill(*child, SIGCONT));
	end = end_of(child);
	EXPECT_EQ(EINTR, end);
	EXPECT_EQ(1, wait0(variant->be, self->ep, &ev, 1));
}

TEST_F(stop, continue_without_stop_does_not_interrupt)
{
	pid_t *child = &self->child[0];

	*child = start_child(variant->be, self->ep, NULL);
	ASSERT_LT(0, *child);
	ASSERT_EQ(0, kill(*child, SIGCONT));
	ASSERT_TRUE(wait_until_sleeping(*child, PATIENCE_MS));
	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	EXPECT_EQ(EXIT_EVENT, end_of(child));
}

TEST_F(stop, no_mask_keeps_sigkill_out)
{
	pid_t *child = &self->child[0];
	sigset_t full;

	sigfillset(&full);
	*child = start_child(variant->be, self->ep, &full);
	ASSERT_LT(0, *child);
	ASSERT_EQ(0, kill(*child, SIGTERM));
	ASSERT_TRUE(wait_until_sleeping(*child, PATIENCE_MS));
	ASSERT_EQ(0, kill(*child, SIGKILL));
	EXPECT_EQ(SIGKILL, death_of(child));
}

TEST_F(stop, no_mask_keeps_sigstop_out)
{
	pid_t *child = &self->child[0];
	sigset_t full;
	int status;

	sigfillset(&full);
	*child = start_child(variant->be, self->ep, &full);
	ASSERT_LT(0, *child);
	ASSERT_EQ(0, kill(*child, SIGSTOP));
	ASSERT_EQ(*child, waitpid(*child, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, kill(*child, SIGCONT));
	EXPECT_EQ(EINTR, end_of(child));
}

/* ---- a debugger ---- */

TEST_F(stop, attach_and_detach_interrupt)
{
	pid_t *child = &self->child[0];
	int status;

	*child = start_child(variant->be, self->ep, NULL);
	ASSERT_LT(0, *child);
	ASSERT_EQ(0, ptrace(PTRACE_ATTACH, *child, NULL, NULL));
	ASSERT_EQ(*child, waitpid(*child, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, *child, NULL, NULL));
	EXPECT_EQ(EINTR, end_of(child));
}

TEST_F(stop, seize_and_interrupt_interrupt)
{
	pid_t *child = &self->child[0];
	int status;

	*child = start_child(variant->be, self->ep, NULL);
	ASSERT_LT(0, *child);
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, *child, NULL, NULL));
	ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, *child, NULL, NULL));
	ASSERT_EQ(*child, waitpid(*child, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, *child, NULL, NULL));
	EXPECT_EQ(EINTR, end_of(child));
}

TEST_F(stop, seize_alone_does_not_disturb)
{
	pid_t *child = &self->child[0];

	*child = start_child(variant->be, self->ep, NULL);
	ASSERT_LT(0, *child);
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, *child, NULL, NULL));
	ASSERT_TRUE(wait_until_sleeping(*child, PATIENCE_MS));
	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	EXPECT_EQ(EXIT_EVENT, end_of(child));
}

/* ---- the freezer of cgroup v2 ---- */

static int group_write(const char *group, const char *name, const char *text)
{
	ssize_t len = strlen(text);
	char path[128];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/%s", group, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ret = write(fd, text, len) == len ? 0 : -1;
	close(fd);
	return ret;
}

static bool wait_until_frozen(const char *group, int frozen)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;
	char path[128], line[64];
	int value = -1;
	FILE *events;

	snprintf(path, sizeof(path), "%s/cgroup.events", group);
	while (now_ns() < deadline) {
		events = fopen(path, "r");
		if (!events)
			return false;
		while (fgets(line, sizeof(line), events))
			sscanf(line, "frozen %d", &value);
		fclose(events);
		if (value == frozen)
			return true;
		breathe();
	}
	return false;
}

/* Puts @pid into a new group.  Returns 0, or -1 and why not in errno. */
static int group_for(char *group, size_t size, pid_t pid)
{
	struct statfs fs;
	char text[16];

	if (statfs(CGROUP_TOP, &fs))
		return -1;
	if (fs.f_type != CGROUP2_SUPER_MAGIC) {
		errno = ENODEV;
		return -1;
	}
	snprintf(group, size, CGROUP_TOP "/myepoll-stop.%d", getpid());
	if (mkdir(group, 0755)) {
		group[0] = '\0';
		return -1;
	}
	snprintf(text, sizeof(text), "%d", pid);
	return group_write(group, "cgroup.procs", text);
}

TEST_F(stop, freeze_and_thaw_interrupt)
{
	pid_t *child = &self->child[0];

	*child = start_child(variant->be, self->ep, NULL);
	ASSERT_LT(0, *child);
	if (group_for(self->cgroup, sizeof(self->cgroup), *child))
		SKIP(return, "no cgroup v2 to freeze: %s", strerror(errno));
	ASSERT_EQ(0, group_write(self->cgroup, "cgroup.freeze", "1"));
	ASSERT_TRUE(wait_until_frozen(self->cgroup, 1));
	ASSERT_EQ(0, group_write(self->cgroup, "cgroup.freeze", "0"));
	EXPECT_EQ(EINTR, end_of(child));
}

TEST_F(stop, event_during_a_freeze_is_not_lost)
{
	pid_t *child = &self->child[0];
	struct epoll_event ev;

	ASSERT_EQ(0, xmod(variant->be, self->ep, self->fd,
			  EPOLLIN | EPOLLET, 7));
	*child = start_child(variant->be, self->ep, NULL);
	ASSERT_LT(0, *child);
	if (group_for(self->cgroup, sizeof(self->cgroup), *child))
		SKIP(return, "no cgroup v2 to freeze: %s", strerror(errno));
	ASSERT_EQ(0, group_write(self->cgroup, "cgroup.freeze", "1"));
	ASSERT_TRUE(wait_until_frozen(self->cgroup, 1));
	ASSERT_EQ(0, eventfd_write(self->fd, 1));
	ASSERT_EQ(0, group_write(self->cgroup, "cgroup.freeze", "0"));
	EXPECT_EQ(EINTR, end_of(child));
	EXPECT_EQ(1, wait0(variant->be, self->ep, &ev, 1));
}

/* ---- one of two waiting processes dies ---- */

static void kill_one_of_two(struct __test_metadata *_metadata,
			    const struct backend *be, int ep, int fd,
			    pid_t *child, int victim)
{
	int i;

	for (i = 0; i < 2; i++) {
		child[i] = start_child(be, ep, NULL);
		ASSERT_LT(0, child[i]);
	}
	ASSERT_EQ(0, kill(child[victim], SIGKILL));
	ASSERT_EQ(SIGKILL, death_of(&child[victim]));
	ASSERT_TRUE(wait_until_sleeping(child[!victim], PATIENCE_MS));
	ASSERT_EQ(0, eventfd_write(fd, 1));
	EXPECT_EQ(EXIT_EVENT, end_of(&child[!victim]));
}

TEST_F(stop, death_of_the_first_waiter_leaves_the_second)
{
	kill_one_of_two(_metadata, variant->be, self->ep, self->fd,
			self->child, 0);
}

TEST_F(stop, death_of_the_second_waiter_leaves_the_first)
{
	kill_one_of_two(_metadata, variant->be, self->ep, self->fd,
			self->child, 1);
}

/* Killed at the very moment of an event: the next event must reach the other. */
TEST_F(stop, event_after_a_kill_with_an_event_reaches_the_survivor)
{
	const struct backend *be = variant->be;
	pid_t *child = self->child;
	struct epoll_event ev;
	int i, round, end;

	ASSERT_EQ(0, xmod(be, self->ep, self->fd, EPOLLIN | EPOLLET, 7));
	for (round = 0; round < 10; round++) {
		for (i = 0; i < 2; i++) {
			child[i] = start_child(be, self->ep, NULL);
			ASSERT_LT(0, child[i]);
		}
		ASSERT_EQ(0, eventfd_write(self->fd, 1));
		ASSERT_EQ(0, kill(child[1], SIGKILL));
		ASSERT_EQ(child[1], waitpid(child[1], NULL, 0));
		child[1] = 0;
		ASSERT_EQ(0, eventfd_write(self->fd, 1));
		end = end_of(&child[0]);
		ASSERT_EQ(EXIT_EVENT, end);
		/* nobody may have been left for the second write */
		wait0(be, self->ep, &ev, 1);
	}
}

TEST_HARNESS_MAIN
