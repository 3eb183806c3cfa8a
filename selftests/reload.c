// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module comes and goes: nothing is left behind, nothing goes away while it
 * is in use.  Needs root and the module's file, see myepoll_ko().
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "mockuse.h"
#include "sysfile.h"
#include "detach.h"

#define ROUNDS 100

static const struct backend *be = &backend_myepoll;

FIXTURE(reload)
{
	bool was_there;
};

FIXTURE_SETUP(reload)
{
	REQUIRE_BACKEND(be);
	ASSERT_EQ(0, need_tracefs());
	self->was_there = !access("/sys/module/myepoll", F_OK);
	if (!self->was_there)
		ASSERT_EQ(0, module_load(myepoll_ko(), ""));
	ASSERT_EQ(0, access(MYEPOLL_DEVICE, F_OK));
}

FIXTURE_TEARDOWN(reload)
{
	/* As the other tests find it: loaded. */
	if (access("/sys/module/myepoll", F_OK))
		EXPECT_EQ(0, module_load(myepoll_ko(), ""));
}

/* Returns 0 if the module has left no trace. */
static int all_gone(void)
{
	static const struct {
		const char *path;
		const char *words;
	} trace[] = {
		{ "/proc/misc", " myepoll\n" },
		{ "/proc/slabinfo", "myepoll" },
		{ "/proc/modules", "myepoll " },
		{ "/proc/kallsyms", "[myepoll]" },
		{ TRACEFS "/enabled_functions", "locks_remove_file " },
	};
	static const char *const place[] = {
		MYEPOLL_DEVICE, "/sys/module/myepoll", "/proc/sys/fs/myepoll",
		"/sys/class/misc/myepoll",
	};
	int ret = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(trace); i++) {
		if (access(trace[i].path, R_OK) ||
		    file_mentions(trace[i].path, trace[i].words)) {
			fprintf(stderr, "# %s cannot be read or has a trace of it\n",
				trace[i].path);
			ret = -1;
		}
	}
	for (i = 0; i < ARRAY_SIZE(place); i++) {
		if (!access(place[i], F_OK)) {
			fprintf(stderr, "# %s is still there\n", place[i]);
			ret = -1;
		}
	}
	return ret;
}

/* A little of everything that allocates. */
static int use_it(void)
{
	int ep = be->create(EPOLL_CLOEXEC), outer = be->create(EPOLL_CLOEXEC);
	int fd = eventfd(1, EFD_CLOEXEC), copy = dup(fd), mock = mock_open();
	struct epoll_event ev[4];
	int ret = 0;

	if (ep < 0 || outer < 0 || fd < 0 || copy < 0 || mock < 0)
		return -1;
	ret |= mock_heads(mock, 3, 0, 1, MOCK_HEAD_FREEABLE);
	ret |= xadd(be, outer, ep, EPOLLIN, 1);
	ret |= xadd(be, ep, fd, EPOLLIN, 2);
	ret |= xadd(be, ep, copy, EPOLLIN | EPOLLET, 3);
	ret |= xadd(be, ep, mock, EPOLLIN | EPOLLONESHOT, 4);
	ret |= mock_event(mock, EPOLLIN);
	ret |= wait0(be, outer, ev, 4) != 1;
	ret |= wait0(be, ep, ev, 4) != 3;
	ret |= xdel(be, ep, copy);
	ret |= close(fd) | close(copy);
	/* Still watched, still ready: what its close has to take down. */
	ret |= close(ep);
	ret |= mock_entries(mock, 0) | mock_entries(mock, 1);
	return ret | close(outer) | close(mock);
}

TEST_F_TIMEOUT(reload, many_times, 360)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, use_it());
		ASSERT_EQ(0, module_unload("myepoll"));
		ASSERT_EQ(0, all_gone());
		ASSERT_EQ(0, module_load(myepoll_ko(), ""));
		ASSERT_EQ(0, access(MYEPOLL_DEVICE, R_OK | W_OK));
	}
	EXPECT_EQ(0, detach_works(be, 1));
}

TEST_F(reload, not_used_since_it_was_loaded)
{
	ASSERT_EQ(0, module_unload("myepoll"));
	ASSERT_EQ(0, module_load(myepoll_ko(), ""));
	ASSERT_EQ(0, module_unload("myepoll"));
	EXPECT_EQ(0, all_gone());
}

#define REFUSED_UNLOAD() do {				\
		errno = 0;				\
		EXPECT_EQ(-1, module_unload("myepoll"));	\
		EXPECT_EQ(EWOULDBLOCK, errno);		\
	} while (0)

