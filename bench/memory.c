// SPDX-License-Identifier: GPL-2.0-only
/*
 * memory - what watches and idle instances take of the kernel's memory
 *
 * The kernel's own count of pages in slabs, in vmalloc and per-CPU chunks is
 * read before and after, and the difference divided.  As a check the same is
 * done with the objects of all slab caches, used or not, and with free memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crew.h"
#include "result.h"
#include "util.h"

#define STEADY_READINGS	4
#define READING_MS	50
#define STEADY_TRIES	200
#define FIRST_FD	64
#define CACHES_MAX	512
#define FREE_COUNT	100000
#define MODULE		"/lib/kmods/myepoll.ko"

static const char usage[] =
"usage: memory [OPTION]...\n"
"Bytes of kernel memory for each watch or idle instance.\n"
"\n"
"  -b, --backend NAME   native or myepoll\n"
"  -w, --what NAME      watch: watches of one instance; instance: idle ones;\n"
"                       single: instances with one watch each; module: the\n"
"                       module itself, which is unloaded and loaded again\n"
"  -n, --count N        how many (default 10000; module: 1)\n"
"  -m, --module FILE    module: where it is (default " MODULE ")\n"
"  -s, --stride N       watch: one descriptor number in N is used (default 1)\n"
"  -N, --name NAME      what to call the result\n"
"  -v, --verbose        also list the slab caches that grew\n"
"  -h, --help           print this text and exit\n";

static const struct backend *be;
static int maker = -1;	/* an instance of ours that makes others */

struct cache {
	char name[64];
	double bytes;	/* of objects in use */
};

/* In bytes. */
struct reading {
	double slab, vmalloc, percpu, free;
	int count;
	struct cache caches[CACHES_MAX];
};

/* Counters are kept for each CPU and summed up now and then: now, please. */
static void refresh_counters(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		die_errno("/proc/sys/vm/stat_refresh (needs root)");
	close(fd);
}

static FILE *open_or_die(const char *path)
{
	FILE *file = fopen(path, "r");

	if (!file)
		die_errno("%s (needs root)", path);
	return file;
}

static void read_meminfo(struct reading *r)
{
	FILE *file = open_or_die("/proc/meminfo");
	char line[256], name[64];
	int found = 0;
	double kb;

	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63[^:]: %lf", name, &kb) != 2)
			continue;
		found++;
		if (!strcmp(name, "Slab"))
			r->slab = kb * 1024;
		else if (!strcmp(name, "VmallocUsed"))
			r->vmalloc = kb * 1024;
		else if (!strcmp(name, "Percpu"))
			r->percpu = kb * 1024;
		else if (!strcmp(name, "MemFree"))
			r->free = kb * 1024;
		else
			found--;
	}
	fclose(file);
	if (found != 4)
		die("/proc/meminfo lacks Slab, VmallocUsed, Percpu or MemFree");
}

static void read_slabinfo(struct reading *r)
{
	FILE *file = open_or_die("/proc/slabinfo");
	char line[512];
	double active, size;

	r->count = 0;
	while (r->count < CACHES_MAX && fgets(line, sizeof(line), file)) {
		struct cache *c = &r->caches[r->count];

		if (sscanf(line, "%63s %lf %*f %lf", c->name, &active, &size) == 3) {
			c->bytes = active * size;
			r->count++;
		}
	}
	fclose(file);
	if (!r->count)
		die("/proc/slabinfo lists no caches");
}

static double pages(const struct reading *r)
{
	return r->slab + r->vmalloc + r->percpu;
}

/* What is freed later (RCU, work items) has been freed when nothing moves. */
static void take_reading(struct reading *r)
{
	double last = -1;

	for (int same = 0, i = 0; same < STEADY_READINGS; i++) {
		if (i == STEADY_TRIES)
			die("memory does not come to rest");
		sleep_ms(READING_MS);
		refresh_counters();
		read_meminfo(r);
		same = pages(r) == last ? same + 1 : 0;
		last = pages(r);
	}
	read_slabinfo(r);
}

static double growth(const struct reading *after, const struct reading *before,
		     int i)
{
	for (int j = 0; j < before->count; j++)
		if (!strcmp(after->caches[i].name, before->caches[j].name))
			return after->caches[i].bytes - before->caches[j].bytes;
	return after->caches[i].bytes;
}

struct options {
	const char *what, *name, *module;
	long count, stride;
	bool verbose;
};

static void print(const char *name, const char *what, double value)
{
	char full[96];

	snprintf(full, sizeof(full), "%s%s", name, what);
	result(be, full, "bytes", value);
}

static void report(const struct options *o, const struct reading *before,
		   const struct reading *after)
{
	double objects = 0;

	for (int i = 0; i < after->count; i++) {
		double grown = growth(after, before, i);

		objects += grown;
		if (o->verbose && fabs(grown) >= o->count)
			fprintf(stderr, "memory: %s, %s: %.1f bytes each in %s\n",
				be->name, o->name, grown / o->count,
				after->caches[i].name);
	}
	print(o->name, "", (pages(after) - pages(before)) / o->count);
	print(o->name, ".slab", (after->slab - before->slab) / o->count);
	print(o->name, ".vmalloc", (after->vmalloc - before->vmalloc) / o->count);
	print(o->name, ".percpu", (after->percpu - before->percpu) / o->count);
	print(o->name, ".objects", objects / o->count);
	/* Whole pages in the lists of CPUs: nothing to count small things by. */
	if (o->count >= FREE_COUNT)
		print(o->name, ".free",
		      (before->free - after->free) / o->count);
}

