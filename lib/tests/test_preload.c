// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preload library: whose descriptors are whose, and where it must work: after
 * fork, exec, dup, in messages, threads and signal handlers.  That calls behave as
 * epoll's do is told by the programs preload-*.
 */
#define _GNU_SOURCE
#include "preload_self.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "fdpass.h"
#include "raw.h"
#include "proc.h"

extern int early_instance, early_wait;

/* A native instance, whoever else stands in for libc. */
static int native_instance(void)
{
	return raw_syscall3(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0);
}

static int add(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };

	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
}

FIXTURE(preload)
{
	int ep;		/* ours */
	int native;
	int efd;	/* an eventfd that can be read */
};

FIXTURE_SETUP(preload)
{
	self->ep = epoll_create1(EPOLL_CLOEXEC);
	self->native = native_instance();
	self->efd = eventfd(1, EFD_CLOEXEC);
	ASSERT_TRUE(is_link(self->ep, OURS));
	ASSERT_TRUE(is_link(self->native, NATIVE));
	ASSERT_LE(0, self->efd);
}

FIXTURE_TEARDOWN(preload)
{
}

TEST_F(preload, every_way_to_create_makes_ours)
{
	EXPECT_TRUE(is_link(epoll_create(1), OURS));
	EXPECT_TRUE(is_link(epoll_create1(0), OURS));
	EXPECT_TRUE(is_link(epoll_create1(EPOLL_CLOEXEC), OURS));
#ifdef SYS_epoll_create
	EXPECT_TRUE(is_link(syscall(SYS_epoll_create, 1), OURS));
#endif
	EXPECT_TRUE(is_link(syscall(SYS_epoll_create1, 0), OURS));
}

TEST_F(preload, create_refuses_what_epoll_refuses)
{
	EXPECT_ERR(EINVAL, epoll_create(0));
	EXPECT_ERR(EINVAL, epoll_create(-1));
	EXPECT_ERR(EINVAL, epoll_create1(EPOLL_CLOEXEC | 1));
#ifdef SYS_epoll_create
	EXPECT_ERR(EINVAL, syscall(SYS_epoll_create, 0));
#endif
	EXPECT_ERR(EINVAL, syscall(SYS_epoll_create1, O_NONBLOCK));
}

