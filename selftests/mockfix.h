/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fixture of the tests with the mock device: an instance and a mock object.
 *
 * Include this after mockuse.h.
 */
#ifndef SELFTESTS_MOCKFIX_H
#define SELFTESTS_MOCKFIX_H

#define DATA 0x1122334455667788ULL

FIXTURE(mockdev)
{
	const struct backend *be;
	int ep;
	int fd;
	int leaked;
};

BACKEND_VARIANTS(mockdev);

FIXTURE_SETUP(mockdev)
{
	REQUIRE_BACKEND(variant->be);
	self->be = variant->be;
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->fd = mock_open();
	ASSERT_LE(0, self->fd);
	self->leaked = mock_leaked(self->fd);
}

FIXTURE_TEARDOWN(mockdev)
{
	int other = mock_open();

	/* An assertion that fails here would come round for ever. */
	EXPECT_LE(0, other);
	if (self->ep >= 0)
		EXPECT_EQ(0, close(self->ep));
	if (self->fd >= 0)
		EXPECT_EQ(0, close(self->fd));
	/* No test leaves an entry of an instance on the head of a dead file. */
	if (other >= 0)
		EXPECT_EQ(self->leaked, mock_leaked(other));
	close(other);
}

#define ADD(events) xadd(self->be, self->ep, self->fd, (events), DATA)
#define MOD(events) xmod(self->be, self->ep, self->fd, (events), DATA)
#define DEL() xdel(self->be, self->ep, self->fd)

/* What the instance reports without waiting; -1 if not zero or one event. */
#define REPORTED() reported_now(self->be, self->ep)

static inline int reported_now(const struct backend *be, int ep)
{
	struct epoll_event ev[2];
	int n = wait0(be, ep, ev, 2);

	if (!n)
		return 0;
	return n == 1 && ev[0].data.u64 == DATA ? (int)ev[0].events : -1;
}

#endif /* SELFTESTS_MOCKFIX_H */
