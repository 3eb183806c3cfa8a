// SPDX-License-Identifier: GPL-2.0-only
/*
 * MYEPOLL_IOC_BATCH: its changes.  Which are made, which are refused and with
 * what, how many it says were made, and what is wrong with its arguments.
 * batch_wait.c has the wait that may follow, batch_signal.c what comes meanwhile,
 * batch_share.c several threads.
 *
 * Native epoll has no such call: it is told the same by single calls.
 */
#define _GNU_SOURCE
#include <sys/prctl.h>
#include <sys/resource.h>

#include "kselftest_harness.h"
#include "batchfix.h"
#include "badptr.h"

#define CHANGES_MAX ((uint32_t)(INT_MAX / sizeof(struct myepoll_change)))

/* Watch @fd on both epolls. */
static int add_both(batch_fixture *self, int fd, uint32_t events, uint64_t data)
{
	return xadd(&backend_myepoll, self->ep, fd, events, data) |
	       xadd(&backend_native, self->native, fd, events, data);
}

/* ---- which changes are made ---- */

TEST_F(batch, no_changes_are_made_with_success)
{
	uint32_t done;

	EXPECT_EQ(0, batch_make(self->ep, NULL, 0, &done));
	EXPECT_EQ(0U, done);
	EXPECT_EQ(0, batch_make(self->ep, unmapped(), 0, &done));
	EXPECT_EQ(0U, done);
}

TEST_F(batch, changes_are_made_in_their_order)
{
	const struct myepoll_change changes[] = {
		add_of(self->fd[0], EPOLLIN, 1),
		mod_of(self->fd[0], EPOLLOUT, 2),
		del_of(self->fd[0]),
		add_of(self->fd[0], EPOLLIN, 3),
		add_of(self->fd[1], EPOLLIN, 4),
		mod_of(self->fd[1], EPOLLIN | EPOLLOUT, 5),
	};
	struct epoll_event ev[FILES], native[FILES];
	uint32_t done;

	ASSERT_EQ(0, batch_make(self->ep, changes, 6, &done));
	EXPECT_EQ(6U, done);
	EXPECT_EQ(2, count_watches(self->ep));
	EXPECT_EQ(6U, make_singly(&backend_native, self->native, changes, 6));
	ASSERT_EQ(2, wait0(&backend_myepoll, self->ep, ev, FILES));
	EXPECT_EQ(3U, ev[0].data.u64);
	EXPECT_EQ((uint32_t)EPOLLIN, ev[0].events);
	EXPECT_EQ(5U, ev[1].data.u64);
	EXPECT_EQ(2, wait0(&backend_native, self->native, native, FILES));
	EXPECT_EQ(0, memcmp(native, ev, sizeof(ev)));
}

TEST_F(batch, first_failure_ends_it)
{
	struct myepoll_change changes[FILES];
	uint32_t bad, done;
	int i;

	for (bad = 0; bad < FILES; bad++) {
		for (i = 0; i < FILES; i++)
			changes[i] = add_of(self->fd[i], EPOLLIN, i);
		changes[bad].op = EPOLL_CTL_MOD;
		EXPECT_ERR(ENOENT, batch_make(self->ep, changes, FILES, &done));
		EXPECT_EQ(bad, done);
		for (i = 0; i < FILES; i++) {
			errno = 0;
			xdel(&backend_myepoll, self->ep, self->fd[i]);
			EXPECT_EQ(i < (int)bad ? 0 : ENOENT, errno);
		}
	}
}

TEST_F(batch, call_writes_nothing_but_done)
{
	struct myepoll_change copy, change = add_of(self->fd[0], EPOLLIN, 1);
	struct myepoll_batch want, batch = batch_of(&change, 1);

	copy = change;
	want = batch;
	want.done = 1;
	ASSERT_EQ(0, ioctl(self->ep, MYEPOLL_IOC_BATCH, &batch));
	EXPECT_EQ(0, memcmp(&want, &batch, sizeof(batch)));
	EXPECT_EQ(0, memcmp(&copy, &change, sizeof(change)));
}

/* ---- what a change says ---- */

TEST_F(batch, data_keeps_its_64_bits)
{
	struct myepoll_change change = add_of(self->fd[0], EPOLLIN, 0);
	struct epoll_event ev;
	uint32_t done;
	int bit;

	for (bit = -1; bit < 64; bit++) {
		change.data = bit < 0 ? 0x0123456789abcdef : 1ULL << bit;
		ASSERT_EQ(0, batch_make(self->ep, &change, 1, &done));
		ASSERT_EQ(1, wait0(&backend_myepoll, self->ep, &ev, 1));
		EXPECT_EQ(change.data, ev.data.u64);
		change.op = EPOLL_CTL_MOD;
	}
}

