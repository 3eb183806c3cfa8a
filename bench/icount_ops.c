// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations whose cost is counted.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "batch.h"
#include "icount.h"
#include "result.h"
#include "util.h"

#define CROWD	10	/* watches in the instance while one comes or goes */
#define ROUND	16	/* files that a server has to do with between two waits */

/* A number that neither epoll knows, nor any layer above them. */
#define UNKNOWN_IOCTL	_IO(0xE7, 0x7f)

static int new_eventfd(unsigned int count)
{
	int fd = eventfd(count, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		die_errno("eventfd");
	return fd;
}

static long control(struct ground *g, int op, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return g->be->ctl(g->ep, op, fd, &event);
}

static long signal_fd(int fd)
{
	uint64_t one = 1;

	return write(fd, &one, sizeof(one));
}

void ground_init(struct ground *g, const struct backend *be)
{
	*g = (struct ground) {
		.be = be, .fresh = -1, .maker = -1, .peer = { -1, -1 },
	};
	g->ep = be->create(EPOLL_CLOEXEC);
	if (g->ep < 0)
		die_errno("%s: creating an instance", be->name);
	g->loose = new_eventfd(0);
}

static void close_all(const int *fds, int count)
{
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

void ground_exit(struct ground *g)
{
	/* The instance first: a file is closed faster than a watched one. */
	close(g->ep);
	close_all(g->watched, g->count);
	close_all(g->spares, g->spare_count);
	close_all(g->peer, 2);
	close_all(&g->maker, 1);
	close(g->loose);
	free(g->watched);
}

static void watch_new(struct ground *g, unsigned int count, uint32_t events)
{
	int fd = new_eventfd(count);

	if (g->count == g->capacity) {
		g->capacity = g->capacity ? 2 * g->capacity : 16;
		g->watched = realloc(g->watched, g->capacity * sizeof(int));
		if (!g->watched)
			die("out of memory (%d descriptors)", g->capacity);
	}
	g->watched[g->count++] = fd;
	if (control(g, EPOLL_CTL_ADD, fd, events))
		die_errno("%s: EPOLL_CTL_ADD of watch %d", g->be->name,
			  g->count);
}

static void watch_many(struct ground *g, int n, unsigned int count,
		       uint32_t events)
{
	for (int i = 0; i < n; i++)
		watch_new(g, count, events);
}

static void prepare_idle(struct ground *g, const struct operation *what)
{
	watch_many(g, what->watches, 0, EPOLLIN);
}

static void prepare_ready(struct ground *g, const struct operation *what)
{
	watch_many(g, what->watches, 1, EPOLLIN);
}

static void prepare_edge(struct ground *g, const struct operation *what)
{
	watch_many(g, what->watches, 1, EPOLLIN | EPOLLET);
}

static void prepare_oneshot(struct ground *g, const struct operation *what)
{
	watch_many(g, what->watches, 1, EPOLLIN | EPOLLONESHOT);
}

/* Spares lie evenly between the watched: no place in a tree is favoured. */
static void prepare_spares(struct ground *g, const struct operation *what)
{
	int step = what->watches / SPARES_MAX;

	if (!step)
		step = 1;
	allow_watches(what->watches + SPARES_MAX);
	for (int i = 0; i < what->watches; i++) {
		watch_new(g, 0, EPOLLIN);
		if (i % step == step - 1 && g->spare_count < SPARES_MAX)
			g->spares[g->spare_count++] = new_eventfd(0);
	}
}

/* A connection through the loopback device, to whoever listens on it. */
static void connect_tcp(int pair[2])
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

	pair[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || pair[1] < 0 ||
	    bind(listener, (struct sockaddr *)&addr, len) ||
	    listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) ||
	    connect(pair[1], (struct sockaddr *)&addr, len))
		die_errno("a TCP connection on the loopback device");
	pair[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (pair[0] < 0)
		die_errno("accept");
	for (int i = 0; i < 2; i++)
		if (setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &one,
			       sizeof(one)))
			die_errno("TCP_NODELAY");
	close(listener);
}

/* Files of many addresses: what a hash look-up costs depends on them. */
static void prepare_old(struct ground *g, const struct operation *what)
{
	prepare_idle(g, what);
	while (g->spare_count < SPARES_MAX)
		g->spares[g->spare_count++] = new_eventfd(0);
}

