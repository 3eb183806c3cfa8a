// SPDX-License-Identifier: GPL-2.0-only
/*
 * A library whose constructor makes an instance.  It is loaded after the preload
 * library, so its constructor runs before that one's.
 */
#include <sys/epoll.h>

int early_instance = -2;
int early_wait = -2;

static void __attribute__((constructor)) early(void)
{
	struct epoll_event event;

	early_instance = epoll_create1(EPOLL_CLOEXEC);
	early_wait = epoll_wait(early_instance, &event, 1, 0);
}
