// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every kind of socket that can be watched: events of each of its states,
 * exactly, on both epolls.  The other files are in families.c.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "families.h"
#include "loopback.h"

FIXTURE(famsock)
{
};

BACKEND_VARIANTS(famsock);

/*
 * A network of our own, so that nobody else's packets are seen; on one CPU, so that
 * packets arrive in the order in which they were sent.
 */
static int private_loopback(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd, ret;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof(one), &one) || unshare(CLONE_NEWNET))
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	ifr.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
	ret = ioctl(fd, SIOCSIFFLAGS, &ifr);
	close(fd);
	return ret;
}

FIXTURE_SETUP(famsock)
{
	REQUIRE_BACKEND(variant->be);
	ASSERT_EQ(0, private_loopback());
}

FIXTURE_TEARDOWN(famsock)
{
}

#define FAMILY_TEST(name)							\
	TEST_F_TIMEOUT(famsock, name, 120)					\
	{									\
		EXPECT_TRUE(family_walk(variant->be, open_##name, name##_steps, 0)); \
		EXPECT_TRUE(family_walk(variant->be, open_##name, name##_steps,	\
					EPOLLET));				\
		EXPECT_TRUE(family_walk(variant->be, open_##name, name##_steps,	\
					EPOLLONESHOT));				\
	}

/* Steps that several families share */

static int send_peer(struct family *f)
{
	f->due++;
	return send(f->peer, "x", 1, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

static int send_peer_oob(struct family *f)
{
	return send(f->peer, "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1 ? 0 : -1;
}

static int recv_oob(struct family *f)
{
	char c;

	return recv(f->fd, &c, 1, MSG_OOB) == 1 ? 0 : -1;
}

static int arrives(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, PATIENCE_MS) == 1 ? 0 : -1;
}

/*
 * Takes the @due bytes there are to come, and then all there is.  A loaded machine
 * leaves packets to ksoftirqd, and they arrive after send() has returned: a queue
 * that is empty now may be full again a little later.
 */
static int drain(int fd, long *due)
{
	char buf[65536];
	ssize_t n;

	for (;;) {
		if (*due > 0 && arrives(fd))
			return -1;
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n <= 0)
			break;
		*due -= n;
	}
	if (*due > 0) {
		fprintf(stderr, "# %ld bytes have not come\n", *due);
		return -1;
	}
	*due = 0;
	return !n || errno == EAGAIN ? 0 : -1;
}

static int drain_fd(struct family *f)
{
	return drain(f->fd, &f->due);
}

static int drain_peer(struct family *f)
{
	return drain(f->peer, &f->peer_due);
}

/*
 * Returns once the loopback device has delivered what was sent so far: it keeps
 * the order of what one CPU sends, and private_loopback() has us stay on one.
 */
static int loopback_settles(void)
{
	int port, fd = bound(AF_INET, SOCK_DGRAM, &port), ret = -1;

	if (fd < 0)
		return -1;
	if (!connect_to(fd, AF_INET, port) && send(fd, "x", 1, 0) == 1)
		ret = arrives(fd);
	close(fd);
	return ret;
}

/*
 * Until neither end takes any more.  TCP moves on what its peer has room for a
 * little later, also by acknowledgements that are delayed up to 40 ms.
 */
static int fill_fd(struct family *f)
{
	static const char buf[65536];
	struct pollfd pfd = { .fd = f->fd, .events = POLLOUT };
	ssize_t n;

	do {
		while (poll(&pfd, 1, 100) == 1) {
			n = send(f->fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN)
				return -1;
			if (n > 0)
				f->peer_due += n;
		}
		if (loopback_settles() || loopback_settles())
			return -1;
	} while (poll(&pfd, 1, 0) == 1);
	return 0;
}

static int shutdown_peer(struct family *f)
{
	return shutdown(f->peer, SHUT_WR);
}

static int shutdown_fd(struct family *f)
{
	return shutdown(f->fd, SHUT_WR);
}

static int close_peer(struct family *f)
{
	int fd = f->peer;

	f->peer = -1;
	return close(fd);
}

static int accept_one(struct family *f)
{
	int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	return fd < 0 ? -1 : close(fd);
}

/* TCP */

static int open_listener(struct family *f, int family)
{
	f->fd = bound(family, SOCK_STREAM, &f->extra);
	f->peer = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return f->fd < 0 || f->peer < 0 ? -1 : listen(f->fd, 4);
}

static int knock(struct family *f, int family)
{
	int port = f->extra;

	f->extra = -1;
	return connect_to(f->peer, family, port);
}

static int knock4(struct family *f)
{
	return knock(f, AF_INET);
}

static int knock6(struct family *f)
{
	return knock(f, AF_INET6);
}

static int open_tcp4_listener(struct family *f)
{
	return open_listener(f, AF_INET);
}

static int open_tcp6_listener(struct family *f)
{
	return open_listener(f, AF_INET6);
}

static const struct step tcp4_listener_steps[] = {
	{ "nobody there", NULL, 0, false },
	{ "connection", knock4, READABLE, true },
	{ "accepted", accept_one, 0, false },
	{ "shut down", shutdown_fd, 0, false },
	{ }
};

static const struct step tcp6_listener_steps[] = {
	{ "nobody there", NULL, 0, false },
	{ "connection", knock6, READABLE, true },
	{ "accepted", accept_one, 0, false },
	{ }
};

FAMILY_TEST(tcp4_listener)
FAMILY_TEST(tcp6_listener)

static int open_tcp(struct family *f, int family)
{
	int port, listener = bound(family, SOCK_STREAM, &port), ret = -1;

	if (listener < 0 || listen(listener, 1))
		return -1;
	f->peer = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->peer >= 0 && !connect_to(f->peer, family, port) &&
	    !arrives(listener)) {
		f->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		ret = f->fd < 0 ? -1 : 0;
	}
	close(listener);
	return ret;
}

static int open_tcp4(struct family *f)
{
	return open_tcp(f, AF_INET);
}

static int open_tcp6(struct family *f)
{
	return open_tcp(f, AF_INET6);
}

static const struct step tcp4_steps[] = {
	{ "connected", NULL, WRITABLE, true },
	{ "received", send_peer, READABLE | WRITABLE, true },
	{ "received more", send_peer, READABLE | WRITABLE, true },
	{ "drained", drain_fd, WRITABLE, false },
	{ "urgent", send_peer_oob, WRITABLE | EPOLLPRI, true },
	{ "urgent read", recv_oob, WRITABLE, false },
	{ "full", fill_fd, 0, false },
	{ "peer drained", drain_peer, WRITABLE, true },
	{ "peer shut down", shutdown_peer, READABLE | WRITABLE | EPOLLRDHUP, true },
	{ "both shut down", shutdown_fd,
	  READABLE | WRITABLE | EPOLLRDHUP | EPOLLHUP, true },
	{ "peer closed", close_peer,
	  READABLE | WRITABLE | EPOLLRDHUP | EPOLLHUP, false },
	{ }
};

static const struct step tcp6_steps[] = {
	{ "connected", NULL, WRITABLE, true },
	{ "received", send_peer, READABLE | WRITABLE, true },
	{ "drained", drain_fd, WRITABLE, false },
	{ "urgent", send_peer_oob, WRITABLE | EPOLLPRI, true },
	{ "peer closed", close_peer,
	  READABLE | WRITABLE | EPOLLRDHUP | EPOLLPRI, true },
	{ }
};

FAMILY_TEST(tcp4)
FAMILY_TEST(tcp6)

/* A peer that closes with data unread resets the connection. */
static int open_tcp4_reset(struct family *f)
{
	if (open_tcp(f, AF_INET) || send(f->fd, "x", 1, 0) != 1)
		return -1;
	return arrives(f->peer);
}

static const struct step tcp4_reset_steps[] = {
	{ "sent", NULL, WRITABLE, true },
	{ "reset", close_peer,
	  READABLE | WRITABLE | EPOLLRDHUP | EPOLLERR | EPOLLHUP, true },
	{ }
};

FAMILY_TEST(tcp4_reset)

static int open_tcp4_refused(struct family *f)
{
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return f->fd < 0 ? -1 : 0;
}

static int connect_to_nobody(struct family *f)
{
	int port, fd = bound(AF_INET, SOCK_STREAM, &port);

	/* Bound but not listening: nobody else can get the port meanwhile. */
	if (fd < 0)
		return -1;
	if (!connect_to(f->fd, AF_INET, port) || errno != EINPROGRESS)
		return -1;
	return close(fd);
}

static const struct step tcp4_refused_steps[] = {
	{ "not connected", NULL, WRITABLE | EPOLLHUP, true },
	{ "refused", connect_to_nobody,
	  READABLE | WRITABLE | EPOLLRDHUP | EPOLLERR | EPOLLHUP, true },
	{ }
};

FAMILY_TEST(tcp4_refused)

/* UDP */

static int open_udp(struct family *f, int family)
{
	int port = 0, peer_port = 0;

	f->fd = bound(family, SOCK_DGRAM, &port);
	f->peer = bound(family, SOCK_DGRAM, &peer_port);
	if (f->fd < 0 || f->peer < 0)
		return -1;
	return connect_to(f->fd, family, peer_port) ?:
	       connect_to(f->peer, family, port);
}

static int open_udp4(struct family *f)
{
	return open_udp(f, AF_INET);
}

static int open_udp6(struct family *f)
{
	return open_udp(f, AF_INET6);
}

static int send_to_nobody(struct family *f)
{
	if (close_peer(f))
		return -1;
	return send(f->fd, "x", 1, 0) == 1 ? 0 : -1;
}

static int fetch_error(struct family *f)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		return -1;
	return err == ECONNREFUSED ? 0 : -1;
}

static const struct step udp4_steps[] = {
	{ "idle", NULL, SOCK_WRITABLE, true },
	{ "received", send_peer, READABLE | SOCK_WRITABLE, true },
	{ "received more", send_peer, READABLE | SOCK_WRITABLE, true },
	{ "drained", drain_fd, SOCK_WRITABLE, false },
	{ "port unreachable", send_to_nobody, SOCK_WRITABLE | EPOLLERR, true },
	{ "error fetched", fetch_error, SOCK_WRITABLE, false },
	{ "shut down", shutdown_fd, SOCK_WRITABLE, false },
	{ }
};

#define udp6_steps udp4_steps

FAMILY_TEST(udp4)
FAMILY_TEST(udp6)

/* AF_UNIX */

static int unix_pair(struct family *f, int type)
{
	int fd[2];

	if (socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd))
		return -1;
	f->fd = fd[0];
	f->peer = fd[1];
	return 0;
}

