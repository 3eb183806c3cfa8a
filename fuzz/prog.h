/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program of the lockstep mode: a list of operations on slots.
 *
 * An operation names slots, never what an earlier one returned, so that any
 * subset of a program is a program too.  A slot stands for a descriptor number
 * that does not change; what is open there does.
 */
#ifndef FUZZ_PROG_H
#define FUZZ_PROG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* More than a wait takes at a time */
#define NR_FILES	80
#define NR_INSTS	6
#define MAX_STEPS	4096

/* Changes in a batch */
#define MAX_CHANGES	8

/* Room for the events of a wait, however many it asks for */
#define MAX_EVENTS	512

/*
 * Programs with mixed instances keep to three classes of slots, so that chains
 * that are native throughout on one side stay far from the limits of nesting,
 * which on the other side are counted for each kind apart.
 */
#define FIRST_MIXED	4

/* A reference: a file slot, or NR_FILES + an instance slot */
#define IS_INST(ref)	((ref) >= NR_FILES)
#define INST_OF(ref)	((ref) - NR_FILES)
#define NR_REFS		(NR_FILES + NR_INSTS)

enum op_kind {
	OP_INST,	/* a: slot, b: enum inst_how, c: with lanes, x: flags */
	OP_INST_DUP,	/* a: instance slot, b: to slot */
	OP_INST_CLOSE,	/* a: instance slot */
	OP_FILE,	/* a, b: slots, c: enum file_kind */
	OP_DUP,		/* a: file slot, b: to slot */
	OP_CLOSE,	/* a: file slot */
	OP_CTL,		/* a: instance ref, b: target ref, c: enum event_ptr,
			 * x: op, y: events, data
			 */
	OP_WAIT,	/* a: instance ref, b: enum wait_call, c: enum buffer,
			 * x: maxevents, y: enum wait_time, data: what
			 * else where there are lanes
			 */
	OP_BATCH,	/* a: instance ref, c: enum batch_how; x: at most so
			 * many OP_CTL of it that come next, b: and then an
			 * OP_WAIT, are one call
			 */
	OP_POLL,	/* a: instance slot, b: 1 for select, x: events */
	OP_FDINFO,	/* a: instance slot */
	OP_WRITE,	/* a: file slot, x: bytes */
	OP_READ,	/* a: file slot, x: bytes */
	OP_FILL,	/* a: file slot */
	OP_DRAIN,	/* a: file slot */
	OP_URGENT,	/* a: file slot */
	OP_SHUTDOWN,	/* a: file slot, x: how */
	OP_RESET,	/* a: file slot: close will send RST */
	OP_CONNECT,	/* a: new file slot, b: slot of a listener */
	OP_ACCEPT,	/* a: slot of a listener, b: new file slot */
	OP_TIMER,	/* a: file slot, x: 1 fire, 0 disarm */
	OP_SEND_FD,	/* a: slot of a unix socket, b: ref to send */
	OP_RECV_FD,	/* a: slot of a unix socket, b: ref for what comes */
	OP_FORK,	/* x: how many of the next operations a child does */
	OP_HOLD,	/* a child keeps all that is open */
	OP_LET_GO,	/* until this */
	OP_SIGNAL,	/* a blocked signal becomes pending */
	OP_CPU,		/* x: go there */
	NR_OPS,
};

enum inst_how { HOW_CREATE, HOW_OPEN, HOW_MIXED };

enum file_kind {
	FILE_EVENTFD, FILE_SEMAPHORE, FILE_PIPE, FILE_UNIX_STREAM,
	FILE_UNIX_DGRAM, FILE_UNIX_SEQPACKET, FILE_UNIX_LISTEN, FILE_TIMERFD,
	FILE_SIGNALFD, FILE_PTY, FILE_TCP4_LISTEN, FILE_TCP6_LISTEN, FILE_TCP4,
	FILE_TCP6, FILE_UDP4, FILE_UDP6, FILE_NETLINK, FILE_ROUTE,
	FILE_PACKET_RAW, FILE_PACKET_DGRAM, FILE_RAW4, FILE_NULL, FILE_DIR,
	FILE_PATH, NR_FILE_KINDS,
};

/*
 * A batch has events and no pointers.  There NULL means that memory ends before
 * this change, EDGE that it does so in the midst of it; RESERVED is for it alone.
 */
enum event_ptr { EVENT_GOOD, EVENT_NULL, EVENT_EDGE, EVENT_RESERVED };

/* Structures larger than we know; of the wait, what we do not know is not zero */
enum batch_how { BATCH_PLAIN, BATCH_LARGER, BATCH_UNKNOWN };

enum wait_call { CALL_WAIT, CALL_PWAIT, CALL_PWAIT2, NR_CALLS };
enum buffer { BUF_GOOD, BUF_NULL, BUF_KERNEL, BUF_SHORT0, BUF_SHORT3,
	      BUF_EXACT };
enum wait_time { TIME_ZERO, TIME_MS, TIME_BAD };

struct op {
	uint8_t kind;
	uint8_t a;
	uint8_t b;
	uint8_t c;
	uint32_t x;
	uint32_t y;
	uint64_t data;
};

struct prog {
	int len;
	bool lanes;
	struct op op[MAX_STEPS];
};

extern const char *const file_kind_name[NR_FILE_KINDS];

void prog_make(struct prog *p, uint64_t seed, int steps, bool lanes);
void op_print(FILE *to, int nr, const struct op *op);

/* batch.c: of the @room operations behind @op, those that are part of it */
int batch_changes(const struct op *op, int room);
bool batch_waits(const struct op *op, int room);

#endif /* FUZZ_PROG_H */
