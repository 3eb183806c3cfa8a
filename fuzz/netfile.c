// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets of a lockstep program that hear more than one sender: netlink, packet
 * and raw ones.
 *
 * Each job has a loopback device of its own, or programs that run beside this
 * one would be heard.  Packet sockets take only frames of a type that nobody
 * else sends: what TCP sends when one of its timers fires comes at no set time.
 */
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"
#include "world.h"

#define GROUP		1

/* What raw sockets call themselves: 127.0.0.2 and 127.0.0.3 */
#define RAW_ADDRESS(nr)	htonl(INADDR_LOOPBACK + 1 + (nr))

static const struct {
	enum file_kind kind;
	int family;
	int type;
	int protocol;
} kinds[] = {
	{ FILE_NETLINK, AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK },
	{ FILE_ROUTE, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE },
	/* Deaf until it is bound. */
	{ FILE_PACKET_RAW, AF_PACKET, SOCK_RAW, 0 },
	{ FILE_PACKET_DGRAM, AF_PACKET, SOCK_DGRAM, 0 },
	{ FILE_RAW4, AF_INET, SOCK_RAW, IPPROTO_ICMP },
};

static bool absent[NR_FILE_KINDS];

bool net_private(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd, ret;

	if (unshare(CLONE_NEWNET))
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	ret = ioctl(fd, SIOCSIFFLAGS, &ifr);
	close(fd);
	return !ret;
}

static int net_socket(enum file_kind kind)
{
	size_t i;

	for (i = 0; kinds[i].kind != kind; i++)
		;
	return socket(kinds[i].family, kinds[i].type | SOCK_NONBLOCK |
		      SOCK_CLOEXEC, kinds[i].protocol);
}

/* Which kinds there are here is found out, and said, once. */
void net_probe(void)
{
	bool mine = net_private();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		int fd = net_socket(kinds[i].kind);

		absent[kinds[i].kind] = !mine || fd < 0;
		if (!mine || fd < 0)
			printf("lockstep: without %s: %s\n",
			       file_kind_name[kinds[i].kind],
			       mine ? strerror(errno) : "no network of our own");
		if (fd >= 0)
			close(fd);
	}
}

/* Both are in the group.  The first sends to it and to the second. */
static bool make_netlink(const int fd[2])
{
	struct sockaddr_nl addr[2];
	int i;

	for (i = 0; i < 2; i++) {
		socklen_t len = sizeof(addr[i]);

		addr[i] = (struct sockaddr_nl) {
			.nl_family = AF_NETLINK,
			.nl_groups = GROUP,
		};
		if (bind(fd[i], (void *)&addr[i], len) ||
		    getsockname(fd[i], (void *)&addr[i], &len))
			return false;
	}
	addr[0].nl_groups = 0;
	return !connect(fd[0], (void *)&addr[1], sizeof(addr[1])) &&
	       !connect(fd[1], (void *)&addr[0], sizeof(addr[0]));
}

static bool make_packet(const int fd[2])
{
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(FRAME_TYPE),
		.sll_ifindex = if_nametoindex("lo"),
	};

	return !bind(fd[0], (void *)&ll, sizeof(ll)) &&
	       !bind(fd[1], (void *)&ll, sizeof(ll));
}

static bool make_raw(const int fd[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int i;

	for (i = 0; i < 2; i++) {
		addr.sin_addr.s_addr = RAW_ADDRESS(i);
		if (bind(fd[i], (void *)&addr, sizeof(addr)))
			return false;
		addr.sin_addr.s_addr = RAW_ADDRESS(!i);
		if (connect(fd[i], (void *)&addr, sizeof(addr)))
			return false;
	}
	return true;
}

static bool make_pair(enum file_kind kind, const int fd[2])
{
	switch (kind) {
	case FILE_NETLINK:
		return make_netlink(fd);
	case FILE_PACKET_RAW:
	case FILE_PACKET_DGRAM:
		return make_packet(fd);
	case FILE_RAW4:
		return make_raw(fd);
	default:
		return true;
	}
}

void net_make(const struct op *op)
{
	int fd[2], i;

	if (absent[op->c])
		return;
	for (i = 0; i < 2; i++) {
		fd[i] = net_socket(op->c);
		if (fd[i] < 0)
			broken(file_kind_name[op->c]);
		shrink_buffers(fd[i]);
	}
	if (!make_pair(op->c, fd))
		broken(file_kind_name[op->c]);
	for (i = 0; i < 2; i++)
		sentinel_watch(fd[i]);
	slot_take(fd[0], FILE_FD(op->a));
	slot_take(fd[1], FILE_FD(op->b));
}

static bool is_route(int fd)
{
	int domain, protocol;
	socklen_t len = sizeof(int);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
	       domain == AF_NETLINK &&
	       !getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) &&
	       protocol == NETLINK_ROUTE;
}

/* The kernel answers what it understands: which interfaces are there? */
ssize_t net_write(int fd, const void *data, size_t bytes)
{
	static const struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} ask = {
		.header = {
			.nlmsg_len = sizeof(ask),
			.nlmsg_type = RTM_GETLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		},
	};

	if (is_route(fd))
		return write(fd, &ask, sizeof(ask));
	return write(fd, data, bytes);
}
