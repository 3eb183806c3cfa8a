/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one run does.  Both ends work it out from the same few numbers, so that
 * each knows without asking what the other must send.
 *
 * A connection has an id, 0 to plan_connections() - 1.  Ids are dealt out by
 * transport: first all of TCP over IPv4, and so on.  Every connection sends its
 * quota of messages, and when all of them are done, one goodbye.
 */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include <stdbool.h>
#include <stdint.h>

enum transport { TCP4, TCP6, UNIX, UDP, TRANSPORTS };

#define STREAMS		UDP		/* transports below are streams */

struct plan {
	unsigned int connections[TRANSPORTS];
	unsigned int messages;		/* quota of a light connection */
	unsigned int workers;		/* server threads, on one instance */
	unsigned int clients;		/* client processes */
	unsigned int maxevents;		/* of one wait in the server */
	unsigned int seconds;		/* longest time a run may take */
	uint64_t seed;			/* of all payloads */
};

extern const char *const transport_name[TRANSPORTS];

unsigned int plan_connections(const struct plan *plan);
unsigned int plan_streams(const struct plan *plan);
enum transport plan_transport(const struct plan *plan, unsigned int id);

/* Some streams send few but large messages, more than a socket buffer holds. */
bool plan_heavy(const struct plan *plan, unsigned int id);
bool plan_any_heavy(const struct plan *plan);

/* Half of the streams shut their side down while the last reply is due. */
bool plan_shuts_down_early(unsigned int id);

/* How many messages before the goodbye, and how many may be unanswered. */
unsigned int plan_quota(const struct plan *plan, unsigned int id);
unsigned int plan_window(const struct plan *plan, unsigned int id);

/* Payload bytes of message @seq; the goodbye is message number plan_quota(). */
uint32_t plan_payload(const struct plan *plan, unsigned int id, uint32_t seq);

/* Over all connections, goodbyes and headers included, one direction. */
void plan_totals(const struct plan *plan, uint64_t *messages, uint64_t *bytes);

#endif /* BENCH_PLAN_H */
