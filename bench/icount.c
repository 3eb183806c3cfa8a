// SPDX-License-Identifier: GPL-2.0-only
/*
 * icount - the cost of single operations in instructions, native and myepoll
 *
 * Made for a virtual machine whose clock counts instructions (scripts/vm run
 * --icount).  The program checks that claim with a loop of known length before
 * it believes the clock.  User space is included, as a program pays for it too.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "icount.h"
#include "util.h"

#define SAMPLES		501
#define WHOLE_SAMPLES	20000
#define LOOP_ROUNDS	100000
#define LOOP_TRIES	9
#define NAME_WIDTH	38
#define COSTS_MAX	64

static const char usage[] =
"usage: icount [OPTION]...\n"
"Count the instructions of single operations on native epoll and on myepoll.\n"
"\n"
"  -b, --backend NAME   native, myepoll or both (default both)\n"
"  -j, --json           also print a line of JSON for each operation\n"
"  -a, --any-clock      go on although the clock does not count instructions\n"
"  -h, --help           print this text and exit\n";

/* In the unit of the clock; negative: not measured. */
struct cost {
	const char *name;
	double native;
	double ours;
};

static struct cost costs[COSTS_MAX];
static int cost_count;

#if defined(__x86_64__)
static inline int64_t tick(void)
{
	return __builtin_ia32_rdtsc();
}

/* Two instructions a round, and nothing that could take longer than another. */
static inline void known_loop(long rounds)
{
	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r" (rounds) : : "cc");
}
#else
static inline int64_t tick(void)
{
	return now_ns();
}

static inline void known_loop(long rounds)
{
	while (rounds--)
		__asm__ volatile("");
}
#endif

/*
 * Whether one tick is one instruction.  An interrupt can only lengthen a try,
 * so the shortest is the true one.
 */
static bool clock_counts_instructions(double *per_round)
{
	int64_t best = INT64_MAX;

	for (int i = 0; i < LOOP_TRIES; i++) {
		int64_t start = tick(), took;

		known_loop(LOOP_ROUNDS);
		took = tick() - start;
		if (took < best)
			best = took;
	}
	*per_round = (double)best / LOOP_ROUNDS;
	return *per_round > 1.99 && *per_round < 2.01;
}

static int64_t sample(const struct operation *what, struct ground *g)
{
	int64_t start, took;
	long got;

	if (what->before)
		what->before(g);
	start = tick();
	got = what->op(g);
	took = tick() - start;
	if (got != what->expect)
		die_errno("%s, %s: returned %ld, not %ld", g->be->name,
			  what->name, got, what->expect);
	if (what->after)
		what->after(g);
	return took;
}

static double measure_median(const struct operation *what, struct ground *g)
{
	static double values[SAMPLES];

	for (int i = 0; i < SAMPLES; i++)
		values[i] = sample(what, g);
	return median(values, SAMPLES);
}

/* What is put off (RCU, softirq) happens in the middle of a long series. */
static double measure_whole(const struct operation *what, struct ground *g)
{
	int64_t start = tick();

	for (int i = 0; i < WHOLE_SAMPLES; i++)
		if (what->op(g) != what->expect)
			die_errno("%s, %s", g->be->name, what->name);
	return (double)(tick() - start) / WHOLE_SAMPLES;
}

static double measure(const struct operation *what, const struct backend *be)
{
	static const struct operation nothing = {
		.name = "nothing", .op = op_nothing,
	};
	double cost, overhead = 0;
	struct ground g;

	ground_init(&g, be);
	if (what->prepare)
		what->prepare(&g);
	if (what->whole) {
		cost = measure_whole(what, &g);
	} else {
		overhead = measure_median(&nothing, &g);
		cost = measure_median(what, &g);
	}
	ground_exit(&g);
	return cost - overhead;
}

