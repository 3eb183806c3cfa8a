// SPDX-License-Identifier: GPL-2.0-only
/*
 * creator [WORD]...: does what it is told and says what came of it, a line for
 * each word:
 *
 *	drop	becomes nobody, and so a process that may not be dumped
 *	create	makes an instance, shows what /proc says it is
 *	uring	asks for an io_uring by syscall(2)
 *	full	as create, with no descriptor left
 *	hold	says its process ID and waits until its input ends
 *	watch	adds its input to the instance made last
 *	share	forks a child that holds what there is, and ends with it
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int last = -1;

static void create(void)
{
	char path[64], text[64] = "";

	last = epoll_create1(EPOLL_CLOEXEC);
	if (last < 0) {
		puts(strerrorname_np(errno));
		return;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", last);
	if (readlink(path, text, sizeof(text) - 1) < 0)
		snprintf(text, sizeof(text), "readlink: %s", strerror(errno));
	puts(text);
}

static void full(void)
{
	struct rlimit files = { 0, 1024 };

	if (setrlimit(RLIMIT_NOFILE, &files))
		perror("setrlimit");
	create();
}

static void uring(void)
{
	char params[256] = "";
	long fd = syscall(SYS_io_uring_setup, 1, params);

	puts(fd < 0 ? strerrorname_np(errno) : "io_uring");
}

static void hold(void)
{
	char byte;

	printf("%d\n", getpid());
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
}

static void drop(void)
{
	if (setgid(65534) || setuid(65534))
		perror("setuid");
}

static void watch(void)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = 0xabc };

	puts(epoll_ctl(last, EPOLL_CTL_ADD, 0, &event) ? strerrorname_np(errno) :
							 "watched");
}

static void share(void)
{
	fflush(stdout);
	if (fork())
		return;
	/* Without its own hold on the output, whose reader waits for the end. */
	close(1);
	close(2);
	hold();
	_exit(0);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} word[] = {
		{ "create", create }, { "uring", uring }, { "hold", hold },
		{ "drop", drop }, { "full", full }, { "watch", watch }, { "share", share },
	};
	int i;
	size_t w;

	for (i = 1; i < argc; i++) {
		for (w = 0; w < sizeof(word) / sizeof(*word); w++) {
			if (!strcmp(argv[i], word[w].name)) {
				word[w].run();
				break;
			}
		}
	}
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