static int create(void)
{
	struct myepoll_create arg = { .flags = EPOLL_CLOEXEC };
	int ep = maker < 0 ? be->create(EPOLL_CLOEXEC) :
			     ioctl(maker, MYEPOLL_IOC_CREATE, &arg);

	if (ep < 0)
		die_errno("%s: creating an instance", be->name);
	return ep;
}

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	if (fd < 0)
		die_errno("eventfd");
	return fd;
}

static void watch(int ep, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (be->ctl(ep, EPOLL_CTL_ADD, fd, &event))
		die_errno("%s: ADD of descriptor %d", be->name, fd);
}

/* Moves a new eventfd to its number; numbers go up from FIRST_FD. */
static int eventfd_at(long number)
{
	int fd = new_eventfd();

	if (fd != number && dup2(fd, number) < 0)
		die_errno("a descriptor with the number %ld", number);
	if (fd != number)
		close(fd);
	return number;
}

static long number_of(const struct options *o, long i)
{
	return FIRST_FD + i * o->stride;
}

/* Every number from FIRST_FD on; what is below is of no use here. */
static void open_dense(long count)
{
	int fd;

	do {
		fd = new_eventfd();
	} while (fd < FIRST_FD + count - 1);
}

static void measure_watches(const struct options *o, struct reading *before,
			    struct reading *after)
{
	int ep = create();

	if (o->stride == 1)
		open_dense(o->count);
	/* The highest first: the table of descriptors grows once. */
	for (long i = o->count; o->stride > 1 && i--; )
		eventfd_at(number_of(o, i));
	take_reading(before);
	for (long i = 0; i < o->count; i++)
		watch(ep, number_of(o, i));
	take_reading(after);
}

static void measure_instances(const struct options *o, struct reading *before,
			      struct reading *after, bool single)
{
	int *files = xcalloc(o->count, sizeof(*files));

	for (long i = 0; single && i < o->count; i++)
		files[i] = new_eventfd();
	/* Room in the table of descriptors. */
	close(eventfd_at(FIRST_FD + 2 * o->count));
	take_reading(before);
	for (long i = 0; i < o->count; i++) {
		int ep = create();

		if (single)
			watch(ep, files[i]);
	}
	take_reading(after);
	free(files);
}

static void load(const struct options *o)
{
	int fd = open(o->module, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		die_errno("loading %s", o->module);
	close(fd);
}

/* What it takes before anybody uses it: code, and a table of fixed size. */
static void measure_module(const struct options *o, struct reading *before,
			   struct reading *after)
{
	/* Whatever loading takes once is there the second time. */
	for (int i = 0; i < 2; i++) {
		if (be->ours && syscall(SYS_delete_module, "myepoll", 0))
			die_errno("unloading the module");
		take_reading(before);
		if (be->ours)
			load(o);
		take_reading(after);
	}
}

static void measure(const struct options *o)
{
	static struct reading before, after;

	if (!strcmp(o->what, "module")) {
		measure_module(o, &before, &after);
		report(o, &before, &after);
		return;
	}
	allow_watches(FIRST_FD + 2 * o->count + o->count * o->stride);
	if (be->ours)
		maker = create();
	if (!strcmp(o->what, "watch"))
		measure_watches(o, &before, &after);
	else if (!strcmp(o->what, "instance"))
		measure_instances(o, &before, &after, false);
	else if (!strcmp(o->what, "single"))
		measure_instances(o, &before, &after, true);
	else
		die("nothing is called '%s': there are watch, instance, single and module",
		    o->what);
	report(o, &before, &after);
}

static void parse_option(struct options *o, int c)
{
	switch (c) {
	case 'b':
		be = backend_by_name(optarg);
		break;
	case 'w':
		o->what = optarg;
		break;
	case 'n':
		o->count = parse_number(optarg, "--count", 1, 10000000);
		break;
	case 's':
		o->stride = parse_number(optarg, "--stride", 1, 1024);
		break;
	case 'N':
		o->name = optarg;
		break;
	case 'm':
		o->module = optarg;
		break;
	case 'v':
		o->verbose = true;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		fputs("Try 'memory --help'.\n", stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "backend", required_argument, NULL, 'b' },
		{ "what", required_argument, NULL, 'w' },
		{ "count", required_argument, NULL, 'n' },
		{ "stride", required_argument, NULL, 's' },
		{ "name", required_argument, NULL, 'N' },
		{ "module", required_argument, NULL, 'm' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct options o = { .what = "watch", .name = "memory.watch",
			     .module = MODULE, .count = 10000, .stride = 1 };
	int c;

	who = "memory";
	be = &backend_native;
	while ((c = getopt_long(argc, argv, "b:w:n:s:N:m:vh", long_options,
				NULL)) != -1)
		parse_option(&o, c);
	measure(&o);
	return 0;
}
