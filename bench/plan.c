// SPDX-License-Identifier: GPL-2.0-only
#include "plan.h"
#include "proto.h"
#include "util.h"

#define HEAVY_EVERY	32	/* of the streams, one in so many */
#define HEAVY_SHARE	10	/* of the quota, one in so many */
#define WINDOW_LIGHT	4	/* at most; the least is 1 */
#define WINDOW_HEAVY	2

const char *const transport_name[TRANSPORTS] = {
	[TCP4] = "TCP over IPv4",
	[TCP6] = "TCP over IPv6",
	[UNIX] = "unix stream",
	[UDP] = "UDP",
};

unsigned int plan_streams(const struct plan *plan)
{
	unsigned int n = 0;

	for (int t = 0; t < STREAMS; t++)
		n += plan->connections[t];
	return n;
}

unsigned int plan_connections(const struct plan *plan)
{
	return plan_streams(plan) + plan->connections[UDP];
}

enum transport plan_transport(const struct plan *plan, unsigned int id)
{
	for (int t = 0; t < STREAMS; t++) {
		if (id < plan->connections[t])
			return t;
		id -= plan->connections[t];
	}
	return UDP;
}

bool plan_heavy(const struct plan *plan, unsigned int id)
{
	return id % HEAVY_EVERY == 0 && id < plan_streams(plan);
}

bool plan_any_heavy(const struct plan *plan)
{
	return plan_streams(plan) > 0;
}

bool plan_shuts_down_early(unsigned int id)
{
	return id & 1;
}

unsigned int plan_quota(const struct plan *plan, unsigned int id)
{
	if (plan_heavy(plan, id))
		return plan->messages / HEAVY_SHARE + WINDOW_HEAVY;
	return plan->messages;
}

unsigned int plan_window(const struct plan *plan, unsigned int id)
{
	/* A datagram that finds a full buffer is gone, so not many at once. */
	if (plan_transport(plan, id) == UDP)
		return 1;
	return plan_heavy(plan, id) ? WINDOW_HEAVY : 1 + id % WINDOW_LIGHT;
}

uint32_t plan_payload(const struct plan *plan, unsigned int id, uint32_t seq)
{
	uint64_t dice = mix64(plan->seed ^ ((uint64_t)id << 32 | seq));
	uint32_t min = 0, max = PAYLOAD_LIGHT_MAX;

	if (plan_heavy(plan, id)) {
		min = PAYLOAD_HEAVY_MIN;
		max = PAYLOAD_HEAVY_MAX;
	}
	return min + dice % ((max - min) / 8 + 1) * 8;
}

void plan_totals(const struct plan *plan, uint64_t *messages, uint64_t *bytes)
{
	*messages = 0;
	*bytes = 0;
	for (unsigned int id = 0; id < plan_connections(plan); id++) {
		uint32_t count = plan_quota(plan, id) + 1;

		*messages += count;
		for (uint32_t seq = 0; seq < count; seq++)
			*bytes += msg_size(plan, id, seq);
	}
}
