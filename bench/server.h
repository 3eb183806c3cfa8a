/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The server: threads that all wait on one instance, native or ours.
 *
 * Each way of watching is used where it suits: listeners and UDP sockets are
 * level-triggered, TCP connections edge-triggered, unix connections one-shot.
 * Two threads can get events of one connection at a time; the first becomes its
 * owner, and a thread that finds an owner leaves its events with it (see
 * struct conn).
 *
 * A close counts only when both the end of the stream has been read and
 * EPOLLRDHUP been reported.  The server waits for whichever is missing, so an
 * event that gets lost ends in the deadline, with a list of who waits for what.
 */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend.h"
#include "buf.h"
#include "plan.h"
#include "proto.h"
#include "sock.h"

struct worker;

/* What the data of an event points to. */
struct source {
	void (*handle)(struct worker *w, struct source *src, uint32_t events);
	int fd;
	enum transport transport;
};

/*
 * A connection.  Except @pending, only the owner touches it.  It is not freed
 * before all workers have ended: one of them may still hold an event of a
 * connection that another has closed.
 */
struct conn {
	struct source src;
	atomic_uint pending;	/* events not looked at, CONN_OWNED */
	uint32_t interest;		/* events asked for */
	bool seen_eof;
	bool seen_rdhup;
	bool named;			/* @id is known, from a message */
	atomic_bool closed;
	uint32_t id;
	uint32_t seq;			/* of the next message */
	struct buf in, out;
};

/* Counted by its worker alone, read by others at any time. */
enum tally {
	TALLY_WAITS,
	TALLY_EVENTS,
	TALLY_ADDS,
	TALLY_MODS,
	TALLY_DELS,
	TALLY_PARTIAL_WRITES,
	TALLIES
};

struct worker {
	struct server *server;
	pthread_t thread;
	atomic_int tid;
	bool stop;
	atomic_ullong tally[TALLIES];
	struct traffic received, sent;	/* read after the thread's end */
};

/* How far the connections are; protected by the lock. */
struct progress {
	pthread_mutex_t lock;
	pthread_cond_t change;
	unsigned int accepted;
	unsigned int closed;		/* streams */
	unsigned int goodbyes;		/* on UDP */
};

struct server {
	const struct plan *plan;
	const struct backend *be;
	int ep;
	int64_t deadline;
	struct source listener[STREAMS];
	struct source udp[UDP_SOCKETS];
	struct source stop;		/* eventfd: readable, all workers end */
	struct worker *workers;
	struct conn *conns;
	atomic_uint conn_count;
	atomic_uint *udp_seq;		/* next message of each UDP client */
	struct progress progress;
};

/* Figures of the whole server, summed over its workers. */
struct server_figures {
	uint64_t tally[TALLIES];
	uint64_t switches;		/* voluntary */
	int64_t cpu_ns;			/* user and system */
	int64_t time_ns;		/* when they were taken */
};

void server_start(struct server *server, const struct plan *plan,
		  const struct backend *be, const struct endpoints *all,
		  int64_t deadline);
void server_figures(struct server *server, struct server_figures *figures);

/* Wait until all streams are accepted, until all ends are seen. */
void server_await_accepted(struct server *server);
void server_await_closed(struct server *server);

/* End the workers, close everything and add up what they have seen. */
void server_stop(struct server *server, struct traffic *received,
		 struct traffic *sent);

/* ---- between server.c and conn.c ---- */

static inline void tally_add(struct worker *w, enum tally which, uint64_t n)
{
	uint64_t now = atomic_load_explicit(&w->tally[which],
					    memory_order_relaxed);

	atomic_store_explicit(&w->tally[which], now + n, memory_order_relaxed);
}

void server_watch(struct worker *w, struct source *src, uint32_t events);
void server_progress(struct server *server, unsigned int *what);
void conn_accept(struct worker *w, int fd, enum transport transport);
void conn_dump(struct conn *conn);
void datagrams_handle(struct worker *w, struct source *src, uint32_t events);

#endif /* BENCH_SERVER_H */
