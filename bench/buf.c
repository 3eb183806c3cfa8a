// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "proto.h"
#include "util.h"

char *buf_reserve(struct buf *b, size_t room)
{
	size_t len = buf_len(b);

	if (b->size - b->tail >= room)
		return b->data + b->tail;
	if (b->size - len >= room) {
		memmove(b->data, buf_head(b), len);
	} else {
		char *data = xcalloc(1, len + room);

		if (len)
			memcpy(data, buf_head(b), len);
		free(b->data);
		b->data = data;
		b->size = len + room;
	}
	b->head = 0;
	b->tail = len;
	return b->data + len;
}

void buf_commit(struct buf *b, size_t n)
{
	b->tail += n;
}

void buf_append(struct buf *b, const void *data, size_t n)
{
	memcpy(buf_reserve(b, n), data, n);
	buf_commit(b, n);
}

void buf_consume(struct buf *b, size_t n)
{
	b->head += n;
	if (b->head == b->tail)
		*b = (struct buf) { .data = b->data, .size = b->size };
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf) { 0 };
}

char *buf_message(struct buf *b, size_t *size)
{
	struct msg_header header;

	if (buf_len(b) < sizeof(header))
		return NULL;
	memcpy(&header, buf_head(b), sizeof(header));
	if (header.length > PAYLOAD_HEAVY_MAX || header.length % 8)
		die("garbled stream: a message of %u bytes, kind %#x, connection %u, number %u",
		    header.length, header.kind, header.id, header.seq);
	*size = sizeof(header) + header.length;
	return buf_len(b) >= *size ? buf_head(b) : NULL;
}

size_t buf_wanted(struct buf *b)
{
	const size_t few = 2 * DATAGRAM_MAX;
	size_t size;

	if (buf_len(b) < sizeof(struct msg_header) || buf_message(b, &size))
		return few;
	size -= buf_len(b);
	return size > few ? size : few;
}
