// SPDX-License-Identifier: GPL-2.0-only
/*
 * MYEPOLL_IOC_BATCH: what comes while it is under way.  An event, signals, and
 * memory that holds it up between two changes.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <poll.h>

#include "kselftest_harness.h"
#include "batchfix.h"
#include "badptr.h"
#include "doer.h"

/* ---- a thread that makes the call ---- */

/*
 * struct caller - a thread that makes one batch, with a wait for ever
 * @doer: the thread
 * @batch, @wait, @ev: of the call
 * @arg: where the batch is
 * @own: in: mask of the thread
 * @after: out: its mask after the call
 * @seen: out: value of handled right after the call
 * @start_ns, @end_ns: out: before and after it
 */
struct caller {
	struct doer doer;
	struct myepoll_batch batch;
	struct myepoll_wait wait;
	struct epoll_event ev[FILES];
	struct myepoll_batch *arg;
	sigset_t own;
	sigset_t after;
	int seen;
	int64_t start_ns;
	int64_t end_ns;
};

static atomic_int handled;
static sigset_t mask_in_handler;

static void count_signal(int sig)
{
	sigprocmask(SIG_SETMASK, NULL, &mask_in_handler);
	atomic_fetch_add(&handled, 1);
}

static sigset_t set_of(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	if (sig)
		sigaddset(&set, sig);
	return set;
}

static int do_batch(struct doer *doer)
{
	struct caller *caller = (void *)doer;
	int ret, err;

	pthread_sigmask(SIG_SETMASK, &caller->own, NULL);
	caller->start_ns = now_ns();
	ret = ioctl(doer->ep, MYEPOLL_IOC_BATCH, caller->arg);
	err = errno;
	caller->end_ns = now_ns();
	caller->seen = atomic_load(&handled);
	pthread_sigmask(SIG_SETMASK, NULL, &caller->after);
	errno = err;
	return ret;
}

static void caller_init(struct caller *caller, int ep,
			const struct myepoll_change *changes, uint32_t nr)
{
	*caller = (struct caller){
		.doer = { .work = do_batch, .ep = ep },
		.batch = batch_of(changes, nr),
		.wait = wait_forever(caller->ev, FILES),
		.arg = &caller->batch,
		.own = set_of(0),
	};
	caller->batch.wait = (uintptr_t)&caller->wait;
	caller->batch.waitsize = sizeof(caller->wait);
}

static void caller_mask(struct caller *caller, const sigset_t *mask)
{
	caller->wait.sigmask = (uintptr_t)mask;
	caller->wait.sigsetsize = KERNEL_SIGSETSIZE;
}

/* Returns 0 once the thread sleeps in its wait. */
static int caller_start(struct caller *caller)
{
	if (doer_start(&caller->doer))
		return -1;
	return wait_until_sleeping(caller->doer.tid, PATIENCE_MS) ? 0 : -1;
}

/* Returns true once the call is over, after all its changes, with @err. */
static bool caller_fails(struct caller *caller, int err)
{
	return doer_finish(&caller->doer) && caller->doer.ret == -1 &&
	       caller->doer.err == err &&
	       caller->batch.done == caller->batch.nr;
}

TEST_F(batch, event_ends_the_wait)
{
	struct myepoll_change change = add_of(self->fd[0], EPOLLIN, 8);
	struct caller caller;
	eventfd_t value;

	ASSERT_EQ(0, eventfd_read(self->fd[0], &value));
	caller_init(&caller, self->ep, &change, 1);
	ASSERT_EQ(0, caller_start(&caller));
	EXPECT_EQ(1U, caller.batch.done);
	ASSERT_EQ(0, eventfd_write(self->fd[0], 1));
	ASSERT_TRUE(doer_finish(&caller.doer));
	EXPECT_EQ(1, caller.doer.ret);
	EXPECT_EQ(1U, caller.batch.done);
	EXPECT_EQ(8U, caller.ev[0].data.u64);
}

/* ---- signals ---- */

/* Makes the files empty, and SIGUSR1 something that is counted. */
static int quiet(batch_fixture *self)
{
	struct sigaction sa = { .sa_handler = count_signal };
	eventfd_t value;
	int i;

	for (i = 0; i < FILES; i++)
		if (eventfd_read(self->fd[i], &value))
			return -1;
	return sigaction(SIGUSR1, &sa, NULL);
}

