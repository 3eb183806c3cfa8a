# SPDX-License-Identifier: GPL-2.0-only
"""Joins the user's terminal to the one in the guest."""

import contextlib
import os
import shutil
import signal
import struct
import sys
import termios
import tty

ESCAPE = b"\x01"  # Ctrl-A


class Left(Exception):
    """The user has left with Ctrl-A x."""


def _send_size(vm):
    size = shutil.get_terminal_size()
    vm.send("w", struct.pack("<HH", size.lines, size.columns))


def _split(data, escaped):
    """What of the input is for the guest, and whether it ended in an escape."""
    out = bytearray()
    for byte in data:
        char = bytes([byte])
        if escaped:
            if char in b"xX":
                raise Left
            # Ctrl-A twice is one for the guest.
            out += char if char == ESCAPE else ESCAPE + char
            escaped = False
        elif char == ESCAPE:
            escaped = True
        else:
            out += char
    return bytes(out), escaped


@contextlib.contextmanager
def attach(vm):
    """While this lasts, input goes to the guest as it is typed."""
    stdin = sys.stdin.fileno()
    escaped = False

    def on_input():
        nonlocal escaped
        data = os.read(stdin, 4096)
        if not data:
            vm.selector.unregister(stdin)
            return
        out, escaped = _split(data, escaped)
        if out:
            vm.send("i", out)

    vm.watch(stdin, on_input)
    saved = termios.tcgetattr(stdin)
    previous = signal.signal(signal.SIGWINCH, lambda *_: _send_size(vm))
    print("vm: exit leaves the VM, Ctrl-A x kills it\r", file=sys.stderr)
    try:
        tty.setraw(stdin)
        _send_size(vm)
        yield
    except Left:
        vm.left()
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, saved)
        signal.signal(signal.SIGWINCH, previous)
