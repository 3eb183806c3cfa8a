# SPDX-License-Identifier: GPL-2.0-only
"""Packs the guest's root file system: cpio archives and what programs link to."""

import functools
import hashlib
import lzma
import os
import pathlib
import re
import shutil
import stat
import subprocess

from . import build, common, packages

GUEST = pathlib.Path(__file__).resolve().parent / "guest"

ETC = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
                  "nobody:x:65534:65534:nobody:/tmp:/bin/sh\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost myepoll-vm\n::1 localhost\n",
}


# Directories that are searched for libraries first, and the only ones for another
# architecture; what comes from there goes where the guest's dynamic linker looks.
library_dirs = []
GUEST_LIBRARIES = {"X86-64": "/usr/lib/x86_64-linux-gnu",
                   "AArch64": "/usr/lib/aarch64-linux-gnu"}


class Cpio:
    """A cpio archive in the "newc" format the kernel unpacks."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.inode = 0
        self.seen = set()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if not exc[0]:
            self._record("TRAILER!!!", 0, b"")
            self.file.write(bytes(-self.file.tell() % 512))
        self.file.close()

    def _record(self, name, mode, data):
        self.inode += 1
        raw = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        self.file.write(b"070701" + b"".join(b"%08X" % f for f in fields) + raw)
        self.file.write(bytes(-self.file.tell() % 4))
        self.file.write(data)
        self.file.write(bytes(-self.file.tell() % 4))

    def directory(self, name):
        """Makes a directory and those above it."""
        name = name.strip("/")
        if not name or name in self.seen:
            return
        self.directory(os.path.dirname(name))
        self.seen.add(name)
        self._record(name, stat.S_IFDIR | 0o755, b"")

    def data(self, name, data, mode=0o644):
        """Makes a file; the first one of a name stays."""
        name = name.strip("/")
        if name in self.seen:
            return
        self.directory(os.path.dirname(name))
        self.seen.add(name)
        self._record(name, stat.S_IFREG | mode, data)

    def symlink(self, name, target):
        """Makes a symbolic link."""
        name = name.strip("/")
        if name in self.seen:
            return
        self.directory(os.path.dirname(name))
        self.seen.add(name)
        self._record(name, stat.S_IFLNK | 0o777, target.encode())

    def copy(self, source, name):
        """Copies a file or a tree; programs bring the libraries they need."""
        source = pathlib.Path(source)
        if source.is_dir():
            self.directory(name)
            for entry in sorted(source.iterdir()):
                if entry.is_symlink() and not entry.exists():
                    self.symlink(f"{name}/{entry.name}", os.readlink(entry))
                elif entry.name != "__pycache__":
                    self.copy(entry, f"{name}/{entry.name}")
            return
        mode = 0o755 if os.access(source, os.X_OK) else 0o644
        self.data(name, source.read_bytes(), mode)
        for dest, path in shared_objects(source).items():
            self.data(dest, pathlib.Path(path).read_bytes(), 0o755)


@functools.lru_cache(maxsize=None)
def _known_libraries():
    """{(name, machine)}: path, from the dynamic linker's own cache."""
    known = {}
    listing = common.command(["/sbin/ldconfig", "-p"], "listing shared libraries")
    for line in listing.splitlines():
        match = re.match(r"\s+(\S+) \((\S+?)[,)].*=> (\S+)", line)
        if not match:
            continue
        name, _, path = match.groups()
        if ",x86-64" in line:
            machine = "X86-64"
        elif ",x32" in line:
            continue
        else:
            machine = "80386"
        known.setdefault((name, machine), path)
    return known


@functools.lru_cache(maxsize=None)
def _elf_facts(path):
    """(machine, interpreter, needed names, search directories) of an ELF file."""
    with open(path, "rb") as file:
        if file.read(4) != b"\x7fELF":
            return None
    readelf = common.need_tool("readelf", "binutils")
    text = subprocess.run([readelf, "-W", "-h", "-l", "-d", path],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, check=False).stdout
    machine = re.search(r"Machine:.*?(\S+)$", text, re.M)
    interpreter = re.search(r"program interpreter: (\S+)\]", text)
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", text)
    rpath = re.findall(r"\((?:RPATH|RUNPATH)\).*\[(.+)\]", text)
    dirs = [d.replace("$ORIGIN", os.path.dirname(path))
            for entry in rpath for d in entry.split(":")]
    return (machine.group(1) if machine else "?",
            interpreter.group(1) if interpreter else None, needed, dirs)


def _own_library(name):
    """A library's file in one of library_dirs, or None."""
    return next((f"{d}/{name}" for d in library_dirs if os.path.isfile(f"{d}/{name}")),
                None)