/* The masks that /proc shows are those that native epoll makes of the same. */
TEST_F(batch, every_bit_of_events_goes_through)
{
	struct myepoll_change add = add_of(self->fd[0], 0, 0), mod, del;
	uint32_t bit, done;

	del = del_of(self->fd[0]);
	for (bit = 1; bit; bit <<= 1) {
		if (bit == EPOLLEXCLUSIVE)
			continue;
		add.events = bit;
		mod = mod_of(self->fd[0], ~(bit | EPOLLEXCLUSIVE), 0);
		ASSERT_EQ(0, batch_make(self->ep, &add, 1, &done));
		ASSERT_EQ(0, make_one(&backend_native, self->native, &add));
		EXPECT_EQ(watch_mask(self->native, self->fd[0]),
			  watch_mask(self->ep, self->fd[0]));
		ASSERT_EQ(0, batch_make(self->ep, &mod, 1, &done));
		ASSERT_EQ(0, make_one(&backend_native, self->native, &mod));
		EXPECT_EQ(watch_mask(self->native, self->fd[0]),
			  watch_mask(self->ep, self->fd[0]));
		ASSERT_EQ(0, batch_make(self->ep, &del, 1, &done));
		ASSERT_EQ(0, make_one(&backend_native, self->native, &del));
	}
}

TEST_F(batch, errors_and_hangups_are_always_watched)
{
	const struct myepoll_change changes[] = {
		add_of(self->fd[0], EPOLLET, 0),
		add_of(self->fd[1], EPOLLIN, 0),
		mod_of(self->fd[1], EPOLLONESHOT, 0),
	};
	uint32_t done;

	ASSERT_EQ(0, batch_make(self->ep, changes, 3, &done));
	EXPECT_EQ((uint32_t)(EPOLLET | EPOLLERR | EPOLLHUP),
		  watch_mask(self->ep, self->fd[0]));
	EXPECT_EQ((uint32_t)(EPOLLONESHOT | EPOLLERR | EPOLLHUP),
		  watch_mask(self->ep, self->fd[1]));
}

TEST_F(batch, del_looks_at_nothing_else)
{
	struct myepoll_change change = change_of(EPOLL_CTL_DEL, self->fd[0],
						 ~0U, ~0ULL);
	uint32_t done;

	ASSERT_EQ(0, xadd(&backend_myepoll, self->ep, self->fd[0], EPOLLIN, 0));
	EXPECT_EQ(0, batch_make(self->ep, &change, 1, &done));
	EXPECT_EQ(1U, done);
	EXPECT_EQ(0, count_watches(self->ep));
}

/* ---- errors of a change: those of the call for one ---- */

static void refused_by_ours(struct __test_metadata *_metadata,
			    batch_fixture *self,
			    const struct myepoll_change *change, int err)
{
	uint32_t done;

	EXPECT_ERR(err, batch_make(self->ep, change, 1, &done));
	EXPECT_EQ(0U, done)
		TH_LOG("op %d, fd %d, events %#x", change->op, change->fd,
		       change->events);
	EXPECT_ERR(err, make_one(&backend_myepoll, self->ep, change));
}

/* To native epoll the instance itself is its own. */
static void refused(struct __test_metadata *_metadata, batch_fixture *self,
		    struct myepoll_change change, int err)
{
	refused_by_ours(_metadata, self, &change, err);
	if (change.fd == self->ep)
		change.fd = self->native;
	EXPECT_ERR(err, make_one(&backend_native, self->native, &change));
}

#define REFUSED(err, change) refused(_metadata, self, change, err)

TEST_F(batch, descriptors_that_are_not_open_are_ebadf)
{
	int path = open("/dev/null", O_PATH | O_CLOEXEC);
	int closed = dup(path);

	ASSERT_LE(0, path);
	ASSERT_EQ(0, close(closed));
	REFUSED(EBADF, add_of(closed, EPOLLIN, 0));
	REFUSED(EBADF, mod_of(closed, EPOLLEXCLUSIVE, 0));
	REFUSED(EBADF, del_of(closed));
	REFUSED(EBADF, add_of(-1, EPOLLIN, 0));
	REFUSED(EBADF, add_of(INT_MIN, EPOLLIN, 0));
	REFUSED(EBADF, change_of(99, INT_MAX, EPOLLIN, 0));
	REFUSED(EBADF, add_of(path, EPOLLIN, 0));
	REFUSED(EBADF, del_of(path));
}

