# SPDX-License-Identifier: GPL-2.0-only
"""Runs the cases of a suite in a virtual machine, native and myepoll in turn."""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import threading
import time

from vmlib import guest

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = TOP / "build/bench"
MODULE = "/lib/kmods/myepoll.ko"
MARK = "@bench"


class BenchError(Exception):
    """Something the user has to hear about."""


def say(message):
    """Progress, on stderr."""
    print(f"bench: {message}", file=sys.stderr, flush=True)


def build(programs):
    """Builds the programs; says what the compiler says."""
    done = subprocess.run(["make", "-s", "-C", TOP / "bench", "OUT=../build/bench",
                           *[f"../build/bench/{name}" for name in sorted(programs)]],
                          check=False)
    if done.returncode:
        raise BenchError("the benchmarks cannot be built")


def pairs_of(case, options):
    """How many pairs of runs a case gets."""
    most = case.quick_pairs if options.quick else case.most
    return min(most or options.pairs, options.pairs)


def one_run(case, backend, options):
    """The lines of shell for one run."""
    args = case.quick_args if options.quick else case.args
    words = [case.program, *args]
    if options.control:
        backend = "native"
    if case.parse is None:
        words += ["--backend", backend]
    if backend == "myepoll":
        words = [*case.wrap, *words]
    # A benchmark that fails does not end the others, and is not forgotten.
    lines = [f"{shlex.join(words)} || echo '{MARK} failed '$?"]
    if case.unload and backend == "native" and not options.control:
        lines = ["rmmod myepoll", *lines, f"insmod {MODULE}"]
    return lines


def guest_script(suite, options):
    """What the guest runs: the backends take turns in going first."""
    lines = ["#!/bin/sh", "# SPDX-License-Identifier: GPL-2.0-only", "set -e",
             f'echo "{MARK} kernel $(uname -r)"']
    most = max(pairs_of(case, options) for case in suite.cases)
    for pair in range(most):
        order = ("native", "myepoll") if pair % 2 == 0 else ("myepoll", "native")
        for index, case in enumerate(suite.cases):
            if pair >= pairs_of(case, options):
                continue
            for backend in order:
                lines.append(f"echo '{MARK} run {index} {pair} {backend}'")
                lines += one_run(case, backend, options)
    return "\n".join(lines + [f"echo '{MARK} done'", ""])


class Collector:
    """Takes the guest's lines and makes values of them."""

    def __init__(self, suite, options):
        self.suite = suite
        self.options = options
        self.kernel = None
        self.values = {}	# name -> {"unit": u, pair: {backend: value}}
        self.failures = []
        self.late = False	# its share of a quick run's time was over
        self.done = self.interrupted = False
        self.case = self.pair = self.backend = None
        self.text = []
        self.since = None	# when the case began
        self.spent = {}		# case name -> [seconds, pairs] so far

    def line(self, text):
        """One line of the guest's output."""
        if text.startswith(MARK + " "):
            self._mark(text.split()[1:])
        elif self.case and self.case.parse:
            self.text.append(text)
        elif self.case and text.startswith("{"):
            self._json(text)
        elif text:
            say(f"{self.case.name if self.case else 'guest'}: {text}")

    def _json(self, text):
        try:
            record = json.loads(text)
            self._value(record["name"], record["unit"], record["value"])
        except (ValueError, KeyError):
            # The last one of a machine that has died.
            say(f"{self.case.name}: half a result: {text}")

    def _mark(self, words):
        if words[0] == "failed":
            self.failures.append(f"{self.case.name} on {self.backend} ended with "
                                 f"status {words[1]}")
            say(self.failures[-1])
            return
        self.finish_text()
        if words[0] == "kernel":
            self.kernel = words[1]
        elif words[0] == "done":
            self.done = True
        else:
            self._begin(self.suite.cases[int(words[1])], int(words[2]))
            self.backend = words[3]

    def finish_text(self):
        """Takes what a program that prints no JSON has said."""
        if self.case and self.case.parse and self.text:
            for name, unit, value in self.case.parse("\n".join(self.text)):
                self._value(name, unit, value)
        self.text = []

    def _value(self, name, unit, value):
        entry = self.values.setdefault(name, {"unit": unit, "pairs": {}})
        entry["pairs"].setdefault(self.pair, {})[self.backend] = value

    def _begin(self, case, pair):
        if (case, pair) == (self.case, self.pair):
            return
        now = time.monotonic()
        if self.case:
            entry = self.spent.setdefault(self.case.name, [0, 0])
            entry[0] += now - self.since
            entry[1] += 1
        self.case, self.pair, self.since = case, pair, now
        say(f"{case.name}, pair {pair + 1} of {pairs_of(case, self.options)}"
            f"{self._left()}")

    def _left(self):
        """How long it will take, once each case has run."""
        if len(self.spent) < len(self.suite.cases):
            return ""
        left = 0
        for case in self.suite.cases:
            seconds, pairs = self.spent[case.name]
            left += seconds / pairs * (pairs_of(case, self.options) - pairs)
        return f", {self.suite.name} has about {left / 60:.1f} min left"

    def _pairs(self, name):
        """How often a name was measured on both backends."""
        return sum(len(pair) == 2 for pair in
                   self.values.get(name, {"pairs": {}})["pairs"].values())

    def missing(self):
        """Names that the cases promise and did not yield on both backends."""
        return [name for case in self.suite.cases for name in case.names
                if not self._pairs(name)]

    def short(self):
        """What has been measured, but less often than it should be."""
        for case in self.suite.cases:
            had = max((self._pairs(name) for name in case.names), default=0)
            if 0 < had < pairs_of(case, self.options):
                yield f"{case.name} ({had} of {pairs_of(case, self.options)})"


