/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The server's sockets, and the clients' connections to them.  Ports are the
 * kernel's choice, so a port in use cannot be in the way.
 */
#ifndef BENCH_SOCK_H
#define BENCH_SOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "plan.h"

#define SMALL_BUFFER	8192	/* a heavy message does not fit into it */
#define UDP_SOCKETS	4	/* two on IPv4, two on IPv6 */

struct endpoint {
	int fd;
	socklen_t len;
	struct sockaddr_storage addr;
};

struct endpoints {
	struct endpoint listener[STREAMS];
	struct endpoint udp[UDP_SOCKETS];
};

void endpoints_open(struct endpoints *all);
void endpoints_close(struct endpoints *all);

/*
 * A non-blocking socket for connection @id.  *@connected is false as long as
 * the handshake goes on: writable, it is over, and socket_error() says how.
 */
int endpoints_connect(const struct endpoints *all, const struct plan *plan,
		      unsigned int id, bool *connected);

/*
 * How many packets the kernel has thrown away because a queue was full: a
 * datagram may only get lost if this grows.
 */
uint64_t net_drops(void);

int socket_error(int fd);
void socket_set_buffer(int fd, int which, int bytes);

#endif /* BENCH_SOCK_H */