TEST_F(reload, not_while_the_device_is_open)
{
	int fd = open(MYEPOLL_DEVICE, O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	REFUSED_UNLOAD();
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(0, module_unload("myepoll"));
}

TEST_F(reload, not_while_a_created_instance_is_open)
{
	int ep = be->create(0), copy = dup(ep);

	ASSERT_LE(0, ep);
	ASSERT_LE(0, copy);
	REFUSED_UNLOAD();
	EXPECT_EQ(0, close(ep));
	REFUSED_UNLOAD();
	EXPECT_EQ(0, close(copy));
	EXPECT_EQ(0, module_unload("myepoll"));
}

/* The waiter's call holds the instance although no descriptor is left. */
TEST_F(reload, not_while_somebody_waits)
{
	struct waiter w = { .be = be, .timeout = -1 };
	int fd = eventfd(0, 0), ep = be->create(0);

	ASSERT_LE(0, fd);
	ASSERT_LE(0, ep);
	ASSERT_EQ(0, xadd(be, ep, fd, EPOLLIN, 1));
	w.ep = ep;
	ASSERT_EQ(0, waiter_start(&w));
	ASSERT_EQ(0, close(ep));
	REFUSED_UNLOAD();
	ASSERT_EQ(8, write(fd, &(uint64_t){ 1 }, 8));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(0, module_unload("myepoll"));
	EXPECT_EQ(0, close(fd));
}

TEST_F(reload, watched_files_live_on)
{
	int ep = be->create(0), fd = eventfd(0, EFD_NONBLOCK), mock = mock_open();

	ASSERT_LE(0, ep);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, mock);
	ASSERT_EQ(0, xadd(be, ep, fd, EPOLLIN, 1));
	ASSERT_EQ(0, xadd(be, ep, mock, EPOLLIN, 2));
	ASSERT_EQ(0, close(ep));
	ASSERT_EQ(0, module_unload("myepoll"));

	/* Wake-ups and closes that nobody listens to any more. */
	EXPECT_EQ(0, mock_entries(mock, 0));
	EXPECT_EQ(0, mock_event(mock, EPOLLIN));
	EXPECT_EQ(0, mock_order(mock, MOCK_HARDIRQ, 0, EPOLLIN, 0, 0, 1000));
	EXPECT_TRUE(mock_wait_wakes(mock, MOCK_HARDIRQ, 1));
	EXPECT_EQ(8, write(fd, &(uint64_t){ 1 }, 8));
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(0, close(mock));
}

/*
 * struct opener - a thread that opens and closes as fast as it can
 * @opened: how often that went well
 * @wrong: an errno that has no business there, 0 if none came
 */
struct opener {
	pthread_t thread;
	atomic_bool *stop;
	atomic_int opened;
	atomic_int wrong;
};

/* Before the node is there, before the device is, and while it goes. */
static bool may_be_absent(int err)
{
	return err == ENOENT || err == ENODEV || err == ENXIO;
}

static void *opener_main(void *arg)
{
	struct opener *opener = arg;

	while (!atomic_load(opener->stop)) {
		int ep = be->create(EPOLL_CLOEXEC);

		if (ep >= 0) {
			close(ep);
			atomic_fetch_add(&opener->opened, 1);
		} else if (!may_be_absent(errno)) {
			atomic_store(&opener->wrong, errno);
		}
		/* A gap that an unload can fall into, and does not always. */
		if (atomic_load(&opener->opened) % 4 == 0)
			breathe();
	}
	return NULL;
}

TEST_F_TIMEOUT(reload, while_others_open_and_close, 300)
{
	int64_t deadline = now_ns() + 240 * 1000000000LL;
	struct opener opener[2] = { 0 };
	atomic_bool stop = false;
	int unloads = 0, i;

	for (i = 0; i < 2; i++) {
		opener[i].stop = &stop;
		ASSERT_EQ(0, pthread_create(&opener[i].thread, NULL, opener_main,
					    &opener[i]));
	}
	while (unloads < ROUNDS / 5 && now_ns() < deadline) {
		int before = atomic_load(&opener[0].opened);

		if (module_unload("myepoll")) {
			ASSERT_EQ(EWOULDBLOCK, errno);
			continue;
		}
		unloads++;
		ASSERT_EQ(0, module_load(myepoll_ko(), ""));
		/* The opener gets a go at each incarnation. */
		while (atomic_load(&opener[0].opened) == before &&
		       now_ns() < deadline)
			breathe();
	}
	atomic_store(&stop, true);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_join(opener[i].thread, NULL));
		EXPECT_EQ(0, opener[i].wrong);
	}
	EXPECT_EQ(ROUNDS / 5, unloads);
	ASSERT_EQ(0, module_unload("myepoll"));
	EXPECT_EQ(0, all_gone());
}

TEST_HARNESS_MAIN
