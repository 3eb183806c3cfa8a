// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every kind of file that can be watched, except sockets (famsock.c): events of
 * each of its states, exactly, on both epolls.
 */
#define _GNU_SOURCE
#include <linux/io_uring.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <termios.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "families.h"

FIXTURE(families)
{
};

BACKEND_VARIANTS(families);

FIXTURE_SETUP(families)
{
	REQUIRE_BACKEND(variant->be);
}

FIXTURE_TEARDOWN(families)
{
}

#define FAMILY_TEST(name)							\
	TEST_F_TIMEOUT(families, name, 120)					\
	{									\
		EXPECT_TRUE(family_walk(variant->be, open_##name, name##_steps, 0)); \
		EXPECT_TRUE(family_walk(variant->be, open_##name, name##_steps,	\
					EPOLLET));				\
		EXPECT_TRUE(family_walk(variant->be, open_##name, name##_steps,	\
					EPOLLONESHOT));				\
	}

/* Steps that several families share */

static int write_peer(struct family *f)
{
	return write(f->peer, "x", 1) == 1 ? 0 : -1;
}

static int close_peer(struct family *f)
{
	int fd = f->peer;

	f->peer = -1;
	return close(fd);
}

static int drain(int fd)
{
	char buf[4096];
	ssize_t n;

	do {
		n = read(fd, buf, sizeof(buf));
	} while (n > 0);
	return !n || errno == EAGAIN ? 0 : -1;
}

static int drain_fd(struct family *f)
{
	return drain(f->fd);
}

static int drain_peer(struct family *f)
{
	return drain(f->peer);
}

static int fill_fd(struct family *f)
{
	char buf[4096] = "";

	while (write(f->fd, buf, sizeof(buf)) > 0)
		;
	return errno == EAGAIN ? 0 : -1;
}

/* Pipes */

static int open_pipe_reader(struct family *f)
{
	int fd[2];

	if (pipe2(fd, O_NONBLOCK | O_CLOEXEC))
		return -1;
	f->fd = fd[0];
	f->peer = fd[1];
	return 0;
}

static int open_pipe_writer(struct family *f)
{
	int fd[2];

	if (pipe2(fd, O_NONBLOCK | O_CLOEXEC))
		return -1;
	f->fd = fd[1];
	f->peer = fd[0];
	return 0;
}

static const struct step pipe_reader_steps[] = {
	{ "empty", NULL, 0, false },
	{ "written to", write_peer, READABLE, true },
	{ "written to again", write_peer, READABLE, true },
	{ "drained", drain_fd, 0, false },
	{ "written to after that", write_peer, READABLE, true },
	{ "hung up with data left", close_peer, READABLE | EPOLLHUP, true },
	{ "hung up", drain_fd, EPOLLHUP, false },
	{ }
};

static const struct step pipe_writer_steps[] = {
	{ "empty", NULL, WRITABLE, true },
	{ "full", fill_fd, 0, false },
	{ "drained", drain_peer, WRITABLE, true },
	{ "without readers", close_peer, WRITABLE | EPOLLERR, true },
	{ }
};

FAMILY_TEST(pipe_reader)
FAMILY_TEST(pipe_writer)

/* A FIFO has a name; it is gone before the test begins. */
static int fifo_ends(int *reader, int *writer)
{
	char path[] = "/tmp/myepoll-fifo-XXXXXX";
	int ret = -1;

	if (!mkdtemp(path))
		return -1;
	rmdir(path);
	if (mkfifo(path, 0600))
		return -1;
	*reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	*writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (*reader >= 0 && *writer >= 0)
		ret = 0;
	unlink(path);
	return ret;
}

static int open_fifo_reader(struct family *f)
{
	return fifo_ends(&f->fd, &f->peer);
}

static int open_fifo_writer(struct family *f)
{
	return fifo_ends(&f->peer, &f->fd);
}

#define fifo_reader_steps pipe_reader_steps
#define fifo_writer_steps pipe_writer_steps

FAMILY_TEST(fifo_reader)
FAMILY_TEST(fifo_writer)

static int write_fd(struct family *f)
{
	return write(f->fd, "x", 1) == 1 ? 0 : -1;
}

static int open_fifo_both(struct family *f)
{
	char path[64];
	int reader, writer;

	if (fifo_ends(&reader, &writer))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", reader);
	f->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	close(reader);
	close(writer);
	return f->fd < 0 ? -1 : 0;
}

static const struct step fifo_both_steps[] = {
	{ "empty", NULL, WRITABLE, true },
	{ "written to", write_fd, READABLE | WRITABLE, true },
	{ "full", fill_fd, READABLE, false },
	{ "drained", drain_fd, WRITABLE, true },
	{ }
};

FAMILY_TEST(fifo_both)

/* Counters, timers, signals, processes, inotify */

static int add_to_counter(struct family *f, uint64_t n)
{
	return write(f->fd, &n, sizeof(n)) == sizeof(n) ? 0 : -1;
}

static int open_eventfd(struct family *f)
{
	f->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return f->fd < 0 ? -1 : 0;
}

static int eventfd_one(struct family *f)
{
	return add_to_counter(f, 1);
}

/* As far as it goes without blocking. */
static int eventfd_full(struct family *f)
{
	return drain(f->fd) ?: add_to_counter(f, UINT64_MAX - 1);
}

static const struct step eventfd_steps[] = {
	{ "zero", NULL, EPOLLOUT, true },
	{ "one", eventfd_one, EPOLLIN | EPOLLOUT, true },
	{ "two", eventfd_one, EPOLLIN | EPOLLOUT, true },
	{ "read", drain_fd, EPOLLOUT, true },
	{ "full", eventfd_full, EPOLLIN, true },
	{ "read when full", drain_fd, EPOLLOUT, true },
	{ }
};

FAMILY_TEST(eventfd)

static int open_timerfd(struct family *f)
{
	f->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	return f->fd < 0 ? -1 : 0;
}

static int timerfd_arm(struct family *f)
{
	struct itimerspec soon = { .it_value.tv_nsec = 100000 };

	return timerfd_settime(f->fd, 0, &soon, NULL);
}

static const struct step timerfd_steps[] = {
	{ "not armed", NULL, 0, false },
	{ "expired", timerfd_arm, EPOLLIN, true },
	{ "read", drain_fd, 0, false },
	{ "expired again", timerfd_arm, EPOLLIN, true },
	{ }
};

FAMILY_TEST(timerfd)

static int open_signalfd(struct family *f)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &mask, NULL))
		return -1;
	f->fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
	return f->fd < 0 ? -1 : 0;
}

