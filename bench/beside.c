// SPDX-License-Identifier: GPL-2.0-only
/*
 * beside - what ADD and DEL cost while somebody else is at the instance
 *
 * One thread adds and removes a watch and takes the time of each pair, alone and
 * while a thread on another CPU scans ready watches of the same
 * instance, reads its fdinfo, or (to see what the machine adds by itself) scans
 * another instance.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "crew.h"
#include "result.h"
#include "util.h"

#define SAMPLES_MAX	400000
#define SAMPLES_MIN	200
#define PATIENCE	6	/* times --ms, for a machine that is slow */
#define BLOCKS		20
#define BLOCK_MIN	5

static const char usage[] =
"usage: beside [OPTION]...\n"
"Cost of ADD and DEL beside a load, as a multiple of its cost alone.\n"
"\n"
"  -b, --backend NAME   native or myepoll\n"
"  -l, --load NAME      scan, fdinfo, or other (scan of another instance)\n"
"  -w, --watches N      ready watches in the instance (default 800)\n"
"  -t, --ms N           length of one measurement (default 500)\n"
"  -N, --name NAME      what to call the result\n"
"  -h, --help           print this text and exit\n";

static const struct backend *be;

static struct {
	int ep;			/* whose ADD and DEL is measured */
	int scanned;		/* whose ready watches are scanned */
	int watches;
	int fdinfo;
	atomic_bool stop;
	atomic_ulong rounds;	/* of the load */
	atomic_llong round_ns;	/* what the last one took */
	struct epoll_event *events;
} shared;

static void load_scan(void)
{
	int n = be->wait(shared.scanned, shared.events, shared.watches, 0);

	if (n < 0)
		die_errno("%s: wait", be->name);
}

static void load_fdinfo(void)
{
	static char text[65536];
	ssize_t n;

	if (lseek(shared.fdinfo, 0, SEEK_SET))
		die_errno("fdinfo");
	do {
		n = read(shared.fdinfo, text, sizeof(text));
	} while (n > 0);
	if (n < 0)
		die_errno("reading fdinfo");
}

static void *load_main(void *arg)
{
	void (*load)(void) = arg;

	pin_to(cpu_number(1));
	while (!atomic_load_explicit(&shared.stop, memory_order_relaxed)) {
		int64_t start = now_ns();

		load();
		atomic_store(&shared.round_ns, now_ns() - start);
		atomic_fetch_add(&shared.rounds, 1);
	}
	return NULL;
}

static int instance(int watches, uint32_t events)
{
	int ep = be->create(EPOLL_CLOEXEC);

	if (ep < 0)
		die_errno("%s: creating an instance", be->name);
	for (int i = 0; i < watches; i++) {
		struct epoll_event event = { .events = events };
		int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);

		if (fd < 0 || be->ctl(ep, EPOLL_CTL_ADD, fd, &event))
			die_errno("%s: watch %d", be->name, i);
	}
	return ep;
}

struct times {
	double mean;
	double p99;
};

static double took[SAMPLES_MAX];

/*
 * The mean, but on a machine that is not ours alone: a CPU that the host takes
 * away for a while is in the mean of one block only, and the median of the
 * blocks' means counts.  What happens all the time is in all of them.  Of few
 * measurements, as they took so long, it is the plain mean.
 */
static double steady_mean(int n)
{
	double means[BLOCKS] = { 0 };
	int blocks = n < BLOCKS * BLOCK_MIN ? 1 : BLOCKS;
	int length = n / blocks;

	for (int i = 0; i < length * blocks; i++)
		means[i / length] += took[i] / length;
	return median(means, blocks);
}

static void spin_until(int64_t end)
{
	while (now_ns() < end)
		;
}

/*
 * The next measurement must meet the load, and at any point of its round: if each
 * began where the last one ended, a load that stands still while its CPU is away
 * would be measured thousands of times, and one that is slow hardly ever.
 * Without a load the pauses are as long, since caches and timers notice them.
 * Returns false if the load does not get on.
 */
static bool pause_between(bool loaded, unsigned int *seed, int64_t deadline)
{
	unsigned long rounds = atomic_load(&shared.rounds);
	int64_t length = atomic_load(&shared.round_ns), start;

	while (loaded && atomic_load(&shared.rounds) == rounds)
		if (now_ns() > deadline)
			return false;
	start = now_ns();
	if (!loaded)
		start += length / 2;
	spin_until(start + length * (rand_r(seed) % 1000) / 1000);
	return true;
}