static int open_unix_stream(struct family *f)
{
	return unix_pair(f, SOCK_STREAM);
}

static int open_unix_seqpacket(struct family *f)
{
	return unix_pair(f, SOCK_SEQPACKET);
}

static int open_unix_dgram(struct family *f)
{
	return unix_pair(f, SOCK_DGRAM);
}

static const struct step unix_stream_steps[] = {
	{ "connected", NULL, SOCK_WRITABLE, true },
	{ "received", send_peer, READABLE | SOCK_WRITABLE, true },
	{ "drained", drain_fd, SOCK_WRITABLE, false },
	{ "full", fill_fd, 0, false },
	{ "peer drained", drain_peer, SOCK_WRITABLE, true },
	{ "peer shut down", shutdown_peer,
	  READABLE | SOCK_WRITABLE | EPOLLRDHUP, true },
	{ "peer closed", close_peer,
	  READABLE | SOCK_WRITABLE | EPOLLRDHUP | EPOLLHUP, true },
	{ }
};

#define unix_seqpacket_steps unix_stream_steps

static const struct step unix_dgram_steps[] = {
	{ "connected", NULL, SOCK_WRITABLE, true },
	{ "received", send_peer, READABLE | SOCK_WRITABLE, true },
	{ "drained", drain_fd, SOCK_WRITABLE, false },
	{ "full", fill_fd, 0, false },
	{ "peer drained", drain_peer, SOCK_WRITABLE, true },
	{ "peer closed", close_peer, SOCK_WRITABLE, false },
	{ }
};