TEST_F(batch, signal_interrupts_the_wait_and_undoes_nothing)
{
	const struct myepoll_change changes[] = {
		add_of(self->fd[0], EPOLLIN, 1), add_of(self->fd[1], EPOLLIN, 2),
	};
	struct caller caller;
	struct epoll_event ev;

	ASSERT_EQ(0, quiet(self));
	caller_init(&caller, self->ep, changes, 2);
	ASSERT_EQ(0, caller_start(&caller));
	ASSERT_EQ(0, pthread_kill(caller.doer.thread, SIGUSR1));
	EXPECT_TRUE(caller_fails(&caller, EINTR));
	EXPECT_EQ(1, caller.seen);
	EXPECT_EQ(2, count_watches(self->ep));
	ASSERT_EQ(0, eventfd_write(self->fd[1], 1));
	EXPECT_EQ(1, wait0(&backend_myepoll, self->ep, &ev, 1));
}

TEST_F(batch, mask_keeps_a_signal_out_during_the_wait)
{
	struct myepoll_change change = add_of(self->fd[0], EPOLLIN, 1);
	sigset_t usr1 = set_of(SIGUSR1);
	struct caller caller;

	ASSERT_EQ(0, quiet(self));
	caller_init(&caller, self->ep, &change, 1);
	caller_mask(&caller, &usr1);
	ASSERT_EQ(0, caller_start(&caller));
	ASSERT_EQ(0, pthread_kill(caller.doer.thread, SIGUSR1));
	ASSERT_TRUE(wait_until_sleeping(caller.doer.tid, PATIENCE_MS));
	EXPECT_EQ(0, atomic_load(&handled));
	ASSERT_EQ(0, eventfd_write(self->fd[0], 1));
	ASSERT_TRUE(doer_finish(&caller.doer));
	EXPECT_EQ(1, caller.doer.ret);
	EXPECT_EQ(1, caller.seen);
	EXPECT_EQ(0, sigismember(&caller.after, SIGUSR1));
}

/* The handler runs under the mask of the wait, before that is taken back. */
TEST_F(batch, mask_lets_a_signal_through_during_the_wait)
{
	struct myepoll_change change = add_of(self->fd[0], EPOLLIN, 1);
	sigset_t usr2 = set_of(SIGUSR2);
	struct caller caller;

	ASSERT_EQ(0, quiet(self));
	caller_init(&caller, self->ep, &change, 1);
	caller.own = set_of(SIGUSR1);
	caller_mask(&caller, &usr2);
	ASSERT_EQ(0, caller_start(&caller));
	ASSERT_EQ(0, pthread_kill(caller.doer.thread, SIGUSR1));
	EXPECT_TRUE(caller_fails(&caller, EINTR));
	EXPECT_EQ(1, caller.seen);
	EXPECT_EQ(1, sigismember(&mask_in_handler, SIGUSR2));
	EXPECT_EQ(1, sigismember(&caller.after, SIGUSR1));
	EXPECT_EQ(0, sigismember(&caller.after, SIGUSR2));
	EXPECT_EQ(1, count_watches(self->ep));
}

/* One call with an empty mask; afterwards the old one is back, and the signal. */
static void signal_stays(struct __test_metadata *_metadata, batch_fixture *self,
			 const struct myepoll_change *change,
			 struct myepoll_wait wait, int want, int err)
{
	sigset_t none = set_of(0), now;
	uint32_t done;

	wait.sigmask = (uintptr_t)&none;
	wait.sigsetsize = KERNEL_SIGSETSIZE;
	errno = 0;
	EXPECT_EQ(want, batch_wait(self->ep, change, 1, &wait, &done));
	EXPECT_EQ(err, errno);
	ASSERT_EQ(0, sigprocmask(SIG_SETMASK, NULL, &now));
	EXPECT_EQ(1, sigismember(&now, SIGUSR1));
	ASSERT_EQ(0, sigpending(&now));
	EXPECT_EQ(1, sigismember(&now, SIGUSR1));
	EXPECT_EQ(0, atomic_load(&handled));
}

