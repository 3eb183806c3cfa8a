// SPDX-License-Identifier: GPL-2.0-only
/* What other interfaces show of an instance: fdinfo, kcmp, poll, select. */
#define _GNU_SOURCE
#include <poll.h>
#include <linux/kcmp.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "kselftest_harness.h"
#include "observe.h"

#define NR_MANY 1500
#define NR_STABLE 8
/* Two threads, a list for each lane */
#define NR_COMING 32

FIXTURE(misc)
{
	int ep;
	int efd;
	struct epoll_event ev[4];
};

BACKEND_VARIANTS(misc);

FIXTURE_SETUP(misc)
{
	struct rlimit files = { 4096, 4096 };

	REQUIRE_BACKEND(variant->be);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->efd);
}

FIXTURE_TEARDOWN(misc)
{
	close(self->efd);
	close(self->ep);
}

#define watch(fd, mask, data) \
	ASSERT_EQ(0, xadd(variant->be, self->ep, fd, mask, data))

/* The line there has to be, field by field as wide as native writes them. */
static void expected_line(char *text, size_t size, int fd, uint32_t events,
			  uint64_t data)
{
	long long pos = lseek(fd, 0, SEEK_CUR);
	struct stat st;

	fstat(fd, &st);
	snprintf(text, size,
		 "tfd: %8d events: %8x data: %16llx  pos:%lli ino:%lx sdev:%x",
		 fd, events, (unsigned long long)data, pos < 0 ? 0 : pos,
		 (unsigned long)st.st_ino,
		 major(st.st_dev) << 20 | minor(st.st_dev));
}

TEST_F(misc, fdinfo_line_has_all_fields)
{
	uint32_t mask = EPOLLIN | EPOLLET | EPOLLRDHUP;
	struct watch_line line;
	char expected[128];

	watch(self->efd, mask, 0x123456789abcdef0ULL);
	ASSERT_EQ(1, read_watches(self->ep, &line, 1));
	expected_line(expected, sizeof(expected), self->efd,
		      mask | EPOLLERR | EPOLLHUP, 0x123456789abcdef0ULL);
	EXPECT_STREQ(expected, line.text);
}

TEST_F(misc, fdinfo_line_has_position_and_device_of_the_file)
{
	int fd = open("/proc/self/mounts", O_RDONLY | O_CLOEXEC);
	struct watch_line line;
	char expected[128];
	char buf[7];

	ASSERT_LE(0, fd);
	ASSERT_EQ(7, read(fd, buf, sizeof(buf)));
	watch(fd, EPOLLPRI, ~0ULL);
	ASSERT_EQ(1, read_watches(self->ep, &line, 1));
	EXPECT_EQ(7, line.pos);
	expected_line(expected, sizeof(expected), fd,
		      EPOLLPRI | EPOLLERR | EPOLLHUP, ~0ULL);
	EXPECT_STREQ(expected, line.text);
	close(fd);
}

TEST_F(misc, fdinfo_line_of_an_empty_mask)
{
	struct watch_line line;
	char expected[128];

	watch(self->efd, 0, 0);
	ASSERT_EQ(1, read_watches(self->ep, &line, 1));
	expected_line(expected, sizeof(expected), self->efd,
		      EPOLLERR | EPOLLHUP, 0);
	EXPECT_STREQ(expected, line.text);
}

TEST_F(misc, fdinfo_follows_mod_and_del)
{
	watch(self->efd, EPOLLIN, 0);
	EXPECT_EQ((uint32_t)(EPOLLIN | EPOLLERR | EPOLLHUP),
		  watch_mask(self->ep, self->efd));
	ASSERT_EQ(0, xmod(variant->be, self->ep, self->efd, EPOLLOUT, 0));
	EXPECT_EQ((uint32_t)(EPOLLOUT | EPOLLERR | EPOLLHUP),
		  watch_mask(self->ep, self->efd));
	ASSERT_EQ(0, xdel(variant->be, self->ep, self->efd));
	EXPECT_EQ(0, count_watches(self->ep));
}

TEST_F(misc, fdinfo_begins_as_for_every_file)
{
	char path[64], text[128];
	unsigned int flags;
	FILE *f;

	watch(self->efd, EPOLLIN, 0);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->ep);
	f = fopen(path, "re");
	ASSERT_NE(NULL, f);
	ASSERT_NE(NULL, fgets(text, sizeof(text), f));
	EXPECT_STREQ("pos:\t0\n", text);
	ASSERT_NE(NULL, fgets(text, sizeof(text), f));
	ASSERT_EQ(0, strncmp(text, "flags:\t", 7));
	flags = strtoul(text + 7, NULL, 8);
	EXPECT_EQ((unsigned int)(O_RDWR | O_CLOEXEC), flags);
	fclose(f);
}

TEST_F(misc, name_of_the_file)
{
	char path[64], name[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->ep);
	ASSERT_LT(0, readlink(path, name, sizeof(name) - 1));
	EXPECT_STREQ(variant->be->ours ? "anon_inode:[myepoll]" :
					 "anon_inode:[eventpoll]", name);
}

