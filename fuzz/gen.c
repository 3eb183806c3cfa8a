// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a program from a seed.
 *
 * A rough idea of which slots are in use keeps most operations meaningful; one
 * in eight takes any slot, used or not.
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "prog.h"
#include "util.h"

#define NOTHING 255

#define MAX_MAXEVENTS (INT_MAX / sizeof(struct epoll_event))

/*
 * What the program made so far probably has open, kind of file or NOTHING, and
 * which instance watches what.  The first @start operations open files, those up
 * to @crowded watch them all.  Of @batch there are @batch.x changes, and @batch.b
 * waits, still to be made; where @batch.y, most should succeed.
 */
struct gen {
	struct rng r;
	int mixed;
	bool lanes;
	uint8_t file[NR_FILES];
	uint8_t inst[NR_INSTS];
	bool watch[NR_INSTS][NR_REFS];
	struct op batch;
	int start;
	int crowded;
};

static const uint32_t bits[] = {
	EPOLLIN, EPOLLIN, EPOLLIN, EPOLLIN, EPOLLOUT, EPOLLIN | EPOLLOUT,
	EPOLLIN | EPOLLOUT, EPOLLIN | EPOLLRDHUP, EPOLLPRI, EPOLLIN | EPOLLPRI,
	EPOLLRDHUP, 0, EPOLLRDNORM, EPOLLWRNORM | EPOLLRDBAND,
	EPOLLIN | EPOLLERR | EPOLLHUP, 0xffff,
};

static const uint32_t modes[] = {
	0, 0, 0, 0, EPOLLET, EPOLLET, EPOLLET, EPOLLONESHOT, EPOLLONESHOT,
	EPOLLET | EPOLLONESHOT, EPOLLEXCLUSIVE, EPOLLEXCLUSIVE | EPOLLET,
};

static int any_of(struct gen *g, const uint8_t *slots, int nr, int used)
{
	int i = below(&g->r, nr), n;

	if (rarely(&g->r, 8))
		return i;
	for (n = 0; n < nr; n++, i = (i + 1) % nr) {
		if (!(slots[i] != NOTHING) == !used)
			return i;
	}
	return i;
}

static int used_file(struct gen *g)
{
	return any_of(g, g->file, NR_FILES, 1);
}

static int free_file(struct gen *g)
{
	return any_of(g, g->file, NR_FILES, 0);
}

static int used_inst(struct gen *g)
{
	return any_of(g, g->inst, NR_INSTS, 1);
}

/* From now on it is another file. */
static void set_file(struct gen *g, int slot, int kind)
{
	int i;

	g->file[slot] = kind;
	for (i = 0; i < NR_INSTS; i++)
		g->watch[i][slot] = false;
}

static void set_inst(struct gen *g, int slot, int how)
{
	int i;

	g->inst[slot] = how;
	memset(g->watch[slot], 0, sizeof(g->watch[slot]));
	for (i = 0; i < NR_INSTS; i++)
		g->watch[i][NR_FILES + slot] = false;
}

static int file_like(struct gen *g, uint32_t kinds)
{
	int i = below(&g->r, NR_FILES), n;

	for (n = 0; n < NR_FILES; n++, i = (i + 1) % NR_FILES) {
		if (g->file[i] != NOTHING && (kinds & (1U << g->file[i])))
			return i;
	}
	return used_file(g);
}

#define LISTENERS (1U << FILE_TCP4_LISTEN | 1U << FILE_TCP6_LISTEN | \
		   1U << FILE_UNIX_LISTEN)
#define UNIXES (1U << FILE_UNIX_STREAM | 1U << FILE_UNIX_DGRAM | \
		1U << FILE_UNIX_SEQPACKET)
#define STREAMS (1U << FILE_TCP4 | 1U << FILE_TCP6 | 1U << FILE_UNIX_STREAM | \
		 1U << FILE_UNIX_SEQPACKET)
