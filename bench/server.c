// SPDX-License-Identifier: GPL-2.0-only
/*
 * The server's threads, its listeners and its figures.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "server.h"
#include "util.h"

#define ACCEPT_ROUND	64
#define STUCK_SHOWN	10
#define STOP_SECONDS	20

void server_watch(struct worker *w, struct source *src, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = src };
	struct server *server = w->server;

	tally_add(w, TALLY_ADDS, 1);
	if (server->be->ctl(server->ep, EPOLL_CTL_ADD, src->fd, &event))
		die_errno("EPOLL_CTL_ADD of descriptor %d", src->fd);
}

void server_progress(struct server *server, unsigned int *what)
{
	struct progress *progress = &server->progress;

	pthread_mutex_lock(&progress->lock);
	(*what)++;
	pthread_cond_signal(&progress->change);
	pthread_mutex_unlock(&progress->lock);
}

static void listener_handle(struct worker *w, struct source *src,
			    uint32_t events)
{
	for (int i = 0; i < ACCEPT_ROUND; i++) {
		int fd = accept4(src->fd, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0 && errno != ECONNABORTED)
			die_errno("accept4 (%s)",
				  transport_name[src->transport]);
		if (fd >= 0)
			conn_accept(w, fd, src->transport);
	}
}

static void stop_handle(struct worker *w, struct source *src, uint32_t events)
{
	w->stop = true;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct server *server = w->server;
	unsigned int max = server->plan->maxevents;
	struct epoll_event *events = xcalloc(max, sizeof(*events));

	w->tid = gettid();
	while (!w->stop) {
		int n = server->be->wait(server->ep, events, max, -1);

		tally_add(w, TALLY_WAITS, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die_errno("wait");
		if (n == 0 || n > (int)max)
			die("wait without a timeout returned %d", n);
		tally_add(w, TALLY_EVENTS, n);
		for (int i = 0; i < n; i++) {
			struct source *src = events[i].data.ptr;

			src->handle(w, src, events[i].events);
		}
	}
	free(events);
	return NULL;
}

static void server_watch_sockets(struct server *server,
				 const struct endpoints *all)
{
	struct worker *w = &server->workers[0];

	for (int i = 0; i < STREAMS; i++) {
		server->listener[i] = (struct source) {
			.handle = listener_handle,
			.fd = all->listener[i].fd,
			.transport = i,
		};
		server_watch(w, &server->listener[i], EPOLLIN);
	}
	for (int i = 0; i < UDP_SOCKETS; i++) {
		server->udp[i] = (struct source) {
			.handle = datagrams_handle,
			.fd = all->udp[i].fd,
			.transport = UDP,
		};
		server_watch(w, &server->udp[i], EPOLLIN);
	}
	server->stop.handle = stop_handle;
	server->stop.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->stop.fd < 0)
		die_errno("eventfd");
	server_watch(w, &server->stop, EPOLLIN);
}

static void progress_init(struct progress *progress)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&progress->change, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&progress->lock, NULL);
}

void server_start(struct server *server, const struct plan *plan,
		  const struct backend *be, const struct endpoints *all,
		  int64_t deadline)
{
	*server = (struct server) {
		.plan = plan, .be = be, .deadline = deadline,
	};
	progress_init(&server->progress);
	server->conns = xcalloc(plan_streams(plan) + 1, sizeof(struct conn));
	server->udp_seq = xcalloc(plan->connections[UDP] + 1,
				  sizeof(*server->udp_seq));
	server->workers = xcalloc(plan->workers, sizeof(struct worker));
	for (unsigned int i = 0; i < plan->workers; i++)
		server->workers[i].server = server;
	server->ep = be->create(EPOLL_CLOEXEC);
	if (server->ep < 0)
		die_errno("creating the instance");
	server_watch_sockets(server, all);
	for (unsigned int i = 0; i < plan->workers; i++) {
		struct worker *w = &server->workers[i];

		errno = pthread_create(&w->thread, NULL, worker_main, w);
		if (errno)
			die_errno("pthread_create");
	}
}

/* The line of /proc/self/task/TID/status; 0 before the thread has begun. */
static uint64_t thread_switches(pid_t tid)
{
	unsigned long long switches = 0;
	char path[64], line[256];
	bool found = false;
	FILE *file;

	if (!tid)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	file = fopen(path, "re");
	if (!file)
		die_errno("%s", path);
	while (!found && fgets(line, sizeof(line), file))
		found = sscanf(line, "voluntary_ctxt_switches: %llu",
			       &switches) == 1;
	fclose(file);
	if (!found)
		die("%s does not count context switches", path);
	return switches;
}

void server_figures(struct server *server, struct server_figures *figures)
{
	struct timespec cpu;

	*figures = (struct server_figures) { 0 };
	for (unsigned int i = 0; i < server->plan->workers; i++) {
		struct worker *w = &server->workers[i];

		for (int t = 0; t < TALLIES; t++)
			figures->tally[t] += w->tally[t];
		figures->switches += thread_switches(w->tid);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	figures->cpu_ns = cpu.tv_sec * NSEC_PER_SEC + cpu.tv_nsec;
	figures->time_ns = now_ns();
}

static void __noreturn server_stuck(struct server *server, const char *what,
				    unsigned int is, unsigned int should)
{
	unsigned int count = server->conn_count, shown = 0;

	for (unsigned int i = 0; i < count && shown < STUCK_SHOWN; i++) {
		if (server->conns[i].closed)
			continue;
		conn_dump(&server->conns[i]);
		shown++;
	}
	die("%s server: deadline of %u s over: %u of %u %s", server->be->name,
	    server->plan->seconds, is, should, what);
}

static void server_await(struct server *server, const unsigned int *what,
			 unsigned int should, const char *name)
{
	struct progress *progress = &server->progress;
	struct timespec until = {
		.tv_sec = server->deadline / NSEC_PER_SEC,
		.tv_nsec = server->deadline % NSEC_PER_SEC,
	};
	int err = 0;

	pthread_mutex_lock(&progress->lock);
	while (*what < should && !err)
		err = pthread_cond_timedwait(&progress->change,
					     &progress->lock, &until);
	if (*what != should)
		server_stuck(server, name, *what, should);
	pthread_mutex_unlock(&progress->lock);
}

void server_await_accepted(struct server *server)
{
	server_await(server, &server->progress.accepted,
		     plan_streams(server->plan), "connections accepted");
}

void server_await_closed(struct server *server)
{
	server_await(server, &server->progress.closed,
		     plan_streams(server->plan), "closes seen");
	server_await(server, &server->progress.goodbyes,
		     server->plan->connections[UDP], "UDP goodbyes seen");
}

static void worker_join(struct server *server, struct worker *w)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_SECONDS;
	errno = pthread_timedjoin_np(w->thread, NULL, &until);
	if (errno)
		die_errno("%s server: thread %d still waits, although the stop event is there",
			  server->be->name, w->tid);
}

void server_stop(struct server *server, struct traffic *received,
		 struct traffic *sent)
{
	uint64_t one = 1;

	*received = (struct traffic) { 0 };
	*sent = (struct traffic) { 0 };
	if (write(server->stop.fd, &one, sizeof(one)) != sizeof(one))
		die_errno("writing the stop event");
	for (unsigned int i = 0; i < server->plan->workers; i++) {
		worker_join(server, &server->workers[i]);
		traffic_add(received, &server->workers[i].received);
		traffic_add(sent, &server->workers[i].sent);
	}
	close(server->stop.fd);
	close(server->ep);
	free(server->conns);
	free(server->udp_seq);
	free(server->workers);
}
