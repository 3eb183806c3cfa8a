/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A client process: its share of the connections, on native epoll whatever the
 * server runs on.
 *
 * It works in phases, each of which all clients end before any begins the next:
 * connect; send the quota and check the replies; goodbye and close.
 *
 * A datagram without a reply is sent again, but only once the kernel has
 * counted a packet that it dropped: otherwise nothing can have got lost except
 * an event in the server, and that must not be covered up.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "buf.h"
#include "plan.h"
#include "proto.h"
#include "sock.h"
#include "util.h"

enum phase { PHASE_CONNECT, PHASE_MESSAGES, PHASE_CLOSE, PHASES };

/* In memory shared with the server, which reads it after the client's end. */
struct client_report {
	struct traffic sent;
	struct traffic received;
	uint64_t connected;
	uint64_t closed;
	uint64_t resent;		/* datagrams */
};

struct client_job {
	const struct plan *plan;
	const struct endpoints *all;
	unsigned int number;		/* has ids number, number + clients, ... */
	int ready_fd;			/* a byte goes here after each phase */
	int gate_fd;			/* a byte from here before the next */
	int64_t deadline;
	uint64_t drops;			/* net_drops() before the run */
	struct client_report *report;
};

void __noreturn client_main(const struct client_job *job);

/* ---- between client.c and client_io.c ---- */

enum link_state { LINK_CONNECTING, LINK_OPEN, LINK_CLOSED };

/* One connection. */
struct link {
	struct client *client;
	uint32_t id;
	int fd;
	enum link_state state;
	bool datagrams;
	bool shut_down;		/* our side */
	bool hold;		/* read nothing until the window is written */
	uint32_t interest;	/* epoll events asked for */
	uint32_t sent;		/* messages; the last may be partly in @out */
	uint32_t received;
	uint32_t target;	/* of both, in this phase */
	int64_t sent_at;	/* datagrams: when the last one went out */
	struct buf in, out;
};

struct client {
	const struct client_job *job;
	int ep;
	struct link *links;
	unsigned int count;
	unsigned int waiting;	/* links that have not ended the phase */
	enum phase phase;
	int64_t next_tick;	/* when to look for lost datagrams */
	struct client_report report;
};

void link_open(struct client *client, struct link *link, uint32_t id);
void link_start_phase(struct link *link);
void link_event(struct link *link, uint32_t events);

/* Send what waits for a reply since before @before again. */
void link_resend(struct link *link, int64_t before);

#endif /* BENCH_CLIENT_H */
