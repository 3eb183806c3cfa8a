// SPDX-License-Identifier: GPL-2.0-only
#include <myepoll.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	struct epoll_event event = { .events = EPOLLOUT, .data = { .fd = 7 } };
	int fds[2], ep = myepoll_create1(EPOLL_CLOEXEC);

	if (ep < 0 || pipe(fds) || myepoll_ctl(ep, EPOLL_CTL_ADD, fds[1], &event))
		return 1;
	printf("%d %d\n", myepoll_wait(ep, &event, 1, -1), event.data.fd);
	return 0;
}
