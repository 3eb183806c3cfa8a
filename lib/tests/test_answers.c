// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preload library's answers on files that are no instance, argument by
 * argument beside the kernel's own, and what calls cost in system calls.
 */
#define _GNU_SOURCE
#include "preload_self.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "raw.h"
#include "proc.h"

static int native_instance(void)
{
	return raw_syscall3(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0);
}

FIXTURE(answers)
{
	int ep;		/* ours */
	int native;
	int efd;	/* an eventfd that can be read */
};

FIXTURE_SETUP(answers)
{
	self->ep = epoll_create1(EPOLL_CLOEXEC);
	self->native = native_instance();
	self->efd = eventfd(1, EFD_CLOEXEC);
	ASSERT_TRUE(is_link(self->ep, OURS));
	ASSERT_TRUE(is_link(self->native, NATIVE));
	ASSERT_LE(0, self->efd);
}

FIXTURE_TEARDOWN(answers)
{
}

/* ---- files that are no instance: native's answer, argument by argument ---- */

static int hung_up_tty(void)
{
	int master, slave;

	if (openpty(&master, &slave, NULL, NULL, NULL))
		return -1;
	close(master);
	return slave;
}

static int tty(void)
{
	int master, slave;

	return openpty(&master, &slave, NULL, NULL, NULL) ? -1 : slave;
}

static int pipe_end(void)
{
	int fds[2];

	return pipe(fds) ? -1 : fds[0];
}

static int numbered(int which)
{
	switch (which) {
	case 0: return -1;
	case 1: return 1000;
	case 2: return open("/", O_PATH | O_CLOEXEC);
	case 3: return open("/", O_RDONLY | O_CLOEXEC);
	case 4: return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	case 5: return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 6: return memfd_create("file", MFD_CLOEXEC);
	case 7: return tty();
	case 8: return hung_up_tty();
	case 9: return pipe_end();
	case 10: return eventfd(0, EFD_CLOEXEC);
	case 11: return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	case 12: return inotify_init1(IN_CLOEXEC);
	case 13: return socket(AF_UNIX, SOCK_STREAM, 0);
	case 14: return socket(AF_INET, SOCK_STREAM, 0);
	case 15: return socket(AF_INET6, SOCK_DGRAM, 0);
	case 16: return socket(AF_NETLINK, SOCK_RAW, 0);
	case 17: return open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	case 18: return open("/proc/mounts", O_RDONLY | O_CLOEXEC);
	case 19: return open("/dev/kmsg", O_RDONLY | O_CLOEXEC);
	case 20: return open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	case 21: return native_instance();
	default: return -2;
	}
}

/* @libc is what a call of libc returned: the same as the system call? */
static bool same_answer(long libc, int err, long native)
{
	return libc == -1 ? native == -err : libc == native;
}

#define EXPECT_SAME(libc, native) do {					\
	long libc_ret = (libc);						\
	int libc_err = errno;						\
	long native_ret = (native);					\
	EXPECT_TRUE(same_answer(libc_ret, libc_err, native_ret))	\
		TH_LOG("kind %d: %s: %ld (errno %d), native %ld",	\
		       kind, #libc, libc_ret, libc_err, native_ret);	\
} while (0)

static void compare_ctl(struct __test_metadata *_metadata, int kind, int ep,
			const int *fds, size_t nr)
{
	static const int ops[] = { EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, 0, 77 };
	struct epoll_event ok = { .events = EPOLLIN };
	struct epoll_event *events[] = { &ok, NULL, (void *)-4096L };
	size_t op, fd, ev;

	for (op = 0; op < ARRAY_SIZE(ops); op++)
		for (fd = 0; fd < nr; fd++)
			for (ev = 0; ev < 3; ev++) {
				raw_syscall4(SYS_epoll_ctl, ep, EPOLL_CTL_DEL, fds[fd], 0);
				EXPECT_SAME(epoll_ctl(ep, ops[op], fds[fd], events[ev]),
					    (raw_syscall4(SYS_epoll_ctl, ep, EPOLL_CTL_DEL,
							  fds[fd], 0),
					     raw_syscall4(SYS_epoll_ctl, ep, ops[op], fds[fd],
							  (long)events[ev])));
			}
}

