// SPDX-License-Identifier: GPL-2.0-only
/*
 * Delta debugging: of a program on which the sides differ, the shortest part
 * on which they still do.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shrink.h"
#include "util.h"

#define ATTEMPTS	5
#define TAIL		60

enum outcome run_apart(const struct prog *p, struct report *report,
		       const char *breakage)
{
	pid_t pid;
	int status;

	report->text[0] = '\0';
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		world.report = report;
		world.breakage = breakage;
		world_run(p);
		_exit(RUN_SAME);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (!WIFEXITED(status)) {
		snprintf(report->text, MAX_REPORT, "killed by signal %d",
			 WTERMSIG(status));
		return RUN_DIED;
	}
	return WEXITSTATUS(status);
}

static bool fails(const struct prog *p, struct report *report,
		  const char *breakage, enum outcome how)
{
	return run_apart(p, report, breakage) == how;
}

/* @p without the operations from @from on, @n of them */
static void without(struct prog *to, const struct prog *p, int from, int n)
{
	to->len = p->len - n;
	to->lanes = p->lanes;
	memcpy(to->op, p->op, from * sizeof(p->op[0]));
	memcpy(to->op + from, p->op + from + n,
	       (to->len - from) * sizeof(p->op[0]));
}

/* Drop runs of @n operations as long as the rest fails; was any dropped? */
static bool drop_runs(struct prog *p, int n, struct report *report,
		      const char *breakage, enum outcome how)
{
	static struct prog less;
	bool any = false;
	int at = p->len - n;

	while (at >= 0 && p->len > n) {
		without(&less, p, at, n);
		if (fails(&less, report, breakage, how)) {
			*p = less;
			any = true;
			if (at > p->len - n)
				at = p->len - n;
		} else {
			at -= n;
		}
	}
	return any;
}

static void shrink(struct prog *p, struct report *report, const char *breakage,
		   enum outcome how)
{
	int n;

	for (n = p->len / 2; n >= 1; n = n > 1 ? n / 2 : 0) {
		while (drop_runs(p, n, report, breakage, how) && n == 1)
			;
	}
}

/* Batches need not ask for more than there is. */
static void trim_batches(struct prog *p)
{
	int i;

	for (i = 0; i < p->len; i++) {
		struct op *op = &p->op[i];

		if (op->kind != OP_BATCH)
			continue;
		op->b = batch_waits(op, p->len - i - 1);
		op->x = batch_changes(op, p->len - i - 1);
	}
}

static void print_prog(const struct prog *p, int from)
{
	int i;

	for (i = from; i < p->len; i++)
		op_print(stdout, i, &p->op[i]);
}

/* Say what happened and show the shortest program that still does it. */
void explain(const struct prog *p, uint64_t seed, struct report *report,
	     enum outcome how, const char *breakage)
{
	static struct prog small;
	int at = atomic_load(&report->at), again = 0, i;

	printf("DIFFERENCE in the program of seed %llu at operation %d:\n  %s\n",
	       (unsigned long long)seed, at, report->text);
	printf("  again: fuzz --mode %s --seed %llu --steps %d --length %d\n",
	       p->lanes ? "lanes" : "lockstep", (unsigned long long)seed, p->len, p->len);
	for (i = 0; i < ATTEMPTS && !again; i++)
		again += fails(p, report, breakage, how);
	small = *p;
	if (!again) {
		printf("It did not come again in %d attempts.  The end of it:\n",
		       ATTEMPTS);
		small.len = at + 1 < p->len ? at + 1 : p->len;
		print_prog(&small, small.len > TAIL ? small.len - TAIL : 0);
		return;
	}
	shrink(&small, report, breakage, how);
	trim_batches(&small);
	/* The report of the last run that failed may be that of another. */
	for (i = 0; i < ATTEMPTS && !fails(&small, report, breakage, how); i++)
		;
	printf("Smallest program (%d operations):\n", small.len);
	print_prog(&small, 0);
	printf("  at operation %d, or in the check at the end: %s\n",
	       atomic_load(&report->at), report->text);
}
