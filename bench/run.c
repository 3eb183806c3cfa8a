// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "run.h"
#include "util.h"

#define CHECK_CLIENTS_MS	200

struct crowd {
	const struct plan *plan;
	pid_t *pids;
	struct client_report *reports;	/* shared memory, one per client */
	int ready_fd;
	int gate_fd;
	int64_t deadline;
	uint64_t drops;
};

static void make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC))
		die_errno("pipe");
}

static void share_reports(struct crowd *crowd)
{
	size_t size = crowd->plan->clients * sizeof(*crowd->reports);

	crowd->reports = mmap(NULL, size, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (crowd->reports == MAP_FAILED)
		die_errno("mmap");
}

static void __noreturn
client_child(struct crowd *crowd, struct endpoints *all, unsigned int number,
	     int ready_fd, int gate_fd, pid_t parent)
{
	struct client_job job = {
		.plan = crowd->plan,
		.all = all,
		.number = number,
		.ready_fd = ready_fd,
		.gate_fd = gate_fd,
		.deadline = crowd->deadline,
		.drops = crowd->drops,
		.report = &crowd->reports[number],
	};

	/* A client must not outlive a server that failed. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	close(crowd->ready_fd);
	close(crowd->gate_fd);
	endpoints_close(all);
	client_main(&job);
}

static void crowd_start(struct crowd *crowd, struct endpoints *all)
{
	int ready[2], gate[2];
	pid_t self = getpid();

	share_reports(crowd);
	crowd->pids = xcalloc(crowd->plan->clients, sizeof(pid_t));
	make_pipe(ready);
	make_pipe(gate);
	crowd->ready_fd = ready[0];
	crowd->gate_fd = gate[1];
	for (unsigned int i = 0; i < crowd->plan->clients; i++) {
		crowd->pids[i] = fork();
		if (crowd->pids[i] < 0)
			die_errno("fork");
		if (!crowd->pids[i])
			client_child(crowd, all, i, ready[1], gate[0], self);
	}
	close(ready[1]);
	close(gate[0]);
}

/* A client that failed has said why; it cannot be waited for any more. */
static void crowd_check(struct crowd *crowd)
{
	for (unsigned int i = 0; i < crowd->plan->clients; i++) {
		int status;

		if (!crowd->pids[i] ||
		    waitpid(crowd->pids[i], &status, WNOHANG) <= 0)
			continue;
		crowd->pids[i] = 0;
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			die("client %u failed (wait status %#x)", i, status);
	}
}

/* Wait until every client has ended its phase. */
static void crowd_await(struct crowd *crowd)
{
	struct pollfd ready = { .fd = crowd->ready_fd, .events = POLLIN };
	unsigned int done = 0;

	while (done < crowd->plan->clients) {
		char byte;

		if (now_ns() > crowd->deadline + NSEC_PER_SEC)
			die("deadline of %u s over: only %u of %u clients are ready",
			    crowd->plan->seconds, done, crowd->plan->clients);
		if (poll(&ready, 1, CHECK_CLIENTS_MS) <= 0)
			crowd_check(crowd);
		else if (read(crowd->ready_fd, &byte, 1) == 1)
			done++;
		else
			crowd_check(crowd);
	}
}

static void crowd_go(struct crowd *crowd)
{
	char byte = 1;

	for (unsigned int i = 0; i < crowd->plan->clients; i++)
		if (write(crowd->gate_fd, &byte, 1) != 1)
			die_errno("starting the next phase");
}

static void crowd_end(struct crowd *crowd, struct client_report *sum)
{
	*sum = (struct client_report) { 0 };
	for (unsigned int i = 0; i < crowd->plan->clients; i++) {
		int status = 0;

		if (crowd->pids[i] && waitpid(crowd->pids[i], &status, 0) < 0)
			die_errno("waitpid");
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			die("client %u failed (wait status %#x)", i, status);
		traffic_add(&sum->sent, &crowd->reports[i].sent);
		traffic_add(&sum->received, &crowd->reports[i].received);
		sum->connected += crowd->reports[i].connected;
		sum->closed += crowd->reports[i].closed;
		sum->resent += crowd->reports[i].resent;
	}
	close(crowd->ready_fd);
	close(crowd->gate_fd);
	munmap(crowd->reports, crowd->plan->clients * sizeof(*crowd->reports));
	free(crowd->pids);
}

static void expect(const char *what, uint64_t is, uint64_t should)
{
	if (is != should)
		die("MISMATCH: %s: %" PRIu64 ", must be %" PRIu64, what, is,
		    should);
}

static void check(const struct plan *plan, const struct result *result,
		  const struct client_report *clients)
{
	uint64_t messages, bytes;

	plan_totals(plan, &messages, &bytes);
	expect("connections made by clients", clients->connected,
	       plan_connections(plan));
	expect("connections closed by clients", clients->closed,
	       plan_connections(plan));
	expect("closes of streams seen by the server", result->closes_seen,
	       plan_streams(plan));
	expect("UDP goodbyes seen by the server", result->goodbyes_seen,
	       plan->connections[UDP]);
	expect("messages received by the server", result->requests.messages,
	       messages);
	expect("bytes received by the server", result->requests.bytes, bytes);
	if (!traffic_equal(&result->requests, &clients->sent))
		die("MISMATCH: what the server received is not what the clients sent");
	if (!traffic_equal(&result->replies, &clients->received))
		die("MISMATCH: what the clients received is not what the server sent");
	if (plan_any_heavy(plan) && !result->tally[TALLY_PARTIAL_WRITES])
		die("no write was partial, so EPOLLOUT was never needed");
}

static void measure(struct result *result, const struct server_figures *from,
		    const struct server_figures *to)
{
	result->phase_events = to->tally[TALLY_EVENTS] -
			       from->tally[TALLY_EVENTS];
	result->phase_waits = to->tally[TALLY_WAITS] -
			      from->tally[TALLY_WAITS];
	result->phase_switches = to->switches - from->switches;
	result->phase_cpu_ns = to->cpu_ns - from->cpu_ns;
	result->phase_ns = to->time_ns - from->time_ns;
}

/* Both directions, at the end of the phase; goodbyes come later. */
static void measure_traffic(struct result *result, const struct crowd *crowd)
{
	for (unsigned int i = 0; i < crowd->plan->clients; i++) {
		const struct client_report *report = &crowd->reports[i];

		result->phase_messages += report->sent.messages +
					  report->received.messages;
		result->phase_bytes += report->sent.bytes +
				       report->received.bytes;
	}
}

static void run_phases(struct server *server, struct crowd *crowd,
		       struct result *result)
{
	struct server_figures from, to;

	crowd_await(crowd);		/* connected */
	server_await_accepted(server);
	server_figures(server, &from);
	crowd_go(crowd);
	crowd_await(crowd);		/* quotas done */
	server_figures(server, &to);
	measure(result, &from, &to);
	measure_traffic(result, crowd);
	crowd_go(crowd);
	crowd_await(crowd);		/* closed */
	server_await_closed(server);
	server_figures(server, &to);
	for (int t = 0; t < TALLIES; t++)
		result->tally[t] = to.tally[t];
}

void run_backend(const struct plan *plan, const struct backend *be,
		 struct result *result)
{
	struct crowd crowd = {
		.plan = plan,
		.deadline = now_ns() + plan->seconds * NSEC_PER_SEC,
		.drops = net_drops(),
	};
	struct client_report clients;
	struct endpoints all;
	struct server server;

	who = be->name;
	*result = (struct result) { .connections = plan_connections(plan) };
	endpoints_open(&all);
	crowd_start(&crowd, &all);
	server_start(&server, plan, be, &all, crowd.deadline);
	run_phases(&server, &crowd, result);
	crowd_end(&crowd, &clients);
	result->resent = clients.resent;
	result->closes_seen = server.progress.closed;
	result->goodbyes_seen = server.progress.goodbyes;
	server_stop(&server, &result->requests, &result->replies);
	endpoints_close(&all);
	check(plan, result, &clients);
}
