# SPDX-License-Identifier: GPL-2.0-only
"""The figures that docs/bench.md shows."""

import subprocess

from . import records

BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def commit(top):
    """The commit that was measured, "and more" if files have changed since."""
    said = subprocess.run(["git", "-C", top, "describe", "--always", "--dirty= and more"],
                          capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


def rows(measured):
    """A table for each way of running."""
    last = None
    for one in measured:
        head = (one["kernel"], one["mode"])
        if head != last:
            yield f"\nLinux {one['kernel']}, {one['mode']}:\n\n" \
                "| name | unit | native | myepoll | ratio | min - max | pairs |\n" \
                "|---|---|---|---|---|---|---|\n"
            last = head
        spread = "-" if one["ratio"] is None else \
            f"{records.ratio_text(one['min'])} - {records.ratio_text(one['max'])}"
        yield f"| `{one['name']}` | {one['unit']} | {records.number(one['native'])} " \
            f"| {records.number(one['myepoll'])} | {records.ratio_text(one['ratio'])} " \
            f"| {spread} | {one['pairs']} |\n"


def write(top, measured):
    """Replaces what is between the two marks."""
    path = top / "docs/bench.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    said = f"Made by `scripts/bench --write`, commit {commit(top)}.\n"
    path.write_text(before + BEGIN + said + "".join(rows(measured)) + END + after,
                    encoding="utf-8")
