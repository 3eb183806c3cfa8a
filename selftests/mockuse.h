/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For the tests that load modules and order things from the mock device.
 *
 * Include this after helpers.h.  Functions return 0 (or a descriptor), or -1
 * with errno.
 */
#ifndef SELFTESTS_MOCKUSE_H
#define SELFTESTS_MOCKUSE_H

#include <stdarg.h>

#include "mock/mock.h"

static inline int module_load(const char *path, const char *params)
{
	int fd, ret, err;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ret = syscall(SYS_finit_module, fd, params, 0);
	err = errno;
	close(fd);
	errno = err;
	return ret;
}

/* Without O_NONBLOCK a busy module would make the call wait. */
static inline int module_unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK);
}

static inline const char *env_or(const char *name, const char *fallback)
{
	const char *value = getenv(name);

	return value && *value ? value : fallback;
}

/* Where scripts/vm keeps the modules that it loads, if not told otherwise. */
static inline const char *myepoll_ko(void)
{
	return env_or("MYEPOLL_KO", "/lib/kmods/myepoll.ko");
}

static inline const char *myepoll_mock_ko(void)
{
	return env_or("MYEPOLL_MOCK_KO", "/lib/kmods/myepoll_mock.ko");
}

/* A new mock object; loads the module if that has not been done. */
static inline int mock_open(void)
{
	const char *ko = myepoll_mock_ko();
	int fd = open(MOCK_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (module_load(ko, "") && errno != EEXIST) {
		fprintf(stderr, "%s cannot be loaded: %m\n", ko);
		return -1;
	}
	return open(MOCK_DEVICE, O_RDWR | O_CLOEXEC);
}

static inline int mock_set(int fd, uint32_t revents)
{
	return ioctl(fd, MOCK_IOC_SET, (unsigned long)revents);
}

/* Make poll() register on these @count heads from now on. */
static inline int mock_heads(int fd, int count, ...)
{
	struct mock_heads heads = { .count = count };
	va_list ap;
	int i;

	va_start(ap, count);
	for (i = 0; i < count; i++)
		heads.head[i] = va_arg(ap, int);
	va_end(ap);
	return ioctl(fd, MOCK_IOC_HEADS, &heads);
}

static inline int mock_order(int fd, enum mock_context context, int head,
			     uint32_t key, uint32_t flags, uint32_t revents,
			     uint64_t delay_ns)
{
	struct mock_wake wake = {
		.head = head,
		.key = key,
		.revents = revents,
		.context = context,
		.flags = flags,
		.delay_ns = delay_ns,
	};

	return ioctl(fd, MOCK_IOC_WAKE, &wake);
}

/* The plain case: @head says @key, in process context. */
static inline int mock_wake(int fd, int head, uint32_t key)
{
	return mock_order(fd, MOCK_PROCESS, head, key, 0, 0, 0);
}

/* poll() returns @revents from now on and head 0 says so. */
static inline int mock_event(int fd, uint32_t revents)
{
	return mock_order(fd, MOCK_PROCESS, 0, revents, MOCK_WAKE_SET, revents,
			  0);
}

/* Hold the next poll() that registers, or asks, as @flags say. */
static inline int mock_hold(int fd, uint32_t flags)
{
	struct mock_slow slow = {
		.mode = MOCK_SLOW_HOLD,
		.flags = flags,
		.count = 1,
	};

	return ioctl(fd, MOCK_IOC_SLOW, &slow);
}

static inline int mock_release(int fd)
{
	return ioctl(fd, MOCK_IOC_RELEASE);
}

static inline int mock_pollfree(int fd)
{
	return ioctl(fd, MOCK_IOC_POLLFREE);
}

static inline struct mock_stat mock_stat(int fd)
{
	struct mock_stat stat;

	poison(&stat, sizeof(stat));
	if (ioctl(fd, MOCK_IOC_STAT, &stat))
		perror("MOCK_IOC_STAT");
	return stat;
}

static inline int mock_entries(int fd, int head)
{
	return mock_stat(fd).entries[head];
}

static inline int mock_exclusive(int fd, int head)
{
	return mock_stat(fd).exclusive[head];
}

/* pt->_key of the last poll(), always a mask */
static inline uint32_t mock_key(int fd)
{
	return mock_stat(fd).last_key;
}

/* Objects closed under a watcher; @fd is that of any other object. */
static inline int mock_leaked(int fd)
{
	return mock_stat(fd).leaked;
}

/* Until @count calls of poll() are asleep. */
static inline bool mock_wait_sleeping(int fd, uint32_t count)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;

	while (mock_stat(fd).sleeping != count) {
		if (now_ns() > deadline)
			return false;
		breathe();
	}
	return true;
}

/* Until @count wake-ups from @context have been done. */
static inline bool mock_wait_wakes(int fd, enum mock_context context,
				   uint64_t count)
{
	int64_t deadline = now_ns() + PATIENCE_MS * 1000000LL;

	while (mock_stat(fd).wakes[context] < count) {
		if (now_ns() > deadline)
			return false;
		breathe();
	}
	return true;
}

#endif /* SELFTESTS_MOCKUSE_H */
