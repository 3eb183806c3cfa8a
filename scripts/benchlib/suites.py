# SPDX-License-Identifier: GPL-2.0-only
"""What there is to measure: suites of cases, and the names they yield.

A case is one program with its arguments.  It runs once on each backend, as
PROGRAM ARGUMENT... --backend native|myepoll, and prints lines of JSON with
name, unit, backend and value (bench/result.h).  What does not speak that, such
as a foreign benchmark behind a preload library, gets a `wrap` (words in front of
the command for myepoll), a `parse` (its output to [(name, unit, value)]) and a `pack`
(the options of scripts/vm that bring it).
"""

import dataclasses
import re
import typing

from peerslib import programs


@dataclasses.dataclass(frozen=True)
class Case:
    """One program with its arguments."""

    name: str
    program: str
    args: tuple = ()
    quick_args: typing.Optional[tuple] = None	# None: not in a quick run
    # In a quick run only if --only asks for it.
    aside: bool = False
    names: tuple = ()	# all results it has to yield
    # Native epoll is measured with the module unloaded.
    unload: bool = False
    # Takes minutes and repeats to 1 %: so many pairs are enough.
    most: typing.Optional[int] = None
    # Repeats so well that so many pairs are enough for a quick run.
    quick_pairs: typing.Optional[int] = None
    wrap: tuple = ()
    pack: typing.Optional[typing.Callable] = None
    parse: typing.Optional[typing.Callable] = None

    def titles(self):
        """What to call it for a person: its results, if its own name tells none."""
        told = all(name.startswith(self.name) for name in self.names)
        return (self.name,) if told else self.names

    def wanted(self, suite, only):
        """Whether one of the words of --only means this case."""
        known = (self.name, *self.names)
        # ctl_beside means all of ctl_beside_..., but memory.watch only itself.
        ends = {word: (".",) if "." in word else (".", "_") for word in only}
        return any(word == suite or
                   any(name == word or name.startswith(tuple(word + end for end in
                                                             ends[word]))
                       for name in known) for word in only)


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
         "write_queued", "callback", "callback_queued", "oneshot_rearm",
         "oneshot_round_1", "oneshot_round_16", "mod_16", "add_16", "del_16", "echo_tcp",
         "create_close", "open_close", "create", "close_empty", "close_watched")
CLOSES = ("close_unwatched", "close_unwatched_idle", "close_file")


def counted(name, names, **more):
    """A set of operations of bench/icount.c."""
    args = ("--json", "--set", name)
    return Case(f"icount.{name}", "icount", args, names=names,
                **{"quick_args": args, **more})


def icount(_):
    """Instructions, on one CPU whose clock counts them."""
    return Suite("icount", True, 5120, (
        counted("calls", icount_names(*CALLS)),
        counted("close", icount_names(*CLOSES), unload=True),
        counted("many", sum((beside(n) for n in ("10", "1k", "10k", "100k")), ()),
                quick_pairs=1),
        # Some 10,000 million instructions on each backend.
        counted("huge", beside("1m"), quick_args=None),
    ))


SHARING = ("wait", "wait_all", "add_del", "mod", "produce", "oneshot",
           "oneshot_round", "mix", "mix_oneshot")
QUICK_SHARING = SHARING[:-3]
THREADS = ("wait", "produce", "mod", "add_del")
QUICK_THREADS = ("wait", "add_del")


def powers(last):
    """1, 2, 4 ... and last, whatever it is."""
    return sorted({1 << i for i in range(last.bit_length())} | {last})


def words(text):
    """Arguments, written as one would type them."""
    return tuple(text.split())


def sharing_cases(cpus):
    """Throughput of threads on one instance over that on an instance each."""
    for op in SHARING:
        names = tuple(f"sharing.{op}{end}" for end in ("", ".throughput", ".own"))
        yield Case(f"sharing.{op}", "sharing", names=names,
                   aside=op not in QUICK_SHARING,
                   args=words(f"--op {op} --threads {cpus} --ms 80 --rounds 9"),
                   quick_args=words(f"--op {op} --threads {cpus} --ms 40 --rounds 3"))


def threads_cases(cpus):
    """Throughput on one instance against the number of threads."""
    for op in THREADS:
        for count in powers(max(8, cpus)):
            both = f"--shared-only --op {op} --threads {count}"
            yield Case(f"threads.{op}.{count}", "sharing", aside=True,
                       names=(f"threads.{op}.{count}",),
                       args=words(f"{both} --ms 250 --rounds 3"),
                       quick_args=words(f"{both} --ms 60 --rounds 1")
                       if op in QUICK_THREADS and count in (1, 2, 4, cpus)
                       else None)


def beside_cases(_):
    """ADD and DEL beside a scan or a reader of fdinfo."""
    for name, load, watches in (("ctl_beside_scan_800", "scan", 800),
                                ("ctl_beside_scan_10k", "scan", 10000),
                                ("ctl_beside_fdinfo", "fdinfo", 800),
                                ("ctl_beside_other_800", "other", 800)):
        both = f"--name {name} --load {load} --watches {watches}"
        yield Case(name, "beside", args=words(f"{both} --ms 600"),
                   quick_args=words(f"{both} --ms 120"), aside=load == "other",
                   names=tuple(f"{name}.{what}" for what in (
                       "mean", "p99", "mean_us", "p99_us", "idle_mean_us",
                       "idle_p99_us")))


def writer_names(name):
    """What bench/writers.c yields."""
    return (name, *(f"{name}.{end}" for end in
                    ("writes", "waits_per_event", "switches_per_event")))


