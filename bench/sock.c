// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "sock.h"
#include "util.h"

#define BACKLOG		4096
#define UDP_BUFFER	(1024 * 1024)

static void loopback_address(struct endpoint *ep, int family)
{
	struct sockaddr_in6 *in6 = (void *)&ep->addr;
	struct sockaddr_in *in = (void *)&ep->addr;

	memset(&ep->addr, 0, sizeof(ep->addr));
	ep->addr.ss_family = family;
	switch (family) {
	case AF_INET:
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		ep->len = sizeof(*in);
		break;
	case AF_INET6:
		in6->sin6_addr = in6addr_loopback;
		ep->len = sizeof(*in6);
		break;
	default:
		/* Linux picks a free abstract name for a bare family. */
		ep->len = sizeof(sa_family_t);
	}
}

/* A reply must not wait until the one before is acknowledged. */
static void set_nodelay(int fd)
{
	int one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		die_errno("setsockopt(TCP_NODELAY)");
}

static void endpoint_open(struct endpoint *ep, int family, int type)
{
	loopback_address(ep, family);
	ep->fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ep->fd < 0)
		die_errno("socket (family %d, type %d)", family, type);
	if (bind(ep->fd, (void *)&ep->addr, ep->len))
		die_errno("bind to the loopback address (family %d)", family);
	if (type == SOCK_STREAM && family != AF_UNIX)
		set_nodelay(ep->fd);	/* accepted sockets have it from here */
	if (type == SOCK_STREAM && listen(ep->fd, BACKLOG))
		die_errno("listen (family %d)", family);
	if (type == SOCK_DGRAM)
		socket_set_buffer(ep->fd, SO_RCVBUF, UDP_BUFFER);
	ep->len = sizeof(ep->addr);
	if (getsockname(ep->fd, (void *)&ep->addr, &ep->len))
		die_errno("getsockname");
}

void endpoints_open(struct endpoints *all)
{
	static const int family[STREAMS] = {
		[TCP4] = AF_INET,
		[TCP6] = AF_INET6,
		[UNIX] = AF_UNIX,
	};

	for (int i = 0; i < STREAMS; i++)
		endpoint_open(&all->listener[i], family[i], SOCK_STREAM);
	for (int i = 0; i < UDP_SOCKETS; i++)
		endpoint_open(&all->udp[i], i % 2 ? AF_INET6 : AF_INET,
			      SOCK_DGRAM);
}

void endpoints_close(struct endpoints *all)
{
	for (int i = 0; i < STREAMS; i++)
		close(all->listener[i].fd);
	for (int i = 0; i < UDP_SOCKETS; i++)
		close(all->udp[i].fd);
}

void socket_set_buffer(int fd, int which, int bytes)
{
	if (setsockopt(fd, SOL_SOCKET, which, &bytes, sizeof(bytes)))
		die_errno("setting a socket buffer to %d bytes", bytes);
}

/* Add up what @parse finds in each line of @path. */
static uint64_t sum_lines(const char *path, uint64_t (*parse)(const char *line))
{
	uint64_t sum = 0;
	char line[1024];
	FILE *file = fopen(path, "re");

	if (!file)
		die_errno("%s", path);
	while (fgets(line, sizeof(line), file))
		sum += parse(line);
	fclose(file);
	return sum;
}

/* A line per CPU, in hexadecimal: packets, of these dropped, ... */
static uint64_t parse_softnet(const char *line)
{
	unsigned int dropped;

	return sscanf(line, "%*x %x", &dropped) == 1 ? dropped : 0;
}

/* The line with names begins the same way and has no numbers. */
static uint64_t parse_snmp(const char *line)
{
	unsigned long long dropped;

	return sscanf(line, "Udp: %*u %*u %*u %*u %llu", &dropped) == 1 ?
	       dropped : 0;
}

static uint64_t parse_snmp6(const char *line)
{
	unsigned long long dropped;

	return sscanf(line, "Udp6RcvbufErrors %llu", &dropped) == 1 ?
	       dropped : 0;
}

uint64_t net_drops(void)
{
	return sum_lines("/proc/net/softnet_stat", parse_softnet) +
	       sum_lines("/proc/net/snmp", parse_snmp) +
	       sum_lines("/proc/net/snmp6", parse_snmp6);
}

int socket_error(int fd)
{
	socklen_t len = sizeof(int);
	int err;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len))
		die_errno("getsockopt(SO_ERROR)");
	return err;
}

/* A unix socket waits for room in the backlog only if it may block. */
static void connect_unix(int fd, const struct endpoint *ep, unsigned int s)
{
	struct timeval limit = { .tv_sec = s };

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		die_errno("setsockopt(SO_SNDTIMEO)");
	if (connect(fd, (void *)&ep->addr, ep->len))
		die_errno("connect (unix stream)");
	if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK))
		die_errno("fcntl(O_NONBLOCK)");
}

static bool connect_inet(int fd, const struct endpoint *ep)
{
	if (!connect(fd, (void *)&ep->addr, ep->len))
		return true;
	if (errno != EINPROGRESS)
		die_errno("connect (family %d)", ep->addr.ss_family);
	return false;
}

int endpoints_connect(const struct endpoints *all, const struct plan *plan,
		      unsigned int id, bool *connected)
{
	enum transport t = plan_transport(plan, id);
	const struct endpoint *ep;
	int fd, type = SOCK_CLOEXEC;

	ep = t == UDP ? &all->udp[id % UDP_SOCKETS] : &all->listener[t];
	type |= t == UDP ? SOCK_DGRAM : SOCK_STREAM;
	type |= t == UNIX ? 0 : SOCK_NONBLOCK;
	fd = socket(ep->addr.ss_family, type, 0);
	if (fd < 0)
		die_errno("socket for connection %u", id);
	if (plan_heavy(plan, id))
		socket_set_buffer(fd, SO_RCVBUF, SMALL_BUFFER);
	if (t == TCP4 || t == TCP6)
		set_nodelay(fd);
	*connected = true;
	if (t == UNIX)
		connect_unix(fd, ep, plan->seconds);
	else
		*connected = connect_inet(fd, ep);
	return fd;
}
