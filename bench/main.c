// SPDX-License-Identifier: GPL-2.0-only
/*
 * server - an echo server on native epoll and on myepoll, side by side
 *
 * Each run is a process of its own.  The backends take turns, so that both see
 * the same machine.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"
#include "util.h"

#define SPARE_DESCRIPTORS	64

static const char usage[] =
"usage: server [OPTION]...\n"
"Run an event-driven echo server and its clients on native epoll and on\n"
"myepoll, check every byte, and show both side by side.\n"
"\n"
"  -b, --backend NAME    native, myepoll or both (default both)\n"
"  -r, --runs N          runs of each backend, alternated (default 3)\n"
"  -w, --workers N       server threads that share the instance (default 2)\n"
"  -c, --clients N       client processes (default 4)\n"
"      --tcp4 N          TCP connections over IPv4 (default 400)\n"
"      --tcp6 N          TCP connections over IPv6 (default 200)\n"
"      --unix N          unix stream connections (default 400)\n"
"      --udp N           UDP sockets of clients (default 100)\n"
"  -m, --messages N      messages of each connection (default 100)\n"
"  -e, --maxevents N     events a wait of the server may return (default 32)\n"
"  -s, --seed N          of the payloads (default 1)\n"
"  -d, --deadline N      seconds a run may take (default 120)\n"
"  -j, --json            also print a line of JSON for each run\n"
"  -h, --help            print this text and exit\n"
"\n"
"The exit status is 0 if everything matched in every run, else 1.\n";

struct options {
	struct plan plan;
	bool native, ours, json;
	unsigned int runs;
};

enum { OPT_TCP4 = 256, OPT_TCP6, OPT_UNIX, OPT_UDP };

static const struct option long_options[] = {
	{ "backend", required_argument, NULL, 'b' },
	{ "runs", required_argument, NULL, 'r' },
	{ "workers", required_argument, NULL, 'w' },
	{ "clients", required_argument, NULL, 'c' },
	{ "tcp4", required_argument, NULL, OPT_TCP4 },
	{ "tcp6", required_argument, NULL, OPT_TCP6 },
	{ "unix", required_argument, NULL, OPT_UNIX },
	{ "udp", required_argument, NULL, OPT_UDP },
	{ "messages", required_argument, NULL, 'm' },
	{ "maxevents", required_argument, NULL, 'e' },
	{ "seed", required_argument, NULL, 's' },
	{ "deadline", required_argument, NULL, 'd' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 }
};

static void parse_backend(struct options *o, const char *name)
{
	o->native = !strcmp(name, "native") || !strcmp(name, "both");
	o->ours = !strcmp(name, "myepoll") || !strcmp(name, "both");
	if (!o->native && !o->ours)
		die("no backend '%s'", name);
}

static void parse_option(struct options *o, int c)
{
	struct plan *plan = &o->plan;

	switch (c) {
	case 'b':
		parse_backend(o, optarg);
		break;
	case 'r':
		o->runs = parse_number(optarg, "--runs", 1, RUNS_MAX);
		break;
	case 'w':
		plan->workers = parse_number(optarg, "--workers", 1, 256);
		break;
	case 'c':
		plan->clients = parse_number(optarg, "--clients", 1, 256);
		break;
	case OPT_TCP4 ... OPT_UDP:
		plan->connections[c - OPT_TCP4] =
			parse_number(optarg, "connections", 0, 20000);
		break;
	case 'm':
		plan->messages = parse_number(optarg, "--messages", 1, 1000000);
		break;
	case 'e':
		plan->maxevents = parse_number(optarg, "--maxevents", 1, 4096);
		break;
	case 's':
		plan->seed = parse_number(optarg, "--seed", 0, INT32_MAX);
		break;
	case 'd':
		plan->seconds = parse_number(optarg, "--deadline", 1, 86400);
		break;
	case 'j':
		o->json = true;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		fputs("Try 'server --help'.\n", stderr);
		exit(2);
	}
}

static void parse_options(struct options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "b:r:w:c:m:e:s:d:jh", long_options,
				NULL)) != -1)
		parse_option(o, c);
	if (optind != argc)
		die("'%s' is not an option", argv[optind]);
	if (!plan_connections(&o->plan))
		die("no connections");
}

/* The server holds one descriptor per stream, a client its share. */
static void raise_descriptor_limit(const struct plan *plan)
{
	rlim_t need = plan_connections(plan) + SPARE_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		die_errno("getrlimit(RLIMIT_NOFILE)");
	if (limit.rlim_cur >= need)
		return;
	limit.rlim_cur = need;
	if (limit.rlim_max < need)
		limit.rlim_max = need;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		die_errno("raising RLIMIT_NOFILE to %llu",
			  (unsigned long long)need);
}

