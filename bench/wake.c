// SPDX-License-Identifier: GPL-2.0-only
/*
 * wake - from a write to the return of the wait that it ends
 *
 * One eventfd is written at a time, always when all waiters sleep, so what is
 * measured is the wake-up and nothing that queues before it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crew.h"
#include "result.h"
#include "util.h"

#define FILES		16
#define WAITERS_MAX	64
#define PATIENCE_NS	(30 * NSEC_PER_SEC)
#define END		UINT64_MAX
#define BEHIND		10	/* samples beyond a quantile that is worth printing */

static const char usage[] =
"usage: wake [OPTION]...\n"
"Time from the write of an eventfd to the return of the wait.\n"
"\n"
"  -b, --backend NAME   native or myepoll\n"
"  -k, --waiters N      threads that wait (default 1)\n"
"  -s, --samples N      wake-ups to measure (default 10000); p99 wants 1000,\n"
"                       p999 10000, or it is left out\n"
"  -t, --seconds N      no longer than that, with fewer samples (default 600)\n"
"  -l, --load           a thread adds and removes other watches meanwhile\n"
"  -N, --name NAME      what to call the result\n"
"  -h, --help           print this text and exit\n";

static const struct backend *be;
static int ep;
static int files[FILES];
static _Atomic int64_t written_at;
static atomic_long told;	/* wake-ups that have arrived */
static atomic_long returns;	/* of waits, also for nothing new */
static atomic_bool stop_load;
static double *took;
static long wanted;		/* room in took */

struct waiter {
	pthread_t thread;
	int cpu;
	atomic_int tid;
	int stat;		/* its /proc file */
};

static struct waiter waiters[WAITERS_MAX];

static int watch_new(uint32_t events, uint64_t data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0 || be->ctl(ep, EPOLL_CTL_ADD, fd, &event))
		die_errno("%s: a watched eventfd", be->name);
	return fd;
}

static void touch(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		die_errno("writing an eventfd");
}

static void *wait_main(void *arg)
{
	struct waiter *w = arg;
	struct epoll_event event;

	pin_to(w->cpu);
	atomic_store(&w->tid, syscall(SYS_gettid));
	for (;;) {
		int n = be->wait(ep, &event, 1, -1);
		int64_t now = now_ns();

		if (n != 1)
			die_errno("%s: wait without a timeout returned %d",
				  be->name, n);
		if (event.data.u64 == END)
			return NULL;
		if (atomic_load(&told) == wanted)
			die("%s: a wait returned for nothing new", be->name);
		took[atomic_load(&told)] = now - atomic_load(&written_at);
		atomic_fetch_add(&returns, 1);
		atomic_fetch_add(&told, 1);
	}
}

static void *load_main(void *arg)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	pin_to(cpu_number(1));
	while (!atomic_load_explicit(&stop_load, memory_order_relaxed))
		if (be->ctl(ep, EPOLL_CTL_ADD, fd, &event) ||
		    be->ctl(ep, EPOLL_CTL_DEL, fd, NULL))
			die_errno("%s: ADD and DEL", be->name);
	close(fd);
	return NULL;
}

static void check_deadline(int64_t deadline, const char *what)
{
	if (now_ns() > deadline)
		die("%s: %s", be->name, what);
	sched_yield();
}

static void start_waiter(struct waiter *w, int index)
{
	int64_t deadline = now_ns() + PATIENCE_NS;
	char path[64];
	int err;

	w->cpu = cpu_number(index + 1);
	err = pthread_create(&w->thread, NULL, wait_main, w);
	if (err)
		die("starting a thread: %s", strerror(err));
	while (!atomic_load(&w->tid))
		check_deadline(deadline, "a thread did not start");
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", w->tid);
	w->stat = open(path, O_RDONLY | O_CLOEXEC);
	if (w->stat < 0)
		die_errno("%s", path);
}

/* The state stands behind the name, which is in brackets. */
static bool sleeps(const struct waiter *w)
{
	char text[512], *bracket;
	ssize_t len = pread(w->stat, text, sizeof(text) - 1, 0);

	if (len < 0)
		die_errno("reading the state of a thread");
	text[len] = 0;
	bracket = strrchr(text, ')');
	return bracket && bracket[1] == ' ' && bracket[2] == 'S';
}

