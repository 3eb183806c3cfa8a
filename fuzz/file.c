// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files of a lockstep program, and what is done to them.
 *
 * All this happens once, for both sides.  Results are not looked at: an
 * operation that the file does not know, or cannot do now, does nothing.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "util.h"
#include "world.h"

#define FILL_WRITES	64
#define FILL_SIZE	4096
#define TTY_WAKE_MS	50
#define TTY_QUIET_MS	2
#define TIMER_MS	2000

/*
 * The sentinel is a native instance that watches files which timers or workers
 * may wake.  If it has an event after a step but had none before, the two sides
 * may have been asked about different states.
 */
void sentinel_make(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0 || !slot_take(fd, SENTINEL_FD))
		broken("sentinel");
}

void sentinel_watch(int fd)
{
	struct epoll_event ev = { .events = EPOLLET | 0xffff, .data.fd = fd };

	world.async = true;
	if (epoll_ctl(SENTINEL_FD, EPOLL_CTL_ADD, fd, &ev) && errno != EEXIST)
		broken("sentinel");
}

bool sentinel_fired(void)
{
	struct epoll_event ev;

	return world.async && epoll_wait(SENTINEL_FD, &ev, 1, 0) > 0;
}

void sentinel_drain(void)
{
	struct epoll_event ev[32];

	while (world.async && epoll_wait(SENTINEL_FD, ev, 32, 0) > 0)
		;
}

/* Move @fd to where it belongs; what was there is closed. */
bool slot_take(int fd, int number)
{
	if (fd < 0)
		return false;
	if (dup3(fd, number, O_CLOEXEC) < 0)
		broken("dup3");
	close(fd);
	return true;
}

static void take_pair(const struct op *op, const int fd[2])
{
	slot_take(fd[0], FILE_FD(op->a));
	slot_take(fd[1], FILE_FD(op->b));
}

void shrink_buffers(int fd)
{
	int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &one, sizeof(one)))
		broken("socket buffers");
}

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static socklen_t loopback(union address *addr, int family)
{
	memset(addr, 0, sizeof(*addr));
	addr->any.sa_family = family;
	if (family == AF_INET) {
		addr->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(addr->in);
	}
	addr->in6.sin6_addr = in6addr_loopback;
	return sizeof(addr->in6);
}

/* A socket bound to the loopback address, at a port of the kernel's choice */
static int bound_socket(int family, int type, union address *addr)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);
	socklen_t len = loopback(addr, family);

	if (fd < 0 || bind(fd, &addr->any, len) ||
	    getsockname(fd, &addr->any, &len))
		broken("socket on the loopback address");
	return fd;
}

static socklen_t address_size(const union address *addr)
{
	return addr->any.sa_family == AF_INET ? sizeof(addr->in) :
						sizeof(addr->in6);
}

static void set_nonblock(int fd)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK))
		broken("O_NONBLOCK");
}

static int listener(int family, union address *addr)
{
	int fd = bound_socket(family, SOCK_STREAM, addr);

	if (listen(fd, 4))
		broken("listen");
	return fd;
}

static void make_listener(const struct op *op, int family)
{
	union address addr;
	int fd = listener(family, &addr);

	set_nonblock(fd);
	sentinel_watch(fd);
	slot_take(fd, FILE_FD(op->a));
}

static void make_tcp(const struct op *op, int family)
{
	union address addr;
	int fd[2], at = listener(family, &addr), i;

	fd[0] = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd[0] < 0 || connect(fd[0], &addr.any, address_size(&addr)))
		broken("connect");
	fd[1] = accept4(at, NULL, NULL, SOCK_CLOEXEC);
	if (fd[1] < 0)
		broken("accept");
	close(at);
	for (i = 0; i < 2; i++) {
		set_nonblock(fd[i]);
		shrink_buffers(fd[i]);
		sentinel_watch(fd[i]);
	}
	take_pair(op, fd);
}

