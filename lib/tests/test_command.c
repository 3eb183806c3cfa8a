// SPDX-License-Identifier: GPL-2.0-only
/* The myepoll command, as it is installed: run, and status. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "helpers.h"
#include "proc.h"

#define AWAY "/dev/myepoll.away"
#if defined(__x86_64__)
#define LOADER "/lib64/ld-linux-x86-64.so.2"
#elif defined(__aarch64__)
#define LOADER "/lib/ld-linux-aarch64.so.1"
#endif

/* A shell command beside this program; "$M" is the command. */
#define shell(...) \
	output_of(self->text, sizeof(self->text), PREFIX __VA_ARGS__)
#define PREFIX "exec 2>&1; cd \"$TEST_HERE\"; M=$PWD/stage/usr/bin/myepoll; "

FIXTURE(command)
{
	char text[16384];
	FILE *holder;
	pid_t pid;
	bool away;
};

FIXTURE_SETUP(command)
{
	ASSERT_EQ(0, set_test_here());
}

FIXTURE_TEARDOWN(command)
{
	if (self->away)
		EXPECT_EQ(0, rename(AWAY, MYEPOLL_DEVICE));
}

#define move_away() do {						\
	if (geteuid())							\
		SKIP(return, "needs root to move the device node");	\
	ASSERT_EQ(0, rename(MYEPOLL_DEVICE, AWAY));			\
	self->away = true;						\
} while (0)

#define EXPECT_SAYS(words)						\
	EXPECT_NE(NULL, strstr(self->text, words))			\
		TH_LOG("looked for \"%s\" in: %s", words, self->text)

TEST_F(command, run_carries_a_program)
{
	EXPECT_EQ(0, shell("$M run -- programs/creator create"));
	EXPECT_STREQ(OURS "\n", self->text);
	EXPECT_EQ(0, shell("$M run --require programs/creator create"));
	EXPECT_STREQ(OURS "\n", self->text);
}

TEST_F(command, run_leaves_options_to_the_program)
{
	EXPECT_EQ(0, shell("$M run programs/creator --io-uring --fly -- uring"));
	EXPECT_STREQ("ENOSYS\n", self->text);
}

TEST_F(command, run_gives_the_status_of_the_program)
{
	EXPECT_EQ(7, shell("$M run -- sh -c 'exit 7'"));
	EXPECT_EQ(127, shell("$M run -- ./no-such-program"));
	EXPECT_SAYS("./no-such-program: No such file or directory");
	EXPECT_EQ(126, shell("$M run -- /proc/self/status"));
	EXPECT_SAYS("Permission denied");
}

TEST_F(command, run_keeps_what_is_preloaded_already)
{
	EXPECT_EQ(0, shell("LD_PRELOAD=$PWD/libearly.so $M run -- env | grep ^LD_PRELOAD"));
	EXPECT_SAYS("/libmyepoll-preload.so:");
	EXPECT_SAYS("/libearly.so\n");
}

TEST_F(command, run_takes_io_uring_away_unless_told_not_to)
{
	EXPECT_EQ(0, shell("$M run programs/creator uring"));
	EXPECT_STREQ("ENOSYS\n", self->text);
	EXPECT_EQ(0, shell("$M run --io-uring programs/creator uring"));
	EXPECT_STREQ("io_uring\n", self->text);
}

TEST_F(command, run_without_the_device)
{
	move_away();
	EXPECT_EQ(0, shell("$M run programs/creator create"));
	EXPECT_STREQ(NATIVE "\n", self->text);
	EXPECT_EQ(0, shell("$M run --verbose programs/creator create"));
	EXPECT_SAYS("using native epoll\n" NATIVE "\n");
	EXPECT_EQ(125, shell("$M run --require programs/creator create"));
	EXPECT_SAYS(MYEPOLL_DEVICE ": No such file or directory; load the module");
}

