/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether the last close of a watched file detaches it from its instance, for
 * every way in which a file can be closed for the last time.
 *
 * Include this after mockuse.h.
 */
#ifndef SELFTESTS_DETACH_H
#define SELFTESTS_DETACH_H

#include <sys/eventfd.h>
#include <sys/socket.h>

enum detach_way {
	DETACH_CLOSE,		/* close() */
	DETACH_DUP2,		/* dup2() of another file over it */
	DETACH_EXIT,		/* exit of a process that has the last copy */
	DETACH_SCM,		/* close of a socket that it was queued on */
	DETACH_WAYS,
};

/* Put @fd into the queue of a socket pair, keep none but what is in there. */
static inline int detach_by_scm(int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	ret = sendmsg(pair[0], &msg, 0) == 1 ? 0 : -1;
	ret |= close(fd);
	return ret | close(pair[0]) | close(pair[1]);
}

static inline int detach_by_exit(int fd)
{
	int go[2], status, ret;
	char c;
	pid_t pid;

	if (pipe(go))
		return -1;
	pid = fork();
	if (!pid) {
		close(go[1]);
		_exit(read(go[0], &c, 1) ? 1 : 0);
	}
	ret = close(fd) | close(go[0]) | close(go[1]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		return -1;
	return ret;
}

static inline int detach_file(int fd, enum detach_way way)
{
	int other, ret;

	switch (way) {
	case DETACH_CLOSE:
		return close(fd);
	case DETACH_DUP2:
		other = eventfd(0, 0);
		ret = other < 0 || dup2(other, fd) != fd;
		return ret | close(other) | close(fd);
	case DETACH_EXIT:
		return detach_by_exit(fd);
	default:
		return detach_by_scm(fd);
	}
}

/*
 * Watch a mock object and an eventfd, both ready, close them for the last time.
 * Returns 0 if nothing is reported and nothing stays behind.
 */
static inline int detach_once(const struct backend *be, enum detach_way way)
{
	int ep = be->create(EPOLL_CLOEXEC), control = mock_open();
	int leaked = control < 0 ? 0 : mock_leaked(control);
	int mock = mock_open(), fd = eventfd(1, EFD_CLOEXEC);
	struct epoll_event ev[2];
	int ret = 0;

	if (ep < 0 || control < 0 || mock < 0 || fd < 0)
		return -1;
	ret |= mock_heads(mock, 3, 0, MOCK_HEAD_FREEABLE, 0);
	ret |= mock_set(mock, EPOLLIN);
	ret |= xadd(be, ep, mock, EPOLLIN, 1) | xadd(be, ep, fd, EPOLLIN, 2);
	ret |= wait0(be, ep, ev, 2) != 2;
	ret |= detach_file(mock, way) | detach_file(fd, way);
	if (wait0(be, ep, ev, 2)) {
		fprintf(stderr, "# reported after the last close, way %d\n", way);
		ret = -1;
	}
	if (mock_leaked(control) != leaked) {
		fprintf(stderr, "# wait entry left on a dead file, way %d\n", way);
		ret = -1;
	}
	return ret | close(ep) | close(control);
}

static inline int detach_works(const struct backend *be, int rounds)
{
	int i, way;

	for (i = 0; i < rounds; i++) {
		for (way = 0; way < DETACH_WAYS; way++) {
			if (detach_once(be, way))
				return -1;
		}
	}
	return 0;
}

#endif /* SELFTESTS_DETACH_H */
