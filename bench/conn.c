// SPDX-License-Identifier: GPL-2.0-only
/*
 * The server's side of connections and datagrams.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server.h"
#include "util.h"

#define CONN_OWNED	(1U << 16)	/* no EPOLL* event has this bit */
#define OUT_LIMIT	(128 * 1024)	/* above it nothing more is read */
#define DATAGRAM_ROUND	16

static const struct plan *conn_plan(const struct worker *w)
{
	return w->server->plan;
}

/* Put @msg on its way back: count it, mark it, count the reply. */
static uint32_t make_reply(struct worker *w, char *msg, size_t size,
			   struct msg_header *header)
{
	uint32_t kind;

	memcpy(header, msg, sizeof(*header));
	kind = header->kind;
	if (kind != MSG_DATA && kind != MSG_GOODBYE)
		die("connection %u, message %u: kind %#x", header->id,
		    header->seq, kind);
	traffic_count(&w->received, msg, size);
	header->kind |= MSG_REPLY;
	memcpy(msg, header, sizeof(*header));
	traffic_count(&w->sent, msg, size);
	return kind;
}

static void conn_message(struct worker *w, struct conn *conn, char *msg,
			 size_t size)
{
	struct msg_header header;

	make_reply(w, msg, size, &header);
	if (!conn->named) {
		conn->named = true;
		conn->id = header.id;
	}
	if (header.id != conn->id || header.seq != conn->seq)
		die("connection %u: expected message %u, got %u of connection %u",
		    conn->id, conn->seq, header.seq, header.id);
	conn->seq++;
	buf_append(&conn->out, msg, size);
}

static void conn_flush(struct worker *w, struct conn *conn)
{
	while (buf_len(&conn->out)) {
		size_t len = buf_len(&conn->out);
		ssize_t n = send(conn->src.fd, buf_head(&conn->out), len,
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			die_errno("send, connection %u", conn->id);
		if ((size_t)n < len)
			tally_add(w, TALLY_PARTIAL_WRITES, 1);
		buf_consume(&conn->out, n);
	}
}

/* False once there is nothing more to read now. */
static bool conn_read(struct worker *w, struct conn *conn)
{
	size_t room = buf_wanted(&conn->in), size;
	ssize_t n;
	char *msg;

	n = recv(conn->src.fd, buf_reserve(&conn->in, room), room, 0);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0)
		die_errno("recv, connection %u after %u messages", conn->id,
			  conn->seq);
	if (n == 0) {
		conn->seen_eof = true;
		if (buf_len(&conn->in))
			die("connection %u ended inside message %u", conn->id,
			    conn->seq);
		return false;
	}
	buf_commit(&conn->in, n);
	while ((msg = buf_message(&conn->in, &size))) {
		conn_message(w, conn, msg, size);
		buf_consume(&conn->in, size);
	}
	return true;
}

/* Read and write until neither goes on, as edges need it. */
static void conn_pump(struct worker *w, struct conn *conn)
{
	do {
		conn_flush(w, conn);
		if (buf_len(&conn->out) >= OUT_LIMIT)
			return;
	} while (!conn->seen_eof && conn_read(w, conn));
}

static uint32_t conn_interest(const struct conn *conn)
{
	uint32_t interest = EPOLLIN | EPOLLRDHUP;

	interest |= conn->src.transport == UNIX ? EPOLLONESHOT : EPOLLET;
	if (buf_len(&conn->out))
		interest |= EPOLLOUT;
	return interest;
}

/* A one-shot watch is armed again; an edge one only changed where needed. */
static void conn_rearm(struct worker *w, struct conn *conn)
{
	struct server *server = w->server;
	struct epoll_event event = {
		.events = conn_interest(conn),
		.data.ptr = &conn->src,
	};

	if (event.events == conn->interest && !(event.events & EPOLLONESHOT))
		return;
	conn->interest = event.events;
	tally_add(w, TALLY_MODS, 1);
	if (server->be->ctl(server->ep, EPOLL_CTL_MOD, conn->src.fd, &event))
		die_errno("EPOLL_CTL_MOD, connection %u", conn->id);
}

/* Programs differ in whether they take a descriptor out before close(). */
static void conn_close(struct worker *w, struct conn *conn)
{
	struct server *server = w->server;
	struct epoll_event none = { 0 };

	if (!conn->named || conn->seq != plan_quota(conn_plan(w), conn->id) + 1)
		die("connection %u closed after %u messages, not %u", conn->id,
		    conn->seq, plan_quota(conn_plan(w), conn->id) + 1);
	if (conn->src.fd & 1) {
		tally_add(w, TALLY_DELS, 1);
		if (server->be->ctl(server->ep, EPOLL_CTL_DEL, conn->src.fd,
				    &none))
			die_errno("EPOLL_CTL_DEL, connection %u", conn->id);
	}
	if (close(conn->src.fd))
		die_errno("close, connection %u", conn->id);
	buf_free(&conn->in);
	buf_free(&conn->out);
	conn->closed = true;
	server_progress(server, &server->progress.closed);
}