static void one_wakeup(long number, int count)
{
	int64_t deadline = now_ns() + PATIENCE_NS;

	for (int i = 0; i < count; i++)
		while (!sleeps(&waiters[i]))
			check_deadline(deadline, "a waiter does not fall asleep");
	atomic_store(&written_at, now_ns());
	touch(files[number % FILES]);
	while (atomic_load(&told) <= number)
		check_deadline(deadline, "a wake-up was lost");
}

static void print(const char *name, const char *what, double value)
{
	char full[96];

	snprintf(full, sizeof(full), "%s_%s", name, what);
	result(be, full, "us", value / 1000);
}

struct options {
	int waiters;
	long samples;
	int seconds;
	bool load;
	const char *name;
};

/*
 * On a CPU that is not ours alone each wake-up may wait for the time slice of
 * another thread: 10,000 of them would take minutes.
 */
static long wake_all(const struct options *o)
{
	int64_t end = now_ns() + o->seconds * NSEC_PER_SEC;
	long n = 0;

	while (n < o->samples && now_ns() < end)
		one_wakeup(n++, o->waiters);
	return n;
}

/* Returns the number of samples. */
static long run(const struct options *o)
{
	pthread_t load;
	long count;
	int err = 0;

	pin_to(cpu_number(0));
	wanted = o->samples;
	took = xcalloc(wanted, sizeof(*took));
	ep = be->create(EPOLL_CLOEXEC);
	if (ep < 0)
		die_errno("%s: creating an instance", be->name);
	for (int i = 0; i < FILES; i++)
		files[i] = watch_new(EPOLLIN | EPOLLET, i);
	for (int i = 0; i < o->waiters; i++)
		start_waiter(&waiters[i], i);
	if (o->load)
		err = pthread_create(&load, NULL, load_main, NULL);
	if (err)
		die("starting a thread: %s", strerror(err));
	count = wake_all(o);
	atomic_store(&stop_load, true);
	if (o->load)
		pthread_join(load, NULL);
	touch(watch_new(EPOLLIN, END));
	for (int i = 0; i < o->waiters; i++)
		pthread_join(waiters[i].thread, NULL);
	if (atomic_load(&returns) != count)
		die("%s: %ld events for %ld writes", be->name,
		    atomic_load(&returns), count);
	return count;
}

/* What all but one in @part took less than. */
static void print_tail(const char *name, const char *what, long count, long part)
{
	if (count >= BEHIND * part)
		print(name, what, took[count - 1 - count / part]);
	else
		fprintf(stderr, "wake: %s: %ld samples are too few for %s_%s\n",
			be->name, count, name, what);
}

static void report(const char *name, long count)
{
	if (!count)
		die("%s: no time for a single wake-up", be->name);
	qsort(took, count, sizeof(*took), compare_double);
	print(name, "p50", took[count / 2]);
	print_tail(name, "p99", count, 100);
	print_tail(name, "p999", count, 1000);
}

static void parse_option(struct options *o, int c)
{
	switch (c) {
	case 'b':
		be = backend_by_name(optarg);
		break;
	case 'k':
		o->waiters = parse_number(optarg, "--waiters", 1, WAITERS_MAX);
		break;
	case 's':
		o->samples = parse_number(optarg, "--samples", 1, 10000000);
		break;
	case 't':
		o->seconds = parse_number(optarg, "--seconds", 1, 3600);
		break;
	case 'l':
		o->load = true;
		break;
	case 'N':
		o->name = optarg;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		fputs("Try 'wake --help'.\n", stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "backend", required_argument, NULL, 'b' },
		{ "waiters", required_argument, NULL, 'k' },
		{ "samples", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ "load", no_argument, NULL, 'l' },
		{ "name", required_argument, NULL, 'N' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct options o = { .waiters = 1, .samples = 10000,
			     .seconds = 600, .name = "latency.wake" };
	int c;

	who = "wake";
	be = &backend_native;
	while ((c = getopt_long(argc, argv, "b:k:s:t:lN:h", long_options,
				NULL)) != -1)
		parse_option(&o, c);
	report(o.name, run(&o));
	return 0;
}
