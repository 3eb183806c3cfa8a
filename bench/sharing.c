// SPDX-License-Identifier: GPL-2.0-only
/*
 * sharing - what threads lose by working on one instance
 *
 * The same threads do the same on one shared instance and on an instance each,
 * in turn.  The efficiency is the one throughput over the other; its limit is 1
 * unless a single instance has work to divide.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "batch.h"
#include "crew.h"
#include "result.h"
#include "util.h"

#define READY		64	/* ready watches of an instance */
#define SOME		16	/* of them, taken at a time */
#define WARM_UP_MS	60
#define ROUNDS_MAX	64

static const char usage[] =
"usage: sharing [OPTION]...\n"
"Throughput of threads on one instance against an instance each.\n"
"\n"
"  -b, --backend NAME   native or myepoll\n"
"  -o, --op NAME        produce, wait, wait_all, mod, add_del, oneshot,\n"
"                       oneshot_round, mix or mix_oneshot\n"
"  -n, --threads N      how many (default: as many as CPUs)\n"
"  -t, --ms N           length of one measurement (default 250)\n"
"  -r, --rounds N       measurements of each kind; the median counts (default 3)\n"
"  -s, --shared-only    only the throughput on one instance, as threads.OP.N\n"
"  -h, --help           print this text and exit\n";

/* An instance and what all its users see. */
struct place {
	int ep;
	int ready[READY];
};

/* What a thread has for itself. */
struct worker {
	struct place *place;
	int watched;
	int unwatched;
	struct batch batch;
};

struct job {
	const char *name;
	unsigned long (*work)(struct member *m);
	uint32_t ready;		/* events of the ready watches; 0: there are none */
	uint32_t watched;	/* events of each thread's own watch */
};

static const struct backend *be;

static long control(int ep, int op, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (be->ctl(ep, op, fd, &event))
		die_errno("%s: epoll_ctl %d", be->name, op);
	return 1;
}

static int harvest(struct worker *w, struct epoll_event *events, int max)
{
	int n = be->wait(w->place->ep, events, max, 0);

	if (n < 0)
		die_errno("%s: wait", be->name);
	return n;
}

static unsigned long do_produce(struct member *m)
{
	struct worker *w = m->data;
	uint64_t one = 1;

	if (write(w->watched, &one, sizeof(one)) != sizeof(one))
		die_errno("writing an eventfd");
	return 1;
}

static unsigned long do_wait(struct member *m)
{
	struct epoll_event events[SOME];

	return harvest(m->data, events, SOME);
}

static unsigned long do_wait_all(struct member *m)
{
	struct epoll_event events[READY];

	return harvest(m->data, events, READY);
}

static unsigned long do_mod(struct member *m)
{
	struct worker *w = m->data;

	return control(w->place->ep, EPOLL_CTL_MOD, w->watched, EPOLLIN);
}

static unsigned long do_add_del(struct member *m)
{
	struct worker *w = m->data;

	control(w->place->ep, EPOLL_CTL_ADD, w->unwatched, EPOLLIN);
	return control(w->place->ep, EPOLL_CTL_DEL, w->unwatched, 0);
}

static unsigned long do_oneshot(struct member *m)
{
	struct worker *w = m->data;
	struct epoll_event event;

	if (!harvest(w, &event, 1))
		return 0;
	return control(w->place->ep, EPOLL_CTL_MOD, event.data.fd,
		       EPOLLIN | EPOLLONESHOT);
}

/* Arms what it has served in the last round, and waits for the next. */
static unsigned long do_oneshot_round(struct member *m)
{
	struct epoll_event events[SOME];
	struct worker *w = m->data;
	int n = batch_make(be, w->place->ep, &w->batch, events, SOME);

	for (int i = 0; i < n; i++)
		batch_add(&w->batch, EPOLL_CTL_MOD, events[i].data.fd,
			  EPOLLIN | EPOLLONESHOT);
	return n;
}

/* What a server does for a while: waits, changes, and one who comes and goes. */
static unsigned long do_mix(struct member *m)
{
	unsigned long events = do_wait(m);

	do_mod(m);
	do_add_del(m);
	return events;
}

/* Waits and re-arms, and writes a file that somebody is to be told of. */
static unsigned long do_mix_oneshot(struct member *m)
{
	unsigned long events = do_oneshot(m);

	do_produce(m);
	return events;
}

static const struct job jobs[] = {
	{ "produce", do_produce, 0, EPOLLIN | EPOLLET },
	{ "wait", do_wait, EPOLLIN, 0 },
	{ "wait_all", do_wait_all, EPOLLIN, 0 },
	{ "mod", do_mod, 0, EPOLLIN },
	{ "add_del", do_add_del, 0, 0 },
	{ "oneshot", do_oneshot, EPOLLIN | EPOLLONESHOT, 0 },
	{ "oneshot_round", do_oneshot_round, EPOLLIN | EPOLLONESHOT, 0 },
	{ "mix", do_mix, EPOLLIN, EPOLLIN },
	{ "mix_oneshot", do_mix_oneshot, EPOLLIN | EPOLLONESHOT,
	  EPOLLIN | EPOLLONESHOT },
};