static void conn_turn(struct worker *w, struct conn *conn, uint32_t events)
{
	if (events & EPOLLRDHUP)
		conn->seen_rdhup = true;
	conn_pump(w, conn);
	if (conn->seen_eof && conn->seen_rdhup && !buf_len(&conn->out))
		conn_close(w, conn);
	else
		conn_rearm(w, conn);
}

/*
 * Become the owner, or leave the events with the one there is.  A closed
 * connection stays owned for ever, so late events end here.
 */
static void conn_handle(struct worker *w, struct source *src, uint32_t events)
{
	struct conn *conn = (void *)src;
	uint32_t owned = CONN_OWNED;

	if (atomic_fetch_or(&conn->pending, events | CONN_OWNED) & CONN_OWNED)
		return;
	do {
		events = atomic_exchange(&conn->pending, CONN_OWNED);
		conn_turn(w, conn, events & ~CONN_OWNED);
		if (conn->closed)
			return;
		owned = CONN_OWNED;
	} while (!atomic_compare_exchange_strong(&conn->pending, &owned, 0));
}

void conn_accept(struct worker *w, int fd, enum transport transport)
{
	struct server *server = w->server;
	unsigned int slot = atomic_fetch_add(&server->conn_count, 1);
	struct conn *conn = &server->conns[slot];

	if (slot >= plan_streams(server->plan))
		die("more connections than the clients have");
	socket_set_buffer(fd, SO_SNDBUF, SMALL_BUFFER);
	conn->src = (struct source) {
		.handle = conn_handle,
		.fd = fd,
		.transport = transport,
	};
	conn->interest = conn_interest(conn);
	server_watch(w, &conn->src, conn->interest);
	server_progress(server, &server->progress.accepted);
}

void conn_dump(struct conn *conn)
{
	fprintf(stderr,
		"%s: stuck: %s, connection %d, descriptor %d: %u messages, %zu bytes in, %zu out, %s, EPOLLRDHUP %s\n",
		who, transport_name[conn->src.transport],
		conn->named ? (int)conn->id : -1, conn->src.fd, conn->seq,
		buf_len(&conn->in), buf_len(&conn->out),
		conn->seen_eof ? "end read" : "no end read",
		conn->seen_rdhup ? "reported" : "not reported");
}

/* Loopback takes a datagram at once, but a socket is free to be full. */
static void datagram_send(struct worker *w, int fd, const void *msg,
			  size_t size, const struct sockaddr_storage *to,
			  socklen_t len)
{
	struct pollfd writable = { .fd = fd, .events = POLLOUT };

	for (;;) {
		ssize_t n = sendto(fd, msg, size, 0, (const void *)to, len);

		if (n == (ssize_t)size)
			return;
		if (n >= 0)
			die("sendto took %zd of %zu bytes", n, size);
		if (errno != EAGAIN)
			die_errno("sendto");
		if (poll(&writable, 1, ms_until(w->server->deadline)) != 1)
			die("a UDP socket stays full");
	}
}

/* One that was sent again is answered again, but counted once. */
static bool datagram_is_new(struct server *server,
			    const struct msg_header *header)
{
	unsigned int slot = header->id - plan_streams(server->plan);
	unsigned int seq = header->seq;

	if (slot >= server->plan->connections[UDP])
		die("a datagram of connection %u, which is not UDP", header->id);
	if (atomic_compare_exchange_strong(&server->udp_seq[slot], &seq,
					   header->seq + 1))
		return true;
	if (seq < header->seq)
		die("connection %u (UDP): message %u after %u", header->id,
		    header->seq, seq);
	return false;
}

static void datagram_echo(struct worker *w, int fd, char *msg, size_t size,
			  const struct sockaddr_storage *from, socklen_t len)
{
	struct server *server = w->server;
	struct msg_header header;

	memcpy(&header, msg, sizeof(header));
	if (size < sizeof(header) || size != sizeof(header) + header.length)
		die("a datagram of %zu bytes that is no message", size);
	if (!datagram_is_new(server, &header)) {
		header.kind |= MSG_REPLY;
		memcpy(msg, &header, sizeof(header));
	} else if (make_reply(w, msg, size, &header) == MSG_GOODBYE) {
		server_progress(server, &server->progress.goodbyes);
	}
	datagram_send(w, fd, msg, size, from, len);
}

void datagrams_handle(struct worker *w, struct source *src, uint32_t events)
{
	char msg[2 * DATAGRAM_MAX] = { 0 };

	for (int i = 0; i < DATAGRAM_ROUND; i++) {
		struct sockaddr_storage from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(src->fd, msg, sizeof(msg), 0,
				     (void *)&from, &len);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			die_errno("recvfrom");
		datagram_echo(w, src->fd, msg, n, &from, len);
	}
}
