// SPDX-License-Identifier: GPL-2.0-only
/*
 * Soak test: clients open connections of all families, send numbered messages,
 * want each answered, and close again.  Threads that wait on three instances,
 * one for each trigger mode, answer.
 *
 * A message is sent when the one before is answered.  So:
 * - an event that is lost leaves a client without its answer;
 * - edge-triggered and one-shot watches report once for each message, no more
 *   and no less, and one-shot ones to one thread at a time;
 * - the end of a connection is reported too, and nothing after it.
 *
 * Every minute all stand still, memory is looked at, and a line is printed.
 */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>

#include "soak.h"

#define MAX_COMPLAINTS	20
#define MINUTE_MS	60000
#define UNLOAD_MS	60000

struct soak soak;

const char *const mode_name[NR_MODES] = { "edge", "one-shot", "level" };

static const uint32_t mode_mask[NR_MODES] = {
	EPOLLIN | EPOLLET, EPOLLIN | EPOLLONESHOT, EPOLLIN,
};

void complain(const char *format, ...)
{
	va_list args;

	if (atomic_fetch_add(&soak.failed, 1) >= MAX_COMPLAINTS)
		return;
	flockfile(stdout);
	printf("FAILED: ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	funlockfile(stdout);
}

int64_t soak_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void doze(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
}

/* Server */

static uint64_t conn_data(struct conn *c)
{
	return (uint64_t)c->age << 32 | (c - soak.conn[0]);
}

static int watch(struct conn *c, int op)
{
	struct epoll_event ev = { .events = mode_mask[c->mode],
				  .data.u64 = conn_data(c) };

	return soak.be->ctl(soak.inst[c->mode], op, c->srv_in, &ev);
}

static void end_connection(struct conn *c)
{
	if (!atomic_load(&c->ending))
		complain("%s, %s: end of a connection that is in use",
			 family_name[c->family], mode_name[c->mode]);
	conn_close_server(c);
	atomic_store(&c->ended, true);
}

/*
 * An event came.  What follows the client's close has no number: a stream may
 * wake the server several times for its end.
 */
static void serve(struct conn *c)
{
	uint64_t seq, served = 0;
	int got;

	if (!atomic_load(&c->ending)) {
		atomic_fetch_add(&c->events, 1);
		atomic_fetch_add(&soak.count[c->mode].events, 1);
	}
	while ((got = conn_receive(c, &seq)) > 0) {
		conn_answer(c, seq);
		served++;
	}
	if (got < 0) {
		end_connection(c);
	} else if (!served && c->mode != MODE_LEVEL && !atomic_load(&c->ending)) {
		complain("%s, %s: an event without a message",
			 family_name[c->family], mode_name[c->mode]);
	}
	atomic_store(&c->serving, false);
	if (got >= 0 && c->mode == MODE_ONESHOT && watch(c, EPOLL_CTL_MOD))
		complain("one-shot: MOD: errno %d", errno);
	atomic_fetch_add(&c->handled, served);
}

static void serve_event(const struct epoll_event *ev, enum mode mode)
{
	struct conn *c = soak.conn[0] + (uint32_t)ev->data.u64;

	if (mode == MODE_ONESHOT && atomic_exchange(&c->serving, true))
		complain("one-shot: two threads have the same connection");
	pthread_mutex_lock(&c->lock);
	if (ev->data.u64 == conn_data(c) && c->mode == mode && !c->ended) {
		serve(c);
	} else if (mode != MODE_LEVEL && !c->by_peer &&
		   ev->data.u64 != conn_data(c)) {
		/* A level may be reported to two threads, one of them late. */
		complain("%s: an event of a connection that is closed",
			 mode_name[mode]);
	}
	pthread_mutex_unlock(&c->lock);
}

static void *server(void *arg)
{
	enum mode mode = (uintptr_t)arg;
	struct epoll_event ev[8];
	int n, i;

	for (;;) {
		n = soak.be->wait(soak.inst[mode], ev, ARRAY_SIZE(ev), -1);
		if (n <= 0)
			complain("%s: wait: %d errno %d", mode_name[mode], n, errno);
		for (i = 0; i < n; i++) {
			if (ev[i].data.u64 == KICK_DATA)
				return NULL;
			serve_event(&ev[i], mode);
		}
	}
}

/* Clients */

static void open_one(struct conn *c, struct rng *r)
{
	pthread_mutex_lock(&c->lock);
	c->age++;
	c->mode = below(r, NR_MODES);
	c->sent = 0;
	atomic_store(&c->events, 0);
	atomic_store(&c->handled, 0);
	atomic_store(&c->ending, false);
	atomic_store(&c->ended, false);
	conn_open(c, below(r, NR_FAMILIES));
	/* Half of them are ready when they are added. */
	if (below(r, 2))
		conn_send(c, ++c->sent);
	if (watch(c, EPOLL_CTL_ADD))
		complain("%s: ADD: errno %d", family_name[c->family], errno);
	pthread_mutex_unlock(&c->lock);
	atomic_fetch_add(&soak.count[c->mode].connections, 1);
	atomic_fetch_add(&soak.of_family[c->family], 1);
}

static bool comes_true(struct conn *c, bool (*is_true)(struct conn *c))
{
	int64_t end = soak_ms() + PATIENCE_MS;

	while (!is_true(c)) {
		if (soak_ms() > end)
			return false;
		doze();
	}
	return true;
}

static bool all_handled(struct conn *c)
{
	return atomic_load(&c->handled) == c->sent;
}

static bool has_ended(struct conn *c)
{
	return atomic_load(&c->ended);
}

/* The answer to the last message, and exactly as many events as messages */
static void expect_answer(struct conn *c)
{
	uint64_t events;

	if (!conn_answered(c, c->sent) || !comes_true(c, all_handled)) {
		complain("%s, %s: message %llu is not answered, %llu events",
			 family_name[c->family], mode_name[c->mode],
			 (unsigned long long)c->sent,
			 (unsigned long long)atomic_load(&c->events));
		return;
	}
	events = atomic_load(&c->events);
	if (c->mode == MODE_LEVEL ? events < c->sent : events != c->sent)
		complain("%s, %s: %llu events for %llu messages",
			 family_name[c->family], mode_name[c->mode],
			 (unsigned long long)events, (unsigned long long)c->sent);
	atomic_fetch_add(&soak.count[c->mode].messages, 1);
}

/* Closed by the client, which the server must be told; or on both sides here. */
static void end_one(struct conn *c, struct rng *r)
{
	bool by_peer = conn_has_end(c) && below(r, 4);

	if (by_peer) {
		atomic_store(&c->ending, true);
		conn_close_client(c, below(r, 4));
		if (!comes_true(c, has_ended))
			complain("%s, %s: the end is not reported",
				 family_name[c->family], mode_name[c->mode]);
	}
	pthread_mutex_lock(&c->lock);
	if (!by_peer) {
		if (!below(r, 3) && watch(c, EPOLL_CTL_DEL))
			complain("%s: DEL: errno %d", family_name[c->family], errno);
		conn_close_server(c);
		conn_close_client(c, true);
	}
	c->by_peer = by_peer;
	c->age++;
	pthread_mutex_unlock(&c->lock);
}

static void one_cycle(struct conn *conns, struct rng *r)
{
	int messages = 1 + below(r, MAX_MESSAGES), i, nr;

	for (i = 0; i < CONNS; i++)
		open_one(&conns[i], r);
	for (nr = 1; nr <= messages && !atomic_load(&soak.failed); nr++) {
		for (i = 0; i < CONNS; i++) {
			if (conns[i].sent < (uint64_t)nr)
				conn_send(&conns[i], ++conns[i].sent);
		}
		for (i = 0; i < CONNS; i++)
			expect_answer(&conns[i]);
	}
	for (i = 0; i < CONNS && !atomic_load(&soak.failed); i++)
		end_one(&conns[i], r);
}

static void *client(void *arg)
{
	int nr = (uintptr_t)arg;
	struct rng r;

	rng_seed(&r, soak.seed, nr + 1);
	while (!atomic_load(&soak.stop)) {
		if (atomic_load(&soak.pause)) {
			pthread_barrier_wait(&soak.barrier);	/* all still */
			pthread_barrier_wait(&soak.barrier);	/* go on */
			continue;
		}
		if (atomic_load(&soak.failed))
			doze();
		else
			one_cycle(soak.conn[nr], &r);
	}
	return NULL;
}

/* Control */

static void start(void)
{
	int mode, n;

	for (n = 0; n < MAX_CLIENTS * CONNS; n++)
		pthread_mutex_init(&soak.conn[0][n].lock, NULL);
	pthread_barrier_init(&soak.barrier, NULL, soak.clients + 1);
	for (mode = 0; mode < NR_MODES; mode++) {
		soak.inst[mode] = soak.be->create(EPOLL_CLOEXEC);
		if (soak.inst[mode] < 0)
			die("an instance");
	}
}

static void start_threads(pthread_t *servers, pthread_t *clients)
{
	int mode, i, n = 0;

	for (mode = 0; mode < NR_MODES; mode++) {
		for (i = 0; i < soak.waiters; i++)
			if (pthread_create(&servers[n++], NULL, server,
					   (void *)(uintptr_t)mode))
				die("pthread_create");
	}
	for (i = 0; i < soak.clients; i++)
		if (pthread_create(&clients[i], NULL, client,
				   (void *)(uintptr_t)i))
			die("pthread_create");
}

static void sleep_until(int64_t end_ms)
{
	const struct timespec ts = { .tv_nsec = 50000000 };

	while (soak_ms() < end_ms && !atomic_load(&soak.failed))
		nanosleep(&ts, NULL);
}

static void print_minute(int minute, const struct memory *m)
{
	uint64_t conns = 0, messages = 0, events = 0;
	int mode;

	for (mode = 0; mode < NR_MODES; mode++) {
		conns += soak.count[mode].connections;
		messages += soak.count[mode].messages;
		events += soak.count[mode].events;
	}
	printf("soak: minute %4d: %llu connections, %llu messages, %llu events, %llu/s; objects %ld (%ld kB), Slab %ld kB, MemAvailable %ld kB\n",
	       minute, (unsigned long long)conns, (unsigned long long)messages,
	       (unsigned long long)events,
	       (unsigned long long)(messages / (60 * minute)),
	       m->objects, m->object_kb, m->slab_kb, m->available_kb);
}

/* One minute, with a halt at its end in which no connection is open */
static void one_minute(int minute, int64_t began, struct memory *first)
{
	struct memory now;

	sleep_until(began + minute * (int64_t)MINUTE_MS);
	atomic_store(&soak.pause, true);
	pthread_barrier_wait(&soak.barrier);
	memory_now(&now);
	print_minute(minute, &now);
	if (minute == 1)
		*first = now;
	else if (!memory_flat(first, &now))
		complain("memory grows: objects %ld, Slab %ld kB, MemAvailable %ld kB after the first minute",
			 first->objects, first->slab_kb, first->available_kb);
	atomic_store(&soak.pause, false);
}

static void stop(pthread_t *servers, pthread_t *clients)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = KICK_DATA };
	int kick = eventfd(1, EFD_CLOEXEC), mode, i;

	atomic_store(&soak.stop, true);
	pthread_barrier_wait(&soak.barrier);
	for (i = 0; i < soak.clients; i++)
		pthread_join(clients[i], NULL);
	for (mode = 0; mode < NR_MODES; mode++) {
		if (soak.be->ctl(soak.inst[mode], EPOLL_CTL_ADD, kick, &ev))
			complain("ADD: errno %d", errno);
	}
	for (i = 0; i < soak.waiters * NR_MODES; i++)
		pthread_join(servers[i], NULL);
	for (mode = 0; mode < NR_MODES; mode++)
		close(soak.inst[mode]);
	close(kick);
}