static void make_udp(const struct op *op, int family)
{
	union address addr[2];
	int fd[2], i;

	fd[0] = bound_socket(family, SOCK_DGRAM, &addr[0]);
	fd[1] = bound_socket(family, SOCK_DGRAM, &addr[1]);
	for (i = 0; i < 2; i++) {
		if (connect(fd[i], &addr[!i].any, address_size(&addr[!i])))
			broken("connect UDP");
		set_nonblock(fd[i]);
		shrink_buffers(fd[i]);
		sentinel_watch(fd[i]);
	}
	take_pair(op, fd);
}

static void make_unix(const struct op *op, int type)
{
	int fd[2], i;

	if (socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd))
		broken("socketpair");
	for (i = 0; i < 2; i++)
		shrink_buffers(fd[i]);
	take_pair(op, fd);
}

static void make_unix_listener(const struct op *op)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	/* Only the family: the kernel picks an abstract name. */
	if (fd < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr.sun_family)) ||
	    listen(fd, 2))
		broken("unix listener");
	slot_take(fd, FILE_FD(op->a));
}

static void make_pty(const struct op *op)
{
	struct termios raw;
	int fd[2], i;

	fd[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (fd[0] < 0 || unlockpt(fd[0]))
		broken("posix_openpt");
	fd[1] = open(ptsname(fd[0]), O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (fd[1] < 0 || tcgetattr(fd[1], &raw))
		broken("pseudo-terminal");
	cfmakeraw(&raw);
	if (tcsetattr(fd[1], TCSANOW, &raw))
		broken("raw mode");
	for (i = 0; i < 2; i++)
		sentinel_watch(fd[i]);
	take_pair(op, fd);
}

static void make_signalfd(const struct op *op)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	slot_take(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), FILE_FD(op->a));
}

static void make_pipe(const struct op *op)
{
	int fd[2];

	if (pipe2(fd, O_NONBLOCK | O_CLOEXEC) ||
	    fcntl(fd[1], F_SETPIPE_SZ, FILL_SIZE) < 0)
		broken("pipe");
	take_pair(op, fd);
}

static void make_socket(const struct op *op)
{
	switch (op->c) {
	case FILE_UNIX_STREAM:
		make_unix(op, SOCK_STREAM);
		break;
	case FILE_UNIX_DGRAM:
		make_unix(op, SOCK_DGRAM);
		break;
	case FILE_UNIX_SEQPACKET:
		make_unix(op, SOCK_SEQPACKET);
		break;
	case FILE_UNIX_LISTEN:
		make_unix_listener(op);
		break;
	case FILE_TCP4_LISTEN:
	case FILE_TCP6_LISTEN:
		make_listener(op, op->c == FILE_TCP4_LISTEN ? AF_INET : AF_INET6);
		break;
	case FILE_TCP4:
	case FILE_TCP6:
		make_tcp(op, op->c == FILE_TCP4 ? AF_INET : AF_INET6);
		break;
	case FILE_UDP4:
	case FILE_UDP6:
		make_udp(op, op->c == FILE_UDP4 ? AF_INET : AF_INET6);
		break;
	default:
		net_make(op);
	}
}

static void make_file(const struct op *op)
{
	int to = FILE_FD(op->a);

	switch (op->c) {
	case FILE_EVENTFD:
		slot_take(eventfd(0, EFD_NONBLOCK), to);
		break;
	case FILE_SEMAPHORE:
		slot_take(eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE), to);
		break;
	case FILE_TIMERFD:
		slot_take(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), to);
		break;
	case FILE_PIPE:
		make_pipe(op);
		break;
	case FILE_SIGNALFD:
		make_signalfd(op);
		break;
	case FILE_PTY:
		make_pty(op);
		break;
	case FILE_NULL:
		slot_take(open("/dev/null", O_RDWR), to);
		break;
	case FILE_DIR:
		slot_take(open("/", O_RDONLY), to);
		break;
	case FILE_PATH:
		slot_take(open("/", O_PATH), to);
		break;
	default:
		make_socket(op);
	}
}

/*
 * What is written to a terminal arrives by a worker.  Wait until it does; if
 * the reader's buffer is full that is never.
 */
static void settle_tty(void)
{
	struct epoll_event ev[8];
	int wait = TTY_WAKE_MS;

	while (epoll_wait(SENTINEL_FD, ev, ARRAY_SIZE(ev), wait) > 0)
		wait = TTY_QUIET_MS;
}