static void prepare_tcp(struct ground *g, const struct operation *what)
{
	connect_tcp(g->peer);
	if (control(g, EPOLL_CTL_ADD, g->peer[0], EPOLLIN))
		die_errno("%s: EPOLL_CTL_ADD of a socket", g->be->name);
}

static void prepare_maker(struct ground *g, const struct operation *what)
{
	if (!g->be->ours)
		return;
	g->maker = g->be->create(EPOLL_CLOEXEC);
	if (g->maker < 0)
		die_errno("%s: creating an instance", g->be->name);
}

static void before_signal(struct ground *g)
{
	for (int i = 0; i < g->count; i++)
		if (signal_fd(g->watched[i]) != sizeof(uint64_t))
			die_errno("writing an eventfd");
}

static void before_harvest(struct ground *g)
{
	if (g->be->wait(g->ep, g->events, EVENTS_MAX, 0) < 0)
		die_errno("%s: wait", g->be->name);
}

static int next_spare(struct ground *g)
{
	return g->spares[g->turn++ % g->spare_count];
}

static void before_spare(struct ground *g)
{
	g->fresh = next_spare(g);
}

static void before_spare_watched(struct ground *g)
{
	before_spare(g);
	if (control(g, EPOLL_CTL_ADD, g->fresh, EPOLLIN))
		die_errno("%s: EPOLL_CTL_ADD", g->be->name);
}

static void after_spare(struct ground *g)
{
	if (control(g, EPOLL_CTL_DEL, g->fresh, 0))
		die_errno("%s: EPOLL_CTL_DEL", g->be->name);
}

static void before_old(struct ground *g)
{
	int *place = &g->spares[g->turn++ % g->spare_count];

	g->fresh = *place;
	*place = new_eventfd(0);
}

/* Far apart, in no order. */
static void before_some(struct ground *g)
{
	g->fresh = g->watched[g->turn++ * 2654435761U % g->count];
}

static void before_memfd(struct ground *g)
{
	g->fresh = memfd_create("bench", MFD_CLOEXEC);
	if (g->fresh < 0)
		die_errno("memfd_create");
}

static void before_message(struct ground *g)
{
	if (write(g->peer[1], "message", 7) != 7)
		die_errno("writing a socket");
}

static void after_message(struct ground *g)
{
	char text[16];

	if (read(g->peer[1], text, sizeof(text)) != 7)
		die_errno("reading the echo");
}

static void before_fresh(struct ground *g)
{
	g->fresh = new_eventfd(0);
}

static void before_fresh_watched(struct ground *g)
{
	before_fresh(g);
	if (control(g, EPOLL_CTL_ADD, g->fresh, EPOLLIN))
		die_errno("%s: EPOLL_CTL_ADD", g->be->name);
}

static void after_close_fresh(struct ground *g)
{
	close(g->fresh);
}

long op_nothing(struct ground *g)
{
	return 0;
}

static long op_getppid(struct ground *g)
{
	return syscall(SYS_getppid) < 0;
}

static long op_ioctl(struct ground *g)
{
	return ioctl(g->ep, UNKNOWN_IOCTL, 0);
}

static long op_wait(struct ground *g)
{
	return g->be->wait(g->ep, g->events, EVENTS_MAX, 0);
}

static long op_signal(struct ground *g)
{
	return signal_fd(g->watched[0]);
}

static long op_signal_loose(struct ground *g)
{
	return signal_fd(g->loose);
}

static long op_add(struct ground *g)
{
	return control(g, EPOLL_CTL_ADD, g->fresh, EPOLLIN);
}

static long op_mod(struct ground *g)
{
	return control(g, EPOLL_CTL_MOD, g->fresh, EPOLLIN);
}

static long op_del(struct ground *g)
{
	return control(g, EPOLL_CTL_DEL, g->fresh, 0);
}

static long op_close(struct ground *g)
{
	return close(g->fresh);
}

static long op_add_del(struct ground *g)
{
	int fd = next_spare(g);

	if (control(g, EPOLL_CTL_ADD, fd, EPOLLIN))
		return -1;
	return control(g, EPOLL_CTL_DEL, fd, 0);
}

static long op_oneshot_rearm(struct ground *g)
{
	if (g->be->wait(g->ep, g->events, 1, 0) != 1)
		return -1;
	return control(g, EPOLL_CTL_MOD, g->events[0].data.fd,
		       EPOLLIN | EPOLLONESHOT);
}