/* The sums: what any single check may have missed shows here. */
static void check_sums(void)
{
	int mode, i;

	for (mode = 0; mode < NR_MODES; mode++) {
		struct count *n = &soak.count[mode];

		printf("%-8s %10llu connections %10llu messages %10llu events\n",
		       mode_name[mode], (unsigned long long)n->connections,
		       (unsigned long long)n->messages,
		       (unsigned long long)n->events);
		if (!n->messages || (mode == MODE_LEVEL ? n->events < n->messages :
				     n->events != n->messages))
			complain("%s: the sums do not agree", mode_name[mode]);
	}
	for (i = 0; i < NR_FAMILIES; i++) {
		printf("%s %s %llu", i ? "," : "connections:", family_name[i],
		       (unsigned long long)soak.of_family[i]);
		if (!soak.of_family[i])
			complain("no connection of family %s", family_name[i]);
	}
	putchar('\n');
}

static int run(int minutes)
{
	pthread_t servers[MAX_WAITERS * NR_MODES], clients[MAX_CLIENTS];
	int64_t began = soak_ms();
	struct memory first;
	int minute;

	start();
	start_threads(servers, clients);
	for (minute = 1; minute <= minutes && !soak.failed; minute++) {
		if (minute > 1)
			pthread_barrier_wait(&soak.barrier);
		one_minute(minute, began, &first);
	}
	/* Threads that are stuck cannot be joined. */
	if (soak.failed)
		return minute - 2;
	stop(servers, clients);
	check_sums();
	return minutes;
}

