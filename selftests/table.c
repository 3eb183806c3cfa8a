// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many watches: each is found by its file and number, all are seen by who walks
 * over them, a change of one is seen whole, and each is removed once.
 *
 * The module keeps the watches of all files in one hash table.  With thousands
 * of files some are neighbours there, though which ones cannot be chosen.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "kselftest_harness.h"
#include "observe.h"

/*
 * Neighbours in memory are far apart in the table, so it takes about as many as
 * it has buckets until some share one: 2^17 of them with 2 GB of memory.
 */
#define NR_FILES 60000
#define NUMBER (NR_FILES + 500)

#define NR_READERS 4
#define NR_LINES 300
#define NR_READS 25
#define NR_LOOKS 40000
#define NR_LINKS 100
#define NR_TWINS 1000
#define NR_ENDS 10

FIXTURE(table)
{
	int ep;
};

BACKEND_VARIANTS(table);

FIXTURE_SETUP(table)
{
	struct rlimit files = { NUMBER + 100, NUMBER + 100 };

	REQUIRE_BACKEND(variant->be);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
}

FIXTURE_TEARDOWN(table)
{
	close(self->ep);
}

/* ctl for a file by a number that it shares with all others. */
static int ctl_by_number(const struct backend *be, int ep, int op, int fd,
			 uint64_t data)
{
	if (dup2(fd, NUMBER) != NUMBER)
		return -1;
	return xctl(be, ep, op, NUMBER, EPOLLIN, data);
}

/* A third of the files is left alone, one is deleted, one is closed. */
TEST_F_TIMEOUT(table, files_behind_one_number_are_told_apart, 300)
{
	struct epoll_event *ev = calloc(NR_FILES, sizeof(*ev));
	char *seen = calloc(NR_FILES, 1);
	const struct backend *be = variant->be;
	static int fd[NR_FILES];
	int i, n;

	ASSERT_TRUE(ev && seen);
	for (i = 0; i < NR_FILES; i++) {
		fd[i] = eventfd(0, EFD_CLOEXEC);
		ASSERT_LE(0, fd[i]);
		ASSERT_EQ(0, ctl_by_number(be, self->ep, EPOLL_CTL_ADD, fd[i], 0));
	}
	for (i = 0; i < NR_FILES; i += 3)
		ASSERT_EQ(0, ctl_by_number(be, self->ep, EPOLL_CTL_MOD, fd[i], i));
	for (i = 1; i < NR_FILES; i += 3)
		ASSERT_EQ(0, ctl_by_number(be, self->ep, EPOLL_CTL_DEL, fd[i], 0));
	ASSERT_EQ(0, close(NUMBER));
	for (i = 2; i < NR_FILES; i += 3)
		ASSERT_EQ(0, close(fd[i]));
	for (i = 0; i < NR_FILES; i++)
		if (i % 3 < 2)
			ASSERT_EQ(0, eventfd_write(fd[i], 1));
	n = wait0(be, self->ep, ev, NR_FILES);
	ASSERT_EQ(NR_FILES / 3, n);
	for (i = 0; i < n; i++) {
		ASSERT_GT((uint64_t)NR_FILES, ev[i].data.u64);
		ASSERT_EQ(0U, ev[i].data.u64 % 3);
		EXPECT_EQ(0, seen[ev[i].data.u64]++);
	}
	free(ev);
	free(seen);
}

struct reader {
	int ep;
	int faults;
};

static void *reader_main(void *arg)
{
	struct reader *r = arg;

	for (int i = 0; i < NR_READS; i++)
		r->faults += count_watches(r->ep) != NR_LINES;
	return NULL;
}

/* More of them than processors, so that one passes another that stands still. */
TEST_F_TIMEOUT(table, fdinfo_is_whole_for_readers_side_by_side, 120)
{
	struct reader reader[NR_READERS];
	pthread_t thread[NR_READERS];
	int i;

	for (i = 0; i < NR_LINES; i++)
		ASSERT_EQ(0, xadd(variant->be, self->ep, eventfd(0, EFD_CLOEXEC),
				  EPOLLIN, i));
	for (i = 0; i < NR_READERS; i++) {
		reader[i] = (struct reader) { self->ep, 0 };
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, reader_main,
					    &reader[i]));
	}
	for (i = 0; i < NR_READERS; i++) {
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
		EXPECT_EQ(0, reader[i].faults);
	}
}

struct linker {
	const struct backend *be;
	int outer;
	int inner;
	atomic_bool stop;
};

