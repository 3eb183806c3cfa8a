// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the module learns of the last close of a file, while root turns the knobs
 * of function tracing and kprobes.  Needs root, tracefs and the mock device.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "helpers.h"
#include "mockuse.h"
#include "sysfile.h"
#include "detach.h"

#define FTRACE_ENABLED "/proc/sys/kernel/ftrace_enabled"
#define HOOKED "locks_remove_file"

FIXTURE(hook)
{
	const struct backend *be;
};

BACKEND_VARIANTS(hook);

FIXTURE_SETUP(hook)
{
	REQUIRE_BACKEND(variant->be);
	self->be = variant->be;
	ASSERT_EQ(0, need_tracefs());
	ASSERT_EQ(0, set_text(TRACEFS "/current_tracer", "nop"));
	ASSERT_EQ(0, detach_works(self->be, 1));
}

FIXTURE_TEARDOWN(hook)
{
	EXPECT_EQ(0, set_text(TRACEFS "/current_tracer", "nop"));
	EXPECT_EQ(0, set_text(TRACEFS "/set_ftrace_filter", ""));
	EXPECT_EQ(0, set_text(TRACEFS "/set_ftrace_notrace", ""));
	EXPECT_EQ(0, detach_works(self->be, 1));
}

TEST_F_TIMEOUT(hook, function_tracer, 300)
{
	ASSERT_EQ(0, set_text(TRACEFS "/current_tracer", "function"));
	EXPECT_EQ(0, detach_works(self->be, 1));
}

TEST_F_TIMEOUT(hook, function_graph_tracer, 300)
{
	ASSERT_EQ(0, set_text(TRACEFS "/current_tracer", "function_graph"));
	EXPECT_EQ(0, detach_works(self->be, 1));
}

TEST_F(hook, tracer_on_this_function_alone)
{
	ASSERT_EQ(0, set_text(TRACEFS "/set_ftrace_filter", HOOKED));
	ASSERT_EQ(0, set_text(TRACEFS "/current_tracer", "function"));
	EXPECT_EQ(0, detach_works(self->be, 5));
	ASSERT_EQ(0, set_text(TRACEFS "/current_tracer", "nop"));
	EXPECT_EQ(0, detach_works(self->be, 5));
}

TEST_F_TIMEOUT(hook, tracer_on_all_but_this_function, 300)
{
	ASSERT_EQ(0, set_text(TRACEFS "/set_ftrace_notrace", HOOKED));
	ASSERT_EQ(0, set_text(TRACEFS "/current_tracer", "function"));
	EXPECT_EQ(0, detach_works(self->be, 5));
}

/* How often the probe of our name was hit, -1 if it is not there. */
static long probe_hits(void)
{
	FILE *file = fopen(TRACEFS "/kprobe_profile", "re");
	char name[64];
	long hits, missed, found = -1;

	if (!file)
		return -1;
	while (fscanf(file, "%63s %ld %ld", name, &hits, &missed) == 3) {
		if (!strcmp(name, "myepoll_test"))
			found = hits;
	}
	fclose(file);
	return found;
}

#define PROBE TRACEFS "/events/kprobes/myepoll_test/enable"

TEST_F(hook, kprobe_on_this_function)
{
	long before;

	ASSERT_EQ(0, write_text(TRACEFS "/kprobe_events",
				"p:myepoll_test " HOOKED "\n", O_APPEND));
	EXPECT_EQ(0, set_text(PROBE, "1"));
	before = probe_hits();
	EXPECT_LE(0, before);
	EXPECT_EQ(0, detach_works(self->be, 5));
	EXPECT_LT(before, probe_hits());
	EXPECT_EQ(0, set_text(PROBE, "0"));
	EXPECT_EQ(0, detach_works(self->be, 5));
	EXPECT_EQ(0, write_text(TRACEFS "/kprobe_events", "-:myepoll_test\n",
				O_APPEND));
}

/* The switch that silences all kprobes must not silence us. */
TEST_F(hook, kprobes_switched_off)
{
	ASSERT_EQ(0, need_debugfs());
	ASSERT_EQ(0, set_text(DEBUGFS "/kprobes/enabled", "0"));
	EXPECT_EQ(0, detach_works(self->be, 5));
	EXPECT_EQ(0, set_text(DEBUGFS "/kprobes/enabled", "1"));
}

/*
 * struct closer - a thread that detaches files until told to stop
 * @rounds: how many it has done
 * @failures: how many of them went wrong
 */
struct closer {
	const struct backend *be;
	atomic_bool stop;
	atomic_int rounds;
	atomic_int failures;
};

static void *closer_main(void *arg)
{
	struct closer *closer = arg;

	while (!atomic_load(&closer->stop)) {
		if (detach_once(closer->be, DETACH_CLOSE))
			atomic_fetch_add(&closer->failures, 1);
		atomic_fetch_add(&closer->rounds, 1);
	}
	return NULL;
}

