// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hostile mode: a user without rights does what no program should.
 *
 * Threads of one process issue ioctls with numbers, sizes, pointers and fields
 * at random, while others close, replace and send away the descriptors they
 * use, and take memory away under the kernel.  In the midst of it the process
 * ends, in one way or another.  It has to be gone soon after, and the kernel
 * must not mind; who runs this looks at its log and unloads the module.
 */
#include <dirent.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "backend.h"
#include "fdpass.h"
#include "fuzz.h"
#include "hostile.h"

#define FIRST_FD	10
#define NR_FDS		32
#define MIN_LIFE_MS	20
#define MAX_LIFE_MS	600
#define GONE_S		60
#define SIGNAL_MS	3
#define GUARD_SIZE	(1 << 20)
#define KERNEL_ADDRESS	0xffff888000000000UL

enum end { END_EXIT, END_KILL, END_CLOSE_ALL, END_THREAD_EXITS, NR_ENDS };

/* Shared memory: operations done, also by processes that were killed */
static _Atomic uint64_t *ops;

static const struct options *opt;
static uint64_t round_nr;

char *playground;

int any_fd(struct rng *r)
{
	return FIRST_FD + below(r, NR_FDS);
}

uint64_t any_address(struct rng *r, const void *good)
{
	switch (below(r, 12)) {
	case 0:
		return 0;
	case 1:
		return KERNEL_ADDRESS + below(r, 1 << 20);
	case 2:
		return rng_next(r);
	case 3:
		return 0x7ffffffff000UL - below(r, 64);
	case 4:
		return (uintptr_t)playground + PLAY_SIZE - below(r, 64);
	case 5:
	case 6:
		return (uintptr_t)playground + below(r, PLAY_SIZE);
	default:
		return (uintptr_t)good;
	}
}

uint64_t odd(struct rng *r, uint64_t value)
{
	static const uint64_t limits[] = {
		0, 1, 2, 8, 0x7fffffff, 0x80000000, 0xffffffff, 1ULL << 32,
		INT64_MAX, 1ULL << 63, UINT64_MAX, 178956970, 178956971,
		89478485, 89478486,
		999999999, 1000000000,
	};

	if (!rarely(r, 6))
		return value;
	return rarely(r, 3) ? rng_next(r) : pick(r, limits);
}

static void act_ctl(struct rng *r)
{
	struct epoll_event ev = { .events = rng_next(r) & rng_next(r),
				  .data.u64 = rng_next(r) };
	struct myepoll_ctl ctl = {
		.op = odd(r, 1 + below(r, 3)),
		.fd = odd(r, any_fd(r)),
		.event = any_address(r, &ev),
		.flags = odd(r, 0),
		.reserved = odd(r, 0),
	};

	ioctl(any_fd(r), MYEPOLL_IOC_CTL, any_address(r, &ctl));
}

/* An ADD that works, so that there is something to go wrong */
static void act_add(struct rng *r)
{
	static const uint32_t modes[] = { 0, 0, EPOLLET, EPOLLONESHOT,
					  EPOLLEXCLUSIVE, EPOLLWAKEUP };
	struct epoll_event ev = {
		.events = EPOLLIN | (below(r, 3) ? 0 : EPOLLOUT) | pick(r, modes),
		.data.u64 = rng_next(r),
	};

	ours_ctl(any_fd(r), rarely(r, 4) ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
		 any_fd(r), &ev);
}

/* A wait without a limit comes back by the signals that never cease. */
void any_wait(struct rng *r, struct myepoll_wait *wait, struct wait_memory *m)
{
	uint32_t flags = odd(r, below(r, 3));

	m->mask = 0;
	m->time.tv_sec = odd(r, 0);
	m->time.tv_nsec = odd(r, below(r, 2000000));
	*wait = (struct myepoll_wait) {
		.events = any_address(r, m->ev),
		.maxevents = odd(r, 1 + below(r, ARRAY_SIZE(m->ev))),
		.flags = flags,
		.sigmask = below(r, 4) ? 0 : any_address(r, &m->mask),
		.sigsetsize = odd(r, KERNEL_SIGSETSIZE),
		.timeout_sec = odd(r, 0),
		.timeout_nsec = flags & MYEPOLL_WAIT_TIMEOUT ?
				odd(r, below(r, 1000000)) : odd(r, 0),
	};

	/* More would be written than the array holds: only into the playground. */
	if (wait->events == (uintptr_t)m->ev &&
	    (wait->maxevents > (int)ARRAY_SIZE(m->ev) || wait->maxevents < 0))
		wait->events = (uintptr_t)playground;
	if (flags & MYEPOLL_WAIT_TIMEOUT_PTR)
		wait->timeout_sec = any_address(r, &m->time);
}

static void act_wait(struct rng *r)
{
	struct wait_memory memory;
	struct myepoll_wait wait;

	any_wait(r, &wait, &memory);
	ioctl(any_fd(r), MYEPOLL_IOC_WAIT, any_address(r, &wait));
}

