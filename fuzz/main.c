// SPDX-License-Identifier: GPL-2.0-only
/* The fuzzer's command line. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/myepoll.h>

#include "fuzz.h"
#include "prog.h"
#include "util.h"

#define UNLOAD_PATIENCE_S	60
#define MAX_MODES		16

static const char usage[] =
"usage: fuzz --mode lockstep|lanes|concurrent|hostile [--mode ...] [OPTION]...\n"
"  --seed N       what all follows from (default: the time)\n"
"  --seconds N    how long (60; 0: until --steps)\n"
"  --steps N      how many operations (0: no limit)\n"
"  --length N     operations in one program (lockstep: 400, lanes: 1000)\n"
"  --jobs N       lockstep, lanes: programs at a time (one for each CPU)\n"
"  --threads N    concurrent, hostile: threads (6)\n"
"  --user UID     hostile: the user to be (65534)\n"
"  --break HOW    falsify the module's answers, to see this fail; lockstep: done,\n"
"                 edge, errno, lost, order, store; concurrent: lost, sleep\n"
"  --unload       unload the module afterwards; that must work\n";

static const struct {
	const char *name;
	int (*run)(const struct options *o, uint64_t *passed);
} modes[] = {
	{ "lockstep", lockstep },
	{ "lanes", lanes },
	{ "concurrent", concurrent },
	{ "hostile", hostile },
};

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (*end || !*text || *text == '-' || value < least || value > most) {
		fprintf(stderr, "fuzz: %s: a number from %llu to %llu is wanted\n",
			text, (unsigned long long)least, (unsigned long long)most);
		exit(2);
	}
	return value;
}

/* Files of processes that have just gone may take a moment to be released. */
static int unload(void)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	time_t end = time(NULL) + UNLOAD_PATIENCE_S;

	while (syscall(SYS_delete_module, "myepoll", O_NONBLOCK)) {
		if (errno != EAGAIN || time(NULL) > end) {
			printf("FAILED: unloading: %s\n", strerror(errno));
			return 1;
		}
		nanosleep(&pause, NULL);
	}
	printf("the module is unloaded\n");
	return 0;
}

static const char *modes_wanted[MAX_MODES];
static int nr_modes;

static void want_mode(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(name, modes[i].name))
			continue;
		if (nr_modes == MAX_MODES)
			break;
		modes_wanted[nr_modes++] = name;
		return;
	}
	fputs(usage, stderr);
	exit(2);
}

/* What a mode tells us, in shared memory */
struct sum {
	uint64_t passed;
	uint64_t failed;
};

static void run_here(const char *name, const struct options *o, struct sum *sum)
{
	uint64_t passed = 0;
	size_t i;
	int failed;

	printf("%s: --seed %llu\n", name, (unsigned long long)o->seed);
	for (i = 0; strcmp(name, modes[i].name); i++)
		;
	failed = modes[i].run(o, &passed);
	sum->passed += passed;
	sum->failed += failed;
	printf("%s: %s\n", name, failed ? "FAILED" : "success");
	fflush(stdout);
	_exit(0);
}

/* In a process of its own: a mode may leave threads anywhere, and that is it. */
static void run_mode(const char *name, const struct options *o, struct sum *sum)
{
	uint64_t before = sum->passed + sum->failed;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid)
		run_here(name, o, sum);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (status || sum->passed + sum->failed == before) {
		printf("%s: FAILED: it ended with status %#x, %s\n", name, status,
		       status ? "before its time" : "but nothing was done");
		sum->failed++;
	}
}

static bool parse(int c, const char *arg, struct options *o)
{
	switch (c) {
	case 's':
		o->seed = number(arg, 0, UINT64_MAX);
		break;
	case 't':
		o->seconds = number(arg, 0, 1000000);
		break;
	case 'n':
		o->steps = number(arg, 0, UINT64_MAX);
		break;
	case 'l':
		o->length = number(arg, 1, MAX_STEPS);
		break;
	case 'j':
		o->jobs = number(arg, 1, 64);
		break;
	case 'T':
		o->threads = number(arg, 1, 64);
		break;
	case 'u':
		o->user = number(arg, 1, 1U << 31);
		break;
	case 'b':
		o->breakage = arg;
		break;
	default:
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "mode", required_argument, NULL, 'm' },
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ "steps", required_argument, NULL, 'n' },
		{ "length", required_argument, NULL, 'l' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "threads", required_argument, NULL, 'T' },
		{ "user", required_argument, NULL, 'u' },
		{ "break", required_argument, NULL, 'b' },
		{ "unload", no_argument, NULL, 'U' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	struct options o = { .seed = time(NULL), .seconds = 60,
			     .jobs = get_nprocs(), .threads = 6, .user = 65534 };
	bool want_unload = false;
	struct sum *sum;
	int c, i;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (c == 'm') {
			want_mode(optarg);
		} else if (c == 'U') {
			want_unload = true;
		} else if (!parse(c, optarg, &o)) {
			fputs(usage, stderr);
			return 2;
		}
	}
	if (!nr_modes) {
		fputs(usage, stderr);
		return 2;
	}
	if (access(MYEPOLL_DEVICE, R_OK))
		die(MYEPOLL_DEVICE);
	sum = mmap(NULL, sizeof(*sum), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sum == MAP_FAILED)
		die("mmap");
	for (i = 0; i < nr_modes; i++)
		run_mode(modes_wanted[i], &o, sum);
	if (want_unload && unload())
		sum->failed++;
	else
		sum->passed += want_unload;
	printf("%llu passed, %llu failed\n", (unsigned long long)sum->passed,
	       (unsigned long long)sum->failed);
	return sum->failed || !sum->passed;
}
