/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses and sockets of the loopback device, of either kind of IP. */
#ifndef SELFTESTS_LOOPBACK_H
#define SELFTESTS_LOOPBACK_H

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static inline socklen_t loopback(struct sockaddr_storage *ss, int family, int port)
{
	struct sockaddr_in6 *v6 = (void *)ss;
	struct sockaddr_in *v4 = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	ss->ss_family = family;
	if (family == AF_INET6) {
		v6->sin6_addr = in6addr_loopback;
		v6->sin6_port = port;
		return sizeof(*v6);
	}
	v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v4->sin_port = port;
	return sizeof(*v4);
}

/* A socket on a free port of the loopback, which is stored in @port; 0 if -1. */
static inline int bound(int family, int type, int *port)
{
	struct sockaddr_storage ss;
	socklen_t len = loopback(&ss, family, 0);
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*port = 0;
	if (fd < 0 || bind(fd, (void *)&ss, len) ||
	    getsockname(fd, (void *)&ss, &len))
		return -1;
	*port = family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port :
				     ((struct sockaddr_in *)&ss)->sin_port;
	return fd;
}

static inline int connect_to(int fd, int family, int port)
{
	struct sockaddr_storage ss;
	socklen_t len = loopback(&ss, family, port);

	return connect(fd, (void *)&ss, len);
}

#endif /* SELFTESTS_LOOPBACK_H */