static void *linker_main(void *arg)
{
	struct linker *l = arg;
	int made = 0;

	for (; made < NR_LINKS || !atomic_load(&l->stop); made++)
		if (xadd(l->be, l->outer, l->inner, EPOLLIN, 0) ||
		    xdel(l->be, l->outer, l->inner))
			return "no link";
	return NULL;
}

/* Whoever makes it an inner instance walks over its watches, too. */
TEST_F_TIMEOUT(table, fdinfo_is_whole_beside_links_to_the_instance, 120)
{
	struct reader reader = { self->ep, 0 };
	struct linker l = { .be = variant->be, .inner = self->ep };
	pthread_t thread;
	void *failure;
	int i;

	l.outer = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, l.outer);
	for (i = 0; i < NR_LINES; i++)
		ASSERT_EQ(0, xadd(variant->be, self->ep, eventfd(0, EFD_CLOEXEC),
				  EPOLLIN, i));
	ASSERT_EQ(0, pthread_create(&thread, NULL, linker_main, &l));
	reader_main(&reader);
	atomic_store(&l.stop, true);
	ASSERT_EQ(0, pthread_join(thread, &failure));
	EXPECT_EQ(NULL, failure);
	EXPECT_EQ(0, reader.faults);
	close(l.outer);
}

struct ender {
	int fd;
	pthread_barrier_t step;
};

static void *ender_main(void *arg)
{
	struct ender *e = arg;

	for (int i = 0; i < NR_ENDS; i++) {
		pthread_barrier_wait(&e->step);
		close(e->fd);
		pthread_barrier_wait(&e->step);
	}
	return NULL;
}

/* Watches a new file under @n numbers; the one that is returned is left open. */
static int watch_often(const struct backend *be, int ep, int n)
{
	int fd = eventfd(0, EFD_CLOEXEC), first = NUMBER - n, copy;

	for (int i = 0; i < n; i++) {
		copy = dup2(fd, first + i);
		if (copy < 0 || xadd(be, ep, copy, EPOLLIN, i))
			return -1;
	}
	return close_range(first, first + n - 1, 0) ? -1 : fd;
}

/*
 * The end of the file and the end of the instance remove the same watches.  There
 * are so many that one comes upon what the other is just at.
 */
TEST_F_TIMEOUT(table, file_and_instance_end_side_by_side, 120)
{
	struct ender e = { .fd = -1 };
	pthread_t thread;
	int ep;

	ASSERT_EQ(0, pthread_barrier_init(&e.step, NULL, 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, ender_main, &e));
	for (int i = 0; i < NR_ENDS; i++) {
		ep = variant->be->create(EPOLL_CLOEXEC);
		ASSERT_LE(0, ep);
		e.fd = watch_often(variant->be, ep, NR_TWINS);
		ASSERT_LE(0, e.fd);
		pthread_barrier_wait(&e.step);
		EXPECT_EQ(0, close(ep));
		pthread_barrier_wait(&e.step);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

struct modifier {
	const struct backend *be;
	int ep;
	int fd;
	atomic_bool stop;
};

static void *modifier_main(void *arg)
{
	struct modifier *m = arg;

	while (!atomic_load(&m->stop))
		if (xmod(m->be, m->ep, m->fd, EPOLLIN, EPOLLIN) ||
		    xmod(m->be, m->ep, m->fd, EPOLLOUT, EPOLLOUT))
			return "MOD failed";
	return NULL;
}

/* The mask and the data of one MOD, never those of two. */
TEST_F_TIMEOUT(table, mod_is_seen_whole, 120)
{
	struct modifier m = { .be = variant->be, .ep = self->ep };
	int i, n, seen = 0, torn = 0;
	struct epoll_event ev;
	pthread_t thread;
	void *failure;

	m.fd = eventfd(1, EFD_CLOEXEC);
	ASSERT_LE(0, m.fd);
	ASSERT_EQ(0, xadd(m.be, m.ep, m.fd, EPOLLIN, EPOLLIN));
	ASSERT_EQ(0, pthread_create(&thread, NULL, modifier_main, &m));
	for (i = 0; i < NR_LOOKS; i++) {
		n = m.be->wait(m.ep, &ev, 1, 0);
		ASSERT_LE(0, n);
		seen += n;
		torn += n && ev.events != ev.data.u64;
	}
	atomic_store(&m.stop, true);
	ASSERT_EQ(0, pthread_join(thread, &failure));
	EXPECT_EQ(NULL, failure);
	EXPECT_LT(0, seen);
	EXPECT_EQ(0, torn)
		TH_LOG("%d of %d", torn, seen);
}

TEST_HARNESS_MAIN
