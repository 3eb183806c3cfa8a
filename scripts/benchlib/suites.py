# SPDX-License-Identifier: GPL-2.0-only
"""What there is to measure: suites of cases, and the names they yield.

A case is one program with its arguments.  It runs once on each backend, as
PROGRAM ARGUMENT... --backend native|myepoll, and prints lines of JSON with
name, unit, backend and value (bench/result.h).  What does not speak that, such
as a foreign benchmark behind a preload library, gets a `wrap` (words in front of
the command for myepoll) and a `parse` (its output to [(name, unit, value)]).
"""

import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class Case:
    """One program with its arguments."""

    name: str
    program: str
    args: tuple = ()
    quick_args: typing.Optional[tuple] = None	# None: not in a quick run
    names: tuple = ()	# all results it has to yield
    # Native epoll is measured with the module unloaded.
    unload: bool = False
    # Repeats to the instruction: so many pairs are enough for a quick run.
    quick_pairs: typing.Optional[int] = None
    wrap: tuple = ()
    parse: typing.Optional[typing.Callable] = None

    def wanted(self, words):
        """Whether one of the words of --only means this case."""
        return any(self.name == word or self.name.startswith(word + ".") or
                   any(name == word or name.startswith(word + ".")
                       for name in self.names) for word in words)


@dataclasses.dataclass(frozen=True)
class Suite:
    """Cases that run in one boot of one machine."""

    name: str
    icount: bool
    mem: int
    cases: tuple


def icount_names(*keys):
    """Names of instruction counts."""
    return tuple(f"icount.{key}" for key in keys)


def beside(size):
    """Names of what is counted beside so many watches."""
    return icount_names(*(f"{op}_{size}" for op in ("add_del", "add", "del", "mod")))


CALLS = ("getppid", "ioctl_empty", "wait_empty", "wait_1", "wait_16", "wait_512",
         "wait_edge_1", "wait_edge_16", "write_unwatched", "write_idle",
         "write_queued", "callback", "callback_queued", "oneshot_rearm", "echo_tcp",
         "create_close", "open_close", "create", "close_empty", "close_watched")
CLOSES = ("close_unwatched", "close_unwatched_idle", "close_file")


def counted(name, names, **more):
    """A set of operations of bench/icount.c."""
    args = ("--json", "--set", name)
    return Case(f"icount.{name}", "icount", args, names=names,
                **{"quick_args": args, "quick_pairs": 1, **more})


def icount(_):
    """Instructions, on one CPU whose clock counts them."""
    return Suite("icount", True, 5120, (
        counted("calls", icount_names(*CALLS)),
        counted("close", icount_names(*CLOSES), unload=True),
        counted("many", sum((beside(n) for n in ("10", "1k", "10k", "100k")), ())),
        # Some 10,000 million instructions on each backend.
        counted("huge", beside("1m"), quick_args=None),
    ))


SUITES = (icount,)


def choose(options):
    """The suites that the options ask for, with the cases that they ask for."""
    chosen, left_out = [], []
    for make in SUITES:
        suite = make(options)
        cases = [case for case in suite.cases
                 if not options.only or case.wanted(options.only)]
        if options.quick:
            left_out += [case.name for case in cases if case.quick_args is None]
            cases = [case for case in cases if case.quick_args is not None]
        if cases:
            chosen.append(dataclasses.replace(suite, cases=tuple(cases)))
    return chosen, left_out
