# SPDX-License-Identifier: GPL-2.0-only
"""Test suites of others: where they come from, how they run, what they say."""

import dataclasses
import os
import pathlib
import re
import subprocess
import typing

from vmlib import common, kernel, packages
from . import programs

TOP = pathlib.Path(__file__).resolve().parents[2]
PYTHON = (*programs.PYTHON, "libpython3.11-testsuite")
# Says which kinds of results count as passed, for all parsers.
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclasses.dataclass(frozen=True)
class Suite:
    """A suite, ready to run."""

    adds: list		# options of scripts/vm
    command: tuple
    parse: typing.Callable	# text -> ({test: outcome}, how many are planned or None)
    version: str		# of the package that it comes from
    # Its name in selftests/native-bugs
    program: str = ""
    # Threads that spin for each other need CPUs that run at the same time; all
    # others keep their time on a clock of instructions, however slow the host is.
    icount: bool = True


def native_bugs(program):
    """{test, or * for any other: reason}"""
    text = (TOP / "selftests/native-bugs").read_text(encoding="utf-8")
    lines = [line.split(None, 2) for line in text.splitlines()]
    return {words[1]: words[2] for words in lines
            if len(words) == 3 and words[0] == program}


def parse_tap(text):
    """The kernel's harness."""
    planned = re.search(r"^1\.\.(\d+)", text, re.M)
    outcomes = {}
    for match in re.finditer(r"^(not )?ok \d+ (?:- )?(\S+)(.*)$", text, re.M):
        bad, name, rest = match.groups()
        outcomes[name] = SKIPPED if "# SKIP" in rest else FAILED if bad else PASSED
    return outcomes, int(planned.group(1)) if planned else None


def parse_unittest(text):
    """peers/run_unittest.py"""
    outcomes = {}
    for name, outcome in re.findall(r"^@test (\S+) (\w+)$", text, re.M):
        # A test of several parts fails if one does.
        if outcomes.get(name) != FAILED:
            outcomes[name] = outcome
    return outcomes, None


def parse_regress(text):
    """libevent's: the name first, what came of it some lines later."""
    outcomes, name = {}, None
    for line in text.splitlines():
        start = re.match(r"([a-z_0-9]+/[\w/]+): ", line)
        if start:
            name = start.group(1)
            outcomes[name] = FAILED
        if not name:
            continue
        if line.endswith("OK"):
            outcomes[name] = PASSED
        elif re.search(r"SKIPPED|DISABLED", line):
            outcomes[name] = SKIPPED
        elif re.search(r"\[\S+ FAILED\]", line):
            outcomes[name] = FAILED
            name = None
    return outcomes, None


def wakeup_source(series):
    """A kernel's test, and the version of the package that it comes from."""
    kernel.source_files()
    if series == "6.1":
        return common.cache_dir() / "kselftest/filesystems/epoll/epoll_wakeup_test.c", \
            kernel.resolve(None)[1]
    place = kernel.newer_wakeup_test() if series == "7.2" else \
        kernel.wakeup_test_of(series)
    return place, kernel.version_of_test(place) or series


def build_wakeup(series, source):
    """The kernel's test as it is, but for the time its cases have: emulated CPUs need
    more."""
    cache = common.cache_dir() / "kselftest"
    out = TOP / "build/peers-suites" / series
    place = out / "filesystems/epoll/wakeup.c"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(source.read_bytes())
    harness = (cache / "kselftest_harness.h").read_text(encoding="utf-8")
    patient, count = re.subn(r"^(#define TEST_TIMEOUT_DEFAULT) 30$", r"\1 200", harness,
                             flags=re.M)
    if count != 1:
        raise common.VmError("the harness's time limit is not where it was")
    (out / "kselftest_harness.h").write_text(patient, encoding="utf-8")
    (out / "kselftest.h").write_bytes((cache / "kselftest.h").read_bytes())
    program = out / f"wakeup-{series}"
    common.command([common.need_tool("gcc", "gcc"), "-O2", "-w", "-D_GNU_SOURCE",
                    f"-I{out}", "-pthread", "-o", program, place],
                   f"compiling the wake-up test of {series}")
    return program


def wakeup(series):
    """One kernel's wake-up test."""
    def make():
        source, version = wakeup_source(series)
        program = build_wakeup(series, source)
        return Suite(["--add", program], (f"/vm/{program.name}",), parse_tap,
                     f"linux {version}", program="wakeup_native", icount=False)
    return make


def cpython(*modules):
    """Some of CPython's own tests, with Debian's interpreter."""
    def make():
        root, version = programs.unpacked(PYTHON)
        return Suite(["--libs", root / programs.LIBRARIES,
                      "--add", f"{root}/usr/bin/python3.11:/usr/bin/python3.11",
                      "--add", f"{root}/usr/lib/python3.11:/usr/lib/python3.11"],
                     ("python3.11", "/vm/peers/run_unittest.py",
                      *[f"test.{name}" for name in modules]), parse_unittest,
                     f"python3.11 {version}")
    return make


def build_regress():
    """libevent's suite, built from Debian's source once for each version; and that."""
    version = packages.Apt().debian_version("libevent-2.1-7")
    if not version:
        raise common.VmError("apt does not know libevent-2.1-7; run apt-get update")
    top = common.cache_dir() / "peers-suites" / f"libevent_{version}"
    if top.exists():
        return top / "regress", version
    with common.locked("peers-suites"), common.replaced_dir(top) as temp:
        tree, _ = packages.source("libevent", temp / "source")
        common.say("building libevent's tests")
        common.command(["./configure", "--disable-shared", "--disable-openssl",
                        "--disable-samples", "--quiet"], "configuring libevent",
                       cwd=tree)
        # A patch of Debian's is newer than what autotools made; they are not needed.
        for target in ("include/event2/event-config.h", "test/regress"):
            common.command(["make", f"-j{os.cpu_count() or 1}", "ACLOCAL=:",
                            "AUTOMAKE=:", "AUTOCONF=:", "AUTOHEADER=:", target],
                           "building libevent's tests", cwd=tree)
        subprocess.run(["cp", tree / "test/regress", temp / "regress"], check=True)
        packages.remove(temp / "source")
    return top / "regress", version


def libevent(changelist):
    """libevent's suite, in one of the two ways in which it changes its watches."""
    def make():
        names = ["EVENT_SHOW_METHOD", "EVENT_NOPOLL", "EVENT_NOSELECT"]
        if changelist:
            names.append("EVENT_EPOLL_USE_CHANGELIST")
        regress, version = build_regress()
        return Suite(["--add", f"{regress}:/vm/regress",
                      *[word for name in names for word in ("--env", f"{name}=1")]],
                     ("/vm/regress",), parse_regress, f"libevent {version}")
    return make


SUITES = {
    "kernel-6.1": wakeup("6.1"),
    "kernel-6.12": wakeup("6.12"),
    "kernel-7.2": wakeup("7.2"),
    "cpython-epoll": cpython("test_epoll", "test_selectors"),
    "cpython-asyncio": cpython("test_asyncio"),
    "libevent": libevent(False),
    "libevent-changelist": libevent(True),
}