TEST_F(batch, mask_is_restored_by_all_that_is_not_eintr)
{
	struct myepoll_change add = add_of(self->fd[0], EPOLLIN, 1);
	struct myepoll_change del = del_of(self->fd[0]);
	sigset_t usr1 = set_of(SIGUSR1);
	struct epoll_event ev;

	ASSERT_EQ(0, quiet(self));
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &usr1, NULL));
	ASSERT_EQ(0, raise(SIGUSR1));
	signal_stays(_metadata, self, &del, wait_forever(&ev, 1), -1, ENOENT);
	signal_stays(_metadata, self, &add, wait_forever(&ev, 0), -1, EINVAL);
	signal_stays(_metadata, self, unmapped(), wait_forever(&ev, 1), -1,
		     EFAULT);
	signal_stays(_metadata, self, &add, wait_for(&ev, 1, 0), 0, 0);
	ASSERT_EQ(0, eventfd_write(self->fd[0], 1));
	add.op = EPOLL_CTL_MOD;
	signal_stays(_metadata, self, &add, wait_forever(&ev, 1), 1, 0);
	signal_stays(_metadata, self, &add, wait_forever(unmapped(), 1), -1,
		     EFAULT);
}

/* As many MODs of the same file as make a batch that a signal may interrupt */
static struct myepoll_change *many_changes(int fd, uint32_t nr)
{
	struct myepoll_change *changes = calloc(nr, sizeof(*changes));
	uint32_t i;

	for (i = 0; changes && i < nr; i++)
		changes[i] = mod_of(fd, EPOLLIN, i);
	return changes;
}

/* A signal waits that the mask of the wait, in place from the start, lets through. */
static int interrupted(batch_fixture *self, struct myepoll_change *changes,
		       uint32_t nr, uint32_t *done)
{
	sigset_t none;
	struct epoll_event ev;
	struct myepoll_wait wait = wait_forever(&ev, 1);

	sigemptyset(&none);
	wait.sigmask = (uintptr_t)&none;
	wait.sigsetsize = KERNEL_SIGSETSIZE;
	raise(SIGUSR1);
	return batch_wait(self->ep, changes, nr, &wait, done);
}

TEST_F(batch, signal_ends_the_changes_only_of_a_long_one)
{
	struct myepoll_change *changes;
	sigset_t usr1 = set_of(SIGUSR1);
	uint32_t done;

	ASSERT_EQ(0, quiet(self));
	ASSERT_EQ(0, xadd(&backend_myepoll, self->ep, self->fd[0], EPOLLIN, 0));
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &usr1, NULL));
	changes = many_changes(self->fd[0], 3 * MYEPOLL_BATCH_WHOLE);
	ASSERT_NE(NULL, changes);
	EXPECT_ERR(EINTR, interrupted(self, changes, MYEPOLL_BATCH_WHOLE, &done));
	EXPECT_EQ(MYEPOLL_BATCH_WHOLE, (int)done);
	EXPECT_ERR(EINTR, interrupted(self, changes, 3 * MYEPOLL_BATCH_WHOLE,
				      &done));
	EXPECT_EQ(MYEPOLL_BATCH_WHOLE, (int)done);
	EXPECT_EQ(2, atomic_load(&handled));
	EXPECT_EQ(0, batch_make(self->ep, changes + done,
				3 * MYEPOLL_BATCH_WHOLE - done, &done));
	EXPECT_EQ(2 * MYEPOLL_BATCH_WHOLE, (int)done);
}

/* ---- held up between two changes ---- */

/*
 * struct pause - memory that ends in a page that only userfaultfd can bring
 * @fault: tells of whoever needs it
 * @page: where it is
 */
struct pause {
	int fault;
	char *page;
};

/* Returns room for @before things of @size before the page, or NULL. */
static void *pause_map(struct pause *pause, int before, size_t size)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	char *map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	pause->fault = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (map == MAP_FAILED || pause->fault < 0 ||
	    ioctl(pause->fault, UFFDIO_API, &api))
		return NULL;
	pause->page = map + PAGE;
	reg.range.start = (uintptr_t)pause->page;
	reg.range.len = PAGE;
	if (ioctl(pause->fault, UFFDIO_REGISTER, &reg))
		return NULL;
	return pause->page - before * size;
}

/* Returns true once somebody stands still at the page. */
static bool pause_begins(struct pause *pause)
{
	struct pollfd pfd = { .fd = pause->fault, .events = POLLIN };
	struct uffd_msg msg;

	return poll(&pfd, 1, PATIENCE_MS) == 1 &&
	       read(pause->fault, &msg, sizeof(msg)) == sizeof(msg) &&
	       msg.event == UFFD_EVENT_PAGEFAULT;
}

/* Lets him go on, with @size bytes at the page's beginning. */
static int pause_end(struct pause *pause, const void *data, size_t size)
{
	static char page[PAGE] __attribute__((aligned(PAGE)));
	struct uffdio_copy copy = {
		.dst = (uintptr_t)pause->page, .src = (uintptr_t)page,
		.len = PAGE,
	};

	memcpy(page, data, size);
	return ioctl(pause->fault, UFFDIO_COPY, &copy);
}