static int signalfd_raise(struct family *f)
{
	return raise(SIGUSR1);
}

static const struct step signalfd_steps[] = {
	{ "nothing pending", NULL, 0, false },
	{ "pending", signalfd_raise, EPOLLIN, true },
	{ "read", drain_fd, 0, false },
	{ "pending again", signalfd_raise, EPOLLIN, true },
	{ "read again", drain_fd, 0, false },
	{ }
};

FAMILY_TEST(signalfd)

/* The child lives until its standard input, the peer's reader, ends. */
static int open_pidfd(struct family *f)
{
	int fd[2];
	char c;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		close(fd[1]);
		_exit(read(fd[0], &c, 1));
	}
	close(fd[0]);
	f->peer = fd[1];
	f->fd = syscall(SYS_pidfd_open, pid, 0);
	return pid < 0 || f->fd < 0 ? -1 : 0;
}

static const struct step pidfd_steps[] = {
	{ "alive", NULL, 0, false },
	{ "dead", close_peer, READABLE, true },
	{ }
};

FAMILY_TEST(pidfd)

static int open_inotify(struct family *f)
{
	char path[] = "/tmp/myepoll-inotify-XXXXXX";

	f->peer = mkstemp(path);
	f->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (f->peer < 0 || f->fd < 0 ||
	    inotify_add_watch(f->fd, path, IN_MODIFY) < 0)
		return -1;
	return unlink(path);
}

