// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections of all families, with one face: messages are 8-byte numbers; the
 * client sends one and waits for the answer.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <termios.h>

#include "soak.h"

const char *const family_name[NR_FAMILIES] = {
	"tcp4", "tcp6", "unix-stream", "unix-seqpacket", "unix-dgram", "udp4",
	"udp6", "pipe", "eventfd", "pty",
};

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* A socket at a port of the loopback address, of the kernel's choice */
static int bound(int family, int type, union address *addr, socklen_t *len)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	memset(addr, 0, sizeof(*addr));
	addr->any.sa_family = family;
	*len = family == AF_INET ? sizeof(addr->in) : sizeof(addr->in6);
	if (family == AF_INET)
		addr->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		addr->in6.sin6_addr = in6addr_loopback;
	if (fd < 0 || bind(fd, &addr->any, *len) ||
	    getsockname(fd, &addr->any, len))
		die("socket");
	return fd;
}

static void open_tcp(int family, int fd[2])
{
	union address addr;
	socklen_t len;
	int at = bound(family, SOCK_STREAM, &addr, &len);

	if (listen(at, 1))
		die("listen");
	fd[0] = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd[0] < 0 || connect(fd[0], &addr.any, len))
		die("connect");
	fd[1] = accept4(at, NULL, NULL, SOCK_CLOEXEC);
	if (fd[1] < 0)
		die("accept");
	close(at);
}

static void open_udp(int family, int fd[2])
{
	union address addr[2];
	socklen_t len;

	fd[0] = bound(family, SOCK_DGRAM, &addr[0], &len);
	fd[1] = bound(family, SOCK_DGRAM, &addr[1], &len);
	if (connect(fd[0], &addr[1].any, len) || connect(fd[1], &addr[0].any, len))
		die("connect");
}

static void open_unix(int type, int fd[2])
{
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fd))
		die("socketpair");
}

static void open_pty(int fd[2])
{
	struct termios raw;
	char name[64];

	fd[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd[0] < 0 || unlockpt(fd[0]) || ptsname_r(fd[0], name, sizeof(name)))
		die("posix_openpt");
	fd[1] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd[1] < 0 || tcgetattr(fd[1], &raw))
		die("pseudo-terminal");
	cfmakeraw(&raw);
	/* A read is over when a whole message is there. */
	raw.c_cc[VMIN] = sizeof(uint64_t);
	if (tcsetattr(fd[1], TCSANOW, &raw))
		die("raw mode");
}

/* Two files for the two directions */
static void open_two_way(struct conn *c)
{
	int there[2], back[2];

	if (c->family == FAM_EVENTFD) {
		there[0] = eventfd(0, EFD_CLOEXEC);
		back[0] = eventfd(0, EFD_CLOEXEC);
		if (there[0] < 0 || back[0] < 0)
			die("eventfd");
		there[1] = there[0];
		back[1] = back[0];
	} else if (pipe2(there, O_CLOEXEC) || pipe2(back, O_CLOEXEC)) {
		die("pipe");
	}
	c->srv_in = there[0];
	c->out = there[1];
	c->in = back[0];
	c->srv_out = back[1];
}

static bool is_two_way(const struct conn *c)
{
	return c->family == FAM_EVENTFD || c->family == FAM_PIPE;
}

void conn_open(struct conn *c, enum family family)
{
	int fd[2];

	c->family = family;
	if (is_two_way(c)) {
		open_two_way(c);
	} else {
		if (family == FAM_TCP4 || family == FAM_TCP6)
			open_tcp(family == FAM_TCP4 ? AF_INET : AF_INET6, fd);
		else if (family == FAM_UDP4 || family == FAM_UDP6)
			open_udp(family == FAM_UDP4 ? AF_INET : AF_INET6, fd);
		else if (family == FAM_PTY)
			open_pty(fd);
		else
			open_unix(family == FAM_UNIX ? SOCK_STREAM :
				  family == FAM_DGRAM ? SOCK_DGRAM :
				  SOCK_SEQPACKET, fd);
		c->out = fd[0];
		c->in = fd[0];
		c->srv_in = fd[1];
		c->srv_out = fd[1];
	}
	if (fcntl(c->srv_in, F_SETFL, O_NONBLOCK))
		die("O_NONBLOCK");
}

/* An eventfd counts, so it carries how many messages came, not which. */
static uint64_t on_the_wire(const struct conn *c, uint64_t seq)
{
	return c->family == FAM_EVENTFD ? 1 : seq;
}

void conn_send(struct conn *c, uint64_t seq)
{
	seq = on_the_wire(c, seq);
	if (write(c->out, &seq, sizeof(seq)) != sizeof(seq))
		die("write of the client");
}

/* Does the answer to message @seq come? */
bool conn_answered(struct conn *c, uint64_t seq)
{
	struct pollfd pfd = { .fd = c->in, .events = POLLIN };
	uint64_t got = 0;
	size_t have = 0;
	ssize_t n;

	while (have < sizeof(got)) {
		if (poll(&pfd, 1, PATIENCE_MS) != 1)
			return false;
		n = read(c->in, (char *)&got + have, sizeof(got) - have);
		if (n <= 0)
			return false;
		have += n;
	}
	return got == on_the_wire(c, seq);
}

/* The server's read: 1 a message, 0 nothing there, -1 the client is gone */
int conn_receive(struct conn *c, uint64_t *seq)
{
	ssize_t n = read(c->srv_in, seq, sizeof(*seq));

	if (n == sizeof(*seq))
		return 1;
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n > 0)
		complain("%s: %zd bytes of a message", family_name[c->family], n);
	return -1;
}

void conn_answer(struct conn *c, uint64_t seq)
{
	if (write(c->srv_out, &seq, sizeof(seq)) != sizeof(seq))
		complain("%s: the answer cannot be written: errno %d",
			 family_name[c->family], errno);
}

/* Does the server learn that the client has closed? */
bool conn_has_end(const struct conn *c)
{
	switch (c->family) {
	case FAM_DGRAM:
	case FAM_UDP4:
	case FAM_UDP6:
	case FAM_EVENTFD:
		return false;
	default:
		return true;
	}
}

void conn_close_client(struct conn *c, bool reset)
{
	struct linger linger = { .l_onoff = 1 };

	if (reset && (c->family == FAM_TCP4 || c->family == FAM_TCP6) &&
	    setsockopt(c->out, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)))
		die("SO_LINGER");
	if (c->family != FAM_EVENTFD)
		close(c->out);
	if (c->in != c->out && c->family != FAM_EVENTFD)
		close(c->in);
}

void conn_close_server(struct conn *c)
{
	close(c->srv_in);
	if (c->srv_out != c->srv_in)
		close(c->srv_out);
}
