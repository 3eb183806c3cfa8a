// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on instances: on the left and on the right, and compared.
 *
 * Where docs/conformance.md says that the two differ, the answer of each side is
 * worked out here and demanded; nothing is let pass because it is "known to
 * differ".
 */
#include <poll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "pair.h"
#include "util.h"

struct answer left, right;

char *page_end;
char *changes_end;

/* The end of memory for at least @bytes */
static char *guarded(size_t bytes)
{
	long page = sysconf(_SC_PAGESIZE);
	size_t size = bytes / page * page + page;
	char *area = mmap(NULL, size + page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED || mprotect(area + size, page, PROT_NONE))
		broken("mmap");
	return area + size;
}

void pair_start(void)
{
	struct epoll_event ev;

	page_end = guarded(sizeof(left.ev));
	changes_end = guarded(MAX_CHANGES * sizeof(struct myepoll_change));
	world.fd_first = native_wait(-1, &ev, 0, 0) < 0 && errno == EBADF;
}

int left_fd(int ref)
{
	return IS_INST(ref) ? LEFT_FD(INST_OF(ref)) : FILE_FD(ref);
}

int right_fd(int ref)
{
	return IS_INST(ref) ? RIGHT_FD(INST_OF(ref)) : FILE_FD(ref);
}

/* Not open, or as good as */
bool is_closed(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || (flags & O_PATH);
}

enum kind_of_ep kind_of(int ref)
{
	if (is_closed(left_fd(ref)))
		return EP_CLOSED;
	return IS_INST(ref) ? EP_INSTANCE : EP_OTHER;
}

bool is_mixed(int ref)
{
	return IS_INST(ref) && world.mixed[INST_OF(ref)] &&
	       !is_closed(left_fd(ref));
}

const struct backend *right_backend(int ref)
{
	return is_mixed(ref) ? &backend_native : &backend_myepoll;
}

