// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "report.h"
#include "util.h"

#define NAME_WIDTH	38

static double seconds(const struct result *r)
{
	return (double)r->phase_ns / NSEC_PER_SEC;
}

static double get_connections(const struct result *r)
{
	return r->connections;
}

static double get_closes(const struct result *r)
{
	return r->closes_seen + r->goodbyes_seen;
}

static double get_messages(const struct result *r)
{
	return r->requests.messages + r->replies.messages;
}

static double get_bytes(const struct result *r)
{
	return r->requests.bytes + r->replies.bytes;
}

static double get_partial(const struct result *r)
{
	return r->tally[TALLY_PARTIAL_WRITES];
}

static double get_resent(const struct result *r)
{
	return r->resent;
}

static double get_events(const struct result *r)
{
	return r->phase_events;
}

static double get_waits(const struct result *r)
{
	return r->phase_waits;
}

static double get_events_per_wait(const struct result *r)
{
	return r->phase_waits ? (double)r->phase_events / r->phase_waits : 0;
}

static double get_switches(const struct result *r)
{
	return r->phase_switches;
}

static double get_cpu(const struct result *r)
{
	return r->phase_cpu_ns / 1e6;
}

static double get_ms(const struct result *r)
{
	return r->phase_ns / 1e6;
}

static double get_message_rate(const struct result *r)
{
	return r->phase_messages / seconds(r);
}

static double get_byte_rate(const struct result *r)
{
	return r->phase_bytes / seconds(r) / 1e6;
}

static const struct row {
	const char *name;
	double (*get)(const struct result *r);
	int digits;
	bool exact;	/* the same in every run, so no ratio */
} rows[] = {
	{ "connections", get_connections, 0, true },
	{ "ends of connections seen by server", get_closes, 0, true },
	{ "messages, both ways", get_messages, 0, true },
	{ "bytes, both ways", get_bytes, 0, true },
	{ "partial writes", get_partial, 0, false },
	{ "datagrams sent again", get_resent, 0, false },
	{ "events delivered *", get_events, 0, false },
	{ "wake-ups (waits that returned) *", get_waits, 0, false },
	{ "events per wake-up *", get_events_per_wait, 2, false },
	{ "voluntary context switches *", get_switches, 0, false },
	{ "server CPU time, ms *", get_cpu, 1, false },
	{ "elapsed, ms *", get_ms, 1, false },
	{ "messages per second *", get_message_rate, 0, false },
	{ "throughput, MB/s *", get_byte_rate, 2, false },
};

static double series_median(const struct series *s, const struct row *row)
{
	double values[RUNS_MAX];

	for (unsigned int i = 0; i < s->runs; i++)
		values[i] = row->get(&s->result[i]);
	return median(values, s->runs);
}

/*
 * Runs are alternated, so a slow spell of the machine hits neighbours alike:
 * the ratio is taken pair by pair, and its median and spread are shown.
 */
static void print_ratio(const struct series *native, const struct series *ours,
			const struct row *row)
{
	unsigned int pairs = native->runs < ours->runs ? native->runs :
							 ours->runs;
	double ratios[RUNS_MAX], mid;

	for (unsigned int i = 0; i < pairs; i++) {
		double base = row->get(&native->result[i]);

		if (base == 0)
			return;
		ratios[i] = row->get(&ours->result[i]) / base;
	}
	mid = median(ratios, pairs);
	printf("  %6.2f  (%.2f to %.2f)", mid, ratios[0], ratios[pairs - 1]);
}

static void print_checksums(const struct series *native,
			    const struct series *ours)
{
	static const char *const name[] = {
		"checksum, clients to server", "checksum, server to clients",
	};
	const struct series *any = native->runs ? native : ours;

	for (int i = 0; i < 2; i++) {
		printf("%-*s", NAME_WIDTH, name[i]);
		for (int s = 0; s < 2; s++)
			printf(" %14s", (s ? ours : native)->runs ?
			       "match" : "-");
		printf("  %016" PRIx64 "\n",
		       i ? any->result[0].replies.hash :
			   any->result[0].requests.hash);
	}
}

static void print_value(const struct series *s, const struct row *row)
{
	if (s->runs)
		printf(" %14.*f", row->digits, series_median(s, row));
	else
		printf(" %14s", "-");
}

static void print_heading(const struct plan *plan)
{
	struct utsname kernel;

	if (uname(&kernel))
		die_errno("uname");
	printf("Linux %s %s, %ld CPUs\n", kernel.release, kernel.machine,
	       sysconf(_SC_NPROCESSORS_ONLN));
	printf("%u TCP/IPv4 + %u TCP/IPv6 + %u unix + %u UDP connections\n",
	       plan->connections[TCP4], plan->connections[TCP6],
	       plan->connections[UNIX], plan->connections[UDP]);
	printf("%u client processes, %u server threads on one instance\n\n",
	       plan->clients, plan->workers);
}

void report_table(const struct plan *plan, const struct series *native,
		  const struct series *ours)
{
	print_heading(plan);
	printf("%-*s %14s %14s   ratio  (spread)\n", NAME_WIDTH, "", native->name,
	       ours->name);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		printf("%-*s", NAME_WIDTH, rows[i].name);
		print_value(native, &rows[i]);
		print_value(ours, &rows[i]);
		if (!rows[i].exact && native->runs && ours->runs)
			print_ratio(native, ours, &rows[i]);
		printf("\n");
	}
	print_checksums(native, ours);
	printf("\n* while quotas are exchanged; connecting and closing not included\n");
	printf("  medians of %u and %u runs; ratio = %s / %s, of neighbouring runs\n",
	       native->runs, ours->runs, ours->name, native->name);
}

void report_json(const char *backend, unsigned int run,
		 const struct result *r)
{
	printf("{\"backend\":\"%s\",\"run\":%u", backend, run);
	printf(",\"connections\":%" PRIu64 ",\"closes\":%" PRIu64
	       ",\"udp_goodbyes\":%" PRIu64,
	       r->connections, r->closes_seen, r->goodbyes_seen);
	printf(",\"messages\":%.0f,\"bytes\":%.0f", get_messages(r),
	       get_bytes(r));
	printf(",\"requests_hash\":\"%016" PRIx64 "\",\"replies_hash\":\"%016"
	       PRIx64 "\"", r->requests.hash, r->replies.hash);
	printf(",\"partial_writes\":%" PRIu64 ",\"adds\":%" PRIu64
	       ",\"mods\":%" PRIu64 ",\"dels\":%" PRIu64 ",\"resent\":%" PRIu64,
	       r->tally[TALLY_PARTIAL_WRITES], r->tally[TALLY_ADDS],
	       r->tally[TALLY_MODS], r->tally[TALLY_DELS], r->resent);
	printf(",\"events\":%" PRIu64 ",\"wakeups\":%" PRIu64
	       ",\"events_per_wakeup\":%.3f,\"context_switches\":%" PRIu64,
	       r->phase_events, r->phase_waits, get_events_per_wait(r),
	       r->phase_switches);
	printf(",\"server_cpu_seconds\":%.6f,\"seconds\":%.6f",
	       r->phase_cpu_ns / 1e9, seconds(r));
	printf(",\"messages_per_second\":%.1f,\"megabytes_per_second\":%.3f}\n",
	       get_message_rate(r), get_byte_rate(r));
	fflush(stdout);
}