static void act_create(struct rng *r)
{
	struct myepoll_create create = { .flags = odd(r, EPOLL_CLOEXEC),
					 .reserved = odd(r, 0) };
	int fd = ioctl(any_fd(r), MYEPOLL_IOC_CREATE, any_address(r, &create));

	if (fd >= 0) {
		dup2(fd, any_fd(r));
		close(fd);
	}
}

/* Any number at all, or ours with another direction or size */
static void act_ioctl(struct rng *r)
{
	static const uint32_t types[] = { MYEPOLL_IOC_TYPE, MYEPOLL_IOC_TYPE, 0x8a };
	char data[128];
	uint32_t cmd = _IOC(below(r, 4), pick(r, types), below(r, 6),
			    rarely(r, 3) ? below(r, 1 << 14) : 4 * below(r, 24));
	size_t i;

	/* What writes 16 kB goes to where nothing is ours. */
	for (i = 0; i < sizeof(data); i++)
		data[i] = below(r, 3) ? 0 : rng_next(r);
	ioctl(any_fd(r), rarely(r, 16) ? rng_next(r) | (uint64_t)1 << 31 : cmd,
	      _IOC_SIZE(cmd) > sizeof(data) ?
	      (uintptr_t)playground + below(r, PLAY_SIZE) :
	      any_address(r, data));
}

static int new_file(struct rng *r)
{
	struct itimerspec it = {
		.it_value.tv_nsec = 1 + below(r, 1000000),
		.it_interval.tv_nsec = 200000 + below(r, 1000000),
	};
	int fd[2];

	switch (below(r, 8)) {
	case 0:
		if (pipe2(fd, O_NONBLOCK))
			return -1;
		dup2(fd[1], any_fd(r));
		close(fd[1]);
		return fd[0];
	case 1:
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd))
			return -1;
		dup2(fd[1], any_fd(r));
		close(fd[1]);
		return fd[0];
	case 2:
		fd[0] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
		timerfd_settime(fd[0], 0, &it, NULL);
		return fd[0];
	case 3:
		return native_create(0);
	case 4:
	case 5:
		return open(MYEPOLL_DEVICE, O_RDWR | O_NONBLOCK);
	default:
		return eventfd(below(r, 2), EFD_NONBLOCK);
	}
}

static void act_open(struct rng *r)
{
	int fd = new_file(r);

	if (fd < 0)
		return;
	dup2(fd, any_fd(r));
	close(fd);
}

static void act_close(struct rng *r)
{
	if (rarely(r, 40))
		close_range(FIRST_FD, FIRST_FD + NR_FDS - 1, 0);
	else if (rarely(r, 3))
		dup2(any_fd(r), any_fd(r));
	else
		close(any_fd(r));
}

static void act_use(struct rng *r)
{
	char data[8] = { 1 };
	struct pollfd pfd = { .fd = any_fd(r), .events = rng_next(r) };

	if (rarely(r, 3))
		poll(&pfd, 1, below(r, 2));
	else if (below(r, 2) ? write(any_fd(r), data, sizeof(data)) < 0 :
		 read(any_fd(r), data, sizeof(data)) < 0)
		errno = 0;
}

/* Native instances and one another watch ours, while all this goes on. */
static void act_native(struct rng *r)
{
	struct epoll_event ev = { .events = EPOLLIN | (below(r, 2) ? EPOLLET : 0) };

	if (rarely(r, 3))
		native_wait(any_fd(r), &ev, 1, 0);
	else
		native_ctl(any_fd(r), 1 + below(r, 3), any_fd(r), &ev);
}

static void act_send(struct rng *r)
{
	if (below(r, 2))
		send_fd(any_fd(r), any_fd(r));
	else
		close(receive_fd(any_fd(r)));
}

