// SPDX-License-Identifier: GPL-2.0-only
/* libaio and io_uring on an instance, and instances that watch a ring. */
#define _GNU_SOURCE
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "observe.h"
#include "ring.h"

#define AIO_NS 2000000000LL

FIXTURE(async)
{
	int ep;
	int efd;
	struct epoll_event ev[4];
};

BACKEND_VARIANTS(async);

FIXTURE_SETUP(async)
{
	REQUIRE_BACKEND(variant->be);
	self->ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
	self->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->efd);
}

FIXTURE_TEARDOWN(async)
{
	close(self->efd);
	close(self->ep);
}

#define watch(fd, mask, data) \
	ASSERT_EQ(0, xadd(variant->be, self->ep, fd, mask, data))
#define touch(fd) ASSERT_EQ(0, eventfd_write(fd, 1))
#define wait_now() wait0(variant->be, self->ep, self->ev, 4)

static int drain(int efd)
{
	eventfd_t value;

	return eventfd_read(efd, &value);
}

static int aio_poll(aio_context_t ctx, struct iocb *cb, int fd, short events)
{
	memset(cb, 0, sizeof(*cb));
	cb->aio_lio_opcode = IOCB_CMD_POLL;
	cb->aio_fildes = fd;
	cb->aio_buf = events;
	return syscall(SYS_io_submit, ctx, 1, &cb);
}

static int aio_get(aio_context_t ctx, struct io_event *event, int timeout_ms)
{
	struct timespec ts = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = timeout_ms % 1000 * 1000000L,
	};

	return syscall(SYS_io_getevents, ctx, 1, 1, event, &ts);
}

TEST_F(async, aio_poll_completes_when_an_event_comes)
{
	struct io_event event;
	aio_context_t ctx = 0;
	struct iocb cb;

	ASSERT_EQ(0, syscall(SYS_io_setup, 4, &ctx));
	watch(self->efd, EPOLLIN, 1);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(1, aio_poll(ctx, &cb, self->ep, POLLIN));
		EXPECT_EQ(0, aio_get(ctx, &event, 0));
		touch(self->efd);
		ASSERT_EQ(1, aio_get(ctx, &event, PATIENCE_MS));
		EXPECT_EQ(POLLIN, event.res);
		EXPECT_EQ(1, wait_now());
		ASSERT_EQ(0, drain(self->efd));
		EXPECT_EQ(0, wait_now());
	}
	ASSERT_EQ(0, syscall(SYS_io_destroy, ctx));
}

TEST_F(async, aio_poll_of_a_ready_instance_completes_at_once)
{
	struct io_event event;
	aio_context_t ctx = 0;
	struct iocb cb;

	ASSERT_EQ(0, syscall(SYS_io_setup, 4, &ctx));
	watch(self->efd, EPOLLIN | EPOLLET, 1);
	touch(self->efd);
	ASSERT_EQ(1, aio_poll(ctx, &cb, self->ep, POLLIN));
	ASSERT_EQ(1, aio_get(ctx, &event, PATIENCE_MS));
	EXPECT_EQ(POLLIN, event.res);
	/* it has not taken the edge */
	EXPECT_EQ(1, wait_now());
	ASSERT_EQ(0, syscall(SYS_io_destroy, ctx));
}

TEST_F(async, aio_poll_for_other_events_does_not_complete)
{
	struct io_event event;
	aio_context_t ctx = 0;
	struct iocb cb;

	ASSERT_EQ(0, syscall(SYS_io_setup, 4, &ctx));
	watch(self->efd, EPOLLIN, 1);
	ASSERT_EQ(1, aio_poll(ctx, &cb, self->ep, POLLPRI));
	touch(self->efd);
	EXPECT_EQ(0, aio_get(ctx, &event, 10));
	/* cancels what is pending */
	ASSERT_EQ(0, syscall(SYS_io_destroy, ctx));
	EXPECT_EQ(1, wait_now());
}

/*
 * struct signaller - writes an eventfd that an instance watches, and that aio
 * requests on that instance signal
 */
struct signaller {
	int efd;
	atomic_bool stop;
	pthread_t thread;
};

static void *signaller_main(void *arg)
{
	struct signaller *s = arg;

	while (!atomic_load(&s->stop)) {
		/* What a request has signalled in between is read with it. */
		eventfd_write(s->efd, 1);
		drain(s->efd);
	}
	return NULL;
}

/*
 * One CPU wakes who polls the instance, and the aio request among them wants the
 * queue of the eventfd; another holds that queue and wants to wake who polls.
 */