static int new_eventfd(unsigned int count)
{
	int fd = eventfd(count, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		die_errno("eventfd");
	return fd;
}

static void place_init(struct place *p, const struct job *job)
{
	p->ep = be->create(EPOLL_CLOEXEC);
	if (p->ep < 0)
		die_errno("%s: creating an instance", be->name);
	for (int i = 0; job->ready && i < READY; i++) {
		p->ready[i] = new_eventfd(1);
		control(p->ep, EPOLL_CTL_ADD, p->ready[i], job->ready);
	}
}

static void worker_init(struct worker *w, struct place *p, const struct job *job)
{
	w->place = p;
	w->watched = new_eventfd(0);
	w->unwatched = new_eventfd(0);
	if (job->watched)
		control(p->ep, EPOLL_CTL_ADD, w->watched, job->watched);
}

/* A crew on one instance, or on an instance for each member. */
struct team {
	struct crew crew;
	struct place *places;
	struct worker *workers;
};

static void team_init(struct team *t, const struct job *job, int threads,
		      bool shared)
{
	t->places = xcalloc(threads, sizeof(*t->places));
	t->workers = xcalloc(threads, sizeof(*t->workers));
	crew_init(&t->crew, threads, job->work);
	for (int i = 0; i < threads; i++) {
		struct place *p = &t->places[shared ? 0 : i];

		if (!shared || !i)
			place_init(p, job);
		worker_init(&t->workers[i], p, job);
		t->crew.members[i].data = &t->workers[i];
	}
	crew_run(&t->crew, WARM_UP_MS);
}

struct options {
	const struct job *job;
	int threads, ms, rounds;
	bool shared_only;
};

static void report(const struct options *o, double shared, double own,
		   double efficiency)
{
	char name[64];

	if (o->shared_only) {
		snprintf(name, sizeof(name), "threads.%s.%d", o->job->name,
			 o->threads);
		result(be, name, "/s", shared);
		return;
	}
	snprintf(name, sizeof(name), "sharing.%s", o->job->name);
	result(be, name, "shared/own", efficiency);
	snprintf(name, sizeof(name), "sharing.%s.throughput", o->job->name);
	result(be, name, "/s", shared);
	snprintf(name, sizeof(name), "sharing.%s.own", o->job->name);
	result(be, name, "/s", own);
}

static void measure(const struct options *o)
{
	double shared[ROUNDS_MAX], own[ROUNDS_MAX], efficiency[ROUNDS_MAX];
	struct team one, each;

	team_init(&one, o->job, o->threads, true);
	if (!o->shared_only)
		team_init(&each, o->job, o->threads, false);
	for (int i = 0; i < o->rounds; i++) {
		shared[i] = crew_run(&one.crew, o->ms);
		if (shared[i] <= 0)
			die("%s: nothing was done in %d ms", o->job->name, o->ms);
		own[i] = o->shared_only ? 1 : crew_run(&each.crew, o->ms);
		efficiency[i] = shared[i] / own[i];
	}
	report(o, median(shared, o->rounds), median(own, o->rounds),
	       median(efficiency, o->rounds));
}

static const struct job *job_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		if (!strcmp(jobs[i].name, name))
			return &jobs[i];
	die("no operation '%s' (--help lists them)", name);
}

static void parse_option(struct options *o, int c)
{
	switch (c) {
	case 'b':
		be = backend_by_name(optarg);
		break;
	case 'o':
		o->job = job_by_name(optarg);
		break;
	case 'n':
		o->threads = parse_number(optarg, "--threads", 1, 1024);
		break;
	case 't':
		o->ms = parse_number(optarg, "--ms", 1, 60000);
		break;
	case 'r':
		o->rounds = parse_number(optarg, "--rounds", 1, ROUNDS_MAX);
		break;
	case 's':
		o->shared_only = true;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		fputs("Try 'sharing --help'.\n", stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "backend", required_argument, NULL, 'b' },
		{ "op", required_argument, NULL, 'o' },
		{ "threads", required_argument, NULL, 'n' },
		{ "ms", required_argument, NULL, 't' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "shared-only", no_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct options o = { .threads = cpu_count(), .ms = 250, .rounds = 3 };
	int c;

	who = "sharing";
	be = &backend_native;
	o.job = &jobs[0];
	while ((c = getopt_long(argc, argv, "b:o:n:t:r:sh", long_options,
				NULL)) != -1)
		parse_option(&o, c);
	allow_watches(2L * o.threads * (READY + 3));
	measure(&o);
	return 0;
}
