# SPDX-License-Identifier: GPL-2.0-only
"""Builds the module for a kernel of the cache, away from the source tree."""

import os
import pathlib
import re
import shutil
import subprocess
import zlib

from . import common

SOURCES = ("Kbuild", "VERSION", "module", "uapi", "selftests/mock")


def build_dir(kern):
    """Where everything built for that kernel is."""
    base = pathlib.Path(os.environ.get("MYEPOLL_BUILD") or common.TOP / "build")
    return base.absolute() / kern.release


def _link_farm(directory):
    """Mirrors the sources as links: kbuild writes its objects beside them."""
    wanted = set()
    for source in SOURCES:
        top = common.TOP / source
        files = [top] if top.is_file() else sorted(top.rglob("*.[chS]")) + \
            sorted(top.rglob("Kbuild"))
        for file in files:
            place = directory / file.relative_to(common.TOP)
            wanted.add(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.is_symlink() or os.readlink(place) != str(file):
                place.unlink(missing_ok=True)
                place.symlink_to(file)
    for place in directory.rglob("*"):
        if place.is_symlink() and place not in wanted:
            place.unlink()


def compiler(kern):
    """The compiler these headers were made for, if they name one."""
    config = kern.headers / ".config"
    match = re.search(r'CONFIG_CC_VERSION_TEXT="(\S*gcc-(\d+))\b',
                      config.read_text(encoding="utf-8"))
    name = f"gcc-{match.group(2)}" if match else "gcc"
    if not shutil.which(name):
        raise common.VmError(f"the headers of {kern.release} want {name}, which is "
                             f"not installed; install the package {name}")
    return name


def make_args(kern, directory, extra=()):
    """The command that builds the modules."""
    return [common.need_tool("make", "make"), "-C", str(kern.headers),
            f"M={directory}", f"CC={compiler(kern)}",
            f"-j{os.cpu_count() or 1}", *extra]


def _make(kern, directory, extra, verbose=False, show_warnings=True):
    """Runs kbuild in a part of the build directory; returns its output."""
    if not kern.headers or not kern.headers.is_dir():
        raise common.VmError("a kernel given by path has no headers to build the "
                             "module with; use --no-module and --module FILE.ko")
    top = build_dir(kern)
    directory.mkdir(parents=True, exist_ok=True)
    with common.locked(f"build-{zlib.crc32(os.fsencode(top)):08x}"):
        _link_farm(top)
        args = make_args(kern, directory, (*extra, *(["V=1"] if verbose else [])))
        done = subprocess.run(args, stdin=subprocess.DEVNULL, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace",
                              env={**os.environ, "LC_ALL": "C.UTF-8"})
    # Paths as a person knows them.
    output = done.stdout.replace(f"{top}/", "").rstrip()
    output = output.replace(f"{kern.headers.parent}/", "")
    if done.returncode:
        raise common.VmError(f"the module does not build:\n{output}")
    if verbose or show_warnings and re.search(r"\bwarning\b", output, re.I):
        common.say(f"output of the build:\n{output}")
    return output


def checked(kern, extra):
    """Builds all of it afresh with further checks; returns what they say."""
    shutil.rmtree(build_dir(kern), ignore_errors=True)
    return _make(kern, build_dir(kern), ("MYEPOLL_TESTS=m", *extra), False, False)


def module(kern, verbose=False):
    """Builds myepoll.ko."""
    if not list((common.TOP / "module").glob("*.c")):
        raise common.VmError("there is no module/*.c to build; use --no-module")
    _make(kern, build_dir(kern), (), verbose)
    return build_dir(kern) / "myepoll.ko"


def mock(kern, verbose=False):
    """Builds the tests' mock device."""
    directory = build_dir(kern) / "selftests/mock"
    _make(kern, directory, (), verbose)
    return directory / "myepoll_mock.ko"