static const struct step inotify_steps[] = {
	{ "nothing happened", NULL, 0, false },
	{ "modified", write_peer, READABLE, true },
	{ "read", drain_fd, 0, false },
	{ "modified again", write_peer, READABLE, true },
	{ }
};

FAMILY_TEST(inotify)

/* Terminals */

static int pty_pair(int *master, int *slave)
{
	struct termios raw;

	*master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (*master < 0 || grantpt(*master) || unlockpt(*master))
		return -1;
	*slave = open(ptsname(*master), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (*slave < 0 || tcgetattr(*slave, &raw))
		return -1;
	cfmakeraw(&raw);
	return tcsetattr(*slave, TCSANOW, &raw);
}

static int open_pty_master(struct family *f)
{
	return pty_pair(&f->fd, &f->peer);
}

static int open_pty_slave(struct family *f)
{
	return pty_pair(&f->peer, &f->fd);
}

static int pty_packet_mode(struct family *f)
{
	int on = 1;

	return ioctl(f->fd, TIOCPKT, &on);
}

static int pty_flush(struct family *f)
{
	return tcflush(f->peer, TCIOFLUSH);
}

static const struct step pty_master_steps[] = {
	{ "idle", NULL, WRITABLE, true },
	{ "written to", write_peer, READABLE | WRITABLE, true },
	{ "drained", drain_fd, WRITABLE, false },
	{ "in packet mode", pty_packet_mode, WRITABLE, false },
	{ "flushed", pty_flush, READABLE | EPOLLPRI | WRITABLE, true },
	{ "hung up", close_peer, READABLE | EPOLLPRI | WRITABLE | EPOLLHUP, true },
	{ }
};

static const struct step pty_slave_steps[] = {
	{ "idle", NULL, WRITABLE, true },
	{ "written to", write_peer, READABLE | WRITABLE, true },
	{ "drained", drain_fd, WRITABLE, false },
	{ "hung up", close_peer, READABLE | WRITABLE | EPOLLERR | EPOLLHUP, true },
	{ }
};

FAMILY_TEST(pty_master)
FAMILY_TEST(pty_slave)

/* io_uring */

/*
 * struct ring - what a walk needs of a ring
 * @map: both rings
 * @size: bytes there
 * @p: the kernel's answer to io_uring_setup()
 */
struct ring {
	char *map;
	size_t size;
	struct io_uring_params p;
};

static struct ring ring;

static int open_io_uring(struct family *f)
{
	size_t sqes;

	memset(&ring.p, 0, sizeof(ring.p));
	f->fd = syscall(SYS_io_uring_setup, 2, &ring.p);
	if (f->fd < 0 || !(ring.p.features & IORING_FEAT_SINGLE_MMAP))
		return -1;
	ring.size = ring.p.cq_off.cqes + ring.p.cq_entries * sizeof(struct io_uring_cqe);
	sqes = ring.p.sq_off.array + ring.p.sq_entries * sizeof(uint32_t);
	if (ring.size < sqes)
		ring.size = sqes;
	/* The mapping would keep the file alive beyond its close: see below. */
	return 0;
}

static int ring_map(struct family *f)
{
	ring.map = mmap(NULL, ring.size, PROT_READ | PROT_WRITE, MAP_SHARED,
			f->fd, IORING_OFF_SQ_RING);
	return ring.map == MAP_FAILED ? -1 : 0;
}

static uint32_t *ring_word(uint32_t offset)
{
	return (uint32_t *)(ring.map + offset);
}

/* The entries are zero from the start, and 0 is IORING_OP_NOP. */
static int ring_nop(struct family *f)
{
	uint32_t *tail;
	int ret;

	if (ring_map(f))
		return -1;
	tail = ring_word(ring.p.sq_off.tail);
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	ret = syscall(SYS_io_uring_enter, f->fd, 1, 1, IORING_ENTER_GETEVENTS,
		      NULL, 0);
	return munmap(ring.map, ring.size) ?: ret == 1 ? 0 : -1;
}

static int ring_reap(struct family *f)
{
	if (ring_map(f))
		return -1;
	__atomic_store_n(ring_word(ring.p.cq_off.head),
			 *ring_word(ring.p.cq_off.tail), __ATOMIC_RELEASE);
	return munmap(ring.map, ring.size);
}

static const struct step io_uring_steps[] = {
	{ "idle", NULL, WRITABLE, true },
	{ "complete", ring_nop, READABLE | WRITABLE, true },
	{ "reaped", ring_reap, WRITABLE, false },
	{ "complete again", ring_nop, READABLE | WRITABLE, true },
	{ }
};

FAMILY_TEST(io_uring)

/* Instances */

static int open_instance(struct family *f)
{
	f->fd = f->be->create(EPOLL_CLOEXEC);
	f->peer = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (f->fd < 0 || f->peer < 0)
		return -1;
	return xadd(f->be, f->fd, f->peer, EPOLLIN, 1);
}

static int write_peer_counter(struct family *f)
{
	uint64_t one = 1;

	return write(f->peer, &one, sizeof(one)) == sizeof(one) ? 0 : -1;
}

static const struct step instance_steps[] = {
	{ "nothing ready", NULL, 0, false },
	{ "ready", write_peer_counter, READABLE, true },
	{ "ready again", write_peer_counter, READABLE, true },
	{ "not ready any more", drain_peer, 0, false },
	{ "ready after that", write_peer_counter, READABLE, true },
	{ "without its file", close_peer, 0, false },
	{ }
};

FAMILY_TEST(instance)

/* Native in ours would make loops that nobody sees. */
TEST_F(families, native_instance)
{
	int outer = variant->be->create(0), inner = native_create(0);

	ASSERT_LE(0, outer);
	ASSERT_LE(0, inner);
	if (!variant->be->ours) {
		EXPECT_EQ(0, xadd(variant->be, outer, inner, EPOLLIN, 1));
	} else {
		errno = 0;
		EXPECT_EQ(-1, xadd(variant->be, outer, inner, EPOLLIN, 1));
		EXPECT_EQ(ELOOP, errno);
	}
	EXPECT_EQ(0, close(outer));
	EXPECT_EQ(0, close(inner));
}

/*
 * /proc/mounts tells of a change to whoever asks first, then no more: no walk
 * with two watchers.
 */
TEST_F(families, proc_mounts)
{
	const uint32_t always = READABLE;
	const uint32_t news = READABLE | EPOLLERR | EPOLLPRI;
	const struct backend *be = variant->be;
	static const uint32_t modes[] = { 0, EPOLLET, EPOLLONESHOT };
	char dir[] = "/tmp/myepoll-mount-XXXXXX";
	int ep = be->create(0);
	size_t i;

	if (unshare(CLONE_NEWNS))
		SKIP(return, "no mount namespace of our own: %s", strerror(errno));
	ASSERT_EQ(0, mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	ASSERT_NE(NULL, mkdtemp(dir));
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		uint32_t rest = modes[i] ? 0 : always;
		int fd = open("/proc/self/mounts", O_RDONLY | O_CLOEXEC);

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, xadd(be, ep, fd, FAMILY_MASK | modes[i], FAMILY_DATA));
		EXPECT_EQ((int)always, family_reported(be, ep, 0));
		EXPECT_EQ((int)rest, family_reported(be, ep, 0));
		if (modes[i] == EPOLLONESHOT)
			ASSERT_EQ(0, xmod(be, ep, fd, FAMILY_MASK | modes[i],
					  FAMILY_DATA));
		ASSERT_EQ(0, mount("none", dir, "tmpfs", 0, NULL));
		EXPECT_EQ((int)news, family_reported(be, ep, PATIENCE_MS));
		EXPECT_EQ((int)rest, family_reported(be, ep, 0));
		ASSERT_EQ(0, umount(dir));
		ASSERT_EQ(0, close(fd));
		EXPECT_EQ(0, family_reported(be, ep, 0));
	}
	EXPECT_EQ(0, rmdir(dir));
	EXPECT_EQ(0, close(ep));
}

TEST_HARNESS_MAIN
