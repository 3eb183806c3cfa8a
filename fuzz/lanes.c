// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instances of ours with several lanes, for lockstep programs.
 *
 * The module opens them when processors get into each other's way, which a
 * single driver does not bring about.  So a new instance is made warm, with
 * watches that are gone before the program sees it.
 */
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/sysinfo.h>

#include "observe.h"
#include "lanesopen.h"

#include "world.h"

/* Watches for each of two threads: numbers of one file, all of which it wakes */
#define NR_WARM		128

/* How long between two looks, and for how many */
#define LOOK_MS		30
#define LOOKS		100

/* Two threads, each with a file of its own; the second goes on till told to stop */
struct crowd {
	int ep;
	int fd[2][NR_WARM];
	atomic_bool stop;
};

static void wake_and_take(struct crowd *crowd, int nr)
{
	struct epoll_event ev[2 * NR_WARM];

	if (eventfd_write(crowd->fd[nr][0], 1) ||
	    wait0(&backend_myepoll, crowd->ep, ev, 2 * NR_WARM) < 0)
		broken("making an instance warm");
}

static void *crowd_main(void *arg)
{
	struct crowd *crowd = arg;

	run_on(1);
	while (!atomic_load(&crowd->stop))
		wake_and_take(crowd, 1);
	return NULL;
}

static void watch_warm(int ep, int *fd)
{
	int i;

	fd[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (i = 0; i < NR_WARM; i++) {
		if (i)
			fd[i] = fcntl(fd[0], F_DUPFD_CLOEXEC, 0);
		if (fd[i] < 0 || xadd(&backend_myepoll, ep, fd[i],
				      EPOLLIN | EPOLLET, i))
			broken("making an instance warm");
	}
}

static void close_warm(const int *fd)
{
	int i;

	for (i = 0; i < NR_WARM; i++)
		close(fd[i]);
}

static bool open_now(struct crowd *crowd)
{
	int64_t end = now_ns() + LOOK_MS * 1000000LL;

	while (now_ns() < end)
		wake_and_take(crowd, 0);
	return lanes_are_open(crowd->ep);
}

/*
 * Each time one CPU finds that the other was faster counts.  Nobody sleeps: on a
 * busy machine the other processor would come too late.
 */
static bool open_in_a_crowd(struct crowd *crowd)
{
	bool open = false;
	pthread_t thread;
	int look;

	if (pthread_create(&thread, NULL, crowd_main, crowd))
		broken("pthread_create");
	for (look = 0; look < LOOKS && !open; look++)
		open = open_now(crowd);
	atomic_store(&crowd->stop, true);
	pthread_join(thread, NULL);
	return open;
}

/* Without success, too, the program is worth running. */
void lanes_open(int ep)
{
	struct crowd crowd = { .ep = ep };
	bool open;

	run_on(0);
	watch_warm(ep, crowd.fd[0]);
	watch_warm(ep, crowd.fd[1]);
	open = get_nprocs() > 1 && open_in_a_crowd(&crowd);
	close_warm(crowd.fd[0]);
	close_warm(crowd.fd[1]);
	atomic_fetch_add(open ? &world.report->opened : &world.report->closed, 1);
}

void lanes_move(int cpu)
{
	run_on(cpu % get_nprocs_conf());
}
