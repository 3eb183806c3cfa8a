// SPDX-License-Identifier: GPL-2.0-only
/* Runs a lockstep program: the process it lives in, and its children. */
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backend.h"
#include "util.h"
#include "world.h"

#define DEADLINE_S	120
#define DISTURBANCE_MS	2

struct world world;

/*
 * The sides differ.  If a file woke by itself meanwhile, the program proves
 * nothing from here on, not even that.
 */
void differ(const char *format, ...)
{
	va_list args;
	int n;

	nanosleep(&(struct timespec){ .tv_nsec = DISTURBANCE_MS * 1000000 }, NULL);
	if (sentinel_fired())
		_exit(RUN_DISTURBED);
	n = snprintf(world.report->text, MAX_REPORT, "%s",
		     world.child ? "in a child: " : "");
	va_start(args, format);
	vsnprintf(world.report->text + n, MAX_REPORT - n, format, args);
	va_end(args);
	_exit(RUN_DIFFERS);
}

/* Both sides have been asked; were they asked about the same? */
void undisturbed(void)
{
	if (sentinel_fired())
		_exit(RUN_DISTURBED);
}

void broken(const char *what)
{
	snprintf(world.report->text, MAX_REPORT, "%s: %s", what, strerror(errno));
	_exit(RUN_BROKEN);
}

static void step(const struct op *op);

static void run_from(const struct prog *p, int from, int to);

/* A child shares instances and files, and what it closes is its own. */
static void run_in_child(const struct prog *p, int from, int to)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		world.child = true;
		alarm(DEADLINE_S);
		run_from(p, from, to);
		_exit(RUN_SAME);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		broken("fork");
	if (!WIFEXITED(status))
		broken("a child that was killed");
	if (WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
}

static void run_from(const struct prog *p, int from, int to)
{
	int i;

	for (i = from; i < to; i++) {
		const struct op *op = &p->op[i];
		int child_ops = op->kind == OP_FORK ? (int)op->x : 0;
		int parts = 0;

		atomic_store_explicit(&world.report->at, i, memory_order_relaxed);
		if (child_ops && !world.child) {
			int end = i + 1 + child_ops < to ? i + 1 + child_ops : to;

			run_in_child(p, i + 1, end);
			i = end - 1;
		} else if (op->kind == OP_BATCH) {
			parts = batch_pair(op, to - i - 1);
			i += parts;
		} else {
			step(op);
		}
		atomic_fetch_add_explicit(&world.report->steps, 1 + parts,
					  memory_order_relaxed);
	}
}

/* The holder has a reference to all that is open now, until it exits. */
static void hold(void)
{
	int fd[2];
	char byte;

	if (world.holder || world.child)
		return;
	if (pipe2(fd, O_CLOEXEC))
		broken("pipe");
	world.holder = fork();
	if (world.holder < 0)
		broken("fork");
	if (!world.holder) {
		close(fd[1]);
		_exit(read(fd[0], &byte, 1) != 0);
	}
	close(fd[0]);
	world.holder_pipe = fd[1];
}

static void let_go(void)
{
	int status;

	if (!world.holder || world.child)
		return;
	close(world.holder_pipe);
	if (waitpid(world.holder, &status, 0) != world.holder || status)
		broken("the holder");
	world.holder = 0;
}

union control {
	struct cmsghdr align;
	char space[CMSG_SPACE(2 * sizeof(int))];
};

/* Unix sockets in flight need the garbage collector, and that has no clock. */
static bool may_travel(int fd)
{
	int domain;
	socklen_t len = sizeof(domain);

	return fcntl(fd, F_GETFD) >= 0 &&
	       (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) ||
		domain != AF_UNIX);
}

/* A file as it is; an instance slot as its pair, in one message. */
static void send_fd(int sock, int ref)
{
	int fds[2] = { IS_INST(ref) ? LEFT_FD(INST_OF(ref)) : FILE_FD(ref),
		       RIGHT_FD(IS_INST(ref) ? INST_OF(ref) : 0) };
	size_t size = (1 + IS_INST(ref)) * sizeof(int);
	struct iovec iov = { .iov_base = "f", .iov_len = 1 };
	union control control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = CMSG_SPACE(size) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	if (!may_travel(fds[0]) || (IS_INST(ref) && world.mixed[INST_OF(ref)]))
		return;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(cmsg), fds, size);
	sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void recv_fd(int sock, int ref)
{
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	union control control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg;
	int fds[2], slot;

	if (recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1)
		return;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return;
	if (cmsg->cmsg_len == CMSG_LEN(sizeof(int))) {
		memcpy(fds, CMSG_DATA(cmsg), sizeof(int));
		slot_take(fds[0], FILE_FD(ref % NR_FILES));
		return;
	}
	memcpy(fds, CMSG_DATA(cmsg), sizeof(fds));
	slot = ref % NR_INSTS;
	slot_take(fds[0], LEFT_FD(slot));
	slot_take(fds[1], RIGHT_FD(slot));
	world.mixed[slot] = false;
}

static void step(const struct op *op)
{
	switch (op->kind) {
	case OP_CTL:
	case OP_WAIT:
	case OP_POLL:
		pair_op(op);
		undisturbed();
		break;
	case OP_INST:
	case OP_INST_DUP:
	case OP_INST_CLOSE:
	case OP_FDINFO:
		pair_op(op);
		break;
	case OP_SEND_FD:
		send_fd(FILE_FD(op->a), op->b);
		break;
	case OP_RECV_FD:
		recv_fd(FILE_FD(op->a), op->b);
		break;
	case OP_FORK:	/* of a child: done by the child itself */
		break;
	case OP_HOLD:
		hold();
		break;
	case OP_LET_GO:
		let_go();
		break;
	case OP_CPU:
		lanes_move(op->x);
		break;
	case OP_SIGNAL:
		raise(SIGUSR1);
		break;
	default:
		file_op(op);
	}
}

/*
 * One CPU drives all: then the order of events is that of their causes, and
 * packets on the loopback device arrive before the call that sent them returns.
 * With several lanes it is one CPU at a time.
 */
static void stay_on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		broken("sched_setaffinity");
}

void world_run(const struct prog *p)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		broken("sigprocmask");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	alarm(DEADLINE_S);
	world.lanes = p->lanes;
	if (p->lanes)
		lanes_move(0);
	else
		stay_on_one_cpu();
	sentinel_make();
	pair_start();
	run_from(p, 0, p->len);
	let_go();
	sentinel_drain();
	pair_check_all();
}
