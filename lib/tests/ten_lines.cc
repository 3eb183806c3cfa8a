// SPDX-License-Identifier: GPL-2.0-only
#include <myepoll.h>
#include <iostream>
#include <unistd.h>

int main()
{
	epoll_event event = {};
	int fds[2], ep = myepoll_create1(EPOLL_CLOEXEC);

	event.events = EPOLLOUT;
	event.data.fd = 7;
	if (ep < 0 || pipe(fds) || myepoll_ctl(ep, EPOLL_CTL_ADD, fds[1], &event))
		return 1;
	std::cout << myepoll_wait(ep, &event, 1, -1) << ' ' << event.data.fd << '\n';
}
