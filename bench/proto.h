/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The echo protocol: a header and a payload that both ends can compute.
 *
 * The server sends every message back with MSG_REPLY set in its kind, so a
 * checksum of one direction can not pass for that of the other.  On UDP a
 * message is a datagram.  Numbers are in host order, as this never leaves the
 * machine.
 */
#ifndef BENCH_PROTO_H
#define BENCH_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan.h"

enum msg_kind {
	MSG_DATA = 1,
	MSG_GOODBYE = 2,	/* the last one of its connection */
	MSG_REPLY = 0x100,	/* bit */
};

struct msg_header {
	uint32_t length;	/* of the payload; a multiple of 8 */
	uint32_t kind;
	uint32_t id;		/* of the connection */
	uint32_t seq;		/* counts from 0 on each connection */
};

#define PAYLOAD_LIGHT_MAX	1024
#define PAYLOAD_HEAVY_MIN	(32 * 1024)
#define PAYLOAD_HEAVY_MAX	(64 * 1024)
#define MSG_MAX			(sizeof(struct msg_header) + PAYLOAD_HEAVY_MAX)
#define DATAGRAM_MAX		(sizeof(struct msg_header) + PAYLOAD_LIGHT_MAX)

/* What went through one end in one direction.  The hashes of messages add up
 * to the same sum in any order.
 */
struct traffic {
	uint64_t messages;
	uint64_t bytes;
	uint64_t hash;
};

/* A step of a generator that is good enough to tell any two messages apart. */
uint64_t mix64(uint64_t x);

void traffic_count(struct traffic *t, const void *msg, size_t size);
void traffic_add(struct traffic *sum, const struct traffic *t);
bool traffic_equal(const struct traffic *a, const struct traffic *b);

/* A whole message, as the client sends it, takes msg_size() bytes at @msg. */
size_t msg_size(const struct plan *plan, uint32_t id, uint32_t seq);
void msg_make(const struct plan *plan, uint32_t id, uint32_t seq, void *msg);

/*
 * Compare @msg, byte by byte, with the reply to message @seq; returns NULL or
 * what is wrong with it.
 */
const char *msg_check_reply(const struct plan *plan, uint32_t id, uint32_t seq,
			    const void *msg);

#endif /* BENCH_PROTO_H */