#define TCPS (1U << FILE_TCP4 | 1U << FILE_TCP6)
#define ODD (1U << FILE_NULL | 1U << FILE_DIR | 1U << FILE_PATH)
#define SINGLE (LISTENERS | ODD | 1U << FILE_EVENTFD | 1U << FILE_SEMAPHORE | \
		1U << FILE_TIMERFD | 1U << FILE_SIGNALFD)

static uint32_t event_bits(struct gen *g)
{
	uint32_t events = pick(&g->r, bits) | pick(&g->r, modes);

	if (rarely(&g->r, 32))
		events |= 1U << below(&g->r, 32);
	/* A wake-up source is a device in sysfs: dear. */
	if (!rarely(&g->r, 256))
		events &= ~EPOLLWAKEUP;
	return events;
}

static void make_inst(struct gen *g, struct op *op)
{
	op->a = any_of(g, g->inst, NR_INSTS, 0);
	op->b = rarely(&g->r, 4) ? HOW_OPEN : HOW_CREATE;
	if (g->mixed && op->a >= FIRST_MIXED)
		op->b = HOW_MIXED;
	op->x = rarely(&g->r, 2) ? EPOLL_CLOEXEC : 0;
	if (rarely(&g->r, 32))
		op->x |= 1U << below(&g->r, 32);
	/* To open lanes takes a while. */
	op->c = g->lanes && rarely(&g->r, 4);
	if (!(op->x & ~EPOLL_CLOEXEC))
		set_inst(g, op->a, op->b);
}

/* Within its class of slots, see FIRST_MIXED. */
static void make_inst_dup(struct gen *g, struct op *op)
{
	op->a = used_inst(g);
	op->b = below(&g->r, NR_INSTS);
	if (g->mixed && !(op->a < FIRST_MIXED) != !(op->b < FIRST_MIXED))
		op->b = op->a;
	if (g->inst[op->a] == NOTHING || op->a == op->b)
		return;
	set_inst(g, op->b, g->inst[op->a]);
	memcpy(g->watch[op->b], g->watch[op->a], sizeof(g->watch[0]));
}

static void make_file(struct gen *g, struct op *op)
{
	static const uint8_t kinds[] = {
		FILE_EVENTFD, FILE_EVENTFD, FILE_EVENTFD, FILE_SEMAPHORE,
		FILE_PIPE, FILE_PIPE, FILE_PIPE, FILE_UNIX_STREAM,
		FILE_UNIX_STREAM, FILE_UNIX_DGRAM, FILE_UNIX_SEQPACKET,
		FILE_UNIX_LISTEN, FILE_TIMERFD, FILE_SIGNALFD,
		FILE_PTY, FILE_TCP4_LISTEN, FILE_TCP6_LISTEN, FILE_TCP4,
		FILE_TCP6, FILE_UDP4, FILE_UDP6, FILE_NETLINK, FILE_ROUTE,
		FILE_RAW4,
	};
	/* The close of a packet socket waits for all CPUs: dear. */
	static const uint8_t packet[] = { FILE_PACKET_RAW, FILE_PACKET_DGRAM };
	static const uint8_t odd[] = { FILE_NULL, FILE_DIR, FILE_PATH };

	op->c = rarely(&g->r, 24) ? pick(&g->r, odd) :
		rarely(&g->r, 32) ? pick(&g->r, packet) : pick(&g->r, kinds);
	op->a = free_file(g);
	set_file(g, op->a, op->c);
	op->b = free_file(g);
	if (op->b != op->a && !(SINGLE & 1U << op->c))
		set_file(g, op->b, op->c);
}

static void make_dup(struct gen *g, struct op *op)
{
	op->a = used_file(g);
	op->b = rarely(&g->r, 3) ? used_file(g) : free_file(g);
	if (g->file[op->a] != NOTHING && op->a != op->b)
		set_file(g, op->b, g->file[op->a]);
}