static void compare_wait(struct __test_metadata *_metadata, int kind, int ep)
{
	static const int max[] = { 0, -1, 1, INT_MAX };
	struct epoll_event ev;
	struct epoll_event *events[] = { &ev, (void *)-4096L };
	struct timespec bad = { .tv_nsec = -1 }, zero = { 0 };
	sigset_t *hole = (void *)-4096L;
	size_t m, e;

	for (m = 0; m < ARRAY_SIZE(max); m++)
		for (e = 0; e < 2; e++) {
			EXPECT_SAME(epoll_wait(ep, events[e], max[m], 0),
				    raw_syscall6(RAW_EPOLL_WAIT, ep, (long)events[e], max[m], 0,
						 0, 0));
			EXPECT_SAME(epoll_pwait(ep, events[e], max[m], 0, hole),
				    raw_syscall6(SYS_epoll_pwait, ep, (long)events[e], max[m], 0,
						 (long)hole, 8));
			EXPECT_SAME(epoll_pwait2(ep, events[e], max[m], &bad, hole),
				    raw_syscall6(SYS_epoll_pwait2, ep, (long)events[e], max[m],
						 (long)&bad, (long)hole, 8));
			EXPECT_SAME(epoll_pwait2(ep, events[e], max[m], &zero, NULL),
				    raw_syscall6(SYS_epoll_pwait2, ep, (long)events[e], max[m],
						 (long)&zero, 0, 8));
		}
}

TEST_F(answers, other_files_answer_as_without_the_library)
{
	int fds[] = { self->efd, -1, open("/", O_RDONLY | O_CLOEXEC) };
	int kind, ep;

	for (kind = 0; (ep = numbered(kind)) != -2; kind++) {
		ASSERT_TRUE(ep >= 0 || kind == 0)
			TH_LOG("kind %d: %s", kind, strerror(errno));
		compare_ctl(_metadata, kind, ep, fds, ARRAY_SIZE(fds));
		compare_wait(_metadata, kind, ep);
		if (kind > 1)
			close(ep);
	}
	EXPECT_EQ(22, kind);
}

/* ---- what a call costs: the child's system calls, seen by its tracer ---- */

static void costly_calls(int ep, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };

	raw_syscall3(SYS_getppid, 0, 0, 0);
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev);
	epoll_wait(ep, &ev, 1, 0);
	epoll_pwait(ep, &ev, 1, -1, NULL);
	epoll_pwait2(ep, &ev, 1, NULL, NULL);
	syscall(RAW_EPOLL_WAIT, ep, &ev, 1, 0, NULL, 0);
	epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
	raw_syscall3(SYS_getppid, 0, 0, 0);
}

#define COSTLY_CALLS 8

/* To the next entry into the kernel; its number, or -1 */
static long next_call(pid_t pid)
{
	struct __ptrace_syscall_info info;
	int status;

	do {
		if (ptrace(PTRACE_SYSCALL, pid, 0, 0) ||
		    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
		    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0)
			return -1;
	} while (info.op != PTRACE_SYSCALL_INFO_ENTRY);
	return info.entry.nr;
}

/* How many system calls between the two of getppid(); -1 if it goes wrong */
static int count_calls(int ep, int fd)
{
	int status, marks = 0, count = 0;
	pid_t pid = fork();
	long number;

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		costly_calls(ep, fd);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD))
		return -1;
	while (marks < 2) {
		number = next_call(pid);
		if (number < 0)
			return -1;
		if (number == SYS_getppid)
			marks++;
		else if (marks)
			count++;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return count;
}

TEST_F(answers, a_call_is_one_system_call_on_ours_and_two_on_native)
{
	EXPECT_EQ(COSTLY_CALLS, count_calls(self->ep, self->efd));
	EXPECT_EQ(2 * COSTLY_CALLS, count_calls(self->native, self->efd));
}

TEST_HARNESS_MAIN