/* Files that native epoll answers with EPERM, of those in file.c */
static bool cannot_be_polled(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		broken("fstat");
	return S_ISDIR(st.st_mode) ||
	       (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
}

bool breaks(const char *how)
{
	return world.breakage && !strcmp(world.breakage, how);
}

static void describe(char *text, size_t size, const struct answer *a)
{
	size_t at = 0;
	int i;

	if (a->ret < 0) {
		snprintf(text, size, "-1 %s", strerrorname_np(a->err));
		return;
	}
	at += snprintf(text, size, "%d", a->ret);
	for (i = 0; i < a->ret && at < size; i++)
		at += snprintf(text + at, size - at, " %x:%llx", a->ev[i].events,
			       (unsigned long long)a->ev[i].data.u64);
}

void differs(const char *what)
{
	char l[1500], r[1500];

	describe(l, sizeof(l), &left);
	describe(r, sizeof(r), &right);
	differ("%s\n    left:  %s\n    right: %s", what, l, r);
}

void answer_is(const char *side, const struct answer *a, int ret, int err)
{
	if (a->ret != ret || (ret < 0 && a->err != err))
		differ("%s side: %d %s where %d %s is due", side, a->ret,
		       strerrorname_np(a->err), ret, strerrorname_np(err));
}

void say(struct answer *a, int ret)
{
	a->ret = ret;
	a->err = errno;
}

void compare(const char *what)
{
	if (left.ret != right.ret || (left.ret < 0 && left.err != right.err))
		differs(what);
}

/* create */

static int make_left(const struct op *op, int flags)
{
	return native_create(flags);
}

static int make_right(const struct op *op, int flags)
{
	if (op->b == HOW_MIXED)
		return native_create(flags);
	if (op->b == HOW_OPEN)
		return open(MYEPOLL_DEVICE, O_RDWR | (flags & O_CLOEXEC));
	return ours_create(flags);
}

static void create(const struct op *op)
{
	int flags = op->b == HOW_OPEN ? op->x & EPOLL_CLOEXEC : op->x;

	say(&left, make_left(op, flags));
	say(&right, make_right(op, flags));
	if (!(left.ret < 0) != !(right.ret < 0) ||
	    (left.ret < 0 && left.err != right.err))
		differ("create: %d %s, %d %s", left.ret,
		       strerrorname_np(left.err), right.ret,
		       strerrorname_np(right.err));
	if (left.ret < 0)
		return;
	slot_take(left.ret, LEFT_FD(op->a));
	slot_take(right.ret, RIGHT_FD(op->a));
	if (op->c && op->b != HOW_MIXED)
		lanes_open(RIGHT_FD(op->a));
	world.mixed[op->a] = op->b == HOW_MIXED;
}

static void dup_pair(const struct op *op)
{
	if (op->a == op->b || is_closed(LEFT_FD(op->a)))
		return;
	if (dup3(LEFT_FD(op->a), LEFT_FD(op->b), O_CLOEXEC) < 0 ||
	    dup3(RIGHT_FD(op->a), RIGHT_FD(op->b), O_CLOEXEC) < 0)
		broken("dup3 of instances");
	world.mixed[op->b] = world.mixed[op->a];
}

static void close_pair(const struct op *op)
{
	if (!close(LEFT_FD(op->a)) != !close(RIGHT_FD(op->a)))
		differ("close");
}

/* ctl */

static struct epoll_event *event_at(const struct op *op, struct epoll_event *ev)
{
	if (op->c == EVENT_NULL)
		return NULL;
	return op->c == EVENT_EDGE ? (void *)(page_end - 6) : ev;
}

int break_ctl(int ret)
{
	if (breaks("errno") && ret < 0 && errno == ENOENT)
		errno = EINVAL;
	return ret;
}

static void ctl_on(struct answer *a, const struct backend *be,
		   const struct op *op, int ep, int fd)
{
	struct epoll_event ev = { .events = op->y, .data.u64 = op->data };
	int ret;

	if (be->ours && breaks("edge") && op->x == EPOLL_CTL_MOD)
		ev.events &= ~EPOLLET;
	ret = be->ctl(ep, op->x, fd, event_at(op, &ev));
	say(a, be->ours ? break_ctl(ret) : ret);
}

bool bad_event(const struct op *op)
{
	return op->x != EPOLL_CTL_DEL &&
	       (op->c == EVENT_NULL || op->c == EVENT_EDGE);
}

/* A file that is no instance says what it says to any number unknown to it. */
int ours_error(int ref, enum kind_of_ep kind)
{
	if (kind == EP_CLOSED)
		return EBADF;
	if (ioctl(right_fd(ref), _IO(MYEPOLL_IOC_TYPE, 0x7f), 0) != -1)
		broken("an ioctl that cannot be");
	return errno;
}

/* What native says if the instance's descriptor is no instance. */
static int native_ctl_error(const struct op *op, enum kind_of_ep kind)
{
	if (bad_event(op))
		return EFAULT;
	if (kind == EP_CLOSED || is_closed(left_fd(op->b)))
		return EBADF;
	if (!IS_INST(op->b) && cannot_be_polled(left_fd(op->b)))
		return EPERM;
	return EINVAL;
}

/* docs/conformance.md: ours refuses to watch a native instance, with ELOOP. */
static bool wants_native_target(const struct op *op)
{
	return right_backend(op->a)->ours && op->x == EPOLL_CTL_ADD &&
	       is_mixed(op->b) && !bad_event(op) && !(op->y & EPOLLEXCLUSIVE);
}

/* And native cannot know that ours is an instance: it takes EPOLLEXCLUSIVE. */
static bool wants_exclusive_instance(const struct op *op)
{
	return is_mixed(op->a) && op->x == EPOLL_CTL_ADD && IS_INST(op->b) &&
	       !is_mixed(op->b) && !is_closed(left_fd(op->b)) &&
	       !bad_event(op) && (op->y & EPOLLEXCLUSIVE);
}

/* The left side alone, with what is due on the right if @op->a is an instance */
void ctl_left(const struct op *op)
{
	if (kind_of(op->a) == EP_INSTANCE && wants_native_target(op)) {
		errno = ELOOP;
		say(&left, -1);
	} else {
		ctl_on(&left, &backend_native, op, left_fd(op->a),
		       left_fd(op->b));
	}
}

static void ctl(const struct op *op)
{
	enum kind_of_ep kind = kind_of(op->a);
	bool skip_right = wants_exclusive_instance(op);

	sentinel_drain();
	ctl_left(op);
	if (!skip_right)
		ctl_on(&right, right_backend(op->a), op, right_fd(op->a),
		       right_fd(op->b));
	if (skip_right) {
		answer_is("left", &left, -1, EINVAL);
	} else if (kind == EP_INSTANCE) {
		compare("ctl");
	} else {
		answer_is("left", &left, -1, native_ctl_error(op, kind));
		answer_is("right", &right, -1, ours_error(op->a, kind));
	}
}

/* poll, select */

void poll_pair(int slot, short events)
{
	struct pollfd pfd[2] = {
		{ .fd = LEFT_FD(slot), .events = events },
		{ .fd = RIGHT_FD(slot), .events = events },
	};

	sentinel_drain();
	if (poll(pfd, 2, 0) < 0)
		broken("poll");
	if (pfd[0].revents != pfd[1].revents)
		differ("poll: left %x, right %x", pfd[0].revents, pfd[1].revents);
}

static void select_pair(int slot)
{
	fd_set set[3];
	struct timeval none = { 0 };
	int i;

	if (is_closed(LEFT_FD(slot)))
		return;
	sentinel_drain();
	for (i = 0; i < 3; i++) {
		FD_ZERO(&set[i]);
		FD_SET(LEFT_FD(slot), &set[i]);
		FD_SET(RIGHT_FD(slot), &set[i]);
	}
	if (select(RIGHT_FD(slot) + 1, &set[0], &set[1], &set[2], &none) < 0)
		broken("select");
	for (i = 0; i < 3; i++) {
		if (!FD_ISSET(LEFT_FD(slot), &set[i]) !=
		    !FD_ISSET(RIGHT_FD(slot), &set[i]))
			differ("select: set %d of instance %d", i, slot);
	}
}

void pair_op(const struct op *op)
{
	switch (op->kind) {
	case OP_INST:
		create(op);
		break;
	case OP_INST_DUP:
		dup_pair(op);
		break;
	case OP_INST_CLOSE:
		close_pair(op);
		break;
	case OP_CTL:
		ctl(op);
		break;
	case OP_WAIT:
		wait_pair(op);
		break;
	case OP_POLL:
		if (op->b)
			select_pair(op->a);
		else
			poll_pair(op->a, op->x);
		break;
	case OP_FDINFO:
		fdinfo_pair(op->a);
		break;
	}
}