/* One line for each of many watches, ours in order of the descriptors. */
TEST_F(misc, fdinfo_has_one_line_for_each_of_many_watches)
{
	struct watch_line *lines = calloc(NR_MANY, sizeof(*lines));
	char *seen = calloc(NR_MANY, 1);
	int first = 100, previous = -1;

	ASSERT_TRUE(lines && seen);
	for (int i = NR_MANY - 1; i >= 0; i--) {
		int file = i % 2 ? dup(self->efd) : eventfd(0, EFD_CLOEXEC);

		ASSERT_EQ(first + i, dup2(file, first + i));
		ASSERT_EQ(0, close(file));
		watch(first + i, EPOLLIN, i);
	}
	ASSERT_EQ(NR_MANY, read_watches(self->ep, lines, NR_MANY));
	for (int i = 0; i < NR_MANY; i++) {
		ASSERT_EQ((uint64_t)lines[i].tfd - first, lines[i].data);
		ASSERT_GT((uint64_t)NR_MANY, lines[i].data);
		EXPECT_EQ(0, seen[lines[i].data]++);
		if (variant->be->ours)
			EXPECT_LT(previous, lines[i].tfd);
		previous = lines[i].tfd;
	}
	free(lines);
	free(seen);
}

struct changer {
	const struct backend *be;
	int ep;
	int fd;
	atomic_bool *stop;
};

static void *change_main(void *arg)
{
	struct changer *c = arg;
	uint32_t mask = EPOLLIN;

	while (!atomic_load(c->stop)) {
		if (xadd(c->be, c->ep, c->fd, mask, 1000) ||
		    xmod(c->be, c->ep, c->fd, EPOLLOUT, 1001) ||
		    xdel(c->be, c->ep, c->fd))
			return "ctl failed";
	}
	return NULL;
}

static void *scan_main(void *arg)
{
	struct changer *c = arg;
	struct epoll_event ev[4];

	while (!atomic_load(c->stop))
		if (c->be->wait(c->ep, ev, 4, 0) < 0)
			return "wait failed";
	return NULL;
}

/*
 * A watch that stays is in every reading, once.  One that comes and goes may be
 * there, on ours once for every time that it came.
 */
TEST_F_TIMEOUT(misc, fdinfo_is_whole_while_others_change_and_wait, 120)
{
	struct watch_line lines[NR_STABLE + NR_COMING];
	atomic_bool stop = false;
	struct changer c[3];
	pthread_t thread[3];
	int faults = 0;
	void *failure;

	for (int i = 0; i < NR_STABLE; i++)
		watch(eventfd(1, 0), EPOLLIN, i);
	for (int i = 0; i < 3; i++) {
		c[i] = (struct changer) {
			variant->be, self->ep, eventfd(1, 0), &stop
		};
		ASSERT_EQ(0, pthread_create(&thread[i], NULL,
					    i < 2 ? change_main : scan_main,
					    &c[i]));
	}
	for (int round = 0; round < 300; round++) {
		int n = read_watches(self->ep, lines, NR_STABLE + NR_COMING);
		int seen[NR_STABLE] = { 0 };

		faults += n < NR_STABLE || n > NR_STABLE + NR_COMING;
		for (int i = 0; i < n && i < NR_STABLE + NR_COMING; i++)
			if (lines[i].data < NR_STABLE)
				seen[lines[i].data]++;
		for (int i = 0; i < NR_STABLE; i++)
			faults += seen[i] != 1;
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, pthread_join(thread[i], &failure));
		EXPECT_EQ(NULL, failure);
	}
	EXPECT_EQ(0, faults);
}

/* A file that closes while its line is written: the reading just goes on. */
TEST_F_TIMEOUT(misc, fdinfo_survives_files_that_close, 120)
{
	pid_t pid;
	int status;

	watch(self->efd, EPOLLIN, 1);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		for (int i = 0; i < 1000; i++) {
			int fd = eventfd(1, 0);

			if (xadd(variant->be, self->ep, fd, EPOLLIN, 2))
				_exit(1);
			close(fd);
		}
		_exit(0);
	}
	while (!waitpid(pid, &status, WNOHANG)) {
		int n = count_watches(self->ep);

		EXPECT_TRUE(n == 1 || n == 2);
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(1, count_watches(self->ep));
}

/* As CRIU asks: is this descriptor the file that the instance watches? */
TEST_F(misc, kcmp_knows_native_watches_only)
{
	struct kcmp_epoll_slot slot = { .efd = self->ep, .tfd = self->efd };
	long ret;

	watch(self->efd, EPOLLIN, 1);
	errno = 0;
	ret = syscall(SYS_kcmp, getpid(), getpid(), KCMP_EPOLL_TFD, self->efd,
		      &slot);
	if (variant->be->ours) {
		EXPECT_EQ(-1, ret);
		EXPECT_EQ(EINVAL, errno);
	} else {
		EXPECT_EQ(0, ret);
	}
}

