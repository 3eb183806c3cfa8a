// SPDX-License-Identifier: GPL-2.0-only
/*
 * The preload library where the device is missing, not allowed, or something
 * else; what its environment variables do; what it does about io_uring.
 */
#define _GNU_SOURCE
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "proc.h"

#define AWAY "/dev/myepoll.away"

/* The creator with the library and @vars, both outputs together */
#define creator(vars, words) \
	output_of(self->text, sizeof(self->text),				\
		  "cd \"$TEST_HERE\" && "					\
		  "P=$PWD/libmyepoll-preload.so && LD_PRELOAD=$P " vars		\
		  " ./programs/creator " words " 2>&1")

#define SAID(why, what) "myepoll: " MYEPOLL_DEVICE ": " why "; " what "\n"
#define MISSING "No such file or directory"
#define INSTEAD "using native epoll"

FIXTURE(fallback)
{
	char text[4096];
	bool away;
	mode_t mode;
};

FIXTURE_SETUP(fallback)
{
	struct stat st;

	if (geteuid())
		SKIP(_exit(EXIT_SKIPPED), "needs root to move the device node");
	ASSERT_EQ(0, set_test_here());
	ASSERT_EQ(0, stat(MYEPOLL_DEVICE, &st));
	self->mode = st.st_mode & 07777;
	unsetenv("MYEPOLL_VERBOSE");
	unsetenv("MYEPOLL_REQUIRE");
	unsetenv("MYEPOLL_NO_IO_URING");
}

FIXTURE_TEARDOWN(fallback)
{
	if (self->away) {
		unlink(MYEPOLL_DEVICE);
		EXPECT_EQ(0, rename(AWAY, MYEPOLL_DEVICE));
	}
	EXPECT_EQ(0, chmod(MYEPOLL_DEVICE, self->mode));
}

#define move_away() do {				\
	ASSERT_EQ(0, rename(MYEPOLL_DEVICE, AWAY));	\
	self->away = true;				\
} while (0)

TEST_F(fallback, with_the_device_nothing_is_said)
{
	EXPECT_EQ(0, creator("MYEPOLL_VERBOSE=1", "create create"));
	EXPECT_STREQ(OURS "\n" OURS "\n", self->text);
}

TEST_F(fallback, without_the_device_native_and_silent)
{
	move_away();
	EXPECT_EQ(0, creator("", "create"));
	EXPECT_STREQ(NATIVE "\n", self->text);
}

TEST_F(fallback, one_line_if_asked_for)
{
	move_away();
	EXPECT_EQ(0, creator("MYEPOLL_VERBOSE=1", "create create"));
	EXPECT_STREQ(SAID(MISSING, INSTEAD) NATIVE "\n" NATIVE "\n", self->text);
}

/* The instance is made by a constructor that comes before the library's own. */
TEST_F(fallback, environment_counts_before_constructors)
{
	move_away();
	EXPECT_EQ(0, creator("LD_PRELOAD=$P:$PWD/libearly.so MYEPOLL_VERBOSE=1", ""));
	EXPECT_STREQ(SAID(MISSING, INSTEAD), self->text);
}

TEST_F(fallback, zero_and_nothing_mean_no)
{
	move_away();
	EXPECT_EQ(0, creator("MYEPOLL_VERBOSE=0 MYEPOLL_REQUIRE=", "create"));
	EXPECT_STREQ(NATIVE "\n", self->text);
}

TEST_F(fallback, required_instances_are_refused)
{
	move_away();
	EXPECT_EQ(0, creator("MYEPOLL_REQUIRE=1", "create"));
	EXPECT_STREQ("ENOENT\n", self->text);
	EXPECT_EQ(0, creator("MYEPOLL_REQUIRE=1 MYEPOLL_VERBOSE=1", "create"));
	EXPECT_STREQ(SAID(MISSING, "epoll instances are refused") "ENOENT\n", self->text);
}

/* The node may come and go: what there is counts for each instance. */
TEST_F(fallback, device_is_looked_for_each_time)
{
	move_away();
	EXPECT_EQ(0, creator("", "create"));
	EXPECT_STREQ(NATIVE "\n", self->text);
	ASSERT_EQ(0, rename(AWAY, MYEPOLL_DEVICE));
	self->away = false;
	EXPECT_EQ(0, creator("", "create"));
	EXPECT_STREQ(OURS "\n", self->text);
}

TEST_F(fallback, no_permission)
{
	ASSERT_EQ(0, chmod(MYEPOLL_DEVICE, 0600));
	ASSERT_EQ(0, setresgid(65534, 65534, 65534));
	ASSERT_EQ(0, setresuid(65534, 65534, 0));
	EXPECT_EQ(0, creator("MYEPOLL_VERBOSE=1", "create"));
	EXPECT_STREQ(SAID("Permission denied", INSTEAD) NATIVE "\n", self->text);
	EXPECT_EQ(0, creator("MYEPOLL_REQUIRE=1", "create"));
	EXPECT_STREQ("EACCES\n", self->text);
	ASSERT_EQ(0, setresuid(0, 0, 0));
}

TEST_F(fallback, something_else_has_the_name)
{
	move_away();
	ASSERT_EQ(0, mknod(MYEPOLL_DEVICE, S_IFREG | 0666, 0));
	EXPECT_EQ(0, creator("MYEPOLL_VERBOSE=1", "create"));
	EXPECT_STREQ(SAID("Inappropriate ioctl for device", INSTEAD) NATIVE "\n", self->text);
}

TEST_F(fallback, no_descriptor_left_is_no_reason)
{
	EXPECT_EQ(0, creator("MYEPOLL_VERBOSE=1", "full"));
	EXPECT_STREQ("EMFILE\n", self->text);
}

TEST_F(fallback, io_uring_is_there_unless_it_is_taken_away)
{
	EXPECT_EQ(0, creator("", "uring"));
	EXPECT_STREQ("io_uring\n", self->text);
	EXPECT_EQ(0, creator("MYEPOLL_NO_IO_URING=1", "uring create"));
	EXPECT_STREQ("ENOSYS\n" OURS "\n", self->text);
}

TEST_HARNESS_MAIN
