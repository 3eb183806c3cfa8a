/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading and writing the small files of /proc, /sys and tracefs.
 *
 * Functions return 0, or -1 with errno, if not said otherwise.
 */
#ifndef SELFTESTS_SYSFILE_H
#define SELFTESTS_SYSFILE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define TRACEFS "/sys/kernel/tracing"
#define DEBUGFS "/sys/kernel/debug"

static inline int write_text(const char *path, const char *text, int flags)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags);
	ssize_t len = strlen(text), n;
	int err;

	if (fd < 0)
		return -1;
	n = write(fd, text, len);
	err = errno;
	if (close(fd) && n == len)
		return -1;
	errno = err;
	return n == len ? 0 : -1;
}

/* Replace what is in the file. */
static inline int set_text(const char *path, const char *text)
{
	return write_text(path, text, O_TRUNC);
}

/* The number that the file begins with, -1 if it cannot be read. */
static inline long number_in(const char *path)
{
	FILE *file = fopen(path, "re");
	long number = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%ld", &number) != 1)
		number = -1;
	fclose(file);
	return number;
}

/* Whether a line of the file holds the words; false too if it cannot be read. */
static inline bool file_mentions(const char *path, const char *words)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	bool found = false;
	size_t size = 0;

	if (!file)
		return false;
	while (!found && getline(&line, &size, file) > 0)
		found = strstr(line, words);
	free(line);
	fclose(file);
	return found;
}

static inline int mount_once(const char *type, const char *dir, const char *probe)
{
	if (!access(probe, F_OK))
		return 0;
	return mount(type, dir, type, 0, NULL) && errno != EBUSY ? -1 : 0;
}

static inline int need_tracefs(void)
{
	return mount_once("tracefs", TRACEFS, TRACEFS "/current_tracer");
}

static inline int need_debugfs(void)
{
	return mount_once("debugfs", DEBUGFS, DEBUGFS "/kprobes");
}

#endif /* SELFTESTS_SYSFILE_H */
