// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "proto.h"

#define HASH_FACTOR	0x9e3779b97f4a7c15ULL

uint64_t mix64(uint64_t x)
{
	x += HASH_FACTOR;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* The size of a message is a multiple of 8, so whole words are enough. */
static uint64_t msg_hash(const char *msg, size_t size)
{
	uint64_t hash = size, word;

	for (size_t i = 0; i + sizeof(word) <= size; i += sizeof(word)) {
		memcpy(&word, msg + i, sizeof(word));
		hash = (hash ^ word) * HASH_FACTOR;
		hash ^= hash >> 29;
	}
	return hash;
}

void traffic_count(struct traffic *t, const void *msg, size_t size)
{
	t->messages++;
	t->bytes += size;
	t->hash += msg_hash(msg, size);
}

void traffic_add(struct traffic *sum, const struct traffic *t)
{
	sum->messages += t->messages;
	sum->bytes += t->bytes;
	sum->hash += t->hash;
}

bool traffic_equal(const struct traffic *a, const struct traffic *b)
{
	return a->messages == b->messages && a->bytes == b->bytes &&
	       a->hash == b->hash;
}

static uint64_t payload_start(const struct plan *plan, uint32_t id,
			      uint32_t seq)
{
	return mix64(plan->seed + mix64((uint64_t)seq << 32 | id));
}

static uint64_t payload_step(uint64_t x)
{
	x ^= x << 13;
	x ^= x >> 7;
	return x ^ x << 17;
}

static struct msg_header header_make(const struct plan *plan, uint32_t id,
				     uint32_t seq)
{
	bool last = seq == plan_quota(plan, id);

	return (struct msg_header) {
		.length = plan_payload(plan, id, seq),
		.kind = last ? MSG_GOODBYE : MSG_DATA,
		.id = id,
		.seq = seq,
	};
}

size_t msg_size(const struct plan *plan, uint32_t id, uint32_t seq)
{
	return sizeof(struct msg_header) + plan_payload(plan, id, seq);
}

void msg_make(const struct plan *plan, uint32_t id, uint32_t seq, void *msg)
{
	struct msg_header header = header_make(plan, id, seq);
	uint64_t word = payload_start(plan, id, seq);
	char *p = msg;

	memcpy(p, &header, sizeof(header));
	p += sizeof(header);
	for (uint32_t i = 0; i < header.length; i += sizeof(word)) {
		word = payload_step(word);
		memcpy(p + i, &word, sizeof(word));
	}
}

const char *msg_check_reply(const struct plan *plan, uint32_t id, uint32_t seq,
			    const void *msg)
{
	struct msg_header want = header_make(plan, id, seq), got;
	uint64_t word = payload_start(plan, id, seq);
	const char *p = msg;

	memcpy(&got, p, sizeof(got));
	p += sizeof(got);
	if (got.id != id)
		return "it belongs to another connection";
	if (got.seq != seq)
		return "wrong sequence number";
	if (got.kind != (want.kind | MSG_REPLY))
		return "wrong kind";
	if (got.length != want.length)
		return "wrong length";
	for (uint32_t i = 0; i < want.length; i += sizeof(word)) {
		word = payload_step(word);
		if (memcmp(p + i, &word, sizeof(word)))
			return "payload differs";
	}
	return NULL;
}