TEST_F(batch, files_that_cannot_be_polled_are_eperm)
{
	int file = memfd_create("batch", MFD_CLOEXEC);

	ASSERT_LE(0, file);
	REFUSED(EPERM, add_of(file, EPOLLIN, 0));
	REFUSED(EPERM, mod_of(file, EPOLLIN, 0));
	REFUSED(EPERM, del_of(file));
	REFUSED(EPERM, change_of(99, file, EPOLLEXCLUSIVE | EPOLLONESHOT, 0));
}

TEST_F(batch, the_instance_itself_and_unknown_ops_are_einval)
{
	static const int ops[] = { 0, 4, -1, 0x101, INT_MAX, INT_MIN };
	size_t i;

	REFUSED(EINVAL, add_of(self->ep, EPOLLIN, 0));
	REFUSED(EINVAL, mod_of(self->ep, EPOLLIN, 0));
	REFUSED(EINVAL, del_of(self->ep));
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		REFUSED(EINVAL, change_of(ops[i], self->fd[0], EPOLLIN, 0));
	ASSERT_EQ(0, add_both(self, self->fd[0], EPOLLIN, 0));
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		REFUSED(EINVAL, change_of(ops[i], self->fd[0], EPOLLIN, 0));
}

TEST_F(batch, watches_that_are_there_or_not)
{
	REFUSED(ENOENT, mod_of(self->fd[0], EPOLLIN, 0));
	REFUSED(ENOENT, del_of(self->fd[0]));
	ASSERT_EQ(0, add_both(self, self->fd[0], EPOLLIN, 0));
	REFUSED(EEXIST, add_of(self->fd[0], EPOLLOUT, 0));
	REFUSED(EEXIST, add_of(self->fd[0], EPOLLIN | EPOLLEXCLUSIVE, 0));
}

TEST_F(batch, exclusive_has_its_rules)
{
	uint32_t bad = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;

	REFUSED(EINVAL, add_of(self->fd[0], bad, 0));
	REFUSED(EINVAL, mod_of(self->fd[0], EPOLLIN | EPOLLEXCLUSIVE, 0));
	ASSERT_EQ(0, add_both(self, self->fd[0], EPOLLIN, 0));
	REFUSED(EINVAL, add_of(self->fd[0], bad, 0));
	REFUSED(EINVAL, mod_of(self->fd[0], EPOLLIN | EPOLLEXCLUSIVE, 0));
	ASSERT_EQ(0, add_both(self, self->fd[1], EPOLLIN | EPOLLEXCLUSIVE, 0));
	REFUSED(EINVAL, mod_of(self->fd[1], EPOLLIN, 0));
}

/* A native instance is refused by ours alone, as is a loop through our own. */
TEST_F(batch, instances_that_must_not_be_watched_are_eloop)
{
	struct myepoll_change native = add_of(self->native, EPOLLIN, 0), loop;
	int outer = backend_myepoll.create(EPOLL_CLOEXEC);

	ASSERT_LE(0, outer);
	ASSERT_EQ(0, xadd(&backend_myepoll, outer, self->ep, EPOLLIN, 0));
	loop = add_of(outer, EPOLLIN, 0);
	refused_by_ours(_metadata, self, &native, ELOOP);
	refused_by_ours(_metadata, self, &loop, ELOOP);
}

TEST_F(batch, reserved_of_a_change_is_einval_before_all_else)
{
	struct myepoll_change changes[] = {
		add_of(self->fd[0], EPOLLIN, 0), add_of(self->fd[1], EPOLLIN, 0),
	};
	uint32_t bit, done;

	for (bit = 1; bit; bit <<= 1) {
		changes[1].reserved = bit;
		EXPECT_ERR(EINVAL, batch_make(self->ep, changes, 2, &done));
		EXPECT_EQ(1U, done);
		EXPECT_EQ(1, count_watches(self->ep));
		EXPECT_EQ(0, xdel(&backend_myepoll, self->ep, self->fd[0]));
	}
	changes[0] = del_of(-1);
	changes[0].reserved = 1;
	EXPECT_ERR(EINVAL, batch_make(self->ep, changes, 2, &done));
	EXPECT_EQ(0U, done);
}

/* ---- the structure ---- */

