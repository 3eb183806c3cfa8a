# SPDX-License-Identifier: GPL-2.0-only
"""Plots by gnuplot: cost against watches, throughput against threads."""

import shutil
import subprocess

from . import machine

SIZES = {"10": 10, "1k": 1000, "10k": 10000, "100k": 100000, "1m": 1000000}
TERMINALS = {"svg": "svg size 800,500 dynamic background rgb 'white'",
             "png": "pngcairo size 1000,625"}
COLOURS = ("#b03030", "#2060a0", "#30803a", "#806020", "#704090")


def series(records, prefix, positions):
    """{backend: [(x, y)]} of records named PREFIX + key, for the given keys."""
    by_name = {one["name"]: one for one in records}
    found = {"native": [], "myepoll": []}
    for key, x in sorted(positions.items(), key=lambda item: item[1]):
        one = by_name.get(prefix + key)
        for backend, points in found.items():
            if one:
                points.append((x, one.get(f"{backend}_median", one[backend])))
    return found


def script(curves, title, labels, scale, output):
    """gnuplot's input: dashed is native, solid is myepoll."""
    suffix = output.suffix[1:]
    lines = [f"set terminal {TERMINALS[suffix]}", f"set output '{output}'",
             f"set title '{title}'", f"set xlabel '{labels[0]}'",
             f"set ylabel '{labels[1]}'", "set yrange [0:*]", scale, "set grid",
             "set key outside right"]
    plots, data = [], []
    for index, (name, found) in enumerate(curves):
        for backend, points in found.items():
            dash = 2 if backend == "native" else 1
            plots.append(f"'-' with linespoints dashtype {dash} linewidth 2 "
                         f"linecolor rgb '{COLOURS[index % len(COLOURS)]}' "
                         f"title '{name}, {backend}'")
            data += [f"{x} {y}" for x, y in points] + ["e"]
    return "\n".join([*lines, "plot " + ", ".join(plots), *data, ""])


def figures(records):
    """[(file name, curves, title, axis labels, scale)] of what can be drawn."""
    watches = [(op.replace("_", " + ").upper(),
                series(records, f"icount.{op}_", SIZES))
               for op in ("add_del", "add", "del", "mod")]
    counts = sorted({int(one["name"].rsplit(".", 1)[1]) for one in records
                     if one["name"].startswith("threads.")})
    operations = sorted({one["name"].split(".")[1] for one in records
                         if one["name"].startswith("threads.")})
    threads = [(op.replace("_", " "),
                series(records, f"threads.{op}.", {str(n): n for n in counts}))
               for op in operations]
    writers = [("events", series(records, "stress.",
                                 {str(n): n for n in range(1, 4097)}))]
    log = "set logscale x"
    for name, curves, title, labels, scale in (
            ("watches", watches, "Cost against watches in the instance",
             ("watches", "instructions"), log),
            ("threads", threads, "Throughput of threads on one instance",
             ("threads", "operations/s"),
             f"{log} 2; set logscale y; set format y '%.0s %c'; set yrange [*:*]"),
            ("writers", writers, "Writers and one waiter",
             ("writers", "events/ms"), f"{log} 2")):
        curves = [curve for curve in curves if len(curve[1]["native"]) > 1]
        if curves:
            yield name, curves, title, labels, scale


def draw(records, directory):
    """Draws what there are figures for; returns the files."""
    wanted = list(figures(records))
    if not wanted:
        return []
    gnuplot = shutil.which("gnuplot")
    if not gnuplot:
        machine.say("no plots: gnuplot is missing (scripts/setup --bench installs it)")
        return []
    made = []
    for name, curves, title, labels, scale in wanted:
        for suffix in TERMINALS:
            output = directory / f"bench-{name}.{suffix}"
            done = subprocess.run([gnuplot], text=True, check=False,
                                  input=script(curves, title, labels, scale, output),
                                  stderr=subprocess.PIPE)
            if done.returncode:
                raise machine.BenchError(f"gnuplot: {done.stderr.strip()}")
            made.append(output)
    return made
