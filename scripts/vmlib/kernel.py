# SPDX-License-Identifier: GPL-2.0-only
"""Kernels to test on: Debian's, unpacked in the cache, or an image by path."""

import gzip
import json
import lzma
import os
import pathlib
import re
import struct
import subprocess

from . import arch, common, packages

KSELFTEST = "tools/testing/selftests"
WAKEUP_TEST = f"{KSELFTEST}/filesystems/epoll/epoll_wakeup_test.c"
WAKEUP_NEW = "kselftest/filesystems/epoll/epoll_wakeup_test-new.c"
SOURCE_FILES = {
    "kselftest/kselftest.h": f"{KSELFTEST}/kselftest.h",
    "kselftest/kselftest_harness.h": f"{KSELFTEST}/kselftest_harness.h",
    "kselftest/lib.mk": f"{KSELFTEST}/lib.mk",
    "kselftest/filesystems/epoll/epoll_wakeup_test.c": WAKEUP_TEST,
    "checkpatch/checkpatch.pl": "scripts/checkpatch.pl",
    "checkpatch/spelling.txt": "scripts/spelling.txt",
    "checkpatch/const_structs.checkpatch": "scripts/const_structs.checkpatch",
}


class Kernel:
    """Where the parts of one kernel are."""

    def __init__(self, release, image, modules, headers, sign):
        self.arch = arch.ARCHES[arch.HOST]
        self.release = release
        self.image = image
        self.modules = modules
        self.headers = headers
        # Changes when anything in the guest's base archive has to.
        self.sign = sign
        # The suite of Debian that has the tools to build for it; None: the host's.
        self.suite = None
        self.clang = False

    def module_files(self, names):
        """The .ko files of the named drivers and of what they need, in order."""
        if not self.modules:
            return []
        dep = self.modules / "modules.dep"
        deps, by_name = {}, {}
        for line in dep.read_text(encoding="ascii").splitlines():
            file, _, rest = line.partition(":")
            deps[file] = rest.split()
            name = os.path.basename(file).split(".ko")[0].replace("-", "_")
            by_name[name] = file
        builtin = {os.path.basename(line).split(".ko")[0].replace("-", "_")
                   for line in (self.modules / "modules.builtin").read_text(
                       encoding="ascii").splitlines()}
        order = []
        for name in (n.replace("-", "_") for n in names):
            if name in by_name:
                # modules.dep lists what is to be loaded last first.
                order += [*reversed(deps[by_name[name]]), by_name[name]]
            elif name not in builtin:
                raise common.VmError(f"kernel {self.release} has no module {name}")
        return [self.modules / f for f in dict.fromkeys(order)]

    def boot_image(self):
        """What QEMU is to boot: unpacked if possible, that saves seconds."""
        final = common.cache_dir() / "vmlinux" / self.sign
        if final.exists():
            return final if final.stat().st_size else self.image
        with common.locked("vmlinux"), common.replaced_file(final) as temp:
            temp.write_bytes(_unpack_bzimage(self.image) or b"")
        return self.boot_image()


def _unpack_bzimage(path):
    """The ELF kernel inside a bzImage if it can be booted as such, else None."""
    data = pathlib.Path(path).read_bytes()
    if data[0x202:0x206] != b"HdrS":
        return None
    sectors = data[0x1f1] or 4
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = (sectors + 1) * 512 + offset
    payload = data[start:start + length]
    try:
        if payload[:6] == b"\xfd7zXZ\0":
            elf = lzma.LZMADecompressor().decompress(payload)
        elif payload[:2] == b"\x1f\x8b":
            elf = gzip.decompress(payload[:-4])
        elif payload[:4] == b"\x28\xb5\x2f\xfd":
            zstd = common.need_tool("zstd", "zstd")
            elf = subprocess.run([zstd, "-dc"], input=payload[:-4],
                                 stdout=subprocess.PIPE, check=True,
                                 stderr=subprocess.DEVNULL).stdout
        else:
            return None
    except (lzma.LZMAError, OSError, EOFError, subprocess.CalledProcessError):
        return None
    # An ELF note, owner "Xen", type 18, names the entry point QEMU needs
    # (CONFIG_PVH).  The address in it takes four bytes or eight.
    notes = [struct.pack("<III", 4, size, 18) + b"Xen\0" for size in (4, 8)]
    if elf[:4] != b"\x7fELF" or not any(note in elf for note in notes):
        return None
    return elf


def from_path(image, modules_dir=None):
    """A kernel given by the path of its image."""
    image = pathlib.Path(image).absolute()
    if not image.is_file():
        raise common.VmError(f"no kernel image {image}", common.EXIT_USAGE)
    modules = pathlib.Path(modules_dir).absolute() if modules_dir else None
    if modules and not (modules / "modules.dep").is_file():
        raise common.VmError(f"{modules} has no modules.dep; give the directory "
                             "lib/modules/RELEASE, after depmod", common.EXIT_USAGE)
    info = image.stat()
    sign = f"path-{info.st_ino:x}-{info.st_size:x}-{info.st_mtime_ns:x}"
    release = modules.name if modules else _release_of(image)
    return Kernel(release, image, modules, None, sign)