#define SKIP_UNLESS_PATCHING() do {					\
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1 &&			\
	    strcmp(env_or("MYEPOLL_TEST_PATCHING", ""), "1"))		\
		SKIP(return, "emulated CPUs may hang; MYEPOLL_TEST_PATCHING=1 runs it"); \
} while (0)

/* Until a whole round has been done: the end of this one, and one more. */
static void await_round(struct closer *closer)
{
	int seen = atomic_load(&closer->rounds);

	while (atomic_load(&closer->rounds) < seen + 2)
		breathe();
}

/* Files are closed all the time, and at least once under each tracer. */
static void switch_tracers(struct __test_metadata *_metadata,
			   const struct backend *be,
			   const char *const *tracers, int nr, int times)
{
	struct closer closer = { .be = be };
	pthread_t thread;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, closer_main, &closer));
	for (i = 0; i < times; i++) {
		EXPECT_EQ(0, set_text(TRACEFS "/current_tracer",
				      tracers[i % nr]));
		await_round(&closer);
	}
	atomic_store(&closer.stop, true);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, closer.failures);
}

/*
 * The code of the hooked function is patched while files are closed.  With two
 * emulated CPUs the guest was seen to hang in text_poke_bp_batch(), one CPU in
 * the breakpoint that the other one has set, in the native variant as well, but
 * with the module loaded.  With one CPU, and on real ones, it has to pass.
 */
TEST_F_TIMEOUT(hook, tracers_come_and_go, 300)
{
	static const char *const tracers[] = { "function", "nop",
					       "function_graph", "nop" };

	SKIP_UNLESS_PATCHING();
	ASSERT_EQ(0, set_text(TRACEFS "/set_ftrace_filter", HOOKED));
	switch_tracers(_metadata, self->be, tracers, ARRAY_SIZE(tracers), 12);
}

/*
 * The same with every function of the kernel under the tracer.  An emulated CPU
 * translates anew what has been patched: minutes, and soft lockups, on native
 * epoll as well.
 */
TEST_F_TIMEOUT(hook, graph_over_all_comes_and_goes, 600)
{
	static const char *const tracers[] = { "function_graph", "nop" };

	if (strcmp(env_or("MYEPOLL_TEST_PATCHING", ""), "1"))
		SKIP(return, "too slow on emulated CPUs; MYEPOLL_TEST_PATCHING=1 runs it");
	switch_tracers(_metadata, self->be, tracers, ARRAY_SIZE(tracers), 6);
}

/* What bpftrace prints when it ends, after three seconds. */
#define BPF_SCRIPT "kprobe:" HOOKED " { @kprobe = count(); } " \
		   "kfunc:" HOOKED " { @fentry = count(); } " \
		   "interval:s:3 { exit(); }"

struct bpf_hits {
	long kprobe;
	long fentry;
};

static void bpftrace_read(FILE *out, struct bpf_hits *hits)
{
	char line[256];

	while (fgets(line, sizeof(line), out)) {
		if (sscanf(line, "@kprobe: %ld", &hits->kprobe) != 1 &&
		    sscanf(line, "@fentry: %ld", &hits->fentry) != 1 &&
		    line[0] != '\n')
			ksft_print_msg("%s", line);
	}
}

/*
 * Two programs on the function that we trace: one by a kprobe, one by a direct
 * call from its entry.  Files are closed while both come and go.  bpftrace is
 * started first: until it is executed it has copies of all descriptors, and a
 * close by the other thread would not be the last.
 */
TEST_F_TIMEOUT(hook, bpftrace_on_this_function, 300)
{
	struct closer closer = { .be = self->be };
	struct bpf_hits hits = { 0 };
	pthread_t thread;
	FILE *out;

	if (system("bpftrace --version >/dev/null 2>&1"))
		SKIP(return, "there is no bpftrace");
	ASSERT_EQ(0, need_debugfs());
	out = popen("bpftrace -e '" BPF_SCRIPT "' 2>&1", "re");
	ASSERT_NE(NULL, out);
	ASSERT_EQ(0, pthread_create(&thread, NULL, closer_main, &closer));
	bpftrace_read(out, &hits);
	EXPECT_EQ(0, pclose(out));
	atomic_store(&closer.stop, true);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_LT(0, hits.kprobe);
	EXPECT_LT(0, hits.fentry);
	EXPECT_LT(0, closer.rounds);
	EXPECT_EQ(0, closer.failures);
}

/* What concerns the module alone */

FIXTURE(hook_ours)
{
	const struct backend *be;
};

FIXTURE_SETUP(hook_ours)
{
	self->be = &backend_myepoll;
	REQUIRE_BACKEND(self->be);
	ASSERT_EQ(0, need_tracefs());
	ASSERT_EQ(0, detach_works(self->be, 1));
}

