# SPDX-License-Identifier: GPL-2.0-only
"""Errors, messages, the cache directory and its lock."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]

# Exit codes of scripts/vm, beside the command's own.
EXIT_USAGE = 2
EXIT_SPLAT = 3
EXIT_DEADLINE = 124
EXIT_VM = 125

WAIT_BEFORE_WORD_S = 3


class VmError(Exception):
    """Something the user has to hear about; carries the exit code."""

    def __init__(self, message, code=EXIT_VM):
        super().__init__(message)
        self.code = code


def say(message):
    """Progress, for a person: never on stdout, which is the command's."""
    print(f"vm: {message}", file=sys.stderr, flush=True)


def cache_dir():
    """The cache; everything in it can be made again."""
    path = os.environ.get("MYEPOLL_CACHE")
    if path:
        cache = pathlib.Path(path).absolute()
    else:
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        cache = pathlib.Path(base) / "myepoll"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise VmError(f"cannot make the cache directory {cache}: {err.strerror}; "
                      "set MYEPOLL_CACHE to a writable directory") from err
    return cache


def _flock(lock, name):
    """Takes a lock, with a word to the user if that lasts."""
    said = time.monotonic() + WAIT_BEFORE_WORD_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.05)
        if said and time.monotonic() > said:
            say("waiting for another scripts/vm that prepares the "
                f"{name.split('-')[0]}")
            said = None


@contextlib.contextmanager
def locked(name):
    """One process at a time may make the cache entry of that name."""
    with open(cache_dir() / f".lock-{name}", "w", encoding="ascii") as lock:
        _flock(lock, name)
        yield


@contextlib.contextmanager
def replaced_dir(final):
    """A directory to fill, which takes its final name only when complete."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temp = pathlib.Path(tempfile.mkdtemp(prefix=f".{final.name}-",
                                         dir=final.parent))
    try:
        temp.chmod(0o755)
        yield temp
        if final.exists():
            shutil.rmtree(final)
        temp.rename(final)
    finally:
        shutil.rmtree(temp, ignore_errors=True)


@contextlib.contextmanager
def replaced_file(final):
    """A file to write, which takes its final name only when complete."""
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{final.name}-", dir=final.parent)
    os.close(handle)
    temp = pathlib.Path(name)
    try:
        yield temp
        temp.chmod(0o644)
        temp.rename(final)
    finally:
        temp.unlink(missing_ok=True)


def need_tool(tool, package):
    """The path of a host program, or an error that says where to get it."""
    path = shutil.which(tool)
    if not path:
        raise VmError(f"{tool} is not installed; run scripts/setup "
                      f"(package {package})")
    return path


def source_state():
    """Which source this is and when, for the head of a table: figures and documents
    may have changed since the commit, nothing else."""
    version = (TOP / "VERSION").read_text(encoding="ascii").strip()
    today = time.strftime("%Y-%m-%d", time.gmtime())
    git = ["git", "-C", str(TOP)]
    done = subprocess.run([*git, "rev-parse", "--short", "HEAD"], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if done.returncode:
        return f"version {version}, {today}"
    changed = command([*git, "status", "--porcelain", "--", ".", ":!docs"], "git status")
    return f"version {version}, commit {done.stdout.strip()}" \
        f"{' with changes' if changed else ''}, {today}"


def command(args, what, **kwargs):
    """Runs a host program; its output is shown only if it fails."""
    done = subprocess.run([str(a) for a in args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False, **kwargs)
    if done.returncode:
        raise VmError(f"{what} failed (status {done.returncode}):\n"
                      f"  {' '.join(str(a) for a in args)}\n{done.stdout.rstrip()}")
    return done.stdout