def _release_of(image):
    """The release string a bzImage carries in its header."""
    data = image.read_bytes()
    if data[0x202:0x206] == b"HdrS":
        at = struct.unpack_from("<H", data, 0x20e)[0] + 0x200
        return data[at:at + 128].split(b"\0")[0].split(b" ")[0].decode("ascii")
    return "unknown"


def _behind(fields):
    """The image package a metapackage stands for, or None."""
    found = packages.depends(fields, r"linux-image-\d") if fields else None
    return (found[0][0], found[0][1] or fields["Version"]) if found else None


def _choose(apt, series, name):
    """(package, version) of the image to use, for the architecture of that name."""
    if not series:
        found = _behind(apt.record(f"linux-image-{name}"))
        if not found:
            raise common.VmError(f"apt does not know linux-image-{name}; run "
                                 "apt-get update (as root) and try again")
        return found
    found = _behind(apt.record(f"linux-image-{series}-{name}"))
    # Behind the version there is the number of the ABI, then the flavour.
    number, _, flavour = series.partition("-")
    tail = f"-{flavour}-{name}" if flavour else f"-{name}"
    pattern = rf"linux-image-{re.escape(number)}[.+-][0-9.+~deb-]*{tail}$"
    for name in [] if found else apt.names("linux-image-"):
        if not re.match(pattern, name):
            continue
        fields = apt.record(name)
        if fields and not _behind(fields) and \
                (not found or _newer(fields["Version"], found[1])):
            found = (name, fields["Version"])
    if not found:
        raise common.VmError(f"apt offers no kernel of the series {series}; see "
                             f"apt-cache pkgnames linux-image-{series}",
                             common.EXIT_USAGE)
    return found


def _newer(one, other):
    return subprocess.run(["dpkg", "--compare-versions", one, "gt", other],
                          check=False).returncode == 0


def resolve(series, update=False, suite=None, name=arch.HOST):
    """(package, version, suite) the series stands for: remembered, so that later
    runs need no apt."""
    tail = arch.ARCHES[name].tail
    place = (series or "default").replace("/", "-")
    series, _, own = (series or "").partition("/")
    suite = suite or own or None
    record = common.cache_dir() / "kernels" / f"{place}{tail}.json"
    if record.exists() and not update:
        known = json.loads(record.read_text(encoding="ascii"))
        return known["package"], known["version"], known.get("suite")
    package, version = _choose(_apt(suite, name), series, name)
    known = {"package": package, "version": version, "suite": suite}
    with common.replaced_file(record) as temp:
        temp.write_text(json.dumps(known), encoding="ascii")
    return package, version, suite


def _apt(suite, name):
    if name != arch.HOST:
        return packages.foreign_apt(name)
    return packages.private_apt(suite) if suite else packages.Apt()


def debian(series=None, update=False, headers=True, suite=None, name=arch.HOST):
    """A Debian kernel out of the cache, fetched if it is not there.

    series may end in a flavour (6.12-rt) or in a suite of the mirror, for a kernel
    that the host's own release has too (6.12/trixie); name is that of the
    architecture.
    """
    package, version, suite = resolve(series, update, suite, name)
    kern = _in_cache(package, version, headers, lambda: _apt(suite, name))
    kern.arch, kern.suite = arch.ARCHES[name], suite
    return kern


def _in_cache(package, version, headers, apt):
    release = package[len("linux-image-"):]
    name = f"{release}_{version}"
    top = common.cache_dir() / "kernels" / name
    if not top.exists():
        with common.locked("kernels"):
            if not top.exists():
                _fetch_image(apt(), package, version, release, top)
    headers_top = common.cache_dir() / "headers" / name
    if headers and not headers_top.exists():
        with common.locked("headers"):
            if not headers_top.exists():
                _fetch_headers(apt(), release, version, headers_top)
    modules = next(top.glob(f"**/lib/modules/{release}"))
    return Kernel(release, _image_in(top, modules), modules,
                  headers_top / "usr/src" / f"linux-headers-{release}", name)


def _image_in(top, modules):
    """The image is in /boot, or beside its modules in newer packages."""
    for place in (top / "boot" / f"vmlinuz-{modules.name}", modules / "vmlinuz"):
        if place.is_file():
            return place
    raise common.VmError(f"there is no kernel image in {top}; remove that directory "
                         "to have it fetched again")


def _download_all(apt, todo, pattern, directory):
    """Unpacks packages and those of their dependencies that match."""
    got = set()
    while todo:
        name, wanted = todo.pop()
        fields = apt.record(name, wanted)
        if name in got:
            continue
        if not fields:
            raise common.VmError(f"apt does not know {name} {wanted or ''}; run "
                                 "apt-get update (as root), then "
                                 "scripts/vm fetch --update")
        got.add(name)
        deb = apt.download(name, fields["Version"], common.cache_dir() / "debs")
        common.say(f"unpacking {name}")
        packages.unpack(deb, directory)
        todo += packages.depends(fields, pattern)