static bool write_some(int fd, uint32_t bytes)
{
	/* As an ICMP message, one of no known type; as a frame, one of our type. */
	static const char data[8192] = {
		1, [12] = FRAME_TYPE >> 8, [13] = (char)FRAME_TYPE,
	};
	bool tty = isatty(fd);
	ssize_t n;

	if (tty)
		sentinel_drain();
	n = net_write(fd, data, bytes < sizeof(data) ? bytes : sizeof(data));
	if (tty && n > 0)
		settle_tty();
	return n > 0;
}

static void fill(int fd)
{
	int i;

	for (i = 0; i < FILL_WRITES && write_some(fd, FILL_SIZE); i++)
		;
	/* The room that is left is for one byte or none. */
	if (i < FILL_WRITES)
		write_some(fd, 1);
}

static void drain(int fd)
{
	char buf[8192];
	int i;

	for (i = 0; i < FILL_WRITES && read(fd, buf, sizeof(buf)) > 0; i++)
		;
}

static void read_some(int fd, uint32_t bytes)
{
	char buf[8192];

	if (read(fd, buf, bytes < sizeof(buf) ? bytes : sizeof(buf)) < 0)
		errno = 0;
}

/* Armed for a time that is over; the interrupt comes within microseconds. */
static void set_timer(int fd, bool fire)
{
	struct itimerspec it = { .it_value.tv_nsec = fire };
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	if (timerfd_settime(fd, 0, &it, NULL) || !fire)
		return;
	if (poll(&pfd, 1, TIMER_MS) != 1)
		broken("a timer that does not fire");
}

static void connect_to(const struct op *op)
{
	union address addr;
	struct sockaddr_un un;
	struct sockaddr *to = &addr.any;
	socklen_t len = sizeof(un);
	int fd, domain;
	socklen_t size = sizeof(domain);

	if (getsockopt(FILE_FD(op->b), SOL_SOCKET, SO_DOMAIN, &domain, &size))
		return;
	if (domain == AF_NETLINK || domain == AF_PACKET)
		return;
	if (domain == AF_UNIX)
		to = (struct sockaddr *)&un;
	else
		len = sizeof(addr);
	if (getsockname(FILE_FD(op->b), to, &len))
		return;
	fd = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		broken("socket");
	/* Refused, in progress, queue full: each is a state worth watching. */
	if (connect(fd, to, len))
		errno = 0;
	if (domain != AF_UNIX)
		sentinel_watch(fd);
	slot_take(fd, FILE_FD(op->a));
}

static void accept_on(const struct op *op)
{
	union address addr;
	socklen_t len = sizeof(addr);
	int fd = accept4(FILE_FD(op->a), &addr.any, &len,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (addr.any.sa_family != AF_UNIX)
		sentinel_watch(fd);
	slot_take(fd, FILE_FD(op->b));
}

static void reset_on_close(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)))
		errno = 0;
}

void file_op(const struct op *op)
{
	int fd = FILE_FD(op->a);

	switch (op->kind) {
	case OP_FILE:
		make_file(op);
		break;
	case OP_DUP:
		if (fcntl(fd, F_GETFD) >= 0)
			dup3(fd, FILE_FD(op->b), O_CLOEXEC);
		break;
	case OP_CLOSE:
		close(fd);
		break;
	case OP_WRITE:
		write_some(fd, op->x);
		break;
	case OP_READ:
		read_some(fd, op->x);
		break;
	case OP_FILL:
		fill(fd);
		break;
	case OP_DRAIN:
		drain(fd);
		break;
	case OP_URGENT:
		send(fd, "!", 1, MSG_OOB | MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case OP_SHUTDOWN:
		shutdown(fd, op->x);
		break;
	case OP_RESET:
		reset_on_close(fd);
		break;
	case OP_CONNECT:
		connect_to(op);
		break;
	case OP_ACCEPT:
		accept_on(op);
		break;
	case OP_TIMER:
		set_timer(fd, op->x);
		break;
	}
}
