# SPDX-License-Identifier: GPL-2.0-only
"""The table of docs/kernels.md, made of what the runs of the rows have left."""

import dataclasses
import json
import re

BEGIN = "<!-- The table is made by make matrix. -->\n"
END = "<!-- Here it ends. -->\n"
COLUMNS = ("| row | kernel | flavour | compiler | built | passed | failed | skipped |\n"
           "|---|---|---|---|---|---|---|---|\n")


@dataclasses.dataclass
class Result:
    """What came of one row."""

    row: str
    flavour: str
    kernel: str = "-"
    compiler: str = "-"
    built: str = "no"
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    note: str = ""		# a tested refusal, or the reason of a skip
    source: str = ""		# version, commit, day

    def save(self, directory):
        """Keeps it for the table."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{self.row}.json").write_text(
            json.dumps(dataclasses.asdict(self), indent=1) + "\n", encoding="utf-8")

    def left_out(self):
        """Nothing was run."""
        return not self.passed and not self.failed

    def line(self):
        """Its line of the table."""
        built = f"{self.built}; {self.note}" if self.note else self.built
        if self.left_out():
            built = f"**not run**: {self.note}"
        return (f"| {self.row} | {self.kernel} | {self.flavour} | {self.compiler} | "
                f"{built} | {self.passed} | {self.failed} | {self.skipped} |\n")


def saved(directory, name):
    """The result of an earlier run of a row, or None."""
    path = directory / f"{name}.json"
    return Result(**json.loads(path.read_text(encoding="utf-8"))) \
        if path.exists() else None


def sources_of(text):
    """{row: what it was run with} of what stands above a table."""
    return {row: match[1] for match in re.finditer(r"^Of (.*): (.*)[.]$", text, re.M)
            for row in match[2].split(", ")}


def above(sources):
    """The same as text, a line for each source."""
    rows = {}
    for row, source in sources.items():
        rows.setdefault(source, []).append(row)
    return "".join(f"Of {source}: {', '.join(names)}.\n"
                   for source, names in rows.items()) + ("\n" if rows else "")


def write(document, results):
    """Puts the table between its marks, below what its rows were run with.  A row
    without a result keeps its line."""
    text = document.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    old, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} has no place for the table")
    lines = {match[1]: match[0]
             for match in re.finditer(r"^\| ([\w.-]+) \|.*\n", old, re.M)}
    body = [result.line() if result else lines.get(name, "")
            for name, result in results.items()]
    was = sources_of(old)
    sources = {name: result.source if result else was.get(name)
               for name, result in results.items()}
    lead = above({name: source for name, source in sources.items() if source})
    document.write_text(head + begin + lead + COLUMNS + "".join(body) + end + tail,
                        encoding="utf-8")