def shared_objects(path):
    """{place in the guest: file on the host} of all that an ELF file links to."""
    found = {}
    todo = [str(path)]
    while todo:
        current = todo.pop()
        facts = _elf_facts(current)
        if not facts:
            continue
        machine, interpreter, needed, dirs = facts
        if interpreter:
            own = _own_library(os.path.basename(interpreter))
            found.setdefault(interpreter, own or interpreter)
        # pthread_cancel() and pthread_exit() load this one by themselves.
        if "libc.so.6" in needed and (_own_library("libgcc_s.so.1") or
                                      ("libgcc_s.so.1", machine) in _known_libraries()):
            needed = needed + ["libgcc_s.so.1"]
        for name in needed:
            places = [f"{d}/{name}" for d in dirs] + \
                     [_known_libraries().get((name, machine), "")]
            place = next((p for p in places if os.path.isfile(p)), None)
            if name.startswith("ld-linux"):
                continue
            own = _own_library(name)
            if own:
                place = f"{GUEST_LIBRARIES[machine]}/{name}"
                if place not in found:
                    found[place] = own
                    todo.append(own)
                continue
            if not place:
                raise common.VmError(f"{current} needs the {machine} library {name}, "
                                     "which is not installed on this host")
            if place not in found:
                found[place] = place
                todo.append(place)
    return found


def build_agent(kern):
    """The guest's agent, compiled once per version of its source."""
    source = GUEST / "agent.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    final = common.cache_dir() / "agent" / f"{digest}{kern.arch.tail}"
    if final.exists():
        return final
    flags = ["-static", "-O2", "-s", "-Wall", "-o"]
    with common.locked("agent"), common.replaced_file(final) as temp:
        if kern.arch.cross:
            args = build.inside(kern, (GUEST, final.parent),
                                [build.compiler(kern), *flags, temp, source, "-lutil"])
        else:
            gcc = shutil.which("gcc") or common.need_tool("gcc-12", "gcc-12")
            args = [gcc, *flags, temp, source, "-lutil"]
        common.command(args, "compiling the guest agent")
    return final


def busybox_of(target):
    """The busybox for an architecture: the host's own, or out of a package."""
    if not target.cross:
        return pathlib.Path(common.need_tool("busybox", "busybox-static"))
    final = common.cache_dir() / "busybox" / target.name
    if not final.exists():
        with common.locked("busybox"), common.replaced_dir(final) as temp:
            packages.fetch(packages.foreign_apt(target.name), "busybox-static", temp)
    return next(final.glob("**/bin/busybox"))


def module_bytes(path):
    """A kernel module as insmod of busybox takes it: not compressed."""
    path = str(path)
    if path.endswith(".xz"):
        with lzma.open(path) as file:
            return file.read()
    if path.endswith(".zst"):
        zstd = common.need_tool("zstd", "zstd")
        return subprocess.run([zstd, "-dc", path], check=True,
                              stdout=subprocess.PIPE).stdout
    return pathlib.Path(path).read_bytes()


def build_base(kern, kmods):
    """The part that is the same for every run: busybox, init, agent, drivers.

    kmods are the driver files, in the order in which they are to be loaded.
    Returns the archive and the guest paths of the drivers.
    """
    agent, busybox = build_agent(kern), busybox_of(kern.arch)
    places = [f"/lib/kmods/{re.sub(r'[.](xz|zst)$', '', os.path.basename(k))}"
              for k in kmods]
    digest = hashlib.sha256()
    for path in [agent, GUEST / "init", busybox, pathlib.Path(__file__)]:
        digest.update(path.read_bytes())
    digest.update(repr((kern.sign, [str(k) for k in kmods])).encode())
    final = common.cache_dir() / "initramfs" / f"{digest.hexdigest()[:16]}.cpio"
    if final.exists():
        return final, places
    if shared_objects(busybox):
        raise common.VmError(f"{busybox} is linked dynamically; run scripts/setup "
                             "(package busybox-static)")
    with common.locked("initramfs"), common.replaced_file(final) as temp, \
            Cpio(temp) as cpio:
        cpio.copy(busybox, "bin/busybox")
        cpio.symlink("bin/sh", "busybox")
        cpio.data("init", (GUEST / "init").read_bytes(), 0o755)
        cpio.data("vm/.agent", agent.read_bytes(), 0o755)
        for directory in ("dev", "proc", "sys", "tmp", "root", "usr/bin",
                          "usr/sbin", "sbin", "usr/local/bin", "var", "run"):
            cpio.directory(directory)
        for name, text in ETC.items():
            cpio.data(name, text.encode())
        for path, place in zip(kmods, places):
            cpio.data(place, module_bytes(path))
    return final, places


def pack(output, base, adds, argv, conf, kmods):
    """The whole archive: the base, then what this run adds.

    adds are pairs of host path and guest path; kmods are triples of guest
    path, parameters, and host path, or None if the base has the file.
    """
    with Cpio(f"{output}.run") as cpio:
        for source, dest in adds:
            cpio.copy(source, dest)
        cpio.data("vm/.argv", b"".join(os.fsencode(a) + b"\0" for a in argv), 0o600)
        cpio.data("vm/.conf", conf.encode())
        lines = []
        for place, params, source in kmods:
            if source:
                cpio.data(place, module_bytes(source))
            lines.append(f"{place} {params}".strip() + "\n")
        cpio.data("vm/.kmods", "".join(lines).encode())
    with open(output, "wb") as whole:
        for part in (base, f"{output}.run"):
            with open(part, "rb") as file:
                shutil.copyfileobj(file, whole)
    os.unlink(f"{output}.run")
