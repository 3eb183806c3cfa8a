# SPDX-License-Identifier: GPL-2.0-only
"""The rows of the matrix: kernels, and how the module is built for each."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    """One kernel and one compiler."""

    name: str
    flavour: str		# for the table
    series: str = None		# what scripts/vm --kernel takes
    suite: str = None		# of Debian, where the host's own lacks it
    arch: str = "amd64"
    clang: bool = False
    refused: bool = False	# loading must fail
    slowness: int = 1		# times as long as the first row may take

    def vm_options(self):
        """The options that make scripts/vm and scripts/check use it."""
        return [*(["--kernel", self.series] if self.series else []),
                *(["--arch", self.arch] if self.arch != "amd64" else []),
                *(["--clang"] if self.clang else [])]


ROWS = {row.name: row for row in (
    Row("6.1", "amd64", "6.1"),
    # Not the host's own 6.12, which an older compiler has built.
    Row("6.12", "amd64", "6.12/trixie"),
    Row("7.2", "amd64", "7.2", suite="sid"),
    Row("6.12-rt", "amd64, PREEMPT_RT", "6.12-rt", refused=True),
    Row("clang", "amd64", "6.1", clang=True),
    Row("arm64", "arm64", "6.1", arch="arm64", slowness=4),
)}