TEST_F(batch, reserved_of_the_batch_is_einval)
{
	struct myepoll_change change = add_of(self->fd[0], EPOLLIN, 0);
	struct myepoll_batch batch;
	uint32_t bit;

	for (bit = 1; bit; bit <<= 1) {
		batch = batch_of(&change, 1);
		batch.reserved = bit;
		EXPECT_ERR(EINVAL, ioctl(self->ep, MYEPOLL_IOC_BATCH, &batch));
		EXPECT_EQ(0U, batch.done);
	}
	EXPECT_EQ(0, count_watches(self->ep));
}

TEST_F(batch, more_changes_than_the_limit_are_einval)
{
	static const uint32_t nr[] = { CHANGES_MAX + 1, INT_MAX, 1U << 31, ~0U };
	/* not on the stack, behind which there may not be room for so many */
	static struct myepoll_change changes[2];
	uint32_t done;
	size_t i;

	changes[0] = add_of(self->fd[0], EPOLLIN, 0);
	changes[1] = del_of(self->fd[1]);
	for (i = 0; i < ARRAY_SIZE(nr); i++) {
		EXPECT_ERR(EINVAL, batch_make(self->ep, changes, nr[i], &done));
		EXPECT_EQ(0U, done);
	}
	EXPECT_EQ(0, count_watches(self->ep));
	EXPECT_ERR(ENOENT, batch_make(self->ep, changes, CHANGES_MAX, &done));
	EXPECT_EQ(1U, done);
}

TEST_F(batch, changes_in_the_kernels_range_are_efault)
{
	struct myepoll_change change = add_of(self->fd[0], EPOLLIN, 0);
	struct myepoll_batch batch = batch_of(&change, 1);
	uint32_t done;

	EXPECT_ERR(EFAULT, batch_make(self->ep, KERNEL_RANGE, 1, &done));
	EXPECT_EQ(0U, done);
	batch.changes |= 1ULL << 63;
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_BATCH, &batch));
	EXPECT_EQ(0U, batch.done);
	EXPECT_EQ(0, count_watches(self->ep));
}

/* Room for two changes and @rest bytes of the third */
TEST_F(batch, changes_before_a_hole_are_made)
{
	struct myepoll_change *room;
	uint32_t done;
	size_t rest;

	for (rest = 0; rest < sizeof(*room); rest++) {
		room = room_for(2 * sizeof(*room) + rest);
		ASSERT_NE(NULL, room);
		room[0] = add_of(self->fd[0], EPOLLIN, 0);
		room[1] = add_of(self->fd[1], EPOLLIN, 0);
		memset(&room[2], 0, rest);
		EXPECT_ERR(EFAULT, batch_make(self->ep, room, 3, &done));
		EXPECT_EQ(2U, done);
		EXPECT_EQ(0, xdel(&backend_myepoll, self->ep, self->fd[0]));
		EXPECT_EQ(0, xdel(&backend_myepoll, self->ep, self->fd[1]));
	}
	EXPECT_ERR(EFAULT, batch_make(self->ep, unmapped(), 1, &done));
	EXPECT_EQ(0U, done);
}

TEST_F(batch, structure_that_cannot_be_written_changes_nothing)
{
	struct myepoll_change change = add_of(self->fd[0], EPOLLIN, 0);
	char *page = page_before_hole(PROT_READ | PROT_WRITE);
	struct myepoll_batch *batch = (void *)page;

	ASSERT_NE(NULL, page);
	*batch = batch_of(&change, 1);
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ));
	EXPECT_ERR(EFAULT, ioctl(self->ep, MYEPOLL_IOC_BATCH, batch));
	EXPECT_EQ(POISON32, batch->done);
	EXPECT_EQ(0, count_watches(self->ep));
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, ioctl(self->ep, MYEPOLL_IOC_BATCH, batch));
}

/* ---- long ones ---- */

#define MANY 1000

TEST_F(batch, thousand_files_at_once)
{
	const struct rlimit files = { 2 * MANY, 2 * MANY };
	static struct myepoll_change changes[MANY];
	static struct epoll_event ev[MANY + 1];
	uint32_t done;
	int i;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	for (i = 0; i < MANY; i++)
		changes[i] = add_of(eventfd(1, EFD_CLOEXEC), EPOLLIN, i);
	ASSERT_EQ(0, batch_make(self->ep, changes, MANY, &done));
	EXPECT_EQ(MANY, (int)done);
	EXPECT_EQ(MANY, count_watches(self->ep));
	EXPECT_EQ(MANY, wait0(&backend_myepoll, self->ep, ev, MANY + 1));
	for (i = 0; i < MANY; i++) {
		EXPECT_EQ((uint64_t)i, ev[i].data.u64);
		changes[i] = del_of(changes[i].fd);
	}
	ASSERT_EQ(0, batch_make(self->ep, changes, MANY, &done));
	EXPECT_EQ(MANY, (int)done);
	EXPECT_EQ(0, count_watches(self->ep));
	EXPECT_EQ(0, wait0(&backend_myepoll, self->ep, ev, MANY));
}