TEST_F(command, run_warns_of_a_static_program)
{
	EXPECT_EQ(0, shell("$M run programs/creator-static create"));
	EXPECT_SAYS("warning: programs/creator-static is statically linked");
	EXPECT_SAYS(NATIVE "\n");
	EXPECT_EQ(125, shell("$M run --require programs/creator-static create"));
	EXPECT_SAYS("myepoll: programs/creator-static is statically linked");
}

TEST_F(command, run_carries_a_program_started_by_the_dynamic_linker)
{
	EXPECT_EQ(0, shell("$M run --require " LOADER " programs/creator create"));
	EXPECT_STREQ(OURS "\n", self->text);
}

TEST_F(command, run_warns_of_a_program_for_32_bits)
{
	if (shell("test -e programs/creator-32"))
		SKIP(return, "no compiler for 32-bit programs of this architecture");
	EXPECT_EQ(0, shell("$M run programs/creator-32 create"));
	EXPECT_SAYS("is for 32 bits or another processor");
	EXPECT_SAYS(NATIVE "\n");
}

/* One whose header names a processor that nobody has: EM_NONE. */
TEST_F(command, run_refuses_a_program_for_another_processor)
{
	EXPECT_EQ(125, shell("f=$(mktemp); cat programs/creator >$f; "
			     "dd if=/dev/zero of=$f bs=1 seek=18 count=2 conv=notrunc; "
			     "$M run --require $f; s=$?; rm $f; exit $s"));
	EXPECT_SAYS("is for 32 bits or another processor");
}

TEST_F(command, run_warns_of_a_go_program)
{
	EXPECT_EQ(0, shell("$M run programs/creator-go create"));
	EXPECT_SAYS("is a Go program");
	EXPECT_SAYS(OURS "\n");
}

#define IN_DIRECTORY(commands) "d=$(mktemp -d); chmod 755 $d; " commands "; rm -r $d"

TEST_F(command, run_looks_through_scripts)
{
	EXPECT_EQ(0, shell(IN_DIRECTORY("echo \"#! $PWD/programs/creator-static\" >$d/script; "
					"chmod +x $d/script; $M run $d/script")));
	EXPECT_SAYS("/script is statically linked");
}

TEST_F(command, run_warns_of_privileges)
{
	if (geteuid())
		SKIP(return, "needs root to make a set-user-ID program");
	EXPECT_EQ(0, shell(IN_DIRECTORY("cp programs/creator $d/suid; chmod 4755 $d/suid; "
					"su nobody -s /bin/sh -c \"$M run $d/suid create\"")));
	EXPECT_SAYS("gains privileges");
	EXPECT_SAYS(NATIVE "\n");
}

TEST_F(command, wrong_usage_is_said)
{
	EXPECT_EQ(2, shell("$M"));
	EXPECT_SAYS("usage: myepoll run");
	EXPECT_EQ(2, shell("$M fly"));
	EXPECT_SAYS("there is no command fly");
	EXPECT_EQ(2, shell("$M run"));
	EXPECT_SAYS("myepoll: run: no program given\nusage: myepoll run");
	EXPECT_EQ(2, shell("$M run --fly"));
	EXPECT_SAYS("myepoll: unrecognized option '--fly'\nusage: myepoll run");
	EXPECT_EQ(2, shell("$M status -x"));
	EXPECT_SAYS("myepoll: invalid option -- 'x'\nusage: myepoll run");
	EXPECT_EQ(2, shell("$M status me"));
	EXPECT_EQ(2, shell("$M status 1 2"));
	EXPECT_EQ(1, shell("$M status 4194304"));
	EXPECT_SAYS("there is no process 4194304");
}

