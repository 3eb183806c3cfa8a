/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For the tests that make the kernel fail: one allocation or copy of a call
 * fails by number; what is left in the slabs afterwards.
 *
 * Include this after helpers.h.
 */
#ifndef SELFTESTS_FAULT_H
#define SELFTESTS_FAULT_H

#include <sys/eventfd.h>

#include "sysfile.h"
#include "users.h"

/*
 * struct nth - failures by number, of the calling thread
 * @fd: its file in /proc, -1: this kernel cannot do that
 */
struct nth {
	int fd;
};

/*
 * By default the kernel spares allocations that may sleep, and single pages;
 * and it writes a stack trace for each failure.
 */
static inline int nth_setting(const char *kind, const char *name,
			      const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "/%s/%s", kind, name);
	return set_text(path, value);
}

/* Returns 0, or -1: there is no fault injection. */
static inline int nth_init(struct nth *nth)
{
	char path[64];
	int err = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/fail-nth", self_tid());
	nth->fd = open(path, O_RDWR | O_CLOEXEC);
	if (nth->fd < 0 || mount_once("debugfs", DEBUGFS, DEBUGFS "/failslab"))
		return -1;
	err |= nth_setting("failslab", "ignore-gfp-wait", "N");
	err |= nth_setting("failslab", "verbose", "0");
	err |= nth_setting("fail_page_alloc", "ignore-gfp-wait", "N");
	err |= nth_setting("fail_page_alloc", "min-order", "0");
	err |= nth_setting("fail_page_alloc", "verbose", "0");
	err |= nth_setting("fail_usercopy", "verbose", "0");
	return err ? -1 : 0;
}

/* The @n-th thing that can fail from now on does. */
static inline int nth_arm(struct nth *nth, int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", n);

	return pwrite(nth->fd, text, len, 0) == len ? 0 : -1;
}

/*
 * No more.  Returns 1 if something has failed, 0 if not, -1 on error.  What is
 * left of the number can hit the copies of the calls in here: then it was not
 * used up before.
 */
static inline int nth_disarm(struct nth *nth)
{
	char text[16] = "";
	ssize_t len = pread(nth->fd, text, sizeof(text) - 1, 0);
	int tries = 2;

	if (len <= 0 && errno != EFAULT)
		return -1;
	while (pwrite(nth->fd, "0", 1, 0) != 1)
		if (errno != EFAULT || !--tries)
			return -1;
	return len > 0 && atoi(text) == 0;
}

/* ---- slabs ---- */

static const char *const our_slabs[] = {
	"myepoll_instance", "myepoll_watch", "myepoll_hook",
};

#define OUR_SLABS 3

/*
 * Objects of a cache in use.  The count takes all objects of a CPU's current
 * slab for used, so these are flushed first.  -1: no such cache.
 */
static inline long slab_objects(const char *cache)
{
	char line[512], path[128], name[64];
	long used = -1, n;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", cache);
	if (set_text(path, "1"))
		return -1;
	f = fopen("/proc/slabinfo", "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %ld", name, &n) == 2 && !strcmp(name, cache))
			used = n;
	fclose(f);
	return used;
}

struct slab_counts {
	long used[OUR_SLABS];
};

static inline bool slab_take(struct slab_counts *counts)
{
	bool ok = true;
	int i;

	for (i = 0; i < OUR_SLABS; i++) {
		counts->used[i] = slab_objects(our_slabs[i]);
		ok &= counts->used[i] >= 0;
	}
	return ok;
}

/*
 * Until every cache of ours has no more objects in use than at @before.  Memory
 * comes back when the last user of it is done, which may take a while.
 */
static inline bool slab_back_to(const struct slab_counts *before)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;
	struct slab_counts now;
	int i, over;

	do {
		if (!slab_take(&now))
			return false;
		over = -1;
		for (i = 0; i < OUR_SLABS; i++)
			if (now.used[i] > before->used[i])
				over = i;
		if (over < 0)
			return true;
		breathe();
	} while (now_ns() < deadline);
	fprintf(stderr, "# %s: %ld objects before, %ld now\n", our_slabs[over],
		before->used[over], now.used[over]);
	return false;
}

/* ---- the count of a user's watches ---- */

/*
 * Is @user charged for exactly @want watches?  The caller is root.  The limit
 * is for everybody, so nobody else may be adding watches.
 */
static inline bool user_is_charged(const struct backend *be, uid_t user, int want)
{
	struct sysctl_saved limit = { 0 };
	bool below = false, at = false;
	char text[16];
	int ep, fd;

	if (become(user))
		return false;
	ep = be->create(EPOLL_CLOEXEC);
	fd = eventfd(0, EFD_CLOEXEC);
	if (become(0))
		return false;
	snprintf(text, sizeof(text), "%d", want);
	if (!sysctl_set(&limit, watch_limit_path(be), text))
		at = xadd(be, ep, fd, EPOLLIN, 0) == -1 && errno == ENOSPC;
	snprintf(text, sizeof(text), "%d", want + 1);
	if (!sysctl_set(&limit, watch_limit_path(be), text))
		below = !xadd(be, ep, fd, EPOLLIN, 0);
	if (sysctl_restore(&limit))
		return false;
	close(fd);
	close(ep);
	return below && at;
}

#endif /* SELFTESTS_FAULT_H */
