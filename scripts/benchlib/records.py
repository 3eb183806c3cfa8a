# SPDX-License-Identifier: GPL-2.0-only
"""Figures of pairs become records; records become JSON and tables."""

import json
import statistics

from . import machine

# Units of which more is better; of all others less is.
MORE_IS_BETTER = ("/s", "/ms", "shared/own")


def better_high(unit):
    """Whether more of it is better."""
    return unit.endswith(MORE_IS_BETTER)


def _ratio(pair):
    return pair["myepoll"] / pair["native"] if pair["native"] else None


def record(name, entry, kernel, mode):
    """One entry of bench.json, or None if no pair is complete.

    The figures are those of the pair with the median ratio; of an even number
    of pairs, the lower one of the two in the middle.
    """
    pairs = [pair for pair in entry["pairs"].values() if len(pair) == 2]
    if not pairs:
        return None
    known = sorted((pair for pair in pairs if pair["native"]), key=_ratio)
    middle = known[(len(known) - 1) // 2] if known else pairs[0]
    ratios = [float(f"{_ratio(one):.5g}") for one in (known[0], middle, known[-1])] \
        if known else [None] * 3
    return {
        "name": name, "unit": entry["unit"],
        "native": middle["native"], "myepoll": middle["myepoll"],
        "ratio": ratios[1], "min": ratios[0], "max": ratios[2],
        "kernel": kernel, "mode": mode, "pairs": len(pairs),
        # For curves: the pair in the middle of one point may be the fastest of
        # its neighbours.
        "native_median": statistics.median(pair["native"] for pair in pairs),
        "myepoll_median": statistics.median(pair["myepoll"] for pair in pairs),
    }


def of_suite(collector, suite, options):
    """The records of a suite that has run."""
    mode = machine.mode(suite, options)
    made = [record(name, entry, collector.kernel, mode)
            for name, entry in collector.values.items()]
    return [one for one in made if one]


def read(path):
    """The records of a file, by name."""
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        return {one["name"]: one for one in records}
    except OSError as err:
        raise machine.BenchError(f"{path}: {err.strerror}") from err
    except (ValueError, TypeError, KeyError) as err:
        raise machine.BenchError(f"{path} is no file of scripts/bench") from err


def write(path, records):
    """An array with one record in each line."""
    lines = ",\n".join(json.dumps(one) for one in records)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def number(value):
    """A figure with about four digits."""
    if value is None:
        return "-"
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def ratio_text(value):
    """A ratio, two decimals or more if it is small."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def table(records):
    """The table that is printed, one section for each way of running."""
    lines = []
    last = None
    for one in records:
        head = (one["kernel"], one["mode"])
        if head != last:
            lines += ["", f"Linux {one['kernel']}, {one['mode']}", "",
                      f"{'':<36} {'unit':<14} {'native':>10} {'myepoll':>10} "
                      f"{'ratio':>7}  min - max, pairs"]
            last = head
        spread = "" if one["ratio"] is None else \
            f"{ratio_text(one['min'])} - {ratio_text(one['max'])}, {one['pairs']}"
        arrow = "+" if better_high(one["unit"]) else " "
        lines.append(f"{one['name']:<36} {one['unit']:<14} "
                     f"{number(one['native']):>10} {number(one['myepoll']):>10} "
                     f"{ratio_text(one['ratio']):>7}{arrow} {spread}")
    return "\n".join(lines + ["", "ratio: myepoll / native of the median pair; "
                              "+ marks where more is better"])


def compare(old, records):
    """What has changed since an older file."""
    lines = ["", f"{'compared':<36} {'myepoll was':>12} {'is':>10} {'change':>8}"
             f" {'ratio was':>10} {'is':>7}"]
    for one in records:
        before = old.get(one["name"])
        if not before:
            lines.append(f"{one['name']:<36} is new")
            continue
        change = f"{one['myepoll'] / before['myepoll'] - 1:+.1%}" \
            if before["myepoll"] else "-"
        # Spreads that do not meet: more than noise.
        apart = None not in (before["ratio"], one["ratio"]) and \
            (one["min"] > before["max"] or one["max"] < before["min"])
        if apart:
            good = (one["ratio"] > before["ratio"]) == better_high(one["unit"])
            change += " better" if good else " WORSE"
        lines.append(f"{one['name']:<36} {number(before['myepoll']):>12} "
                     f"{number(one['myepoll']):>10} {change:>8} "
                     f"{number(before['ratio']):>10} {number(one['ratio']):>7}")
        if before["mode"] != one["mode"] or before["kernel"] != one["kernel"]:
            lines[-1] += f"   ({before['kernel']}, {before['mode']})"
    return "\n".join(lines)
