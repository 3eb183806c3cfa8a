# SPDX-License-Identifier: GPL-2.0-only
"""docs/peers.md: text that scripts/peers makes, and tables it puts figures into."""

import re

from .programs import PROGRAMS

HEAD = """<!-- SPDX-License-Identifier: GPL-2.0-only -->
<!-- Made by scripts/peers --write -->
# Unmodified programs on the module

`make peers` takes Debian's packages as they are and starts the programs by `myepoll run --require`, each on
native epoll and on the module in turn, in one guest. For each run it looks through `/proc/PID/fd` of the
program and all its descendants: all instances have to be of the kind they should be. No error is
allowed. *Ratio* is the median over neighbouring runs of ours to native's, *spread* the least and the
greatest of them. `stress_ng` and the two parts of `perf bench` are no servers: they do nothing but epoll calls, so
theirs is the ratio of those and of what goes with them.

Answers are compared byte for byte: all of them for what wrk asks (nginx, haproxy, node, asyncio, selectors) and
of memcached; of redis one value of 8 KB before each run, as its client under load looks at the kind of an
answer only. stress-ng looks at what it has sent itself (`--verify`); perf compares nothing. haproxy is reloaded in
the middle of a second load, by SIGUSR2 to its master: no request may fail, and the worker of before has to be
gone, with its instances.
"""

TAIL = """
## What upstream's own tests say

`make peers-suites` runs the tests of others on native epoll and through the preload library, and compares the
two lists of what has passed: the kernel's `epoll_wakeup_test` of three kernels (from Debian's source packages), CPython's
`test_epoll`, `test_selectors` and `test_asyncio` (from `libpython3.11-testsuite`), and libevent's `regress` (built
from Debian's source). Any test that passes on one side only is a failure.

## Programs that cannot be carried

| program | what its user sees | why |
|---|---|---|
| Go (caddy, traefik, etcd, ...) | native epoll; `myepoll run` warns, `--require` refuses | its system calls go past the C library |
| Rust with rustix's own system calls | native epoll, unannounced | the same; tokio and mio call the C library and are carried |
| static programs, musl, 32-bit programs | native epoll; `myepoll run` warns, `--require` refuses | no preload library is loaded into them |
| set-user-ID programs, file capabilities | native epoll; `myepoll run` warns, `--require` refuses | the dynamic linker ignores `LD_PRELOAD` |
| libuv 1.45 and later with io_uring | should abort on EINVAL; `myepoll run` hides io_uring, and it should work (below) | io_uring's EPOLL_CTL takes native instances only |
| services with a private `/dev`, chroots, containers | native epoll, or with `--require` an error that says ENOENT or EACCES | the device node is out of reach |
| CRIU | the process cannot be saved | it knows native instances only |

What libuv does with io_uring has not been seen with a real libuv: the one of Debian 12's node is 1.44.2, which changes
no watch by io_uring. What is tested is that a program under `myepoll run` is told that there is no io_uring
(`lib/tests/test_command.c`), and that io_uring's EPOLL_CTL fails on our instances (`selftests/async.c`).

## Native instances beside ours

A program that gets a native instance by a system call of its own has instances of both kinds. A native one can
watch one of ours. One of ours cannot watch a native one: `epoll_ctl` fails with ELOOP, as neither side could see a
loop through both. `lib/tests/test_preload.c` shows both, with an instance from a raw system call. The details are
in myepoll(7), MIXED INSTANCES.
"""

COLUMNS = """
| program | load | native | myepoll | ratio | spread |
|---|---|---|---|---|---|
"""


def heading(options):
    """What a table is found by."""
    if options.cpus:
        return f"## {options.cpus} CPUs, real clock"
    return "## One CPU, a clock of instructions"


def method(options):
    """What the rates are rates of."""
    runs = f"{options.rounds} rounds of {options.seconds} s."
    if options.cpus:
        return f"""{runs} Client and server run at the same time on CPUs that are emulated if there is no KVM;
whatever else the host does is part of the figures. Made by `scripts/peers --write --cpus {options.cpus}`."""
    return f"""{runs} A second is a thousand million instructions of the guest's one CPU, which client,
server and kernel share; caches and contention cost nothing there. Made by `make peers`."""


def sections(text):
    """{heading: (its text, {program: row})} of the tables there are."""
    found = {}
    for part in re.split(r"^(?=## )", text, flags=re.M)[1:]:
        rows = {line.split(" ")[1]: line for line in part.splitlines()
                if line.startswith("| ") and line.split(" ")[1] in PROGRAMS}
        if rows:
            about = part.split("\n", 1)[1].split("\n| program |")[0].strip()
            found[part.split("\n", 1)[0]] = (about, rows)
    return found


def write(path, rows, options):
    """Puts new rows into one table; the other one stays."""
    known = sections(path.read_text(encoding="utf-8")) if path.exists() else {}
    old = known.get(heading(options), ("", {}))[1]
    known[heading(options)] = (method(options), {**old, **rows})
    text = HEAD
    # The clock of instructions first.
    for title in sorted(known, key=lambda title: "One CPU" not in title):
        about, table = known[title]
        text += f"\n{title}\n\n{about}\n{COLUMNS}" + "".join(
            f"{table[name]}\n" for name in PROGRAMS if name in table)
    path.write_text(text + TAIL, encoding="utf-8")
