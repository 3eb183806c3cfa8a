// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvload memcached|redis PORT SECONDS: load on a server of keys and values.
 * Connections set and get values of many sizes; each answer is compared with what
 * was sent, byte for byte.  Prints "load OPERATIONS-PER-SECOND ERRORS".  Uses
 * poll(2), so that only the server depends on epoll.
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

/**
 * struct protocol - how a server wants to be asked, and what it answers
 * @name: of the server
 * @set: request, before the value and the line's end; of key, size
 * @stored: the answer to that
 * @get: request; of key
 * @head: of the answer to that, before the value; of key (redis does not repeat it),
 *        size
 * @tail: of it, after the value
 *
 * All keys have two characters, so that redis can be told their length here.
 */
struct protocol {
	const char *name;
	size_t (*set)(char *text, int key, size_t size);
	const char *stored;
	size_t (*get)(char *text, int key);
	size_t (*head)(char *text, int key, size_t size);
	const char *tail;
};

static struct conn conns[CONNECTIONS];
static unsigned long done, errors;
static const struct protocol *protocol;

static size_t memcached_set(char *text, int key, size_t size)
{
	return sprintf(text, "set %02d 0 0 %zu\r\n", key, size);
}

static size_t memcached_get(char *text, int key)
{
	return sprintf(text, "get %02d\r\n", key);
}

static size_t memcached_head(char *text, int key, size_t size)
{
	return sprintf(text, "VALUE %02d 0 %zu\r\n", key, size);
}

static size_t redis_set(char *text, int key, size_t size)
{
	return sprintf(text, "*3\r\n$3\r\nSET\r\n$2\r\n%02d\r\n$%zu\r\n", key, size);
}

static size_t redis_get(char *text, int key)
{
	return sprintf(text, "*2\r\n$3\r\nGET\r\n$2\r\n%02d\r\n", key);
}

static size_t redis_head(char *text, int key __attribute__((unused)), size_t size)
{
	return sprintf(text, "$%zu\r\n", size);
}

static const struct protocol protocols[] = {
	{ "memcached", memcached_set, "STORED\r\n", memcached_get, memcached_head,
	  "\r\nEND\r\n" },
	{ "redis", redis_set, "+OK\r\n", redis_get, redis_head, "\r\n" },
	{ }
};

static const struct protocol *protocol_of(const char *name)
{
	const struct protocol *p;

	for (p = protocols; p->name; p++)
		if (!strcmp(name, p->name))
			return p;
	return NULL;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	fprintf(stderr, "kvload: %s: %s\n", what, strerror(errno));
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
	length = protocol->set(text, key, c->size);
	memcpy(text + length, c->value, c->size);
	memcpy(text + length + c->size, "\r\n", 2);
	send_all(c->fd, text, length + c->size + 2);
	c->length = sprintf(c->expected, "%s", protocol->stored);
}

static void request_get(struct conn *c, int key)
{
	char text[64];

	send_all(c->fd, text, protocol->get(text, key));
	c->length = protocol->head(c->expected, key, c->size);
	memcpy(c->expected + c->length, c->value, c->size);
	c->length += c->size;
	c->length += sprintf(c->expected + c->length, "%s", protocol->tail);
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
			fprintf(stderr, "kvload: no answer for 10 seconds\n");
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

	if (argc == 4)
		protocol = protocol_of(argv[1]);
	if (!protocol || atoi(argv[2]) < 1 || atoi(argv[3]) < 1) {
		fprintf(stderr, "usage: kvload memcached|redis PORT SECONDS\n");
		return 2;
	}
	srand(1);
	open_all(atoi(argv[2]));
	run(start + atoi(argv[3]));
	printf("load %.1f %lu\n", done / (now() - start), errors);
	return errors ? EXIT_FAILURE : EXIT_SUCCESS;
}
