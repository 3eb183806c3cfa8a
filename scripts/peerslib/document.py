# SPDX-License-Identifier: GPL-2.0-only
"""docs/peers.md: text that scripts/peers makes, and tables that it and
scripts/peers-suites put figures into."""

import re

from matrixlib.table import above, sources_of
from .programs import PROGRAMS

HEAD = """<!-- SPDX-License-Identifier: GPL-2.0-only -->
<!-- Made by scripts/peers --write -->
# Unmodified programs on the module

`make peers` takes Debian's packages as they are and runs each program in turn as it is, on native epoll, and started
by `myepoll run --require`, on the module, in one guest. For each run it looks through `/proc/PID/fd` of the
program and all its descendants: all instances have to be of the kind they should be, and each worker of nginx and
haproxy has to have one. No error is allowed. *Ratio* is the median over neighbouring runs of ours to native's,
*spread* the least and the greatest of them. `stress_ng` and the two parts of `perf bench` are no servers: they do
nothing but epoll calls, so theirs is the ratio of those and of what goes with them.

Answers are compared byte for byte: all of them for what wrk asks (nginx, haproxy, node, asyncio, selectors) and
of memcached; of redis those of a second load, as redis-benchmark looks at the kind of an answer only. stress-ng
looks at what it has sent itself (`--verify`); perf compares nothing. haproxy is reloaded in the middle of a second
load, by SIGUSR2 to its master: no request may fail, and the worker of before has to be gone, with its instances.
"""

UPSTREAM = """
## What upstream's own tests say

`make peers-suites` runs the tests of others as they are, on native epoll, and by `myepoll run --require`, and compares
the two lists of what has passed: the kernel's `epoll_wakeup_test` of three kernels (from Debian's source packages),
CPython's `test_epoll`, `test_selectors` and `test_asyncio` (from `libpython3.11-testsuite`), and libevent's `regress`
(built from Debian's source).

A test that passes on one side only is a failure, with two exceptions. Some of these tests sleep to make it likely who
wins a race: where the two sides differ, the suite has up to three runs, and what passes once has passed. And what
native epoll fails by a bug of its own that `selftests/native-bugs` lists counts as *native's bugs* if ours passes it.
In the kernel's tests the harness's limit of 30 seconds for a test is raised to 200, as emulated CPUs are slow; the
tests themselves are as they were.

"""

TAIL = """
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

COLUMNS = """| program | load | native | myepoll | ratio | spread |
|---|---|---|---|---|---|
"""
SUITES_COLUMNS = """| suite | version | passed on both | failed on both | skipped | native's bugs | differences |
|---|---|---|---|---|---|---|
"""
SUITES_BEGIN = "<!-- Made by scripts/peers-suites --write. -->\n"
SUITES_END = "<!-- Here it ends. -->\n"


def make_words(options):
    """What of make's variables brings these options."""
    return "".join(f" {name}={value}" for name, value in
                   (("KERNEL", options.kernel), ("CPUS", getattr(options, "cpus", None)))
                   if value)


def series_of(kern, options):
    """The kernel, as --kernel calls it."""
    return options.kernel or re.match(r"[0-9]+[.][0-9]+", kern.release).group()


def heading(kern, options):
    """What a table is found by."""
    what = f"{options.cpus} CPUs, real clock" if options.cpus else \
        "One CPU, a clock of instructions"
    return f"## {what}, kernel {series_of(kern, options)}"


def method(options):
    """What the rates are rates of."""
    runs = f"{options.rounds} rounds of {options.seconds} s."
    made = f"Made by `make peers{make_words(options)}`."
    if options.cpus:
        return f"""{runs} Client and server run at the same time on CPUs that are emulated if there is no KVM;
whatever else the host does is part of the figures. {made}"""
    return f"""{runs} A second is a thousand million instructions of the guest's one CPU, which client,
server and kernel share; caches and contention cost nothing there. {made}"""


def gains(rows):
    """The sentence that says where ours is above native's."""
    ratios = {name: row.strip("| ").split(" | ")[4] for name, row in rows.items()}
    over = [f"{name} ({ratio})" for name, ratio in ratios.items() if float(ratio) > 1.01]
    where = f"with {', '.join(over)}" if over else "with none of these"
    return f"The median of ours is more than 1 % above native's {where}."


def sections(text, mark, names):
    """{heading: (the text between it and its table, {name: row})}"""
    found = {}
    for part in re.split(rf"^(?={mark} )", text, flags=re.M)[1:]:
        rows = {line.split(" ")[1]: line for line in part.splitlines()
                if line.startswith("| ") and line.split(" ")[1] in names}
        if rows:
            about = re.split(r"^\| ", part.split("\n", 1)[1], maxsplit=1, flags=re.M)[0]
            found[part.split("\n", 1)[0]] = (about.strip(), rows)
    return found


def merged(known, rows, names, source):
    """(rows and what they are of, as text and as a dictionary), old and new."""
    about, old = known
    both = {**old, **rows}
    both = {name: both[name] for name in names if name in both}
    sources = {**sources_of(about), **dict.fromkeys(rows, source)}
    return above({name: sources[name] for name in both if name in sources}), both


def tables(known, columns):
    """Sections as text; the clock of instructions first."""
    return "".join(f"\n{title}\n\n{about}\n\n{columns}" +
                   "".join(f"{row}\n" for row in rows.values())
                   for title, (about, rows) in
                   sorted(known.items(), key=lambda item: ("CPUs" in item[0], item[0])))


def read(path):
    """The document: what stands outside of the part of the suites, and that."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    head, _, rest = text.partition(SUITES_BEGIN)
    suites, _, tail = rest.partition(SUITES_END)
    return head + tail, suites


def compose(path, programs, suites):
    """Writes the document anew."""
    path.write_text(HEAD + tables(programs, COLUMNS) + UPSTREAM + SUITES_BEGIN + suites +
                    SUITES_END + TAIL, encoding="utf-8")


def write(path, rows, kern, source, options):
    """Puts new rows into the table of this kernel and number of CPUs; others stay."""
    text, suites = read(path)
    known, title = sections(text, "##", PROGRAMS), heading(kern, options)
    of_what, both = merged(known.get(title, ("", {})), rows, PROGRAMS, source)
    known[title] = (f"{method(options)}\n\n{of_what}{gains(both)}", both)
    compose(path, known, suites)


def write_suites(path, rows, names, kern, source, options):
    """The same for the table of the suites on this kernel."""
    text, suites = read(path)
    known, title = sections(suites, "###", names), f"### On kernel {series_of(kern, options)}"
    of_what, both = merged(known.get(title, ("", {})), rows, names, source)
    known[title] = (f"Made by `make peers-suites{make_words(options)}`.\n\n"
                    f"{of_what}".strip(), both)
    compose(path, sections(text, "##", PROGRAMS), tables(known, SUITES_COLUMNS) + "\n")