FAMILY_TEST(unix_stream)
FAMILY_TEST(unix_seqpacket)
FAMILY_TEST(unix_dgram)

/* No name at all: the kernel chooses an abstract one. */
static int open_unix_listener(struct family *f)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNIX };

	f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	f->peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->fd < 0 || f->peer < 0)
		return -1;
	return bind(f->fd, (void *)&ss, sizeof(sa_family_t)) ?: listen(f->fd, 4);
}

static int unix_knock(struct family *f)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	return getsockname(f->fd, (void *)&ss, &len) ?:
	       connect(f->peer, (void *)&ss, len);
}

static const struct step unix_listener_steps[] = {
	{ "nobody there", NULL, 0, false },
	{ "connection", unix_knock, READABLE, true },
	{ "accepted", accept_one, 0, false },
	{ "peer closed", close_peer, 0, false },
	{ }
};

FAMILY_TEST(unix_listener)

/* Raw ICMP, netlink, packet */

static int open_raw_icmp(struct family *f)
{
	f->fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);
	return f->fd < 0 ? -1 : connect_to(f->fd, AF_INET, 0);
}

static int send_echo(struct family *f)
{
	/* The checksum of type 8 and zeros. */
	struct icmphdr echo = { .type = ICMP_ECHO, .checksum = htons(0xf7ff) };

	/* It sees the question and the answer, each with an IP header. */
	f->due += 2 * (sizeof(struct iphdr) + sizeof(echo));
	return send(f->fd, &echo, sizeof(echo), 0) == sizeof(echo) ? 0 : -1;
}

