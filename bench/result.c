// SPDX-License-Identifier: GPL-2.0-only
/*
 * Figures on their way to scripts/bench, and the limits that stand before them.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "result.h"
#include "util.h"

/* Beside the watched files: instances, listening sockets, the usual three. */
#define SPARE_FDS	4096

void result(const struct backend *be, const char *name, const char *unit,
	    double value)
{
	printf("{\"name\":\"%s\",\"unit\":\"%s\",\"backend\":\"%s\",\"value\":%.9g}\n",
	       name, unit, be->name, value);
	fflush(stdout);
}

const struct backend *backend_by_name(const char *name)
{
	if (!strcmp(name, backend_native.name))
		return &backend_native;
	if (!strcmp(name, backend_myepoll.name))
		return &backend_myepoll;
	die("no backend '%s': there are native and myepoll", name);
}

/* Raises a sysctl if it is lower; one that is not there has nothing to say. */
static void raise_sysctl(const char *path, long value)
{
	FILE *file = fopen(path, "r+");
	long now;

	if (!file && errno == ENOENT)
		return;
	if (!file)
		die_errno("%s (root may raise it)", path);
	if (fscanf(file, "%ld", &now) != 1)
		die("%s holds no number", path);
	if (now < value) {
		rewind(file);
		if (fprintf(file, "%ld\n", value) < 0 || fflush(file))
			die_errno("raising %s to %ld", path, value);
	}
	fclose(file);
}

void allow_watches(long count)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		die_errno("getrlimit");
	if (limit.rlim_cur >= (rlim_t)count + SPARE_FDS)
		return;
	limit.rlim_cur = count + SPARE_FDS;
	if (limit.rlim_max < limit.rlim_cur) {
		raise_sysctl("/proc/sys/fs/nr_open", limit.rlim_cur);
		raise_sysctl("/proc/sys/fs/file-max", limit.rlim_cur);
		raise_sysctl("/proc/sys/fs/epoll/max_user_watches", limit.rlim_cur);
		raise_sysctl("/proc/sys/fs/myepoll/max_user_watches",
			     limit.rlim_cur);
		limit.rlim_max = limit.rlim_cur;
	}
	if (setrlimit(RLIMIT_NOFILE, &limit))
		die_errno("asking for %ld descriptors", count + SPARE_FDS);
}
