// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits met, processes killed and files closed while the module is at work.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "observe.h"
#include "fault.h"
#include "mockuse.h"

#define CROWD 10000
#define KILLS 60
#define STORM_MS 4000
#define STORM_FILES 8

FIXTURE(load)
{
	const struct backend *be;
	struct slab_counts before;
	bool counted;
	int ep;
	int fd;
};

BACKEND_VARIANTS(load);

FIXTURE_SETUP(load)
{
	struct rlimit files = { CROWD + 200, CROWD + 200 };

	REQUIRE_BACKEND(variant->be);
	if (geteuid())
		SKIP(_exit(EXIT_SKIPPED), "needs root");
	self->be = variant->be;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	/* Only where caches of the same size are not merged */
	self->counted = variant->be->ours && slab_take(&self->before);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	self->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT_LE(0, self->ep);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(load)
{
	close(self->ep);
	close(self->fd);
	if (self->counted)
		EXPECT_TRUE(slab_back_to(&self->before));
}

typedef FIXTURE_DATA(load) data_t;

/* Status of a child that has been waited for, -1 if it does not end. */
static int end_of(pid_t child)
{
	int64_t deadline = now_ns() + 2 * PATIENCE_MS * 1000000LL;
	int status;

	while (!waitpid(child, &status, WNOHANG)) {
		if (now_ns() > deadline)
			return -1;
		breathe();
	}
	return status;
}

/* ---- limits ---- */

TEST_F(load, no_descriptor_left)
{
	struct rlimit old, none = { 0 };
	struct myepoll_create create = { 0 };
	struct epoll_event ev;
	int i;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	none.rlim_max = old.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	for (i = 0; i < 200; i++) {
		EXPECT_ERR(EMFILE, variant->be->ours ?
			   ioctl(self->ep, MYEPOLL_IOC_CREATE, &create) :
			   variant->be->create(0));
	}
	/* What is open works on. */
	EXPECT_EQ(0, xadd(variant->be, self->ep, self->fd, EPOLLIN, 1));
	EXPECT_EQ(1, wait0(variant->be, self->ep, &ev, 1));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
}

/*
 * Several threads at the limit at once.  Each looks before it counts, on either
 * epoll: so all but one may pass it, but no more, and no place is lost.
 */
struct adder {
	data_t *t;
	pthread_t thread;
	pthread_barrier_t *barrier;
	int nr;
	int wrong;
};

#define ADDERS 4
#define ROOM 40
#define PLACES 60

/* All have added what they could. */
static bool is_full(struct adder *a)
{
	int n = count_watches(a->t->ep);

	if (n >= PLACES && n < PLACES + ADDERS)
		return true;
	fprintf(stderr, "# %d watches, %d are allowed\n", n, PLACES);
	return false;
}

static void *adder_main(void *arg)
{
	struct adder *a = arg;
	int fd[ROOM], i, round;

	for (i = 0; i < ROOM; i++)
		fd[i] = eventfd(0, EFD_CLOEXEC);
	for (round = 0; round < 30; round++) {
		for (i = 0; i < ROOM; i++)
			if (xadd(a->t->be, a->t->ep, fd[i], EPOLLIN, i) &&
			    errno != ENOSPC)
				a->wrong++;
		pthread_barrier_wait(a->barrier);
		if (!a->nr)
			a->wrong += !is_full(a);
		pthread_barrier_wait(a->barrier);
		for (i = 0; i < ROOM; i++)
			if (xdel(a->t->be, a->t->ep, fd[i]) && errno != ENOENT)
				a->wrong++;
		pthread_barrier_wait(a->barrier);
	}
	for (i = 0; i < ROOM; i++)
		close(fd[i]);
	return NULL;
}

TEST_F_TIMEOUT(load, watch_limit_in_a_crowd, 100)
{
	struct sysctl_saved limit = { 0 };
	struct adder adder[ADDERS];
	pthread_barrier_t barrier;
	char text[16];
	int i;

	ASSERT_EQ(0, pthread_barrier_init(&barrier, NULL, ADDERS));
	snprintf(text, sizeof(text), "%d", PLACES);
	ASSERT_EQ(0, become(UID_A));
	close(self->ep);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_EQ(0, become(0));
	ASSERT_EQ(0, sysctl_set(&limit, watch_limit_path(variant->be), text));
	for (i = 0; i < ADDERS; i++) {
		adder[i] = (struct adder){ .t = self, .barrier = &barrier,
					   .nr = i };
		ASSERT_EQ(0, pthread_create(&adder[i].thread, NULL, adder_main,
					    &adder[i]));
	}
	for (i = 0; i < ADDERS; i++) {
		ASSERT_EQ(0, pthread_join(adder[i].thread, NULL));
		EXPECT_EQ(0, adder[i].wrong);
	}
	ASSERT_EQ(0, sysctl_restore(&limit));
	EXPECT_TRUE(user_is_charged(variant->be, UID_A, 0));
}

/* ---- memory ---- */

#define GROUP "/sys/fs/cgroup/myepoll-memory"
#define PRINTK "/proc/sys/kernel/printk"

/* The first of @n files for which there is no memory; -1 after any other error */
static int first_refused(data_t *t, const int *fd, int n)
{
	for (int i = 0; i < n; i++)
		if (xadd(t->be, t->ep, fd[i], EPOLLIN, i))
			return errno == ENOMEM ? i : -1;
	return -1;
}

/* Enough instances to use up what is charged in advance */
#define MANY_INSTANCES 1000

static bool create_is_refused(data_t *t)
{
	for (int i = 0; i < MANY_INSTANCES; i++)
		if (t->be->create(EPOLL_CLOEXEC) < 0)
			return errno == ENOMEM;
	return false;
}

/*
 * Files first, so that it is ADD that runs out of memory.  Nobody in the group can
 * be killed: so the kernel has to refuse; and nothing of our own may need memory
 * from then on.  Exit status: 0, or what went wrong.
 */
static void eat(data_t *t)
{
	static int fd[CROWD];
	int i, refused;

	for (i = 0; i < CROWD; i++)
		fd[i] = eventfd(0, EFD_CLOEXEC);
	if (mlockall(MCL_CURRENT) || set_text("/proc/self/oom_score_adj", "-1000") ||
	    set_text(GROUP "/cgroup.procs", "0"))
		_exit(2);
	refused = first_refused(t, fd, CROWD);
	if (refused < 0)
		_exit(3);
	if (!create_is_refused(t))
		_exit(4);
	/* What there is goes on, and there is room when something goes. */
	for (i = 0; i < refused; i++)
		if (xdel(t->be, t->ep, fd[i]))
			_exit(5);
	_exit(xadd(t->be, t->ep, fd[0], EPOLLIN, 0) ? 6 : 0);
}

TEST_F_TIMEOUT(load, group_out_of_memory, 120)
{
	struct sysctl_saved console = { 0 };
	int status;
	pid_t child;

	mkdir("/sys/fs/cgroup", 0755);
	if (mount_once("cgroup2", "/sys/fs/cgroup", "/sys/fs/cgroup/cgroup.procs") ||
	    (set_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory")))
		SKIP(return, "no memory controller: %s", strerror(errno));
	ASSERT_TRUE(!mkdir(GROUP, 0755) || errno == EEXIST);
	ASSERT_EQ(0, set_text(GROUP "/memory.max", "1000000"));
	ASSERT_EQ(0, sysctl_set(&console, PRINTK, "4"));
	child = fork();
	if (!child)
		eat(self);
	status = end_of(child);
	if (status == -1)
		kill(child, SIGKILL);
	EXPECT_EQ(0, sysctl_restore(&console));
	EXPECT_TRUE(WIFEXITED(status) && !WEXITSTATUS(status))
		TH_LOG("status %#x", status);
	/* Descriptors of the child's are closed, those of our own file stay. */
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(0, count_watches(self->ep));
	rmdir(GROUP);
}

/* ---- processes that die ---- */

/* All its files are watched by an instance that lives on. */
TEST_F_TIMEOUT(load, killed_with_many_files, 120)
{
	struct epoll_event ev;
	int up[2], i, status;
	pid_t child;
	char c;

	ASSERT_EQ(0, pipe(up));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		for (i = 0; i < CROWD; i++) {
			int fd = eventfd(1, EFD_CLOEXEC);

			if (fd < 0 || xadd(self->be, self->ep, fd, EPOLLIN, fd))
				_exit(1);
		}
		if (write(up[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(1);
	}
	close(up[1]);
	ASSERT_EQ(1, read(up[0], &c, 1));
	EXPECT_EQ(1, wait0(variant->be, self->ep, &ev, 1));
	ASSERT_EQ(0, kill(child, SIGKILL));
	status = end_of(child);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(0, count_watches(self->ep));
	EXPECT_EQ(0, wait0(variant->be, self->ep, &ev, 1));
	close(up[0]);
}

static void wait_for_ever(data_t *t, int up)
{
	struct epoll_event ev[4];
	int n = 0;

	if (write(up, "x", 1) != 1)
		_exit(1);
	while (n >= 0)
		n = t->be->wait(t->ep, ev, 4, -1);
	_exit(1);
}

/* A waiter is killed at any point of its waits; the others get every event. */
TEST_F_TIMEOUT(load, killed_waiters, 120)
{
	struct epoll_event ev;
	int up[2], i, status;
	pid_t child;
	char c;

	ASSERT_EQ(0, pipe(up));
	ASSERT_EQ(0, xadd(variant->be, self->ep, self->fd, EPOLLIN, 3));
	for (i = 0; i < KILLS; i++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child)
			wait_for_ever(self, up[1]);
		ASSERT_EQ(1, read(up[0], &c, 1));
		nanosleep(&(struct timespec){ .tv_nsec = i * 37000 }, NULL);
		ASSERT_EQ(0, kill(child, SIGKILL));
		/* The event is there all the time, even while it dies. */
		ASSERT_EQ(1, variant->be->wait(self->ep, &ev, 1, PATIENCE_MS));
		status = end_of(child);
		ASSERT_TRUE(WIFSIGNALED(status));
		ASSERT_EQ(1, wait0(variant->be, self->ep, &ev, 1));
	}
	close(up[0]);
	close(up[1]);
}

/* ---- unloading ---- */

struct user {
	data_t *t;
	atomic_bool stop;
	atomic_long rounds;
	int wrong;
};

static void *user_main(void *arg)
{
	struct user *u = arg;
	struct epoll_event ev;

	while (!atomic_load(&u->stop)) {
		int ep = u->t->be->create(EPOLL_CLOEXEC);

		if (ep < 0 || xadd(u->t->be, ep, u->t->fd, EPOLLIN, 1) ||
		    wait0(u->t->be, ep, &ev, 1) != 1)
			u->wrong++;
		close(ep);
		atomic_fetch_add(&u->rounds, 1);
	}
	return NULL;
}

TEST_F_TIMEOUT(load, no_unloading, 60)
{
	struct user user = { .t = self };
	pthread_t thread;
	int i;

	if (!variant->be->ours)
		SKIP(return, "native epoll is not a module");
	ASSERT_EQ(0, pthread_create(&thread, NULL, user_main, &user));
	for (i = 0; i < 2000 || atomic_load(&user.rounds) < 100; i++)
		ASSERT_EQ(-1, module_unload("myepoll"));
	EXPECT_EQ(EWOULDBLOCK, errno);
	atomic_store(&user.stop, true);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, user.wrong);
}

/* ---- a storm of closes ---- */

#define SERIALS (1 << 20)

/*
 * struct storm - threads that open, watch and close, against some that wait
 * @next: serial number of the next watch
 * @closed: when close() of the watch with that number had returned, or 0
 * @late: events of files that were closed before the call began
 */
static struct storm {
	data_t *t;
	atomic_bool stop;
	atomic_int next;
	atomic_llong *closed;
	atomic_int late;
	atomic_int wrong;
	atomic_long events;
} storm;

static void *closer_main(void *arg)
{
	int fd[STORM_FILES], serial[STORM_FILES], i;

	while (!atomic_load(&storm.stop)) {
		for (i = 0; i < STORM_FILES; i++) {
			fd[i] = eventfd(1, EFD_CLOEXEC);
			serial[i] = atomic_fetch_add(&storm.next, 1);
			if (serial[i] >= SERIALS)
				return NULL;
			if (fd[i] < 0 || xadd(storm.t->be, storm.t->ep, fd[i],
					      i % 2 ? EPOLLIN : EPOLLIN | EPOLLET,
					      serial[i]))
				atomic_fetch_add(&storm.wrong, 1);
		}
		for (i = 0; i < STORM_FILES; i++) {
			close(fd[i]);
			atomic_store(&storm.closed[serial[i]], now_ns());
		}
	}
	return NULL;
}

static void *storm_waiter_main(void *arg)
{
	struct epoll_event ev[16];
	int timeout = (intptr_t)arg, n, i;

	while (!atomic_load(&storm.stop)) {
		int64_t begin = now_ns(), closed;

		n = storm.t->be->wait(storm.t->ep, ev, 16, timeout);
		if (n < 0)
			atomic_fetch_add(&storm.wrong, 1);
		for (i = 0; i < n; i++) {
			closed = atomic_load(&storm.closed[ev[i].data.u64]);
			if (closed && closed < begin)
				atomic_fetch_add(&storm.late, 1);
			atomic_fetch_add(&storm.events, 1);
		}
	}
	return NULL;
}

TEST_F_TIMEOUT(load, close_against_wait, 100)
{
	int64_t end = now_ns() + STORM_MS * 1000000LL;
	pthread_t thread[4];
	int i;

	memset(&storm, 0, sizeof(storm));
	storm.t = self;
	storm.closed = calloc(SERIALS, sizeof(*storm.closed));
	ASSERT_NE(NULL, storm.closed);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL,
					    i < 2 ? closer_main : storm_waiter_main,
					    (void *)(intptr_t)(i - 2)));
	while (now_ns() < end)
		breathe();
	atomic_store(&storm.stop, true);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	TH_LOG("%s: %d files, %ld events", variant->be->name, storm.next, storm.events);
	EXPECT_EQ(0, storm.late);
	EXPECT_EQ(0, storm.wrong);
	EXPECT_LT(0, storm.events);
	EXPECT_EQ(0, count_watches(self->ep));
	free((void *)storm.closed);
}

TEST_HARNESS_MAIN