/* What the wait before reported is armed again on the way into the next one. */
static long op_oneshot_round(struct ground *g)
{
	struct batch b = { .nr = 0 };

	for (int i = 0; i < g->count; i++)
		batch_add(&b, EPOLL_CTL_MOD, g->watched[i],
			  EPOLLIN | EPOLLONESHOT);
	return batch_make(g->be, g->ep, &b, g->events, g->count);
}

static long op_mod_all(struct ground *g)
{
	struct batch b = { .nr = 0 };

	for (int i = 0; i < g->count; i++)
		batch_add(&b, EPOLL_CTL_MOD, g->watched[i], EPOLLIN);
	return batch_make(g->be, g->ep, &b, NULL, 0);
}

static long spares_all(struct ground *g, int op)
{
	struct batch b = { .nr = 0 };

	for (int i = 0; i < ROUND; i++)
		batch_add(&b, op, g->spares[i], EPOLLIN);
	return batch_make(g->be, g->ep, &b, NULL, 0);
}

static long op_add_all(struct ground *g)
{
	return spares_all(g, EPOLL_CTL_ADD);
}

static long op_del_all(struct ground *g)
{
	return spares_all(g, EPOLL_CTL_DEL);
}

static void after_add_all(struct ground *g)
{
	op_del_all(g);
}

static void before_del_all(struct ground *g)
{
	op_add_all(g);
}

/* From one wait to the next, which finds nothing. */
static long op_echo(struct ground *g)
{
	char text[16];
	ssize_t len;

	if (g->be->wait(g->ep, g->events, EVENTS_MAX, 0) != 1)
		return -1;
	len = read(g->peer[0], text, sizeof(text));
	if (len < 0 || write(g->peer[0], text, len) != len)
		return -1;
	return g->be->wait(g->ep, g->events, EVENTS_MAX, 0);
}

/* By whatever takes the fewest calls: native has one, an instance of ours too. */
static int create(struct ground *g)
{
	struct myepoll_create create = { .flags = EPOLL_CLOEXEC };

	if (g->maker < 0)
		return g->be->create(EPOLL_CLOEXEC);
	return ioctl(g->maker, MYEPOLL_IOC_CREATE, &create);
}

static long op_create(struct ground *g)
{
	g->fresh = create(g);
	return g->fresh < 0;
}

static long op_create_close(struct ground *g)
{
	return close(create(g));
}

static long op_open_close(struct ground *g)
{
	if (!g->be->ours)
		return op_create_close(g);
	return close(open(MYEPOLL_DEVICE, O_RDWR | O_CLOEXEC));
}

static void before_create(struct ground *g)
{
	if (op_create(g))
		die_errno("%s: creating an instance", g->be->name);
}

#define EVENTFD_WRITE	((long)sizeof(uint64_t))

#define CALL(k, t, ...)							\
	{ .key = (k), .title = (t), .set = SET_CALLS, __VA_ARGS__ }

#define CLOSE(k, t, ...)						\
	{ .key = (k), .title = (t), .set = SET_CLOSE, .op = op_close, __VA_ARGS__ }

/* The four that have to be flat, beside @n watches. */
#define BESIDE(s, n, k, t)						\
	{ .key = "add_del_" k, .set = (s), .watches = (n),		\
	  .title = "ADD and DEL, " t " watches, all work", .whole = true, \
	  .prepare = prepare_spares, .op = op_add_del },		\
	{ .key = "add_" k, .set = (s), .watches = (n),			\
	  .title = "ADD, " t " watches",				\
	  .prepare = prepare_spares, .before = before_spare,		\
	  .op = op_add, .after = after_spare },				\
	{ .key = "del_" k, .set = (s), .watches = (n),			\
	  .title = "DEL, " t " watches",				\
	  .prepare = prepare_spares, .before = before_spare_watched,	\
	  .op = op_del },						\
	{ .key = "mod_" k, .set = (s), .watches = (n),			\
	  .title = "MOD, " t " watches",				\
	  .prepare = prepare_spares, .before = before_some, .op = op_mod }