static int target_ref(struct gen *g, int inst)
{
	int target;

	if (!rarely(&g->r, 5))
		return used_file(g);
	target = used_inst(g);
	/* In a mixed program only mixed ones watch, and never each other. */
	if (g->mixed && inst >= FIRST_MIXED && target >= FIRST_MIXED)
		target -= FIRST_MIXED;
	if (g->mixed && inst < FIRST_MIXED && target < FIRST_MIXED)
		target = FIRST_MIXED + target % (NR_INSTS - FIRST_MIXED);
	return NR_FILES + target;
}

static int epoll_ref(struct gen *g)
{
	return rarely(&g->r, 64) ? used_file(g) : NR_FILES + used_inst(g);
}

static void make_ctl_of(struct gen *g, struct op *op, int ref)
{
	static const uint32_t odd[] = { 0, 4, 77, 0x80000000U, ~0U };

	op->a = ref;
	op->b = target_ref(g, IS_INST(ref) ? INST_OF(ref) : 0);
	if (rarely(&g->r, 64))
		op->x = pick(&g->r, odd);
	else
		op->x = rarely(&g->r, 8) ? EPOLL_CTL_DEL :
			rarely(&g->r, 3) ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	op->c = rarely(&g->r, 64) ? 1 + below(&g->r, 2) : EVENT_GOOD;
	op->y = event_bits(g);
	op->data = rng_next(&g->r);
}

static void note_watch(struct gen *g, const struct op *op)
{
	bool *watch = IS_INST(op->a) ? &g->watch[INST_OF(op->a)][op->b] : NULL;

	if (watch && op->x == EPOLL_CTL_ADD)
		*watch = true;
	else if (watch && op->x == EPOLL_CTL_DEL)
		*watch = false;
}

static void make_ctl(struct gen *g, struct op *op)
{
	make_ctl_of(g, op, epoll_ref(g));
	note_watch(g, op);
}

static void make_likely(struct gen *g, struct op *op)
{
	if (!IS_INST(op->b) || op->b == op->a)
		op->b = file_like(g, ~ODD);
	if (!g->watch[INST_OF(op->a)][op->b])
		op->x = EPOLL_CTL_ADD;
	else
		op->x = rarely(&g->r, 3) ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
	op->c = EVENT_GOOD;
	op->y &= ~EPOLLEXCLUSIVE;
}

/* Few, some, about as many as there are files, many, and what is no number. */
static uint32_t max_events(struct gen *g)
{
	static const uint32_t edges[] = {
		0, ~0U, 1U << 31, MAX_EVENTS, MAX_MAXEVENTS, MAX_MAXEVENTS + 1,
		INT_MAX,
	};

	if (rarely(&g->r, 16))
		return pick(&g->r, edges);
	if (rarely(&g->r, 64))
		return rng_next(&g->r);
	switch (below(&g->r, 4)) {
	case 0:
		return 1 + below(&g->r, 3);
	case 1:
		return 1 + below(&g->r, 24);
	case 2:
		return 1 + below(&g->r, NR_FILES + NR_INSTS);
	default:
		return 1 + below(&g->r, MAX_MAXEVENTS);
	}
}

static void make_wait(struct gen *g, struct op *op)
{
	/* Which event is the first that does not fit into a buffer */
	static const uint32_t fault_at[] = {
		[BUF_GOOD] = ~0U, [BUF_NULL] = 1, [BUF_KERNEL] = ~0U,
		[BUF_SHORT0] = 1, [BUF_SHORT3] = 4, [BUF_EXACT] = ~0U,
	};

	op->a = rarely(&g->r, 128) ? used_file(g) : NR_FILES + used_inst(g);
	op->b = rarely(&g->r, 8) ? below(&g->r, NR_CALLS) : CALL_WAIT;
	op->c = rarely(&g->r, 24) ? 1 + below(&g->r, 4) : BUF_GOOD;
	op->x = max_events(g);
	/* See check_after_fault(). */
	if (op->x <= MAX_MAXEVENTS && op->x > fault_at[op->c])
		op->x = fault_at[op->c];
	if (op->c == BUF_GOOD && op->x - 1 < MAX_EVENTS && rarely(&g->r, 2))
		op->c = BUF_EXACT;
	op->y = rarely(&g->r, 512) ? TIME_MS : TIME_ZERO;
	if (op->b == CALL_PWAIT2 && rarely(&g->r, 8))
		op->y = TIME_BAD;
	op->data = g->lanes ? rng_next(&g->r) : 0;
}