static int number(const char *text, int most)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*end || !*text || n < 1 || n > most) {
		fprintf(stderr, "soak: %s: a number from 1 to %d is wanted\n",
			text, most);
		exit(2);
	}
	return n;
}

static void usage(FILE *to)
{
	fputs("usage: soak [OPTION]...\n"
	      "  --minutes N      how long (10)\n"
	      "  --seed N         of what is done at random (the time)\n"
	      "  --clients N      threads that open connections (2)\n"
	      "  --waiters N      threads that wait, for each trigger mode (2)\n"
	      "  --native         on native epoll\n"
	      "  --unload         unload the module afterwards; that must work\n", to);
}

static int unload(void)
{
	int64_t end = soak_ms() + UNLOAD_MS;

	while (syscall(SYS_delete_module, "myepoll", O_NONBLOCK)) {
		if (errno != EAGAIN || soak_ms() > end) {
			complain("unloading: %s", strerror(errno));
			return 0;
		}
		doze();
	}
	printf("the module is unloaded\n");
	return 1;
}

static bool option(int c, int *minutes)
{
	switch (c) {
	case 'm':
		*minutes = number(optarg, 1000000);
		break;
	case 's':
		soak.seed = strtoull(optarg, NULL, 0);
		break;
	case 'c':
		soak.clients = number(optarg, MAX_CLIENTS);
		break;
	case 'w':
		soak.waiters = number(optarg, MAX_WAITERS);
		break;
	case 'n':
		soak.be = &backend_native;
		break;
	default:
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "minutes", required_argument, NULL, 'm' },
		{ "seed", required_argument, NULL, 's' },
		{ "clients", required_argument, NULL, 'c' },
		{ "waiters", required_argument, NULL, 'w' },
		{ "native", no_argument, NULL, 'n' },
		{ "unload", no_argument, NULL, 'U' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c, minutes = 10, passed;
	bool want_unload = false;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	soak.be = &backend_myepoll;
	soak.seed = time(NULL);
	soak.clients = 2;
	soak.waiters = 2;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'U') {
			want_unload = true;
		} else if (!option(c, &minutes)) {
			usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	printf("soak: %s, %d minutes, --seed %llu\n", soak.be->name, minutes,
	       (unsigned long long)soak.seed);
	passed = run(minutes);
	if (want_unload && !soak.failed)
		passed += unload();
	printf("soak: %s\n", soak.failed ? "FAILED" : "success");
	printf("%d passed, %d failed\n", passed < 0 ? 0 : passed, soak.failed);
	return !!soak.failed;
}
