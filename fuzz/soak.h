/* SPDX-License-Identifier: GPL-2.0-only */
/* The soak test: connections that come and go for as long as you like. */
#ifndef FUZZ_SOAK_H
#define FUZZ_SOAK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend.h"
#include "util.h"

#define MAX_CLIENTS	8
#define MAX_WAITERS	8
#define CONNS		16	/* open at a time, of one client */
#define MAX_MESSAGES	12	/* of one connection */
#define PATIENCE_MS	60000
#define KICK_DATA	UINT64_MAX

enum mode { MODE_EDGE, MODE_ONESHOT, MODE_LEVEL, NR_MODES };

enum family { FAM_TCP4, FAM_TCP6, FAM_UNIX, FAM_SEQPACKET, FAM_DGRAM, FAM_UDP4,
	      FAM_UDP6, FAM_PIPE, FAM_EVENTFD, FAM_PTY, NR_FAMILIES };

/**
 * struct conn - a place for connections, one after the other
 * @lock: protects the server's descriptors and what a handler does with them
 * @age: counts connections here; part of the data of the watch
 * @family: kind of connection
 * @mode: how the server watches it, and so which instance does
 * @out: the client writes here
 * @in: the client reads answers here
 * @srv_in: the server watches this and reads here
 * @srv_out: the server answers here
 * @sent: messages sent; the client's own
 * @events: events that the server got
 * @handled: messages that the server is done with
 * @serving: a thread has got an event of this one-shot watch, and not re-armed it
 * @ending: the client ends the connection; events that follow have no number
 * @ended: the server saw that and has closed its descriptors
 * @by_peer: the connection before this one ended like that
 */
struct conn {
	pthread_mutex_t lock;
	uint32_t age;
	enum family family;
	enum mode mode;
	int out;
	int in;
	int srv_in;
	int srv_out;
	uint64_t sent;
	atomic_ullong events;
	atomic_ullong handled;
	atomic_bool serving;
	atomic_bool ending;
	atomic_bool ended;
	bool by_peer;
};

/* Counts of one mode */
struct count {
	atomic_ullong connections;
	atomic_ullong messages;
	atomic_ullong events;
};

struct soak {
	const struct backend *be;
	uint64_t seed;
	int clients;
	int waiters;
	int inst[NR_MODES];
	struct conn conn[MAX_CLIENTS][CONNS];
	struct count count[NR_MODES];
	atomic_ullong of_family[NR_FAMILIES];
	pthread_barrier_t barrier;
	atomic_bool pause;
	atomic_bool stop;
	atomic_int failed;
};

extern struct soak soak;
extern const char *const mode_name[NR_MODES];
extern const char *const family_name[NR_FAMILIES];

void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
int64_t soak_ms(void);

/* soak_conn.c */
void conn_open(struct conn *c, enum family family);
void conn_send(struct conn *c, uint64_t seq);
bool conn_answered(struct conn *c, uint64_t seq);
int conn_receive(struct conn *c, uint64_t *seq);
void conn_answer(struct conn *c, uint64_t seq);
bool conn_has_end(const struct conn *c);
void conn_close_client(struct conn *c, bool reset);
void conn_close_server(struct conn *c);

/* soak_mem.c */
struct memory {
	long available_kb;
	long slab_kb;
	long objects;
	long object_kb;
};

void memory_now(struct memory *m);
bool memory_flat(const struct memory *first, const struct memory *now);

#endif /* FUZZ_SOAK_H */