static void make_batch(struct gen *g, struct op *op)
{
	op->a = epoll_ref(g);
	op->b = !rarely(&g->r, 3);
	op->c = rarely(&g->r, 32) ? 1 + below(&g->r, 2) : BATCH_PLAIN;
	op->x = rarely(&g->r, 32) ? 0 : 1 + below(&g->r, MAX_CHANGES);
	g->batch = *op;
	g->batch.y = IS_INST(op->a) && !rarely(&g->r, 4);
}

/* What a batch is made of comes behind it. */
static bool make_part(struct gen *g, struct op *op)
{
	if (g->batch.x) {
		g->batch.x--;
		op->kind = OP_CTL;
		make_ctl_of(g, op, g->batch.a);
		if (g->batch.y && !rarely(&g->r, 32))
			make_likely(g, op);
		else if (rarely(&g->r, 16))
			op->c = EVENT_RESERVED;
		note_watch(g, op);
		return true;
	}
	if (!g->batch.b)
		return false;
	g->batch.b = 0;
	op->kind = OP_WAIT;
	make_wait(g, op);
	op->a = g->batch.a;
	return true;
}

static void make_look(struct gen *g, struct op *op)
{
	op->a = used_inst(g);
	op->b = rarely(&g->r, 3);
	op->x = rarely(&g->r, 4) ? below(&g->r, 0x10000) : 0xffff;
}

static void make_io(struct gen *g, struct op *op)
{
	static const uint32_t sizes[] = { 1, 8, 8, 8, 100, 1000, 5000 };

	op->a = used_file(g);
	op->x = pick(&g->r, sizes);
}

static void make_other(struct gen *g, struct op *op)
{
	switch (op->kind) {
	case OP_INST_CLOSE:
		op->a = used_inst(g);
		set_inst(g, op->a, NOTHING);
		break;
	case OP_CLOSE:
		op->a = used_file(g);
		set_file(g, op->a, NOTHING);
		break;
	case OP_URGENT:
	case OP_RESET:
		op->a = file_like(g, TCPS);
		break;
	case OP_SHUTDOWN:
		op->a = file_like(g, STREAMS);
		op->x = below(&g->r, 4);
		break;
	case OP_TIMER:
		op->a = file_like(g, 1U << FILE_TIMERFD);
		op->x = !rarely(&g->r, 3);
		break;
	case OP_FORK:
		op->x = 1 + below(&g->r, 8);
		break;
	}
}

static void make_connect(struct gen *g, struct op *op)
{
	int from = file_like(g, LISTENERS);

	op->a = op->kind == OP_CONNECT ? free_file(g) : from;
	op->b = op->kind == OP_CONNECT ? from : free_file(g);
	set_file(g, op->kind == OP_CONNECT ? op->a : op->b, FILE_TCP4);
}

static void make_pass(struct gen *g, struct op *op)
{
	op->a = file_like(g, UNIXES);
	if (op->kind == OP_RECV_FD)
		op->b = below(&g->r, NR_REFS);
	else
		op->b = rarely(&g->r, 4) ? NR_FILES + used_inst(g) : used_file(g);
	/* What comes out of a socket might land in a slot of another class. */
	if (g->mixed && IS_INST(op->b))
		op->b = used_file(g);
}

static void make_cpu(struct gen *g, struct op *op)
{
	op->x = rng_next(&g->r) % 64;
}

