// SPDX-License-Identifier: GPL-2.0-only
/*
 * One connection of a client.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client.h"
#include "util.h"

static const struct plan *link_plan(const struct link *link)
{
	return link->client->job->plan;
}

static const char *link_transport(const struct link *link)
{
	return transport_name[plan_transport(link_plan(link), link->id)];
}

static void link_set_interest(struct link *link, uint32_t interest)
{
	struct epoll_event event = { .events = interest, .data.ptr = link };

	if (interest == link->interest)
		return;
	if (epoll_ctl(link->client->ep, EPOLL_CTL_MOD, link->fd, &event))
		die_errno("EPOLL_CTL_MOD, connection %u", link->id);
	link->interest = interest;
}

void link_open(struct client *client, struct link *link, uint32_t id)
{
	const struct plan *plan = client->job->plan;
	struct epoll_event event = { .data.ptr = link };
	bool connected;

	link->client = client;
	link->id = id;
	link->datagrams = plan_transport(plan, id) == UDP;
	link->hold = plan_heavy(plan, id);
	link->fd = endpoints_connect(client->job->all, plan, id, &connected);
	link->interest = connected ? EPOLLIN : EPOLLOUT;
	event.events = link->interest;
	if (epoll_ctl(client->ep, EPOLL_CTL_ADD, link->fd, &event))
		die_errno("EPOLL_CTL_ADD, connection %u", id);
	if (connected) {
		link->state = LINK_OPEN;
		client->report.connected++;
	} else {
		client->waiting++;
	}
}

static void link_connected(struct link *link)
{
	int err = socket_error(link->fd);

	if (err)
		die("connect, connection %u (%s): %s", link->id,
		    link_transport(link), strerror(err));
	link->state = LINK_OPEN;
	link->client->report.connected++;
	link->client->waiting--;
	link_set_interest(link, EPOLLIN);
}

static void link_close(struct link *link)
{
	if (close(link->fd))
		die_errno("close, connection %u", link->id);
	buf_free(&link->in);
	buf_free(&link->out);
	link->state = LINK_CLOSED;
	link->client->report.closed++;
	link->client->waiting--;
}

static bool link_may_send(const struct link *link)
{
	if (link->datagrams && buf_len(&link->out))
		return false;
	return link->sent < link->target &&
	       link->sent - link->received < plan_window(link_plan(link), link->id);
}

static void link_fill(struct link *link)
{
	while (link_may_send(link)) {
		const struct plan *plan = link_plan(link);
		size_t size = msg_size(plan, link->id, link->sent);
		char *msg = buf_reserve(&link->out, size);

		msg_make(plan, link->id, link->sent, msg);

		traffic_count(&link->client->report.sent, msg, size);
		buf_commit(&link->out, size);
		link->sent++;
	}
}

static void link_flush(struct link *link)
{
	while (buf_len(&link->out)) {
		ssize_t n = send(link->fd, buf_head(&link->out),
				 buf_len(&link->out), MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			die_errno("send, connection %u (%s)", link->id,
				  link_transport(link));
		buf_consume(&link->out, n);
		if (link->datagrams)
			link->sent_at = now_ns();
	}
	if (link->sent >= plan_window(link_plan(link), link->id))
		link->hold = false;
}

void link_resend(struct link *link, int64_t before)
{
	char msg[DATAGRAM_MAX];
	size_t size;

	if (!link->datagrams || link->state != LINK_OPEN ||
	    link->sent == link->received || buf_len(&link->out) ||
	    link->sent_at > before)
		return;
	size = msg_size(link_plan(link), link->id, link->received);
	msg_make(link_plan(link), link->id, link->received, msg);
	link->sent_at = now_ns();
	link->client->report.resent++;
	if (send(link->fd, msg, size, 0) < 0 && errno != EAGAIN)
		die_errno("send, connection %u (UDP)", link->id);
}

/* The reply to a datagram that was sent twice although none was lost. */
static bool link_duplicate(const struct link *link, const char *msg)
{
	struct msg_header header;

	memcpy(&header, msg, sizeof(header));
	return link->datagrams && link->client->report.resent &&
	       header.seq < link->received;
}

static void link_reply(struct link *link, const char *msg, size_t size)
{
	const char *wrong;

	if (link_duplicate(link, msg))
		return;
	if (link->received == link->sent)
		die("connection %u (%s): a reply too many, after %u", link->id,
		    link_transport(link), link->received);
	wrong = msg_check_reply(link_plan(link), link->id, link->received, msg);
	if (wrong)
		die("connection %u (%s), reply %u: %s", link->id,
		    link_transport(link), link->received, wrong);
	traffic_count(&link->client->report.received, msg, size);
	link->received++;
	if (link->client->phase == PHASE_MESSAGES &&
	    link->received == link->target)
		link->client->waiting--;
}

static void link_eof(struct link *link)
{
	if (!link->shut_down || link->received != link->target ||
	    buf_len(&link->in))
		die("connection %u (%s): the server closed it after %u of %u replies and %zu bytes",
		    link->id, link_transport(link), link->received,
		    link->target, buf_len(&link->in));
	link_close(link);
}

static void link_receive(struct link *link)
{
	size_t room = buf_wanted(&link->in), size;
	ssize_t n;
	char *msg;

	n = recv(link->fd, buf_reserve(&link->in, room), room, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0)
		die_errno("recv, connection %u (%s)", link->id,
			  link_transport(link));
	if (n == 0) {
		link_eof(link);
		return;
	}
	buf_commit(&link->in, n);
	while ((msg = buf_message(&link->in, &size))) {
		link_reply(link, msg, size);
		buf_consume(&link->in, size);
	}
	if (link->datagrams && buf_len(&link->in))
		die("connection %u: a datagram that is no message", link->id);
}

/* After the goodbye is written, or after its reply, which depends on the id. */
static void link_finish(struct link *link)
{
	bool early = plan_shuts_down_early(link->id) && !link->datagrams;

	if (link->sent < link->target || buf_len(&link->out))
		return;
	if (early && !link->shut_down) {
		if (shutdown(link->fd, SHUT_WR))
			die_errno("shutdown, connection %u", link->id);
		link->shut_down = true;
	} else if (!early && link->received == link->target) {
		link_close(link);
	}
}

static void link_advance(struct link *link)
{
	uint32_t interest;

	link_fill(link);
	link_flush(link);
	if (link->client->phase == PHASE_CLOSE)
		link_finish(link);
	if (link->state == LINK_CLOSED)
		return;
	interest = link->hold ? 0 : EPOLLIN;
	interest |= buf_len(&link->out) ? EPOLLOUT : 0;
	link_set_interest(link, interest);
}

void link_start_phase(struct link *link)
{
	link->target = plan_quota(link_plan(link), link->id);
	if (link->client->phase == PHASE_CLOSE)
		link->target++;
	link_advance(link);
}

void link_event(struct link *link, uint32_t events)
{
	if (link->state == LINK_CONNECTING) {
		link_connected(link);
		return;
	}
	if (events & ~EPOLLOUT)
		link_receive(link);
	if (link->state == LINK_OPEN)
		link_advance(link);
}
