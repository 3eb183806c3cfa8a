// SPDX-License-Identifier: GPL-2.0-only
/*
 * mcload PORT SECONDS: load on memcached.  Connections set and get values of many
 * sizes; each answer is compared with what was sent, byte for byte.  Prints
 * "load OPERATIONS-PER-SECOND ERRORS".  Uses poll(2), so that only the server
 * depends on epoll.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS	32
#define MAX_VALUE	4096
#define BUFFER		(MAX_VALUE + 128)

/**
 * struct conn - a connection with one request under way
 * @fd: socket
 * @count: requests so far: an even one sets, the next one gets
 * @size: bytes of the value
 * @value: what was set
 * @expected: the answer there has to be
 * @length: bytes of it
 * @got: bytes of it that have come
 */
struct conn {
	int fd;
	unsigned int count;
	size_t size;
	char value[MAX_VALUE];
	char expected[BUFFER];
	size_t length;
	size_t got;
};

static struct conn conns[CONNECTIONS];
static unsigned long done, errors;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	fprintf(stderr, "mcload: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void send_all(int fd, const char *data, size_t size)
{
	ssize_t sent;

	for (; size; data += sent, size -= sent) {
		sent = write(fd, data, size);
		if (sent < 0)
			fail("write");
	}
}

static void request_set(struct conn *c, int key)
{
	char text[BUFFER];
	size_t i, length;

	c->size = 1 + rand() % MAX_VALUE;
	for (i = 0; i < c->size; i++)
		c->value[i] = rand();
	length = sprintf(text, "set k%d 0 0 %zu\r\n", key, c->size);
	memcpy(text + length, c->value, c->size);
	memcpy(text + length + c->size, "\r\n", 2);
	send_all(c->fd, text, length + c->size + 2);
	c->length = sprintf(c->expected, "STORED\r\n");
}

static void request_get(struct conn *c, int key)
{
	char text[32];

	send_all(c->fd, text, sprintf(text, "get k%d\r\n", key));
	c->length = sprintf(c->expected, "VALUE k%d 0 %zu\r\n", key, c->size);
	memcpy(c->expected + c->length, c->value, c->size);
	memcpy(c->expected + c->length + c->size, "\r\nEND\r\n", 7);
	c->length += c->size + 7;
}

static void next_request(struct conn *c)
{
	int key = c - conns;

	c->got = 0;
	if (c->count++ % 2)
		request_get(c, key);
	else
		request_set(c, key);
}

/* Reads what is there of the answer; a wrong byte ends it all. */
static void receive(struct conn *c)
{
	char text[BUFFER];
	ssize_t size = read(c->fd, text, c->length - c->got);

	if (size <= 0)
		fail("read");
	if (memcmp(text, c->expected + c->got, size)) {
		errors++;
		return;
	}
	c->got += size;
	if (c->got < c->length)
		return;
	done++;
	next_request(c);
}

static void open_all(int port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int i;

	for (i = 0; i < CONNECTIONS; i++) {
		conns[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		if (conns[i].fd < 0 ||
		    connect(conns[i].fd, (struct sockaddr *)&to, sizeof(to)))
			fail("connect");
		next_request(&conns[i]);
	}
}

static void run(double until)
{
	struct pollfd fds[CONNECTIONS];
	int i;

	for (i = 0; i < CONNECTIONS; i++)
		fds[i] = (struct pollfd){ .fd = conns[i].fd, .events = POLLIN };
	while (!errors && now() < until) {
		i = poll(fds, CONNECTIONS, 10000);
		if (i < 0)
			fail("poll");
		if (!i) {
			fprintf(stderr, "mcload: no answer for 10 seconds\n");
			errors++;
		}
		for (i = 0; i < CONNECTIONS; i++)
			if (fds[i].revents)
				receive(&conns[i]);
	}
}

int main(int argc, char **argv)
{
	double start = now();

	if (argc != 3 || atoi(argv[1]) < 1 || atoi(argv[2]) < 1) {
		fprintf(stderr, "usage: mcload PORT SECONDS\n");
		return 2;
	}
	srand(1);
	open_all(atoi(argv[1]));
	run(start + atoi(argv[2]));
	printf("load %.1f %lu\n", done / (now() - start), errors);
	return errors ? EXIT_FAILURE : EXIT_SUCCESS;
}