/* A batch of an ADD and a second change, before which it will be held up. */
static int held_init(struct caller *caller, struct pause *pause,
		     batch_fixture *self)
{
	struct myepoll_change *changes = pause_map(pause, 1, sizeof(*changes));

	if (!changes)
		return -1;
	changes[0] = add_of(self->fd[0], ARMED, 1);
	caller_init(caller, self->ep, changes, 2);
	return 0;
}

TEST_F(batch, time_runs_from_before_the_first_change)
{
	struct myepoll_change second = add_of(self->fd[1], EPOLLIN, 2);
	const int64_t ns = 4000000000;
	struct caller caller;
	struct pause pause;
	int64_t went_on;

	ASSERT_EQ(0, quiet(self));
	ASSERT_EQ(0, held_init(&caller, &pause, self));
	caller.wait = wait_for(caller.ev, FILES, ns);
	ASSERT_EQ(0, doer_start(&caller.doer));
	ASSERT_TRUE(pause_begins(&pause));
	EXPECT_EQ(1, count_watches(self->ep));
	while (now_ns() < caller.start_ns + ns)
		breathe();
	went_on = now_ns();
	ASSERT_EQ(0, pause_end(&pause, &second, sizeof(second)));
	ASSERT_TRUE(doer_finish(&caller.doer));
	EXPECT_EQ(0, caller.doer.ret);
	EXPECT_EQ(2U, caller.batch.done);
	EXPECT_GT(ns, caller.end_ns - went_on);
}

/* The mask of a thread as a number; ~0 if nobody knows. */
static uint64_t blocked_of(pid_t tid)
{
	char path[64], text[256];
	uint64_t mask = ~0ULL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	f = fopen(path, "re");
	while (f && fgets(text, sizeof(text), f))
		if (sscanf(text, "SigBlk: %" SCNx64, &mask) == 1)
			break;
	if (f)
		fclose(f);
	return mask;
}

TEST_F(batch, mask_is_in_place_from_before_the_first_change)
{
	struct myepoll_change second = add_of(self->fd[1], EPOLLIN, 2);
	sigset_t usr2 = set_of(SIGUSR2);
	struct caller caller;
	struct pause pause;

	ASSERT_EQ(0, quiet(self));
	ASSERT_EQ(0, held_init(&caller, &pause, self));
	caller.own = set_of(SIGUSR1);
	caller_mask(&caller, &usr2);
	ASSERT_EQ(0, doer_start(&caller.doer));
	ASSERT_TRUE(pause_begins(&pause));
	EXPECT_EQ(1ULL << (SIGUSR2 - 1), blocked_of(caller.doer.tid));
	ASSERT_EQ(0, pthread_kill(caller.doer.thread, SIGUSR1));
	ASSERT_EQ(0, pause_end(&pause, &second, sizeof(second)));
	EXPECT_TRUE(caller_fails(&caller, EINTR));
	EXPECT_EQ(1, caller.seen);
	EXPECT_EQ(2, count_watches(self->ep));
}

/* It does not wait either: nobody would know of the event that it took. */
TEST_F(batch, done_that_can_no_longer_be_written_is_efault)
{
	struct myepoll_change second = add_of(self->fd[1], EPOLLIN, 2);
	char *page = page_before_hole(PROT_READ | PROT_WRITE);
	struct caller caller;
	struct epoll_event ev;
	struct pause pause;

	ASSERT_NE(NULL, page);
	ASSERT_EQ(0, quiet(self));
	ASSERT_EQ(0, eventfd_write(self->fd[0], 1));
	ASSERT_EQ(0, held_init(&caller, &pause, self));
	caller.arg = memcpy(page, &caller.batch, sizeof(caller.batch));
	ASSERT_EQ(0, doer_start(&caller.doer));
	ASSERT_TRUE(pause_begins(&pause));
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ));
	ASSERT_EQ(0, pause_end(&pause, &second, sizeof(second)));
	ASSERT_TRUE(doer_finish(&caller.doer));
	EXPECT_EQ(-1, caller.doer.ret);
	EXPECT_EQ(EFAULT, caller.doer.err);
	EXPECT_EQ(0U, caller.arg->done);
	EXPECT_EQ(2, count_watches(self->ep));
	ASSERT_EQ(1, wait0(&backend_myepoll, self->ep, &ev, 1));
	EXPECT_EQ(1U, ev.data.u64);
}

TEST_HARNESS_MAIN