TEST_F(preload, create_takes_the_lowest_number_and_no_other)
{
	int hole = dup(self->efd), next = dup(self->efd);
	int before;

	ASSERT_LT(hole, next);
	ASSERT_EQ(0, close(hole));
	before = count_descriptors();
	EXPECT_EQ(hole, epoll_create1(0));
	EXPECT_EQ(before + 1, count_descriptors());
	EXPECT_EQ(0, fcntl(hole, F_GETFD));
	EXPECT_EQ(O_RDWR, fcntl(hole, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	ASSERT_EQ(0, close(hole));
	EXPECT_EQ(hole, epoll_create1(EPOLL_CLOEXEC));
	EXPECT_EQ(FD_CLOEXEC, fcntl(hole, F_GETFD));
}

/* With room for one descriptor, that one is the opened node. */
TEST_F(preload, create_needs_room_for_one_descriptor_only)
{
	struct rlimit files = { 0, 1024 };
	int room = dup(self->efd), flags;

	files.rlim_cur = room + 1;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	EXPECT_ERR(EMFILE, epoll_create1(0));
	for (flags = 0; flags <= EPOLL_CLOEXEC; flags += EPOLL_CLOEXEC) {
		ASSERT_EQ(0, close(room));
		EXPECT_EQ(room, epoll_create1(flags));
		EXPECT_TRUE(is_link(room, MYEPOLL_DEVICE));
		EXPECT_EQ(flags ? FD_CLOEXEC : 0, fcntl(room, F_GETFD));
		EXPECT_EQ(0, add(room, self->efd, EPOLLIN, 0));
	}
}

TEST_F(preload, native_instances_work_as_before)
{
	struct timespec zero = { 0 };
	struct epoll_event ev;
	sigset_t none;

	sigemptyset(&none);
	EXPECT_EQ(0, add(self->native, self->efd, EPOLLIN, 5));
	EXPECT_ERR(EEXIST, add(self->native, self->efd, EPOLLIN, 5));
	EXPECT_EQ(1, epoll_wait(self->native, &ev, 1, -1));
	EXPECT_EQ(5U, ev.data.u64);
	EXPECT_EQ(1, epoll_pwait(self->native, &ev, 1, -1, &none));
	EXPECT_EQ(1, epoll_pwait2(self->native, &ev, 1, &zero, &none));
	EXPECT_EQ(1, syscall(RAW_EPOLL_WAIT, self->native, &ev, 1, -1, NULL, 0));
	EXPECT_EQ(1, syscall(SYS_epoll_pwait, self->native, &ev, 1, -1, &none, 8));
	EXPECT_EQ(1, syscall(SYS_epoll_pwait2, self->native, &ev, 1, &zero, &none, 8));
	EXPECT_EQ(0, syscall(SYS_epoll_ctl, self->native, EPOLL_CTL_DEL, self->efd, 0));
	EXPECT_EQ(0, epoll_wait(self->native, &ev, 1, 0));
	EXPECT_ERR(ENOENT, epoll_ctl(self->native, EPOLL_CTL_DEL, self->efd, NULL));
}

TEST_F(preload, native_in_ours_is_eloop_and_ours_in_native_works)
{
	struct epoll_event ev;

	EXPECT_ERR(ELOOP, add(self->ep, self->native, EPOLLIN, 0));
	EXPECT_ERR(ELOOP, syscall(SYS_epoll_ctl, self->ep, EPOLL_CTL_ADD, self->native,
				  &(struct epoll_event){ .events = EPOLLIN }));
	EXPECT_EQ(0, add(self->native, self->ep, EPOLLIN, 6));
	EXPECT_EQ(0, add(self->ep, self->efd, EPOLLIN, 7));
	EXPECT_EQ(1, epoll_wait(self->native, &ev, 1, -1));
	EXPECT_EQ(6U, ev.data.u64);
}

TEST_F(preload, success_leaves_errno_alone)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int each[] = { self->ep, self->native };
	size_t i;

	for (i = 0; i < 2; i++) {
		errno = 4711;
		EXPECT_EQ(0, epoll_ctl(each[i], EPOLL_CTL_ADD, self->efd, &ev));
		EXPECT_EQ(1, epoll_wait(each[i], &ev, 1, -1));
		EXPECT_EQ(1, epoll_pwait(each[i], &ev, 1, -1, NULL));
		EXPECT_EQ(1, epoll_pwait2(each[i], &ev, 1, NULL, NULL));
		EXPECT_EQ(1, syscall(RAW_EPOLL_WAIT, each[i], &ev, 1, -1, NULL, 0));
		EXPECT_EQ(0, syscall(SYS_epoll_ctl, each[i], EPOLL_CTL_DEL, self->efd, 0));
		EXPECT_EQ(4711, errno);
	}
	EXPECT_LE(0, epoll_create1(0));
	EXPECT_LE(0, syscall(SYS_getpid));
	EXPECT_EQ(4711, errno);
}

/* ---- where descriptors go ---- */

TEST_F(preload, duplicates_are_ours)
{
	struct epoll_event ev;
	int copy[] = { dup(self->ep), dup2(self->ep, 200), fcntl(self->ep, F_DUPFD, 300) };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(copy); i++) {
		EXPECT_EQ(0, add(copy[i], self->efd, EPOLLIN, i));
		EXPECT_EQ(1, epoll_wait(self->ep, &ev, 1, -1));
		EXPECT_EQ(i, ev.data.u64);
		EXPECT_EQ(0, epoll_ctl(self->ep, EPOLL_CTL_DEL, self->efd, NULL));
	}
	/* The number of an instance of ours, and a native one takes its place. */
	EXPECT_EQ(200, dup2(self->native, 200));
	EXPECT_EQ(0, add(200, self->efd, EPOLLIN, 9));
	EXPECT_EQ(1, epoll_wait(self->native, &ev, 1, -1));
}

