/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A byte queue in one piece of memory.
 */
#ifndef BENCH_BUF_H
#define BENCH_BUF_H

#include <stddef.h>

struct buf {
	char *data;
	size_t head;	/* first byte in use */
	size_t tail;	/* first byte after those in use */
	size_t size;
};

static inline size_t buf_len(const struct buf *b)
{
	return b->tail - b->head;
}

static inline char *buf_head(struct buf *b)
{
	return b->data + b->head;
}

/* Room for @room bytes at the end, to be taken with buf_commit(). */
char *buf_reserve(struct buf *b, size_t room);
void buf_commit(struct buf *b, size_t n);
void buf_append(struct buf *b, const void *data, size_t n);
void buf_consume(struct buf *b, size_t n);
void buf_free(struct buf *b);

/*
 * The message at the head and its size, or NULL as long as it is not whole; an
 * impossible length ends the program.
 */
char *buf_message(struct buf *b, size_t *size);

/* How much to ask recv() for: the rest of the message, or a few light ones. */
size_t buf_wanted(struct buf *b);

#endif /* BENCH_BUF_H */