static const struct {
	uint8_t kind;
	uint8_t weight;
	void (*make)(struct gen *g, struct op *op);
} table[] = {
	{ OP_INST, 12, make_inst },	{ OP_INST_DUP, 3, make_inst_dup },
	{ OP_INST_CLOSE, 4, make_other }, { OP_FILE, 40, make_file },
	{ OP_DUP, 12, make_dup },	{ OP_CLOSE, 30, make_other },
	{ OP_CTL, 200, make_ctl },	{ OP_WAIT, 190, make_wait },
	{ OP_BATCH, 60, make_batch },
	{ OP_POLL, 30, make_look },	{ OP_FDINFO, 3, make_look },
	{ OP_WRITE, 110, make_io },	{ OP_READ, 70, make_io },
	{ OP_FILL, 10, make_io },	{ OP_DRAIN, 25, make_io },
	{ OP_URGENT, 4, make_other },	{ OP_SHUTDOWN, 5, make_other },
	{ OP_RESET, 3, make_other },	{ OP_CONNECT, 10, make_connect },
	{ OP_ACCEPT, 10, make_connect }, { OP_TIMER, 10, make_other },
	{ OP_SEND_FD, 8, make_pass },	{ OP_RECV_FD, 8, make_pass },
	{ OP_FORK, 2, make_other },	{ OP_HOLD, 1, make_other },
	{ OP_LET_GO, 3, make_other },	{ OP_SIGNAL, 4, make_other },
	{ OP_CPU, 100, make_cpu },	/* the last: only with lanes */
};

static void make_any(struct gen *g, struct op *op)
{
	size_t i, kinds = ARRAY_SIZE(table) - !g->lanes;
	uint32_t sum = 0, at;

	for (i = 0; i < kinds; i++)
		sum += table[i].weight;
	at = below(&g->r, sum);
	for (i = 0; at >= table[i].weight; i++)
		at -= table[i].weight;
	op->kind = table[i].kind;
	table[i].make(g, op);
}

/* A watch of each file slot in the first instance */
static void make_crowd(struct gen *g, struct op *op, int nr)
{
	make_ctl(g, op);
	op->a = NR_FILES;
	op->b = nr % NR_FILES;
	op->c = EVENT_GOOD;
	op->x = EPOLL_CTL_ADD;
}

/* The start every program has: something to work with. */
static void make_start(struct gen *g, struct op *op, int nr)
{
	if (nr < 3) {
		op->kind = OP_INST;
		op->a = nr < 2 ? nr : FIRST_MIXED;
		op->b = g->mixed && nr == 2 ? HOW_MIXED : HOW_CREATE;
		op->c = g->lanes && !nr;
		g->inst[op->a] = op->b;
	} else {
		op->kind = OP_FILE;
		make_file(g, op);
	}
}

void prog_make(struct prog *p, uint64_t seed, int steps, bool lanes)
{
	struct gen g;
	int i;

	memset(&g, 0, sizeof(g));
	memset(g.file, NOTHING, sizeof(g.file));
	memset(g.inst, NOTHING, sizeof(g.inst));
	rng_seed(&g.r, seed, lanes);
	g.lanes = lanes;
	g.mixed = rarely(&g.r, 4);
	/* In some, enough to fill most slots, if they are long enough. */
	g.start = rarely(&g.r, 3) && steps >= 4 * NR_FILES ? NR_FILES / 2 : 8;
	g.crowded = g.start > 8 ? g.start + NR_FILES : 0;
	memset(p->op, 0, steps * sizeof(p->op[0]));
	p->len = steps;
	p->lanes = lanes;
	for (i = 0; i < steps; i++) {
		if (i < g.start)
			make_start(&g, &p->op[i], i);
		else if (i < g.crowded)
			make_crowd(&g, &p->op[i], i);
		else if (!make_part(&g, &p->op[i]))
			make_any(&g, &p->op[i]);
	}
}
