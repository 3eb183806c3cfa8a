// SPDX-License-Identifier: GPL-2.0-only
// C++: cancellation unwinds through the wait functions, running destructors.
#include "preload_self.h"

#include <atomic>
#include <cstdio>
#include <pthread.h>

#include "myepoll.h"

namespace {

std::atomic<int> destroyed;
int instance;

struct Counted {
	~Counted() { destroyed++; }
};

using wait_function = int (*)(int, epoll_event *, int, int);

int batch_wait(int ep, epoll_event *events, int max, int)
{
	return myepoll_batch(ep, nullptr, 0, nullptr, events, max, nullptr, nullptr);
}

void *sleeper(void *arg)
{
	Counted outer;
	epoll_event event;

	try {
		Counted inner;
		(*static_cast<wait_function *>(arg))(instance, &event, 1, -1);
	} catch (...) {
		destroyed += 10;
		throw;		// or glibc ends the program
	}
	return nullptr;
}

bool cancelled(wait_function function)
{
	pthread_t thread;
	void *result = nullptr;

	destroyed = 0;
	if (pthread_create(&thread, nullptr, sleeper, &function) ||
	    pthread_cancel(thread) || pthread_join(thread, &result))
		return false;
	return result == PTHREAD_CANCELED && destroyed == 12;
}

void report(int number, bool good, const char *name)
{
	std::printf("%sok %d cxx.%s\n", good ? "" : "not ", number, name);
}

} // namespace

int main()
{
	bool all[4];

	instance = epoll_create1(EPOLL_CLOEXEC);
	all[0] = !myepoll_probe(instance, nullptr);
	all[1] = cancelled(epoll_wait);
	all[2] = cancelled(myepoll_wait);
	all[3] = cancelled(batch_wait);
	std::puts("1..4");
	report(1, all[0], "instance_is_ours");
	report(2, all[1], "cancelled_epoll_wait_unwinds");
	report(3, all[2], "cancelled_myepoll_wait_unwinds");
	report(4, all[3], "cancelled_myepoll_batch_unwinds");
	return !(all[0] && all[1] && all[2] && all[3]);
}