TEST_F(preload, child_shares_the_instance)
{
	struct epoll_event ev;
	pid_t child = fork();
	int status;

	if (!child)
		_exit(add(self->ep, self->efd, EPOLLIN, 8) ||
		      !is_link(epoll_create1(0), OURS));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(1, epoll_wait(self->ep, &ev, 1, -1));
	EXPECT_EQ(8U, ev.data.u64);
}

TEST_F(preload, instances_pass_in_messages)
{
	int sock[2], ours, native, status;
	struct epoll_event ev;
	pid_t child;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	ASSERT_EQ(0, add(self->ep, self->efd, EPOLLIN, 1));
	ASSERT_EQ(0, add(self->native, self->efd, EPOLLIN, 2));
	child = fork();
	if (!child) {
		ours = receive_fd(sock[1]);
		native = receive_fd(sock[1]);
		_exit(epoll_wait(ours, &ev, 1, -1) != 1 || ev.data.u64 != 1 ||
		      epoll_wait(native, &ev, 1, -1) != 1 || ev.data.u64 != 2);
	}
	EXPECT_EQ(0, send_fd(sock[0], self->ep));
	EXPECT_EQ(0, send_fd(sock[0], self->native));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

/* ---- signals ---- */

static int handler_ep, handler_fd, handler_ret, handler_errno;

static void use_epoll(int sig)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fresh = epoll_create1(0);

	handler_errno = errno;
	handler_ret = epoll_wait(handler_ep, &ev, 1, 0);
	if (fresh < 0 || epoll_ctl(handler_ep, EPOLL_CTL_ADD, handler_fd, &ev))
		handler_ret = -2;
	close(fresh);
}

static void *interrupt(void *arg)
{
	pthread_t target = *(pthread_t *)arg;

	pthread_kill(target, SIGUSR1);
	return NULL;
}

/* Whatever SA_RESTART says: as epoll_wait(2). */
TEST_F(preload, handler_may_use_epoll_and_interrupts_the_wait)
{
	struct sigaction act = { .sa_handler = use_epoll, .sa_flags = SA_RESTART };
	pthread_t self_thread = pthread_self(), thread;
	sigset_t block, none;
	struct epoll_event ev;

	handler_ep = self->ep;
	handler_fd = self->efd;
	ASSERT_EQ(0, sigaction(SIGUSR1, &act, NULL));
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	ASSERT_EQ(0, pthread_sigmask(SIG_BLOCK, &block, NULL));
	ASSERT_EQ(0, pthread_create(&thread, NULL, interrupt, &self_thread));
	EXPECT_ERR(EINTR, epoll_pwait(self->ep, &ev, 1, -1, &none));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, handler_ret);
	EXPECT_EQ(1, epoll_wait(self->ep, &ev, 1, 0));
}

/* ---- threads ---- */

#define NR_THREADS 8
#define ROUNDS 200

static void *churn(void *arg)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd = *(int *)arg;
	int i, ep;
	pid_t pid;

	for (i = 0; i < ROUNDS; i++) {
		ep = epoll_create1(EPOLL_CLOEXEC);
		if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) ||
		    epoll_wait(ep, &ev, 1, -1) != 1 || close(ep))
			return "a call failed";
		if (i % 50)
			continue;
		/* The other threads are in the middle of anything. */
		pid = fork();
		if (!pid) {
			ep = epoll_create1(0);
			_exit(ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) ||
			      epoll_wait(ep, &ev, 1, -1) != 1);
		}
		if (waitpid(pid, &ep, 0) != pid || ep)
			return "a child failed";
	}
	return NULL;
}

TEST_F(preload, threads_and_their_children)
{
	pthread_t thread[NR_THREADS];
	int before = count_descriptors();
	void *failed;
	int i;

	for (i = 0; i < NR_THREADS; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, churn, &self->efd));
	for (i = 0; i < NR_THREADS; i++) {
		ASSERT_EQ(0, pthread_join(thread[i], &failed));
		EXPECT_EQ(NULL, failed)
			TH_LOG("%s", (char *)failed);
	}
	EXPECT_EQ(before, count_descriptors());
}

/* ---- before constructors, and beside the library ---- */