TEST_F(command, help_and_version)
{
	EXPECT_EQ(0, shell("$M --help"));
	EXPECT_SAYS("usage: myepoll run");
	EXPECT_SAYS("-r, --require");
	EXPECT_EQ(0, shell("$M --help >help; $M -h | cmp - help && rm help"));
	EXPECT_EQ(0, shell("$M --help >help; $M run -r -h | cmp - help && rm help"));
	EXPECT_EQ(0, shell("$M --help >help; $M status --help | cmp - help && rm help"));
	EXPECT_EQ(0, shell("$M --version"));
	EXPECT_STREQ("myepoll " TEST_VERSION "\n", self->text);
	EXPECT_EQ(1, shell("$M --help >/dev/full"));
}

/* ---- status ---- */

TEST_F(command, status_shows_module_and_limits)
{
	EXPECT_EQ(0, shell("$M status"));
	EXPECT_SAYS("module            loaded");
	EXPECT_SAYS("interface         1\n");
	EXPECT_EQ(0, shell("a=$($M status | awk '$1 == \"max_file_watches\" { print $2 }'); "
			   "[ \"$a\" = \"$(cat /proc/sys/fs/myepoll/max_file_watches)\" ]"));
	EXPECT_EQ(0, shell("a=$($M status | awk '$1 == \"max_user_watches\" { print $2 }'); "
			   "[ \"$a\" = \"$(cat /proc/sys/fs/myepoll/max_user_watches)\" ]"));
}

/* The creator holds its instance for as long as a shell holds its input open. */
#define with_creator(words, commands) \
	shell("d=$(mktemp -d); mkfifo $d/in $d/out; "				\
	      "$M run --require programs/creator " words " hold <$d/in >$d/out & "	\
	      "exec 3>$d/in 4<$d/out; "						\
	      "while read -r P <&4 && [ \"$P\" = \"${P#[0-9]}\" ]; do :; done; "	\
	      commands "; exec 3>&-; wait; rm -r $d")

TEST_F(command, status_shows_an_instance_its_watches_and_its_owner)
{
	EXPECT_EQ(0, with_creator("create watch", "$M status --watches $P"));
	EXPECT_SAYS("instances         1\n");
	EXPECT_SAYS("       1        1  ");
	EXPECT_SAYS("  creator\n");
	EXPECT_SAYS("fd 0 IN|ERR|HUP|ET data 0xabc\n");
}

TEST_F(command, status_shows_whose_a_process_is_that_drops_its_privileges)
{
	if (geteuid())
		SKIP(return, "needs root to become somebody else");
	EXPECT_EQ(0, with_creator("create drop",
				  "$M status | awk '$NF == \"creator\" { print $3 }'"));
	EXPECT_STREQ("nobody\n", self->text);
}

TEST_F(command, status_counts_a_shared_instance_once)
{
	EXPECT_EQ(0, with_creator("create create share",
				  "$M status | awk '$NF == \"creator\"' | wc -l; "
				  "$M status | grep ^instances"));
	EXPECT_STREQ("4\ninstances         2\n", self->text);
}

TEST_F(command, status_says_what_it_may_not_see)
{
	if (geteuid())
		SKIP(return, "needs root to become somebody else");
	EXPECT_EQ(0, with_creator("create", "su nobody -s /bin/sh -c \"$M status\""));
	EXPECT_SAYS("instances         0\n");
	EXPECT_SAYS("processes of other users");
}

TEST_F(command, status_without_the_device)
{
	move_away();
	EXPECT_EQ(0, shell("$M status"));
	EXPECT_SAYS("device            " MYEPOLL_DEVICE ": No such file or directory\n");
}

TEST_F(command, status_without_the_module)
{
	move_away();
	/* As without it: no device, and in a mount namespace of its own no modules. */
	EXPECT_EQ(1, shell("unshare -m sh -c \"mount -t tmpfs none /sys/module; "
			   "$M status\""));
	EXPECT_SAYS("module            not loaded\n");
	EXPECT_SAYS("device            " MYEPOLL_DEVICE ": No such file or directory\n");
	EXPECT_SAYS("instances         0\n");
}

TEST_HARNESS_MAIN
