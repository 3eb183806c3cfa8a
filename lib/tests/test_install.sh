#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What make install has put where, what it exports, what was built with it, what
# uninstall left.
here=$(cd "$(dirname "$0")" && pwd)
usr=$here/stage/usr
# Of one architecture, whichever it is.
lib=$(echo "$usr"/lib/*-linux-gnu)
number=0

# check NAME COMMAND...: a test is a command that succeeds
check()
{
	name=$1
	shift
	number=$((number + 1))
	if "$@"; then
		echo "ok $number install.$name"
	else
		echo "not ok $number install.$name"
	fi
}

all_there()
{
	for file in bin/myepoll include/myepoll.h include/linux/myepoll.h \
		share/man/man1/myepoll.1 share/man/man4/myepoll.4 \
		share/man/man7/myepoll.7 share/man/man3/myepoll_create1.3 \
		share/man/man3/myepoll_ctl.3 share/man/man3/myepoll_wait.3 \
		share/man/man3/myepoll_batch.3 share/man/man3/myepoll_probe.3; do
		[ -s "$usr/$file" ] || { echo "# there is no $file"; return 1; }
	done
	for name in create_from pwait pwait2 get_params set_params version; do
		page=$(sed 's/^.so //' "$usr/share/man/man3/myepoll_$name.3")
		[ -s "$usr/share/man/$page" ] || { echo "# no page for $name"; return 1; }
	done
	for file in libmyepoll.a libmyepoll.so libmyepoll.so.0 \
		myepoll/libmyepoll-preload.so pkgconfig/libmyepoll.pc; do
		[ -s "$lib/$file" ] || { echo "# there is no $file"; return 1; }
	done
}

prints()
{
	expected=$1
	shift
	got=$("$@" 2>&1)
	[ "$got" = "$expected" ] || { echo "# expected $expected, got $got"; return 1; }
}

# The command finds the library from where it is itself.
carries()
{
	prints 'anon_inode:[myepoll]' "$usr/bin/myepoll" run --require -- \
		"$here/programs/creator" create
}

knows_nothing_of_the_stage()
{
	! grep -q stage "$lib/pkgconfig/libmyepoll.pc"
}

echo "1..8"
check everything_is_in_its_place all_there
check c_program_runs prints "1 7" "$here/programs/c-shared"
check static_c_program_runs prints "1 7" "$here/programs/c-static"
check cxx_program_runs prints "1 7" "$here/programs/cxx-shared"
check command_finds_its_library carries
check exported_symbols_are_those_of_the_maps prints "" cat "$here/exports"
check no_destdir_in_pkg_config knows_nothing_of_the_stage
check uninstall_leaves_nothing prints "" cat "$here/left"