TEST_F(misc, poll_times_out_on_an_idle_instance)
{
	struct pollfd pfd = { .fd = self->ep, .events = POLLIN };
	int64_t start = now_ns();

	watch(self->efd, EPOLLIN, 1);
	EXPECT_EQ(0, poll(&pfd, 1, 30));
	EXPECT_LE(start + 30000000, now_ns());
	EXPECT_EQ(0, pfd.revents);
}

enum poller { BY_POLL, BY_PPOLL, BY_SELECT, BY_PSELECT };

/* struct sleeper - a thread in one of the calls that poll files */
struct sleeper {
	enum poller by;
	int fd;
	atomic_int tid;
	int ret;
	bool readable;
};

static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;
	struct pollfd pfd = { .fd = s->fd, .events = POLLIN | POLLOUT };
	fd_set in, out;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(s->fd, &in);
	FD_SET(s->fd, &out);
	atomic_store(&s->tid, self_tid());
	switch (s->by) {
	case BY_POLL:
		s->ret = poll(&pfd, 1, -1);
		break;
	case BY_PPOLL:
		s->ret = ppoll(&pfd, 1, NULL, NULL);
		break;
	case BY_SELECT:
		s->ret = select(s->fd + 1, &in, &out, NULL, NULL);
		break;
	default:
		s->ret = pselect(s->fd + 1, &in, &out, NULL, NULL, NULL);
	}
	if (s->by == BY_POLL || s->by == BY_PPOLL)
		s->readable = pfd.revents == POLLIN;
	else
		s->readable = FD_ISSET(s->fd, &in) && !FD_ISSET(s->fd, &out);
	return NULL;
}

static void wake_sleeper(struct __test_metadata *_metadata, int ep, int efd,
			 enum poller by)
{
	struct sleeper s = { .by = by, .fd = ep };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, sleeper_main, &s));
	while (!atomic_load(&s.tid))
		breathe();
	ASSERT_TRUE(wait_until_sleeping(s.tid, PATIENCE_MS));
	ASSERT_EQ(0, eventfd_write(efd, 1));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(1, s.ret);
	EXPECT_TRUE(s.readable);
}

TEST_F(misc, poll_is_woken)
{
	watch(self->efd, EPOLLIN, 1);
	wake_sleeper(_metadata, self->ep, self->efd, BY_POLL);
}

TEST_F(misc, ppoll_is_woken)
{
	watch(self->efd, EPOLLIN | EPOLLET, 1);
	wake_sleeper(_metadata, self->ep, self->efd, BY_PPOLL);
}

TEST_F(misc, select_is_woken)
{
	watch(self->efd, EPOLLIN, 1);
	wake_sleeper(_metadata, self->ep, self->efd, BY_SELECT);
}

TEST_F(misc, pselect_is_woken)
{
	watch(self->efd, EPOLLIN | EPOLLET, 1);
	wake_sleeper(_metadata, self->ep, self->efd, BY_PSELECT);
}

TEST_F(misc, all_pollers_are_woken)
{
	enum { NR = 4 };
	struct sleeper s[NR];
	pthread_t thread[NR];

	watch(self->efd, EPOLLIN, 1);
	for (int i = 0; i < NR; i++) {
		s[i] = (struct sleeper){ .by = i, .fd = self->ep };
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, sleeper_main,
					    &s[i]));
		while (!atomic_load(&s[i].tid))
			breathe();
		ASSERT_TRUE(wait_until_sleeping(s[i].tid, PATIENCE_MS));
	}
	ASSERT_EQ(0, eventfd_write(self->efd, 1));
	for (int i = 0; i < NR; i++) {
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
		EXPECT_EQ(1, s[i].ret);
		EXPECT_TRUE(s[i].readable);
	}
}

TEST_F(misc, poller_is_woken_by_a_file_added_ready)
{
	struct sleeper s = { .by = BY_POLL, .fd = self->ep };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, sleeper_main, &s));
	while (!atomic_load(&s.tid))
		breathe();
	ASSERT_TRUE(wait_until_sleeping(s.tid, PATIENCE_MS));
	ASSERT_EQ(0, eventfd_write(self->efd, 1));
	watch(self->efd, EPOLLIN, 1);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(1, s.ret);
	EXPECT_TRUE(s.readable);
}

TEST_F(misc, event_has_the_layout_of_native_epoll)
{
#if defined(__x86_64__) || defined(__i386__)
	EXPECT_EQ(12U, sizeof(struct epoll_event));
#else
	EXPECT_EQ(16U, sizeof(struct epoll_event));
#endif
	watch(self->efd, EPOLLOUT, 0x1122334455667788ULL);
	ASSERT_EQ(1, wait0(variant->be, self->ep, self->ev, 4));
	EXPECT_EQ((uint32_t)EPOLLOUT, self->ev[0].events);
	EXPECT_EQ(0x1122334455667788ULL, self->ev[0].data.u64);
	EXPECT_EQ(POISON32, self->ev[1].events);
}

TEST_HARNESS_MAIN
