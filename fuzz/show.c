// SPDX-License-Identifier: GPL-2.0-only
/* Prints operations for people. */
#include <sys/epoll.h>

#include "prog.h"
#include "util.h"

const char *const file_kind_name[NR_FILE_KINDS] = {
	"eventfd", "eventfd-semaphore", "pipe", "unix-stream", "unix-dgram",
	"unix-seqpacket", "unix-listener", "timerfd", "signalfd", "pty",
	"tcp4-listener", "tcp6-listener", "tcp4", "tcp6", "udp4", "udp6", "netlink",
	"netlink-route", "packet-raw", "packet-dgram", "raw-icmp",
	"/dev/null", "directory", "O_PATH",
};

static const char *const op_name[NR_OPS] = {
	[OP_INST] = "create", [OP_INST_DUP] = "dup", [OP_INST_CLOSE] = "close",
	[OP_FILE] = "open", [OP_DUP] = "dup", [OP_CLOSE] = "close",
	[OP_CTL] = "ctl", [OP_WAIT] = "wait", [OP_BATCH] = "batch",
	[OP_POLL] = "poll", [OP_FDINFO] = "fdinfo", [OP_WRITE] = "write", [OP_READ] = "read",
	[OP_FILL] = "fill", [OP_DRAIN] = "drain", [OP_URGENT] = "send-oob",
	[OP_SHUTDOWN] = "shutdown", [OP_RESET] = "linger-0",
	[OP_CONNECT] = "connect", [OP_ACCEPT] = "accept", [OP_TIMER] = "timer",
	[OP_SEND_FD] = "send-fd", [OP_RECV_FD] = "receive-fd",
	[OP_FORK] = "fork", [OP_HOLD] = "child-holds-all",
	[OP_LET_GO] = "child-exits", [OP_SIGNAL] = "signal",
	[OP_CPU] = "cpu",
};

static const char *ref_name(int ref, char *buf)
{
	if (IS_INST(ref))
		sprintf(buf, "I%d", INST_OF(ref));
	else
		sprintf(buf, "f%d", ref);
	return buf;
}

static void print_events(FILE *to, uint32_t events)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = {
		{ EPOLLIN, "IN" }, { EPOLLPRI, "PRI" }, { EPOLLOUT, "OUT" },
		{ EPOLLERR, "ERR" }, { EPOLLHUP, "HUP" },
		{ EPOLLRDNORM, "RDNORM" }, { EPOLLRDHUP, "RDHUP" },
		{ EPOLLEXCLUSIVE, "EXCLUSIVE" }, { EPOLLWAKEUP, "WAKEUP" },
		{ EPOLLONESHOT, "ONESHOT" }, { EPOLLET, "ET" },
	};
	const char *sep = "";
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!(events & names[i].bit))
			continue;
		fprintf(to, "%s%s", sep, names[i].name);
		events &= ~names[i].bit;
		sep = "|";
	}
	if (events || !*sep)
		fprintf(to, "%s%#x", sep, events);
}

static void print_ctl(FILE *to, const struct op *op)
{
	static const char *const ptr[] = { "", " event=NULL", " event=torn",
					   " reserved" };
	static const char *const ops[] = { "0", "ADD", "DEL", "MOD" };
	char a[8], b[8];

	fprintf(to, " %s ", ref_name(op->a, a));
	if (op->x < ARRAY_SIZE(ops))
		fputs(ops[op->x], to);
	else
		fprintf(to, "%d", (int)op->x);
	fprintf(to, " %s ", ref_name(op->b, b));
	print_events(to, op->y);
	fprintf(to, " data=%llx%s", (unsigned long long)op->data, ptr[op->c]);
}

static void print_wait(FILE *to, const struct op *op)
{
	static const char *const calls[] = { "", " pwait", " pwait2" };
	static const char *const bufs[] = { "", " NULL", " kernel-address",
					    " room-for-0.5", " room-for-3.5",
					    " exact" };
	static const char *const times[] = { "", " 1ms", " bad-time" };
	char a[8];

	fprintf(to, " %s max=%d%s%s%s", ref_name(op->a, a), (int)op->x,
		calls[op->b], bufs[op->c], times[op->y]);
}

static void print_batch(FILE *to, const struct op *op)
{
	static const char *const hows[] = { "", " larger", " unknown-field" };
	char a[8];

	fprintf(to, " %s the next %d ctl%s in one call%s", ref_name(op->a, a),
		(int)op->x, op->b ? " and the wait" : "", hows[op->c]);
}

static void print_rest(FILE *to, const struct op *op)
{
	char b[8];

	switch (op->kind) {
	case OP_INST_DUP:
		fprintf(to, " I%d -> I%d", op->a, op->b);
		break;
	case OP_INST_CLOSE:
	case OP_FDINFO:
		fprintf(to, " I%d", op->a);
		break;
	case OP_POLL:
		fprintf(to, " I%d %#x%s", op->a, op->x, op->b ? " select" : "");
		break;
	case OP_FILE:
		fprintf(to, " f%d f%d %s", op->a, op->b, file_kind_name[op->c]);
		break;
	case OP_DUP:
		fprintf(to, " f%d -> f%d", op->a, op->b);
		break;
	case OP_CONNECT:
		fprintf(to, " f%d to f%d", op->a, op->b);
		break;
	case OP_ACCEPT:
		fprintf(to, " on f%d as f%d", op->a, op->b);
		break;
	case OP_SEND_FD:
	case OP_RECV_FD:
		fprintf(to, " f%d %s", op->a, ref_name(op->b, b));
		break;
	case OP_FORK:
		fprintf(to, " child does the next %u", op->x);
		break;
	case OP_CPU:
		fprintf(to, " %u", op->x);
		break;
	case OP_HOLD:
	case OP_LET_GO:
	case OP_SIGNAL:
		break;
	default:
		fprintf(to, " f%d %u", op->a, op->x);
	}
}

void op_print(FILE *to, int nr, const struct op *op)
{
	fprintf(to, "  %4d  %s", nr, op_name[op->kind]);
	if (op->kind == OP_INST)
		fprintf(to, " I%d flags=%#x%s%s", op->a, op->x,
			op->b == HOW_MIXED ? " native-over-both" :
			op->b == HOW_OPEN ? " by-open" : "",
			op->c ? " several-lanes" : "");
	else if (op->kind == OP_CTL)
		print_ctl(to, op);
	else if (op->kind == OP_WAIT)
		print_wait(to, op);
	else if (op->kind == OP_BATCH)
		print_batch(to, op);
	else
		print_rest(to, op);
	fputc('\n', to);
}
