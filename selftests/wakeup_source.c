// SPDX-License-Identifier: GPL-2.0-only
/* EPOLLWAKEUP: the system stays awake while an event waits to be taken. */
#define _GNU_SOURCE
#include <dirent.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "observe.h"
#include "users.h"

#define SOURCES "/sys/class/wakeup"

/* fifo: a file whose name, and with it the name of its source, is ours alone */
FIXTURE(wakeup_source)
{
	int ep;
	int fifo;
	char path[64];
	const char *name;
	const char *common;
	struct epoll_event ev[4];
};

BACKEND_VARIANTS(wakeup_source);

FIXTURE_SETUP(wakeup_source)
{
	REQUIRE_BACKEND(variant->be);
	if (access(SOURCES, F_OK))
		SKIP(_exit(EXIT_SKIPPED), "this kernel has no wakeup sources");
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	snprintf(self->path, sizeof(self->path), "/tmp/wakeup_source.%d",
		 getpid());
	self->name = strrchr(self->path, '/') + 1;
	self->common = variant->be->ours ? "myepoll" : "eventpoll";
	ASSERT_EQ(0, mkfifo(self->path, 0600));
	self->fifo = open(self->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, self->fifo);
}

FIXTURE_TEARDOWN(wakeup_source)
{
	close(self->fifo);
	close(self->ep);
	unlink(self->path);
}

static bool read_attribute(const char *source, const char *attribute,
			   char *text, size_t size)
{
	char path[512];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), SOURCES "/%s/%s", source, attribute);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, text, size - 1);
	close(fd);
	if (len <= 0)
		return false;
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return true;
}

/*
 * How many sources have this name.  @attribute, if given, is added up over them
 * into @sum.
 */
static int sources(const char *name, const char *attribute, long *sum)
{
	char text[128];
	struct dirent *entry;
	DIR *dir = opendir(SOURCES);
	int n = 0;

	if (!dir)
		return -1;
	if (sum)
		*sum = 0;
	while ((entry = readdir(dir))) {
		if (!read_attribute(entry->d_name, "name", text, sizeof(text)))
			continue;
		if (strcmp(text, name))
			continue;
		n++;
		if (sum && read_attribute(entry->d_name, attribute, text,
					  sizeof(text)))
			*sum += strtol(text, NULL, 10);
	}
	closedir(dir);
	return n;
}

static long times_active(const char *name)
{
	long sum;

	return sources(name, "active_count", &sum) < 0 ? -1 : sum;
}

/* active_time_ms counts while a source is active, and is 0 if it is not. */
static bool is_active_now(const char *name)
{
	long sum = 0;

	return sources(name, "active_time_ms", &sum) >= 0 && sum > 0;
}

static bool gets_active(const char *name)
{
	int64_t end = now_ns() + PATIENCE_MS * 1000000LL;

	while (!is_active_now(name)) {
		if (now_ns() > end)
			return false;
		breathe();
	}
	return true;
}

/* It is not active: it was already, and the clock has gone on by a few ms. */
static bool is_inactive(const char *name)
{
	int64_t end = now_ns() + 5000000;

	while (now_ns() < end)
		if (is_active_now(name))
			return false;
	return true;
}

static bool source_goes(const char *name)
{
	int64_t end = now_ns() + PATIENCE_MS * 1000000LL;

	while (sources(name, NULL, NULL)) {
		if (now_ns() > end)
			return false;
		breathe();
	}
	return true;
}

#define watch(mask) \
	ASSERT_EQ(0, xadd(variant->be, self->ep, self->fifo, mask, 1))
#define touch() ASSERT_EQ(1, write(self->fifo, "x", 1))
#define wait_now() wait0(variant->be, self->ep, self->ev, 4)

TEST_F(wakeup_source, watch_has_a_source_named_after_its_file)
{
	EXPECT_EQ(0, sources(self->name, NULL, NULL));
	watch(EPOLLIN | EPOLLWAKEUP);
	EXPECT_EQ((uint32_t)(EPOLLIN | EPOLLWAKEUP | EPOLLERR | EPOLLHUP),
		  watch_mask(self->ep, self->fifo));
	EXPECT_EQ(1, sources(self->name, NULL, NULL));
	ASSERT_EQ(0, xdel(variant->be, self->ep, self->fifo));
	EXPECT_TRUE(source_goes(self->name));
}

TEST_F(wakeup_source, instance_has_a_common_source)
{
	int before = sources(self->common, NULL, NULL);

	watch(EPOLLIN);
	EXPECT_EQ(before, sources(self->common, NULL, NULL));
	ASSERT_EQ(0, xmod(variant->be, self->ep, self->fifo,
			  EPOLLIN | EPOLLWAKEUP, 1));
	EXPECT_EQ(before + 1, sources(self->common, NULL, NULL));
	close(self->ep);
	self->ep = -1;
	if (!before)
		EXPECT_TRUE(source_goes(self->common));
	EXPECT_TRUE(source_goes(self->name));
}