static const struct step raw_icmp_steps[] = {
	{ "idle", NULL, SOCK_WRITABLE, true },
	{ "received", send_echo, READABLE | SOCK_WRITABLE, true },
	{ "drained", drain_fd, SOCK_WRITABLE, false },
	{ "received again", send_echo, READABLE | SOCK_WRITABLE, true },
	{ }
};

FAMILY_TEST(raw_icmp)

static int open_netlink(struct family *f)
{
	f->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
		       NETLINK_ROUTE);
	return f->fd < 0 ? -1 : 0;
}

static int ask_netlink(struct family *f)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} ask = {
		.header = {
			.nlmsg_len = sizeof(ask),
			.nlmsg_type = RTM_GETLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		},
	};

	return send(f->fd, &ask, sizeof(ask), 0) == sizeof(ask) ? 0 : -1;
}

static const struct step netlink_steps[] = {
	{ "idle", NULL, SOCK_WRITABLE, true },
	{ "answered", ask_netlink, READABLE | SOCK_WRITABLE, true },
	{ "drained", drain_fd, SOCK_WRITABLE, false },
	{ "answered again", ask_netlink, READABLE | SOCK_WRITABLE, true },
	{ }
};

FAMILY_TEST(netlink)

static int open_packet(struct family *f)
{
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IP),
		.sll_ifindex = if_nametoindex("lo"),
	};
	int port;

	f->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	f->peer = bound(AF_INET, SOCK_DGRAM, &port);
	if (f->fd < 0 || f->peer < 0 || connect_to(f->peer, AF_INET, port))
		return -1;
	return bind(f->fd, (void *)&ll, sizeof(ll));
}

static const struct step packet_steps[] = {
	{ "idle", NULL, SOCK_WRITABLE, true },
	{ "received", send_peer, READABLE | SOCK_WRITABLE, true },
	{ "drained", drain_fd, SOCK_WRITABLE, false },
	{ "received again", send_peer, READABLE | SOCK_WRITABLE, true },
	{ }
};

FAMILY_TEST(packet)

TEST_HARNESS_MAIN