static const struct cost *find_cost(const char *name)
{
	for (int i = 0; i < cost_count; i++)
		if (!strcmp(costs[i].name, name))
			return &costs[i];
	die("no operation '%s'", name);
}

static void measure_all(bool native, bool ours)
{
	for (int i = 0; i < operation_count; i++) {
		struct cost *cost = &costs[cost_count++];

		cost->name = operations[i].name;
		cost->native = -1;
		cost->ours = -1;
		if (native)
			cost->native = measure(&operations[i], &backend_native);
		if (ours)
			cost->ours = measure(&operations[i], &backend_myepoll);
	}
	for (int i = 0; i < difference_count; i++) {
		const struct cost *of = find_cost(differences[i].of);
		const struct cost *minus = find_cost(differences[i].minus);

		costs[cost_count++] = (struct cost) {
			.name = differences[i].name,
			.native = native ? of->native - minus->native : -1,
			.ours = ours ? of->ours - minus->ours : -1,
		};
	}
}

static void print_number(double value)
{
	if (value < 0)
		printf(" %10s", "-");
	else
		printf(" %10.0f", value);
}

static void print_table(const char *unit)
{
	struct utsname kernel;

	if (uname(&kernel))
		die_errno("uname");
	printf("Linux %s %s\n\n", kernel.release, kernel.machine);
	printf("%-*s %10s %10s %7s\n", NAME_WIDTH, unit, "native", "myepoll",
	       "ratio");
	for (int i = 0; i < cost_count; i++) {
		const struct cost *cost = &costs[i];

		printf("%-*s", NAME_WIDTH, cost->name);
		print_number(cost->native);
		print_number(cost->ours);
		if (cost->native > 0 && cost->ours >= 0)
			printf(" %7.2f", cost->ours / cost->native);
		printf("\n");
	}
	printf("\nmedian of %d, the cost of measuring taken off\n", SAMPLES);
	printf("'deferred work included': mean of %d\n", WHOLE_SAMPLES);
}

static void print_json_number(const char *name, bool valid, double value)
{
	if (valid)
		printf(",\"%s\":%.6g", name, value);
	else
		printf(",\"%s\":null", name);
}

static void print_json(const char *unit)
{
	for (int i = 0; i < cost_count; i++) {
		const struct cost *cost = &costs[i];
		bool both = cost->native > 0 && cost->ours >= 0;

		printf("{\"name\":\"%s\",\"unit\":\"%s\"", cost->name, unit);
		print_json_number("native", cost->native >= 0, cost->native);
		print_json_number("myepoll", cost->ours >= 0, cost->ours);
		print_json_number("ratio", both, cost->ours / cost->native);
		printf("}\n");
	}
}

struct options {
	bool native, ours, json, any_clock;
};

static void parse_option(struct options *o, int c)
{
	switch (c) {
	case 'b':
		o->native = !strcmp(optarg, "native") || !strcmp(optarg, "both");
		o->ours = !strcmp(optarg, "myepoll") || !strcmp(optarg, "both");
		if (!o->native && !o->ours)
			die("no backend '%s'", optarg);
		break;
	case 'j':
		o->json = true;
		break;
	case 'a':
		o->any_clock = true;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		fputs("Try 'icount --help'.\n", stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "backend", required_argument, NULL, 'b' },
		{ "json", no_argument, NULL, 'j' },
		{ "any-clock", no_argument, NULL, 'a' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct options o = { .native = true, .ours = true };
	const char *unit = "instructions";
	double per_round;
	int c;

	who = "icount";
	while ((c = getopt_long(argc, argv, "b:jah", long_options, NULL)) != -1)
		parse_option(&o, c);
	if (!clock_counts_instructions(&per_round)) {
		if (!o.any_clock)
			die("the clock counts %.3f for 2 instructions (--any-clock goes on)",
			    per_round);
		unit = "ticks";
	}
	measure_all(o.native, o.ours);
	if (o.json)
		print_json(unit);
	print_table(unit);
	return 0;
}