/* One file of changes, mapped so often that the array is nearly the longest. */
#define LONG_BYTES (3U << 20)
#define LONG_NR ((uint32_t)(LONG_BYTES / sizeof(struct myepoll_change)))
#define LONG_MAPS (CHANGES_MAX / LONG_NR)

/* Returns where they are, or NULL. */
static struct myepoll_change *map_often(int file)
{
	size_t size = (size_t)LONG_BYTES * LONG_MAPS;
	char *to = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
			MAP_NORESERVE, -1, 0);
	unsigned int i;

	for (i = 0; to != MAP_FAILED && i < LONG_MAPS; i++)
		if (mmap(to + (size_t)i * LONG_BYTES, LONG_BYTES,
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file,
			 0) == MAP_FAILED)
			return NULL;
	return to == MAP_FAILED ? NULL : (void *)to;
}

/*
 * Gives the first file 2 for its data, then adds the second and deletes it, over
 * and over: the second costs the time, the first shows that it goes on.
 */
static struct myepoll_change *long_array(const int *fd)
{
	int file = memfd_create("batch", MFD_CLOEXEC);
	struct myepoll_change *changes;
	uint32_t i;

	if (file < 0 || ftruncate(file, LONG_BYTES))
		return NULL;
	changes = map_often(file);
	if (!changes)
		return NULL;
	changes[0] = mod_of(fd[0], EPOLLIN, 2);
	changes[1] = mod_of(fd[0], EPOLLIN, 2);
	for (i = 2; i < LONG_NR; i += 2) {
		changes[i] = add_of(fd[1], 0, 0);
		changes[i + 1] = del_of(fd[1]);
	}
	return changes;
}

/* How long the whole array would take, from @nr of its changes; -1 on error. */
static int64_t whole_takes(int ep, const struct myepoll_change *changes,
			   uint32_t nr)
{
	int64_t start = now_ns();
	uint32_t done;

	if (batch_make(ep, changes, nr, &done))
		return -1;
	return (now_ns() - start) / nr * LONG_NR * LONG_MAPS;
}

/* Until the data of the one file that is ready is @data. */
static bool data_becomes(int ep, uint64_t data)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;
	struct epoll_event ev;

	while (wait0(&backend_myepoll, ep, &ev, 1) != 1 || ev.data.u64 != data) {
		if (now_ns() > deadline)
			return false;
		breathe();
	}
	return true;
}

/* Returns true if the child has ended, by SIGKILL, within @ns. */
static bool dies_within(pid_t pid, int64_t ns)
{
	int64_t deadline = now_ns() + ns;
	int status;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (now_ns() > deadline)
			return false;
		breathe();
	}
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

#define SOON_NS 5000000000LL

TEST_F_TIMEOUT(batch, killed_in_the_middle_of_a_long_one, 120)
{
	struct myepoll_change *changes = long_array(self->fd);
	uint32_t done;
	pid_t pid;

	ASSERT_NE(NULL, changes);
	ASSERT_EQ(0, xadd(&backend_myepoll, self->ep, self->fd[0], EPOLLIN, 1));
	ASSERT_LT(2 * SOON_NS, whole_takes(self->ep, changes, 4096));
	ASSERT_EQ(0, xmod(&backend_myepoll, self->ep, self->fd[0], EPOLLIN, 1));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(batch_make(self->ep, changes, LONG_NR * LONG_MAPS, &done));
	}
	ASSERT_TRUE(data_becomes(self->ep, 2));
	ASSERT_EQ(0, waitpid(pid, NULL, WNOHANG));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_TRUE(dies_within(pid, SOON_NS));
	/* It may have been between an ADD and a DEL. */
	xdel(&backend_myepoll, self->ep, self->fd[1]);
	EXPECT_EQ(1, count_watches(self->ep));
	EXPECT_EQ(0, batch_make(self->ep, changes, 4096, &done));
	EXPECT_EQ(4096U, done);
}

TEST_HARNESS_MAIN