TEST_F(async, aio_signals_what_the_instance_watches)
{
	struct signaller s = { .efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	int outer = backend_native.create(EPOLL_CLOEXEC);
	struct iocb cb, *cbp = &cb;
	struct io_event event;
	aio_context_t ctx = 0;
	int64_t end;
	int pipefd[2];

	if (!variant->be->ours)
		SKIP(return, "native epoll can deadlock here, with interrupts off");
	ASSERT_LE(0, s.efd);
	ASSERT_EQ(0, syscall(SYS_io_setup, 1, &ctx));
	/* Somebody polls all the time. */
	ASSERT_EQ(0, xadd(&backend_native, outer, self->ep, EPOLLIN | EPOLLET, 1));
	/* From within the write of an eventfd none is signalled at once. */
	ASSERT_EQ(0, pipe2(pipefd, O_NONBLOCK | O_CLOEXEC));
	watch(pipefd[0], EPOLLIN | EPOLLET, 1);
	watch(s.efd, EPOLLIN | EPOLLET, 2);
	ASSERT_EQ(0, pthread_create(&s.thread, NULL, signaller_main, &s));
	for (end = now_ns() + AIO_NS; now_ns() < end; ) {
		memset(&cb, 0, sizeof(cb));
		cb.aio_lio_opcode = IOCB_CMD_POLL;
		cb.aio_fildes = self->ep;
		cb.aio_buf = POLLIN;
		cb.aio_flags = IOCB_FLAG_RESFD;
		cb.aio_resfd = s.efd;
		ASSERT_EQ(1, syscall(SYS_io_submit, ctx, 1, &cbp));
		ASSERT_EQ(1, write(pipefd[1], "x", 1));
		ASSERT_EQ(1, aio_get(ctx, &event, PATIENCE_MS));
		ASSERT_EQ(1, read(pipefd[0], &event, 1));
		wait_now();
	}
	atomic_store(&s.stop, true);
	ASSERT_EQ(0, pthread_join(s.thread, NULL));
	ASSERT_EQ(0, syscall(SYS_io_destroy, ctx));
	close(pipefd[0]);
	close(pipefd[1]);
	close(outer);
	close(s.efd);
}

#define ring_or_skip(r) do {						\
	if (ring_init(r))						\
		SKIP(return, "no io_uring here: %s", strerror(errno));	\
} while (0)

TEST_F(async, ring_polls_an_instance)
{
	struct io_uring_cqe cqe;
	struct ring ring;

	ring_or_skip(&ring);
	watch(self->efd, EPOLLIN, 1);
	ASSERT_EQ(0, ring_poll_add(&ring, self->ep, POLLIN, 0, 7));
	EXPECT_EQ(0, ring_peek(&ring, &cqe));
	touch(self->efd);
	ASSERT_EQ(1, ring_wait(&ring, &cqe));
	EXPECT_EQ(7U, cqe.user_data);
	EXPECT_EQ(POLLIN, cqe.res);
	EXPECT_EQ(0U, cqe.flags & IORING_CQE_F_MORE);
	EXPECT_EQ(0, ring_peek(&ring, &cqe));
	EXPECT_EQ(1, wait_now());
	ring_exit(&ring);
}

TEST_F(async, ring_poll_of_a_ready_instance_completes_at_once)
{
	struct io_uring_cqe cqe;
	struct ring ring;

	ring_or_skip(&ring);
	watch(self->efd, EPOLLIN | EPOLLET, 1);
	touch(self->efd);
	ASSERT_EQ(0, ring_poll_add(&ring, self->ep, POLLIN, 0, 7));
	ASSERT_EQ(1, ring_wait(&ring, &cqe));
	EXPECT_EQ(POLLIN, cqe.res);
	EXPECT_EQ(1, wait_now());
	ring_exit(&ring);
}

TEST_F(async, ring_multishot_completes_for_every_event)
{
	struct io_uring_sqe remove = {
		.opcode = IORING_OP_POLL_REMOVE,
		.addr = 7,
		.user_data = 8,
	};
	struct io_uring_cqe cqe;
	struct ring ring;

	ring_or_skip(&ring);
	watch(self->efd, EPOLLIN, 1);
	ASSERT_EQ(0, ring_poll_add(&ring, self->ep, POLLIN,
				   IORING_POLL_ADD_MULTI, 7));
	for (int i = 0; i < 4; i++) {
		touch(self->efd);
		ASSERT_EQ(1, ring_wait(&ring, &cqe));
		EXPECT_EQ(7U, cqe.user_data);
		EXPECT_EQ(POLLIN, cqe.res);
		EXPECT_NE(0U, cqe.flags & IORING_CQE_F_MORE);
		EXPECT_EQ(0, ring_peek(&ring, &cqe));
		EXPECT_EQ(1, wait_now());
	}
	ASSERT_EQ(0, ring_submit(&ring, &remove));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(1, ring_wait(&ring, &cqe));
		EXPECT_EQ(cqe.user_data == 7 ? -ECANCELED : 0, cqe.res);
		EXPECT_EQ(0U, cqe.flags & IORING_CQE_F_MORE);
	}
	ring_exit(&ring);
}

