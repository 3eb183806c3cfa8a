# SPDX-License-Identifier: GPL-2.0-only
"""What differs from one architecture of the guest to another.  The host's is
amd64."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Arch:
    """An architecture, under Debian's name for it."""

    name: str
    qemu: str			# the emulator's program
    package: str		# and its package
    machine: tuple		# the options that choose a machine
    cpu: str			# what TCG emulates
    console: str		# the guest's serial console
    boot: tuple			# kernel arguments that TCG needs
    cross: str			# prefix of the names of the compiler's tools
    counter: str		# how QEMU's list of registers names where a CPU is

    @property
    def tail(self):
        """What names of files end in, where the host's architecture adds nothing."""
        return "" if self.name == HOST else f"-{self.name}"


HOST = "amd64"

ARCHES = {arch.name: arch for arch in (
    # QEMU's own CPU hands out one time stamp to all virtual CPUs, which the kernel
    # cannot know: it would fall back to the HPET, 15 times slower to read.
    Arch("amd64", "qemu-system-x86_64", "qemu-system-x86", (), "max", "ttyS0",
         ("tsc=reliable",), "", "RIP="),
    # A CPU with atomic instructions, and without the pointer authentication that
    # TCG takes most of its time for.
    Arch("arm64", "qemu-system-aarch64", "qemu-system-arm",
         ("-machine", "virt,gic-version=3"), "neoverse-n1", "ttyAMA0", (),
         "aarch64-linux-gnu-", " PC="),
)}
