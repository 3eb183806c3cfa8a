# SPDX-License-Identifier: GPL-2.0-only
#
# shellcheck shell=dash
#
# Checks by name, counted.  Sourced by scripts that test packages, on the host and
# in the virtual machine; $log is a file for what a check says.
passed=0
failed=0
skipped=0

# check NAME COMMAND...: a test is a command that succeeds
check()
{
	check_name=$1
	shift
	if "$@" >"$log" 2>&1; then
		echo "ok   $check_name"
		passed=$((passed + 1))
	else
		echo "FAIL $check_name"
		sed 's/^/     /' "$log" | tail -n 30
		failed=$((failed + 1))
	fi
}

# skip NAME REASON
skip()
{
	echo "skip $1: $2"
	skipped=$((skipped + 1))
}

fails() { ! "$@"; }

# The last line; false if a check has failed, or none was made
sum()
{
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