static void __noreturn run_child(const struct options *o,
				 const struct backend *be, int fd)
{
	struct result result;

	run_backend(&o->plan, be, &result);
	if (write(fd, &result, sizeof(result)) != sizeof(result))
		die_errno("handing over the result");
	_exit(0);
}

/* In a child of its own, so that a failed run takes nothing with it. */
static bool run_once(const struct options *o, const struct backend *be,
		     struct result *result)
{
	int fds[2], status;
	ssize_t got;
	pid_t pid;

	if (pipe(fds))
		die_errno("pipe");
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die_errno("fork");
	if (!pid) {
		close(fds[0]);
		run_child(o, be, fds[1]);
	}
	close(fds[1]);
	got = read(fds[0], result, sizeof(*result));
	close(fds[0]);
	if (waitpid(pid, &status, 0) != pid)
		die_errno("waitpid");
	return got == sizeof(*result) && WIFEXITED(status) &&
	       !WEXITSTATUS(status);
}

/* All runs make the same messages, so all checksums must be the same. */
static bool same_traffic(const struct result *result)
{
	static struct result first;

	if (!first.connections)
		first = *result;
	return traffic_equal(&first.requests, &result->requests) &&
	       traffic_equal(&first.replies, &result->replies);
}

static bool series_run(const struct options *o, const struct backend *be,
		       unsigned int run, struct series *series)
{
	struct result *result = &series->result[series->runs];

	if (!run_once(o, be, result)) {
		printf("FAILED: run %u on %s\n", run, be->name);
		return false;
	}
	series->runs++;
	if (o->json)
		report_json(be->name, run, result);
	if (same_traffic(result))
		return true;
	printf("MISMATCH: run %u on %s has other checksums than the first run\n",
	       run, be->name);
	return false;
}

/* The backends take turns in going first. */
static bool pair_run(const struct options *o, unsigned int run,
		     struct series *native, struct series *ours)
{
	bool ok = true;

	if (o->native && run % 2 == 0)
		ok &= series_run(o, &backend_native, run, native);
	if (o->ours)
		ok &= series_run(o, &backend_myepoll, run, ours);
	if (o->native && run % 2)
		ok &= series_run(o, &backend_native, run, native);
	return ok;
}

int main(int argc, char **argv)
{
	struct options o = {
		.plan = {
			.connections = { 400, 200, 400, 100 },
			.messages = 100, .workers = 2, .clients = 4,
			.maxevents = 32, .seconds = 120, .seed = 1,
		},
		.native = true, .ours = true, .runs = 3,
	};
	static struct series native = { .name = "native" };
	static struct series ours = { .name = "myepoll" };
	bool ok = true;

	who = "server";
	parse_options(&o, argc, argv);
	raise_descriptor_limit(&o.plan);
	for (unsigned int run = 1; run <= o.runs; run++)
		ok &= pair_run(&o, run, &native, &ours);
	if (native.runs || ours.runs)
		report_table(&o.plan, &native, &ours);
	puts(ok ? "\nEvery connection, message, byte and checksum matched." :
		  "\nNOT everything matched: see the messages above.");
	return ok ? 0 : 1;
}
