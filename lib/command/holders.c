// SPDX-License-Identifier: MIT
/* Who has instances: a walk through /proc/PID/fd and fdinfo. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/myepoll.h>

#include "command.h"

#define ANON_LINK "anon_inode:[myepoll]"

static bool is_number(const char *text)
{
	return isdigit((unsigned char)*text);
}

static void read_name(pid_t pid, char *name, size_t size)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (!file || !fgets(name, size, file))
		snprintf(name, size, "?");
	if (file)
		fclose(file);
	name[strcspn(name, "\n")] = '\0';
}

long watches_of(pid_t pid, int fd, void (*each)(const struct watch_row *row))
{
	struct watch_row row;
	char path[64], line[256];
	long count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "tfd: %d events: %x data: %lx", &row.fd,
			   &row.events, &row.data) != 3)
			continue;
		count++;
		if (each)
			each(&row);
	}
	if (ferror(file))
		count = -1;
	fclose(file);
	return count;
}

/* 1: an instance; 2: an opened node; 0: something else */
static int kind_of_link(int dir, const char *name)
{
	char text[64];
	ssize_t length = readlinkat(dir, name, text, sizeof(text) - 1);

	if (length < 0)
		return 0;
	text[length] = '\0';
	if (!strcmp(text, ANON_LINK))
		return 1;
	return !strcmp(text, MYEPOLL_DEVICE) ? 2 : 0;
}

static int add_holder(struct holders *holders, const struct holder *holder)
{
	struct holder *list = reallocarray(holders->list, holders->count + 1,
					   sizeof(*list));

	if (!list)
		return -1;
	holders->list = list;
	list[holders->count++] = *holder;
	return 0;
}

static int walk_process(struct holders *holders, pid_t pid)
{
	struct holder holder = { .pid = pid };
	char path[64];
	struct dirent *entry;
	struct stat st;
	int kind, ret = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir) {
		if (errno == EACCES || errno == EPERM)
			holders->hidden++;
		/* It may have ended by now. */
		return errno == ENOMEM || errno == EMFILE || errno == ENFILE ? -1 : 0;
	}
	/* The directory itself is root's if the process may not be dumped. */
	if (!fstatat(dirfd(dir), "..", &st, 0))
		holder.uid = st.st_uid;
	while (!ret && (entry = readdir(dir))) {
		kind = is_number(entry->d_name) ?
		       kind_of_link(dirfd(dir), entry->d_name) : 0;
		if (!kind)
			continue;
		holder.fd = atoi(entry->d_name);
		holder.node = kind == 2;
		holder.watches = watches_of(pid, holder.fd, NULL);
		read_name(pid, holder.name, sizeof(holder.name));
		ret = add_holder(holders, &holder);
	}
	closedir(dir);
	return ret;
}

static int walk_all(struct holders *holders)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int ret = 0;

	if (!dir)
		return -1;
	while (!ret && (entry = readdir(dir)))
		if (is_number(entry->d_name))
			ret = walk_process(holders, atoi(entry->d_name));
	closedir(dir);
	return ret;
}

/* Is it one open file?  The kernel may be built without this question. */
static bool same_file(struct holders *holders, const struct holder *a,
		      const struct holder *b)
{
	long ret = syscall(SYS_kcmp, a->pid, b->pid, KCMP_FILE, a->fd, b->fd);

	if (ret < 0 && errno != ESRCH && errno != EBADF)
		holders->apart = true;
	return !ret;
}

/*
 * Numbers the instances: a holder belongs to the first one it shares its file
 * with.  As many comparisons as holders times instances.
 */
static void number_instances(struct holders *holders)
{
	struct holder **first = calloc(holders->count, sizeof(*first));
	size_t i;
	int n;

	for (i = 0; i < holders->count; i++) {
		struct holder *holder = &holders->list[i];

		for (n = 0; first && n < holders->instances; n++)
			if (same_file(holders, holder, first[n]))
				break;
		holder->instance = first ? n : (int)i;
		if (holder->instance == holders->instances) {
			holders->instances++;
			if (first)
				first[n] = holder;
		}
	}
	free(first);
}

static int by_instance(const void *one, const void *other)
{
	const struct holder *a = one, *b = other;

	if (a->instance != b->instance)
		return a->instance < b->instance ? -1 : 1;
	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return (a->fd > b->fd) - (a->fd < b->fd);
}

int holders_find(struct holders *holders, pid_t only)
{
	memset(holders, 0, sizeof(*holders));
	if (only ? walk_process(holders, only) : walk_all(holders))
		return -1;
	number_instances(holders);
	if (holders->count)
		qsort(holders->list, holders->count, sizeof(*holders->list),
		      by_instance);
	return 0;
}