def _fetch_image(apt, package, version, release, top):
    with common.replaced_dir(top) as temp:
        # Newer packages are split by what they hold.
        _download_all(apt, [(package, version)], r"linux-(base|binary|modules)-\d", temp)
        modules = next(temp.glob(f"**/lib/modules/{release}"), None)
        if not modules:
            raise common.VmError(f"{package} holds no modules for {release}")
        _image_in(temp, modules)
        for link in ("build", "source"):
            (modules / link).unlink(missing_ok=True)
        if not (modules / "modules.dep").exists():
            # The files sit in lib/ or usr/lib/; depmod looks for lib/.
            base = modules.parents[2]
            common.command([common.need_tool("depmod", "kmod"), "-b", base, release],
                           "depmod")


def _fetch_headers(apt, release, version, top):
    with common.replaced_dir(top) as temp:
        wanted = (f"linux-headers-{release}", version)
        if release.endswith(f"-{arch.HOST}"):
            _download_all(apt, [wanted], r"linux-(headers|kbuild)-\d", temp)
        else:
            _download_all(apt, [wanted], r"linux-headers-\d", temp)
            # What kbuild runs has to run here.
            tools = packages.depends(apt.record(*wanted), r"linux-kbuild-\d")
            _download_all(packages.Apt(), tools, r"linux-kbuild-\d", temp)
        _relocate_headers(temp, top)


def _relocate_headers(temp, final):
    """The packages expect to live below /usr: point them at the cache."""
    for path in [*temp.glob("usr/src/linux-headers-*/*")]:
        if path.is_symlink():
            target = os.readlink(path)
            if target.startswith("/"):
                path.unlink()
                path.symlink_to(f"{final}{target}")
        elif path.name in ("Makefile", ".kernelvariables"):
            text = path.read_text(encoding="utf-8")
            text = re.sub(r"(?<![\w$/.)}])/usr/(src|lib)/linux-",
                          rf"{final}/usr/\1/linux-", text)
            path.write_text(text, encoding="utf-8")


def newer_wakeup_test(series="7.2", suite="sid", update=False):
    """The wake-up test of a newer kernel, which has more cases."""
    place = common.cache_dir() / WAKEUP_NEW
    if update or not place.exists():
        _fetch_wakeup_test(packages.private_apt(suite), series, place)
    return place


def wakeup_test_of(series):
    """The wake-up test of a kernel series that apt offers."""
    place = common.cache_dir() / WAKEUP_NEW.replace("-new", f"-{series}")
    if not place.exists():
        _fetch_wakeup_test(packages.Apt(), series, place)
    return place


def version_of_test(place):
    """The version of the source package that a wake-up test came from, or None."""
    note = place.with_suffix(".version")
    return note.read_text(encoding="ascii") if note.exists() else None


def _fetch_wakeup_test(apt, series, place):
    with common.locked("source"):
        name = f"linux-source-{series}"
        fields = apt.record(name)
        if not fields:
            raise common.VmError(f"the mirror has no {name}, for its wake-up test",
                                 common.EXIT_USAGE)
        deb = apt.download(name, fields["Version"], common.cache_dir() / "debs")
        try:
            with common.replaced_dir(common.cache_dir() / "source") as temp:
                if packages.members(deb, "linux-source-*.tar.*", [WAKEUP_TEST], temp):
                    raise common.VmError(f"{name} lacks {WAKEUP_TEST}")
                with common.replaced_file(place) as file:
                    file.write_bytes((temp / WAKEUP_TEST).read_bytes())
                with common.replaced_file(place.with_suffix(".version")) as file:
                    file.write_text(fields["Version"], encoding="ascii")
            packages.remove(common.cache_dir() / "source")
        finally:
            deb.unlink()


def source_files(update=False):
    """The files of the default kernel's source that the build and lint need."""
    cache = common.cache_dir()
    if not update and all((cache / name).exists() for name in SOURCE_FILES):
        return
    with common.locked("source"):
        if not update and all((cache / name).exists() for name in SOURCE_FILES):
            return
        package, version, _ = resolve(None, update)
        major = re.match(r"linux-image-(\d+\.\d+)", package).group(1)
        apt = packages.Apt()
        name = f"linux-source-{major}"
        fields = apt.record(name, version) or apt.record(name)
        if not fields:
            raise common.VmError(f"apt does not know {name}; run apt-get update "
                                 "(as root) and try again")
        deb = apt.download(name, fields["Version"], cache / "debs")
        with common.replaced_dir(cache / "source") as temp:
            missing = packages.members(deb, "linux-source-*.tar.*",
                                       list(SOURCE_FILES.values()), temp)
            if missing:
                raise common.VmError(f"{name} lacks {', '.join(missing)}")
            for place, inside in SOURCE_FILES.items():
                with common.replaced_file(cache / place) as file:
                    file.write_bytes((temp / inside).read_bytes())
        (cache / "checkpatch/checkpatch.pl").chmod(0o755)
        packages.remove(cache / "source")
