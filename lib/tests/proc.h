/* SPDX-License-Identifier: GPL-2.0-only */
/* What tests of the libraries share: what a descriptor is, and other programs. */
#ifndef LIB_TESTS_PROC_H
#define LIB_TESTS_PROC_H

#include <dirent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OURS	"anon_inode:[myepoll]"
#define NATIVE	"anon_inode:[eventpoll]"

static inline const char *link_of(int fd, char *text, size_t size)
{
	char path[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, text, size - 1);
	text[length < 0 ? 0 : length] = '\0';
	return text;
}

static inline bool is_link(int fd, const char *expected)
{
	char text[64];

	return !strcmp(link_of(fd, text, sizeof(text)), expected);
}

/* Descriptors of this process, without the one that looks. */
static inline int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int count = -1;

	while (dir && (entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return count;
}

/* The directory of this program, for shell commands: $TEST_HERE */
static inline int set_test_here(void)
{
	char here[4096] = "";
	char *slash;

	if (readlink("/proc/self/exe", here, sizeof(here) - 1) < 0)
		return -1;
	slash = strrchr(here, '/');
	if (!slash)
		return -1;
	*slash = '\0';
	return setenv("TEST_HERE", here, 1);
}

/*
 * Runs a shell command; its output goes to @text.  Returns its exit status, -1
 * if it was killed or could not be run.
 */
static inline __attribute__((format(printf, 3, 4)))
int output_of(char *text, size_t size, const char *format, ...)
{
	char command[2048];
	size_t length = 0, got;
	va_list ap;
	FILE *pipe;
	int status;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	text[0] = '\0';
	pipe = popen(command, "re");
	if (!pipe)
		return -1;
	while (length < size - 1 &&
	       (got = fread(text + length, 1, size - 1 - length, pipe)) > 0)
		length += got;
	text[length] = '\0';
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif /* LIB_TESTS_PROC_H */