const struct operation operations[] = {
	CALL("getppid", "getppid", .op = op_getppid),
	CALL("ioctl_empty", "ioctl, unknown number", .op = op_ioctl,
	     .expect = -1),
	CALL("wait_empty", "wait, timeout 0, nothing ready", .watches = 1,
	     .prepare = prepare_idle, .op = op_wait),
	CALL("wait_1", "wait, 1 ready, level", .watches = 1,
	     .prepare = prepare_ready, .op = op_wait, .expect = 1),
	CALL("wait_16", "wait, 16 ready, level", .watches = 16,
	     .prepare = prepare_ready, .op = op_wait, .expect = 16),
	CALL("wait_512", "wait, 512 ready, level", .watches = 512,
	     .prepare = prepare_ready, .op = op_wait, .expect = 512),
	CALL("wait_edge_1", "wait, 1 ready, edge", .watches = 1,
	     .prepare = prepare_edge, .before = before_signal, .op = op_wait,
	     .expect = 1),
	CALL("wait_edge_16", "wait, 16 ready, edge", .watches = 16,
	     .prepare = prepare_edge, .before = before_signal, .op = op_wait,
	     .expect = 16),
	CALL("write_unwatched", "eventfd write, not watched",
	     .op = op_signal_loose, .expect = EVENTFD_WRITE),
	CALL("write_idle", "eventfd write, watch idle", .watches = 1,
	     .prepare = prepare_edge, .before = before_harvest,
	     .op = op_signal, .expect = EVENTFD_WRITE),
	CALL("write_queued", "eventfd write, watch queued", .watches = 1,
	     .prepare = prepare_edge, .before = before_signal, .op = op_signal,
	     .expect = EVENTFD_WRITE),
	CALL("oneshot_rearm", "one-shot wait and MOD that arms again",
	     .watches = 1, .prepare = prepare_oneshot, .op = op_oneshot_rearm),
	CALL("oneshot_round_1", "1 one-shot MOD and a wait for it",
	     .watches = 1, .prepare = prepare_oneshot, .op = op_oneshot_round,
	     .expect = 1),
	CALL("oneshot_round_16", "16 one-shot MOD and a wait for them",
	     .watches = ROUND, .prepare = prepare_oneshot,
	     .op = op_oneshot_round, .expect = ROUND),
	CALL("mod_16", "16 MOD", .watches = ROUND, .prepare = prepare_idle,
	     .op = op_mod_all),
	CALL("add_16", "16 ADD", .watches = CROWD, .prepare = prepare_old,
	     .op = op_add_all, .after = after_add_all),
	CALL("del_16", "16 DEL", .watches = CROWD, .prepare = prepare_old,
	     .before = before_del_all, .op = op_del_all),
	CALL("echo_tcp", "TCP echo, from wait to wait",
	     .prepare = prepare_tcp, .before = before_message, .op = op_echo,
	     .after = after_message),
	CALL("create_close", "create and close an instance, all work",
	     .prepare = prepare_maker, .op = op_create_close, .whole = true),
	CALL("open_close", "open and close the device, all work",
	     .op = op_open_close, .whole = true),
	CALL("create", "create an instance", .prepare = prepare_maker,
	     .op = op_create, .after = after_close_fresh),
	CALL("close_empty", "close an instance, empty",
	     .prepare = prepare_maker, .before = before_create, .op = op_close),
	CALL("close_watched", "last close, watched", .watches = CROWD,
	     .prepare = prepare_idle, .before = before_fresh_watched,
	     .op = op_close),
	CLOSE("close_unwatched", "last close, not watched, others are",
	      .watches = CROWD, .prepare = prepare_old, .before = before_old),
	CLOSE("close_unwatched_idle", "last close, nothing watched",
	      .prepare = prepare_old, .before = before_old),
	CLOSE("close_file", "last close, file without poll", .watches = CROWD,
	      .prepare = prepare_idle, .before = before_memfd),
	BESIDE(SET_MANY, 10, "10", "10"),
	BESIDE(SET_MANY, 1000, "1k", "1,000"),
	BESIDE(SET_MANY, 10000, "10k", "10,000"),
	BESIDE(SET_MANY, 100000, "100k", "100,000"),
	BESIDE(SET_HUGE, 1000000, "1m", "1,000,000"),
};

const int operation_count = ARRAY_SIZE(operations);

const struct difference differences[] = {
	{ "callback", "callback, watch idle", "write_idle", "write_unwatched" },
	{ "callback_queued", "callback, watch queued", "write_queued",
	  "write_unwatched" },
};

const int difference_count = ARRAY_SIZE(differences);