static void act_memory(struct rng *r)
{
	char *at = playground + 4096 * below(r, PLAY_SIZE / 4096);
	static const int prot[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };

	if (mmap(at, 4096, pick(r, prot),
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		_exit(3);
}

static void act_fork(struct rng *r)
{
	pid_t pid;
	int i;

	if (!rarely(r, 50))
		return;
	pid = fork();
	if (!pid) {
		for (i = 0; i < 20; i++) {
			act_add(r);
			act_close(r);
		}
		_exit(0);
	}
	if (pid > 0)
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
}

static void (*const actions[])(struct rng *r) = {
	act_ctl, act_ctl, act_add, act_add, act_add, act_add, act_wait, act_wait,
	act_wait, act_create, act_ioctl, act_ioctl, act_open, act_open, act_open,
	act_close, act_close, act_use, act_use, act_use, act_native, act_send,
	act_memory, act_fork, act_batch, act_batch, act_scribble,
};

static void *attack(void *arg)
{
	struct rng r;

	rng_seed(&r, opt->seed + round_nr, 100 + (uintptr_t)arg);
	for (;;) {
		pick(&r, actions)(&r);
		atomic_fetch_add_explicit(ops, 1, memory_order_relaxed);
	}
	return NULL;
}

static void nothing(int sig)
{
}

static void lose_all_rights(void)
{
	struct rlimit files = { 256, 256 }, procs = { 256, 256 }, core = { 0, 0 };

	if (setrlimit(RLIMIT_NOFILE, &files) || setrlimit(RLIMIT_NPROC, &procs) ||
	    setrlimit(RLIMIT_CORE, &core))
		die("setrlimit");
	if (geteuid())
		return;
	if (setgroups(0, NULL) || setresgid(opt->user, opt->user, opt->user) ||
	    setresuid(opt->user, opt->user, opt->user))
		die("setresuid");
}

static void start_signals(void)
{
	struct sigaction sa = { .sa_handler = nothing };
	struct itimerval it = { { 0, SIGNAL_MS * 1000 }, { 0, SIGNAL_MS * 1000 } };

	signal(SIGPIPE, SIG_IGN);
	if (sigaction(SIGALRM, &sa, NULL) || setitimer(ITIMER_REAL, &it, NULL))
		die("setitimer");
}

static void *exit_from_a_thread(void *arg)
{
	_exit(0);
}

static void end_process(enum end how)
{
	pthread_t thread;

	switch (how) {
	case END_KILL:
		kill(getpid(), SIGKILL);
		break;
	case END_CLOSE_ALL:
		close_range(3, ~0U, 0);
		break;
	case END_THREAD_EXITS:
		if (!pthread_create(&thread, NULL, exit_from_a_thread, NULL))
			pthread_join(thread, NULL);
		break;
	default:
		break;
	}
	_exit(0);
}

/* The process of one round; does not return. */
static void attacker(struct rng *r)
{
	struct timespec life = { .tv_nsec = (MIN_LIFE_MS + below(r, MAX_LIFE_MS -
					     MIN_LIFE_MS)) * 1000000L };
	pthread_t thread;
	int i;

	lose_all_rights();
	playground = mmap(NULL, PLAY_SIZE + 2 * GUARD_SIZE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (playground == MAP_FAILED)
		die("mmap");
	playground += GUARD_SIZE;
	if (mprotect(playground, PLAY_SIZE, PROT_READ | PROT_WRITE))
		die("mprotect");
	if (access(MYEPOLL_DEVICE, R_OK | W_OK))
		die(MYEPOLL_DEVICE);
	for (i = 0; i < NR_FDS; i++)
		act_open(r);
	batch_start();
	start_signals();
	for (i = 0; i < opt->threads; i++)
		if (pthread_create(&thread, NULL, attack, (void *)(uintptr_t)i))
			die("pthread_create");
	/* Signals cut a sleep short: go on with what is left of it. */
	while (nanosleep(&life, &life) && errno == EINTR)
		;
	end_process(below(r, NR_ENDS));
}

/* Where the threads of a process that does not end are, for root */
static void show_stacks(pid_t pid)
{
	char path[64], text[4096];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		ssize_t n;
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/stack", pid,
			 entry->d_name);
		fd = open(path, O_RDONLY);
		n = fd < 0 ? 0 : read(fd, text, sizeof(text));
		if (n > 0)
			printf("  thread %s:\n%.*s", entry->d_name, (int)n, text);
		close(fd);
	}
	if (dir)
		closedir(dir);
}

static bool gone_in_time(pid_t pid, int *status)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	int64_t left_ms = GONE_S * 1000LL + MAX_LIFE_MS;

	while (waitpid(pid, status, WNOHANG) != pid) {
		nanosleep(&pause, NULL);
		left_ms -= 2;
		if (left_ms < 0)
			return false;
	}
	return true;
}

/* Returns whether the attacker is gone, as it should. */
static bool one_round(void)
{
	struct rng r;
	int status;
	pid_t pid;

	rng_seed(&r, opt->seed + round_nr, 1);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid)
		attacker(&r);
	if (!gone_in_time(pid, &status)) {
		printf("FAILED: round %llu: process %d is still there:\n",
		       (unsigned long long)round_nr, pid);
		show_stacks(pid);
		return false;
	}
	if (WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL :
	    WEXITSTATUS(status) != 0) {
		printf("FAILED: round %llu: the process ended with status %#x\n",
		       (unsigned long long)round_nr, status);
		return false;
	}
	return true;
}

static int64_t ms_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void progress(int64_t ms)
{
	printf("hostile: %6lld s %10llu operations, %lld/s, %llu processes\n",
	       (long long)ms / 1000, (unsigned long long)*ops,
	       (long long)(*ops * 1000 / (ms + 1)), (unsigned long long)round_nr);
}

int hostile(const struct options *o, uint64_t *passed)
{
	int64_t start = ms_now(), last = start, now = start;
	int failed = 0;

	opt = o;
	long_batch_make();
	ops = mmap(NULL, sizeof(*ops), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ops == MAP_FAILED)
		die("mmap");
	while (!failed && (!o->seconds || now - start < o->seconds * 1000LL) &&
	       (!o->steps || *ops < o->steps)) {
		failed += !one_round();
		*passed += !failed;
		round_nr++;
		now = ms_now();
		if (now - last >= 10000) {
			last = now;
			progress(now - start);
		}
	}
	progress(now - start);
	return failed;
}