TEST_F(preload, constructors_that_come_first_get_ours)
{
	EXPECT_TRUE(is_link(early_instance, OURS));
	EXPECT_EQ(0, early_wait);
}

TEST_F(preload, other_system_calls_get_six_arguments)
{
	char text[] = "six", *map;
	int file = memfd_create("six", 0);

	ASSERT_EQ(0, ftruncate(file, 8192));
	ASSERT_EQ(4, pwrite(file, text, 4, 4096));
	map = (char *)syscall(SYS_mmap, NULL, 4096L, (long)PROT_READ, (long)MAP_SHARED,
			      (long)file, 4096L);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_STREQ("six", map);
	EXPECT_ERR(ENOSYS, syscall(5000));
	EXPECT_ERR(ENOSYS, syscall(-1));
	EXPECT_ERR(EBADF, syscall(SYS_close, -1));
	EXPECT_EQ(getpid(), syscall(SYS_getpid));
}

/* A child by syscall(), on that stack; it exits with 42 if it came back there. */
#if defined(__x86_64__)
static void on_another_stack(void)
{
	raw_syscall3(SYS_exit, 42, 0, 0);
}

/* The child returns to what lies on its own stack. */
static pid_t clone_on(void **stack)
{
	*stack = on_another_stack;
	return syscall(SYS_clone, CLONE_VM | SIGCHLD, stack, 0, 0, 0);
}
#elif defined(__aarch64__)
/* The child returns to where its parent does, with its own stack unchanged. */
static pid_t clone_on(void **stack)
{
	register long x0 __asm__("x0") = SYS_clone;
	register long x1 __asm__("x1") = CLONE_VM | SIGCHLD;
	register void **x2 __asm__("x2") = stack;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = 0;
	register long x5 __asm__("x5") = 0;
	register void **x19 __asm__("x19") = stack;

	__asm__ volatile("bl	syscall\n\t"
			 "cbnz	x0, 1f\n\t"
			 "mov	x1, sp\n\t"
			 "mov	w0, #42\n\t"
			 "cmp	x1, x19\n\t"
			 "csel	w0, w0, wzr, eq\n\t"
			 "mov	x8, %[exit]\n\t"
			 "svc	#0\n"
			 "1:"
			 : "+r" (x0), "+r" (x1), "+r" (x2), "+r" (x3), "+r" (x4),
			   "+r" (x5)
			 : "r" (x19), [exit] "i" (SYS_exit)
			 : "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
			   "x15", "x16", "x17", "x18", "x30", "cc", "memory");
	return x0;
}
#endif

/* As with libc's syscall(). */
TEST_F(preload, child_on_another_stack_returns_there)
{
	static void *stack[4096] __attribute__((aligned(16)));
	int status;
	pid_t pid;

	pid = clone_on(&stack[4000]);
	ASSERT_LT(0, pid);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(42, WEXITSTATUS(status));
}

/* ---- exec ---- */

/* How a program of another kind sees an instance that was left open for it. */
static int wait_in_new_program(const char *fd, bool preloaded)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (!preloaded)
			unsetenv("LD_PRELOAD");
		setenv("TEST_PRELOAD_WAIT", fd, 1);
		execl("/proc/self/exe", "test_preload", (char *)NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* Comes before preload_self(), which would not have it without the library. */
static void __attribute__((constructor(101))) wait_and_exit(void)
{
	const char *fd = getenv("TEST_PRELOAD_WAIT");
	struct epoll_event ev;

	if (fd)
		_exit(epoll_wait(atoi(fd), &ev, 1, 0) < 0 ? errno : ev.data.u64);
}

TEST_F(preload, instance_is_left_to_the_next_program)
{
	char number[16];
	int ep = epoll_create1(0);

	ASSERT_EQ(0, add(ep, self->efd, EPOLLIN, 77));
	snprintf(number, sizeof(number), "%d", ep);
	EXPECT_EQ(77, wait_in_new_program(number, true));
	/* Without the library native epoll is asked, which does not know it. */
	EXPECT_EQ(EINVAL, wait_in_new_program(number, false));
}

TEST_HARNESS_MAIN
