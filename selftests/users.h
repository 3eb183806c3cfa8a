/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changing users and limits, for tests that run as root.
 */
#ifndef SELFTESTS_USERS_H
#define SELFTESTS_USERS_H

#include <grp.h>

#include "helpers.h"

/* Users that nothing else on the system is likely to run as */
#define UID_A 54321
#define UID_B 54322

/*
 * Be user @uid in every respect but the saved uid, which stays root's so that a
 * later call can undo it.
 */
static inline int become(uid_t uid)
{
	if (setresuid(-1, 0, -1))
		return -1;
	return setresuid(uid, uid, 0);
}

/* No way back, and no capability left */
static inline int become_for_good(uid_t uid)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid))
		return -1;
	return setresuid(uid, uid, uid);
}

/*
 * struct sysctl_saved - a sysctl that a test has changed
 * @path: its file; NULL: nothing is changed
 * @text: what was in it
 */
struct sysctl_saved {
	const char *path;
	char text[64];
};

static inline int sysctl_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len = strlen(text);
	int ret;

	if (fd < 0)
		return -1;
	ret = write(fd, text, len) == len ? 0 : -1;
	close(fd);
	return ret;
}

static inline int sysctl_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -1;
	len = read(fd, text, size - 1);
	close(fd);
	if (len <= 0)
		return -1;
	text[len] = '\0';
	return 0;
}

/* Keeps the value there was before the first change. */
static inline int sysctl_set(struct sysctl_saved *saved, const char *path,
			     const char *text)
{
	if (!saved->path) {
		if (sysctl_read(path, saved->text, sizeof(saved->text)))
			return -1;
		saved->path = path;
	}
	return sysctl_write(path, text);
}

/* For teardown too: a test may have ended as another user. */
static inline int sysctl_restore(struct sysctl_saved *saved)
{
	if (!saved->path)
		return 0;
	if (become(0) || sysctl_write(saved->path, saved->text))
		return -1;
	saved->path = NULL;
	return 0;
}

static inline const char *watch_limit_path(const struct backend *be)
{
	return be->ours ? "/proc/sys/fs/myepoll/max_user_watches" :
			  "/proc/sys/fs/epoll/max_user_watches";
}

#endif /* SELFTESTS_USERS_H */