TEST_F(async, ring_closed_with_a_poll_pending_lets_go)
{
	struct ring ring;

	ring_or_skip(&ring);
	watch(self->efd, EPOLLIN, 1);
	ASSERT_EQ(0, ring_poll_add(&ring, self->ep, POLLIN,
				   IORING_POLL_ADD_MULTI, 7));
	ring_exit(&ring);
	touch(self->efd);
	EXPECT_EQ(1, wait_now());
}

TEST_F(async, instance_watches_a_ring)
{
	struct io_uring_sqe nop = { .opcode = IORING_OP_NOP };
	struct io_uring_cqe cqe;
	struct ring ring;

	ring_or_skip(&ring);
	watch(ring.fd, EPOLLIN, 5);
	EXPECT_EQ(0, wait_now());
	ASSERT_EQ(0, ring_submit(&ring, &nop));
	ASSERT_EQ(1, wait_now());
	EXPECT_EQ((uint32_t)EPOLLIN, self->ev[0].events);
	EXPECT_EQ(5U, self->ev[0].data.u64);
	ASSERT_EQ(1, ring_peek(&ring, &cqe));
	EXPECT_EQ(0, wait_now());
	ring_exit(&ring);
	EXPECT_EQ(0, count_watches(self->ep));
}

/* An EPOLLIN of a ring carries a mark, which goes up with it, and no other. */
TEST_F(async, mark_of_a_ring_goes_up_through_instances)
{
	struct io_uring_sqe nop = { .opcode = IORING_OP_NOP };
	struct waiter w = { .be = variant->be, .timeout = -1 };
	int middle = variant->be->create(EPOLL_CLOEXEC);
	struct ring ring;
	long slept;

	w.ep = variant->be->create(EPOLL_CLOEXEC);
	ASSERT_LE(0, w.ep);
	ASSERT_LE(0, middle);
	ring_or_skip(&ring);
	watch(self->efd, EPOLLIN | EPOLLET, 1);
	watch(ring.fd, EPOLLIN | EPOLLET, 2);
	/* a mask that only the mark matches, and that nothing satisfies */
	ASSERT_EQ(0, xadd(variant->be, middle, self->ep, EPOLLIN, 3));
	ASSERT_EQ(0, xadd(variant->be, w.ep, middle, EPOLL_URING_WAKE, 4));
	ASSERT_EQ(0, waiter_start(&w));
	slept = sleep_count(w.tid);
	touch(self->efd);
	EXPECT_TRUE(slept_on(&w, slept));
	ASSERT_EQ(0, ring_submit(&ring, &nop));
	EXPECT_TRUE(woken_since(&w, slept));
	EXPECT_FALSE(atomic_load(&w.done));
	ASSERT_EQ(0, xadd(variant->be, w.ep, self->efd, EPOLLIN, 5));
	ASSERT_TRUE(waiter_finish(&w, PATIENCE_MS));
	EXPECT_EQ(1, w.ret);
	EXPECT_EQ(5U, w.events[0].data.u64);
	ring_exit(&ring);
	close(middle);
	close(w.ep);
}

/*
 * The ring polls an instance and the instance watches the ring: a completion is
 * an event is a completion.  The kernel ends that when it sees the mark, or at
 * the latest when the completion queue is full, as 6.1 does.
 */
