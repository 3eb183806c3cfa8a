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
#include "result.h"
#include "util.h"

#define SAMPLES		501
#define WHOLE_SAMPLES	20000
#define LOOP_ROUNDS	100000
#define LOOP_TRIES	9
#define NAME_WIDTH	38
#define COSTS_MAX	96

static const char usage[] =
"usage: icount [OPTION]...\n"
"Count the instructions of single operations on native epoll and on myepoll.\n"
"\n"
"  -b, --backend NAME   native, myepoll or both (default both)\n"
"  -s, --set NAME       which operations, may be given several times:\n"
"                         calls  single calls\n"
"                         close  last closes of files that nobody watches\n"
"                         many   ADD, MOD, DEL beside 10 to 100,000 watches\n"
"                         huge   the same beside 1,000,000 (takes 2 GB)\n"
"                         all    all of them\n"
"                       default: calls and close\n"
"  -j, --json           print lines of JSON and no table\n"
"  -a, --any-clock      go on although the clock does not count instructions\n"
"  -h, --help           print this text and exit\n";

/* In the unit of the clock; negative: not measured. */
struct cost {
	const char *key;
	const char *title;
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
			  what->key, got, what->expect);
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
			die_errno("%s, %s", g->be->name, what->key);
	return (double)(tick() - start) / WHOLE_SAMPLES;
}

/* Neighbours beside the same crowd: it is made once, and left as it was. */
static bool same_ground(const struct operation *a, const struct operation *b)
{
	return a && b && (a->set & (SET_MANY | SET_HUGE)) && a->set == b->set &&
	       a->watches == b->watches;
}

static double measure(const struct operation *what, struct ground *g)
{
	static const struct operation nothing = {
		.key = "nothing", .op = op_nothing,
	};
	double overhead;

	if (what->whole)
		return measure_whole(what, g);
	overhead = measure_median(&nothing, g);
	return measure_median(what, g) - overhead;
}

static void measure_sets(const struct backend *be, int sets)
{
	static struct ground g;
	const struct operation *last = NULL;

	for (int i = 0; i < operation_count; i++) {
		const struct operation *what = &operations[i];
		double value;

		if (!(what->set & sets))
			continue;
		if (!same_ground(last, what)) {
			if (last)
				ground_exit(&g);
			ground_init(&g, be);
			if (what->prepare)
				what->prepare(&g, what);
		}
		last = what;
		value = measure(what, &g);
		*(be->ours ? &costs[i].ours : &costs[i].native) = value;
	}
	if (last)
		ground_exit(&g);
}

static const struct cost *find_cost(const char *key)
{
	for (int i = 0; i < operation_count; i++)
		if (!strcmp(costs[i].key, key))
			return &costs[i];
	die("no operation '%s'", key);
}

static double subtract(double of, double minus)
{
	return of < 0 || minus < 0 ? -1 : of - minus;
}

static void measure_all(bool native, bool ours, int sets)
{
	for (int i = 0; i < operation_count; i++)
		costs[i] = (struct cost) {
			.key = operations[i].key,
			.title = operations[i].title,
			.native = -1,
			.ours = -1,
		};
	cost_count = operation_count;
	if (native)
		measure_sets(&backend_native, sets);
	if (ours)
		measure_sets(&backend_myepoll, sets);
	for (int i = 0; i < difference_count; i++) {
		const struct cost *of = find_cost(differences[i].of);
		const struct cost *minus = find_cost(differences[i].minus);

		costs[cost_count++] = (struct cost) {
			.key = differences[i].key,
			.title = differences[i].title,
			.native = subtract(of->native, minus->native),
			.ours = subtract(of->ours, minus->ours),
		};
	}
}

static bool measured(const struct cost *cost)
{
	return cost->native >= 0 || cost->ours >= 0;
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

		if (!measured(cost))
			continue;
		printf("%-*s", NAME_WIDTH, cost->title);
		print_number(cost->native);
		print_number(cost->ours);
		if (cost->native > 0 && cost->ours >= 0)
			printf(" %7.2f", cost->ours / cost->native);
		printf("\n");
	}
	printf("\nmedian of %d, the cost of measuring taken off\n", SAMPLES);
	printf("'all work', also what is put off: mean of %d\n", WHOLE_SAMPLES);
}

static void print_json(const char *unit)
{
	char name[64];

	for (int i = 0; i < cost_count; i++) {
		snprintf(name, sizeof(name), "icount.%s", costs[i].key);
		if (costs[i].native >= 0)
			result(&backend_native, name, unit, costs[i].native);
		if (costs[i].ours >= 0)
			result(&backend_myepoll, name, unit, costs[i].ours);
	}
}

struct options {
	bool native, ours, json, any_clock;
	int sets;
};

static int set_by_name(const char *name)
{
	static const struct {
		const char *name;
		int set;
	} sets[] = {
		{ "calls", SET_CALLS }, { "close", SET_CLOSE },
		{ "many", SET_MANY }, { "huge", SET_HUGE },
		{ "all", SET_CALLS | SET_CLOSE | SET_MANY | SET_HUGE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		if (!strcmp(sets[i].name, name))
			return sets[i].set;
	die("no set of operations '%s'", name);
}

static void parse_option(struct options *o, int c)
{
	switch (c) {
	case 'b':
		o->native = !strcmp(optarg, "native") || !strcmp(optarg, "both");
		o->ours = !strcmp(optarg, "myepoll") || !strcmp(optarg, "both");
		if (!o->native && !o->ours)
			die("no backend '%s'", optarg);
		break;
	case 's':
		o->sets |= set_by_name(optarg);
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
		{ "set", required_argument, NULL, 's' },
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
	while ((c = getopt_long(argc, argv, "b:s:jah", long_options, NULL)) != -1)
		parse_option(&o, c);
	if (!clock_counts_instructions(&per_round)) {
		if (!o.any_clock)
			die("the clock counts %.3f for 2 instructions (--any-clock goes on)",
			    per_round);
		unit = "ticks";
	}
	measure_all(o.native, o.ours,
		    o.sets ? o.sets : SET_CALLS | SET_CLOSE);
	if (o.json)
		print_json(unit);
	else
		print_table(unit);
	return 0;
}