FIXTURE_TEARDOWN(hook_ours)
{
}

TEST_F(hook_ours, ftrace_cannot_be_switched_off)
{
	ASSERT_EQ(1, number_in(FTRACE_ENABLED));
	errno = 0;
	EXPECT_EQ(-1, set_text(FTRACE_ENABLED, "0"));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(1, number_in(FTRACE_ENABLED));
	EXPECT_EQ(0, detach_works(self->be, 5));
}

#define TRIES 200

/* Who tries all the time meets files that are being closed. */
TEST_F_TIMEOUT(hook_ours, ftrace_cannot_be_switched_off_beside_a_closer, 120)
{
	struct closer closer = { .be = self->be };
	pthread_t thread;
	int i, busy = 0;

	ASSERT_EQ(0, pthread_create(&thread, NULL, closer_main, &closer));
	for (i = 0; i < TRIES; i++) {
		errno = 0;
		busy += set_text(FTRACE_ENABLED, "0") == -1 && errno == EBUSY;
	}
	await_round(&closer);
	atomic_store(&closer.stop, true);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(TRIES, busy);
	EXPECT_EQ(1, number_in(FTRACE_ENABLED));
	EXPECT_EQ(0, closer.failures);
}

TEST_F(hook_ours, the_hook_is_listed)
{
	EXPECT_TRUE(file_mentions(TRACEFS "/enabled_functions", HOOKED " "));
}

TEST_F(hook_ours, no_load_without_ftrace)
{
	int ret, err;

	ASSERT_EQ(0, module_unload("myepoll"));
	EXPECT_FALSE(file_mentions(TRACEFS "/enabled_functions", HOOKED " "));
	ASSERT_EQ(0, set_text(FTRACE_ENABLED, "0"));
	ret = module_load(myepoll_ko(), "");
	err = errno;
	EXPECT_EQ(0, set_text(FTRACE_ENABLED, "1"));
	EXPECT_EQ(-1, ret);
	EXPECT_EQ(EBUSY, err);
	EXPECT_EQ(-1, access(MYEPOLL_DEVICE, F_OK));
	EXPECT_EQ(-1, access("/sys/module/myepoll", F_OK));

	if (ret)
		ASSERT_EQ(0, module_load(myepoll_ko(), ""));
	EXPECT_EQ(0, detach_works(self->be, 5));
}

#define KILL_NOTICED_NS	(5 * 1000000000LL)

/* Last in this file: there is no way back but a boot. */
TEST_F(hook_ours, ftrace_killed)
{
	struct myepoll_create create = { 0 };
	struct epoll_event ev;
	int ep, fd, mock, leaked;
	int64_t end;

	if (strcmp(env_or("MYEPOLL_TEST_FTRACE_KILL", ""), "1"))
		SKIP(return, "MYEPOLL_TEST_FTRACE_KILL is not 1 (this needs a boot of its own)");

	ep = self->be->create(0);
	mock = mock_open();
	ASSERT_LE(0, ep);
	ASSERT_LE(0, mock);
	leaked = mock_leaked(mock);
	ASSERT_EQ(0, xadd(self->be, ep, mock, EPOLLIN, 1));
	ASSERT_EQ(0, ioctl(mock, MOCK_IOC_FTRACE_KILL,
			   (unsigned long)MOCK_FTRACE_KILL_MAGIC));

	/* Nothing new is begun, once that is noticed: once a second, at most ... */
	for (end = now_ns() + KILL_NOTICED_NS; now_ns() < end;) {
		fd = open(MYEPOLL_DEVICE, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			break;
		close(fd);
	}
	errno = 0;
	fd = open(MYEPOLL_DEVICE, O_RDWR | O_CLOEXEC);
	EXPECT_EQ(-1, fd);
	EXPECT_EQ(ENODEV, errno);
	errno = 0;
	EXPECT_EQ(-1, ioctl(ep, MYEPOLL_IOC_CREATE, &create));
	EXPECT_EQ(ENODEV, errno);

	/* ... and what there is comes to no harm. */
	ASSERT_EQ(0, mock_event(mock, EPOLLIN));
	EXPECT_EQ(1, wait0(self->be, ep, &ev, 1));
	fd = dup(mock);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, close(ep));
	EXPECT_EQ(0, mock_entries(mock, 0));
	EXPECT_EQ(leaked, mock_leaked(mock));
	EXPECT_EQ(0, close(mock));
	EXPECT_EQ(0, close(fd));

	/* A hook that cannot be taken off keeps its code in memory. */
	errno = 0;
	EXPECT_EQ(-1, module_unload("myepoll"));
	EXPECT_TRUE(errno == EWOULDBLOCK || errno == EBUSY);
}

TEST_HARNESS_MAIN
