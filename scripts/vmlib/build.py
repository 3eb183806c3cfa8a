# SPDX-License-Identifier: GPL-2.0-only
"""Builds the module for a kernel of the cache, away from the source tree."""

import os
import pathlib
import re
import shutil
import subprocess
import zlib

from . import common, packages, toolbox

SOURCES = ("Kbuild", "VERSION", "module", "uapi", "selftests/mock")


def build_dir(kern):
    """Where everything built for that kernel is."""
    base = pathlib.Path(os.environ.get("MYEPOLL_BUILD") or common.TOP / "build")
    return base.absolute() / (kern.release + ("-clang" if kern.clang else ""))


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


# A kernel built with gcc, a module with clang: make is told, and what only gcc can
# do is left to objtool.  Older ones cannot jump by the kernel's thunks.
CLANGS = ("clang-16", "clang-19")
CLANG = ("CONFIG_CC_IS_GCC=", "CONFIG_GCC_VERSION=0", "CONFIG_CC_IS_CLANG=y",
         "CONFIG_CLANG_VERSION=160000", "CONFIG_FTRACE_MCOUNT_USE_CC=",
         "CONFIG_FTRACE_MCOUNT_USE_RECORDMCOUNT=y",
         "CONFIG_CC_IMPLICIT_FALLTHROUGH=-Wimplicit-fallthrough")

# What a cross compiler takes to build the libraries and their tests, beside the C
# compiler and libc.
CROSS = ("diffutils", "pkg-config")


def compiler(kern):
    """The compiler these headers were made for, if they name one."""
    if kern.clang:
        return next(filter(shutil.which, CLANGS), None) or \
            common.need_tool(CLANGS[0], CLANGS[0])
    config = kern.headers / ".config"
    match = re.search(r'CONFIG_CC_VERSION_TEXT="\S*gcc-(\d+)\b',
                      config.read_text(encoding="utf-8"))
    name = f"gcc-{match.group(1)}" if match else "gcc"
    if not kern.suite and not kern.arch.cross and not shutil.which(name):
        raise common.VmError(f"the headers of {kern.release} want {name}, which is "
                             f"not installed; install the package {name}")
    return kern.arch.cross + name


def toolbox_of(kern):
    """The directory with the tools to build for it, or None: the host's do."""
    name = compiler(kern).removeprefix(kern.arch.cross)
    if kern.arch.cross:
        triplet = kern.arch.cross.rstrip("-")
        return toolbox.root(kern.suite or packages.own_suite(),
                            (f"{name.replace('gcc', 'g++')}-{triplet}",
                             f"{name}-{triplet}",
                             f"libc6-dev-{kern.arch.name}-cross", *CROSS))
    return toolbox.root(kern.suite, (name,)) if kern.suite else None


def inside(kern, visible, args):
    """The command that runs args where the tools are; it sees these directories."""
    tools = toolbox_of(kern)
    return toolbox.inside(tools, visible, args) if tools else args


def libraries(kern):
    """The directories of the shared libraries that a cross compiler links to."""
    if not kern.arch.cross:
        return []
    triplet = kern.arch.cross.rstrip("-")
    return [str(toolbox_of(kern) / f"usr/{triplet}/lib")]


def make_args(kern, directory, extra=()):
    """The command that builds the modules."""
    args = ["make", "-C", str(kern.headers), f"M={directory}", f"CC={compiler(kern)}",
            # Types for BPF need pahole, and nothing here asks for them.
            "CONFIG_DEBUG_INFO_BTF_MODULES=",
            "PAHOLE_VERSION=$(CONFIG_PAHOLE_VERSION)",
            f"-j{os.cpu_count() or 1}", *extra]
    if kern.clang:
        args += CLANG
    if kern.arch.cross:
        args.append(f"CROSS_COMPILE={kern.arch.cross}")
    common.need_tool("make", "make")
    return inside(kern, (common.TOP, directory, kern.headers.parents[2]), args)


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