/* For @ms, but also until there are enough samples to speak of. */
static struct times measure(int ms, bool loaded)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	int64_t now = now_ns(), end = now + ms * 1000000LL;
	int64_t last = now + PATIENCE * ms * 1000000LL;
	unsigned int seed = 1;
	struct times times;
	int n = 0;

	while (n < SAMPLES_MAX &&
	       (now < end || (n < SAMPLES_MIN && now < last)) &&
	       (pause_between(loaded, &seed, last) || !n)) {
		int64_t start = now_ns();

		if (be->ctl(shared.ep, EPOLL_CTL_ADD, fd, &event) ||
		    be->ctl(shared.ep, EPOLL_CTL_DEL, fd, NULL))
			die_errno("%s: ADD and DEL", be->name);
		now = now_ns();
		took[n++] = now - start;
	}
	close(fd);
	times.mean = steady_mean(n);
	qsort(took, n, sizeof(*took), compare_double);
	times.p99 = took[n - 1 - n / 100];
	return times;
}

static void await_rounds(unsigned long rounds)
{
	int64_t deadline = now_ns() + 30 * NSEC_PER_SEC;

	while (atomic_load(&shared.rounds) < rounds) {
		if (now_ns() > deadline)
			die("the load did not get going in 30 s");
		sched_yield();
	}
}

static void print(const char *name, const char *what, const char *unit,
		  double value)
{
	char full[96];

	snprintf(full, sizeof(full), "%s.%s", name, what);
	result(be, full, unit, value);
}

static void run(void (*load)(void), const char *name, int ms)
{
	struct times idle, loaded;
	pthread_t thread;
	int err;

	pin_to(cpu_number(0));
	err = pthread_create(&thread, NULL, load_main, load);
	if (err)
		die("starting a thread: %s", strerror(err));
	await_rounds(2);
	measure(ms / 4, true);
	loaded = measure(ms, true);
	atomic_store(&shared.stop, true);
	pthread_join(thread, NULL);
	idle = measure(ms, false);
	print(name, "mean", "x idle", loaded.mean / idle.mean);
	print(name, "p99", "x idle", loaded.p99 / idle.p99);
	print(name, "mean_us", "us", loaded.mean / 1000);
	print(name, "p99_us", "us", loaded.p99 / 1000);
	print(name, "idle_mean_us", "us", idle.mean / 1000);
	print(name, "idle_p99_us", "us", idle.p99 / 1000);
}

struct options {
	const char *load, *name;
	int ms;
};

static void parse_option(struct options *o, int c)
{
	switch (c) {
	case 'b':
		be = backend_by_name(optarg);
		break;
	case 'l':
		o->load = optarg;
		break;
	case 'w':
		shared.watches = parse_number(optarg, "--watches", 1, 1000000);
		break;
	case 't':
		o->ms = parse_number(optarg, "--ms", 1, 60000);
		break;
	case 'N':
		o->name = optarg;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		fputs("Try 'beside --help'.\n", stderr);
		exit(2);
	}
}

static void prepare(const struct options *o)
{
	char path[64];

	if (cpu_count() < 2)
		die("needs two CPUs");
	allow_watches(2L * shared.watches);
	shared.events = xcalloc(shared.watches, sizeof(*shared.events));
	shared.ep = instance(shared.watches, EPOLLIN);
	shared.scanned = shared.ep;
	if (!strcmp(o->load, "other"))
		shared.scanned = instance(shared.watches, EPOLLIN);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", shared.ep);
	shared.fdinfo = open(path, O_RDONLY | O_CLOEXEC);
	if (shared.fdinfo < 0)
		die_errno("%s", path);
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "backend", required_argument, NULL, 'b' },
		{ "load", required_argument, NULL, 'l' },
		{ "watches", required_argument, NULL, 'w' },
		{ "ms", required_argument, NULL, 't' },
		{ "name", required_argument, NULL, 'N' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct options o = { .load = "scan", .name = "ctl_beside_scan", .ms = 500 };
	int c;

	who = "beside";
	be = &backend_native;
	shared.watches = 800;
	while ((c = getopt_long(argc, argv, "b:l:w:t:N:h", long_options,
				NULL)) != -1)
		parse_option(&o, c);
	if (strcmp(o.load, "scan") && strcmp(o.load, "fdinfo") &&
	    strcmp(o.load, "other"))
		die("no load '%s': there are scan, fdinfo and other", o.load);
	prepare(&o);
	run(strcmp(o.load, "fdinfo") ? load_scan : load_fdinfo, o.name, o.ms);
	return 0;
}
