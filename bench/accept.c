// SPDX-License-Identifier: GPL-2.0-only
/*
 * accept - how workers share the connections of one listening socket
 *
 * All workers wait on one instance with one level-triggered listening socket.
 * Clients connect, a few at a time.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crew.h"
#include "result.h"
#include "util.h"

#define WORKERS_MAX	64
#define CLIENTS		4	/* connections that are made at a time */
#define END		UINT64_MAX

static const char usage[] =
"usage: accept [OPTION]...\n"
"Share of each worker in the connections of one listening socket.\n"
"\n"
"  -b, --backend NAME      native or myepoll\n"
"  -w, --workers N         threads that wait and accept (default 2)\n"
"  -c, --connections N     how many connections in all (default 2000)\n"
"  -h, --help              print this text and exit\n";

static const struct backend *be;
static int ep, listener;
static struct sockaddr_in address;
static atomic_long to_connect;

struct worker {
	pthread_t thread;
	int cpu;
	long accepted;
	long in_vain;	/* told of a connection that somebody else has taken */
};

static void watch(int fd, uint64_t data)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = data };

	if (be->ctl(ep, EPOLL_CTL_ADD, fd, &event))
		die_errno("%s: ADD", be->name);
}

static void listen_somewhere(void)
{
	socklen_t len = sizeof(address);

	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, len) ||
	    listen(listener, 128) ||
	    getsockname(listener, (struct sockaddr *)&address, &len))
		die_errno("a listening socket");
}

static void take_one(struct worker *w)
{
	/* Ended by a reset: thousands of connections leave no TIME-WAIT. */
	struct linger linger = { .l_onoff = 1 };
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0 && errno != EAGAIN)
		die_errno("accept");
	if (fd < 0) {
		w->in_vain++;
		return;
	}
	w->accepted++;
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)))
		die_errno("SO_LINGER");
	close(fd);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct epoll_event event;

	pin_to(w->cpu);
	for (;;) {
		if (be->wait(ep, &event, 1, -1) != 1)
			die_errno("%s: wait", be->name);
		if (event.data.u64 == END)
			return NULL;
		take_one(w);
	}
}

static void *client_main(void *arg)
{
	char c;

	while (atomic_fetch_sub(&to_connect, 1) > 0) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			die_errno("socket");
		/*
		 * The worker ends it by a reset, which may come before the
		 * client has returned from connect().
		 */
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) &&
		    errno != ECONNRESET)
			die_errno("connect");
		if (read(fd, &c, 1) > 0)
			die("a worker has sent something");
		close(fd);
	}
	return NULL;
}

static void start(pthread_t *thread, void *(*main)(void *arg), void *arg)
{
	int err = pthread_create(thread, NULL, main, arg);

	if (err)
		die("starting a thread: %s", strerror(err));
}

static void report(const struct worker *workers, int count, int64_t ns)
{
	long all = 0, most = 0, in_vain = 0;
	char name[64];

	for (int i = 0; i < count; i++) {
		all += workers[i].accepted;
		in_vain += workers[i].in_vain;
		if (workers[i].accepted > most)
			most = workers[i].accepted;
	}
	snprintf(name, sizeof(name), "accept.largest_share_%d", count);
	result(be, name, "of even", (double)most * count / all);
	snprintf(name, sizeof(name), "accept.in_vain_%d", count);
	result(be, name, "/connection", (double)in_vain / all);
	snprintf(name, sizeof(name), "accept.rate_%d", count);
	result(be, name, "connections/s", (double)all * NSEC_PER_SEC / ns);
}

static void run(int count, long connections)
{
	struct worker workers[WORKERS_MAX] = { 0 };
	pthread_t clients[CLIENTS];
	int end = eventfd(1, EFD_CLOEXEC);
	int64_t began;

	ep = be->create(EPOLL_CLOEXEC);
	if (ep < 0 || end < 0)
		die_errno("%s: creating an instance", be->name);
	listen_somewhere();
	watch(listener, 0);
	for (int i = 0; i < count; i++) {
		workers[i].cpu = cpu_number(i);
		start(&workers[i].thread, worker_main, &workers[i]);
	}
	atomic_store(&to_connect, connections);
	began = now_ns();
	for (int i = 0; i < CLIENTS; i++)
		start(&clients[i], client_main, NULL);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(clients[i], NULL);
	began = now_ns() - began;
	watch(end, END);
	for (int i = 0; i < count; i++)
		pthread_join(workers[i].thread, NULL);
	report(workers, count, began);
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "backend", required_argument, NULL, 'b' },
		{ "workers", required_argument, NULL, 'w' },
		{ "connections", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	long connections = 2000;
	int c, workers = 2;

	who = "accept";
	be = &backend_native;
	while ((c = getopt_long(argc, argv, "b:w:c:h", long_options,
				NULL)) != -1) {
		switch (c) {
		case 'b':
			be = backend_by_name(optarg);
			break;
		case 'w':
			workers = parse_number(optarg, "--workers", 1,
					       WORKERS_MAX);
			break;
		case 'c':
			connections = parse_number(optarg, "--connections", 1,
						   100000000);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs("Try 'accept --help'.\n", stderr);
			return 2;
		}
	}
	run(workers, connections);
	return 0;
}
