/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program that includes this runs with the preload library in it, however it
 * was started: it starts itself again.  Without the library it does not run.
 */
#ifndef LIB_TESTS_PRELOAD_SELF_H
#define LIB_TESTS_PRELOAD_SELF_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PRELOAD_NAME "libmyepoll-preload.so"

/* A file beside this program. */
static inline void beside(char *path, size_t size, const char *name)
{
	char self[PATH_MAX] = "";
	char *slash;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		self[0] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	if (snprintf(path, size, "%s/%s", self, name) >= (int)size)
		path[0] = '\0';
}

static inline void preload_die(const char *why)
{
	printf("Bail out! %s\n", why);
	fflush(stdout);
	_exit(1);
}

static void __attribute__((constructor(102)))
preload_self(int argc, char **argv)
{
	char library[PATH_MAX];
	Dl_info info;

	(void)argc;
	if (getenv("LD_PRELOAD")) {
		if (!dladdr(dlsym(RTLD_DEFAULT, "epoll_create1"), &info) ||
		    !strstr(info.dli_fname, PRELOAD_NAME))
			preload_die("the preload library is not in this program");
		return;
	}
	beside(library, sizeof(library), PRELOAD_NAME);
	/* Not one native instance, whatever happens. */
	if (setenv("LD_PRELOAD", library, 1) || setenv("MYEPOLL_REQUIRE", "1", 1))
		preload_die("no memory");
	execv("/proc/self/exe", argv);
	preload_die("cannot start itself again");
}

#endif /* LIB_TESTS_PRELOAD_SELF_H */
