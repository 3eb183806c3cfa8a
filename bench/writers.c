// SPDX-License-Identifier: GPL-2.0-only
/*
 * writers - threads that write eventfds, and waiters on the instance
 *
 * Each writer has an edge-triggered eventfd and writes it without a pause; the
 * waiters sleep in the instance and count what they are told of.  Writes that
 * come before an event has been collected melt into it, so fewer events than
 * writes is not a loss.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "crew.h"
#include "result.h"
#include "util.h"

#define BATCH		64
#define END		UINT64_MAX

static const char usage[] =
"usage: writers [OPTION]...\n"
"Events that waiters get from threads which write without a pause.\n"
"\n"
"  -b, --backend NAME   native or myepoll\n"
"  -n, --writers N      threads that write, each an eventfd (default 1)\n"
"  -k, --waiters N      threads that wait (default 1)\n"
"  -t, --ms N           how long (default 1000)\n"
"  -N, --name NAME      what to call the result\n"
"  -h, --help           print this text and exit\n";

static const struct backend *be;
static int ep;

struct waiter {
	pthread_t thread;
	int cpu;
	unsigned long events, returns;
	long switches;
};

static int watch_new(uint32_t events, uint64_t data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0 || be->ctl(ep, EPOLL_CTL_ADD, fd, &event))
		die_errno("%s: a watched eventfd", be->name);
	return fd;
}

static unsigned long write_once(struct member *m)
{
	uint64_t one = 1;

	if (write(*(int *)m->data, &one, sizeof(one)) != sizeof(one))
		die_errno("writing an eventfd");
	return 1;
}

static long own_switches(void)
{
	struct rusage use;

	if (getrusage(RUSAGE_THREAD, &use))
		die_errno("getrusage");
	return use.ru_nvcsw;
}

static void *wait_main(void *arg)
{
	struct waiter *w = arg;
	struct epoll_event events[BATCH];
	long switches = own_switches();
	bool end = false;

	pin_to(w->cpu);
	while (!end) {
		int n = be->wait(ep, events, BATCH, -1);

		if (n <= 0)
			die_errno("%s: wait without a timeout returned %d",
				  be->name, n);
		for (int i = 0; i < n; i++)
			end |= events[i].data.u64 == END;
		w->events += n;
		w->returns++;
	}
	w->switches = own_switches() - switches;
	return NULL;
}

static void print(const char *name, const char *what, const char *unit,
		  double value)
{
	char full[96];

	snprintf(full, sizeof(full), "%s%s", name, what);
	result(be, full, unit, value);
}

struct options {
	int writers, waiters, ms;
	const char *name;
};

static void report(const struct options *o, const struct waiter *waiters,
		   double writes, double ms)
{
	double events = 0, returns = 0, switches = 0;

	for (int i = 0; i < o->waiters; i++) {
		events += waiters[i].events;
		returns += waiters[i].returns;
		switches += waiters[i].switches;
	}
	print(o->name, "", "events/ms", events / ms);
	print(o->name, ".writes", "writes/ms", writes / 1000);
	print(o->name, ".waits_per_event", "waits", returns / events);
	print(o->name, ".switches_per_event", "switches", switches / events);
}

static void run(const struct options *o)
{
	struct waiter *waiters = xcalloc(o->waiters, sizeof(*waiters));
	int *fds = xcalloc(o->writers, sizeof(*fds));
	struct crew crew;
	double writes;
	uint64_t one = 1;
	int64_t start;
	int stop;

	ep = be->create(EPOLL_CLOEXEC);
	if (ep < 0)
		die_errno("%s: creating an instance", be->name);
	crew_init(&crew, o->writers, write_once);
	for (int i = 0; i < o->writers; i++) {
		fds[i] = watch_new(EPOLLIN | EPOLLET, i);
		crew.members[i].data = &fds[i];
		crew.members[i].cpu = cpu_number(o->waiters + i);
	}
	for (int i = 0; i < o->waiters; i++) {
		int err;

		waiters[i].cpu = cpu_number(i);
		err = pthread_create(&waiters[i].thread, NULL, wait_main,
				     &waiters[i]);
		if (err)
			die("starting a thread: %s", strerror(err));
	}
	start = now_ns();
	writes = crew_run(&crew, o->ms);
	/* Level-triggered and never read: every waiter sees it. */
	stop = watch_new(EPOLLIN, END);
	if (write(stop, &one, sizeof(one)) != sizeof(one))
		die_errno("writing an eventfd");
	for (int i = 0; i < o->waiters; i++)
		pthread_join(waiters[i].thread, NULL);
	report(o, waiters, writes, (now_ns() - start) / 1e6);
}

static void parse_option(struct options *o, int c)
{
	switch (c) {
	case 'b':
		be = backend_by_name(optarg);
		break;
	case 'n':
		o->writers = parse_number(optarg, "--writers", 1, 4096);
		break;
	case 'k':
		o->waiters = parse_number(optarg, "--waiters", 1, 4096);
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
		fputs("Try 'writers --help'.\n", stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "backend", required_argument, NULL, 'b' },
		{ "writers", required_argument, NULL, 'n' },
		{ "waiters", required_argument, NULL, 'k' },
		{ "ms", required_argument, NULL, 't' },
		{ "name", required_argument, NULL, 'N' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct options o = { .writers = 1, .waiters = 1, .ms = 1000,
			     .name = "stress" };
	int c;

	who = "writers";
	be = &backend_native;
	while ((c = getopt_long(argc, argv, "b:n:k:t:N:h", long_options,
				NULL)) != -1)
		parse_option(&o, c);
	allow_watches(o.writers);
	run(&o);
	return 0;
}
