// SPDX-License-Identifier: MIT
/* myepoll run: a program with the preload library in it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../call.h"
#include "command.h"

#define PRELOAD_NAME "libmyepoll-preload.so"

struct run_options {
	bool help;
	bool require;
	bool verbose;
	bool io_uring;
};

int device_open(void)
{
	long fd = call_create(EPOLL_CLOEXEC);

	if (fd < 0)
		errno = fd == -ENOTTY ? ENODEV : (int)-fd;
	return fd < 0 ? -1 : (int)fd;
}

/* The directory this command is in. */
static bool own_directory(char *dir, size_t size)
{
	ssize_t length = readlink("/proc/self/exe", dir, size - 1);
	char *slash;

	if (length < 0)
		return false;
	dir[length] = '\0';
	slash = strrchr(dir, '/');
	if (!slash)
		return false;
	*slash = '\0';
	return true;
}

/* Beside the command (not installed), from its directory, at its full name. */
static bool find_preload(char *path, size_t size)
{
	static const char *const place[] = { "", MYEPOLL_FROM_BIN "/" };
	char dir[PATH_MAX], name[2 * PATH_MAX];
	size_t i;

	for (i = 0; own_directory(dir, sizeof(dir)) && i < 2; i++) {
		snprintf(name, sizeof(name), "%s/%s" PRELOAD_NAME, dir, place[i]);
		if (!access(name, R_OK) && realpath(name, path))
			return true;
	}
	snprintf(path, size, "%s/" PRELOAD_NAME, MYEPOLL_PRIVATE);
	return !access(path, R_OK);
}

/* In front of what there is: who comes first gets the call. */
static int set_preload(const char *library)
{
	const char *others = getenv("LD_PRELOAD");
	char *value;
	int ret;

	if (!others || !*others)
		return setenv("LD_PRELOAD", library, 1);
	if (asprintf(&value, "%s:%s", library, others) < 0)
		return -1;
	ret = setenv("LD_PRELOAD", value, 1);
	free(value);
	return ret;
}

static int set_environment(const struct run_options *options, const char *library)
{
	if (set_preload(library))
		return -1;
	if (options->require && setenv("MYEPOLL_REQUIRE", "1", 1))
		return -1;
	if (options->verbose && setenv("MYEPOLL_VERBOSE", "1", 1))
		return -1;
	return setenv("MYEPOLL_NO_IO_URING", options->io_uring ? "0" : "1", 1);
}

/*
 * The file that execvp() would run, as far as one can tell beforehand; false if
 * there is none, which execvp() then says better.
 */
static bool find_program(const char *name, char *path, size_t size)
{
	const char *dirs = getenv("PATH"), *end;

	if (strchr(name, '/'))
		return snprintf(path, size, "%s", name) < (int)size &&
		       !access(path, F_OK);
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; ; dirs = end + 1) {
		end = strchrnul(dirs, ':');
		if (snprintf(path, size, "%.*s%s%s", (int)(end - dirs), dirs,
			     end == dirs ? "" : "/", name) < (int)size &&
		    !access(path, X_OK))
			return true;
		if (!*end)
			return false;
	}
}

/* Says what may go wrong; true if it is to be run all the same. */
static bool examine(const char *program, const struct run_options *options)
{
	char path[PATH_MAX];
	enum carried carried;

	if (!find_program(program, path, sizeof(path)))
		return true;
	carried = program_carried(path);
	if (carried == CARRIED_YES)
		return true;
	if (!options->require || carried == CARRIED_UNKNOWN) {
		complain("warning: %s %s", path, carried_reason(carried));
		return true;
	}
	complain("%s %s", path, carried_reason(carried));
	return false;
}

/* Without --require a missing device is the program's affair, or nobody's. */
static bool check_device(const struct run_options *options)
{
	int fd = device_open();

	if (fd >= 0) {
		close(fd);
		return true;
	}
	if (options->require)
		complain("%s: %s; load the module, or see to the permissions of the node",
			 MYEPOLL_DEVICE, strerror(errno));
	return !options->require;
}

/* The place of the program in @argv; 0 if there need not be one; -1: wrong usage. */
static int parse(int argc, char **argv, struct run_options *options)
{
	static const struct option longs[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "require", no_argument, NULL, 'r' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "io-uring", no_argument, NULL, 'u' },
		{ 0 },
	};
	int opt;

	/* The program's own options are the program's. */
	while ((opt = getopt_long(argc, argv, "+hrv", longs, NULL)) != -1) {
		switch (opt) {
		case 'h':
			options->help = true;
			return 0;
		case 'r':
			options->require = true;
			break;
		case 'v':
			options->verbose = true;
			break;
		case 'u':
			options->io_uring = true;
			break;
		default:
			return -1;
		}
	}
	if (optind < argc)
		return optind;
	complain("run: no program given");
	return -1;
}

int cmd_run(int argc, char **argv)
{
	struct run_options options = { 0 };
	char library[PATH_MAX];
	int at = parse(argc, argv, &options);

	if (at < 0)
		return EXIT_WRONG_USAGE;
	if (options.help)
		return show_help();
	if (!find_preload(library, sizeof(library))) {
		complain("there is no %s; install it with make install", library);
		return EXIT_MYEPOLL;
	}
	if (strpbrk(library, " :")) {
		complain("LD_PRELOAD cannot hold the name %s: it has a space or a colon",
			 library);
		return EXIT_MYEPOLL;
	}
	if (!check_device(&options) || !examine(argv[at], &options))
		return EXIT_MYEPOLL;
	if (set_environment(&options, library)) {
		complain("cannot set the environment: %s", strerror(errno));
		return EXIT_MYEPOLL;
	}
	execvp(argv[at], argv + at);
	at = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXEC;
	complain("%s: %s", argv[optind], strerror(errno));
	return at;
}