def vm_command(suite, options, script):
    """The call of scripts/vm."""
    words = [TOP / "scripts/vm", "run", "--mem", options.mem or suite.mem,
             "--timeout", options.timeout]
    words += ["--icount"] if suite.icount else ["--cpus", options.cpus, "--pin"]
    if not suite.icount and not guest.kvm_usable():
        # A virtual CPU that halts is a thread of the emulator that sleeps, and to
        # wake that is many times dearer than what is to be measured.
        words += ["--append", "idle=poll"]
    if options.append:
        words += ["--append", options.append]
    if options.kernel:
        words += ["--kernel", options.kernel]
    ours = {case.program for case in suite.cases if case.parse is None}
    for name in sorted(ours):
        words += ["--add", PROGRAMS / name]
    for pack in (case.pack for case in suite.cases if case.pack):
        words += pack()
    return [str(word) for word in
            [*words, "--add", f"{script}:/vm/pairs", "--", "sh", "pairs"]]


def watch(process, collector, seconds):
    """Takes all that the guest says; ends it after so many seconds."""
    def give_up():
        collector.late = True
        process.terminate()

    timer = threading.Timer(seconds, give_up) if seconds is not None else None
    if timer:
        timer.start()
    try:
        for text in process.stdout:
            collector.line(text.rstrip("\n"))
    except KeyboardInterrupt:
        # What there is by now is kept.
        collector.failures.append(f"{collector.suite.name}: interrupted")
        collector.interrupted = True
        process.terminate()
    finally:
        if timer:
            timer.cancel()
    collector.finish_text()


def run(suite, options, seconds=None):
    """Runs a suite, for so many seconds at most; returns its Collector."""
    collector = Collector(suite, options)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="myepoll-bench-") as directory:
        script = pathlib.Path(directory) / "pairs"
        script.write_text(guest_script(suite, options), encoding="ascii")
        with subprocess.Popen(vm_command(suite, options, script),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              text=True, errors="replace") as process:
            watch(process, collector, seconds)
    if collector.done:
        collector.late = False
    judge(collector, process.returncode)
    say(f"{suite.name}: {time.monotonic() - start:.0f} s")
    return collector


def judge(collector, status):
    """Adds what a machine that ended early has left undone."""
    name = collector.suite.name
    if not collector.late and (status or not collector.done):
        collector.failures.append(f"{name}: scripts/vm ended with status {status}")
    missing, short = collector.missing(), list(collector.short())
    if missing:
        collector.failures.append(f"{name}: not measured: {', '.join(missing)}")
    if short and not collector.late:
        collector.failures.append(f"{name}: fewer pairs: {', '.join(short)}")


def host_cpus():
    """CPUs that we may use."""
    return len(os.sched_getaffinity(0))


def mode(suite, options):
    """How a suite was run, for the record."""
    if suite.icount:
        text = "icount, 1 CPU"
    else:
        text = f"{'KVM' if guest.kvm_usable() else 'TCG'}, {options.cpus} CPUs"
    return text + (", quick" if options.quick else "") + \
        (f", {options.append}" if options.append else "") + \
        (", native in both columns" if options.control else "")