def stress_cases(cpus):
    """Writers without a pause: one waiter; and a pool of waiters."""
    shapes = [(f"stress.{n}", n, 1) for n in powers(max(16, 2 * cpus))]
    for name, writers, waiters in [*shapes, ("pool.4_writers", 4, 4),
                                   ("pool.16_writers", 16, 4)]:
        both = f"--name {name} --writers {writers} --waiters {waiters}"
        yield Case(name, "writers", args=words(f"{both} --ms 1000"), aside=True,
                   quick_args=words(f"{both} --ms 150")
                   if writers in (1, 4, 16, cpus) else None,
                   names=writer_names(name))


def latency_cases(_):
    """From a write to the return of the wait.

    Behind p999 of 10,000 samples there are ten: fewer are an accident.
    """
    for name, more in (("wake", "--waiters 1"), ("pool", "--waiters 4"),
                       ("load", "--waiters 1 --load")):
        both = f"--name latency.{name} {more} --samples 10000"
        seconds = 30 if name == "wake" else 15
        yield Case(f"latency.{name}", "wake",
                   args=words(f"{both} --seconds {seconds}"),
                   quick_args=words(f"{both} --seconds 5"),
                   aside=name != "wake",
                   names=tuple(f"latency.{name}_{p}" for p in ("p50", "p99", "p999")))


def accept_cases(_):
    """How workers share one listening socket."""
    for count in (2, 4, 8):
        yield Case(f"accept.{count}", "accept", aside=True,
                   args=words(f"--workers {count} --connections 5000"),
                   quick_args=words(f"--workers {count} --connections 2000"),
                   names=tuple(f"accept.{what}_{count}" for what in
                               ("largest_share", "in_vain", "rate")))


def parallel(options):
    """What needs CPUs that run at the same time."""
    cpus = options.cpus
    cases = [*sharing_cases(cpus), *threads_cases(cpus), *stress_cases(cpus),
             *latency_cases(cpus), *accept_cases(cpus)]
    if cpus > 1:
        cases += beside_cases(cpus)
    return Suite("parallel", False, 2048, tuple(cases))


def memory(_):
    """Bytes; a machine of its own, as it has to be large."""
    cases = []
    for name, args, few in (
            ("memory.module", "--what module --count 1", True),
            ("memory.watch", "--what watch --count 10000", True),
            ("memory.watch_sparse", "--what watch --count 10000 --stride 64", True),
            ("memory.instance", "--what instance --count 2000", True),
            ("memory.instance_1", "--what single --count 2000", True),
            ("memory.watch_1m", "--what watch --count 1000000", False),
            ("memory.watch_sparse_1m", "--what watch --count 1000000 --stride 64",
             False)):
        args = words(f"--name {name} {args}")
        ends = ("", ".slab", ".vmalloc", ".percpu", ".objects",
                *(() if few else (".free",)))
        cases.append(Case(name, "memory", args=args, quick_pairs=1,
                          most=None if few else 1,
                          quick_args=args if few else None,
                          aside=name not in ("memory.watch", "memory.instance"),
                          names=tuple(name + end for end in ends)))
    return Suite("memory", False, 6144, tuple(cases))


def foreign_case(name, program, args, parse):
    """A benchmark out of one of Debian's packages."""
    return Case(f"foreign.{name}", program, words(args), parse=parse,
                names=(f"foreign.{name}",),
                wrap=words("/vm/myepoll run --require --"),
                pack=lambda: programs.bring(name))


def parse_average(name):
    """perf bench epoll; ctl says the same three times, for ADD, MOD and DEL."""
    def parse(text):
        found = re.search(r"Averaged (\d+) ", text)
        return [(name, "1/s", float(found.group(1)))] if found else []
    return parse


def parse_bogo_ops(text):
    """The sixth figure of stress-ng's line: by real time."""
    found = re.search(r"\] epoll +\d+ +[\d.]+ +[\d.]+ +[\d.]+ +([\d.]+)", text)
    return [("foreign.stress_ng", "1/s", float(found.group(1)))] if found else []


def foreign(options):
    """What others measure epoll with; not in a quick run, as it is downloaded."""
    both = f"-t {max(2, options.cpus)} -r 1"
    return Suite("foreign", False, 2048, (
        foreign_case("perf_wait", "perf", f"bench epoll wait {both}",
                     parse_average("foreign.perf_wait")),
        foreign_case("perf_ctl", "perf", f"bench epoll ctl {both}",
                     parse_average("foreign.perf_ctl")),
        # Its log goes to stderr, which is not taken.
        foreign_case("stress_ng", "stress-ng",
                     f"--epoll {options.cpus} --verify --metrics --timeout 1s --stdout",
                     parse_bogo_ops)))


SUITES = (icount, parallel, memory, foreign)


def quick_machines(chosen):
    """Few watches fit into the smaller machine too, and a boot is saved.

    First of all: what else runs leaves gaps in slabs.
    """
    by_name = {suite.name: suite for suite in chosen}
    if not {"parallel", "memory"} <= by_name.keys():
        return chosen
    cases = by_name["memory"].cases + by_name["parallel"].cases
    both = dataclasses.replace(by_name["parallel"], cases=cases)
    return [both if suite.name == "parallel" else suite
            for suite in chosen if suite.name != "memory"]


def choose(options):
    """The suites that the options ask for, with the cases that they ask for.

    And the names of what a quick run leaves out.
    """
    chosen, left_out = [], []
    for make in SUITES:
        suite = make(options)
        cases = [case for case in suite.cases
                 if not options.only or case.wanted(suite.name, options.only)]
        if options.quick:
            out = [case for case in cases
                   if case.quick_args is None or (case.aside and not options.only)]
            left_out += [title for case in out for title in case.titles()]
            cases = [case for case in cases if case not in out]
        if cases:
            chosen.append(dataclasses.replace(suite, cases=tuple(cases)))
    return (quick_machines(chosen) if options.quick else chosen), left_out
