/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a program of the lockstep mode runs in: one process.
 *
 * A file slot is one file, watched by a native instance and by one of ours at
 * the same time, so both see the same wake-ups.  An instance slot is a pair:
 * native epoll on the left, the module on the right.  A mixed pair is native on
 * both sides, and watches left instances on the left, right ones on the right.
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "prog.h"

#define FILE_FD(slot)	(100 + (slot))
#define LEFT_FD(slot)	(200 + (slot))
#define RIGHT_FD(slot)	(300 + (slot))
#define SENTINEL_FD	400

#define MAX_REPORT	4096

/* For experiments, says IEEE: the type of frames that packet sockets exchange */
#define FRAME_TYPE	0x88b5

/* How the process of a program ends */
enum outcome {
	RUN_SAME,	/* no difference */
	RUN_DIFFERS,
	RUN_DISTURBED,	/* an event came by itself in the midst of a step */
	RUN_BROKEN,	/* the machine did not give what the program needs */
	RUN_DIED,	/* killed by a signal, the one after the deadline too */
	NR_OUTCOMES,
};

/**
 * struct report - what the process of a program tells its parent, shared memory
 * @steps: operations done
 * @at: the one under way, by number
 * @opened: instances that were made to open their lanes
 * @closed: instances that could not be
 * @text: what differed
 */
struct report {
	_Atomic uint64_t steps;
	atomic_int at;
	atomic_uint opened;
	atomic_uint closed;
	char text[MAX_REPORT];
};

/**
 * struct world - of the process
 * @report: shared
 * @breakage: how to falsify our side, or NULL
 * @mixed: this pair is a mixed one
 * @lanes: instances of ours may have several lanes
 * @async: a file is open that may be woken by a timer or a worker
 * @child: this is a process made by OP_FORK
 * @holder: process made by OP_HOLD, 0 if none
 * @holder_pipe: its end is what the holder waits for
 * @fd_first: native epoll_wait() looks at the descriptor first (7.2)
 */
struct world {
	struct report *report;
	const char *breakage;
	bool mixed[NR_INSTS];
	bool lanes;
	bool async;
	bool child;
	pid_t holder;
	int holder_pipe;
	bool fd_first;
};

extern struct world world;

/* file.c: operations on files; their results do not matter */
void file_op(const struct op *op);
bool slot_take(int fd, int number);
void sentinel_make(void);
void sentinel_watch(int fd);
void sentinel_drain(void);
bool sentinel_fired(void);
void shrink_buffers(int fd);

/* netfile.c: sockets that need a network of their own */
bool net_private(void);
void net_probe(void);
void net_make(const struct op *op);
ssize_t net_write(int fd, const void *data, size_t bytes);

/* pair.c, pairwait.c: operations on both instances of a slot, compared */
void pair_op(const struct op *op);
void pair_check_all(void);
void pair_start(void);
bool is_closed(int fd);

/* batch.c: returns how many of the @room operations behind @op it has done */
int batch_pair(const struct op *op, int room);

/* lanes.c */
void lanes_open(int ep);
void lanes_move(int cpu);

/* fdinfo.c */
void fdinfo_pair(int slot);

/* world.c */
void world_run(const struct prog *p);
void differ(const char *format, ...) __attribute__((format(printf, 1, 2)));
void undisturbed(void);
void broken(const char *what) __attribute__((noreturn));

#endif /* FUZZ_WORLD_H */
