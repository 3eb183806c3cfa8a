# SPDX-License-Identifier: GPL-2.0-only
"""The programs of make peers: Debian's packages, and what of them the guest gets."""

import dataclasses
import pathlib
import re
import subprocess
import zlib

from vmlib import common, packages

TOP = pathlib.Path(__file__).resolve().parents[2]
LIBRARIES = "usr/lib/x86_64-linux-gnu"


@dataclasses.dataclass(frozen=True)
class Program:
    """One program under one load.

    The first package is the one it is shown by.  Files and trees keep their place;
    libraries come with the programs that link to them.
    """

    packages: tuple
    files: tuple
    load: str
    # A benchmark does nothing but epoll calls, so its ratio is that of the calls:
    # it is shown, and no test.
    server: bool = True
    trees: tuple = ()


NGINX = ("nginx", "wrk", "libluajit-5.1-2")
NGINX_FILES = ("usr/sbin/nginx", "usr/bin/wrk")
WRK = ("wrk", "libluajit-5.1-2")
PYTHON = ("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib",
          "libexpat1")
PYTHON_FILES = ("usr/bin/python3.11",)
PYTHON_TREES = ("usr/lib/python3.11",)
PERF = ("linux-perf", "libbabeltrace1", "libglib2.0-0", "libdw1", "libnuma1",
        "libopencsd1", "libperl5.36", "libpython3.11", "libslang2", "libunwind8",
        "libcap2", "libelf1", "libpcre2-8-0")
STRESS = ("stress-ng", "libapparmor1", "libbsd0", "libmd0", "libegl1", "libglvnd0",
          "libgbm1", "libdrm2", "libgles2", "libipsec-mb1", "libjpeg62-turbo",
          "libjudydebian1", "libkmod2", "libsctp1", "libxxhash0",
          "libwayland-server0", "libexpat1", "libxcb-randr0")

PROGRAMS = {
    "nginx": Program(
        NGINX, NGINX_FILES, "2 workers, a file of 8 KB, wrk with 50 connections"),
    "redis": Program(
        ("redis-server", "redis-tools", "liblzf1", "libjemalloc2", "liblua5.1-0",
         "lua-bitop", "lua-cjson", "libhiredis0.14"),
        ("usr/bin/redis-server", "usr/bin/redis-benchmark"),
        "redis-benchmark, SET and GET of 256 bytes, 50 connections; then values of "
        "1 to 4096 bytes, compared"),
    "memcached": Program(
        ("memcached", "libevent-2.1-7", "libsasl2-2"), ("usr/bin/memcached",),
        "2 threads, set and get of 1 to 4096 bytes, 32 connections"),
    "haproxy": Program(
        ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1",
         "libpcre2-8-0", *NGINX), ("usr/sbin/haproxy", *NGINX_FILES),
        "2 threads, nginx behind it, a file of 8 KB, wrk with 50 connections; "
        "reloaded under the same load"),
    "node": Program(
        ("nodejs", "libnode108", "libbrotli1", "libc-ares2", "libicu72",
         "libnghttp2-14", "libuv1", "node-acorn", "node-cjs-module-lexer",
         "node-undici", *WRK),
        ("usr/bin/node", "usr/bin/wrk"),
        "HTTP server, 8 KB, wrk with 50 connections",
        trees=("usr/share/nodejs",)),
    "asyncio": Program(
        (*PYTHON, *WRK), (*PYTHON_FILES, "usr/bin/wrk"),
        "asyncio streams, HTTP, 8 KB, wrk with 50 connections", trees=PYTHON_TREES),
    "selectors": Program(
        (*PYTHON, *WRK), (*PYTHON_FILES, "usr/bin/wrk"),
        "selectors.DefaultSelector, HTTP, 8 KB, wrk with 50 connections",
        trees=PYTHON_TREES),
    "stress_ng": Program(
        STRESS, ("usr/bin/stress-ng",), "--epoll 1 --verify, bogo operations",
        server=False),
    "perf_wait": Program(
        PERF, ("usr/bin/perf",), "perf bench epoll wait, 2 threads, 64 eventfds",
        server=False),
    "perf_ctl": Program(
        PERF, ("usr/bin/perf",), "perf bench epoll ctl, 2 threads, 64 eventfds",
        server=False),
}


def records_of(apt, names):
    """{package: the record of Debian's own newest version}."""
    found = {}
    for name in names:
        version = apt.debian_version(name)
        found[name] = apt.record(name, version) if version else None
        if not found[name]:
            raise common.VmError(f"apt does not know Debian's {name}; run apt-get "
                                 "update (as root)")
    return found


def unpacked(names):
    """Packages, unpacked together in the cache; and the version of the first."""
    apt = packages.Apt()
    records = records_of(apt, names)
    version = records[names[0]]["Version"]
    digest = zlib.crc32(repr([(name, fields["Version"])
                              for name, fields in records.items()]).encode())
    top = common.cache_dir() / "peers" / \
        f"{names[0]}_{version.replace(':', '%3a')}_{digest:08x}"
    if not top.exists():
        with common.locked("peers"), common.replaced_dir(top) as temp:
            for name, fields in records.items():
                deb = apt.download(name, fields["Version"],
                                   common.cache_dir() / "debs")
                packages.unpack(deb, temp)
    return top, re.sub("^.*:", "", version)


def additions(root, program):
    """The options of scripts/vm that bring a program into the guest."""
    words = ["--libs", root / LIBRARIES]
    for file in program.files:
        words += ["--add", f"{root / file}:/usr/bin/{file.rsplit('/', 1)[1]}"]
    for tree in program.trees:
        words += ["--add", f"{root / tree}:/{tree}"]
    return words


def bring(name):
    """The same for a program of this list, with its packages and the command that
    runs it on the module."""
    program = PROGRAMS[name]
    lib = TOP / "build/lib"
    subprocess.run(["make", "-s", "-C", TOP / "lib", f"OUT={lib}"], check=True)
    return [*additions(unpacked(program.packages)[0], program),
            "--add", lib / "myepoll", "--add", lib / "libmyepoll-preload.so"]
