// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client.h"
#include "util.h"

#define BATCH		64
#define STUCK_SHOWN	5
#define TICK_NS		(NSEC_PER_SEC / 4)
#define RESEND_NS	(5 * NSEC_PER_SEC)

static const char *const phase_name[PHASES] = {
	[PHASE_CONNECT] = "connecting",
	[PHASE_MESSAGES] = "exchanging messages",
	[PHASE_CLOSE] = "closing",
};

static void __noreturn client_stuck(struct client *client)
{
	const struct plan *plan = client->job->plan;
	unsigned int shown = 0;

	for (unsigned int i = 0; i < client->count; i++) {
		struct link *link = &client->links[i];

		if (link->state == LINK_CLOSED ||
		    (link->state == LINK_OPEN && link->received == link->target &&
		     client->phase != PHASE_CLOSE))
			continue;
		if (shown++ == STUCK_SHOWN)
			break;
		fprintf(stderr,
			"%s: stuck: connection %u (%s) sent %u, has %u replies of %u%s\n",
			who, link->id,
			transport_name[plan_transport(plan, link->id)],
			link->sent, link->received, link->target,
			link->state == LINK_CONNECTING ? ", not connected" : "");
	}
	die("deadline of %u s over while %s: %u of %u connections wait",
	    plan->seconds, phase_name[client->phase], client->waiting,
	    client->count);
}

/* Now and then: is it too late, has a datagram got lost? */
static void client_tick(struct client *client)
{
	int64_t now = now_ns();

	if (now < client->next_tick)
		return;
	client->next_tick = now + TICK_NS;
	if (now >= client->job->deadline)
		client_stuck(client);
	if (net_drops() == client->job->drops)
		return;
	for (unsigned int i = 0; i < client->count; i++)
		link_resend(&client->links[i], now - RESEND_NS);
}

static void client_loop(struct client *client)
{
	struct epoll_event events[BATCH];

	while (client->waiting) {
		int n = epoll_wait(client->ep, events, BATCH,
				   ms_until(client->next_tick));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die_errno("epoll_wait");
		client_tick(client);
		for (int i = 0; i < n; i++)
			link_event(events[i].data.ptr, events[i].events);
	}
}

/* Tell that this phase is over, and wait until it is for everyone. */
static void client_phase_done(struct client *client)
{
	char byte = 1;

	*client->job->report = client->report;
	if (write(client->job->ready_fd, &byte, 1) != 1)
		die_errno("telling the server about the end of a phase");
	if (client->phase == PHASE_CLOSE)
		return;
	switch (read(client->job->gate_fd, &byte, 1)) {
	case 1:
		return;
	case 0:
		die("the server ended while this client was %s",
		    phase_name[client->phase]);
	default:
		die_errno("waiting for the next phase");
	}
}

static void client_connect(struct client *client)
{
	const struct client_job *job = client->job;
	unsigned int total = plan_connections(job->plan);

	client->links = xcalloc(total / job->plan->clients + 1,
				sizeof(*client->links));
	for (uint32_t id = job->number; id < total; id += job->plan->clients)
		link_open(client, &client->links[client->count++], id);
	client_loop(client);
	client_phase_done(client);
}

static void client_exchange(struct client *client, enum phase phase)
{
	client->phase = phase;
	client->waiting = client->count;
	/* UDP is last; it goes first, before the others fill the queues. */
	for (unsigned int i = client->count; i-- > 0; )
		link_start_phase(&client->links[i]);
	client_loop(client);
	client_phase_done(client);
}

void client_main(const struct client_job *job)
{
	struct client client = { .job = job };
	static char name[32];

	snprintf(name, sizeof(name), "client %u", job->number);
	who = name;
	client.ep = epoll_create1(EPOLL_CLOEXEC);
	if (client.ep < 0)
		die_errno("epoll_create1");
	client_connect(&client);
	client_exchange(&client, PHASE_MESSAGES);
	client_exchange(&client, PHASE_CLOSE);
	_exit(0);
}