static void no_recursion(struct __test_metadata *_metadata,
			 const struct backend *be, int top, int ep, int efd,
			 uint32_t mask)
{
	struct io_uring_cqe cqe;
	int completions = 0;
	bool ended = false;
	struct ring ring;

	ring_or_skip(&ring);
	ASSERT_EQ(0, xadd(be, ep, efd, EPOLLIN | EPOLLET, 1));
	ASSERT_EQ(0, xadd(be, ep, ring.fd, EPOLLIN | mask, 2));
	ASSERT_EQ(0, ring_poll_add(&ring, top, POLLIN, IORING_POLL_ADD_MULTI,
				   7));
	ASSERT_EQ(0, eventfd_write(efd, 1));
	while (!ended && completions <= 4 * RING_ENTRIES) {
		ASSERT_EQ(1, ring_wait(&ring, &cqe));
		EXPECT_EQ(7U, cqe.user_data);
		EXPECT_LT(0, cqe.res);
		ended = !(cqe.flags & IORING_CQE_F_MORE);
		completions++;
	}
	EXPECT_TRUE(ended);
	EXPECT_EQ(0, ring_peek(&ring, &cqe));
	TH_LOG("%d completions", completions);
	ring_exit(&ring);
}

TEST_F(async, ring_and_instance_that_watch_each_other_come_to_an_end_level)
{
	no_recursion(_metadata, variant->be, self->ep, self->ep, self->efd, 0);
}

TEST_F(async, ring_and_instance_that_watch_each_other_come_to_an_end_edge)
{
	no_recursion(_metadata, variant->be, self->ep, self->ep, self->efd,
		     EPOLLET);
}

TEST_F(async, ring_and_nested_instances_come_to_an_end)
{
	int outer = variant->be->create(EPOLL_CLOEXEC);

	ASSERT_LE(0, outer);
	ASSERT_EQ(0, xadd(variant->be, outer, self->ep, EPOLLIN, 3));
	no_recursion(_metadata, variant->be, outer, self->ep, self->efd, 0);
	close(outer);
}

TEST_F(async, ring_op_epoll_ctl_is_for_native_instances)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 3 };
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_EPOLL_CTL,
		.fd = self->ep,
		.addr = (uintptr_t)&ev,
		.len = EPOLL_CTL_ADD,
		.off = self->efd,
	};
	struct io_uring_cqe cqe;
	struct ring ring;

	ring_or_skip(&ring);
	ASSERT_EQ(0, ring_submit(&ring, &sqe));
	ASSERT_EQ(1, ring_wait(&ring, &cqe));
	if (variant->be->ours) {
		EXPECT_EQ(-EINVAL, cqe.res);
		EXPECT_EQ(0, count_watches(self->ep));
	} else {
		EXPECT_EQ(0, cqe.res);
		EXPECT_EQ(1, count_watches(self->ep));
	}
	ring_exit(&ring);
}

static bool becomes_empty(int ep)
{
	int64_t end = now_ns() + PATIENCE_MS * 1000000LL;

	while (count_watches(ep)) {
		if (now_ns() > end)
			return false;
		breathe();
	}
	return true;
}

TEST_F(async, watch_lives_as_long_as_a_mapping)
{
	struct io_uring_sqe nop = { .opcode = IORING_OP_NOP };
	struct ring ring;

	ring_or_skip(&ring);
	watch(ring.fd, EPOLLIN, 1);
	ASSERT_EQ(0, ring_submit(&ring, &nop));
	close(ring.fd);
	EXPECT_EQ(1, count_watches(self->ep));
	EXPECT_EQ(1, wait_now());
	ring_unmap(&ring);
	EXPECT_TRUE(becomes_empty(self->ep));
	EXPECT_EQ(0, wait_now());
}

TEST_F(async, watch_lives_as_long_as_a_registered_file)
{
	uint64_t one = 1;
	struct io_uring_sqe write_one = {
		.opcode = IORING_OP_WRITE,
		.flags = IOSQE_FIXED_FILE,
		.fd = 0,
		.addr = (uintptr_t)&one,
		.len = sizeof(one),
	};
	struct io_uring_cqe cqe;
	struct ring ring;

	ring_or_skip(&ring);
	watch(self->efd, EPOLLIN | EPOLLET, 1);
	ASSERT_EQ(0, syscall(SYS_io_uring_register, ring.fd,
			     IORING_REGISTER_FILES, &self->efd, 1));
	close(self->efd);
	self->efd = -1;
	EXPECT_EQ(1, count_watches(self->ep));
	ASSERT_EQ(0, ring_submit(&ring, &write_one));
	ASSERT_EQ(1, ring_wait(&ring, &cqe));
	EXPECT_EQ(8, cqe.res);
	EXPECT_EQ(1, wait_now());
	ASSERT_EQ(0, syscall(SYS_io_uring_register, ring.fd,
			     IORING_UNREGISTER_FILES, NULL, 0));
	EXPECT_TRUE(becomes_empty(self->ep));
	ring_exit(&ring);
}

TEST_HARNESS_MAIN