TEST_F(wakeup_source, source_is_active_until_the_event_is_taken)
{
	watch(EPOLLIN | EPOLLET | EPOLLWAKEUP);
	EXPECT_TRUE(is_inactive(self->name));
	touch();
	EXPECT_TRUE(gets_active(self->name));
	EXPECT_EQ(1, wait_now());
	EXPECT_TRUE(is_inactive(self->name));
	EXPECT_TRUE(is_inactive(self->common));
}

TEST_F(wakeup_source, source_of_a_level_event_is_active_until_it_is_over)
{
	char c;

	watch(EPOLLIN | EPOLLWAKEUP);
	touch();
	EXPECT_TRUE(gets_active(self->name));
	EXPECT_EQ(1, wait_now());
	EXPECT_TRUE(gets_active(self->name));
	ASSERT_EQ(1, read(self->fifo, &c, 1));
	EXPECT_EQ(0, wait_now());
	EXPECT_TRUE(is_inactive(self->name));
}

TEST_F(wakeup_source, poll_leaves_the_source_active_while_there_is_an_event)
{
	int outer = variant->be->create(EPOLL_CLOEXEC);

	ASSERT_LE(0, outer);
	watch(EPOLLIN | EPOLLET | EPOLLWAKEUP);
	ASSERT_EQ(0, xadd(variant->be, outer, self->ep, EPOLLIN, 2));
	touch();
	EXPECT_EQ(1, wait0(variant->be, outer, self->ev, 4));
	EXPECT_TRUE(gets_active(self->name));
	EXPECT_EQ(1, wait_now());
	EXPECT_TRUE(is_inactive(self->name));
	close(outer);
}

TEST_F(wakeup_source, add_of_a_ready_file_is_active)
{
	touch();
	watch(EPOLLIN | EPOLLET | EPOLLWAKEUP);
	EXPECT_TRUE(gets_active(self->name));
	EXPECT_EQ(1, wait_now());
	EXPECT_TRUE(is_inactive(self->name));
}

TEST_F(wakeup_source, every_event_counts)
{
	long before;

	watch(EPOLLIN | EPOLLET | EPOLLWAKEUP);
	before = times_active(self->name);
	for (int i = 0; i < 3; i++) {
		touch();
		EXPECT_EQ(1, wait_now());
	}
	EXPECT_EQ(before + 3, times_active(self->name));
}

TEST_F(wakeup_source, mod_adds_and_removes_the_source)
{
	watch(EPOLLIN);
	EXPECT_EQ(0, sources(self->name, NULL, NULL));
	ASSERT_EQ(0, xmod(variant->be, self->ep, self->fifo,
			  EPOLLIN | EPOLLET | EPOLLWAKEUP, 1));
	EXPECT_EQ(1, sources(self->name, NULL, NULL));
	touch();
	EXPECT_TRUE(gets_active(self->name));
	ASSERT_EQ(0, xmod(variant->be, self->ep, self->fifo, EPOLLIN, 1));
	EXPECT_TRUE(source_goes(self->name));
	EXPECT_EQ(1, wait_now());
}

TEST_F(wakeup_source, oneshot_keeps_its_source_when_disarmed)
{
	watch(EPOLLIN | EPOLLONESHOT | EPOLLWAKEUP);
	touch();
	EXPECT_TRUE(gets_active(self->name));
	EXPECT_EQ(1, wait_now());
	EXPECT_EQ((uint32_t)(EPOLLONESHOT | EPOLLWAKEUP),
		  watch_mask(self->ep, self->fifo));
	EXPECT_EQ(1, sources(self->name, NULL, NULL));
	EXPECT_TRUE(is_inactive(self->name));
}

/* The file goes with an event pending: nothing may stay active. */
TEST_F(wakeup_source, closed_file_takes_its_source_along)
{
	watch(EPOLLIN | EPOLLWAKEUP);
	touch();
	EXPECT_TRUE(gets_active(self->name));
	close(self->fifo);
	self->fifo = -1;
	EXPECT_TRUE(source_goes(self->name));
	EXPECT_TRUE(is_inactive(self->common));
}

TEST_F(wakeup_source, closed_instance_takes_its_sources_along)
{
	watch(EPOLLIN | EPOLLWAKEUP);
	touch();
	EXPECT_TRUE(gets_active(self->name));
	close(self->ep);
	self->ep = -1;
	EXPECT_TRUE(source_goes(self->name));
}

/* Without the capability the bit is dropped and nothing is said. */
TEST_F(wakeup_source, bit_is_dropped_without_the_capability)
{
	pid_t pid = fork();
	int status;

	ASSERT_LE(0, pid);
	if (!pid) {
		if (become_for_good(UID_A))
			_exit(1);
		_exit(xadd(variant->be, self->ep, self->fifo,
			   EPOLLIN | EPOLLWAKEUP, 1) ? 2 : 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ((uint32_t)(EPOLLIN | EPOLLERR | EPOLLHUP),
		  watch_mask(self->ep, self->fifo));
	EXPECT_EQ(0, sources(self->name, NULL, NULL));
	touch();
	EXPECT_EQ(1, wait_now());
}

TEST_HARNESS_MAIN
